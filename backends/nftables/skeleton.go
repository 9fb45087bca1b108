package nftables

// hook is one place where packets meet the program: a base chain, and the
// dispatch maps that it asks in turn. Whatever no map holds passes.
type hook struct {
	chain    string
	at       string // netfilter hook
	priority int
	loopback string // what tells loopback there; "" where nothing must be exempt
	dispatch []dispatch
}

// dispatch is one map of the skeleton from packets to chains of a generation.
type dispatch struct {
	key  string // what is looked up
	name string
	typ  string
}

// byAddress returns the maps of one judgement by address, for both families:
// ranges before single addresses. Where unknown pods are closed the ranges hold
// every governed address too, so a packet that meets a switch between the two
// lookups is judged by the old or the new program, never by neither.
func byAddress(address, name string) []dispatch {
	var ds []dispatch
	for _, f := range fams {
		ds = append(ds,
			dispatch{f.ip + " " + address, "tp_range_" + name + f.n, "type " + f.addrType + " : verdict; flags interval;"},
			dispatch{f.ip + " " + address, "tp_" + name + f.n, "type " + f.addrType + " : verdict;"})
	}
	return ds
}

func byFamily(name string) []dispatch {
	return []dispatch{{"meta nfproto", name, "type nf_proto : verdict;"}}
}

// nodeHooks: what a pod sends is judged behind conntrack (-200) and before
// destination NAT (-100), so that a Service is still the Service; what it is
// sent behind it, at forward, or at output where IPVS sends it from.
var nodeHooks = []hook{
	{"tp_prerouting", "prerouting", -110, "", byAddress("saddr", "from")},
	{"tp_forward", "forward", 0, "", append([]dispatch{{"oifname", MapDeliver, "type ifname : verdict;"}}, byAddress("daddr", "to")...)},
	{"tp_output", "output", 0, "", byAddress("daddr", "out")},
}

// podHooks: every packet of the namespace is the pod's.
var podHooks = []hook{
	{"tp_output", "output", -110, "oifname", byFamily("tp_send")},
	{"tp_input", "input", 0, "iifname", byFamily("tp_recv")},
	{"tp_forward", "forward", 0, "", byFamily("tp_through")},
}

func (e *emitter) hooks() []hook {
	if e.pod {
		return podHooks
	}
	return nodeHooks
}

// skeleton adds what outlives generations. Creating it where it exists changes
// nothing: chains are flushed and filled again within the transaction.
func (e *emitter) skeleton(s *sections) {
	for _, h := range e.hooks() {
		s.base(h.chain, h.at, h.priority)
		if !e.bare {
			s.flush("chain", h.chain)
		}
		if e.bare && h.at == "prerouting" {
			e.reversePath(s)
		}
		if h.loopback != "" {
			s.rule(h.chain, `%s "lo" accept`, h.loopback)
		}
		for _, d := range h.dispatch {
			s.set("map", d.name, d.typ)
			s.rule(h.chain, "%s vmap @%s", d.key, d.name)
		}
	}
	if !e.pod {
		s.set("map", MapDevice, "type ifname : verdict;")
	}
	for _, f := range fams {
		s.set("set", "tp_pods"+f.n, "type "+f.addrType+";")
	}
	for _, c := range []string{CounterSpoofed, CounterStray, CounterBroken, CounterUnknown, CounterLimited, CounterLogged} {
		s.counter(c)
	}
	s.objects.WriteString("add limit " + Table + " tp_log { rate 100/second burst 200 packets; }\n")
}
