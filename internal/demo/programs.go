package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// programs are trafficpolicy and tploader as they are run here.
type programs struct {
	dir    string // that holds both
	stderr io.Writer
}

// find uses bin, or else builds both programs below work.
func find(ctx context.Context, bin, work string, stderr io.Writer) (*programs, error) {
	if bin != "" {
		dir, err := filepath.Abs(bin)
		return &programs{dir, stderr}, err
	}
	dir := filepath.Join(work, "bin")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", dir+string(filepath.Separator),
		"github.com/trafficpolicy/trafficpolicy/cmd/...")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the programs: %w\n%s", err, out)
	}
	return &programs{dir, stderr}, nil
}

// run runs a program in work and returns what it prints. Exit 1, "judged and
// failed", is no error: the output says what was found.
func (p *programs) run(ctx context.Context, work string, stdin []byte, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(p.dir, name), args...)
	var stdout, stderr bytes.Buffer
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = work, bytes.NewReader(stdin), &stdout, &stderr
	cmd.Env = append(os.Environ(), "NO_COLOR=1")
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 && stdout.Len() > 0 {
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, stderr.Bytes())
	}
	return stdout.Bytes(), nil
}
