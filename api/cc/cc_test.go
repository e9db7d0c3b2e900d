package cc

import (
	"errors"
	"strings"
	"testing"
)

func TestParseOptions(t *testing.T) {
	var got []string
	set := func(key, value string) (bool, error) {
		if value == "bad" {
			return true, errors.New("is bad")
		}
		got = append(got, key+"="+value)
		return key != "unknown", nil
	}
	for opts, want := range map[string]string{"": "", "  ": "", "a=1": "a=1", " a = 1 , b=x=y": "a=1 b=x=y"} {
		got = nil
		if err := ParseOptions(opts, set); err != nil || strings.Join(got, " ") != want {
			t.Errorf("ParseOptions(%q) set %q, %v; want %q", opts, got, err, want)
		}
	}
	for opts, part := range map[string]string{
		"a": `"a"`, "=1": `"=1"`, "a=": `"a="`, ",": `""`, "a=1,": `""`, "a=1,a=2": `"a" is given twice`,
		"a=bad": `option "a": is bad`, "a=1,unknown=2": `unknown option "unknown"`,
	} {
		if err := ParseOptions(opts, set); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("ParseOptions(%q) gave %v; want it to name %s", opts, err, part)
		}
	}
}

func TestPhaseNames(t *testing.T) {
	seen := map[string]bool{}
	for p := Open; p <= Loss+1; p++ {
		if s := p.String(); s == "" || seen[s] {
			t.Errorf("phase %d prints as %q", p, s)
		} else {
			seen[s] = true
		}
	}
}
