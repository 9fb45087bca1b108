//go:build linux

package load

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/cilium/ebpf"

	"github.com/trafficpolicy/trafficpolicy/backends/ebpf/bpf"
	"github.com/trafficpolicy/trafficpolicy/internal/loader"
)

// datapath is what one network namespace has in the kernel: what is attached to
// interfaces and lasts as long as anything does, and an instance of what holds
// policies, which is replaced by a larger one when it is full.
type datapath struct {
	dir    string // of pins
	pod    bool   // in a pod's own namespace
	hooks  *hooks
	shared *objects
	inst   *instance
}

// sharedFolder is the name of the folder of what all instances share.
const sharedFolder = "shared"

// open opens what is pinned in dir, and ends what a loader that was killed has
// left of replacing an instance; nil where there is nothing.
func open(dir string) (*datapath, error) {
	names, err := instances(dir)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	d := &datapath{dir: dir, pod: names[0].pod}
	if d.hooks, err = openHooks(dir, d.pod); err != nil {
		return nil, err
	}
	d.shared, err = openObjects(filepath.Join(dir, sharedFolder), sharedMaps, enterPrograms)
	if err == nil {
		d.inst, err = openInstance(dir, names[len(names)-1])
	}
	if err == nil && len(names) > 1 {
		err = d.replace(names[len(names)-2])
	}
	if err != nil {
		d.close()
		return nil, fmt.Errorf("%w (tploader remove clears what is pinned)", err)
	}
	return d, nil
}

func (d *datapath) close() {
	if d.hooks != nil {
		d.hooks.close()
	}
	if d.shared != nil {
		d.shared.close()
	}
	if d.inst != nil {
		d.inst.close()
	}
}

// instanceName names the folder of an instance.
type instanceName struct {
	pod    bool
	number int
}

func (n instanceName) String() string {
	return map[bool]string{false: "node-", true: "pod-"}[n.pod] + strconv.Itoa(n.number)
}

var instanceFolder = regexp.MustCompile(`^(node|pod)-([1-9]\d{0,8})$`)

// instances lists those pinned in dir, by number, and removes what is not
// complete.
func instances(dir string) ([]instanceName, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("pins: %w", err)
	}
	var names []instanceName
	for _, e := range entries {
		if len(e.Name()) > len(newPrefix) && e.Name()[:len(newPrefix)] == newPrefix {
			if err := removePins(filepath.Join(dir, e.Name())); err != nil {
				return nil, err
			}
		}
		if m := instanceFolder.FindStringSubmatch(e.Name()); m != nil {
			n, _ := strconv.Atoi(m[2])
			names = append(names, instanceName{m[1] == "pod", n})
		}
	}
	if len(names) == 2 && names[0].number > names[1].number { // there are never more
		names[0], names[1] = names[1], names[0]
	}
	return names, nil
}

// newDatapath makes what all instances share, and a first instance in which no
// policy is in force.
func newDatapath(dir string, pod bool, s sizes) (*datapath, error) {
	d := &datapath{dir: dir, pod: pod}
	var err error
	if d.hooks, err = openHooks(dir, pod); err != nil {
		return nil, err
	}
	if d.shared, err = newShared(pod); err != nil {
		d.close()
		return nil, err
	}
	if err = removePins(filepath.Join(dir, sharedFolder)); err == nil { // what is there belongs to no instance
		err = d.shared.pin(filepath.Join(dir, sharedFolder))
	}
	if err == nil {
		d.inst, err = newInstance(d, instanceName{pod, 1}, s)
	}
	if err == nil {
		err = d.inst.pin()
	}
	if err == nil {
		err = d.enter()
	}
	if err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// enter has packets go on in the programs of the instance.
func (d *datapath) enter() error {
	for i, name := range judges(d.inst.raw()) {
		if err := d.shared.maps[bpf.MapPrograms].Put(uint32(i), d.inst.programs[name]); err != nil {
			return fmt.Errorf("go on in instance %s: %w", d.inst.name, err)
		}
	}
	return nil
}

// grow replaces the instance by one of at least these sizes in which the same
// policy is in force. Each direction of each kind of interface changes over at a
// moment of its own, from one policy to the same.
func (d *datapath) grow(s sizes) error {
	old := d.inst
	s.raw = s.raw || old.raw()
	next, err := newInstance(d, instanceName{d.pod, old.name.number + 1}, s)
	if err != nil {
		return err
	}
	if err = next.copy(old); err == nil {
		err = next.pin()
	}
	if err != nil {
		next.close()
		return fmt.Errorf("larger instance: %w", err)
	}
	d.inst = next
	old.close()
	return d.replace(old.name)
}

// replace ends what grow has begun: it may be called again at any point.
func (d *datapath) replace(name instanceName) error {
	old, err := openInstance(d.dir, name)
	if err != nil {
		return err
	}
	defer old.close()
	if err := d.enter(); err != nil {
		return err
	}
	loader.Grace() // from here on nothing counts in the old one
	if err := d.inst.carry(old); err != nil {
		return fmt.Errorf("carry counters: %w", err)
	}
	return removePins(filepath.Join(d.dir, name.String()))
}

// remove detaches and deletes everything.
func (d *datapath) remove() error {
	all, err := d.hooks.list()
	if err != nil {
		return err
	}
	for _, a := range all {
		if err := d.hooks.detach(a.index); err != nil {
			return err
		}
	}
	return removeFolder(d.dir)
}

// program returns what is attached to one side of an interface: what comes from
// the pod is judged at ingress on the node, at egress in the pod's own namespace.
func (d *datapath) program(s side, ethernet bool) *ebpf.Program {
	from := (s == ingress) != d.pod
	slot := map[[2]bool]bpf.Slot{
		{true, true}: bpf.SlotFromEther, {false, true}: bpf.SlotToEther,
		{true, false}: bpf.SlotFromIP, {false, false}: bpf.SlotToIP,
	}[[2]bool{from, ethernet}]
	return d.shared.programs[enterPrograms[slot]]
}

// newShared makes what all instances share, and draws the mark of our own answers:
// nobody can guess it.
func newShared(pod bool) (*objects, error) {
	spec, err := sharedSpec(pod)
	if err != nil {
		return nil, err
	}
	o, err := create(spec, nil)
	if err != nil {
		return nil, fmt.Errorf("load what packets enter by: %w", err)
	}
	var mark [4]byte
	rand.Read(mark[:])
	mark[0] |= 1
	if err := o.maps[mapMark].Put(uint32(0), mark); err != nil {
		o.close()
		return nil, err
	}
	return o, nil
}
