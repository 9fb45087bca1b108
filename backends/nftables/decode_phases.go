package nftables

import (
	"fmt"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/backends/nftables/command"
)

// phases says what each file of a payload may do, given the prefix of the
// generation. The end would be the same if a map in force were emptied before its
// time, but not what packets meet in between.
type phases struct{ prefix string }

func (p phases) ours(name string) bool { return strings.HasPrefix(name, p.prefix) }

// skeleton is given to nft while an older generation is in force: it makes what is
// not there, and writes the base chains anew.
func (p phases) skeleton(c command.Command) error {
	switch c := c.(type) {
	case *command.Elements:
		return fmt.Errorf("%q is filled before the switch", c.Name)
	case *command.Flush:
		if c.Kind != "chain" {
			return fmt.Errorf("%s %q is emptied before the switch", c.Kind, c.Name)
		}
	}
	return nil
}

// objects touches nothing that is in force.
func (p phases) objects(c command.Command) error {
	name := ""
	switch c := c.(type) {
	case *command.Counter:
		return nil
	case *command.Chain:
		name = c.Name
	case *command.Set:
		name = c.Name
	case *command.Elements:
		name = c.Name
	case *command.Rule:
		name = c.Chain
	default:
		return fmt.Errorf("it makes or empties what belongs to the skeleton")
	}
	if !p.ours(name) {
		return fmt.Errorf("%q, which is not of this generation, is changed before the switch", name)
	}
	return nil
}

// turn empties and fills what belongs to the skeleton.
func (p phases) turn(c command.Command) error {
	name := ""
	switch c := c.(type) {
	case *command.Flush:
		if name = c.Name; c.Kind == "chain" {
			return fmt.Errorf("chain %q is emptied", name)
		}
	case *command.Elements:
		name = c.Name
	default:
		return fmt.Errorf("it does more than to empty and fill maps")
	}
	if p.ours(name) {
		return fmt.Errorf("%q is not of the skeleton", name)
	}
	return nil
}
