package engine

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"sync"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/fault"
	"github.com/sluicenet/sluice/impl/engine/tcp"
)

// Flow is an api.Flow over a pure connection.
type Flow struct {
	shard *shard
	conn  *tcp.Conn // set before anybody else knows the flow

	configuring sync.Mutex // held while a user's function edits the options

	// Under the shard's lock.
	state      api.State     // that the observer knows
	ready      api.Readiness // not yet notified
	waits      *waits        // nil if nobody ever waited
	notify     func(api.Flow, api.Readiness)
	disconnect func() // tells a waiting Disconnect
}

var _ api.UrgentFlow = (*Flow)(nil)

func newFlow(s *shard, notify func(api.Flow, api.Readiness)) *Flow {
	return &Flow{shard: s, notify: notify}
}

// waits are the things that a goroutine may wait for. Most flows of a program that
// has very many are not waited for, or not for long.
type waits struct{ opened, readable, writable, acks, closed waitList }

var nobody waits // of flows that nobody waits for: never written

func (f *Flow) waiting() *waits {
	if f.waits == nil {
		return &nobody
	}
	return f.waits
}

// ownWaits is waiting for somebody who will.
func (f *Flow) ownWaits() *waits {
	if f.waits == nil {
		f.waits = new(waits)
	}
	return f.waits
}

// wait parks the caller until what it waits for, which of picks, may have come.
func (f *Flow) wait(ctx context.Context, now clock.Time, of func(*waits) *waitList) (clock.Time, error) {
	return of(f.ownWaits()).wait(ctx, f.shard, now)
}

// forgetWaits lets go of what was needed to wait, if nobody does.
func (f *Flow) forgetWaits() {
	if w := f.waiting(); len(w.opened.parked)+len(w.readable.parked)+len(w.writable.parked)+len(w.acks.parked)+len(w.closed.parked) == 0 {
		f.waits = nil
	}
}

func forOpened(w *waits) *waitList   { return &w.opened }
func forWritable(w *waits) *waitList { return &w.writable }
func forAcks(w *waits) *waitList     { return &w.acks }
func forClosed(w *waits) *waitList   { return &w.closed }

// Dst implements api.Flow (D1).
func (f *Flow) Dst() netip.AddrPort {
	if fault.On("destination-is-source") {
		return f.conn.Local()
	}
	return f.conn.Remote()
}

// Src implements api.Flow (D1).
func (f *Flow) Src() netip.AddrPort { return f.conn.Local() }

func (f *Flow) fail(op string, err error) error {
	if err == nil || err == io.EOF && !fault.On("end-of-file-wrapped") || fault.On("errors-bare") {
		return err
	}
	return &api.Error{Op: op, Src: f.Src(), Dst: f.Dst(), Err: err}
}

// Read implements api.Flow (R1, R2, R3, R4).
func (f *Flow) Read(ctx context.Context) (*api.Buffer, error) {
	if err := f.untilReadable(ctx); err != nil {
		return nil, f.fail("read", err)
	}
	now := f.shard.stack.clock.Now()
	b, err := f.conn.Read(now)
	f.hasRead(now)
	return b, f.fail("read", err)
}

// ReadInto is Read into memory of the caller's: it blocks until data is available
// and copies as many bytes as p has room for and as suit the stack, at least one
// unless p is empty. The errors are those of Read. Package netconn uses it.
func (f *Flow) ReadInto(ctx context.Context, p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := f.untilReadable(ctx); err != nil {
		return 0, f.fail("read", err)
	}
	now := f.shard.stack.clock.Now()
	var views [viewsOfRead]api.Buffer
	k := 0
	var err error
	for room := len(p); k < len(views) && room > 0; k++ {
		if k > 0 && !f.conn.HasData() {
			break
		}
		if views[k], err = f.conn.ReadView(now, room); err != nil {
			break
		}
		room -= views[k].Len()
	}
	f.hasRead(now)
	if err != nil {
		return 0, f.fail("read", err)
	}
	n := 0
	for i := range views[:k] {
		n += copy(p[n:], views[i].Bytes())
		views[i].Release()
	}
	return n, nil
}

// viewsOfRead is how many pieces of the queue a ReadInto takes at a time: a
// super-packet and the rest of a block that did not fit into it, and a few more where
// they are small.
const viewsOfRead = 4

// untilReadable waits until a Read need not, and returns with the shard's lock
// held; or until ctx ends, and returns why, without it.
func (f *Flow) untilReadable(ctx context.Context) error {
	f.shard.mu.Lock()
	for !f.conn.Readable() {
		// A context that has ended loses to data that has come.
		if ctx.Err() != nil {
			f.shard.exit()
			return context.Cause(ctx)
		}
		f.ownWaits().readable.look(ctx, f.shard)
	}
	return nil
}

// hasRead lets go of the shard's lock after a Read. Most leave nothing to do but for
// the next segment; only where the window has opened noticeably the peer is told.
func (f *Flow) hasRead(now clock.Time) {
	if !f.conn.AckDue() {
		f.shard.exit()
		return
	}
	f.shard.touch(now, f.conn)
	f.shard.leave(now)
}

// Write implements api.Flow (W1, W2, W3, W4, W5).
func (f *Flow) Write(ctx context.Context, b *api.Buffer) error {
	return f.write(ctx, []*api.Buffer{b}, tcp.WriteOptions{}, false)
}

// Writev implements api.Flow (V1).
func (f *Flow) Writev(ctx context.Context, bs []*api.Buffer) error {
	return f.write(ctx, bs, tcp.WriteOptions{}, false)
}

// WriteNoDelay implements api.Flow (N1, N2).
func (f *Flow) WriteNoDelay(ctx context.Context, b *api.Buffer) error {
	return f.write(ctx, []*api.Buffer{b}, tcp.WriteOptions{NoDelay: true}, true)
}

// WritevNoDelay implements api.Flow (N3).
func (f *Flow) WritevNoDelay(ctx context.Context, bs []*api.Buffer) error {
	return f.write(ctx, bs, tcp.WriteOptions{NoDelay: true}, true)
}

// WriteUrgent implements api.UrgentFlow.
func (f *Flow) WriteUrgent(ctx context.Context, b *api.Buffer) error {
	return f.write(ctx, []*api.Buffer{b}, tcp.WriteOptions{NoDelay: true, Urgent: true}, false)
}

func (f *Flow) write(ctx context.Context, bs []*api.Buffer, o tcp.WriteOptions, acked bool) error {
	bs = nonEmpty(bs)
	now := f.shard.enter()
	if fault.On("write-checks-context-first") && ctx.Err() != nil {
		f.shard.leave(now)
		return f.fail("write", context.Cause(ctx))
	}
	end, now, err := f.enqueue(ctx, now, bs, o)
	if fault.On("write-waits-for-acknowledgment") {
		acked = true
	}
	if err == nil && acked && len(bs) > 0 {
		now, err = f.waitAcked(ctx, now, end)
	}
	f.shard.leave(now)
	return f.fail("write", err)
}

// nonEmpty returns the buffers that have bytes, and releases the others.
func nonEmpty(bs []*api.Buffer) []*api.Buffer {
	n := 0
	for _, b := range bs {
		if b != nil && b.Len() > 0 {
			n++
		}
	}
	if n == len(bs) {
		return bs
	}
	kept := make([]*api.Buffer, 0, n)
	for _, b := range bs {
		switch {
		case b == nil:
		case b.Len() == 0:
			b.Release()
		default:
			kept = append(kept, b)
		}
	}
	return kept
}

// enqueue hands bs to the connection, waiting while its queue is full. Whatever
// happens, bs no longer belong to the user.
func (f *Flow) enqueue(ctx context.Context, now clock.Time, bs []*api.Buffer, o tcp.WriteOptions) (uint64, clock.Time, error) {
	if len(bs) == 0 {
		return 0, now, f.conn.WriteError()
	}
	var ended error
	for {
		end, err := f.conn.Write(now, bs, o)
		if err == nil {
			f.shard.touch(now, f.conn)
			return end, now, nil
		}
		if errors.Is(err, tcp.ErrAgain) {
			if ended == nil && ctx.Err() != nil {
				ended = context.Cause(ctx)
			}
			if ended == nil {
				now, ended = f.wait(ctx, now, forWritable)
				continue
			}
			err = ended
		}
		for _, b := range bs {
			b.Release()
		}
		return 0, now, err
	}
}

// waitAcked waits until the peer's TCP has acknowledged up to end (N1).
func (f *Flow) waitAcked(ctx context.Context, now clock.Time, end uint64) (clock.Time, error) {
	var ended error
	for {
		switch {
		case f.conn.Acked() >= end:
			return now, nil
		case f.conn.FullyClosed() || f.conn.Gone():
			return now, api.ClosedBy(f.conn.CloseReason())
		case ended != nil:
			return now, ended
		case ctx.Err() != nil:
			return now, context.Cause(ctx)
		}
		now, ended = f.wait(ctx, now, forAcks)
	}
}

// Close implements api.Flow (C1, C2, C3, C4, C5).
func (f *Flow) Close(ctx context.Context) error {
	now := f.shard.enter()
	f.closeWrite(now)
	var ended error
	for !f.conn.FullyClosed() && ended == nil {
		if ctx.Err() != nil {
			ended = context.Cause(ctx)
			break
		}
		now, ended = f.wait(ctx, now, forClosed)
	}
	if f.conn.FullyClosed() && !fault.On("close-hides-reset") {
		ended = f.conn.CloseReason()
	}
	if fault.On("close-aborts-with-context") && ctx.Err() != nil {
		f.abort(now, api.ErrAborted)
	}
	f.shard.leave(now)
	return f.fail("close", ended)
}

// CloseWrite implements api.Flow (C1).
func (f *Flow) CloseWrite() error {
	now := f.shard.enter()
	f.closeWrite(now)
	f.shard.leave(now)
	return nil
}

func (f *Flow) closeWrite(now clock.Time) {
	f.conn.CloseWrite(now)
	f.shard.touch(now, f.conn)
	if fault.On("close-leaves-writers-blocked") {
		return
	}
	f.waiting().writable.wake() // those who wait for room get ErrClosed
}

// CloseRead implements api.Flow.
func (f *Flow) CloseRead() error {
	now := f.shard.enter()
	f.conn.CloseRead(now)
	f.shard.touch(now, f.conn)
	f.waiting().readable.wake()
	f.shard.leave(now)
	return nil
}

// Orphan implements api.Orphaner.
func (f *Flow) Orphan() {
	now := f.shard.enter()
	f.conn.Orphan(now)
	f.shard.touch(now, f.conn)
	f.wakeAll()
	f.shard.leave(now)
}

// Abort implements api.Flow.
func (f *Flow) Abort() {
	now := f.shard.enter()
	if fault.On("abort-as-close") {
		f.closeWrite(now)
		f.shard.leave(now)
		return
	}
	f.abort(now, api.ErrAborted)
	f.shard.leave(now)
}

func (f *Flow) abort(now clock.Time, reason error) {
	f.conn.Abort(now, reason)
	f.shard.touch(now, f.conn)
	f.wakeAll()
}

func (f *Flow) wakeAll() {
	w := f.waiting()
	w.opened.wake()
	w.readable.wake()
	w.writable.wake()
	w.acks.wake()
	w.closed.wake()
}

// HoldPush says that more will be written soon: the end of what has been written has no
// PSH until that is taken back.
func (f *Flow) HoldPush(on bool) {
	f.shard.mu.Lock()
	f.conn.HoldPush(on)
	f.shard.mu.Unlock()
}

// QuickAck says whether the next segments received are to be acknowledged one by
// one, beginning with what waits for it, or may wait for another. The stack decides
// again later. It is for a user who knows what he will answer, and when.
func (f *Flow) QuickAck(on bool) {
	now := f.shard.enter()
	f.conn.QuickAck(on)
	f.shard.touch(now, f.conn)
	f.shard.leave(now)
}

// CloseReason implements api.Flow.
func (f *Flow) CloseReason() error {
	f.shard.mu.Lock()
	defer f.shard.exit()
	if fault.On("close-reason-forgotten") {
		return nil
	}
	return f.conn.CloseReason()
}

// Info implements api.Flow.
func (f *Flow) Info() api.Info {
	now := f.shard.enter()
	defer f.shard.exit()
	return f.shard.stack.info(now, f.conn)
}

// Configure implements api.Flow (MUST-17, MUST-21, MUST-24, MUST-48, SHLD-21).
func (f *Flow) Configure(change func(*api.FlowConfig)) error {
	now, err := f.configure(change)
	f.shard.leave(now)
	return f.fail("configure", err)
}

// configure leaves the shard's lock to be released by the caller: bringing the
// shard to rest may call hooks of users, who may call Configure.
func (f *Flow) configure(change func(*api.FlowConfig)) (clock.Time, error) {
	// The user's function runs without the shard's lock. Two at a time would
	// undo each other's changes, so they take turns.
	f.configuring.Lock()
	defer f.configuring.Unlock()
	f.shard.mu.Lock()
	old := f.conn.FlowConfig()
	f.shard.mu.Unlock()
	cfg := old
	change(&cfg)

	now := f.shard.enter()
	if cfg.MSS != old.MSS || cfg.Local != old.Local || cfg.Congestion != old.Congestion {
		return now, configError("MSS, Local and Congestion are fixed once the flow exists")
	}
	resolved, err := f.shard.host.Resolve(&cfg)
	if err != nil {
		return now, err
	}
	// The stack's defaults were in force before; what has been taken away now is to
	// be off, whatever they say (MUST-17, MUST-24).
	resolved.NoDelay, resolved.Keepalive, resolved.Notify, resolved.DSCP = cfg.NoDelay, cfg.Keepalive, cfg.Notify, cfg.DSCP
	if !fault.On("notify-for-ever") || resolved.Notify != nil {
		f.notify = resolved.Notify
	}
	f.conn.Configure(now, &resolved)
	f.shard.touch(now, f.conn)
	return now, nil
}

func configError(text string) error { return &invalidConfig{text} }

type invalidConfig struct{ text string }

func (e *invalidConfig) Error() string        { return api.ErrInvalidConfig.Error() + ": " + e.text }
func (e *invalidConfig) Is(target error) bool { return target == api.ErrInvalidConfig }
