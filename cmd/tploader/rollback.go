//go:build linux

package main

import (
	"github.com/spf13/cobra"

	"github.com/trafficpolicy/trafficpolicy/internal/loader"
)

func (c *command) rollbackCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "rollback",
		Short: "Put the bundle in force that was before this one",
		Long: `Rollback puts the bundle in force again that was in force before the present one, with the flags
that it was applied with. A second rollback takes the first back. The sequence that apply asks for stays.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := c.open(cmd.Context(), loader.OpenOptions{})
			if err != nil {
				return err
			}
			defer l.Close()
			res, err := l.Rollback(cmd.Context())
			if err != nil {
				return err
			}
			c.reportApply(res, false)
			return nil
		},
	}
}
