package mutate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/backends/ebpf"
	"github.com/trafficpolicy/trafficpolicy/backends/nftables"
)

// Tables yields mutations of the tables beside a script or graph: every text and
// number, every entry of every list.
func Tables(b *bundle.Bundle) iter.Seq[*Mutation] {
	return func(yield func(*Mutation) bool) {
		for _, f := range b.Files {
			var v any
			switch f.Name {
			case nftables.PodsFile:
				v = new(nftables.Pods)
			case ebpf.TablesFile:
				v = new(ebpf.Tables)
			default:
				continue
			}
			if err := json.Unmarshal(f.Data, v); err != nil {
				panic(err) // written by this program
			}
			for what, changed := range values(v) {
				data := marshal(changed)
				if bytes.Equal(data, f.Data) {
					continue
				}
				if !yield(&Mutation{Class: f.Name + " " + class(what), What: what, Bundle: withFile(b, f.Name, data)}) {
					return
				}
			}
		}
	}
}

// Manifests yields mutations of the manifest, but for what it says of the files.
func Manifests(b *bundle.Bundle) iter.Seq[*Mutation] {
	return func(yield func(*Mutation) bool) {
		for what, changed := range values(&b.Manifest) {
			field, _, _ := strings.Cut(strings.TrimPrefix(what, "."), " ")
			top := strings.FieldsFunc(field, func(r rune) bool { return r == '.' || r == '[' })[0]
			if slices.Contains([]string{"Files", "Generation", "Schema"}, top) {
				continue // follow from the rest, or make it no manifest
			}
			m := &Mutation{Class: "manifest " + class(what), What: what, Bundle: &bundle.Bundle{Manifest: *changed.(*bundle.Manifest), Files: b.Files}}
			m.Same = top == "Tool" || top == "Sequence"
			if !yield(m) {
				return
			}
		}
	}
}

// class is what without the numbers of entries and what was done.
func class(what string) string {
	field, _, _ := strings.Cut(what, " ")
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, field)
}

func marshal(v any) []byte {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic(err) // a struct of texts and numbers
	}
	return append(data, '\n')
}

// values yields copies of what v points to, each with one change, and what it is.
func values(v any) iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		w := &changer{root: v, yield: yield}
		w.visit(reflect.ValueOf(v).Elem(), "")
	}
}

// changer changes one place of root at a time, yields a copy, and puts it back.
type changer struct {
	root  any
	yield func(string, any) bool
	done  bool
}

// try yields root with x in the place of v.
func (c *changer) try(v, x reflect.Value, what string) {
	if c.done {
		return
	}
	was := reflect.New(v.Type()).Elem()
	was.Set(v)
	v.Set(x)
	copied := reflect.New(reflect.TypeOf(c.root).Elem())
	if err := json.Unmarshal(marshal(c.root), copied.Interface()); err == nil {
		c.done = !c.yield(what, copied.Interface())
	}
	v.Set(was)
}

func (c *changer) visit(v reflect.Value, path string) {
	if c.done {
		return
	}
	if _, ok := v.Interface().(fmt.Stringer); ok && v.Kind() == reflect.Struct { // an address
		if a, ok := v.Interface().(interface{ IsValid() bool }); ok && a.IsValid() {
			c.try(v, v.MethodByName("Next").Call(nil)[0], path+" is the next address")
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				c.visit(v.Field(i), path+"."+v.Type().Field(i).Name)
			}
		}
	case reflect.Slice:
		c.list(v, path)
	case reflect.String:
		for _, s := range texts(v.String()) {
			c.try(v, reflect.ValueOf(s).Convert(v.Type()), fmt.Sprintf("%s is %q", path, s))
		}
	case reflect.Int, reflect.Int64:
		c.try(v, reflect.ValueOf(v.Int()+1).Convert(v.Type()), path+" is one more")
		c.try(v, reflect.ValueOf(v.Int()-1).Convert(v.Type()), path+" is one less")
	case reflect.Uint, reflect.Uint32, reflect.Uint64:
		c.try(v, reflect.ValueOf(v.Uint()+1).Convert(v.Type()), path+" is one more")
		c.try(v, reflect.ValueOf(v.Uint()^1<<30).Convert(v.Type()), path+" has another bit")
	}
}

// list leaves out, repeats and swaps entries, and changes them.
func (c *changer) list(v reflect.Value, path string) {
	for i := range v.Len() {
		at := fmt.Sprintf("%s[%d]", path, i)
		less := reflect.AppendSlice(reflect.AppendSlice(reflect.MakeSlice(v.Type(), 0, v.Len()), v.Slice(0, i)), v.Slice(i+1, v.Len()))
		c.try(v, less, at+" is left out")
		twice := reflect.AppendSlice(reflect.AppendSlice(reflect.MakeSlice(v.Type(), 0, v.Len()), v.Slice(0, i+1)), v.Slice(i, v.Len()))
		c.try(v, twice, at+" is there twice")
		if i+1 < v.Len() {
			swapped := reflect.AppendSlice(reflect.MakeSlice(v.Type(), 0, v.Len()), v)
			x := reflect.New(v.Type().Elem()).Elem()
			x.Set(swapped.Index(i))
			swapped.Index(i).Set(swapped.Index(i + 1))
			swapped.Index(i + 1).Set(x)
			c.try(v, swapped, at+" is swapped with the next")
		}
		c.visit(v.Index(i), at)
	}
}

// texts are what a text can become.
func texts(s string) []string {
	switch s {
	case "allow":
		return []string{"deny", "reject"}
	case "deny", "reject":
		return []string{"allow", map[string]string{"deny": "reject", "reject": "deny"}[s]}
	case "egress":
		return []string{"ingress"}
	case "ingress":
		return []string{"egress"}
	case "node":
		return []string{"pod"}
	case "pod":
		return []string{"node"}
	case "":
		return []string{"0"}
	}
	last := s[len(s)-1]
	other := byte('0')
	if last == '0' {
		other = '1'
	}
	return []string{s[:len(s)-1] + string(other), s[:len(s)-1]}
}
