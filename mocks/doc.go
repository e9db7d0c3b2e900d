// Package mocks has mocks of the contract's interfaces, for tests. All other
// files are generated from .mockery.yml and never edited:
//
//	go tool -modfile=tools/go.mod mockery
package mocks
