//go:build linux

package load

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/trafficpolicy/trafficpolicy/internal/loader"
)

// plan is a change to the table, as transactions in order.
type plan struct {
	kernel *kernel
	change *loader.Change
	found  []object // what the kernel held before

	skeleton string // what outlives generations; changes nothing where it exists
	objects  string // the generation, referred to from nowhere
	dispatch string // switches to it
}

// manyNames is how many domain names nftables does well with; docs/performance.md.
const manyNames = 1000

// Plan writes the transactions. Where the generation need not be loaded, the
// objects in the kernel are kept; otherwise they are made beside those there,
// under another prefix if need be.
func (k *kernel) Plan(ctx context.Context, c *loader.Change) (loader.Plan, error) {
	objects, err := k.list(ctx)
	if err != nil {
		return nil, err
	}
	p := &plan{kernel: k, change: c, found: objects}
	m, _ := findMark(objects)
	c.Record.Apply = max(c.Record.Apply, m.apply+1)
	b := c.Bundle.Payload.(*payload)
	if err := checkLimit(b, c.Record, limitPods); err != nil {
		return nil, err
	}
	if !c.Load {
		c.Record.Prefix = c.Current.Prefix
		b = b.rename(c.Record.Prefix)
	} else {
		if n := len(c.Bundle.Manifest.Names); n > manyNames {
			k.nft.space.Log("warning: the bundle has %d domain names: with nftables each costs a packet two lookups, and listing thousands takes nft minutes (the ebpf backend does better)", n)
		}
		c.Record.Prefix = freePrefix(b.prefix, objects)
		b = b.rename(c.Record.Prefix)
		p.skeleton = b.skeleton + bridgeSkeleton(b) + limitSkeleton(c.Record)
		p.objects = b.objects + nodeAddrScript(b, c.Record.Options.NodeAddrs) + learnedScript(b.prefix, c.Bundle, c.Learned)
	}
	p.dispatch = dispatchScript(b, c.Record, objects)
	return p, nil
}

// Check has nft check all transactions as one.
func (p *plan) Check(ctx context.Context) error {
	return p.kernel.nft.check(ctx, p.skeleton+p.objects+p.dispatch)
}

// HoldingSize returns the bound for what the transactions leave.
func (p *plan) HoldingSize() int64 { return holdingSize(p.skeleton, p.objects, p.dispatch) }

// Switch runs the transactions.
func (p *plan) Switch(ctx context.Context) error {
	r := p.change.Record
	p.kernel.fresh = false
	if p.change.Load {
		if err := p.kernel.nft.load(ctx, p.skeleton); err != nil {
			return fmt.Errorf("load the skeleton: %w", err)
		}
		if err := p.kernel.nft.load(ctx, p.objects); err != nil {
			return fmt.Errorf("load generation %.12s: %w", r.Generation, err)
		}
	}
	if err := p.kernel.nft.load(ctx, p.dispatch); err != nil {
		return fmt.Errorf("switch to generation %.12s: %w", r.Generation, err)
	}
	return nil
}

// Clean deletes the objects of other generations.
func (p *plan) Clean(ctx context.Context) error {
	if !p.change.Load {
		return nil
	}
	p.kernel.fresh = false
	return p.kernel.nft.cleanup(ctx, cleanupScript(p.found, p.change.Record.Prefix, p.objects))
}

// freePrefix returns a prefix that no object has: that of the compiler, or one
// derived from it.
func freePrefix(compiled string, objects []object) string {
	used := map[string]bool{}
	for _, o := range objects {
		used[generationName.FindString(o.name)] = true
	}
	prefix := compiled
	for i := 1; used[prefix]; i++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", compiled, i))
		prefix = fmt.Sprintf("tp_%x_", sum[:6])
	}
	return prefix
}
