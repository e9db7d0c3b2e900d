package drill

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/sluicenet/sluice/conformance/drill/script"
	"github.com/sluicenet/sluice/conformance/drill/sock"
)

// controlItems are the control messages of a script.
func controlItems(x script.Expr) ([]*script.Struct, error) {
	l, ok := x.(*script.List)
	if !ok {
		return nil, brokenf(x, "expected control messages")
	}
	var out []*script.Struct
	for _, it := range l.Items {
		s, ok := it.(*script.Struct)
		if !ok {
			return nil, brokenf(it, "expected a control message")
		}
		out = append(out, s)
	}
	return out, nil
}

// controlNumber evaluates a number of a control message, -1 for any.
func controlNumber(s *script.Struct, name string) (int, error) {
	f := s.Field(name)
	if f == nil || isAny(f) {
		return -1, nil
	}
	v, err := integer(f)
	return int(v), err
}

// controls evaluates control messages that are to be sent.
func controls(x script.Expr) (out []sock.CMsg, err error) {
	items, err := controlItems(x)
	for _, s := range items {
		var m sock.CMsg
		if m.Level, err = controlNumber(s, "cmsg_level"); err != nil {
			return nil, err
		}
		if m.Type, err = controlNumber(s, "cmsg_type"); err != nil {
			return nil, err
		}
		if f := s.Field("cmsg_data"); f != nil && !isAny(f) {
			v, err := integer(f)
			if err != nil {
				return nil, sock.Unsupported{Feature: "this control message's data"}
			}
			m.Data = binary.LittleEndian.AppendUint32(nil, uint32(v))
		}
		out = append(out, m)
	}
	return out, err
}

// checkControl compares the control messages that recvmsg has returned.
func (c *caller) checkControl(k *call, x script.Expr, got []sock.CMsg) error {
	want, err := controlItems(x)
	if err != nil {
		return err
	}
	wrong := func(format string, args ...any) { k.checks = append(k.checks, fmt.Sprintf(format, args...)) }
	if len(want) != len(got) {
		wrong("%d control messages came, not %d", len(got), len(want))
		return nil
	}
	for i, w := range want {
		g := &got[i]
		level, err := controlNumber(w, "cmsg_level")
		if err != nil {
			return err
		}
		typ, err := controlNumber(w, "cmsg_type")
		if err != nil {
			return err
		}
		if level >= 0 && level != g.Level || typ >= 0 && typ != g.Type {
			wrong("control message %d is %d/%d, not %d/%d", i+1, g.Level, g.Type, level, typ)
			continue
		}
		f := w.Field("cmsg_data")
		if f == nil || isAny(f) {
			continue
		}
		what, err := c.checkControlData(f, g)
		if err != nil {
			return err
		}
		if what != "" {
			wrong("control message %d: %s", i+1, what)
		}
	}
	return nil
}

// checkControlData compares the data of one message. It returns what differs.
func (c *caller) checkControlData(x script.Expr, g *sock.CMsg) (string, error) {
	s, ok := x.(*script.Struct)
	switch {
	case ok && s.Has("ee_origin"):
		return checkExtendedErr(s, g.Data)
	case ok && s.Has("scm_sec"):
		return c.checkStamp(s, g)
	case ok && strings.HasPrefix(s.Fields[0].Name, "TCP_NLA_"):
		return c.checkStats(s, g.Data)
	}
	v, err := integer(x)
	if err != nil {
		return "", sock.Unsupported{Feature: "this control message's data"}
	}
	if want := binary.LittleEndian.AppendUint32(nil, uint32(v)); !bytes.Equal(want, g.Data) {
		return fmt.Sprintf("the data are %s, not %d", numberText(g.Data), v), nil
	}
	return "", nil
}

// checkExtendedErr compares a struct sock_extended_err; the address behind it is
// not looked at.
func checkExtendedErr(s *script.Struct, b []byte) (string, error) {
	if len(b) < 16 {
		return "it is too short for a sock_extended_err", nil
	}
	got := map[string]int64{
		"ee_errno":  int64(binary.LittleEndian.Uint32(b)),
		"ee_origin": int64(b[4]), "ee_type": int64(b[5]), "ee_code": int64(b[6]),
		"ee_info": int64(binary.LittleEndian.Uint32(b[8:])), "ee_data": int64(binary.LittleEndian.Uint32(b[12:])),
	}
	var wrong []string
	for _, f := range s.Fields {
		if isAny(f.Value) {
			continue
		}
		v, ok := got[f.Name]
		if !ok {
			return "", sock.Unsupported{Feature: f.Name + " of sock_extended_err"}
		}
		want, err := integer(f.Value)
		if err != nil {
			return "", err
		}
		if uint32(want) != uint32(v) {
			wrong = append(wrong, fmt.Sprintf("%s is %d, not %d", f.Name, v, want))
		}
	}
	return strings.Join(wrong, ", "), nil
}

// checkStamp compares a time, which scripts count from their beginning; zero is any.
func (c *caller) checkStamp(s *script.Struct, g *sock.CMsg) (string, error) {
	if len(g.Data) < 16 {
		return "it is too short for a time", nil
	}
	var at [2]int64
	for i, name := range []string{"scm_sec", "scm_nsec"} {
		f := s.Field(name)
		if f == nil || isAny(f) {
			return "", nil
		}
		var err error
		if at[i], err = integer(f); err != nil {
			return "", err
		}
	}
	if at == [2]int64{} {
		return "", nil
	}
	sec, frac := int64(binary.LittleEndian.Uint64(g.Data)), int64(binary.LittleEndian.Uint64(g.Data[8:]))
	if g.Type == sock.SoTimestamp {
		frac *= 1000 // a timeval
	}
	got := time.Unix(sec, frac).Sub(c.r.clk.Wall(c.r.start))
	want := time.Duration(at[0])*time.Second + time.Duration(at[1])
	tol := c.r.tolerance(0)
	if d := got - want; d > tol || d < -tol {
		return fmt.Sprintf("the time is %s, not %s", seconds(got), seconds(want)), nil
	}
	return "", nil
}

// nlaTimes are the statistics that are spans of time, in microseconds.
var nlaTimes = map[string]bool{
	"TCP_NLA_BUSY": true, "TCP_NLA_RWND_LIMITED": true, "TCP_NLA_SNDBUF_LIMITED": true, "TCP_NLA_MIN_RTT": true, "TCP_NLA_SRTT": true,
}

// checkStats compares the attributes of SCM_TIMESTAMPING_OPT_STATS that the script
// names.
func (c *caller) checkStats(s *script.Struct, b []byte) (string, error) {
	got := map[int64]uint64{}
	for len(b) >= 4 {
		n := int(binary.LittleEndian.Uint16(b))
		if n < 4 || n > len(b) {
			break
		}
		var v [8]byte
		copy(v[:], b[4:n])
		got[int64(binary.LittleEndian.Uint16(b[2:]))] = binary.LittleEndian.Uint64(v[:])
		b = b[min((n+3)&^3, len(b)):]
	}
	var wrong []string
	for _, f := range s.Fields {
		if isAny(f.Value) {
			continue
		}
		id, ok := sock.Symbols[f.Name]
		if !ok {
			return "", sock.Unsupported{Feature: "the constant " + f.Name}
		}
		v, ok := got[id]
		if !ok {
			return "", sock.Unsupported{Feature: f.Name + " of a timestamp's statistics"}
		}
		want, err := integer(f.Value)
		if err != nil {
			return "", err
		}
		if nlaTimes[f.Name] {
			tol := c.r.tolerance(0).Microseconds()
			if d := int64(v) - want; d >= -tol && d <= tol {
				continue
			}
		}
		if uint64(want) != v {
			wrong = append(wrong, fmt.Sprintf("%s is %d, not %d", f.Name, v, want))
		}
	}
	return strings.Join(wrong, ", "), nil
}
