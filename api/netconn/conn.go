package netconn

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicenet/sluice/api"
)

// Linger bounds how long a closed Conn may go on delivering over a flow that is
// not an [api.Orphaner]; an Orphaner times itself.
const Linger = 60 * time.Second

// A Conn is a net.Conn over a Flow. Its methods may be called from any
// goroutine.
type Conn struct {
	flow api.Flow
	into copyReader // the same flow, or nil
	dst  *net.TCPAddr
	src  *net.TCPAddr

	read, write deadline

	// turn admits one Write or ReadFrom at a time: a long Write takes several of
	// the flow's, between which no other may come.
	turn turn

	mu      sync.Mutex
	rest    []*api.Buffer // read from the flow, not yet by the user
	eof     bool          // CloseRead was called
	apart   atomic.Bool   // Read must not go to the flow: eof, or there is a rest
	linger  int           // as SetLinger
	closing atomic.Bool   // Close was called; set while mu is held
}

var (
	_ net.Conn      = (*Conn)(nil)
	_ io.WriterTo   = (*Conn)(nil)
	_ io.ReaderFrom = (*Conn)(nil)
)

// A copyReader is a flow that copies what it has received to where the caller wants
// it. It saves the buffers, and bytes that others still see need not be copied
// twice.
type copyReader interface {
	ReadInto(ctx context.Context, p []byte) (int, error)
}

// New returns a Conn over f, which belongs to the Conn from then on.
func New(f api.Flow) *Conn {
	into, _ := f.(copyReader)
	return &Conn{
		flow:   f,
		into:   into,
		dst:    net.TCPAddrFromAddrPort(f.Dst()),
		src:    net.TCPAddrFromAddrPort(f.Src()),
		linger: -1,
	}
}

// Flow returns the flow underneath, for Info and what else net.Conn lacks.
// Reading from it directly takes bytes away from Read.
func (c *Conn) Flow() api.Flow { return c.flow }

// LocalAddr returns the local address, a *net.TCPAddr (D1).
func (c *Conn) LocalAddr() net.Addr { return c.src }

// RemoteAddr returns the peer's address, a *net.TCPAddr (D1).
func (c *Conn) RemoteAddr() net.Addr { return c.dst }

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline makes Read and WriteTo, pending and later, fail with
// os.ErrDeadlineExceeded from t on. The zero time means no deadline.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.read.set(t)
	return c.setError()
}

// SetWriteDeadline does the same for Write and ReadFrom. A Write that fails
// may have queued some of its bytes, and says how many.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.write.set(t)
	return c.setError()
}

func (c *Conn) setError() error {
	if c.closing.Load() {
		return c.wrap("set", net.ErrClosed)
	}
	return nil
}

// Read copies what has arrived into p, at least one byte of it, and keeps the
// rest for the next call. It blocks while there is none. At the end of the
// stream the error is a bare io.EOF.
func (c *Conn) Read(p []byte) (int, error) {
	ctx := c.read.context()
	if ctx.Err() != nil { // even if there is something to read
		return 0, c.wrap("read", context.Cause(ctx))
	}
	if len(p) == 0 {
		return 0, nil
	}
	if c.into != nil && !c.apart.Load() {
		n, err := c.into.ReadInto(ctx, p)
		if err != nil {
			return n, c.wrap("read", err)
		}
		return n, nil
	}
	b, err := c.next(ctx)
	if err != nil {
		return 0, c.wrap("read", err)
	}
	n := copy(p, b.Bytes())
	c.giveBack(b, n)
	return n, nil
}

// next returns what is to be read next.
func (c *Conn) next(ctx context.Context) (*api.Buffer, error) {
	c.mu.Lock()
	if c.eof {
		c.mu.Unlock()
		return nil, io.EOF
	}
	if len(c.rest) > 0 {
		b := c.rest[0]
		c.rest[0] = nil
		if c.rest = c.rest[1:]; len(c.rest) == 0 {
			c.rest = nil
			c.apart.Store(false)
		}
		c.mu.Unlock()
		return b, nil
	}
	c.mu.Unlock()
	return c.flow.Read(ctx)
}

// giveBack takes back the buffer of next, of which n bytes have been used.
func (c *Conn) giveBack(b *api.Buffer, n int) {
	if n == b.Len() {
		b.Release()
		return
	}
	b.Trim(n, b.Len())
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.eof || c.closing.Load() {
		b.Release()
		return
	}
	c.rest = append([]*api.Buffer{b}, c.rest...)
	c.apart.Store(true)
}

// WriteTo implements io.WriterTo: it reads until the end of the stream, without
// a copy of its own. To another Conn the buffers are handed over. What w did
// not take can still be read.
func (c *Conn) WriteTo(w io.Writer) (n int64, err error) {
	to, _ := w.(*Conn)
	for {
		ctx := c.read.context()
		if ctx.Err() != nil {
			return n, c.wrap("read", context.Cause(ctx))
		}
		b, err := c.next(ctx)
		if err != nil {
			if err = c.wrap("read", err); err == io.EOF {
				err = nil
			}
			return n, err
		}
		m := b.Len()
		if to != nil {
			if err = to.writeBuffer(b); err != nil {
				return n, err
			}
		} else {
			m, err = w.Write(b.Bytes())
			if m < 0 || m > b.Len() {
				panic("netconn: Write returned an impossible count")
			}
			if err == nil && m < b.Len() {
				err = io.ErrShortWrite
			}
			c.giveBack(b, m)
		}
		n += int64(m)
		if err != nil {
			return n, err
		}
	}
}

// Sizes of the buffers of Write and ReadFrom. Flows account for real memory,
// so few bytes must not occupy a large buffer.
const (
	maxChunk  = 64 << 10 // of one Flow.Write
	readChunk = 16 << 10 // of one Read from a foreign Reader
	tinyCopy  = 64       // as much as CopyBuffer puts into no page
	smallCopy = 1 << 10  // up to here the garbage collector's size classes fit best
)

// Write copies p and queues it, atomically with respect to other Writes. It
// blocks while the send queue is full. n says how many bytes were queued, all
// of them unless there is an error; that they arrived is not said.
func (c *Conn) Write(p []byte) (n int, err error) {
	ctx, err := c.startWrite()
	if err != nil {
		return 0, err
	}
	defer c.endWrite()
	for len(p) > 0 {
		m := min(len(p), maxChunk)
		// The flow admits a buffer, if it can, before it looks at ctx; net.Conn
		// lets nothing pass after a deadline.
		if ctx.Err() != nil {
			return n, c.wrap("write", context.Cause(ctx))
		}
		if err := c.flow.Write(ctx, copyOf(p[:m])); err != nil {
			return n, c.wrap("write", err)
		}
		n += m
		p = p[m:]
	}
	return n, nil
}

// startWrite waits for the turn to write, which ends with endWrite.
func (c *Conn) startWrite() (ctx context.Context, err error) {
	ctx = c.write.context()
	if ctx.Err() != nil {
		return nil, c.wrap("write", context.Cause(ctx))
	}
	if !c.turn.take(ctx) {
		return nil, c.wrap("write", context.Cause(ctx))
	}
	return ctx, nil
}

func (c *Conn) endWrite() { c.turn.pass() }

// writeBuffer hands b to the flow.
func (c *Conn) writeBuffer(b *api.Buffer) error {
	ctx, err := c.startWrite()
	if err != nil {
		b.Release()
		return err
	}
	defer c.endWrite()
	if err := c.flow.Write(ctx, b); err != nil {
		return c.wrap("write", err)
	}
	return nil
}

func copyOf(p []byte) *api.Buffer {
	if tinyCopy < len(p) && len(p) <= smallCopy {
		return api.NewBuffer(append(make([]byte, 0, len(p)), p...))
	}
	return api.CopyBuffer(p)
}

// ReadFrom implements io.ReaderFrom: it reads from r, straight into buffers that
// it hands to the flow, until io.EOF.
func (c *Conn) ReadFrom(r io.Reader) (n int64, err error) {
	if from, ok := r.(*Conn); ok {
		return from.WriteTo(c)
	}
	for empty := 0; ; {
		b := api.Alloc(readChunk)
		m, err := r.Read(b.Bytes())
		switch {
		case m < 0 || m > readChunk:
			panic("netconn: Read returned an impossible count")
		case m == 0:
			b.Release()
			if empty++; err == nil && empty == 100 {
				err = io.ErrNoProgress
			}
		default:
			empty = 0
			if m < readChunk/4 {
				small := copyOf(b.Bytes()[:m])
				b.Release()
				b = small
			} else {
				b.Trim(0, m)
			}
			if err := c.writeBuffer(b); err != nil {
				return n, err
			}
			n += int64(m)
		}
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// CloseWrite sends what was written and then the FIN. Read still works (C3).
func (c *Conn) CloseWrite() error {
	if c.closing.Load() {
		return c.wrap("close", net.ErrClosed)
	}
	if err := c.flow.CloseWrite(); err != nil {
		return c.wrap("close", err)
	}
	return nil
}

// CloseRead discards what has arrived and will; Read returns io.EOF.
func (c *Conn) CloseRead() error {
	if c.closing.Load() {
		return c.wrap("close", net.ErrClosed)
	}
	c.mu.Lock()
	c.eof = true
	c.apart.Store(true)
	c.releaseRest()
	c.mu.Unlock()
	if err := c.flow.CloseRead(); err != nil {
		return c.wrap("close", err)
	}
	return nil
}

func (c *Conn) releaseRest() {
	for _, b := range c.rest {
		b.Release()
	}
	c.rest = nil
}

// Close ends every pending call with net.ErrClosed and returns at once. What
// was written is still delivered, unless SetLinger(0) asked for a reset.
// Closing again returns net.ErrClosed, as package net does.
func (c *Conn) Close() error {
	c.mu.Lock()
	if !c.closing.CompareAndSwap(false, true) {
		c.mu.Unlock()
		return c.wrap("close", net.ErrClosed)
	}
	// Bytes that were read from the flow but not by the user are unread data,
	// which a close answers with a reset (RFC 9293, section 3.6.1; RFC 2525,
	// section 2.17): the peer must not take silence for success.
	unread := len(c.rest) > 0
	c.releaseRest()
	linger := c.linger
	c.mu.Unlock()
	c.read.close()
	c.write.close()

	orphaner, ok := c.flow.(api.Orphaner)
	switch {
	case linger == 0 || unread:
		c.flow.Abort()
	case ok:
		orphaner.Orphan()
		if linger > 0 {
			time.AfterFunc(time.Duration(linger)*time.Second, c.flow.Abort)
		}
	default:
		d := Linger
		if linger > 0 {
			d = time.Duration(linger) * time.Second
		}
		c.flow.CloseWrite()
		c.flow.CloseRead()
		time.AfterFunc(d, c.flow.Abort)
	}
	return nil
}

// wrap makes err the error of a method.
func (c *Conn) wrap(op string, err error) error {
	switch {
	case c.closing.Load():
		err = net.ErrClosed // also for the end of file that an orphan reads
	case err == io.EOF:
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.src, Addr: c.dst, Err: strip(err)}
}

// strip removes the flow's own *api.Error, whose facts the *net.OpError repeats.
func strip(err error) error {
	var e *api.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// addrOf returns a as a *net.TCPAddr, or nil if it is unknown.
func addrOf(a netip.AddrPort) net.Addr {
	if !a.IsValid() {
		return nil
	}
	return net.TCPAddrFromAddrPort(a)
}
