package simulate

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"strconv"
)

// appendJSON appends r as package encoding/json writes it without HTML escapes,
// byte for byte. It is written by hand because answers to a stream are mostly
// output: reflection takes longer than the walks.
func (r *Result) appendJSON(b []byte) []byte {
	b = append(b, `{"src":`...)
	b = r.Src.appendJSON(b)
	b = append(b, `,"dst":`...)
	b = r.Dst.appendJSON(b)
	b = appendMember(b, `,"proto":`, r.Proto)
	if r.Port != nil {
		b = append(b, `,"port":`...)
		b = strconv.AppendUint(b, uint64(*r.Port), 10)
	}
	b = appendMember(b, `,"verdict":`, string(r.Verdict))
	b = appendReject(b, r.Reject)
	if r.Egress != nil {
		b = append(b, `,"egress":`...)
		b = r.Egress.appendJSON(b)
	}
	if r.Ingress != nil {
		b = append(b, `,"ingress":`...)
		b = r.Ingress.appendJSON(b)
	}
	for i := range r.Cases {
		b = append(b, listMark(i, `,"cases":[`)...)
		b = r.Cases[i].appendJSON(b)
	}
	if len(r.Cases) > 0 {
		b = append(b, ']')
	}
	b = appendOptional(b, `,"condition":`, r.Condition)
	return append(b, '}')
}

func (e *End) appendJSON(b []byte) []byte {
	b = appendMember(b, `{"input":`, e.Input)
	b = appendOptional(b, `,"pod":`, e.Pod)
	b = appendOptional(b, `,"ip":`, e.IP)
	b = appendOptional(b, `,"endpoint":`, e.Endpoint)
	return append(b, '}')
}

func (s *Side) appendJSON(b []byte) []byte {
	if s.at.outcome != nil && s.at.outcome.rule != nil {
		b = append(b, s.at.outcome.rule.encoded...)
	} else {
		b = s.appendRule(b)
	}
	if s.Peer != nil {
		b = append(b, `,"peer":`...)
		b = strconv.AppendInt(b, int64(*s.Peer), 10)
	}
	switch {
	case len(s.Policies) == 0:
	case s.at.walk != nil: // whose policies they are
		b = append(b, s.at.walk.encoded...)
	default:
		b = appendPolicies(b, s.Policies)
	}
	return append(b, '}')
}

// appendRule appends the members up to the rule, which are the same wherever it decides.
func (s *Side) appendRule(b []byte) []byte {
	b = appendMember(b, `{"verdict":`, string(s.Verdict))
	b = appendReject(b, s.Reject)
	b = appendMember(b, `,"reason":`, string(s.Reason))
	return appendOptional(b, `,"rule":`, s.Rule)
}

// appendPolicies appends the member of a side that lists policies.
func appendPolicies(b []byte, policies []string) []byte {
	for i, p := range policies {
		b = appendMember(b, listMark(i, `,"policies":[`), p)
	}
	return append(b, ']')
}

// listMark is what stands before element i of a list that begins with start.
func listMark(i int, start string) string {
	if i > 0 {
		return ","
	}
	return start
}

func appendReject(b []byte, reject bool) []byte {
	if reject {
		b = append(b, `,"reject":true`...)
	}
	return b
}

// appendOptional appends a member that is left out where it is empty.
func appendOptional(b []byte, key, value string) []byte {
	if value == "" {
		return b
	}
	return appendMember(b, key, value)
}

// appendMember appends key, which is JSON with its colon, and value as a string.
func appendMember(b []byte, key, value string) []byte {
	b = append(b, key...)
	start := len(b)
	b = append(b, '"')
	b = append(b, value...)
	if !plain(b[start+1:]) {
		return appendEscaped(b[:start], value)
	}
	return append(b, '"')
}

// plain reports whether JSON writes text as it stands: ASCII without control
// characters, quotes and backslashes. It looks at eight bytes at a time, which are
// most of what an answer costs to write.
func plain(text []byte) bool {
	for ; len(text) >= 8; text = text[8:] {
		if special(binary.LittleEndian.Uint64(text)) {
			return false
		}
	}
	for _, c := range text {
		if special(ones * uint64(c)) {
			return false
		}
	}
	return true
}

const ones = 0x0101010101010101 // times a byte: that byte eight times

// special reports whether one of the eight bytes of x is not plain. A byte below n is
// one whose top bit is clear and comes to be set by taking n away (Hacker's Delight,
// 6-1); a borrow from a byte below only comes of one that is special itself.
func special(x uint64) bool {
	quote, slash := x^ones*'"', x^ones*'\\'
	below := (x-ones*' ')&^x | (quote-ones)&^quote | (slash-ones)&^slash
	return (below|x)&(ones<<7) != 0
}

// appendEscaped appends a string that may need escapes.
func appendEscaped(b []byte, value string) []byte {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.Encode(value) // a string into a buffer: cannot fail
	return append(b, bytes.TrimSuffix(out.Bytes(), []byte("\n"))...)
}
