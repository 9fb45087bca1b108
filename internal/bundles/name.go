package bundles

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

const (
	extension = ".tar"
	// longestStem keeps names below the 255 bytes of most file systems: Kubernetes
	// lets a node have a name of 253.
	longestStem = 200
)

// FileName returns the name of the bundle of a node: the node's name and ".tar",
// if that is lower case letters, digits, dashes, dots and underscores, begins with a
// letter or digit and is no name that Windows keeps for itself. Any other byte is written as % and two
// hex digits. A name longer than 200 bytes ends with ~ and a digest in place of
// what is too much. No two nodes have one file name, also where case is ignored.
func FileName(node string) string {
	var b strings.Builder
	reserved := isReserved(node)
	for i := range len(node) {
		c := node[i]
		plain := 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || i > 0 && (c == '-' || c == '.' || c == '_')
		if !plain || reserved && i == 0 {
			fmt.Fprintf(&b, "%%%02x", c)
			continue
		}
		b.WriteByte(c)
	}
	stem := b.String()
	if len(stem) > longestStem {
		sum := sha256.Sum256([]byte(node))
		digest := "~" + hex.EncodeToString(sum[:16])
		stem = stem[:longestStem-len(digest)] + digest
	}
	return stem + extension
}

// isReserved reports whether Windows takes a file of that name, whatever its
// extension, for a device.
func isReserved(name string) bool {
	stem, _, _ := strings.Cut(name, ".")
	switch stem {
	case "con", "prn", "aux", "nul":
		return true
	}
	return len(stem) == 4 && (stem[:3] == "com" || stem[:3] == "lpt") && '0' <= stem[3] && stem[3] <= '9'
}
