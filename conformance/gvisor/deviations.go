package main

import "github.com/sluicenet/sluice/conformance"

func (target) Deviations() []conformance.Deviation { return deviations }

// deviations are what is known of gVisor.
var deviations = []conformance.Deviation{}
