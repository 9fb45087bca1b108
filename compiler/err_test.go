package compiler

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Each file of testdata/err has the findings that it must give beside it, as
// FILE.out. UPDATE=1 rewrites them; read what it wrote.
func TestErrors(t *testing.T) {
	files, err := filepath.Glob("testdata/err/*[nl]")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			o := LoadOptions{Policies: []string{file}}
			if first, _, _ := bytes.Cut(text, []byte("\n")); bytes.HasPrefix(first, []byte("# Poseidon ")) {
				o.PoseidonVersion = strings.Fields(string(first))[2]
			}
			in, err := Load(context.Background(), o)
			if err != nil {
				t.Fatal(err)
			}
			got := findingsText(in)
			golden := file + ".out"
			if os.Getenv("UPDATE") != "" {
				if err := os.WriteFile(golden, []byte(got), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

// findingsText renders findings with all that they carry: one line for the
// message, one for field and rule, one for each related place.
func findingsText(in *Input) string {
	var b strings.Builder
	for _, f := range in.Findings {
		fmt.Fprintf(&b, "%d:%d: %s: %s [%s]\n", f.Line, f.Column, f.Severity, f.Message, f.Code)
		where := f.Policy
		if f.Rule != "" {
			where = f.Rule
		}
		if f.Field != "" || where != "" {
			fmt.Fprintf(&b, "    %s of %s\n", f.Field, where)
		}
		for _, r := range f.Related {
			fmt.Fprintf(&b, "    %d:%d: %s\n", r.Line, r.Column, r.Message)
		}
	}
	for _, o := range in.Inventory.Broken {
		fmt.Fprintf(&b, "%d:%d: broken %s\n", o.Pos.Line, o.Pos.Column, o.Ref)
	}
	return b.String()
}

// What is right gives no finding at all.
func TestOK(t *testing.T) {
	files, err := filepath.Glob("testdata/ok/*[nl]")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			in, err := Load(context.Background(), LoadOptions{Policies: []string{file}, PoseidonVersion: "0.8.0"})
			if err != nil {
				t.Fatal(err)
			}
			if got := findingsText(in); got != "" {
				t.Errorf("findings:\n%s", got)
			}
			if len(in.Policies) == 0 {
				t.Error("no policy was read")
			}
		})
	}
}

// Every code of the decoder has a message in testdata/err.
func TestErrorsCoverCodes(t *testing.T) {
	files, _ := filepath.Glob("testdata/err/*.out")
	var all strings.Builder
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	for _, c := range model.Codes {
		if c.Code <= model.NewerField && !strings.Contains(all.String(), "["+string(c.Code)+"]") {
			t.Errorf("no file of testdata/err gives %s", c.Code)
		}
	}
}
