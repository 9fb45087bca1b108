package simulate

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxLine is the length of the longest line of flows, in bytes, with its newline. A flow is two
// names, a protocol and a port; what is longer is no flow.
const maxLine = 64 << 10

// FlowReader reads flows, one a line: CSV with a header that names the columns
// src, dst, proto and port in any order, or JSON objects with those keys. The
// first line that is not empty tells which. proto and port may be missing or
// empty; a port may be a number or a string. Empty lines are skipped, a byte
// order mark and carriage returns are ignored. It holds one line at a time.
type FlowReader struct {
	r       *bufio.Reader
	line    int // of the line read last, from 1
	started bool
	columns []column // of CSV; nil for JSON
}

// NewFlowReader returns a reader of r.
func NewFlowReader(r io.Reader) *FlowReader {
	return &FlowReader{r: bufio.NewReaderSize(r, maxLine)}
}

// LineError is a line that could not be read as a flow. Those after it can.
type LineError struct {
	Line int // from 1
	Err  error
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }
func (e *LineError) Unwrap() error { return e.Err }

// Next returns the next flow and the number of its line, from 1. The error is
// io.EOF at the end, a *LineError for a line that is no flow (go on with the
// next), and anything else where nothing more can be read: an I/O error, or a
// CSV header that does not name the columns.
func (r *FlowReader) Next() (Flow, int, error) {
	text, err := r.nextLine()
	if err != nil {
		return Flow{}, r.line, err
	}
	f, err := r.parse(string(text))
	if err != nil {
		return Flow{}, r.line, &LineError{r.line, err}
	}
	return f, r.line, nil
}

// nextLine returns the next line that is a flow or should be, without surrounding
// white space, and its errors as Next does. The bytes are valid until the next call.
func (r *FlowReader) nextLine() ([]byte, error) {
	for {
		text, err := r.next()
		if err != nil {
			return nil, err
		}
		if len(text) == 0 {
			continue
		}
		if !r.started {
			r.started = true
			if text[0] != '{' {
				if err := r.header(text); err != nil {
					return nil, fmt.Errorf("line %d: %w", r.line, err)
				}
				continue
			}
		}
		return text, nil
	}
}

// Buffered reports whether more input is at hand without waiting for it.
func (r *FlowReader) Buffered() bool { return r.r.Buffered() > 0 }

// next returns the next line without surrounding white space. The bytes are
// valid until the next call.
func (r *FlowReader) next() ([]byte, error) {
	text, err := r.r.ReadSlice('\n')
	if len(text) == 0 && err != nil {
		return nil, err
	}
	r.line++
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, r.skip()
	}
	if err != nil && err != io.EOF {
		return nil, err
	}
	if r.line == 1 {
		text = bytes.TrimPrefix(text, []byte("\ufeff"))
	}
	return bytes.TrimSpace(text), nil
}

// skip reads to the end of a line that is too long.
func (r *FlowReader) skip() error {
	for {
		_, err := r.r.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case err == nil, err == io.EOF:
			return &LineError{r.line, fmt.Errorf("longer than %d bytes", maxLine)}
		default:
			return err
		}
	}
}

const columnsHelp = "want a CSV header of src, dst, proto and port, or a JSON object in each line"

func (r *FlowReader) header(text []byte) error {
	names, err := fields(string(text))
	if err != nil {
		return fmt.Errorf("header: %w (%s)", err, columnsHelp)
	}
	for _, name := range names {
		name = strings.ToLower(strings.TrimSpace(name))
		c, ok := columnOf(name)
		if !ok || slices.Contains(r.columns, c) {
			return fmt.Errorf("header: column %q is unknown or named twice, %s", name, columnsHelp)
		}
		r.columns = append(r.columns, c)
	}
	if !slices.Contains(r.columns, srcColumn) || !slices.Contains(r.columns, dstColumn) {
		return fmt.Errorf("header: no column src or dst, %s", columnsHelp)
	}
	return nil
}

// rawFlow is a flow before its values are checked, by column.
type rawFlow [len(columnNames)]string

// column is a value of a flow.
type column int

const (
	srcColumn column = iota
	dstColumn
	protoColumn
	portColumn
)

var columnNames = [...]string{srcColumn: "src", dstColumn: "dst", protoColumn: "proto", portColumn: "port"}

// columnOf returns the column of that name or key.
func columnOf(name string) (column, bool) {
	i := slices.Index(columnNames[:], name)
	return column(i), i >= 0
}

// parse reads the text of one line. It may be called while other lines are read.
func (r *FlowReader) parse(text string) (Flow, error) {
	if !utf8.ValidString(text) {
		return Flow{}, errors.New("not UTF-8")
	}
	var raw rawFlow
	var err error
	switch {
	case r.columns != nil:
		err = raw.fromCSV(text, r.columns)
	case !raw.fromPlainJSON(text):
		raw = rawFlow{}
		err = raw.fromJSON(text)
	}
	if err != nil {
		return Flow{}, err
	}
	return raw.flow()
}

func (f *rawFlow) flow() (Flow, error) {
	out := Flow{Src: f[srcColumn], Dst: f[dstColumn], Proto: f[protoColumn]}
	switch {
	case out.Src == "":
		return out, errors.New("no src")
	case out.Dst == "":
		return out, errors.New("no dst")
	case f[portColumn] == "":
		return out, nil
	}
	port, err := ParsePort(f[portColumn])
	out.Port, out.HasPort = port, err == nil
	return out, err
}

// ParsePort reads a destination port.
func ParsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("port %q is not a number from 0 to 65535", s)
	}
	return uint16(n), nil
}

func (f *rawFlow) fromCSV(text string, columns []column) error {
	if strings.IndexByte(text, '"') < 0 && strings.Count(text, ",") == len(columns)-1 {
		for _, c := range columns {
			f[c], text, _ = strings.Cut(text, ",")
			f[c] = strings.TrimSpace(f[c])
		}
		return nil
	}
	values, err := fields(text)
	if err != nil {
		return err
	}
	if len(values) != len(columns) {
		return fmt.Errorf("%d fields, the header has %d (a value that holds a comma is written in quotes)", len(values), len(columns))
	}
	for i, c := range columns {
		f[c] = strings.TrimSpace(values[i])
	}
	return nil
}

// fields splits one line of CSV.
func fields(text string) ([]string, error) {
	if strings.IndexByte(text, '"') < 0 {
		return strings.Split(text, ","), nil
	}
	r := csv.NewReader(strings.NewReader(text))
	r.TrimLeadingSpace = true
	values, err := r.Read()
	if err != nil {
		var at *csv.ParseError
		if errors.As(err, &at) {
			err = at.Err
		}
		return nil, fmt.Errorf("bad CSV: %w", err)
	}
	return values, nil
}

func (f *rawFlow) fromJSON(text string) error {
	var obj map[string]any
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&obj); err != nil {
		return fmt.Errorf("not a JSON object: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("more than one JSON value")
	}
	for c, key := range columnNames {
		v, ok := obj[key]
		delete(obj, key)
		if !ok || v == nil {
			continue
		}
		switch v := v.(type) {
		case string:
			f[c] = strings.TrimSpace(v)
		case json.Number:
			f[c] = v.String()
		default:
			return fmt.Errorf("%s is neither a string nor a number", key)
		}
	}
	for _, key := range sortedKeys(obj) {
		return fmt.Errorf("unknown key %q, want src, dst, proto and port", key)
	}
	return nil
}
