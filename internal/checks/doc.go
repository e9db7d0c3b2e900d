// Package checks has no code: its tests hold the repository to the rules of
// docs/design.md and CONTRIBUTING.md.
package checks
