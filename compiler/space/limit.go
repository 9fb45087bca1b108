package space

import "fmt"

// Bounds of a table. Explicit decisions can grow as ports of a wide prefix times
// hosts within it; beyond these the answer would not fit in memory.
const (
	// maxCells bounds the cells of all decisions of a table (40 bytes each).
	maxCells = 4_000_000
	// maxConditionals bounds the conditions of a table (24 bytes each).
	maxConditionals = 4_000_000
)

// bounds are those of one table; tests lower them.
type bounds struct{ cells, conditionals int }

var realBounds = bounds{maxCells, maxConditionals}

// LimitError says that a rule list has too many distinct decisions to be written
// down. The list itself is valid.
type LimitError struct {
	What string // what there is too much of, plural
	Max  int
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("rule list needs more than %d %s: put rules with many ports behind those of single hosts, or use fewer distinct ports", e.Max, e.What)
}
