//go:build linux

package main

import (
	"github.com/spf13/cobra"

	"github.com/trafficpolicy/trafficpolicy/internal/loader"
)

func (c *command) rollbackCmd() *cobra.Command {
	f := &trustFlags{}
	cmd := &cobra.Command{
		Use:   "rollback",
		Short: "Put the bundle in force that was before this one",
		Long: `Rollback puts the bundle in force again that was in force before the present one, with the flags
that it was applied with. A second rollback takes the first back. The sequence that apply asks for stays.
Its signature is checked again, by the keys of --trusted or else those that the last apply was given.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o := loader.OpenOptions{}
			if err := f.into(&o); err != nil {
				return err
			}
			l, err := c.open(cmd.Context(), o)
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
	f.register(cmd)
	return cmd
}
