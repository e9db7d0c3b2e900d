//go:build linux

package kernel

import (
	"context"
	"io"
	"net"
	"net/netip"
	"testing"

	"github.com/sluicenet/sluice/api"
)

// BenchmarkBulk and BenchmarkRoundTrip have a net.Conn beside them, for what
// the contract costs.
func BenchmarkBulk(b *testing.B) {
	const size = 64 << 10
	b.Run("flow", func(b *testing.B) {
		c, srv := pair(b, newStack(b, Config{}), loopbacks["IPv4"], nil, nil)
		b.SetBytes(size)
		go func() {
			for range b.N {
				if c.Write(context.Background(), api.Alloc(size)) != nil {
					return
				}
			}
		}()
		for n := 0; n < b.N*size; {
			p, err := srv.Read(context.Background())
			if err != nil {
				b.Fatal(err)
			}
			n += p.Len()
			p.Release()
		}
	})
	b.Run("net", func(b *testing.B) {
		c, srv := netPair(b)
		b.SetBytes(size)
		go func() {
			p := make([]byte, size)
			for range b.N {
				c.Write(p)
			}
		}()
		p := make([]byte, size)
		for range b.N {
			if _, err := io.ReadFull(srv, p); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkRoundTrip(b *testing.B) {
	b.Run("flow", func(b *testing.B) {
		c, srv := pair(b, newStack(b, Config{Flow: api.FlowConfig{NoDelay: true}}), loopbacks["IPv4"], nil, nil)
		go func() {
			for {
				p, err := srv.Read(context.Background())
				if err != nil {
					return
				}
				srv.Write(context.Background(), p)
			}
		}()
		for range b.N {
			c.Write(context.Background(), api.Alloc(1))
			p, err := c.Read(context.Background())
			if err != nil {
				b.Fatal(err)
			}
			p.Release()
		}
		c.CloseWrite()
	})
	b.Run("net", func(b *testing.B) {
		c, srv := netPair(b)
		go io.Copy(srv, srv)
		p := make([]byte, 1)
		for range b.N {
			c.Write(p)
			if _, err := io.ReadFull(c, p); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func netPair(b *testing.B) (c, srv net.Conn) {
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	if c, err = net.Dial("tcp", l.Addr().String()); err != nil {
		b.Fatal(err)
	}
	if srv, err = l.Accept(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close(); srv.Close() })
	return c, srv
}
