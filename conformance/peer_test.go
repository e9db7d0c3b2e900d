package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/impl/engine"
	"github.com/sluicenet/sluice/impl/reno"
)

// sound is the stack that the suite's own tests use.
var sound = mutantTarget{&mutant{name: "none"}}

// run runs f as the body of a case and returns its record.
func runBody(target Target, f func(*T)) Record {
	c := &Case{ID: "test/body", Title: "t", Clause: "c", Source: "s", Level: OnWire, Run: f}
	return RunCase(target, c, IPv4, 1, 10*time.Second)
}

// TestTestPeer shows how a wire case is written: the peer opens a connection,
// sends and expects segments by relative numbers, and reads and writes through
// the stack's own calls.
func TestTestPeer(t *testing.T) {
	rec := runBody(sound, func(t *T) {
		w := t.Lab(nil)                     // a stack and its peer
		c := w.Accept(Hello{MSS: 1000})     // the stack listens, the peer connects
		c.Send(ACK|PSH, Data(100))          // bytes 1 to 100 of the pattern
		c.GotAck(500*time.Millisecond, 101) // now or delayed
		c.WantRead(100)                     // what the stack's caller reads

		c.Written(2500) // the stack's caller writes
		for _, s := range c.GotData(time.Second, 2501) {
			if len(s.Payload) > 1000 {
				t.Fatalf("segment of %d bytes", len(s.Payload))
			}
		}
		c.Send(ACK, Ack(1001)) // a partial acknowledgment
		s := c.Got(5*time.Second, "retransmission", hasData)
		if c.seqOf(s) != 1001 {
			t.Fatalf("retransmitted %d", c.seqOf(s))
		}
		c.AckAll()
		c.Alive()

		d := w.Dial(Hello{TS: true, SACK: true, Scale: 7}) // the stack connects, the peer listens
		d.Alive()
		d.Send(RST)
		t.is("read", readError(t, d.Flow), api.ErrReset)
	})
	if rec.Verdict != Pass {
		t.Fatal(rec.Text())
	}
	if rec.Virtual == 0 {
		t.Error("no virtual time has passed")
	}
}

// A wrong expectation fails, with the packets and the seed in the record.
func TestFailureIsReported(t *testing.T) {
	rec := runBody(sound, func(t *T) {
		c := t.Lab(nil).Accept(Hello{})
		c.Send(ACK|PSH, Data(10))
		c.GotAck(time.Second, 12) // one byte too many
	})
	if rec.Verdict != Fail {
		t.Fatalf("verdict %s", rec.Verdict)
	}
	text := rec.Text()
	for _, want := range []string{"no ACK of 12", "seed 1", "[S]", "[S.]", "win", "mss 1460"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
}

// The verdicts other than pass and fail, and how a panic, a hang and a
// goroutine's failure come out.
func TestVerdicts(t *testing.T) {
	check := func(name string, rec Record, want Verdict, text string) {
		t.Helper()
		if rec.Verdict != want || !strings.Contains(rec.Text(), text) {
			t.Errorf("%s: want %s with %q, got\n%s", name, want, text, rec.Text())
		}
	}
	check("panic", runBody(sound, func(*T) { panic("out of order") }), Fail, "out of order")
	check("skip", runBody(sound, func(t *T) { t.Skipf("no moon") }), Skip, "no moon")
	check("inconclusive", runBody(sound, func(t *T) { t.Inconclusivef("no wind") }), Inconclusive, "no wind")
	check("actor", runBody(sound, func(t *T) {
		op := Start(t, "op", func() int { t.Fatalf("inside"); return 0 })
		op.Wait()
	}), Fail, "inside")
	check("forgotten", runBody(sound, func(t *T) {
		t.Go(func() { t.clk.NewWaiter().Park(context.Background()) })
	}), Fail, "still blocked after Disconnect")
	c := &Case{ID: "test/hang", Title: "t", Clause: "c", Source: "s", Level: OnWire, Run: func(*T) {
		time.Sleep(time.Second) // not in the case's clock
	}}
	check("hang", RunCase(sound, c, IPv4, 1, 20*time.Millisecond), Fail, "hangs")

	needs := &Case{ID: "test/needs", Title: "t", Clause: "c", Source: "s", Level: OnWire, Needs: Urgent, Run: func(*T) {}}
	check("capability", RunCase(deviant{caps: Wire | VirtualTime}, needs, IPv4, 1, 0), Skip, "lacks urgent")
	fails := &Case{ID: "test/x", Title: "t", Clause: "c", Source: "s", Level: OnWire, Run: func(t *T) { t.Errorf("too blue") }}
	passes := &Case{ID: "test/x", Title: "t", Clause: "c", Source: "s", Level: OnWire, Run: func(t *T) {}}
	dev := []Deviation{{Case: "test/x", Reason: "it is blue", Source: "RFC 0", Failure: "blue"}}
	other := []Deviation{{Case: "test/x", Reason: "it is red", Source: "RFC 0", Failure: "red"}}
	check("deviation", RunCase(deviant{All, dev}, fails, IPv4, 1, 0), Deviates, "RFC 0")
	check("another failure", RunCase(deviant{All, other}, fails, IPv4, 1, 0), Fail, "too blue")
	check("deviation gone", RunCase(deviant{All, dev}, passes, IPv4, 1, 0), Fail, "no longer occurs")
}

// deviant is a target that is never asked for a stack.
type deviant struct {
	caps Capability
	devs []Deviation
}

func (d deviant) Name() string                { return "deviant" }
func (d deviant) Capabilities() Capability    { return d.caps }
func (d deviant) New(*Env) (api.Stack, error) { panic("BUG: not asked") }
func (d deviant) Deviations() []Deviation     { return d.devs }

// The oracle, on packets made by hand.
func TestOracle(t *testing.T) {
	src, dst := netip.MustParseAddrPort("192.0.2.1:80"), netip.MustParseAddrPort("192.0.2.2:90")
	base := func() *Segment { return &Segment{Src: src, Dst: dst, Flags: ACK, Seq: 100, Ack: 5, Window: 9} }
	for _, x := range []struct {
		name string
		want string // "" if the packet is sound
		edit func(s *Segment)
		raw  func(b []byte) []byte
	}{
		{name: "sound"},
		{name: "tcp checksum", want: "TCP checksum", raw: func(b []byte) []byte { b[25] ^= 1; return b }},
		{name: "ip checksum", want: "IPv4 header checksum", raw: func(b []byte) []byte { b[8]--; return b }},
		{name: "mss", want: "option of a SYN", edit: func(s *Segment) { s.Options = optMSS(1460) }},
		{name: "mss on a syn", edit: func(s *Segment) { s.Options, s.Flags = optMSS(1460), SYN }},
		{name: "scale", want: "window scale above 14", edit: func(s *Segment) { s.Options, s.Flags = optScale(15), SYN }},
		{name: "padding", want: "padding", edit: func(s *Segment) { s.Options = []byte{0, 0, 0, 7} }},
		{name: "unknown option", want: "unknown option", edit: func(s *Segment) { s.Options = []byte{253, 4, 1, 1} }},
		{name: "syn fin", want: "impossible combination", edit: func(s *Segment) { s.Flags |= SYN | FIN }},
		{name: "no ack", want: "no ACK bit", edit: func(s *Segment) { s.Flags = PSH }},
		{name: "urgent", want: "urgent pointer", edit: func(s *Segment) { s.Flags |= URG }},
		{name: "too long", want: "MTU", edit: func(s *Segment) { s.Payload = make([]byte, 1461) }},
		{name: "garbage", want: "malformed", raw: func([]byte) []byte { return []byte{1, 2, 3} }},
	} {
		var got []string
		o := newOracle(1500, func(f string, args ...any) { got = append(got, fmt.Sprintf(f, args...)) })
		s := base()
		if x.edit != nil {
			x.edit(s)
		}
		raw := encode(s)
		if x.raw != nil {
			raw = x.raw(raw)
		}
		o.packet(raw)
		switch all := strings.Join(got, "\n"); {
		case x.want == "" && all != "":
			t.Errorf("%s: %s", x.name, all)
		case x.want != "" && !strings.Contains(all, x.want):
			t.Errorf("%s: want %q, got %q", x.name, x.want, all)
		}
	}
	// One sequence number, one byte.
	var got []string
	o := newOracle(1500, func(f string, args ...any) { got = append(got, fmt.Sprintf(f, args...)) })
	for _, s := range []*Segment{
		{Src: src, Dst: dst, Flags: SYN, Seq: 99},
		{Src: src, Dst: dst, Flags: ACK, Seq: 100, Payload: []byte("hello")},
		{Src: src, Dst: dst, Flags: ACK, Seq: 103, Payload: []byte("lo, you")},
	} {
		o.packet(encode(s))
	}
	if len(got) > 0 {
		t.Errorf("an overlap with equal bytes: %v", got)
	}
	o.packet(encode(&Segment{Src: src, Dst: dst, Flags: ACK, Seq: 102, Payload: []byte("LLO")}))
	if len(got) != 1 {
		t.Errorf("an overlap with other bytes: %v", got)
	}
}

// What encode makes gopacket's decoder reads back, for both families.
func TestEncodeDecode(t *testing.T) {
	for _, a := range [][2]string{{"192.0.2.1:1", "192.0.2.2:65535"}, {"[2001:db8::1]:1", "[2001:db8::2]:65535"}} {
		s := &Segment{
			Src: netip.MustParseAddrPort(a[0]), Dst: netip.MustParseAddrPort(a[1]), TTL: 9, TOS: 0xb8, Seq: 1<<32 - 2, Ack: 1 << 31,
			Flags: ACK | PSH | URG, Window: 65535, Urgent: 3, Payload: []byte("odd"),
			Options: append(optTimestamps(7, 8), optSACK(Range{1, 2}, Range{3, 4})...),
		}
		raw := encode(s)
		d := decode(raw)
		if d == nil || d.checksumMismatch != "" || d.optionTrouble != "" {
			t.Fatalf("decoded %+v", d)
		}
		if d.Src != s.Src || d.Dst != s.Dst || d.TTL != 9 || d.TOS != 0xb8 || d.Seq != s.Seq || d.Ack != s.Ack || d.Flags != s.Flags ||
			d.Window != s.Window || d.Urgent != 3 || string(d.Payload) != "odd" || d.TSval != 7 || d.TSecr != 8 || len(d.SACK) != 2 {
			t.Errorf("%s\n%s", s, d)
		}
		p := gopacket.NewPacket(raw, packetType(raw), gopacket.Default)
		if p.ErrorLayer() != nil || p.Layer(layers.LayerTypeTCP) == nil {
			t.Errorf("gopacket: %v", p.ErrorLayer())
		}
	}
}

// IDs are unique and complete, every clause of the contract and every defect of
// the reference has its case, and patterns select.
func TestRegistry(t *testing.T) {
	ids := map[string]bool{}
	for _, c := range Cases() { // panics on an incomplete or double one
		ids[c.ID] = true
	}
	for _, id := range strings.Fields(`R1 R2 R3 R4 W1 W2 W3 W4 W5 V1 N1 N2 N3 N4 C1 C2 C3 C4 C5 D1 O1 O2 K1 K2 K3 K4 L1 L2 L3 U1 X1 X2
		CloseWrite CloseRead Abort CloseReason Info Configure Notify`) {
		found := false
		for k := range ids {
			found = found || k == "contract/"+id || strings.HasPrefix(k, "contract/"+id+"-")
		}
		if !found {
			t.Errorf("no case for contract clause %s", id)
		}
	}
	for _, id := range strings.Fields(`close-waits write-nodelay-blocks write-closed read-eof-repeats reset-not-eof keepalive-write-closed shutdown-read
		disconnect-cancels option-mss-small syn-window-unscaled synack-retransmit-options dupack-grows-cwnd partial-ack-mid-segment rto-restart
		giveup-unblocks rst-syn-rcvd simultaneous-open fin-wait-2 fin-retransmitted zero-window-probe window-honest overlap-trim
		sequence-wrap-2^31 unacceptable-ack checksum-verify port-exhaustion syn-flood-bounded rst-acks-payload pmtud listen-twice no-route`) {
		if !ids["mirage/"+id] {
			t.Errorf("no case for the defect %s", id)
		}
	}
	// RFC 9293's identifiers, but for those that bind no stack or are declared
	// to be unsupported.
	without := map[string]string{
		"MUST-51": "source routes", "MUST-52": "source routes", "MUST-53": "source routes", "SHLD-24": "source routes",
		"SHLD-6": "no link changes its MTU", "SHLD-13": "binds applications", "SHLD-23": "binds applications",
	}
	var sources strings.Builder
	for _, c := range Cases() {
		fmt.Fprintf(&sources, "%s %s ", c.ID, c.Source)
	}
	for prefix, n := range map[string]int{"MUST": 69, "SHLD": 31} {
		for i := 1; i <= n; i++ {
			id := fmt.Sprintf("%s-%d", prefix, i)
			named := regexp.MustCompile(id + `\b`).MatchString(sources.String())
			if named == (without[id] != "") {
				t.Errorf("%s: named by a case: %v; left out for: %q", id, named, without[id])
			}
		}
	}
	for pattern, want := range map[string]bool{"contract/*": true, "*": true, "mirage/pmtud,contract/R?": true, "[": false, "nothing": false} {
		if cases, err := Select(pattern); (err == nil) != want {
			t.Errorf("Select(%q): %d cases, %v", pattern, len(cases), err)
		}
	}
	if c, _ := Select("mirage/pmtud,contract/R?"); len(c) != 5 {
		t.Errorf("selected %d cases", len(c))
	}
}

// Both reports are well-formed and say what happened.
func TestReports(t *testing.T) {
	bad := Case{ID: "test/bad", Title: "bad <&>", Clause: "c", Source: "s", Level: OnWire, Family: IPv4, Run: func(t *T) { t.Errorf("x < y & z") }}
	good := Case{ID: "test/good", Title: "good", Clause: "c", Source: "s", Family: IPv6, Run: func(t *T) {}}
	skip := Case{ID: "test/skip", Title: "skip", Clause: "c", Source: "s", Family: IPv4, Run: func(t *T) { t.Skipf("why not") }}
	seen := 0
	r := RunTarget(deviant{caps: All}, Options{Cases: []Case{bad, good, skip}, Seed: 5, Progress: func(Record) { seen++ }})
	if seen != 3 || r.OK() || r.Counts[Pass] != 1 || r.Counts[Fail] != 1 || r.Counts[Skip] != 1 {
		t.Fatalf("%d records, counts %v", seen, r.Counts)
	}
	var b bytes.Buffer
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var back map[string]any
	if err := json.Unmarshal(b.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	rec := back["records"].([]any)[0].(map[string]any)
	if rec["id"] != "test/bad" || rec["verdict"] != "fail" || rec["seed"] != 5.0 || rec["family"] != "ipv4" || rec["level"] != "wire" {
		t.Errorf("record %v", rec)
	}
	b.Reset()
	if err := r.WriteJUnit(&b); err != nil {
		t.Fatal(err)
	}
	var suites struct {
		Suites []struct {
			Name     string `xml:"name,attr"`
			Tests    int    `xml:"tests,attr"`
			Failures int    `xml:"failures,attr"`
			Skipped  int    `xml:"skipped,attr"`
			Cases    []struct {
				Name string `xml:"name,attr"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(b.Bytes(), &suites); err != nil {
		t.Fatalf("%v in\n%s", err, b.String())
	}
	tests, failures, skipped, cases := 0, 0, 0, 0
	for _, s := range suites.Suites {
		tests, failures, skipped, cases = tests+s.Tests, failures+s.Failures, skipped+s.Skipped, cases+len(s.Cases)
	}
	if tests != 3 || failures != 1 || skipped != 1 || cases != 3 {
		t.Errorf("%d tests, %d failures, %d skipped, %d cases in\n%s", tests, failures, skipped, cases, b.String())
	}
	b.Reset()
	if err := r.WriteTable(&b); err != nil || !strings.Contains(b.String(), "why not") {
		t.Errorf("table: %v\n%s", err, b.String())
	}
}

// The same seed gives the same packets, another seed others.
func TestRepeats(t *testing.T) {
	trace := func(seed uint64) string {
		c, ok := Lookup("contract/loss")
		if !ok {
			t.Fatal("no such case")
		}
		x := newT(sound, &c, IPv4, seed)
		x.run()
		if len(x.failures) > 0 {
			t.Fatal(x.failures)
		}
		return strings.Join(x.trace.decoded(), "\n")
	}
	if first, again := trace(1), trace(1); first != again {
		t.Error("the same seed gave different packets")
	}
	if trace(1) == trace(2) {
		t.Error("different seeds gave the same packets")
	}
}

// A case that overwrites what it read finds a stack that gives away memory
// which the sender still needs (R1): here by a link whose receiver is the
// engine told that the memory is its own.
func TestSharedMemoryIsFound(t *testing.T) {
	c, _ := Lookup("contract/R1-retransmit")
	rec := RunCase(leaky{}, &c, IPv4, 1, 10*time.Second)
	if rec.Verdict != Fail {
		t.Fatalf("verdict %s: a receiver that shares the sender's memory was not found", rec.Verdict)
	}
}

// leaky makes stacks that believe every payload to be theirs alone.
type leaky struct{}

func (leaky) Name() string             { return "leaky" }
func (leaky) Capabilities() Capability { return All }
func (leaky) Deviations() []Deviation  { return nil }
func (leaky) New(e *Env) (api.Stack, error) {
	return engine.New(engine.Config{Link: &leakyLink{e.Link}, Clock: e.Clock, Addresses: e.Addresses,
		Controllers: []cc.Factory{reno.Factory}, Flow: e.Flow, Seed: e.Seed})
}

type leakyLink struct{ link.Link }

func (l *leakyLink) Attach(recv func([]link.Packet)) error {
	return l.Link.Attach(func(batch []link.Packet) {
		for i := range batch {
			for j, b := range batch[i].Payload {
				batch[i].Payload[j] = *api.NewBuffer(b.Bytes()) // same memory, own count
			}
		}
		recv(batch)
	})
}
