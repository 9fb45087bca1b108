//go:build linux

package main

import "github.com/spf13/cobra"

func (c *command) monitorCmd() *cobra.Command { return &cobra.Command{Use: "monitor"} }
