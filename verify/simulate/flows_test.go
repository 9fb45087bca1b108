package simulate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// readAll reads a stream of flows to its end: a line of text for each answer of
// the reader, and the error that ended it.
func readAll(r io.Reader) (lines []string, err error) {
	fr := NewFlowReader(r)
	for {
		f, n, err := fr.Next()
		bad := (*LineError)(nil)
		switch {
		case err == io.EOF:
			return lines, nil
		case errors.As(err, &bad):
			lines = append(lines, "error: "+bad.Error())
		case err != nil:
			return lines, err
		default:
			port := "none"
			if f.HasPort {
				port = fmt.Sprint(f.Port)
			}
			lines = append(lines, fmt.Sprintf("%d: %s > %s %q %s", n, f.Src, f.Dst, f.Proto, port))
		}
	}
}

func TestFlowReader(t *testing.T) {
	long := strings.Repeat("a", maxLine)
	for _, tt := range []struct {
		name, in string
		want     []string
		err      string // ends the input
	}{
		{name: "empty"},
		{name: "white space alone", in: " \r\n\n\t\n"},
		{name: "header alone", in: "src,dst,proto,port\n"},
		{name: "CSV", in: "src,dst,proto,port\na/b,1.2.3.4,udp,53\n", want: []string{`2: a/b > 1.2.3.4 "udp" 53`}},
		{name: "no newline at the end", in: "src,dst,proto,port\na/b,1.2.3.4,,", want: []string{`2: a/b > 1.2.3.4 "" none`}},
		{name: "other order, case, CRLF, BOM, blank lines", in: "\ufeff\r\nPort, DST ,src\r\n\r\n 0 , x , y \r\n", want: []string{`4: y > x "" 0`}},
		{name: "quotes", in: "src,dst\n\"a?k=v,l=w\", \"x\"\n", want: []string{`2: a?k=v,l=w > x "" none`}},
		{name: "ports", in: "src,dst,port\na,b,65535\na,b,65536\na,b,-1\na,b,http\n", want: []string{
			`2: a > b "" 65535`,
			`error: line 3: port "65536" is not a number from 0 to 65535`,
			`error: line 4: port "-1" is not a number from 0 to 65535`,
			`error: line 5: port "http" is not a number from 0 to 65535`,
		}},
		{name: "bad lines in between", in: "src,dst\na\na,b,c\n,b\na,\n\"a,b\na,\xff\na,b\n", want: []string{
			"error: line 2: 1 fields, the header has 2 (a value that holds a comma is written in quotes)",
			"error: line 3: 3 fields, the header has 2 (a value that holds a comma is written in quotes)",
			"error: line 4: no src",
			"error: line 5: no dst",
			`error: line 6: bad CSV: extraneous or missing " in quoted-field`,
			"error: line 7: not UTF-8",
			`8: a > b "" none`,
		}},
		{name: "long line", in: "src,dst\n" + long + "\n" + long + long + "\na,b\n" + long[1:], want: []string{
			"error: line 2: longer than 65536 bytes",
			"error: line 3: longer than 65536 bytes",
			`4: a > b "" none`,
			"error: line 5: 1 fields, the header has 2 (a value that holds a comma is written in quotes)",
		}},
		{name: "JSON", in: `{"src":"a","dst":"b","proto":"udp","port":53}` + "\n\n" + `{"dst":"b","src":"a","proto":47,"port":"80"}` + "\n" + `{"src":"a","dst":"b","port":null}`, want: []string{
			`1: a > b "udp" 53`, `3: a > b "47" 80`, `4: a > b "" none`,
		}},
		{name: "bad JSON", in: "{\"src\":\"a\"}\n{\n[]\nnull\n{\"src\":\"a\",\"dst\":\"b\",\"ports\":1}\n{\"src\":1,\"dst\":{}}\n{\"src\":\"a\",\"dst\":\"b\",\"port\":1.5}\n{\"src\":\"a\",\"dst\":\"b\"} {}\n", want: []string{
			"error: line 1: no dst",
			"error: line 2: not a JSON object: unexpected EOF",
			"error: line 3: not a JSON object: json: cannot unmarshal array into Go value of type map[string]interface {}",
			"error: line 4: no src",
			`error: line 5: unknown key "ports", want src, dst, proto and port`,
			"error: line 6: dst is neither a string nor a number",
			`error: line 7: port "1.5" is not a number from 0 to 65535`,
			"error: line 8: more than one JSON value",
		}},
		{name: "no header", in: "default/a,8.8.8.8,tcp,443\n",
			err: `line 1: header: column "default/a" is unknown or named twice, ` + columnsHelp},
		{name: "column twice", in: "src,dst,src\n", err: `line 1: header: column "src" is unknown or named twice, ` + columnsHelp},
		{name: "no dst", in: "\nsrc,port\n", err: "line 2: header: no column src or dst, " + columnsHelp},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := readAll(strings.NewReader(tt.in))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("flows (-want +got):\n%s", diff)
			}
			if fmt.Sprint(err) != tt.err && (err != nil || tt.err != "") {
				t.Errorf("error %v, want %s", err, tt.err)
			}
		})
	}
}

// FuzzFlowReader holds that no input makes the reader panic, and that every line
// that is not empty yields exactly one flow or one error.
func FuzzFlowReader(f *testing.F) {
	for _, seed := range []string{
		"", "\n", "src,dst,proto,port\na/b,1.2.3.4,tcp,80\n", "src,dst\n\"a,b\n", "src,dst\n\"a\"\"b\",c\n\n,\n",
		`{"src":"a","dst":"b"}` + "\n{\n", "\ufeffsrc,dst\r\nx,y\r\n", "dst,src\n\x00,\xff\n", "src,dst\n\"a\r\n\",b",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := readAll(bytes.NewReader(in))
		if err != nil {
			return // the header: nothing after it was read
		}
		want := 0
		for i, line := range bytes.Split(in, []byte("\n")) {
			if i == 0 {
				line = bytes.TrimPrefix(line, []byte("\ufeff"))
			}
			if len(bytes.TrimSpace(line)) > 0 {
				want++
			}
		}
		if want > 0 && !isJSON(in) {
			want-- // the header
		}
		if len(got) != want {
			t.Errorf("%d answers for %d lines:\n%s", len(got), want, strings.Join(got, "\n"))
		}
	})
}

func isJSON(in []byte) bool {
	return bytes.HasPrefix(bytes.TrimSpace(bytes.TrimPrefix(in, []byte("\ufeff"))), []byte("{"))
}
