package main

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/config"
)

// labYAML is two stacks joined by a simulated link, for virtual time.
const labYAML = `version: 1
links:
  - name: lab
    driver: sim
    ends: [near, far]
    sim: {delay: 10ms}
stacks:
  - {name: near, link: "lab:near", addresses: [10.0.0.1/24], seed: 1}
  - {name: far, link: "lab:far", addresses: [10.0.0.2/24], seed: 2}
`

// lab is a System in virtual time whose packets are recorded, and judged by
// gopacket.
type lab struct {
	t         *testing.T
	clk       *clock.Virtual
	sys       *config.System
	near, far api.Stack

	mu      sync.Mutex
	packets []packet
	drop    func(p *packet) bool // of packets sent; nil drops none
	inputs  map[string]func([]link.Packet)
}

// packet is one packet that a stack sent or received.
type packet struct {
	at      time.Duration
	end     string // "lab:near"
	sent    bool
	ip      layers.IPv4
	tcp     layers.TCP
	data    int // bytes of payload
	mss     int // of the option, 0 if none
	options string
}

// newLab builds the system of a YAML file with some keys set.
func newLab(t *testing.T, yaml string, set ...string) *lab {
	t.Helper()
	l := &lab{t: t, clk: clock.NewVirtual(), inputs: map[string]func([]link.Packet){}}
	opts := config.Options{Name: "lab.yaml", Data: []byte(yaml)}
	for _, s := range set {
		a, err := config.ParseAssignment(s, "test")
		if err != nil {
			t.Fatal(err)
		}
		opts.Set = append(opts.Set, a)
	}
	cfg, err := config.Load(opts)
	if err != nil {
		t.Fatal(err)
	}
	l.sys, err = config.Build(cfg, config.Deps{Clock: l.clk, Wrap: func(name string, inner link.Link) link.Link {
		return &recorder{Link: inner, end: name, lab: l}
	}})
	if err != nil {
		t.Fatal(err)
	}
	l.near, l.far = l.sys.Stack(cfg.Stacks[0].Name), l.sys.Stack(cfg.Stacks[len(cfg.Stacks)-1].Name)
	t.Cleanup(func() {
		l.clk.Run(func() {
			ctx, cancel := l.clk.WithCancel(context.Background())
			cancel(nil)
			l.sys.Close(ctx)
		})
	})
	return l
}

// recorder is a link whose packets the lab sees.
type recorder struct {
	link.Link
	end string
	lab *lab
}

func (r *recorder) Attach(recv func([]link.Packet)) error {
	r.lab.inputs[r.end] = recv
	return r.Link.Attach(func(batch []link.Packet) {
		for i := range batch {
			r.lab.record(r.end, false, &batch[i])
		}
		recv(batch)
	})
}

func (r *recorder) Send(batch []link.Packet) error {
	kept := make([]link.Packet, 0, len(batch))
	for i := range batch {
		if r.lab.record(r.end, true, &batch[i]) {
			kept = append(kept, batch[i])
		}
	}
	if len(kept) == 0 {
		return nil
	}
	return r.Link.Send(kept)
}

// record notes a packet, and reports whether it goes on.
func (l *lab) record(end string, sent bool, p *link.Packet) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	x := packet{at: time.Duration(l.clk.Now()), end: end, sent: sent}
	dec := gopacket.NewPacket(p.AppendTo(nil), layers.LayerTypeIPv4, gopacket.Default)
	if v, ok := dec.Layer(layers.LayerTypeIPv4).(*layers.IPv4); ok {
		x.ip = *v
	}
	if v, ok := dec.Layer(layers.LayerTypeTCP).(*layers.TCP); ok {
		x.tcp, x.data = *v, len(v.Payload)
		var names []string
		for _, o := range v.Options {
			switch o.OptionType {
			case layers.TCPOptionKindMSS:
				if len(o.OptionData) == 2 {
					x.mss = int(o.OptionData[0])<<8 | int(o.OptionData[1])
				}
			case layers.TCPOptionKindNop, layers.TCPOptionKindEndList:
				continue
			}
			names = append(names, o.OptionType.String())
		}
		x.options = strings.Join(names, " ")
	}
	l.packets = append(l.packets, x)
	return !sent || l.drop == nil || !l.drop(&l.packets[len(l.packets)-1])
}

// sent returns the packets that an end sent and that match.
func (l *lab) sent(end string, match func(p *packet) bool) []packet { return l.pick(end, true, match) }

// received is sent for the other direction.
func (l *lab) received(end string, match func(p *packet) bool) []packet {
	return l.pick(end, false, match)
}

func (l *lab) pick(end string, sent bool, match func(p *packet) bool) []packet {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ps []packet
	for i := range l.packets {
		if p := &l.packets[i]; p.end == end && p.sent == sent && match(p) {
			ps = append(ps, *p)
		}
	}
	return ps
}

func isSYN(p *packet) bool  { return p.tcp.SYN && !p.tcp.ACK }
func isData(p *packet) bool { return p.data > 0 }

// blackHole loses everything that is sent from now on.
func (l *lab) blackHole() {
	l.mu.Lock()
	l.drop = func(*packet) bool { return true }
	l.mu.Unlock()
}

// inject hands a stack a segment that nobody has sent.
func (l *lab) inject(end string, src, dst netip.AddrPort, tcp layers.TCP) {
	l.t.Helper()
	ip := layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: src.Addr().AsSlice(), DstIP: dst.Addr().AsSlice()}
	tcp.SrcPort, tcp.DstPort = layers.TCPPort(src.Port()), layers.TCPPort(dst.Port())
	tcp.SetNetworkLayerForChecksum(&ip)
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, &ip, &tcp); err != nil {
		l.t.Fatal(err)
	}
	p := link.Packet{Header: buf.Bytes()}
	l.inputs[end]([]link.Packet{p.Copy()})
}

// do runs f in virtual time.
func (l *lab) do(f func(ctx context.Context)) { l.clk.Run(func() { f(context.Background()) }) }

func (l *lab) sleep(d time.Duration) { clock.Sleep(context.Background(), l.clk, d) }

// serve makes a stack read what comes to port 80; if closes, it closes as well
// when its peer has.
func (l *lab) serve(s api.Stack, closes bool) {
	l.t.Helper()
	_, err := s.Listen(80, nil, func(ctx context.Context, f api.Flow) {
		for {
			b, err := f.Read(ctx)
			if err != nil {
				break
			}
			b.Release()
		}
		if closes {
			f.Close(ctx)
		}
	})
	if err != nil {
		l.t.Error(err)
	}
}

func addrOf(s api.Stack) netip.AddrPort {
	return netip.AddrPortFrom(s.Info().Addresses[0].Addr(), 80)
}

// dial connects from one stack to the other.
func (l *lab) dial(ctx context.Context, from, to api.Stack) api.Flow {
	l.t.Helper()
	f, err := from.Dial(ctx, addrOf(to), nil)
	if err != nil {
		l.t.Errorf("dial: %v", err)
		return nil
	}
	return f
}

// outcome is what a transfer showed.
type outcome struct {
	dialled, elapsed time.Duration
	info             api.Info // of the sender, when all was acknowledged
	greatest         int64    // congestion window seen
	flow             api.Flow
}

// transfer sends n bytes from one stack to the other and closes.
func (l *lab) transfer(from, to api.Stack, n int) (o outcome) {
	l.t.Helper()
	l.do(func(ctx context.Context) {
		l.serve(to, true)
		began := l.clk.Now()
		f := l.dial(ctx, from, to)
		if f == nil {
			return
		}
		o.flow = f
		o.dialled = l.clk.Now().Sub(began)
		for sent := 0; sent < n; {
			b := api.Alloc(min(16<<10, n-sent))
			clear(b.Bytes())
			sent += b.Len()
			if err := f.Write(ctx, b); err != nil {
				l.t.Errorf("write: %v", err)
				return
			}
			o.greatest = max(o.greatest, f.Info().Cwnd)
		}
		o.info = f.Info()
		if err := f.Close(ctx); err != nil {
			l.t.Errorf("close: %v", err)
		}
		o.greatest = max(o.greatest, f.Info().Cwnd)
		o.elapsed = l.clk.Now().Sub(began)
	})
	return o
}

// digest prints when packets came, so that two runs can be compared.
func digest(ps []packet) string {
	var b strings.Builder
	for _, p := range ps {
		fmt.Fprintf(&b, "%v:%d+%d ", p.at, p.tcp.Seq, p.data)
	}
	return b.String()
}
