//go:build linux

package load

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/backends/nftables"
	"github.com/trafficpolicy/trafficpolicy/internal/loader"
)

// kernel is the table in the calling thread's network namespace.
type kernel struct {
	nft     *command
	objects []object // those listed last
	fresh   bool     // and nothing was loaded since
}

// list returns the objects of the table. One command of tploader asks several
// times, and a large table takes nft long to print.
func (k *kernel) list(ctx context.Context) (objects []object, err error) {
	if !k.fresh {
		if k.objects, err = k.nft.list(ctx, false); err != nil {
			return nil, err
		}
		k.fresh = true
	}
	return k.objects, nil
}

// Drift compares the table with what it was.
func (k *kernel) Drift(ctx context.Context, a *loader.Applied, held []byte) ([]string, error) {
	objects, err := k.list(ctx)
	if err != nil {
		return nil, err
	}
	if held == nil {
		return []string{"what the kernel should hold was not recorded"}, nil
	}
	h, err := decodeHolding(held)
	if err != nil {
		return []string{err.Error()}, nil
	}
	gone, err := goneChains(a.Record)
	if err != nil {
		return nil, err
	}
	b, err := a.Bundle()
	if err != nil {
		return nil, err
	}
	drift := h.compare(k.nft.version, objects, gone)
	return append(drift, nameDrift(objects, a.Record.Prefix, b, a.Learned)...), nil
}

// Inspect returns nothing: Drift compares the whole table.
func (k *kernel) Inspect(context.Context, *loader.Applied) ([]string, error) { return nil, nil }

// Unknown says whether there is a table.
func (k *kernel) Unknown(ctx context.Context) ([]string, error) {
	objects, err := k.list(ctx)
	if err != nil || objects == nil {
		return nil, err
	}
	if m, ok := findMark(objects); ok {
		return []string{fmt.Sprintf("the kernel holds generation %.12s, which this state directory does not know", m.generation)}, nil
	}
	return []string{"the kernel holds a table " + nftables.Table + " that this state directory does not know"}, nil
}

// InForce reports whether there is a table.
func (k *kernel) InForce(ctx context.Context) (bool, error) {
	objects, err := k.list(ctx)
	return objects != nil, err
}

// Holding lists the table.
func (k *kernel) Holding(ctx context.Context, _ *loader.Applied) ([]byte, error) {
	objects, err := k.list(ctx)
	if err != nil {
		return nil, err
	}
	return hold(k.nft.version, objects).encode()
}

// Settle knows from the mark in the table which record is in force.
func (k *kernel) Settle(ctx context.Context, next, current *loader.Applied) (switched bool, err error) {
	k.fresh = false
	objects, err := k.nft.list(ctx, true)
	if err != nil {
		return false, err
	}
	m, ok := findMark(objects)
	r := next.Record
	switch {
	case ok && m == (mark{r.Generation, r.Apply, r.Prefix}):
		return true, k.nft.cleanup(ctx, cleanupScript(objects, r.Prefix, ""))
	case ok:
		return false, k.nft.cleanup(ctx, cleanupScript(objects, m.prefix, ""))
	case current != nil: // somebody has removed the mark, or the table
		return false, k.nft.cleanup(ctx, cleanupScript(objects, current.Record.Prefix, ""))
	}
	_, err = k.Remove(ctx)
	return false, err
}

// Remove deletes the table.
func (k *kernel) Remove(ctx context.Context) (bool, error) {
	k.fresh = false
	err := k.nft.load(ctx, "delete table "+nftables.Table+"\n")
	if notFound(err) {
		return false, nil
	}
	return err == nil, err
}

// Connections reads the size of the namespace's table of tracked connections.
// When it is full the kernel drops the first packet of every new connection.
func (k *kernel) Connections(context.Context) *loader.ConnTable {
	read := func(name string) (uint64, bool) {
		b, err := os.ReadFile("/proc/sys/net/netfilter/" + name)
		if err != nil {
			return 0, false
		}
		n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
		return n, err == nil
	}
	count, ok1 := read("nf_conntrack_count")
	most, ok2 := read("nf_conntrack_max")
	if !ok1 || !ok2 {
		return nil
	}
	return loader.NewConnTable(count, most)
}
