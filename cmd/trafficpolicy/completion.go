package main

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// choices are what a flag takes, at the end of its usage: (text|json).
var choices = regexp.MustCompile(`\(([a-z0-9]+(?:\|[a-z0-9]+)+)\)$`)

// completeFlags has shells complete the values of flags that take one of a few,
// or codes of findings.
func completeFlags(root *cobra.Command) {
	complete := func(cmd *cobra.Command, fs *pflag.FlagSet) {
		fs.VisitAll(func(f *pflag.Flag) {
			var values cobra.CompletionFunc
			if m := choices.FindStringSubmatch(f.Usage); m != nil {
				values = cobra.FixedCompletions(strings.Split(m[1], "|"), cobra.ShellCompDirectiveNoFileComp)
			} else if f.Name == "only" || f.Name == "disable" {
				values = completeCodes
			} else {
				return
			}
			if err := cmd.RegisterFlagCompletionFunc(f.Name, values); err != nil {
				panic(err) // the flag is there, and walked once
			}
		})
	}
	complete(root, root.PersistentFlags())
	for _, cmd := range root.Commands() {
		complete(cmd, cmd.LocalNonPersistentFlags())
	}
}

// completeCodes completes the last of a list of codes and names.
func completeCodes(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	comma := strings.LastIndexByte(begun, ',') + 1
	before, last := begun[:comma], begun[comma:]
	var lists []string
	for _, name := range codeNames() {
		if strings.HasPrefix(name, last) {
			lists = append(lists, before+name)
		}
	}
	return lists, cobra.ShellCompDirectiveNoFileComp
}

// refuseShells has "completion SHELL" fail for a shell that cobra does not know,
// in place of printing help.
func refuseShells(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	cmd, _, err := root.Find([]string{"completion"})
	if err != nil {
		panic(err) // cobra has just made it
	}
	cmd.Args = nil
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		var shells []string
		for _, sub := range cmd.Commands() {
			shells = append(shells, sub.Name())
		}
		return fmt.Errorf("there is no completion for %q, want one of %s", args[0], strings.Join(shells, ", "))
	}
}
