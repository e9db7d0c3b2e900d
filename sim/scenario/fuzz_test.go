package scenario

import (
	"strings"
	"testing"
)

// FuzzVary: what is taken has a key and at least one value, and none has the
// separator in it.
func FuzzVary(f *testing.F) {
	for _, s := range []string{"seed=1,2", "flows.a.cc=cubic;reno", "a=", "=b", "a=;", "a==,b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := ParseVary(s)
		if err != nil {
			return
		}
		if v.Key == "" || len(v.Values) == 0 || !strings.HasPrefix(s, v.Key+"=") {
			t.Fatalf("%q: %+v", s, v)
		}
		for _, x := range v.Values {
			if strings.Contains(x, ";") {
				t.Fatalf("%q: value %q", s, x)
			}
		}
	})
}
