package oracle

// DiffCase is one hand-made pair of policy sets with every representative packet
// that they decide differently.
type DiffCase struct {
	Name     string
	Old, New string   // in the notation of [Parse]
	Cluster  string   // in the notation of [ParseCluster]; "" without an inventory
	Want     []string // "POD PACKET: allow|deny by RULE, allow|deny by RULE", in the order of [Diff]
}

const oneRule = `
tp a/p 100 app=x
  egress allow 10.0.0.0/8
`

// DiffCases holds both sides of what is and is not a difference.
var DiffCases = []DiffCase{
	{Name: "nothing", Old: oneRule, New: oneRule},
	{Name: "another name", Old: oneRule, New: `
tp a/q 100 app=x
  egress allow 10.0.0.0/8`},
	{Name: "two halves", Old: oneRule, New: `
tp a/p 100 app=x
  egress allow 10.128.0.0/9
  egress allow 10.0.0.0/9`},
	{Name: "a reject for the default deny", Old: oneRule, New: oneRule + "  egress reject 0.0.0.0/0"},
	{Name: "half of it", Old: oneRule, New: `
tp a/p 100 app=x
  egress allow 10.0.0.0/9`,
		Want: []string{"a?app=x egress 10.128.0.0 TCP 0: allow by TrafficPolicy/a/p#egress[0], deny by "}},
	{Name: "one port less", Old: oneRule, New: `
tp a/p 10 app=x
  egress deny 10.0.0.0/8 udp/53
` + oneRule,
		Want: []string{"a?app=x egress 10.0.0.0 UDP 53: allow by TrafficPolicy/a/p#egress[0], deny by TrafficPolicy/a/p#egress[0]"}},
	{Name: "not selected any more", Old: oneRule, New: "",
		Want: []string{
			"a?app=x egress 0.0.0.0 TCP 0: deny by , allow by ",
			"a?app=x egress 11.0.0.0 TCP 0: deny by , allow by ",
			"a?app=x ingress 0.0.0.0 TCP 0: deny by , allow by ",
		}},
	{Name: "more pods", Old: oneRule, New: `
tp a/p 100 app:in(x|y)
  egress allow 10.0.0.0/8`,
		Want: []string{
			"a?app=y egress 0.0.0.0 TCP 0: allow by , deny by ",
			"a?app=y egress 11.0.0.0 TCP 0: allow by , deny by ",
			"a?app=y ingress 0.0.0.0 TCP 0: allow by , deny by ",
		}},
	{Name: "a name in the place of a prefix", Old: oneRule, New: `
tp a/p 100 app=x
  egress allow service:b/web`,
		Want: []string{
			`a?app=x egress 0.0.0.0 TCP 0 in ["service b/web"]: deny by , allow by TrafficPolicy/a/p#egress[0]`,
			"a?app=x egress 10.0.0.0 TCP 0: allow by TrafficPolicy/a/p#egress[0], deny by ",
			`a?app=x egress 11.0.0.0 TCP 0 in ["service b/web"]: deny by , allow by TrafficPolicy/a/p#egress[0]`,
		}},
	{Name: "a name in the place of a prefix, resolved", Old: oneRule, New: `
tp a/p 100 app=x
  egress allow service:b/web`,
		Cluster: `
service b/web 10.0.0.0
pod a/one app=x 10.1.0.1
pod a/open app=x 10.1.0.2 unenrolled`,
		Want: []string{"a/one egress 10.0.0.1 TCP 0: allow by TrafficPolicy/a/p#egress[0], deny by "}},
	{Name: "priorities exchanged", Old: `
tp a/p 10 app=x
  egress allow 10.0.0.0/8
tp a/q 20 env=z
  egress deny 10.0.0.0/9`, New: `
tp a/p 20 app=x
  egress allow 10.0.0.0/8
tp a/q 10 env=z
  egress deny 10.0.0.0/9`,
		Want: []string{"a?app=x,env=z egress 10.0.0.0 TCP 0: allow by TrafficPolicy/a/p#egress[0], deny by TrafficPolicy/a/q#egress[0]"}},
}
