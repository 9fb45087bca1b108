package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/internal/learned"
)

// liveDefault is tploader's own state directory.
const liveDefault = "/var/lib/trafficpolicy"

// addLive adds to names what a node has learned of them. path is the file in which
// tploader keeps it, or its state directory.
func addLive(names map[string][]netip.Addr, path string) error {
	file, err := liveFile(path)
	if err != nil {
		return fmt.Errorf("--live: %w", err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("--live: %w", err)
	}
	f, err := learned.Read(text)
	if err != nil {
		return fmt.Errorf("--live: %s: %w", filepath.Dir(file), err)
	}
	for name, addrs := range f.Names {
		n, ok := compiler.NormalizeFQDN(name)
		if !ok {
			return fmt.Errorf("--live: %s: %q is not a domain name", file, name)
		}
		names[n] = append(names[n], addrs...)
	}
	return nil
}

// liveFile returns the file that path means. A state directory has one folder a network
// namespace; more than one with such a file must be told apart by the caller.
func liveFile(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return path, nil
	}
	here := filepath.Join(path, learned.FileName)
	if _, err := os.Stat(here); !errors.Is(err, fs.ErrNotExist) {
		return here, err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return "", err
	}
	var found []string
	for _, e := range entries {
		file := filepath.Join(path, e.Name(), learned.FileName)
		if _, err := os.Stat(file); err == nil && strings.HasPrefix(e.Name(), "netns-") {
			found = append(found, file)
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("no node has learned anything in %s (tploader watch does)", path)
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("several network namespaces have learned something, name one of %s", strings.Join(found, ", "))
}
