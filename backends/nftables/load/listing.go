//go:build linux

package load

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/backends/nftables"
)

// object is one chain, map, set or counter of the table, as nft prints it.
type object struct {
	kind, name string
	body       []string // lines without indentation
}

func (o *object) key() string { return o.kind + " " + o.name }

// list returns the objects of the table; none, without an error, where there is
// no table. Counter values and what comes and goes by itself are left out, all
// names are numbers. terse leaves out elements of sets and maps.
func (c *command) list(ctx context.Context, terse bool) ([]object, error) {
	args := append([]string{"-s", "-nn", "list", "table"}, strings.Fields(nftables.Table)...)
	if terse {
		args = append([]string{"-t"}, args...)
	}
	out, err := c.run(ctx, nil, args...)
	if notFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseListing(string(out))
}

// notFound reports whether nft says that an object is not there.
func notFound(err error) bool {
	var e *Error
	return errors.As(err, &e) && strings.Contains(e.Output, "No such file or directory")
}

// parseListing reads the output of nft list table: one table, its objects
// indented by one tab, their lines by more.
func parseListing(text string) ([]object, error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if want := "table " + nftables.Table + " {"; len(lines) < 2 || lines[0] != want || lines[len(lines)-1] != "}" {
		return nil, fmt.Errorf("nft list: %q and what follows is no listing of table %s", firstLine(text), nftables.Table)
	}
	objects := []object{}
	var open *object
	for _, line := range lines[1 : len(lines)-1] {
		inner, ok := strings.CutPrefix(line, "\t")
		head, opens := strings.CutSuffix(inner, " {")
		switch {
		case line == "":
		case !ok:
			return nil, fmt.Errorf("nft list: unexpected line %q", line)
		case open != nil && inner == "}":
			objects = append(objects, *open)
			open = nil
		case open != nil:
			open.body = append(open.body, strings.TrimLeft(inner, "\t "))
		case opens:
			kind, name, _ := strings.Cut(head, " ")
			open = &object{kind: kind, name: name}
		default:
			objects = append(objects, object{kind: "table", name: inner})
		}
	}
	if open != nil {
		return nil, fmt.Errorf("nft list: %s has no end", open.key())
	}
	return objects, nil
}

// digest returns what identifies the object's definition: elements in any order,
// without those that packets or time add and remove.
func (o *object) digest() string {
	h := sha256.New()
	body := strings.Join(o.body, "\n")
	head, elements := cutElements(body)
	if slices.ContainsFunc(o.body, isDynamic) || o.kind == "set" && nameSet.MatchString(o.name) {
		elements = nil // what names mean is compared by itself
	}
	elements = slices.DeleteFunc(elements, func(e string) bool {
		return strings.Contains(e, " timeout ") || strings.Contains(e, " expires ")
	})
	slices.Sort(elements)
	fmt.Fprintf(h, "%s\n%s\n%q", o.key(), head, elements)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func isDynamic(line string) bool {
	return strings.HasPrefix(line, "flags ") && strings.Contains(line, "dynamic")
}

// cutElements splits a set's or map's text into what is before its elements and
// the elements. Commas and braces within quotes are text.
func cutElements(body string) (head string, elements []string) {
	head, rest, ok := strings.Cut(body, "elements = {")
	if !ok {
		return body, nil
	}
	head = strings.TrimRight(head, "\n")
	quoted, start := false, 0
	add := func(end int) {
		if e := strings.Join(strings.Fields(rest[start:end]), " "); e != "" {
			elements = append(elements, e)
		}
	}
	for i := range len(rest) {
		switch rest[i] {
		case '"':
			quoted = !quoted
		case ',', '}':
			if !quoted {
				add(i)
				start = i + 1
			}
		}
	}
	return head, elements
}
