//go:build linux

package kerneltest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/trafficpolicy/trafficpolicy/internal/dnslab"
	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// Where the DNS server answers, and addresses that names get.
var (
	dnsIP   = addr("192.0.2.53")
	aIP     = [2]netip.Addr{addr("8.8.1.1"), addr("2001:db8:8:1::1")}
	bIP     = [2]netip.Addr{addr("8.8.1.2"), addr("2001:db8:8:1::2")}
	sharedP = addr("8.8.1.3")
	spare   = addr("8.8.1.4")
	joint   = addr("8.8.1.5")
)

// namesOut is egress by names alone: the first rule of an address decides.
const namesOut = `egress: {rules: [
 {action: deny, to: [{fqdn: bad.example}]},
 {action: allow, to: [{fqdn: Good.Example.}, {fqdn: alias.example}], ports: [{protocol: TCP, port: 443}, {protocol: UDP, port: 443}]},
 {action: deny, to: [{fqdn: late.example}]},
 {action: allow, to: [{fqdn: evil.example}]},
 {action: allow, to: [{cidr: 8.8.1.4/32}]}]}`

// agent is a running tploader watch.
type agentRun struct {
	w      *wire
	cmd    *exec.Cmd
	mu     sync.Mutex
	stderr bytes.Buffer
	socket string
	done   chan error
}

// runAgent starts an agent, which ends with the test.
func (w *wire) runAgent(args ...string) *agentRun {
	w.Helper()
	path, err := tool("tploader")
	w.must(err)
	r := &agentRun{w: w, socket: filepath.Join(w.TempDir(), "metrics.sock"), done: make(chan error, 1)}
	all := append([]string{"--netns", w.Space.Path(), "--state-dir", w.StateDir, "watch", "--node", "node-a", "--resolver", dnsIP.String(),
		"--name-grace", "1s", "--metrics", "unix:" + r.socket}, args...)
	r.cmd = exec.Command(path, all...)
	pipe, err := r.cmd.StderrPipe()
	w.must(err)
	w.must(r.cmd.Start())
	go func() {
		for sc := bufio.NewScanner(pipe); sc.Scan(); {
			r.mu.Lock()
			r.stderr.WriteString(sc.Text() + "\n")
			r.mu.Unlock()
		}
		r.done <- r.cmd.Wait()
	}()
	w.Cleanup(r.kill)
	return r
}

func (r *agentRun) kill() {
	r.cmd.Process.Kill()
	<-r.done
	r.done <- nil
}

func (r *agentRun) said() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stderr.String()
}

// refresh has the agent ask for every name now.
func (r *agentRun) refresh() {
	r.w.Helper()
	r.w.must(r.cmd.Process.Signal(syscall.SIGHUP))
}

// get returns what the agent serves.
func (r *agentRun) get(path string) (int, string, error) {
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", r.socket)
	}}}
	resp, err := c.Get("http://agent" + path)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// metric returns a metric by name with labels, as it is printed.
func (r *agentRun) metric(name string) float64 {
	r.w.Helper()
	_, text, err := r.get("/metrics")
	r.w.must(err)
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, "trafficpolicy_"+name+" "); ok {
			f, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
			r.w.must(err)
			return f
		}
	}
	r.w.Errorf("there is no metric %s:\n%s", name, text)
	return -1
}

// patience is how long something may take that ought to come.
const patience = 10 * time.Second

// until waits until ok.
func (r *agentRun) until(what string, ok func() bool) {
	r.w.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if ok() {
			return
		}
		if time.Now().After(end) {
			r.w.Fatalf("%s: not within %s; the agent says:\n%s", what, patience, r.said())
		}
	}
}

// connects reports whether the client gets a TCP connection, which it then ends.
func (w *wire) connects(dst netip.Addr, port uint16) bool {
	w.Helper()
	c, err := w.client.Dial(netip.Addr{}, netip.AddrPortFrom(dst, port), 250*time.Millisecond)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// wantConnects compares it with what is wanted.
func (w *wire) wantConnects(when string, want bool, port uint16, dst ...netip.Addr) {
	w.Helper()
	for _, d := range dst {
		if got := w.connects(d, port); got != want {
			w.Errorf("%s: a connection to %s port %d is %t, want %t", when, d, port, got, want)
		}
	}
}

// wantEcho sends a byte there, which ought to come back or not to.
func (w *wire) wantEcho(when string, want bool, c net.Conn) {
	w.Helper()
	w.must(c.SetDeadline(time.Now().Add(500 * time.Millisecond)))
	_, err := c.Write([]byte("x"))
	w.must(err)
	if _, err := c.Read(make([]byte, 1)); (err == nil) != want {
		w.Errorf("%s: an answer is %t, want %t (%v)", when, err == nil, want, err)
	}
}

// onNames runs a test with a DNS server, on the two backends at once: most of the
// time is waiting.
func onNames(t *testing.T, f func(w *wire, dns *dnslab.Server)) {
	dnslab.Require(t)
	Require(t)
	for _, b := range Backends {
		if b.Bare {
			continue
		}
		t.Run(b.String(), func(t *testing.T) {
			t.Parallel()
			w := newWire(t, b, wireSpec(netlab.Routed), "")
			w.serve(443, 80)
			w.must(w.Node.Outside.Own(dnsIP, sharedP, spare, joint, aIP[0], aIP[1], bIP[0], bIP[1]))
			f(w, dnslab.New(t, w.Node.Outside.Namespace, []netip.Addr{dnsIP}))
		})
	}
}

// setNames puts policies of names in force.
func (w *wire) setNames(policies ...string) *Policies {
	w.Helper()
	p, err := WritePolicies(w.TempDir(), strings.Join(policies, ""), wireInventory)
	w.must(err)
	w.apply(p, "--allow-unresolved")
	return p
}

// wantSimulated compares what the simulator says with the addresses that the node has
// learned, and what becomes of connections.
func (w *wire) wantSimulated(p *Policies, port uint16, dst ...netip.Addr) {
	w.Helper()
	live := &Policies{append(slices.Clone(p.Args), "--live="+w.StateDir)}
	var flows []Flow
	for _, d := range dst {
		f := Flow{Src: clientIP[0], Dst: d, Proto: model.TCP, Port: port}
		if d.Is6() {
			f.Src = clientIP[1]
		}
		flows = append(flows, f)
	}
	want, err := live.Simulate(flows)
	w.must(err)
	for i, f := range flows {
		w.wantConnects("simulated, "+want[i].Both().String(), want[i].Both().Allow, port, f.Dst)
	}
}

// records returns an A and an AAAA record.
func records(name string, of [2]netip.Addr) []string {
	return []string{fmt.Sprintf("%s 1 A %s", name, of[0]), fmt.Sprintf("%s 1 AAAA %s", name, of[1])}
}

// TestNames: what a name means is what its last answers say, with real packets before
// and after: an address appears, rotates, goes; answers fail; addresses are refused.
func TestNames(t *testing.T) {
	onNames(t, func(w *wire, dns *dnslab.Server) {
		p := w.setNames(policyOf("client", namesOut))
		w.wantConnects("before any answer", false, 443, aIP[:]...)
		r := w.runAgent("--refuse", "10.20.0.0/24")
		r.until("names that do not exist are asked for", func() bool { return r.health() == "ok" })
		w.wantConnects("NXDOMAIN", false, 443, aIP[:]...)

		w.must(dns.Set(records("good.example.", aIP)...))
		r.refresh()
		r.until("an address appears", func() bool { return w.connects(aIP[0], 443) && w.connects(aIP[1], 443) })
		w.wantConnects("another port of the rule's address", false, 80, aIP[:]...)
		w.wantConnects("another address", false, 443, bIP[:]...)
		w.Logf("from the answer to the kernel: %.1f ms", 1000*r.metric("name_change_delay_seconds"))

		// The connections that are open stay, whatever becomes of the name.
		keep, err := w.client.Dial(netip.Addr{}, netip.AddrPortFrom(aIP[0], 443), time.Second)
		w.must(err)
		defer keep.Close()
		doomed, err := w.client.Dial(netip.Addr{}, netip.AddrPortFrom(spare, 80), time.Second)
		w.must(err)
		defer doomed.Close()
		w.wantEcho("a connection before its address is of a name that is denied", true, doomed)

		// A chain of names leads to another address; evil names are refused; one address has
		// two names, of which an earlier rule denies.
		w.must(dns.Set(append(records("good.example.", aIP),
			"alias.example. 1 CNAME x.alias.example.", "x.alias.example. 1 CNAME y.example.", "y.example. 1 A "+bIP[0].String(),
			"evil.example. 1 A 100.100.100.200", "evil.example. 1 A "+openIP[0].String(), "evil.example. 1 A "+serverIP[0].String(),
			"good.example. 1 A "+sharedP.String(), "bad.example. 1 A "+sharedP.String(),
			"good.example. 1 A "+spare.String(), "late.example. 1 A "+spare.String(),
			"good.example. 1 A "+joint.String(), "evil.example. 1 A "+joint.String(),
		)...))
		r.refresh()
		r.until("a chain of names", func() bool { return w.connects(bIP[0], 443) })
		r.until("a refused address is said", func() bool { return strings.Contains(r.said(), "evil.example: the address 100.100.100.200") })
		if n := r.metric("name_addresses_refused"); n != 3 {
			w.Errorf("%v addresses are refused, want the metadata service's and two pods'", n)
		}
		r.until("an address of two names is said", func() bool {
			s := r.said()
			return strings.Contains(s, sharedP.String()) && strings.Contains(s, "bad.example") && strings.Contains(s, "good.example")
		})
		w.wantConnects("two names, the first rule denies", false, 443, sharedP)
		w.wantConnects("two names, the first rule allows", true, 443, spare)
		w.wantConnects("two names, the first rule has other ports, the second denies", false, 80, spare)
		w.wantConnects("two names, the first rule has the port", true, 443, joint)
		w.wantConnects("two names, the first rule has other ports, the second allows", true, 80, joint)
		w.wantSimulated(p, 443, aIP[0], aIP[1], bIP[0], sharedP, spare, joint, badIP[0])
		w.wantSimulated(p, 80, aIP[0], bIP[0], sharedP, spare, joint)
		w.wantEcho("a connection whose address is of a name that is denied now", false, doomed)
		w.must(doomed.(*net.TCPConn).SetLinger(0)) // a connection that lives would keep the address
		doomed.Close()
		w.wantConnects("a pod's address in an answer", false, 443, serverIP[0], openIP[0])
		w.wantConnects("an address in an answer that is refused", false, 443, addr("100.100.100.200"))

		// Servers that fail change nothing.
		w.must(dns.Fail("good.example."))
		r.refresh()
		r.until("SERVFAIL is noticed", func() bool { return r.metric("names_stale") > 0 })
		w.wantConnects("SERVFAIL", true, 443, aIP[:]...)
		if code, text, _ := r.get("/healthz"); code != http.StatusServiceUnavailable || !strings.Contains(text, "could not be asked for") {
			w.Errorf("health while names are stale: %d %s", code, text)
		}
		w.must(dns.Fail())
		w.must(dns.Pause())
		r.refresh()
		w.until(25*time.Second, "a timeout is noticed", func() bool { return r.metric("names_stale") >= 4 })
		w.wantConnects("timeout", true, 443, aIP[:]...)
		w.must(dns.Resume())

		// It rotates through 64 addresses, too many for a datagram.
		var many []string
		for i := range 64 {
			many = append(many, fmt.Sprintf("good.example. 1 A 8.8.2.%d", i))
		}
		w.must(w.Node.Outside.Own(addr("8.8.2.0"), addr("8.8.2.63")))
		w.must(dns.Set(many...))
		r.refresh()
		r.until("64 addresses", func() bool { return w.connects(addr("8.8.2.0"), 443) && w.connects(addr("8.8.2.63"), 443) })

		// What no answer has any more goes, and what was denied by it is allowed: but not
		// where a connection lives.
		w.until(25*time.Second, "addresses go", func() bool { return r.metric("name_addresses") <= 65 })
		w.wantConnects("an address that is gone", false, 443, aIP[1], bIP[0], sharedP, joint)
		w.wantConnects("an address that a name denied", true, 443, spare)
		w.wantConnects("an address that a name denied, on a port of no name", true, 80, spare)
		w.wantConnects("an address in use", true, 443, aIP[0])
		w.wantEcho("the connection whose address no answer has any more", true, keep)
		if n := r.metric("name_addresses_in_use"); n < 1 {
			w.Errorf("%v addresses in use", n)
		}
	})
}

// until waits for longer than an agentRun does.
func (w *wire) until(most time.Duration, what string, ok func() bool) {
	w.Helper()
	for end := time.Now().Add(most); !ok(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			w.Fatalf("%s: not within %s", what, most)
		}
	}
}

// health returns the first line of the agent's health, empty while it does not answer.
func (r *agentRun) health() string {
	_, text, err := r.get("/healthz")
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(text, "\n")
	return first
}

// TestAgentRestart: while an agent is killed and started again, and while bundles are
// applied beside it, no packet of what names allow is lost, none of what they deny passes.
func TestAgentRestart(t *testing.T) {
	onNames(t, func(w *wire, dns *dnslab.Server) {
		w.must(dns.Set(append(records("good.example.", aIP), "bad.example. 1 A "+sharedP.String(), "good.example. 1 A "+sharedP.String())...))
		w.setNames(policyOf("client", namesOut))
		r := w.runAgent()
		r.until("names are known", func() bool { return w.connects(aIP[0], 443) && w.connects(aIP[1], 443) })
		var conns []live
		for f := range aIP {
			conns = append(conns,
				live{"allowed by name", clientIP[f], aIP[f], 443, true, true},
				live{"of no name", clientIP[f], bIP[f], 443, false, false},
			)
		}
		conns = append(conns, live{"denied by the first name", clientIP[0], sharedP, 443, false, false})
		tr := w.keepSending(conns)
		time.Sleep(100 * time.Millisecond)
		start := time.Now()
		r.kill()
		time.Sleep(200 * time.Millisecond)
		r = w.runAgent()
		r.until("it is back", func() bool { return r.health() == "ok" })
		r.kill()
		w.setNames(policyOf("client", namesOut), policyOf("server", closed)) // by hand, without an agent
		r = w.runAgent()
		r.until("it is back", func() bool { return r.health() == "ok" })
		w.setNames(policyOf("client", namesOut)) // and beside one
		time.Sleep(500 * time.Millisecond)
		end := time.Now()
		tr.stop()
		w.must(tr.err)
		w.must(w.Node.Settle(func() error { return nil }))
		arrived := map[uint64]bool{}
		for _, rc := range w.receivers() {
			for _, a := range rc.Arrivals() {
				arrived[a.Cookie] = arrived[a.Cookie] || !a.IsError()
			}
		}
		lost, leaked, sent := 0, 0, 0
		for _, s := range tr.between(start, end) {
			sent++
			switch {
			case s.a && !arrived[s.Cookie]:
				lost++
			case !s.a && arrived[s.Cookie]:
				leaked++
			}
		}
		if lost > 0 || leaked > 0 || sent < 100 {
			w.Errorf("of %d packets %d were lost that names allow, and %d passed that they do not", sent, lost, leaked)
		}
		w.Logf("%d packets in %s", sent, end.Sub(start).Round(time.Millisecond))
		// SIGTERM leaves all in force.
		w.must(r.cmd.Process.Signal(syscall.SIGTERM))
		if err := <-r.done; err != nil {
			w.Errorf("after SIGTERM: %v: %s", err, r.said())
		}
		r.done <- nil
		w.wantConnects("without an agent", true, 443, aIP[:]...)
		w.wantConnects("without an agent", false, 443, bIP[:]...)
		if _, err := os.Lstat(r.socket); err == nil {
			w.Error("the socket is left")
		}
	})
}
