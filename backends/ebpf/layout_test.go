package ebpf

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// TestLayoutIsThatOfTheProgram compares layout.go with what the eBPF program is
// compiled from: every constant of graph.h, and the words of its structs.
func TestLayoutIsThatOfTheProgram(t *testing.T) {
	text, err := os.ReadFile("bpf/graph.h")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]uint64{
		"SLOT_SIZE": SlotSize, "LINE_SIZE": LineSize, "MAX_SLOTS": MaxSlots, "MAX_STEPS": MaxSteps,
		"MAGIC": Magic, "FLAG_POD_SCOPE": FlagPodScope,
		"REF_TERMINAL": refTerminal, "VERDICT_ALLOW": VerdictAllow, "VERDICT_DENY": VerdictDeny,
		"VERDICT_REJECT": VerdictReject, "VERDICT_OTHER": VerdictOther, "VERDICT_SHIFT": verdictShift,
		"INDEX_MASK": indexMask, "NO_RECORD": uint64(NoRecord), "NO_MATCH": uint64(NoMatch),
		"KIND_SHIFT": kindShift, "KIND_MASK": kindMask, "WORD_SHIFT": wordShift, "WORD_MASK": wordMask, "SLOT_MASK": slotMask,
		"KIND_SMALL": KindSmall, "KIND_MEDIUM": KindMedium, "KIND_LARGE": KindLarge, "KIND_TREE1": KindTree1,
		"KIND_TREE5": KindTree5, "KIND_CHAIN": KindChain, "KIND_SEQUENCE": KindSequence,
		"SMALL_KEYS": smallKeys, "MEDIUM_KEYS": mediumKeys, "LINE_KEYS": lineKeys, "ROOT_KEYS": rootKeys, "FANOUT": fanout,
		"WORD_LOCAL": WordLocal, "WORD_PEER": WordPeer, "WORD_L4": WordL4, "WORDS": words,
		"MAX_DEPTH": maxDepth,
		"L4_TCP":    uint64(model.L4TCP), "L4_UDP": uint64(model.L4UDP), "L4_SCTP": uint64(model.L4SCTP),
		"L4_ICMP": uint64(model.L4ICMP), "L4_OTHER": uint64(model.L4Other),
	}
	got := map[string]uint64{}
	for _, m := range regexp.MustCompile(`(?m)^#define (TP_\w+) (.+)$`).FindAllStringSubmatch(string(text), -1) {
		x, err := evaluate(m[2], got)
		if err != nil {
			t.Fatalf("%s: %v", m[0], err)
		}
		name := strings.TrimPrefix(m[1], "TP_")
		got[name] = x
		if y, ok := want[name]; !ok || x != y {
			t.Errorf("%s is %#x in graph.h, %#x (%v) in layout.go", m[1], x, y, ok)
		}
	}
	for name := range want {
		if _, ok := got[name]; !ok {
			t.Errorf("graph.h has no TP_%s", name)
		}
	}
	wantFields(t, string(text), "tp_header", headerWords, map[string]int{
		"magic": HeaderMagic, "size": HeaderSize, "flags": HeaderFlags, "generation": HeaderGeneration,
		"local4": HeaderLocal4, "local6": HeaderLocal6, "records": HeaderRecords, "records_len": HeaderRecordsLen,
		"deciders": HeaderDeciders, "chains": HeaderChains, "zero": HeaderChains + 1,
	})
	wantFields(t, string(text), "tp_record", recordWords, map[string]int{
		"ifindex": RecordInterface, "pod": RecordPod, "egress": RecordEgress, "ingress": RecordIngress, "zero": RecordIngress + 1,
	})
}

// evaluate reads the few forms of constants that graph.h has.
func evaluate(s string, known map[string]uint64) (uint64, error) {
	s = strings.TrimSpace(s)
	if e, ok := strings.CutPrefix(s, "("); ok && strings.HasSuffix(e, ")") && closes(e) {
		return evaluate(e[:len(e)-1], known)
	}
	if i := max(strings.LastIndex(s, " - "), strings.LastIndex(s, " + ")); i >= 0 {
		a, err := evaluate(s[:i], known)
		if err != nil {
			return 0, err
		}
		b, err := evaluate(s[i+3:], known)
		if s[i+1] == '-' {
			b = -b
		}
		return a + b, err
	}
	if a, b, ok := strings.Cut(s, " << "); ok {
		x, err := evaluate(a, known)
		if err != nil {
			return 0, err
		}
		y, err := evaluate(b, known)
		return x << y, err
	}
	if name, ok := strings.CutPrefix(s, "TP_"); ok {
		x, ok := known[name]
		if !ok {
			return 0, fmt.Errorf("%s is not defined above", s)
		}
		return x, nil
	}
	return strconv.ParseUint(strings.TrimSuffix(s, "u"), 0, 32)
}

// closes reports whether the last character of s closes what was opened before s.
func closes(s string) bool {
	depth := 1
	for i, r := range s {
		switch r {
		case '(':
			depth++
		case ')':
			depth--
		}
		if depth == 0 {
			return i == len(s)-1
		}
	}
	return false
}

// wantFields compares the fields of a struct of 32-bit words with their offsets.
func wantFields(t *testing.T, text, name string, size int, want map[string]int) {
	t.Helper()
	m := regexp.MustCompile(`(?s)struct ` + name + ` \{(.*?)\n\};`).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("graph.h has no struct %s", name)
	}
	at, fields := 0, 0
	for _, f := range regexp.MustCompile(`__u32 (\w+)(?:\[(\d+)\])?;`).FindAllStringSubmatch(m[1], -1) {
		if x, ok := want[f[1]]; !ok || x != at {
			t.Errorf("%s.%s is word %d in graph.h, %d (%v) in layout.go", name, f[1], at, x, ok)
		}
		fields++
		at++
		if n, err := strconv.Atoi(f[2]); err == nil {
			at += n - 1
		}
	}
	if at != size || fields != len(want) || strings.Count(m[1], ";") != fields {
		t.Errorf("struct %s has %d words in %d fields, want %d in %d", name, at, fields, size, len(want))
	}
}

// The numbers that layout.go states in words.
func TestSizes(t *testing.T) {
	if headerWords*4 != 2*SlotSize || recordWords*4 != SlotSize || 2*SlotSize != LineSize {
		t.Error("a header is two slots, a record one, a line two")
	}
	if unsafe.Sizeof(Ref(0)) != 4 {
		t.Error("a reference is 32 bits")
	}
	if smallKeys+smallKeys+1 > SlotSize/4 || mediumKeys+mediumKeys+1 > LineSize/4 || rootKeys+maxDepth != LineSize/4 {
		t.Error("keys and references do not fit in their node")
	}
	if MaxSlots-1 != slotMask || words > wordMask || KindSequence > kindMask || kindShift+4 != 31 || wordShift+4 != kindShift {
		t.Error("the fields of a reference overlap or do not hold their values")
	}
	if uint32(MaxDeciders) > uint32(NoMatch)&indexMask || uint64(model.L4Last) > lastKey {
		t.Error("deciders or points of the axis do not fit")
	}
	if terminal(VerdictOther, indexMask) != NoRecord || terminal(VerdictOther, indexMask-1) != NoMatch {
		t.Error("NoRecord and NoMatch are the last two indices")
	}
	if n := len(shape(maxIntervals)); n != maxDepth {
		t.Errorf("the deepest tree has %d levels", n)
	}
	if n := len(shape(maxIntervals + 1)); n != maxDepth+1 {
		t.Errorf("one interval more has %d levels", n)
	}
}
