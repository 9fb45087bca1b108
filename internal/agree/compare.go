package agree

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/trafficpolicy/trafficpolicy/internal/synth"
)

// Mismatch is a packet that two readings judge differently.
type Mismatch struct {
	Packet  Packet
	Want    Verdict // what [Plain] says
	Reading string
	Got     Verdict
	Err     error // why the reading could not say, nil where it did
}

func (m *Mismatch) Error() string {
	if m.Err != nil {
		return fmt.Sprintf("%s: %s cannot say: %v", m.Packet, m.Reading, m.Err)
	}
	return fmt.Sprintf("%s: %s says %s, %s %s", m.Packet, m.Reading, m.Got, Plain.Name, m.Want)
}

// Compare asks every reading about the packets and returns the first that one
// judges otherwise than [Plain], nil where all agree.
func (s *Set) Compare(readings []Reading, packets []Packet) (*Mismatch, error) {
	plain, err := Plain.Read(s)
	if err != nil {
		return nil, err
	}
	for _, r := range readings {
		judge, err := r.Read(s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.Name, err)
		}
		for _, p := range packets {
			want, err := plain(p)
			if err != nil {
				return nil, err
			}
			got, err := judge(p)
			if err != nil || !got.agrees(want) {
				return &Mismatch{p, want, r.Name, got, err}, nil
			}
		}
	}
	return nil, nil
}

// Check draws the packets of a cluster and compares. It returns how many were
// compared: none where the cluster governs no pod.
func Check(ctx context.Context, c *synth.Cluster, readings []Reading, packets int) (int, *Mismatch, error) {
	s, err := CaseOf(c).Load(ctx)
	if errors.Is(err, ErrNothing) {
		return 0, nil, nil
	}
	if err != nil {
		return 0, nil, err
	}
	m, err := s.Compare(readings, s.Packets(rand.New(rand.NewPCG(c.Seed, 0x706b)), packets))
	return packets, m, err
}

// Smallest returns the smallest part of c that the readings still disagree about,
// and the packet. failing is what they have disagreed about first.
func Smallest(ctx context.Context, c *synth.Cluster, readings []Reading, packets int, failing *Mismatch) (*synth.Cluster, *Mismatch) {
	small := synth.Shrink(c, func(c *synth.Cluster) bool {
		m := again(ctx, c, readings, packets, failing)
		return m != nil
	})
	if m := again(ctx, small, readings, packets, failing); m != nil {
		failing = m
	}
	return small, failing
}

// again returns a mismatch of c: about the packet that is known, or any other.
func again(ctx context.Context, c *synth.Cluster, readings []Reading, packets int, known *Mismatch) *Mismatch {
	s, err := CaseOf(c).Load(ctx)
	if err != nil || ctx.Err() != nil {
		return nil
	}
	if _, err := s.class(known.Packet.Pod); err == nil {
		if m, err := s.Compare(readings, []Packet{known.Packet}); m != nil && err == nil && m.Err == nil {
			return m
		}
	}
	m, err := s.Compare(readings, s.Packets(rand.New(rand.NewPCG(c.Seed, 0x706b)), packets))
	if err != nil {
		return nil
	}
	return m
}
