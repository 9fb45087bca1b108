package verify

import (
	"context"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// oldestCluster is the cluster version that the vendor's guide asks for.
var oldestCluster = version.MustParseGeneric("1.20")

// clusterTooOld reports nodes whose kubelet is older than the policies need
// (TP405), those of one version together, at the first of them. A node without a
// version that can be read is not judged.
func clusterTooOld(_ context.Context, a *Analysis) ([]model.Finding, error) {
	var old []string // versions, in the order of their first node
	nodes := map[string]*nameList{}
	first := map[string]*model.Node{}
	for _, n := range a.Inventory.Nodes {
		if !tooOld(n.KubeletVersion) {
			continue
		}
		if nodes[n.KubeletVersion] == nil {
			old = append(old, n.KubeletVersion)
			nodes[n.KubeletVersion], first[n.KubeletVersion] = &nameList{}, n
		}
		nodes[n.KubeletVersion].add(text(n.Name))
	}
	var out []model.Finding
	for _, v := range old {
		on := nodes[v]
		out = append(out, inInventory(model.ClusterTooOld, first[v].Pos, "kubelet %s of %s %s is older than %s, the oldest version that enforces policies",
			v, plural(on.n, "node", "nodes"), on, oldestCluster))
	}
	return out, nil
}

// tooOld reports whether a kubelet version, such as v1.18.8-aliyun.1, is older
// than oldestCluster. A pre-release of 1.20 is not.
func tooOld(kubelet string) bool {
	v, err := version.ParseGeneric(strings.TrimSpace(kubelet))
	return err == nil && v.LessThan(oldestCluster)
}

// text is a name that stands for itself.
type text string

func (t text) String() string { return string(t) }
