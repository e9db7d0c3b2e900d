package conformance

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/sluicenet/sluice/api"
)

// The cases of this file and the next are the defects that were found in the
// reference implementation, mirage-tcpip; each is named after one.

var mirageAPICases = []Case{
	{
		ID: "mirage/close-waits", Level: OnWire, Source: "C4; mirage-tcpip", Title: "Close waits for a silent peer",
		Clause: "Close does not return while the peer has only acknowledged our FIN; it does after the peer's own.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			op := Start(t, "close", func() error { return c.Flow.Close(t.Bound()) })
			c.GotFIN(time.Second)
			op.Blocked("our FIN has not been acknowledged")
			c.AckAll()
			op.Blocked("the peer has not closed")
			c.Send(FIN | ACK)
			t.ok("close", op.WaitFor(time.Second))
			c.GotAck(time.Second, c.snd)
		},
	},
	{
		ID: "mirage/write-nodelay-blocks", Level: OnWire, Source: "N1; mirage-tcpip", Title: "WriteNoDelay blocks while the window is short",
		Clause: "With a window smaller than the data WriteNoDelay blocks until the last byte is acknowledged.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{Window: 1000})
			op := Start(t, "WriteNoDelay", func() error {
				return c.Flow.WriteNoDelay(t.Bound(), api.NewBuffer(pattern(0, 1500)))
			})
			c.GotData(time.Second, 1001)
			op.Blocked("only 1000 of 1500 bytes fit the window")
			c.AckAll()
			c.GotData(5*time.Second, 1501)
			op.Blocked("the last 500 bytes are not acknowledged")
			c.AckAll()
			t.ok("WriteNoDelay", op.WaitFor(time.Second))
		},
	},
	{
		ID: "mirage/write-closed", Level: OnWire, Source: "W4; mirage-tcpip", Title: "A write on a closed connection is ErrClosed",
		Clause: "After a local close, and after a reset, writes fail with ErrClosed.",
		Run: func(t *T) {
			w := t.Lab(nil)
			c := w.Accept(Hello{})
			t.ok("CloseWrite", c.Flow.CloseWrite())
			t.is("write", c.Flow.Write(t.Bound(), api.CopyBuffer([]byte("x"))), api.ErrClosed)
			c.GotFIN(time.Second)
			c = w.Accept(Hello{})
			c.Send(RST)
			t.is("write", c.Flow.Write(t.Bound(), api.CopyBuffer([]byte("x"))), api.ErrClosed, api.ErrReset)
		},
	},
	{
		ID: "mirage/read-eof-repeats", Level: OnWire, Source: "R4; mirage-tcpip", Title: "End of file is read again and again",
		Clause: "After the peer's FIN every Read returns io.EOF; none blocks.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			c.Send(PSH|FIN|ACK, Data(10))
			c.WantRead(10)
			op := Start(t, "read", func() bool { t.WantEOF(c.Flow); return true })
			op.WaitFor(time.Second)
			c.GotAck(time.Second, c.snd)
		},
	},
	{
		ID: "mirage/reset-not-eof", Level: OnWire, Source: "R4, RFC 9293 section 3.6 (MUST-12); mirage-tcpip", Title: "A reset is told from end of file",
		Clause: "A RST gives ErrReset, a FIN io.EOF.",
		Run: func(t *T) {
			w := t.Lab(nil)
			c := w.Accept(Hello{})
			c.Send(RST)
			t.is("read", readError(t, c.Flow), api.ErrReset)
			c = w.Accept(Hello{})
			c.Send(FIN | ACK)
			t.WantEOF(c.Flow)
			if err := c.Flow.CloseReason(); err != nil {
				t.Fatalf("reason after a FIN: %v", err)
			}
		},
	},
	{
		ID: "mirage/keepalive-write-closed", Level: OnWire, Source: "K3 K4; mirage-tcpip", Title: "After a failed keepalive a write is ErrClosed",
		Clause: "A peer that answers no probe is given up: reads end, writes fail with ErrClosed.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{Flow: api.FlowConfig{Keepalive: api.KeepaliveConfig{After: 10 * time.Second, Interval: time.Second, Probes: 3}}})
			op := Start(t, "read", func() error { return readError(t, c.Flow) })
			n := 0
			for _, s := range c.Drain(12500 * time.Millisecond) {
				if c.seqOf(s) == 0 {
					n++
				}
			}
			if n != 3 {
				t.Fatalf("%d probes in 12.5 s, want 3 (a probe repeats the number before SND.NXT)", n)
			}
			op.WaitFor(2 * time.Second)
			t.is("write", c.Flow.Write(t.Bound(), api.CopyBuffer([]byte("x"))), api.ErrClosed, api.ErrKeepalive)
			t.WantEOF(c.Flow)
		},
	},
	{
		ID: "mirage/shutdown-read", Level: OnWire, Source: "R4 (CloseRead); mirage-tcpip", Title: "CloseRead discards and keeps the window open",
		Clause: "After CloseRead data is acknowledged and discarded, the window does not leak away, and no later read sees any of it.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{Flow: api.FlowConfig{ReceiveBuffer: 16 << 10}})
			c.Send(ACK|PSH, Data(100))
			t.ok("CloseRead", c.Flow.CloseRead())
			for range 60 {
				c.Send(ACK|PSH, Data(1000))
				s := c.GotAck(time.Second, c.snd)
				if c.windowOf(s) < 2000 {
					t.Fatalf("the window has shrunk to %d though everything is discarded", c.windowOf(s))
				}
			}
			t.WantEOF(c.Flow)
			c.Written(10)
			c.GotData(time.Second, 11)
		},
	},
	{
		ID: "mirage/disconnect-cancels", Level: OnWire, Source: "X1; mirage-tcpip", Title: "Disconnect cancels what is blocked",
		Clause: "Reads and writes blocked on a peer that says nothing are released when the stack disconnects.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{Window: 100, Flow: api.FlowConfig{SendBuffer: 8 << 10}})
			read := Start(t, "read", func() error { return readError(t, c.Flow) })
			write := c.WriteLater(100_000)
			read.Blocked("nothing was sent")
			write.Blocked("the window is 100 bytes")
			off := Start(t, "disconnect", func() bool { c.Stack.Disconnect(t.Timeout(time.Second)); return true })
			off.WaitFor(2 * time.Second)
			t.is("read", read.Wait(), api.ErrDisconnected)
			t.is("write", write.Wait(), api.ErrClosed)
			c.GotRST(0)
		},
	},
}

var mirageCases = []Case{
	{
		ID: "mirage/option-mss-small", Level: OnWire, Source: "RFC 9293 section 3.7.1 (MUST-14); mirage-tcpip", Title: "A small MSS is accepted and obeyed",
		Clause: "A SYN with an MSS of 64 opens a connection whose segments carry at most 64 bytes.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{MSS: 64})
			c.Written(300)
			c.acks(5*time.Second, 301)
			c = c.Lab.Accept(Hello{MSS: 64})
			c.Written(300)
			for int(c.rcv) < 301 {
				for _, s := range c.GotData(5*time.Second, c.rcv+1) {
					if len(s.Payload) > 64 {
						t.Fatalf("%d bytes in a segment to a peer with MSS 64", len(s.Payload))
					}
				}
				c.AckAll()
			}
		},
	},
	{
		ID: "mirage/option-wscale-15", Level: OnWire, Source: "RFC 7323 section 2.3; mirage-tcpip", Title: "A window scale above 14 counts as 14", Needs: WindowScale,
		Real:   45 * time.Second,
		Clause: "A SYN with a shift of 15 is accepted, and its sender's windows are shifted by 14.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{Scale: 15, Window: 1})
			c.Written(15000)
			for range 12 { // let the congestion window grow beyond 16 KiB
				c.Drain(10 * time.Millisecond)
				c.AckAll()
			}
			c.acks(10*time.Second, 15001)
			op := c.WriteLater(60_000)
			for range 4 {
				c.Drain(2 * time.Second)
				if c.rcv >= 15001+32768 {
					t.Fatalf("%d bytes in a window of 1<<14", c.rcv-15001)
				}
			}
			if n := c.rcv - 15001; n < 10000 || n > 16384 {
				t.Fatalf("%d bytes sent into a window of 1<<14", n)
			}
			for range 40 {
				c.AckAll()
				c.Drain(500 * time.Millisecond)
			}
			t.ok("write", op.Wait())
		},
	},
	{
		ID: "mirage/syn-window-unscaled", Level: OnWire, Source: "RFC 7323 section 2.2; mirage-tcpip", Title: "The window of a SYN is never scaled", Needs: WindowScale,
		Clause: "The peer's SYN-ACK announces 1000 bytes with a shift of 7: 1000 may be sent. Our SYN-ACK's field is the window itself.",
		Run: func(t *T) {
			w := t.Lab(nil)
			c := w.Dial(Hello{Scale: 7, Window: 1000})
			c.Written(5000)
			c.Drain(100 * time.Millisecond)
			if c.rcv > 1001 {
				t.Fatalf("%d bytes sent into a window of 1000", c.rcv-1)
			}
			if c.rcv == 1 {
				c.GotData(2*time.Second, 2)
			}
			c.win = 100 // 12800
			c.AckAll()
			c.acks(5*time.Second, 5001)
			c = w.Accept(Hello{Scale: 7, Flow: api.FlowConfig{ReceiveBuffer: 1 << 20}})
			field := int64(c.syn.Window)
			if c.shift == 0 {
				t.Fatalf("no window scale for a receive buffer of 1 MiB")
			}
			c.Send(ACK|PSH, Data(1))
			real := c.windowOf(c.GotAck(time.Second, 2))
			if want := min(real, 65535); field < want/2 || field > 65535 {
				t.Fatalf("the SYN-ACK's window field is %d, the window %d: scaled?", field, real)
			}
		},
	},
	{
		ID: "mirage/synack-retransmit-options", Level: OnWire, Source: "RFC 7323 section 2.2; mirage-tcpip", Title: "A retransmitted SYN-ACK is the same SYN-ACK",
		Clause: "When the SYN-ACK is lost its retransmission has the same sequence number and the same options, and the connection works with them.",
		Run: func(t *T) {
			w := t.Lab(nil)
			l := w.Listen(nil)
			c := w.newConn(Hello{Scale: 3, SACK: true, TS: true})
			c.host = netip.AddrPortFrom(w.Host, l.Port)
			c.SYN()
			first := c.SYNACK()
			second := c.Segment(5*time.Second, "retransmitted SYN-ACK", isSYNACK)
			if second.Seq != first.Seq || second.Ack != first.Ack || second.MSS != first.MSS || !second.HasMSS ||
				second.HasScale != first.HasScale || second.Scale != first.Scale ||
				second.SACKPermitted != first.SACKPermitted || second.HasTimestamps != first.HasTimestamps {
				t.Fatalf("retransmitted: %s\nthe first: %s", second, first)
			}
			if !first.HasScale || !first.SACKPermitted || !first.HasTimestamps {
				t.Fatalf("the SYN-ACK answers not all options: %s", first)
			}
			// The peer's SYN again is answered by the same SYN-ACK too.
			c.SYN()
			third := c.Segment(5*time.Second, "SYN-ACK for a repeated SYN", isSYNACK)
			if third.Seq != first.Seq || third.HasScale != first.HasScale {
				t.Fatalf("a repeated SYN got %s\nthe first got %s", third, first)
			}
			c.Send(ACK)
			f, err := l.Flows.Take(t.Bound())
			t.ok("accept", err)
			c.Flow = f
			c.Alive()
		},
	},
	{
		ID: "mirage/dupack-grows-cwnd", Level: OnWire, Source: "RFC 5681 section 3.1; mirage-tcpip", Title: "Duplicate ACKs do not open the congestion window",
		Clause: "ACKs that acknowledge nothing new leave the initial window as it is: at most ten segments (RFC 6928).",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{MSS: 1000, Scale: 4})
			for range 100 {
				c.Send(ACK)
			}
			op := c.WriteLater(100_000)
			c.Drain(100 * time.Millisecond)
			if n := c.rcv - 1; n > 10_000 || n == 0 {
				t.Fatalf("%d bytes in the first flight; the initial window is at most 10 segments of 1000", n)
			}
			c.acks(time.Minute, 100_001)
			t.ok("write", op.Wait())
		},
	},
	{
		ID: "mirage/idle-restart", Level: OnWire, Source: "RFC 5681 section 4.1; mirage-tcpip", Title: "After a long pause the congestion window starts anew", Needs: LossBased,
		Clause: "When nothing has been sent for longer than an RTO, the next burst is at most the initial window.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{MSS: 1000, Scale: 6})
			op := c.WriteLater(200_000)
			c.acks(time.Minute, 200_001)
			t.ok("write", op.Wait())
			t.Sleep(2 * time.Minute)
			op = c.WriteLater(100_000)
			c.Drain(time.Millisecond)
			if n := c.rcv - 200_001; n > 10_000 || n == 0 {
				t.Fatalf("%d bytes in the first flight after two idle minutes", n)
			}
			c.acks(time.Minute, 300_001)
			t.ok("write", op.Wait())
		},
	},
	{
		ID: "mirage/partial-ack-mid-segment", Level: OnWire, Source: "RFC 9293 section 3.10.7.4; mirage-tcpip", Title: "An ACK inside a segment",
		Clause: "After an ACK that covers part of a segment the rest is sent again, under its own sequence numbers.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			c.Written(1400)
			c.GotData(time.Second, 1401)
			c.Send(ACK, Ack(501))
			s := c.Got(5*time.Second, "retransmission", hasData)
			if from := c.seqOf(s); from > 501 || int(from)+len(s.Payload) < 502 {
				t.Fatalf("bytes from 501 on are missing, but there came %d:%d", from, int(from)+len(s.Payload))
			} // the bytes themselves are checked by note
			c.AckAll()
			c.Alive()
			// Across two segments, with an ACK one byte into the second.
			c = c.Accept(Hello{})
			base := c.rcv
			n := int(c.hello.MSS)
			c.Written(2 * n)
			c.GotData(5*time.Second, base+uint32(2*n))
			c.Send(ACK, Ack(base+uint32(n)+1))
			s = c.Got(5*time.Second, "retransmission", hasData)
			if from := c.seqOf(s); from > base+uint32(n)+1 {
				t.Fatalf("byte %d is missing, but there came %d", base+uint32(n)+1, from)
			}
			c.AckAll()
			c.Alive()
		},
	},
	{
		ID: "mirage/rto-restart", Level: OnWire, Source: "RFC 6298 section 5.3; mirage-tcpip", Title: "An ACK of new data restarts the retransmission timer",
		Clause: "With data still outstanding, an ACK of new data gives it a whole RTO more.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{MSS: 1000})
			rto := c.measureRTO()
			base := c.rcv
			c.Written(3000)
			c.GotData(time.Second, base+3000)
			t.Sleep(rto * 8 / 10)
			c.Send(ACK, Ack(base+1000))
			c.None(rto*7/10, "retransmission before a whole RTO has passed since the ACK", hasData)
			s := c.Got(5*time.Second, "retransmission", hasData)
			if c.seqOf(s) != base+1000 {
				t.Fatalf("retransmitted %d, the earliest outstanding is %d", c.seqOf(s), base+1000)
			}
		},
	},
	{
		ID: "mirage/rto-backoff", Level: OnWire, Source: "RFC 6298 section 5.5; mirage-tcpip", Title: "Each retransmission doubles the timer, up to a limit",
		Clause: "The intervals between retransmissions double; if there is a limit it is at least 60 s, and there is one before they exceed four minutes.",
		Run: func(t *T) {
			t.Takes(time.Minute)
			c := t.Lab(nil).Accept(Hello{Flow: api.FlowConfig{UserTimeout: time.Hour}})
			c.Written(100)
			c.GotData(time.Second, 101)
			last := t.clk.Now()
			var gaps []time.Duration
			for range 13 {
				s := c.Got(5*time.Minute, "retransmission", hasData)
				gaps = append(gaps, s.At.Sub(last))
				last = s.At
			}
			for i := 1; i < len(gaps); i++ {
				ratio := float64(gaps[i]) / float64(gaps[i-1])
				if gaps[i] < 60*time.Second && (ratio < 1.8 || ratio > 2.2) && i > 1 {
					t.Fatalf("intervals %v: number %d is %.2f times the one before", gaps, i+1, ratio)
				}
				if gaps[i] < gaps[i-1]*9/10 && gaps[i-1] < 60*time.Second {
					t.Fatalf("intervals %v shrink", gaps)
				}
			}
			if last := gaps[len(gaps)-1]; last > 4*time.Minute {
				t.Fatalf("intervals %v: no upper limit", gaps)
			}
		},
	},
	{
		ID: "mirage/rto-one-segment", Level: OnWire, Source: "RFC 5681 section 3.1; mirage-tcpip", Title: "After a timeout the window is one segment",
		Clause: "The retransmission timer sends one segment; the flight grows again from there.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{MSS: 1000})
			c.Written(8000)
			c.GotData(time.Second, 8001)
			first := c.Got(10*time.Second, "retransmission", hasData)
			burst := len(first.Payload)
			for _, s := range c.Drain(50 * time.Millisecond) {
				burst += len(s.Payload)
			}
			if burst > 1000 {
				t.Fatalf("%d bytes retransmitted at once, more than one segment", burst)
			}
			if c.seqOf(first) != 1 {
				t.Fatalf("retransmitted %d, not the first outstanding byte", c.seqOf(first))
			}
			c.Send(ACK, Ack(1001))
			again := 0
			for _, s := range c.Drain(50 * time.Millisecond) {
				again += len(s.Payload)
			}
			limit := 3000
			if !t.Has(LossBased) {
				limit = 4000 // the least that BBR works with, MinPipeCwnd
			}
			if again == 0 || again > limit {
				t.Fatalf("%d bytes after the ACK of the retransmission, want two segments, %d bytes at most", again, limit)
			}
			c.AckAll()
			c.Alive()
		},
	},
}

// measureRTO finds the retransmission timeout in force, by losing one segment.
func (c *Conn) measureRTO() time.Duration {
	for range 3 { // settle the estimate
		c.Written(100)
		c.GotData(2*time.Second, c.rcv+100)
		c.AckAll()
	}
	if rto := c.Flow.Info().RTO; rto > 0 {
		return rto
	}
	c.Fatalf("Info.RTO is zero")
	return 0
}

var mirageMoreCases = []Case{
	{
		ID: "mirage/giveup-unblocks", Level: OnWire, Source: "RFC 9293 section 3.8.3 (MUST-20); mirage-tcpip", Title: "A connection that is given up releases its callers",
		Clause: "When data stays unacknowledged for the user timeout, blocked reads and writes return ErrTimeout, and the connection is gone.",
		Run: func(t *T) {
			t.Takes(30 * time.Second)
			c := t.Lab(nil).Accept(Hello{Window: 2000, Flow: api.FlowConfig{UserTimeout: 30 * time.Second, SendBuffer: 8 << 10}})
			read := Start(t, "read", func() error { return readError(t, c.Flow) })
			start := t.clk.Now()
			write := c.WriteLater(100_000)
			t.is("read", read.Wait(), api.ErrTimeout)
			if took := t.clk.Now().Sub(start); took < 29*time.Second || took > 60*time.Second {
				t.Fatalf("given up after %v with a user timeout of 30 s", took)
			}
			t.is("write", write.Wait(), api.ErrClosed, api.ErrTimeout)
			t.is("reason", c.Flow.CloseReason(), api.ErrTimeout)
			c.Ended()
		},
	},
	{
		ID: "mirage/rst-syn-rcvd", Level: OnWire, Source: "RFC 9293 section 3.10.7.4; RFC 5961 section 3.2; mirage-tcpip", Title: "Only the right RST ends a half-open connection",
		Clause: "In SYN-RECEIVED a RST at RCV.NXT, without ACK, ends the handshake silently; one with other numbers does not.",
		Run: func(t *T) {
			w := t.Lab(nil)
			l := w.Listen(nil)
			open := func() *Conn {
				c := w.newConn(Hello{})
				c.host = netip.AddrPortFrom(w.Host, l.Port)
				c.SYN()
				c.SYNACK()
				return c
			}
			c := open()
			c.Send(RST)
			c.None(5*time.Second, "SYN-ACK after a RST", isSYNACK)
			c.Ended()
			if l.Flows.Len() != 0 {
				t.Fatalf("a reset handshake was accepted")
			}
			for _, rel := range []uint32{0, 1 << 30, ^uint32(99)} {
				c = open()
				c.Send(RST|ACK, Seq(rel), Ack(12345))
				c.Drain(0)
				c.Send(ACK)
				f, err := l.Flows.Take(t.Timeout(time.Second))
				if err != nil {
					t.Fatalf("a RST with sequence number %d has killed the handshake", int32(rel))
				}
				c.Flow = f
				c.Alive()
			}
		},
	},
	{
		ID: "mirage/fin-wait-2", Level: OnWire, Source: "C3, RFC 9293 section 3.6; mirage-tcpip", Title: "A half-closed connection waits for as long as it takes",
		Clause: "In FIN-WAIT-2, idle for an hour, the peer's data is still acknowledged and read; TIME-WAIT then lasts a minute by default.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			t.ok("CloseWrite", c.Flow.CloseWrite())
			c.GotFIN(time.Second)
			c.AckAll()
			for _, d := range []time.Duration{11 * time.Second, time.Hour} {
				t.Sleep(d)
				c.Send(ACK|PSH, Data(100))
				c.GotAck(time.Second, c.snd)
				c.WantRead(100)
			}
			c.Send(FIN | ACK)
			c.GotAck(time.Second, c.snd)
			t.Sleep(50 * time.Second)
			c.Send(FIN|ACK, Seq(c.snd-1))
			c.GotAck(time.Second, c.snd)
			t.Sleep(5 * time.Minute)
			c.Ended()
		},
	},
	{
		ID: "mirage/fin-retransmitted", Level: OnWire, Source: "RFC 9293 section 3.10.7.4; mirage-tcpip", Title: "A retransmitted FIN is acknowledged again",
		Clause: "In CLOSE-WAIT and in TIME-WAIT the peer's FIN, sent again, gets another ACK.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			c.Send(FIN | ACK)
			c.GotAck(time.Second, c.snd)
			for range 3 {
				t.Sleep(2 * time.Second)
				c.Send(FIN|ACK, Seq(c.snd-1))
				c.GotAck(time.Second, c.snd)
			}
			t.WantEOF(c.Flow)
			c = c.Lab.Accept(Hello{})
			t.ok("CloseWrite", c.Flow.CloseWrite())
			c.GotFIN(time.Second)
			c.Send(FIN | ACK) // acknowledges ours: TIME-WAIT
			c.GotAck(time.Second, c.snd)
			for range 3 {
				t.Sleep(2 * time.Second)
				c.Send(FIN|ACK, Seq(c.snd-1))
				c.GotAck(time.Second, c.snd)
			}
		},
	},
	{
		ID: "mirage/zero-window-probe", Level: OnWire, Source: "RFC 9293 section 3.8.6.1 (MUST-36); mirage-tcpip", Title: "A closed window is probed",
		Clause: "When the window update is lost, probes find out that the window has opened.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{Window: 1000})
			c.Written(2500)
			c.GotData(time.Second, 1001)
			c.Send(ACK, Win(0))
			// The window opens, and the update is lost: nothing is sent here.
			s := c.Got(10*time.Second, "zero-window probe", func(s *Segment) bool { return !s.Has(RST) })
			if len(s.Payload) > 1 {
				t.Fatalf("%d bytes sent into a window of 0", len(s.Payload))
			}
			c.Send(ACK, Win(5000))
			c.GotData(10*time.Second, 2501)
			c.AckAll()
			c.Alive()
		},
	},
	{
		ID: "mirage/window-honest", Level: OnWire, Source: "RFC 9293 section 3.8.6 (SHLD-14); mirage-tcpip", Title: "The window announced is room that there is",
		Clause: "With nobody reading, the window goes down to zero as the buffer fills, what it allowed is accepted, and it opens again when the reader reads.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{Flow: api.FlowConfig{ReceiveBuffer: 16 << 10}})
			total := 0
			for window := int64(c.syn.Window); window > 0; {
				n := int(min(window, int64(c.hello.MSS)))
				c.Send(ACK|PSH, Data(n))
				total += n
				s := c.GotAck(time.Second, c.snd)
				window = c.windowOf(s)
				if total > 64<<10 {
					t.Fatalf("%d bytes accepted with nobody reading and a buffer of 16 KiB; the window is %d", total, window)
				}
			}
			if total < 4<<10 {
				t.Fatalf("the window closed after %d bytes, with a buffer of 16 KiB", total)
			}
			c.Drain(time.Second)
			c.Send(ACK|PSH, Data(1)) // into the closed window
			s := c.Got(time.Second, "ACK of a probe", func(s *Segment) bool { return s.Has(ACK) })
			if c.windowOf(s) != 0 {
				t.Fatalf("window %d after it was zero, with nobody reading", c.windowOf(s))
			}
			if got := c.ackOf(s); got != c.snd && got != c.snd-1 {
				t.Fatalf("the probe is answered by an ACK of %d", got)
			}
			c.snd = c.ackOf(s)
			c.WantRead(total)
			c.Got(time.Second, "window update", func(s *Segment) bool { return c.windowOf(s) > 1000 })
			if int(c.snd) > total+1 {
				c.WantRead(1)
			}
			c.Alive()
		},
	},
	{
		ID: "mirage/overlap-trim", Level: OnWire, Source: "RFC 9293 section 3.10.7.4; mirage-tcpip", Title: "A segment that begins with old bytes brings its new ones",
		Clause: "A segment that starts below RCV.NXT is trimmed, not dropped: what is new in it is taken.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			c.Send(ACK|PSH, Data(1000))
			c.GotAck(time.Second, 1001)
			c.Send(ACK|PSH, Seq(501), Data(1000))
			c.GotAck(time.Second, 1501)
			c.Send(ACK|PSH, Seq(101), Data(1400)) // all old
			c.GotAck(time.Second, 1501)
			c.Send(ACK|PSH, Seq(1000), Data(1002))
			c.GotAck(time.Second, 2002)
			c.snd = 2002
			c.WantRead(2001)
			c.Alive()
		},
	},
	{
		ID: "mirage/sequence-wrap-2^31", Level: OnWire, Source: "RFC 9293 section 3.4; mirage-tcpip", Title: "Sequence numbers wrap at 2^31 and at 2^32", Needs: InitialSequence,
		Clause: "Data in and out of order across 2^31 and 2^32 is delivered, in both directions.",
		Run: func(t *T) {
			for _, edge := range []uint32{1 << 31, 0} {
				w := t.Lab(func(e *Env) {
					e.ISN = func(_, _ netip.AddrPort, _ clockTime) uint32 { return edge - 3000 }
				})
				c := w.Accept(Hello{ISS: edge - 3000})
				if c.irs != edge-3000 {
					t.Inconclusivef("the initial sequence number is not the one asked for")
				}
				for _, at := range []uint32{2001, 4001, 3001, 5001, 1001, 1} { // the last fills the hole
					c.Send(ACK|PSH, Seq(at), Data(1000))
				}
				c.GotAck(time.Second, 6001)
				c.snd = 6001
				c.WantRead(6000)
				c.Written(10_000)
				c.acks(5*time.Second, 10_001)
				c.Alive()
				c.Flow.Abort()
				c.Stack.Disconnect(t.Timeout(time.Second))
			}
		},
	},
	{
		ID: "mirage/unacceptable-ack", Level: OnWire, Source: "RFC 9293 section 3.10.7.4; mirage-tcpip", Title: "An unacceptable segment is answered by an ACK",
		Clause: "A segment outside the window is dropped, and unless it is a RST an ACK tells the sender where we are.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			c.Send(ACK|PSH, Data(100))
			c.GotAck(time.Second, 101)
			c.WantRead(100)
			for _, rel := range []uint32{101 + 1<<30, ^uint32(1 << 20), 101 + 1<<20} {
				t.Sleep(2 * time.Second) // such replies may be limited in rate
				c.Drain(0)
				c.Send(ACK|PSH, Seq(rel), Data(10))
				c.GotAck(time.Second, 101)
			}
			c.Alive()
		},
	},
	{
		ID: "mirage/checksum-verify", Level: OnWire, Source: "RFC 9293 section 3.1 (MUST-3); RFC 1122 section 3.2.1.2; mirage-tcpip", Title: "Corrupt packets are dropped",
		Clause: "A wrong TCP checksum, IPv4 header checksum or ICMP checksum makes the packet vanish without any effect.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			for bit := range 8 {
				raw := encode(c.build(ACK|PSH, Seq(1), Data(64)))
				raw[len(raw)-1-bit*7] ^= 1 << bit
				c.Inject(raw)
			}
			if !t.V6() {
				raw := encode(c.build(ACK|PSH, Seq(1), Data(64)))
				raw[1] ^= 0x10 // TOS: only the header checksum notices
				c.Inject(raw)
			}
			echo := echoRequest(c.Peer, c.Host, 7, []byte("ping"))
			echo[len(echo)-1] ^= 1
			c.Inject(echo)
			c.None(3*time.Second, "answer to a corrupt packet", anySegment)
			if raw := c.Packet(0); raw != nil {
				t.Fatalf("answer to a corrupt echo request: %s", describe(raw))
			}
			c.Alive()
		},
	},
	{
		ID: "mirage/port-exhaustion", Level: OnWire, Source: "RFC 6056; mirage-tcpip", Title: "When every port is taken a dial fails", Needs: Bounds, Family: IPv4,
		Clause: "With all ephemeral ports towards one destination in use the next dial fails at once with ErrNoPorts; another destination is still reachable.",
		Run: func(t *T) {
			w := t.Lab(func(e *Env) {
				e.Limits.Flows = 70_000
				e.Flow = api.FlowConfig{SendBuffer: 4096, ReceiveBuffer: 4096}
			})
			reply := NewMailbox[*Segment](t)
			w.Hook(func(s *Segment) bool {
				if isSYN(s) {
					reply.Put(s)
				}
				return true
			})
			t.oracle.pause(true)
			responder, stop := t.stopped()
			t.Go(func() {
				for {
					s, err := reply.Take(responder)
					if err != nil {
						return
					}
					w.SendSegment(&Segment{Src: s.Dst, Dst: s.Src, Flags: SYN | ACK, Seq: 1000, Ack: s.Seq + 1, Window: 1000})
				}
			})
			dst := netip.AddrPortFrom(w.Peer, 80)
			bound := t.Bound()
			n := 0
			for ; ; n++ {
				f, err := w.Stack.Dial(bound, dst, nil)
				if err != nil {
					t.is(fmt.Sprintf("dial number %d", n+1), err, api.ErrNoPorts)
					break
				}
				if f.Src().Port() < 1024 {
					t.Fatalf("ephemeral port %d", f.Src().Port())
				}
				if n > 65535 {
					t.Fatalf("more connections to one endpoint than there are ports")
				}
			}
			if n < 10_000 {
				t.Fatalf("only %d ephemeral ports", n)
			}
			f, err := w.Stack.Dial(t.Timeout(time.Minute), netip.AddrPortFrom(w.Peer, 81), nil)
			t.ok("dial of another endpoint", err)
			f.Abort()
			stop()
			w.Stack.Disconnect(t.Timeout(0))
		},
	},
	{
		ID: "mirage/syn-flood-bounded", Level: OnWire, Source: "RFC 4987; mirage-tcpip", Title: "A flood of SYNs takes bounded memory",
		Clause: "20,000 SYNs that are never completed leave at most HalfOpen half-open connections; the listener serves again afterwards.",
		Run: func(t *T) {
			w := t.Lab(nil)
			l := w.Listen(&api.ListenConfig{HalfOpen: 64})
			w.Hook(func(*Segment) bool { return true })
			t.oracle.pause(true)
			src := w.Peer.AsSlice()
			for i := range 20_000 {
				src[len(src)-1] = byte(10 + i%200)
				from, _ := netip.AddrFromSlice(src)
				w.SendSegment(&Segment{Src: netip.AddrPortFrom(from, uint16(1024+i)), Dst: netip.AddrPortFrom(w.Host, l.Port),
					Flags: SYN, Seq: uint32(i) * 77777, Window: 1000, Options: optMSS(1460)})
				if n := w.Stack.Info().HalfOpen; n > 64 {
					t.Fatalf("%d half-open connections with a limit of 64", n)
				}
			}
			if n := w.Stack.Info().Memory; n > 1<<20 {
				t.Fatalf("%d bytes of memory for a flood of SYNs", n)
			}
			t.Sleep(10 * time.Minute)
			if n := w.Stack.Info().HalfOpen; n != 0 {
				t.Fatalf("%d half-open connections ten minutes after the flood", n)
			}
			t.oracle.pause(false)
			w.Hook(nil)
			w.Open(l, Hello{}).Alive()
		},
	},
	{
		ID: "mirage/rst-acks-payload", Level: OnWire, Source: "RFC 9293 section 3.10.7.1; mirage-tcpip", Title: "A RST acknowledges what it answers",
		Clause: "A segment without ACK to a closed port is answered by <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>, its payload and flags counted.",
		Run: func(t *T) {
			w := t.Lab(nil)
			for _, x := range []struct {
				flags Flags
				n     int
			}{{SYN, 0}, {SYN, 10}, {PSH, 10}, {FIN, 10}, {URG, 1}} {
				s := &Segment{Src: netip.AddrPortFrom(w.Peer, 999), Dst: netip.AddrPortFrom(w.Host, 9), Flags: x.flags, Seq: 1 << 31, Payload: make([]byte, x.n)}
				w.SendSegment(s)
				r := w.Segment(time.Second, "RST", isRST)
				if !r.Has(ACK) || r.Seq != 0 || r.Ack != s.Seq+s.Len() {
					t.Fatalf("a segment [%v] with %d bytes got %s; want seq 0, ack %d", x.flags, x.n, r, s.Seq+s.Len())
				}
			}
		},
	},
	{
		ID: "mirage/pmtud", Level: OnWire, Source: "RFC 1191; RFC 8201; mirage-tcpip", Title: "Packet too big makes packets smaller",
		Clause: "An ICMP error that quotes a segment in flight lowers the packet size, and the data is sent again in smaller segments; DF is set on IPv4.",
		Run: func(t *T) {
			c := t.Lab(nil).Accept(Hello{})
			c.Written(5000)
			segs := c.GotData(time.Second, 5001)
			if segs[0].PacketLen <= 1300 || !segs[0].DontFragment {
				t.Fatalf("the first packet has %d bytes, DF %v", segs[0].PacketLen, segs[0].DontFragment)
			}
			c.Inject(packetTooBig(segs[0], c.Peer, 1300))
			s := c.Got(5*time.Second, "retransmission", hasData)
			if s.PacketLen > 1300 {
				t.Fatalf("a packet of %d bytes after an MTU of 1300 was reported", s.PacketLen)
			}
			if c.seqOf(s) != 1 {
				t.Fatalf("retransmitted from %d", c.seqOf(s))
			}
			// From here on everything fits; the first flight was lost in full.
			have := uint32(1)
			take := func(s *Segment) {
				if s.PacketLen > 1300 {
					t.Fatalf("a packet of %d bytes after an MTU of 1300 was reported", s.PacketLen)
				}
				if from := c.seqOf(s); from <= have && from+uint32(len(s.Payload)) > have {
					have = from + uint32(len(s.Payload))
				}
			}
			take(s)
			for rounds := 0; have < 5001; rounds++ {
				for _, s := range c.Drain(0) {
					if hasData(s) {
						take(s)
					}
				}
				c.Send(ACK, Ack(have))
				if have < 5001 {
					take(c.Got(5*time.Second, "more data", hasData))
				}
				if rounds > 50 {
					t.Fatalf("the data never arrives: %d of 5000 bytes", have-1)
				}
			}
			c.AckAll()
			c.Alive()
		},
	},
	{
		ID: "mirage/listen-twice", Level: OnWire, Source: "L3; mirage-tcpip", Title: "A second listener is refused",
		Clause: "Listening again on a port fails with ErrPortInUse; the first handler goes on serving.",
		Run: func(t *T) {
			w := t.Lab(nil)
			l := w.Listen(nil)
			_, err := w.Stack.Listen(l.Port, nil, func(context.Context, api.Flow) { t.Errorf("the second handler ran") })
			t.is("second listen", err, api.ErrPortInUse)
			w.Open(l, Hello{}).Alive()
		},
	},
	{
		ID: "mirage/no-route", Level: OnWire, Source: "O2; mirage-tcpip", Title: "A dial without a route fails",
		Clause: "Dialling an address that no route leads to fails at once with ErrUnreachable, and nothing is sent.",
		Run: func(t *T) {
			w := t.Lab(nil)
			dst := netip.MustParseAddrPort("203.0.113.9:80")
			if t.V6() {
				dst = netip.MustParseAddrPort("[2001:db8:ffff::9]:80")
			}
			op := Start(t, "dial", func() error { _, err := w.Stack.Dial(t.Bound(), dst, nil); return err })
			t.is("dial", op.WaitFor(time.Second), api.ErrUnreachable)
			w.Quiet(time.Minute, "segment", anySegment)
			w.Open(w.Listen(nil), Hello{}).Alive()
		},
	},
	{
		ID: "mirage/simultaneous-open", Level: OnWire, Source: "RFC 9293 section 3.5 (MUST-10); mirage-tcpip", Title: "Crossing SYNs make one connection",
		Clause: "A SYN in SYN-SENT is answered by a SYN-ACK, and after the exchange the dial succeeds.",
		Run: func(t *T) {
			w := t.Lab(nil)
			c, op := w.StartDial(Hello{})
			c.SYN()
			s := c.Got(time.Second, "SYN-ACK for a crossing SYN", isSYNACK)
			if s.Seq != c.irs || s.Ack != c.iss+1 {
				t.Fatalf("the SYN-ACK does not repeat our SYN and acknowledge the peer's: %s", s)
			}
			c.Send(SYN|ACK, Seq(0), Opts(c.options()))
			d := op.WaitFor(2 * time.Second)
			t.ok("dial", d.err)
			c.Flow = d.flow
			c.rcv = 1
			c.Drain(time.Second)
			c.Alive()
		},
	},
}
