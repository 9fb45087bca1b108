//go:build linux

package load

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Messages and attributes of nfnetlink_log
// (include/uapi/linux/netfilter/nfnetlink_log.h).
const (
	nfLogPacket = unix.NFNL_SUBSYS_ULOG << 8
	nfLogConfig = unix.NFNL_SUBSYS_ULOG<<8 | 1

	cfgCommand = 1 // u8
	cfgMode    = 2 // be32 bytes of each packet, u8 mode, u8 padding
	cfgTimeout = 4 // be32, hundredths of a second
	cfgFlags   = 6 // be16

	commandBind = 1
	modePacket  = 2
	flagSeq     = 1

	attrPacketHeader = 1 // be16 protocol, u8 hook
	attrTimestamp    = 3 // be64 seconds, be64 microseconds
	attrInDev        = 4 // be32
	attrPayload      = 9
	attrPrefix       = 10
	attrSeq          = 12 // be32
)

// logged is one packet of the log.
type logged struct {
	prefix  string
	hook    uint8 // NF_INET_*
	time    time.Time
	seq     uint32
	payload []byte // from the IP header on, cut off
}

// logReader receives the packets of one nflog group.
type logReader struct {
	conn *netlink.Conn
	next uint32 // sequence number of the packet to come
	any  bool   // next is known
}

// openLog binds a group in the calling thread's network namespace. There can be
// one reader of a group.
func openLog(group uint16) (*logReader, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, fmt.Errorf("nflog: %w", err)
	}
	r := &logReader{conn: conn}
	// Room for bursts; without CAP_NET_ADMIN over the first namespace the kernel
	// gives what it likes to give.
	if conn.SetReadBuffer(4<<20) != nil {
		conn.SetReadBuffer(1 << 20)
	}
	for _, attr := range []netlink.Attribute{
		{Type: cfgCommand, Data: []byte{commandBind}},
		{Type: cfgMode, Data: []byte{0, 0, 0, 128, modePacket, 0}},
		{Type: cfgTimeout, Data: []byte{0, 0, 0, 10}},
		{Type: cfgFlags, Data: []byte{0, flagSeq}},
	} {
		if err := r.configure(group, attr); err != nil {
			conn.Close()
			return nil, err
		}
	}
	return r, nil
}

func (r *logReader) configure(group uint16, attr netlink.Attribute) error {
	data, err := netlink.MarshalAttributes([]netlink.Attribute{attr})
	if err != nil {
		return fmt.Errorf("nflog: %w", err)
	}
	header := binary.BigEndian.AppendUint16([]byte{unix.AF_UNSPEC, unix.NFNETLINK_V0}, group)
	_, err = r.conn.Execute(netlink.Message{
		Header: netlink.Header{Type: nfLogConfig, Flags: netlink.Request | netlink.Acknowledge},
		Data:   append(header, data...),
	})
	switch {
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EPERM):
		// EPERM also where somebody else has it (nfnetlink_log.c, nfulnl_recv_config).
		return fmt.Errorf("cannot read nflog group %d of this network namespace: somebody does already (another tploader monitor?), or CAP_NET_ADMIN is missing", group)
	case err != nil:
		return fmt.Errorf("nflog: bind group %d: %w", group, err)
	}
	return nil
}

// close stops reading.
func (r *logReader) close() error { return r.conn.Close() }

// read waits for packets. lost is how many the kernel had to throw away before
// them because nobody read. It ends with ctx.
func (r *logReader) read(ctx context.Context) (packets []logged, lost uint64, err error) {
	stop := context.AfterFunc(ctx, func() { r.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	messages, err := r.conn.Receive()
	switch {
	case ctx.Err() != nil:
		return nil, 0, ctx.Err()
	case errors.Is(err, unix.ENOBUFS):
		return nil, 0, nil // how many shows in the numbers of those that follow
	case err != nil:
		return nil, 0, fmt.Errorf("nflog: %w", err)
	}
	for _, m := range messages {
		if m.Header.Type != nfLogPacket || len(m.Data) < 4 {
			continue
		}
		p, err := parseLogged(m.Data[4:])
		if err != nil {
			return packets, lost, fmt.Errorf("nflog: %w", err)
		}
		if r.any {
			lost += uint64(p.seq - r.next) // wraps as the kernel's does
		}
		r.next, r.any = p.seq+1, true
		packets = append(packets, p)
	}
	return packets, lost, nil
}

func parseLogged(data []byte) (p logged, err error) {
	attrs, err := netlink.UnmarshalAttributes(data)
	if err != nil {
		return p, err
	}
	p.time = time.Now()
	for _, a := range attrs {
		switch {
		case a.Type == attrPacketHeader && len(a.Data) >= 3:
			p.hook = a.Data[2]
		case a.Type == attrTimestamp && len(a.Data) >= 16:
			p.time = time.Unix(int64(binary.BigEndian.Uint64(a.Data)), int64(binary.BigEndian.Uint64(a.Data[8:]))*1000)
		case a.Type == attrPayload:
			p.payload = a.Data
		case a.Type == attrPrefix:
			p.prefix = cString(a.Data)
		case a.Type == attrSeq && len(a.Data) >= 4:
			p.seq = binary.BigEndian.Uint32(a.Data)
		}
	}
	return p, nil
}

func cString(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}
