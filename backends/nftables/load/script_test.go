//go:build linux

package load

import "testing"

func TestPlainName(t *testing.T) {
	for name, want := range map[string]bool{
		"eth0": true, "cali12ab.5": true, "a@b=c,d;e": true, "!#$%&'()+-.~[]^_`{|}": true,
		`a"b`: false, `a\b`: false, "veth*": false, "a b": false, "a/b": false, "a\nb": false, "é": false, "": false,
	} {
		if got := plainName.MatchString(name); got != want {
			t.Errorf("%q: %t", name, got)
		}
	}
}
