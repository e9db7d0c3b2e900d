package host

import (
	"testing"
	"time"

	"github.com/sluicenet/sluice/impl/engine/tcp"
)

// Who is half-open when the parameters change goes on by the old ones, newcomers have
// the new ones, and the end of the listener resets them all.
func TestSetParamsHalfOpen(t *testing.T) {
	for _, end := range []string{"time", "unlisten", "accept"} {
		l := newLab(t, nil)
		ln := l.listen(nil)
		syn := newStranger(l, seg{flags: "S", mss: 1460})
		sent := syn.send(1000, nil)
		l.h.SetParams(tcp.Params{RTOInitial: 3 * time.Second, Like: &tcp.Emulation{SynAckRetries: 8}})
		sent += syn.send(1001, nil)
		l.h.SetParams(tcp.Params{}) // nobody is half-open by these
		l.h.SetParams(tcp.Params{Like: &tcp.Emulation{SynAckRetries: 1}})
		sent += syn.send(1002, nil)
		if s := l.h.Stats(); sent != 3 || s.HalfOpen != 3 {
			t.Fatalf("%d answers, %d half-open", sent, s.HalfOpen)
		}
		flush := func() (n int) {
			for more := true; more; {
				more = l.h.Poll(l.now, &l.batch, 64)
				n += len(l.batch.Link)
				l.batch.Reset()
			}
			return n
		}
		switch end {
		case "unlisten":
			l.h.Unlisten(l.now, ln)
			if n := flush(); n != 3 {
				t.Errorf("%d resets", n)
			}
		case "accept": // there are limits, to which all of them count
			ln.HalfOpen = 3
			l.h.SetParams(tcp.Params{SynCookies: tcp.CookiesNever})
			syn.send(1003, nil)
			if s := l.h.Stats(); s.HalfOpen != 3 || l.h.halfOpenAges.first.listener.queued != 1 {
				t.Errorf("%d half-open", s.HalfOpen)
			}
			if err := l.h.Check(); err != nil {
				t.Error(err)
			}
			l.h.Unlisten(l.now, ln)
			flush()
		case "time":
			for range 100 {
				at := l.h.Deadline()
				if at > l.now.Add(time.Hour) {
					break
				}
				l.now = max(l.now, at)
				l.h.Timeout(l.now)
				sent += flush()
				if err := l.h.Check(); err != nil {
					t.Fatal(err)
				}
			}
			// Six by default; after 3, 9, 21, 45, 93 and 153 s, as 180 s are the limit; two.
			if want := 6 + 7 + 2; sent != want {
				t.Errorf("%d SYN-ACKs, want %d", sent, want)
			}
		}
		l.wantEmpty()
	}
}
