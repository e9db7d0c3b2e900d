package tun

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/netconn"
	"github.com/sluicenet/sluice/impl/cubic"
	"github.com/sluicenet/sluice/impl/engine"
	"github.com/sluicenet/sluice/link/gso"
)

// The engine and the kernel's TCP talk over the device, in super-packets and
// without: what either sends arrives, byte for byte.
func TestStackAgainstKernel(t *testing.T) {
	for _, mode := range []OffloadMode{OffloadOff, OffloadOn} {
		for _, dst := range []netip.Addr{ours4, ours6} {
			t.Run(fmt.Sprintf("offload=%v,%v", mode, dst), func(t *testing.T) {
				namespace(t)
				testStack(t, mode, dst, false)
			})
			if mode == OffloadOff {
				t.Run(fmt.Sprintf("software,%v", dst), func(t *testing.T) {
					namespace(t)
					testStack(t, mode, dst, true)
				})
			}
		}
	}
}

const transfer = 8 << 20

// data returns bytes that repeat from run to run and nowhere within one.
func data() io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{1}), transfer) }

func hashOf(r io.Reader) (sum [32]byte, err error) {
	h := sha256.New()
	_, err = io.Copy(h, r)
	h.Sum(sum[:0])
	return sum, err
}

func testStack(t *testing.T, mode OffloadMode, dst netip.Addr, edge bool) {
	p := open(t, Config{Offload: mode})
	p.configure()
	l := p.link
	if edge { // cut and merged in software
		l = gso.Wrap(l)
	}
	s, err := engine.New(engine.Config{
		Link:        l,
		Addresses:   []netip.Prefix{netip.PrefixFrom(ours4, 24), netip.PrefixFrom(ours6, 64)},
		Controllers: []cc.Factory{cubic.Factory},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	defer s.Disconnect(ctx)

	// The handler takes in everything, and then answers with the same.
	type result struct {
		sum [32]byte
		err error
	}
	handled := make(chan result, 1)
	if _, err := s.Listen(7, nil, func(ctx context.Context, f api.Flow) {
		c := netconn.New(f)
		defer c.Close()
		var r result
		if r.sum, r.err = hashOf(c); r.err == nil {
			_, r.err = io.Copy(c, data())
		}
		handled <- r
	}); err != nil {
		t.Fatal(err)
	}
	c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(netip.AddrPortFrom(dst, 7)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	want, _ := hashOf(data())
	if _, err := io.Copy(c, data()); err != nil {
		t.Fatal(err)
	}
	c.CloseWrite()
	got, err := hashOf(c)
	if err != nil || got != want {
		t.Errorf("the kernel received other bytes than the stack sent: %v", err)
	}
	if r := <-handled; r.err != nil || r.sum != want {
		t.Errorf("the stack received other bytes than the kernel sent: %v", r.err)
	}
	st := p.link.Stats()
	if st.DropsIn != 0 || st.Errors != 0 {
		t.Errorf("stats %+v", st)
	}
	if super := st.PacketsOut < transfer/1500; super != (mode == OffloadOn) {
		t.Errorf("%d packets for %d bytes", st.PacketsOut, st.BytesOut)
	}
	if i := s.Info(); edge && (i.PacketsOut > st.PacketsOut/2 || i.Drops[api.DropTCPChecksum] != 0) {
		t.Errorf("the stack sent %d packets, the device %d; %d wrong checksums", i.PacketsOut, st.PacketsOut, i.Drops[api.DropTCPChecksum])
	}
}
