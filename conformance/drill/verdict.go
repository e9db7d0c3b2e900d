package drill

import (
	"fmt"
	"strings"
	"time"
)

// Outcome is how a script ended.
type Outcome string

// The outcomes. Broken is a script that could not be read, or that does what no
// script may do.
const (
	Pass   Outcome = "pass"
	Fail   Outcome = "fail"
	Skip   Outcome = "skip"
	Broken Outcome = "broken"
)

// Verdict is what a script says about a target.
type Verdict struct {
	Script  string        `json:"script"`
	Target  string        `json:"target"`
	Match   Match         `json:"match"`
	Profile string        `json:"profile"`
	Seed    uint64        `json:"seed"`
	Outcome Outcome       `json:"outcome"`
	Took    time.Duration `json:"took_ns"`              // in the time of the target
	Skipped string        `json:"missing,omitempty"`    // Skip: the feature that is missing
	Reason  string        `json:"reason,omitempty"`     // Fail, Broken: one line
	Line    int           `json:"line,omitempty"`       // of the script, from 1
	Source  string        `json:"source,omitempty"`     // that line
	Expect  string        `json:"expected,omitempty"`   // the packet, or the result, in packetdrill's notation
	Got     string        `json:"got,omitempty"`        // what came instead
	Differ  []Mismatch    `json:"mismatches,omitempty"` // by field
	WantAt  string        `json:"expected_at,omitempty"`
	GotAt   string        `json:"got_at,omitempty"`
	Packets []string      `json:"packets,omitempty"` // the last ones, in the script's numbers
	Notes   []string      `json:"notes,omitempty"`   // what was let pass, and what is approximated
	Output  string        `json:"output,omitempty"`  // of print in the script's code
	Pcap    string        `json:"pcap,omitempty"`
}

// String prints the verdict with its diagnosis.
func (v *Verdict) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", v.Script, strings.ToUpper(string(v.Outcome)))
	switch v.Outcome {
	case Skip:
		fmt.Fprintf(&b, " (%s)", v.Skipped)
		if v.Line > 0 {
			fmt.Fprintf(&b, " at line %d", v.Line)
		}
	case Fail, Broken:
		if v.Line > 0 {
			fmt.Fprintf(&b, " at line %d: %s", v.Line, v.Reason)
		} else {
			fmt.Fprintf(&b, ": %s", v.Reason)
		}
		if v.Source != "" {
			fmt.Fprintf(&b, "\n  script:   %s", v.Source)
		}
		if v.Expect != "" {
			fmt.Fprintf(&b, "\n  expected: %-12s %s", v.WantAt, v.Expect)
		}
		if v.Got != "" {
			fmt.Fprintf(&b, "\n  got:      %-12s %s", v.GotAt, v.Got)
		}
		for _, m := range v.Differ {
			fmt.Fprintf(&b, "\n    ! %s", m)
		}
		if len(v.Packets) > 0 {
			b.WriteString("\n  last packets:")
			for _, p := range v.Packets {
				b.WriteString("\n    " + p)
			}
		}
	}
	for _, n := range v.Notes {
		b.WriteString("\n  note: " + n)
	}
	return b.String()
}
