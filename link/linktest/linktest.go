// Package linktest tests whether a pair of links that are joined keeps the
// contract of [link.Link].
package linktest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/link"
)

// patience is how long a test waits for what has to happen; it is never
// reached unless the link is wrong.
const patience = 20 * time.Second

// Run tests pairs of links that newPair makes: what one end sends the other
// receives, in order and without a loss. The links live in real time. Run closes
// them.
func Run(t *testing.T, newPair func() (a, b link.Link)) {
	for _, tt := range []struct {
		name string
		test func(t *testing.T, a, b link.Link)
	}{
		{"Attributes", testAttributes},
		{"Attach", testAttach},
		{"Order", testOrder},
		{"Batch", testBatch},
		{"Ownership", testOwnership},
		{"MTU", testMTU},
		{"Offload", testOffload},
		{"Reentrancy", testReentrancy},
		{"Concurrency", testConcurrency},
		{"SendAfterClose", testSendAfterClose},
		{"CloseWaitsForRecv", testCloseWaits},
		{"CloseUnderTraffic", testCloseUnderTraffic},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := newPair()
			defer b.Close()
			defer a.Close()
			tt.test(t, a, b)
		})
	}
}

const headerLen = 20 + 8

// Packet returns a valid IPv4 packet of n bytes, at least 28, of the experimental
// protocol 253 (RFC 3692), with the number id in it.
func Packet(id uint64, n int) []byte {
	b := make([]byte, n)
	b[0], b[8], b[9] = 0x45, 64, 253
	binary.BigEndian.PutUint16(b[2:], uint16(n))
	copy(b[12:], []byte{192, 0, 2, 1, 192, 0, 2, 2})
	var sum uint32
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(b[10:], ^uint16(sum+sum>>16))
	binary.BigEndian.PutUint64(b[20:], id)
	for i := headerLen; i < n; i++ {
		b[i] = byte(i) ^ byte(id)
	}
	return b
}

func id(b []byte) uint64 { return binary.BigEndian.Uint64(b[20:]) }

// shape cuts a packet into header and payload in one of several ways.
func shape(b []byte, how int) link.Packet {
	b = bytes.Clone(b)
	switch how % 4 {
	case 0: // all in the header
		return link.Packet{Header: b}
	case 1: // all in the payload
		return link.Packet{Payload: []api.Buffer{*api.CopyBuffer(b)}}
	case 2:
		return link.Packet{Header: b[:headerLen], Payload: []api.Buffer{*api.CopyBuffer(b[headerLen:])}}
	}
	i := headerLen + (len(b)-headerLen)/3
	buf := api.CopyBuffer(b)
	p := link.Packet{Header: b[:headerLen:headerLen], Payload: []api.Buffer{buf.View(headerLen, i), buf.View(i, i), buf.View(i, len(b))}}
	buf.Release()
	return p
}

// sink collects what arrives.
type sink struct {
	mu  sync.Mutex
	got [][]byte
}

func (s *sink) recv(batch []link.Packet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range batch {
		s.got = append(s.got, batch[i].AppendTo(nil))
		batch[i].Release()
	}
}

func (s *sink) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.got)
}

func attach(t *testing.T, l link.Link, recv func([]link.Packet)) {
	t.Helper()
	if err := l.Attach(recv); err != nil {
		t.Fatal(err)
	}
}

func send(t *testing.T, l link.Link, batch ...link.Packet) {
	t.Helper()
	if err := l.Send(batch); err != nil {
		t.Fatalf("Send: %v", err)
	}
}

// wait waits until ok returns true.
func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for start := time.Now(); !ok(); time.Sleep(100 * time.Microsecond) {
		if time.Since(start) > patience {
			t.Fatalf("in vain waited for %s", what)
		}
	}
}

// done waits for a channel to be closed.
func done(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("in vain waited for %s", what)
	}
}

func testAttributes(t *testing.T, a, b link.Link) {
	for _, l := range []link.Link{a, b} {
		at := l.Attributes()
		if at.MTU < 68 || at.MaxGSO < 0 || at.MaxGSO > 65535 || at.Name == "" {
			t.Errorf("attributes %+v", at)
		}
		if s := l.Stats(); s != (link.Stats{}) {
			t.Errorf("stats of a new link: %+v", s)
		}
		l.Close()
		if l.Attributes() != at {
			t.Error("attributes changed")
		}
	}
}

func testAttach(t *testing.T, a, b link.Link) {
	send(t, a, link.Packet{Header: Packet(0, 60)}) // nobody is there: lost
	var s sink
	attach(t, b, s.recv)
	if err := b.Attach(s.recv); err == nil {
		t.Error("a second Attach worked")
	}
	if err := a.Attach(nil); err == nil {
		t.Error("Attach of nil worked")
	}
	a.Close()
	if err := a.Attach(s.recv); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Attach after Close: %v", err)
	}
}

func testOrder(t *testing.T, a, b link.Link) {
	var s sink
	attach(t, b, s.recv)
	const n = 400
	mtu := a.Attributes().MTU
	var want [][]byte
	var total uint64
	for i := range n {
		p := Packet(uint64(i), headerLen+(i*37)%(mtu-headerLen+1))
		want = append(want, p)
		total += uint64(len(p))
		out := shape(p, i)
		send(t, a, out)
		clear(out.Header) // it is ours again
		out.Release()
	}
	wait(t, "the packets", func() bool { return s.len() == n })
	for i := range want {
		if !bytes.Equal(s.got[i], want[i]) {
			t.Fatalf("packet %d is not what was sent", i)
		}
	}
	if st := a.Stats(); st.PacketsOut != n || st.BytesOut != total || st.DropsOut != 0 {
		t.Errorf("sender's stats %+v, want %d packets of %d bytes", st, n, total)
	}
	if st := b.Stats(); st.PacketsIn != n || st.BytesIn != total || st.DropsIn != 0 {
		t.Errorf("receiver's stats %+v, want %d packets of %d bytes", st, n, total)
	}
}

func testBatch(t *testing.T, a, b link.Link) {
	var s sink
	attach(t, b, s.recv)
	send(t, a)
	var batch []link.Packet
	for i := range 100 {
		batch = append(batch, shape(Packet(uint64(i), 100), i))
	}
	send(t, a, batch...)
	wait(t, "the batch", func() bool { return s.len() == len(batch) })
	for i := range batch {
		if got := id(s.got[i]); got != uint64(i) {
			t.Fatalf("packet %d arrived as number %d", got, i)
		}
		if want := Packet(uint64(i), 100); !bytes.Equal(batch[i].AppendTo(nil), want) {
			t.Fatalf("Send changed packet %d", i)
		}
	}
}

// The payload is the receiver's, to keep and to overwrite; the sender's stays his.
func testOwnership(t *testing.T, a, b link.Link) {
	var mu sync.Mutex
	var kept []link.Packet
	attach(t, b, func(batch []link.Packet) {
		mu.Lock()
		defer mu.Unlock()
		for i := range batch {
			p := link.Packet{Header: bytes.Clone(batch[i].Header), Payload: batch[i].Payload}
			kept = append(kept, p)
		}
		clear(batch)
	})
	want := Packet(1, 500)
	const n = 20
	out := shape(want, 3)
	for range n {
		send(t, a, out)
	}
	wait(t, "the packets", func() bool { mu.Lock(); defer mu.Unlock(); return len(kept) == n })
	mu.Lock()
	defer mu.Unlock()
	// Whoever alone sees a buffer may overwrite it (R1).
	for j := range kept[0].Payload {
		if buf := &kept[0].Payload[j]; buf.Exclusive() {
			clear(buf.Bytes())
		}
	}
	if !bytes.Equal(out.AppendTo(nil), want) {
		t.Error("the receiver overwrote the sender's bytes")
	}
	out.Release()
	for i := 1; i < n; i++ {
		if !bytes.Equal(kept[i].AppendTo(nil), want) {
			t.Fatalf("packet %d changed after it was received", i)
		}
	}
	for i := range kept {
		kept[i].Release()
	}
}

func testMTU(t *testing.T, a, b link.Link) {
	var s sink
	attach(t, b, s.recv)
	mtu := a.Attributes().MTU
	if mtu == 65535 {
		t.Skip("there is no longer packet")
	}
	send(t, a, link.Packet{Header: Packet(0, mtu)}, link.Packet{Header: Packet(1, mtu+1)}, link.Packet{Header: Packet(2, mtu)})
	wait(t, "two packets", func() bool { return s.len() >= 2 })
	if len(s.got) != 2 || id(s.got[0]) != 0 || id(s.got[1]) != 2 {
		t.Errorf("%d packets arrived", len(s.got))
	}
	if st := a.Stats(); st.DropsOut != 1 || st.PacketsOut != 2 {
		t.Errorf("stats %+v, want 1 drop", st)
	}
}

func testOffload(t *testing.T, a, b link.Link) {
	at := a.Attributes()
	var mu sync.Mutex
	var got []link.Packet
	attach(t, b, func(batch []link.Packet) {
		mu.Lock()
		defer mu.Unlock()
		for i := range batch {
			c := batch[i].Copy()
			got = append(got, c)
			batch[i].Release()
		}
	})
	n := at.MaxGSO
	if n == 0 {
		n = 4000
	}
	super := link.Packet{Header: Packet(0, n)}
	super.Offload = link.Offload{GSOSize: uint16(min(at.MTU, 1500) - 40), NeedsChecksum: true, ChecksumStart: 20, ChecksumOffset: 6}
	send(t, a, super, link.Packet{Header: Packet(1, 60)})
	if at.MaxGSO == 0 {
		wait(t, "the small packet", func() bool { mu.Lock(); defer mu.Unlock(); return len(got) > 0 })
		if len(got) != 1 || id(got[0].AppendTo(nil)) != 1 || a.Stats().DropsOut != 1 {
			t.Errorf("a link without MaxGSO let a super-packet pass: %+v", a.Stats())
		}
		return
	}
	wait(t, "both packets", func() bool { mu.Lock(); defer mu.Unlock(); return len(got) >= 2 })
	o := got[0].Offload
	o.Vouched = false
	if o != super.Offload || !bytes.Equal(got[0].AppendTo(nil), super.Header) {
		t.Errorf("the super-packet arrived with %+v, want %+v", o, super.Offload)
	}
	if at.MaxGSO < 65535 {
		super.Header = Packet(0, n+1)
		send(t, a, super)
		if a.Stats().DropsOut != 1 {
			t.Error("a super-packet longer than MaxGSO was not dropped")
		}
	}
}

// recv may send, and what it sends may be answered before it returns.
func testReentrancy(t *testing.T, a, b link.Link) {
	const rounds = 64
	finished := make(chan struct{})
	bounce := func(l link.Link) func([]link.Packet) {
		return func(batch []link.Packet) {
			for i := range batch {
				p := batch[i].AppendTo(nil)
				batch[i].Release()
				if id(p) == rounds {
					close(finished)
					return
				}
				if err := l.Send([]link.Packet{{Header: Packet(id(p)+1, 100)}}); err != nil {
					t.Errorf("Send within recv: %v", err)
				}
			}
		}
	}
	attach(t, a, bounce(a))
	attach(t, b, bounce(b))
	send(t, a, link.Packet{Header: Packet(0, 100)})
	done(t, "the last bounce", finished)
}

// Each of several senders has its packets arrive in order.
func testConcurrency(t *testing.T, a, b link.Link) {
	const senders, each = 4, 100
	var mu sync.Mutex
	var next [senders]uint64
	total := 0
	attach(t, b, func(batch []link.Packet) {
		mu.Lock()
		defer mu.Unlock()
		for i := range batch {
			n := id(batch[i].AppendTo(nil))
			batch[i].Release()
			s, k := n/each, n%each
			if k != next[s] {
				t.Errorf("sender %d: packet %d arrived as number %d", s, k, next[s])
			}
			next[s]++
			total++
		}
	})
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for k := range each {
				if err := a.Send([]link.Packet{shape(Packet(uint64(s*each+k), 200), k)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	wait(t, "the packets", func() bool { mu.Lock(); defer mu.Unlock(); return total == senders*each })
}

func testSendAfterClose(t *testing.T, a, b link.Link) {
	var s sink
	attach(t, b, s.recv)
	attach(t, a, s.recv)
	for range 2 {
		if err := a.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if err := a.Send([]link.Packet{{Header: Packet(0, 60)}}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Send after Close: %v, want one that matches net.ErrClosed", err)
	}
	send(t, b, link.Packet{Header: Packet(0, 60)}) // a network loses packets: no error
	b.Close()
	if s.len() != 0 {
		t.Errorf("%d packets arrived after Close", s.len())
	}
}

func testCloseWaits(t *testing.T, a, b link.Link) {
	entered, leave := make(chan struct{}), make(chan struct{})
	var once sync.Once
	var inside, closed atomic.Bool
	attach(t, b, func(batch []link.Packet) {
		once.Do(func() {
			inside.Store(true)
			close(entered)
			<-leave
			if closed.Load() {
				t.Error("Close returned while recv was running")
			}
			inside.Store(false)
		})
	})
	var wg sync.WaitGroup
	wg.Go(func() { a.Send([]link.Packet{{Header: Packet(0, 60)}}) })
	done(t, "recv", entered)
	for range 2 {
		wg.Go(func() {
			b.Close()
			closed.Store(true)
			if inside.Load() {
				t.Error("Close returned while recv was running")
			}
		})
	}
	returned := make(chan struct{})
	go func() {
		wg.Wait()
		close(returned)
	}()
	for range 100 { // give Close a chance to be wrong
		time.Sleep(10 * time.Microsecond)
	}
	close(leave)
	done(t, "Close", returned)
}

// Both ends close while packets bounce between them: nobody waits for ever, and
// recv does not run after Close.
func testCloseUnderTraffic(t *testing.T, a, b link.Link) {
	var aClosed, bClosed atomic.Bool
	answer := func(l link.Link, closed *atomic.Bool) func([]link.Packet) {
		return func(batch []link.Packet) {
			if closed.Load() {
				t.Error("recv runs after Close")
			}
			for i := range batch {
				p := batch[i].AppendTo(nil)
				batch[i].Release()
				if n := id(p); n > 0 {
					l.Send([]link.Packet{{Header: Packet(n-1, 100)}})
				}
			}
			if closed.Load() {
				t.Error("Close returned while recv was running")
			}
		}
	}
	attach(t, a, answer(a, &aClosed))
	attach(t, b, answer(b, &bClosed))
	var stop atomic.Bool
	var wg sync.WaitGroup
	for _, l := range []link.Link{a, b, a, b} {
		wg.Go(func() {
			for !stop.Load() && l.Send([]link.Packet{{Header: Packet(5, 100)}}) == nil {
			}
		})
	}
	wait(t, "traffic", func() bool { return a.Stats().PacketsIn > 20 && b.Stats().PacketsIn > 20 })
	all := make(chan struct{})
	go func() {
		var closers sync.WaitGroup
		closers.Go(func() { a.Close(); aClosed.Store(true) })
		closers.Go(func() { b.Close(); bClosed.Store(true) })
		closers.Wait()
		stop.Store(true)
		wg.Wait()
		close(all)
	}()
	done(t, "Close of both ends", all)
}
