package drill

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/sluicenet/sluice/conformance/drill/script"
	"github.com/sluicenet/sluice/conformance/drill/sock"
)

// A call is a system call under way.
type call struct {
	ev     *script.Event
	s      *script.Syscall
	end    time.Duration // Blocking: when it is to return
	gap    time.Duration // for the tolerance of that
	done   bool
	doneAt time.Duration
	result int64
	err    error    // sock.Errno, sock.Unsupported or *broken
	checks []string // what the results differ in
}

// caller makes the system calls of a script.
type caller struct {
	r   *run
	p   sock.Process
	fds map[int64]int // of the script to those of the process
}

// fd returns the process's descriptor for the script's.
func (c *caller) fd(x script.Expr) (int, error) {
	v, err := integer(x)
	if err != nil {
		return -1, err
	}
	if live, ok := c.fds[v]; ok {
		return live, nil
	}
	return -1, nil // it is not open; the process may have another by this number
}

// opened notes a descriptor that a call has returned.
func (c *caller) opened(k *call, fd int) int64 {
	want, err := integer(k.s.Result)
	if err != nil {
		want = int64(fd)
	}
	if want < 0 {
		want = int64(fd)
	}
	c.fds[want] = fd
	return want
}

// flags evaluates an argument that is a number, 0 where it is left out.
func arg(s *script.Syscall, i int) (int64, error) {
	if i >= len(s.Args) || isAny(s.Args[i]) || isNull(s.Args[i]) {
		return 0, nil
	}
	return integer(s.Args[i])
}

// do makes the call. It may block; ctx ends that.
func (c *caller) do(ctx context.Context, k *call) {
	s := k.s
	var ret int64
	var err error
	need := func(n int) bool {
		if len(s.Args) < n {
			err = &broken{s.Pos, fmt.Sprintf("%s takes %d arguments", s.Name, n)}
			return false
		}
		return true
	}
	f, known := syscalls[s.Name]
	switch {
	case !known:
		err = sock.Unsupported{Feature: "the system call " + s.Name}
	case need(f.args):
		ret, err = f.do(c, ctx, k)
	}
	k.result, k.err = ret, err
	if err != nil {
		k.result = -1
	}
}

type syscallFunc struct {
	args int
	do   func(c *caller, ctx context.Context, k *call) (int64, error)
}

var syscalls = map[string]syscallFunc{
	"socket": {3, (*caller).socket}, "bind": {2, (*caller).bind}, "listen": {2, (*caller).listen},
	"accept": {1, (*caller).accept}, "accept4": {1, (*caller).accept}, "connect": {2, (*caller).connect},
	"read": {3, (*caller).recv}, "recv": {3, (*caller).recv}, "recvfrom": {3, (*caller).recv},
	"readv": {2, (*caller).recv}, "recvmsg": {2, (*caller).recv},
	"write": {3, (*caller).send}, "send": {3, (*caller).send}, "sendto": {3, (*caller).send},
	"writev": {2, (*caller).send}, "sendmsg": {2, (*caller).send},
	"close": {1, (*caller).close}, "shutdown": {2, (*caller).shutdown}, "fcntl": {2, (*caller).fcntl},
	"ioctl": {2, (*caller).ioctl}, "getsockopt": {4, (*caller).getsockopt}, "setsockopt": {4, (*caller).setsockopt},
	"getsockname": {1, (*caller).name}, "getpeername": {1, (*caller).name}, "poll": {3, (*caller).poll},
	"epoll_create": {0, (*caller).epollCreate}, "epoll_create1": {0, (*caller).epollCreate},
	"epoll_ctl": {4, (*caller).epollCtl}, "epoll_wait": {4, (*caller).epollWait},
	"pipe": {1, (*caller).pipe}, "pipe2": {1, (*caller).pipe}, "splice": {5, (*caller).splice},
	"open": {1, (*caller).open}, "sendfile": {4, (*caller).sendfile},
}

func (c *caller) socket(_ context.Context, k *call) (int64, error) {
	domain := int64(sock.AFInet)
	if c.r.env.V6 || c.r.env.Mapped {
		domain = sock.AFInet6
	}
	if !isAny(k.s.Args[0]) {
		var err error
		if domain, err = integer(k.s.Args[0]); err != nil {
			return -1, err
		}
	}
	typ, err := arg(k.s, 1)
	if err != nil {
		return -1, err
	}
	proto, err := arg(k.s, 2)
	if err != nil {
		return -1, err
	}
	fd, err := c.p.Socket(int(domain), int(typ), int(proto))
	if err != nil {
		return -1, err
	}
	return c.opened(k, fd), nil
}

func (c *caller) bind(_ context.Context, k *call) (int64, error) {
	fd, err := c.fd(k.s.Args[0])
	if err != nil {
		return -1, err
	}
	addr := netip.AddrPortFrom(c.r.local(), c.r.opt.bindPort)
	if !isAny(k.s.Args[1]) {
		if addr, err = sockaddr(k.s.Args[1], addr); err != nil {
			return -1, err
		}
	}
	return 0, c.p.Bind(fd, c.r.mapped(addr))
}

func (c *caller) listen(_ context.Context, k *call) (int64, error) {
	fd, err := c.fd(k.s.Args[0])
	if err != nil {
		return -1, err
	}
	n, err := arg(k.s, 1)
	if err != nil {
		return -1, err
	}
	if err := c.p.Listen(fd, int(n)); err != nil {
		return -1, err
	}
	name, err := c.p.GetSockName(fd)
	if err == nil {
		c.r.listening(name.Port())
	}
	return 0, nil
}

func (c *caller) accept(ctx context.Context, k *call) (int64, error) {
	fd, err := c.fd(k.s.Args[0])
	if err != nil {
		return -1, err
	}
	var flags int64
	if k.s.Name == "accept4" {
		if flags, err = arg(k.s, 3); err != nil {
			return -1, err
		}
	}
	n, peer, err := c.p.Accept(ctx, fd, int(flags))
	if err != nil {
		return -1, err
	}
	v := c.opened(k, n)
	c.r.accepted(int(v), peer)
	if len(k.s.Args) > 1 {
		c.checkAddress(k, k.s.Args[1], peer)
	}
	return v, nil
}

// checkAddress compares an address that a call has returned. The script's port
// and address of the remote end are mapped, so only what is explicit and local to
// the process can be compared: the family.
func (c *caller) checkAddress(k *call, x script.Expr, got netip.AddrPort) {
	s, ok := x.(*script.Struct)
	if !ok {
		return
	}
	if f := s.Field("sa_family"); f != nil && !isAny(f) {
		want, err := integer(f)
		family := int64(sock.AFInet)
		if got.Addr().Is6() {
			family = sock.AFInet6
		}
		if err == nil && want != family {
			k.checks = append(k.checks, fmt.Sprintf("the address family is %d, not %d", family, want))
		}
	}
	if f := s.Field("sin_port"); f != nil && !isAny(f) && k.s.Name == "getsockname" {
		if want, err := integer(f); err == nil && uint16(want) != got.Port() {
			k.checks = append(k.checks, fmt.Sprintf("the port is %d, not %d", got.Port(), want))
		}
	}
}

func (c *caller) connect(ctx context.Context, k *call) (int64, error) {
	fd, err := c.fd(k.s.Args[0])
	if err != nil {
		return -1, err
	}
	addr := netip.AddrPortFrom(c.r.env.Remote, c.r.opt.connectPort)
	if !isAny(k.s.Args[1]) {
		if addr, err = sockaddr(k.s.Args[1], addr); err != nil {
			return -1, err
		}
	}
	v, err := integer(k.s.Args[0])
	if err == nil {
		c.r.connecting(int(v), addr, c.busy(fd))
	}
	return 0, c.p.Connect(ctx, fd, c.r.mapped(addr))
}

// busy reports whether a socket has a connection that another connect keeps.
func (c *caller) busy(fd int) bool {
	i, err := c.p.Info(fd)
	if err != nil {
		return false
	}
	closed := int64(7)
	if c.r.freebsd() {
		closed = 0
	}
	return i["tcpi_state"] != closed
}

// iov evaluates a vector of buffers. Contents are given for writing.
func iov(x script.Expr) (bufs [][]byte, err error) {
	l, ok := x.(*script.List)
	if !ok {
		return nil, brokenf(x, "expected a vector of buffers")
	}
	for _, it := range l.Items {
		var base, size script.Expr
		switch e := it.(type) {
		case *script.List:
			if len(e.Items) == 2 {
				base, size = e.Items[0], e.Items[1]
			}
		case *script.Struct:
			base, size = e.Field("iov_base"), e.Field("iov_len")
		}
		if size == nil {
			return nil, brokenf(it, "expected {..., length}")
		}
		n, err := integer(size)
		if err != nil {
			return nil, err
		}
		b, err := buffer(base, n)
		if err != nil {
			return nil, err
		}
		bufs = append(bufs, b)
	}
	return bufs, nil
}

// buffer returns n bytes: those of a string, or zeros.
func buffer(x script.Expr, n int64) ([]byte, error) {
	if n < 0 || n > 64<<20 {
		return nil, brokenf(x, "a buffer of %d bytes", n)
	}
	b := make([]byte, n)
	if s, ok := text(x); ok {
		copy(b, s)
	}
	return b, nil
}

// message evaluates the buffers and flags of the calls that read and write.
func (c *caller) message(k *call) (m *sock.Message, flags int64, err error) {
	s := k.s
	m = &sock.Message{}
	switch s.Name {
	case "readv", "writev":
		m.Plain = true
		m.Fault = isNull(s.Args[1])
		if !m.Fault {
			m.Iov, err = iov(s.Args[1])
		}
		return m, 0, err
	case "recvmsg", "sendmsg":
		h, ok := s.Args[1].(*script.Struct)
		if !ok {
			return nil, 0, brokenf(s.Args[1], "expected a message header")
		}
		if f := h.Field("msg_iov"); f != nil && !isAny(f) {
			if m.Iov, err = iov(f); err != nil {
				return nil, 0, err
			}
		}
		if f := h.Field("msg_control"); f != nil && !isAny(f) && !isNull(f) {
			if s.Name == "recvmsg" {
				m.ControlLen = 4096
			} else if m.Control, err = controls(f); err != nil {
				return nil, 0, err
			}
		}
		m.WantName = h.Has("msg_name")
		flags, err = arg(s, 2)
		return m, flags, err
	}
	n, err := integer(s.Args[2])
	if err != nil {
		return nil, 0, err
	}
	b, err := buffer(s.Args[1], n)
	if err != nil {
		return nil, 0, err
	}
	m.Iov = [][]byte{b}
	m.Fault = isNull(s.Args[1]) && n > 0
	m.Plain = s.Name == "read" || s.Name == "write"
	if s.Name != "read" && s.Name != "write" {
		flags, err = arg(s, 3)
	}
	return m, flags, err
}

func (c *caller) recv(ctx context.Context, k *call) (int64, error) {
	fd, err := c.fd(k.s.Args[0])
	if err != nil {
		return -1, err
	}
	m, flags, err := c.message(k)
	if err != nil {
		return -1, err
	}
	n, err := c.p.Recv(ctx, fd, m, int(flags))
	if err == nil && k.s.Name == "recvmsg" {
		err = c.checkMessage(k, m, n)
	}
	return int64(n), err
}

// checkMessage compares what recvmsg has returned.
func (c *caller) checkMessage(k *call, m *sock.Message, n int) error {
	h := k.s.Args[1].(*script.Struct)
	if f := h.Field("msg_flags"); f != nil && !isAny(f) {
		want, err := integer(f)
		if err != nil {
			return err
		}
		if int(want)&^sock.MsgDontWait != m.Flags {
			k.checks = append(k.checks, fmt.Sprintf("msg_flags is %#x, not %#x", m.Flags, want))
		}
	}
	f := h.Field("msg_control")
	if f == nil || isAny(f) || isNull(f) {
		return nil
	}
	return c.checkControl(k, f, m.Control)
}

func (c *caller) send(ctx context.Context, k *call) (int64, error) {
	fd, err := c.fd(k.s.Args[0])
	if err != nil {
		return -1, err
	}
	m, flags, err := c.message(k)
	if err != nil {
		return -1, err
	}
	for _, b := range m.Iov {
		if !bytes.Equal(b, make([]byte, len(b))) {
			c.r.rules.zeros = false
		}
	}
	if flags&sock.MsgFastOpen != 0 {
		to, err := c.destination(k)
		if err != nil {
			return -1, err
		}
		if m.Name = to; to.IsValid() {
			m.Name = c.r.mapped(to)
			if v, err := integer(k.s.Args[0]); err == nil {
				c.r.connecting(int(v), to, c.busy(fd))
			}
		}
	}
	n, err := c.p.Send(ctx, fd, m, int(flags))
	return int64(n), err
}

func (c *caller) close(ctx context.Context, k *call) (int64, error) {
	fd, err := c.fd(k.s.Args[0])
	if err != nil {
		return -1, err
	}
	v, _ := integer(k.s.Args[0])
	delete(c.fds, v)
	return 0, c.p.Close(ctx, fd)
}

func (c *caller) shutdown(_ context.Context, k *call) (int64, error) {
	fd, err := c.fd(k.s.Args[0])
	if err != nil {
		return -1, err
	}
	how, err := arg(k.s, 1)
	if err != nil {
		return -1, err
	}
	return 0, c.p.Shutdown(fd, int(how))
}

func (c *caller) fcntl(_ context.Context, k *call) (int64, error) {
	fd, err := c.fd(k.s.Args[0])
	if err != nil {
		return -1, err
	}
	cmd, err := arg(k.s, 1)
	if err != nil {
		return -1, err
	}
	v, err := arg(k.s, 2)
	if err != nil {
		return -1, err
	}
	n, err := c.p.Fcntl(fd, int(cmd), int(v))
	return int64(n), err
}

func (c *caller) ioctl(_ context.Context, k *call) (int64, error) {
	fd, err := c.fd(k.s.Args[0])
	if err != nil {
		return -1, err
	}
	req, err := arg(k.s, 1)
	if err != nil {
		return -1, err
	}
	var want int64
	has := len(k.s.Args) > 2 && !isAny(k.s.Args[2])
	if has {
		if want, err = integer(k.s.Args[2]); err != nil {
			return -1, err
		}
	}
	n, v, err := c.p.Ioctl(fd, int(req), int(want))
	if err == nil && has && int64(v) != want && int(req) != sock.FIONBIO {
		k.checks = append(k.checks, fmt.Sprintf("the value is %d, not %d", v, want))
	}
	return int64(n), err
}

func (c *caller) option(k *call) (fd int, level, name int64, err error) {
	if fd, err = c.fd(k.s.Args[0]); err != nil {
		return
	}
	if level, err = integer(k.s.Args[1]); err != nil {
		return
	}
	name, err = integer(k.s.Args[2])
	return
}

func (c *caller) setsockopt(_ context.Context, k *call) (int64, error) {
	fd, level, name, err := c.option(k)
	if err != nil {
		return -1, err
	}
	v, err := optionValue(k.s.Args[3], level, name)
	if err != nil {
		return -1, err
	}
	if len(k.s.Args) > 4 && !isAny(k.s.Args[4]) {
		n, err := integer(k.s.Args[4])
		if err != nil {
			return -1, err
		}
		if n >= 0 && int(n) < len(v) && level != 0 {
			v = v[:n]
		}
	}
	if c.r.freebsd() && level == sock.IPProtoTCP && name == sock.TCPFastOpenBSD && !fastOpenUsed(c.r.script) {
		c.r.note("TCP Fast Open is offered and nobody uses it")
		return 0, nil
	}
	return 0, c.p.SetSockopt(fd, int(level), int(name), v)
}

func (c *caller) getsockopt(_ context.Context, k *call) (int64, error) {
	fd, level, name, err := c.option(k)
	if err != nil {
		return -1, err
	}
	x := k.s.Args[3]
	got, err := c.p.GetSockopt(fd, int(level), int(name), 256)
	if err != nil {
		return -1, err
	}
	if isAny(x) || c.r.rules.lenient && level == sock.SolSocket && (name == sock.SoRcvBuf || name == sock.SoSndBuf) {
		return 0, nil
	}
	if int(level) == sock.IPProtoTCP && int(name) == sock.TCPInfo {
		return 0, c.checkInfo(k, fd, x)
	}
	want, err := optionValue(x, level, name)
	if err != nil {
		return -1, err
	}
	if _, ok := text(x); ok {
		g, _, _ := strings.Cut(string(got), "\x00")
		w, _, _ := strings.Cut(string(want), "\x00")
		if g != w {
			k.checks = append(k.checks, fmt.Sprintf("the value is %q, not %q", g, w))
		}
		return 0, nil
	}
	if len(want) > len(got) || !bytes.Equal(want, got[:len(want)]) {
		k.checks = append(k.checks, fmt.Sprintf("the value is %s, not %s", numberText(got), numberText(want)))
	}
	return 0, nil
}

// fastOpenUsed reports whether a script depends on TCP Fast Open: a cookie is asked
// for or given, or data come with a SYN.
func fastOpenUsed(s *script.Script) bool {
	for i := range s.Events {
		switch a := s.Events[i].Action.(type) {
		case *script.Packet:
			if a.TCP == nil {
				continue
			}
			if a.TCP.Flags.SYN && a.TCP.Seq.Len > 0 {
				return true
			}
			for _, o := range a.TCP.Options {
				if o.Kind == script.OptFastOpen || o.Kind == script.OptFOEXP {
					return true
				}
			}
		case *script.Syscall:
			for _, x := range a.Args {
				if v, err := integer(x); err == nil && v == sock.MsgFastOpen {
					return true
				}
			}
		}
	}
	return false
}

// checkInfo compares members of tcp_info.
func (c *caller) checkInfo(k *call, fd int, x script.Expr) error {
	s, ok := x.(*script.Struct)
	if !ok {
		return nil
	}
	info, err := c.p.Info(fd)
	if err != nil {
		return err
	}
	for _, f := range s.Fields {
		if isAny(f.Value) {
			continue
		}
		want, err := integer(f.Value)
		if err != nil {
			return err
		}
		got, ok := info[f.Name]
		if !ok {
			return sock.Unsupported{Feature: f.Name + " in tcp_info"}
		}
		if got != want {
			k.checks = append(k.checks, fmt.Sprintf("%s is %d, not %d", f.Name, got, want))
		}
	}
	return nil
}

func numberText(b []byte) string {
	if len(b) == 4 {
		return fmt.Sprint(int32(binary.LittleEndian.Uint32(b)))
	}
	return fmt.Sprintf("%x", b)
}

func (c *caller) name(_ context.Context, k *call) (int64, error) {
	fd, err := c.fd(k.s.Args[0])
	if err != nil {
		return -1, err
	}
	get := c.p.GetSockName
	if k.s.Name == "getpeername" {
		get = c.p.GetPeerName
	}
	a, err := get(fd)
	if err == nil && len(k.s.Args) > 1 {
		c.checkAddress(k, k.s.Args[1], a)
	}
	return 0, err
}

func timeoutOf(ms int64) time.Duration {
	if ms < 0 {
		return -1
	}
	return time.Duration(min(ms, 1<<40)) * time.Millisecond
}

func (c *caller) poll(ctx context.Context, k *call) (int64, error) {
	l, ok := k.s.Args[0].(*script.List)
	if !ok {
		return -1, brokenf(k.s.Args[0], "expected an array of pollfd")
	}
	ms, err := arg(k.s, 2)
	if err != nil {
		return -1, err
	}
	var fds []sock.PollFD
	var want []int64
	for _, it := range l.Items {
		s, ok := it.(*script.Struct)
		if !ok || !s.Has("fd") {
			return -1, brokenf(it, "expected a pollfd")
		}
		fd, err := c.fd(s.Field("fd"))
		if err != nil {
			return -1, err
		}
		var ev, re int64
		if f := s.Field("events"); f != nil {
			if ev, err = integer(f); err != nil {
				return -1, err
			}
		}
		re = -1
		if f := s.Field("revents"); f != nil && !isAny(f) {
			if re, err = integer(f); err != nil {
				return -1, err
			}
		}
		fds = append(fds, sock.PollFD{FD: fd, Events: int16(ev)})
		want = append(want, re)
	}
	n, err := c.p.Poll(ctx, fds, timeoutOf(ms))
	if err == nil {
		for i := range fds {
			if want[i] >= 0 && int16(want[i]) != fds[i].Revents {
				k.checks = append(k.checks, fmt.Sprintf("revents is %s, not %s", pollText(uint32(fds[i].Revents)), pollText(uint32(want[i]))))
			}
		}
	}
	return int64(n), err
}

func pollText(v uint32) string {
	var l []string
	for _, x := range []struct {
		bit  uint32
		name string
	}{{sock.PollIn, "IN"}, {sock.PollPri, "PRI"}, {sock.PollOut, "OUT"}, {sock.PollErr, "ERR"}, {sock.PollHup, "HUP"},
		{sock.PollNval, "NVAL"}, {sock.PollRdNorm, "RDNORM"}, {sock.PollRdBand, "RDBAND"}, {sock.PollWrNorm, "WRNORM"},
		{sock.PollWrBand, "WRBAND"}, {sock.PollRdHup, "RDHUP"}} {
		if v&x.bit != 0 {
			l = append(l, x.name)
		}
	}
	if len(l) == 0 {
		return "0"
	}
	return strings.Join(l, "|")
}

func (c *caller) epollCreate(_ context.Context, k *call) (int64, error) {
	fd, err := c.p.EpollCreate(0)
	if err != nil {
		return -1, err
	}
	return c.opened(k, fd), nil
}

// epollEvent evaluates a struct epoll_event, and says how its data are written.
func (c *caller) epollEvent(x script.Expr) (e sock.EpollEvent, err error) {
	if l, ok := x.(*script.List); ok && len(l.Items) == 1 {
		x = l.Items[0]
	}
	s, ok := x.(*script.Struct)
	if !ok {
		return e, brokenf(x, "expected an epoll_event")
	}
	for _, f := range s.Fields {
		if isAny(f.Value) {
			continue
		}
		v, err := integer(f.Value)
		if err != nil {
			return e, err
		}
		if f.Name == "events" {
			e.Events = uint32(v)
		} else {
			e.Data = uint64(v)
		}
	}
	return e, nil
}

func (c *caller) epollCtl(_ context.Context, k *call) (int64, error) {
	ep, err := c.fd(k.s.Args[0])
	if err != nil {
		return -1, err
	}
	op, err := integer(k.s.Args[1])
	if err != nil {
		return -1, err
	}
	fd, err := c.fd(k.s.Args[2])
	if err != nil {
		return -1, err
	}
	var ev sock.EpollEvent
	if !isNull(k.s.Args[3]) && !isAny(k.s.Args[3]) {
		if ev, err = c.epollEvent(k.s.Args[3]); err != nil {
			return -1, err
		}
	}
	return 0, c.p.EpollCtl(ep, int(op), fd, ev)
}

func (c *caller) epollWait(ctx context.Context, k *call) (int64, error) {
	ep, err := c.fd(k.s.Args[0])
	if err != nil {
		return -1, err
	}
	most, err := arg(k.s, 2)
	if err != nil {
		return -1, err
	}
	ms, err := arg(k.s, 3)
	if err != nil {
		return -1, err
	}
	got, err := c.p.EpollWait(ctx, ep, int(most), timeoutOf(ms))
	if err != nil {
		return -1, err
	}
	var want []script.Expr
	switch x := k.s.Args[1].(type) {
	case *script.Struct:
		want = []script.Expr{x}
	case *script.List:
		want = x.Items
	}
	for i, x := range want {
		if isAny(x) || i >= len(got) {
			continue
		}
		w, err := c.epollEvent(x)
		if err != nil {
			return -1, err
		}
		if w.Events != got[i].Events {
			k.checks = append(k.checks, fmt.Sprintf("the events are %s, not %s", pollText(got[i].Events), pollText(w.Events)))
		}
		if s, ok := x.(*script.Struct); ok && len(s.Fields) > 1 && w.Data != got[i].Data {
			k.checks = append(k.checks, fmt.Sprintf("the data are %d, not %d", got[i].Data, w.Data))
		}
	}
	return int64(len(got)), nil
}

func (c *caller) pipe(_ context.Context, k *call) (int64, error) {
	l, ok := k.s.Args[0].(*script.List)
	if !ok || len(l.Items) != 2 {
		return -1, brokenf(k.s.Args[0], "expected [fd, fd]")
	}
	r, w, err := c.p.Pipe(0)
	if err != nil {
		return -1, err
	}
	for i, live := range []int{r, w} {
		v, err := integer(l.Items[i])
		if err != nil {
			return -1, err
		}
		c.fds[v] = live
	}
	return 0, nil
}

// splice has its length and flags last, with or without offsets.
func (c *caller) splice(ctx context.Context, k *call) (int64, error) {
	a := k.s.Args
	out, n, fl := 1, 2, 3
	if len(a) >= 6 {
		out, n, fl = 2, 4, 5
	}
	from, err := c.fd(a[0])
	if err != nil {
		return -1, err
	}
	to, err := c.fd(a[out])
	if err != nil {
		return -1, err
	}
	size, err := arg(k.s, n)
	if err != nil {
		return -1, err
	}
	flags, err := arg(k.s, fl)
	if err != nil {
		return -1, err
	}
	if size < 0 || size > 64<<20 {
		return -1, brokenf(a[n], "a splice of %d bytes", size)
	}
	m, err := c.p.Splice(ctx, from, to, int(size), int(flags))
	return int64(m), err
}

func (c *caller) open(_ context.Context, k *call) (int64, error) {
	name, _ := text(k.s.Args[0])
	fd, err := c.p.Open(name, 0)
	if err != nil {
		return -1, err
	}
	return c.opened(k, fd), nil
}

func (c *caller) sendfile(ctx context.Context, k *call) (int64, error) {
	to, err := c.fd(k.s.Args[0])
	if err != nil {
		return -1, err
	}
	from, err := c.fd(k.s.Args[1])
	if err != nil {
		return -1, err
	}
	size, err := arg(k.s, 3)
	if err != nil {
		return -1, err
	}
	if size < 0 || size > 64<<20 {
		return -1, brokenf(k.s.Args[3], "a sendfile of %d bytes", size)
	}
	n, err := c.p.SendFile(ctx, to, from, nil, int(size))
	return int64(n), err
}

// verify compares the result of a call with what the script expects.
func (k *call) verify() (expect, got string, ok bool, err error) {
	var u sock.Unsupported
	var b *broken
	if errors.As(k.err, &u) || errors.As(k.err, &b) {
		return "", "", false, k.err
	}
	expect = "..."
	ok = true
	if !isAny(k.s.Result) {
		want, err := integer(k.s.Result)
		if err != nil {
			return "", "", false, err
		}
		expect = fmt.Sprint(want)
		ok = want == k.result
	}
	got = fmt.Sprint(k.result)
	if e, is := k.err.(sock.Errno); is {
		got += " " + string(e)
		if k.s.Errno == nil && !isAny(k.s.Result) {
			ok = false
		}
	} else if k.s.Errno != nil && k.err == nil {
		ok = false
	}
	if k.s.Errno != nil {
		expect += " " + k.s.Errno.Name
		e, is := k.err.(sock.Errno)
		ok = ok && is && sameErrno(string(e), k.s.Errno.Name)
	}
	if len(k.checks) > 0 {
		ok = false
		got += " (" + strings.Join(k.checks, "; ") + ")"
	}
	return expect, got, ok, nil
}

// sameErrno knows the names that are two for one error.
func sameErrno(a, b string) bool {
	alias := func(s string) string {
		switch s {
		case "EWOULDBLOCK":
			return "EAGAIN"
		case "ENOTSUP":
			return "EOPNOTSUPP"
		}
		return s
	}
	return alias(a) == alias(b)
}
