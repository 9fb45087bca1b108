//go:build linux

package load

import (
	"fmt"
	"regexp"
	"strconv"

	"github.com/trafficpolicy/trafficpolicy/backends/nftables"
)

// markChain holds one rule whose comment says what is in force. It is part of
// the switching transaction, so it is true at every moment; no packet gets there.
const markChain = "tp_mark"

// mark is what the kernel says is in force.
type mark struct {
	generation string // hex
	apply      uint64 // state.Record.Apply
	prefix     string // of the generation's objects
}

// script returns the commands that set the mark.
func (m mark) script() string {
	return fmt.Sprintf("add chain %[1]s %[2]s\nflush chain %[1]s %[2]s\n"+
		"add rule %[1]s %[2]s return comment \"generation %[3]s apply %[4]d prefix %[5]s\"\n",
		nftables.Table, markChain, m.generation, m.apply, m.prefix)
}

var markText = regexp.MustCompile(`^return comment "generation ([0-9a-f]{64}) apply (\d+) prefix (tp_[0-9a-f]{12}_)"$`)

// findMark returns the mark among the objects of a listing; false without one,
// or where somebody has changed it.
func findMark(objects []object) (m mark, ok bool) {
	for _, o := range objects {
		if o.key() != "chain "+markChain || len(o.body) != 1 {
			continue
		}
		if f := markText.FindStringSubmatch(o.body[0]); f != nil {
			n, err := strconv.ParseUint(f[2], 10, 64)
			return mark{generation: f[1], apply: n, prefix: f[3]}, err == nil
		}
	}
	return m, false
}
