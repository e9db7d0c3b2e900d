package scenario

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicenet/sluice/config"
)

const base = `version: 1
duration: 5s
hosts:
  - {name: a}
  - {name: b}
routers:
  - {name: r}
links:
  - {name: near, between: [a, r], rate: 100Mbit, delay: 1ms}
  - {name: far, between: [r, b], rate: 10Mbit, delay: 9ms, queue: 20ms}
flows:
  - {name: f, from: a, to: b}
`

func load(t testing.TB, data string, set ...string) *Scenario {
	t.Helper()
	s, err := tryLoad(data, set...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func tryLoad(data string, set ...string) (*Scenario, error) {
	o := Options{Name: "x", Data: []byte(data)}
	for _, s := range set {
		a, err := config.ParseAssignment(s, "--set")
		if err != nil {
			return nil, err
		}
		o.Set = append(o.Set, a)
	}
	return Load(o)
}

func TestRun(t *testing.T) {
	e, err := load(t, base).Run(RunOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r := e.Report
	if r.Scenario != "x" || r.Seed != 1 || r.Duration != 5 || len(r.Flows) != 1 || len(r.Links) != 4 || r.Packets < 1000 || r.Hops < 2*r.Packets-200 {
		t.Errorf("%+v", r)
	}
	if g := r.Flows[0].Goodput; g < 8e6 || g > 10e6 {
		t.Errorf("goodput %v", g)
	}
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(r); err != nil || !strings.Contains(b.String(), `"retransmitted_bytes"`) {
		t.Error(err, b.String())
	}
}

// Each mistake is reported with its line, its key and what might be meant.
func TestErrors(t *testing.T) {
	for _, c := range []struct{ name, from, to, want string }{
		{"unknown key", "delay: 1ms}", "dellay: 1ms}", `x.yaml:9: links.near.dellay: unknown key; did you mean "delay"?`},
		{"no unit", "delay: 9ms", "delay: 9", `x.yaml:10: links.far.delay: "9" has no unit: write "9s"`},
		{"no unit of a queue", "queue: 20ms", "queue: 20", `x.yaml:10: links.far.queue: "20" has no unit`},
		{"not a queue", "queue: 20ms", "queue: long", `x.yaml:10: links.far.queue: "long" is neither a size`},
		{"no queue", "queue: 20ms", "queue: 0", `x.yaml:10: links.far.queue: "0" is no room at all`},
		{"unknown end", "[r, b]", "[r, c]", `x.yaml:10: links.far.between: there is no host or router "c"`},
		{"three ends", "[r, b]", "[r, b, a]", `x.yaml:10: links.far.between: wants two names, not 3`},
		{"a loop", "[r, b]", "[b, b]", `x.yaml:10: links.far: both ends are at b`},
		{"no way", "[r, b]", "[r, a]", `x.yaml:5: hosts.b: no link leads there`},
		{"a lone router", "  - {name: r}", "  - {name: r}\n  - {name: s}", `x.yaml:8: routers.s: no link leads there`},
		{"name of a host", "  - {name: r}", "  - {name: r}\n  - {name: a}", `x.yaml:8: routers.a: the name is that of a host`},
		{"unknown host", "from: a,", "from: aa,", `x.yaml:12: flows.f.from: there is no host "aa"; valid: a, b`},
		{"to a router", "to: b}", "to: r}", `x.yaml:12: flows.f.to: there is no host "r"`},
		{"to itself", "to: b}", "to: a}", `x.yaml:12: flows.f.to: both ends are at a`},
		{"unknown controller", "{name: a}", "{name: a, congestion: cubik}", `x.yaml:4: hosts.a.congestion: `},
		{"bad option", "to: b}", "to: b, congestion: 'cubic:beta=7'}", `x.yaml:12: flows.f.congestion: `},
		{"key of another kind", "to: b}", "to: b, think: 1s}", `x.yaml:12: flows.f.think: means nothing to a flow of the kind bulk, which takes bytes`},
		{"key that is missing", "to: b}", "to: b, kind: paced}", `x.yaml:12: flows.f.rate: is required for a flow of the kind paced`},
		{"TCP key", "to: b}", "to: b, kind: cross, rate: 1Mbit, mss: 500}", `x.yaml:12: flows.f.mss: is for flows over TCP`},
		{"unknown kind", "to: b}", "to: b, kind: bulky}", `x.yaml:12: flows.f.kind: "bulky" is unknown; did you mean "bulk"?`},
		{"stop first", "to: b}", "to: b, start: 3s, stop: 2s}", `x.yaml:12: flows.f.stop`},
		{"late start", "to: b}", "to: b, start: 5s}", `x.yaml:12: flows.f.start: 5s is not before the end`},
		{"stagger of one", "to: b}", "to: b, stagger: 5s}", `x.yaml:12: flows.f.stagger: is for several copies`},
		{"queue without a rate", "rate: 10Mbit, ", "", `x.yaml:10: links.far.queue: without a rate or a shaper nothing waits`},
		{"probability", "delay: 9ms", "delay: 9ms, loss: 101%", `x.yaml:10: links.far.loss: "101%" is more than 100%`},
		{"warmup", "duration: 5s", "duration: 5s\nwarmup: 5s", `x.yaml:3: warmup: is not less than the duration, 5s`},
		{"loss list", "delay: 9ms", "delay: 9ms, loss_list: [3, 0]", `x.yaml:10: links.far.loss_list: packets are counted from 1`},
		{"change of no link", "flows:", "changes: [{at: 1s, link: fra, rate: 1Mbit}]\nflows:", `x.yaml:11: changes.#1.link: there is no link "fra"; did you mean "far"?`},
		{"late change", "flows:", "changes: [{at: 9s, link: far, rate: 1Mbit}]\nflows:", `x.yaml:11: changes.#1.at: 9s is not before the end`},
		{"IPv6 and a small MTU", "delay: 9ms", "delay: 9ms, mtu: 1000", ``},
		{"IPv6 and a small MTU", "duration: 5s", "duration: 5s\nipv6: true", ``},
		{"version", "version: 1", "version: 2", `x.yaml:1: version: 2 is not supported`},
		{"twice", "{name: b}", "{name: a}", `hosts: the name "a" is taken by item 1`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(base, c.from) {
				t.Fatalf("the base has no %q", c.from)
			}
			_, err := tryLoad(strings.Replace(base, c.from, c.to, 1))
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var es config.Errors
			if !errors.As(err, &es) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("want %s in\n%v", c.want, err)
			}
		})
	}
	if _, err := tryLoad(strings.Replace(base, "delay: 9ms", "delay: 9ms, mtu: 1000", 1), "ipv6=true"); err == nil ||
		!strings.Contains(err.Error(), "x.yaml:10: links.far.mtu: 1000 is less than IPv6 needs") {
		t.Error(err)
	}
	if _, err := tryLoad(base, "links.fra.rate=1Mbit"); err == nil || !strings.Contains(err.Error(), `did you mean "far"?`) {
		t.Error(err)
	}
}

// Every key of a path arrives in the network: each changes what the link does.
func TestPathKeys(t *testing.T) {
	zero := fmt.Sprintf("%+v", load(t, base).Links[1].Path.Direction())
	for _, c := range []string{
		"blackhole=true", "policer.rate=1Mbit", "queue=30ms", "queue=30kB", "queue_packets=7", "mark=1ms", "codel.target=1ms", "codel.ecn=true",
		"shaper.rate=1Mbit", "rate=3Mbit", "loss=1%", "loss_every=10", "loss_list=1,2", "corrupt=1%", "delay=1ms", "jitter=1ms",
		"reorder=1%", "duplicate=1%",
	} {
		key, _, _ := strings.Cut(c, "=")
		s, err := tryLoad(base, "links.far."+c)
		if err != nil {
			t.Errorf("%s: %v", c, err)
			continue
		}
		d := s.Links[1].Path.Direction()
		if got := fmt.Sprintf("%+v", d); got == zero {
			t.Errorf("%s changes nothing", key)
		}
	}
	// Queues that are given as times take the rate's bytes.
	if d := load(t, base).Links[1].Path.Direction(); d.QueueBytes != 25000 {
		t.Errorf("20 ms at 10 Mbit/s are %d bytes", d.QueueBytes)
	}
}

func TestReverseAndChanges(t *testing.T) {
	data := strings.Replace(base, "queue: 20ms}", "queue: 20ms, reverse: {delay: 50ms}}", 1) + `changes:
  - {at: 2s, link: far, direction: forward, rate: 1Mbit, queue: 100ms}
  - {at: 3s, link: far, direction: reverse, delay: 1ms, codel: {}, policer: {rate: 1Mbit}}
`
	e, err := load(t, data).Run(RunOptions{})
	if err != nil {
		t.Fatal(err)
	}
	l := e.Net.Link("far")
	if d := l.Direction(false); d.Rate != 1e6 || d.QueueBytes != 12500 || d.Delay != 9*time.Millisecond {
		t.Errorf("forward: %+v", d)
	}
	if d := l.Direction(true); d.Rate != 0 || d.Delay != time.Millisecond || d.CoDel == nil || d.Policer.Rate != 1e6 {
		t.Errorf("reverse: %+v", d)
	}
	if m := e.Report.Flows[0].MinRTT; math.Abs(m-0.0199) > 0.01 {
		t.Errorf("least RTT %v", m)
	}
}

// Copies are flows of their own, and every kind of flow can be stated.
func TestKinds(t *testing.T) {
	data := strings.Replace(base, "  - {name: f, from: a, to: b}\n", `  - {name: f, from: a, to: b, copies: 3, stagger: 500ms, bytes: 200kB, congestion: reno}
  - {name: req, kind: request, from: a, to: b, request: 100B, response: 3kB, think: 10ms, count: 30}
  - {name: pace, kind: paced, from: b, to: a, rate: 100kbit, chunk: 500B}
  - {name: onoff, kind: onoff, from: b, to: a, rate: 100kbit, on: 100ms, off: 100ms, exponential: true}
  - {name: short, kind: short, from: a, to: b, bytes: 5kB, interval: 100ms, sizes: exponential, count: 20}
  - {name: noise, kind: cross, from: b, to: a, rate: 100kbit, poisson: true, chunk: 200B}
`, 1)
	e, err := load(t, data).Run(RunOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range e.Report.Flows {
		names = append(names, f.Name)
		if f.Bytes == 0 || f.Error != "" {
			t.Errorf("%+v", f)
		}
		if strings.HasPrefix(f.Name, "f-") && (!f.Complete || f.Bytes != 200000 || f.Congestion != "reno") || f.Name == "req" && f.Count != 30 {
			t.Errorf("%+v", f)
		}
	}
	if want := []string{"f-1", "f-2", "f-3", "req", "pace", "onoff", "short", "noise"}; !slices.Equal(names, want) {
		t.Errorf("%v", names)
	}
	if s := e.Report.Flows[2].Start; s != 1 {
		t.Errorf("the third copy starts at %v", s)
	}
}

func TestCapture(t *testing.T) {
	s := load(t, base, "duration=1s")
	for where, ok := range map[string]bool{"": true, "far": true, "far:b": true, "near:a,far:b": true, "fra": false, "far:a": false} {
		var b bytes.Buffer
		e, err := s.Run(RunOptions{Capture: &b, Where: where})
		if (err == nil) != ok || ok && (e.Captured < 500 || b.Len() < 1000) {
			t.Errorf("%q: %v", where, err)
		}
	}
}

// A matrix has every combination, in order, and the same figures whatever the
// number of jobs.
func TestMatrix(t *testing.T) {
	opts := Options{Name: "x", Data: []byte(strings.Replace(base, "duration: 5s", "duration: 1s", 1))}
	var vary []Vary
	for _, s := range []string{"hosts.a.congestion=reno;cubic:beta=0.8,c=0.5", "links.far.rate=5Mbit,10Mbit"} {
		v, err := ParseVary(s)
		if err != nil {
			t.Fatal(err)
		}
		vary = append(vary, v)
	}
	var want string
	for _, jobs := range []int{1, 4} {
		steps := 0
		cells, err := Matrix(context.Background(), opts, MatrixOptions{Vary: vary, Seeds: []uint64{1, 2, 3}, Jobs: jobs,
			Progress: func(done, all int) {
				if steps++; done != steps || all != 12 {
					t.Errorf("%d of %d at step %d", done, all, steps)
				}
			}})
		if err != nil || len(cells) != 12 || steps != 12 {
			t.Fatalf("%d cells, %d steps, %v", len(cells), steps, err)
		}
		if c := cells[11]; c.Seed != 3 || !slices.Equal(c.Values, []string{"cubic:beta=0.8,c=0.5", "10Mbit"}) || c.Report.Seed != 3 ||
			c.Report.Flows[0].Congestion != "cubic:beta=0.8,c=0.5" {
			t.Errorf("the last cell: %+v", c)
		}
		var b bytes.Buffer
		if err := WriteCSV(&b, "x", vary, cells); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(strings.NewReader(b.String())).ReadAll()
		if err != nil || len(rows) != 13 || rows[1][1] != "reno" {
			t.Fatalf("%d rows, %v", len(rows), err)
		}
		if want == "" {
			want = b.String()
		} else if b.String() != want {
			t.Error("the figures depend on the number of jobs")
		}
	}
	if _, err := Matrix(context.Background(), opts, MatrixOptions{Vary: []Vary{{"links.far.rate", []string{"5"}}}}); err == nil ||
		!strings.Contains(err.Error(), `--vary links.far.rate=5: links.far.rate: "5" has no unit`) {
		t.Errorf("a bad value: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Matrix(ctx, opts, MatrixOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled matrix: %v", err)
	}
	for _, s := range []string{"", "x", "=1", "x="} {
		if _, err := ParseVary(s); err == nil {
			t.Errorf("%q was taken", s)
		}
	}
}

// What comes from outside causes errors, never a panic, also not of a BUG.
func FuzzLoad(f *testing.F) {
	f.Add(base)
	f.Add(example)
	f.Fuzz(func(t *testing.T, data string) {
		s, err := tryLoad(data)
		if err != nil {
			return
		}
		// What is valid can be built.
		s.build(2, nil)
	})
}
