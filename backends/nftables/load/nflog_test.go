//go:build linux

package load

import "testing"

func FuzzLogged(f *testing.F) {
	f.Add([]byte{8, 0, 1, 0, 0, 8, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) { parseLogged(b) })
}
