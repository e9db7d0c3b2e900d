package sim

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/impl/bbr"
	"github.com/sluicenet/sluice/impl/cubic"
	"github.com/sluicenet/sluice/impl/dctcp"
	"github.com/sluicenet/sluice/impl/engine/host"
	"github.com/sluicenet/sluice/impl/engine/tcp"
	"github.com/sluicenet/sluice/impl/fixed"
	"github.com/sluicenet/sluice/impl/reno"
	"github.com/sluicenet/sluice/link/impair"
)

// Controllers returns a new table of the congestion controllers of this module.
func Controllers() map[string]cc.Factory {
	t := make(map[string]cc.Factory)
	for _, f := range []cc.Factory{reno.Factory, cubic.Factory, bbr.Factory, dctcp.Factory, fixed.Factory} {
		t[f.Name()] = f
	}
	return t
}

// Buffers that no flow of a laboratory should find too small. They cost little:
// what is sent is one page, shared by all.
const (
	defaultSend    = 16 << 20
	defaultReceive = 64 << 20
)

// HostConfig describes a host.
type HostConfig struct {
	Name string

	// Params has the parameters of TCP; zero fields mean the daemon's defaults.
	Params tcp.Params

	// Flow has the defaults of flows. Congestion is "cubic" if it is not given,
	// and the buffers are 16 MiB for sending and 64 MiB for receiving.
	Flow api.FlowConfig
}

// A Host is one machine with one TCP stack.
type Host struct {
	*node
	cfg   HostConfig
	m     *host.Host // the machine; made when the network starts
	batch host.Batch
	wake  timer

	running bool
	sent    uint64
}

// AddHost adds a host.
func (n *Network) AddHost(cfg HostConfig) (*Host, error) {
	v, err := n.addNode(cfg.Name)
	if err != nil {
		return nil, err
	}
	f := &cfg.Flow
	if f.Congestion == "" {
		f.Congestion = "cubic"
	}
	if f.SendBuffer == 0 {
		f.SendBuffer = defaultSend
	}
	if f.ReceiveBuffer == 0 {
		f.ReceiveBuffer = defaultReceive
	}
	h := &Host{node: v, cfg: cfg}
	v.host = h
	h.wake = newTimer(doFunc(h.timeout))
	n.hosts = append(n.hosts, h)
	// What is wrong with the configuration is found now rather than later.
	if _, err := h.machineOf(1500); err != nil {
		return nil, fmt.Errorf("sim: host %s: %w", cfg.Name, err)
	}
	return h, nil
}

// machine returns the host's machine, which is made when it is first needed: then
// the host has all its links.
func (h *Host) machine() *host.Host {
	if h.m == nil {
		mtu := 1500
		for i, p := range h.ports {
			if i == 0 || p.link.mtu < mtu {
				mtu = p.link.mtu
			}
		}
		m, err := h.machineOf(mtu)
		if err != nil {
			panic("BUG: a host that could be made cannot be made: " + err.Error())
		}
		h.m = m
	}
	return h.m
}

func (h *Host) machineOf(mtu int) (*host.Host, error) {
	bits := 16
	if h.net.v6 {
		bits = 8
		mtu = max(mtu, 1280)
	}
	rnd := impair.Stream(h.net.seed, 1<<31|uint64(h.index), 1)
	var secret [32]byte
	for i := 0; i < len(secret); i += 8 {
		binary.LittleEndian.PutUint64(secret[i:], rnd.Uint64())
	}
	return host.New(&host.Config{
		Params:      h.cfg.Params,
		Addresses:   []netip.Prefix{netip.PrefixFrom(h.addr, bits)},
		MTU:         mtu,
		TxChecksum:  true,
		Flow:        h.cfg.Flow,
		Controllers: h.net.controllers,
		Secret:      secret,
		Seed:        rnd.Uint64(),
		Budget:      &host.Budget{MemoryLimit: 1 << 44, FlowLimit: 1 << 24, HalfOpenLimit: 1 << 20},
	})
}

// receive takes in a packet that has arrived.
func (h *Host) receive(now Time, pkt *packet) {
	if pkt.cross != nil {
		pkt.cross.arrived(now, pkt)
		h.net.packets.put(pkt)
		return
	}
	// A packet whose bytes were changed on the way has its checksum; another
	// never left this process, and is as it was.
	p := link.Packet{Header: pkt.header[:pkt.headers], Payload: pkt.payload, Offload: pkt.offload}
	h.machine().Packet(now, &p)
	h.net.packets.recycle(pkt)
	h.run(now)
}

func (h *Host) timeout(now Time) {
	h.machine().Timeout(now)
	h.run(now)
}

// touched says that the host's user has called a connection.
func (h *Host) touched(now Time, c *Conn) {
	h.m.Touch(now, c.tcp)
	h.run(now)
}

// run brings the host to rest: applications hear what has happened, packets are
// sent, and the timer is set.
func (h *Host) run(now Time) {
	if h.running {
		return // an application has called its connection; run goes on below
	}
	h.running = true
	for {
		for {
			c, ev, ok := h.m.Ready()
			if !ok {
				break
			}
			h.dispatch(now, c, ev)
		}
		h.m.Poll(now, &h.batch, 64)
		whole := h.m.TakeRedirects()
		if len(h.batch.Link) == 0 && len(whole) == 0 && len(h.batch.Loop) == 0 {
			break
		}
		for i := range h.batch.Link {
			h.transmit(now, &h.batch.Link[i])
		}
		h.batch.Reset()
		for i := range whole {
			h.m.Packet(now, &whole[i])
		}
	}
	h.running = false
	// A timer that is due too early is left alone: it costs one look, where
	// setting it anew would cost as much for every packet.
	if d := h.m.Deadline(); d < h.wake.at {
		h.net.events.arm(&h.wake, d)
	}
}

func (h *Host) transmit(now Time, l *link.Packet) {
	pkt := h.net.packets.get()
	pkt.take(l)
	pkt.from = h.node
	pkt.to = h.net.nodeAt(pkt.bytes())
	h.net.sent++
	h.sent++
	pkt.number = h.net.sent
	if pkt.to == nil {
		panic("BUG: a packet to nobody: flows join hosts")
	}
	h.node.send(now, pkt)
}

func (h *Host) dispatch(now Time, t *tcp.Conn, ev tcp.Events) {
	c, _ := t.User.(*Conn)
	if c == nil {
		l := h.m.ListenerOf(t)
		if l == nil {
			return
		}
		l.Finished()
		c = &Conn{tcp: t, host: h}
		t.User = c
		c.user = l.User.(acceptor).accept(now, c)
	}
	c.user.ready(now, c, ev)
}

// Conn is one end of a connection.
type Conn struct {
	tcp  *tcp.Conn
	host *Host
	user connUser
}

// connUser is an application's view of a connection.
type connUser interface {
	ready(now Time, c *Conn, ev tcp.Events)
}

type acceptor interface {
	accept(now Time, c *Conn) connUser
}

// write queues up to n bytes, and returns how many were taken.
func (c *Conn) write(now Time, n int64) (taken int64) {
	for taken < n {
		b := c.host.net.page.View(0, int(min(n-taken, pageSize)))
		size := int64(b.Len())
		bs := [1]*api.Buffer{&b}
		if _, err := c.tcp.Write(now, bs[:], tcp.WriteOptions{}); err != nil {
			b.Release()
			break
		}
		taken += size
	}
	return taken
}

// discard reads what there is, and returns how much; eof is true once the peer has
// ended its stream, or the connection has.
func (c *Conn) discard(now Time) (n int64, eof bool) {
	for {
		b, err := c.tcp.Read(now)
		if err == tcp.ErrAgain {
			return n, false
		}
		if err != nil {
			return n, true
		}
		n += int64(b.Len())
		b.Release()
	}
}

// listen makes a host accept connections for an application.
func (h *Host) listen(port uint16, flow api.FlowConfig, a acceptor) {
	h.machine().Listen(&host.Listener{Port: port, Flow: flow, Backlog: 1 << 20, HalfOpen: 1 << 20, User: a})
}

// dial opens a connection for an application.
func (h *Host) dial(now Time, to *Host, port uint16, flow *api.FlowConfig, u connUser) (*Conn, error) {
	remote := netip.AddrPortFrom(to.addr, port)
	m := h.machine()
	for local := range m.Ports(now, h.addr, remote) {
		c := &Conn{host: h, user: u}
		t, err := m.Dial(now, netip.AddrPortFrom(h.addr, local), remote, flow, c)
		if err == api.ErrPortInUse {
			continue
		}
		if err != nil {
			return nil, err
		}
		c.tcp = t
		h.run(now)
		return c, nil
	}
	return nil, api.ErrPortInUse
}
