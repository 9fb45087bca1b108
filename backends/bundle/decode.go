package bundle

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/internal/canon"
)

// decodeManifest takes the canonical text only, which rules out unknown and
// repeated fields, another order and anything that follows. What validate asks of the
// elements of a list is asked of each as it is read, so that a list of nothing ends
// at its first element.
func decodeManifest(text []byte) (*Manifest, error) {
	if err := checkSchema(text); err != nil { // also of an empty text, about which body asks nothing
		return nil, err
	}
	var m Manifest
	if err := canon.Read(text, m.read); err != nil {
		return nil, fail(BadManifest, "%s is not in the form in which the compiler writes it: %v", ManifestName, err)
	}
	if err := realLimits.check(int64(len(text)), m.Files); err != nil {
		return nil, &Error{TooLarge, ManifestName, err}
	}
	if err := m.validate(); err != nil {
		return nil, &Error{BadManifest, ManifestName, err}
	}
	return &m, nil
}

// schemaOf finds the schema of a manifest of any version.
var schemaOf = regexp.MustCompile(`^\s*\{\s*"schema"\s*:\s*([0-9]{1,9})\s*[,}]`)

// checkSchema returns an error unless a manifest is of the one schema that this
// program knows.
func checkSchema(text []byte) error {
	found := schemaOf.FindSubmatch(text[:min(beginBytes, len(text))])
	if found == nil {
		return fail(BadManifest, "%s does not begin with a schema", ManifestName)
	}
	if n, err := strconv.Atoi(string(found[1])); err != nil || n != Schema {
		return fail(BadSchema, "it has schema %s and this program reads schema %d: compiler and loader must be of one version", found[1], Schema)
	}
	return nil
}

// read reads the fields of the manifest.
func (m *Manifest) read(r *canon.Reader) {
	m.Schema = int(r.Int("schema"))
	m.Tool = r.String("tool")
	m.Backend = r.String("backend")
	m.Scope = Scope(r.String("scope"))
	m.Name = r.String("name")
	if r.Has("node") {
		if m.Node = r.String("node"); m.Node == "" {
			r.Fail("it is left out where it is empty")
		}
	}
	if r.Has("podAddrs") {
		if m.PodAddrs = readAddrs(r, "podAddrs"); len(m.PodAddrs) == 0 {
			r.Fail("it is left out where it is empty")
		}
	}
	m.Generation = r.String("generation")
	m.Sequence = r.Uint("sequence", 64)
	r.List("files", func() { m.Files = append(m.Files, readFileInfo(r, len(m.Files))) })
	m.Rules, m.Defaults, m.Names = []Rule{}, []Default{}, []KnownName{}
	r.List("rules", func() { m.Rules = append(m.Rules, readRule(r)) })
	r.List("defaults", func() { m.Defaults = append(m.Defaults, readDefault(r)) })
	r.List("names", func() { m.Names = append(m.Names, readName(r)) })
	r.Object("counts", func() { m.Counts.read(r) })
}

// readAddrs reads addresses, which ascend.
func readAddrs(r *canon.Reader, key string) []netip.Addr {
	addrs := []netip.Addr{}
	r.List(key, func() {
		a := r.Addr("")
		if n := len(addrs); n > 0 && addrs[n-1].Compare(a) >= 0 {
			r.Fail("address %s is out of order", a)
		}
		addrs = append(addrs, a)
	})
	return addrs
}

func readFileInfo(r *canon.Reader, before int) (f FileInfo) {
	if before == MaxFiles {
		r.Fail("it is one file more than %d", MaxFiles)
	}
	r.Object("", func() { f.Name, f.Size, f.SHA256 = r.String("name"), r.Int("size"), r.String("sha256") })
	return f
}

func readRule(r *canon.Reader) (out Rule) {
	r.Object("", func() { out.ID, out.Name, out.Action = r.String("id"), r.String("name"), r.String("action") })
	wantID(r, out.ID, out.Name)
	return out
}

func readDefault(r *canon.Reader) (d Default) {
	d.Policies = []string{}
	r.Object("", func() {
		d.ID, d.Class, d.Direction = r.String("id"), int(r.Int("class")), r.String("direction")
		r.List("policies", func() {
			p := r.String("")
			if !strings.Contains(p, "/") {
				r.Fail("%q is no policy", p)
			}
			d.Policies = append(d.Policies, p)
		})
	})
	wantID(r, d.ID, DefaultName(d.Direction, d.Policies))
	return d
}

func readName(r *canon.Reader) (n KnownName) {
	r.Object("", func() { n.ID, n.Name, n.Addrs = r.String("id"), r.String("name"), readAddrs(r, "addrs") })
	wantID(r, n.ID, n.Name)
	return n
}

func wantID(r *canon.Reader, id, name string) {
	if r.Err() == nil && id != ID(name) {
		r.Fail("%q has id %q, not %s", name, id, ID(name))
	}
}

func (c *Counts) read(r *canon.Reader) {
	for _, f := range []struct {
		key string
		to  *int
	}{
		{"pods", &c.Pods}, {"classes", &c.Classes}, {"policies", &c.Policies},
		{"rules", &c.Rules}, {"names", &c.Names}, {"elements", &c.Elements},
	} {
		n := r.Int(f.key)
		if n < 0 || n > 1<<31-1 {
			r.Fail("%d is no count of %s", n, f.key)
		}
		*f.to = int(n)
	}
}
