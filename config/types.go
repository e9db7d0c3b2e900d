package config

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Duration is a time with its unit, as in "30s" or "1m30s".
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler. The unit is compulsory,
// except for 0.
func (d *Duration) UnmarshalText(text []byte) error {
	s := string(text)
	v, err := time.ParseDuration(s)
	if err != nil {
		if _, e := strconv.ParseFloat(s, 64); e == nil {
			return fmt.Errorf("%q has no unit: write %q", s, s+"s")
		}
		return fmt.Errorf("%q is not a duration such as %q", s, "1m30s")
	}
	if v < 0 {
		return fmt.Errorf("%q is negative", s)
	}
	*d = Duration(v)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String prints the duration with its units, without trailing zero ones.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

type unit struct {
	name  string
	value float64
}

// parseUnit parses a number followed by one of units, of which the first is
// suggested where there is none.
func parseUnit(s, what, example string, units []unit) (float64, error) {
	i := strings.IndexFunc(s, func(r rune) bool { return !(r >= '0' && r <= '9' || r == '.') })
	if i < 0 {
		if f, err := strconv.ParseFloat(s, 64); err == nil {
			if f == 0 {
				return 0, nil
			}
			return 0, fmt.Errorf("%q has no unit: write %q", s, s+units[0].name)
		}
		return 0, fmt.Errorf("%q is not a %s such as %q", s, what, example)
	}
	f, err := strconv.ParseFloat(s[:i], 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a %s such as %q", s, what, example)
	}
	name := strings.TrimSpace(s[i:])
	for _, u := range units {
		if u.name == name {
			if v := f * u.value; v < 1<<62 {
				return v, nil
			}
			return 0, fmt.Errorf("%q is too large", s)
		}
	}
	names := make([]string, len(units))
	for j, u := range units {
		names[j] = u.name
	}
	return 0, fmt.Errorf("%q has the unknown unit %q: use one of %s", s, name, strings.Join(names, ", "))
}

func formatUnit(v float64, units []unit) string {
	best := unit{value: 0}
	for _, u := range units {
		if q := v / u.value; q >= 1 && q == math.Trunc(q) && u.value > best.value {
			best = u
		}
	}
	if best.value == 0 {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return strconv.FormatFloat(v/best.value, 'f', -1, 64) + best.name
}

// Size is a number of bytes with its unit, as in "64KiB".
type Size int64

var sizeUnits = []unit{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"B", 1}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}}

// UnmarshalText implements encoding.TextUnmarshaler.
func (z *Size) UnmarshalText(text []byte) error {
	f, err := parseUnit(string(text), "size", "64KiB", sizeUnits)
	if err != nil {
		return err
	}
	if f != math.Trunc(f) {
		return fmt.Errorf("%q is not a whole number of bytes", text)
	}
	*z = Size(f)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (z Size) MarshalText() ([]byte, error) { return []byte(z.String()), nil }

// String prints the size in the largest unit that divides it.
func (z Size) String() string { return formatUnit(float64(z), sizeUnits[:5]) }

// Rate is a number of bits per second with its unit, as in "50Mbit".
type Rate int64

var rateUnits = []unit{{"Mbit", 1e6}, {"Gbit", 1e9}, {"kbit", 1e3}, {"bit", 1}}

// UnmarshalText implements encoding.TextUnmarshaler. "/s" may follow.
func (r *Rate) UnmarshalText(text []byte) error {
	f, err := parseUnit(strings.TrimSuffix(string(text), "/s"), "rate", "50Mbit", rateUnits)
	if err != nil {
		return err
	}
	*r = Rate(f)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// String prints the rate in the largest unit that divides it.
func (r Rate) String() string { return formatUnit(float64(r), rateUnits) }

// Percent is a probability, between 0 and 1, written as in "0.5%".
type Percent float64

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Percent) UnmarshalText(text []byte) error {
	f, err := parseUnit(string(text), "percentage", "0.5%", []unit{{"%", 0.01}})
	if err != nil {
		return err
	}
	if f > 1 {
		return fmt.Errorf("%q is more than 100%%", text)
	}
	*p = Percent(f)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (p Percent) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// String prints the percentage.
func (p Percent) String() string {
	return strconv.FormatFloat(float64(p)*100, 'g', 6, 64) + "%"
}

// Mode is the permission bits of a file, in octal.
type Mode fs.FileMode

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *Mode) UnmarshalText(text []byte) error {
	v, err := strconv.ParseUint(strings.TrimPrefix(string(text), "0o"), 8, 32)
	if err != nil || v > 0o777 {
		return fmt.Errorf("%q is not a file mode such as %q", text, "0600")
	}
	*m = Mode(v)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (m Mode) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%04o", uint32(m)), nil }

// Endpoint is what a service listens on in its stack: a port ("80"), or one
// address of the stack and a port ("10.9.0.2:80", "[fd09::2]:80").
type Endpoint struct {
	Addr netip.Addr // zero: every address of the stack
	Port uint16
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (e *Endpoint) UnmarshalText(text []byte) error {
	s := string(text)
	if n, err := strconv.ParseUint(s, 10, 64); err == nil {
		if n == 0 || n > 65535 {
			return fmt.Errorf("%s is not a port: ports are 1 to 65535", s)
		}
		*e = Endpoint{Port: uint16(n)}
		return nil
	}
	ap, err := parseAddrPort(s)
	if err != nil {
		return fmt.Errorf("%q is neither a port nor an address and a port such as %q", s, "10.9.0.2:80")
	}
	*e = Endpoint{Addr: ap.Addr(), Port: ap.Port()}
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (e Endpoint) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// String prints the endpoint as it is written in a file.
func (e Endpoint) String() string {
	switch {
	case e == Endpoint{}:
		return ""
	case !e.Addr.IsValid():
		return strconv.Itoa(int(e.Port))
	}
	return netip.AddrPortFrom(e.Addr, e.Port).String()
}

// AddrPort is an IP address and a port, as in "127.0.0.1:8080" or "[::1]:8080".
type AddrPort struct{ netip.AddrPort }

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *AddrPort) UnmarshalText(text []byte) error {
	if string(text) == "off" {
		*a = AddrPort{}
		return nil
	}
	ap, err := parseAddrPort(string(text))
	if err != nil {
		return err
	}
	*a = AddrPort{ap}
	return nil
}

func parseAddrPort(s string) (netip.AddrPort, error) {
	if host, ok := strings.CutPrefix(s, "localhost:"); ok {
		s = "127.0.0.1:" + host
	}
	ap, err := netip.ParseAddrPort(s)
	switch {
	case err == nil:
		return ap, nil
	case strings.HasPrefix(s, ":"):
		return ap, fmt.Errorf("%q has no address: write %q", s, "127.0.0.1"+s)
	}
	if a, e := netip.ParseAddr(s); e == nil {
		return ap, fmt.Errorf("%q has no port: write %q", s, netip.AddrPortFrom(a, 80).String())
	}
	return ap, fmt.Errorf("%q is not an address and a port such as %q", s, "127.0.0.1:8080")
}

// MarshalText implements encoding.TextMarshaler.
func (a AddrPort) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// String prints the address, or "off".
func (a AddrPort) String() string {
	if !a.IsValid() {
		return "off"
	}
	return a.AddrPort.String()
}

// Prefix is an address with the length of its network, as in "10.9.0.2/24".
type Prefix struct{ netip.Prefix }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Prefix) UnmarshalText(text []byte) error {
	v, err := netip.ParsePrefix(string(text))
	if err != nil {
		if a, e := netip.ParseAddr(string(text)); e == nil {
			n := 24
			if a.Is6() {
				n = 64
			}
			return fmt.Errorf("%q has no prefix length: write %q", text, netip.PrefixFrom(a, n).String())
		}
		return fmt.Errorf("%q is not an address with a prefix length such as %q", text, "10.9.0.2/24")
	}
	if v.Addr().Is4In6() {
		return errors.New("an IPv4 address is written as such: " + v.Addr().Unmap().String())
	}
	*p = Prefix{v}
	return nil
}

// MAC is an Ethernet address, as in "02:00:5e:10:00:01".
type MAC [6]byte

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *MAC) UnmarshalText(text []byte) error {
	hw, err := net.ParseMAC(string(text))
	if err != nil || len(hw) != 6 {
		return fmt.Errorf("%q is not an Ethernet address such as %q", text, "02:00:5e:10:00:01")
	}
	if hw[0]&1 != 0 || MAC(hw) == (MAC{}) {
		return fmt.Errorf("%q is not the address of one station", text)
	}
	*m = MAC(hw)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (m MAC) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// String prints the address, or nothing.
func (m MAC) String() string {
	if m == (MAC{}) {
		return ""
	}
	return net.HardwareAddr(m[:]).String()
}
