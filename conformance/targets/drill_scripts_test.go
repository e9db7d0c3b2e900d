package targets

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicenet/sluice/conformance/drill"
	"github.com/sluicenet/sluice/conformance/drill/settings"
)

// ownScript is a script of ours with what its author expects.
type ownScript struct {
	name, source  string
	sluice, linux drill.Outcome
	match         drill.Match
	families      []string
	profile       settings.Profile
}

var header = regexp.MustCompile(`(?m)^// (sluice|linux|match|family|profile): (.+)$`)

func ownScripts(t *testing.T) []ownScript {
	t.Helper()
	files, err := filepath.Glob("../scripts/*.pkt")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d scripts, %v", len(files), err)
	}
	var out []ownScript
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		s := ownScript{name: filepath.Base(f), source: string(b), profile: settings.Linux}
		for _, m := range header.FindAllStringSubmatch(s.source, -1) {
			switch m[1] {
			case "sluice":
				s.sluice = drill.Outcome(m[2])
			case "linux":
				s.linux = drill.Outcome(m[2])
			case "match":
				s.match = drill.Match(m[2])
			case "profile":
				s.profile = settings.Profile(m[2])
			case "family":
				s.families = strings.Fields(m[2])
			}
		}
		if s.sluice == "" || s.linux == "" || s.match == "" || len(s.families) == 0 || !strings.HasPrefix(s.source, "// ") {
			t.Fatalf("%s: its header does not say what it is, sluice, linux, match and family", f)
		}
		if s.sluice != s.linux && !strings.Contains(s.source, "Linux") {
			t.Errorf("%s: its header does not say why Linux differs", f)
		}
		out = append(out, s)
	}
	return out
}

func (s *ownScript) run(target drill.Target, family string, args ...string) *drill.Verdict {
	return drill.Run(&drill.Options{Target: target, Match: s.match, Profile: s.profile, Args: append(args, "--ip_version="+family)}, s.name, s.source)
}

// TestOwnScripts: our stack gets the verdict that the author of each script
// states, with every controller, over IPv4 and IPv6.
func TestOwnScripts(t *testing.T) {
	for _, name := range []string{"cubic", "reno"} {
		target, err := Drill(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range ownScripts(t) {
			for _, family := range s.families {
				if v := s.run(target, family); v.Outcome != s.sluice {
					t.Errorf("%s over %s: want %s\n%v", name, family, s.sluice, v)
				}
			}
		}
	}
}

// patience is how far off times may be in each attempt in real time: at first as the
// script has it, and then more and more, because a machine that is busy elsewhere is
// late. What a kernel does wrong it does wrong however late it is.
var patience = [][]string{nil, nil, nil, {"--tolerance_usecs=300000"}, {"--tolerance_usecs=600000"}}

// TestOwnScriptsOnLinux: so does the kernel, in real time.
func TestOwnScriptsOnLinux(t *testing.T) {
	if os.Getuid() != 0 {
		if os.Getenv("SLUICE_REQUIRE_NET") != "" {
			t.Fatal("needs root")
		}
		t.Skip("needs root")
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		if os.Getenv("SLUICE_REQUIRE_NET") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	if testing.Short() {
		t.Skip("takes a minute of real time")
	}
	target, err := Drill("kernel")
	if err != nil {
		t.Skip(err)
	}
	var wg sync.WaitGroup
	var alone sync.Mutex           // the last attempts are made one at a time
	turn := make(chan struct{}, 8) // they wait rather than compute
	for _, s := range ownScripts(t) {
		if s.profile != settings.Linux {
			continue
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			turn <- struct{}{}
			defer func() { <-turn }()
			var v *drill.Verdict
			for i, args := range patience {
				if i == 3 {
					alone.Lock()
					defer alone.Unlock()
				}
				if v = s.run(target, s.families[0], args...); v.Outcome == s.linux {
					return
				}
				if v.Outcome == drill.Broken && strings.Contains(v.Reason, "namespace") {
					break
				}
			}
			t.Errorf("want %s\n%v", s.linux, v)
		}()
	}
	wg.Wait()
}

// TestDrillSpeed: a thousand runs in virtual time are far from a minute. The
// bound is loose, for machines that are slow or busy.
func TestDrillSpeed(t *testing.T) {
	target, err := Drill("cubic")
	if err != nil {
		t.Fatal(err)
	}
	scripts := ownScripts(t)
	began := time.Now()
	for i := range 1000 {
		s := &scripts[i%len(scripts)]
		s.run(target, s.families[0])
	}
	took := time.Since(began)
	t.Logf("1000 runs in %v", took)
	if took > time.Minute && !raceEnabled {
		t.Errorf("1000 runs take %v", took)
	}
}
