//go:build linux

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/trafficpolicy/trafficpolicy/internal/version"
)

func (c *command) versionCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the module version and commit",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(c.Stdout, "tploader %s\n", version.String())
			return err
		},
	}
}
