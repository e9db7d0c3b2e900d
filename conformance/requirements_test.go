package conformance

import (
	"testing"
)

// TestRequirements holds the catalogue to the suite: what can be observed has a case,
// what cannot has none of its own name, and what it cites exists.
func TestRequirements(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Requirements() {
		if seen[r.ID] {
			t.Errorf("%s twice", r.ID)
		}
		seen[r.ID] = true
		for _, id := range r.Proof {
			if _, ok := Lookup(id); !ok {
				t.Errorf("%s: there is no case %s", r.ID, id)
			}
		}
		cases := r.Cases()
		switch {
		case r.Unseen == "" && len(cases) == 0:
			t.Errorf("%s has no case, and no reason", r.ID)
		case r.Unseen != "" && len(cases) > 0:
			t.Errorf("%s cannot be observed, and has the case %s", r.ID, cases[0].ID)
		case r.Unseen == "" && r.RFC == 9293 && cases[0].ID != r.ID:
			t.Errorf("%s has no case of its name", r.ID)
		case r.RFC == 0 && len(cases) < 2:
			t.Errorf("%s has %d cases", r.ID, len(cases))
		}
	}
	must := Covers(func(r *Requirement) bool { return r.RFC == 9293 && r.Must() })
	if must.All != 69 || must.Observable != 66 || must.Covered != must.Observable {
		t.Errorf("MUSTs of RFC 9293: %+v", must)
	}
}
