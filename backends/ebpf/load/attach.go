//go:build linux

package load

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"

	"github.com/trafficpolicy/trafficpolicy/internal/state"
)

// attach puts programs on interfaces, and returns those that had none. One that is
// attached already keeps what it has.
func (d *datapath) attach(list []state.Interface) (fresh map[int]bool, err error) {
	all, err := d.hooks.list()
	if err != nil {
		return nil, err
	}
	have := map[attached]bool{}
	for _, a := range all {
		have[a] = true
	}
	fresh = map[int]bool{}
	for _, i := range list {
		ethernet, err := d.hooks.ethernet(i.Index)
		if errors.As(err, new(netlink.LinkNotFoundError)) {
			continue // since it was found: its pod is unattached
		}
		if err != nil {
			return fresh, fmt.Errorf("interface %s: %w", i.Name, err)
		}
		for _, s := range sides {
			p := d.program(s, ethernet)
			if have[attached{i.Index, s, programID(p)}] {
				continue
			}
			fresh[i.Index] = true
			if err := d.hooks.attach(i.Index, s, p); err != nil {
				return fresh, fmt.Errorf("interface %s: %w", i.Name, err)
			}
		}
	}
	return fresh, nil
}
