package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/term"
)

// progress shows how far work is on a terminal, once it takes over a second.
type progress struct {
	w     io.Writer // nil where nothing is shown
	total int
	what  string
	done  atomic.Int64

	once sync.Once
	end  chan struct{}
	over sync.WaitGroup
}

// progress begins to show on stderr how many of total are what, such as "nodes
// compiled". stop takes the line away again.
func (c *command) progress(total int, what string) *progress {
	p := &progress{total: total, what: what, end: make(chan struct{})}
	if file, ok := c.Stderr.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		p.w = file
		p.over.Go(p.show)
	}
	return p
}

func (p *progress) add() { p.done.Add(1) }

func (p *progress) show() {
	const clear = "\r\x1b[K"
	next := time.NewTimer(time.Second)
	defer next.Stop()
	shown := false
	for {
		select {
		case <-p.end:
			if shown {
				fmt.Fprint(p.w, clear)
			}
			return
		case <-next.C:
			shown = true
			fmt.Fprintf(p.w, "%s%d of %d %s", clear, p.done.Load(), p.total, p.what)
			next.Reset(200 * time.Millisecond)
		}
	}
}

func (p *progress) stop() {
	p.once.Do(func() { close(p.end) })
	p.over.Wait()
}
