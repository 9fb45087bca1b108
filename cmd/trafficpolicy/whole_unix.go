//go:build !windows

package main

import (
	"os"

	"github.com/google/renameio/v2"
)

// replaceFile writes a file that takes the place of the one at path in one step.
func replaceFile(path string, data []byte, perm os.FileMode) error {
	return renameio.WriteFile(path, data, perm)
}
