package bridge

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sluicenet/sluice/config"
	"github.com/sluicenet/sluice/sim"
)

const base = `version: 1
ends:
  - {name: left, device: x0}
  - {name: right, device: x1}
link: {rate: 10Mbit, delay: 5ms}
`

func load(yaml string, set ...string) (*File, error) {
	o := config.Options{Name: "f.yaml", Data: []byte(yaml)}
	for _, s := range set {
		a, err := config.ParseAssignment(s, "--set")
		if err != nil {
			return nil, err
		}
		o.Set = append(o.Set, a)
	}
	return Load(o)
}

func TestErrors(t *testing.T) {
	for _, c := range []struct{ yaml, want string }{
		{strings.Replace(base, "rate", "rat", 1), `f.yaml:5: link.rat: unknown key; did you mean "rate"?`},
		{strings.Replace(base, "10Mbit", "10", 1), `f.yaml:5: link.rate: "10" has no unit`},
		{strings.Replace(base, "  - {name: right, device: x1}\n", "", 1), "f.yaml:2: ends: wants two devices, not 1"},
		{strings.Replace(base, "x1", "x0", 1), "f.yaml:4: ends.right.device: is the device of left"},
		{strings.Replace(base, "x1", "x0, netns: a", 1), ""},
		{strings.Replace(base, "device: x1", "device: a-much-too-long-name", 1), "f.yaml:4: ends.right.device: \"a-much-too-long-name\" is longer than 15 bytes"},
		{strings.Replace(base, "device: x1", "device: x1, fd: 5", 1), "f.yaml:4: ends.right.device: is up to whoever opened the descriptor"},
		{strings.Replace(strings.Replace(base, "device: x1", "fd: 5", 1), "device: x0", "fd: 5", 1), "f.yaml:4: ends.right.fd: is the descriptor of left"},
		{strings.Replace(base, "device: x1", "fd: 2", 1), "f.yaml:4: ends.right.fd:"},
		{strings.Replace(base, "x1", "x1, addresses: [10.0.0.1]", 1), `f.yaml:4: ends.right.addresses[0]: "10.0.0.1" has no prefix length`},
		{strings.Replace(base, "x1}\nlink: {", "x1, addresses: [\"fd00::1/64\"]}\nlink: {mtu: 1000, ", 1), "f.yaml:4: ends.right.addresses: the MTU of the link, 1000, is less than IPv6 needs"},
		{strings.Replace(base, "rate: 10Mbit", "queue: 5ms", 1), "f.yaml:5: link.queue: without a rate or a shaper nothing waits"},
		{strings.Replace(base, "5ms", "5ms, reverse: {codel: {}}", 1), "f.yaml:5: link.reverse.codel: without a rate"},
		{base + "duration: 2s\nchanges: [{at: 2s, loss: 1%}]\n", "f.yaml:7: changes.#1.at: 2s is not before the end, 2s"},
		{base + "changes: [{at: 2s, los: 1%}]\n", `did you mean "loss"?`},
		{base + "realtime: maybe\n", "f.yaml:6: realtime:"},
	} {
		_, err := load(c.yaml)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s\ngot  %v\nwant %s", c.yaml, err, c.want)
		}
	}
}

// What the file says about the link arrives in the network, at its time.
func TestLinkAndChanges(t *testing.T) {
	f, err := load(base+"changes:\n  - {at: 1s, direction: forward, rate: 5Mbit}\n  - {at: 2s, loss: 3%}\n",
		"link.reverse.delay=7ms", "link.mtu=1400", "seed=9", "duration=3s")
	if err != nil {
		t.Fatal(err)
	}
	n, l, _, err := f.build([2]func(sim.Time, []byte){})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		at   time.Duration
		want string // rate, delay and loss of both directions
	}{
		{0, "10000000 5ms 0 0 7ms 0"},
		{1500 * time.Millisecond, "5000000 5ms 0 0 7ms 0"},
		{2500 * time.Millisecond, "5000000 5ms 0.03 0 7ms 0.03"},
	} {
		if err := n.Run(c.at); err != nil {
			t.Fatal(err)
		}
		a, b := l.Direction(false), l.Direction(true)
		if got := fmt.Sprint(a.Rate, a.Delay, a.Loss, b.Rate, b.Delay, b.Loss); got != c.want {
			t.Errorf("at %v: %s, want %s", c.at, got, c.want)
		}
	}
	if f.end() != sim.Time(3*time.Second) || n.Report().Seed != 9 {
		t.Errorf("ends at %v, seed %d", f.end(), n.Report().Seed)
	}
}

func TestExample(t *testing.T) {
	if _, err := Load(config.Options{File: "../examples/bridge/two-namespaces.yaml"}); err != nil {
		t.Error(err)
	}
}

var update = flag.Bool("update", false, "write the tables of docs/bridge.md anew")

// TestDocs: every key stands in docs/bridge.md, but those that docs/sim.md has.
func TestDocs(t *testing.T) {
	const path, begin, end = "../docs/bridge.md", "<!-- keys -->\n", "<!-- end of keys -->\n"
	var b strings.Builder
	b.WriteString("\n| key | value | default | meaning |\n|---|---|---|---|\n")
	for _, k := range Keys() {
		if k.Doc == "" || !strings.HasSuffix(k.Doc, ".") {
			t.Errorf("%s is not documented", k.Path)
		}
		section, name := "", k.Path
		if i := strings.LastIndex(k.Path, "."); i >= 0 {
			section, name = k.Path[:i], k.Path[i+1:]
		}
		if section == "link" && name != "mtu" && name != "reverse" || strings.HasPrefix(section, "link.") ||
			section == "changes[]" && name != "at" && name != "direction" || strings.HasPrefix(section, "changes[].") {
			continue
		}
		value, def := k.Type, k.Default
		if k.Range != "" {
			value += ", " + k.Range
		}
		if def != "" {
			def = "`" + def + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.Path, value, def, k.Doc)
	}
	b.WriteString("\n")
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	i, j := strings.Index(string(old), begin), strings.Index(string(old), end)
	if i < 0 || j < i {
		t.Fatalf("%s has no %s", path, begin)
	}
	text := string(old[:i]) + begin + b.String() + string(old[j:])
	if text != string(old) {
		if *update {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			return
		}
		t.Errorf("%s is stale: go test ./bridge -run TestDocs -update", path)
	}
}
