// Package config turns a YAML file, environment variables and flags into one
// validated value, and that value into running links, stacks and services.
//
// [Load] is strict: an unknown key, a number without its unit, a reference to
// something that does not exist or an unknown SLUICE_ variable is an error that
// names the file, the line, the key and the nearest valid one; all errors are
// reported at once. What it returns is complete and consistent, and is not
// changed afterwards.
//
// [Build] makes a [System] of it. Which implementation a stack runs on is a name
// in an explicit table, [Backends], to which a program can add its own.
//
// Sources in rising order of precedence: defaults, the file, the environment,
// assignments (flags). A key in a list is named by the item's name:
// "stacks.edge.backend" on a command line, SLUICE_STACKS_EDGE_BACKEND in the
// environment.
package config
