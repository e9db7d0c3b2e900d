package conformance

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sluicenet/sluice/api"
)

// several starts n calls of f at once.
func several[R any](t *T, what string, n int, f func(i int) R) (ops []*Op[R]) {
	for i := range n {
		ops = append(ops, Start(t, what, func() R { return f(i) }))
	}
	return ops
}

// allBlocked fails the case unless every call still blocks after a while.
func allBlocked[R any](t *T, ops []*Op[R], why string) {
	t.Settle()
	for _, op := range ops {
		if op.Done() {
			t.Fatalf("%s returned (%v) but %s", op.what, op.Wait(), why)
		}
	}
}

// readAll reads until an error and returns what came.
func readAll(t *T, f api.Flow) ([]byte, error) {
	var got []byte
	for {
		b, err := f.Read(t.Bound())
		if err != nil {
			return got, err
		}
		if b.Len() == 0 {
			t.Errorf("read returned an empty buffer")
		}
		got = append(got, b.Bytes()...)
		b.Release()
	}
}

// fillQueue writes whole pieces of the pattern until a write waits, and returns how many
// bytes were taken.
func (t *T) fillQueue(f api.Flow) int {
	n := 0
	for {
		if err := f.Write(t.Timeout(t.short()), api.NewBuffer(pattern(n, 4096))); err != nil {
			t.is("write to a full queue", err, context.DeadlineExceeded)
			return n
		}
		n += 4096
	}
}

// writeOn writes until a write fails, and returns its error. A queue that looked full
// may take a little more.
func (t *T) writeOn(f api.Flow, w writeCall) error {
	for {
		if err := w.call(t.Bound(), f, pattern(0, 5000)); err != nil {
			return err
		}
	}
}

// crowdCases are the contract under concurrency.
var crowdCases = []Case{
	{
		ID: "contract/R1-many", Source: "R1", Title: "Several readers get different bytes",
		Clause: "Of four readers of one flow each gets bytes that no other does, and together they get all of them, once.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			const n = 60_000
			ops := several(t, "reads", 4, func(int) []byte { got, _ := readAll(t, g); return got })
			w := Start(t, "writes", func() error {
				for i := 0; i < n; i += 4 { // numbered words, so that any order can be checked
					k := min(4*t.size(1, 200), n-i)
					var b []byte
					for j := i; j < i+k; j += 4 {
						b = append(b, byte(j>>24), byte(j>>16), byte(j>>8), byte(j))
					}
					if err := f.Write(t.Bound(), api.NewBuffer(b)); err != nil {
						return err
					}
					i += k - 4
				}
				return f.CloseWrite()
			})
			t.ok("write", w.Wait())
			var counts [256]int
			total := 0
			for _, op := range ops {
				b := op.Wait()
				total += len(b)
				for _, x := range b {
					counts[x]++
				}
			}
			var want [256]int
			for j := 0; j < n; j += 4 {
				for _, x := range []byte{byte(j >> 24), byte(j >> 16), byte(j >> 8), byte(j)} {
					want[x]++
				}
			}
			if total != n || counts != want {
				t.Fatalf("the readers got %d bytes of %d, or others than were written", total, n)
			}
		},
	},
	{
		ID: "contract/R2-sizes", Source: "R2", Title: "No empty buffer, whatever the writes",
		Clause: "Writes of random sizes, many of one byte and some empty, with a close behind them: each Read has a byte at least until the end.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(&api.FlowConfig{NoDelay: true}, nil)
			sent := 0
			w := Start(t, "writes", func() error {
				for range 200 {
					n := t.size(0, 3) * t.size(0, 700)
					if err := f.Write(t.Bound(), api.NewBuffer(pattern(sent, n))); err != nil {
						return err
					}
					sent += n
				}
				return f.CloseWrite()
			})
			got, err := readAll(t, g)
			t.ok("write", w.Wait())
			if err != io.EOF || !bytes.Equal(got, pattern(0, sent)) {
				t.Fatalf("read %d bytes of %d, then %v", len(got), sent, err)
			}
		},
	},
	{
		ID: "contract/R3-many", Source: "R3 R4", Title: "Several readers at the end",
		Clause: "Blocked readers share what was in flight when the peer closed, and then each of them, and each later call, gets end of file.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			ops := several(t, "reads", 5, func(int) int {
				got, err := readAll(t, g)
				if err != io.EOF {
					t.Errorf("a reader ended with %v (%T), want io.EOF itself", err, err)
				}
				return len(got)
			})
			allBlocked(t, ops, "nothing has been written")
			n := t.size(1, 30_000)
			t.ok("write", f.Write(t.Bound(), api.NewBuffer(pattern(0, n))))
			t.ok("close write", f.CloseWrite())
			total := 0
			for _, op := range ops {
				total += op.Wait()
			}
			if total != n {
				t.Fatalf("the readers got %d bytes of %d", total, n)
			}
			t.WantEOF(g)
		},
	},
	{
		ID: "contract/R4-reset-many", Source: "R4", Title: "A reset reaches every blocked reader",
		Clause: "Each of several readers returns ErrReset, none end of file, and none stays blocked.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			ops := several(t, "read", 5, func(int) error { _, err := g.Read(t.Bound()); return err })
			allBlocked(t, ops, "nothing has been written")
			f.Abort()
			for _, op := range ops {
				err := op.Wait()
				t.is("read", err, api.ErrReset)
				t.isNot("read", err, io.EOF)
			}
		},
	},
	{
		ID: "contract/W1-shared", Source: "W1", Title: "Views of one page in several writes",
		Clause: "Buffers that share memory may be written one after the other, and by several goroutines at once: the bytes are sent as they were and the memory is left alone.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			page := pattern(0, 4000)
			whole := api.NewBuffer(page)
			ops := several(t, "write", 8, func(i int) error {
				v := whole.View(500*(i%4), 500*(i%4)+500)
				return f.Write(t.Bound(), &v)
			})
			for _, op := range ops {
				t.ok("write", op.Wait())
			}
			got := t.Read(g, 4000)
			seen := map[int]int{}
			for i := 0; i < 4000; i += 500 {
				for k := range 4 {
					if bytes.Equal(got[i:i+500], page[500*k:500*k+500]) {
						seen[k]++
					}
				}
			}
			if len(seen) != 4 || seen[0] != 2 || seen[3] != 2 || !bytes.Equal(page, pattern(0, 4000)) {
				t.Fatalf("of the four parts there came %v", seen)
			}
			whole.Release()
		},
	},
	{
		ID: "contract/W2-order", Source: "W2 W3", Title: "What is queued stays in order",
		Clause: "Writes that return at once, in any number and by several goroutines, arrive each whole, and those of one goroutine in their order.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.ConnectSmall()
			const writers, rounds, size = 5, 40, 1000
			ops := several(t, "writes", writers, func(i int) error {
				for r := range rounds {
					if err := f.Write(t.Bound(), api.NewBuffer(bytes.Repeat([]byte{byte(i*rounds + r)}, size))); err != nil {
						return err
					}
				}
				return nil
			})
			got := t.Read1000s(g, writers*rounds)
			for _, op := range ops {
				t.ok("write", op.Wait())
			}
			last := map[int]int{}
			for i, rec := range got {
				w, r := int(rec[0])/rounds, int(rec[0])%rounds
				if !bytes.Equal(rec, bytes.Repeat(rec[:1], size)) || r != last[w] {
					t.Fatalf("record %d is torn or out of order: writer %d, round %d, expected %d", i, w, r, last[w])
				}
				last[w]++
			}
		},
	},
	{
		ID: "contract/W4-many", Source: "W4", Title: "Every blocked writer is released",
		Clause: "Writers that wait for room, of all four kinds, each return ErrClosed when the peer resets, the flow is aborted, or it is closed here.",
		Run: func(t *T) {
			for how := range 3 {
				p := t.Pair(nil)
				f, g := p.ConnectSmall()
				t.fillQueue(f)
				ops := several(t, "writes", 8, func(i int) error { return t.writeOn(f, writeCalls[i%4]) })
				allBlocked(t, ops, "the queue is full")
				switch how {
				case 0:
					g.Abort()
				case 1:
					f.Abort()
				case 2:
					t.ok("close write", f.CloseWrite())
				}
				for i, op := range ops {
					if i%4 < 2 { // Write and Writev
						t.is("write", op.Wait(), api.ErrClosed)
					}
				}
				if how == 2 {
					// A full queue may have taken a little more of a WriteNoDelay: that one
					// waits, and may, until it is acknowledged.
					Start(t, "reads", func() error { _, err := readAll(t, g); return err })
				}
				for _, op := range ops {
					t.is("write", op.Wait(), api.ErrClosed)
				}
			}
		},
	},
	{
		ID: "contract/N1-many", Source: "N1 N2", Title: "Several WriteNoDelay at once", Needs: Wire,
		Clause: "All of them send at once, none returns before its own bytes are acknowledged, and each does then.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			p.Echo(f, g)
			p.Net.Cut(1)
			ops := several(t, "WriteNoDelay", 6, func(i int) error { return f.WriteNoDelay(t.Bound(), api.NewBuffer(bytes.Repeat([]byte{byte(i)}, 100))) })
			allBlocked(t, ops, "no acknowledgment can have come")
			t.Eventually("everything was sent", func() bool { return g.Info().ReceiveQueue == 600 })
			p.Net.Filter(1, nil)
			for _, op := range ops {
				t.ok("WriteNoDelay", op.Wait())
			}
			got := t.Read(g, 600)
			var order []byte
			for i := 0; i < 600; i += 100 {
				if !bytes.Equal(got[i:i+100], bytes.Repeat(got[i:i+1], 100)) {
					t.Fatalf("a write was torn")
				}
				order = append(order, got[i])
			}
			slices.Sort(order)
			if !bytes.Equal(order, []byte{0, 1, 2, 3, 4, 5}) {
				t.Fatalf("there came %v", order)
			}
		},
	},
	{
		ID: "contract/C1-writers", Source: "C1 W4", Title: "Close while others write",
		Clause: "Of writes that run while the flow is closed each either succeeded, and arrives, or failed with ErrClosed, and does not; then comes end of file.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.ConnectSmall()
			var written atomic.Int64
			ops := several(t, "writes", 4, func(i int) error {
				for {
					if err := f.Write(t.Bound(), api.NewBuffer(bytes.Repeat([]byte{byte(i)}, 1000))); err != nil {
						return err
					}
					written.Add(1)
				}
			})
			reader := Start(t, "reads", func() int {
				got, err := readAll(t, g)
				if err != io.EOF {
					t.Errorf("the reader ended with %v", err)
				}
				for i := 0; i+1000 <= len(got); i += 1000 {
					if !bytes.Equal(got[i:i+1000], bytes.Repeat(got[i:i+1], 1000)) {
						t.Errorf("a write was torn at %d", i)
						break
					}
				}
				return len(got)
			})
			t.Sleep(20 * time.Millisecond)
			closing := Start(t, "close", func() error { return f.Close(t.Bound()) })
			for _, op := range ops {
				t.is("write", op.Wait(), api.ErrClosed, net.ErrClosed)
			}
			if n := reader.Wait(); n != int(written.Load())*1000 {
				t.Fatalf("%d writes of 1000 bytes succeeded, and %d bytes arrived", written.Load(), n)
			}
			t.ok("close", g.Close(t.Bound()))
			t.ok("close", closing.Wait())
		},
	},
	{
		ID: "contract/C2-both", Source: "C2 R3 C1", Title: "Both ends close with data under way",
		Clause: "Both write more than the buffers hold and close at once: each reads all that the other wrote, and then end of file.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.ConnectSmall()
			const n = 80_000
			end := func(w, r api.Flow, from, back int) *Op[error] {
				reader := Start(t, "reads", func() error {
					t.WantPattern(r, back, back+n)
					t.WantEOF(r)
					return nil
				})
				return Start(t, "an end", func() error {
					if err := t.WriteAll(w, from, from+n).Wait(); err != nil {
						return err
					}
					if err := w.Close(t.Bound()); err != nil {
						return err
					}
					return reader.Wait()
				})
			}
			a, b := end(f, f, 0, n), end(g, g, n, 0)
			t.ok("one end", a.Wait())
			t.ok("the other end", b.Wait())
		},
	},
	{
		ID: "contract/C3-writers", Source: "C3 C4", Title: "A half-closed flow under load",
		Clause: "While Close waits the peer writes far more than the buffers hold, with several writers, and all of it is read.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.ConnectSmall()
			closing := several(t, "close", 3, func(int) error { return f.Close(t.Bound()) })
			t.WantEOF(g)
			ops := several(t, "writes", 3, func(i int) error {
				for range 40 {
					if err := g.Write(t.Bound(), api.NewBuffer(bytes.Repeat([]byte{byte(i)}, 1000))); err != nil {
						return err
					}
				}
				return nil
			})
			t.Read1000s(f, 120)
			for _, op := range ops {
				t.ok("write", op.Wait())
			}
			allBlocked(t, closing, "the peer has not closed")
			t.ok("close", g.Close(t.Bound()))
			for _, op := range closing {
				t.ok("close", op.Wait())
			}
			t.WantEOF(f)
		},
	},
	{
		ID: "contract/D1-many", Source: "D1", Title: "Src and Dst from any goroutine, at any time",
		Clause: "They say the same during the connection, while it is torn down, and after the stack has left.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			src, dst := f.Src(), f.Dst()
			var stop atomic.Bool
			ops := several(t, "a look at the ends", 3, func(int) bool {
				for !stop.Load() {
					if f.Src() != src || f.Dst() != dst || g.Src() != dst || g.Dst() != src {
						return false
					}
					t.Sleep(time.Millisecond)
				}
				return true
			})
			p.Echo(f, g)
			g.Abort()
			t.Settle()
			p.A.Disconnect(t.Timeout(0))
			stop.Store(true)
			for _, op := range ops {
				if !op.Wait() || f.Src() != src || f.Dst() != dst {
					t.Fatalf("the ends were %v -> %v, and are %v -> %v", src, dst, f.Src(), f.Dst())
				}
			}
		},
	},
	{
		ID: "contract/O1-many", Source: "O1 L1", Title: "Many dials at once, both ways",
		Clause: "Twenty dials each way, at the same time, give forty connections that carry their own bytes.",
		Run: func(t *T) {
			p := t.Pair(nil)
			s := p.Listen(nil)
			back := NewMailbox[api.Flow](t)
			port, err := p.A.Listen(0, nil, func(_ context.Context, f api.Flow) { back.Put(f) })
			t.ok("listen", err)
			echo := func(m *Mailbox[api.Flow]) {
				for range 20 {
					g, err := m.Take(t.Bound())
					t.ok("accept", err)
					t.Go(func() {
						b := t.Read(g, 3)
						t.Write(g, b)
					})
				}
			}
			t.Go(func() { echo(s.Flows) })
			t.Go(func() { echo(back) })
			ops := several(t, "dial", 40, func(i int) error {
				from, to := p.A, s.Addr
				if i%2 == 1 {
					from, to = p.B, addrPort(p.AddrA, port)
				}
				f, err := from.Dial(t.Bound(), to, nil)
				if err != nil {
					return err
				}
				t.Write(f, []byte{byte(i), byte(i), byte(i)})
				t.WantBytes(f, []byte{byte(i), byte(i), byte(i)})
				return nil
			})
			for _, op := range ops {
				t.ok("dial", op.Wait())
			}
		},
	},
	{
		ID: "contract/K3-many", Source: "K3 K4 C4", Title: "A failed keepalive releases everybody", Needs: Wire | VirtualTime,
		Clause: "Readers get end of file, a Close that waits gets the cause, and writers of all kinds ErrClosed, when the probes go unanswered.",
		Run: func(t *T) {
			p := t.Pair(nil)
			k := api.KeepaliveConfig{After: t.between(20*time.Second, time.Minute), Interval: time.Second, Probes: 3}
			f, _ := p.Connect(&api.FlowConfig{Keepalive: k}, nil)
			readers := several(t, "read", 3, func(int) error { _, err := f.Read(t.Bound()); return err })
			allBlocked(t, readers, "nothing has been written")
			p.Net.Cut(1)
			for _, op := range readers {
				if err := op.Wait(); err != io.EOF {
					t.Fatalf("read: %v (%T), want io.EOF itself", err, err)
				}
			}
			for _, op := range several(t, "write", 4, func(i int) error { return writeCalls[i].call(t.Bound(), f, []byte("late!!")) }) {
				t.is("write", op.Wait(), api.ErrClosed, api.ErrKeepalive)
			}
			t.is("close", f.Close(t.Bound()), api.ErrKeepalive)
		},
	},
	{
		ID: "contract/K1-busy", Source: "K1 K2", Title: "A flow that is used is not probed", Needs: Wire | VirtualTime,
		Clause: "Traffic, either way, postpones the probes; and of probes that are lost at random a few do not end a flow whose peer lives.",
		Run: func(t *T) {
			p := t.Pair(nil)
			k := api.KeepaliveConfig{After: 30 * time.Second, Interval: 5 * time.Second, Probes: 4}
			f, g := p.Connect(&api.FlowConfig{Keepalive: k}, nil)
			for range 20 {
				t.Write(g, []byte("x"))
				t.WantBytes(f, []byte("x"))
				t.Sleep(time.Second)
				sent := p.Net.Sent(0)
				t.Sleep(27 * time.Second)
				if n := p.Net.Sent(0) - sent; n != 0 {
					t.Fatalf("%d packets within 28 s of the last that came", n)
				}
			}
			lost := 0
			p.Net.Filter(0, func(*Segment) bool { // never four in a row
				if lost < 3 && t.rand.IntN(2) == 0 {
					lost++
					return false
				}
				lost = 0
				return true
			})
			t.Sleep(3 * time.Hour)
			t.ok("reason", f.CloseReason())
			p.Net.Filter(0, nil)
			p.Echo(f, g)
		},
	},
	{
		ID: "contract/K4-blocked", Source: "K4 W4", Title: "A keepalive that gives up releases a write that waits", Needs: Wire | VirtualTime | CustomKeepalive,
		Clause: "With nothing acknowledged the flow ends in any case, by its keepalive or by its user timeout: a writer that waits for room gets ErrClosed and a reason.",
		Run: func(t *T) {
			p := t.Pair(nil)
			c := small()
			c.UserTimeout = time.Minute
			f, _ := p.Connect(&c, &api.ListenConfig{Flow: small()})
			op := t.fill(f)
			p.Net.Cut(0)
			t.is("write", op.Wait(), api.ErrClosed)
			if f.CloseReason() == nil {
				t.Fatalf("the flow has ended without a reason")
			}
		},
	},
	{
		ID: "contract/L3-many", Source: "L3", Title: "One of many listeners wins",
		Clause: "Of several goroutines that listen on one port at once one succeeds and the others get ErrPortInUse; with port 0 all get ports of their own.",
		Run: func(t *T) {
			p := t.Pair(nil)
			probe := p.Listen(nil)
			port := probe.Addr.Port()
			p.B.Unlisten(port)
			flows := NewMailbox[api.Flow](t)
			ops := several(t, "listen", 8, func(int) error {
				_, err := p.B.Listen(port, nil, func(_ context.Context, f api.Flow) { flows.Put(f) })
				return err
			})
			won := 0
			for _, op := range ops {
				if err := op.Wait(); err == nil {
					won++
				} else {
					t.is("listen", err, api.ErrPortInUse, syscall.EADDRINUSE)
				}
			}
			if won != 1 {
				t.Fatalf("%d of 8 listeners have the port", won)
			}
			ports := map[uint16]bool{}
			for _, op := range several(t, "listen", 8, func(int) uint16 {
				n, err := p.B.Listen(0, nil, func(context.Context, api.Flow) {})
				t.ok("listen", err)
				return n
			}) {
				ports[op.Wait()] = true
			}
			if len(ports) != 8 || ports[port] || ports[0] {
				t.Fatalf("port 0 gave %v", ports)
			}
			f := p.Dial(probe.Addr, nil)
			g, err := flows.Take(t.Bound())
			t.ok("accept", err)
			p.Echo(f, g)
		},
	},
	{
		ID: "contract/U1-many", Source: "U1 L3", Title: "Listening and unlistening in turn, while others dial",
		Clause: "Each dial either succeeds, and its flow lives on when the listener goes, or is refused; afterwards the port can be taken.",
		Run: func(t *T) {
			p := t.Pair(nil)
			probe := p.Listen(nil)
			port := probe.Addr.Port()
			p.B.Unlisten(port)
			flows := NewMailbox[api.Flow](t)
			h := func(_ context.Context, f api.Flow) { flows.Put(f) }
			var stop atomic.Bool
			toggle := Start(t, "listening and unlistening", func() bool {
				for !stop.Load() {
					if _, err := p.B.Listen(port, nil, h); err != nil {
						t.Errorf("listen: %v", err)
						return false
					}
					t.Sleep(t.between(40*time.Millisecond, 90*time.Millisecond))
					p.B.Unlisten(port)
					t.Sleep(t.between(5*time.Millisecond, 30*time.Millisecond))
				}
				return true
			})
			ops := several(t, "dials", 3, func(int) []api.Flow {
				var fs []api.Flow
				for range 10 {
					f, err := p.A.Dial(t.Bound(), probe.Addr, nil)
					if err == nil {
						fs = append(fs, f)
					} else if !errors.Is(err, api.ErrRefused) && !errors.Is(err, api.ErrReset) {
						t.Errorf("dial: %v", err)
					}
					t.Sleep(7 * time.Millisecond)
				}
				return fs
			})
			var fs []api.Flow
			for _, op := range ops {
				fs = append(fs, op.Wait()...)
			}
			stop.Store(true)
			toggle.Wait()
			lively := 0
			for flows.Len() > 0 {
				g, _ := flows.Take(t.Bound())
				for _, f := range fs {
					if f.Src() == g.Dst() {
						p.Echo(f, g)
						lively++
					}
				}
			}
			if lively == 0 {
				t.Inconclusivef("no dial met a listener")
			}
			_, err := p.B.Listen(port, nil, h)
			t.ok("listen", err)
		},
	},
	{
		ID: "contract/X1-many", Source: "X1 X2 N1", Title: "Disconnect releases a crowd",
		Clause: "Readers, writers of all kinds, closers and dials of many flows all return with an error when the stack leaves, and nothing is left of them.",
		Run: func(t *T) {
			p := t.Pair(nil)
			var ops []*Op[error]
			for range 5 {
				f, _ := p.ConnectSmall()
				t.fillQueue(f)
				ops = append(ops, several(t, "read", 2, func(int) error { _, err := f.Read(t.Bound()); return err })...)
				ops = append(ops, several(t, "writes", 4, func(i int) error { return t.writeOn(f, writeCalls[i]) })...)
			}
			if p.Net != nil {
				p.Net.Filter(0, func(s *Segment) bool { return s.Flags&SYN == 0 })
				ops = append(ops, several(t, "dial", 5, func(int) error { _, err := p.A.Dial(t.Bound(), addrPort(p.AddrB, 9), nil); return err })...)
			}
			allBlocked(t, ops, "nobody reads, writes or answers")
			for _, op := range several(t, "disconnect", 3, func(int) bool { p.A.Disconnect(t.Timeout(t.short())); return true }) {
				op.Wait()
			}
			for _, op := range ops {
				if err := op.Wait(); !errors.Is(err, api.ErrDisconnected) && !errors.Is(err, api.ErrClosed) {
					t.Fatalf("%s: %v", op.what, err)
				}
			}
			if i := p.A.Info(); i.Flows != 0 || i.HalfOpen != 0 {
				t.Fatalf("%d flows and %d half-open are left", i.Flows, i.HalfOpen)
			}
		},
	},
}

// cancelCases are the contract under cancellation, one for each place to block.
var cancelCases = []Case{
	{
		ID: "contract/R1-cancel", Source: "R1 W5", Title: "A cancelled Read takes nothing",
		Clause: "Reads whose contexts end, again and again and at random instants, lose no byte of the stream.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			const n = 60_000
			w := Start(t, "writes", func() error {
				for i := 0; i < n; {
					k := min(t.size(1, 3000), n-i)
					if err := f.Write(t.Bound(), api.NewBuffer(pattern(i, k))); err != nil {
						return err
					}
					i += k
					t.Sleep(t.between(0, 10*time.Millisecond))
				}
				return f.CloseWrite()
			})
			var got []byte
			cancelled := 0
			for {
				b, err := g.Read(t.Timeout(t.between(0, 5*time.Millisecond)))
				if errors.Is(err, context.DeadlineExceeded) {
					cancelled++
					t.isNot("cancelled read", err, api.ErrClosed, api.ErrTimeout, io.EOF)
					continue
				}
				if err == io.EOF {
					break
				}
				t.ok("read", err)
				got = append(got, b.Bytes()...)
			}
			t.ok("write", w.Wait())
			if !bytes.Equal(got, pattern(0, n)) {
				t.Fatalf("read %d bytes of %d, or wrong ones, after %d cancelled reads", len(got), n, cancelled)
			}
			if cancelled == 0 {
				t.Inconclusivef("no read was cancelled")
			}
		},
	},
	{
		ID: "contract/V1-cancel", Source: "V1 W5", Title: "A cancelled Writev has happened or has not",
		Clause: "Writes of several buffers whose contexts end at random instants arrive whole or not at all, as their results say.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.ConnectSmall()
			var done []byte
			reader := Start(t, "reads", func() []byte { got, _ := readAll(t, g); return got })
			refused := 0
			for i := range 150 {
				rec := bytes.Repeat([]byte{byte(i)}, 900)
				err := f.Writev(t.Timeout(t.between(0, 3*time.Millisecond)), cut(rec))
				if err == nil {
					done = append(done, byte(i))
					continue
				}
				t.is("writev", err, context.DeadlineExceeded)
				refused++
			}
			t.ok("close write", f.CloseWrite())
			got := reader.Wait()
			if len(got) != 900*len(done) {
				t.Fatalf("%d writes of 900 bytes succeeded and %d were cancelled; %d bytes arrived", len(done), refused, len(got))
			}
			for i, id := range done {
				if !bytes.Equal(got[900*i:900*i+900], bytes.Repeat([]byte{id}, 900)) {
					t.Fatalf("record %d is not what was written", i)
				}
			}
		},
	},
	{
		ID: "contract/N1-cancel", Source: "N1 N3", Title: "A cancelled WriteNoDelay still sends", Needs: Wire,
		Clause: "If the context ends while the acknowledgment is awaited the bytes are sent all the same, once; if it ends while there is no room, nothing is.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.ConnectSmall()
			p.Net.Cut(1)
			for _, w := range writeCalls[2:] {
				t.is(w.name, w.call(t.Timeout(t.short()), f, []byte("sent")), context.DeadlineExceeded)
			}
			p.Net.Filter(1, nil)
			t.WantBytes(g, []byte("sentsent"))
			n := t.fillQueue(f)
			for _, w := range writeCalls[2:] {
				t.is(w.name, w.call(t.Timeout(t.short()), f, []byte("no room")), context.DeadlineExceeded)
			}
			t.WantPattern(g, 0, n)
			t.Write(f, []byte("end"))
			t.WantBytes(g, []byte("end"))
		},
	},
	{
		ID: "contract/C4-cancel", Source: "C4 C3", Title: "A cancelled Close has closed",
		Clause: "Closes whose contexts have ended, or end, leave the flow half-closed: the peer reads the end, writes on, and a later Close waits for it.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			t.Write(f, []byte("bye"))
			ctx, stop := t.stopped()
			stop()
			t.is("close", f.Close(ctx), errStop)
			for _, op := range several(t, "close", 3, func(i int) error { return f.Close(t.Timeout(t.short() / time.Duration(i+1))) }) {
				t.is("close", op.Wait(), context.DeadlineExceeded)
			}
			t.ok("reason", f.CloseReason())
			t.WantBytes(g, []byte("bye"))
			t.WantEOF(g)
			t.Write(g, []byte("still"))
			t.WantBytes(f, []byte("still"))
			op := Start(t, "close", func() error { return f.Close(t.Bound()) })
			op.Blocked("the peer has not closed")
			t.ok("close", g.Close(t.Bound()))
			t.ok("close", op.Wait())
		},
	},
	{
		ID: "contract/O2-cancel-many", Source: "O2", Title: "Cancelled dials leave nothing", Needs: Wire | VirtualTime,
		Clause: "Of many dials cancelled at random instants each gives a flow that works, or its context's cause and nothing else; no connection is left over.",
		Run: func(t *T) {
			p := t.Pair(nil)
			s := p.Listen(nil)
			good := 0
			for _, op := range several(t, "dial", 30, func(i int) api.Flow {
				f, err := p.A.Dial(t.Timeout(time.Duration(i)*2*time.Millisecond), s.Addr, nil)
				if err != nil {
					t.is("dial", err, context.DeadlineExceeded)
					t.isNot("dial", err, api.ErrTimeout, api.ErrRefused)
					return nil
				}
				return f
			}) {
				if f := op.Wait(); f != nil {
					good++
				}
			}
			t.Settle()
			alive := 0
			for s.Flows.Len() > 0 {
				g, _ := s.Flows.Take(t.Bound())
				if g.CloseReason() == nil {
					alive++
				}
			}
			if alive != good || int(p.A.Info().Flows) != good || good == 0 || good == 30 {
				t.Fatalf("%d dials succeeded; the peer has %d open flows, the stack %d", good, alive, p.A.Info().Flows)
			}
		},
	},
}

// pressedCases are the contract where memory or flows are at their limit.
var pressedCases = []Case{
	{
		ID: "contract/W5-memory", Source: "W5 W1", Title: "A write without memory fails, and says so", Needs: Bounds | Wire,
		Clause: "Where the stack's memory is used up a write fails with ErrNoMemory, whole; what was taken before arrives, and then writes succeed again.",
		Run: func(t *T) {
			const limit = 128 << 10
			p := t.Pair(func(a, _ *Env) { a.Limits.Memory = limit })
			f, g := p.Connect(&api.FlowConfig{SendBuffer: 1 << 20}, nil)
			p.Net.Cut(1)
			n, failed := 0, error(nil)
			for failed == nil && n < 4*limit {
				if failed = f.Write(t.Timeout(t.short()), api.NewBuffer(pattern(n, 4096))); failed == nil {
					n += 4096
				}
			}
			t.is("write beyond the memory", failed, api.ErrNoMemory, syscall.ENOBUFS)
			t.isNot("write beyond the memory", failed, api.ErrClosed, context.DeadlineExceeded)
			if m := p.A.Info().Memory; m > limit || n > limit || n == 0 {
				t.Fatalf("%d bytes taken, %d of memory, limit %d", n, m, limit)
			}
			p.Net.Filter(1, nil)
			t.WantPattern(g, 0, n)
			t.Settle()
			t.Write(f, []byte("again"))
			t.WantBytes(g, []byte("again"))
		},
	},
	{
		ID: "contract/R1-memory", Source: "R1 R3", Title: "What was acknowledged is never given up", Needs: Bounds | Wire | VirtualTime,
		Clause: "Many flows whose readers sleep use up the receiver's memory; when they read, each gets every byte that was written, in order.",
		Run: func(t *T) {
			const limit = 256 << 10
			p := t.Pair(func(_, b *Env) { b.Limits.Memory = limit })
			s := p.Listen(nil)
			var fs, gs []api.Flow
			for range 8 {
				fs = append(fs, p.Dial(s.Addr, nil))
				gs = append(gs, p.Accept(s))
			}
			const n = 100_000
			ops := several(t, "writes", 8, func(i int) error { return t.WriteAll(fs[i], i*n, i*n+n).Wait() })
			t.Sleep(t.between(5*time.Second, 30*time.Second))
			if m := p.B.Info().Memory; m > limit || m < limit/4 {
				t.Fatalf("%d bytes of memory with a limit of %d", m, limit)
			}
			for _, op := range several(t, "reads", 8, func(i int) bool { t.WantPattern(gs[i], i*n, i*n+n); return true }) {
				op.Wait()
			}
			for _, op := range ops {
				t.ok("write", op.Wait())
			}
		},
	},
	{
		ID: "contract/O2-memory", Source: "O2 L3", Title: "New connections are refused first", Needs: Bounds | Wire | VirtualTime,
		Clause: "With flows at their limit a dial fails at once with ErrNoMemory and those that are open go on; when one ends there is room again.",
		Run: func(t *T) {
			p := t.Pair(func(a, _ *Env) { a.Limits.Flows = 5 })
			s := p.Listen(nil)
			var fs, gs []api.Flow
			for range 5 {
				fs = append(fs, p.Dial(s.Addr, nil))
				gs = append(gs, p.Accept(s))
			}
			for _, op := range several(t, "dial", 4, func(int) error { _, err := p.A.Dial(t.Bound(), s.Addr, nil); return err }) {
				t.is("dial beyond the limit", op.WaitFor(t.late(t.short())), api.ErrNoMemory)
			}
			for i := range fs {
				p.Echo(fs[i], gs[i])
			}
			fs[0].Abort()
			t.Settle()
			f := p.Dial(s.Addr, nil)
			p.Echo(f, p.Accept(s))
		},
	},
	{
		ID: "contract/C5-memory", Source: "C5 C1", Title: "Aborts and resets free everything", Needs: Accounting | Bounds | Wire,
		Clause: "Flows that end with full queues, by abort here, by reset from there or by close, leave no memory charged and no flow counted.",
		Run: func(t *T) {
			p := t.Pair(func(a, b *Env) { a.Limits.Memory, b.Limits.Memory = 1<<20, 1<<20 })
			for how := range 3 {
				f, g := p.ConnectSmall()
				n := t.fillQueue(f)
				t.ok("write", g.Write(t.Bound(), api.NewBuffer(pattern(0, 3000))))
				t.Settle()
				switch how {
				case 0:
					f.Abort()
				case 1:
					g.Abort()
				case 2:
					op := Start(t, "close", func() error { return f.Close(t.Bound()) })
					t.WantPattern(g, 0, n)
					t.ok("close", g.Close(t.Bound()))
					t.ok("close", op.Wait())
					t.WantPattern(f, 0, 3000)
				}
				t.Settle()
				for _, x := range []api.Flow{f, g} { // what is left to read is the caller's to take
					for {
						b, err := x.Read(t.Timeout(0))
						if err != nil {
							break
						}
						b.Release()
					}
				}
				for _, s := range []api.Stack{p.A, p.B} {
					if i := s.Info(); i.Flows != 0 || i.Memory != 0 {
						t.Fatalf("end %d: %d flows, %d bytes of memory", how, i.Flows, i.Memory)
					}
				}
			}
		},
	},
	{
		ID: "contract/N4-memory", Source: "N4 V1", Title: "Options and sequences under pressure", Needs: Bounds | Wire,
		Clause: "Where memory is short a Writev that fails has queued none of its buffers, and options can still be changed.",
		Run: func(t *T) {
			p := t.Pair(func(a, _ *Env) { a.Limits.Memory = 64 << 10 })
			f, g := p.Connect(&api.FlowConfig{SendBuffer: 1 << 20}, nil)
			p.Net.Cut(1)
			n := 0
			for {
				var bs []*api.Buffer
				for k := range 3 {
					bs = append(bs, api.NewBuffer(pattern(n+3000*k, 3000)))
				}
				if err := f.Writev(t.Timeout(t.short()), bs); err != nil {
					t.is("writev", err, api.ErrNoMemory)
					break
				}
				n += 9000
			}
			t.ok("configure", f.Configure(func(c *api.FlowConfig) { c.NoDelay = true }))
			if !f.Info().NoDelay {
				t.Fatalf("Configure did not set NoDelay")
			}
			p.Net.Filter(1, nil)
			t.WantPattern(g, 0, n)
			t.Write(f, []byte("end"))
			t.WantBytes(g, []byte("end"))
		},
	},
	{
		ID: "contract/L2-all", Source: "L2 N4", Title: "All options of a listener, many flows at once",
		Clause: "Each of many flows that arrive at the same time has the listener's options when its handler starts, also buffers and user timeout.",
		Run: func(t *T) {
			p := t.Pair(nil)
			cfg := api.FlowConfig{NoDelay: true, TTL: uint8(t.size(2, 254)), DSCP: uint8(t.size(1, 63)), UserTimeout: 77 * time.Second}
			bad := NewMailbox[api.Info](t)
			var seen atomic.Int64
			port, err := p.B.Listen(0, &api.ListenConfig{Flow: cfg}, func(_ context.Context, f api.Flow) {
				var user time.Duration
				f.Configure(func(c *api.FlowConfig) { user = c.UserTimeout })
				if i := f.Info(); i.NoDelay != cfg.NoDelay || i.TTL != cfg.TTL || i.DSCP != cfg.DSCP || user != cfg.UserTimeout {
					bad.Put(i)
				}
				seen.Add(1)
			})
			t.ok("listen", err)
			for _, op := range several(t, "dial", 12, func(int) error { _, err := p.A.Dial(t.Bound(), addrPort(p.AddrB, port), nil); return err }) {
				t.ok("dial", op.Wait())
			}
			t.Eventually("every handler has run", func() bool { return seen.Load() == 12 })
			if bad.Len() > 0 {
				i, _ := bad.Take(t.Bound())
				t.Fatalf("%d handlers found other options: nodelay %v, TTL %d, DSCP %d", bad.Len()+1, i.NoDelay, i.TTL, i.DSCP)
			}
		},
	},
	{
		ID: "contract/N4-again", Source: "N4 N2", Title: "Nodelay, on and off again", Needs: Wire | VirtualTime,
		Clause: "Each change holds for the next write: with it a small write leaves at once, without it the write waits for the ACK.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			for i := range 6 {
				on := i%2 == 0
				t.ok("configure", f.Configure(func(c *api.FlowConfig) { c.NoDelay = on }))
				p.Net.Cut(1)
				t.Write(f, []byte("a"))
				before := p.Net.Sent(0)
				t.Write(f, []byte("b"))
				t.Sleep(time.Millisecond)
				if sent := p.Net.Sent(0) > before; sent != on {
					t.Fatalf("nodelay %v: a second small write was sent %v", on, sent)
				}
				p.Net.Filter(1, nil)
				t.WantBytes(g, []byte("ab"))
			}
		},
	},
	{
		ID: "contract/N3-order", Source: "N3 V1", Title: "WritevNoDelay, in order and together",
		Clause: "Sequences with empty buffers, from several goroutines at once, arrive unbroken.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			ops := several(t, "writevs", 4, func(i int) error {
				for range 10 {
					if err := f.WritevNoDelay(t.Bound(), cut(bytes.Repeat([]byte{byte(i)}, 1000))); err != nil {
						return err
					}
				}
				return nil
			})
			for i, rec := range t.Read1000s(g, 40) {
				if !bytes.Equal(rec, bytes.Repeat(rec[:1], 1000)) {
					t.Fatalf("sequence %d was broken", i)
				}
			}
			for _, op := range ops {
				t.ok("writev", op.Wait())
			}
		},
	},
	{
		ID: "contract/X2-twice", Source: "X2 X1", Title: "Leaving twice, at once, with dials under way",
		Clause: "Disconnects from several goroutines, with and without time, all return; a dial that was under way and all later calls fail with ErrDisconnected.",
		Run: func(t *T) {
			p := t.Pair(nil)
			s := p.Listen(nil)
			f := p.Dial(s.Addr, nil)
			p.Accept(s)
			ops := several(t, "disconnect", 4, func(i int) bool {
				if i%2 == 0 {
					p.A.Disconnect(t.Timeout(0))
				} else {
					p.A.Disconnect(t.Timeout(t.short()))
				}
				return true
			})
			for _, op := range ops {
				op.WaitFor(max(3*t.short(), 10*time.Second))
			}
			_, err := p.A.Dial(t.Bound(), s.Addr, nil)
			t.is("dial", err, api.ErrDisconnected)
			t.is("write", f.Write(t.Bound(), api.CopyBuffer([]byte("x"))), api.ErrClosed)
			if p.A.Info().Flows != 0 {
				t.Fatalf("%d flows are left", p.A.Info().Flows)
			}
		},
	},
}
