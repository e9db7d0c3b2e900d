package sim

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sluicenet/sluice/impl/engine/wire"
	"github.com/sluicenet/sluice/link/impair"
)

// A path is one direction of a link: a queue, a wire, and what is on it.
type path struct {
	net      *Network
	link     *Link
	from, to *node
	d        Direction

	chance  impair.Chance
	gilbert *rand.Rand
	bad     bool // the state of the Gilbert-Elliott model

	// The queue and the transmitter.
	waiting      fifo
	waitingBytes int64
	freeAt       Time // when the transmission under way ends
	serial       impair.Serializer
	sendTimer    timer
	policer      tokens
	shaper       tokens
	codel        codel

	// The wire. Packets that keep their order are in flight, the others in late.
	flight      fifo
	late        lateHeap
	lastInOrder Time // arrival of the latest packet that kept its place
	order       uint64
	arriveTimer timer

	// The data packets that LossEvery and LossList count.
	dataPackets int64
	highest     map[flowKey]uint32 // end of the highest sequence number seen

	stats     LinkStats
	base      LinkStats // at the end of the warm-up
	baseAt    Time
	queueArea float64 // byte-nanoseconds that have waited
	queueAt   Time    // up to when
	queued    time.Duration
}

// maxTracked bounds the flows whose retransmissions are told apart.
const maxTracked = 1 << 16

type flowKey struct {
	from             *node
	srcPort, dstPort uint16
}

func newPath(l *Link, lane uint64, from, to *node, d Direction) *path {
	p := &path{
		net: l.net, link: l, from: from, to: to,
		chance:  impair.NewChance(l.net.seed, lane),
		gilbert: impair.Stream(l.net.seed, lane, 8),
		highest: make(map[flowKey]uint32),
	}
	p.sendTimer = newTimer(doFunc(p.transmit))
	p.arriveTimer = newTimer(doFunc(p.arrive))
	p.set(0, d)
	return p
}

func (p *path) set(now Time, d Direction) {
	if d.CoDel != nil {
		k := *d.CoDel
		if k.Target == 0 {
			k.Target = 5 * time.Millisecond
		}
		if k.Interval == 0 {
			k.Interval = 100 * time.Millisecond
		}
		d.CoDel = &k
	} else {
		p.codel = codel{}
	}
	keep := func(t *tokens, b *Bucket) {
		switch {
		case b == nil:
			*t = tokens{}
		case t.b != *b:
			*t = newTokens(*b, now)
		}
	}
	keep(&p.policer, d.Policer)
	keep(&p.shaper, d.Shaper)
	d.LossList = slices.Sorted(slices.Values(d.LossList))
	p.d = d
	if p.waiting.len() > 0 {
		p.net.events.arm(&p.sendTimer, max(now, p.freeAt))
	}
}

// account adds to the queue's integral what has waited since it last changed.
func (p *path) account(now Time) {
	p.queueArea += float64(p.waitingBytes) * float64(now-p.queueAt)
	p.queueAt = now
}

func (p *path) snapshot(now Time) LinkStats {
	p.account(now)
	s := p.stats
	s.QueueBytes, s.QueuePackets = p.waitingBytes, p.waiting.len()
	if now > p.baseAt {
		s.MeanQueueBytes = p.queueArea / float64(now-p.baseAt)
	}
	if n := s.Sent - p.base.Sent; n > 0 {
		s.MeanQueueDelay = p.queued / time.Duration(n)
	}
	return s
}

// warm begins the measurement of means.
func (p *path) warm(now Time) {
	p.account(now)
	p.base, p.baseAt = p.stats, now
	p.queueArea, p.queued = 0, 0
	p.stats.MaxQueueBytes, p.stats.MaxQueued = p.waitingBytes, 0
}

// drop loses a packet.
func (p *path) drop(now Time, pkt *packet, r DropReason) {
	p.stats.Dropped[r]++
	p.stats.DroppedBytes += uint64(pkt.size)
	p.net.logDrop(now, p.link, p.from, pkt, r)
	p.net.packets.put(pkt)
}

// send takes in a packet.
func (p *path) send(now Time, pkt *packet) {
	p.stats.Offered++
	p.stats.OfferedBytes += uint64(pkt.size)
	if p.from.tap != nil {
		p.from.tap(now, p, pkt, true)
	}
	d := &p.d
	switch {
	case d.Blackhole:
		p.drop(now, pkt, DropBlackhole)
		return
	case pkt.size > int64(p.link.mtu):
		// A host knows better; a router has told the sender.
		p.drop(now, pkt, DropTooBig)
		return
	case d.Policer != nil && !p.policer.take(now, pkt.size):
		p.drop(now, pkt, DropPolicer)
		return
	}
	pkt.queued = now
	if p.waiting.len() == 0 && p.freeAt <= now && (d.Shaper == nil || p.shaper.when(now, min(pkt.size, d.Shaper.Burst)) <= now) {
		if p.freeAt < now {
			p.serial.Reset()
		}
		p.begin(now, pkt)
		return
	}
	if !p.room(pkt.size) {
		p.drop(now, pkt, DropQueue)
		return
	}
	if d.MarkBytes > 0 && p.waitingBytes > d.MarkBytes && pkt.mark() {
		p.stats.Marked++
	}
	p.account(now)
	p.waiting.push(pkt)
	p.waitingBytes += pkt.size
	p.stats.MaxQueueBytes = max(p.stats.MaxQueueBytes, p.waitingBytes)
	if p.sendTimer.index < 0 {
		at := max(p.freeAt, now)
		if d.Shaper != nil {
			at = max(at, p.shaper.when(now, min(pkt.size, d.Shaper.Burst)))
		}
		p.net.events.arm(&p.sendTimer, at)
	}
}

// room reports whether n more bytes may wait.
func (p *path) room(n int64) bool {
	d, packets := &p.d, p.waiting.len()+1
	if packets > maxQueued {
		return false
	}
	if d.QueueBytes == 0 && d.QueuePackets == 0 {
		return p.waitingBytes+n <= d.defaultQueue()
	}
	return (d.QueueBytes == 0 || p.waitingBytes+n <= d.QueueBytes) && (d.QueuePackets == 0 || packets <= d.QueuePackets)
}

// popQueue takes the first packet out of the queue, or returns nil.
func (p *path) popQueue() *packet {
	if p.waiting.len() == 0 {
		return nil
	}
	p.account(p.net.now)
	pkt := p.waiting.pop()
	p.waitingBytes -= pkt.size
	return pkt
}

// transmit begins the next transmission: the wire is free.
func (p *path) transmit(now Time) {
	for p.waiting.len() > 0 && p.freeAt <= now {
		if s := p.d.Shaper; s != nil {
			if at := p.shaper.when(now, min(p.waiting.head().size, s.Burst)); at > now {
				p.net.events.arm(&p.sendTimer, at)
				return
			}
		}
		var pkt *packet
		if p.d.CoDel != nil {
			pkt = p.codel.dequeue(now, p)
		} else {
			pkt = p.popQueue()
		}
		if pkt != nil {
			p.begin(now, pkt)
		}
	}
	if p.waiting.len() > 0 {
		p.net.events.arm(&p.sendTimer, p.freeAt)
	}
}

// begin puts a packet onto the wire.
func (p *path) begin(now Time, pkt *packet) {
	if p.d.Shaper != nil {
		p.shaper.take(now, min(pkt.size, p.d.Shaper.Burst))
	}
	p.freeAt = now
	if p.d.Rate > 0 {
		p.freeAt = now.Add(p.serial.Time(pkt.size, p.d.Rate))
	}
	p.stats.Sent++
	p.stats.SentBytes += uint64(pkt.size)
	w := now.Sub(pkt.queued)
	p.queued += w
	p.stats.MaxQueued = max(p.stats.MaxQueued, w)
	p.wire(now, pkt)
}

// wire decides what becomes of a packet on its way: its transmission ends at
// freeAt.
func (p *path) wire(now Time, pkt *packet) {
	d := &p.d
	// Every packet draws the same numbers, whatever becomes of it.
	luck := p.chance.Draw(&impair.Odds{
		Loss: d.Loss, Corrupt: d.Corrupt, Reorder: d.Reorder, Duplicate: d.Duplicate, Jitter: d.Jitter,
	})
	if r, lost := p.lose(pkt, luck.Lost); lost {
		p.drop(now, pkt, r)
		return
	}
	var twin *packet
	if luck.Duplicated {
		twin = p.net.packets.clone(pkt)
	}
	if luck.Corrupted {
		p.stats.Corrupted++
		impair.FlipBit(pkt.flatten(), luck.Position)
	}
	if luck.Reordered {
		p.stats.Reordered++
		delay := d.ReorderDelay
		if delay == 0 {
			delay = max(d.Delay/2, time.Millisecond)
		}
		p.launchLate(max(p.freeAt.Add(max(d.Delay+luck.Jitter, 0)), p.lastInOrder).Add(delay), pkt)
	} else {
		p.launch(luck.Jitter, pkt)
	}
	if twin != nil {
		p.stats.Duplicated++
		p.launch(luck.Jitter2, twin)
	}
}

func (p *path) launch(jitter time.Duration, pkt *packet) {
	at := p.freeAt.Add(max(p.d.Delay+jitter, 0))
	if p.d.JitterReorders && at < p.lastInOrder {
		p.launchLate(at, pkt)
		return
	}
	at = max(at, p.lastInOrder)
	p.lastInOrder = at
	p.order++
	pkt.queued = at // the queue is behind it: from here on, its arrival
	p.flight.push(pkt)
	if p.arriveTimer.index < 0 || at < p.arriveTimer.at {
		p.net.events.arm(&p.arriveTimer, at)
	}
}

func (p *path) launchLate(at Time, pkt *packet) {
	p.order++
	heap.Push(&p.late, latePacket{at, p.order, pkt})
	if p.arriveTimer.index < 0 || at < p.arriveTimer.at {
		p.net.events.arm(&p.arriveTimer, at)
	}
}

// arrive delivers what is due.
func (p *path) arrive(now Time) {
	for {
		var pkt *packet
		switch {
		case p.flight.len() > 0 && p.flight.head().queued <= now && (len(p.late) == 0 || p.flight.head().queued <= p.late[0].at):
			pkt = p.flight.pop()
		case len(p.late) > 0 && p.late[0].at <= now:
			pkt = heap.Pop(&p.late).(latePacket).pkt
		default:
			at := Never
			if p.flight.len() > 0 {
				at = p.flight.head().queued
			}
			if len(p.late) > 0 {
				at = min(at, p.late[0].at)
			}
			p.net.events.arm(&p.arriveTimer, at)
			return
		}
		p.stats.Delivered++
		if p.to.tap != nil {
			p.to.tap(now, p, pkt, false)
		}
		p.to.receive(now, pkt)
	}
}

// lose applies the models of losses.
func (p *path) lose(pkt *packet, unlucky bool) (r DropReason, lost bool) {
	d := &p.d
	var every, listed, burst bool
	if d.LossEvery > 0 || len(d.LossList) > 0 {
		if p.freshData(pkt) {
			p.dataPackets++
			every = d.LossEvery > 0 && p.dataPackets%d.LossEvery == 0
			_, listed = slices.BinarySearch(d.LossList, p.dataPackets)
		}
	}
	if g := d.Gilbert; g != nil {
		change, loss := p.gilbert.Float64(), p.gilbert.Float64()
		if p.bad {
			p.bad = change >= g.ToGood
		} else {
			p.bad = change < g.ToBad
		}
		if p.bad {
			burst = loss < g.LossBad
		} else {
			burst = loss < g.LossGood
		}
	}
	switch {
	case every:
		return DropEvery, true
	case listed:
		return DropList, true
	case burst:
		return DropGilbert, true
	case unlucky:
		return DropLoss, true
	}
	return 0, false
}

// freshData reports whether a packet carries data beyond what its flow has sent
// here before: whether it is no retransmission.
func (p *path) freshData(pkt *packet) bool {
	v := pkt.tcp()
	if !v.ok {
		return false
	}
	k := flowKey{pkt.from, v.srcPort, v.dstPort}
	if v.flags&wire.SYN != 0 {
		delete(p.highest, k) // a new connection
	}
	if v.payload <= 0 {
		return false
	}
	end := v.seq + uint32(v.payload)
	if seen, ok := p.highest[k]; ok && int32(end-seen) <= 0 {
		return false
	}
	if len(p.highest) >= maxTracked {
		clear(p.highest) // what comes through a port may be anything
	}
	p.highest[k] = end
	return true
}

// fifo is a queue of packets in one slice that is used again.
type fifo struct {
	s     []*packet
	first int
}

func (q *fifo) len() int       { return len(q.s) - q.first }
func (q *fifo) head() *packet  { return q.s[q.first] }
func (q *fifo) push(p *packet) { q.s = append(q.s, p) }

func (q *fifo) pop() *packet {
	p := q.s[q.first]
	q.s[q.first] = nil
	q.first++
	switch {
	case q.first == len(q.s):
		q.s, q.first = q.s[:0], 0
	case q.first >= 64 && q.first*2 >= len(q.s):
		n := copy(q.s, q.s[q.first:])
		clear(q.s[n:])
		q.s, q.first = q.s[:n], 0
	}
	return p
}

type latePacket struct {
	at    Time
	order uint64
	pkt   *packet
}

// lateHeap has the packets that do not keep their order, by arrival.
type lateHeap []latePacket

func (h lateHeap) Len() int { return len(h) }
func (h lateHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].order < h[j].order
}
func (h lateHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *lateHeap) Push(x any)   { *h = append(*h, x.(latePacket)) }
func (h *lateHeap) Pop() any {
	old := *h
	l := old[len(old)-1]
	old[len(old)-1] = latePacket{}
	*h = old[:len(old)-1]
	return l
}
