//go:build linux

package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/trafficpolicy/trafficpolicy/internal/loader"
)

func (c *command) removeCmd() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "remove",
		Short: "Delete all of ours: traffic is open from then on",
		Long: `Remove deletes what is in the kernel, of both backends, and the state of this network namespace, the
bundles and the memory of sequences with it. Traffic is open from then on. On a terminal it wants --yes.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !yes && isTerminal(c.Stdin) {
				return errors.New("remove opens all traffic: say --yes if that is meant")
			}
			l, err := c.open(cmd.Context(), loader.OpenOptions{Damaged: true})
			if err != nil {
				return err
			}
			defer l.Close()
			found, err := l.Remove(cmd.Context())
			if err != nil {
				return err
			}
			if !found {
				fmt.Fprintln(c.Stdout, "there was nothing to remove")
				return nil
			}
			fmt.Fprintln(c.Stdout, "removed: traffic is open")
			return nil
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}
