//go:build linux

package kerneltest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Policies is what both programs are told of policies and cluster.
type Policies struct {
	// Args are -f, -i and what else decides a verdict.
	Args []string
}

// WritePolicies keeps policies and inventory, both YAML, in dir.
func WritePolicies(dir, policies, inventory string, args ...string) (*Policies, error) {
	p, i := filepath.Join(dir, "policies.yaml"), filepath.Join(dir, "inventory.yaml")
	if err := os.WriteFile(p, []byte(policies), 0o644); err != nil {
		return nil, err
	}
	if err := os.WriteFile(i, []byte(inventory), 0o644); err != nil {
		return nil, err
	}
	return &Policies{append([]string{"-f", p, "-i", i}, args...)}, nil
}

// ResolveArgs returns names as --resolve.
func ResolveArgs(names map[string][]netip.Addr) []string {
	var out []string
	for name, addrs := range names {
		for _, a := range addrs {
			out = append(out, "--resolve", name+"="+a.String())
		}
	}
	return out
}

// Flow is the first packet of a connection.
type Flow struct {
	Src, Dst netip.Addr
	Proto    model.Proto
	Port     uint16 // destination port; 0 where the protocol has none
}

// String returns the flow in one line.
func (f Flow) String() string {
	return fmt.Sprintf("%s > %s %s", f.Src, f.Dst, model.L4Of(f.Proto, f.Port))
}

// Verdict is what the simulator says of a flow, or of one side of it.
type Verdict struct {
	Allow, Reject bool
	Reason, Rule  string
}

// String returns the verdict with its reason.
func (v Verdict) String() string {
	s := "deny"
	if v.Allow {
		s = "allow"
	} else if v.Reject {
		s = "reject"
	}
	return strings.TrimSpace(s + " (" + v.Reason + " " + v.Rule + ")")
}

// Judgement is the simulator's answer to one flow.
type Judgement struct {
	Egress, Ingress Verdict
}

// Both returns the verdict of the flow: where both sides deny, the egress side
// decides how.
func (j Judgement) Both() Verdict {
	if !j.Egress.Allow {
		return j.Egress
	}
	return j.Ingress
}

// simulated is the JSON of trafficpolicy simulate, as far as it counts here.
type simulated struct {
	Error           string
	Verdict         string
	Egress, Ingress *struct {
		Verdict string
		Reject  bool
		Reason  string
		Rule    string
	}
}

// Simulate asks the simulator.
func (p *Policies) Simulate(flows []Flow) ([]Judgement, error) {
	var csv bytes.Buffer
	csv.WriteString("src,dst,proto,port\n")
	for _, f := range flows {
		port := ""
		if f.Proto.HasPorts() {
			port = fmt.Sprint(f.Port)
		}
		fmt.Fprintf(&csv, "%s,%s,%s,%s\n", f.Src, f.Dst, strings.ToLower(f.Proto.String()), port)
	}
	args := append([]string{"simulate", "--flows", "-", "-o", "json"}, p.Args...)
	out, err := Run(csv.Bytes(), "trafficpolicy", args...)
	if err != nil {
		return nil, err
	}
	var js []Judgement
	for sc := bufio.NewScanner(bytes.NewReader(out)); sc.Scan(); {
		j, err := readJudgement(sc.Bytes())
		if err != nil {
			return nil, fmt.Errorf("simulate %s: %w", flows[len(js)], err)
		}
		js = append(js, j)
	}
	if len(js) != len(flows) {
		return nil, fmt.Errorf("simulate answered %d of %d flows", len(js), len(flows))
	}
	return js, nil
}

func readJudgement(line []byte) (j Judgement, err error) {
	var s simulated
	if err := json.Unmarshal(line, &s); err != nil {
		return j, fmt.Errorf("%w: %s", err, line)
	}
	if s.Error != "" || s.Egress == nil || s.Ingress == nil {
		return j, fmt.Errorf("no single verdict: %s", line)
	}
	j.Egress = Verdict{s.Egress.Verdict == "allow", s.Egress.Reject, s.Egress.Reason, s.Egress.Rule}
	j.Ingress = Verdict{s.Ingress.Verdict == "allow", s.Ingress.Reject, s.Ingress.Reason, s.Ingress.Rule}
	if j.Both().Allow != (s.Verdict == "allow") {
		return j, fmt.Errorf("the verdict is not that of its sides: %s", line)
	}
	return j, nil
}
