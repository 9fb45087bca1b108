// Package inputs reads the values of flags that say how policies and an inventory are
// to be understood, for every command that takes them.
package inputs

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// Options returns what --isolation, --enrollment and --families say. Resolve is not
// set.
func Options(isolation, enrollment, families string) (o compiler.Options, err error) {
	i, err1 := Choose("isolation", isolation, "both", "direction")
	e, err2 := Choose("enrollment", enrollment, "annotated", "all")
	f, err3 := Choose("families", families, "auto", "ipv4", "dual")
	o.IsolateByDirection, o.AllEnrolled, o.Families = i == 1, e == 1, compiler.FamilyMode(f)
	return o, errors.Join(err1, err2, err3)
}

// Choose returns which of the choices of a flag its value is.
func Choose(flag, value string, choices ...string) (int, error) {
	if i := slices.Index(choices, value); i >= 0 {
		return i, nil
	}
	return 0, fmt.Errorf("--%s %q is not one of %s", flag, value, strings.Join(choices, ", "))
}

// Names joins --resolve (NAME=IP[,IP...], each) and --resolve-file, in the form of
// a hosts file; a name in both gets the union.
func Names(resolve []string, file string) (map[string][]netip.Addr, error) {
	names := map[string][]netip.Addr{}
	for _, r := range resolve {
		name, addrs, ok := strings.Cut(r, "=")
		if !ok || addrs == "" {
			return nil, fmt.Errorf("--resolve %q is not NAME=IP[,IP...]", r)
		}
		for _, a := range strings.Split(addrs, ",") {
			if err := addName(names, "--resolve "+r, name, a); err != nil {
				return nil, err
			}
		}
	}
	if file == "" {
		return names, nil
	}
	return names, readHosts(names, file)
}

func addName(names map[string][]netip.Addr, where, name, addr string) error {
	a, err := netip.ParseAddr(strings.TrimSpace(addr))
	if err != nil || a.Zone() != "" {
		return fmt.Errorf("%s: %q is not an IP address", where, addr)
	}
	n, ok := compiler.NormalizeFQDN(name)
	if !ok {
		return fmt.Errorf("%s: %q is not a domain name", where, name)
	}
	names[n] = append(names[n], a.Unmap())
	return nil
}

// readHosts adds the lines of a hosts file.
func readHosts(names map[string][]netip.Addr, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("--resolve-file: %w", err)
	}
	defer file.Close()
	sc := bufio.NewScanner(file)
	for line := 1; sc.Scan(); line++ {
		text, _, _ := strings.Cut(sc.Text(), "#")
		fields := strings.Fields(text)
		if len(fields) == 0 {
			continue
		}
		where := fmt.Sprintf("%s:%d", path, line)
		if len(fields) == 1 {
			return fmt.Errorf("%s: an address without a name", where)
		}
		for _, name := range fields[1:] {
			if err := addName(names, where, name, fields[0]); err != nil {
				return err
			}
		}
	}
	return sc.Err()
}

// Invalid is an error that lists the problems of the policies. Those of single
// inventory objects are the compiler's to judge: the object is broken.
func Invalid(in *compiler.Input) error {
	var b strings.Builder
	for i := range in.Findings {
		if fd := &in.Findings[i]; fd.Severity == model.Error && !in.OfInventory(fd) {
			fmt.Fprintf(&b, "\n%s: %s: %s [%s]", fd.Pos(), fd.Severity, fd.Message, fd.Code)
		}
	}
	if b.Len() > 0 {
		return fmt.Errorf("the input is invalid:%s", b.String())
	}
	return nil
}
