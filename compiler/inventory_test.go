package compiler

import (
	"context"
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"sigs.k8s.io/yaml"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// loadText loads one text as inventory, by way of standard input.
func loadText(t *testing.T, text string) *Input {
	t.Helper()
	in, err := Load(context.Background(), LoadOptions{Inventory: []string{"-"}, Stdin: strings.NewReader(text)})
	if err != nil {
		t.Fatal(err)
	}
	return in
}

const inventoryText = `
apiVersion: v1
kind: Namespace
metadata: {name: web, labels: {b: "2", a: "1"}}
---
apiVersion: v1
kind: Node
metadata: {name: n1}
spec: {podCIDR: 10.1.0.0/24, podCIDRs: [10.1.0.7/24, "fd00:1::/64"]}
status:
  addresses:
  - {type: InternalIP, address: 192.168.0.1}
  - {type: Hostname, address: n1}
  - {type: ExternalIP, address: "::ffff:1.2.3.4"}
  - {type: InternalIP, address: 192.168.0.1}
  nodeInfo: {kubeletVersion: v1.30.1-aliyun.1}
---
apiVersion: v1
kind: Node
metadata: {name: n2}
spec: {podCIDR: 10.2.0.0/24}
---
apiVersion: v1
kind: Pod
metadata:
  name: full
  namespace: web
  deletionTimestamp: 2026-01-01T00:00:00Z
  labels: {app: web}
  annotations: {network.alibabacloud.com/enable-network-policy-agent: "true", network.alibabacloud.com/network-policy-mode: enhanced-traffic-policy, n: 1}
spec:
  nodeName: n1
  hostNetwork: true
  tolerations: [{operator: Exists}, {key: virtual-kubelet.io/provider, operator: Exists}]
  containers:
  - name: a
    ports: [{containerPort: 80, name: http}, {containerPort: 81, name: http}, {containerPort: 53, name: http, protocol: UDP}, {containerPort: 9}]
    securityContext: {privileged: true, capabilities: {add: [NET_ADMIN, CHOWN, CAP_SETUID], drop: [NET_RAW]}}
  - {name: b, securityContext: {privileged: false, runAsUser: 0, capabilities: {add: [NET_ADMIN]}}}
  initContainers:
  - {name: i, ports: [{containerPort: 1, name: init}], securityContext: {capabilities: {add: [net_raw]}}}
  - {name: s, restartPolicy: Always, ports: [{containerPort: 2, name: side}, {containerPort: 3, name: http}]}
  ephemeralContainers:
  - {name: e, securityContext: {capabilities: {add: [ALL]}}}
status: {phase: Running, podIP: 10.1.0.1, podIPs: [{ip: 10.1.0.1}, {ip: "::ffff:10.1.0.1"}, {ip: "fd00:1::1"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: bare, annotations: {network.alibabacloud.com/enable-network-policy-agent: "True", network.alibabacloud.com/network-policy-mode: traffic-policy}}
status: {phase: Succeeded, podIP: "::ffff:10.1.0.2", podIPs: []}
---
apiVersion: v1
kind: Pod
metadata: {name: pending, annotations: {network.alibabacloud.com/enable-network-policy-agent: "true", network.alibabacloud.com/network-policy-mode: network-policy}}
status: {phase: Pending, podIP: "", podIPs: null}
---
apiVersion: v1
kind: Service
metadata: {name: s, namespace: web}
spec:
  clusterIP: 172.16.0.1
  clusterIPs: [172.16.0.1, "fd00:2::1", "::ffff:172.16.0.1"]
  selector: {app: web}
  ports:
  - {name: a, port: 80}
  - {name: b, port: 81, protocol: UDP, targetPort: 8081}
  - {name: c, port: 82, targetPort: http}
  - {name: d, port: 83, targetPort: 0}
---
apiVersion: v1
kind: Service
metadata: {name: headless}
spec: {clusterIP: None, selector: {}}
---
apiVersion: v1
kind: Service
metadata: {name: single}
spec: {clusterIP: 172.16.0.2, externalIPs: [1.1.1.1]}
---
apiVersion: v1
kind: Service
metadata: {name: external}
spec: {type: ExternalName, externalName: db.example, clusterIP: ""}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: s-1, namespace: web, labels: {kubernetes.io/service-name: s}}
addressType: IPv4
endpoints: [{addresses: [10.1.0.1], conditions: {ready: false}}, {addresses: [10.1.0.3, 10.1.0.1]}]
ports: [{name: a, port: 80, protocol: TCP}, {name: b}]
---
apiVersion: discovery.k8s.io/v1beta1
kind: EndpointSlice
metadata: {name: names}
addressType: FQDN
endpoints: [{addresses: [a.example]}]
---
apiVersion: v1
kind: Endpoints
metadata: {name: s}
subsets:
- {addresses: [{ip: 10.0.0.1}], notReadyAddresses: [{ip: "fd00::1"}], ports: [{port: 80, protocol: SCTP}]}
- {}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: d, namespace: web, labels: {not: this}}
spec: {template: {metadata: {labels: {app: d}, annotations: {network.alibabacloud.com/enable-network-policy-agent: "true", network.alibabacloud.com/network-policy-mode: traffic-policy}}, spec: {hostNetwork: true, containers: [{securityContext: {privileged: true}}]}}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: c}
spec: {jobTemplate: {spec: {template: {metadata: {labels: {app: c}}}}}}
`

func inventoryWant() *model.Inventory {
	ls := func(kv ...string) (l model.Labels) {
		for i := 0; i < len(kv); i += 2 {
			l = append(l, model.Label{Key: kv[i], Value: kv[i+1]})
		}
		return l
	}
	p := netip.MustParsePrefix
	return &model.Inventory{
		Namespaces: []*model.Namespace{{Name: "web", Labels: ls("a", "1", "b", "2")}},
		Nodes: []*model.Node{
			{Name: "n1", Addresses: addrs("192.168.0.1 1.2.3.4"), PodCIDRs: []netip.Prefix{p("10.1.0.0/24"), p("fd00:1::/64")}, KubeletVersion: "v1.30.1-aliyun.1"},
			{Name: "n2", PodCIDRs: []netip.Prefix{p("10.2.0.0/24")}},
		},
		Pods: []*model.Pod{
			{Namespace: "web", Name: "full", NodeName: "n1", Phase: "Running", Deleting: true, IPs: addrs("10.1.0.1 fd00:1::1"),
				PodMeta: model.PodMeta{Labels: ls("app", "web"), Enrolled: true, VirtualNode: true, HostNetwork: true,
					Bypass: []string{"capability ALL", "capability NET_ADMIN", "capability NET_RAW", "capability SETUID", "privileged"}},
				NamedPorts: map[model.NamedPort]uint16{{Name: "http"}: 80, {Name: "http", Proto: model.UDP}: 53, {Name: "side"}: 2}},
			{Namespace: "default", Name: "bare", Phase: model.PodSucceeded, IPs: addrs("10.1.0.2")},
			{Namespace: "default", Name: "pending", Phase: "Pending"},
		},
		Services: []*model.Service{
			{Namespace: "web", Name: "s", ClusterIPs: addrs("172.16.0.1 fd00:2::1"), Selector: ls("app", "web"), Ports: []model.ServicePort{
				{Name: "a", Port: 80, Target: 80}, {Name: "b", Proto: model.UDP, Port: 81, Target: 8081}, {Name: "c", Port: 82, TargetName: "http"}, {Name: "d", Port: 83, Target: 83}}},
			{Namespace: "default", Name: "headless", Headless: true},
			{Namespace: "default", Name: "single", ClusterIPs: addrs("172.16.0.2")},
			{Namespace: "default", Name: "external", ExternalName: "db.example"},
		},
		Endpoints: []*model.Endpoints{
			{Namespace: "web", Name: "s-1", Slice: true, Service: "s", Subsets: []model.EndpointSubset{
				{Addrs: addrs("10.1.0.1 10.1.0.3"), Ports: []model.EndpointPort{{Name: "a", Port: 80}, {Name: "b"}}}}},
			{Namespace: "default", Name: "names", Slice: true},
			{Namespace: "default", Name: "s", Service: "s", Subsets: []model.EndpointSubset{
				{Addrs: addrs("10.0.0.1 fd00::1"), Ports: []model.EndpointPort{{Proto: model.SCTP, Port: 80}}}}},
		},
		Templates: []*model.PodTemplate{
			{Kind: "Deployment", Namespace: "web", Name: "d", PodMeta: model.PodMeta{Labels: ls("app", "d"), Enrolled: true, HostNetwork: true, Bypass: []string{"privileged"}}},
			{Kind: "CronJob", Namespace: "default", Name: "c", PodMeta: model.PodMeta{Labels: ls("app", "c")}},
		},
	}
}

// inventoryOptions compares objects wherever they stand; a nil Selector is not
// an empty one.
var inventoryOptions = cmp.Options{
	cmpopts.IgnoreTypes(model.Pos{}),
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

// Every field of every kind, from YAML and, the same, from kubectl's JSON.
func TestInventory(t *testing.T) {
	in := loadText(t, inventoryText)
	if got := findingsText(in); got != "" {
		t.Fatalf("findings:\n%s", got)
	}
	if diff := cmp.Diff(inventoryWant(), in.Inventory, inventoryOptions); diff != "" {
		t.Errorf("YAML (-want +got):\n%s", diff)
	}
	for name, text := range map[string]string{"kind first": asJSON(t, inventoryText, true), "kind last": asJSON(t, inventoryText, false)} {
		in := loadText(t, text)
		if got := findingsText(in); got != "" {
			t.Fatalf("%s: findings:\n%s", name, got)
		}
		if diff := cmp.Diff(inventoryWant(), in.Inventory, inventoryOptions); diff != "" {
			t.Errorf("JSON, %s (-want +got):\n%s", name, diff)
		}
	}
}

// A pod without annotations, or with other values of them, is not enrolled.
func TestEnrolled(t *testing.T) {
	tests := []struct {
		agent, mode string
		want        bool
	}{
		{`"true"`, "traffic-policy", true}, {`"true"`, "enhanced-traffic-policy", true},
		{`"True"`, "traffic-policy", false}, {`"false"`, "traffic-policy", false}, {`""`, "traffic-policy", false}, {"null", "traffic-policy", false},
		{`"true"`, "network-policy", false}, {`"true"`, `""`, false}, {`"true"`, "null", false}, {`"true"`, "Traffic-Policy", false},
	}
	for _, tt := range tests {
		in := loadText(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: p, annotations: {network.alibabacloud.com/enable-network-policy-agent: "+tt.agent+", network.alibabacloud.com/network-policy-mode: "+tt.mode+"}}\n")
		if len(in.Inventory.Pods) != 1 || in.Inventory.Pods[0].Enrolled != tt.want {
			t.Errorf("%s and %s: want enrolled %v\n%s", tt.agent, tt.mode, tt.want, findingsText(in))
		}
	}
}

// asJSON returns a YAML stream as a List in JSON, as kubectl prints it: keys
// sorted, so that kind comes first in objects but behind the items in the list;
// or with the keys the other way round.
func asJSON(t *testing.T, text string, sorted bool) string {
	t.Helper()
	var write func(b *strings.Builder, v any)
	write = func(b *strings.Builder, v any) {
		m, isMap := v.(map[string]any)
		if l, ok := v.([]any); ok {
			b.WriteByte('[')
			for i, e := range l {
				if i > 0 {
					b.WriteString(",\n")
				}
				write(b, e)
			}
			b.WriteByte(']')
			return
		}
		if !isMap {
			j, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			b.Write(j)
			return
		}
		keys := slices.Sorted(maps.Keys(m))
		if !sorted {
			slices.Reverse(keys)
		}
		b.WriteByte('{')
		for i, k := range keys {
			if i > 0 {
				b.WriteByte(',')
			}
			write(b, k)
			b.WriteString(": ")
			write(b, m[k])
		}
		b.WriteByte('}')
	}
	var items []any
	for _, doc := range strings.Split(text, "\n---\n") {
		var item map[string]any
		if err := yaml.Unmarshal([]byte(doc), &item); err != nil {
			t.Fatal(err)
		}
		items = append(items, item)
	}
	var b strings.Builder
	write(&b, map[string]any{"apiVersion": "v1", "kind": "List", "items": items, "metadata": map[string]any{}})
	return b.String()
}
