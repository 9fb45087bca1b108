//go:build linux

package place

import (
	"context"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Changes tells of changes to what Find and Own look at. The channel holds one
// message at most: it says that something has changed, not what. Changes ends with
// ctx.
type Changes struct{ C <-chan struct{} }

// WatchChanges subscribes in the calling thread's network namespace.
func WatchChanges(ctx context.Context) (*Changes, error) {
	links := make(chan netlink.LinkUpdate)
	routes := make(chan netlink.RouteUpdate)
	neighbours := make(chan netlink.NeighUpdate)
	failed := make(chan error, 3)
	report := func(err error) { failed <- err }
	done := ctx.Done()
	if err := netlink.LinkSubscribeWithOptions(links, done, netlink.LinkSubscribeOptions{ErrorCallback: report}); err != nil {
		return nil, fmt.Errorf("watch interfaces: %w", err)
	}
	if err := netlink.RouteSubscribeWithOptions(routes, done, netlink.RouteSubscribeOptions{ErrorCallback: report}); err != nil {
		return nil, fmt.Errorf("watch routes: %w", err)
	}
	if err := netlink.NeighSubscribeWithOptions(neighbours, done, netlink.NeighSubscribeOptions{ErrorCallback: report}); err != nil {
		return nil, fmt.Errorf("watch neighbours: %w", err)
	}
	c := make(chan struct{}, 1)
	go func() {
		tell := func() {
			select {
			case c <- struct{}{}:
			default:
			}
		}
		for links != nil || routes != nil || neighbours != nil {
			select {
			case _, ok := <-links:
				if !ok {
					links = nil
					continue
				}
				tell()
			case _, ok := <-routes:
				if !ok {
					routes = nil
					continue
				}
				tell()
			case n, ok := <-neighbours:
				if !ok {
					neighbours = nil
					continue
				}
				if n.State&(unix.NUD_REACHABLE|unix.NUD_PERMANENT|unix.NUD_NOARP) != 0 {
					tell() // others say nothing new of where an address is
				}
			case <-failed: // messages were lost, or the subscription ended
				tell()
			}
		}
	}()
	return &Changes{c}, nil
}

// Wait returns when something has changed and then nothing for calm, or after
// most, or when ctx ends.
func (c *Changes) Wait(ctx context.Context, calm, most time.Duration) {
	timeout := time.After(most)
	select {
	case <-c.C:
	case <-timeout:
		return
	case <-ctx.Done():
		return
	}
	for {
		select {
		case <-c.C:
		case <-time.After(calm):
			return
		case <-timeout:
			return
		case <-ctx.Done():
			return
		}
	}
}
