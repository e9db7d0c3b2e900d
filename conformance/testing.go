package conformance

import "testing"

// Run runs every case against target as subtests of t, one for each case and
// address family.
func Run(t *testing.T, target Target) {
	t.Helper()
	RunCases(t, target, Cases())
}

// RunCases is Run of some cases.
func RunCases(t *testing.T, target Target, cases []Case) {
	t.Helper()
	for i := range cases {
		c := &cases[i]
		for _, f := range c.families() {
			t.Run(c.ID+"/"+f.String(), func(t *testing.T) {
				rec := RunCase(target, c, f, 1, 0)
				switch rec.Verdict {
				case Pass:
				case Skip:
					t.Skip(rec.Reason)
				case Deviates:
					t.Logf("deviation: %s (%s)", rec.Reason, rec.Citation)
				default:
					t.Error(rec.Text())
				}
			})
		}
	}
}
