package synth

import (
	"fmt"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// podName returns the name of pod i of w.
func (f *Fleet) podName(w *workload, i int) string {
	if w.kind == "StatefulSet" {
		return fmt.Sprintf("%s-%d", w.name, i)
	}
	return w.owner + "-" + f.draw("pod name "+w.name, i).suffix(5)
}

// podObject returns pod i of w as the API server shows it, some 5 KB as kubectl
// prints it.
func (f *Fleet) podObject(w *workload, i int) object {
	name := f.podName(w, i)
	g := f.draw("pod "+w.name, i)
	node, addrs := f.podAddrs(w, i)
	o := f.header("v1", "Pod", w.namespace.name, name, "pod "+w.name, i)
	meta := o["metadata"].(object)
	labels := w.labels()
	w.ownLabels(labels, name, i)
	meta["labels"], meta["annotations"] = labelMap(model.NewLabels(labels)), w.annotations()
	meta["generateName"] = w.owner + "-"
	meta["ownerReferences"] = w.ownerReferences(f)
	if g.often(10) { // kubectl leaves them out, other clients do not
		meta["managedFields"] = managedFields(g, w)
	}
	o["spec"] = w.podSpec(f.nodeName(node))
	status := podStatus(g, w, f.nodeAddr(node).String())
	o["status"] = status
	switch done := w.kind == "Job" || w.kind == "CronJob"; {
	case done && g.often(80):
		status["phase"] = one(g, []string{"Succeeded", "Succeeded", "Succeeded", "Failed"})
	case g.often(1):
		status["phase"] = "Pending" // and no address yet
		return o
	case g.often(1):
		meta["deletionTimestamp"], meta["deletionGracePeriodSeconds"] = g.moment(), 30
	}
	status["podIP"], status["podIPs"] = addrs[0].String(), addrObjects("ip", addrs)
	if f.faulty(g) {
		breakPod(g, o)
	}
	return o
}

// breakPod makes a pod one that cannot be read.
func breakPod(g *generator, o object) {
	meta, status := o["metadata"].(object), o["status"].(object)
	switch g.IntN(4) {
	case 0:
		status["podIP"], status["podIPs"] = "10.0.0.999", []object{{"ip": "10.0.0.999"}}
	case 1:
		meta["labels"].(object)["team"] = "no such/value"
	case 2:
		o["spec"].(object)["hostNetwork"] = "yes"
	default:
		meta["annotations"].(object)["network.alibabacloud.com/enable-network-policy-agent"] = true
	}
}

// ownLabels adds what controllers label single pods with.
func (w *workload) ownLabels(labels map[string]string, name string, i int) {
	switch w.kind {
	case "Deployment":
		labels["pod-template-hash"] = w.owner[len(w.name)+1:]
	case "StatefulSet":
		labels["statefulset.kubernetes.io/pod-name"] = name
		labels["apps.kubernetes.io/pod-index"] = fmt.Sprint(i)
		labels["controller-revision-hash"] = fmt.Sprintf("%.50s-%x", w.name, 0x5d00+w.index)
	case "DaemonSet":
		labels["controller-revision-hash"] = fmt.Sprintf("%x", 0x7b00+w.index)
		labels["pod-template-generation"] = "1"
	default:
		labels["batch.kubernetes.io/job-name"], labels["job-name"] = w.owner, w.owner
	}
}

func (w *workload) ownerReferences(f *Fleet) []object {
	kind := map[string]string{"Deployment": "ReplicaSet", "CronJob": "Job"}[w.kind]
	if kind == "" {
		kind = w.kind
	}
	version := "apps/v1"
	if kind == "Job" {
		version = "batch/v1"
	}
	return []object{{"apiVersion": version, "blockOwnerDeletion": true, "controller": true, "kind": kind, "name": w.owner, "uid": f.draw("owner", w.index).uid()}}
}

// managedFields is what --show-managed-fields shows, shortened.
func managedFields(g *generator, w *workload) []object {
	return []object{{
		"apiVersion": "v1", "fieldsType": "FieldsV1", "manager": "kube-controller-manager", "operation": "Update", "time": g.moment(),
		"fieldsV1": object{"f:metadata": object{"f:labels": object{".": object{}, "f:app": object{}}, "f:ownerReferences": object{".": object{}}},
			"f:spec": object{"f:containers": object{fmt.Sprintf(`k:{"name":%q}`, w.app): object{".": object{}, "f:image": object{}}}}},
	}}
}

func (w *workload) podSpec(node string) object {
	env := []object{
		{"name": "POD_IP", "valueFrom": object{"fieldRef": object{"apiVersion": "v1", "fieldPath": "status.podIP"}}},
	}
	container := object{
		"name": w.app, "image": "registry-vpc.cn-hangzhou.aliyuncs.com/" + w.namespace.team + "/" + w.app + ":v1." + fmt.Sprint(w.index%40),
		"imagePullPolicy": "IfNotPresent", "env": env,
		"ports":        []object{{"containerPort": w.port, "name": "main", "protocol": w.proto().String()}},
		"resources":    object{"requests": object{"cpu": "250m", "memory": "512Mi"}},
		"volumeMounts": []object{{"mountPath": "/etc/" + w.app, "name": "config", "readOnly": true}},
	}
	if w.bypass {
		container["securityContext"] = object{"capabilities": object{"add": []string{"NET_ADMIN"}}}
	}
	spec := object{
		"containers": []object{container}, "dnsPolicy": "ClusterFirst", "nodeName": node, "restartPolicy": "Always",
		"schedulerName": "default-scheduler", "serviceAccountName": w.app, "terminationGracePeriodSeconds": 30,
		"volumes": []object{{"configMap": object{"defaultMode": 420, "name": w.app}, "name": "config"}},
	}
	if w.virtual {
		spec["tolerations"] = []object{{"effect": "NoSchedule", "key": "virtual-kubelet.io/provider", "operator": "Equal", "value": "alibabacloud"}}
	}
	if w.host {
		spec["hostNetwork"] = true
	}
	return spec
}

func (w *workload) proto() model.Proto {
	if w.port == 53 {
		return model.UDP
	}
	return model.TCP
}

func podStatus(g *generator, w *workload, host string) object {
	return object{
		"conditions": []object{{"lastProbeTime": nil, "lastTransitionTime": g.moment(), "status": "True", "type": "Ready"}},
		"containerStatuses": []object{{
			"containerID": fmt.Sprintf("containerd://%016x%016x%016x%016x", g.Uint64(), g.Uint64(), g.Uint64(), g.Uint64()),
			"imageID":     fmt.Sprintf("sha256:%064x", uint64(w.index)), "name": w.app, "ready": true, "restartCount": g.IntN(3), "started": true,
			"state": object{"running": object{"startedAt": g.moment()}},
		}},
		"hostIP": host, "phase": "Running", "qosClass": "Burstable", "startTime": g.moment(),
	}
}
