package conformance

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Case is one promise put to the test.
type Case struct {
	ID     string // unique: "contract/R1", "mirage/overlap-trim", "rfc9293/MUST-34"
	Title  string // what must hold, in a few words
	Clause string // the requirement in our words
	Source string // contract id, or RFC and section
	Level  Level
	Needs  Capability
	Family Family        // families to run in; zero means both
	Real   time.Duration // bound of the case in real time; zero means 20 s
	Run    func(*T)
}

// Level says through which door a case looks.
type Level uint8

// The levels.
const (
	Contract Level = iota // the calls of api
	OnWire                // raw segments
)

// String names the level.
func (l Level) String() string { return [...]string{"contract", "wire"}[l] }

// Family is an IP version. As a property of a case, zero means both.
type Family uint8

// The families.
const (
	Both Family = iota
	IPv4
	IPv6
)

// String names the family as records do.
func (f Family) String() string { return [...]string{"any", "ipv4", "ipv6"}[f] }

// families returns the families that c runs in.
func (c *Case) families() []Family {
	if c.Family != Both {
		return []Family{c.Family}
	}
	return []Family{IPv4, IPv6}
}

// Families names the families that c runs in, as records do.
func (c *Case) Families() (names []string) {
	for _, f := range c.families() {
		names = append(names, f.String())
	}
	return names
}

// Capabilities returns what c needs from a target, its level included.
func (c *Case) Capabilities() Capability {
	if c.Level == OnWire {
		return c.Needs | Wire
	}
	return c.Needs
}

// groups are the tables of the case files. An explicit list rather than
// registration at start-up: what the suite holds is to be read here.
func groups() [][]Case {
	return [][]Case{
		readCases, writeCases, closeCases, openCases, keepaliveCases, listenCases, disconnectCases, beyondCases,
		crowdCases, cancelCases, pressedCases,
		mirageAPICases, mirageCases, mirageMoreCases,
		segmentCases, handshakeCases, resetCases, blindCases,
		transferCases, nagleCases, windowCases, ackCases,
		timerCases, recoveryCases, sackCases, timestampCases,
		closingCases, keepaliveWireCases, urgentCases, isnCases, ipCases, dropCases, icmpCases,
		headerCases, openingCases, reportCases, flowCases, leftoverCases,
		ecnCases, selectiveCases, congestionCases, rackCases, windowLawCases, clockCases, scaleCases, blindMoreCases, pathCases, fastOpenCases,
		strictCases, strictIPCases, strictAPICases,
	}
}

// Cases returns every case, ordered by ID within their level.
var Cases = sync.OnceValue(func() []Case {
	var all []Case
	for _, g := range groups() {
		all = append(all, g...)
	}
	slices.SortStableFunc(all, func(a, b Case) int {
		if a.Level != b.Level {
			return int(a.Level) - int(b.Level)
		}
		return strings.Compare(a.ID, b.ID)
	})
	for i := range all {
		c := &all[i]
		if c.ID == "" || c.Title == "" || c.Clause == "" || c.Source == "" || c.Run == nil {
			panic(fmt.Sprintf("BUG: case %q is incomplete", c.ID))
		}
		if i > 0 && all[i-1].ID == c.ID {
			panic(fmt.Sprintf("BUG: two cases %q", c.ID))
		}
	}
	return all
})

// Select returns the cases whose ID matches one of the patterns, which are
// separated by commas. "*" matches any characters, slashes included; an empty
// list selects everything.
func Select(patterns string) ([]Case, error) {
	var globs []string
	for p := range strings.SplitSeq(patterns, ",") {
		if p = strings.TrimSpace(p); p == "" {
			continue
		}
		p = strings.ReplaceAll(p, "/", "\x00")
		if _, err := path.Match(p, ""); err != nil {
			return nil, fmt.Errorf("pattern %q: %w", p, err)
		}
		globs = append(globs, p)
	}
	if len(globs) == 0 {
		return Cases(), nil
	}
	var out []Case
	for _, c := range Cases() {
		id := strings.ReplaceAll(c.ID, "/", "\x00")
		if slices.ContainsFunc(globs, func(g string) bool { ok, _ := path.Match(g, id); return ok }) {
			out = append(out, c)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no case matches %q", patterns)
	}
	return out, nil
}

// Lookup returns the case with the given ID.
func Lookup(id string) (Case, bool) {
	for _, c := range Cases() {
		if c.ID == id {
			return c, true
		}
	}
	return Case{}, false
}
