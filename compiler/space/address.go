package space

import (
	"cmp"
	"encoding/binary"
	"net/netip"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// address is an address of either family as a 128-bit number, an IPv4 address
// in its upper 32 bits: so prefix lengths count from the same end in both.
type address struct{ hi, lo uint64 }

func toAddress(a netip.Addr) address {
	if a.Is4() {
		b := a.As4()
		return address{uint64(binary.BigEndian.Uint32(b[:])) << 32, 0}
	}
	b := a.As16()
	return address{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// addr is the inverse of toAddress.
func (a address) addr(f model.Family) netip.Addr {
	if f == model.IPv4 {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(a.hi>>32))
		return netip.AddrFrom4(b)
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], a.hi)
	binary.BigEndian.PutUint64(b[8:], a.lo)
	return netip.AddrFrom16(b)
}

func (a address) compare(b address) int {
	return cmp.Or(cmp.Compare(a.hi, b.hi), cmp.Compare(a.lo, b.lo))
}

// block is a prefix: the addresses whose first bits are those of first.
type block struct {
	first address
	bits  uint8
}

func toBlock(p netip.Prefix) block {
	return block{toAddress(p.Addr()), uint8(p.Bits())}
}

func (b block) prefix(f model.Family) netip.Prefix {
	return netip.PrefixFrom(b.first.addr(f), int(b.bits))
}

// compare orders blocks by first address, the larger of two that share it first:
// so a block stands after all that contain it.
func (b block) compare(c block) int {
	return cmp.Or(b.first.compare(c.first), cmp.Compare(b.bits, c.bits))
}

func (b block) contains(a address) bool {
	hi, lo := hostMask(b.bits)
	return (a.hi^b.first.hi)&^hi == 0 && (a.lo^b.first.lo)&^lo == 0
}

// last returns the last address of b; for IPv4 with every lower bit set.
func (b block) last() address {
	hi, lo := hostMask(b.bits)
	return address{b.first.hi | hi, b.first.lo | lo}
}

// next returns the address behind the last of b, zero behind the end of the space.
func (b block) next() address {
	a := b.last()
	if a.lo++; a.lo == 0 {
		a.hi++
	}
	return a
}

// hostMask returns the bits behind the first n of 128.
func hostMask(n uint8) (hi, lo uint64) {
	if n >= 64 {
		return 0, ^uint64(0) >> (n - 64)
	}
	return ^uint64(0) >> n, ^uint64(0)
}
