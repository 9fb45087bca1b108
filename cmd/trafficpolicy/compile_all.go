package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/bundles"
	"github.com/trafficpolicy/trafficpolicy/internal/version"
)

// checkAll objects to flags that do not go with --all.
func (f *compileFlags) checkAll() error {
	switch {
	case f.node != "" || f.pod != "":
		return errors.New("--all is every node: it does not go with --node or --pod")
	case f.outputGiven:
		return errors.New("--all writes a file for each node: give --out-dir DIR in place of -o")
	case f.format == "script":
		return errors.New("--all writes bundles: --format script is for one node or pod")
	case f.outDir == "" && f.since == "":
		return errors.New("--all needs --out-dir DIR for the bundles, or --since DIR to list what would change")
	case f.outDir != "" && f.since != "" && sameDir(f.outDir, f.since):
		return errors.New("--since and --out-dir are one directory: --out-dir alone leaves what does not change as it is")
	}
	return nil
}

// sameDir reports whether two paths are one directory, as far as their text and links tell.
func sameDir(a, b string) bool {
	real := func(path string) string {
		if r, err := filepath.EvalSymlinks(path); err == nil {
			path = r
		}
		if r, err := filepath.Abs(path); err == nil {
			path = r
		}
		return path
	}
	return real(a) == real(b)
}

// compileAll compiles every node of the inventory. Where any must not be compiled
// nothing is written.
func (c *command) compileAll(ctx context.Context, f *compileFlags, comp *compiler.Compiler) error {
	nodes := comp.Nodes()
	if len(nodes) == 0 {
		return errNoNodes
	}
	run := &clusterRun{command: c, flags: f, compiler: comp}
	if err := run.open(); err != nil {
		return err
	}
	defer run.close()
	results, err := run.compile(ctx, nodes)
	if err != nil {
		return err
	}
	c.warnNodes(results)
	return run.finish(ctx, results)
}

var errNoNodes = errors.New("the inventory has no node to compile for, and no pod that runs on one (give -i)")

// clusterRun is one run of compile --all.
type clusterRun struct {
	*command
	flags    *compileFlags
	compiler *compiler.Compiler
	update   *bundles.Update // of --out-dir; nil without it
	since    *bundles.Base   // nil without --since
	// programs are what the bundles in the directory were made from, by node, where
	// that is known.
	programs map[string]*compiler.Program
}

// nodeResult is what became of one node.
type nodeResult struct {
	entry    bundles.Entry
	was      bool // it was there before
	kept     bool // and is the same
	program  *compiler.Program
	warnings []string
	err      error // a *compiler.Refusal where the policies must not be compiled
}

// open reads the directories, and refuses what their loaders would.
func (r *clusterRun) open() (err error) {
	if r.flags.since != "" {
		if r.since, err = bundles.OpenBase(r.flags.since); err != nil {
			return err
		}
		if err := r.sequence(r.flags.since, r.since.Index); err != nil {
			return err
		}
	}
	if r.flags.outDir == "" {
		return nil
	}
	if r.update, err = bundles.Begin(r.flags.outDir); err != nil {
		return fmt.Errorf("output directory: %w", err)
	}
	if err := r.sequence(r.flags.outDir, r.update.Old()); err != nil {
		r.close()
		return err
	}
	return nil
}

func (r *clusterRun) close() {
	if r.update == nil {
		return
	}
	if err := r.update.Close(); err != nil {
		r.warnf("output directory: %v", err)
	}
}

// sequence is an error where loaders would refuse a bundle for its sequence.
func (r *clusterRun) sequence(dir string, x *bundles.Index) error {
	if x == nil || r.flags.sequence >= x.Sequence {
		return nil
	}
	return fmt.Errorf("--sequence %d is lower than that of the bundles in %s, %d: loaders would refuse what changed", r.flags.sequence, dir, x.Sequence)
}

// compile compiles nodes on every processor. Bundles that are new or changed are
// put beside the directory's. An error is of what could not be judged or written;
// reasons why nodes must not be compiled are written to stderr first.
func (r *clusterRun) compile(ctx context.Context, nodes []string) ([]nodeResult, error) {
	progress := r.progress(len(nodes), "nodes compiled")
	defer progress.stop()
	results := make([]nodeResult, len(nodes))
	var stopped atomic.Bool // nothing will be written: only look for further reasons
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, node := range nodes {
		group.Go(func() error {
			res := &results[i]
			res.entry.Node = node
			if err := r.node(ctx, node, res, &stopped); err != nil {
				return err
			}
			progress.add()
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	progress.stop()
	return results, r.refusals(results)
}

// node compiles one node. Errors about that node alone are left in res.
func (r *clusterRun) node(ctx context.Context, node string, res *nodeResult, stopped *atomic.Bool) error {
	p, err := r.compiler.Compile(ctx, compiler.Target{Node: node})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil && !stopped.Load() {
		res.warnings = p.Warnings
		err = r.bundle(p, res)
		if written := (*writeError)(nil); errors.As(err, &written) {
			return err
		}
	}
	if err != nil {
		res.err = err
		stopped.Store(true)
	}
	return nil
}

// writeError is of the output directory, not of a node.
type writeError struct{ error }

func (e *writeError) Unwrap() error { return e.error }

// bundle compares the bundle of p with the one that was there before, and puts it
// where it differs. A bundle that differs in nothing but the sequence is the same.
func (r *clusterRun) bundle(p *compiler.Program, res *nodeResult) error {
	a, err := r.flags.emit(p)
	if err != nil {
		return err
	}
	e := &res.entry
	old := r.base().Find(e.Node)
	if was := r.programs[e.Node]; was != nil && old != nil && p.Same(was) {
		*e = *old
		e.Warnings, res.was, res.kept = len(p.Warnings), true, true
		return nil
	}
	if r.programs != nil {
		res.program = p
	}
	e.File, e.Pods, e.Classes, e.Warnings = bundles.FileName(e.Node), len(p.Pods), len(p.Classes), len(p.Warnings)
	if res.was = old != nil; res.was {
		data, err := r.render(a, old.Sequence, e)
		if err != nil {
			return err
		}
		if res.kept, err = r.holds(e.Node, data); res.kept || err != nil {
			return wrapWrite(err)
		}
		if old.Sequence == r.flags.sequence {
			return r.put(e.Node, data)
		}
	}
	data, err := r.render(a, r.flags.sequence, e)
	if err != nil {
		return err
	}
	return r.put(e.Node, data)
}

// render returns the bundle with that sequence, and fills in what e says of it.
func (r *clusterRun) render(a *bundle.Bundle, sequence uint64, e *bundles.Entry) ([]byte, error) {
	data, err := r.flags.render(a, sequence)
	e.Size, e.SHA256, e.Generation, e.Sequence = int64(len(data)), bundles.Digest(data), bundle.GenerationOf(data), sequence
	return data, err
}

// base returns the index that bundles are compared with, nil without one.
func (r *clusterRun) base() *bundles.Index {
	if r.since != nil {
		return r.since.Index
	}
	return r.update.Old()
}

func (r *clusterRun) holds(node string, data []byte) (bool, error) {
	if r.since != nil {
		return r.since.Holds(node, data)
	}
	return r.update.Holds(node, data)
}

func (r *clusterRun) put(node string, data []byte) error {
	if r.update == nil {
		return nil
	}
	if r.since != nil {
		if same, err := r.update.Holds(node, data); same || err != nil {
			return wrapWrite(err)
		}
	}
	return wrapWrite(r.update.Put(node, data))
}

func wrapWrite(err error) error {
	if err == nil {
		return nil
	}
	return &writeError{fmt.Errorf("output directory is as it was: %w", err)}
}

// refusals writes every reason why nodes must not be compiled, each with its nodes.
func (r *clusterRun) refusals(results []nodeResult) error {
	var reasons, errs nodeTexts
	for _, res := range results {
		if refusal := (*compiler.Refusal)(nil); errors.As(res.err, &refusal) {
			for _, text := range refusal.Reasons {
				reasons.add(text, res.entry.Node)
			}
		} else if res.err != nil {
			errs.add(res.err.Error(), res.entry.Node)
		}
	}
	for _, t := range reasons.all {
		fmt.Fprintf(r.Stderr, "trafficpolicy: %s: %s\n", listNodes(t.nodes), t.text)
	}
	if len(errs.all) > 0 {
		lines := make([]string, len(errs.all))
		for i, t := range errs.all {
			lines[i] = fmt.Sprintf("%s: %s", listNodes(t.nodes), t.text)
		}
		return errors.New("nothing is written: " + strings.Join(lines, "\n"))
	}
	if len(reasons.all) > 0 {
		fmt.Fprintf(r.Stderr, "trafficpolicy: nothing is written: %s must not be compiled\n", count(reasons.nodes(), "node", "nodes"))
		return errFailed
	}
	return nil
}

// finish writes or lists what changed.
func (r *clusterRun) finish(ctx context.Context, results []nodeResult) error {
	if r.update == nil {
		return r.list(results)
	}
	var entries []bundles.Entry
	for _, res := range results {
		if r.since == nil || !res.kept {
			entries = append(entries, res.entry)
		}
	}
	x := r.index(entries)
	if r.since != nil {
		x.Since, x.Removed = r.since.Digest, gone(r.since.Index, results)
	}
	return r.commit(ctx, x)
}

// index is that of a directory with these bundles.
func (r *clusterRun) index(entries []bundles.Entry) *bundles.Index {
	return &bundles.Index{Tool: version.String(), Backend: r.flags.backend, Sequence: r.flags.sequence, Nodes: entries}
}

func (r *clusterRun) commit(ctx context.Context, x *bundles.Index) error {
	if err := r.update.Commit(ctx, x); err != nil {
		return fmt.Errorf("output directory: %w", err)
	}
	return nil
}

// list writes a line for each node whose bundle would be another: what it is,
// a tab, and the node.
func (r *clusterRun) list(results []nodeResult) error {
	var lines []string
	for _, res := range results {
		switch {
		case res.kept:
		case res.was:
			lines = append(lines, "changed\t"+printable(res.entry.Node))
		default:
			lines = append(lines, "new\t"+printable(res.entry.Node))
		}
	}
	for _, node := range gone(r.since.Index, results) {
		lines = append(lines, "gone\t"+printable(node))
	}
	if len(lines) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(r.Stdout, strings.Join(lines, "\n")); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return errFailed
}

// gone returns the nodes of x that are not among results, sorted.
func gone(x *bundles.Index, results []nodeResult) []string {
	if x == nil {
		return nil
	}
	now := make(map[string]bool, len(results))
	for _, res := range results {
		now[res.entry.Node] = true
	}
	var out []string
	for _, e := range x.Nodes {
		if !now[e.Node] {
			out = append(out, e.Node)
		}
	}
	return out
}

// warnNodes writes each warning once. Of those that are alike but for their own
// node's name, as that it runs no governed pod, the first stands for all.
func (c *command) warnNodes(results []nodeResult) {
	var warnings nodeTexts
	for _, res := range results {
		own := "node " + strconv.Quote(res.entry.Node)
		for _, w := range res.warnings {
			warnings.add(strings.ReplaceAll(w, own, ownNode), res.entry.Node)
		}
	}
	for _, t := range warnings.all {
		first := "node " + strconv.Quote(t.nodes[0])
		if n := len(t.nodes) - 1; n > 0 {
			first += " (as " + count(n, "more node", "more nodes") + ")"
		}
		c.warnf("%s", strings.ReplaceAll(t.text, ownNode, first))
	}
}

// ownNode stands in a warning for the node that it is about.
const ownNode = "\x00"

// nodeTexts collects texts, each with its nodes, in the order of their first node.
type nodeTexts struct {
	all  []*nodeText
	find map[string]*nodeText
}

type nodeText struct {
	text  string
	nodes []string
}

func (t *nodeTexts) add(text, node string) {
	if t.find == nil {
		t.find = map[string]*nodeText{}
	}
	known := t.find[text]
	if known == nil {
		known = &nodeText{text: text}
		t.find[text] = known
		t.all = append(t.all, known)
	}
	known.nodes = append(known.nodes, node)
}

// nodes returns how many different nodes the texts have.
func (t *nodeTexts) nodes() int {
	seen := map[string]bool{}
	for _, x := range t.all {
		for _, n := range x.nodes {
			seen[n] = true
		}
	}
	return len(seen)
}

// listNodes names the first few of nodes.
func listNodes(nodes []string) string {
	const few = 10
	quoted := make([]string, min(few, len(nodes)))
	for i := range quoted {
		quoted[i] = strconv.Quote(nodes[i])
	}
	text := "node " + quoted[0]
	if len(nodes) > 1 {
		text = "nodes " + strings.Join(quoted, ", ")
	}
	if more := len(nodes) - few; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
