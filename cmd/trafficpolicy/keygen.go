package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
)

// publicSuffix is what the name of a public key file ends in behind that of its
// private key.
const publicSuffix = ".pub"

func (c *command) keygenCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "keygen FILE",
		Short: "Make a pair of keys to sign bundles with",
		Long: `Make a pair of keys to sign bundles with.

The private key goes into FILE, which only its owner may read: compile --sign takes it.
The public key goes into FILE` + publicSuffix + `: give it to the nodes, for tploader apply --trusted.
Neither file may be there before. Standard output is the name of the key, under which
signatures and messages mention it.

The keys are ed25519, in PEM (PKCS#8 and SubjectPublicKeyInfo), as openssl makes them too.
The private key is not encrypted. docs/security.md says how to keep and to change keys.`,
		Example: `  trafficpolicy keygen policies.key
  trafficpolicy compile --node node-a -i cluster.json policies/ --sequence 42 --sign policies.key -o node-a.tar
  tploader apply node-a.tar --trusted policies.key` + publicSuffix,
		Args: wantArgs("the file for the private key", "FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			if args[0] == "" || args[0] == "-" {
				return fmt.Errorf("a pair of keys is two files: give the name of the private key's, not %q", args[0])
			}
			public, private, err := ed25519.GenerateKey(rand.Reader)
			if err != nil {
				return err
			}
			text, err := bundle.EncodePrivateKey(private)
			if err != nil {
				return err
			}
			if err := writePair(args[0], text, bundle.EncodePublicKey(public)); err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.Stdout, bundle.KeyID(public))
			return err
		},
	}
}

// writePair writes both files of a pair, or neither.
func writePair(path string, private, public []byte) error {
	if err := writeNew(path, private, 0o600); err != nil {
		return fmt.Errorf("private key: %w", err)
	}
	if err := writeNew(path+publicSuffix, public, 0o644); err != nil {
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("private key without a public one: %w", err)
		}
		return fmt.Errorf("public key: %w", err)
	}
	return nil
}

// writeNew writes a file that must not be there, and takes it away where that
// fails.
func writeNew(path string, data []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already, and a key is never overwritten", path)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(path)
	}
	return err
}
