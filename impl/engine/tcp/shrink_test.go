package tcp

import (
	"testing"

	"github.com/sluicenet/sluice/api"
)

// A window that shrinks into the middle of what was sent as one super-packet: nothing
// beyond it is sent again, neither as a tail loss probe nor by rules (3) and (4) of
// RFC 6675, and the records stay in order.
func TestShrunkenWindowWithinSuperPacket(t *testing.T) {
	for _, noRACK := range []bool{false, true} {
		s := scriptConfig{synOpts: allOpts, gso: 65535, params: Params{NoRACK: noRACK}}.open(t)
		mss := uint32(1448)
		s.write(int(8 * mss))
		sent := uint32(0)
		for s.poll() {
			sent += uint32(s.out.Len)
			s.done()
		}
		if sent != 8*mss {
			t.Fatalf("%d bytes sent", sent)
		}
		// The peer shrinks its window (which it should not: SHLD-14); scale 7.
		edge := 1 + uint32(10)<<7
		if noRACK { // and reports the third and later segments
			s.recv(fACK, 1, 1, win(10), s.sack(1+2*mss, 1+3*mss, 1+4*mss, 1+5*mss, 1+6*mss, 1+7*mss))
		} else {
			s.recv(fACK, 1, 1, win(10))
		}
		for n := range 7 {
			for s.poll() {
				if from := s.out.TCP.Seq - s.iss; s.out.Len > 0 && from+uint32(s.out.Len) > edge {
					t.Errorf("bytes %d to %d were sent, the window ends at %d", from, from+uint32(s.out.Len), edge)
				}
				s.done()
			}
			if n < 6 {
				s.now = max(s.now, s.c.Deadline())
				s.c.Timeout(s.now)
			}
		}
		s.state(api.StateEstablished)
		if err := s.c.Check(); err != nil {
			t.Error(err)
		}
		s.clean()
	}
}
