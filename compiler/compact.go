package compiler

import (
	"context"
	"fmt"
	"hash/crc32"
)

// A compact inventory holds what the loader takes out of objects, with the places
// where it stood, in place of their text: docs/inventory.md describes the format.
// Whatever reads it gets the same Input as from the text.
const (
	// compactMagic is no UTF-8, and changed by whatever takes it for text (as that of
	// PNG, RFC 2083, section 12.11).
	compactMagic   = "\x89tpi\r\n\x1a\n"
	compactVersion = 1 // TestCompactFormat says when it has to change
	// compactExtension is what such files are found by in directories.
	compactExtension = ".tpi"
	// compactBlock is the size in bytes from which a block is closed; it may end that
	// much and one record later.
	compactBlock = 64 << 10
	// maxCompactBlock is the most bytes of one block: of a record, little more than
	// one object of the largest size there is (maxDocument) needs.
	maxCompactBlock = 64 << 20
)

// Records of a compact inventory.
const (
	compactFile        = 1 + iota // what follows stood there
	compactFinding                // that belongs to no object
	compactSuppression            // a comment
	compactSkipped                // a kind, and how many were skipped
	compactObject                 // of the inventory
	compactPolicy                 // as a tree
)

// Flags of a compactObject.
const (
	compactDefaultNamespace = 1 << iota // it names none
	compactFindings                     // it has some
	compactBroken                       // it has no value
	compactDeleting                     // of a Pod
	compactHeadless                     // of a Service
	compactFlags            = 1<<iota - 1
)

// Flags of what pods and templates share.
const (
	compactEnrolled = 1 << iota
	compactVirtualNode
	compactHostNetwork
	compactShapeFlags = 1<<iota - 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// compactError says why a compact inventory cannot be read, and what to do.
func compactError(format string, args ...any) error {
	return fmt.Errorf("compact inventory %s (make it again with trafficpolicy inventory)", fmt.Sprintf(format, args...))
}

// IsCompactInventory reports whether head, the beginning of a file, is that of a
// compact inventory, whole or not.
func IsCompactInventory(head []byte) bool {
	return len(head) >= 4 && string(head[:4]) == compactMagic[:4]
}

// Snapshot is Load together with a compact inventory that has all of it: objects
// that cannot be read with what is wrong with them, and policies as they stand.
// Reading it gives the same Input. It fails as Load does, and where a text ends in
// the middle: what follows would be missing without a trace.
func Snapshot(ctx context.Context, o LoadOptions) (*Input, []byte, error) {
	l, err := newLoader(o)
	if err != nil {
		return nil, nil, err
	}
	l.snapshot = true
	if err := l.readAll(ctx, o); err != nil {
		return nil, nil, err
	}
	if f := l.cutOff; f != nil {
		return nil, nil, fmt.Errorf("%s: %s: the rest of it is not known, so no inventory is made of it", f.Pos(), f.Message)
	}
	if l.deep {
		return nil, nil, fmt.Errorf("aliases of a policy nest deeper than %d", maxTreeDepth)
	}
	w := newCompactWriter()
	w.all(l)
	compact, err := w.end()
	if err != nil {
		return nil, nil, err
	}
	return l.finish(), compact, nil
}
