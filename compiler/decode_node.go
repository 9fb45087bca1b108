package compiler

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// nodeKind is what a value is to a Kubernetes API server.
type nodeKind uint8

const (
	kindNull nodeKind = iota
	kindBool
	kindInt
	kindFloat
	kindString
	kindList
	kindMap
	kindTagged // carries a tag that JSON has no form for
)

func (k nodeKind) String() string {
	return [...]string{"null", "a boolean", "an integer", "a number", "a string", "a list", "a mapping", "a tagged value"}[k]
}

// deref returns the value that n stands for, through aliases.
func deref(n *yaml.Node) *yaml.Node {
	for i := 0; n.Kind == yaml.AliasNode && i < maxDepth; i++ {
		n = n.Alias
	}
	return n
}

// yaml11Bools are the plain scalars that YAML 1.1, and with it kubectl, reads as
// booleans, while YAML 1.2 reads them as strings.
const yaml11Bools = " y Y yes Yes YES on On ON n N no No NO off Off OFF "

// kindOf classifies a dereferenced node as the YAML 1.1 of kubectl does.
func kindOf(n *yaml.Node) nodeKind {
	switch {
	case n.Kind == yaml.MappingNode && n.Tag == "!!map":
		return kindMap
	case n.Kind == yaml.SequenceNode && n.Tag == "!!seq":
		return kindList
	case n.Kind != yaml.ScalarNode:
		return kindTagged
	}
	switch n.Tag {
	case "!!str", "!!timestamp", "!!merge":
		if n.Style == 0 && len(n.Value) <= 3 && n.Value != "" && strings.Contains(yaml11Bools, " "+n.Value+" ") {
			return kindBool
		}
		return kindString
	case "!!int":
		return kindInt
	case "!!float":
		return kindFloat
	case "!!bool":
		return kindBool
	case "!!null":
		return kindNull
	}
	return kindTagged
}

// isNull reports whether n is absent or null.
func isNull(n *yaml.Node) bool { return n == nil || kindOf(deref(n)) == kindNull }

// describe names a value for a message: `the integer 80`, "a list".
func describe(n *yaml.Node) string {
	n = deref(n)
	switch k := kindOf(n); k {
	case kindBool:
		return "the boolean " + n.Value
	case kindInt:
		return "the integer " + clip(n.Value)
	case kindFloat:
		return "the number " + clip(n.Value)
	case kindString:
		return "the string " + quote(n.Value)
	case kindTagged:
		return "a value with the tag " + clip(n.Tag)
	default:
		return k.String()
	}
}

// quote quotes what the user wrote, shortened to what a message can hold.
func quote(s string) string { return strconv.Quote(clip(s)) }

func clip(s string) string {
	const most = 80
	r := []rune(s[:min(len(s), 4*most)])
	if len(s) > 4*most || len(r) > most {
		return string(r[:min(len(r), most)]) + "..."
	}
	return s
}
