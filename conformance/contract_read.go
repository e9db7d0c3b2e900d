package conformance

import (
	"bytes"
	"errors"
	"io"
	"syscall"
	"time"

	"github.com/sluicenet/sluice/api"
)

var readCases = []Case{
	{
		ID: "contract/R1", Source: "R1", Title: "Read waits for data and hands it over",
		Clause: "Read blocks until data is available. The buffer it returns belongs to the caller, who may overwrite it: no later read sees that.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			op := Start(t, "read", func() []byte {
				b, err := g.Read(t.Bound())
				t.ok("read", err)
				return b.Bytes()
			})
			op.Blocked("nothing has been written")
			t.Write(f, []byte("hello"))
			first := op.Wait()
			if string(first) != "hello" {
				t.Fatalf("read %q", first)
			}
			w := t.WriteAll(f, 0, 200_000)
			var got []byte
			for len(got) < 200_000 {
				b, err := g.Read(t.Bound())
				t.ok("read", err)
				got = append(got, b.Bytes()...)
				clear(b.Bytes()) // ours to overwrite, and never released
			}
			t.ok("write", w.Wait())
			if !bytes.Equal(got, pattern(0, 200_000)) {
				t.Fatalf("the stream was damaged by overwriting what had been read")
			}
			if string(first) != "hello" {
				t.Fatalf("a buffer that was handed over has changed: %q", first)
			}
		},
	},
	{
		ID: "contract/R1-retransmit", Source: "R1", Title: "Overwriting what was read cannot change a retransmission", Needs: Wire | VirtualTime,
		Clause: "The link may pass on the sender's own memory. A reader that overwrites its buffer must not change bytes that the sender may yet have to send again.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			p.Net.Cut(1) // B's acknowledgments get lost
			data := pattern(0, 900)
			shared := api.CopyBuffer(data)
			again := 0
			p.Net.Filter(0, func(s *Segment) bool {
				if len(s.Payload) > 0 {
					again++
					if !bytes.Equal(s.Payload, data[:min(len(data), len(s.Payload))]) {
						t.Errorf("transmission %d carries bytes that the reader has written", again)
					}
				}
				return true
			})
			t.ok("write", f.Write(t.Bound(), shared))
			b, err := g.Read(t.Bound())
			t.ok("read", err)
			for i := range b.Bytes() {
				b.Bytes()[i] = 0xee
			}
			t.Sleep(20 * time.Second)
			if again < 2 {
				t.Inconclusivef("nothing was retransmitted")
			}
			p.Net.Filter(0, nil)
			p.Net.Filter(1, nil)
			p.Echo(f, g)
		},
	},
	{
		ID: "contract/R2", Source: "R2", Title: "A successful Read has at least one byte",
		Clause: "The buffer has a size that suits the implementation, of at least one byte: there is no empty success, also not for an empty write.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			t.ok("empty write", f.Write(t.Bound(), api.NewBuffer(nil)))
			op := Start(t, "read", func() int {
				b, err := g.Read(t.Bound())
				t.ok("read", err)
				return b.Len()
			})
			op.Blocked("only an empty buffer has been written")
			t.Write(f, []byte{1})
			if n := op.Wait(); n != 1 {
				t.Fatalf("read %d bytes after writing one", n)
			}
			for i := range 50 {
				t.Write(f, []byte{byte(i)})
			}
			t.Read(g, 50) // fails on an empty buffer
		},
	},
	{
		ID: "contract/R3", Source: "R3", Title: "Data in flight is read after the peer's close",
		Clause: "After the peer closes, reads keep returning data until all that was in flight has been read.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			w := t.WriteAll(f, 0, 30_000)
			t.ok("write", w.Wait())
			t.ok("close write", f.CloseWrite())
			t.Settle() // the FIN has arrived long since
			t.WantPattern(g, 0, 30_000)
			t.WantEOF(g)
		},
	},
	{
		ID: "contract/R3-local", Source: "R3", Title: "Data in flight is read after a local close",
		Clause: "A local close ends sending only: what the peer sends, before and after, is still read.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			t.Write(f, pattern(0, 10_000))
			t.Settle()
			closing := Start(t, "close", func() error { return g.Close(t.Bound()) })
			t.Settle()
			t.Write(f, pattern(10_000, 10_000))
			t.WantPattern(g, 0, 20_000)
			t.ok("close", f.Close(t.Bound()))
			t.ok("close", closing.Wait())
			t.WantEOF(g)
		},
	},
	{
		ID: "contract/R4", Source: "R4", Title: "End of file is io.EOF, and stays",
		Clause: "After the last byte Read returns io.EOF, bare, on this and every later call, also after the whole flow has closed.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			blocked := Start(t, "read", func() error { _, err := g.Read(t.Bound()); return err })
			blocked.Blocked("the peer has neither written nor closed")
			t.ok("close write", f.CloseWrite())
			if err := blocked.Wait(); err != io.EOF {
				t.Fatalf("blocked read: %v (%T), want io.EOF itself", err, err)
			}
			t.WantEOF(g)
			p.closeBoth(f, g)
			t.WantEOF(g)
			t.WantEOF(f)
			if err := g.CloseReason(); err != nil {
				t.Fatalf("reason of an orderly close: %v", err)
			}
		},
	},
	{
		ID: "contract/R4-reset", Source: "R4", Title: "A reset is ErrReset and not end of file",
		Clause: "A flow that the peer reset returns ErrReset at once, to a blocked reader and to later ones.",
		Run: func(t *T) {
			p := t.Pair(nil)
			f, g := p.Connect(nil, nil)
			p.Echo(f, g)
			blocked := Start(t, "read", func() error { _, err := g.Read(t.Bound()); return err })
			blocked.Blocked("nothing has happened")
			f.Abort()
			for _, err := range []error{blocked.Wait(), readError(t, g), readError(t, g)} {
				t.is("read after a reset", err, api.ErrReset, syscall.ECONNRESET)
				if errors.Is(err, io.EOF) {
					t.Fatalf("a reset reads as end of file: %v", err)
				}
			}
			t.is("reason", g.CloseReason(), api.ErrReset)
		},
	},
}

// readError returns the error of a Read that must fail.
func readError(t *T, f api.Flow) error {
	b, err := f.Read(t.Bound())
	if err == nil {
		t.Fatalf("read returned %d bytes; it must fail", b.Len())
	}
	return err
}
