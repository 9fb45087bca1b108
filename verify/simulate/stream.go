package simulate

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"runtime"
	"slices"
	"sync"
)

// batchSize is how many flows a worker takes at a time.
const batchSize = 256

// typicalAnswer is the length of an answer in JSON, in bytes.
const typicalAnswer = 512

// Summary is what came of a stream of flows.
type Summary struct {
	Flows   int // lines that were flows or should have been
	Unread  int // of these, answered by {"error", "line"}
	Allowed int
	Denied  int
	Mixed   int
}

// flowError stands in the output in place of a flow that cannot be judged.
type flowError struct {
	Error string `json:"error"`
	Line  int    `json:"line"`
}

// Stream judges the flows of r and writes one line of JSON for each to w, in
// order: a [Result], or {"error", "line"} where a flow cannot be read or makes
// no sense. It works on all processors and holds a bounded number of flows. note
// is called with each note of a result, in order; it may be nil. The error is of
// reading or writing as a whole.
func (s *Simulator) Stream(ctx context.Context, r io.Reader, w io.Writer, note func(string)) (Summary, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	workers := runtime.GOMAXPROCS(0)
	todo, ordered := make(chan *batch, workers), make(chan *batch, 2*workers)
	go read(ctx, NewFlowReader(r), todo, ordered)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for b := range todo {
				s.answer(b)
			}
		})
	}
	sum, err := collect(ctx, ordered, w, note)
	if err == nil { // else the reader may wait for input that never comes
		wg.Wait()
	}
	return sum, err
}

// batch is some flows and, once done is closed, their answers.
type batch struct {
	lines []batchLine
	last  error // ends the input: io.EOF, or why it could not be read on
	idle  bool  // nothing more was at hand when the batch was read

	done  chan struct{}
	out   bytes.Buffer
	notes []string
	sum   Summary
}

type batchLine struct {
	flow Flow
	line int
	err  error
}

// read cuts the input into batches. A batch ends early where the next line
// would have to be waited for, so that a flow written to a pipe is answered.
func read(ctx context.Context, r *FlowReader, todo, ordered chan<- *batch) {
	defer close(todo)
	defer close(ordered)
	for last := error(nil); last == nil; {
		b := &batch{done: make(chan struct{})}
		for len(b.lines) < batchSize && last == nil && !b.idle {
			f, line, err := r.Next()
			if bad := (*LineError)(nil); err == nil || errors.As(err, &bad) {
				b.lines = append(b.lines, batchLine{f, line, err})
			} else {
				last = err
			}
			b.idle = !r.Buffered()
		}
		b.last = last
		for _, to := range []chan<- *batch{ordered, todo} {
			select {
			case to <- b:
			case <-ctx.Done():
				return
			}
		}
	}
}

// answer judges the flows of b.
func (s *Simulator) answer(b *batch) {
	defer close(b.done)
	b.out.Grow(typicalAnswer * len(b.lines))
	enc := json.NewEncoder(&b.out)
	enc.SetEscapeHTML(false)
	for _, l := range b.lines {
		var res *Result
		if l.err == nil {
			res, l.err = s.Judge(l.flow)
		}
		if bad := (*LineError)(nil); errors.As(l.err, &bad) {
			l.err = bad.Err
		}
		if l.err != nil {
			b.sum.Unread++
			enc.Encode(flowError{l.err.Error(), l.line}) // plain data into a buffer: cannot fail
			continue
		}
		b.sum.count(res.Verdict)
		b.notes = append(b.notes, res.Notes...)
		enc.Encode(res)
	}
	b.sum.Flows = len(b.lines)
}

func (s *Summary) count(v Verdict) {
	switch v {
	case Allow:
		s.Allowed++
	case Deny:
		s.Denied++
	case Mixed:
		s.Mixed++
	}
}

func (s *Summary) add(t Summary) {
	s.Flows += t.Flows
	s.Unread += t.Unread
	s.Allowed += t.Allowed
	s.Denied += t.Denied
	s.Mixed += t.Mixed
}

// collect writes the answers in the order of the input.
func collect(ctx context.Context, ordered <-chan *batch, w io.Writer, note func(string)) (sum Summary, err error) {
	out := bufio.NewWriterSize(w, 64<<10)
	defer func() { err = errors.Join(err, out.Flush()) }()
	for {
		var b *batch
		select {
		case b = <-ordered:
		case <-ctx.Done():
		}
		if b == nil {
			return sum, ctx.Err()
		}
		select {
		case <-b.done:
		case <-ctx.Done(): // the batch may never have reached a worker
			return sum, ctx.Err()
		}
		sum.add(b.sum)
		for _, n := range b.notes {
			if note != nil {
				note(n)
			}
		}
		if _, err := out.Write(b.out.Bytes()); err != nil {
			return sum, err
		}
		if b.last != nil && b.last != io.EOF {
			return sum, b.last
		}
		if b.idle {
			if err := out.Flush(); err != nil {
				return sum, err
			}
		}
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
