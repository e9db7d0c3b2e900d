package drill

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/conformance/drill/py"
	"github.com/sluicenet/sluice/conformance/drill/script"
	"github.com/sluicenet/sluice/conformance/drill/settings"
	"github.com/sluicenet/sluice/conformance/drill/sock"
)

// Implementation constants.
const (
	lenientTolerance = 75 * time.Millisecond
	lateACK          = 500 * time.Millisecond // RFC 9293, section 3.8.6.3: the most an ACK may be delayed
	grace            = 10 * time.Second       // how long to wait for a packet that is late, to be able to show it
	realGrace        = time.Second
	anyTime          = 10 * time.Minute // how long a packet with the time "*" may take
	realAnyTime      = 10 * time.Second
	keptPackets      = 16      // in a diagnosis
	maxInbox         = 1 << 16 // packets that no event has looked at
)

// run is one run of one script.
type run struct {
	o       *Options
	script  *script.Script
	opt     runOptions
	rules   rules
	set     *settings.Settings
	verdict *Verdict
	python  py.Env

	clk     clock.Clock
	virtual bool
	ctx     context.Context // ends when the script is over
	start   clock.Time
	began   bool

	env    *Env
	wire   *wire
	host   *Host
	caller *caller
	call   *call // blocking, under way

	lastAt time.Duration // of the event before
	ev     *script.Event // under way
	evAt   time.Duration

	mu       sync.Mutex // what emit touches
	conns    []*conn
	cur      *conn
	isListen bool // cur, if any, gives way to the next connection that the script opens
	port     uint16
	icmp     []*segment
	log      []logged
	capture  *capture
	cookies  *cookies // nil: those of the script are the live ones
	w        clock.Waiter
	nextPort uint16
	hung     atomic.Bool
	over     bool
}

type logged struct {
	at  clock.Time
	c   *conn
	seg *segment
}

// stop is what ends a script: it is panicked with.
type stop struct{}

// Run runs a script and returns its verdict. It never panics, and ends.
func Run(o *Options, file, source string) (v *Verdict) {
	v = &Verdict{Script: file, Match: o.Match, Seed: o.Seed}
	if v.Match == "" {
		v.Match = Strict
	}
	if v.Seed == 0 {
		v.Seed = 1
	}
	profile := o.Profile
	if profile == "" {
		profile = settings.Detect(source)
	}
	v.Profile = string(profile)
	if o.Target != nil {
		v.Target = o.Target.Name()
	}
	defer func() {
		if p := recover(); p != nil {
			v.Outcome, v.Reason = Broken, fmt.Sprintf("BUG in the interpreter: %v\n%s", p, debug.Stack())
		}
	}()
	s, err := script.Parse(file, source, script.Config{Defines: o.Defines, OS: profile.OS()})
	if err != nil {
		v.Outcome, v.Reason = Broken, err.Error()
		var e *script.Error
		if errors.As(err, &e) {
			v.Line = e.Pos.Line
		}
		return v
	}
	mine := *v
	r := &run{o: o, script: s, verdict: &mine, set: settings.New(profile), nextPort: 40000}
	r.set.Infer(s)
	if n, ok := o.Target.(interface{ Native() bool }); ok {
		r.set.Native = n.Native() // the target takes sysctls itself
	}
	if hung := r.run(); hung != "" {
		v.Outcome, v.Reason = Broken, hung
		return v
	}
	return &mine
}

// run sets the time up and runs the script in it. It returns why the script was
// given up, if it was.
func (r *run) run() (hung string) {
	r.virtual = r.o.Target.Virtual()
	limit := r.o.RealTime
	if limit == 0 {
		limit = 30 * time.Second
		if !r.virtual {
			limit = length(r.script) + time.Minute
		}
	}
	outer, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan any, 1)
	body := func() {
		var bug any
		defer func() { done <- bug }()
		defer func() {
			if p := recover(); p != nil {
				bug = fmt.Sprintf("%v\n%s", p, debug.Stack())
			}
		}()
		r.main(outer)
	}
	go func() {
		if r.virtual {
			v := clock.NewVirtual()
			r.clk = v
			v.Run(body)
		} else {
			r.clk = clock.NewReal()
			body()
		}
	}()
	select {
	case bug := <-done:
		if bug != nil {
			r.verdict.Outcome, r.verdict.Reason = Broken, fmt.Sprintf("BUG in the interpreter: %v", bug)
		}
	case <-time.After(limit):
		r.hung.Store(true)
		cancel()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			// Something does not let go. Its goroutine is lost, and writes into a
			// verdict that nobody looks at.
		}
		return fmt.Sprintf("the script takes more than %v of real time", limit)
	}
	return ""
}

// length is how long a script lasts at least.
func length(s *script.Script) (d time.Duration) {
	for i := range s.Events {
		t := s.Events[i].Time
		switch t.Kind {
		case script.Absolute, script.AbsoluteRange:
			d = max(d, t.At)
		case script.Relative, script.RelativeRange:
			d += t.At
		}
		if c, ok := s.Events[i].Action.(*script.Syscall); ok && c.Blocking {
			d = max(d, c.End)
		}
	}
	return d
}

// main runs the script, as an actor of its clock.
func (r *run) main(outer context.Context) {
	ctx, cancel := r.clk.WithCancel(outer)
	r.ctx = ctx
	r.w = r.clk.NewWaiter()
	began := r.clk.Now()
	r.capture = newCapture(r.o.Pcap)
	func() {
		defer func() {
			if p := recover(); p != nil {
				if _, ok := p.(stop); !ok {
					panic(p)
				}
			}
		}()
		r.setUp()
		r.events()
	}()
	r.mu.Lock()
	r.over = true
	r.mu.Unlock()
	r.verdict.Took = r.clk.Now().Sub(began)
	if r.verdict.Outcome == "" {
		r.verdict.Outcome = Pass
	}
	if err := r.capture.close(); err != nil {
		r.note("the capture is not complete: " + err.Error())
	}
	cancel(errOver)
	if r.host != nil && r.host.Close != nil {
		_ = clock.Sleep(context.Background(), r.clk, 0) // blocked calls return
		end, stop := r.clk.WithTimeout(context.Background(), time.Second)
		r.host.Close(end)
		stop()
	}
}

var errOver = errors.New("the script is over")

func (r *run) setUp() {
	r.options(r.o.Args, r.script)
	r.rules = rules{
		lenient: r.verdict.Match == Lenient, strictSegments: r.opt.strictSegments, tsTick: r.opt.tsTick,
		tolerance: r.opt.tolerance.Microseconds(), zeros: true,
	}
	r.env = &Env{Clock: r.clk, Settings: r.set, Seed: r.verdict.Seed, Emit: r.emit, V6: r.opt.v6, Mapped: r.opt.mapped}
	local4, remote4 := netip.MustParseAddr("192.168.0.2"), netip.MustParseAddr("192.0.2.1")
	local6, remote6 := netip.MustParseAddr("fd3d:fa7b:d17d::2"), netip.MustParseAddr("2001:db8::1")
	pick := func(set, def netip.Addr) netip.Addr {
		if set.IsValid() {
			return set
		}
		return def
	}
	if r.opt.v6 {
		local6, remote6 = pick(r.opt.local, local6), pick(r.opt.remote, remote6)
		r.env.Local, r.env.Remote = local6, remote6
	} else {
		local4, remote4 = pick(r.opt.local, local4), pick(r.opt.remote, remote4)
		r.env.Local, r.env.Remote = local4, remote4
	}
	r.env.Addresses = []netip.Prefix{netip.PrefixFrom(local4, 16), netip.PrefixFrom(local6, 48)}
	r.env.Gateway = []netip.Addr{netip.MustParseAddr("192.168.0.1"), netip.MustParseAddr("fd3d:fa7b:d17d::1")}
	if r.opt.local.IsValid() {
		bits := 16
		if r.opt.v6 {
			bits = 48
		}
		p := netip.PrefixFrom(r.opt.local, bits)
		gw := p.Masked().Addr().Next()
		if gw == r.opt.local {
			gw = gw.Next()
		}
		if r.opt.v6 {
			r.env.Gateway[1] = gw
		} else {
			r.env.Gateway[0] = gw
		}
	}
	if r.script.Init != nil {
		r.command(r.script.Init, false)
	}
	if r.opt.dryRun {
		panic(stop{})
	}
}

// needHost makes the host when it is first needed: commands before that have
// configured it.
func (r *run) needHost() {
	if r.host != nil {
		return
	}
	r.env.MTU = 1500
	if n := r.set.PathMTU; n > 0 && (r.set.MTU == 0 || n < r.set.MTU) {
		r.env.MTU = n // as Linux, which takes the MSS from the route
	} else if r.set.MTU > 0 {
		r.env.MTU = r.set.MTU
	}
	if r.opt.mtu > 0 {
		r.env.MTU = r.opt.mtu
	}
	if r.env.MTU < 1280 && !r.opt.v6 { // IPv6 does not run over such a link
		r.env.Addresses, r.env.Gateway = r.env.Addresses[:1], r.env.Gateway[:1]
	}
	r.wire = &wire{mtu: r.env.MTU, emit: r.emit}
	r.env.Link = r.wire
	r.chooseKey()
	h, err := r.o.Target.New(r.env)
	if err != nil {
		var u sock.Unsupported
		if errors.As(err, &u) {
			r.skip(r.line(), u.Feature)
		}
		r.broken(r.line(), "the target cannot be made: "+err.Error())
	}
	r.host = h
	if r.cookies != nil {
		r.cookies.live = h.FastOpenCookie
	}
	r.caller = &caller{r: r, p: h.Process, fds: map[int64]int{}}
}

// line is the one under way.
func (r *run) line() int {
	if r.ev != nil {
		return r.ev.Pos.Line
	}
	return 0
}

func (r *run) freebsd() bool { return r.set.Profile == settings.FreeBSD }

func (r *run) local() netip.Addr { return r.env.Local }

// mapped returns an address as a socket of the script's family takes it.
func (r *run) mapped(a netip.AddrPort) netip.AddrPort {
	if r.opt.mapped && a.Addr().Is4() {
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr().As16()), a.Port())
	}
	return a
}

// now is the time since the script has begun.
func (r *run) now() time.Duration { return r.clk.Now().Sub(r.start) }

func (r *run) sleepUntil(at time.Duration) {
	if d := at - r.now(); d > 0 {
		if clock.Sleep(r.ctx, r.clk, d) != nil {
			panic(stop{})
		}
	}
}

// events runs the events.
func (r *run) events() {
	if !r.virtual {
		r.needHost() // now: it takes a while, and commands can still configure it
	}
	r.start = r.clk.Now()
	r.began = true
	for i := range r.script.Events {
		ev := &r.script.Events[i]
		r.ev = ev
		if r.hung.Load() {
			panic(stop{})
		}
		if i == 0 && ev.Time.Kind == script.Absolute && ev.Time.At != 0 {
			// The clock starts with the first event.
			r.start = r.start.Add(-ev.Time.At)
		}
		at, until := ev.Time.At, ev.Time.At
		switch ev.Time.Kind {
		case script.Relative:
			at += r.now()
			until = at
		case script.AnyTime:
			at = r.now()
			until = at + anyTime
			if !r.virtual {
				until = at + realAnyTime
			}
		case script.AbsoluteRange:
			until = ev.Time.Until
		case script.RelativeRange:
			until = r.now() + ev.Time.Until
			at += r.now()
		}
		r.evAt = at
		gap := at - r.lastAt
		switch a := ev.Action.(type) {
		case *script.Packet:
			r.packet(a, at, until, gap)
		case *script.Syscall:
			r.syscall(ev, a, at, gap)
		case *script.Command:
			r.sleepUntil(at)
			r.command(a, r.trailing(i))
		case *script.Code:
			r.sleepUntil(at)
			if r.virtual { // what the event before has led to comes first
				_ = clock.Sleep(r.ctx, r.clk, 0)
			}
			r.code(a)
		}
		r.lastAt = at
	}
	r.ev = nil
	r.await()
	if r.script.Cleanup != nil {
		r.command(r.script.Cleanup, true)
	}
}

// trailing reports whether nothing but commands and code follows event i.
func (r *run) trailing(i int) bool {
	for _, ev := range r.script.Events[i+1:] {
		switch ev.Action.(type) {
		case *script.Packet, *script.Syscall:
			return false
		}
	}
	return true
}

// tolerance is how far off a time may be, if the event before was gap earlier.
func (r *run) tolerance(gap time.Duration) time.Duration {
	t := max(r.opt.tolerance, time.Duration(float64(gap)*r.opt.percent/100))
	if r.rules.lenient {
		t = max(t, lenientTolerance)
	}
	return t
}

// onTime checks that an event which is up to the script happens when it should.
func (r *run) onTime(what string, at, gap time.Duration) {
	if r.ev.Time.Kind == script.AnyTime {
		return
	}
	if now := r.now(); now-at > r.tolerance(gap) {
		r.failAt(what+" cannot happen at its time: the events before took too long", at, now)
	}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.6f", d.Seconds()) }

func (r *run) syscall(ev *script.Event, s *script.Syscall, at, gap time.Duration) {
	r.sleepUntil(at)
	r.await()
	r.onTime("the system call", at, gap)
	r.needHost()
	k := &call{ev: ev, s: s, end: s.End, gap: gap}
	if s.Blocking && ev.Time.Kind == script.Relative {
		k.end += at - ev.Time.At
	}
	if s.Blocking {
		k.gap = k.end - at
	}
	r.call = k
	r.clk.Go(func() {
		defer func() {
			p := recover()
			if p != nil {
				k.err = &broken{s.Pos, fmt.Sprintf("BUG in the interpreter: %v\n%s", p, debug.Stack())}
			}
			r.mu.Lock()
			k.done, k.doneAt = true, r.now()
			r.mu.Unlock()
			r.w.Wake()
		}()
		r.caller.do(r.ctx, k)
	})
	if !s.Blocking {
		k.end = at
		r.await()
		return
	}
	// What the call does at once comes before the next event.
	if r.virtual {
		_ = clock.Sleep(r.ctx, r.clk, 0)
	} else {
		_ = clock.Sleep(r.ctx, r.clk, time.Millisecond)
	}
}

// await waits for the system call under way, and judges it.
func (r *run) await() {
	k := r.call
	if k == nil {
		return
	}
	limit := k.end + r.tolerance(k.gap) + grace
	if !r.virtual {
		limit = k.end + r.tolerance(k.gap) + realGrace
	}
	for {
		r.mu.Lock()
		done := k.done
		r.mu.Unlock()
		if done {
			break
		}
		if !r.park(limit) {
			r.ev = k.ev
			r.failAt("the system call has not returned", k.end, r.now())
		}
	}
	r.call = nil
	saved := r.ev
	r.ev = k.ev
	r.judge(k)
	r.ev = saved
}

func (r *run) judge(k *call) {
	expect, got, ok, err := k.verify()
	var u sock.Unsupported
	var b *broken
	switch {
	case errors.As(err, &u):
		r.skip(k.ev.Pos.Line, u.Feature)
	case errors.As(err, &b):
		r.broken(b.pos.Line, b.msg)
	case err != nil:
		r.broken(k.ev.Pos.Line, err.Error())
	}
	if !ok {
		if r.opt.nonFatalCall {
			r.note(fmt.Sprintf("line %d: %s returned %s, not %s", k.ev.Pos.Line, k.s.Name, got, expect))
			return
		}
		r.verdict.Expect, r.verdict.Got = k.s.Name+"() = "+expect, k.s.Name+"() = "+got
		r.verdict.WantAt, r.verdict.GotAt = seconds(k.end), seconds(k.doneAt)
		r.fail(k.s.Name + " returned " + got + ", expected " + expect)
	}
	if !k.s.Blocking {
		if late := k.doneAt - k.end; late > r.tolerance(k.gap) {
			r.failAt(k.s.Name+" blocked", k.end, k.doneAt)
		}
		return
	}
	tol := r.tolerance(k.gap)
	early, late := k.end-k.doneAt > tol, k.doneAt-k.end > tol
	if early && r.rules.lenient && (strings.HasPrefix(k.s.Name, "write") || strings.HasPrefix(k.s.Name, "send") || k.s.Name == "close") {
		// How much fits into a send buffer is up to the stack.
		early = false
		r.note(fmt.Sprintf("line %d: %s returned at %s already", k.ev.Pos.Line, k.s.Name, seconds(k.doneAt)))
	}
	if early || late {
		r.failAt(k.s.Name+" returned at another time", k.end, k.doneAt)
	}
}

// park waits until something happens or the time of the script is limit, and
// reports false for that.
func (r *run) park(limit time.Duration) bool {
	d := limit - r.now()
	if d <= 0 {
		return false
	}
	ctx, cancel := r.clk.WithTimeout(r.ctx, d)
	defer cancel()
	if r.w.Park(ctx) != nil {
		if r.ctx.Err() != nil || r.hung.Load() {
			panic(stop{})
		}
		return false
	}
	return true
}

// command applies a shell command. trailing says that nothing depends on it any
// more.
func (r *run) command(c *script.Command, trailing bool) {
	for _, e := range r.set.Command(c.Text) {
		switch e := e.(type) {
		case settings.Set:
			if r.host == nil {
				continue
			}
			if r.host.Configure == nil {
				if !trailing {
					r.skip(c.Pos.Line, e.Key+" changed while the script runs")
				}
				continue
			}
			if err := r.host.Configure(r.set); err != nil && !trailing {
				r.skip(c.Pos.Line, e.Key+" changed while the script runs: "+err.Error())
			}
		case settings.Sleep:
			if r.began {
				r.sleepUntil(r.now() + e.For)
			}
		case settings.Note:
			r.note(e.Text)
		case settings.Skip:
			if trailing {
				r.note("not needed any more: " + e.Feature)
				continue
			}
			r.skip(c.Pos.Line, e.Feature)
		case *settings.Query:
			r.needHost()
			if r.host.Query == nil {
				r.skip(c.Pos.Line, "a query of "+e.Source)
			}
			lines, ok := r.host.Query(e.Source)
			if !ok {
				r.skip(c.Pos.Line, "a query of "+e.Source)
			}
			if err := e.Check(lines); err != nil {
				r.verdict.Got = strings.Join(lines, " / ")
				r.fail("the command fails: " + err.Error())
			}
		}
	}
}

func (r *run) note(text string) {
	for _, n := range r.verdict.Notes {
		if n == text {
			return
		}
	}
	if len(r.verdict.Notes) < 50 {
		r.verdict.Notes = append(r.verdict.Notes, text)
	}
}

// skip ends the script: something is missing.
func (r *run) skip(line int, feature string) {
	r.verdict.Outcome, r.verdict.Skipped, r.verdict.Line = Skip, feature, line
	panic(stop{})
}

// broken ends the script: it does what no script may do.
func (r *run) broken(line int, reason string) {
	r.verdict.Outcome, r.verdict.Reason, r.verdict.Line = Broken, reason, line
	panic(stop{})
}

// fail ends the script: the target did not do what the event under way expects.
func (r *run) fail(reason string) { r.failLine(r.line(), reason) }

// failLine is fail at a line within the event.
func (r *run) failLine(line int, reason string) {
	v := r.verdict
	v.Outcome, v.Reason = Fail, reason
	if line > 0 {
		v.Line = line
		if lines := strings.Split(r.script.Source, "\n"); v.Line >= 1 && v.Line <= len(lines) {
			v.Source = strings.TrimSpace(lines[v.Line-1])
		}
	}
	v.Packets = r.lastPackets()
	panic(stop{})
}

func (r *run) failAt(reason string, want, got time.Duration) {
	r.verdict.WantAt, r.verdict.GotAt = seconds(want), seconds(got)
	r.fail(fmt.Sprintf("%s: expected at %s s, happened at %s s", reason, seconds(want), seconds(got)))
}

// lastPackets prints the last packets in the script's numbers.
func (r *run) lastPackets() (out []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.log[max(0, len(r.log)-keptPackets):]
	for _, e := range l {
		s := e.seg
		if e.c != nil && s.tcp && s.out {
			s = e.c.scripted(s)
		} else if e.c != nil && s.tcp {
			s = e.c.scriptedInbound(s)
		}
		out = append(out, fmt.Sprintf("%s %s", seconds(e.at.Sub(r.start)), notation(s)))
	}
	return out
}
