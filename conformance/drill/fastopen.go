package drill

import (
	"bytes"
	"net/netip"

	"github.com/sluicenet/sluice/conformance/drill/script"
	"github.com/sluicenet/sluice/conformance/drill/settings"
	"github.com/sluicenet/sluice/conformance/drill/sock"
)

// cookies are what a script that sets no key calls the cookies of its server: like
// sequence numbers they are the script's, and mapped to the live one.
type cookies struct {
	good [][]byte // of the script
	live func(local, remote netip.Addr) []byte
}

// findCookies returns the cookies that are good in a script: those that its server hands
// out, and those with which it takes data from a SYN.
func findCookies(s *script.Script) (good [][]byte) {
	add := func(t *script.TCP) {
		for _, o := range t.Options {
			if (o.Kind == script.OptFastOpen || o.Kind == script.OptFOEXP) && len(o.Data) > 0 && !hasCookie(good, o.Data) {
				good = append(good, o.Data)
			}
		}
	}
	settings.FastOpens(s, func(syn, synAck *script.TCP) {
		add(synAck)
		if syn != nil && settings.TakesData(syn, synAck) {
			add(syn)
		}
	})
	return good
}

func hasCookie(good [][]byte, b []byte) bool {
	for _, g := range good {
		if bytes.Equal(g, b) {
			return true
		}
	}
	return false
}

// keyed reports whether a script knows the key that cookies are made with.
func (r *run) keyed() bool {
	if r.set.Keys["net.ipv4.tcp_fastopen_key"] != "" {
		return true
	}
	for i := range r.script.Events {
		a, ok := r.script.Events[i].Action.(*script.Syscall)
		if !ok || a.Name != "setsockopt" || len(a.Args) < 3 {
			continue
		}
		level, err := integer(a.Args[1])
		name, err2 := integer(a.Args[2])
		if err == nil && err2 == nil && level == sock.IPProtoTCP && name == sock.TCPFastOpenKey {
			return true
		}
	}
	return false
}

// chooseKey is called before the host is made: where the script has none, the runner
// sets the key, so as to know what the cookies are.
func (r *run) chooseKey() {
	if r.freebsd() || r.keyed() {
		return
	}
	if good := findCookies(r.script); len(good) > 0 {
		r.set.ChooseFastOpenKey()
		r.cookies = &cookies{good: good}
	}
}

// toLive returns a script's options with the live cookies.
func (r *run) toLive(c *conn, os []script.TCPOption) []script.TCPOption {
	if r.cookies == nil || r.cookies.live == nil {
		return os
	}
	os = append([]script.TCPOption(nil), os...)
	for i := range os {
		if o := &os[i]; (o.Kind == script.OptFastOpen || o.Kind == script.OptFOEXP) && hasCookie(r.cookies.good, o.Data) {
			o.Data = r.cookies.live(c.local.Addr(), c.remote.Addr())
		}
	}
	return os
}

// toScript replaces the live cookie of a SYN-ACK by the script's: by that of want if it
// has one.
func (r *run) toScript(c *conn, s *segment, want []script.TCPOption) {
	if r.cookies == nil || r.cookies.live == nil || s.flags&(fSYN|fACK) != fSYN|fACK {
		return
	}
	name := r.cookies.good[0]
	for i := range want {
		if o := &want[i]; hasCookie(r.cookies.good, o.Data) {
			name = o.Data
		}
	}
	live := r.cookies.live(c.local.Addr(), c.remote.Addr())
	for i := range s.options {
		o := &s.options[i]
		switch {
		case o.kind == kindFO && bytes.Equal(o.data, live):
			o.data = name
		case o.kind == kindExp && len(o.data) > 2 && o.data[0] == 0xf9 && o.data[1] == 0x89 && bytes.Equal(o.data[2:], live):
			o.data = append([]byte{0xf9, 0x89}, name...)
		}
	}
}

// destination evaluates the address of a sendto or sendmsg that connects; one that is
// left out is the remote end.
func (c *caller) destination(k *call) (to netip.AddrPort, err error) {
	to = netip.AddrPortFrom(c.r.env.Remote, c.r.opt.connectPort)
	var x script.Expr
	switch {
	case k.s.Name == "sendto" && len(k.s.Args) > 4:
		x = k.s.Args[4]
	case k.s.Name == "sendmsg":
		if h, ok := k.s.Args[1].(*script.Struct); ok {
			x = h.Field("msg_name")
		}
	}
	switch {
	case x == nil || isAny(x):
		return to, nil
	case isNull(x):
		return netip.AddrPort{}, nil
	}
	return sockaddr(x, to)
}
