package engine

import (
	"context"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/impl/engine/tcp"
)

// What follows is for stacks that emulate others: what their socket options and flags
// ask for, and a Flow does not have.

// WriteRecord is Writev of the end of a record (tcp.Emulation.Records).
func (f *Flow) WriteRecord(ctx context.Context, bs []*api.Buffer) error {
	return f.write(ctx, bs, tcp.WriteOptions{Record: true}, false)
}

// WriteLast is Writev and CloseWrite at once, so that the FIN goes with the data. It
// does not wait.
func (f *Flow) WriteLast(bs []*api.Buffer) error {
	bs = nonEmpty(bs)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	now := f.shard.enter()
	_, now, err := f.enqueue(ctx, now, bs, tcp.WriteOptions{})
	f.closeWrite(now)
	f.shard.leave(now)
	return f.fail("write", err)
}

// SwitchController gives an established flow that has not left its initial window
// another congestion controller, and reports whether it could.
func (f *Flow) SwitchController(factory cc.Factory) bool {
	now := f.shard.enter()
	ok := f.conn.SwitchController(now, factory)
	f.shard.touch(now, f.conn)
	f.shard.leave(now)
	return ok
}

// Tune changes parameters of this flow alone, as far as they are looked at after the
// handshake.
func (f *Flow) Tune(change func(*tcp.Params)) {
	now := f.shard.enter()
	f.conn.Tune(now, change)
	f.shard.touch(now, f.conn)
	f.shard.leave(now)
}
