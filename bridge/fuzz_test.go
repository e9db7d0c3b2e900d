package bridge

import (
	"testing"

	"github.com/sluicenet/sluice/config"
)

// FuzzLoad: any file is loaded or refused; never both, and never with a panic.
func FuzzLoad(f *testing.F) {
	f.Add([]byte("version: 1\nends: [{name: a}, {name: b}]\nlink: {rate: 10Mbit, delay: 5ms, loss: 1%}\n"))
	f.Add([]byte("version: 1\nends: [{name: a, fd: 3}, {name: b, fd: 3, device: x}]\nchanges: [{at: 1s, loss: 5%}]\n"))
	f.Add([]byte("ends: &a [*a]\nlink: {reverse: {queue: {kind: codel}}}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Load(config.Options{Name: "f", Data: data})
		if (c == nil) == (err == nil) {
			t.Fatalf("%+v, %v", c, err)
		}
		if err == nil && (len(c.Ends) != 2 || c.Ends[0].Name == c.Ends[1].Name || c.Link.MTU < 576 || c.Link.MTU > 65535) {
			t.Fatalf("taken: %+v", c)
		}
	})
}
