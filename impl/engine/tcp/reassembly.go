package tcp

import (
	"sort"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/fault"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// Received bytes are charged with the memory that they keep alive. A peer chooses
// how small its segments are, and links hand up whole pages: so that a byte
// may not hoard a page, payloads that fill less than half of their memory are
// copied into pages shared with their neighbours. What is kept is at most about
// twice what it shows.

const (
	smallPage = 2 << 10
	largePage = 16 << 10

	// copyBelow is the size up to which a payload is copied rather than kept, if
	// a page that is there already has room for it.
	copyBelow = 4 << 10
)

// worthKeeping reports whether b may be queued as it is: it wastes little, and
// nobody else sees it, so that Read can hand it up (R1). A large one is kept also
// while somebody does, as the peer's send queue at the other end of a link in
// memory: as a rule that has let go of it by the time of the Read, which otherwise
// makes the copy.
func worthKeeping(b *api.Buffer) bool {
	if fault.On("pages-hoarded") || fault.On("read-shares-memory") {
		return true
	}
	return b.MemSize() <= 2*int64(b.Len()) && (b.Len() >= largePage || b.Exclusive())
}

// rcvBuf is a buffer of which the first used bytes hold data.
type rcvBuf struct {
	b      api.Buffer
	used   int
	charge int64
}

func (r *rcvBuf) room() int { return r.b.Len() - r.used }

// recvQueue holds what was received in order and not read.
type recvQueue struct {
	bufs []rcvBuf
	head int
	size int64
}

func (q *recvQueue) empty() bool { return q.head == len(q.bufs) }

func (q *recvQueue) last() *rcvBuf {
	if q.empty() {
		return nil
	}
	return &q.bufs[len(q.bufs)-1]
}

func (q *recvQueue) push(r rcvBuf) {
	q.bufs = append(q.bufs, r)
	q.size += int64(r.used)
}

// pop removes the first buffer, narrowed to its data.
func (q *recvQueue) pop() (r rcvBuf) {
	r = q.bufs[q.head]
	q.bufs[q.head] = rcvBuf{}
	q.head++
	if q.empty() {
		q.bufs, q.head = reuse(q.bufs), 0
	} else if q.head > 64 && q.head > len(q.bufs)/2 {
		n := copy(q.bufs, q.bufs[q.head:])
		clear(q.bufs[n:])
		q.bufs, q.head = q.bufs[:n], 0
	}
	q.size -= int64(r.used)
	r.b.Trim(0, r.used)
	return r
}

// part takes n bytes off the front of the first buffer, if it has more.
func (q *recvQueue) part(n int) (b api.Buffer, ok bool) {
	r := &q.bufs[q.head]
	if r.used <= n {
		return b, false
	}
	b = r.b.View(0, n)
	r.b.Trim(n, r.b.Len())
	r.used -= n
	q.size -= int64(n)
	return b, true
}

// disown returns what was charged for the queue, which holds it uncharged from
// then on.
func (q *recvQueue) disown() (freed int64) {
	for i := q.head; i < len(q.bufs); i++ {
		freed += q.bufs[i].charge
		q.bufs[i].charge = 0
	}
	return freed
}

// clear releases everything and returns what was charged for it.
func (q *recvQueue) clear() (freed int64) {
	for !q.empty() {
		r := q.pop()
		freed += r.charge
		r.b.Release()
	}
	q.bufs = nil
	return freed
}

// appendData queues as many bytes of b as there is memory for, and takes them off
// its front; when it has taken all of them, b is gone.
func (c *Conn) appendData(b *api.Buffer) (taken int64) {
	q := &c.rq
	n := b.Len()
	last := q.last()
	if worthKeeping(b) && !(last != nil && n < copyBelow && last.room() >= n) {
		cost := b.MemSize() + bufferOverhead
		if fault.On("memory-not-charged") {
			cost = 0
		}
		if !c.charge(cost) {
			return 0
		}
		q.push(rcvBuf{*b, n, cost})
		return int64(n)
	}
	src := b.Bytes()
	for len(src) > 0 {
		if last = q.last(); last == nil || last.room() == 0 {
			size := smallPage
			if q.size+int64(len(src)) > smallPage && c.cfg.Flow.ReceiveBuffer >= 4*largePage {
				size = largePage
			}
			page := api.Alloc(size)
			cost := page.MemSize() + bufferOverhead
			if !c.charge(cost) {
				page.Release()
				b.Trim(int(taken), n)
				return taken
			}
			q.push(rcvBuf{*page, 0, cost})
			last = q.last()
		}
		k := copy(last.b.Bytes()[last.used:], src)
		last.used += k
		q.size += int64(k)
		taken += int64(k)
		src = src[k:]
	}
	b.Release()
	return taken
}

// oooQueue holds what was received beyond a hole. Bytes that came first win.
type oooQueue struct {
	segs    []oooSeg // in order, not overlapping
	ranges  rangeSet // the same, merged
	bytes   int64
	charged int64
	small   int // segments below smallSegment
}

type oooSeg struct {
	start uint64
	rcvBuf
	small bool
}

func (s *oooSeg) end() uint64 { return s.start + uint64(s.used) }

// Bounds on what a peer can make us keep beyond a hole, besides the bytes: a
// legitimate peer sends few small segments.
const (
	maxOOOSegs   = 16 << 10 // or as many of smallSegment as the buffer holds
	maxOOOSmall  = 256
	maxOOORanges = 4 << 10 // a slow start that overshoots loses every second segment of a window
	smallSegment = 512
)

// end returns the end of the last byte, or 0.
func (q *oooQueue) end() uint64 {
	if n := len(q.ranges); n > 0 {
		return q.ranges[n-1].end
	}
	return 0
}

// insertOOO queues the bytes of b from seq on, those which are new. It takes b,
// and reports whether all of them are queued now.
func (c *Conn) insertOOO(seq uint64, b api.Buffer) bool {
	c.keepHoles()
	q := &c.ooo
	for {
		// Skip what is there.
		if r, ok := q.ranges.containing(seq); ok {
			n := min(int64(r.end-seq), int64(b.Len()))
			if fault.On("last-byte-wins") {
				q.overwrite(seq, b.Bytes()[:n])
			}
			b.Trim(int(n), b.Len())
			seq += uint64(n)
		}
		if b.Len() == 0 {
			b.Release()
			return true
		}
		end := seq + uint64(b.Len())
		i := q.ranges.after(seq)
		if i == len(q.ranges) || q.ranges[i].start >= end {
			return c.insertNew(seq, b)
		}
		rest := b.Split(int(q.ranges[i].start - seq))
		next := q.ranges[i].start
		if !c.insertNew(seq, b) {
			rest.Release()
			return false
		}
		seq, b = next, *rest
	}
}

// insertNew queues b at seq, where nothing is queued.
func (c *Conn) insertNew(seq uint64, b api.Buffer) bool {
	q := &c.ooo
	n := b.Len()
	r := seqRange{seq, seq + uint64(n)}
	i := sort.Search(len(q.segs), func(i int) bool { return q.segs[i].start > seq })
	grows := q.ranges.grows(r)
	var prev *oooSeg
	if i > 0 && q.segs[i-1].end() == seq {
		prev = &q.segs[i-1]
	}
	if !worthKeeping(&b) && prev != nil && prev.room() >= n {
		copy(prev.b.Bytes()[prev.used:], b.Bytes())
		prev.used += n
		q.bytes += int64(n)
		q.ranges.add(r)
		b.Release()
		return true
	}
	small := n < smallSegment
	if grows && len(q.ranges) >= maxOOORanges || len(q.segs) >= max(maxOOOSegs, int(c.cfg.Flow.ReceiveBuffer/smallSegment)) || small && q.small >= maxOOOSmall {
		b.Release()
		c.drop(api.DropReceiveBuffer)
		return false
	}
	e := oooSeg{start: seq, small: small}
	if worthKeeping(&b) {
		e.rcvBuf = rcvBuf{b, n, b.MemSize() + bufferOverhead}
		if !c.charge(e.charge) {
			b.Release()
			c.drop(api.DropMemory)
			return false
		}
	} else {
		// One that fills most of a page gets it, and a small one that follows
		// another, with room for those that will follow; any other only what
		// it needs.
		var page *api.Buffer
		if n <= smallPage && (2*n > smallPage || prev != nil) {
			page = api.Alloc(smallPage)
		} else {
			page = api.NewBuffer(make([]byte, n))
		}
		copy(page.Bytes(), b.Bytes())
		b.Release()
		e.rcvBuf = rcvBuf{*page, n, page.MemSize() + bufferOverhead}
		if !c.charge(e.charge) {
			e.b.Release()
			c.drop(api.DropMemory)
			return false
		}
	}
	if small {
		q.small++
	}
	q.segs = append(q.segs, oooSeg{})
	copy(q.segs[i+1:], q.segs[i:])
	q.segs[i] = e
	q.bytes += int64(n)
	q.charged += e.charge
	q.ranges.add(r)
	return true
}

// clear releases everything and returns what was charged for it.
func (q *oooQueue) clear() (freed int64) {
	for i := range q.segs {
		q.segs[i].b.Release()
	}
	freed = q.charged
	*q = oooQueue{}
	return freed
}

// segmentData is the seventh step: it takes the payload of a segment that lies in
// the window.
func (c *Conn) segmentData(now clock.Time, s *Segment, seq uint64) {
	c.noteSegmentSize(s)
	length := s.Len
	if seq > c.rcvNxt {
		// Out of order (SHLD-31): ACK at once, with SACK blocks.
		c.stats.outOfOrder++
		c.ackNow = true
		if fault.Built && c.wrongOutOfOrder(s) {
			return
		}
		for i := range s.Payload {
			b := s.Payload[i]
			s.Payload[i] = api.Buffer{}
			n := b.Len()
			if n == 0 {
				if b.MemSize() > 0 {
					b.Release()
				}
				continue
			}
			r := seqRange{seq, seq + uint64(n)}
			if c.ooo.ranges.covers(r) {
				c.noteDuplicate(r.start, r.end)
			}
			if c.insertOOO(seq, b) {
				c.noteSackRange(seq)
			}
			seq = r.end
		}
		s.Payload, s.Len = s.Payload[:0], 0
		return
	}

	hadHole := len(c.ooo.segs) > 0
	before := c.rcvNxt
	for i := range s.Payload {
		b := s.Payload[i]
		s.Payload[i] = api.Buffer{}
		n := int64(b.Len())
		if n == 0 {
			if b.MemSize() > 0 {
				b.Release()
			}
			continue
		}
		if seq < c.rcvNxt { // bytes queued out of order have overtaken it
			skip := min(n, int64(c.rcvNxt-seq))
			seq += uint64(skip)
			if skip == n {
				b.Release()
				continue
			}
			b.Trim(int(skip), int(n))
			n -= skip
		}
		if seq > c.rcvNxt { // what precedes found no memory
			b.Release()
			continue
		}
		c.inOrder(seq, b)
		seq += uint64(n)
	}
	s.Payload, s.Len = s.Payload[:0], 0
	c.stats.bytesReceived += c.rcvNxt - before
	if c.rcvNxt > before {
		if s.GSOSize > 0 {
			c.noteMerged(length)
		}
		c.tuneRTT(now, &s.TCP, length)
		c.ackPending += int64(c.rcvNxt - before)
		if c.rq.size > 0 {
			c.events |= EventRead
		}
	}
	// RFC 5681, section 4.2: at once if it fills a gap, and at least for every
	// second full segment (SHLD-19).
	switch {
	case fault.Built && c.wrongAck(hadHole && c.rcvNxt > before):
	case hadHole, c.rcvNxt == before, c.p.AckEverySegment:
		c.ackNow = true
	case c.ackPending >= 2*c.segmentEstimate2():
		c.ackNow = true
	case c.quickAcks > 0 && c.ackPending >= c.segmentEstimate2():
		// A peer in slow start grows by our ACKs.
		c.quickAcks--
		c.ackNow = true
	}
}

// quickAckSegments full segments at the start are acknowledged one by one.
const quickAckSegments = 16

// inOrder takes the bytes of b, which start at RCV.NXT, and what they make
// readable.
func (c *Conn) inOrder(seq uint64, b api.Buffer) {
	n := int64(b.Len())
	// Bytes that came first win: cut b where queued bytes begin.
	var rest *api.Buffer
	if len(c.ooo.ranges) > 0 && c.ooo.ranges[0].start < seq+uint64(n) {
		rest = b.Split(int(c.ooo.ranges[0].start - seq))
	}
	if b.Len() == 0 {
		b.Release()
	} else if !c.takeInOrder(b) {
		if rest != nil {
			rest.Release()
		}
		return
	}
	if fault.On("hole-filled-keeps-queue") {
		c.uncharge(c.ooo.clear())
	}
	c.drainOOO()
	if rest != nil {
		if over := int64(c.rcvNxt - seq); over >= n || rest.Len() == 0 {
			rest.Release()
			return
		}
		k := rest.Len() - int(int64(seq)+n-int64(c.rcvNxt))
		rest.Trim(k, rest.Len())
		c.inOrder(c.rcvNxt, *rest)
	}
}

// takeInOrder appends b at RCV.NXT, and reports whether there was memory for all
// of it.
func (c *Conn) takeInOrder(b api.Buffer) bool {
	n := int64(b.Len())
	if c.readShut {
		c.rcvNxt += uint64(n)
		b.Release()
		return true
	}
	got := c.appendData(&b)
	if got < n && len(c.ooo.segs) > 0 {
		// What lies beyond a hole is worth less than what fills it: give it up
		// (RFC 2018, section 8, allows it).
		c.uncharge(c.ooo.clear())
		got += c.appendData(&b)
	}
	c.rcvNxt += uint64(got)
	if got < n {
		b.Release()
		c.drop(api.DropMemory)
		return false
	}
	return true
}

// drainOOO moves what has become contiguous to the receive queue.
func (c *Conn) drainOOO() {
	q := &c.ooo
	i := 0
	for ; i < len(q.segs) && q.segs[i].start == c.rcvNxt; i++ {
		e := &q.segs[i]
		q.bytes -= int64(e.used)
		q.charged -= e.charge
		if e.small {
			q.small--
		}
		c.rcvNxt = e.end()
		if c.readShut {
			c.uncharge(e.charge)
			e.b.Release()
		} else {
			c.rq.push(e.rcvBuf)
		}
		*e = oooSeg{}
	}
	if i > 0 {
		n := copy(q.segs, q.segs[i:])
		clear(q.segs[n:])
		if q.segs = q.segs[:n]; n == 0 {
			q.segs = reuse(q.segs)
		}
		q.ranges.trimBelow(c.rcvNxt)
	}
}

// noteSegmentSize keeps the estimate of the peer's segment size (RMSS).
func (c *Conn) noteSegmentSize(s *Segment) {
	n := int32(s.Len)
	if s.GSOSize > 0 {
		n = min(n, int32(s.GSOSize))
	}
	switch {
	case n >= c.rcvMSS:
		c.rcvMSS = min(n, c.announcedMSS)
	case n == c.lastSegLen && n >= 128 && s.TCP.Flags&wire.PSH == 0:
		c.rcvMSS = n // smaller, but twice the same: the path has changed
	}
	c.lastSegLen = n
}

// segmentEstimate2 is the size of a full segment for counting ACKs.
func (c *Conn) segmentEstimate2() int64 { return int64(max(c.rcvMSS, 1)) }
