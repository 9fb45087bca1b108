package nftables

import "fmt"

// Limits of a payload.
const (
	// maxRules bounds the rules and default denies that decide: each has a chain and a
	// counter. It is that of the other backend, so that what is compiled for one can be
	// for the other.
	maxRules = 1 << 20
	// maxNameAddrs bounds the addresses of one family of a domain name: a set that can
	// be added to has a size, and 65,535 is what the kernel gives one that names none.
	maxNameAddrs = 65535
)

// limits are those of one payload; tests lower them.
type limits struct{ rules, nameAddrs int }

var realLimits = limits{maxRules, maxNameAddrs}

// LimitError says that a program does not fit in a payload. The program itself is
// valid.
type LimitError struct {
	What      string // what there is too much of, plural
	Have, Max int
	Hint      string // what to do
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("the payload needs %d %s, more than %d: %s", e.Have, e.What, e.Max, e.Hint)
}

// oneMore fails where a rule or default deny is one more than there may be.
func (e *emitter) oneMore() {
	if e.deciders++; e.deciders > e.limits.rules {
		e.fail(&LimitError{
			What: "rules and default denies that decide", Have: e.deciders, Max: e.limits.rules,
			Hint: "join rules of one action into one with several peers, or compile for fewer pods (--pod)",
		})
	}
}
