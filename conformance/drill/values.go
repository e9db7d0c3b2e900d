package drill

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/sluicenet/sluice/conformance/drill/script"
	"github.com/sluicenet/sluice/conformance/drill/sock"
)

// broken says that a script does what no script may do, at a place in it.
type broken struct {
	pos script.Pos
	msg string
}

func (b *broken) Error() string { return fmt.Sprintf("%v: %s", b.pos, b.msg) }

func brokenf(at script.Expr, format string, args ...any) error {
	return &broken{at.Position(), fmt.Sprintf(format, args...)}
}

// integer evaluates an expression to a number.
func integer(x script.Expr) (int64, error) {
	switch x := x.(type) {
	case script.Int:
		return x.Value, nil
	case script.Name:
		if v, ok := sock.Symbols[x.Name]; ok {
			return v, nil
		}
		return 0, sock.Unsupported{Feature: "the constant " + x.Name}
	case *script.Unary:
		v, err := integer(x.X)
		if x.Op == "~" {
			return ^v, err
		}
		return -v, err
	case *script.Binary:
		if x.Op == "=" {
			return integer(x.Right)
		}
		l, err := integer(x.Left)
		if err != nil {
			return 0, err
		}
		r, err := integer(x.Right)
		if err != nil {
			return 0, err
		}
		switch x.Op {
		case "|":
			return l | r, nil
		case "&":
			return l & r, nil
		case "^":
			return l ^ r, nil
		case "+":
			return l + r, nil
		case "-":
			return l - r, nil
		case "*":
			return l * r, nil
		case "<<":
			return l << min(uint64(r), 64), nil
		case ">>":
			return l >> min(uint64(r), 63), nil
		}
	case *script.Call:
		if len(x.Args) == 1 && (x.Name == "htons" || x.Name == "htonl") {
			return integer(x.Args[0])
		}
		if len(x.Args) == 1 && x.Name == "inet_addr" {
			a, err := address(x)
			if err != nil {
				return 0, err
			}
			b := a.As4()
			return int64(binary.BigEndian.Uint32(b[:])), nil
		}
	case *script.List: // [v]
		if len(x.Items) == 1 {
			return integer(x.Items[0])
		}
	}
	return 0, brokenf(x, "expected a number")
}

// isAny reports whether an expression is "...".
func isAny(x script.Expr) bool {
	if l, ok := x.(*script.List); ok && len(l.Items) == 1 { // "[...]"
		x = l.Items[0]
	}
	_, ok := x.(script.Ellipsis)
	return ok
}

func isNull(x script.Expr) bool {
	n, ok := x.(script.Name)
	return ok && n.Name == "NULL"
}

// address evaluates an IP address.
func address(x script.Expr) (netip.Addr, error) {
	switch x := x.(type) {
	case *script.Call:
		if len(x.Args) == 1 {
			if s, ok := x.Args[0].(script.Str); ok {
				if a, err := netip.ParseAddr(s.Value); err == nil {
					return a, nil
				}
				return netip.Addr{}, brokenf(x, "%q is no address", s.Value)
			}
			return address(x.Args[0])
		}
	case script.Str:
		if a, err := netip.ParseAddr(x.Value); err == nil {
			return a, nil
		}
	case script.Name:
		if x.Name == "INADDR_ANY" {
			return netip.IPv4Unspecified(), nil
		}
		if x.Name == "INADDR_LOOPBACK" {
			return netip.AddrFrom4([4]byte{127, 0, 0, 1}), nil
		}
	case script.Int:
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(x.Value))
		return netip.AddrFrom4(b), nil
	}
	return netip.Addr{}, brokenf(x, "expected an address")
}

// sockaddr evaluates a struct sockaddr. Members that are "..." or missing are
// those of def.
func sockaddr(x script.Expr, def netip.AddrPort) (netip.AddrPort, error) {
	s, ok := x.(*script.Struct)
	if !ok {
		return def, brokenf(x, "expected an address")
	}
	a, port := def.Addr(), def.Port()
	for _, f := range s.Fields {
		if isAny(f.Value) {
			continue
		}
		var err error
		switch f.Name {
		case "sin_port", "sin6_port":
			var v int64
			v, err = integer(f.Value)
			port = uint16(v)
		case "sin_addr", "sin6_addr":
			a, err = address(f.Value)
		case "sa_family":
			var v int64
			if v, err = integer(f.Value); err == nil && v != sock.AFInet && v != sock.AFInet6 {
				return def, sock.Unsupported{Feature: "addresses that are not IP"}
			}
		}
		if err != nil {
			return def, err
		}
	}
	return netip.AddrPortFrom(a, port), nil
}

// text evaluates a string.
func text(x script.Expr) (string, bool) {
	switch x := x.(type) {
	case script.Str:
		return x.Value, true
	case *script.List:
		if len(x.Items) == 1 {
			return text(x.Items[0])
		}
	}
	return "", false
}

// optionValue returns the bytes of a socket option's value.
func optionValue(x script.Expr, level, name int64) ([]byte, error) {
	if l, ok := x.(*script.List); ok && len(l.Items) == 1 {
		if _, ok := l.Items[0].(*script.Struct); ok {
			x = l.Items[0]
		}
	}
	if s, ok := text(x); ok {
		return append([]byte(s), 0), nil
	}
	if isNull(x) {
		return nil, nil
	}
	u32 := func(b []byte, v int64) []byte { return binary.LittleEndian.AppendUint32(b, uint32(v)) }
	u64 := func(b []byte, v int64) []byte { return binary.LittleEndian.AppendUint64(b, uint64(v)) }
	switch x := x.(type) {
	case *script.Struct:
		get := func(n string) (int64, error) {
			f := x.Field(n)
			if f == nil || isAny(f) {
				return 0, nil
			}
			return integer(f)
		}
		pair := func(a, b string, put func([]byte, int64) []byte) ([]byte, error) {
			v, err := get(a)
			if err != nil {
				return nil, err
			}
			w, err := get(b)
			return put(put(nil, v), w), err
		}
		switch {
		case x.Has("onoff"):
			return pair("onoff", "linger", u32)
		case x.Has("l_onoff"):
			return pair("l_onoff", "l_linger", u32)
		case x.Has("tv_sec"):
			return pair("tv_sec", "tv_usec", u64)
		case x.Has("enable"): // of TCP_FASTOPEN, with the key
			v, err := get("enable")
			return u32(nil, v), err
		case x.Has("function_set_name"):
			s, _ := text(x.Field("function_set_name"))
			return append([]byte(s), make([]byte, max(36-len(s), 0))...), nil
		}
		return nil, sock.Unsupported{Feature: "the value of " + optionNumber(level, name)}
	case *script.List:
		if len(x.Items) > 1 {
			var b []byte
			for _, it := range x.Items {
				v, err := integer(it)
				if err != nil {
					return nil, err
				}
				b = u32(b, v)
			}
			if int(level) == sock.SolSocket && (int(name) == sock.SoRcvTimeo || int(name) == sock.SoSndTimeo) && len(b) == 8 {
				v, _ := integer(x.Items[0])
				w, _ := integer(x.Items[1])
				return u64(u64(nil, v), w), nil
			}
			return b, nil
		}
	}
	v, err := integer(x)
	if err != nil {
		return nil, err
	}
	return u32(nil, v), nil
}

func optionNumber(level, name int64) string { return fmt.Sprintf("socket option %d/%d", level, name) }
