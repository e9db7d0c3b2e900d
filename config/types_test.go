package config

import (
	"encoding"
	"testing"
	"time"
)

func TestTypes(t *testing.T) {
	var (
		d  Duration
		z  Size
		r  Rate
		p  Percent
		m  Mode
		e  Endpoint
		a  AddrPort
		pf Prefix
	)
	type value interface {
		encoding.TextUnmarshaler
		encoding.TextMarshaler
	}
	for _, tc := range []struct {
		v        value
		in, out  string // out "": an error
		parsed   func() bool
		whatever string
	}{
		{v: &d, in: "1m30s", out: "1m30s", parsed: func() bool { return d == Duration(90*time.Second) }},
		{v: &d, in: "2h", out: "2h"},
		{v: &d, in: "10m", out: "10m"},
		{v: &d, in: "0", out: "0s"},
		{v: &d, in: "90"},
		{v: &d, in: "1.5"},
		{v: &d, in: "1 s"},
		{v: &z, in: "64KiB", out: "64KiB", parsed: func() bool { return z == 65536 }},
		{v: &z, in: "1.5MiB", out: "1536KiB", parsed: func() bool { return z == 3<<19 }},
		{v: &z, in: "100B", out: "100B"},
		{v: &z, in: "1MB", out: "1000000B"},
		{v: &z, in: "0.3B"},
		{v: &z, in: "1024"},
		{v: &z, in: "1KB"},
		{v: &z, in: "99999999999999TiB"},
		{v: &z, in: "-1KiB"},
		{v: &z, in: ""},
		{v: &r, in: "50Mbit", out: "50Mbit", parsed: func() bool { return r == 50e6 }},
		{v: &r, in: "2.5Gbit/s", out: "2500Mbit"},
		{v: &r, in: "50"},
		{v: &r, in: "50M"},
		{v: &p, in: "0.5%", out: "0.5%", parsed: func() bool { return p == 0.005 }},
		{v: &p, in: "100%", out: "100%"},
		{v: &p, in: "0", out: "0%"},
		{v: &p, in: "0.5"},
		{v: &p, in: "NaN%"},
		{v: &m, in: "0660", out: "0660", parsed: func() bool { return m == 0o660 }},
		{v: &m, in: "0o600", out: "0600"},
		{v: &m, in: "0888"},
		{v: &m, in: "7777"},
		{v: &e, in: "80", out: "80", parsed: func() bool { return e.Port == 80 && !e.Addr.IsValid() }},
		{v: &e, in: "[fd09::2]:80", out: "[fd09::2]:80"},
		{v: &e, in: "0"},
		{v: &e, in: "65536"},
		{v: &e, in: "http"},
		{v: &a, in: "127.0.0.1:80", out: "127.0.0.1:80"},
		{v: &a, in: "localhost:80", out: "127.0.0.1:80"},
		{v: &a, in: "off", out: "off"},
		{v: &a, in: "::1:80"},
		{v: &pf, in: "10.0.0.1/24", out: "10.0.0.1/24"},
		{v: &pf, in: "10.0.0.1/33"},
		{v: &pf, in: "::ffff:10.0.0.1/120"},
	} {
		err := tc.v.UnmarshalText([]byte(tc.in))
		if (err != nil) != (tc.out == "") {
			t.Errorf("%T %q: error %v", tc.v, tc.in, err)
			continue
		}
		if err != nil {
			continue
		}
		if tc.parsed != nil && !tc.parsed() {
			t.Errorf("%T %q has the wrong value", tc.v, tc.in)
		}
		if out, _ := tc.v.MarshalText(); string(out) != tc.out {
			t.Errorf("%T %q prints as %q, want %q", tc.v, tc.in, out, tc.out)
		}
	}
}

func TestNearest(t *testing.T) {
	words := []string{"delay", "delayed_ack", "loss", "up"}
	for in, want := range map[string]string{"dealy": "delay", "Delay": "delay", "lost": "loss", "xyzzy": "", "delayedack": "delayed_ack", "zz": ""} {
		if got := nearest(in, words); got != want {
			t.Errorf("nearest(%q) = %q, want %q", in, got, want)
		}
	}
}
