package tcp

import (
	"flag"
	"fmt"
	"io"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// An exhaustive search: two connections, a program of calls for each end, and a
// channel that may lose, duplicate and reorder. Every interleaving of calls,
// deliveries, losses, duplicates and timers is tried, within the bounds that a
// scenario states; states that were seen before are not entered again. In each state
// the books and timers of both ends are checked and every byte queued is compared;
// and from each state the pair is run to its end over a channel that has become
// fair, and has to get there: all bytes, each once, in order, then the end of file,
// both ends closed, nothing left.

var exploreFull = flag.Bool("full", false, "TestExplore: search the full bounds, which takes minutes")

// bound is how much of everything may happen before the channel becomes fair.
type bound struct {
	losses  int // segments lost
	dups    int // segments duplicated: the copy arrives after all that are on the way
	reorder int // how many segments another may overtake
	early   int // timers that go off while segments are on the way
	timers  int // timers that go off at all
}

type scenario struct {
	name         string
	simultaneous bool // both dial; else end 1 listens
	// The calls of each end, in order, at any time: w writes a segment, 2 to 9 so
	// many at once, u one with urgent data, c closes for writing, r for reading, o orphans, a aborts.
	prog        [2]string
	slow        [2]bool // reading is a choice too, else it is done at once
	mayCut      bool    // data may be lost to an abort, or to a reader who has gone
	mayTimeOut  bool    // and both may wait for an orphan in vain
	flow        [2]api.FlowConfig
	params      Params
	quick, full bound
}

// exploreSegment is what w writes: a whole segment, so that no algorithm waits for
// more.
const exploreSegment = 60

var exploreScenarios = []scenario{
	{name: "open and close", prog: [2]string{"c", "c"}, quick: bound{1, 1, 0, 0, 1}, full: bound{2, 1, 0, 1, 2}},
	{name: "simultaneous open", simultaneous: true, prog: [2]string{"c", "c"}, quick: bound{1, 0, 0, 1, 2}, full: bound{2, 1, 0, 1, 2}},
	{name: "simultaneous open with data", simultaneous: true, prog: [2]string{"wc", "wc"}, quick: bound{1, 0, 0, 0, 1}, full: bound{1, 0, 0, 1, 2}},
	{name: "one way", prog: [2]string{"wwc", "c"}, quick: bound{1, 0, 0, 0, 1}, full: bound{1, 1, 0, 0, 1}},
	{name: "both ways", prog: [2]string{"wc", "wc"}, quick: bound{1, 0, 0, 0, 1}, full: bound{1, 1, 0, 0, 1}},
	{name: "answer after close", prog: [2]string{"c", "wwc"}, quick: bound{1, 0, 0, 0, 1}, full: bound{1, 1, 0, 0, 1}},
	{name: "without SACK and timestamps", prog: [2]string{"wwc", "c"}, params: Params{NoSACK: true, NoTimestamps: true, NoWindowScale: true},
		quick: bound{1, 0, 0, 0, 1}, full: bound{1, 1, 0, 0, 1}},
	{name: "fast retransmission", prog: [2]string{"5c", "c"}, quick: bound{1, 0, 0, 0, 0}, full: bound{1, 1, 0, 0, 1}},
	{name: "closed window", prog: [2]string{"3c", "c"}, slow: [2]bool{false, true},
		flow: [2]api.FlowConfig{{}, {ReceiveBuffer: 2 * exploreSegment}}, quick: bound{1, 0, 0, 0, 1}, full: bound{1, 0, 0, 0, 2}},
	{name: "closed windows both ways", prog: [2]string{"2c", "2c"}, slow: [2]bool{true, true},
		flow: [2]api.FlowConfig{{ReceiveBuffer: exploreSegment}, {ReceiveBuffer: exploreSegment}}, quick: bound{0, 0, 0, 0, 0}, full: bound{1, 0, 0, 0, 1}},
	{name: "urgent", prog: [2]string{"wuc", "c"}, quick: bound{1, 0, 0, 0, 1}, full: bound{1, 1, 0, 0, 1}},
	{name: "abort", prog: [2]string{"wa", "wc"}, mayCut: true, quick: bound{1, 0, 0, 0, 1}, full: bound{1, 1, 1, 0, 1}},
	{name: "abort by the passive end", prog: [2]string{"wc", "wa"}, mayCut: true, quick: bound{1, 0, 0, 0, 1}, full: bound{1, 1, 1, 0, 1}},
	{name: "orphan", prog: [2]string{"wo", "wc"}, mayCut: true, quick: bound{1, 0, 0, 0, 1}, full: bound{1, 1, 1, 0, 1}},
	// Each refuses the other's data, and holds its RST back until its own have
	// arrived: the orphans' limit of retries ends that.
	{name: "orphans", prog: [2]string{"wo", "wo"}, mayCut: true, mayTimeOut: true, quick: bound{1, 0, 0, 0, 1}, full: bound{1, 1, 0, 0, 1}},
	{name: "reader who has gone", prog: [2]string{"wwc", "rc"}, mayCut: true, quick: bound{1, 0, 0, 0, 1}, full: bound{1, 1, 0, 0, 1}},
}

func TestExplore(t *testing.T) {
	total := 0
	for _, sc := range exploreScenarios {
		t.Run(sc.name, func(t *testing.T) {
			start := time.Now()
			e := newExplorer(&sc, func(what string) { t.Error(what) })
			e.run()
			total += len(e.seen)
			t.Logf("%v: %d losses, %d duplicates, overtaking %d, timers %d (%d of them early): %d states, %d steps, %d fair ends of %d steps, longest path %d",
				time.Since(start).Round(time.Second/10), e.bound.losses, e.bound.dups, e.bound.reorder, e.bound.timers, e.bound.early, len(e.seen), e.steps, e.ends, e.fairSteps, e.longest)
		})
	}
	t.Logf("%d states in all", total)
}

// onWire is a segment on the way. Its bytes are not kept: they have been compared.
type onWire struct {
	h    wire.TCP
	n    int64
	iss  uint64 // of who sent it, who may be back in LISTEN, or another by now
	sent clock.Time
}

// mslBound is how long a segment may be on the way (RFC 9293, section 3.4.2): half
// of TIME-WAIT.
const mslBound = 30 * time.Second

// A world is one state of the search.
type world struct {
	sc      *scenario
	now     clock.Time
	c       [2]*Conn // nil: in LISTEN
	budget  [2]*testBudget
	lives   int         // connections that end 1 has accepted
	wires   [2][]onWire // to each end
	pc      [2]int
	got     [2]int64 // bytes read
	wrote   [2]int64
	eof     [2]bool
	readErr [2]error
	open    [2]bool   // has been established
	edge    [2]uint64 // announced
	judged  bool      // the connection that end 1 accepted first has ended as it should
	left    bound
	watch   string // what was wrong, if anything
}

func (w *world) fail(format string, args ...any) {
	if w.watch == "" {
		w.watch = fmt.Sprintf(format, args...)
	}
}

var exploreEnds = [2]netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:1000"), netip.MustParseAddrPort("10.0.0.2:2000")}

func (w *world) config(i int) *Config {
	iss := [2]uint32{1<<32 - 62, 1<<31 - 1}[i] // data wrap in the first segments
	if i == 1 {
		iss += uint32(w.lives) * 1_000_000
	}
	return &Config{Params: &w.sc.params, Flow: w.sc.flow[i], Local: exploreEnds[i], Remote: exploreEnds[1-i], ISS: iss,
		TSOffset: uint32(i+1) * 77777, LinkMTU: w.mtu(), Controller: fixedFactory(100), Budget: w.budget[i]}
}

// mtu makes w write exactly one segment.
func (w *world) mtu() int64 {
	n := int64(exploreSegment + 40)
	if !w.sc.params.NoTimestamps {
		n += 12
	}
	return n
}

func newWorld(sc *scenario, b bound) *world {
	w := &world{sc: sc, now: clock.Time(time.Second), left: b}
	for i := range w.c {
		w.budget[i] = &testBudget{}
		if i == 0 || sc.simultaneous {
			c, err := NewActive(w.now, w.config(i))
			if err != nil {
				panic(err)
			}
			w.c[i] = c
		}
	}
	w.settle()
	return w
}

// clone is a copy that shares nothing that changes.
func (w *world) clone() *world {
	v := *w
	for i, c := range w.c {
		b := *w.budget[i]
		v.budget[i] = &b
		v.wires[i] = slices.Clone(w.wires[i])
		if c != nil {
			v.c[i] = c.clone(&b)
		}
	}
	return &v
}

// clone copies a connection. TestCloneSharesNothing checks that it has forgotten
// nothing.
func (c *Conn) clone(b *testBudget) *Conn {
	d := *c
	sh := c.cfg.withFlow(&c.cfg.Flow)
	sh.Budget = b
	d.share(sh)
	if d.lossDetection != &sh.idle {
		l := *c.lossDetection
		l.rack.resent, l.rack.head = slices.Clone(l.rack.resent[l.rack.head:]), 0
		l.sb.recs, l.sb.head = slices.Clone(c.sb.recs[c.sb.head:]), 0
		l.sb.ranges = slices.Clone(c.sb.ranges)
		d.lossDetection = &l
	}
	if d.holes != &sh.whole {
		h := *c.holes
		d.holes = &h
		d.ooo.segs, d.ooo.ranges = slices.Clone(c.ooo.segs), slices.Clone(c.ooo.ranges)
	}
	if c.tw != nil {
		t := *c.tw
		t.shared = sh
		d.tw = &t
	}
	d.sq.bufs, d.sq.head = slices.Clone(c.sq.bufs[c.sq.head:]), 0
	for i := range d.sq.bufs {
		b := &d.sq.bufs[i].b
		*b = b.View(0, b.Len())
	}
	page := func(r *rcvBuf) { r.b = *api.NewBuffer(slices.Clone(r.b.Bytes())) }
	d.rq.bufs, d.rq.head = slices.Clone(c.rq.bufs[c.rq.head:]), 0
	for i := range d.rq.bufs {
		page(&d.rq.bufs[i])
	}
	for i := range d.ooo.segs {
		page(&d.ooo.segs[i].rcvBuf)
	}
	if d.rare != &sh.usual {
		r := *c.rare
		d.rare = &r
		d.priorAcks = slices.Clone(c.priorAcks)
	}
	if c.ka != nil {
		k := *c.ka
		d.ka = &k
	}
	if c.control != nil {
		k := *c.control
		d.control = &k
	}
	if c.tune != nil {
		t := *c.tune
		d.tune = &t
	}
	return &d
}

// stream is the byte at offset n of what end i writes.
func stream(i int, n int64) byte { return byte(n*7+n>>8) ^ byte(i*131+1) }

func (w *world) bytes(i int, from, n int64) []byte {
	b := make([]byte, n)
	for k := range b {
		b[k] = stream(i, from+int64(k))
	}
	return b
}

// settle reads, lets both ends send, and checks everything.
func (w *world) settle() {
	var out Out
	for i, c := range w.c {
		if c == nil {
			continue
		}
		if !w.sc.slow[i] && (i == 0 || w.lives == 0) {
			w.read(i)
		}
		for n := 0; c.Poll(w.now, &out); n++ {
			if n > 40 {
				w.fail("end %d does not stop sending: %v", i, out.TCP.Flags)
				break
			}
			w.emitted(i, &out)
		}
		w.check(i)
		if c.State() == api.StateClosed && i == 1 && !w.sc.simultaneous && !w.open[i] {
			w.forget(i) // back to LISTEN
		}
	}
	if a, b := w.c[0], w.c[1]; a != nil && b != nil && a.State() != api.StateClosed && b.State() != api.StateClosed {
		for i, c := range w.c {
			d := w.c[1-i]
			if d.irs == c.iss && c.irs == d.iss && (d.rcvNxt > c.sndNxt || c.sndUna > d.rcvNxt) {
				w.fail("end %d has sent up to %d and thinks %d acknowledged; the other has received up to %d", i, c.sndNxt-c.iss, c.sndUna-c.iss, d.rcvNxt-d.irs)
			}
		}
	}
}

func (w *world) forget(i int) {
	w.c[i].ReleaseBuffers()
	if w.budget[i].used != 0 {
		w.fail("end %d: %d bytes still charged", i, w.budget[i].used)
	}
	w.c[i] = nil
	w.lives++
}

// emitted checks a segment that end i has sent, and puts it on the way.
func (w *world) emitted(i int, out *Out) {
	c, h := w.c[i], out.TCP
	at := unwrap(c.iss+1, h.Seq)
	var data []byte
	for k := range out.Payload {
		data = append(data, out.Payload[k].Bytes()...)
		out.Payload[k].Release()
	}
	if int64(len(data)) != out.Len || out.GSOSize != 0 || int64(h.HeaderLen())+20+out.Len > w.mtu() {
		w.fail("end %d: segment of %d bytes, said to be %d", i, len(data), out.Len)
	}
	for k, x := range data {
		if x != stream(i, int64(at-c.iss-1)+int64(k)) {
			w.fail("end %d sends a wrong byte at %d", i, at-c.iss-1+uint64(k))
			break
		}
	}
	if h.Flags&(fACK|fSYN|fRST) == fACK {
		edge := unwrap(c.rcvNxt, h.Ack) + uint64(h.Window)<<c.rcvScale
		if edge+1<<c.rcvScale-1 < w.edge[i] {
			w.fail("end %d takes its window back from %d to %d", i, w.edge[i]-c.irs, edge-c.irs)
		}
		w.edge[i] = max(w.edge[i], edge)
	}
	w.wires[1-i] = append(w.wires[1-i], onWire{h: h, n: out.Len, iss: c.iss, sent: w.now})
	if len(w.wires[1-i]) > 60 {
		w.fail("more than 60 segments on the way")
	}
}

// check looks at one end after every step.
func (w *world) check(i int) {
	c := w.c[i]
	if err := c.Check(); err != nil {
		w.fail("end %d: %v", i, err)
	}
	if c.Deadline() <= w.now {
		w.fail("end %d has a timer that is due: %+v", i, c.tm)
	}
	switch c.State() {
	case api.StateSynSent, api.StateSynReceived, api.StateClosed:
	default:
		if i == 1 && w.lives > 0 {
			w.fail("an old SYN has opened a connection")
		}
		w.open[i] = true
	}
	compare := func(b []byte, seq uint64) {
		for k, x := range b {
			if x != stream(1-i, int64(seq-c.irs-1)+int64(k)) {
				w.fail("end %d has received a wrong byte at %d", i, seq-c.irs-1+uint64(k))
				return
			}
		}
	}
	if !c.readShut && c.state != api.StateClosed && (i == 0 || w.lives == 0) {
		if c.readSeq()-c.irs-1 != uint64(w.got[i]) && c.state != api.StateSynSent {
			w.fail("end %d has read %d, the queue begins at %d", i, w.got[i], c.readSeq()-c.irs-1)
		}
		at := c.readSeq()
		for k := range c.rq.bufs[c.rq.head:] {
			r := &c.rq.bufs[c.rq.head+k]
			compare(r.b.Bytes()[:r.used], at)
			at += uint64(r.used)
		}
	}
	for k := range c.ooo.segs {
		s := &c.ooo.segs[k]
		compare(s.b.Bytes()[:s.used], s.start)
	}
}

// read reads all there is.
func (w *world) read(i int) {
	for !w.eof[i] && w.readErr[i] == nil {
		b, err := w.c[i].Read(w.now)
		switch {
		case err == ErrAgain:
			return
		case err == io.EOF:
			w.eof[i] = true
			return
		case err != nil:
			w.readErr[i] = err
			return
		}
		for _, x := range b.Bytes() {
			if x != stream(1-i, w.got[i]) || w.got[i] >= w.wrote[1-i] {
				w.fail("end %d reads a wrong byte at %d", i, w.got[i])
				return
			}
			w.got[i]++
		}
		b.Release()
	}
}

// A move is one of the things that can happen.
type move struct {
	kind byte // c call, d deliver, l lose, 2 duplicate, t timer, r read, o orphan
	end  int
	k    int
}

func (m move) String() string {
	switch m.kind {
	case 'c':
		return fmt.Sprintf("call %d", m.end)
	case 'd':
		if m.k > 0 {
			return fmt.Sprintf("deliver to %d, overtaking %d", m.end, m.k)
		}
		return fmt.Sprintf("deliver to %d", m.end)
	case 'l':
		return fmt.Sprintf("lose to %d", m.end)
	case '2':
		return fmt.Sprintf("duplicate to %d", m.end)
	case 't':
		return "timer"
	case 'o':
		return fmt.Sprintf("orphan %d", m.end)
	}
	return fmt.Sprintf("read %d", m.end)
}

// callable reports whether end i can make its next call. A passive one gets its
// connection when that is established.
func (w *world) callable(i int) bool {
	c := w.c[i]
	if w.pc[i] >= len(w.sc.prog[i]) || c == nil {
		return false
	}
	return c.State() != api.StateSynReceived || !c.passive
}

func (w *world) readable(i int) bool {
	c := w.c[i]
	return w.sc.slow[i] && c != nil && !w.eof[i] && w.readErr[i] == nil && (!c.rq.empty() || c.readEnd() != ErrAgain) && w.open[i]
}

func (w *world) deadline() clock.Time {
	d := clock.Never
	for _, c := range w.c {
		if c != nil {
			d = min(d, c.Deadline())
		}
	}
	return d
}

func (w *world) moves(ms []move) []move {
	for i := range w.c {
		if w.callable(i) {
			ms = append(ms, move{'c', i, 0})
		}
		if w.readable(i) {
			ms = append(ms, move{'r', i, 0})
		}
		n := len(w.wires[i])
		for k := 0; k < n && k <= w.left.reorder; k++ {
			ms = append(ms, move{'d', i, k})
		}
		if n > 0 && w.left.losses > 0 {
			ms = append(ms, move{'l', i, 0})
		}
		if n > 0 && w.left.dups > 0 {
			ms = append(ms, move{'2', i, 0})
		}
	}
	if d := w.deadline(); d != clock.Never && w.left.timers > 0 {
		oldest := clock.Never
		for i := range w.wires {
			for k := range w.wires[i] {
				oldest = min(oldest, w.wires[i][k].sent)
			}
		}
		if oldest == clock.Never || w.left.early > 0 && d < oldest.Add(mslBound) {
			ms = append(ms, move{'t', 0, 0})
		}
	}
	return ms
}

// do makes a move.
func (w *world) do(m move) {
	i := m.end
	switch m.kind {
	case 'c':
		w.call(i)
	case 'r':
		w.read(i)
	case 'o':
		w.c[i].Orphan(w.now)
	case 'l':
		w.left.losses--
		w.wires[i] = w.wires[i][1:]
	case 'd', '2':
		s := w.wires[i][m.k]
		w.wires[i] = slices.Delete(slices.Clone(w.wires[i]), m.k, m.k+1)
		if m.kind == '2' {
			w.left.dups--
			w.wires[i] = append(w.wires[i], s)
		}
		w.deliver(i, &s)
	case 't':
		if len(w.wires[0])+len(w.wires[1]) > 0 {
			w.left.early--
		}
		w.left.timers--
		w.timer()
	}
	w.settle()
}

func (w *world) timer() {
	w.now = max(w.now, w.deadline())
	for _, c := range w.c {
		if c != nil && c.Deadline() <= w.now {
			c.Timeout(w.now)
		}
	}
}

func (w *world) call(i int) {
	c := w.c[i]
	op := w.sc.prog[i][w.pc[i]]
	w.pc[i]++
	switch op {
	case 'w', 'u', '2', '3', '4', '5', '6', '7', '8', '9':
		n := int64(exploreSegment)
		if op <= '9' {
			n *= int64(op - '0')
		}
		b := api.NewBuffer(w.bytes(i, w.wrote[i], n))
		if _, err := c.Write(w.now, []*api.Buffer{b}, WriteOptions{Urgent: op == 'u'}); err != nil {
			b.Release()
			if c.state != api.StateClosed {
				w.fail("end %d: Write: %v", i, err)
			}
			return
		}
		w.wrote[i] += n
	case 'c':
		c.CloseWrite(w.now)
	case 'r':
		c.CloseRead(w.now)
	case 'o':
		c.Orphan(w.now)
	case 'a':
		c.Abort(w.now, api.ErrAborted)
	}
}

// deliver does for end i what a host does.
func (w *world) deliver(i int, s *onWire) {
	c, h := w.c[i], s.h
	listens := i == 1 && !w.sc.simultaneous
	g := &Segment{TCP: h, Len: s.n}
	if s.n > 0 {
		base := s.iss
		g.Payload = []api.Buffer{*api.NewBuffer(w.bytes(1-i, int64(unwrap(base+1, h.Seq)-base-1), s.n))}
	}
	if c != nil && c.State() != api.StateClosed {
		una, nxt, edge := c.sndUna, c.rcvNxt, c.rcvEdge
		if c.state == api.StateSynSent {
			nxt, edge = 0, 0
		}
		c.Segment(w.now, g)
		if c.sndUna < una || c.rcvNxt < nxt || c.rcvEdge < edge {
			w.fail("end %d goes back: SND.UNA %d to %d, RCV.NXT %d to %d, window %d to %d", i, una, c.sndUna, nxt, c.rcvNxt, edge, c.rcvEdge)
		}
		return
	}
	releasePayload(g)
	switch {
	case h.Flags&fRST != 0:
	case listens && h.Flags&(fSYN|fACK|fFIN) == fSYN:
		if c != nil {
			// An old SYN, and the port listens still: of what it opens nobody may
			// ever hear.
			w.judge(i)
			w.judged = true
			w.lives++
		}
		c, err := NewPassive(w.now, w.config(1), g)
		if err != nil {
			panic(err)
		}
		w.c[1], w.edge[1] = c, 0
		w.open[1] = false
	default: // RFC 9293, section 3.10.7.1
		r := wire.TCP{Seq: h.Ack, Flags: fRST}
		if h.Flags&fACK == 0 {
			r = wire.TCP{Ack: h.Seq + uint32(s.n), Flags: fRST | fACK}
			if h.Flags&fSYN != 0 {
				r.Ack++
			}
			if h.Flags&fFIN != 0 {
				r.Ack++
			}
		}
		w.wires[1-i] = append(w.wires[1-i], onWire{h: r, sent: w.now})
	}
}

// fair is what happens next when nothing is lost any more, and nobody is slow.
func (w *world) fair() (move, bool) {
	for i := range w.c {
		switch {
		case len(w.wires[i]) > 0:
			return move{'d', i, 0}, true
		case w.readable(i):
			return move{'r', i, 0}, true
		}
	}
	for i := range w.c {
		if w.callable(i) {
			return move{'c', i, 0}, true
		}
	}
	if w.deadline() != clock.Never {
		return move{'t', 0, 0}, true
	}
	// Whose peer has gone without a word, its RST being lost, waits until the user
	// gives up.
	for i, c := range w.c {
		if w.sc.mayCut && c != nil && c.State() != api.StateClosed && !c.orphan {
			return move{'o', i, 0}, true
		}
	}
	return move{}, false
}

// ended checks a pair to which nothing will happen any more.
func (w *world) ended() {
	for i, c := range w.c {
		switch {
		case c != nil:
			if c.State() != api.StateClosed {
				w.fail("end %d stays in %v: %s", i, c.State(), c.sequence())
			}
			if i == 0 || w.lives == 0 {
				w.judge(i)
			}
			c.ReleaseBuffers()
			if w.budget[i].used != 0 {
				w.fail("end %d: %d bytes still charged", i, w.budget[i].used)
			}
		case !w.sc.mayCut && !w.judged:
			w.fail("end %d was never opened", i)
		}
	}
}

// judge looks at what a connection that has ended leaves behind.
func (w *world) judge(i int) {
	c := w.c[i]
	err := c.CloseReason()
	if w.sc.mayCut {
		switch err {
		case nil, api.ErrReset, api.ErrAborted, api.ErrRefused:
		case api.ErrTimeout:
			if !w.sc.mayTimeOut {
				w.fail("end %d times out", i)
			}
		default:
			w.fail("end %d ends with %v", i, err)
		}
		// The data may be cut short, but not in secret.
		if w.eof[i] && !c.orphan && !strings.Contains(w.sc.prog[i], "r") {
			if w.got[i] != w.wrote[1-i] || !strings.ContainsAny(w.sc.prog[1-i][:w.pc[1-i]], "co") {
				w.fail("end %d has read %d of %d bytes, and then the end of file", i, w.got[i], w.wrote[1-i])
			}
		}
		return
	}
	if err != nil {
		w.fail("end %d ends with %v", i, err)
	}
	if w.sc.slow[i] {
		w.read(i)
	}
	if w.got[i] != w.wrote[1-i] || !w.eof[i] || w.pc[i] != len(w.sc.prog[i]) {
		w.fail("end %d has read %d of %d bytes, end of file %v, error %v", i, w.got[i], w.wrote[1-i], w.eof[i], w.readErr[i])
	}
}

type explorer struct {
	fail      func(what string) // told of the first thing that is wrong
	sc        *scenario
	bound     bound
	seen      map[uint64]struct{} // states entered
	fine      map[uint64]struct{} // states from which a fair channel leads to an end
	path      []move
	steps     int
	ends      int
	fairSteps int
	longest   int
	failed    bool
}

func newExplorer(sc *scenario, fail func(what string)) *explorer {
	e := &explorer{fail: fail, sc: sc, bound: sc.quick, seen: map[uint64]struct{}{}, fine: map[uint64]struct{}{}}
	if *exploreFull {
		e.bound = sc.full
	}
	return e
}

func (e *explorer) run() {
	w := newWorld(e.sc, e.bound)
	e.enter(w)
}

// enter explores everything from w on.
func (e *explorer) enter(w *world) {
	if w.watch != "" {
		e.report(w, nil)
		return
	}
	core := w.hash()
	key := mixHash(core, uint64(w.left.losses)|uint64(w.left.dups)<<8|uint64(w.left.early)<<16|uint64(w.left.timers)<<24)
	if _, ok := e.seen[key]; ok {
		return
	}
	e.seen[key] = struct{}{}
	e.longest = max(e.longest, len(e.path))
	e.end(w, core)
	var buf [16]move
	for _, m := range w.moves(buf[:0]) {
		if e.failed {
			return
		}
		v := w.clone()
		v.do(m)
		e.steps++
		e.path = append(e.path, m)
		e.enter(v)
		e.path = e.path[:len(e.path)-1]
	}
}

// end runs a copy of w to its end.
func (e *explorer) end(w *world, core uint64) {
	if _, ok := e.fine[core]; ok {
		return
	}
	v := w.clone()
	v.left = bound{}
	met := []uint64{core}
	var tail []move
	for {
		m, ok := v.fair()
		if !ok {
			v.ended()
			break
		}
		v.do(m)
		tail = append(tail, m)
		e.fairSteps++
		if v.watch != "" {
			break
		}
		if len(tail) > 400 {
			v.fail("no end in sight: %v and %v", v.c[0], v.c[1])
			break
		}
		h := v.hash()
		if _, ok := e.fine[h]; ok {
			break
		}
		met = append(met, h)
	}
	if v.watch != "" {
		e.report(v, tail)
		return
	}
	e.ends++
	for _, h := range met {
		e.fine[h] = struct{}{}
	}
}

// report tells how the search got to what is wrong, packet by packet.
func (e *explorer) report(w *world, tail []move) {
	if e.failed {
		return
	}
	e.failed = true
	var b strings.Builder
	v := newWorld(e.sc, e.bound)
	show := func(m move) {
		fmt.Fprintf(&b, "%-28v", m)
		if m.kind == 'd' || m.kind == '2' || m.kind == 'l' {
			s := v.wires[m.end][m.k]
			fmt.Fprintf(&b, " %v seq %d ack %d len %d win %d", s.h.Flags, s.h.Seq, s.h.Ack, s.n, s.h.Window)
		} else if m.kind == 'c' {
			fmt.Fprintf(&b, " %c", v.sc.prog[m.end][v.pc[m.end]])
		}
		v.do(m)
		for _, c := range v.c {
			if c == nil {
				b.WriteString(" [LISTEN]")
			} else {
				fmt.Fprintf(&b, " [%v]", c.State())
			}
		}
		fmt.Fprintf(&b, " at %v\n", v.now)
	}
	for _, m := range e.path {
		show(m)
	}
	if len(tail) > 0 {
		b.WriteString("and then fairly\n")
		for _, m := range tail[:min(len(tail), 60)] {
			show(m)
		}
	}
	e.fail(w.watch + "\nafter\n" + b.String())
}

// Hashing: all of a connection but what counts, what is only told, and what never
// changes; instants as seen from now, and of sequences that are shifted the living
// part.

var unhashed = map[string]bool{
	"User": true, "Owner": true, "p": true, "rand": true, "shared": true, "local": true, "remote": true, "cfg": true, "events": true, "stats": true, "seldom": true, "rate": true, "told": true, "watch": true, "ctl": true, "ctlName": true,
	"control": true, "opened": true, "lastSend": true, "softErr": true, "onLost": true, "counters": true, "last": true,
}

type hashFunc func(v reflect.Value, now clock.Time, h uint64) uint64

var hashFuncs = map[reflect.Type]hashFunc{}

func mixHash(h, x uint64) uint64 {
	h ^= x + 0x9e3779b97f4a7c15 + h<<6 + h>>2
	h *= 0xff51afd7ed558ccd
	return h ^ h>>32
}

func hasher(t reflect.Type) hashFunc {
	if f := hashFuncs[t]; f != nil {
		return f
	}
	hashFuncs[t] = func(v reflect.Value, now clock.Time, h uint64) uint64 { return hashFuncs[t](v, now, h) } // recursive types
	f := makeHasher(t)
	hashFuncs[t] = f
	return f
}

func makeHasher(t reflect.Type) hashFunc {
	switch {
	case t == reflect.TypeFor[clock.Time]():
		return func(v reflect.Value, now clock.Time, h uint64) uint64 {
			at := clock.Time(v.Int())
			if at != 0 && at != clock.Never {
				at -= now
			}
			return mixHash(h, uint64(at))
		}
	case t == reflect.TypeFor[api.Buffer]():
		return func(v reflect.Value, _ clock.Time, h uint64) uint64 { return mixHash(h, uint64(v.Field(0).Len())) }
	case t == reflect.TypeFor[error]():
		return func(v reflect.Value, _ clock.Time, h uint64) uint64 {
			if v.IsNil() {
				return mixHash(h, 0)
			}
			return mixHash(h, uint64(v.Elem().Pointer()))
		}
	}
	switch t.Kind() {
	case reflect.Bool:
		return func(v reflect.Value, _ clock.Time, h uint64) uint64 {
			if v.Bool() {
				return mixHash(h, 1)
			}
			return mixHash(h, 0)
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return func(v reflect.Value, _ clock.Time, h uint64) uint64 { return mixHash(h, uint64(v.Int())) }
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return func(v reflect.Value, _ clock.Time, h uint64) uint64 { return mixHash(h, v.Uint()) }
	case reflect.Pointer:
		elem := hasher(t.Elem())
		return func(v reflect.Value, now clock.Time, h uint64) uint64 {
			if v.IsNil() {
				return mixHash(h, 0)
			}
			return elem(v.Elem(), now, mixHash(h, 1))
		}
	case reflect.Slice, reflect.Array:
		elem := hasher(t.Elem())
		return func(v reflect.Value, now clock.Time, h uint64) uint64 {
			h = mixHash(h, uint64(v.Len()))
			for i := range v.Len() {
				h = elem(v.Index(i), now, h)
			}
			return h
		}
	case reflect.Struct:
		type field struct {
			i int
			f hashFunc
		}
		var fields []field
		head := -1
		for i := range t.NumField() {
			f := t.Field(i)
			switch {
			case f.Name == "head":
				head = i
			case !unhashed[f.Name]:
				fields = append(fields, field{i, hasher(f.Type)})
			}
		}
		return func(v reflect.Value, now clock.Time, h uint64) uint64 {
			for _, f := range fields {
				x := v.Field(f.i)
				if head >= 0 && x.Kind() == reflect.Slice && f.i == headed[t] {
					x = x.Slice(int(v.Field(head).Int()), x.Len())
				}
				h = f.f(x, now, h)
			}
			return h
		}
	}
	panic("cannot hash " + t.String())
}

// headed has, of the types with a head, the slice that it is an index of.
var headed = func() map[reflect.Type]int {
	m := map[reflect.Type]int{}
	for t, name := range map[reflect.Type]string{
		reflect.TypeFor[sendQueue](): "bufs", reflect.TypeFor[recvQueue](): "bufs", reflect.TypeFor[scoreboard](): "recs", reflect.TypeFor[rackState](): "resent",
	} {
		f, ok := t.FieldByName(name)
		if !ok {
			panic(t.String() + " has no " + name)
		}
		m[t] = f.Index[0]
	}
	return m
}()

func (w *world) hash() uint64 {
	h := uint64(0)
	for i, c := range w.c {
		if c == nil {
			h = mixHash(h, 99)
		} else {
			h = hasher(reflect.TypeFor[Conn]())(reflect.ValueOf(c).Elem(), w.now, h)
			if !w.sc.params.NoTimestamps { // they tell absolute time
				h = mixHash(h, uint64(w.now))
			}
		}
		h = mixHash(h, uint64(len(w.wires[i])))
		for k := range w.wires[i] {
			s := &w.wires[i][k]
			h = hasher(reflect.TypeFor[wire.TCP]())(reflect.ValueOf(&s.h).Elem(), w.now, h)
			h = mixHash(mixHash(h, uint64(s.n)), uint64(w.now-s.sent))
		}
		bits := uint64(w.pc[i])<<2 | uint64(w.lives)<<8
		if w.eof[i] {
			bits |= 1
		}
		if w.open[i] {
			bits |= 2
		}
		if w.judged {
			bits |= 1 << 32
		}
		h = mixHash(mixHash(h, bits), uint64(w.got[i]))
	}
	return h
}

// TestCloneSharesNothing: that what happens to a copy happens to it alone is what the
// search stands on.
func TestCloneSharesNothing(t *testing.T) {
	shared := map[string]bool{"User": true, "Owner": true, "Like": true, "cfg": true, "p": true, "rand": true, "ctl": true, "counters": true, "reason": true, "softErr": true, "onLost": true, "watch": true, "b": true, "z": true}
	var compare func(path string, a, b reflect.Value)
	compare = func(path string, a, b reflect.Value) {
		switch a.Kind() {
		case reflect.Struct:
			for i := range a.NumField() {
				name := a.Type().Field(i).Name
				if !shared[name] {
					compare(path+"."+name, a.Field(i), b.Field(i))
				}
			}
		case reflect.Array:
			for i := range a.Len() {
				compare(path, a.Index(i), b.Index(i))
			}
		case reflect.Slice:
			if a.Cap() > 0 && b.Cap() > 0 && a.Pointer() == b.Pointer() {
				t.Errorf("%s is shared", path)
			}
		case reflect.Pointer, reflect.Map, reflect.Func:
			if !a.IsNil() && a.Pointer() == b.Pointer() {
				t.Errorf("%s is shared", path)
			} else if !a.IsNil() && a.Kind() == reflect.Pointer {
				compare(path, a.Elem(), b.Elem())
			}
		case reflect.Interface, reflect.Chan, reflect.UnsafePointer:
			t.Errorf("%s is of a kind that clone does not know", path)
		}
	}
	for _, s := range []*script{
		scriptConfig{synOpts: allOpts, params: Params{Autotune: true}}.open(t),
		scriptConfig{synOpts: mssOnly}.open(t),
	} {
		s.write(20_000)
		for s.poll() {
			s.done()
		}
		s.recvData(fACK, 1, 1, pattern(10, 1))
		s.recvData(fACK, 100, 1, pattern(10, 1), s.sack(1461, 2921))
		s.c.keepRare()
		s.c.priorAcks = append(s.c.priorAcks, priorAck{})
		s.c.ka, s.c.control = new(keepaliveState), new(pace)
		s.c.rack.resent = append(s.c.rack.resent, resentRec{})
		compare("Conn", reflect.ValueOf(s.c).Elem(), reflect.ValueOf(s.c.clone(&testBudget{})).Elem())
	}
}
