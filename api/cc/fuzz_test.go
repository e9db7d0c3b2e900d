package cc

import (
	"strings"
	"testing"
)

// FuzzOptions: every option that is reported stands in what was given, once.
func FuzzOptions(f *testing.F) {
	for _, s := range []string{"", "beta=0.7", " a = b , c=d", "a=1,a=2", "=,=", "a=b=c", ",", "a=\x00,b=\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, opts string) {
		seen := map[string]string{}
		err := ParseOptions(opts, func(key, value string) (bool, error) {
			if _, twice := seen[key]; twice || key == "" || value == "" || strings.ContainsAny(key, ",=") || strings.Contains(value, ",") {
				t.Fatalf("%q: option %q = %q", opts, key, value)
			}
			seen[key] = value
			return key != "unknown", nil
		})
		if _, ok := seen["unknown"]; ok && err == nil {
			t.Fatalf("%q: an unknown option was taken", opts)
		}
		if n := strings.Count(opts, ",") + 1; err == nil && strings.TrimSpace(opts) != "" && len(seen) != n {
			t.Fatalf("%q: %d options of %d, and no error", opts, len(seen), n)
		}
	})
}
