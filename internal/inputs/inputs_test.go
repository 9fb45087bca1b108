package inputs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/compiler"
)

func TestOptions(t *testing.T) {
	for _, tt := range []struct {
		isolation, enrollment, families string
		want                            compiler.Options
		wrong                           string
	}{
		{"both", "annotated", "auto", compiler.Options{}, ""},
		{"direction", "all", "dual", compiler.Options{IsolateByDirection: true, AllEnrolled: true, Families: 2}, ""},
		{"direction", "annotated", "ipv4", compiler.Options{IsolateByDirection: true, Families: 1}, ""},
		{"neither", "annotated", "auto", compiler.Options{}, `--isolation "neither" is not one of both, direction`},
		{"both", "", "auto", compiler.Options{}, `--enrollment "" is not one of annotated, all`},
		{"both", "all", "ipv6", compiler.Options{}, `--families "ipv6" is not one of auto, ipv4, dual`},
	} {
		got, err := Options(tt.isolation, tt.enrollment, tt.families)
		if tt.wrong != "" {
			if err == nil || err.Error() != tt.wrong {
				t.Errorf("%+v: %v", tt, err)
			}
			continue
		}
		if err != nil || fmt.Sprint(got) != fmt.Sprint(tt.want) {
			t.Errorf("%+v: %+v, %v", tt, got, err)
		}
	}
}

func TestNames(t *testing.T) {
	hosts := filepath.Join(t.TempDir(), "hosts")
	for _, tt := range []struct {
		resolve []string
		hosts   string
		want    string // or what the error has
	}{
		{nil, "", "map[]"},
		{[]string{"X.Example.=10.0.0.1,::ffff:10.0.0.2", "x.example=fd00::1"}, "", "map[x.example:[10.0.0.1 10.0.0.2 fd00::1]]"},
		{[]string{"x.example=10.0.0.1"}, "10.0.0.3 x.example y.example # both\n\n", "map[x.example:[10.0.0.1 10.0.0.3] y.example:[10.0.0.3]]"},
		{[]string{"x.example"}, "", `--resolve "x.example" is not NAME=IP`},
		{[]string{"x.example="}, "", `--resolve "x.example=" is not NAME=IP`},
		{[]string{"x.example=10.0.0"}, "", `"10.0.0" is not an IP address`},
		{[]string{"x.example=fe80::1%eth0"}, "", "is not an IP address"},
		{[]string{"x_=10.0.0.1"}, "", `"x_" is not a domain name`},
		{nil, "# one\n10.0.0.1\n", "hosts:2: an address without a name"},
		{nil, "ten x.example\n", `hosts:1: "ten" is not an IP address`},
	} {
		file := ""
		if tt.hosts != "" {
			file = hosts
			if err := os.WriteFile(hosts, []byte(tt.hosts), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, err := Names(tt.resolve, file)
		text := fmt.Sprint(got)
		if err != nil {
			text = err.Error()
		}
		if !strings.Contains(text, tt.want) {
			t.Errorf("%q %q: %s, want %s", tt.resolve, tt.hosts, text, tt.want)
		}
	}
	if _, err := Names(nil, filepath.Join(t.TempDir(), "nowhere")); err == nil {
		t.Error("a file that is not there was read")
	}
}
