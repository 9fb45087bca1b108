package main

import (
	"fmt"
	"os"
)

// writeWhole writes data to standard output or to a file, which gets all of it
// or stays what it was. What is no regular file, such as a pipe, is written to
// and not replaced.
func (c *command) writeWhole(path string, data []byte) error {
	if path == "-" {
		if _, err := c.Stdout.Write(data); err != nil {
			return fmt.Errorf("standard output: %w", err)
		}
		return nil
	}
	write := replaceFile
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		write = os.WriteFile
	}
	if err := write(path, data, 0o644); err != nil {
		return fmt.Errorf("output file: %w", err)
	}
	return nil
}
