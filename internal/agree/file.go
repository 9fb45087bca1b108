package agree

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"golang.org/x/tools/txtar"

	"github.com/trafficpolicy/trafficpolicy/internal/synth"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// Names of the files of a kept case.
const (
	policiesFile  = "policies.yaml"
	inventoryFile = "inventory.yaml"
	packetsFile   = "packets.json"
)

// Kept is a case in testdata/agree: a txtar archive of policies, inventory, and
// what is asked of them. Its comment says what it was about.
type Kept struct {
	Comment string
	Case
	Packets []Packet
	// Flows are packets that are sent, see package wire. Mode is the kind of node
	// that they were sent at.
	Flows []Flow
	Mode  string
}

// Flow is the first packet of a connection on the wire.
type Flow struct {
	Src, Dst netip.Addr
	L4       model.L4
}

// question is the JSON of packets.json.
type question struct {
	Switches
	Packets []packetJSON `json:"packets,omitempty"`
	Mode    string       `json:"mode,omitempty"`
	Flows   []flowJSON   `json:"flows,omitempty"`
}

type packetJSON struct {
	Pod       string     `json:"pod"`
	Direction string     `json:"direction"`
	Local     netip.Addr `json:"local"`
	Peer      netip.Addr `json:"peer"`
	pointJSON
}

type flowJSON struct {
	Src netip.Addr `json:"src"`
	Dst netip.Addr `json:"dst"`
	pointJSON
}

// pointJSON is a point of the transport axis.
type pointJSON struct {
	Proto string `json:"proto"`          // TCP, UDP, SCTP, ICMP or other
	Port  uint16 `json:"port,omitempty"` // destination port
}

func pointOf(x model.L4) pointJSON { return pointJSON{x.Proto().String(), x.Port()} }

func (p pointJSON) point() (model.L4, error) {
	for _, proto := range []model.Proto{model.TCP, model.UDP, model.SCTP, model.ICMP, model.Other} {
		if proto.String() == p.Proto {
			return model.L4Of(proto, p.Port), nil
		}
	}
	return 0, fmt.Errorf("protocol %q", p.Proto)
}

// Keep returns a mismatch as a case to be kept.
func (m *Mismatch) Keep(c *synth.Cluster) *Kept {
	return &Kept{Comment: m.Error(), Case: *CaseOf(c), Packets: []Packet{m.Packet}}
}

// Write writes the case to DIR/NAME.txtar and returns that path.
func (k *Kept) Write(dir, name string) (string, error) {
	q := question{Switches: k.Switches, Mode: k.Mode}
	for _, p := range k.Packets {
		q.Packets = append(q.Packets, packetJSON{p.Pod, p.Direction.String(), p.Local, p.Peer, pointOf(p.L4)})
	}
	for _, f := range k.Flows {
		q.Flows = append(q.Flows, flowJSON{f.Src, f.Dst, pointOf(f.L4)})
	}
	text, err := json.MarshalIndent(q, "", "  ")
	if err != nil {
		return "", err
	}
	a := &txtar.Archive{Comment: []byte(k.Comment + "\n"), Files: []txtar.File{
		{Name: policiesFile, Data: []byte(k.Policies)},
		{Name: inventoryFile, Data: []byte(k.Inventory)},
		{Name: packetsFile, Data: append(text, '\n')},
	}}
	path := filepath.Join(dir, name+".txtar")
	return path, os.WriteFile(path, txtar.Format(a), 0o644)
}

// Read reads a case that was kept.
func Read(path string) (*Kept, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	a := txtar.Parse(text)
	k := &Kept{Comment: string(bytes.TrimSpace(a.Comment))}
	var q question
	for _, f := range a.Files {
		switch f.Name {
		case policiesFile:
			k.Policies = string(f.Data)
		case inventoryFile:
			k.Inventory = string(f.Data)
		case packetsFile:
			d := json.NewDecoder(bytes.NewReader(f.Data))
			d.DisallowUnknownFields()
			if err := d.Decode(&q); err != nil {
				return nil, fmt.Errorf("%s: %s: %w", path, f.Name, err)
			}
		default:
			return nil, fmt.Errorf("%s: %q is no file of a case", path, f.Name)
		}
	}
	k.Switches, k.Mode = q.Switches, q.Mode
	if err := k.ask(&q); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}

func (k *Kept) ask(q *question) error {
	for _, p := range q.Packets {
		x, err := p.point()
		if err != nil {
			return err
		}
		d := model.Egress
		switch p.Direction {
		case model.Ingress.String():
			d = model.Ingress
		case d.String():
		default:
			return fmt.Errorf("direction %q", p.Direction)
		}
		k.Packets = append(k.Packets, Packet{p.Pod, d, p.Local, p.Peer, x})
	}
	for _, f := range q.Flows {
		x, err := f.point()
		if err != nil {
			return err
		}
		k.Flows = append(k.Flows, Flow{f.Src, f.Dst, x})
	}
	return nil
}
