package sock

import (
	"encoding/binary"
	"time"

	"github.com/sluicenet/sluice/api"
)

// The members of struct sock_extended_err that are used here.
const (
	originTimestamping = 4
	originZeroCopy     = 5
	codeCopied         = 1

	tstampSnd, tstampSched, tstampAck = 0, 1, 2
)

// Flags of SO_TIMESTAMPING.
const (
	tsTxSoftware = 1 << 1
	tsRxSoftware = 1 << 3
	tsSoftware   = 1 << 4
	tsOptID      = 1 << 7
	tsTxSched    = 1 << 8
	tsTxAck      = 1 << 9
	tsOptTsOnly  = 1 << 11
	tsOptStats   = 1 << 12
	tsOptIDTCP   = 1 << 16
	tsHardware   = 1<<0 | 1<<2 | 1<<5 | 1<<6 // accepted, and no device does it
	tsTxRecord   = tsTxSoftware | tsTxSched | tsTxAck | 1<<0
	tsKnown      = 1<<19 - 1
)

// A queued is an entry of a socket's error queue.
type queued struct {
	errno        uint32
	origin, code byte
	info, data   uint32
	at           time.Time // of a timestamp
	size         int       // of what comes with it as data
	stats        []byte
}

// A notice is a queued that is to come when the stream has got as far as end.
type notice struct {
	end    uint64
	lo, hi uint32 // of MSG_ZEROCOPY
	flags  int    // of a timestamp: what is to be told
	told   int    // and what of that has been
	key    uint32
	opts   int // SO_TIMESTAMPING when the data were sent
}

// notices are what a socket has to tell of what it sends. The stream's offsets are
// of bytes written.
type notices struct {
	queue    []queued
	reports  uint64   // made so far, for edges
	zeroCopy []notice // oldest first
	zcNext   uint32
	stamps   []notice
	written  uint64 // bytes taken from the user
	keyBase  uint64 // where SOF_TIMESTAMPING_OPT_ID counts from
	times    chrono
	resent   uint64 // retransmissions seen

	received uint64 // bytes of the peer's, and when the last of them came
	arrived  time.Time
}

// chrono is how long the socket has been busy, and why it could not send.
type chrono struct {
	last           time.Time
	busy, rwnd     time.Duration
	isBusy, isRwnd bool
}

func (s *socket) tsFlags() int { return s.opt.ints[option{SolSocket, SoTimestamping}] }

// observed says whether anything depends on what the flow has sent and received.
func (s *socket) observed() bool {
	return s.flow != nil
}

// noteSend is called when n bytes of a call have been taken. The caller holds mu.
func (s *socket) noteSend(n int, zeroCopy bool, flags int) {
	if n <= 0 {
		return
	}
	o := &s.notices
	unsent := s.flow != nil && s.unsent() > 0
	o.written += uint64(n)
	if zeroCopy {
		k := len(o.zeroCopy) - 1
		if k >= 0 && unsent && o.zeroCopy[k].hi+1 == o.zcNext && o.zeroCopy[k].end == o.written-uint64(n) {
			// What waits is part of the same notification.
			o.zeroCopy[k].hi, o.zeroCopy[k].end = o.zcNext, o.written
		} else {
			o.zeroCopy = append(o.zeroCopy, notice{end: o.written, lo: o.zcNext, hi: o.zcNext})
		}
		o.zcNext++
	}
	if flags &= tsTxRecord; flags&^1 != 0 {
		o.stamps = append(o.stamps, notice{end: o.written, flags: flags &^ 1, key: uint32(o.written - 1 - o.keyBase), opts: s.tsFlags()})
	}
}

// unsent is how many bytes wait.
func (s *socket) unsent() int64 { return s.flow.Info().NotSent + int64(len(s.cork)) }

// observe turns what has become of the flow into notices. The caller holds mu.
func (s *socket) observe(now time.Time) {
	if !s.observed() {
		return
	}
	i := s.flow.Info()
	o := &s.notices
	o.times.observe(&i, now)
	if i.BytesReceived > o.received {
		o.received, o.arrived = i.BytesReceived, now
	}
	if len(s.cork) > 0 {
		s.armCork()
	}
	if s.noSpace && s.writable(&i) {
		s.noSpace = false
		s.spaceGen++
	}
	closed := i.State == api.StateClosed || i.State == api.StateTimeWait
	acked, sent := i.BytesAcked, i.BytesSent
	for len(o.zeroCopy) > 0 && (o.zeroCopy[0].end <= acked || closed) {
		z := o.zeroCopy[0]
		o.zeroCopy = o.zeroCopy[1:]
		s.zeroCopyDone(z.lo, z.hi)
	}
	again := i.Retransmits > o.resent
	o.resent = i.Retransmits
	rest := o.stamps[:0]
	for _, t := range o.stamps {
		if again && t.end <= acked+uint64(max(i.SendMSS, 1)) {
			t.told = 0 // the first segment, as a rule, is what has been sent again
		}
		for _, k := range []struct {
			flag int
			info uint32
			at   uint64
		}{{tsTxSched, tstampSched, sent}, {tsTxSoftware, tstampSnd, sent}, {tsTxAck, tstampAck, acked}} {
			if t.flags&^t.told&k.flag == 0 || k.at < t.end {
				continue
			}
			t.told |= k.flag
			s.stamped(&t, k.info, now, &i)
		}
		if t.end > acked && !closed {
			rest = append(rest, t)
		}
	}
	o.stamps = rest
}

// zeroCopyDone reports that the memory of calls is the user's again.
func (s *socket) zeroCopyDone(lo, hi uint32) {
	o := &s.notices
	o.reports++
	if n := len(o.queue); n > 0 {
		if last := &o.queue[n-1]; last.origin == originZeroCopy && last.data+1 == lo {
			last.data = hi
			return
		}
	}
	o.queue = append(o.queue, queued{origin: originZeroCopy, code: codeCopied, info: lo, data: hi})
}

// stamped reports when something happened to the last byte of a call.
func (s *socket) stamped(t *notice, info uint32, now time.Time, i *api.Info) {
	q := queued{errno: uint32(errnoENOMSG), origin: originTimestamping, info: info, at: now}
	if t.opts&tsOptID != 0 {
		q.data = t.key
	}
	if t.opts&tsOptTsOnly == 0 {
		q.size = int(min(int64(t.end), max(i.SendMSS, 1)))
		if info != tstampAck { // the packet, with its headers
			q.size += 40
			if s.v6() {
				q.size += 20
			}
			if i.Timestamps {
				q.size += 12
			}
		}
	} else if t.opts&tsOptStats != 0 {
		q.stats = s.stats(i)
		q.size = len(q.stats)
	}
	s.notices.queue = append(s.notices.queue, q)
	s.notices.reports++
}

const errnoENOMSG = 42

// v6 says whether the packets are IPv6's.
func (s *socket) v6() bool {
	a := s.remoteAddr()
	return s.domain == AFInet6 && !a.Unmap().Is4()
}

// recvErr is recvmsg with MSG_ERRQUEUE. The caller holds mu.
func (s *socket) recvErr(m *Message) (int, error) {
	o := &s.notices
	if len(o.queue) == 0 {
		return -1, EAGAIN
	}
	q := o.queue[0]
	o.queue = o.queue[1:]
	room := 0
	for _, b := range m.Iov {
		room += len(b)
	}
	n := min(q.size, room)
	if n < q.size {
		m.Flags |= MsgTrunc
	}
	if flags := s.tsFlags(); q.origin == originTimestamping && flags&tsSoftware != 0 {
		b := make([]byte, 0, 48)
		b = append(b, timeBytes(q.at, time.Nanosecond)...)
		m.put(CMsg{SolSocket, SoTimestamping, b[:48]})
		if q.stats != nil {
			m.put(CMsg{SolSocket, scmOptStats, q.stats})
		}
	}
	b := binary.LittleEndian.AppendUint32(nil, q.errno)
	b = append(b, q.origin, 0, q.code, 0)
	b = binary.LittleEndian.AppendUint32(b, q.info)
	b = binary.LittleEndian.AppendUint32(b, q.data)
	c := CMsg{IPProtoIP, IPRecvErr, append(b, make([]byte, 16)...)}
	if s.domain == AFInet6 {
		c = CMsg{IPProtoV6, IPv6RecvErr, append(b, make([]byte, 28)...)}
	}
	m.put(c)
	m.Flags |= MsgErrQueue
	return n, nil
}

// put adds a control message, if there is room.
func (m *Message) put(c CMsg) {
	if m.ControlLen == 0 {
		m.Flags |= MsgCtrunc
		return
	}
	m.Control = append(m.Control, c)
}

// scmOptStats is SCM_TIMESTAMPING_OPT_STATS.
const scmOptStats = 54

// The attributes of SCM_TIMESTAMPING_OPT_STATS.
const (
	nlaBusy = 1 + iota
	nlaRwndLimited
	nlaSndbufLimited
	nlaDataSegsOut
	nlaTotalRetrans
	nlaPacingRate
	nlaDeliveryRate
	nlaSndCwnd
	nlaReordering
	nlaMinRTT
	nlaRecurRetrans
	nlaAppLimited
	nlaSndqSize
	nlaCAState
	nlaSndSsthresh
	nlaDelivered
	nlaDeliveredCE
	nlaBytesSent
	nlaBytesRetrans
	nlaDsackDups
	nlaReordSeen
	nlaSRTT
	nlaTimeoutRehash
	nlaBytesNotSent
)

// stats are what TCP knows at the time of a stamp, as netlink attributes.
func (s *socket) stats(i *api.Info) (b []byte) {
	info := make(map[string]int64)
	for _, f := range s.linuxInfo() {
		info[f.name] = f.value
	}
	put := func(id, size int, v int64) {
		b = binary.LittleEndian.AppendUint16(b, uint16(4+size))
		b = binary.LittleEndian.AppendUint16(b, uint16(id))
		var raw [8]byte
		binary.LittleEndian.PutUint64(raw[:], uint64(v))
		b = append(b, raw[:max(size, 4)]...)
	}
	t := &s.notices.times
	put(nlaBusy, 8, usecs(t.busy))
	put(nlaRwndLimited, 8, usecs(t.rwnd))
	put(nlaSndbufLimited, 8, 0)
	put(nlaDataSegsOut, 8, info["tcpi_data_segs_out"])
	put(nlaTotalRetrans, 8, info["tcpi_total_retrans"])
	put(nlaPacingRate, 8, info["tcpi_pacing_rate"])
	put(nlaDeliveryRate, 8, info["tcpi_delivery_rate"])
	put(nlaSndCwnd, 4, info["tcpi_snd_cwnd"])
	put(nlaReordering, 4, info["tcpi_reordering"])
	put(nlaMinRTT, 4, info["tcpi_min_rtt"])
	put(nlaRecurRetrans, 1, info["tcpi_retransmits"])
	put(nlaAppLimited, 1, info["tcpi_delivery_rate_app_limited"])
	put(nlaSndSsthresh, 4, info["tcpi_snd_ssthresh"])
	put(nlaDelivered, 4, info["tcpi_delivered"])
	put(nlaDeliveredCE, 4, info["tcpi_delivered_ce"])
	put(nlaSndqSize, 4, i.SendQueue+int64(len(s.cork)))
	put(nlaCAState, 1, info["tcpi_ca_state"])
	put(nlaBytesSent, 8, info["tcpi_bytes_sent"])
	put(nlaBytesRetrans, 8, info["tcpi_bytes_retrans"])
	put(nlaDsackDups, 4, info["tcpi_dsack_dups"])
	put(nlaReordSeen, 4, info["tcpi_reord_seen"])
	put(nlaSRTT, 4, info["tcpi_rtt"])
	put(nlaTimeoutRehash, 2, 0)
	put(nlaBytesNotSent, 4, info["tcpi_notsent_bytes"])
	return b
}

// observe brings the times up to now.
func (t *chrono) observe(i *api.Info, now time.Time) {
	if !t.last.IsZero() {
		d := now.Sub(t.last)
		if t.isBusy {
			t.busy += d
		}
		if t.isRwnd {
			t.rwnd += d
		}
	}
	t.last = now
	t.isBusy = i.SendQueue > 0
	flight := i.SendQueue - i.NotSent
	t.isRwnd = i.NotSent > 0 && i.SendWindow-flight < min(i.NotSent, max(i.SendMSS, 1))
}
