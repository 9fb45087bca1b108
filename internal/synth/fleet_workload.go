package synth

import (
	"fmt"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// workload is a Deployment, StatefulSet, DaemonSet, Job or CronJob with its pods.
type workload struct {
	index     int
	kind      string
	namespace *fleetNamespace
	name      string
	app       string // label app
	owner     string // what pods are named after: the ReplicaSet, or a CronJob's Job
	first     int    // number of its first pod within the pool, but of a DaemonSet
	pods      int
	virtual   bool // runs on virtual nodes
	enrolled  bool
	host      bool // hostNetwork
	daemon    int  // of a DaemonSet: its number
	port      uint16
	bypass    bool // has NET_ADMIN
}

var (
	appFirst  = []string{"account", "agent", "audit", "cart", "catalog", "chat", "crawler", "fraud", "image", "ledger", "mail", "media", "notify", "openclaw", "order", "price", "profile", "quote", "report", "review", "route", "search", "session", "stock", "tax", "tool", "user", "video"}
	appSecond = []string{"api", "cache", "db", "gateway", "indexer", "queue", "runner", "sandbox", "scheduler", "store", "sync", "ui", "worker"}
	appPorts  = []uint16{3000, 3306, 5432, 6379, 8000, 8080, 8443, 9000, 9092}
)

// fixedWorkloads are those that every cluster has and that policies name.
var fixedWorkloads = []struct {
	namespace, kind, name, app string
	port                       uint16
	host                       bool
}{
	{"kube-system", "DaemonSet", "kube-proxy-worker", "kube-proxy-worker", 10249, true},
	{"monitoring", "DaemonSet", "node-exporter", "node-exporter", 9100, true},
	{"kube-system", "DaemonSet", "logtail-ds", "logtail-ds", 8899, false},
	{"kube-system", "Deployment", "coredns", "kube-dns", 53, false},
	{"monitoring", "StatefulSet", "prometheus", "prometheus", 9090, false},
	{"sandbox-system", "Deployment", "sandbox-gateway", "sandbox-gateway", 8080, false},
	{"sandbox-system", "Deployment", "sandbox-manager", "sandbox-manager", 8080, false},
	{"llm-proxy", "Deployment", "llm-proxy", "llm-proxy", 8080, false},
}

// planWorkloads hands out Sizes.Pods: DaemonSets as long as they take at most a
// quarter, then the other fixed ones, then applications.
func (f *Fleet) planWorkloads() {
	left := f.sizes.Pods
	virtual := f.sizes.Nodes * f.sizes.Virtual / 100
	if virtual == f.sizes.Nodes {
		virtual--
	}
	f.pools = [2]pool{{nodes: f.sizes.Nodes - virtual}, {nodes: virtual}}
	for _, w := range fixedWorkloads {
		n := 2
		if w.kind == "DaemonSet" {
			if n = f.pools[0].nodes; f.sizes.Pods/4 < n*(f.pools[0].daemons+1) {
				continue
			}
		}
		n = min(n, left)
		f.addWorkload(&workload{kind: w.kind, namespace: f.namespace(w.namespace), name: w.name, app: w.app, port: w.port, host: w.host, pods: n})
		left -= n
	}
	for i := 0; left > 0; i++ {
		w := f.application(i, left)
		f.addWorkload(w)
		w.namespace.apps = append(w.namespace.apps, w)
		left -= w.pods
	}
}

func (f *Fleet) namespace(name string) *fleetNamespace {
	return &f.namespaces[slices.IndexFunc(f.namespaces, func(ns fleetNamespace) bool { return ns.name == name })]
}

// addWorkload gives w its number and its pods theirs.
func (f *Fleet) addWorkload(w *workload) {
	w.index = len(f.workloads)
	f.workloads = append(f.workloads, w)
	g := f.draw("workload owner", w.index)
	switch w.kind {
	case "Deployment":
		w.owner = w.name + "-" + g.suffix(10)
	case "CronJob":
		w.owner = fmt.Sprintf("%s-%d", w.name, 29_000_000+g.IntN(500_000)) // minutes since 1970
	default:
		w.owner = w.name
	}
	p := &f.pools[0]
	if w.virtual {
		p = &f.pools[1]
	}
	if w.kind == "DaemonSet" {
		w.daemon = p.daemons
		p.daemons++
		return
	}
	w.first = p.pods
	p.pods += w.pods
}

// application draws the i-th workload of an application with at most most pods.
func (f *Fleet) application(i, most int) *workload {
	g := f.draw("workload", i)
	w := &workload{port: one(g, appPorts), enrolled: g.often(f.sizes.Enrolled), bypass: g.often(2)}
	w.namespace = &f.namespaces[len(systemNamespaces)+g.IntN(f.sizes.Namespaces)]
	w.app = one(g, appFirst) + "-" + one(g, appSecond)
	w.name = fmt.Sprintf("%s-%d", w.app, i) // two of an application: blue and green, shards
	if !g.often(15) {
		w.app = w.name
	}
	switch n := g.IntN(100); {
	case n < 70:
		w.kind, w.pods = "Deployment", 1+g.IntN(6)
		if g.often(10) {
			w.pods = 10 + g.IntN(90) // few workloads have most of the pods
		}
	case n < 82:
		w.kind, w.pods = "StatefulSet", 1+g.IntN(5)
	case n < 92:
		w.kind, w.pods = "Job", 1+g.IntN(4)
	default:
		w.kind, w.pods = "CronJob", 1
	}
	w.pods = min(w.pods, most)
	w.virtual = f.pools[1].nodes > 0 && w.enrolled && g.often(f.sizes.Virtual)
	return w
}

// labels returns those of the pod template.
func (w *workload) labels() map[string]string {
	m := map[string]string{"app": w.app, "environment": w.namespace.environment, "team": w.namespace.team}
	if w.virtual || w.enrolled && w.index%3 == 0 {
		m["alibabacloud.com/acs"] = "true"
	}
	if w.kind == "DaemonSet" {
		m["k8s-app"] = w.app
	}
	return m
}

func (w *workload) annotations() object {
	o := object{"checksum/config": fmt.Sprintf("%064x", uint64(w.index+1)*0x9e3779b97f4a7c15)}
	if w.enrolled {
		o["network.alibabacloud.com/enable-network-policy-agent"] = "true"
		o["network.alibabacloud.com/network-policy-mode"] = []string{"traffic-policy", "enhanced-traffic-policy"}[w.index%2]
	}
	return o
}

// object returns the workload with its pod template.
func (w *workload) object(f *Fleet) object {
	version := "apps/v1"
	if w.kind == "Job" || w.kind == "CronJob" {
		version = "batch/v1"
	}
	o := f.header(version, w.kind, w.namespace.name, w.name, "workload", w.index)
	spec := w.podSpec("")
	delete(spec, "nodeName")
	template := object{"metadata": object{"labels": labelMap(model.NewLabels(w.labels())), "annotations": w.annotations()}, "spec": spec}
	o["spec"] = object{"replicas": w.pods, "selector": object{"matchLabels": object{"app": w.app}}, "template": template}
	if w.kind == "CronJob" {
		o["spec"] = object{"schedule": "*/10 * * * *", "jobTemplate": object{"spec": object{"template": template}}}
	}
	return o
}

// lasts reports whether its pods run until they are stopped.
func (w *workload) lasts() bool { return w.kind == "Deployment" || w.kind == "StatefulSet" }
