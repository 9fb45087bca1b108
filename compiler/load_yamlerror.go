package compiler

import (
	"bytes"
	"io"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxLocate is the size in bytes up to which a document that does not parse is
// parsed again, some ten times, to find the line.
const maxLocate = 1 << 20

var (
	yamlErrorLine     = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)
	yamlUnknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

// yamlError takes apart an error of the parser about text, and finds its place.
func yamlError(text []byte, err error) (line, column int, message string) {
	m := yamlErrorLine.FindStringSubmatch(strings.ReplaceAll(err.Error(), "\n", " "))
	if m == nil {
		return 1, 1, err.Error()
	}
	message = m[2]
	if a := yamlUnknownAnchor.FindStringSubmatch(message); a != nil {
		if at := bytes.Index(text, []byte("*"+a[1])); at >= 0 {
			line, column = lineColumn(text, at)
			return line, column, message
		}
	}
	line = 1
	if m[1] != "" {
		line, _ = strconv.Atoi(m[1])
	}
	if len(text) <= maxLocate {
		line = failingLine(text, err.Error())
	}
	return line, indentOf(text, line) + 1, message
}

// failingLine returns the line at which the parser met what it did not like. Its
// own errors name the line at which the surrounding collection began, and are
// often one off. That line is the last of the shortest beginning of text that
// fails in the same way.
func failingLine(text []byte, message string) int {
	ends := []int{}
	for i, c := range text {
		if c == '\n' {
			ends = append(ends, i+1)
		}
	}
	if len(text) > 0 && text[len(text)-1] != '\n' {
		ends = append(ends, len(text))
	}
	return 1 + sort.Search(len(ends)-1, func(i int) bool {
		dec := yaml.NewDecoder(bytes.NewReader(text[:ends[i]]))
		for {
			var n yaml.Node
			if err := decodeYAML(dec, &n); err != nil {
				return err != io.EOF && err.Error() == message
			}
		}
	})
}

// indentOf returns how many spaces a line of text begins with.
func indentOf(text []byte, line int) int {
	for ; line > 1; line-- {
		i := bytes.IndexByte(text, '\n')
		if i < 0 {
			return 0
		}
		text = text[i+1:]
	}
	return len(text) - len(bytes.TrimLeft(text, " "))
}
