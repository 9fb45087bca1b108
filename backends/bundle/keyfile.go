package bundle

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// LoadKeyring returns the public keys in files, and in all files of directories: PEM,
// one or more in each. In a directory, names that begin with a dot and directories
// are left out; everything else must be keys, so that none is overlooked for the
// sake of its name. It returns nil for no paths, and an error for a path without keys.
func LoadKeyring(paths []string) (*Keyring, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	k := &Keyring{}
	for _, p := range paths {
		if err := k.addPath(p); err != nil {
			return nil, fmt.Errorf("trusted keys: %w", err)
		}
	}
	return k, nil
}

func (k *Keyring) addPath(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return k.addFile(path)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	found := false
	for _, e := range entries {
		file := filepath.Join(path, e.Name())
		info, err := os.Stat(file) // where a link leads to, as in a mounted Secret
		if err != nil {
			return err
		}
		if strings.HasPrefix(e.Name(), ".") || info.IsDir() {
			continue
		}
		if err := k.addFile(file); err != nil {
			return err
		}
		found = true
	}
	if !found {
		return fmt.Errorf("%s holds no file", path)
	}
	return nil
}

func (k *Keyring) addFile(path string) error {
	text, err := readKeyFile(path)
	if err != nil {
		return err
	}
	if err := k.AddPEM(text); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// LoadSigner returns a Signer for the private key in a PEM file.
func LoadSigner(path string) (*Signer, error) {
	text, err := readKeyFile(path)
	if err != nil {
		return nil, fmt.Errorf("key to sign with: %w", err)
	}
	s, err := ParseSigner(text)
	if err != nil {
		return nil, fmt.Errorf("key to sign with: %s: %w", path, err)
	}
	return s, nil
}

func readKeyFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxKeyFile+1))
	if err == nil && len(text) > MaxKeyFile {
		err = errors.New("it is too large for a file of keys")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return text, nil
}
