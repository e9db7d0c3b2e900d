package sock

import (
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/sluicenet/sluice/api"
)

type option struct{ level, name int }

// options are those of a socket.
type options struct {
	ints   map[option]int
	linger struct {
		on      bool
		seconds int
	}
	sndBuf, rcvBuf int64 // as getsockopt shows them, if they have been set
	congestion     string
	times          map[int]time.Duration // SO_RCVTIMEO, SO_SNDTIMEO
	blob           map[option][]byte     // values that are only kept
	keep           api.KeepaliveConfig   // defaults
}

func (o *options) init(cfg *Config) {
	o.ints = make(map[option]int)
	o.times = make(map[int]time.Duration)
	o.blob = make(map[option][]byte)
	o.congestion = cfg.Controllers[0]
	o.keep = cfg.Keepalive
	if o.keep.After <= 0 {
		o.keep.After = 2 * time.Hour
	}
	if o.keep.Interval <= 0 {
		o.keep.Interval = 75 * time.Second
	}
	if o.keep.Probes <= 0 {
		o.keep.Probes = 9
	}
	if cfg.Flow.Keepalive != nil {
		o.ints[option{SolSocket, SoKeepalive}] = 1
	}
	if cfg.Flow.NoDelay {
		o.ints[option{IPProtoTCP, TCPNoDelay}] = 1
	}
}

func (o *options) clone() options {
	c := *o
	c.ints, c.times, c.blob = maps.Clone(o.ints), maps.Clone(o.times), maps.Clone(o.blob)
	return c
}

func (o *options) reuse() bool {
	return o.ints[option{SolSocket, SoReuseAddr}] != 0 || o.ints[option{SolSocket, SoReusePort}] != 0
}

// timeout returns SO_RCVTIMEO or SO_SNDTIMEO, -1 if there is none.
func (o *options) timeout(name int) time.Duration {
	if d := o.times[name]; d > 0 {
		return d
	}
	return -1
}

// keepalive returns what the flow is to be watched by.
func (o *options) keepalive() api.Keepalive {
	if o.ints[option{SolSocket, SoKeepalive}] == 0 {
		return nil
	}
	k := o.keep
	if v := o.ints[option{IPProtoTCP, TCPKeepIdle}]; v > 0 {
		k.After = time.Duration(v) * time.Second
	}
	if v := o.ints[option{IPProtoTCP, TCPKeepIntvl}]; v > 0 {
		k.Interval = time.Duration(v) * time.Second
	}
	if v := o.ints[option{IPProtoTCP, TCPKeepCnt}]; v > 0 {
		k.Probes = v
	}
	return k
}

// flowConfig returns the options of a flow that is to be opened.
func (s *socket) flowConfig() api.FlowConfig {
	f := s.p.cfg.Flow
	f.Notify = s.p.notify
	o := &s.opt
	s.change(&f)
	if s.bound {
		a := s.local.Addr()
		if a.IsUnspecified() {
			a = netip.Addr{}
		}
		f.Local = netip.AddrPortFrom(a, s.local.Port())
	}
	if v := o.ints[option{IPProtoTCP, TCPMaxSeg}]; v > 0 {
		f.MSS = uint16(v)
	}
	f.Congestion = o.congestion
	if f.UserTimeout == 0 {
		switch n := o.ints[option{IPProtoTCP, TCPSynCnt}]; {
		case n > 0:
			f.UserTimeout = synTime(n, s.p.cfg.SynLinear)
		case o.ints[option{IPProtoTCP, TCPKeepInit}] > 0:
			f.UserTimeout = time.Duration(o.ints[option{IPProtoTCP, TCPKeepInit}]) * time.Second
		case s.p.cfg.Init > 0:
			f.UserTimeout = s.p.cfg.Init
		}
	}
	return f
}

// synTime is when a connect gives up that sends its SYN n times more, and as often as
// linear before that at the same distance: at the first timeout when the time has
// passed that the n alone would take.
func synTime(n, linear int) time.Duration {
	n = min(n, 30)
	end := time.Duration(2<<n-1) * time.Second
	at, rto := time.Second, time.Second
	for k := 1; at < end; k++ {
		if k > linear {
			rto = min(2*rto, 120*time.Second)
		}
		at += rto
	}
	return at
}

// change puts into f what may also be changed later.
func (s *socket) change(f *api.FlowConfig) {
	o := &s.opt
	f.NoDelay = o.ints[option{IPProtoTCP, TCPNoDelay}] != 0
	f.Keepalive = o.keepalive()
	if o.rcvBuf > 0 {
		f.ReceiveBuffer = o.rcvBuf / 2 // the other half is for overhead
		if s.p.cfg.FreeBSD {
			f.ReceiveBuffer = o.rcvBuf
		}
	}
	if clamp := int64(o.ints[option{IPProtoTCP, TCPWindowClamp}]); clamp > 0 {
		f.ReceiveBuffer = min(clamp, max(f.ReceiveBuffer, 1<<16))
	}
	if o.sndBuf > 0 {
		f.SendBuffer = o.sndBuf
	}
	f.UserTimeout = s.p.cfg.Flow.UserTimeout
	if v := o.ints[option{IPProtoTCP, TCPUserTimeout}]; v > 0 {
		f.UserTimeout = time.Duration(v) * time.Millisecond
	}
	tos, ttl := option{IPProtoIP, IPTOS}, option{IPProtoIP, IPTTL}
	if a := s.remoteAddr(); s.domain == AFInet6 && !a.Unmap().Is4() {
		tos, ttl = option{IPProtoV6, IPv6TClass}, option{IPProtoV6, IPv6UnicastHops}
	}
	if v, ok := o.ints[tos]; ok {
		f.DSCP = uint8(v) >> 2
	}
	if v := o.ints[ttl]; v > 0 {
		f.TTL = uint8(v)
	} else {
		f.TTL = s.p.cfg.Flow.TTL
	}
}

func (s *socket) remoteAddr() netip.Addr {
	if s.dst.IsValid() {
		return s.dst.Addr()
	}
	return s.local.Addr()
}

// applyOptions changes the options of the flow to what the socket says.
func (s *socket) applyOptions() {
	if s.flow == nil {
		return
	}
	_ = s.flow.Configure(s.change)
	if s.tuned != s.tuning() && s.p.cfg.Tune != nil {
		s.tuned = s.tuning()
		s.p.cfg.Tune(s.flow, &s.tuned)
	}
}

// tuning is what the options ask for.
func (s *socket) tuning() (t Tuning) {
	o := s.opt.ints
	switch v := o[option{IPProtoTCP, TCPLinger2}]; {
	case v > 0:
		t.FinWait2 = time.Duration(v) * time.Second
	case v < 0:
		t.FinWait2 = -1
	}
	t.RTOMin = time.Duration(o[option{IPProtoTCP, TCPRtoMinUs}]) * time.Microsecond
	t.RTOMax = time.Duration(o[option{IPProtoTCP, TCPRtoMaxMs}]) * time.Millisecond
	t.DelayedAck = time.Duration(o[option{IPProtoTCP, TCPDelackMax}]) * time.Microsecond
	for _, k := range []option{{IPProtoIP, IPMTUDiscover}, {IPProtoV6, IPv6MTUDiscover}} {
		if v, ok := o[k]; ok && (v == 0 || v > 3) && !s.p.cfg.FreeBSD {
			t.NoPMTUD = true
		}
	}
	t.LinearThin = o[option{IPProtoTCP, TCPThinLinear}] != 0
	if v, ok := o[option{SolSocket, SoMaxPacingRate}]; ok && v != -1 {
		t.MaxPacing = int64(uint32(v))
	}
	return t
}

// quickAcker is a flow whose acknowledgements can be hurried.
type quickAcker interface{ QuickAck(on bool) }

// need is what an option needs that is not there: it can only be off.
var need = map[option]string{
	{SolSocket, SoTxTime}:             "SO_TXTIME",
	{SolSocket, SoDebug}:              "SO_DEBUG",
	{SolSocket, SoTsClock}:            "SO_TS_CLOCK",
	{IPProtoTCP, TCPFastOpen}:         "TCP Fast Open (TCP_FASTOPEN)",
	{IPProtoTCP, TCPFastOpenBSD}:      "TCP Fast Open (TCP_FASTOPEN)",
	{IPProtoTCP, TCPFastOpenConnect}:  "TCP Fast Open (TCP_FASTOPEN_CONNECT)",
	{IPProtoTCP, TCPFastOpenKey}:      "TCP Fast Open (TCP_FASTOPEN_KEY)",
	{IPProtoTCP, TCPFastOpenNoCookie}: "TCP Fast Open (TCP_FASTOPEN_NO_COOKIE)",
	{IPProtoTCP, TCPMD5Sig}:           "TCP_MD5SIG",
	{IPProtoTCP, TCPRepair}:           "TCP_REPAIR",
	{IPProtoTCP, TCPULP}:              "TCP_ULP",
	{IPProtoTCP, TCPZeroCopyReceive}:  "TCP_ZEROCOPY_RECEIVE",
	{IPProtoTCP, TCPTxDelay}:          "TCP_TX_DELAY",
	{IPProtoTCP, TCPNoOpt}:            "TCP_NOOPT",
	{IPProtoTCP, TCPRemoteUDPPort}:    "TCP over UDP (TCP_REMOTE_UDP_ENCAPS_PORT)",
	{IPProtoTCP, TCPMaxUnackTime}:     "TCP_MAXUNACKTIME",
	{IPProtoTCP, TCPLog}:              "TCP_LOG",
	{IPProtoIP, IPHdrIncl}:            "IP_HDRINCL",
	{IPProtoIP, IPOptions}:            "IP_OPTIONS",
	{IPProtoIP, IPMinTTL}:             "IP_MINTTL",
	{IPProtoV6, IPv6MinHopCount}:      "IPV6_MINHOPCOUNT",
	{IPProtoV6, IPv6FlowLabelMgr}:     "IPV6_FLOWLABEL_MGR",
	{IPProtoTCP, TCPCCAlgoOpt}:        "TCP_CCALGOOPT",
	{IPProtoIP, IPTransparent}:        "IP_TRANSPARENT",
	{IPProtoIP, IPFreebind}:           "IP_FREEBIND",
}

// kept are options that have no effect on packets here, or none beyond what is
// done where they are looked at.
var kept = []option{
	{SolSocket, SoReuseAddr}, {SolSocket, SoReusePort}, {SolSocket, SoReusePortLB}, {SolSocket, SoDontRoute},
	{SolSocket, SoBroadcast}, {SolSocket, SoPriority}, {SolSocket, SoMark}, {SolSocket, SoOOBInline},
	{SolSocket, SoRcvLowat}, {SolSocket, SoNoSigPipe}, {SolSocket, SoSelectErrQueue},
	{SolSocket, SoKeepalive}, {SolSocket, SoUserCookie}, {SolSocket, SoIncomingCPU}, {SolSocket, SoTxRehash},
	{IPProtoIP, IPRecvTTL}, {IPProtoIP, IPRecvTOS}, {IPProtoIP, IPRecvErr}, {IPProtoIP, IPBindAddressNoPort},
	{IPProtoV6, IPv6RecvErr}, {IPProtoV6, IPv6V6Only}, {IPProtoV6, IPv6RecvHopLimit}, {IPProtoV6, IPv6RecvTClass},
	{IPProtoV6, IPv6AutoFlowLabel}, {IPProtoV6, IPv6FlowInfoSend}, {IPProtoV6, IPv6DontFrag},
	{IPProtoTCP, TCPNotSentLowat},
	{IPProtoTCP, TCPReusPortLBNuma},
}

// switches are options of which Linux remembers whether they are on.
var switches = map[option]bool{
	{SolSocket, SoKeepalive}: true, {SolSocket, SoReuseAddr}: true, {SolSocket, SoReusePort}: true, {SolSocket, SoDontRoute}: true,
	{SolSocket, SoBroadcast}: true, {SolSocket, SoOOBInline}: true, {SolSocket, SoTimestamp}: true, {SolSocket, SoTimestampNS}: true,
	{IPProtoTCP, TCPNoDelay}: true, {IPProtoTCP, TCPCork}: true, {IPProtoIP, IPRecvErr}: true, {IPProtoV6, IPv6RecvErr}: true,
}

func putInt(v int) []byte { return binary.LittleEndian.AppendUint32(nil, uint32(v)) }

// SetSockopt implements [Process].
func (p *Proc) SetSockopt(fd, level, name int, value []byte) error {
	p.mu.Lock()
	s, err := p.socket(fd)
	if err == nil {
		err = s.setOption(option{level, name}, value)
	}
	p.mu.Unlock()
	if err != nil {
		return err
	}
	s.applyOptions()
	p.changed()
	return nil
}

func (s *socket) setOption(o option, value []byte) error {
	if s.p.cfg.FreeBSD && o == (option{IPProtoTCP, TCPFunctionBlk}) {
		if n := text(value); n != "" && n != "freebsd" && n != "default" {
			return Unsupported{"TCP stack " + n}
		}
		s.opt.blob[o] = slices.Clone(value)
		return nil
	}
	switch o {
	case option{IPProtoTCP, TCPCongestion}:
		return s.setCongestion(text(value))
	case option{SolSocket, SoLinger}:
		if len(value) < 8 {
			return EINVAL
		}
		s.opt.linger.on = binary.LittleEndian.Uint32(value) != 0
		s.opt.linger.seconds = int(int32(binary.LittleEndian.Uint32(value[4:])))
		return nil
	case option{SolSocket, SoRcvTimeo}, option{SolSocket, SoSndTimeo}:
		if len(value) < 16 {
			return EINVAL
		}
		sec, usec := int64(binary.LittleEndian.Uint64(value)), int64(binary.LittleEndian.Uint64(value[8:]))
		if usec < 0 || usec >= 1e6 {
			return EDOM
		}
		s.opt.times[o.name] = time.Duration(sec)*time.Second + time.Duration(usec)*time.Microsecond
		return nil
	case option{SolSocket, SoBindToDevice}:
		return Unsupported{"SO_BINDTODEVICE"}
	}
	if o.level == IPProtoTCP {
		if ok, err := s.setFastOpen(o.name, value); ok {
			return err
		}
	}
	if f, ok := need[o]; ok {
		if o.name == TCPMD5Sig && o.level == IPProtoTCP {
			return Unsupported{f}
		}
		for _, b := range value {
			if b != 0 {
				return Unsupported{f}
			}
		}
		return nil
	}
	if len(value) < 4 {
		if len(value) == 1 && o.level != SolSocket && o.level != IPProtoTCP { // the IP level takes a byte
			value = append(slices.Clone(value), 0, 0, 0)
		} else {
			return EINVAL
		}
	}
	v := int(int32(binary.LittleEndian.Uint32(value)))
	if switches[o] && v != 0 && !s.p.cfg.FreeBSD {
		v = 1
	}
	set := func() error { s.opt.ints[o] = v; return nil }
	within := func(low, high int) error {
		if v < low || v > high {
			return EINVAL
		}
		return set()
	}
	switch o {
	case option{SolSocket, SoSndBuf}, option{SolSocket, SoSndBufForce}:
		if s.p.cfg.FreeBSD {
			s.opt.sndBuf = int64(v)
		} else {
			if m := s.p.cfg.SendMax; m > 0 && o.name == SoSndBuf {
				v = int(min(int64(uint32(v)), m))
			}
			s.opt.sndBuf = int64(max(2*v, 4608))
		}
		return nil
	case option{SolSocket, SoRcvBuf}, option{SolSocket, SoRcvBufForce}:
		if s.p.cfg.FreeBSD {
			s.opt.rcvBuf = int64(v)
		} else {
			if m := s.p.cfg.ReceiveMax; m > 0 && o.name == SoRcvBuf {
				v = int(min(int64(uint32(v)), m))
			}
			s.opt.rcvBuf = int64(max(2*v, 2304))
		}
		return nil
	case option{SolSocket, SoZeroCopy}, option{IPProtoTCP, TCPInq}:
		return within(0, 1)
	case option{SolSocket, SoTimestamping}:
		return s.setTimestamping(v)
	case option{SolSocket, SoTimestamp}, option{SolSocket, SoTimestampNS}: // one takes the place of the other
		for _, n := range []int{SoTimestamp, SoTimestampNS} {
			delete(s.opt.ints, option{SolSocket, n})
		}
		return set()
	case option{SolSocket, SoRcvLowat}:
		switch {
		case v == 0:
			v = 1
		case v < 0:
			v = 1<<31 - 1
		}
		return set()
	case option{SolSocket, SoPeekOff}:
		if v < -1 {
			return EINVAL
		}
		return set()
	case option{SolSocket, SoType}, option{SolSocket, SoError}, option{SolSocket, SoAcceptConn},
		option{SolSocket, SoProtocol}, option{SolSocket, SoDomain}, option{SolSocket, SoSndLowat}:
		return ENOPROTOOPT
	case option{IPProtoTCP, TCPNoDelay}:
		_ = set()
		if v != 0 {
			return s.uncorked()
		}
		return nil
	case option{IPProtoTCP, TCPCork}:
		_ = set()
		if v == 0 {
			return s.uncorked()
		}
		return nil
	case option{IPProtoTCP, TCPMaxSeg}:
		if v != 0 && (v < 88 || v > 32767) {
			return EINVAL
		}
		return set()
	case option{IPProtoTCP, TCPKeepIdle}, option{IPProtoTCP, TCPKeepIntvl}:
		return within(1, 32767)
	case option{IPProtoTCP, TCPKeepCnt}:
		return within(1, 127)
	case option{IPProtoTCP, TCPKeepInit}:
		return within(1, 1<<30)
	case option{IPProtoTCP, TCPSynCnt}:
		return within(1, 127)
	case option{IPProtoTCP, TCPUserTimeout}:
		return within(0, 1<<31-1)
	case option{IPProtoTCP, TCPWindowClamp}:
		if v == 0 && s.state() != api.StateClosed {
			return EINVAL
		}
		if v > 0 && v < leastReceive/2 && !s.p.cfg.FreeBSD {
			v = leastReceive / 2
		}
		return within(0, 1<<30)
	case option{IPProtoTCP, TCPLinger2}:
		switch {
		case v < 0:
			v = -1
		case v > 120:
			v = 120
		}
		return set()
	case option{IPProtoTCP, TCPDeferAccept}:
		return s.setDeferAccept(v)
	case option{IPProtoTCP, TCPThinLinear}, option{IPProtoTCP, TCPThinDupack}, option{IPProtoTCP, TCPSaveSyn}:
		high := 1
		if o.name == TCPSaveSyn {
			high = 2
		}
		return within(0, high)
	case option{IPProtoTCP, TCPRtoMinUs}, option{IPProtoTCP, TCPDelackMax}: // 200 ms at most, and no less than a tick
		return within(1000, 200000)
	case option{IPProtoTCP, TCPRtoMaxMs}:
		return within(1000, 120000)
	case option{SolSocket, SoMaxPacingRate}:
		if len(value) >= 8 {
			if w := binary.LittleEndian.Uint64(value); w < 1<<32-1 {
				v = int(int32(w))
			} else {
				v = -1
			}
		}
		return set()
	case option{SolSocket, SoBusyPoll}:
		return within(0, 1<<31-1)
	case option{IPProtoTCP, TCPQuickAck}, option{IPProtoTCP, TCPDelack}:
		if q, ok := s.flow.(quickAcker); ok {
			on := v&1 != 0
			if o.name == TCPDelack {
				on = v == 0
			}
			q.QuickAck(on)
		} else if s.flow != nil {
			return Unsupported{"TCP_QUICKACK"}
		}
		return set()
	case option{IPProtoTCP, TCPTimestamp}:
		return Unsupported{"TCP_TIMESTAMP"}
	case option{IPProtoIP, IPTOS}:
		v &= 0xff &^ 3 // ECN is TCP's
		return set()
	case option{IPProtoIP, IPTTL}:
		if v == -1 {
			v = 0
			return set()
		}
		return within(1, 255)
	case option{IPProtoV6, IPv6UnicastHops}:
		if v == -1 {
			v = 0
			return set()
		}
		return within(0, 255)
	case option{IPProtoV6, IPv6TClass}:
		if v == -1 {
			v = 0
		}
		v &= 0xff &^ 3
		return set()
	case option{IPProtoIP, IPMTUDiscover}, option{IPProtoV6, IPv6MTUDiscover}:
		if s.p.cfg.FreeBSD {
			return set()
		}
		switch v {
		case 0, 1, 2, 3, 4, 5:
			return set()
		}
		return EINVAL
	case option{IPProtoV6, IPv6MTU}:
		return Unsupported{"IPV6_MTU"}
	}
	if slices.Contains(kept, o) {
		return set()
	}
	if n := optionName(o.level, o.name); n != "socket option" {
		return Unsupported{n}
	}
	return ENOPROTOOPT
}

// leastReceive is SOCK_MIN_RCVBUF.
const leastReceive = 2304

// setDeferAccept is TCP_DEFER_ACCEPT: seconds, of which Linux makes a number of timeouts
// of a SYN-ACK, and seconds of those again.
func (s *socket) setDeferAccept(v int) error {
	n := 0
	for at, rto := 1, 1; v > 0 && n < 255; n++ {
		if n > 0 {
			rto = min(2*rto, 120)
			at += rto
		}
		if v <= at {
			n++
			break
		}
	}
	s.opt.ints[option{IPProtoTCP, TCPDeferAccept}] = n
	if s.p.cfg.DeferAccept != nil {
		s.p.cfg.DeferAccept(n)
	}
	return nil
}

// deferSeconds is what setDeferAccept was told, as far as Linux remembers it.
func deferSeconds(n int) (at int) {
	for k, rto := 0, 1; k < n; k++ {
		at += rto
		rto = min(2*rto, 120)
	}
	return at
}

// setTimestamping is SO_TIMESTAMPING, the bits of which depend on one another.
func (s *socket) setTimestamping(v int) error {
	if v&^tsKnown != 0 || v&tsOptIDTCP != 0 && v&tsOptID == 0 {
		return EINVAL
	}
	if v&tsOptID != 0 && s.tsFlags()&tsOptID == 0 {
		switch s.state() {
		case api.StateClosed, api.StateListen:
			return EINVAL
		}
		o := &s.notices
		o.keyBase = o.written
		if v&tsOptIDTCP == 0 && s.flow != nil { // from what is unacknowledged
			o.keyBase = s.flow.Info().BytesAcked
		}
	}
	if v&tsOptStats != 0 && v&tsOptTsOnly == 0 {
		return EINVAL
	}
	s.opt.ints[option{SolSocket, SoTimestamping}] = v
	return nil
}

// uncorked is uncork as the effect of an option: errors are told later.
func (s *socket) uncorked() error {
	_ = s.uncork()
	return nil
}

func text(b []byte) string {
	t, _, _ := strings.Cut(string(b), "\x00")
	return t
}

// others are controllers that Linux and FreeBSD have. What neither knows does not exist.
var others = []string{
	"bbr", "bbr2", "bbr3", "bic", "cdg", "chd", "cubic", "dctcp", "hd", "highspeed", "htcp", "hybla", "illinois", "lp",
	"newreno", "nv", "prague", "reno", "scalable", "vegas", "veno", "westwood", "yeah",
}

func (s *socket) setCongestion(name string) error {
	mine := name
	if s.p.cfg.FreeBSD && name == "newreno" {
		mine = "reno"
	}
	if !slices.Contains(s.p.cfg.Controllers, mine) {
		if !slices.Contains(others, name) {
			return ENOENT
		}
		return Unsupported{"congestion control " + name}
	}
	if s.flow != nil && !strings.HasPrefix(s.flow.Info().Congestion, mine) {
		if s.p.cfg.Switch == nil || !s.p.cfg.Switch(s.flow, mine) {
			return Unsupported{"TCP_CONGESTION on a connection that has left its initial window"}
		}
	}
	s.opt.congestion = mine
	return nil
}

// GetSockopt implements [Process].
func (p *Proc) GetSockopt(fd, level, name, room int) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, err := p.socket(fd)
	if err != nil {
		return nil, err
	}
	b, err := s.getOption(option{level, name})
	if err != nil {
		return nil, err
	}
	return b[:min(len(b), room)], nil
}

func (s *socket) getOption(o option) ([]byte, error) {
	if b, ok := s.opt.blob[o]; ok {
		return b, nil
	}
	if v, ok := s.opt.ints[o]; ok && o.level == IPProtoTCP && (o.name == TCPFastOpen || o.name == TCPFastOpenConnect || o.name == TCPFastOpenNoCookie) {
		return putInt(v), nil
	}
	if _, ok := need[o]; ok {
		if o == (option{IPProtoTCP, TCPMD5Sig}) {
			return nil, ENOPROTOOPT
		}
		return putInt(0), nil
	}
	v, isSet := s.opt.ints[o]
	var info api.Info
	if s.flow != nil {
		info = s.flow.Info()
	}
	orDefault := func(d int) ([]byte, error) {
		if !isSet {
			v = d
		}
		return putInt(v), nil
	}
	switch o {
	case option{IPProtoTCP, TCPInfo}:
		return s.infoBytes(), nil
	case option{IPProtoTCP, TCPCongestion}:
		n := s.opt.congestion
		if s.p.cfg.FreeBSD && n == "reno" {
			n = "newreno"
		}
		return append([]byte(n), make([]byte, max(16-len(n), 0))...), nil
	case option{IPProtoTCP, TCPFunctionBlk}:
		return append([]byte("freebsd"), make([]byte, 29)...), nil
	case option{SolSocket, SoLinger}:
		on := 0
		if s.opt.linger.on {
			on = 1
		}
		return append(putInt(on), putInt(s.opt.linger.seconds)...), nil
	case option{SolSocket, SoRcvTimeo}, option{SolSocket, SoSndTimeo}:
		d := s.opt.times[o.name]
		b := binary.LittleEndian.AppendUint64(nil, uint64(d/time.Second))
		return binary.LittleEndian.AppendUint64(b, uint64(d%time.Second/time.Microsecond)), nil
	case option{SolSocket, SoType}:
		return putInt(SockStream), nil
	case option{SolSocket, SoProtocol}:
		return putInt(IPProtoTCP), nil
	case option{SolSocket, SoDomain}:
		return putInt(s.domain), nil
	case option{SolSocket, SoAcceptConn}:
		if s.listener != nil && !s.listener.down {
			return putInt(1), nil
		}
		return putInt(0), nil
	case option{SolSocket, SoError}:
		e := s.takeErr()
		return putInt(e.Number()), nil
	case option{SolSocket, SoSndBuf}:
		if s.opt.sndBuf > 0 {
			return putInt(int(s.opt.sndBuf)), nil
		}
		return putInt(int(max(s.p.cfg.Flow.SendBuffer, 16384))), nil
	case option{SolSocket, SoRcvBuf}:
		if s.opt.rcvBuf > 0 {
			return putInt(int(s.opt.rcvBuf)), nil
		}
		return putInt(int(max(s.p.cfg.Flow.ReceiveBuffer, 131072))), nil
	case option{SolSocket, SoRcvLowat}, option{SolSocket, SoSndLowat}:
		return orDefault(1)
	case option{SolSocket, SoPeekOff}:
		return orDefault(-1)
	case option{SolSocket, SoZeroCopy}, option{SolSocket, SoTimestamping}, option{SolSocket, SoTimestamp}, option{SolSocket, SoTimestampNS}:
		return orDefault(0)
	case option{SolSocket, SoMemInfo}:
		return nil, Unsupported{"SO_MEMINFO"}
	case option{SolSocket, SoCookie}:
		return nil, Unsupported{"SO_COOKIE"}
	case option{SolSocket, SoIncomingNAPI}:
		return nil, Unsupported{"SO_INCOMING_NAPI_ID"}
	case option{IPProtoTCP, TCPMaxSeg}:
		if s.flow != nil {
			return putInt(int(info.SendMSS)), nil
		}
		if isSet && v > 0 {
			return putInt(v), nil
		}
		return putInt(536), nil
	case option{IPProtoTCP, TCPKeepIdle}:
		return orDefault(int(s.opt.keep.After / time.Second))
	case option{IPProtoTCP, TCPKeepIntvl}:
		return orDefault(int(s.opt.keep.Interval / time.Second))
	case option{IPProtoTCP, TCPKeepCnt}:
		return orDefault(s.opt.keep.Probes)
	case option{IPProtoTCP, TCPKeepInit}:
		return orDefault(75)
	case option{IPProtoTCP, TCPSynCnt}:
		return orDefault(max(s.p.cfg.SynRetries, 1))
	case option{IPProtoTCP, TCPLinger2}:
		if v == 0 {
			v = 60
		}
		return putInt(v), nil
	case option{IPProtoTCP, TCPDeferAccept}:
		return putInt(deferSeconds(v)), nil
	case option{IPProtoTCP, TCPRtoMaxMs}:
		return orDefault(120000)
	case option{IPProtoTCP, TCPRtoMinUs}, option{IPProtoTCP, TCPDelackMax}:
		return orDefault(200000)
	case option{SolSocket, SoMaxPacingRate}, option{SolSocket, SoIncomingCPU}:
		return orDefault(-1)
	case option{IPProtoTCP, TCPThinLinear}, option{IPProtoTCP, TCPThinDupack}, option{IPProtoTCP, TCPSaveSyn}, option{SolSocket, SoBusyPoll}:
		return orDefault(0)
	case option{IPProtoTCP, TCPQuickAck}:
		return orDefault(1)
	case option{IPProtoTCP, TCPNotSentLowat}:
		return orDefault(0)
	case option{IPProtoTCP, TCPCCInfo}:
		return nil, Unsupported{"TCP_CC_INFO"}
	case option{IPProtoTCP, TCPSavedSyn}:
		return nil, Unsupported{"TCP_SAVED_SYN"}
	case option{IPProtoTCP, TCPTimestamp}:
		return nil, Unsupported{"TCP_TIMESTAMP"}
	case option{IPProtoIP, IPTTL}, option{IPProtoV6, IPv6UnicastHops}:
		if v == 0 {
			v = max(int(s.p.cfg.Flow.TTL), 64)
		}
		return putInt(v), nil
	case option{IPProtoIP, IPMTU}, option{IPProtoV6, IPv6MTU}:
		if s.flow == nil {
			return nil, ENOTCONN
		}
		return putInt(int(info.PathMTU)), nil
	case option{IPProtoIP, IPMTUDiscover}, option{IPProtoV6, IPv6MTUDiscover}:
		return orDefault(1)
	}
	if isSet || slices.Contains(kept, o) {
		return putInt(v), nil
	}
	switch o {
	case option{IPProtoTCP, TCPNoDelay}, option{IPProtoTCP, TCPCork}, option{IPProtoTCP, TCPUserTimeout},
		option{IPProtoTCP, TCPWindowClamp}, option{IPProtoTCP, TCPDelack}, option{IPProtoIP, IPTOS}, option{IPProtoV6, IPv6TClass}:
		return putInt(0), nil
	}
	if n := optionName(o.level, o.name); n != "socket option" {
		return nil, Unsupported{n}
	}
	return nil, ENOPROTOOPT
}
