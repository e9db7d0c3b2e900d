package tcp

import (
	"net/netip"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
)

// Conn is one connection. It is not safe for concurrent use.
type Conn struct {
	// User is whoever holds the connection; the machine does not look at it.
	User any
}

// NewActive returns a connection in SYN-SENT, whose SYN the next Poll returns.
// The error is the controller factory's.
func NewActive(now clock.Time, cfg *Config) (*Conn, error) { panic("BUG: not written") }

// NewPassive returns a connection in SYN-RECEIVED that comes from LISTEN and
// remembers that (MUST-11). syn is the SYN received.
func NewPassive(now clock.Time, cfg *Config, syn *Segment) (*Conn, error) {
	panic("BUG: not written")
}

// Segment takes a segment in.
func (c *Conn) Segment(now clock.Time, s *Segment) { panic("BUG: not written") }

// ICMP takes an ICMP error in; the quoted sequence number is checked here.
func (c *Conn) ICMP(now clock.Time, e ICMPError) { panic("BUG: not written") }

// Timeout does what is due at now. Calling it early does nothing.
func (c *Conn) Timeout(now clock.Time) { panic("BUG: not written") }

// Deadline returns when Timeout is to be called next; clock.Never if not at all.
func (c *Conn) Deadline() clock.Time { panic("BUG: not written") }

// Poll fills in the next segment to send, and returns false if there is none.
// It appends to out.Payload[:0].
func (c *Conn) Poll(now clock.Time, out *Out) bool { panic("BUG: not written") }

// TakeEvents returns what has changed since the last call.
func (c *Conn) TakeEvents() Events { panic("BUG: not written") }

// Read returns data in order (R1, R2), or ErrAgain, io.EOF, or why the
// connection ended.
func (c *Conn) Read(now clock.Time) (*api.Buffer, error) { panic("BUG: not written") }

// Write queues bs whole and returns the stream offset after their last byte, to
// be compared with Acked. With an error nothing is queued, and bs remain the
// caller's: ErrAgain if the queue is at its limit, api.ErrNoMemory if the budget
// is, WriteError if writing has ended.
func (c *Conn) Write(now clock.Time, bs []*api.Buffer, o WriteOptions) (end uint64, err error) {
	panic("BUG: not written")
}

// Acked returns the stream offset up to which the peer has acknowledged.
func (c *Conn) Acked() uint64 { panic("BUG: not written") }

// WriteError is nil while writing may go on, and otherwise matches api.ErrClosed.
func (c *Conn) WriteError() error { panic("BUG: not written") }

// CloseWrite queues a FIN behind what is written. Doing it again does nothing.
func (c *Conn) CloseWrite(now clock.Time) { panic("BUG: not written") }

// CloseRead discards what is received, now and later.
func (c *Conn) CloseRead(now clock.Time) { panic("BUG: not written") }

// Abort ends the connection, with a RST where the peer may know of it.
func (c *Conn) Abort(now clock.Time, reason error) { panic("BUG: not written") }

// Orphan says that nobody will read or write any more: what is queued is still
// delivered, and a FIN follows, but retries and FIN-WAIT-2 are timed, and
// data that nobody can read is answered by a RST (SHLD-3).
func (c *Conn) Orphan(now clock.Time) { panic("BUG: not written") }

// Configure changes options. Fixed ones have been checked by the caller.
func (c *Conn) Configure(now clock.Time, f *api.FlowConfig) { panic("BUG: not written") }

// FlowConfig returns the options in force.
func (c *Conn) FlowConfig() api.FlowConfig { panic("BUG: not written") }

// SetPathMTU lowers what a segment may be, or raises it again up to the link's.
func (c *Conn) SetPathMTU(now clock.Time, mtu int64) { panic("BUG: not written") }

// State returns the state.
func (c *Conn) State() api.State { panic("BUG: not written") }

// FullyClosed reports that the peer has closed and has acknowledged our close, or
// that the connection has ended otherwise (C4).
func (c *Conn) FullyClosed() bool { panic("BUG: not written") }

// Gone reports that the connection is in CLOSED: the host forgets it. Read may
// still deliver what is queued.
func (c *Conn) Gone() bool { panic("BUG: not written") }

// CloseReason is nil for an open connection and after an orderly close.
func (c *Conn) CloseReason() error { panic("BUG: not written") }

// Local and Remote are the two ends.
func (c *Conn) Local() netip.AddrPort  { panic("BUG: not written") }
func (c *Conn) Remote() netip.AddrPort { panic("BUG: not written") }

// Passive reports whether the connection was opened by the peer.
func (c *Conn) Passive() bool { panic("BUG: not written") }

// Info returns a snapshot; its three civil times are left to the caller, who
// gets them from Times.
func (c *Conn) Info(now clock.Time) api.Info { panic("BUG: not written") }

// Times returns when the connection was opened and when it last sent and received.
func (c *Conn) Times() (opened, sent, received clock.Time) { panic("BUG: not written") }

// ReleaseBuffers gives up all that is queued in both directions. It is called
// when the user has dropped an ended connection.
func (c *Conn) ReleaseBuffers() { panic("BUG: not written") }

// TimeWait is what remains of a connection in TIME-WAIT: a small record.
type TimeWait struct{}

// TimeWait returns the record of a connection in TIME-WAIT. The Conn itself is
// then no longer driven: it only serves Read and Info.
func (c *Conn) TimeWait() TimeWait { panic("BUG: not written") }

// Segment takes a segment in, and says what becomes of it.
func (t *TimeWait) Segment(now clock.Time, s *Segment, out *Out) TimeWaitVerdict {
	panic("BUG: not written")
}

// Deadline returns when the record can be forgotten.
func (t *TimeWait) Deadline() clock.Time { panic("BUG: not written") }

// MinISS returns the least initial sequence number that a connection replacing
// this one may use, on either end.
func (t *TimeWait) MinISS() uint32 { panic("BUG: not written") }
