package config

import (
	"fmt"
	"net/netip"
	"sort"
	"strings"
)

// validate checks what one value alone cannot show.
func (c *Config) validate() error {
	v := &validator{cfg: c}
	if c.HTTP.Listen.IsValid() && !c.HTTP.Listen.Addr().IsLoopback() {
		v.fail("http.listen", "http.listen", "%s is not a loopback address: the status is for this machine alone", c.HTTP.Listen)
	}
	if n := len(c.Control.Socket); n > 107 {
		v.fail("control.socket", "control.socket", "is %d bytes long; the system allows 107", n)
	}
	v.links()
	v.stacks()
	v.services()
	return v.errs.orNil()
}

type validator struct {
	cfg  *Config
	errs Errors
	used map[string]string // link, or link:end -> stack
}

func (v *validator) fail(path, key, format string, args ...any) {
	v.errs.add(nearestPos(v.cfg.pos, path), key, format, args...)
}

func (v *validator) given(path string) bool { _, ok := v.cfg.pos[path]; return ok }

func (v *validator) links() {
	devices := map[string]string{}
	captures := map[string]string{}
	for i := range v.cfg.Links {
		l := &v.cfg.Links[i]
		path, key := fmt.Sprintf("links[%d]", i), "links."+l.Name
		if l.Name == noLink {
			v.fail(path+".name", key+".name", "stands for no link, and cannot be one")
		}
		if l.oneEnd() {
			if v.given(path + ".ends") {
				v.fail(path+".ends", key+".ends", "a %s link has one end; ends are for pipe and sim", l.Driver)
			}
		} else if len(l.Ends) != 2 || l.Ends[0] == l.Ends[1] || !validName(l.Ends[0]) || !validName(l.Ends[1]) {
			v.fail(path+".ends", key+".ends", "wants two different names")
		}
		for _, b := range []struct {
			driver string
			given  bool
		}{{"pipe", l.Pipe != nil}, {"tun", l.Tun != nil}, {"tap", l.Tap != nil}, {"packet", l.Packet != nil}, {"replay", l.Replay != nil}, {"sim", l.Sim != nil}} {
			if b.given && l.Driver != b.driver {
				v.fail(path+"."+b.driver, key+"."+b.driver, "is for the driver %s, not %s", b.driver, l.Driver)
			}
		}
		switch {
		case l.Driver == "packet" && l.Packet == nil:
			v.fail(path, key+".packet.interface", "is required for the driver packet")
		case l.Driver == "replay" && l.Replay == nil:
			v.fail(path, key+".replay.file", "is required for the driver replay")
		}
		if p := l.Packet; p != nil && !deviceName(p.Interface) {
			v.fail(path+".packet.interface", key+".packet.interface", "%q is not the name of an interface: at most 15 characters, no space, '/' or '%%'", p.Interface)
		}
		if t := l.kernelDevice(); t != nil && (l.Driver == "tun" || l.Driver == "tap") {
			path, key := path+"."+l.Driver, key+"."+l.Driver
			if t.FD != 0 && t.Device != "" {
				v.fail(path+".fd", key+".fd", "is given together with device: only one can be")
			}
			if !deviceName(t.Device) {
				v.fail(path+".device", key+".device", "%q is not a device name: at most 15 characters, no space, '/' or '%%'", t.Device)
			}
			if first, dup := devices[t.Device]; dup && t.Device != "" {
				v.fail(path+".device", key+".device", "the device %s is taken by link %s", t.Device, first)
			}
			devices[t.Device] = l.Name
			if t.FD != 0 && t.Queues > 1 {
				v.fail(path+".queues", key+".queues", "cannot be set with fd: a descriptor is one queue")
			}
			if !t.Up && len(t.HostAddresses) > 0 {
				v.fail(path+".host_addresses", key+".host_addresses", "cannot be set with 'up: false'")
			}
			for j, p := range t.HostAddresses {
				if problem := unusable(p.Addr()); problem != "" {
					v.fail(fmt.Sprintf("%s.host_addresses[%d]", path, j), key+".host_addresses", "%s %s", p, problem)
				}
				if p.Addr().Is6() && l.MTU < 1280 {
					v.fail(fmt.Sprintf("links[%d].mtu", i), "links."+l.Name+".mtu", "%d is less than the 1280 that IPv6 needs", l.MTU)
				}
			}
		}
		if l.Capture != "" {
			if first, dup := captures[l.Capture]; dup {
				v.fail(path+".capture", key+".capture", "the file is taken by link %s", first)
			}
			captures[l.Capture] = l.Name
		}
	}
}

// deviceName reports whether the kernel may have an interface of the name.
func deviceName(s string) bool { return len(s) <= 15 && !strings.ContainsAny(s, "/ \t\n%") }

// unusable says what is wrong with an address for a host, if anything is.
func unusable(a netip.Addr) string {
	switch {
	case a.IsUnspecified():
		return "is the unspecified address"
	case a.IsMulticast():
		return "is a multicast address"
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "is the broadcast address"
	case a.Zone() != "":
		return "has a zone"
	}
	return ""
}

func (v *validator) stacks() {
	v.used = map[string]string{}
	addrs := map[string]map[netip.Addr]string{} // by link
	if len(v.cfg.Stacks) == 0 {
		v.fail("stacks", "stacks", "is empty: nothing to run")
	}
	for i := range v.cfg.Stacks {
		s := &v.cfg.Stacks[i]
		path, key := fmt.Sprintf("stacks[%d]", i), "stacks."+s.Name
		b, ok := v.cfg.backends[s.Backend]
		if !ok {
			v.fail(path+".backend", key+".backend", "there is no backend %q%s", s.Backend, suggest(s.Backend, v.cfg.backends.Names()))
			continue
		}
		v.keysOf(path, key, s, b)
		l := v.linkOf(path, key, s, b)
		v.addresses(path, key, s, b, l, addrs)
		if at := path + ".duplicate_detection"; v.given(at) && b.Link && (l == nil || !l.ethernet()) {
			v.fail(at, key+".duplicate_detection", "is for stacks on a link of Ethernet: tap, packet, replay")
		}
		if s.MSS != 0 && l != nil && s.MSS > l.MTU-40 {
			v.fail(path+".mss", key+".mss", "%d does not fit into the MTU of link %s, %d, with headers of 40 bytes", s.MSS, l.Name, l.MTU)
		}
		if b.Link && s.Limits.Memory != 0 && s.Limits.Memory < max(s.Buffers.Send, s.Buffers.Receive) {
			v.fail(path+".limits.memory", key+".limits.memory", "%s is less than one flow's buffer", s.Limits.Memory)
		}
		t := &s.Timers
		if t.RTOMin != 0 && t.RTOMax != 0 && t.RTOMin > t.RTOMax {
			v.fail(path+".timers.rto_min", key+".timers.rto_min", "%s is more than rto_max, %s", t.RTOMin, t.RTOMax)
		}
		if t.RTOInitial != 0 && t.RTOMax != 0 && t.RTOInitial > t.RTOMax {
			v.fail(path+".timers.rto_initial", key+".timers.rto_initial", "%s is more than rto_max, %s", t.RTOInitial, t.RTOMax)
		}
	}
	for i := range v.cfg.Links {
		l := &v.cfg.Links[i]
		path, key := fmt.Sprintf("links[%d]", i), "links."+l.Name
		if l.oneEnd() {
			if v.used[l.Name] == "" {
				v.fail(path, key, "no stack is attached to it")
			}
			continue
		}
		for _, end := range l.Ends {
			if v.used[l.Name+":"+end] == "" {
				v.fail(path, key, "no stack is attached to %s:%s", l.Name, end)
			}
		}
	}
}

// keysOf refuses keys that the backend would ignore.
func (v *validator) keysOf(path, key string, s *Stack, b Backend) {
	var wrong []string
	for p := range v.cfg.pos {
		rest, ok := strings.CutPrefix(p, path+".")
		if !ok || strings.Contains(rest, "[") || rest == "name" || rest == "backend" || rest == "link" && s.Link == noLink {
			continue
		}
		if strings.Contains(rest, ".") {
			if parent, _, _ := strings.Cut(rest, "."); contains(b.Keys, parent) {
				continue
			}
		} else if f := root.child("stacks").child(rest); f.fields != nil && prefixOfAny(rest+".", b.Keys) {
			continue // its keys are looked at one by one
		}
		if !contains(b.Keys, rest) {
			wrong = append(wrong, rest)
		}
	}
	sort.Strings(wrong)
	for i, rest := range wrong {
		if i > 0 && strings.HasPrefix(rest, wrong[0]+".") {
			continue
		}
		v.fail(path+"."+rest, key+"."+rest, "the backend %s does not take it", s.Backend)
	}
}

func prefixOfAny(prefix string, list []string) bool {
	for _, s := range list {
		if strings.HasPrefix(s, prefix) {
			return true
		}
	}
	return false
}

// noLink is what stands for no link.
const noLink = "none"

func (v *validator) linkOf(path, key string, s *Stack, b Backend) *Link {
	if !b.Link {
		return nil
	}
	path, key = path+".link", key+".link"
	if s.Link == noLink {
		return nil
	}
	if s.Link == "" {
		v.fail(path, key, "is required for the backend %s; 'none' is for a stack that talks to itself alone", s.Backend)
		return nil
	}
	name, end, hasEnd := strings.Cut(s.Link, ":")
	var names []string
	for i := range v.cfg.Links {
		l := &v.cfg.Links[i]
		names = append(names, l.Name)
		if l.Name != name {
			continue
		}
		switch {
		case l.oneEnd() && hasEnd:
			v.fail(path, key, "%s is a %s link and has no ends: write %q", name, l.Driver, name)
			return l
		case !l.oneEnd() && !hasEnd:
			v.fail(path, key, "%s has two ends: write %q or %q", name, name+":"+l.Ends[0], name+":"+l.Ends[len(l.Ends)-1])
			return l
		case !l.oneEnd() && !contains(l.Ends, end):
			v.fail(path, key, "link %s has no end %q%s", name, end, suggest(end, l.Ends))
			return l
		}
		if other := v.used[s.Link]; other != "" {
			v.fail(path, key, "stack %s is attached to %s already", other, s.Link)
			return l
		}
		v.used[s.Link] = s.Name
		return l
	}
	v.fail(path, key, "there is no link %q%s", name, suggest(name, names))
	return nil
}

func (v *validator) addresses(path, key string, s *Stack, b Backend, l *Link, addrs map[string]map[netip.Addr]string) {
	if b.Link && len(s.Addresses) == 0 {
		v.fail(path+".addresses", key+".addresses", "is required for the backend %s", s.Backend)
	}
	name := "\x00" + s.Backend // stacks without a link share the host's network
	switch {
	case l != nil:
		name = l.Name
	case b.Link:
		name = "\x00" + s.Name
	}
	if addrs[name] == nil {
		addrs[name] = map[netip.Addr]string{}
		if l != nil && l.kernelDevice() != nil {
			for _, p := range l.kernelDevice().HostAddresses {
				addrs[name][p.Addr()] = "the host's side of link " + l.Name
			}
		}
	}
	for i, p := range s.Addresses {
		at := fmt.Sprintf("%s.addresses[%d]", path, i)
		if problem := unusable(p.Addr()); problem != "" {
			v.fail(at, key+".addresses", "%s %s", p, problem)
			continue
		}
		if p.Addr().Is4() && p.Bits() < 31 && p.Bits() > 0 {
			if p.Addr() == p.Masked().Addr() {
				v.fail(at, key+".addresses", "%s is the address of the network itself", p)
			} else if lastOf(p.Prefix) == p.Addr() {
				v.fail(at, key+".addresses", "%s is the network's broadcast address", p)
			}
		}
		if b.Link && p.Addr().IsLoopback() && s.Link != noLink {
			v.fail(at, key+".addresses", "%s is a loopback address, which no link carries", p)
		}
		if p.Addr().Is6() && l != nil && l.MTU < 1280 {
			v.fail(at, key+".addresses", "IPv6 needs an MTU of 1280; that of link %s is %d", l.Name, l.MTU)
		}
		if other := addrs[name][p.Addr()]; other != "" {
			v.fail(at, key+".addresses", "%s is taken by %s", p.Addr(), other)
		} else {
			addrs[name][p.Addr()] = "stack " + s.Name
		}
	}
	families := map[bool]netip.Addr{}
	for i, g := range s.Gateways {
		at := fmt.Sprintf("%s.gateways[%d]", path, i)
		if other, dup := families[g.Is4()]; dup {
			v.fail(at, key+".gateways", "%s is of the same family as %s: one for each", g, other)
		}
		families[g.Is4()] = g
		inside, own := false, false
		for _, p := range s.Addresses {
			inside = inside || p.Contains(g)
			own = own || p.Addr() == g
		}
		if own {
			v.fail(at, key+".gateways", "%s is the stack's own address", g)
		} else if !inside {
			v.fail(at, key+".gateways", "%s is in none of the stack's networks", g)
		}
	}
}

// lastOf returns the last address of an IPv4 network.
func lastOf(p netip.Prefix) netip.Addr {
	a := p.Masked().Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		a[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(a)
}

func (v *validator) services() {
	listening := map[string]map[uint16]string{}
	host := map[netip.AddrPort]string{}
	if a := v.cfg.HTTP.Listen; a.IsValid() && a.Port() != 0 {
		host[a.AddrPort] = "http.listen"
	}
	for i := range v.cfg.Services {
		s := &v.cfg.Services[i]
		path, key := fmt.Sprintf("services[%d]", i), "services."+s.Name
		st := v.cfg.stack(s.Stack)
		if st == nil {
			v.fail(path+".stack", key+".stack", "there is no stack %q%s", s.Stack, suggest(s.Stack, v.cfg.stackNames()))
		}
		transparent := s.Handler == "forward" && len(s.Prefixes) > 0
		for _, k := range []struct {
			name     string
			present  bool
			wants    bool
			required bool
		}{
			{"prefixes", len(s.Prefixes) > 0, s.Handler == "forward", false},
			{"listen", s.Listen != Endpoint{}, s.Handler != "forward", true},
			{"from", s.From.IsValid(), s.Handler == "forward" && !transparent, true},
			{"to", s.To.IsValid(), s.Handler == "forward" && !transparent || s.Handler == "proxy", true},
			{"fast_open", s.FastOpen != 0, s.Handler != "forward", false},
			{"root", s.Root != "", s.Handler == "http", false},
			{"upload", v.given(path + ".upload"), s.Handler == "http", false},
		} {
			if k.wants && k.required && !k.present {
				if k.name == "from" || k.name == "to" && s.Handler == "forward" {
					v.fail(path+"."+k.name, key+"."+k.name, "is required for the handler forward, unless it has prefixes")
					continue
				}
				v.fail(path+"."+k.name, key+"."+k.name, "is required for the handler %s", s.Handler)
			}
			if !k.wants && (k.present || v.given(path+"."+k.name)) {
				if transparent {
					v.fail(path+"."+k.name, key+"."+k.name, "the handler forward does not take it beside prefixes")
					continue
				}
				v.fail(path+"."+k.name, key+"."+k.name, "the handler %s does not take it", s.Handler)
			}
		}
		if s.FastOpen > 0 && st != nil && st.Backend != "kernel" && !st.TCP.FastOpen.Server {
			v.fail(path+".fast_open", key+".fast_open", "needs tcp.fast_open.server: true of the stack %s", s.Stack)
		}
		if s.Upload && s.Root == "" {
			v.fail(path+".upload", key+".upload", "needs a root to store files under")
		}
		if (s.Handler == "proxy" || s.Handler == "forward") && s.To.IsValid() {
			if s.To.Port() == 0 {
				v.fail(path+".to", key+".to", "%s has no port to connect to", s.To)
			}
			if s.To.Addr().IsUnspecified() || s.To.Addr().IsMulticast() {
				v.fail(path+".to", key+".to", "%s is no address to connect to", s.To)
			}
		}
		if s.Handler == "forward" && s.From.IsValid() {
			if other := host[s.From.AddrPort]; other != "" {
				v.fail(path+".from", key+".from", "%s is taken by %s", s.From, other)
			} else if s.From.Port() != 0 {
				host[s.From.AddrPort] = "service " + s.Name
			}
		}
		if e := s.Listen; st != nil && e.Port != 0 && s.Handler != "forward" {
			if e.Addr.IsValid() && !st.has(e.Addr) {
				v.fail(path+".listen", key+".listen", "%s is not an address of stack %s", e.Addr, s.Stack)
			}
			if listening[s.Stack] == nil {
				listening[s.Stack] = map[uint16]string{}
			}
			if other := listening[s.Stack][e.Port]; other != "" {
				v.fail(path+".listen", key+".listen", "port %d of stack %s is taken by service %s", e.Port, s.Stack, other)
			}
			listening[s.Stack][e.Port] = s.Name
		}
	}
}

func (s *Stack) has(a netip.Addr) bool {
	for _, p := range s.Addresses {
		if p.Addr() == a {
			return true
		}
	}
	return len(s.Addresses) == 0
}

func (c *Config) stack(name string) *Stack {
	for i := range c.Stacks {
		if c.Stacks[i].Name == name {
			return &c.Stacks[i]
		}
	}
	return nil
}

func (c *Config) stackNames() []string {
	names := make([]string, len(c.Stacks))
	for i := range c.Stacks {
		names[i] = c.Stacks[i].Name
	}
	return names
}
