package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// schema is the version of state.json.
const schema = 1

// State is what is remembered of one network namespace. The zero value is that
// nothing was ever applied.
type State struct {
	Schema int `json:"schema"`
	// MaxSequence is the highest sequence of any bundle that was in force. It
	// never falls, also when an older bundle is put back.
	MaxSequence uint64 `json:"maxSequence"`
	// Trusted are the public keys of which one must have signed a bundle, as base64
	// of their SubjectPublicKeyInfo; none where no signature is asked for.
	Trusted  []string `json:"trusted,omitempty"`
	Current  *Record  `json:"current,omitempty"`
	Previous *Record  `json:"previous,omitempty"`
}

// Record is one bundle with what it was applied with.
type Record struct {
	// Apply numbers the changes of the namespace from 1; the kernel holds the
	// number too, so that after a crash it is known which record it has.
	Apply      uint64 `json:"apply"`
	Backend    string `json:"backend"`
	Scope      string `json:"scope"` // node or pod
	Name       string `json:"name"`  // of the node, or NAMESPACE/NAME
	Generation string `json:"generation"`
	Sequence   uint64 `json:"sequence"`
	// Bundle is the SHA-256 of the stored bundle, in hex.
	Bundle string `json:"bundle"`
	// Prefix begins the names of the generation's objects in the kernel.
	Prefix  string    `json:"prefix"`
	Applied time.Time `json:"applied"` // UTC
	Options Options   `json:"options"`
	// Interfaces have the source check of their pods attached, sorted by name.
	Interfaces []Interface `json:"interfaces,omitempty"`
}

// Options are the flags of the apply, for when it is done again.
type Options struct {
	Interfaces     []string     `json:"interfaces,omitempty"` // globs
	NodeAddrs      []netip.Addr `json:"nodeAddrs,omitempty"`
	MaxConnections uint32       `json:"maxConnections,omitempty"`
}

// Interface is an interface and the pod behind it.
type Interface struct {
	Name string `json:"name"`
	Pod  string `json:"pod"` // NAMESPACE/NAME
	// Index is the number that the kernel gave the interface.
	Index int `json:"index,omitempty"`
	// Bridge is that of which the interface is a port, and MACs the hardware
	// addresses of the pod, sorted; empty elsewhere.
	Bridge string   `json:"bridge,omitempty"`
	MACs   []string `json:"macs,omitempty"`
}

// decode reads state.json. It trusts nothing: a file name comes out of it.
func decode(data []byte) (*State, error) {
	var s State
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, err
	}
	if s.Schema != schema {
		return nil, fmt.Errorf("schema %d is not %d: another version of tploader wrote it", s.Schema, schema)
	}
	for _, r := range []*Record{s.Current, s.Previous} {
		if r != nil && !isDigest(r.Bundle) {
			return nil, fmt.Errorf("%q is no digest of a bundle", r.Bundle)
		}
	}
	if s.Previous != nil && s.Current == nil {
		return nil, errors.New("it has a previous bundle and no current one")
	}
	return &s, nil
}

func (s *State) encode() ([]byte, error) {
	s.Schema = schema
	b, err := json.MarshalIndent(s, "", "  ")
	return append(b, '\n'), err
}

// isDigest reports whether s is a SHA-256 in lower case hex.
func isDigest(s string) bool {
	if len(s) != 64 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
