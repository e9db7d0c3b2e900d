package tcp

import (
	"testing"
	"time"

	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
)

// watcher records what a PacketObserver is told.
type watcher struct {
	spy
	sent, lost []cc.SentPacket
	at         []clock.Time
	totals     [][2]int64
	order      []string
}

func (w *watcher) OnSent(p *cc.SentPacket) { w.sent = append(w.sent, *p) }
func (w *watcher) OnPacketLost(p *cc.SentPacket, now cc.Time, delivered, lost int64) {
	w.lost, w.at, w.totals = append(w.lost, *p), append(w.at, now), append(w.totals, [2]int64{delivered, lost})
	w.order = append(w.order, "lost")
}
func (w *watcher) OnAck(e *cc.AckEvent) {
	w.order = append(w.order, "ack")
	w.spy.OnAck(e)
}
func (w *watcher) OnCongestion(e *cc.CongestionEvent) {
	w.order = append(w.order, "congestion")
	w.spy.OnCongestion(e)
}

type watcherFactory struct{ last *watcher }

func (*watcherFactory) Name() string { return "watcher" }
func (f *watcherFactory) New(e *cc.Env, _ string) (cc.Controller, error) {
	c, _ := renoFactory{}.New(e, "")
	f.last = &watcher{spy: spy{testReno: *c.(*testReno)}}
	return f.last, nil
}

// watched is flight with a watcher.
func watched(t *testing.T, p Params) (*script, *watcher) {
	f := &watcherFactory{}
	s := scriptConfig{synOpts: sackOpts, cc: f, params: p}.open(t)
	s.write(40 * 1460)
	for i := range uint32(10) {
		s.want(fACK, seg(i), 1, 1460)
	}
	s.none()
	s.now = s.now.Add(10 * time.Millisecond)
	return s, f.last
}

func TestPacketsSent(t *testing.T) {
	s, w := watched(t, Params{})
	if len(w.sent) != 10 {
		t.Fatalf("told of %d packets", len(w.sent))
	}
	first := s.c.sndUna
	for i, p := range w.sent {
		want := cc.SentPacket{Seq: first + uint64(i)*1460, End: first + uint64(i+1)*1460, At: p.At, InFlight: int64(i+1) * 1460,
			AppLimited: true} // there was nothing to send before
		if p != want || p.At == 0 {
			t.Errorf("packet %d: %+v, want %+v", i, p, want)
		}
	}
	s.recv(fACK, 1, seg(2))
	for range 4 {
		s.poll()
		s.done()
	}
	if p := w.sent[10]; p.Delivered != 2*1460 || p.InFlight != 9*1460 {
		t.Errorf("%+v", p)
	}
}

// What is lost is told before the congestion, and that before the ACK.
func TestPacketsLost(t *testing.T) {
	s, w := watched(t, Params{NoRACK: true})
	sent := w.sent
	w.order = nil
	s.recv(fACK, 1, seg(0), s.sack(seg(2), seg(5)))
	if len(w.lost) != 2 || w.lost[0] != sent[0] || w.lost[1] != sent[1] {
		t.Fatalf("lost %+v", w.lost)
	}
	if w.totals[0] != [2]int64{3 * 1460, 1460} || w.totals[1] != [2]int64{3 * 1460, 2 * 1460} {
		t.Errorf("totals %v", w.totals)
	}
	if w.at[0] != s.now {
		t.Errorf("at %v, now %v", w.at[0], s.now)
	}
	want := []string{"lost", "lost", "congestion", "ack"}
	for i := range want {
		if i >= len(w.order) || w.order[i] != want[i] {
			t.Fatalf("order %v", w.order)
		}
	}
	e := w.acks[len(w.acks)-1]
	if e.TotalLost != 2*1460 || e.TotalDelivered != 3*1460 {
		t.Errorf("the ACK has other totals: %d lost, %d delivered", e.TotalLost, e.TotalDelivered)
	}
	n := len(w.sent)
	s.want(fACK, seg(0), 1, 1460)
	if p := w.sent[n]; !p.Retransmit || p.Lost != 2*1460 {
		t.Errorf("sent again: %+v", p)
	}
}

// A timeout loses all, with the retransmission; what was too big for the path, or
// for a window that has shrunk, is not lost.
func TestPacketsLostOtherwise(t *testing.T) {
	s, w := watched(t, Params{NoRACK: true})
	s.advance(s.until())
	if len(w.lost) != 10 || w.totals[9][1] != 10*1460 {
		t.Fatalf("a timeout loses %d packets", len(w.lost))
	}
	s.want(fACK, seg(0), 1, 1460)
	s.advance(s.until())
	if len(w.lost) != 11 || w.lost[10].Seq != w.lost[0].Seq || !w.lost[10].Retransmit {
		t.Fatalf("another loses %d", len(w.lost)-10)
	}

	s, w = watched(t, Params{})
	s.c.ICMP(s.now, ICMPError{Kind: ICMPPacketTooBig, Seq: s.iss + 1, MTU: 1000})
	if s.c.sb.lost == 0 {
		t.Fatal("nothing is sent again")
	}
	if len(w.lost) > 0 {
		t.Errorf("what was too big counts as lost")
	}
}
