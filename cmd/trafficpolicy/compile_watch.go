package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/bundles"
	"github.com/trafficpolicy/trafficpolicy/internal/inputs"
)

// checkWatch objects to flags that do not go with --watch.
func (f *compileFlags) checkWatch() error {
	switch {
	case f.since != "":
		return errors.New("--watch keeps the bundles of --out-dir up to date: it does not go with --since")
	case !f.all && f.output == "-":
		return errors.New("--watch writes again and again: give -o FILE")
	}
	return nil
}

// compileWatch compiles, and again whenever inputs change, until ctx ends. Only
// the first time do bad inputs end it; later they are said, and the last good
// bundles stay.
func (c *command) compileWatch(ctx context.Context, f *compileFlags, args []string) error {
	s, err := c.newWatchSession(f, args)
	if err != nil {
		return err
	}
	defer s.close()
	watch := newFileWatch(c)
	defer watch.close()
	watch.follow(s.paths(args))
	if err := s.step(ctx); err != nil {
		return err
	}
	fmt.Fprintln(c.Stderr, "trafficpolicy: watching")
	for watch.wait(ctx) {
		began := time.Now()
		if err := s.step(ctx); err != nil && ctx.Err() == nil {
			s.say(err)
		}
		watch.pause(time.Since(began))
		watch.follow(s.paths(args))
	}
	return nil
}

// watchSession is what one watch knows.
type watchSession struct {
	*command
	flags    *compileFlags
	cache    *compiler.InputCache
	names    []byte // content of --resolve-file
	compiler *compiler.Compiler
	refusing *compiler.Compiler // whose programs must not be
	run      *clusterRun        // of --all
	// all is set, and touched holds nodes, where bundles may be old.
	all     bool
	touched map[string]bool

	said     map[string]bool // warnings in force, by text
	lastErr  string          // said last, "" since it was mended
	stuck    bool            // something was said that is not mended yet
	programs map[string]*compiler.Program
	entries  []bundles.Entry // of --all, all nodes
	written  int             // bundles of the last step
}

func (c *command) newWatchSession(f *compileFlags, args []string) (*watchSession, error) {
	cache, err := compiler.NewInputCache(f.loadOptions(c, args))
	if err != nil {
		return nil, fmt.Errorf("--watch: %w", err)
	}
	s := &watchSession{command: c, flags: f, cache: cache, touched: map[string]bool{}, said: map[string]bool{}, programs: map[string]*compiler.Program{}}
	if f.all {
		s.run = &clusterRun{command: c, flags: f, programs: s.programs}
		err = s.run.open()
	}
	return s, err
}

func (s *watchSession) close() {
	if s.run != nil {
		s.run.close()
	}
}

// paths are what inputs are read from.
func (s *watchSession) paths(args []string) []string {
	o := s.flags.loadOptions(s.command, args)
	paths := append(append([]string(nil), o.Policies...), o.Inventory...)
	if s.flags.resolveFile != "" {
		paths = append(paths, s.flags.resolveFile)
	}
	return paths
}

// step reads what changed, and writes what that touches.
func (s *watchSession) step(ctx context.Context) error {
	began := time.Now()
	if err := s.read(ctx); err != nil {
		return err
	}
	if s.refusing == s.compiler { // and has said why
		return nil
	}
	written, err := s.write(ctx)
	if err == errFailed {
		s.refusing = s.compiler
	}
	if err != nil {
		return err
	}
	s.all, s.lastErr, s.written = false, "", written
	clear(s.touched)
	if written > 0 {
		fmt.Fprintf(s.Stderr, "trafficpolicy: %s written in %s\n", count(written, "bundle", "bundles"), time.Since(began).Round(time.Millisecond))
	} else if s.stuck {
		fmt.Fprintln(s.Stderr, "trafficpolicy: that is mended, and no bundle changes")
	}
	s.stuck = false
	return nil
}

// read brings the compiler up to date.
func (s *watchSession) read(ctx context.Context) error {
	in, changed, err := s.cache.Load(ctx)
	if err != nil {
		return err
	}
	names, err := s.resolveFile()
	if err != nil {
		return err
	}
	if err := inputs.Invalid(in); err != nil {
		return err
	}
	switch {
	case s.compiler == nil || !bytes.Equal(names, s.names):
		o, err := s.flags.options()
		if err != nil {
			return err
		}
		s.compiler, s.names, s.all = compiler.NewCompiler(in, s.flags.compileOptions(o)), names, true
	case changed || s.stale(in):
		next, touched := s.compiler.Update(in)
		s.compiler = next
		s.all = s.all || touched.All
		for _, n := range touched.Nodes() {
			s.touched[n] = true
		}
	}
	return nil
}

// stale reports whether the compiler's input is not in: it was invalid when it
// was read.
func (s *watchSession) stale(in *compiler.Input) bool { return s.compiler.Input() != in }

func (s *watchSession) resolveFile() ([]byte, error) {
	if s.flags.resolveFile == "" {
		return nil, nil
	}
	return os.ReadFile(s.flags.resolveFile)
}

// write writes the bundles that are old, and returns how many.
func (s *watchSession) write(ctx context.Context) (int, error) {
	if !s.all && len(s.touched) == 0 {
		return 0, nil
	}
	if s.flags.all {
		return s.writeAll(ctx)
	}
	return s.writeOne(ctx)
}

func (s *watchSession) writeOne(ctx context.Context) (int, error) {
	target := compiler.Target{Node: s.flags.node, Pod: s.flags.pod}
	p, err := s.compiler.Compile(ctx, target)
	if err != nil {
		return 0, s.refused(err)
	}
	s.warn([]nodeResult{{warnings: p.Warnings}})
	if was := s.programs[""]; was != nil && p.Same(was) {
		return 0, nil
	}
	artifact, err := s.flags.artifact(p)
	if err != nil {
		return 0, err
	}
	now, err := os.ReadFile(s.flags.output)
	same := err == nil && bytes.Equal(now, artifact)
	if !same {
		if err := s.writeWhole(s.flags.output, artifact); err != nil {
			return 0, err
		}
	}
	s.programs[""] = p
	if same {
		return 0, nil
	}
	return 1, nil
}

func (s *watchSession) writeAll(ctx context.Context) (int, error) {
	s.run.compiler = s.compiler
	nodes := s.compiler.Nodes()
	if len(nodes) == 0 {
		return 0, errNoNodes
	}
	known := make(map[string]*bundles.Entry, len(s.entries))
	for i := range s.entries {
		known[s.entries[i].Node] = &s.entries[i]
	}
	var again []string
	for _, n := range nodes {
		if s.all || s.touched[n] || known[n] == nil {
			again = append(again, n)
		}
	}
	results, err := s.run.compile(ctx, again)
	if err != nil {
		return 0, s.discard(err)
	}
	s.warn(results)
	written := 0
	for i := range results {
		known[results[i].entry.Node] = &results[i].entry
		if !results[i].kept {
			written++
		}
	}
	entries := make([]bundles.Entry, len(nodes))
	for i, n := range nodes {
		entries[i] = *known[n]
	}
	if err := s.run.commit(ctx, s.run.index(entries)); err != nil {
		clear(s.programs) // the directory may hold others by now
		return 0, s.discard(err)
	}
	s.entries = entries
	for _, res := range results {
		if res.program != nil {
			s.programs[res.entry.Node] = res.program
		}
	}
	return written, nil
}

// discard gives up bundles that were written before err came up.
func (s *watchSession) discard(err error) error {
	if also := s.run.update.Discard(); also != nil {
		return errors.Join(err, also)
	}
	return err
}

// warn writes warnings that were not said yet.
func (s *watchSession) warn(results []nodeResult) {
	for i := range results {
		var fresh []string
		for _, w := range results[i].warnings {
			if !s.said[w] {
				fresh = append(fresh, w)
			}
		}
		results[i].warnings = fresh
	}
	for _, res := range results {
		for _, w := range res.warnings {
			s.said[w] = true
		}
	}
	s.warnNodes(results)
}

// say writes an error, once while it stays the same. Reasons of errFailed have been
// written.
func (s *watchSession) say(err error) {
	text := errorText(err)
	if text == s.lastErr {
		return
	}
	s.lastErr, s.stuck = text, true
	if err == errFailed {
		s.lastErr = "" // the reasons may be others
	} else {
		fmt.Fprintf(s.Stderr, "trafficpolicy: %s\n", text)
	}
	fmt.Fprintln(s.Stderr, "trafficpolicy: the bundles stay as they are until that is mended")
}
