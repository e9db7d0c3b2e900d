package cctest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api/cc"
)

func checkOptions(f cc.Factory, o Options) error {
	if f.Name() == "" {
		return errors.New("the factory has no name")
	}
	for _, opts := range []string{o.Opts, ""} {
		if c, err := f.New(Env(1), opts); err != nil || c == nil {
			return fmt.Errorf("New(%q) returns %v, %v", opts, c, err)
		}
	}
	const unknown = "no_such_option"
	_, err := f.New(Env(1), unknown+"=1")
	if err == nil || !strings.Contains(err.Error(), unknown) {
		return fmt.Errorf("for an unknown option the error is %v", err)
	}
	return nil
}

// checkFloor drives a controller through the worst that a network does.
func checkFloor(f cc.Factory, o Options) error {
	path := Path{Rate: 1.25e6, RTT: 40 * time.Millisecond, Queue: 30 * MSS}
	for name, worse := range map[string]func(b *Bench){
		"half of the packets are lost": func(b *Bench) { b.Path.Lose = func(n int64) bool { return n%2 == 0 } },
		"all packets are lost":         func(b *Bench) { b.Path.Lose = func(int64) bool { return true } },
		"all packets carry a mark":     func(b *Bench) { b.Path.Mark = 1 },
		"the rate falls to a trickle":  func(b *Bench) { b.Path.Rate = 500 },
		"the RTT goes up to 10 s":      func(b *Bench) { b.Path.RTT = 10 * time.Second },
	} {
		b, err := NewBench(f, o.Opts, path, 1)
		if err != nil {
			return nil
		}
		b.Run(2 * time.Second)
		worse(b)
		small := int64(0)
		b.RunUntil(60*time.Second, func() bool {
			small = b.C.Control().Cwnd
			return small < MSS
		})
		if small < MSS {
			return fmt.Errorf("%s: the window is %d with segments of %d, %v", name, small, MSS, b)
		}
	}
	r, err := newRig(f, o, 1, true)
	if err != nil {
		return err
	}
	// Congestion and changes of the segment size, without an ACK between them.
	for i := range 200 {
		c := call{kind: []kind{callLoss, callMark, callTimeout, callRepeat, callMSS}[i%5], n: int64(i*i) % 9000, after: time.Second}
		if err := r.do(c); err != nil {
			return err
		}
	}
	return nil
}

// checkUnused sends less than the window allows.
func checkUnused(f cc.Factory, o Options) error {
	for _, congested := range []bool{false, true} {
		r, err := newRig(f, o, 1, true)
		if err != nil {
			return err
		}
		if congested { // congestion avoidance instead of slow start
			if err := r.do(call{kind: callLoss, n: r.answer.Cwnd}); err != nil {
				return err
			}
		}
		start := r.answer.Cwnd
		// One packet in flight, ever.
		for i := range 5000 {
			c := call{kind: callAck, after: 50 * time.Millisecond, n: MSS, rtt: 50 * time.Millisecond, between: 50 * time.Millisecond,
				back: 0, flags: flagRound | flagApp | flagValid}
			if err := r.do(c); err != nil {
				return err
			}
			if w := r.answer.Cwnd; w > 2*start+20*MSS {
				return fmt.Errorf("after %d packets, of which one at a time was in flight, the window went from %d to %d", i+1, start, w)
			}
		}
	}
	// The same by a real source, which knows nothing of the window.
	b, err := NewBench(f, o.Opts, Path{Rate: 12.5e6, RTT: 40 * time.Millisecond}, 1)
	if err != nil {
		return nil
	}
	start := b.C.Control().Cwnd
	b.AppRate = start * 3 // a tenth of a window each round trip
	b.Run(60 * time.Second)
	if w := b.C.Control().Cwnd; w > 4*start {
		return fmt.Errorf("a source that needs a tenth of the window made it grow from %d to %d in a minute", start, w)
	}
	return nil
}

// checkMonth takes 30 days at a packet a second, limited by the application and by
// the receiver, with a loss now and then; a year of idleness; and growth without end.
func checkMonth(f cc.Factory, o Options) error {
	r, err := newRig(f, o, 1, true)
	if err != nil {
		return err
	}
	start := r.answer.Cwnd
	seconds := 30 * 24 * 3600
	if testing.Short() {
		seconds /= 10
	}
	for i := range seconds {
		flags := flagRound | flagValid
		if i%2 == 0 {
			flags |= flagApp
		}
		c := call{kind: callSent, after: 900 * time.Millisecond, n: MSS, flags: flags}
		if err := r.do(c); err != nil {
			return fmt.Errorf("after %d s: %w", i, err)
		}
		c = call{kind: callAck, after: 100 * time.Millisecond, n: MSS, rtt: 100 * time.Millisecond, between: 100 * time.Millisecond, flags: flags}
		if err := r.do(c); err != nil {
			return fmt.Errorf("after %d s: %w", i, err)
		}
		if i%100000 == 99999 {
			if err := r.do(call{kind: callLoss, n: MSS}); err != nil {
				return fmt.Errorf("after %d s: %w", i, err)
			}
		}
		if w := r.answer.Cwnd; w > 2*start+20*MSS {
			return fmt.Errorf("after %d s at a packet a second the window is %d, it was %d", i, w, start)
		}
	}
	if err := r.do(call{kind: callRestart, after: 365 * 24 * time.Hour}); err != nil {
		return err
	}
	// Growth without a loss, in slow start and after it.
	for _, congested := range []bool{false, true} {
		if r, err = newRig(f, o, 1, true); err != nil {
			return err
		}
		if congested {
			if err := r.do(call{kind: callLoss, n: r.answer.Cwnd}); err != nil {
				return err
			}
		}
		for i := range 200_000 {
			c := call{kind: callAck, after: time.Second, n: r.answer.Cwnd, rtt: 100 * time.Millisecond, between: 100 * time.Millisecond,
				flags: flagRound | flagValid | flagLimited}
			if i%3 == 0 {
				c.n = 1 << 60
			}
			if err := r.do(c); err != nil {
				return fmt.Errorf("growth without a loss, round %d: %w", i, err)
			}
		}
	}
	return nil
}

// script returns the bytes of a random sequence of calls.
func script(seed uint64, calls int) []byte {
	rng := rand.New(rand.NewPCG(seed, 0xcc))
	data := make([]byte, calls*callSize)
	for i := 0; i < len(data); i += 8 {
		binary.LittleEndian.PutUint64(data[i:min(i+8, len(data)):len(data)][:8], rng.Uint64())
	}
	return data
}

// callSize is how many bytes make a call.
const callSize = 16

// decode makes a call of any bytes.
func decode(b []byte) call {
	// A number spreads over all magnitudes, and hits the extremes.
	amount := func(x uint16) int64 {
		switch {
		case x < 64:
			return int64(x)
		case x < 40000:
			return int64(x) % (20 * MSS)
		case x == 65535:
			return 1<<63 - 1
		}
		return int64(x) << (x % 47)
	}
	pick := []kind{callAck, callAck, callAck, callAck, callAck, callAck, callAck, callSent, callSent, callLost, callLost, callLoss, callLoss,
		callMark, callTimeout, callRepeat, callUndo, callRestart, callMSS, callEnter, callExit}
	u := func(i int) uint16 { return binary.LittleEndian.Uint16(b[i:]) }
	c := call{
		kind:  pick[int(b[0])%len(pick)],
		flags: b[1],
		phase: cc.Phase(b[2] % 5),
		n:     amount(u(4)),
		back:  amount(u(6)),
		rtt:   time.Duration(u(8)) * time.Millisecond / 10,
		after: time.Duration(u(10)) * time.Microsecond,
	}
	c.between = time.Duration(u(12)) * time.Microsecond
	switch b[3] % 16 {
	case 0:
		c.after = time.Duration(u(10)) * time.Hour // years
	case 1:
		c.after = time.Duration(u(10)) * time.Second
	case 2:
		c.between, c.rtt = time.Duration(u(12)), time.Duration(u(8)) // nanoseconds
	case 3:
		c.rtt = time.Duration(u(8)) * time.Second
	}
	return c
}

// runScript makes the calls that data stand for.
func runScript(f cc.Factory, o Options, data []byte) error {
	r, err := newRig(f, o, 1, true)
	if err != nil {
		return err
	}
	for i := 0; len(data) >= callSize && i < 1000; i++ {
		if err := r.do(decode(data[:callSize])); err != nil {
			return fmt.Errorf("call %d: %w", i, err)
		}
		data = data[callSize:]
	}
	return nil
}

func checkHostile(f cc.Factory, o Options) error {
	for seed := range uint64(1500) {
		if err := runScript(f, o, script(seed, 100)); err != nil {
			return fmt.Errorf("seed %d: %w", seed, err)
		}
	}
	return nil
}

// checkDeterminism tells two controllers the same, one of them with arguments that do
// not outlive the call, and between that tells others something else.
func checkDeterminism(f cc.Factory, o Options) error {
	for seed := range uint64(60) {
		a, err := newRig(f, o, seed, false)
		if err != nil {
			return err
		}
		b, err := newRig(f, o, seed, true)
		if err != nil {
			return err
		}
		other, err := newRig(f, o, seed+1, false)
		if err != nil {
			return err
		}
		data, noise := script(seed, 100), script(seed+1000, 100)
		for i := 0; i+callSize <= len(data); i += callSize {
			c := decode(data[i:])
			errA := a.do(c)
			_ = other.do(decode(noise[i:]))
			errB := b.do(c)
			if a.answer != b.answer || (errA == nil) != (errB == nil) {
				return fmt.Errorf("seed %d, call %d: two controllers that were told the same answer %+v and %+v", seed, i/callSize, a.answer, b.answer)
			}
			if errA != nil {
				break // the check "hostile" tells
			}
		}
	}
	return nil
}

func checkAllocation(f cc.Factory, o Options) error {
	r, err := newRig(f, o, 1, true)
	if err != nil {
		return err
	}
	ack := call{kind: callAck, after: time.Millisecond, n: MSS, rtt: 40 * time.Millisecond, between: 40 * time.Millisecond, flags: flagLimited | flagValid}
	one := func(k kind, flags uint8) {
		c := ack
		c.kind, c.flags = k, flags|flagValid
		if k == callLoss {
			c.n = 20 * MSS
		}
		r.make(c)
		r.answer = r.c.Control()
	}
	some := func() {
		for i := range 50 {
			one(callSent, 0)
			one(callAck, flagLimited)
			if i%10 == 0 {
				one(callAck, flagLimited|flagRound|flagECE)
			}
		}
		one(callLost, 0)
		one(callLoss, 0)
		one(callEnter, 0)
		one(callAck, flagLimited|flagRound)
		one(callExit, 0)
		one(callMark, 0)
		one(callAck, 0)
	}
	for range 20 {
		some()
	}
	if n := testing.AllocsPerRun(50, some); n > 0 {
		return fmt.Errorf("110 calls allocate %.1f times", n)
	}
	return nil
}
