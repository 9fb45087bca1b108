package ebpf

import "fmt"

// LimitError says that a program does not fit in a graph. The program itself is
// valid.
type LimitError struct {
	What string // what there is too much of, plural
	Max  int
	Hint string // what to do
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("the graph needs more than %d %s: %s", e.Max, e.What, e.Hint)
}
