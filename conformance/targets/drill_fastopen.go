package targets

import (
	"context"
	"net/netip"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/conformance/drill/settings"
	"github.com/sluicenet/sluice/conformance/drill/sock"
	"github.com/sluicenet/sluice/impl/engine"
	"github.com/sluicenet/sluice/impl/engine/host"
	"github.com/sluicenet/sluice/impl/engine/tcp"
)

// drillFastOpen is what the engine can do of Fast Open, for sockets.
type drillFastOpen struct{ stack *engine.Stack }

func (f drillFastOpen) Room(dst netip.AddrPort, cfg *api.FlowConfig, noCookie bool) (int64, bool) {
	return f.stack.FastOpenRoom(dst, cfg, engine.FastOpenOptions{WithoutCookie: noCookie})
}

func (f drillFastOpen) Dial(ctx context.Context, dst netip.AddrPort, cfg *api.FlowConfig, noCookie bool, data []byte) (api.Flow, error) {
	var bs []*api.Buffer
	if len(data) > 0 {
		bs = append(bs, api.CopyBuffer(data))
	}
	return f.stack.DialFastWith(ctx, dst, cfg, engine.FastOpenOptions{WithoutCookie: noCookie}, bs...)
}

func (f drillFastOpen) Listener(port uint16, pending int, noCookie bool, keys [][]byte) {
	o := host.FastOpen{Pending: pending, NoCookie: noCookie}
	for _, k := range keys {
		o.Keys = append(o.Keys, tcp.ParseFastOpenKey(k))
	}
	f.stack.SetFastOpen(port, o)
}

// fastOpenParams are the parameters of Fast Open that settings ask for: Linux leaves no
// path alone unless it is told to.
func fastOpenParams(s *settings.Settings) tcp.FastOpenParams {
	on := func(bit int64) bool { return s.FastOpen&bit != 0 }
	return tcp.FastOpenParams{
		Client: on(sock.FastOpenClient), Server: on(sock.FastOpenServer),
		ClientWithoutCookie: on(sock.FastOpenClientNoCookie), ServerWithoutCookie: on(sock.FastOpenServerNoCookie),
		Keys: fastOpenKeys(s), Quiet: -1, Pause: s.FastOpenPause, TryExperimental: s.Profile == settings.Linux,
	}
}

func fastOpenKeys(s *settings.Settings) (keys []tcp.FastOpenKey) {
	for b := s.FastOpenKeys; len(b) >= 16; b = b[16:] {
		keys = append(keys, tcp.ParseFastOpenKey(b[:16]))
	}
	return keys
}

// fastOpenCookie computes the cookies by the key of the settings, or is nil.
func fastOpenCookie(s *settings.Settings) func(local, remote netip.Addr) []byte {
	keys := fastOpenKeys(s)
	if len(keys) == 0 {
		return nil
	}
	return func(local, remote netip.Addr) []byte {
		c := keys[0].Cookie(local, remote)
		return append([]byte(nil), c.Bytes()...)
	}
}
