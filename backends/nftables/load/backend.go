//go:build linux

package load

import (
	"context"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/backends/nftables"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/internal/loader"
	"github.com/trafficpolicy/trafficpolicy/internal/place"
)

// Backend is the loader's backend for nftables.
type Backend struct{}

// Name returns bundle.NFTables.
func (Backend) Name() string { return bundle.NFTables }

// Hooks returns what chains on interfaces and in the forward hook see.
func (Backend) Hooks() place.Hooks {
	return place.Hooks{BridgeNetfilter: true, Name: plainName.MatchString, Tool: "nft"}
}

// Decode reads the commands by what they do.
func (Backend) Decode(c *bundle.Bundle) (*space.Reading, error) {
	return nftables.Decode(c.Files, &c.Manifest)
}

// Open finds the nft command and makes sure that it can be used here.
func (Backend) Open(ctx context.Context, s *loader.Space) (loader.Kernel, error) {
	c, err := findNFT(ctx, s)
	if err != nil {
		return nil, err
	}
	return &kernel{nft: c}, nil
}
