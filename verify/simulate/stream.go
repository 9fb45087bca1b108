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
// reading or writing as a whole, or a [DisagreementError]: with shortcuts, a share
// of the flows is judged by walking too, see [sampled].
func (s *Simulator) Stream(ctx context.Context, r io.Reader, w io.Writer, note func(string)) (Summary, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	workers := runtime.GOMAXPROCS(0)
	st := &stream{flows: NewFlowReader(r), todo: make(chan *batch, workers), ordered: make(chan *batch, 2*workers)}
	go st.read(ctx)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			judge := worker{Simulator: s}
			for b := range st.todo {
				judge.batch(st.flows, b)
				close(b.done)
			}
		})
	}
	sum, err := st.collect(ctx, w, note)
	if err == nil { // else the reader may wait for input that never comes
		wg.Wait()
	}
	return sum, err
}

// stream is what flows pass on their way.
type stream struct {
	flows         *FlowReader
	todo, ordered chan *batch
	spare         sync.Pool // of batches that are done with: their memory
}

// batch is some flows and, once done is closed, their answers.
type batch struct {
	text  []byte // of all lines
	lines []batchLine
	last  error // ends the input: io.EOF, or why it could not be read on
	idle  bool  // nothing more was at hand when the batch was read

	done  chan struct{}
	out   []byte
	notes []string
	sum   Summary
	err   error // ends the output
}

// batchLine is one line: the text up to end, from where that of the line before ends.
type batchLine struct {
	end  int
	line int   // from 1
	err  error // why there is no text
}

// empty returns a batch that holds nothing.
func (st *stream) empty() *batch {
	b, ok := st.spare.Get().(*batch)
	if !ok {
		b = &batch{}
	}
	*b = batch{text: b.text[:0], lines: b.lines[:0], out: b.out[:0], done: make(chan struct{})}
	return b
}

// read cuts the input into batches. A batch ends early where the next line
// would have to be waited for, so that a flow written to a pipe is answered.
func (st *stream) read(ctx context.Context) {
	defer close(st.todo)
	defer close(st.ordered)
	for last := error(nil); last == nil; {
		b := st.empty()
		for len(b.lines) < batchSize && last == nil && !b.idle {
			text, err := st.flows.nextLine()
			if err == nil || isLineError(err) {
				b.text = append(b.text, text...)
				b.lines = append(b.lines, batchLine{len(b.text), st.flows.line, err})
			} else {
				last = err
			}
			b.idle = !st.flows.Buffered()
		}
		b.last = last
		for _, to := range []chan<- *batch{st.ordered, st.todo} {
			select {
			case to <- b:
			case <-ctx.Done():
				return
			}
		}
	}
}

func isLineError(err error) bool {
	var bad *LineError
	return errors.As(err, &bad)
}

// batch judges the flows of b.
func (w *worker) batch(r *FlowReader, b *batch) {
	all, at := string(b.text), 0 // once for all of them, as flows are parts of it
	for _, l := range b.lines {
		text := all[at:l.end]
		at = l.end
		err := l.err
		if err == nil {
			err = w.line(r, text, l.line, b)
		}
		if err != nil {
			b.fail(err, l.line)
		}
		if b.err != nil {
			return
		}
	}
}

// fail answers a line that cannot be judged, or ends the output.
func (b *batch) fail(err error, line int) {
	if wrong := (*DisagreementError)(nil); errors.As(err, &wrong) {
		wrong.Line = line
		b.err = wrong
		return
	}
	if bad := (*LineError)(nil); errors.As(err, &bad) {
		err = bad.Err
	}
	b.sum.Flows++
	b.sum.Unread++
	b.out = appendFlowError(b.out, flowError{err.Error(), line})
}

// line judges one line and adds the answer to b, unless there is an error.
func (w *worker) line(r *FlowReader, text string, line int, b *batch) error {
	f, err := r.parse(text)
	if err != nil {
		return err
	}
	res, err := w.judge(f)
	start := len(b.out)
	if err == nil {
		b.out = append(res.appendJSON(b.out), '\n')
	}
	if w.plain != nil && sampled(line) {
		if e := w.compare(f, b.out[start:], err); e != nil {
			b.out = b.out[:start]
			return e
		}
	}
	if err != nil {
		return err
	}
	b.sum.Flows++
	b.sum.count(res.Verdict)
	b.notes = append(b.notes, res.Notes...)
	return nil
}

// sampled reports whether a flow is judged by walking too, by the number of its
// line: the first hundred, and one in a thousand of the rest, as if drawn.
func sampled(line int) bool {
	h := uint64(line) // SplitMix64 (Steele, Lea, Flood 2014): no period in the lines shows
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return line <= 100 || (h^h>>31)%1000 == 0
}

// compare judges f by walking and returns a [DisagreementError] unless that gives
// the same answer, in every byte, or the same error.
func (s *Simulator) compare(f Flow, answer []byte, failed error) error {
	res, err := s.plain.Judge(f)
	short, plain := string(bytes.TrimSpace(answer)), ""
	if failed != nil {
		short = failed.Error()
	}
	if err != nil {
		plain = err.Error()
	} else {
		plain = string(res.appendJSON(nil))
	}
	if short == plain && (failed == nil) == (err == nil) {
		return nil
	}
	return &DisagreementError{Shortcut: short, Walk: plain}
}

func appendFlowError(b []byte, e flowError) []byte {
	out := bytes.NewBuffer(b)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	enc.Encode(e) // plain data into a buffer: cannot fail
	return out.Bytes()
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
func (st *stream) collect(ctx context.Context, w io.Writer, note func(string)) (sum Summary, err error) {
	out := bufio.NewWriterSize(w, 64<<10)
	defer func() { err = errors.Join(err, out.Flush()) }()
	for {
		var b *batch
		select {
		case b = <-st.ordered:
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
		if _, err := out.Write(b.out); err != nil {
			return sum, err
		}
		if b.err != nil {
			return sum, b.err
		}
		if b.last != nil && b.last != io.EOF {
			return sum, b.last
		}
		if b.idle {
			if err := out.Flush(); err != nil {
				return sum, err
			}
		}
		st.spare.Put(b)
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
