package main

import (
	"bytes"
	"context"
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
