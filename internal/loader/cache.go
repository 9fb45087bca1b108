//go:build linux

package loader

import (
	"slices"
	"sync"
)

// cached is how many bundles a Cache keeps: that in force, the one before, and one
// that is about to be.
const cached = 3

// Cache keeps the bundles that were read last, for one Loader after another: reading one
// means checking all of it. It may be used by several at once.
type Cache struct {
	mu      sync.Mutex
	digests []string // of the bundles, the one used last behind the others
	bundles map[string]*Bundle
}

// NewCache returns an empty Cache.
func NewCache() *Cache { return &Cache{bundles: map[string]*Bundle{}} }

// get returns the bundle with that digest; read reads it where it is not there.
func (c *Cache) get(digest string, read func() (*Bundle, error)) (*Bundle, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.bundles[digest]
	if b == nil {
		var err error
		if b, err = read(); err != nil {
			return nil, err
		}
		c.bundles[digest] = b
	}
	c.digests = append(slices.DeleteFunc(c.digests, func(d string) bool { return d == digest }), digest)
	for len(c.digests) > cached {
		delete(c.bundles, c.digests[0])
		c.digests = c.digests[1:]
	}
	return b, nil
}
