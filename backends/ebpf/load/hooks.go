//go:build linux

package load

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// side is one of the two hooks of an interface.
type side int

const (
	ingress side = iota // what the interface receives
	egress              // what is sent out of it
)

var sides = [...]side{ingress, egress}

func (s side) String() string { return [...]string{"ingress", "egress"}[s] }

// hooks attaches programs to the interfaces of the calling thread's network
// namespace: by TCX links (Linux 6.6), which are pinned in a folder, or where the
// kernel has none by filters in a clsact qdisc.
//
// Of other programs on an interface, ours is before those at ingress and behind
// those at egress: nearest to the pod on its node, so that addresses are seen as
// the pod uses them. In the pod's own namespace it is the other way round.
type hooks struct {
	nl     *netlink.Handle
	folder string // of pinned links; may not exist
	tcx    bool
	pod    bool // in a pod's own namespace
}

// noTCX has tests use clsact where the kernel has both.
var noTCX = os.Getenv("TRAFFICPOLICY_NO_TCX") != ""

func openHooks(folder string, pod bool) (*hooks, error) {
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("route netlink: %w", err)
	}
	return &hooks{nl: nl, folder: filepath.Join(folder, "links"), tcx: !noTCX && haveTCX(), pod: pod}, nil
}

// haveTCX asks the kernel for the programs of an interface that does not exist:
// one with TCX looks for the interface, one without refuses the question.
func haveTCX() bool {
	_, err := link.QueryPrograms(link.QueryOptions{Target: 1<<31 - 1, Attach: ebpf.AttachTCXIngress})
	return errors.Is(err, unix.ENODEV)
}

// attached is what one hook holds.
type attached struct {
	index int // of the interface
	side  side
	prog  ebpf.ProgramID // 0 where the interface is gone
}

// attach puts a program on a hook, or in the place of the one that is there, in
// one step.
func (h *hooks) attach(index int, s side, p *ebpf.Program) error {
	var err error
	if h.tcx {
		err = h.attachTCX(index, s, p)
	} else {
		err = h.attachFilter(index, s, p)
	}
	if err != nil {
		return fmt.Errorf("attach to %s of interface %d: %w", s, index, err)
	}
	return nil
}

func (h *hooks) pinOf(index int, s side) string {
	return filepath.Join(h.folder, fmt.Sprintf("%d-%s", index, s))
}

func (h *hooks) attachTCX(index int, s side, p *ebpf.Program) error {
	path := h.pinOf(index, s)
	if l, err := link.LoadPinnedLink(path, nil); err == nil {
		defer l.Close()
		if alive(l, index) {
			return l.Update(p)
		}
		if err := os.Remove(path); err != nil { // of an interface that is gone
			return err
		}
	}
	o := link.TCXOptions{Interface: index, Program: p, Attach: ebpf.AttachTCXIngress, Anchor: link.Head()}
	if s == egress {
		o.Attach, o.Anchor = ebpf.AttachTCXEgress, link.Tail()
	}
	if h.pod {
		o.Anchor = map[side]link.Anchor{ingress: link.Tail(), egress: link.Head()}[s]
	}
	l, err := link.AttachTCX(o)
	if errors.Is(err, unix.EEXIST) {
		if err := dropUnpinned(index, o.Attach, p); err != nil {
			return err
		}
		l, err = link.AttachTCX(o)
	}
	if err != nil {
		return err
	}
	defer l.Close() // the pin keeps it; without one it is detached here
	if err := os.Mkdir(h.folder, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return l.Pin(path)
}

// dropUnpinned detaches a program whose pin somebody has removed: the kernel lets go
// of the link when it comes to it, which can be many seconds later where it saves
// power (CONFIG_RCU_LAZY).
func dropUnpinned(index int, at ebpf.AttachType, p *ebpf.Program) error {
	res, err := link.QueryPrograms(link.QueryOptions{Target: index, Attach: at})
	if err != nil {
		return err
	}
	for _, x := range res.Programs {
		id, ok := x.LinkID()
		if !ok || x.ID != programID(p) {
			continue
		}
		l, err := link.NewFromID(id)
		if errors.Is(err, os.ErrNotExist) {
			continue // gone by now
		}
		if err != nil {
			return err
		}
		err = l.Detach()
		l.Close()
		if err != nil && !errors.Is(err, unix.ENOLINK) {
			return err
		}
	}
	return nil
}

// alive reports whether a link still is on its interface: the kernel forgets the
// index with the interface (kernel/bpf/tcx.c, tcx_link_release).
func alive(l link.Link, index int) bool {
	info, err := l.Info()
	if err != nil {
		return false
	}
	t := info.TCX()
	return t != nil && int(t.Ifindex) == index
}

// Filters of ours: the first to be asked, with a handle of their own.
const (
	filterPriority = 1
	filterHandle   = 0x7470
	filterName     = "trafficpolicy"
)

func (h *hooks) filter(index int, s side) *netlink.BpfFilter {
	return &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: index, Parent: map[side]uint32{ingress: netlink.HANDLE_MIN_INGRESS, egress: netlink.HANDLE_MIN_EGRESS}[s],
			Priority: filterPriority, Handle: filterHandle, Protocol: unix.ETH_P_ALL,
		},
		Name: filterName, DirectAction: true,
	}
}

func clsact(index int) *netlink.GenericQdisc {
	return &netlink.GenericQdisc{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT},
		QdiscType:  "clsact",
	}
}

func (h *hooks) attachFilter(index int, s side, p *ebpf.Program) error {
	if err := h.nl.QdiscAdd(clsact(index)); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("clsact: %w", err)
	}
	f := h.filter(index, s)
	f.Fd = p.FD()
	return h.nl.FilterReplace(f)
}

// detach takes ours off both hooks of an interface. That there is nothing, or no
// interface, is no error.
func (h *hooks) detach(index int) error {
	for _, s := range sides {
		var err error
		if h.tcx {
			err = h.detachTCX(index, s)
		} else if err = h.nl.FilterDel(h.filter(index, s)); isGone(err) {
			err = nil
		}
		if err != nil {
			return fmt.Errorf("detach from %s of interface %d: %w", s, index, err)
		}
	}
	if h.tcx {
		return nil
	}
	return h.dropClsact(index)
}

// detachTCX detaches before it unpins: of a link that nobody holds any more the
// kernel lets go later (kernel/bpf/syscall.c, bpf_link_put).
func (h *hooks) detachTCX(index int, s side) error {
	path := h.pinOf(index, s)
	l, err := link.LoadPinnedLink(path, nil)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer l.Close()
	if alive(l, index) {
		if err := l.Detach(); err != nil && !errors.Is(err, unix.ENOLINK) {
			return err
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// isGone reports whether netlink says that a filter, qdisc or interface is not
// there.
func isGone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EINVAL)
}

// dropClsact deletes the qdisc if nobody has a filter in it.
func (h *hooks) dropClsact(index int) error {
	l, err := h.nl.LinkByIndex(index)
	if err != nil {
		return nil // gone with its filters
	}
	for _, s := range sides {
		list, err := h.nl.FilterList(l, h.filter(index, s).Parent)
		if err != nil || len(list) > 0 {
			return nil
		}
	}
	if err := h.nl.QdiscDel(clsact(index)); err != nil && !isGone(err) {
		return fmt.Errorf("delete clsact of interface %d: %w", index, err)
	}
	return nil
}

var linkPin = regexp.MustCompile(`^(\d+)-(ingress|egress)$`)

// list returns every hook that holds ours.
func (h *hooks) list() ([]attached, error) {
	if h.tcx {
		return h.listLinks()
	}
	return h.listFilters()
}

func (h *hooks) listLinks() ([]attached, error) {
	entries, err := os.ReadDir(h.folder)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("pinned links: %w", err)
	}
	var all []attached
	for _, e := range entries {
		m := linkPin.FindStringSubmatch(e.Name())
		if m == nil {
			continue
		}
		a := attached{side: ingress}
		a.index, _ = strconv.Atoi(m[1])
		if m[2] == egress.String() {
			a.side = egress
		}
		l, err := link.LoadPinnedLink(filepath.Join(h.folder, e.Name()), nil)
		if err != nil {
			return nil, fmt.Errorf("pinned link %s: %w", e.Name(), err)
		}
		if info, err := l.Info(); err == nil && alive(l, a.index) {
			a.prog = info.Program
		}
		l.Close()
		all = append(all, a)
	}
	return all, nil
}

func (h *hooks) listFilters() ([]attached, error) {
	links, err := h.nl.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	var all []attached
	for _, l := range links {
		for _, s := range sides {
			list, err := h.nl.FilterList(l, h.filter(0, s).Parent)
			if err != nil {
				continue // no clsact
			}
			for _, f := range list {
				if b, ok := f.(*netlink.BpfFilter); ok && b.Handle == filterHandle && strings.HasPrefix(b.Name, filterName) {
					all = append(all, attached{index: l.Attrs().Index, side: s, prog: ebpf.ProgramID(b.Id)})
				}
			}
		}
	}
	return all, nil
}

func (h *hooks) close() { h.nl.Close() }

// ethernet reports whether packets on an interface have an Ethernet header;
// otherwise they begin with the IP header.
func (h *hooks) ethernet(index int) (bool, error) {
	l, err := h.nl.LinkByIndex(index)
	if err != nil {
		return false, err
	}
	return l.Attrs().EncapType == "ether", nil
}
