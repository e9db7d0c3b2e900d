package tcp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

func init() { paranoid = true }

// testReno is the least controller that behaves.
type testReno struct{ mss, cwnd, ssthresh, acked int64 }

type renoFactory struct{}

func (renoFactory) Name() string { return "test-reno" }
func (renoFactory) New(e *cc.Env, _ string) (cc.Controller, error) {
	return &testReno{mss: e.MSS, cwnd: e.InitialWindow, ssthresh: cc.NoThreshold}, nil
}

func (r *testReno) OnAck(e *cc.AckEvent) {
	if !e.CwndLimited || e.Phase == cc.Recovery || e.Phase == cc.CWR {
		return
	}
	if r.cwnd < r.ssthresh {
		r.cwnd += min(e.Delivered, 8*r.mss)
		return
	}
	if r.acked += e.Delivered; r.acked >= r.cwnd {
		r.acked -= r.cwnd
		r.cwnd += r.mss
	}
}

func (r *testReno) OnCongestion(e *cc.CongestionEvent) {
	if !e.Repeat {
		r.ssthresh = max(e.FlightSize/2, 2*r.mss)
	}
	r.cwnd, r.acked = r.ssthresh, 0
	if e.Kind == cc.Timeout {
		r.cwnd = r.mss
	}
}

func (r *testReno) Control() cc.Control { return cc.Control{Cwnd: r.cwnd, Ssthresh: r.ssthresh} }
func (r *testReno) OnMSS(mss int64)     { r.mss = mss }

// testBudget is a budget that knows when it is overdrawn or paid back twice.
type testBudget struct{ used, limit int64 }

func (b *testBudget) Charge(n int64) bool {
	if n < 0 {
		panic("negative charge")
	}
	if b.limit > 0 && b.used+n > b.limit {
		return false
	}
	b.used += n
	return true
}

func (b *testBudget) Release(n int64) {
	if b.used -= n; b.used < 0 || n < 0 {
		panic("budget released twice")
	}
}

// channel is what lies between two connections, in one direction.
type channel struct {
	loss, reorder, dup float64
	mark               float64 // share of what is ECT that gets a CE mark
	delay, jitter      time.Duration
}

type inFlight struct {
	at    clock.Time
	order int
	to    int
	seg   Segment
}

type pair struct {
	t       testing.TB
	now     clock.Time
	c       [2]*Conn
	budget  [2]*testBudget
	ch      channel
	rng     *rand.Rand
	wires   []inFlight
	order   int
	edge    [2]uint64 // highest window edge announced by each
	trace   bool
	packets int
	marked  int64 // sequence numbers with a CE mark
	onSend  func(*Conn, *Out)
}

type pairConfig struct {
	iss     [2]uint32
	gso     int64
	mtu     int64
	flow    [2]api.FlowConfig
	params  Params
	params1 *Params
	ch      channel
	seed    uint64
	passive bool // else simultaneous open
	budget  int64
	cc      cc.Factory // renoFactory if nil
}

func newPair(t testing.TB, pc pairConfig) *pair {
	p := &pair{t: t, ch: pc.ch, rng: rand.New(rand.NewPCG(pc.seed, 7)), now: clock.Time(time.Second)}
	a := netip.MustParseAddrPort("10.0.0.1:1000")
	b := netip.MustParseAddrPort("10.0.0.2:2000")
	if pc.cc == nil {
		pc.cc = renoFactory{}
	}
	if pc.mtu == 0 {
		pc.mtu = 1500
	}
	for i := range p.c {
		p.budget[i] = &testBudget{limit: pc.budget}
		params := pc.params
		if i == 1 && pc.params1 != nil {
			params = *pc.params1
		}
		cfg := &Config{Params: &params, Flow: pc.flow[i], Local: a, Remote: b, ISS: pc.iss[i], TSOffset: uint32(i) * 77777,
			LinkMTU: pc.mtu, MaxGSO: pc.gso, Controller: pc.cc, Budget: p.budget[i]}
		if i == 1 {
			cfg.Local, cfg.Remote = b, a
			if pc.passive {
				continue
			}
		}
		c, err := NewActive(p.now, cfg)
		if err != nil {
			t.Fatal(err)
		}
		p.c[i] = c
		if i == 0 && pc.passive {
			var out Out
			if !c.Poll(p.now, &out) {
				t.Fatal("no SYN")
			}
			cfg1 := *cfg
			cfg1.Local, cfg1.Remote, cfg1.ISS, cfg1.Flow, cfg1.TSOffset = b, a, pc.iss[1], pc.flow[1], 99
			if pc.params1 != nil {
				cfg1.Params = pc.params1
			}
			p.budget[1] = &testBudget{limit: pc.budget}
			cfg1.Budget = p.budget[1]
			p.c[1], err = NewPassive(p.now, &cfg1, &Segment{TCP: out.TCP})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return p
}

// flush polls both ends.
func (p *pair) flush() {
	for i, c := range p.c {
		if c == nil {
			continue
		}
		var out Out
		for n := 0; c.Poll(p.now, &out); n++ {
			if n > 5000 {
				p.t.Fatalf("%d does not stop sending: %+v", i, out.TCP)
			}
			p.send(i, &out)
		}
		if err := c.Check(); err != nil {
			p.t.Fatalf("end %d: %v", i, err)
		}
	}
}

func (p *pair) send(from int, out *Out) {
	p.packets++
	h := out.TCP
	if p.trace {
		fmt.Printf("%v %d: %v seq %d ack %d len %d win %d sack %v\n", p.now, from, h.Flags, h.Seq, h.Ack, out.Len, h.Window, h.Options.SACK[:h.Options.SACKCount])
	}
	c := p.c[from]
	if p.onSend != nil {
		p.onSend(c, out)
	}
	if h.Flags&wire.ACK != 0 && h.Flags&(wire.SYN|wire.RST) == 0 {
		// A window is never taken back, but for the rounding of its scale.
		edge := unwrap(c.rcvNxt, h.Ack) + uint64(h.Window)<<c.rcvScale
		if edge+uint64(1)<<c.rcvScale-1 < p.edge[from] {
			p.t.Fatalf("window of %d retracted from %d to %d", from, p.edge[from], edge)
		}
		p.edge[from] = max(p.edge[from], edge)
	}
	// A super-packet is cut as a device would.
	size := out.Len
	if out.GSOSize > 0 {
		size = int64(out.GSOSize)
	}
	data := make([]byte, 0, out.Len)
	for i := range out.Payload {
		data = append(data, out.Payload[i].Bytes()...)
		out.Payload[i].Release()
	}
	out.Payload = out.Payload[:0]
	if int64(len(data)) != out.Len {
		p.t.Fatalf("Len %d, payload %d", out.Len, len(data))
	}
	seq := h.Seq
	for first := true; first || len(data) > 0; first = false {
		n := min(int64(len(data)), size)
		hh := h
		hh.Seq = seq
		if int64(len(data)) > n {
			hh.Flags &^= wire.FIN | wire.PSH
		}
		if int64(hh.HeaderLen())+20+n > int64(c.pathMTU) {
			p.t.Fatalf("packet of %d bytes, MTU %d", int64(hh.HeaderLen())+20+n, c.pathMTU)
		}
		p.put(1-from, hh, data[:n], out.ECN)
		h.Flags &^= wire.CWR
		data = data[n:]
		seq += uint32(n)
	}
}

func (p *pair) put(to int, h wire.TCP, data []byte, ecn uint8) {
	copies := 1
	ce := p.ch.mark > 0 && ecn == codepointECT0 && p.rng.Float64() < p.ch.mark
	if p.rng.Float64() < p.ch.loss {
		copies = 0
	}
	if p.rng.Float64() < p.ch.dup {
		copies++
	}
	if ce {
		p.marked += int64(len(data))
		if h.Flags&wire.FIN != 0 {
			p.marked++
		}
	}
	for range copies {
		d := p.ch.delay
		if p.ch.jitter > 0 {
			d += time.Duration(p.rng.Int64N(int64(p.ch.jitter)))
		}
		if p.rng.Float64() < p.ch.reorder {
			d += p.ch.delay / 2
		}
		p.order++
		s := Segment{TCP: h, Len: int64(len(data)), CE: ce}
		if len(data) > 0 {
			s.Payload = []api.Buffer{*api.CopyBuffer(data)}
		}
		p.wires = append(p.wires, inFlight{p.now.Add(d), p.order, to, s})
	}
}

// step moves to the next event and reports whether there was one.
func (p *pair) step() bool {
	p.flush()
	next, which := clock.Never, -1
	for i := range p.wires {
		w := &p.wires[i]
		if w.at < next || w.at == next && w.order < p.wires[which].order {
			next, which = w.at, i
		}
	}
	due := clock.Never
	for _, c := range p.c {
		due = min(due, c.Deadline())
	}
	if due < next {
		p.now = max(p.now, due)
		for _, c := range p.c {
			if c.Deadline() <= p.now {
				c.Timeout(p.now)
			}
		}
		return true
	}
	if which < 0 {
		return false
	}
	p.now = max(p.now, next)
	w := p.wires[which]
	p.wires = append(p.wires[:which], p.wires[which+1:]...)
	p.c[w.to].Segment(p.now, &w.seg)
	return true
}

// transfer writes data each way and closes; it returns what each end read.
func (p *pair) transfer(data [2][]byte, chunk func() int, limit time.Duration) (got [2][]byte) {
	var written [2]int
	var eof [2]bool
	end := p.now.Add(limit)
	for p.now < end {
		for i, c := range p.c {
			for written[i] < len(data[i]) {
				n := min(chunk(), len(data[i])-written[i])
				b := api.CopyBuffer(data[i][written[i] : written[i]+n])
				_, err := c.Write(p.now, []*api.Buffer{b}, WriteOptions{})
				if err != nil {
					b.Release()
					if errors.Is(err, ErrAgain) || errors.Is(err, api.ErrNoMemory) {
						break
					}
					p.t.Fatalf("write: %v (state %v)", err, c.State())
				}
				written[i] += n
			}
			if written[i] == len(data[i]) {
				c.CloseWrite(p.now)
			}
			for !eof[i] {
				b, err := c.Read(p.now)
				if err == ErrAgain {
					break
				}
				if err == io.EOF {
					eof[i] = true
					break
				}
				if err != nil {
					p.t.Fatalf("read: %v", err)
				}
				got[i] = append(got[i], b.Bytes()...)
				b.Release()
			}
		}
		if eof[0] && eof[1] && p.c[0].FullyClosed() && p.c[1].FullyClosed() {
			return got
		}
		if !p.step() {
			p.t.Fatalf("stalled: %v %v written %v got %d %d", p.c[0].State(), p.c[1].State(), written, len(got[0]), len(got[1]))
		}
	}
	p.t.Fatalf("not finished after %v: %+v\n%+v", limit, p.c[0].Info(p.now), p.c[1].Info(p.now))
	return got
}

func pattern(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, seed))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func (p *pair) checkClean() {
	p.t.Helper()
	for i, c := range p.c {
		c.ReleaseBuffers()
		if p.budget[i].used != 0 {
			p.t.Errorf("end %d: %d bytes still charged", i, p.budget[i].used)
		}
		if err := c.CloseReason(); err != nil {
			p.t.Errorf("end %d: close reason %v", i, err)
		}
	}
}

func TestTransfer(t *testing.T) {
	for _, tc := range []struct {
		name string
		pc   pairConfig
	}{
		{"clean", pairConfig{passive: true, ch: channel{delay: 10 * time.Millisecond}}},
		{"gso", pairConfig{passive: true, gso: 65535, ch: channel{delay: 10 * time.Millisecond}}},
		{"simultaneous open", pairConfig{ch: channel{delay: 10 * time.Millisecond}}},
		{"wrap 32", pairConfig{passive: true, iss: [2]uint32{1<<32 - 1000, 1<<32 - 1}, ch: channel{delay: 10 * time.Millisecond}}},
		{"wrap 31", pairConfig{passive: true, iss: [2]uint32{1<<31 - 1000, 1<<31 - 1}, ch: channel{delay: 10 * time.Millisecond, loss: 0.02}}},
		{"loss", pairConfig{passive: true, ch: channel{delay: 10 * time.Millisecond, loss: 0.05, reorder: 0.05, dup: 0.02, jitter: time.Millisecond}}},
		{"loss gso", pairConfig{passive: true, gso: 65535, ch: channel{delay: 10 * time.Millisecond, loss: 0.05, reorder: 0.05, dup: 0.02}}},
		{"loss without sack", pairConfig{passive: true, params: Params{NoSACK: true}, ch: channel{delay: 10 * time.Millisecond, loss: 0.05, reorder: 0.05, dup: 0.02}}},
		{"loss without timestamps", pairConfig{passive: true, params: Params{NoTimestamps: true}, ch: channel{delay: 10 * time.Millisecond, loss: 0.05, reorder: 0.05, dup: 0.02}}},
		{"bare", pairConfig{passive: true, params: Params{NoTimestamps: true, NoSACK: true, NoWindowScale: true}, ch: channel{delay: 10 * time.Millisecond, loss: 0.05}}},
		{"small buffers", pairConfig{passive: true, flow: [2]api.FlowConfig{{ReceiveBuffer: 4000, SendBuffer: 5000}, {ReceiveBuffer: 3000, SendBuffer: 2000}}, ch: channel{delay: 10 * time.Millisecond, loss: 0.02}}},
		{"zero delay", pairConfig{passive: true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.pc.seed = 1
			p := newPair(t, tc.pc)
			data := [2][]byte{pattern(600_000, 1), pattern(300_000, 2)}
			got := p.transfer(data, func() int { return 1 + p.rng.IntN(20000) }, 30*time.Minute)
			if !bytes.Equal(got[1], data[0]) || !bytes.Equal(got[0], data[1]) {
				t.Fatal("bytes differ")
			}
			t.Logf("%v, %d packets, %d/%d rexmits, %d/%d timeouts", p.now, p.packets, p.c[0].seldom.rexmits, p.c[1].seldom.rexmits, p.c[0].seldom.timeouts, p.c[1].seldom.timeouts)
			for p.step() && p.now < clock.Never {
			}
			for i, c := range p.c {
				if !c.Gone() {
					t.Errorf("end %d still in %v", i, c.State())
				}
			}
			p.checkClean()
		})
	}
}
