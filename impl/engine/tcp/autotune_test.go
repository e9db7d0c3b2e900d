package tcp

import (
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
)

// tuned moves n bytes over a path with a round trip of 20 ms, whose receiver reads
// for as long as greedy says so, and returns the pair and how long that took.
func tuned(t *testing.T, pc pairConfig, n int, greedy func() bool) (*pair, time.Duration) {
	t.Helper()
	if pc.ch == (channel{}) {
		pc.ch = channel{delay: 10 * time.Millisecond}
	}
	pc.passive = true
	p := newPair(t, pc)
	start, written, read := p.now, 0, 0
	chunk := pattern(16<<10, 1)
	for read < n && p.now < start.Add(time.Hour) {
		for p.c[0].State() == api.StateEstablished && written < n {
			b := api.CopyBuffer(chunk[:min(len(chunk), n-written)])
			k := b.Len()
			if _, err := p.c[0].Write(p.now, []*api.Buffer{b}, WriteOptions{}); err != nil {
				b.Release()
				break
			}
			written += k
		}
		for greedy() {
			b, err := p.c[1].Read(p.now)
			if err != nil {
				break
			}
			read += b.Len()
			b.Release()
		}
		if !p.step() {
			break
		}
	}
	if greedy() && read != n {
		t.Fatalf("read %d bytes of %d", read, n)
	}
	return p, p.now.Sub(start)
}

func always() bool { return true }

func bigBuffers(n int64) [2]api.FlowConfig {
	f := api.FlowConfig{SendBuffer: n, ReceiveBuffer: n}
	return [2]api.FlowConfig{f, f}
}

// Both buffers begin small, grow to what the path takes, and cost a transfer nothing
// that it would notice.
func TestAutotuneGrows(t *testing.T) {
	const buffer, total = 1 << 20, 4 << 20
	for _, noTS := range []bool{false, true} {
		params := Params{NoTimestamps: noTS}
		whole, took := tuned(t, pairConfig{flow: bigBuffers(buffer), params: params}, total, always)
		params.Autotune = true
		p, tookTuned := tuned(t, pairConfig{flow: bigBuffers(buffer), params: params}, total, always)
		if i := p.c[1].Info(p.now); i.RecvBuffer != buffer {
			t.Errorf("receive buffer %d, want %d", i.RecvBuffer, buffer)
		}
		if i := p.c[0].Info(p.now); i.SendBuffer != buffer {
			t.Errorf("send buffer %d, want %d", i.SendBuffer, buffer)
		}
		if tookTuned > took*5/4 {
			t.Errorf("%v with automatic buffers, %v without", tookTuned, took)
		}
		if w := whole.c[1].Info(whole.now); w.RecvBuffer != buffer {
			t.Errorf("without: %d", w.RecvBuffer)
		}
	}
}

// The window scale is that of the greatest window, from the SYN on, and what is
// announced begins with autotuneStart.
func TestAutotuneStart(t *testing.T) {
	s := scriptConfig{synOpts: allOpts, params: Params{Autotune: true}, cc: renoFactory{}, flow: api.FlowConfig{ReceiveBuffer: 8 << 20, SendBuffer: 8 << 20}}.listen(t)
	if o := s.out.TCP.Options; o.WindowScale != windowScaleFor(8<<20) {
		t.Errorf("window scale %d", o.WindowScale)
	}
	s.recv(fACK, 1, 1)
	if i := s.c.Info(s.now); i.RecvBuffer != autotuneStart || i.SendBuffer != autotuneStart || i.RecvWindow > autotuneStart {
		t.Errorf("%+v", i)
	}
	// All of the window can arrive out of order.
	size := uint32(1000)
	end := uint32(s.c.rcvWnd())
	for at := 1 + size; at+size <= 1+end; at += size {
		s.recvData(fACK, at, 1, pattern(int(size), 1))
		for s.poll() {
			s.done()
		}
	}
	if got := s.c.Info(s.now).OutOfOrder; got < int64(end-2*size) {
		t.Errorf("%d bytes out of order of a window of %d", got, end)
	}
	if s.drops(api.DropReceiveBuffer) != 0 {
		t.Error("parts of the window were not taken")
	}
	s.c.Abort(s.now, api.ErrAborted)
	s.clean()

	// A buffer that is smaller is whole at once.
	s = scriptConfig{synOpts: allOpts, params: Params{Autotune: true}, flow: api.FlowConfig{ReceiveBuffer: 20_000, SendBuffer: 30_000}}.open(t)
	if i := s.c.Info(s.now); i.RecvBuffer != 20_000 || i.SendBuffer != 30_000 {
		t.Errorf("%+v", i)
	}
}

// A reader who does not read gets no more window, and a stack that has no memory left
// gives none.
func TestAutotuneBounds(t *testing.T) {
	params := Params{Autotune: true}
	n := 0
	p, _ := tuned(t, pairConfig{flow: bigBuffers(4 << 20), params: params}, 1<<20, func() bool { n++; return n < 3 })
	if i := p.c[1].Info(p.now); i.RecvBuffer != autotuneStart || i.Memory > 2*autotuneStart+1<<14 {
		t.Errorf("receive buffer %d, memory %d", i.RecvBuffer, i.Memory)
	}
	p, _ = tuned(t, pairConfig{flow: bigBuffers(4 << 20), params: params, budget: 600 << 10}, 4<<20, always)
	if r, s := p.c[1].Info(p.now).RecvBuffer, p.c[0].Info(p.now).SendBuffer; r > 700<<10 || s > 700<<10 || r <= autotuneStart || s <= autotuneStart {
		t.Errorf("receive buffer %d, send buffer %d, with 600 KiB in all", r, s)
	}
}

// The send buffer follows what may be in flight: twice what the window of the
// controller and that of the peer let out.
func TestAutotuneSend(t *testing.T) {
	s := scriptConfig{synOpts: sackOpts, params: Params{Autotune: true}, cc: fixedFactory(40), flow: api.FlowConfig{SendBuffer: 1 << 30}}.open(t)
	if got := s.c.Info(s.now).SendBuffer; got != 2*40*1460 {
		t.Errorf("send buffer %d", got)
	}
	s = scriptConfig{synOpts: sackOpts, params: Params{Autotune: true}, cc: fixedFactory(100), flow: api.FlowConfig{SendBuffer: 1 << 30}}.open(t)
	if got, want := s.c.Info(s.now).SendBuffer, int64(65535+65535); got != want {
		t.Errorf("send buffer %d, want %d: the peer's window is 65535", got, want)
	}
	// What is not read may be changed by Configure, up and down.
	f := s.c.FlowConfig()
	f.SendBuffer = 10_000
	s.c.Configure(s.now, &f)
	if got := s.c.Info(s.now).SendBuffer; got != 10_000 {
		t.Errorf("send buffer %d", got)
	}
}

// A writer who waits for room is woken when the buffer grows.
func TestAutotuneWakesWriter(t *testing.T) {
	f := &spyFactory{}
	s := scriptConfig{synOpts: sackOpts, params: Params{Autotune: true}, cc: f, window: 65535}.open(t)
	for {
		_, err := s.c.Write(s.now, []*api.Buffer{api.NewBuffer(make([]byte, 8<<10))}, WriteOptions{})
		if err == ErrAgain {
			break
		}
	}
	for s.poll() {
		s.done()
	}
	s.c.TakeEvents()
	f.last.cwnd = 60 << 10
	s.recv(fACK, 1, seg(1)) // none of the buffers written is acknowledged whole
	if s.c.sendLimit() < 2*s.c.cwnd || s.c.TakeEvents()&EventWrite == 0 {
		t.Errorf("send buffer %d with a window of %d, or the writer was not woken", s.c.sendLimit(), s.c.cwnd)
	}
}

// A path of one machine, whose round trip is nearly nothing, gets buffers that stay in
// the processor's cache, however fast its reader is; one of a millisecond gets what
// it fills.
func TestAutotuneShortPath(t *testing.T) {
	for _, tt := range []struct {
		delay       time.Duration
		least, most int64
	}{
		{5 * time.Microsecond, shortPathSpace / 2, shortPathSpace},
		{500 * time.Microsecond, 1 << 20, 8 << 20},
	} {
		pc := pairConfig{flow: bigBuffers(8 << 20), params: Params{Autotune: true}, ch: channel{delay: tt.delay}}
		p, _ := tuned(t, pc, 32<<20, always)
		i := p.c[1].Info(p.now)
		if i.RecvBuffer < tt.least || i.RecvBuffer > tt.most {
			t.Errorf("one way %v: receive buffer %d, not between %d and %d", tt.delay, i.RecvBuffer, tt.least, tt.most)
		}
		if o := p.c[0].Info(p.now); o.SendBuffer < i.RecvBuffer/2 || o.SendBuffer > 2*i.RecvBuffer+i.RecvBuffer/8 {
			t.Errorf("one way %v: send buffer %d for windows of %d", tt.delay, o.SendBuffer, i.RecvBuffer)
		}
	}
}

// A peer of the same machine who would take more than the cache holds is not sent it.
func TestAutotuneShortPathFlight(t *testing.T) {
	opts := sackOpts
	opts.HasWindowScale, opts.WindowScale = true, 10
	s := scriptConfig{synOpts: opts, params: Params{Autotune: true}, cc: fixedFactory(10_000), flow: api.FlowConfig{SendBuffer: 1 << 30}}.open(t)
	if got := s.c.Info(s.now).SendBuffer; got != shortPathFlight {
		t.Errorf("send buffer %d for a round trip of nothing", got)
	}
}

// Where the link hands up many segments as one, a window that has closed opens by as
// many at a time, so that the sender need not send them one by one; and it opens all
// the same.
func TestWindowOpensByPieces(t *testing.T) {
	const piece = 16 << 10 // a quarter of the buffer
	for _, first := range []int{1460, piece} {
		s := scriptConfig{synOpts: mssOnly, params: Params{Autotune: true}, flow: api.FlowConfig{ReceiveBuffer: autotuneStart}}.open(t)
		data, seq := pattern(2*autotuneStart, 1), 0
		take := func(n int) {
			s.recvData(fACK, 1+uint32(seq), 1, data[seq:seq+n], func(g *Segment) {
				if n > 1460 {
					g.GSOSize = 1460
				}
			})
			seq += n
			for s.poll() {
				s.done()
			}
		}
		take(first)
		for s.c.rcvWnd() >= 1460 {
			take(1460)
		}
		take(int(s.c.rcvWnd()))
		updates, least := 0, int64(1<<20)
		for edge, left := s.c.rcvEdge, seq; left > 0; {
			b, err := s.c.ReadView(s.now, 1460)
			if err != nil {
				t.Fatalf("%d bytes are left: %v", left, err)
			}
			same(t, b.Bytes(), data[seq-left:seq-left+b.Len()])
			left -= b.Len()
			b.Release()
			for s.poll() {
				s.done()
				updates++
				least = min(least, int64(s.c.rcvEdge-edge))
				edge = s.c.rcvEdge
			}
		}
		if s.c.rcvWnd() < autotuneStart/2 {
			t.Errorf("pieces of %d: the window is %d after everything has been read", first, s.c.rcvWnd())
		}
		if least < int64(first)-100 || updates == 0 || first == piece && updates > 4 {
			t.Errorf("pieces of %d: %d updates, the smallest by %d", first, updates, least)
		}
	}
}

// Small writes cost more memory than they have bytes: the send buffer grows for
// that, but not because most of one buffer has been acknowledged.
func TestAutotuneSmallWrites(t *testing.T) {
	grown := func(size int) int64 {
		s := scriptConfig{synOpts: sackOpts, params: Params{Autotune: true}, cc: fixedFactory(40), flow: api.FlowConfig{SendBuffer: 1 << 30}}.open(t)
		for range 40 * 1460 / size {
			if _, err := s.c.Write(s.now, []*api.Buffer{api.NewBuffer(make([]byte, size))}, WriteOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		for s.poll() {
			s.done()
		}
		s.recv(fACK, 1, seg(39)) // all but a segment's worth
		return s.c.Info(s.now).SendBuffer
	}
	if got := grown(40 * 1460); got > 2*40*1460+1000 {
		t.Errorf("one large buffer: %d", got)
	}
	if got := grown(146); got < 3*40*1460/2 {
		t.Errorf("buffers of 146 bytes: %d", got)
	}
}

// A reader who never finds the queue empty is what limits the flow: it gets no
// larger window, however much it reads.
func TestAutotuneReaderBound(t *testing.T) {
	params := Params{Autotune: true}
	var p *pair
	behind := func() bool { return p == nil || p.c[1].rq.size > 8<<10 }
	pc := pairConfig{flow: bigBuffers(4 << 20), params: params, ch: channel{delay: 10 * time.Millisecond}, passive: true}
	p = newPair(t, pc)
	for range 2000 {
		for p.c[0].State() == api.StateEstablished {
			b := api.CopyBuffer(make([]byte, 16<<10))
			if _, err := p.c[0].Write(p.now, []*api.Buffer{b}, WriteOptions{}); err != nil {
				b.Release()
				break
			}
		}
		for behind() {
			b, err := p.c[1].ReadView(p.now, 1<<10)
			if err != nil {
				break
			}
			b.Release()
		}
		if !p.step() {
			break
		}
	}
	if i := p.c[1].Info(p.now); i.BytesReceived < 1<<20 || i.RecvBuffer != autotuneStart {
		t.Errorf("%d bytes received, receive buffer %d", i.BytesReceived, i.RecvBuffer)
	}
}

// RFC 8985, section 6.2, step 1: the least RTT is one of late.
func TestLeastRTTOfLate(t *testing.T) {
	var r rttState
	p := DefaultParams()
	now := clock.Time(0)
	for range 60 { // ten minutes of 10 ms
		r.sample(now, 10*time.Millisecond, 1, &p)
		now = now.Add(10 * time.Second)
	}
	start := now
	for now.Sub(start) < 2*minWindow {
		r.sample(now, 80*time.Millisecond, 1, &p)
		age := now.Sub(start)
		switch {
		case age < minWindow/2 && r.least() != 10*time.Millisecond:
			t.Fatalf("after %v: %v, forgotten too early", age, r.least())
		case age > minWindow && r.least() != 80*time.Millisecond:
			t.Fatalf("after %v: %v, remembered too long", age, r.least())
		}
		now = now.Add(time.Second)
	}
	r.sample(now, 5*time.Millisecond, 1, &p)
	if r.least() != 5*time.Millisecond {
		t.Error("a lesser one does not count at once")
	}
	now = now.Add(time.Hour)
	r.sample(now, 70*time.Millisecond, 1, &p)
	if r.least() != 70*time.Millisecond {
		t.Errorf("after an hour of silence: %v", r.least())
	}
}

// RFC 2018, section 8: a peer that discards what it reported is found out by the ACK
// that shows it, long before the retransmission timeout.
func TestRenegingSeenOnACK(t *testing.T) {
	s, f := flight(t, sackOpts)
	s.recv(fACK, 1, seg(0), s.sack(seg(1), seg(10)))
	for s.poll() {
		s.done()
	}
	s.now = s.now.Add(10 * time.Millisecond)
	s.recv(fACK, 1, seg(1)) // what was missing only
	for s.poll() {
		s.done()
	}
	if d := s.until(); d < renegingDelay || d > 50*time.Millisecond {
		t.Errorf("after %v", d)
	}
	s.want(fACK, seg(1), 1, 1460)
	if n := len(f.last.congs); f.last.congs[n-1].Kind != cc.Timeout {
		t.Errorf("%+v", f.last.congs)
	}
	// But where it was only an ACK that came late, nothing happens.
	s, _ = flight(t, sackOpts)
	s.recv(fACK, 1, seg(0), s.sack(seg(1), seg(10)))
	for s.poll() {
		s.done()
	}
	s.now = s.now.Add(10 * time.Millisecond)
	s.recv(fACK, 1, seg(1))
	s.now = s.now.Add(time.Millisecond)
	s.recv(fACK, 1, seg(10))
	if s.c.seldom.timeouts != 0 || s.c.tm[tmRetransmit].Sub(s.now) < 100*time.Millisecond {
		t.Errorf("timer due in %v", s.c.tm[tmRetransmit].Sub(s.now))
	}
}
