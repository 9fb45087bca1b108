package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/docs"
	"github.com/trafficpolicy/trafficpolicy/model"
)

func (c *command) explainCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "explain CODE",
		Short: "Print what a finding means and how to mend it",
		Long:  "Print the page of a finding's code: what it means, why it matters, an example, and how\nto mend it. CODE is a code or its name: TP101 or shadowed-rule.",
		Example: `  trafficpolicy explain TP101
  trafficpolicy explain shadowed-rule`,
		Args: wantArgs("the code or name of a finding such as TP101", "CODE"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return codeNames(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			for _, info := range model.Codes {
				if strings.EqualFold(args[0], string(info.Code)) || strings.EqualFold(args[0], info.Name) {
					page := docs.Check(string(info.Code))
					if page == "" {
						page = fmt.Sprintf("%s %s: reserved, no check reports it yet\n", info.Code, info.Name)
					}
					_, err := io.WriteString(c.Stdout, page)
					return err
				}
			}
			msg := fmt.Sprintf("there is no finding %q", args[0])
			if near := compiler.Nearest(args[0], codeNames()); len(near) > 0 {
				msg += fmt.Sprintf(", did you mean %q?", near[0])
			}
			return fmt.Errorf("%s", msg)
		},
	}
}

// codeNames returns every code and every name.
func codeNames() []string {
	var names []string
	for _, info := range model.Codes {
		names = append(names, string(info.Code), info.Name)
	}
	return names
}
