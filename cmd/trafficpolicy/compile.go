package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/backends/ebpf"
	"github.com/trafficpolicy/trafficpolicy/backends/nftables"
	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/inputs"
	"github.com/trafficpolicy/trafficpolicy/internal/version"
)

// compileFlags are the flags of compile.
type compileFlags struct {
	*commonFlags
	node, pod       string
	all             bool
	outDir, since   string
	watch           bool
	backend, format string
	output, unknown string
	outputGiven     bool // on the command line
	sequence        uint64
	allowUnresolved bool
	allowEmpty      bool
	skipBroken      bool
	sign            []string
	signers         []*bundle.Signer // of sign
}

func (c *command) compileCmd(common *commonFlags) *cobra.Command {
	f := &compileFlags{commonFlags: common}
	cmd := &cobra.Command{
		Use:   "compile {--node NODE | --pod NAMESPACE/NAME | --all --out-dir DIR} -i INVENTORY [POLICIES...]",
		Short: "Write what a node or a pod enforces",
		Long: `Write what a node or a pod enforces.

With --node the program is for the node's network namespace and covers the pods
whose spec.nodeName it is; with --pod it is for that pod's own.

The result is a bundle, for tploader, on standard output or in the file of -o; the
same input gives the same bytes. --backend says what enforces it: nftables, or ebpf,
programs on the pods' interfaces that walk a decision graph.

With --all there is a bundle for every node in the directory of --out-dir, and an
index of them. Bundles that did not change keep their bytes and their time, and
where any node must not be compiled nothing is written. --since compares with the
directory of an earlier run: only what changed is written, or, without --out-dir,
listed (exit 1 if anything changed).

--watch stays until it is interrupted, and writes again what a change of the input
files touches. Errors in the inputs are said then, and the last good bundles stay.

--format script is the bare nftables script: one transaction for nft -f instead of a
switch in two phases, and no check of the devices that packets come from
(docs/artifact.md says what that costs).

--sign signs the bundle, so that tploader apply --trusted can tell who made it; the
signature of a key is the same for the same bundle. Give a --sequence too, one that
rises: an older bundle is signed just as well.

Policies that must not be enforced are not compiled (exit 1, each reason on a line
of its own): none at all, a deny whose peer resolves to nothing, an inventory object
that cannot be read. Findings of lint do not matter here.`,
		Example: `  trafficpolicy compile --node node-a -i cluster.json policies/ -o node-a.tar
  trafficpolicy compile --pod default/agent-pod -i cluster.json policies/ | tploader apply
  trafficpolicy compile --node node-a -i cluster.json policies/ --backend ebpf | tploader apply
  trafficpolicy compile --node node-a -i cluster.json policies/ --sequence 42 --sign policies.key -o node-a.tar
  trafficpolicy compile --node node-a -i cluster.json policies/ --format script | nft -f -
  trafficpolicy compile --all --out-dir bundles -i cluster.json policies/
  trafficpolicy compile --all --since bundles -i cluster.json policies/
  trafficpolicy compile --all --out-dir bundles -i cluster/ policies/ --watch`,
		RunE: func(cmd *cobra.Command, args []string) error {
			f.outputGiven = cmd.Flags().Changed("output")
			return c.compile(cmd, f, args)
		},
	}
	p := cmd.Flags()
	p.StringVar(&f.node, "node", "", "compile for this node")
	p.StringVar(&f.pod, "pod", "", "compile for this pod (`NAMESPACE/NAME`)")
	p.BoolVar(&f.all, "all", false, "compile for every node of the inventory, into --out-dir")
	p.StringVar(&f.outDir, "out-dir", "", "with --all: keep a bundle for each node and an index in this `directory`")
	p.StringVar(&f.since, "since", "", "with --all: only nodes whose bundle is not that of this `directory`; without --out-dir they are listed")
	p.BoolVar(&f.watch, "watch", false, "stay, and write again what a change of the input files touches")
	p.StringVar(&f.backend, "backend", bundle.NFTables, "what enforces the result ("+strings.Join(backendNames, "|")+")")
	p.StringVar(&f.format, "format", "bundle", "bundle, for tploader, or script, for nft -f (bundle|script)")
	p.StringVarP(&f.output, "output", "o", "-", "write to this `file` (- for standard output)")
	p.Uint64Var(&f.sequence, "sequence", 0, "number that orders the bundles of one target: a loader refuses a lower one than its last")
	p.StringVar(&f.unknown, "unknown", "allow", "what becomes of pods in the node's pod CIDRs that the bundle does not know (allow|deny)")
	p.StringArrayVar(&f.sign, "sign", nil, "sign the bundle with the private key in this `file` (repeatable)")
	p.BoolVar(&f.allowUnresolved, "allow-unresolved", false, "compile deny rules whose peers resolve to nothing")
	p.BoolVar(&f.allowEmpty, "allow-empty", false, "compile without any policy")
	p.BoolVar(&f.skipBroken, "skip-broken", false, "compile without the inventory objects that cannot be read, naming them")
	return cmd
}

// backendNames lists the backends that compile can write for, sorted.
var backendNames = []string{bundle.EBPF, bundle.NFTables}

// check objects to values and to flags that do not go together.
func (f *compileFlags) check(stdout io.Writer) error {
	if !slices.Contains(backendNames, f.backend) {
		return fmt.Errorf("--backend %q is not available, choose %s", f.backend, strings.Join(backendNames, ", "))
	}
	if f.format != "bundle" && f.format != "script" {
		return fmt.Errorf("--format %q is not one of bundle, script", f.format)
	}
	if f.format == "script" && len(f.sign) > 0 {
		return errors.New("--sign goes with --format bundle: a script has no place for a signature")
	}
	if f.unknown != "allow" && f.unknown != "deny" {
		return fmt.Errorf("--unknown %q is not one of allow, deny", f.unknown)
	}
	if f.backend == bundle.EBPF {
		if f.format == "script" {
			return errors.New("--format script goes with --backend nftables: what ebpf enforces is no script, it needs tploader")
		}
		if f.unknown == "deny" {
			return errors.New("--unknown deny goes with --backend nftables: ebpf sits on the interfaces of the pods that the bundle knows, and does not see others")
		}
	}
	if f.watch {
		if err := f.checkWatch(); err != nil {
			return err
		}
	}
	if f.all {
		return f.checkAll()
	}
	if f.outDir != "" || f.since != "" {
		return errors.New("--out-dir and --since go with --all: for one node or pod give -o FILE")
	}
	if (f.node == "") == (f.pod == "") {
		return errors.New("name what to compile for: either --node NODE or --pod NAMESPACE/NAME, or --all for every node")
	}
	if f.output == "" {
		return errors.New("--output is empty, give a file or -")
	}
	if file, ok := stdout.(*os.File); ok && f.output == "-" && f.format == "bundle" && term.IsTerminal(int(file.Fd())) {
		return errors.New("a bundle is no text for a terminal: give -o FILE, or pipe it into tploader apply")
	}
	return nil
}

func (c *command) compile(cmd *cobra.Command, f *compileFlags, args []string) error {
	if err := f.check(c.Stdout); err != nil {
		return err
	}
	o, err := f.options()
	if err != nil {
		return err
	}
	if f.signers, err = c.signers(f.sign); err != nil {
		return err
	}
	c.warnUnordered(f)
	if f.watch {
		return c.compileWatch(cmd.Context(), f, args)
	}
	in, err := f.load(cmd.Context(), c, args)
	if err != nil {
		return err
	}
	if err := inputs.Invalid(in); err != nil {
		return err
	}
	compilation := compiler.NewCompiler(in, f.compileOptions(o))
	if f.all {
		return c.compileAll(cmd.Context(), f, compilation)
	}
	p, err := compilation.Compile(cmd.Context(), compiler.Target{Node: f.node, Pod: f.pod})
	if err != nil {
		return c.refused(err)
	}
	c.warnProgram(p)
	artifact, err := f.artifact(p)
	if err != nil {
		return err
	}
	return c.writeWhole(f.output, artifact)
}

// warnUnordered says what signing without a sequence leaves open.
func (c *command) warnUnordered(f *compileFlags) {
	if len(f.signers) > 0 && f.sequence == 0 {
		c.warnf("signed without --sequence: a node takes every signed bundle for it, also an older one")
	}
}

func (f *compileFlags) compileOptions(o compiler.Options) compiler.CompileOptions {
	return compiler.CompileOptions{
		Options:         o,
		AllowUnresolved: f.allowUnresolved,
		AllowEmpty:      f.allowEmpty,
		SkipBroken:      f.skipBroken,
		UnknownDeny:     f.unknown == "deny",
	}
}

// artifact returns the bytes of the result.
func (f *compileFlags) artifact(p *compiler.Program) ([]byte, error) {
	if f.format == "script" {
		return nftables.Script(p)
	}
	a, err := f.emit(p)
	if err != nil {
		return nil, err
	}
	return f.render(a, f.sequence)
}

// emit returns what a bundle of p holds.
func (f *compileFlags) emit(p *compiler.Program) (*bundle.Bundle, error) {
	if f.backend == bundle.EBPF {
		return ebpf.Emit(p)
	}
	return nftables.Emit(p)
}

// render returns the bytes of a bundle of that sequence.
func (f *compileFlags) render(a *bundle.Bundle, sequence uint64) ([]byte, error) {
	m := a.Manifest
	m.Tool, m.Sequence = version.String(), sequence
	var b bytes.Buffer
	size := 1 << 16 // of the manifest and what is between the files, roughly
	for _, file := range a.Files {
		size += len(file.Data)
	}
	b.Grow(size + 200*len(m.Rules))
	err := bundle.Write(&b, m, a.Files, f.signers...)
	return b.Bytes(), err
}
