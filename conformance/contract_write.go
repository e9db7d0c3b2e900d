package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/sluicenet/sluice/api"
)

// A writeCall is one of the four ways to write.
type writeCall struct {
	name string
	call func(ctx context.Context, f api.Flow, b []byte) error
}

var writeCalls = []writeCall{
	{"Write", func(ctx context.Context, f api.Flow, b []byte) error { return f.Write(ctx, api.CopyBuffer(b)) }},
	{"Writev", func(ctx context.Context, f api.Flow, b []byte) error { return f.Writev(ctx, cut(b)) }},
	{"WriteNoDelay", func(ctx context.Context, f api.Flow, b []byte) error {
		return f.WriteNoDelay(ctx, api.CopyBuffer(b))
	}},
	{"WritevNoDelay", func(ctx context.Context, f api.Flow, b []byte) error { return f.WritevNoDelay(ctx, cut(b)) }},
}

// cut returns b in three buffers, the middle one empty.
func cut(b []byte) []*api.Buffer {
	n := len(b) / 3
	return []*api.Buffer{api.CopyBuffer(b[:n]), api.NewBuffer(nil), api.CopyBuffer(b[n:])}
}

// fill writes to f in a goroutine until a write fails, and returns when
// writes block.
func (t *T) fill(f api.Flow) *Op[error] {
	op := Start(t, "write to a full queue", func() error {
		for {
			if err := f.Write(t.Bound(), api.NewBuffer(make([]byte, 4096))); err != nil {
				return err
			}
		}
	})
	t.Settle()
	op.Blocked("nobody reads")
	return op
}

var writeCases = []Case{
	{
		ID: "contract/W1", Source: "W1", Title: "Write takes the buffer, and nothing beside it",
		Clause: "A buffer written belongs to the stack, whatever Write returns. Memory next to it is not touched, and what is in it is neither changed nor sent twice.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			page := pattern(0, 3000)
			whole := api.NewBuffer(page)
			middle := whole.View(1000, 2000)
			t.ok("write", f.Write(t.Bound(), &middle))
			t.WantBytes(g, pattern(1000, 1000))
			if !bytes.Equal(page, pattern(0, 3000)) {
				t.Fatalf("the stack has written into the buffer's memory")
			}
			t.ok("close", f.CloseWrite())
			t.is("write after close", f.Write(t.Bound(), api.CopyBuffer(page)), api.ErrClosed)
			t.WantEOF(g)
			// The stack owns the buffer of a failed write too: releasing it again
			// would be a double release, not releasing it no leak.
			whole.Release()
		},
	},
	{
		ID: "contract/W2", Source: "W2", Title: "Write does not wait for the reader",
		Clause: "Success means queued in order, not delivered: a write that fits the queue returns though nobody reads, and the last writes before a close are not lost.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			if p.Net != nil {
				p.Net.Cut(1) // no acknowledgment comes
			}
			op := Start(t, "write", func() error { return f.Write(t.Bound(), api.CopyBuffer([]byte("queued"))) })
			if err := op.WaitFor(t.short()); err != nil {
				t.Fatalf("write: %v", err)
			}
			if p.Net != nil {
				p.Net.Filter(1, nil)
			}
			t.WantBytes(g, []byte("queued"))
		},
	},
	{
		ID: "contract/W3", Source: "W3", Title: "One byte stream, in any segmentation",
		Clause: "The contents of a write may travel in several packets, and those of several writes in one; the reader sees one stream.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			sizes := []int{1, 3, 1459, 1460, 1461, 9000, 65535, 70001, 7}
			at := 0
			w := Start(t, "writes", func() error {
				for _, n := range sizes {
					if err := f.Write(t.Bound(), api.NewBuffer(pattern(at, n))); err != nil {
						return err
					}
					at += n
				}
				return nil
			})
			total := 0
			for _, n := range sizes {
				total += n
			}
			t.WantPattern(g, 0, total)
			t.ok("write", w.Wait())
			if p.Net != nil && p.Net.Sent(0) < total/linkMTU {
				t.Fatalf("%d bytes in %d packets", total, p.Net.Sent(0))
			}
		},
	},
	{
		ID: "contract/W3-duplex", Source: "W3", Title: "Both directions at once",
		Clause: "Both directions carry their own stream at the same time, through buffers smaller than the streams.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.ConnectSmall()
			const n = 300_000
			w1, w2 := t.WriteAll(f, 0, n), t.WriteAll(g, n, 2*n)
			r := Start(t, "read", func() bool { t.WantPattern(f, n, 2*n); return true })
			t.WantPattern(g, 0, n)
			r.Wait()
			t.ok("write", w1.Wait())
			t.ok("write", w2.Wait())
		},
	},
	{
		ID: "contract/W4", Source: "W4", Title: "Writing after a close fails with ErrClosed",
		Clause: "Each way to write fails with ErrClosed once the flow is closed for writing; locally closed, the error is net.ErrClosed too.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			t.ok("close write", f.CloseWrite())
			for _, w := range writeCalls {
				t.is(w.name+" after a close", w.call(t.Bound(), f, []byte("late!!")), api.ErrClosed, net.ErrClosed)
			}
			t.WantEOF(g)
			t.ok("close", g.Close(t.Bound()))
			t.is("write on a flow closed by both", g.Write(t.Bound(), api.CopyBuffer([]byte("x"))), api.ErrClosed)
		},
	},
	{
		ID: "contract/W4-blocked", Source: "W4", Title: "A blocked write fails when the connection goes",
		Clause: "A write that waits for room returns ErrClosed when the peer resets the connection.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.ConnectSmall()
			op := t.fill(f)
			g.Abort()
			t.is("blocked write", op.Wait(), api.ErrClosed, api.ErrReset)
		},
	},
	{
		ID: "contract/W4-blocked-abort", Source: "W4", Title: "A blocked write fails when the flow is aborted here",
		Clause: "A write that waits for room returns ErrClosed and ErrAborted when the local end aborts.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, _ := p.ConnectSmall()
			op := t.fill(f)
			f.Abort()
			t.is("blocked write", op.Wait(), api.ErrClosed, api.ErrAborted, net.ErrClosed)
		},
	},
	{
		ID: "contract/W4-blocked-close", Source: "W4", Title: "A blocked write fails when the flow is closed here",
		Clause: "CloseWrite ends a write that waits for room, with ErrClosed; what was queued before is delivered.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.ConnectSmall()
			op := t.fill(f)
			start := t.clk.Now()
			t.ok("close write", f.CloseWrite())
			t.is("blocked write", op.Wait(), api.ErrClosed)
			if d := t.clk.Now().Sub(start); d > time.Second {
				t.Fatalf("the blocked write returned %v after the close", d)
			}
			n := 0
			for {
				b, err := g.Read(t.Bound())
				if err != nil {
					break
				}
				n += b.Len()
			}
			if n == 0 || n%4096 != 0 {
				t.Fatalf("%d bytes arrived: a write was cut in two", n)
			}
			t.WantEOF(g)
		},
	},
	{
		ID: "contract/W5", Source: "W5", Title: "Errors have an operation, addresses and a cause",
		Clause: "Every error is an *api.Error that prints its operation and its addresses and matches a sentinel of the contract and the kernel's errno. Only deadlines match os.ErrDeadlineExceeded; net.ErrClosed needs a local close.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			p.Echo(f, g)
			check := func(what, op string, err error) {
				var e *api.Error
				if !errors.As(err, &e) {
					t.Fatalf("%s: %v (%T) is no *api.Error", what, err, err)
				}
				if e.Op != op || e.Dst != f.Dst() || e.Src != f.Src() || e.Error() == "" || e.Err == nil {
					t.Fatalf("%s: %+v does not tell operation %q and addresses %v -> %v", what, e, op, f.Src(), f.Dst())
				}
			}
			ctx, stop := t.stopped()
			stop()
			_, err := f.Read(ctx)
			check("read with an ended context", "read", err)
			t.is("read with an ended context", err, errStop)
			t.isNot("read with an ended context", err, api.ErrClosed, api.ErrTimeout, os.ErrDeadlineExceeded)
			_, err = f.Read(t.Timeout(time.Millisecond))
			check("read with a timeout", "read", err)
			t.is("read with a timeout", err, context.DeadlineExceeded)

			g.Abort()
			t.Eventually("the reset arrives", func() bool { return f.CloseReason() != nil })
			_, err = f.Read(t.Bound())
			check("read after a reset", "read", err)
			t.is("read after a reset", err, api.ErrReset, syscall.ECONNRESET)
			t.isNot("read after a reset", err, net.ErrClosed, os.ErrDeadlineExceeded)
			for _, w := range writeCalls {
				err = w.call(t.Bound(), f, []byte("late!!"))
				check(w.name+" after a reset", "write", err)
				t.is(w.name+" after a reset", err, api.ErrClosed, api.ErrReset, syscall.EPIPE, syscall.ECONNRESET)
				t.isNot(w.name+" after a reset", err, net.ErrClosed, os.ErrDeadlineExceeded)
			}
		},
	},
	{
		ID: "contract/W5-context", Source: "W5", Title: "A write whose context ends has queued nothing",
		Clause: "A write is admitted whole or not at all: one that ended while it waited leaves the stream as it was, and the flow usable.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.ConnectSmall()
			// Whole records, numbered, until one waits and gives up.
			for _, size := range []int{1000, 1300, 700, 3000} {
				n := 0
				for ; ; n++ {
					err := f.Write(t.Timeout(t.short()), api.NewBuffer(bytes.Repeat([]byte{byte(n)}, size)))
					if err != nil {
						t.is("blocked write", err, context.DeadlineExceeded)
						t.isNot("blocked write", err, api.ErrClosed)
						break
					}
					if n > 20_000 {
						t.Fatalf("%d bytes written to a flow of which nobody reads", n*size)
					}
				}
				last := Start(t, "write", func() error { return f.Write(t.Bound(), api.CopyBuffer([]byte("end"))) })
				got := t.Read(g, size*n+3)
				t.ok("write", last.Wait())
				for i := range n {
					if !bytes.Equal(got[size*i:size*i+size], bytes.Repeat([]byte{byte(i)}, size)) {
						t.Fatalf("record %d of %d is not what was written", i, n)
					}
				}
				if string(got[size*n:]) != "end" {
					t.Fatalf("after the last record there came %q", got[size*n:])
				}
			}
		},
	},
	{
		ID: "contract/V1", Source: "V1", Title: "Writev keeps its buffers in order and together",
		Clause: "Writev writes a sequence of buffers in order, and concurrent writes never come between them.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.ConnectSmall()
			const writers, rounds = 4, 30
			var ops []*Op[error]
			for w := range writers {
				ops = append(ops, Start(t, "writev", func() error {
					for r := range rounds {
						var bs []*api.Buffer
						for part := range 4 { // one record: 4 buffers of 250 bytes
							bs = append(bs, api.NewBuffer(bytes.Repeat([]byte{byte(w<<6 | r), byte(part)}, 125)))
						}
						if err := f.Writev(t.Bound(), bs); err != nil {
							return err
						}
					}
					return nil
				}))
			}
			got := t.Read1000s(g, writers*rounds)
			next := [writers]int{}
			for i, rec := range got {
				w := int(rec[0] >> 6)
				for j := 0; j < 1000; j += 2 {
					if rec[j] != rec[0] || int(rec[j+1]) != j/250 {
						t.Fatalf("record %d: the buffers of writer %d were torn apart at byte %d", i, w, j)
					}
				}
				if int(rec[0]&63) != next[w] {
					t.Fatalf("record %d: writer %d's record %d came in place of %d", i, w, rec[0]&63, next[w])
				}
				next[w]++
			}
			for _, op := range ops {
				t.ok("writev", op.Wait())
			}
		},
	},
	{
		ID: "contract/N1", Source: "N1", Title: "WriteNoDelay waits for the peer's acknowledgment", Needs: Wire,
		Clause: "WriteNoDelay returns when the peer's TCP has acknowledged the last byte, whether or not anybody has read it.",
		Run:    func(t *T) { nodelayWaits(t, writeCalls[2]) },
	},
	{
		ID: "contract/N1-unread", Source: "N1", Title: "WriteNoDelay does not wait for the reader",
		Clause: "An acknowledgment by the peer's TCP is enough: WriteNoDelay returns though nobody reads.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			for _, w := range writeCalls[2:] {
				op := Start(t, w.name, func() error { return w.call(t.Bound(), f, []byte("unread")) })
				t.ok(w.name, op.WaitFor(max(t.short(), 10*time.Second)))
			}
			t.WantBytes(g, []byte("unreadunread"))
		},
	},
	{
		ID: "contract/N1-full", Source: "N1", Title: "WriteNoDelay blocks while the peer takes no more",
		Clause: "With the peer's window full nothing more is acknowledged, so WriteNoDelay cannot return; it does once the peer reads.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.ConnectSmall()
			n := 0
			for {
				if err := f.Write(t.Timeout(t.short()), api.NewBuffer(pattern(n, 4096))); err != nil {
					break
				}
				n += 4096
			}
			ctx, stop := t.stopped()
			op := Start(t, "WriteNoDelay", func() error { return f.WriteNoDelay(ctx, api.NewBuffer(pattern(n, 10))) })
			op.Blocked("the queue before it has not been acknowledged")
			t.WantPattern(g, 0, n+10)
			t.ok("WriteNoDelay", op.Wait())
			stop()
		},
	},
	{
		ID: "contract/N1-reset", Source: "N1 W4", Title: "WriteNoDelay fails when the connection goes before the acknowledgment", Needs: Wire,
		Clause: "Bytes that were never acknowledged were not transmitted: WriteNoDelay reports the reset.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			p.Net.Filter(1, func(s *Segment) bool { return s.Has(RST) })
			op := Start(t, "WriteNoDelay", func() error { return f.WriteNoDelay(t.Bound(), api.CopyBuffer([]byte("x"))) })
			op.Blocked("no acknowledgment can have come")
			g.Abort()
			t.is("WriteNoDelay", op.Wait(), api.ErrClosed, api.ErrReset)
		},
	},
	{
		ID: "contract/N2", Source: "N2", Title: "WriteNoDelay sends at once", Needs: Wire | VirtualTime,
		Clause: "No Nagle and no other waiting: with small data unacknowledged, WriteNoDelay's bytes leave in the same instant, while those of Write wait.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			p.Net.Cut(1)
			t.Write(f, []byte("a")) // in flight from now on
			sent := p.Net.Sent(0)
			t.Write(f, []byte("b"))
			if p.Net.Sent(0) != sent {
				t.Fatalf("a small write left though another was unacknowledged (Nagle's algorithm)")
			}
			start := t.clk.Now()
			op := Start(t, "WriteNoDelay", func() error { return f.WriteNoDelay(t.Bound(), api.CopyBuffer([]byte("c"))) })
			t.Sleep(time.Millisecond)
			if p.Net.Sent(0) == sent {
				t.Fatalf("nothing was sent within %v of WriteNoDelay", t.clk.Now().Sub(start))
			}
			p.Net.Filter(1, nil)
			t.ok("WriteNoDelay", op.Wait())
			t.WantBytes(g, []byte("abc"))
		},
	},
	{
		ID: "contract/N3", Source: "N3", Title: "WritevNoDelay is the same for a sequence", Needs: Wire,
		Clause: "WritevNoDelay writes its buffers in order and waits for the acknowledgment of the last byte.",
		Run:    func(t *T) { nodelayWaits(t, writeCalls[3]) },
	},
	{
		ID: "contract/N4", Source: "N4", Title: "Nodelay is an attribute of the flow",
		Clause: "FlowConfig.NoDelay switches Nagle's algorithm off for plain writes, from the start or later, and Info shows it.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(&api.FlowConfig{NoDelay: true}, nil)
			if !f.Info().NoDelay || g.Info().NoDelay {
				t.Fatalf("Info.NoDelay is %v and %v; only the dialled flow asked for it", f.Info().NoDelay, g.Info().NoDelay)
			}
			t.ok("configure", g.Configure(func(c *api.FlowConfig) { c.NoDelay = true }))
			if !g.Info().NoDelay {
				t.Fatalf("Configure did not set NoDelay")
			}
			if p.Net != nil {
				p.Net.Cut(1)
				before := p.Net.Sent(0)
				for range 3 {
					t.Write(f, []byte("x"))
				}
				if !t.virtual {
					t.Settle() // less than the time to a retransmission
				}
				if n := p.Net.Sent(0) - before; n < 3 {
					t.Fatalf("%d packets for 3 small writes with NoDelay", n)
				}
				p.Net.Filter(1, nil)
				t.WantBytes(g, []byte("xxx"))
			}
			p.Echo(f, g)
		},
	},
}

// nodelayWaits is the body of N1 and N3.
func nodelayWaits(t *T, w writeCall) {
	p := t.Pair(nil)
	f, g := p.Connect(nil, nil)
	t.ok(w.name, w.call(t.Bound(), f, pattern(0, 100)))
	p.Net.Cut(1)
	op := Start(t, w.name, func() error { return w.call(t.Bound(), f, pattern(100, 5000)) })
	op.Blocked("no acknowledgment can have come")
	ctx, stop := t.stopped()
	second := Start(t, w.name, func() error { return w.call(ctx, f, pattern(5100, 100)) })
	second.Blocked("no acknowledgment can have come")
	stop()
	err := second.Wait()
	t.is(w.name+" whose context ended", err, errStop)
	p.Net.Filter(1, nil)
	t.ok(w.name, op.Wait())
	t.WantPattern(g, 0, 5200) // also the bytes whose writer no longer waited
}

// Read1000s reads n records of 1000 bytes.
func (t *T) Read1000s(f api.Flow, n int) [][]byte {
	var got []byte
	for len(got) < 1000*n {
		b, err := f.Read(t.Bound())
		if err != nil {
			t.Fatalf("read after %d bytes: %v", len(got), err)
		}
		got = append(got, b.Bytes()...)
		b.Release()
	}
	var out [][]byte
	for i := range n {
		out = append(out, got[1000*i:1000*i+1000])
	}
	if len(got) != 1000*n {
		panic(fmt.Sprintf("BUG: %d bytes too many", len(got)-1000*n))
	}
	return out
}
