//go:build linux

package load

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
	"github.com/trafficpolicy/trafficpolicy/internal/loader"
)

// feed receives the events of denied packets.
type feed struct {
	reader *ringbuf.Reader
	lock   *os.File
	dir    string    // of pins
	boot   time.Time // when the clock of events began
	start  uint64    // on it, when the feed began
	ids    map[uint32]string
	of     uint32 // the generation that ids were read for
}

// Monitor opens the ring of events. There can be one reader.
func (Backend) Monitor(_ context.Context, s *loader.Space, _ *loader.Bundle) (loader.Feed, error) {
	dir, err := pinFolder(s.Key, false)
	if err != nil {
		return nil, fmt.Errorf("events: %w", err)
	}
	lock, err := lockFolder(filepath.Join(dir, sharedFolder))
	if err != nil {
		return nil, err
	}
	m, err := ebpf.LoadPinnedMap(filepath.Join(dir, sharedFolder, bpf.MapEvents), nil)
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("events: %w", err)
	}
	defer m.Close()
	f := &feed{lock: lock, dir: dir}
	now, err := monotonic()
	if err == nil {
		f.start, f.boot = now, time.Now().Add(-time.Duration(now))
		f.reader, err = ringbuf.NewReader(m)
	}
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("events: %w", err)
	}
	return f, nil
}

// lockFolder makes sure that nobody else reads the events.
func lockFolder(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("events: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errors.New("cannot read the events of this network namespace: somebody does already (another tploader monitor?)")
		}
		return nil, fmt.Errorf("events: %w", err)
	}
	return f, nil
}

func monotonic() (uint64, error) {
	var now unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	return uint64(now.Nano()), err
}

// Close gives the ring up.
func (f *feed) Close() error { return errors.Join(f.reader.Close(), f.lock.Close()) }

// Next waits for events. Those from before the feed began are left out.
func (f *feed) Next(ctx context.Context) ([]loader.Denied, uint64, error) {
	for {
		if err := f.alive(); err != nil {
			return nil, 0, err
		}
		f.reader.SetDeadline(time.Now().Add(feedCheck))
		r, err := f.reader.Read()
		if ctx.Err() != nil {
			return nil, 0, ctx.Err()
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		if err != nil {
			return nil, 0, fmt.Errorf("events: %w", err)
		}
		e, err := bpf.DecodeEvent(r.RawSample)
		if err != nil {
			return nil, 0, fmt.Errorf("events: %w", err)
		}
		if e.Time < f.start {
			continue
		}
		d, err := f.denied(&e)
		if err != nil {
			return nil, 0, err
		}
		return []loader.Denied{d}, 0, nil
	}
}

// feedCheck is how often a feed looks whether its programs are still in force, and
// whether it is to end.
const feedCheck = 250 * time.Millisecond

// alive returns an error if what the feed reads from was removed.
func (f *feed) alive() error {
	ours, err := f.lock.Stat()
	if err != nil {
		return fmt.Errorf("events: %w", err)
	}
	now, err := os.Stat(f.lock.Name())
	if err != nil || !os.SameFile(ours, now) {
		return errors.New("the programs that events came from were removed")
	}
	return nil
}

// fixedReasons are those of the counters that every instance has.
var fixedReasons = map[bpf.CounterNumber]string{
	bpf.CounterSpoofed: loader.Spoofed, bpf.CounterStray: loader.Stray,
	bpf.CounterBroken: loader.Broken, bpf.CounterUnknown: loader.Unknown,
	bpf.CounterEthertype: loader.Ethertype,
}

func (f *feed) denied(e *bpf.Event) (loader.Denied, error) {
	d := loader.Denied{Sent: e.Direction == bpf.Egress, ID: fixedReasons[e.Counter]}
	d.Packet.Time = f.boot.Add(time.Duration(e.Time)).UTC()
	d.Packet.Fill(e.Packet)
	n, ok := e.Counter.Decider()
	if !ok {
		return d, nil
	}
	if f.ids == nil || f.of != e.Generation {
		if err := f.readIDs(e.Generation); err != nil {
			return d, err
		}
	}
	d.ID = f.ids[n]
	return d, nil
}

// readIDs reads which rule has which counter.
func (f *feed) readIDs(generation uint32) error {
	names, err := instances(f.dir)
	if err != nil || len(names) == 0 {
		return errors.Join(loader.ErrNothing, err)
	}
	m, err := ebpf.LoadPinnedMap(filepath.Join(f.dir, names[len(names)-1].String(), mapIDs), nil)
	if err != nil {
		return fmt.Errorf("ids of counters: %w", err)
	}
	defer m.Close()
	ids, err := readMap[[8]byte, uint32](m)
	if err != nil {
		return fmt.Errorf("ids of counters: %w", err)
	}
	f.ids, f.of = map[uint32]string{}, generation
	for key, n := range ids {
		f.ids[n] = keyID(key)
	}
	return nil
}
