package compiler

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// FuzzLoad: nothing panics, and an object is either there or has an error among
// the findings.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/ok/*", "testdata/err/*[nl]", "../testdata/corpus/*", "../testdata/cluster/*"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	buffer := bufio.NewReaderSize(nil, sniffSize)
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := newLoader(LoadOptions{PoseidonVersion: "0.7.0"})
		if err != nil {
			t.Fatal(err)
		}
		l.buffer = buffer
		src := &source{document: &document{file: "in"}}
		if err := l.stream(context.Background(), src, bytes.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		for _, o := range l.objects {
			invalid := false
			for i := range o.findings {
				fd := &o.findings[i]
				invalid = invalid || fd.Severity == model.Error
				if fd.Line < 1 || fd.Column < 1 || fd.Message == "" {
					t.Errorf("finding without place or message: %+v", *fd)
				}
			}
			if invalid == (o.value != nil) {
				t.Errorf("%v: value %v, findings %+v", o.objectKey, o.value, o.findings)
			}
			if p, ok := o.value.(*model.Policy); ok {
				checkPolicy(t, p)
			}
		}
		l.merge()
	})
}

// checkPolicy checks what the types of package model promise of a policy.
func checkPolicy(t *testing.T, p *model.Policy) {
	if p.Name == "" || p.Priority < model.MinPriority || p.Priority > model.MaxPriority || (p.Namespace == "") != (p.Kind == model.GlobalTrafficPolicy) {
		t.Errorf("policy %+v", p)
	}
	for _, dir := range model.Directions {
		for _, r := range p.Rules(dir) {
			for _, peer := range r.Peers {
				switch peer.Kind {
				case model.PeerCIDR:
					if !peer.CIDR.IsValid() || peer.CIDR != peer.CIDR.Masked() || peer.CIDR.Addr().Is4In6() {
						t.Errorf("cidr %v", peer.CIDR)
					}
				case model.PeerService:
					if peer.Service.Namespace == "" || peer.Service.Name == "" {
						t.Errorf("service %+v", peer.Service)
					}
				case model.PeerWorkload:
					if peer.Workload.Namespace == "" {
						t.Errorf("workload %+v", peer.Workload)
					}
				case model.PeerNamespace:
					if peer.Namespace == "" || dir == model.Egress {
						t.Errorf("namespace %+v in %s", peer, dir)
					}
				case model.PeerFQDN:
					if n, ok := NormalizeFQDN(peer.FQDN); !ok || n != peer.FQDN || dir == model.Ingress {
						t.Errorf("fqdn %q in %s", peer.FQDN, dir)
					}
				}
			}
			for _, port := range r.Ports {
				if port.First > port.Last {
					t.Errorf("port %+v", port)
				}
			}
		}
	}
}

// FuzzJSON: the scanner reads what encoding/json reads, but for what it refuses
// on purpose: depth, invalid UTF-8, half surrogate pairs.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"a": [1, -0.5e+3, true, false, null, "\u00e4\ud83d\ude00\n", {}, []]}`, `{`, `{"a":01}`, `{"a":.1}`, `{"a":1.}`, `{"a":1e}`, `{"a":-}`, `{"a":tru}`, `{"a":"\x"}`, `{"a":"\ud800"}`, `{"a" 1}`, `{"a":1,}`, `[1,]`, `{"a":1}{"b":2}`, "{\"a\":\"\t\"}", `"a"`, `{"a":1} x`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s := newJSONScanner(bufio.NewReaderSize(bytes.NewReader(text), 16))
		var n *yaml.Node
		_, err := s.space()
		if err == nil {
			n, err = s.value()
		}
		if err == nil {
			if _, end := s.space(); end != io.EOF {
				err = s.errorf("more than one value")
			}
		}
		if (err == nil) && !json.Valid(text) {
			t.Fatalf("read, but encoding/json refuses it: %q", text)
		}
		if err != nil && json.Valid(text) {
			var e *syntaxError
			switch m := err.Error(); {
			case !errors.As(err, &e):
				t.Fatalf("%T: %v", err, err)
			case m == "a string is not UTF-8", m == "half of a surrogate pair, want both", strings.HasPrefix(m, "lists and mappings nest"), strings.HasPrefix(m, "a number is longer"):
			default:
				t.Fatalf("refused, but encoding/json reads it: %v: %q", err, text)
			}
			return
		}
		if err != nil {
			return
		}
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.UseNumber()
		var want any
		if err := dec.Decode(&want); err != nil {
			t.Fatal(err)
		}
		if !sameValue(n, want) {
			t.Fatalf("read otherwise than encoding/json: %q", text)
		}
	})
}

// sameValue compares a node with what encoding/json read. Of keys that stand
// twice the last counts there.
func sameValue(n *yaml.Node, want any) bool {
	switch w := want.(type) {
	case nil:
		return n.Tag == "!!null"
	case bool:
		return n.Tag == "!!bool" && (n.Value == "true") == w
	case json.Number:
		return (n.Tag == "!!int" || n.Tag == "!!float") && n.Value == w.String()
	case string:
		return n.Tag == "!!str" && n.Value == w
	case []any:
		if n.Kind != yaml.SequenceNode || len(n.Content) != len(w) {
			return false
		}
		for i, c := range n.Content {
			if !sameValue(c, w[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		last := map[string]*yaml.Node{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			last[n.Content[i].Value] = n.Content[i+1]
		}
		for k, v := range w {
			if last[k] == nil || !sameValue(last[k], v) {
				return false
			}
		}
		return n.Kind == yaml.MappingNode && len(last) == len(w)
	}
	return false
}
