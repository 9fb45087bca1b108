package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// writeJSON writes v indented, with < > & as they are.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// useColor reports whether text for w is to be coloured: --color decides, and
// where it says auto, w must be a terminal and NO_COLOR (no-color.org) empty.
func (c *command) useColor(f *commonFlags, w io.Writer) bool {
	switch f.color {
	case "always":
		return true
	case "never":
		return false
	}
	file, ok := w.(*os.File)
	return ok && c.Getenv("NO_COLOR") == "" && term.IsTerminal(int(file.Fd()))
}

// warnf writes a warning to stderr.
func (c *command) warnf(format string, args ...any) {
	fmt.Fprintf(c.Stderr, "trafficpolicy: warning: %s\n", printable(fmt.Sprintf(format, args...)))
}

// errorText returns what err says, for a terminal: the name of a file stays on its
// line.
func errorText(err error) string {
	text := err.Error()
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) && pe.Path != "" {
		text = strings.ReplaceAll(text, pe.Path, model.Printable(pe.Path))
	}
	return printable(text)
}

// printable is [model.Printable] of each line.
func printable(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = model.Printable(lines[i])
	}
	return strings.Join(lines, "\n")
}

// output calls write with stdout, or with the file at path unless that is empty
// or "-". Part of a file is not left behind as if it were the whole: the error
// says so.
func (c *command) output(path string, write func(io.Writer) error) error {
	if path == "" || path == "-" {
		return write(c.Stdout)
	}
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("output file: %w", err)
	}
	if err := write(f); err != nil {
		f.Close()
		return fmt.Errorf("output file %s is incomplete: %w", path, err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("output file %s is incomplete: %w", path, err)
	}
	return nil
}
