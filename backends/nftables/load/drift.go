//go:build linux

package load

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/backends/nftables"
)

// holding is what the kernel held when a record had just been put in force.
type holding struct {
	NFT     string            `json:"nft"`     // version, because each prints in its own way
	Objects map[string]string `json:"objects"` // digests by kind and name
}

func hold(version string, objects []object) *holding {
	h := &holding{NFT: version, Objects: make(map[string]string, len(objects))}
	for i := range objects {
		h.Objects[objects[i].key()] = objects[i].digest()
	}
	return h
}

// holdingSize returns an upper bound, in bytes, of the JSON of what a script
// leaves in the kernel.
func holdingSize(scripts ...string) int64 {
	const entry = len(`"counter ": "",`) + 32 + 8
	size := 4096
	for _, s := range scripts {
		for line := range strings.Lines(s) {
			for _, kind := range []string{"chain ", "map ", "set ", "counter ", "limit "} {
				if strings.HasPrefix(line, "add "+kind) || strings.HasPrefix(strings.TrimSpace(line), kind) {
					size += len(line) + entry
					break
				}
			}
		}
	}
	return int64(size)
}

// compare returns what differs, one sentence each, sorted. gone names objects
// whose absence is no drift.
func (h *holding) compare(version string, objects []object, gone map[string]bool) []string {
	if h.NFT != version {
		return []string{fmt.Sprintf("it was applied with nft %s and cannot be compared by nft %s (apply again)", h.NFT, version)}
	}
	now := hold(version, objects)
	var drift []string
	if len(objects) == 0 {
		return []string{"table " + nftables.Table + " is missing"}
	}
	for key, digest := range h.Objects {
		switch have, ok := now.Objects[key]; {
		case !ok && !gone[key]:
			drift = append(drift, key+" is missing")
		case ok && have != digest:
			drift = append(drift, key+" was changed")
		}
	}
	for key := range now.Objects {
		if _, ok := h.Objects[key]; !ok {
			drift = append(drift, key+" was added")
		}
	}
	slices.Sort(drift)
	return drift
}

func (h *holding) encode() ([]byte, error) { return json.Marshal(h) }

func decodeHolding(data []byte) (*holding, error) {
	var h holding
	if err := json.Unmarshal(data, &h); err != nil {
		return nil, fmt.Errorf("record of what the kernel holds: %w", err)
	}
	return &h, nil
}
