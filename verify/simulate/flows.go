package simulate

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	columns []string // of CSV; nil for JSON
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
	for {
		text, err := r.next()
		if err != nil {
			return Flow{}, r.line, err
		}
		if len(text) == 0 {
			continue
		}
		if !r.started {
			r.started = true
			if text[0] != '{' {
				if err := r.header(text); err != nil {
					return Flow{}, r.line, fmt.Errorf("line %d: %w", r.line, err)
				}
				continue
			}
		}
		f, err := r.parse(text)
		if err != nil {
			return Flow{}, r.line, &LineError{r.line, err}
		}
		return f, r.line, nil
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
	columns, err := fields(text)
	if err != nil {
		return fmt.Errorf("header: %w (%s)", err, columnsHelp)
	}
	seen := map[string]bool{}
	for i, c := range columns {
		c = strings.ToLower(strings.TrimSpace(c))
		if _, ok := (&rawFlow{}).field(c); !ok || seen[c] {
			return fmt.Errorf("header: column %q is unknown or named twice, %s", c, columnsHelp)
		}
		columns[i], seen[c] = c, true
	}
	if !seen["src"] || !seen["dst"] {
		return fmt.Errorf("header: no column src or dst, %s", columnsHelp)
	}
	r.columns = columns
	return nil
}

// rawFlow is a flow before its values are checked.
type rawFlow struct{ src, dst, proto, port string }

// field returns the field of a column or key.
func (f *rawFlow) field(name string) (*string, bool) {
	switch name {
	case "src":
		return &f.src, true
	case "dst":
		return &f.dst, true
	case "proto":
		return &f.proto, true
	case "port":
		return &f.port, true
	}
	return nil, false
}

func (r *FlowReader) parse(text []byte) (Flow, error) {
	if !utf8.Valid(text) {
		return Flow{}, errors.New("not UTF-8")
	}
	var raw rawFlow
	var err error
	if r.columns == nil {
		err = raw.fromJSON(text)
	} else {
		err = raw.fromCSV(text, r.columns)
	}
	if err != nil {
		return Flow{}, err
	}
	return raw.flow()
}

func (f *rawFlow) flow() (Flow, error) {
	out := Flow{Src: f.src, Dst: f.dst, Proto: f.proto}
	switch {
	case f.src == "":
		return out, errors.New("no src")
	case f.dst == "":
		return out, errors.New("no dst")
	case f.port == "":
		return out, nil
	}
	port, err := ParsePort(f.port)
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

func (f *rawFlow) fromCSV(text []byte, columns []string) error {
	values, err := fields(text)
	if err != nil {
		return err
	}
	if len(values) != len(columns) {
		return fmt.Errorf("%d fields, the header has %d (a value that holds a comma is written in quotes)", len(values), len(columns))
	}
	for i, c := range columns {
		at, _ := f.field(c)
		*at = strings.TrimSpace(values[i])
	}
	return nil
}

// fields splits one line of CSV.
func fields(text []byte) ([]string, error) {
	if !bytes.ContainsAny(text, `"`) {
		return strings.Split(string(text), ","), nil
	}
	r := csv.NewReader(bytes.NewReader(text))
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

func (f *rawFlow) fromJSON(text []byte) error {
	var obj map[string]any
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&obj); err != nil {
		return fmt.Errorf("not a JSON object: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("more than one JSON value")
	}
	for _, key := range [...]string{"src", "dst", "proto", "port"} {
		v, ok := obj[key]
		delete(obj, key)
		if !ok || v == nil {
			continue
		}
		at, _ := f.field(key)
		switch v := v.(type) {
		case string:
			*at = strings.TrimSpace(v)
		case json.Number:
			*at = v.String()
		default:
			return fmt.Errorf("%s is neither a string nor a number", key)
		}
	}
	for _, key := range sortedKeys(obj) {
		return fmt.Errorf("unknown key %q, want src, dst, proto and port", key)
	}
	return nil
}
