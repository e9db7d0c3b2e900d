package tcp

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/impl/engine/wire"
	"pgregory.net/rapid"
)

var sackOpts = wire.TCPOptions{HasMSS: true, MSS: 1460, SACKPermitted: true}

func blocks(h *wire.TCP, irs uint32) (b []uint32) {
	for i := range h.Options.SACKCount {
		b = append(b, h.Options.SACK[i].Left-irs, h.Options.SACK[i].Right-irs)
	}
	return b
}

func (s *script) wantSack(ack uint32, want ...uint32) {
	s.Helper()
	h := s.want(fACK, s.c32(), ack, 0)
	got := blocks(h, s.irs)
	if len(got) != len(want) {
		s.Fatalf("SACK %v, want %v", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			s.Fatalf("SACK %v, want %v", got, want)
		}
	}
}

func (s *script) c32() uint32 { return uint32(s.c.sndNxt) - s.iss }

// RFC 2018, section 4; RFC 2883, section 4; SHLD-31; RFC 5681, section 4.2.
func TestSackReceiver(t *testing.T) {
	s := scriptConfig{synOpts: sackOpts}.open(t)
	d := pattern(10_000, 1)
	send := func(from, to uint32) { s.recvData(fACK, 1+from, 1, d[from:to]) }
	send(100, 200)
	s.wantSack(1, 101, 201)
	send(300, 400)
	s.wantSack(1, 301, 401, 101, 201)
	send(500, 600)
	s.wantSack(1, 501, 601, 301, 401, 101, 201)
	send(700, 800)
	s.wantSack(1, 701, 801, 501, 601, 301, 401, 101, 201)
	send(900, 1000) // four fit
	s.wantSack(1, 901, 1001, 701, 801, 501, 601, 301, 401)
	send(200, 300) // joins two; the newest range is first
	s.wantSack(1, 101, 401, 901, 1001, 701, 801, 501, 601)
	// A duplicate inside a block: it comes first, then the block around it.
	send(310, 330)
	s.wantSack(1, 311, 331, 101, 401, 901, 1001, 701, 801)
	// Reported once.
	send(1100, 1200)
	s.wantSack(1, 1101, 1201, 101, 401, 901, 1001, 701, 801)
	// The hole is filled: at once (RFC 5681, section 4.2).
	send(0, 100)
	s.wantSack(401, 1101, 1201, 901, 1001, 701, 801, 501, 601)
	// A duplicate below the ACK.
	send(50, 80)
	s.wantSack(401, 51, 81, 1101, 1201, 901, 1001, 701, 801)
	send(400, 1100)
	s.wantSack(1201)
	same(t, s.read(1200), d[:1200])
	s.clean()
}

// RFC 2018: none without the peer's permission.
func TestNoSackUnlessPermitted(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly}.open(t)
	s.recvData(fACK, 101, 1, pattern(10, 1))
	s.wantSack(1)
}

// Security S16: the bytes that came first win, whatever the order and however the
// hole is filled.
func TestOverlapFirstWins(t *testing.T) {
	type piece struct {
		from, to int
		fill     byte
	}
	base := []piece{{5, 10, 'A'}, {8, 15, 'B'}, {3, 20, 'C'}, {12, 18, 'D'}}
	perms := [][]int{}
	var permute func(p []int, k int)
	permute = func(p []int, k int) {
		if k == len(p) {
			perms = append(perms, append([]int(nil), p...))
			return
		}
		for i := k; i < len(p); i++ {
			p[k], p[i] = p[i], p[k]
			permute(p, k+1)
			p[k], p[i] = p[i], p[k]
		}
	}
	permute([]int{0, 1, 2, 3}, 0)
	for _, perm := range perms {
		s := scriptConfig{synOpts: mssOnly}.open(t)
		want := make([]byte, 20)
		for _, i := range perm {
			p := base[i]
			b := make([]byte, p.to-p.from)
			for j := range b {
				b[j] = p.fill
				if want[p.from+j] == 0 {
					want[p.from+j] = p.fill
				}
			}
			s.recvData(fACK, 1+uint32(p.from), 1, b)
		}
		fill := make([]byte, 20)
		for j := range fill {
			fill[j] = '.'
			if want[j] == 0 {
				want[j] = '.'
			}
		}
		s.recvData(fACK, 1, 1, fill)
		got := s.read(20)
		if string(got) != string(want) {
			t.Errorf("order %v: %q, want %q", perm, got, want)
		}
		s.clean()
	}
}

// Any order, any overlap, across both sequence wraps: the stream is what was sent.
// Case sequence-wrap-2^31.
func TestReassembly(t *testing.T) {
	for _, irs := range []uint32{1<<32 - 1000, 1<<31 - 1000, 5} {
		for seed := range uint64(30) {
			r := rand.New(rand.NewPCG(seed, 1))
			s := scriptConfig{synOpts: sackOpts, irs: irs}.open(t)
			d := pattern(20_000, seed)
			var got []byte
			for len(got) < len(d) {
				i := r.IntN(len(d))
				if r.IntN(3) == 0 {
					i = int(uint32(s.c.rcvNxt)-irs-1) - r.IntN(20)
				}
				i = max(0, min(i, len(d)))
				j := min(len(d), i+r.IntN(1460))
				g := s.segment(fACK, 1+uint32(i), 1, nil)
				for k := i; k < j; { // in several buffers
					n := min(j-k, 1+r.IntN(700))
					g.Payload = append(g.Payload, *api.CopyBuffer(d[k : k+n]))
					k += n
				}
				g.Len = int64(j - i)
				s.c.Segment(s.now, g)
				for s.poll() {
					s.done()
				}
				if b, err := s.c.Read(s.now); err == nil {
					got = append(got, b.Bytes()...)
					b.Release()
				}
			}
			same(t, got, d)
			s.clean()
		}
	}
}

// SHLD-18, SHLD-19, MUST-40, MUST-58: delayed ACKs.
func TestDelayedAck(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly}.open(t)
	seq := uint32(1)
	full := func(n int) {
		for range n {
			s.recvData(fACK, seq, 1, pattern(1460, 1))
			seq += 1460
			s.read(1460)
		}
	}
	for range quickAckSegments { // at first, each
		full(1)
		s.want(fACK, 1, seq, 0)
	}
	full(1)
	s.none()
	full(1)
	s.want(fACK, 1, seq, 0)
	full(1)
	start := s.now
	if d := s.until(); d != 40*time.Millisecond {
		t.Errorf("delayed by %v", d)
	}
	_ = start
	s.want(fACK, 1, seq, 0)
	// MUST-59: a batch is acknowledged once.
	full(6)
	s.want(fACK, 1, seq, 0)
	s.none()
	// A small segment waits as well, and rides on data.
	s.recvData(fACK, seq, 1, pattern(10, 1))
	seq += 10
	s.none()
	s.write(5)
	s.want(fACK, 1, seq, 5)
	s.recv(fACK, seq, 6)
	s.advance(time.Second)
}

// Cases window-honest, R1; MUST-39: the window closes when nobody reads, is never
// taken back, and opens again, noticeably, when somebody does.
func TestWindowHonest(t *testing.T) {
	for _, size := range []int{1460, 100, 1} {
		s := scriptConfig{synOpts: mssOnly, flow: api.FlowConfig{ReceiveBuffer: 20_000}}.open(t)
		seq, edge := uint32(1), uint32(20_001)
		for seq < edge {
			n := min(uint32(size), edge-seq)
			s.recvData(fACK, seq, 1, pattern(int(n), 3))
			seq += n
			for s.poll() {
				h := &s.out.TCP
				e := h.Ack - s.irs + uint32(h.Window)
				if e < edge {
					t.Fatalf("window taken back from %d to %d", edge, e)
				}
				edge = e
				s.done()
			}
			if seq > 80_000 {
				t.Fatal("the window does not close")
			}
		}
		i := s.c.Info(s.now)
		if i.RecvWindow != 0 || i.Memory > 60_000 || i.ReceiveQueue != int64(seq-1) || s.budget.used != i.Memory {
			t.Errorf("size %d: %+v, %d charged", size, i, s.budget.used)
		}
		s.now = s.now.Add(time.Second / 2)
		s.c.Timeout(s.now)
		for s.poll() {
			s.done()
		}
		// What does not fit is counted, answered and not lost for good.
		s.recvData(fACK, seq, 1, pattern(10, 3))
		if h := s.want(fACK, 1, seq, 0); h.Window != 0 {
			t.Errorf("window %d", h.Window)
		}
		if s.drops(api.DropReceiveBuffer) == 0 {
			t.Error("nothing counted")
		}
		s.read(int(seq - 1))
		h := s.want(fACK, 1, seq, 0)
		if h.Window < 10_000 {
			t.Errorf("window opens to %d", h.Window)
		}
		s.clean()
	}
}

// MUST-39: reading byte by byte does not announce byte by byte.
func TestReceiverSillyWindow(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly, flow: api.FlowConfig{ReceiveBuffer: 8000}}.open(t)
	seq := uint32(1)
	for range 300 { // many small buffers
		if s.c.rcvWnd() == 0 {
			break
		}
		n := min(100, s.c.rcvWnd())
		s.recvData(fACK, seq, 1, pattern(int(n), 1))
		seq += uint32(n)
		for s.poll() {
			s.done()
		}
	}
	if s.c.rcvWnd() != 0 {
		t.Fatal("window open")
	}
	for {
		b, err := s.c.Read(s.now)
		if err != nil {
			break
		}
		b.Release()
		if s.poll() {
			if s.out.TCP.Window < 536 {
				t.Fatalf("window of %d announced", s.out.TCP.Window)
			}
			s.done()
		}
	}
}

// MUST-66, S17: at a zero window ACK, URG and RST still count.
func TestZeroWindowAckUrgRst(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly, flow: api.FlowConfig{ReceiveBuffer: 3000}}.open(t)
	s.write(100)
	s.want(fACK, 1, 1, 100)
	seq := uint32(1)
	for s.c.rcvWnd() > 0 {
		n := s.c.rcvWnd()
		s.recvData(fACK, seq, 1, pattern(int(n), 1))
		seq += uint32(n)
		for s.poll() {
			s.done()
		}
	}
	s.c.TakeEvents()
	s.recvData(fACK|fURG, seq, 101, pattern(50, 1), urgPtr(50))
	if i := s.c.Info(s.now); i.BytesAcked != 100 || i.UrgentPending != int64(seq-1)+50 {
		t.Errorf("acked %d, urgent %d", i.BytesAcked, i.UrgentPending)
	}
	if s.c.TakeEvents()&EventUrgent == 0 {
		t.Error("no event")
	}
	s.want(fACK, 101, seq, 0)
	s.recv(fRST, seq, 0)
	s.readErr(api.ErrReset)
	s.clean()
}

// Security S15, S17: tiny segments do not hoard memory, in order or out of it.
func TestTinySegmentsMemory(t *testing.T) {
	const buf = 200_000
	for _, how := range []string{"in order", "forward", "reverse", "random", "every other"} {
		paranoid = false // quadratic
		s := scriptConfig{synOpts: allOpts, flow: api.FlowConfig{ReceiveBuffer: buf}}.open(t)
		s.recv(fACK, 1, 1)
		r := rand.New(rand.NewPCG(1, 1))
		for i := range 20_000 {
			seq := uint32(1 + i)
			switch how {
			case "forward":
				seq++
			case "reverse":
				seq = uint32(40_000 - i)
			case "random":
				seq = uint32(2 + r.IntN(60_000))
			case "every other":
				seq = uint32(2 + 2*i)
			}
			s.recvData(fACK, seq, 1, []byte{1})
			for s.poll() {
				s.done()
			}
		}
		if s.budget.used > 2*buf || s.c.Info(s.now).Memory != s.budget.used {
			t.Errorf("%s: %d bytes charged", how, s.budget.used)
		}
		if n := len(s.c.ooo.ranges); n > maxOOORanges {
			t.Errorf("%s: %d ranges", how, n)
		}
		paranoid = true
		s.c.checkInvariants()
		s.clean()
	}
}

// The whole window can be used out of order.
func TestWholeWindowOutOfOrder(t *testing.T) {
	s := scriptConfig{synOpts: sackOpts}.open(t)
	d := pattern(60_000, 1)
	for at := 1460; at < 60_000; at += 1460 {
		s.recvData(fACK, 1+uint32(at), 1, d[at:min(at+1460, 60_000)])
		s.wantSack(1, 1461, 1+uint32(min(at+1460, 60_000)))
	}
	s.recvData(fACK, 1, 1, d[:1460])
	s.want(fACK, 1, 60_001, 0)
	same(t, s.read(60_000), d)
	s.clean()
}

// R1: the buffer that Read returns is the caller's alone, and without a copy where
// nobody else can see it.
func TestReadOwnership(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly}.open(t)
	page := api.Alloc(2000)
	g := s.segment(fACK, 1, 1, nil)
	g.Payload, g.Len = []api.Buffer{*page}, 2000
	first := &page.Bytes()[0]
	s.c.Segment(s.now, g)
	b, err := s.c.Read(s.now)
	if err != nil || &b.Bytes()[0] != first || !b.Exclusive() {
		t.Errorf("copied (%v)", err)
	}
	// Somebody else has a view.
	mine := api.CopyBuffer(pattern(2000, 2))
	g = s.segment(fACK, 2001, 1, nil)
	g.Payload, g.Len = []api.Buffer{mine.View(0, 2000)}, 2000
	s.c.Segment(s.now, g)
	b, err = s.c.Read(s.now)
	if err != nil || !b.Exclusive() {
		t.Fatalf("shared (%v)", err)
	}
	clear(b.Bytes())
	same(t, mine.Bytes(), pattern(2000, 2))
}

// A retransmission is not confused by a reader who overwrites what it read, with
// both ends in one process (R1, W1).
func TestWriteNotCopied(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly}.open(t)
	b := api.CopyBuffer(pattern(1000, 1))
	first := &b.Bytes()[0]
	if _, err := s.c.Write(s.now, []*api.Buffer{b}, WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if !s.poll() || &s.out.Payload[0].Bytes()[0] != first {
		t.Error("copied")
	}
	s.done()
	if s.budget.used < 1000 {
		t.Errorf("%d bytes charged", s.budget.used)
	}
}

// S36, MUST-30 to 33, MUST-62: urgent data change no byte of the stream.
func TestUrgentReceive(t *testing.T) {
	for _, ptr := range []uint16{0, 1, 5, 10, 11, 65535} {
		s := scriptConfig{synOpts: mssOnly}.open(t)
		s.recvData(fACK|fURG, 1, 1, pattern(10, 1), urgPtr(ptr))
		want := int64(ptr)
		if i := s.c.Info(s.now); i.UrgentPending != want {
			t.Errorf("pointer %d: pending %d", ptr, i.UrgentPending)
		}
		if (s.c.TakeEvents()&EventUrgent != 0) != (ptr > 0) {
			t.Errorf("pointer %d: event", ptr)
		}
		same(t, s.read(10), pattern(10, 1))
		if i := s.c.Info(s.now); i.UrgentPending != max(0, want-10) {
			t.Errorf("pointer %d: pending %d after reading", ptr, i.UrgentPending)
		}
		s.recvData(fACK|fURG|fFIN, 11, 1, nil, urgPtr(ptr))
		s.readErr(io.EOF)
	}
}

// MUST-31, MUST-62, and the pointer up front at a zero window.
func TestUrgentSend(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly, window: 2000}.open(t)
	s.write(3000)
	s.want(fACK, 1, 1, 1460)
	s.write(10, WriteOptions{Urgent: true})
	h := s.want(fACK|fURG, 1461, 1, 0)
	if h.Urgent != 1550 {
		t.Errorf("pointer %d", h.Urgent)
	}
	s.none()
	s.recv(fACK, 1, 1461, win(0))
	s.write(5, WriteOptions{Urgent: true})
	if h = s.want(fACK|fURG, 1461, 1, 0); h.Urgent != 1555 {
		t.Errorf("pointer %d", h.Urgent)
	}
	s.recv(fACK, 1, 1461, win(60000))
	if h = s.want(fACK|fURG, 1461, 1, 1460); h.Urgent != 1555 {
		t.Errorf("pointer %d", h.Urgent)
	}
	if h = s.want(fACK|fURG, 2921, 1, 95); h.Urgent != 95 {
		t.Errorf("pointer %d", h.Urgent)
	}
	s.write(10)
	s.recv(fACK, 1, 3016)
	s.want(fACK, 3016, 1, 10)
}

// ReadView gives the same bytes as Read, in whatever pieces, and lets go of what it
// has charged.
func TestReadView(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := scriptConfig{synOpts: sackOpts}.open(t)
		d := pattern(20_000, 7)
		in, out := 0, 0
		for out < len(d) {
			if n := min(rapid.IntRange(0, 1460).Draw(rt, "segment"), len(d)-in); n > 0 && in-out < 8000 {
				s.recvData(fACK, uint32(1+in), 1, d[in:in+n])
				in += n
				s.poll() // an ACK, perhaps
			}
			if in == out {
				continue
			}
			var b api.Buffer
			most := rapid.IntRange(1, 4000).Draw(rt, "read")
			if rapid.Bool().Draw(rt, "whole") {
				p, err := s.c.Read(s.now)
				if err != nil {
					rt.Fatal(err)
				}
				b, most = *p, p.Len()
			} else {
				var err error
				if b, err = s.c.ReadView(s.now, most); err != nil {
					rt.Fatal(err)
				}
			}
			n := b.Len()
			if n == 0 || n > most || !bytes.Equal(b.Bytes(), d[out:out+n]) {
				rt.Fatalf("%d bytes at %d, of at most %d, are wrong", n, out, most)
			}
			b.Release()
			out += n
		}
		if _, err := s.c.ReadView(s.now, 1); err != ErrAgain || s.c.rcvCharged != 0 || s.c.rq.size != 0 {
			rt.Fatalf("at the end: %v, %d bytes charged, %d queued", err, s.c.rcvCharged, s.c.rq.size)
		}
	})
}

// A large payload that somebody else still sees is queued as it is, and Read does
// not hand that out (R1).
func TestReadShared(t *testing.T) {
	s := scriptConfig{synOpts: sackOpts}.open(t)
	d := pattern(largePage, 3)
	page := api.CopyBuffer(d)
	seg := s.segment(fACK, 1, 1, nil)
	seg.Payload, seg.Len = []api.Buffer{page.View(0, page.Len())}, int64(page.Len())
	s.c.Segment(s.now, seg)
	if page.Exclusive() {
		t.Fatal("the payload was copied on its way in")
	}
	b, err := s.c.Read(s.now)
	if err != nil {
		t.Fatal(err)
	}
	same(t, b.Bytes(), d)
	clear(b.Bytes())
	same(t, page.Bytes(), d)
	if !b.Exclusive() || !page.Exclusive() {
		t.Fatal("the payload is still shared")
	}
	b.Release()
	page.Release()
}

// RFC 5681, section 4.2: one ACK for each segment at most. Where the buffer is
// larger than a window without a scale can announce, reading opens nothing, and a
// second ACK with the same number and window would pass for a duplicate.
func TestReadOpensNoMoreThanTheField(t *testing.T) {
	s := scriptConfig{synOpts: mssOnly, flow: api.FlowConfig{ReceiveBuffer: 1 << 20}}.open(t)
	s.advance(time.Minute)
	acks := 0
	for i := range 60 {
		s.recvData(fACK|fPSH, uint32(1+1460*i), 1, pattern(1460, uint64(i)))
		for range 2 {
			for s.poll() {
				acks++
			}
			if s.c.rq.size > 0 {
				s.read(1460)
			}
		}
	}
	if acks > 45 { // but for the first, every second
		t.Fatalf("%d ACKs for 60 segments", acks)
	}
}
