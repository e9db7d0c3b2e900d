package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/config"
)

// A keyCase shows that a key does something: see returns another text when the
// key is set, and want if that is given.
type keyCase struct {
	base []string                 // keys set in both runs
	set  []string                 // and in the second one
	edit func(yaml string) string // or what is done to the file
	see  func(t *testing.T, yaml string, set []string) string
	want string
}

// inLab makes a see from a function of a lab.
func inLab(f func(l *lab) string) func(*testing.T, string, []string) string {
	return func(t *testing.T, yaml string, set []string) string { return f(newLab(t, yaml, set...)) }
}

// fastOpen dials with data, and sees whether the SYN, or its answer, has the option of
// Fast Open (RFC 7413, section 4.1.1: kind 34).
func fastOpen(syn bool) func(*testing.T, string, []string) string {
	return inLab(func(l *lab) string {
		l.do(func(ctx context.Context) {
			if _, err := l.far.Listen(80, &api.ListenConfig{FastOpen: 8}, func(ctx context.Context, f api.Flow) { f.Close(ctx) }); err != nil {
				l.t.Error(err)
			}
			f, err := l.near.(api.FastDialer).DialFast(ctx, addrOf(l.far), nil, api.NewBuffer([]byte("word")))
			if err != nil {
				l.t.Error(err)
				return
			}
			f.Close(ctx)
		})
		has := func(p *packet) bool {
			return p.tcp.SYN && p.tcp.ACK != syn && slices.ContainsFunc(p.tcp.Options, func(o layers.TCPOption) bool { return o.OptionType == 34 })
		}
		return fmt.Sprint(len(l.sent("lab:near", has))+len(l.received("lab:near", has)) > 0)
	})
}

func replace(old, new string) func(string) string {
	return func(yaml string) string {
		if !strings.Contains(yaml, old) {
			panic("BUG: no " + old)
		}
		return strings.ReplaceAll(yaml, old, new)
	}
}

// whole makes the near stack's buffers what they are limited to from the start.
var whole = []string{"stacks.near.buffers.autotune=false"}

// What can be seen in a lab.
var (
	firstSYN = func(show func(p packet) any) func(*testing.T, string, []string) string {
		return inLab(func(l *lab) string {
			l.transfer(l.near, l.far, 0)
			return fmt.Sprint(show(l.sent("lab:near", isSYN)[0]))
		})
	}
	nearFlow = func(n int, show func(i api.Info) any) func(*testing.T, string, []string) string {
		return inLab(func(l *lab) string { return fmt.Sprint(show(l.transfer(l.near, l.far, n).info)) })
	}
	nearStack = func(n int, show func(i api.StackInfo) any) func(*testing.T, string, []string) string {
		return inLab(func(l *lab) string { l.transfer(l.near, l.far, n); return fmt.Sprint(show(l.near.Info())) })
	}
	dialTime = inLab(func(l *lab) string { return l.transfer(l.near, l.far, 0).dialled.String() })

	// synTimes dials into the void.
	synTimes = func(show func(at []time.Duration, failed time.Duration) any) func(*testing.T, string, []string) string {
		return inLab(func(l *lab) string {
			l.blackHole()
			var failed time.Duration
			l.do(func(ctx context.Context) {
				if _, err := l.near.Dial(ctx, addrOf(l.far), nil); !errors.Is(err, api.ErrTimeout) {
					l.t.Errorf("dial: %v", err)
				}
				failed = time.Duration(l.clk.Now())
			})
			var at []time.Duration
			for _, p := range l.sent("lab:near", isSYN) {
				at = append(at, p.at)
			}
			return fmt.Sprint(show(at, failed))
		})
	}

	arrivals = func(n int) func(*testing.T, string, []string) string {
		return inLab(func(l *lab) string {
			l.transfer(l.near, l.far, n)
			return digest(l.received("lab:far", isData))
		})
	}
	// arrivalsBack is arrivals in the other direction.
	arrivalsBack = func(n int) func(*testing.T, string, []string) string {
		return inLab(func(l *lab) string {
			l.transfer(l.far, l.near, n)
			return digest(l.received("lab:near", isData))
		})
	}

	probes = inLab(func(l *lab) string {
		var idle, end time.Duration
		l.do(func(ctx context.Context) {
			l.serve(l.far, false)
			f := l.dial(ctx, l.near, l.far)
			l.blackHole()
			idle = time.Duration(l.clk.Now())
			f.Read(ctx)
			end = time.Duration(l.clk.Now())
		})
		ps := l.sent("lab:near", func(p *packet) bool { return p.at > idle && !p.tcp.RST })
		if len(ps) < 2 {
			return fmt.Sprint(len(ps), " probes")
		}
		return fmt.Sprintf("first after %v, gap %v, %d probes, end after %v", ps[0].at-idle, ps[1].at-ps[0].at, len(ps), end-idle)
	})

	goneAfter = func(d time.Duration, unread, hole bool) func(*testing.T, string, []string) string {
		return inLab(func(l *lab) string {
			l.do(func(ctx context.Context) {
				l.serve(l.far, false)
				f := l.dial(ctx, l.near, l.far)
				if hole {
					l.blackHole()
					f.Write(ctx, api.NewBuffer([]byte("never arrives")))
				}
				f.(api.Orphaner).Orphan()
				l.sleep(d)
			})
			return fmt.Sprint(l.near.Info().Flows)
		})
	}

	timeWaits = func(flows int, after time.Duration) func(*testing.T, string, []string) string {
		return inLab(func(l *lab) string {
			l.do(func(ctx context.Context) {
				l.serve(l.far, true)
				for range flows {
					if f := l.dial(ctx, l.near, l.far); f != nil {
						f.Close(ctx)
					}
				}
				l.sleep(after)
			})
			return fmt.Sprint(l.near.Info().TimeWait)
		})
	}
)

// congested makes losses by a narrow link.
var congested = []string{"links.lab.sim.rate=10Mbit", "links.lab.sim.queue=24KiB"}

const bulk = 1 << 20

// keyCases has a case for every key of the configuration.
var keyCases = map[string]keyCase{
	"version": {edit: replace("version: 1", "version: 2"), see: func(t *testing.T, yaml string, _ []string) string {
		_, err := config.Load(config.Options{Name: "f", Data: []byte(yaml)})
		return fmt.Sprint(err)
	}, want: "f:1: version: 2 is not supported; this release reads 1"},

	"log.level":  {set: []string{"log.level=warn"}, see: seeLog, want: ""},
	"log.format": {set: []string{"log.format=json"}, see: seeLog},
	"shutdown": {set: []string{"shutdown=3s"}, want: "3s", see: inLab(func(l *lab) string {
		var took time.Duration
		l.do(func(ctx context.Context) {
			l.serve(l.far, false)
			l.dial(ctx, l.near, l.far)
			l.blackHole() // nobody will ever close
			began := l.clk.Now()
			l.sys.Close(ctx)
			took = l.clk.Now().Sub(began)
		})
		return took.String()
	})},
	"control.socket": {set: []string{"control.socket=DIR/s"}, see: seeServers, want: "socket DIR/s mode -rw-------, http off"},
	"control.mode":   {base: []string{"control.socket=DIR/s"}, set: []string{"control.mode=0660"}, see: seeServers, want: "socket DIR/s mode -rw-rw----, http off"},
	"http.listen":    {base: []string{"control.socket=off"}, set: []string{"http.listen=127.0.0.1:0"}, see: seeServers, want: "socket off, http on"},

	"links[].name": {edit: replace("lab", "lob"), see: seeStatus(func(s *config.Status) any { return s.Links[0].Name }), want: "lob:near"},
	"links[].driver": {edit: replace("driver: sim\n    ends: [near, far]\n    sim: {delay: 10ms}", "driver: pipe\n    ends: [near, far]"),
		see: dialTime, want: "0s"},
	"links[].mtu": {set: []string{"links.lab.mtu=1300"}, see: firstSYN(func(p packet) any { return p.mss }), want: "1260"},
	"links[].ends": {edit: func(y string) string {
		return strings.NewReplacer("[near, far]", "[west, east]", "lab:near", "lab:west", "lab:far", "lab:east").Replace(y)
	}, see: seeStatus(func(s *config.Status) any { return s.Links[0].Name + " " + s.Links[1].Name }), want: "lab:west lab:east"},
	"links[].capture": {set: []string{"links.lab.capture=DIR/c.pcapng"}, see: seeCapture, want: "captured"},

	"links[].pipe.offload": {edit: replace("driver: sim\n    ends: [near, far]\n    sim: {delay: 10ms}", "driver: pipe\n    ends: [near, far]\n    pipe: {offload: on}"),
		see: inLab(func(l *lab) string {
			l.transfer(l.near, l.far, bulk/8)
			return fmt.Sprint(len(l.sent("lab:near", func(p *packet) bool { return p.data > 1460 })) > 0)
		}), want: "true"},

	"links[].replay.file":      {set: []string{"links.film.replay.file=DIR/short.pcap"}, see: seeReplay, want: "3 3"},
	"links[].replay.speed":     {set: []string{"links.film.replay.speed=0"}, see: seeReplay, want: "25 20"},
	"links[].replay.interface": {set: []string{"links.film.replay.interface=x in"}, see: seeReplay, want: "11 11"},
	"links[].replay.mac": {base: []string{"links.film.replay.file=DIR/ethernet.pcap"}, set: []string{"links.film.replay.mac=02:00:00:00:00:09"},
		see: seeReplay, want: "11 11"},

	"links[].sim.delay":  {set: []string{"links.lab.sim.delay=30ms"}, see: dialTime, want: "60ms"},
	"links[].sim.jitter": {set: []string{"links.lab.sim.jitter=5ms"}, see: arrivals(bulk / 8)},
	"links[].sim.loss": {set: []string{"links.lab.sim.loss=10%"}, see: nearStack(bulk/8, func(i api.StackInfo) any {
		return i.Retransmits > 0
	}), want: "true"},
	"links[].sim.reorder": {set: []string{"links.lab.sim.reorder=10%"}, see: inLab(func(l *lab) string {
		l.transfer(l.near, l.far, bulk/8)
		return fmt.Sprint(overtaken(l.received("lab:far", isData)))
	}), want: "true"},
	"links[].sim.reorder_delay": {base: []string{"links.lab.sim.reorder=10%"}, set: []string{"links.lab.sim.reorder_delay=50ms"}, see: arrivals(bulk / 8)},
	"links[].sim.duplicate": {set: []string{"links.lab.sim.duplicate=10%"}, see: inLab(func(l *lab) string {
		l.transfer(l.near, l.far, bulk/8)
		return fmt.Sprint(len(l.received("lab:far", isData)) > len(l.sent("lab:near", isData)))
	}), want: "true"},
	"links[].sim.corrupt": {set: []string{"links.lab.sim.corrupt=10%"}, see: inLab(func(l *lab) string {
		l.transfer(l.near, l.far, bulk/8)
		d := l.far.Info().Drops
		return fmt.Sprint(d[api.DropTCPChecksum]+d[api.DropIPChecksum] > 0)
	}), want: "true"},
	"links[].sim.rate": {set: []string{"links.lab.sim.rate=1Mbit"}, see: arrivals(bulk / 8)},
	"links[].sim.queue": {base: []string{"links.lab.sim.rate=10Mbit"}, set: []string{"links.lab.sim.queue=4KiB"}, see: inLab(func(l *lab) string {
		l.transfer(l.near, l.far, bulk/8)
		return fmt.Sprint(l.sys.Status().Links[0].DropsOut > 0)
	}), want: "true"},
	"links[].sim.seed": {base: []string{"links.lab.sim.loss=10%"}, set: []string{"links.lab.sim.seed=99"}, see: arrivals(bulk / 8)},

	"links[].sim.reverse.delay": {base: []string{"links.lab.sim.reverse.delay=10ms"}, set: []string{"links.lab.sim.reverse.delay=30ms"},
		see: dialTime, want: "40ms"},
	"links[].sim.reverse.jitter":        reverse("jitter=5ms"),
	"links[].sim.reverse.loss":          reverse("loss=10%"),
	"links[].sim.reverse.reorder":       reverse("reorder=10%"),
	"links[].sim.reverse.reorder_delay": reverse("reorder_delay=50ms", "reorder=10%"),
	"links[].sim.reverse.duplicate":     reverse("duplicate=10%"),
	"links[].sim.reverse.corrupt":       reverse("corrupt=10%"),
	"links[].sim.reverse.rate":          reverse("rate=1Mbit"),
	"links[].sim.reverse.queue":         reverse("queue=4KiB", "rate=10Mbit"),

	"stacks[].name":    {edit: replace("name: near", "name: west"), see: seeStatus(func(s *config.Status) any { return s.Stacks[0].Name }), want: "west"},
	"stacks[].backend": {set: []string{"stacks.near.backend=reno"}, see: nearFlow(0, func(i api.Info) any { return i.Congestion }), want: "reno"},
	"stacks[].link": {edit: func(y string) string {
		return strings.NewReplacer(`"lab:near"`, `"lab:far"`, `"lab:far"`, `"lab:near"`).Replace(y)
	}, see: inLab(func(l *lab) string {
		l.transfer(l.near, l.far, 0)
		return fmt.Sprint(len(l.sent("lab:near", isSYN)), len(l.sent("lab:far", isSYN)))
	}), want: "0 1"},
	"stacks[].addresses": {set: []string{"stacks.near.addresses=10.0.0.7/24"}, see: firstSYN(func(p packet) any { return p.ip.SrcIP }), want: "10.0.0.7"},
	"stacks[].gateways": {base: []string{"stacks.near.user_timeout=5s"}, set: []string{"stacks.near.gateways=10.0.0.2"}, want: "true",
		see: inLab(func(l *lab) string {
			l.do(func(ctx context.Context) { l.near.Dial(ctx, netip.MustParseAddrPort("192.0.2.1:80"), nil) })
			return fmt.Sprint(len(l.sent("lab:near", isSYN)) > 0)
		})},
	"stacks[].buffers.send":     {base: whole, set: []string{"stacks.near.buffers.send=64KiB"}, see: nearFlow(0, func(i api.Info) any { return i.SendBuffer }), want: "65536"},
	"stacks[].buffers.receive":  {base: whole, set: []string{"stacks.near.buffers.receive=64KiB"}, see: nearFlow(0, func(i api.Info) any { return i.RecvBuffer }), want: "65536"},
	"stacks[].buffers.autotune": {set: whole, see: nearFlow(0, func(i api.Info) any { return fmt.Sprint(i.SendBuffer, " ", i.RecvBuffer) }), want: "1048576 1048576"},
	"stacks[].limits.memory":    {set: []string{"stacks.near.limits.memory=2MiB"}, see: nearStack(0, func(i api.StackInfo) any { return i.MemoryLimit }), want: "2097152"},
	"stacks[].limits.flows": {set: []string{"stacks.near.limits.flows=1"}, want: "true", see: inLab(func(l *lab) string {
		var err error
		l.do(func(ctx context.Context) {
			l.serve(l.far, true)
			l.dial(ctx, l.near, l.far)
			_, err = l.near.Dial(ctx, addrOf(l.far), nil)
		})
		return fmt.Sprint(errors.Is(err, api.ErrNoMemory))
	})},
	"stacks[].limits.half_open": {set: []string{"stacks.far.limits.half_open=3"}, want: "3", see: inLab(func(l *lab) string {
		l.do(func(ctx context.Context) {
			l.serve(l.far, true)
			for port := range uint16(10) {
				src := netip.AddrPortFrom(netip.MustParseAddr("10.0.0.9"), 1000+port)
				l.inject("lab:far", src, addrOf(l.far), layers.TCP{SYN: true, Seq: 7, Window: 1000})
			}
		})
		return fmt.Sprint(l.far.Info().HalfOpen)
	})},
	"stacks[].limits.time_wait": {set: []string{"stacks.near.limits.time_wait=2"}, see: timeWaits(5, 0), want: "2"},

	"stacks[].keepalive.after": {base: keepalive, set: []string{"stacks.near.keepalive.after=5s"}, see: probes,
		want: "first after 5s, gap 2s, 3 probes, end after 11s"},
	"stacks[].keepalive.interval": {base: keepalive, set: []string{"stacks.near.keepalive.interval=4s"}, see: probes,
		want: "first after 10s, gap 4s, 3 probes, end after 22s"},
	"stacks[].keepalive.probes": {base: keepalive, set: []string{"stacks.near.keepalive.probes=5"}, see: probes,
		want: "first after 10s, gap 2s, 5 probes, end after 20s"},
	"stacks[].nodelay": {set: []string{"stacks.near.nodelay=true"}, see: nearFlow(0, func(i api.Info) any { return i.NoDelay }), want: "true"},
	"stacks[].user_timeout": {set: []string{"stacks.near.user_timeout=10s"}, want: "10s",
		see: synTimes(func(_ []time.Duration, failed time.Duration) any { return failed })},
	"stacks[].ttl":  {set: []string{"stacks.near.ttl=9"}, see: firstSYN(func(p packet) any { return p.ip.TTL }), want: "9"},
	"stacks[].dscp": {set: []string{"stacks.near.dscp=46"}, see: firstSYN(func(p packet) any { return p.ip.TOS >> 2 }), want: "46"},
	"stacks[].mss":  {set: []string{"stacks.near.mss=500"}, see: firstSYN(func(p packet) any { return p.mss }), want: "500"},
	"stacks[].seed": {set: []string{"stacks.near.seed=9"}, see: firstSYN(func(p packet) any { return p.tcp.Seq })},
	"stacks[].shards": {base: []string{"stacks.near.limits.time_wait=1"}, set: []string{"stacks.near.shards=4"},
		see: timeWaits(8, 0)}, // each shard has a record of its own

	"stacks[].timers.rto_initial": {set: []string{"stacks.near.timers.rto_initial=300ms"}, want: "300ms",
		see: synTimes(func(at []time.Duration, _ time.Duration) any { return at[1] - at[0] })},
	"stacks[].timers.rto_min": {set: []string{"stacks.near.timers.rto_min=1s"}, see: nearFlow(1<<16, func(i api.Info) any { return i.RTO >= time.Second }), want: "true"},
	"stacks[].timers.rto_max": {set: []string{"stacks.near.timers.rto_max=2s"}, want: "2s",
		see: synTimes(func(at []time.Duration, _ time.Duration) any {
			var gap time.Duration
			for i := range at[1:] {
				gap = max(gap, at[i+1]-at[i])
			}
			return gap
		})},
	"stacks[].timers.delayed_ack": {set: []string{"stacks.far.timers.delayed_ack=60ms"}, want: "60ms", see: inLab(func(l *lab) string {
		l.do(func(ctx context.Context) {
			l.serve(l.far, true)
			f := l.dial(ctx, l.near, l.far)
			for range 20 { // the first ones are acknowledged at once
				f.Write(ctx, api.NewBuffer([]byte("x")))
				l.sleep(time.Second)
			}
		})
		var came packet // the first arrival of the last byte
		for _, p := range l.received("lab:far", isData) {
			if came.at == 0 || int32(p.tcp.Seq-came.tcp.Seq) > 0 {
				came = p
			}
		}
		for _, p := range l.sent("lab:far", func(p *packet) bool { return p.at >= came.at && p.tcp.ACK }) {
			if p.tcp.Ack == came.tcp.Seq+1 {
				return (p.at - came.at).String()
			}
		}
		return "never"
	})},
	"stacks[].timers.time_wait": {set: []string{"stacks.near.timers.time_wait=1s"}, see: timeWaits(1, 2*time.Second), want: "0"},
	"stacks[].timers.fin_wait2": {set: []string{"stacks.near.timers.fin_wait2=5s"}, see: goneAfter(10*time.Second, false, false), want: "0"},
	"stacks[].timers.syn_timeout": {set: []string{"stacks.near.timers.syn_timeout=5s"}, want: "5s",
		see: synTimes(func(_ []time.Duration, failed time.Duration) any { return failed })},
	"stacks[].timers.challenge_interval": {base: []string{"stacks.far.tcp.timestamps=false"}, set: []string{"stacks.far.timers.challenge_interval=5s"}, want: "1", see: inLab(func(l *lab) string {
		l.do(func(ctx context.Context) {
			l.serve(l.far, true)
			f := l.dial(ctx, l.near, l.far)
			for range 2 {
				l.inject("lab:far", f.Src(), f.Dst(), layers.TCP{SYN: true, Seq: 12345, Window: 1000})
				l.sleep(time.Second)
			}
		})
		return fmt.Sprint(l.far.Info().ChallengeAcks)
	})},

	"stacks[].tcp.sack":             {set: []string{"stacks.near.tcp.sack=false"}, see: firstSYN(func(p packet) any { return strings.Contains(p.options, "SACK") }), want: "false"},
	"stacks[].tcp.timestamps":       {set: []string{"stacks.near.tcp.timestamps=false"}, see: firstSYN(func(p packet) any { return strings.Contains(p.options, "Timestamps") }), want: "false"},
	"stacks[].tcp.window_scale":     {set: []string{"stacks.near.tcp.window_scale=false"}, see: firstSYN(func(p packet) any { return strings.Contains(p.options, "WindowScale") }), want: "false"},
	"stacks[].tcp.ecn":              {set: []string{"stacks.near.tcp.ecn=on"}, see: firstSYN(func(p packet) any { return p.tcp.ECE && p.tcp.CWR }), want: "true"},
	"stacks[].tcp.fast_open.client": {set: []string{"stacks.near.tcp.fast_open.client=true"}, see: fastOpen(true), want: "true"},
	"stacks[].tcp.fast_open.server": {base: []string{"stacks.near.tcp.fast_open.client=true"}, set: []string{"stacks.far.tcp.fast_open.server=true"},
		see: fastOpen(false), want: "true"},
	"stacks[].tcp.syn_cookies": {base: []string{"stacks.far.limits.half_open=3"}, set: []string{"stacks.far.tcp.syn_cookies=never"}, want: "3 0 7",
		see: inLab(func(l *lab) string {
			l.do(func(ctx context.Context) {
				l.serve(l.far, true)
				for port := range uint16(10) {
					src := netip.AddrPortFrom(netip.MustParseAddr("10.0.0.9"), 1000+port)
					l.inject("lab:far", src, addrOf(l.far), layers.TCP{SYN: true, Seq: 7, Window: 1000})
				}
			})
			i := l.far.Info()
			return fmt.Sprint(i.HalfOpen, i.CookiesSent, i.Drops[api.DropSynQueue])
		})},
	"stacks[].tcp.initial_window": {set: []string{"stacks.near.tcp.initial_window=4344B"}, want: "4344", see: inLab(func(l *lab) string {
		l.transfer(l.near, l.far, bulk)
		n := 0
		data := l.sent("lab:near", isData)
		for _, p := range data {
			if p.at == data[0].at {
				n += p.data
			}
		}
		return fmt.Sprint(n)
	})},
	"stacks[].tcp.max_window": {set: []string{"stacks.near.tcp.max_window=20KiB"}, want: "true", see: inLab(func(l *lab) string {
		return fmt.Sprint(l.transfer(l.near, l.far, bulk).greatest <= 20<<10)
	})},
	"stacks[].tcp.min_mss": {base: []string{"stacks.far.mss=64", "stacks.near.tcp.timestamps=false"}, set: []string{"stacks.near.tcp.min_mss=536"},
		see: nearFlow(0, func(i api.Info) any { return i.SendMSS }), want: "536"},
	"stacks[].tcp.orphan_retries": {set: []string{"stacks.near.tcp.orphan_retries=1"}, see: goneAfter(20*time.Second, false, true), want: "0"},

	"stacks[].cubic.fast_convergence": {base: []string{"links.lab.sim.loss=0.1%", "links.lab.sim.rate=50Mbit", "links.lab.sim.delay=50ms", "stacks.near.cubic.c=10"}, set: []string{"stacks.near.cubic.fast_convergence=false"}, see: arrivals(8 * bulk)},
	"stacks[].cubic.hystart":          {base: []string{"links.lab.sim.rate=20Mbit", "links.lab.sim.delay=30ms", "links.lab.sim.queue=512KiB"}, set: []string{"stacks.near.cubic.hystart=false"}, see: arrivals(4 * bulk)},
	"stacks[].cubic.c":                {base: congested, set: []string{"stacks.near.cubic.c=4"}, see: arrivals(4 * bulk)},
	"stacks[].cubic.beta":             {base: congested, set: []string{"stacks.near.cubic.beta=0.5"}, see: arrivals(4 * bulk)},

	"stacks[].fixed.window": {base: []string{"stacks.near.backend=fixed"}, set: []string{"stacks.near.fixed.window=12345B"}, see: nearFlow(bulk, func(i api.Info) any { return i.Cwnd }), want: "12345"},
}

var keepalive = []string{"stacks.near.keepalive.after=10s", "stacks.near.keepalive.interval=2s", "stacks.near.keepalive.probes=3"}

// reverse is a case of a key of the other direction.
func reverse(set string, base ...string) keyCase {
	c := keyCase{base: []string{"links.lab.sim.reverse.delay=10ms"}, set: []string{"links.lab.sim.reverse." + set}, see: arrivalsBack(bulk / 8)}
	for _, b := range base {
		c.base = append(c.base, "links.lab.sim.reverse."+b)
	}
	return c
}

func overtaken(ps []packet) bool {
	for i := range ps {
		for _, q := range ps[:i] {
			if int32(ps[i].tcp.Seq-q.tcp.Seq) < 0 && q.at < ps[i].at {
				return true
			}
		}
	}
	return false
}

func seeStatus(show func(*config.Status) any) func(*testing.T, string, []string) string {
	return inLab(func(l *lab) string { return fmt.Sprint(show(l.sys.Status())) })
}

func loadKeys(t *testing.T, yaml string, set []string) *config.Config {
	t.Helper()
	opts := config.Options{Name: "f", Data: []byte(yaml)}
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
	return cfg
}

var timestamp = regexp.MustCompile(`"?time"?[=:]\S+?[ ,]`)

func seeLog(t *testing.T, yaml string, set []string) string {
	var b bytes.Buffer
	newLogger(loadKeys(t, yaml, set).Log, &b).Info("hello")
	return timestamp.ReplaceAllString(b.String(), "")
}

// inDir puts a directory of the test's own in place of DIR.
func inDir(t *testing.T, set []string) (string, []string) {
	dir := t.TempDir()
	out := make([]string, len(set))
	for i, s := range set {
		out[i] = strings.ReplaceAll(s, "DIR", dir)
	}
	return dir, out
}

func seeServers(t *testing.T, yaml string, set []string) string {
	dir, set := inDir(t, set)
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	s, err := serveStatus(loadKeys(t, yaml, set), nil, slog.New(slog.DiscardHandler))
	defer s.close()
	if err != nil {
		t.Fatal(err)
	}
	out := "socket off"
	if s.socket != "" {
		st, err := os.Stat(s.socket)
		if err != nil {
			t.Fatal(err)
		}
		out = "socket " + strings.ReplaceAll(s.socket, dir, "DIR") + " mode " + strings.Replace(st.Mode().String(), "S", "-", 1)
	}
	if s.addr == nil {
		return out + ", http off"
	}
	return out + ", http on"
}

func seeCapture(t *testing.T, yaml string, set []string) string {
	dir, set := inDir(t, set)
	l := newLab(t, yaml, set...)
	l.transfer(l.near, l.far, 1000)
	l.do(func(ctx context.Context) { l.sys.Close(ctx) })
	f, err := os.Open(filepath.Join(dir, "c.pcapng"))
	if err != nil {
		return "no file"
	}
	defer f.Close()
	r, err := pcapgo.NewNgReader(f, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for {
		if _, _, err := r.ReadPacketData(); err != nil {
			break
		}
		n++
	}
	if n < 6 {
		return fmt.Sprint(n, " packets")
	}
	return "captured"
}

// elsewhere has the keys whose effect is shown by another test: they need
// sockets or a device of the host.
func elsewhere(path string) bool {
	_, service := serviceCases[path]
	return service || deviceKeys[path]
}

// deviceKeys are those of TestKeysOfDevices, which exists on Linux.
var deviceKeys = map[string]bool{
	"links[].tun.device":         true,
	"links[].tun.fd":             true,
	"links[].tun.offload":        true,
	"links[].tun.up":             true,
	"links[].tun.host_addresses": true,
	"links[].tun.queues":         true,
	"links[].tap.device":         true,
	"links[].tap.fd":             true,
	"links[].tap.offload":        true,
	"links[].tap.up":             true,
	"links[].tap.host_addresses": true,
	"links[].tap.queues":         true,
	"links[].tap.mac":            true,
	"links[].packet.interface":   true,
	"links[].packet.mac":         true,
	"links[].packet.offload":     true,

	"stacks[].duplicate_detection": true,
}

// TestKeys: no key is read and ignored. For each of them there is a case in
// which changing it changes packets, Info or another thing that users see.
func TestKeys(t *testing.T) {
	known := map[string]bool{}
	for _, k := range config.Keys() {
		if k.Type == "block" || strings.HasPrefix(k.Type, "list of blocks") {
			continue
		}
		known[k.Path] = true
		c, ok := keyCases[k.Path]
		if !ok {
			if !elsewhere(k.Path) {
				t.Errorf("%s has no case", k.Path)
			}
			continue
		}
		t.Run(k.Path, func(t *testing.T) {
			yaml := labYAML
			before := c.see(t, yaml, c.base)
			if c.edit != nil {
				yaml = c.edit(yaml)
			}
			after := c.see(t, yaml, append(append([]string{}, c.base...), c.set...))
			if before == after {
				t.Errorf("%v changes nothing: %.300s", c.set, after)
			}
			if c.want != "" && after != c.want {
				t.Errorf("%v: got %.300s, want %s", c.set, after, c.want)
			}
		})
	}
	for path := range keyCases {
		if !known[path] {
			t.Errorf("there is no key %s", path)
		}
	}
	for path := range serviceCases {
		if !known[path] {
			t.Errorf("there is no key %s", path)
		}
	}
	for path := range deviceKeys {
		if !known[path] {
			t.Errorf("there is no key %s", path)
		}
	}
}

// TestLabRepeats: the cases above would mean nothing if two runs of the same
// configuration differed by themselves.
func TestLabRepeats(t *testing.T) {
	set := append([]string{"links.lab.sim.loss=2%", "links.lab.sim.jitter=3ms", "links.lab.sim.reorder=2%"}, congested...)
	first := arrivals(bulk)(t, labYAML, set)
	if again := arrivals(bulk)(t, labYAML, set); again != first {
		t.Error("two runs of the same configuration differ")
	}
}
