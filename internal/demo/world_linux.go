package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"

	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
)

// world is the cluster's node with its pods, in network namespaces.
type world struct {
	lab  *netlab.Lab
	node *netlab.Node
}

// kernelReason returns why real packets cannot be sent, "" if they can.
func kernelReason() string {
	if os.Geteuid() != 0 {
		return "network namespaces need root"
	}
	if _, err := exec.LookPath("nft"); err != nil {
		return "the nft command is missing (package nftables)"
	}
	return ""
}

// services translates the two clusterIPs that are called, as kube-proxy does.
const services = `table inet demo-services {
	chain pre {
		type nat hook prerouting priority -100
		ip daddr 172.21.0.10 dnat ip to 10.20.0.53
		ip6 daddr fd00:21::10 dnat ip6 to fd00:20::53
		ip daddr 172.21.0.80 tcp dport 80 dnat ip to 10.20.0.80:8000
	}
}
`

// local are the node's pods.
var local = []netlab.PodSpec{
	{Name: "openclaw", Addrs: addrs("10.20.0.20", "fd00:20::20")},
	{Name: "agent", Addrs: addrs("10.20.0.10", "fd00:20::10")},
	{Name: "redis", Addrs: addrs("10.20.0.63", "fd00:20::63")},
	{Name: "coredns", Addrs: addrs("10.20.0.53", "fd00:20::53")},
	{Name: "llm-proxy-0", Addrs: addrs("10.20.0.80", "fd00:20::80")},
}

func addrs(ss ...string) (out []netip.Addr) {
	for _, s := range ss {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// both returns a host's IPv4 and IPv6 address.
func both(host string) []netip.Addr { return addrs(hosts[host][0], hosts[host][1]) }

// newWorld makes the world. It is deleted when ctx ends, or by close.
func newWorld(ctx context.Context) (*world, error) {
	if err := netlab.Sweep(); err != nil {
		return nil, err
	}
	w := &world{lab: netlab.New()}
	context.AfterFunc(ctx, w.close)
	var err error
	w.node, err = w.lab.Node(netlab.Spec{Mode: netlab.Routed, Pods: local, Addrs: both("node"), RealNeighbours: true})
	if err != nil {
		return w, err
	}
	if err := w.node.NFT(services); err != nil {
		return w, err
	}
	for _, host := range []string{"gateway", "manager", "attacker", "internet", "metadata", "vpc", "database"} {
		if err := w.node.Outside.Own(both(host)...); err != nil {
			return w, err
		}
	}
	for _, h := range append([]*netlab.Host{w.node.Outside}, w.node.Pods...) {
		if _, err := h.Serve(ports...); err != nil {
			return w, err
		}
	}
	_, err = w.node.Serve(ports...)
	return w, err
}

// close deletes the world.
func (w *world) close() {
	if err := w.lab.Close(); err != nil {
		fmt.Fprintf(os.Stderr, "demo: clean up: %v\n", err)
	}
}

// path returns the node's namespace, for tploader's --netns.
func (w *world) path() string { return w.node.Path() }

// describe says what the world is made of.
func (w *world) describe() string {
	var pods []string
	for _, p := range local {
		pods = append(pods, p.Name)
	}
	return "pods " + strings.Join(pods, ", ") + "; a node that routes; the world outside"
}

// send makes all calls with the kernel's own sockets and returns what came of
// each: allow, deny or reject.
func (w *world) send() ([]string, error) {
	got, errs := make([]string, len(flows)), make([]error, len(flows))
	var wg sync.WaitGroup
	for i := range flows {
		wg.Go(func() { got[i], errs[i] = w.call(&flows[i]) })
	}
	wg.Wait()
	return got, errors.Join(errs...)
}

func (w *world) call(f *flow) (string, error) {
	from := w.node.Outside.Namespace
	if p := w.node.Pod(f.from); p != nil {
		from = p.Namespace
	} else if f.from == "node" {
		from = w.node.Namespace
	}
	var o netlab.Outcome
	var err error
	switch to := netip.AddrPortFrom(f.dst(), f.port); f.proto {
	case "tcp":
		o, err = from.TCP(f.src(), to)
	case "udp":
		o, err = from.UDP(f.src(), to)
	default:
		o, err = from.Ping(f.src(), f.dst())
	}
	switch {
	case err != nil:
		return "", fmt.Errorf("%s to %s, %s: %w", f.from, f.to, f.how(), err)
	case o == netlab.Answered:
		return "allow", nil
	case o == netlab.Silence:
		return "deny", nil
	case o == netlab.Refused, o == netlab.Prohibited:
		return "reject", nil
	}
	return o.String(), nil
}
