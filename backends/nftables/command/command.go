package command

import "net/netip"

// Command is one line: *Table, *Chain, *Set, *Counter, *Limit, *Elements, *Rule or *Flush.
type Command interface{ command() }

// Table adds the table.
type Table struct{}

// Chain adds a chain. Hook is empty for one that is no base chain.
type Chain struct {
	Name     string
	Hook     string // prerouting, input, forward or output
	Priority int
}

// Set adds a set, or a map to verdicts.
type Set struct {
	Name     string
	Types    []string // of the key: ipv4_addr, ipv6_addr, inet_service, ifname, nf_proto
	Map      bool
	Interval bool
	Dynamic  bool
	Timeout  bool
	Size     int // 0 where not given
}

// Counter adds a named counter.
type Counter struct{ Name string }

// Limit adds a named limit.
type Limit struct {
	Name        string
	Rate, Burst int // packets a second, packets
}

// Flush empties a chain, map or set.
type Flush struct{ Kind, Name string }

// Elements adds elements to a set or map.
type Elements struct {
	Name     string
	Elements []Element
}

// Element is one element. Key is as it was written, one for each part of a
// concatenated key.
type Element struct {
	Key     []string
	Verdict *Verdict // nil in a set
}

// Rule adds a rule at the end of a chain.
type Rule struct {
	Chain string
	Terms []Term
}

// Verdict is what becomes of a packet: Kind is accept, drop, return, goto, jump
// or reject. Target is the chain of goto and jump, "tcp reset" or
// "admin-prohibited" of reject.
type Verdict struct{ Kind, Target string }

// Term is one part of a rule: *Match, *Lookup, *Count, *Rate, *Log, *Update,
// *Verdict or *Comment. A packet for which a match or lookup fails leaves the rule.
type Term interface{ term() }

// Match compares one field with values: equal to one of them, unequal to all
// ("!="), or greater (">").
type Match struct {
	Field  string
	Op     string // "", "!=" or ">"
	Values []string
}

// Lookup asks whether the fields, concatenated, are in a set or, with Map, what
// verdict a map has for them.
type Lookup struct {
	Fields []string
	Name   string
	Map    bool
}

// Count counts into a named counter.
type Count struct{ Name string }

// Rate lets as many packets on as a named limit does.
type Rate struct{ Name string }

// Log copies the packet to an nflog group.
type Log struct {
	Prefix         string
	Group, Snaplen int
}

// Update puts the field into a dynamic set.
type Update struct{ Name, Field string }

// Comment is for people.
type Comment struct{ Text string }

func (*Table) command()    {}
func (*Chain) command()    {}
func (*Set) command()      {}
func (*Counter) command()  {}
func (*Limit) command()    {}
func (*Flush) command()    {}
func (*Elements) command() {}
func (*Rule) command()     {}

func (*Match) term()   {}
func (*Lookup) term()  {}
func (*Count) term()   {}
func (*Rate) term()    {}
func (*Log) term()     {}
func (*Update) term()  {}
func (*Verdict) term() {}
func (*Comment) term() {}

// Addrs returns the addresses of a key that is an address, a prefix or a range,
// both ends inclusive, and whether it is one.
func Addrs(key string) (first, last netip.Addr, ok bool) { return parseAddrs(key) }
