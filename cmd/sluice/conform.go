package main

import (
	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/conformance/command"
	"github.com/sluicenet/sluice/conformance/targets"
)

// conformCommand returns the command "conform": the suite over this module's targets.
func conformCommand() *cobra.Command {
	return command.Suite{Targets: targets.All(), Default: "cubic", Program: "sluice conform"}.Command()
}
