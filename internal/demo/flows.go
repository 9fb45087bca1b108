package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
)

// flow is one row of the table: who calls whom, and how.
type flow struct {
	from, to string // keys of hosts
	ipv6     bool
	proto    string // tcp, udp or icmp
	port     uint16 // 0 for icmp
}

// hosts are the ends of flows with their IPv4 and IPv6 addresses. Those that
// are no pod or node of the cluster belong to the world outside, and so do the
// pods of the other node.
var hosts = map[string][2]string{
	"openclaw":  {"10.20.0.20", "fd00:20::20"},
	"agent":     {"10.20.0.10", "fd00:20::10"},
	"redis":     {"10.20.0.63", "fd00:20::63"},
	"kube-dns":  {"172.21.0.10", "fd00:21::10"}, // its clusterIPs
	"llm-proxy": {"172.21.0.80", "fd00:21::80"},
	"gateway":   {"10.20.1.70", "fd00:20:1::70"},
	"manager":   {"10.20.1.71", "fd00:20:1::71"},
	"attacker":  {"10.20.1.99", "fd00:20:1::99"},
	"node":      {"192.168.10.11", "fd00:10::11"},
	"internet":  {"8.8.8.8", "2001:db8::8"},
	"metadata":  {"100.100.100.200", "2001:db8::200"},
	"vpc":       {"100.96.7.7", "2001:db8::77"},
	"database":  {"47.96.1.20", "2001:db8::20"}, // of databaseName
}

// databaseName is the domain name in the agent's policy.
const databaseName = "rds-xxx.aliyuncs.com"

// flows are the calls of the demo.
var flows = []flow{
	{"openclaw", "internet", false, "tcp", 443},
	{"openclaw", "internet", false, "udp", 443},
	{"openclaw", "internet", false, "icmp", 0},
	{"openclaw", "internet", true, "tcp", 443},
	{"openclaw", "kube-dns", false, "udp", 53},
	{"openclaw", "kube-dns", true, "udp", 53},
	{"openclaw", "llm-proxy", false, "tcp", 80},
	{"openclaw", "metadata", false, "tcp", 80},
	{"openclaw", "redis", false, "tcp", 6379},
	{"openclaw", "agent", false, "icmp", 0},
	{"openclaw", "node", false, "tcp", 10250},
	{"agent", "database", false, "tcp", 3306},
	{"agent", "vpc", false, "tcp", 443},
	{"agent", "kube-dns", false, "tcp", 53},
	{"agent", "metadata", false, "tcp", 80},
	{"agent", "internet", false, "tcp", 443},
	{"agent", "internet", false, "icmp", 0},
	{"gateway", "openclaw", false, "tcp", 7788},
	{"gateway", "openclaw", true, "tcp", 7788},
	{"manager", "openclaw", false, "icmp", 0},
	{"attacker", "openclaw", false, "tcp", 7788},
	{"attacker", "openclaw", true, "udp", 7788},
	{"gateway", "agent", false, "tcp", 7788},
	{"manager", "agent", false, "tcp", 7788},
	{"attacker", "redis", false, "tcp", 6379},
	{"redis", "agent", false, "tcp", 7788},
	{"node", "agent", false, "tcp", 7788},
	{"node", "openclaw", true, "icmp", 0},
}

// ports are those that somebody listens on, everywhere.
var ports = []uint16{53, 80, 443, 3306, 6379, 7788, 8000, 10250}

func (f *flow) addr(host string) netip.Addr {
	if f.ipv6 {
		return netip.MustParseAddr(hosts[host][1])
	}
	return netip.MustParseAddr(hosts[host][0])
}

func (f *flow) src() netip.Addr { return f.addr(f.from) }
func (f *flow) dst() netip.Addr { return f.addr(f.to) }

// how returns the flow's protocol as people would say it.
func (f *flow) how() string {
	s := strings.ToUpper(f.proto)
	if f.port > 0 {
		s += fmt.Sprintf(" %d", f.port)
	}
	if f.ipv6 {
		s += " (IPv6)"
	}
	return s
}

// flowsCSV is what simulate --flows reads.
func flowsCSV() []byte {
	var b bytes.Buffer
	b.WriteString("src,dst,proto,port\n")
	for i := range flows {
		f := &flows[i]
		port := ""
		if f.port > 0 {
			port = fmt.Sprint(f.port)
		}
		fmt.Fprintf(&b, "%s,%s,%s,%s\n", f.src(), f.dst(), f.proto, port)
	}
	return b.Bytes()
}
