package bpf

import (
	"encoding/binary"
	"fmt"
)

// eventSize is that of struct tp_event.
const eventSize = 32 + 128

// Event is a packet that was dropped (struct tp_event).
type Event struct {
	Time       uint64 // CLOCK_MONOTONIC in nanoseconds
	Generation uint32
	Counter    CounterNumber // of what dropped it
	Ifindex    uint32
	Length     uint32 // of the packet, from the IP header on
	Direction  Direction
	Rejected   bool // the sender is told, as far as it may be and the rate allows
	// Packet is its beginning, from the IP header on, at most 128 bytes; of a frame
	// that is neither IPv4 nor IPv6 what follows the link layer. It shares memory with
	// the record.
	Packet []byte
}

// DecodeEvent reads a record of tp_events.
func DecodeEvent(record []byte) (Event, error) {
	if len(record) < eventSize {
		return Event{}, fmt.Errorf("event of %d bytes, want %d", len(record), eventSize)
	}
	le := binary.LittleEndian
	e := Event{
		Time:       le.Uint64(record),
		Generation: le.Uint32(record[8:]),
		Counter:    CounterNumber(le.Uint32(record[12:])),
		Ifindex:    le.Uint32(record[16:]),
		Length:     le.Uint32(record[20:]),
		Direction:  Direction(record[26]),
		Rejected:   record[27] == 2,
	}
	captured := int(le.Uint16(record[24:]))
	if data := record[32:]; captured <= len(data) {
		e.Packet = data[:captured]
	} else {
		return Event{}, fmt.Errorf("event holds %d bytes of a packet, says %d", len(data), captured)
	}
	return e, nil
}
