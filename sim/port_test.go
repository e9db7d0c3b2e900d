package sim

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"
)

type passed struct {
	at     Time
	packet []byte
}

// ports returns a network of two ports and what arrives at each.
func ports(t testing.TB, seed uint64, ab, ba Direction) (n *Network, p [2]*Port, got *[2][]passed) {
	t.Helper()
	n, got = New(Config{Seed: seed}), new([2][]passed)
	for i, name := range []string{"a", "b"} {
		var err error
		p[i], err = n.AddPort(name, func(due Time, b []byte) {
			if due != n.Now() {
				t.Errorf("due at %v, delivered at %v", due, n.Now())
			}
			got[i] = append(got[i], passed{due, bytes.Clone(b)})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := n.AddLink(LinkConfig{Name: "l", A: p[0], B: p[1], AB: ab, BA: ba}); err != nil {
		t.Fatal(err)
	}
	if err := n.Run(0); err != nil {
		t.Fatal(err)
	}
	return n, p, got
}

func TestPortsKeepTimeAndBytes(t *testing.T) {
	n, p, got := ports(t, 1, Direction{Rate: 8e6, Delay: 20 * time.Millisecond}, Direction{Delay: 5 * time.Millisecond})
	// Bytes that are no IP packets, and short ones.
	sent := [][]byte{bytes.Repeat([]byte{0xff}, 1000), {0x45}, bytes.Repeat([]byte{0x45}, 499)}
	p[0].Send(sent[0]) // takes 1 ms
	p[0].Send(sent[1]) // and this a microsecond, behind the first
	if next := n.Next(); next != Time(time.Millisecond) {
		t.Errorf("the next event is at %v", next)
	}
	if err := n.Run(3 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	p[0].Send(sent[2])
	p[1].Send([]byte{1, 2, 3})
	p[1].Send(nil) // nothing
	if err := n.Run(time.Second); err != nil {
		t.Fatal(err)
	}
	if n.Next() != Never {
		t.Errorf("something is due at %v", n.Next())
	}
	want := []time.Duration{21 * time.Millisecond, 21001 * time.Microsecond, 23499 * time.Microsecond}
	if len(got[1]) != len(want) {
		t.Fatalf("%d packets arrived", len(got[1]))
	}
	for i, g := range got[1] {
		if g.at != Time(want[i]) || !bytes.Equal(g.packet, sent[i]) {
			t.Errorf("packet %d arrived at %v, want %v", i, g.at, want[i])
		}
	}
	if len(got[0]) != 1 || got[0][0].at != Time(8*time.Millisecond) || !bytes.Equal(got[0][0].packet, []byte{1, 2, 3}) {
		t.Errorf("back came %v", got[0])
	}
}

// What befalls the n-th packet does not depend on when it comes.
func TestPortsRepeat(t *testing.T) {
	fates := func(seed uint64, gap time.Duration) (arrived []uint32) {
		n, p, got := ports(t, seed, Direction{Loss: .2, Delay: time.Millisecond}, Direction{})
		for i := range uint32(500) {
			p[0].Send(binary.BigEndian.AppendUint32(nil, i))
			if err := n.Run(time.Duration(n.Now()) + gap); err != nil {
				t.Fatal(err)
			}
		}
		n.Run(time.Hour)
		for _, g := range got[1] {
			arrived = append(arrived, binary.BigEndian.Uint32(g.packet))
		}
		return arrived
	}
	equal := func(a, b []uint32) bool {
		if len(a) != len(b) {
			return false
		}
		for i := range a {
			if a[i] != b[i] {
				return false
			}
		}
		return true
	}
	a := fates(1, time.Millisecond)
	if !equal(a, fates(1, 137*time.Microsecond)) || equal(a, fates(2, time.Millisecond)) || len(a) < 350 || len(a) > 450 {
		t.Errorf("%d of 500 arrived", len(a))
	}
}

// What comes from outside does not pile up without end on a long way.
func TestPortsAreBounded(t *testing.T) {
	n, p, got := ports(t, 1, Direction{Delay: 24 * time.Hour}, Direction{})
	const sent = maxCrossing/1500 + 10
	b := make([]byte, 20)
	for range sent {
		p[0].Send(b)
	}
	if err := n.Run(48 * time.Hour); err != nil {
		t.Fatal(err)
	}
	s := n.Links()[0].Stats(false)
	if len(got[1]) != maxCrossing/1500 || s.Dropped[DropQueue] != 10 || s.Offered != sent {
		t.Errorf("%d arrived, %d were dropped", len(got[1]), s.Dropped[DropQueue])
	}
}

func TestPortsAreJoinedToPorts(t *testing.T) {
	n := New(Config{})
	deliver := func(Time, []byte) {}
	a, _ := n.AddPort("a", deliver)
	b, _ := n.AddPort("b", deliver)
	c, _ := n.AddPort("c", deliver)
	r, err := n.AddRouter("r")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.AddLink(LinkConfig{Name: "x", A: a, B: r}); err == nil {
		t.Error("a port is joined to a router")
	}
	l, err := n.AddLink(LinkConfig{Name: "y", A: a, B: b})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.AddLink(LinkConfig{Name: "z", A: b, B: c}); err == nil {
		t.Error("a port has two links")
	}
	if x, y := l.Ends(); x != Node(a) || y != Node(b) {
		t.Errorf("the link ends at %v and %v", x, y)
	}
	c.Send([]byte{1}) // leads nowhere
}

// FuzzPorts: bytes that nobody here has made cross every impairment.
func FuzzPorts(f *testing.F) {
	f.Add([]byte{0x45, 2, 0, 28, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 80, 0, 80, 0, 0, 0, 0}, uint64(1))
	f.Add(append([]byte{0x60, 0x20, 0, 0, 0, 20, 6, 64}, make([]byte, 52)...), uint64(2))
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		d := Direction{
			Policer: &Bucket{Rate: 1e6, Burst: 15000}, Shaper: &Bucket{Rate: 1e6, Burst: 1500}, CoDel: &CoDel{Target: 1, Interval: 1, ECN: true},
			QueueBytes: 10000, MarkBytes: 1, Rate: 1e6, Loss: .1, LossEvery: 3, LossList: []int64{2}, Gilbert: &Gilbert{.1, .1, .1, .9},
			Corrupt: .5, Delay: time.Millisecond, Jitter: time.Millisecond, JitterReorders: true, Reorder: .3, Duplicate: .3,
		}
		n, p, got := ports(t, seed, d, d)
		var sent uint64
		for len(b) > 0 {
			k := min(int(b[0])*8+1, len(b))
			p[b[0]&1].Send(b[:k])
			sent++
			b = b[k:]
			n.Run(time.Duration(n.Now()) + time.Duration(k)*time.Microsecond)
		}
		if err := n.Run(time.Duration(n.Now()) + time.Hour); err != nil {
			t.Fatal(err)
		}
		var offered, delivered, dropped, twins uint64
		for _, back := range []bool{false, true} {
			s := n.Links()[0].Stats(back)
			offered, delivered, dropped, twins = offered+s.Offered, delivered+s.Delivered, dropped+s.Drops(), twins+s.Duplicated
		}
		if offered != sent || delivered != uint64(len(got[0])+len(got[1])) || delivered+dropped != sent+twins {
			t.Errorf("%d sent, %d offered, %d delivered, %d dropped, %d duplicated", sent, offered, delivered, dropped, twins)
		}
	})
}
