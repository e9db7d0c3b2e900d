package tcp

import (
	"io"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/fault"
)

// Read returns data in order (R1, R2), or ErrAgain, io.EOF, or why the
// connection ended.
func (c *Conn) Read(now clock.Time) (*api.Buffer, error) {
	if c.eofRead && fault.On("end-of-file-once") {
		return nil, api.ErrClosed
	}
	if fault.On("end-of-file-before-data") && c.hasRcvFin && c.rcvNxt > c.rcvFin {
		return nil, io.EOF
	}
	if c.readShut || c.eofRead {
		return nil, io.EOF
	}
	if fault.On("read-empty") && c.rq.size > 1 && c.stats.segsReceived%2 == 0 {
		return api.NewBuffer(nil), nil
	}
	if !c.rq.empty() {
		r := c.rq.pop()
		c.uncharge(r.charge)
		c.tuneReceive(now, int64(r.used))
		c.considerWindowUpdate(now)
		if r.b.Exclusive() || fault.On("read-shares-memory") {
			b := r.b
			return &b, nil
		}
		b := api.CopyBuffer(r.b.Bytes())
		r.b.Release()
		return b, nil
	}
	return nil, c.readEnd()
}

// ReadView is Read of at most n bytes, n > 0, for callers who copy them out: the
// Buffer may share its memory, and must not be written.
func (c *Conn) ReadView(now clock.Time, n int) (api.Buffer, error) {
	if c.readShut || c.eofRead {
		return api.Buffer{}, io.EOF
	}
	if c.rq.empty() {
		return api.Buffer{}, c.readEnd()
	}
	if b, ok := c.rq.part(n); ok {
		c.tuneReceive(now, int64(n))
		return b, nil // its memory stays charged until the rest has been read
	}
	r := c.rq.pop()
	c.uncharge(r.charge)
	c.tuneReceive(now, int64(r.used))
	c.considerWindowUpdate(now)
	return r.b, nil
}

// Readable reports whether Read returns anything but ErrAgain.
func (c *Conn) Readable() bool {
	return c.readShut || c.eofRead || !c.rq.empty() || c.readEnd() != ErrAgain
}

// HasData reports whether Read returns data.
func (c *Conn) HasData() bool { return !c.rq.empty() && !c.readShut && !c.eofRead }

// AckDue reports whether a segment is to be sent for no reason but to acknowledge or
// to announce a window, as a Read may have found.
func (c *Conn) AckDue() bool { return c.ackNow }

// readEnd is what Read returns when there is nothing to read.
func (c *Conn) readEnd() error {
	if c.hasRcvFin && c.rcvNxt > c.rcvFin && !c.cutsShort(c.reason) {
		c.eofRead = true
		return io.EOF
	}
	if c.state != api.StateClosed {
		return ErrAgain
	}
	switch c.reason {
	case api.ErrKeepalive:
		if fault.Built && fault.On("keepalive-not-end-of-file") {
			return c.reason
		}
		c.eofRead = true
		return io.EOF
	case nil: // K3
		c.eofRead = true
		return io.EOF
	}
	return c.reason
}

// Write queues bs whole and returns the stream offset after their last byte, to
// be compared with Acked. With an error nothing is queued, and bs remain the
// caller's: ErrAgain if the queue is at its limit, api.ErrNoMemory if the budget
// is, WriteError if writing has ended.
func (c *Conn) Write(now clock.Time, bs []*api.Buffer, o WriteOptions) (end uint64, err error) {
	if err := c.WriteError(); err != nil {
		return 0, err
	}
	if c.sq.charged >= c.sendLimit() {
		return 0, ErrAgain
	}
	var cost int64
	count := 0
	for _, b := range bs {
		if b.Len() > 0 {
			cost += sendCharge(b)
			count++
		}
	}
	if cost > 0 && c.cfg.Budget != nil {
		// Leave the stack some memory to receive with. Two stacks that had given
		// all of theirs to writers could not take in each other's segments.
		reserve := int64(receiveReserve)
		if c.sq.charged == 0 {
			reserve = 0 // one write for each flow is always worth a try
		}
		if !c.cfg.Budget.Charge(cost + reserve) {
			return 0, api.ErrNoMemory
		}
		c.cfg.Budget.Release(reserve)
	}
	if fault.On("writev-reversed") && len(bs) > 1 {
		bs[0], bs[len(bs)-1] = bs[len(bs)-1], bs[0]
	}
	left := cost
	for _, b := range bs {
		if b.Len() == 0 {
			b.Release()
			continue
		}
		// What keeps b's memory alive may have changed since it was looked at, in
		// another goroutine that releases a view of it: what was charged counts.
		k := min(sendCharge(b), left)
		if count--; count == 0 {
			k = left
		}
		left -= k
		if fault.On("write-changes-the-buffer") && b.Len() > 500 {
			b.Bytes()[0]++
		}
		c.sq.push(b, k)
	}
	if cost > 0 {
		c.watchUser(now)
		if o.Record {
			c.sq.endRecord()
		}
		if o.NoDelay {
			c.noDelayEnd = c.sq.end
		}
		if o.Urgent {
			c.writeUrgent()
		}
	}
	return c.sq.end - c.iss - 1, nil
}

// receiveReserve is what a Write leaves of the stack's budget.
const receiveReserve = 32 << 10

// HoldPush says that more will be written soon, so that the end of what is queued has
// no PSH, or no longer. Linux: MSG_MORE and TCP_CORK.
func (c *Conn) HoldPush(on bool) { c.holdPush = on }

// QuickAck hurries acknowledgements, or not: with on, what waits is sent, and the
// next segments are acknowledged one by one, as the first of a connection are; without,
// they wait for another, or for the timer (RFC 9293, section 3.8.6.3).
func (c *Conn) QuickAck(on bool) {
	if !on {
		c.quickAcks = 0
		return
	}
	c.quickAcks = quickAckSegments
	if c.ackPending > 0 {
		c.ackNow = true
	}
}

// Acked returns the stream offset up to which the peer has acknowledged.
func (c *Conn) Acked() uint64 {
	una := min(c.sndUna, c.sq.end)
	if fault.On("nodelay-waits-for-sending-only") {
		una = min(c.sndNxt, c.sq.end)
	}
	if fault.On("nodelay-does-not-wait") {
		una = c.sq.end
	}
	if una <= c.iss {
		return 0
	}
	return una - c.iss - 1
}

// WriteError is nil while writing may go on, and otherwise matches api.ErrClosed.
func (c *Conn) WriteError() error {
	if fault.Built {
		if err, wrong := c.wrongWriteError(); wrong {
			return err
		}
	}
	if c.state == api.StateClosed && c.reason != nil {
		return api.ClosedBy(c.reason)
	}
	if c.finQueued || c.FullyClosed() {
		return api.ClosedBy(nil)
	}
	return nil
}

// Configure changes options. Fixed ones have been checked by the caller.
func (c *Conn) Configure(now clock.Time, f *api.FlowConfig) {
	old := c.cfg.Flow
	n := *f
	if fault.On("dscp-fixed") {
		n.DSCP = old.DSCP
	}
	if fault.On("ttl-fixed") {
		n.TTL = old.TTL
	}
	if fault.On("nodelay-fixed") {
		n.NoDelay = old.NoDelay
	}
	if fault.On("user-timeout-fixed") {
		n.UserTimeout = old.UserTimeout
	}
	if fault.On("keepalive-fixed") {
		n.Keepalive = old.Keepalive
	}
	if n.SendBuffer <= 0 {
		n.SendBuffer = old.SendBuffer
	}
	if n.ReceiveBuffer <= 0 {
		n.ReceiveBuffer = old.ReceiveBuffer
	}
	if n.TTL == 0 {
		n.TTL = old.TTL
	}
	n.MSS, n.Local, n.Congestion = old.MSS, old.Local, old.Congestion // fixed
	c.share(c.cfg.withFlow(&n))
	if c.FullyClosed() {
		return
	}
	c.tm.stop(tmKeepalive)
	c.startKeepalive(now)
	if n.UserTimeout != old.UserTimeout && c.tm.armed(tmUser) {
		limit, _ := c.userTimeout()
		c.tm[tmUser] = max(now, c.progressAt+limit)
	}
	if n.SendBuffer > old.SendBuffer && c.sq.charged < c.sendLimit() {
		c.events |= EventWrite
	}
	if n.ReceiveBuffer > old.ReceiveBuffer {
		c.considerWindowUpdate(now)
	}
}
