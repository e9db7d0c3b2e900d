package main

import "github.com/spf13/cobra"

// conformCommand returns the command "conform", or nil in a build without it.
func conformCommand() *cobra.Command { return nil }
