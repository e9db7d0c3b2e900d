package scenario

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/sluicenet/sluice/sim"
)

// RunOptions say how an experiment is carried out.
type RunOptions struct {
	// Seed replaces the seed of the file.
	Seed *uint64

	// Until, if not 0, ends the experiment earlier than the file says.
	Until time.Duration

	// Capture, if not nil, receives the packets at an interface as pcapng. Where
	// is "link", meaning the link's first end, or "link:node"; empty means the
	// first link of the first flow's first host. Several may be given, separated
	// by commas.
	Capture io.Writer
	Where   string
}

// An Experiment is a scenario that has been carried out.
type Experiment struct {
	Scenario *Scenario
	Net      *sim.Network
	Report   *sim.Report
	Captured int // packets
}

// Run carries the experiment out.
func (s *Scenario) Run(opts RunOptions) (*Experiment, error) {
	seed := s.Seed
	if opts.Seed != nil {
		seed = *opts.Seed
	}
	n := s.build(seed, nil)
	e := &Experiment{Scenario: s, Net: n}
	var capture *sim.Capture
	if opts.Capture != nil {
		capture = n.NewCapture(opts.Capture)
		if err := s.attach(capture, n, opts.Where); err != nil {
			return nil, err
		}
	}
	end := time.Duration(s.Duration)
	if opts.Until != 0 {
		end = min(end, opts.Until)
	}
	if err := n.Run(end); err != nil {
		return nil, err
	}
	if capture != nil {
		if err := capture.Flush(); err != nil {
			return nil, fmt.Errorf("capture: %w", err)
		}
		e.Captured = capture.Packets()
	}
	e.Report = n.Report()
	e.Report.Scenario, e.Report.Title = s.name, s.Title
	return e, nil
}

// attach makes the capture listen where it is to.
func (s *Scenario) attach(c *sim.Capture, n *sim.Network, where string) error {
	if where == "" {
		from := s.Flows[0].From
		for _, l := range s.Links {
			if l.Between[0] == from || l.Between[1] == from {
				where = l.Name + ":" + from
				break
			}
		}
	}
	for _, w := range strings.Split(where, ",") {
		link, end, _ := strings.Cut(strings.TrimSpace(w), ":")
		l := n.Link(link)
		if l == nil {
			return fmt.Errorf("there is no link %q to capture at", link)
		}
		a, b := l.Ends()
		switch end {
		case "", a.Name():
		case b.Name():
			a = b
		default:
			return fmt.Errorf("link %s does not lead to %q: it joins %s and %s", link, end, a.Name(), b.Name())
		}
		if err := c.Add(l, a); err != nil {
			return err
		}
	}
	return nil
}
