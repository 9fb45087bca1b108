package ebpf

import (
	"errors"
	"fmt"
	"slices"
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
	ids := make([]uint64, 0, len(t.Deciders))
	for i, text := range t.Deciders {
		id, ok := parseID(text)
		if !ok && text != notSelected {
			return fmt.Errorf("decider %d, %q, is no id", i, text)
		}
		if ok {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	for i := 1; i < len(ids); i++ {
		if ids[i] == ids[i-1] {
			return fmt.Errorf("decider %016x stands twice", ids[i])
		}
	}
	if len(ids) < len(t.Deciders)-1 {
		return errors.New("a decider without an id stands twice")
	}
	return nil
}

// parseID reads an id of the manifest: 16 hex digits in lower case.
func parseID(s string) (id uint64, ok bool) {
	if len(s) != 16 {
		return 0, false
	}
	for _, r := range []byte(s) {
		switch {
		case '0' <= r && r <= '9':
			r -= '0'
		case 'a' <= r && r <= 'f':
			r -= 'a' - 10
		default:
			return 0, false
		}
		id = id<<4 | uint64(r)
	}
	return id, true
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
