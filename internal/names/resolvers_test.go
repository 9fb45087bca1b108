package names

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestResolvers(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"192.0.2.1", "192.0.2.1:53"}, {"192.0.2.1:5353", "192.0.2.1:5353"}, {"fd00::1", "[fd00::1]:53"}, {"[fd00::1]", "[fd00::1]:53"},
		{"[fd00::1]:5353", "[fd00::1]:5353"}, {"fe80::1%eth0", "[fe80::1%eth0]:53"}, {"::ffff:192.0.2.1", "192.0.2.1:53"},
		{"[::ffff:192.0.2.1]:54", "192.0.2.1:54"},
		{"", ""}, {"dns.example", ""}, {"dns.example:53", ""}, {"192.0.2.1:0", ""}, {"192.0.2.1:65536", ""}, {"192.0.2.256", ""}, {":53", ""},
	} {
		got, err := ParseResolver(test.in)
		if s := got.String(); err == nil && s != test.want || err != nil && test.want != "" {
			t.Errorf("%q: %s, %v, want %q", test.in, got, err, test.want)
		}
	}
}

func TestHostResolvers(t *testing.T) {
	for text, want := range map[string]string{
		"# c\nnameserver 192.0.2.1\nsearch a.example\noptions ndots:5\nnameserver fd00::1\n": "[192.0.2.1:53 [fd00::1]:53]",
		"search a.example\n":     "",
		"nameserver local\n":     "",
		"":                       "",
		"nameserver\t127.0.0.53": "[127.0.0.53:53]",
	} {
		path := filepath.Join(t.TempDir(), "resolv.conf")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := HostResolvers(path)
		if s := fmt.Sprint(got); err == nil && s != want || err != nil && want != "" {
			t.Errorf("%q: %s, %v, want %q", text, got, err, want)
		}
	}
	if _, err := HostResolvers(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("no error for a file that is not there")
	}
}
