package ebpf

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// scopePod is Tables.Scope in one pod's own network namespace.
const scopePod = "pod"

// check reports what no compiler writes, as far as it does not need the graph, and
// returns the records.
func (t *Tables) check() ([]record, error) {
	switch {
	case t.Schema != tablesSchema:
		return nil, fmt.Errorf("schema %d is not %d", t.Schema, tablesSchema)
	case t.Scope != "node" && t.Scope != scopePod:
		return nil, fmt.Errorf("scope %q is not one of node, pod", t.Scope)
	case t.Scope == scopePod && len(t.Pods) > 1:
		return nil, fmt.Errorf("it has %d pods for one pod's namespace", len(t.Pods))
	case len(t.Deciders) > MaxDeciders:
		return nil, fmt.Errorf("it has %d deciders, more than %d", len(t.Deciders), MaxDeciders)
	}
	for i, a := range t.NodeAddrs {
		if !plain(a) || i > 0 && t.NodeAddrs[i-1].Compare(a) >= 0 {
			return nil, fmt.Errorf("node address %q is out of order or no plain address", a)
		}
	}
	for i, p := range t.Pods {
		if len(p.Addrs) == 0 || p.Class < 0 || i > 0 && t.Pods[i-1].Ref >= p.Ref {
			return nil, fmt.Errorf("pod %q is out of order, or has no address or class", p.Ref)
		}
	}
	if err := t.checkDeciders(); err != nil {
		return nil, err
	}
	if err := t.checkChains(); err != nil {
		return nil, err
	}
	return t.recordList()
}

func (t *Tables) checkDeciders() error {
	seen := make(map[string]bool, len(t.Deciders))
	for i, id := range t.Deciders {
		if seen[id] {
			return fmt.Errorf("decider %q stands twice", id)
		}
		seen[id] = true
		b, err := hex.DecodeString(id)
		if id != notSelected && (err != nil || len(b) != 8 || id != strings.ToLower(id)) {
			return fmt.Errorf("decider %d, %q, is no id", i, id)
		}
	}
	return nil
}

func (t *Tables) checkChains() error {
	links := 0
	for i, chain := range t.Chains {
		if links += len(chain); links > maxLinks {
			return fmt.Errorf("its chains have more than %d entries", maxLinks)
		}
		if len(chain) == 0 {
			return fmt.Errorf("chain %d is empty", i)
		}
		seen := make(map[string]bool, len(chain))
		for _, l := range chain {
			if l.Name == "" || seen[l.Name] {
				return errors.New("a chain has a name twice, or an empty one")
			}
			seen[l.Name] = true
		}
	}
	return nil
}
