//go:build linux

package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/internal/loader"
)

// trustFlags are the flags of the verbs that put a bundle in force.
type trustFlags struct {
	trusted  []string
	unsigned bool
}

func (f *trustFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.trusted, "trusted", nil, "take only bundles that a public key in this `file` or directory has signed; remembered (repeatable)")
}

// into fills in what a Loader is to trust.
func (f *trustFlags) into(o *loader.OpenOptions) error {
	if f.unsigned && len(f.trusted) > 0 {
		return errors.New("--unsigned forgets the trusted keys and takes every bundle: it does not go with --trusted")
	}
	keys, err := bundle.LoadKeyring(f.trusted)
	if err != nil {
		return err
	}
	o.Trusted, o.Unsigned = keys, f.unsigned
	return nil
}
