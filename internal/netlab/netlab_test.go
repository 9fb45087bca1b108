//go:build linux

package netlab_test

import (
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/internal/kerneltest"
	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
	"github.com/trafficpolicy/trafficpolicy/model"
)

func addrs(ss ...string) []netip.Addr {
	var as []netip.Addr
	for _, s := range ss {
		as = append(as, netip.MustParseAddr(s))
	}
	return as
}

var specs = map[string]netlab.Spec{
	"routed": {
		Addrs: addrs("192.168.10.11", "fd00:10::11"),
		Pods: []netlab.PodSpec{
			{Name: "a", Addrs: addrs("10.20.0.10", "fd00:20::10")},
			{Name: "b", Addrs: addrs("10.20.0.20", "fd00:20::20")},
		},
	},
	"bridged": {
		Mode:   netlab.Bridged,
		Bridge: []netip.Prefix{netip.MustParsePrefix("10.20.0.1/24"), netip.MustParsePrefix("fd00:20::1/64")},
		Addrs:  addrs("192.168.10.11", "fd00:10::11"),
		Pods: []netlab.PodSpec{
			{Name: "a", Addrs: addrs("10.20.0.10", "fd00:20::10")},
			{Name: "b", Addrs: addrs("10.20.0.20", "fd00:20::20")},
		},
	},
	"tunnelled": {
		Mode:  netlab.Tunnelled,
		Addrs: addrs("192.168.10.11", "fd00:10::11"),
		Pods: []netlab.PodSpec{
			{Name: "a", Addrs: addrs("10.20.0.10", "fd00:20::10")},
			{Name: "b", Addrs: addrs("10.20.0.20", "fd00:20::20")},
		},
	},
}

func forEach(t *testing.T, f func(t *testing.T, n *netlab.Node)) {
	for name, spec := range specs {
		for _, real := range []bool{false, true} {
			spec.RealNeighbours = real
			t.Run(name+map[bool]string{true: ", real neighbours"}[real], func(t *testing.T) {
				f(t, kerneltest.NewNode(t, spec))
			})
		}
	}
}

// TestProbes shows that every probe gets through where nothing stops it, and
// that its outcomes are told apart.
func TestProbes(t *testing.T) {
	kerneltest.Require(t)
	forEach(t, func(t *testing.T, n *netlab.Node) {
		out := addrs("8.8.8.8", "2001:db8::8")
		if err := n.Outside.Own(out...); err != nil {
			t.Fatal(err)
		}
		for _, s := range []*netlab.Namespace{n.Outside.Namespace, n.Pods[1].Namespace, n.Namespace} {
			if _, err := s.Serve(8080); err != nil {
				t.Fatal(err)
			}
		}
		a := n.Pods[0]
		for _, dst := range slices.Concat(out, n.Pods[1].Addrs, n.Spec.Addrs, a.Addrs) {
			open := netlab.Answered
			if slices.Contains(a.Addrs, dst) {
				open = netlab.Refused // nothing listens in a itself
			}
			check(t, "tcp "+dst.String(), open)(a.TCP(netip.Addr{}, netip.AddrPortFrom(dst, 8080)))
			check(t, "tcp "+dst.String(), netlab.Refused)(a.TCP(netip.Addr{}, netip.AddrPortFrom(dst, 8081)))
			check(t, "udp "+dst.String(), open)(a.UDP(netip.Addr{}, netip.AddrPortFrom(dst, 8080)))
			check(t, "udp "+dst.String(), netlab.Refused)(a.UDP(netip.Addr{}, netip.AddrPortFrom(dst, 8081)))
			check(t, "ping "+dst.String(), netlab.Answered)(a.Ping(netip.Addr{}, dst))
		}
		for _, dst := range addrs("8.8.8.9", "2001:db8::9") {
			check(t, "tcp "+dst.String(), netlab.Silence)(a.TCP(netip.Addr{}, netip.AddrPortFrom(dst, 8080)))
		}
	})
}

func check(t *testing.T, what string, want netlab.Outcome) func(netlab.Outcome, error) {
	return func(got netlab.Outcome, err error) {
		t.Helper()
		if err != nil || got != want {
			t.Errorf("%s: %v (%v), want %v", what, got, err, want)
		}
	}
}

// TestPackets shows that built packets arrive, of each protocol, whole and in
// fragments, at a pod, the outside and the node.
func TestPackets(t *testing.T) {
	kerneltest.Require(t)
	forEach(t, func(t *testing.T, n *netlab.Node) {
		a, b := n.Pods[0], n.Pods[1]
		local, err := n.LocalReceiver(model.IPProtoTCP, model.IPProtoUDP, model.IPProtoICMP, model.IPProtoSCTP, 253)
		if err != nil {
			t.Fatal(err)
		}
		type sent struct {
			what   string
			cookie uint64
			at     *netlab.Receiver
			count  int
		}
		var all []sent
		for _, is6 := range []bool{false, true} {
			if n.Spec.RealNeighbours { // the first packet waits for its neighbour
				for _, dst := range []netip.Addr{b.Addr(is6), n.Spec.Addrs[0]} {
					_, _ = a.Ping(netip.Addr{}, dst)
				}
			}
		}
		err = n.Settle(func() error {
			for _, is6 := range []bool{false, true} {
				far, node := netip.MustParseAddr("8.8.8.8"), n.Spec.Addrs[0]
				if is6 {
					far, node = netip.MustParseAddr("2001:db8::8"), n.Spec.Addrs[1]
				}
				for _, dst := range []struct {
					addr netip.Addr
					at   *netlab.Receiver
				}{{b.Addr(is6), &b.Tap().Receiver}, {far, &n.Outside.Tap().Receiver}, {node, local}} {
					for _, proto := range []uint8{6, 17, 1, 58, 132, 253} {
						if proto == 1 && is6 || proto == 58 && !is6 {
							continue
						}
						p := netlab.Packet{Src: a.Addr(is6), Dst: dst.addr, Proto: proto, SrcPort: 40000, DstPort: 53, ID: 7, IPID: uint16(proto), Cookie: netlab.NextCookie()}
						p.Type = map[uint8]uint8{1: 8, 58: 128}[proto]
						if err := a.SendFrame(p.Bytes()); err != nil {
							return err
						}
						all = append(all, sent{p.String(), p.Cookie, dst.at, 1})
						if proto == 132 {
							continue
						}
						for _, order := range [][2]int{{0, 1}, {1, 0}} {
							p.Cookie, p.IPID = netlab.NextCookie(), p.IPID+1
							p.SrcPort++
							fs := p.Fragments(128)
							for _, i := range order {
								if err := a.SendFrame(fs[i]); err != nil {
									return err
								}
							}
							count := 2
							if dst.at == local {
								count = 1 // reassembled
							}
							all = append(all, sent{"fragments of " + p.String(), p.Cookie, dst.at, count})
						}
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			got := 0
			for _, a := range s.at.Arrivals() {
				if a.Cookie == s.cookie && !a.IsError() {
					got++
				}
			}
			if got != s.count {
				t.Errorf("%s: %d arrivals, want %d", s.what, got, s.count)
			}
		}
	})
}

// TestChecksums lets the kernel judge the packets that we build: what it does
// not accept it counts.
func TestChecksums(t *testing.T) {
	kerneltest.Require(t)
	n := kerneltest.NewNode(t, specs["routed"])
	err := n.NFT(`table inet t {
		counter bad { packets 0 bytes 0; }
		counter good { packets 0 bytes 0; }
		chain c {
			type filter hook forward priority 0
			ct state invalid counter name bad
			ct state new counter name good
		}
	}`)
	if err != nil {
		t.Fatal(err)
	}
	count := uint64(0)
	err = n.Settle(func() error {
		for _, h := range []*netlab.Host{n.Pods[0], n.Pods[1]} {
			for _, src := range h.Addrs {
				dst := netip.MustParseAddr("8.8.8.8")
				if src.Is6() {
					dst = netip.MustParseAddr("2001:db8::8")
				}
				for i, proto := range []uint8{6, 17, model.IPProtoICMP, 132, 253} {
					p := netlab.Packet{Src: src, Dst: dst, Proto: proto, SrcPort: uint16(1000 + i), DstPort: 53, Cookie: netlab.NextCookie(), Type: 8, Payload: make([]byte, i)}
					if src.Is6() && proto == model.IPProtoICMP {
						p.Proto, p.Type = model.IPProtoICMPv6, 128
					}
					count++
					if err := h.SendFrame(p.Bytes()); err != nil {
						return err
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := n.Command(t.Context(), "", "nft", "list", "counters")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"packets 0 ", "packets " + strconv.FormatUint(count+1, 10) + " "} { // and the sentinel
		if !strings.Contains(out, want) {
			t.Errorf("counters lack %q:\n%s", want, out)
		}
	}
}

// TestSweep shows that the namespaces of a dead process are deleted and those
// of a living one are not.
func TestSweep(t *testing.T) {
	kerneltest.Require(t)
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	left := "tp-" + strconv.Itoa(dead.Process.Pid) + "-1-left"
	if err := os.WriteFile("/run/netns/"+left, nil, 0o444); err != nil {
		t.Fatal(err)
	}
	n := kerneltest.NewNode(t, specs["routed"])
	if err := netlab.Sweep(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("/run/netns/" + left); err == nil {
		t.Errorf("%s is still there", left)
	}
	if _, err := os.Stat(n.Path()); err != nil {
		t.Error(err)
	}
}
