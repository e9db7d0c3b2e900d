package tcp

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// FuzzConn gives a connection arbitrary segments, calls and steps of the clock,
// and checks that nothing panics, that the machine's books agree (paranoid), that
// it does not send for ever, and that bounds hold.
func FuzzConn(f *testing.F) {
	for i := range uint64(200) {
		f.Add(pattern(int(i%600)+20, i))
	}
	f.Add([]byte{0, 0, 1, 1, 1, 1})
	f.Add([]byte("\x01\x10\x01\x01\x10\x00\x02\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff"))
	f.Add([]byte("\x07\x12\x00\x01\x40\x05\x20\x03\x09\x00\x10\x01\x01\x80\x06\x05\x04\x03\x02\x01\x00\x10\x02\x02"))
	f.Add([]byte("\x02\x10\x01\x01\x00\x05\xff\x05\xff\x00\x30\x00\x02\x00\x04\x10\x20\x30\x40\x50\x60\x06\x06\x06\x06\x06"))
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > 4000 {
			return
		}
		next := func() byte {
			if len(in) == 0 {
				return 0
			}
			b := in[0]
			in = in[1:]
			return b
		}
		mode := next()
		// Views of everything that goes in show at the end whether the machine has
		// let go of it.
		var views []api.Buffer
		more := next()
		track := more&1 == 0
		watch := func(b *api.Buffer) {
			if track {
				views = append(views, b.View(0, b.Len()))
			}
		}
		sc := scriptConfig{iss: 1<<32 - 500, irs: 1<<31 - 300, cc: renoFactory{},
			flow: api.FlowConfig{SendBuffer: 20_000, ReceiveBuffer: 9000}}
		if mode&1 != 0 {
			sc.synOpts = allOpts
		}
		if mode&4 != 0 {
			sc.gso = 65535
		}
		if mode&8 != 0 {
			sc.flow.Keepalive = api.KeepaliveConfig{After: time.Second, Interval: time.Second, Probes: 2}
		}
		if mode&16 != 0 {
			sc.flow.UserTimeout = 20 * time.Second
		}
		if mode&64 != 0 {
			sc.synOpts.HasTimestamps = false
		}
		if more&2 != 0 {
			sc.params.ECN, sc.ecn = ECNOn, true
		}
		if more&4 != 0 {
			sc.cc = &ecnFactory{mode: cc.ECNEach}
			sc.ecn = true
			sc.params.ECN = ECNOn
		}
		if more&8 != 0 {
			sc.params.Autotune = true
			sc.flow.SendBuffer, sc.flow.ReceiveBuffer = 200_000, 200_000
		}
		var s *script
		if mode&2 != 0 {
			s = sc.dial(t)
		} else {
			s = sc.listen(t)
		}
		if mode&32 != 0 {
			s.budget.limit = 15_000
		}
		c := s.c
		maxEdge := uint64(0)
		drain := func() {
			for n := 0; s.poll(); n++ {
				if n > 3000 {
					t.Fatalf("does not stop sending: %+v", s.out.TCP)
				}
				h := &s.out.TCP
				if h.HeaderLen() > wire.TCPMaxHeaderLen || s.out.Len > 0 && s.out.GSOSize == 0 && int64(h.HeaderLen())+20+s.out.Len > int64(c.pathMTU) {
					t.Fatalf("too large: %d", s.out.Len)
				}
				if h.Flags&(fACK|fSYN|fRST) == fACK {
					edge := unwrap(c.rcvNxt, h.Ack) + uint64(h.Window)<<c.rcvScale
					if edge+1<<c.rcvScale-1 < maxEdge {
						t.Fatalf("window taken back from %d to %d", maxEdge, edge)
					}
					maxEdge = max(maxEdge, edge)
				}
				s.done()
			}
			if err := c.Check(); err != nil {
				t.Fatal(err)
			}
			if d := c.Deadline(); d != clock.Never && d < s.now.Add(-time.Hour*24*30) {
				t.Fatal("deadline long past")
			}
		}
		for len(in) > 0 {
			switch op := next(); op % 12 {
			case 0, 1, 2, 3: // a segment near what is expected
				flags := wire.Flags(next())
				g := &Segment{TCP: wire.TCP{Flags: flags, Window: uint16(next()) << (op >> 4)}, CE: op&128 != 0}
				base := c.rcvNxt
				if c.state == api.StateSynSent {
					base = uint64(s.irs)
				}
				g.TCP.Seq = uint32(base) + uint32(int32(int8(next())))*uint32(1+op>>5*97)
				g.TCP.Ack = uint32(c.sndUna) + uint32(int32(int8(next())))*uint32(1+op>>5*31)
				if op&8 != 0 {
					g.TCP.Ack = uint32(c.sndNxt)
				}
				g.TCP.Urgent = uint16(next())
				if c.tsOK || op&4 != 0 {
					g.TCP.Options.HasTimestamps = true
					g.TCP.Options.TSval = c.tsRecent + uint32(int8(next()))
					g.TCP.Options.TSecr = c.tsNow(s.now) - uint32(next())
				}
				for range next() % 5 {
					if g.TCP.Options.SACKCount < 4 {
						l := uint32(c.sndUna) + uint32(next())*37
						g.TCP.Options.SACK[g.TCP.Options.SACKCount] = wire.SACKBlock{Left: l, Right: l + uint32(next())*20}
						g.TCP.Options.SACKCount++
					}
				}
				if n := int(next()) * 8; n > 0 && op&64 != 0 {
					b := api.CopyBuffer(pattern(n, uint64(g.TCP.Seq)))
					watch(b)
					g.Len = int64(n)
					if op&128 != 0 && n > 8 {
						rest := b.Split(7)
						g.Payload = []api.Buffer{*b, *rest}
					} else {
						g.Payload = []api.Buffer{*b}
					}
				}
				c.Segment(s.now, g)
			case 4:
				n := int(next())*40 + 1
				b := api.NewBuffer(make([]byte, n))
				watch(b)
				if _, err := c.Write(s.now, []*api.Buffer{b}, WriteOptions{NoDelay: op&16 != 0, Urgent: op&32 != 0}); err != nil {
					if err != ErrAgain && err != api.ErrNoMemory && !errors.Is(err, api.ErrClosed) {
						t.Fatal(err)
					}
					b.Release() // still ours
				}
			case 5:
				b, err := c.Read(s.now)
				if err == nil {
					if b.Len() == 0 {
						t.Fatal("empty read")
					}
					b.Release()
				} else if b != nil || err != ErrAgain && err != io.EOF && c.CloseReason() == nil {
					t.Fatal(b, err)
				}
			case 6:
				s.now = s.now.Add(time.Duration(next()) * 10 * time.Millisecond)
				c.Timeout(s.now)
				s.keepalive()
			case 7:
				if d := c.Deadline(); d != clock.Never {
					s.now = max(s.now, d)
					c.Timeout(s.now)
					s.keepalive()
				}
			case 8:
				switch next() % 8 {
				case 0:
					c.CloseWrite(s.now)
				case 1:
					c.CloseRead(s.now)
				case 2:
					c.Orphan(s.now)
				case 3:
					c.Abort(s.now, api.ErrAborted)
				}
			case 9:
				c.ICMP(s.now, ICMPError{Kind: ICMPKind(next() % 3), Seq: uint32(c.sndUna) + uint32(next()), MTU: int64(next()) * 7, Err: api.ErrUnreachable})
			case 10:
				fc := c.FlowConfig()
				fc.ReceiveBuffer = int64(next()) * 100
				fc.SendBuffer = int64(next()) * 100
				fc.NoDelay = op&16 != 0
				c.Configure(s.now, &fc)
			case 11:
				c.SetPathMTU(s.now, int64(next())*8)
			}
			if mode&128 == 0 || next()&1 == 0 {
				drain()
			}
			c.TakeEvents()
			i := c.Info(s.now)
			if i.InFlight < 0 || i.Cwnd < 1 || i.RecvWindow < 0 || i.Memory != s.budget.used {
				t.Fatalf("%+v, charged %d", i, s.budget.used)
			}
		}
		drain()
		// Everything ends: nobody answers any more.
		c.Orphan(s.now)
		for n := 0; c.State() != api.StateClosed; n++ {
			drain()
			d := c.Deadline()
			if d == clock.Never || n > 10_000 {
				t.Fatalf("stuck in %v: %+v", c.State(), c.Info(s.now))
			}
			s.now = max(s.now, d)
			c.Timeout(s.now)
			s.keepalive()
		}
		drain()
		c.ReleaseBuffers()
		if s.budget.used != 0 {
			t.Fatalf("%d bytes still charged", s.budget.used)
		}
		for i := range views {
			if !views[i].Exclusive() {
				t.Fatalf("buffer %d of %d was not released", i, len(views))
			}
		}
	})
}
