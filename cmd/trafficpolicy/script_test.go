package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets this test binary stand in for the program: a script's
// "trafficpolicy" runs it again, and it then is main.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"trafficpolicy": main})
}

// TestScripts runs testdata/script/VERB_TOPIC.txtar. With UPDATE=1 a cmp that
// fails rewrites the file below the script instead; read what it wrote.
//
// A script runs the program with "exec trafficpolicy ...". Beside testscript's own commands there is
//
//	exits CODE COMMAND [ARG...]
//
// which runs COMMAND and fails unless its exit code is CODE. $TESTDATA is the
// testdata folder at the root of the module.
func TestScripts(t *testing.T) {
	testdata, err := filepath.Abs("../../testdata")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       os.Getenv("UPDATE") != "",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
		Setup: func(env *testscript.Env) error {
			env.Setenv("TESTDATA", testdata)
			return nil
		},
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("%s exits with %d, want %d", args[1], got, want)
	}
}
