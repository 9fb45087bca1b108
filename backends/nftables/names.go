package nftables

import (
	"fmt"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// Table is the one table that everything lives in.
const Table = "inet trafficpolicy"

// LogGroup is the nflog group of denied packets ("TP" in ASCII).
const LogGroup = 0x5450

// Files of the payload, in the order in which a loader uses them.
const (
	SkeletonFile = "skeleton.nft"
	ObjectsFile  = "objects.nft"
	SwitchFile   = "switch.nft"
	PodsFile     = "pods.json"
)

// Names of the skeleton that loaders and readers of counters need.
const (
	CounterSpoofed = "tp_spoofed" // sent from a governed device with an address that is not its pod's
	CounterStray   = "tp_stray"   // sent to a governed device with an address that is not its pod's
	CounterBroken  = "tp_broken"  // routing header, conntrack-invalid, related without a connection, too short
	CounterUnknown = "tp_unknown" // of or to a pod that the program does not know (--unknown deny)
	CounterLimited = "tp_limited" // over the limit of connections
	CounterLogged  = "tp_logged"  // denied packets that were logged; the others were over the rate

	// RulePrefix and DefaultPrefix and an id name the counter of a rule or of a
	// default deny, and its packets in the log.
	RulePrefix    = "tp_r_"
	DefaultPrefix = "tp_d_"

	MapDevice  = "tp_if"  // device -> source chain of its pod; the loader's
	MapDeliver = "tp_oif" // device -> deliver chain of its pod; the loader's
)

// maxComment is the longest comment of a rule in bytes: nft refuses more than
// NFTNL_UDATA_COMMENT_MAXLEN. Longer rule names are cut; the manifest has them whole.
const maxComment = 128

// placeholder stands for the tag while the payload that it depends on is written.
const placeholder = "000000000000"

const genPrefix = "tp_" + placeholder + "_"

// gen returns the name of an object of the generation.
func gen(format string, args ...any) string { return genPrefix + fmt.Sprintf(format, args...) }

// fam is what the text of a family's rules differs in.
type fam struct {
	model.Family
	n        string // in names: 4, 6
	ip       string // keyword of the header
	addrType string
	nfproto  string
	icmp     string // protocol of ICMP
}

var fams = [...]fam{
	{model.IPv4, "4", "ip", "ipv4_addr", "ipv4", "icmp"},
	{model.IPv6, "6", "ip6", "ipv6_addr", "ipv6", "ipv6-icmp"},
}

// side is what the text of a direction's rules differs in: where the peer's
// address and the port stand in the connection and, untracked, in the packet.
type side struct {
	model.Direction
	n       string // in names
	tuple   string // peer address in the connection, after "ct"; %s is the family
	port    string // port in the connection, after "ct"
	address string // peer address in the packet, after the family
}

var sides = [...]side{
	// Destination before any translation.
	{model.Egress, "e", "original %s daddr", "original proto-dst", "daddr"},
	// Source before any translation; port after it, which is the pod's own.
	{model.Ingress, "i", "original %s saddr", "reply proto-src", "saddr"},
}

// comment returns name as a comment of a rule, or an error where it has a
// character that no rule name has.
func comment(name string) (string, error) {
	if i := strings.IndexFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-./#[]", r)
	}); i >= 0 {
		return "", fmt.Errorf("rule name %q has %q, which cannot stand in an artifact", name, name[i:i+1])
	}
	if len(name) > maxComment {
		name = name[:maxComment-3] + "..."
	}
	return `comment "` + name + `"`, nil
}
