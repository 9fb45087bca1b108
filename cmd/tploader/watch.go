//go:build linux

package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/trafficpolicy/trafficpolicy/internal/loader"
)

func (c *command) watchCmd() *cobra.Command {
	f := &trustFlags{}
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Stay, and attach interfaces of pods as they appear",
		Long: `Watch applies what is in force once more whenever that changes something: an interface of one of the
bundle's pods has appeared or was made anew, or the kernel has lost what was applied. It looks when interfaces,
routes or neighbours change, and every 30 seconds. Each look takes the lock of the network namespace, so
other tploaders can work beside it. Each time the bundle's signature is checked again, by the keys of
--trusted or else those that the last apply was given. It ends with Ctrl-C.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.enter(); err != nil {
				return err
			}
			o := loader.OpenOptions{StateDir: c.stateDir, Log: c.logf}
			if err := f.into(&o); err != nil {
				return err
			}
			open := func(ctx context.Context) (*loader.Loader, error) { return backends.Open(ctx, o) }
			return loader.Watch(cmd.Context(), open, func(res *loader.Result) { c.reportApply(res, false) })
		},
	}
	f.register(cmd)
	return cmd
}
