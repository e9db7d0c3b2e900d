package config

import (
	"encoding"
	"fmt"
	"reflect"
	"testing"
)

// FuzzUnits: whatever a value of the file is written as, it is taken or refused with
// an error; and what was taken is read back from how it is printed.
func FuzzUnits(f *testing.F) {
	for i, s := range []string{"1m30s", "64KiB", "1.5Gbit", "0.5%", "0600", "10.0.0.1:80", "[::1]:80", "10.9.0.2/24", "localhost:1", "off", "4611686018427387904B", "1e9", ".", "0x1p-2s"} {
		f.Add(uint8(i), s)
	}
	f.Fuzz(func(t *testing.T, kind uint8, s string) {
		values := []func() any{
			func() any { return new(Duration) }, func() any { return new(Size) }, func() any { return new(Rate) },
			func() any { return new(Percent) }, func() any { return new(Mode) }, func() any { return new(Endpoint) },
			func() any { return new(AddrPort) }, func() any { return new(Prefix) },
		}
		fresh := values[int(kind)%len(values)]
		v := fresh()
		if v.(encoding.TextUnmarshaler).UnmarshalText([]byte(s)) != nil {
			return
		}
		var text string
		if m, ok := v.(encoding.TextMarshaler); ok {
			b, err := m.MarshalText()
			if err != nil {
				t.Fatal(err)
			}
			text = string(b)
		} else {
			text = fmt.Sprint(v)
		}
		w := fresh()
		if err := w.(encoding.TextUnmarshaler).UnmarshalText([]byte(text)); err != nil || !reflect.DeepEqual(v, w) {
			t.Fatalf("%q is %v, printed as %q, which is %v, %v", s, v, text, w, err)
		}
	})
}
