package main

import (
	"context"
	"io"
)

// interruptible reads from r until ctx ends: a read of a terminal or pipe that
// nothing comes from can wait for ever, and is left behind then.
type interruptible struct {
	ctx context.Context
	r   io.Reader
	buf []byte // of the read that is under way
}

func (i *interruptible) Read(p []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	if len(i.buf) < len(p) {
		i.buf = make([]byte, len(p))
	}
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 1)
	buf := i.buf[:len(p)]
	go func() {
		n, err := i.r.Read(buf)
		done <- result{n, err}
	}()
	select {
	case <-i.ctx.Done():
		return 0, i.ctx.Err() // and ever after, so buf is not used again
	case res := <-done:
		return copy(p, buf[:res.n]), res.err
	}
}
