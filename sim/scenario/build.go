package scenario

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/config"
	"github.com/sluicenet/sluice/impl/engine/tcp"
	"github.com/sluicenet/sluice/sim"
)

// Options say where a scenario comes from.
type Options struct {
	// File is the path of the file. Without it, Data is taken, under the name
	// Name.
	File string
	Name string
	Data []byte

	// Set changes keys: "links.wan.rate", "flows.f.congestion".
	Set []config.Assignment

	// Controllers are the congestion controllers; nil means sim.Controllers().
	Controllers map[string]cc.Factory
}

// Scenario is a valid experiment. It is not changed by being carried out, which may
// happen any number of times, side by side too.
type Scenario struct {
	File
	name        string
	controllers map[string]cc.Factory
}

// Load reads and validates. The error, if any, is of type [config.Errors], or that
// of reading the file.
func Load(opts Options) (*Scenario, error) {
	s := &Scenario{controllers: opts.Controllers, name: opts.Name}
	if s.controllers == nil {
		s.controllers = sim.Controllers()
	}
	if opts.File != "" {
		s.name = strings.TrimSuffix(filepath.Base(opts.File), filepath.Ext(opts.File))
	}
	name := opts.Name
	if name != "" && !strings.HasSuffix(name, ".yaml") {
		name += ".yaml"
	}
	doc, err := config.Decode(config.Options{File: opts.File, Name: name, Data: opts.Data, Set: opts.Set}, &s.File)
	if err != nil {
		return nil, err
	}
	s.name = strings.TrimSuffix(s.name, ".yaml")
	if s.Sample == 0 {
		s.Sample = max(s.Duration/500, config.Duration(time.Millisecond))
	}
	if s.Warmup >= s.Duration {
		doc.Fail("warmup", "warmup", "is not less than the duration, %v", s.Duration)
	}
	s.checkKinds(doc)
	if err := doc.Err(); err != nil {
		return nil, err
	}
	// Whether it can be built is found by building it.
	s.build(s.Seed, doc)
	if err := doc.Err(); err != nil {
		return nil, err
	}
	return s, nil
}

// Name returns the scenario's name: that of its file.
func (s *Scenario) Name() string { return s.name }

// Keys describes the keys of a scenario file.
func Keys() []config.Key { return config.KeysOf(new(File)) }

// kindKeys are the keys that each kind of flow takes beside those that all do, and
// whether it needs them.
var kindKeys = map[string]map[string]bool{
	"bulk":    {"bytes": false},
	"request": {"request": true, "response": true, "think": false, "count": false},
	"paced":   {"rate": true, "chunk": false},
	"onoff":   {"rate": true, "chunk": false, "on": true, "off": true, "exponential": false},
	"short":   {"bytes": true, "interval": true, "sizes": false, "count": false, "max_open": false},
	"cross":   {"rate": true, "chunk": false, "on": false, "off": false, "exponential": false, "poisson": false},
}

// tcpKeys are those that only flows over TCP take.
var tcpKeys = []string{"congestion", "nodelay", "mss"}

// checkKinds refuses keys that mean nothing to the kind of the flow.
func (s *Scenario) checkKinds(doc *config.Document) {
	var special []string
	for _, keys := range kindKeys {
		for k := range keys {
			if !slices.Contains(special, k) {
				special = append(special, k)
			}
		}
	}
	slices.Sort(special)
	for i := range s.Flows {
		f := &s.Flows[i]
		path, key := fmt.Sprintf("flows[%d].", i), "flows."+f.Name+"."
		valid := kindKeys[f.Kind]
		for _, k := range special {
			needed, takes := valid[k]
			switch given := doc.Given(path + k); {
			case given && !takes:
				doc.Fail(path+k, key+k, "means nothing to a flow of the kind %s, which takes %s", f.Kind,
					strings.Join(slices.Sorted(maps.Keys(valid)), ", "))
			case needed && !given:
				doc.Fail(strings.TrimSuffix(path, "."), key+k, "is required for a flow of the kind %s", f.Kind)
			}
		}
		if f.Kind == "cross" {
			for _, k := range tcpKeys {
				if doc.Given(path + k) {
					doc.Fail(path+k, key+k, "is for flows over TCP, and cross is not")
				}
			}
		}
		if doc.Given(path+"stagger") && f.Copies == 1 {
			doc.Fail(path+"stagger", key+"stagger", "is for several copies")
		}
	}
}

// build makes the network. With a doc it reports what is wrong.
func (s *Scenario) build(seed uint64, doc *config.Document) *sim.Network {
	fail := func(path, key string, format string, args ...any) {
		if doc == nil {
			panic("BUG: a scenario that could be built cannot be built: " + key + ": " + fmt.Sprintf(format, args...))
		}
		doc.Fail(path, key, format, args...)
	}
	n := sim.New(sim.Config{
		Seed: seed, Controllers: s.controllers, Sample: time.Duration(s.Sample), Warmup: time.Duration(s.Warmup), IPv6: s.IPv6,
	})
	nodes := map[string]sim.Node{}
	hosts := map[string]*sim.Host{}
	var names, hostNames []string
	for i := range s.Hosts {
		c := &s.Hosts[i]
		h, err := n.AddHost(c.config())
		if err != nil {
			path := fmt.Sprintf("hosts[%d]", i)
			if strings.Contains(err.Error(), "Congestion") || strings.Contains(err.Error(), "controller") {
				path += ".congestion"
			}
			fail(path, "hosts."+c.Name+strings.TrimPrefix(path, fmt.Sprintf("hosts[%d]", i)), "%s", reason(err))
			continue
		}
		nodes[c.Name], hosts[c.Name] = h, h
		names, hostNames = append(names, c.Name), append(hostNames, c.Name)
	}
	for i, c := range s.Routers {
		if nodes[c.Name] != nil {
			fail(fmt.Sprintf("routers[%d].name", i), "routers."+c.Name, "the name is that of a host")
			continue
		}
		r, err := n.AddRouter(c.Name)
		if err != nil {
			fail(fmt.Sprintf("routers[%d]", i), "routers."+c.Name, "%s", reason(err))
			continue
		}
		nodes[c.Name] = r
		names = append(names, c.Name)
	}
	linked := map[string]bool{}
	links := map[string]*sim.Link{}
	var linkNames []string
	for i := range s.Links {
		c := &s.Links[i]
		path, key := fmt.Sprintf("links[%d]", i), "links."+c.Name
		if len(c.Between) != 2 {
			fail(path+".between", key+".between", "wants two names, not %d", len(c.Between))
			continue
		}
		ok := true
		for j, end := range c.Between {
			if nodes[end] == nil {
				fail(fmt.Sprintf("%s.between[%d]", path, j), key+".between", "there is no host or router %q%s", end, config.Suggest(end, names))
				ok = false
			}
			linked[end] = true
		}
		if !ok {
			continue
		}
		if s.IPv6 && c.MTU < 1280 {
			fail(path+".mtu", key+".mtu", "%d is less than IPv6 needs, 1280", c.MTU)
			continue
		}
		forward, reverse := &c.Path, &c.Path
		if c.Reverse != nil {
			reverse = c.Reverse
			if doc != nil {
				CheckPath(doc, path+".reverse", key+".reverse", reverse)
			}
		}
		if doc != nil {
			CheckPath(doc, path, key, forward)
		}
		l, err := n.AddLink(sim.LinkConfig{
			Name: c.Name, A: nodes[c.Between[0]], B: nodes[c.Between[1]], MTU: c.MTU,
			AB: forward.Direction(), BA: reverse.Direction(),
		})
		if err != nil {
			fail(path, key, "%s", reason(err))
			continue
		}
		links[c.Name] = l
		linkNames = append(linkNames, c.Name)
	}
	for i, c := range s.Hosts {
		if !linked[c.Name] && hosts[c.Name] != nil {
			fail(fmt.Sprintf("hosts[%d]", i), "hosts."+c.Name, "no link leads there")
		}
	}
	for i, c := range s.Routers {
		if !linked[c.Name] {
			fail(fmt.Sprintf("routers[%d]", i), "routers."+c.Name, "no link leads there")
		}
	}
	for i := range s.Flows {
		s.addFlow(n, i, hosts, hostNames, fail)
	}
	for i := range s.Changes {
		c := &s.Changes[i]
		path, key := fmt.Sprintf("changes[%d]", i), fmt.Sprintf("changes.#%d", i+1)
		l := links[c.Link]
		if l == nil {
			fail(path+".link", key+".link", "there is no link %q%s", c.Link, config.Suggest(c.Link, linkNames))
			continue
		}
		if c.At >= s.Duration {
			fail(path+".at", key+".at", "%v is not before the end, %v", c.At, s.Duration)
		}
		n.At(sim.Time(c.At), func(sim.Time) {
			for _, back := range []bool{false, true} {
				if c.Direction == "forward" && back || c.Direction == "reverse" && !back {
					continue
				}
				d := l.Direction(back)
				c.Apply(&d)
				if err := l.Set(back, d); err != nil {
					panic("BUG: a change that was checked is bad: " + err.Error())
				}
			}
		})
	}
	return n
}

// addFlow adds the copies of a flow.
func (s *Scenario) addFlow(n *sim.Network, i int, hosts map[string]*sim.Host, hostNames []string, fail func(path, key, format string, args ...any)) {
	c := &s.Flows[i]
	path, key := fmt.Sprintf("flows[%d]", i), "flows."+c.Name
	ok := true
	for _, e := range []struct{ key, name string }{{"from", c.From}, {"to", c.To}} {
		if hosts[e.name] == nil {
			fail(path+"."+e.key, key+"."+e.key, "there is no host %q%s", e.name, config.Suggest(e.name, hostNames))
			ok = false
		}
	}
	if !ok {
		return
	}
	from, to := hosts[c.From], hosts[c.To]
	if from != to && n.BaseRTT(from, to) < 0 {
		fail(path+".to", key+".to", "there is no way from %s to %s", c.From, c.To)
		return
	}
	if c.Start >= s.Duration {
		fail(path+".start", key+".start", "%v is not before the end, %v", c.Start, s.Duration)
		return
	}
	for k := range c.Copies {
		name := c.Name
		if c.Copies > 1 {
			name = fmt.Sprintf("%s-%d", c.Name, k+1)
		}
		if err := c.add(n, name, from, to, time.Duration(k)*time.Duration(c.Stagger)); err != nil {
			at := ""
			switch msg := err.Error(); {
			case strings.Contains(msg, "Congestion"):
				at = ".congestion"
			case strings.Contains(msg, "MSS"):
				at = ".mss"
			case strings.Contains(msg, "both ends"):
				at = ".to"
			case strings.Contains(msg, "stop"):
				at = ".stop"
			}
			fail(path+at, key+at, "%s", reason(err))
			return
		}
	}
}

func (c *Flow) add(n *sim.Network, name string, from, to *sim.Host, later time.Duration) error {
	stop := time.Duration(c.Stop)
	f := sim.FlowConfig{
		Name: name, From: from, To: to, Start: time.Duration(c.Start) + later, Stop: stop,
		Congestion: c.Congestion, NoDelay: c.NoDelay, MSS: uint16(c.MSS),
	}
	var err error
	switch c.Kind {
	case "bulk":
		_, err = n.AddBulk(sim.Bulk{FlowConfig: f, Bytes: int64(c.Bytes)})
	case "request":
		_, err = n.AddRequest(sim.Request{FlowConfig: f, Request: int64(c.Request), Response: int64(c.Response),
			Think: time.Duration(c.Think), Count: c.Count})
	case "paced", "onoff":
		_, err = n.AddSource(sim.Source{FlowConfig: f, Rate: int64(c.Rate), Chunk: int64(c.Chunk),
			On: time.Duration(c.On), Off: time.Duration(c.Off), Exponential: c.Exponential})
	case "short":
		sizes := map[string]sim.Distribution{"fixed": sim.Fixed, "exponential": sim.Exponential, "pareto": sim.Pareto}
		_, err = n.AddShort(sim.Short{FlowConfig: f, Interval: time.Duration(c.Interval), Bytes: int64(c.Bytes),
			Sizes: sizes[c.Sizes], Count: c.Count, MaxOpen: c.MaxOpen})
	case "cross":
		_, err = n.AddCross(sim.CrossConfig{Name: name, From: from, To: to, Start: f.Start, Stop: stop, Rate: int64(c.Rate),
			Size: int64(c.Chunk), Poisson: c.Poisson, On: time.Duration(c.On), Off: time.Duration(c.Off), Exponential: c.Exponential})
	default:
		panic("BUG: flow of the kind " + c.Kind)
	}
	return err
}

func (c *Host) config() sim.HostConfig {
	return sim.HostConfig{
		Name: c.Name,
		Params: tcp.Params{
			RTOInitial: time.Duration(c.RTOInitial), RTOMin: time.Duration(c.RTOMin), DelayedAck: time.Duration(c.DelayedAck),
			AckEverySegment: c.DelayedAck == 0, InitialWindow: int64(c.InitialWindow), MaxWindow: int64(c.MaxWindow),
			NoSACK: !c.SACK, NoTimestamps: !c.Timestamps, NoWindowScale: !c.WindowScale,
		},
		Flow: api.FlowConfig{
			Congestion: c.Congestion, SendBuffer: int64(c.SendBuffer), ReceiveBuffer: int64(c.ReceiveBuffer),
			NoDelay: c.NoDelay, MSS: uint16(c.MSS),
		},
	}
}

// CheckPath notes, at a place in a document, what is wrong with a path: what only
// means something beside something else.
func CheckPath(doc *config.Document, path, key string, p *Path) {
	limited := p.Rate > 0 || p.Shaper != nil
	for _, x := range []struct {
		name string
		bad  bool
		why  string
	}{
		{"queue", p.Queue != Queue{} && !limited, "without a rate or a shaper nothing waits"},
		{"queue_packets", p.QueuePackets > 0 && !limited, "without a rate or a shaper nothing waits"},
		{"mark", p.Mark != Queue{} && !limited, "without a rate or a shaper nothing waits"},
		{"codel", p.CoDel != nil && !limited, "without a rate or a shaper nothing waits"},
		{"jitter_reorders", p.JitterReorders && p.Jitter == 0, "without jitter there is nothing to reorder"},
		{"reorder_delay", p.ReorderDelay > 0 && p.Reorder == 0, "without reorder it delays nothing"},
	} {
		if x.bad {
			doc.Fail(path+"."+x.name, key+"."+x.name, "%s", x.why)
		}
	}
	for i, n := range p.LossList {
		if n < 1 {
			doc.Fail(fmt.Sprintf("%s.loss_list[%d]", path, i), key+".loss_list", "packets are counted from 1")
		}
	}
}

// Direction returns the impairments as the laboratory has them.
func (p *Path) Direction() sim.Direction {
	d := sim.Direction{
		Blackhole: p.Blackhole, QueuePackets: p.QueuePackets, Rate: int64(p.Rate),
		Policer: p.Policer.bucket(), Shaper: p.Shaper.bucket(), CoDel: p.CoDel.codel(),
		Loss: float64(p.Loss), LossEvery: int64(p.LossEvery), Gilbert: p.LossBursts.gilbert(),
		Corrupt: float64(p.Corrupt), Delay: time.Duration(p.Delay), Jitter: time.Duration(p.Jitter), JitterReorders: p.JitterReorders,
		Reorder: float64(p.Reorder), ReorderDelay: time.Duration(p.ReorderDelay), Duplicate: float64(p.Duplicate),
	}
	for _, n := range p.LossList {
		d.LossList = append(d.LossList, int64(n))
	}
	rate := lineRate(&d)
	d.QueueBytes, d.MarkBytes = p.Queue.at(rate), p.Mark.at(rate)
	return d
}

func lineRate(d *sim.Direction) int64 {
	if d.Shaper != nil {
		return min(d.Shaper.Rate, cmp.Or(d.Rate, d.Shaper.Rate))
	}
	return d.Rate
}

func (b *Bucket) bucket() *sim.Bucket {
	if b == nil {
		return nil
	}
	return &sim.Bucket{Rate: int64(b.Rate), Burst: int64(b.Burst)}
}

func (c *CoDel) codel() *sim.CoDel {
	if c == nil {
		return nil
	}
	return &sim.CoDel{Target: time.Duration(c.Target), Interval: time.Duration(c.Interval), ECN: c.ECN}
}

func (b *Bursts) gilbert() *sim.Gilbert {
	if b == nil {
		return nil
	}
	return &sim.Gilbert{ToBad: float64(b.ToBad), ToGood: float64(b.ToGood), LossGood: float64(b.LossGood), LossBad: float64(b.LossBad)}
}

// Apply makes the change.
func (c *Patch) Apply(d *sim.Direction) {
	if c.Blackhole != nil {
		d.Blackhole = *c.Blackhole
	}
	if c.Policer != nil {
		d.Policer = c.Policer.bucket()
	}
	if c.Shaper != nil {
		d.Shaper = c.Shaper.bucket()
	}
	if c.CoDel != nil {
		d.CoDel = c.CoDel.codel()
	}
	if c.LossBursts != nil {
		d.Gilbert = c.LossBursts.gilbert()
	}
	set(&d.Rate, c.Rate)
	if c.Queue != nil {
		d.QueueBytes = c.Queue.at(lineRate(d))
	}
	if c.Mark != nil {
		d.MarkBytes = c.Mark.at(lineRate(d))
	}
	set(&d.QueuePackets, c.QueuePackets)
	set(&d.Loss, c.Loss)
	set(&d.LossEvery, c.LossEvery)
	set(&d.Corrupt, c.Corrupt)
	set(&d.Delay, c.Delay)
	set(&d.Jitter, c.Jitter)
	set(&d.Reorder, c.Reorder)
	set(&d.ReorderDelay, c.ReorderDelay)
	set(&d.Duplicate, c.Duplicate)
}

type number interface{ ~int | ~int64 | ~float64 }

// set copies a value that is given.
func set[T, U number](dst *T, src *U) {
	if src != nil {
		*dst = T(*src)
	}
}

// reason is an error without what the position says already.
func reason(err error) string {
	s := err.Error()
	if errors.Is(err, api.ErrInvalidConfig) {
		if i := strings.Index(s, api.ErrInvalidConfig.Error()+": "); i >= 0 {
			return s[i+len(api.ErrInvalidConfig.Error())+2:]
		}
	}
	if i := strings.LastIndex(s, ": "); strings.HasPrefix(s, "sim: ") && i >= 0 {
		return s[i+2:]
	}
	return s
}
