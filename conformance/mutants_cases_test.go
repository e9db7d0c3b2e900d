package conformance

import (
	"context"
	"maps"
	"net/netip"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/impl/engine/tcp"
	"github.com/sluicenet/sluice/impl/reno"
)

// tuned is reno with a fault. Embedding the interface hides what else reno can do: it
// takes nothing back.
type tuned struct {
	cc.Controller
	onAck        func(c cc.Controller, e *cc.AckEvent)
	onCongestion func(c cc.Controller, e *cc.CongestionEvent)
	control      func(cc.Control) cc.Control
}

func (t *tuned) OnAck(e *cc.AckEvent) {
	if t.onAck != nil {
		t.onAck(t.Controller, e)
		return
	}
	t.Controller.OnAck(e)
}

func (t *tuned) OnCongestion(e *cc.CongestionEvent) {
	if t.onCongestion != nil {
		t.onCongestion(t.Controller, e)
		return
	}
	t.Controller.OnCongestion(e)
}

func (t *tuned) Control() cc.Control {
	k := t.Controller.Control()
	if t.control != nil {
		k = t.control(k)
	}
	return k
}

// tunedFactory makes them.
type tunedFactory func(e *cc.Env) tuned

func (tunedFactory) Name() string { return "tuned" }
func (f tunedFactory) New(e *cc.Env, opts string) (cc.Controller, error) {
	c, err := reno.Factory.New(e, opts)
	t := f(e)
	t.Controller = c
	return &t, err
}

// mark returns a segment with the ECN field n.
func mark(s *Segment, n uint8) { s.TOS = s.TOS&^3 | n }

// caseMutants are faults for the cases that came after mutants_test.go.
func caseMutants() []mutant {
	params := func(name string, f func(p *tcp.Params)) mutant { return mutant{name: name, tcp: f} }
	isData := func(s *Segment) bool { return len(s.Payload) > 0 }
	again := func(m *mutation, s *Segment) bool {
		return s.Len() > 0 && !s.Has(SYN) && int32(s.Seq-m.of(s.Dst).sndMax) < 0
	}
	return []mutant{
		// Parameters of TCP out of what the RFCs allow.
		params("no-rack", func(p *tcp.Params) { p.NoRACK = true }),
		params("no-sack", func(p *tcp.Params) { p.NoSACK = true }),
		params("no-timestamps", func(p *tcp.Params) { p.NoTimestamps = true }),
		params("no-window-scale", func(p *tcp.Params) { p.NoWindowScale = true }),
		params("rto-floor-10ms", func(p *tcp.Params) { p.RTOMin = 10 * time.Millisecond }),
		params("rto-floor-5s", func(p *tcp.Params) { p.RTOMin = 5 * time.Second }),
		params("rto-ceiling-10s", func(p *tcp.Params) { p.RTOMax = 10 * time.Second }),
		params("iw-30", func(p *tcp.Params) { p.InitialWindow = 43_800 }),
		params("syn-given-up-after-a-minute", func(p *tcp.Params) { p.SynTimeout = time.Minute }),
		params("given-up-after-30s", func(p *tcp.Params) { p.UserTimeout = 30 * time.Second }),
		params("acks-each-segment", func(p *tcp.Params) { p.AckEverySegment = true }),
		params("ecn-off", func(p *tcp.Params) { p.ECN = tcp.ECNOff }),
		// Controllers.
		{name: "undoes-nothing", cc: tunedFactory(func(*cc.Env) tuned { return tuned{} })},
		{name: "is-reno", cc: reno.Factory},
		{name: "cuts-to-nothing", cc: tunedFactory(func(e *cc.Env) tuned {
			cut := false
			return tuned{
				onCongestion: func(c cc.Controller, ev *cc.CongestionEvent) { cut = true; c.OnCongestion(ev) },
				control: func(k cc.Control) cc.Control {
					if cut {
						k.Cwnd, k.Ssthresh = min(k.Cwnd, 2*e.MSS), min(k.Ssthresh, 2*e.MSS)
					}
					return k
				},
			}
		})},
		{name: "cuts-again-on-backoff", cc: tunedFactory(func(*cc.Env) tuned {
			div := int64(1)
			return tuned{
				onCongestion: func(c cc.Controller, ev *cc.CongestionEvent) {
					if ev.Repeat {
						div *= 2
					}
					c.OnCongestion(ev)
				},
				control: func(k cc.Control) cc.Control { k.Ssthresh /= div; return k },
			}
		})},
		{name: "ignores-congestion", cc: tunedFactory(func(*cc.Env) tuned { return tuned{onCongestion: func(cc.Controller, *cc.CongestionEvent) {}} })},
		{name: "ignores-ecn", cc: tunedFactory(func(*cc.Env) tuned {
			return tuned{onCongestion: func(c cc.Controller, ev *cc.CongestionEvent) {
				if ev.Kind != cc.ECNMark {
					c.OnCongestion(ev)
				}
			}}
		})},
		{name: "ignores-loss", cc: tunedFactory(func(*cc.Env) tuned {
			return tuned{onCongestion: func(c cc.Controller, ev *cc.CongestionEvent) {
				if ev.Kind != cc.LossDetected {
					c.OnCongestion(ev)
				}
			}}
		})},
		{name: "never-slows", cc: tunedFactory(func(e *cc.Env) tuned { // slow start for ever, from what a loss leaves
			grown := int64(0)
			return tuned{
				onAck:   func(c cc.Controller, ev *cc.AckEvent) { c.OnAck(ev); grown += ev.CumAcked },
				control: func(k cc.Control) cc.Control { k.Cwnd += grown; return k },
			}
		})},
		{name: "never-grows", cc: tunedFactory(func(e *cc.Env) tuned {
			cut := false
			return tuned{
				onCongestion: func(c cc.Controller, ev *cc.CongestionEvent) { cut = true; c.OnCongestion(ev) },
				onAck: func(c cc.Controller, ev *cc.AckEvent) {
					if !cut {
						c.OnAck(ev)
					}
				},
			}
		})},
		// ECN.
		{name: "everything-ect", out: change(func(_ *mutation, s *Segment) { mark(s, ect0) })},
		{name: "data-ect", out: change(func(_ *mutation, s *Segment) {
			if isData(s) {
				mark(s, ect0)
			}
		})},
		{name: "probes-ect", out: change(func(m *mutation, s *Segment) {
			if len(s.Payload) <= 1 && !s.Has(SYN) {
				mark(s, ect0)
			}
		})},
		{name: "nothing-ect", out: change(func(_ *mutation, s *Segment) { mark(s, notECT) })},
		{name: "never-echoes", out: change(func(_ *mutation, s *Segment) {
			if !s.Has(SYN) {
				s.Flags &^= ECE
			}
		})},
		{name: "echoes-once", out: change(func(m *mutation, s *Segment) {
			if !s.Has(SYN) && s.Has(ECE) {
				if m.n++; m.n > 1 {
					s.Flags &^= ECE
				}
			}
		})},
		{name: "deaf-to-ece", in: change(func(_ *mutation, s *Segment) {
			if !s.Has(SYN) {
				s.Flags &^= ECE
			}
		})},
		{name: "deaf-to-cwr", in: change(func(_ *mutation, s *Segment) {
			if !s.Has(SYN) {
				s.Flags &^= CWR
			}
		})},
		{name: "cwr-forgives-ce", in: change(func(_ *mutation, s *Segment) {
			if s.Has(CWR) && !s.Has(SYN) {
				mark(s, ect0)
			}
		})},
		{name: "never-cwr", out: change(func(_ *mutation, s *Segment) {
			if !s.Has(SYN) {
				s.Flags &^= CWR
			}
		})},
		{name: "returns-both-bits", out: change(func(_ *mutation, s *Segment) {
			if s.Has(SYN | ACK | ECE) {
				s.Flags |= CWR
			}
		})},
		{name: "believes-both-bits", in: change(func(_ *mutation, s *Segment) {
			if s.Has(SYN | ACK | ECE) {
				s.Flags &^= CWR
			}
		})},
		{name: "always-ecn-setup", out: change(func(_ *mutation, s *Segment) {
			if isSYN(s) {
				s.Flags |= ECE | CWR
			}
		})},
		{name: "ecn-unasked", in: change(func(_ *mutation, s *Segment) {
			if isSYN(s) {
				s.Flags |= ECE | CWR
			}
		}), out: change(func(_ *mutation, s *Segment) {
			if isSYNACK(s) {
				s.Flags &^= ECE
			}
		})},
		{name: "ce-anywhere", in: change(func(m *mutation, s *Segment) {
			if c := m.of(s.Src); c.synced && ecnOf(s) == congestionExperienced {
				m.n++
			}
		}), out: change(func(m *mutation, s *Segment) {
			if m.n > 0 {
				s.Flags |= ECE
			}
		})},
		// Packets.
		{name: "rst-without-ts", out: change(func(_ *mutation, s *Segment) {
			if s.Has(RST) {
				overwrite(s, 8, nil)
			}
		})},
		{name: "one-block", out: change(func(_ *mutation, s *Segment) {
			if len(s.SACK) > 0 && isData(s) {
				overwrite(s, 5, nil)
			}
		})},
		{name: "dsack-again", out: func() func(m *mutation, s *Segment) []*Segment {
			var last []Range
			return change(func(m *mutation, s *Segment) {
				if len(s.SACK) > 0 {
					last = s.SACK
				} else if s.PureACK() && last != nil {
					s.Options = append(optSACK(last[0]), s.Options...)
				}
			})
		}()},
		{name: "dsack-of-all", out: change(func(_ *mutation, s *Segment) {
			overwrite(s, 5, func(d []byte) {
				if len(s.SACK) == 1 && int32(s.SACK[0].Right-s.Ack) < 0 {
					d[7] = byte(s.Ack)
					d[6], d[5], d[4] = byte(s.Ack>>8), byte(s.Ack>>16), byte(s.Ack>>24)
				}
			})
		})},
		{name: "dsack-is-a-duplicate-ack", in: change(func(m *mutation, s *Segment) {
			if len(s.SACK) > 0 && int32(s.SACK[0].Right-s.Ack) <= 0 {
				m.n++
				s.Options = optSACK(Range{s.Ack + 1000, s.Ack + uint32(1000+1000*m.n)})
			}
		})},
		{name: "reports-are-duplicate-acks", in: change(func(m *mutation, s *Segment) {
			if c := m.of(s.Src); c.synced && s.PureACK() && len(s.SACK) == 0 && int32(s.Ack-c.sndMax) < 0 {
				m.n++
				s.Options = optSACK(Range{s.Ack + 1000, min(c.sndMax, s.Ack+uint32(1000+1000*m.n))})
			}
		})},
		{name: "no-probes", out: dropIf(func(m *mutation, s *Segment) bool {
			c := m.of(s.Dst)
			return isData(s) && len(s.Payload) <= 1 && c.synced || again(m, s) && s.Seq+s.Len() == c.sndMax
		})},
		{name: "two-probes", out: func(m *mutation, s *Segment) []*Segment {
			if again(m, s) && s.Seq+s.Len() == m.of(s.Dst).sndMax {
				m.later(50*time.Millisecond, func() { m.link.inject(false, s) })
			}
			return one(s)
		}},
		{name: "acks-twice", out: func(_ *mutation, s *Segment) []*Segment {
			if s.PureACK() {
				return []*Segment{s, s}
			}
			return one(s)
		}},
		{name: "retransmits-the-last", out: change(func(m *mutation, s *Segment) {
			if again(m, s) && len(s.Payload) > 900 {
				s.Seq += 1000
				s.Payload = pattern(int(s.Seq), len(s.Payload))
			}
		})},
		{name: "any-version", raw: func(_ *mutation, in bool, raw []byte) []byte {
			if v := raw[0] >> 4; in && v != 4 && v != 6 {
				raw[0] = raw[0]&15 | 4<<4
			}
			return raw
		}},
		{name: "answers-icmp-errors", raw: func(m *mutation, in bool, raw []byte) []byte {
			if in && raw[0]>>4 == 4 && raw[9] == 1 && raw[20] != 8 {
				m.link.Link.Send([]link.Packet{{Header: icmp(addrA4, addrB4, 3, 1, 1, 0, 0, raw[:28])}})
			}
			return raw
		}},
		{name: "deaf-to-fragments", raw: func(_ *mutation, in bool, raw []byte) []byte {
			if in && (raw[0]>>4 == 4 && (raw[6]&0x3f != 0 || raw[7] != 0) || raw[0]>>4 == 6 && raw[6] == 44) {
				return nil
			}
			return raw
		}},
		{name: "believes-source-routes", raw: func(_ *mutation, in bool, raw []byte) []byte {
			if s := decode(raw); in && s != nil && raw[0] > 0x45 && raw[0] < 0x50 {
				return encode(s)
			}
			return raw
		}},
		{name: "deaf-to-dsack", in: change(func(_ *mutation, s *Segment) {
			if len(s.SACK) > 0 && int32(s.SACK[0].Right-s.Ack) <= 0 {
				overwrite(s, 5, nil)
			}
		})},
		{name: "paws-for-ever", in: dropIf(func(m *mutation, s *Segment) bool {
			if !s.HasTimestamps || s.Has(SYN) || s.Has(RST) {
				return false
			}
			old := m.n != 0 && int32(s.TSval-uint32(m.n)) < 0
			if !old {
				m.n = int(s.TSval)
			}
			return old
		})},
		{name: "time-wait-deaf", in: dropIf(func(m *mutation, s *Segment) bool { return isSYN(s) && m.of(s.Src).synced })},
		{name: "limits-ignored", env: func(e *Env) { e.Limits = Limits{} }},
		{name: "loses-a-read", stack: flows(func() faultyFlow {
			n := 0
			return faultyFlow{read: func(ctx context.Context, f api.Flow) (*api.Buffer, error) {
				b, err := f.Read(ctx)
				if n++; n%7 == 6 && err == nil {
					return f.Read(ctx)
				}
				return b, err
			}}
		})},
		{name: "rtt-drifts", stack: flows(func() faultyFlow {
			n := time.Duration(0)
			return faultyFlow{info: func(i api.Info) api.Info { n += time.Millisecond; i.SRTT += n; return i }}
		})},
		{name: "options-length-off", raw: func(_ *mutation, in bool, raw []byte) []byte {
			if s := decode(raw); in && s != nil && len(s.Options) > 2 && s.Options[0] >= 100 {
				s.Options = append([]byte{1, 1}, s.Options[2:]...) // reads on within the option
				return encode(s)
			}
			return raw
		}},
		{name: "nodelay-in-pieces", stack: flows(func() faultyFlow {
			return faultyFlow{write: func(ctx context.Context, f api.Flow, bs []*api.Buffer, nd bool) error {
				for _, b := range bs {
					if err := f.WriteNoDelay(ctx, b); err != nil {
						return err
					}
				}
				return nil
			}}
		})},
		{name: "ten-flows", env: func(e *Env) { e.Limits.Flows = 10 }},
		{name: "padding-of-ones", out: change(func(_ *mutation, s *Segment) {
			if len(s.Options) > 0 && len(s.Options) <= 36 {
				s.Options = append(append([]byte{}, s.Options...), 0, 1, 1, 1)
			}
		})},
		{name: "syn-option-forgotten", out: change(func(_ *mutation, s *Segment) { overwrite(s, 2, nil) })},
		{name: "window-never-beyond-64k", out: change(func(_ *mutation, s *Segment) {
			if !s.Has(SYN) && s.Window > 500 {
				s.Window = 500
			}
		})},
		{name: "isn-by-clock", env: func(e *Env) {
			e.ISN = func(_, _ netip.AddrPort, now clockTime) uint32 { return 77 + uint32(int64(now)/4000) }
		}},
		{name: "isn-without-clock", env: func(e *Env) {
			e.ISN = func(_, r netip.AddrPort, _ clockTime) uint32 { return uint32(r.Port()) * 2654435761 }
		}},
		{name: "ttl-of-rst", out: change(func(_ *mutation, s *Segment) {
			if s.Has(RST) {
				s.TTL = 255 - s.TTL
			}
		})},
		{name: "dscp-of-data", out: change(func(_ *mutation, s *Segment) {
			if isData(s) {
				s.TOS &= 0x7f
			}
		})},
		{name: "source-changes", out: change(func(m *mutation, s *Segment) {
			if again(m, s) {
				a := netip.MustParseAddr("192.0.2.77")
				if s.Src.Addr().Is6() {
					a = netip.MustParseAddr("2001:db8::77")
				}
				s.Src = netip.AddrPortFrom(a, s.Src.Port())
			}
		})},
		// Calls.
		{name: "keepalive-slow", stack: flowsOptions(func(c *api.FlowConfig) {
			if k, ok := c.Keepalive.(api.KeepaliveConfig); ok {
				k.After, k.Interval = k.After*2, k.Interval*2
				c.Keepalive = k
			}
		})},
		{name: "soft-errors-untold", stack: flows(func() faultyFlow {
			return faultyFlow{info: func(i api.Info) api.Info { i.SoftError = nil; return i }}
		})},
		{name: "soft-errors-always", stack: flows(func() faultyFlow {
			return faultyFlow{info: func(i api.Info) api.Info { i.SoftError = api.ErrTimeout; return i }}
		})},
		{name: "urgent-forgotten", stack: flows(func() faultyFlow {
			return faultyFlow{info: func(i api.Info) api.Info { i.UrgentPending = 0; return i }}
		})},
		{name: "rtt-untold", stack: flows(func() faultyFlow {
			return faultyFlow{info: func(i api.Info) api.Info { i.SRTT, i.RTTVar = time.Second, time.Second; return i }}
		})},
	}
}

// flowsOptions edits the options of flows, those given to Configure too.
func flowsOptions(edit func(*api.FlowConfig)) func(api.Stack) api.Stack {
	return func(s api.Stack) api.Stack {
		return flowsOf(&faultyStack{Stack: s, dial: edit, listen: func(c *api.ListenConfig) { edit(&c.Flow) }},
			func() faultyFlow {
				return faultyFlow{configure: func(f api.Flow, change func(*api.FlowConfig)) error {
					return f.Configure(func(c *api.FlowConfig) { change(c); edit(c) })
				}}
			})
	}
}

// foundByCases is the rest of the table of TestMutants.
var foundByCases = map[string]string{
	"contract/C1-writers":          "write-error-odd",
	"contract/C2-both":             "read-ends-on-close",
	"contract/C3-writers":          "close-returns-at-once",
	"contract/C4-cancel":           "close-gives-up-with-context",
	"contract/C5-memory":           "flows-leak",
	"contract/D1-many":             "dst-wrong",
	"contract/K1-busy":             "keepalive-one-probe",
	"contract/K3-many":             "keepalive-never",
	"contract/K4-blocked":          "write-error-odd",
	"contract/L2-all":              "listener-options-ignored",
	"contract/L3-many":             "listen-twice",
	"contract/N1-cancel":           "nodelay-does-not-wait",
	"contract/N1-many":             "nodelay-does-not-wait",
	"contract/N3-order":            "nodelay-in-pieces",
	"contract/N4-again":            "configure-ignored",
	"contract/N4-memory":           "configure-ignored",
	"contract/O1-many":             "ten-flows",
	"contract/O2-cancel-many":      "context-ignored",
	"contract/O2-memory":           "limits-ignored",
	"contract/W5-memory":           "limits-ignored",
	"contract/R1-memory":           "limits-ignored",
	"contract/R1-many":             "byte-wrong",
	"contract/R1-cancel":           "loses-a-read",
	"contract/R2-sizes":            "read-empty",
	"contract/R3-many":             "read-eof-once",
	"contract/R4-reset-many":       "reset-is-eof",
	"contract/U1-many":             "unlisten-ignored",
	"contract/V1-cancel":           "writev-in-pieces",
	"contract/W1-shared":           "byte-wrong",
	"contract/W2-order":            "write-in-halves",
	"contract/W4-many":             "write-error-odd",
	"contract/X1-many":             "disconnect-ignored",
	"contract/X2-twice":            "disconnect-ignored",
	"ip/source-route":              "believes-source-routes",
	"rfc1122/3.2.1.1-version":      "any-version",
	"rfc1122/3.2.2-no-error":       "answers-icmp-errors",
	"rfc1122/3.3.2-timeout":        "deaf-to-fragments",
	"rfc1191/3-floor":              "tiny-mss-obeyed",
	"rfc1191/6.3-no-increase":      "no-icmp-in",
	"rfc8201/4-no-increase":        "no-icmp-in",
	"rfc8201/4-raise":              "no-icmp-in",
	"rfc8201/4-floor":              "small-segments",
	"rfc1191/6.4-no-congestion":    "no-icmp-in",
	"rfc2018/4-every-ack":          "one-block",
	"rfc2018/4-first-random":       "sack-reversed",
	"rfc2018/5-after-timeout":      "no-retransmission",
	"rfc2883/4-once":               "dsack-again",
	"rfc2883/4.1-partial":          "dsack-of-all",
	"rfc2883/4-sender":             "dsack-is-a-duplicate-ack",
	"rfc3168/5-ignore":             "ecn-unasked",
	"rfc3168/6.1.1-bounce":         "believes-both-bits",
	"rfc3168/6.1.1-no-ect":         "everything-ect",
	"rfc3168/6.1.1-syn":            "returns-both-bits",
	"rfc3168/6.1.1.1-fallback":     "always-ecn-setup",
	"rfc3168/6.1.3-cwr-ce":         "cwr-forgives-ce",
	"rfc3168/6.1.3-echo":           "echoes-once",
	"rfc3168/6.1.4-ack":            "everything-ect",
	"rfc3168/6.1.2-cwr":            "never-cwr",
	"rfc3168/6.1.5-window":         "ce-anywhere",
	"rfc3168/6.1.6-probe":          "probes-ect",
	"rfc3168/6.1.2-reduce":         "ignores-ecn",
	"rfc3168/6.1.5-retransmission": "data-ect",
	"rfc3042/2-sack":               "reports-are-duplicate-acks",
	"rfc3522/3.2-eifel":            "undoes-nothing",
	"rfc5682/3.1-frto":             "undoes-nothing",
	"rfc5681/3.1-iw":               "iw-30",
	"rfc5681/3.1-iw-syn-lost":      "cwnd-wide",
	"rfc5681/3.1-avoidance":        "never-slows",
	"rfc5681/3.1-bound":            "any-window",
	"rfc5681/4.2-one-ack":          "acks-twice",
	"rfc5961/3.2-exact":            "deaf-to-rst",
	"rfc5961/5.2-edges":            "any-ack",
	"rfc5681/3.1-ssthresh":         "cuts-to-nothing",
	"rfc5681/3.1-ssthresh-once":    "cuts-again-on-backoff",
	"rfc6298/2.2-first":            "rto-floor-5s",
	"rfc6298/2.3-update":           "rtt-untold",
	"rfc6298/2.5-ceiling":          "rto-ceiling-10s",
	"rfc6298/2.4-floor":            "rto-floor-10ms",
	"rfc6298/5.1-start":            "no-retransmission",
	"rfc6298/3-timestamps":         "no-timestamps",
	"rfc6298/5.4-earliest":         "retransmits-the-last",
	"rfc6528/3-tuple":              "isn-by-clock",
	"rfc6582/3.2-full":             "ignores-loss",
	"rfc6582/3.2-once":             "ignores-congestion",
	"rfc6675/5-one-cut":            "cuts-to-nothing",
	"rfc6675/5-order":              "retransmits-the-last",
	"rfc6675/5-pipe":               "ignores-loss",
	"rfc6675/5.1-after-timeout":    "ignores-congestion",
	"rfc7323/3.2-rst":              "rst-without-ts",
	"rfc7323/4.1-rttm":             "rtt-drifts",
	"rfc7323/5.5-idle":             "paws-for-ever",
	"rfc7323/2.4-retraction":       "any-window",
	"rfc8985/6.2-window":           "no-rack",
	"rfc8985/6.2-reorder":          "no-rack",
	"rfc8985/6.2-timer":            "no-rack",
	"rfc8985/6.2-dsack":            "deaf-to-dsack",
	"rfc8985/6.2-karn":             "no-rack",
	"rfc8985/6.2-retransmission":   "no-rack",
	"rfc8985/7.2-pto":              "no-probes",
	"rfc8985/7.3-new":              "no-rack",
	"rfc8985/7.3-last":             "no-rack",
	"rfc8985/7.3-one":              "two-probes",
	"rfc8985/7.3-tail":             "no-rack",
	"rfc8985/7.4-loss":             "ignores-loss",
	"rfc8985/7.4-no-loss":          "no-rack",
	"rfc9438/4.6-beta":             "is-reno",
	"rfc9438/4.8-timeout":          "is-reno",
	"rfc9438/4.2-growth":           "never-slows",
	"rfc9438/4.3-reno":             "never-grows",
	"rfc9937/6.2-proportional":     "ignores-loss",
	"rfc9937/6.2-bounded":          "cwnd-never-shrinks",
	"rfc9937/6.2-first":            "no-retransmission",
	"rfc9937/6.2-end":              "ignores-loss",
	"rfc9293/MAY-1":                "no-rst",
	"rfc9293/MAY-12":               "any-old-ack",
	"rfc9293/MAY-13":               "deaf-to-early",
	"rfc9293/MAY-16":               "nagle-off",
	"rfc9293/MAY-2":                "time-wait-deaf",
	"rfc9293/MAY-3":                "syn-option-forgotten",
	"rfc9293/MAY-5":                "keepalive-never",
	"rfc9293/MAY-8":                "window-always-open",
	"rfc9293/MAY-18":               "info-empty",
	"rfc9293/MUST-23":              "syn-given-up-after-a-minute",
	"rfc9293/MUST-27":              "keepalive-slow",
	"rfc9293/MUST-30":              "no-urg",
	"rfc9293/MUST-32":              "urg-deaf",
	"rfc9293/MUST-33":              "urgent-forgotten",
	"rfc9293/MUST-24":              "keepalive-always",
	"rfc9293/MUST-36":              "any-window",
	"rfc9293/MUST-41":              "listen-twice",
	"rfc9293/MUST-43":              "local-ignored",
	"rfc9293/MUST-45":              "source-changes",
	"rfc9293/MUST-47":              "soft-errors-untold",
	"rfc9293/MUST-49":              "ttl-64",
	"rfc9293/MUST-54":              "no-icmp-in",
	"rfc9293/MUST-58":              "acks-each-segment",
	"rfc9293/MUST-6":               "options-length-off",
	"rfc9293/MUST-61":              "no-psh",
	"rfc9293/MUST-67":              "mss-9000",
	"rfc9293/MUST-68":              "options-length-off",
	"rfc9293/MUST-69":              "padding-of-ones",
	"rfc9293/REC-1":                "window-never-beyond-64k",
	"rfc9293/SHLD-1":               "isn-without-clock",
	"rfc9293/SHLD-10":              "soft-errors-always",
	"rfc9293/SHLD-11":              "given-up-after-30s",
	"rfc9293/SHLD-15":              "any-window",
	"rfc9293/SHLD-16":              "no-retransmission",
	"rfc9293/SHLD-18":              "acks-each-segment",
	"rfc9293/SHLD-20":              "configure-ignored",
	"rfc9293/SHLD-21":              "configure-ignored",
	"rfc9293/SHLD-22":              "dscp-of-data",
	"rfc9293/SHLD-25":              "soft-errors-untold",
	"rfc9293/SHLD-26":              "no-icmp-in",
	"rfc9293/SHLD-28":              "small-segments",
	"rfc9293/SHLD-29":              "rto-floor-5s",
	"rfc9293/SHLD-30":              "any-window",
	"rfc9293/SHLD-31":              "deaf-to-early",
	"rfc9293/SHLD-4":               "time-wait-deaf",
	"rfc9293/SHLD-5":               "syn-option-forgotten",
	"rfc9293/SHLD-8":               "never-echoes",
	"rfc9293/SHLD-9":               "notify-never",
}

func init() { maps.Copy(found, foundByCases) }
