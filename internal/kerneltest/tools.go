//go:build linux

package kerneltest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// tools holds the programs under test, built once for all tests of a process.
var tools struct {
	sync.Once
	dir string
	err error
}

// Main runs the tests of a package and removes what [Run] built.
func Main(m *testing.M) int {
	defer func() {
		if tools.dir != "" {
			os.RemoveAll(tools.dir)
		}
	}()
	return m.Run()
}

// tool returns the path of one of the two programs, built from this source.
func tool(name string) (string, error) {
	tools.Do(func() {
		if tools.dir, tools.err = os.MkdirTemp("", "tp-tools-"); tools.err != nil {
			return
		}
		pkg := "github.com/trafficpolicy/trafficpolicy/cmd/"
		cmd := exec.Command("go", "build", "-o", tools.dir+"/", pkg+"trafficpolicy", pkg+"tploader")
		if out, err := cmd.CombinedOutput(); err != nil {
			tools.err = fmt.Errorf("build the programs: %w\n%s", err, out)
		}
	})
	return filepath.Join(tools.dir, name), tools.err
}

// exitError is how a program ended that did not end with 0.
type exitError struct {
	line   string
	code   int
	stderr string
}

func (e *exitError) Error() string {
	return fmt.Sprintf("%s: exit status %d\n%s", e.line, e.code, e.stderr)
}

// Run runs trafficpolicy or tploader and returns its standard output.
func Run(stdin []byte, name string, args ...string) ([]byte, error) {
	path, err := tool(name)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &stdout, &stderr
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = &exitError{name + " " + strings.Join(args, " "), exit.ExitCode(), stderr.String()}
	}
	return stdout.Bytes(), err
}
