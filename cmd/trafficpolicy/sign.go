package main

import (
	"os"
	"runtime"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
)

// signers returns what signs with the private keys in files. A key that others can
// read is a warning: it may have to be so, as in a container's Secret.
func (c *command) signers(files []string) ([]*bundle.Signer, error) {
	var out []*bundle.Signer
	for _, path := range files {
		s, err := bundle.LoadSigner(path)
		if err != nil {
			return nil, err
		}
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" {
			c.warnf("private key %s can be read by others (mode %04o)", path, info.Mode().Perm())
		}
		out = append(out, s)
	}
	return out, nil
}
