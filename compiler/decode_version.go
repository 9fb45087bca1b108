package compiler

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// poseidonVersion is a version of the Poseidon component, MAJOR.MINOR.PATCH.
// The zero value is "not given".
type poseidonVersion [3]int

// Versions of Poseidon that brought what the policies use.
var (
	newerKinds    = poseidonVersion{0, 7, 0}
	newerPorts    = poseidonVersion{0, 7, 3}
	newerWorkload = poseidonVersion{0, 7, 6}
	newerReject   = poseidonVersion{0, 8, 0}
)

func (v poseidonVersion) String() string { return fmt.Sprintf("v%d.%d.%d", v[0], v[1], v[2]) }

func (v poseidonVersion) less(w poseidonVersion) bool {
	for i := range v {
		if v[i] != w[i] {
			return v[i] < w[i]
		}
	}
	return false
}

// parsePoseidonVersion reads such as "0.7.2", "v0.7.2" or "v0.7.2-aliyun.1"; what
// stands behind the third number does not count.
func parsePoseidonVersion(s string) (v poseidonVersion, err error) {
	numbers := strings.TrimPrefix(s, "v")
	if i := strings.IndexAny(numbers, "-+"); i >= 0 {
		numbers = numbers[:i]
	}
	parts := strings.Split(numbers, ".")
	if len(parts) < 2 || len(parts) > 3 {
		return v, fmt.Errorf("version %q of Poseidon is none, want one such as 0.7.3", s)
	}
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 31)
		if err != nil {
			return v, fmt.Errorf("version %q of Poseidon is none, want one such as 0.7.3", s)
		}
		v[i] = int(n)
	}
	return v, nil
}

// newer reports what needs a newer Poseidon than the one given.
func (d *decoder) newer(need poseidonVersion, n *yaml.Node, p *path, what string) {
	if d.poseidon != nil && d.poseidon.less(need) {
		d.report(model.NewerField, n, p, "%s needs Poseidon %s, the cluster has %s", what, need, d.poseidon)
	}
}
