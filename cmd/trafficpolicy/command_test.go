package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"testing"
)

func TestInterrupted(t *testing.T) {
	const policy = "../../testdata/checks/TP101.yaml"
	for _, args := range [][]string{
		{"lint", policy},
		{"diff", policy, policy},
		{"diff", "git:HEAD:", policy},
		{"list", policy},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		var stdout, stderr bytes.Buffer
		c := &command{Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Getenv: os.Getenv}
		if exit := c.run(ctx, args); exit != exitUsage || stdout.Len() > 0 || stderr.String() != "trafficpolicy: interrupted\n" {
			t.Errorf("%q: exit code %d, stdout %q, stderr %q", args, exit, &stdout, &stderr)
		}
	}
}

// Standard input from which nothing comes does not keep the program.
func TestInterruptedWhileReading(t *testing.T) {
	in, out := io.Pipe()
	defer out.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var stdout, stderr bytes.Buffer
	c := &command{Stdin: in, Stdout: &stdout, Stderr: &stderr, Getenv: os.Getenv}
	exit := make(chan int)
	go func() { exit <- c.run(ctx, []string{"lint", "-"}) }()
	if _, err := io.WriteString(out, "apiVersion: v1\n"); err != nil { // once it is read, the program waits for more
		t.Fatal(err)
	}
	cancel()
	if code := <-exit; code != exitUsage || stderr.String() != "trafficpolicy: interrupted\n" {
		t.Errorf("exit code %d, stderr %q", code, &stderr)
	}
}
