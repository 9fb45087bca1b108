//go:build linux

package bpf_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	ciliumebpf "github.com/cilium/ebpf"

	"github.com/trafficpolicy/trafficpolicy/backends/ebpf"
	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/bpflab"
	"github.com/trafficpolicy/trafficpolicy/internal/kerneltest"
	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
	"github.com/trafficpolicy/trafficpolicy/internal/synth"
	"github.com/trafficpolicy/trafficpolicy/model"
	"github.com/trafficpolicy/trafficpolicy/verify/simulate"
)

// Sizes of TestAgreement; packets times TRAFFICPOLICY_SOAK.
const (
	agreePackets = 100_000
	agreeTarget  = 300 // packets for one target
	shrinkTime   = 60 * time.Second
)

// TestAgreement draws clusters and policies and has the program, in node and in pod
// scope, and the walk over the source rules judge packets around every boundary: what
// becomes of each, and by which rule.
func TestAgreement(t *testing.T) {
	worlds := [2]*world{newWorld(t, bpf.Options{}), newWorld(t, bpf.Options{PodScope: true})}
	done, want := 0, agreePackets*soak()
	for seed := uint64(0); done < want; seed++ {
		c := clusterOf(seed)
		n, err := agree(worlds, c)
		if err != nil {
			end := time.Now().Add(shrinkTime)
			small := synth.Shrink(c, func(c *synth.Cluster) bool {
				_, err := agree(worlds, c)
				return err != nil && time.Now().Before(end)
			})
			_, last := agree(worlds, small)
			t.Fatalf("seed %d: %v\nshrunk: %v\n%s%s--resolve %v", seed, err, last, small.PolicyYAML(), small.InventoryYAML(), small.Resolve)
		}
		done += n
	}
	t.Logf("%d packets", done)
}

// clusterOf draws the cluster of a seed.
func clusterOf(seed uint64) *synth.Cluster {
	if seed%3 == 2 {
		return synth.Dense(seed)
	}
	return synth.Small(seed)
}

// agree returns how many packets were compared, and the first disagreement.
func agree(worlds [2]*world, c *synth.Cluster) (int, error) {
	in, err := compiler.Load(context.Background(), compiler.LoadOptions{
		Inventory: []string{"-"}, Stdin: strings.NewReader(c.PolicyYAML() + c.InventoryYAML()),
	})
	if err != nil {
		return 0, err
	}
	r := rand.New(rand.NewPCG(c.Seed, 0x6167))
	o := compiler.Options{Resolve: c.Resolve, IsolateByDirection: r.IntN(3) == 0}
	comp := compiler.NewCompiler(in, compiler.CompileOptions{Options: o, AllowUnresolved: true, AllowEmpty: true, SkipBroken: true})
	g := &agreement{Rand: r, input: in, sim: simulate.New(in, o)}
	// What is in force next: some of the policies.
	less := &compiler.Input{
		Policies:  slices.DeleteFunc(slices.Clone(in.Policies), func(*model.Policy) bool { return r.IntN(3) == 0 }),
		Inventory: in.Inventory,
	}
	g.next, g.nextSim = compiler.NewCompiler(less, compiler.CompileOptions{Options: o, AllowUnresolved: true, AllowEmpty: true, SkipBroken: true}), simulate.New(less, o)
	for _, n := range in.Inventory.Nodes {
		if err := g.target(worlds[0], comp, compiler.Target{Node: n.Name}); err != nil {
			return g.packets, err
		}
	}
	if pods := in.Inventory.Pods; len(pods) > 0 {
		pod := pods[r.IntN(len(pods))]
		if err := g.target(worlds[1], comp, compiler.Target{Pod: pod.Ref()}); err != nil {
			return g.packets, err
		}
	}
	return g.packets, nil
}

// agreement is the comparison of one cluster.
type agreement struct {
	*rand.Rand
	input   *compiler.Input
	sim     *simulate.Simulator
	next    *compiler.Compiler
	nextSim *simulate.Simulator
	packets int
	ports   uint16
}

// target compares the program of a node, or of a pod, if there is one.
func (g *agreement) target(w *world, comp *compiler.Compiler, t compiler.Target) error {
	p, err := comp.Compile(context.Background(), t)
	if refusal := (*compiler.Refusal)(nil); errors.As(err, &refusal) || err == nil && len(p.Pods) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	a, err := ebpf.Emit(p)
	if err != nil {
		return err
	}
	w.Forget()
	w.install(a)
	for _, r := range a.Manifest.Rules {
		w.rules[r.ID] = r.Name
	}
	w.counted()
	x := &comparison{agreement: g, world: w, program: p, want: map[string]int{}}
	for _, d := range model.Directions {
		x.points[d] = append(synth.Points(g.input.Policies), model.L4Last)
	}
	addrs := kerneltest.Addresses(g.input.Inventory, g.input.Policies, nil)
	addrs = append(addrs, notClient...)
	for _, p := range g.input.Policies {
		for _, d := range model.Directions {
			for _, rule := range p.Rules(d) {
				for _, peer := range rule.Peers {
					if peer.Kind == model.PeerCIDR {
						addrs = append(addrs, peer.CIDR.Addr())
					}
				}
			}
		}
	}
	for _, n := range p.Names {
		for _, a := range n.Addrs {
			addrs = append(addrs, a, a.Next())
		}
	}
	for _, a := range addrs {
		if a.IsValid() {
			x.addrs[model.FamilyOf(a)] = append(x.addrs[model.FamilyOf(a)], a)
		}
	}
	for range agreeTarget {
		if err := x.packet(); err != nil {
			return fmt.Errorf("%+v: %w", t, err)
		}
	}
	g.packets += agreeTarget
	if err := x.counters(t); err != nil {
		return err
	}
	return x.change(t)
}

// change puts the next policies in force and compares what becomes of the connections
// that passed: of an answer first, so that only the switch can have stopped it.
func (x *comparison) change(t compiler.Target) error {
	p, err := x.next.Compile(context.Background(), t)
	if refusal := (*compiler.Refusal)(nil); errors.As(err, &refusal) || err == nil && len(p.Pods) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	a, err := ebpf.Emit(p)
	if err != nil {
		return err
	}
	// Pods have the interfaces that they had.
	places := map[string]int{}
	for i, pod := range x.program.Pods {
		places[pod.Ref] = x.deviceOf(pod.Ref, i)
	}
	x.place = places
	defer func() { x.place = nil }()
	x.install(a)
	x.program = p
	for _, l := range x.live {
		i := slices.IndexFunc(p.Pods, func(pod compiler.ProgramPod) bool { return pod.Ref == l.pod })
		if i < 0 {
			continue // left alone by now
		}
		pod := p.Pods[i]
		decision := x.nextSim.Walk(x.policies(x.nextSim, pod), l.direction).Decide(l.peer, l.point, nil)
		want, reject := passed, decision.Action == model.Reject
		if !decision.Action.Allows() {
			if want = dropped; reject && bpflab.Answerable(l.packet.Src) && bpflab.Answerable(l.packet.Dst) {
				want = answered
			}
		}
		q := reply(l.packet)
		if q.Proto == model.IPProtoTCP {
			q.Flags = netlab.ACK
		}
		for _, c := range []struct {
			what string
			d    model.Direction
			p    *netlab.Packet
		}{{"an answer", 1 - l.direction, q}, {"a packet", l.direction, l.packet}} {
			if got := x.judge(l.device, l.iif, c.d, c.p, !reject && x.IntN(4) == 0); got.End != want {
				return fmt.Errorf("%+v, after the switch to %d policies: %s of %s %s, %s %s: %s, simulated: %s by %s",
					t, len(p.Classes[pod.Class].Policies), c.what, pod.Ref, l.direction, l.packet, l.point, got, decision.Action, decision.Reason)
			}
			x.packets++
		}
	}
	return nil
}

// live is a connection that passed.
type live struct {
	pod       string
	direction model.Direction
	peer      netip.Addr
	point     model.L4
	packet    *netlab.Packet // its first
	device    bpflab.Device
	iif       uint32
}

// comparison is that of one target.
type comparison struct {
	*agreement
	*world
	program *compiler.Program
	points  [2][]model.L4
	addrs   [2][]netip.Addr
	want    map[string]int // packets by counter
	live    []live
}

// packet draws a first packet of a connection, compares what becomes of it, and if it
// passes also its answer.
func (x *comparison) packet() error {
	i := x.IntN(len(x.program.Pods))
	own := x.program.Pods[i]
	local := own.Addrs[x.IntN(len(own.Addrs))]
	f := model.FamilyOf(local)
	peer := x.addrs[f][x.IntN(len(x.addrs[f]))]
	d := model.Directions[x.IntN(2)]
	point := x.points[d][x.IntN(len(x.points[d]))]
	p := x.build(local, peer, d, point)
	dev := x.Devices[x.deviceOf(own.Ref, i)]
	iif := dev.Index
	if d == model.Ingress {
		iif = []uint32{0, x.iif, x.iif}[x.IntN(3)]
	}
	name := fmt.Sprintf("%s %s, %s %s, received by %d", own.Ref, d, p, point, iif)

	decision := x.sim.Walk(x.policies(x.sim, own), d).Decide(peer, point, nil)
	counter := "default " + d.String()
	switch decision.Reason {
	case simulate.ByRule:
		counter = decision.Rule.String()
	case simulate.NotSelected:
		counter = "not selected"
	}
	pass, reject := decision.Action.Allows(), decision.Action == model.Reject
	node := d == model.Ingress && slices.Contains(x.program.NodeAddrs, peer) && (x.program.Target.Pod != "" || iif == 0)
	linkLocal := d == model.Ingress && iif == 0 && x.program.Target.Pod == "" && peer.Is6() && peer.IsLinkLocalUnicast()
	switch {
	case node || linkLocal:
		pass, counter = true, ""
	case !pass && slices.Contains(own.Addrs, peer):
		pass, counter = true, ""
	}
	if counter != "" {
		x.want[counter]++
	}
	// A program for raw IP is run with what the kernel takes for an Ethernet header in
	// front, so that it cannot make answers.
	got := x.judge(dev, iif, d, p, !reject && x.IntN(4) == 0)
	want := passed
	if !pass {
		want = dropped
		if reject && bpflab.Answerable(local) && bpflab.Answerable(peer) {
			want = answered
			x.want["rejects"]++
		}
	}
	if got.End != want {
		return fmt.Errorf("%s: %s, simulated: %s by %s", name, got, decision.Action, counter)
	}
	if pass && counter != "" && !slices.Contains(own.Addrs, peer) {
		q := reply(p)
		x.want[counter]++
		if got := x.judge(dev, iif, 1-d, q, x.IntN(4) == 0); got.End != passed {
			return fmt.Errorf("%s: its answer %s", name, got)
		}
		x.live = append(x.live, live{own.Ref, d, peer, point, p, dev, iif})
	}
	return nil
}

// policies are those that select a pod.
func (x *comparison) policies(sim *simulate.Simulator, p compiler.ProgramPod) []*model.Policy {
	for _, pod := range x.input.Inventory.Pods {
		if pod.Ref() == p.Ref {
			return sim.Select(pod.Namespace, pod.Labels)
		}
	}
	return nil
}

// judge runs the program of a direction, on Ethernet or on raw IP.
func (x *comparison) judge(dev bpflab.Device, iif uint32, d model.Direction, p *netlab.Packet, raw bool) bpflab.Result {
	b := p.Bytes()
	programs := [2][2]*ciliumebpf.Program{{x.FromEther, x.FromIP}, {x.ToEther, x.ToIP}}
	ctx := bpflab.SKB{Ifindex: dev.Index, IngressIfindex: iif}
	if raw {
		return x.run(programs[d][1], b, ctx)
	}
	return x.run(programs[d][0], bpflab.Frame(dev, b), ctx)
}

// build makes a first packet, now and then with options or extension headers.
func (x *comparison) build(local, peer netip.Addr, d model.Direction, point model.L4) *netlab.Packet {
	x.ports++
	p := &netlab.Packet{Src: local, Dst: peer, SrcPort: x.ports, DstPort: point.Port(), ID: x.ports, Payload: make([]byte, x.IntN(9))}
	if d == model.Ingress {
		p.Src, p.Dst = peer, local
	}
	six := local.Is6()
	switch point.Proto() {
	case model.TCP:
		p.Proto = model.IPProtoTCP
	case model.UDP:
		p.Proto = model.IPProtoUDP
	case model.SCTP:
		p.Proto = model.IPProtoSCTP
	case model.ICMP:
		p.Proto, p.Type = model.IPProtoICMP, []uint8{8, 13, 15, 17}[x.IntN(4)]
		if six {
			p.Proto, p.Type = model.IPProtoICMPv6, []uint8{128, 139}[x.IntN(2)]
		}
	default:
		// Without ports all packets between two addresses are one connection, whoever
		// opens it: even numbers go out, odd ones come in.
		p.Proto = []uint8{50, 4, 254, 2, 64}[x.IntN(5)]
		if d == model.Ingress {
			p.Proto = []uint8{253, 41, 47, 59, 89}[x.IntN(5)]
		}
	}
	switch {
	case x.IntN(8) > 0:
	case six:
		for range x.IntN(4) {
			p.Headers = append(p.Headers, walked[x.IntN(len(walked))])
		}
	default:
		p.Options = slices.Repeat([]byte{1, 1, 1, 1}, x.IntN(11))
	}
	return p
}

// counters compares what was counted.
func (x *comparison) counters(t compiler.Target) error {
	for name, got := range x.counted() {
		if want := x.want[name]; got != want {
			return fmt.Errorf("%+v: %d packets were counted as %q, want %d", t, got, name, want)
		}
		delete(x.want, name)
	}
	for name, want := range x.want {
		return fmt.Errorf("%+v: no packets were counted as %q, want %d", t, name, want)
	}
	return nil
}
