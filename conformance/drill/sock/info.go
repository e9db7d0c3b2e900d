package sock

import (
	"encoding/binary"
	"time"

	"github.com/sluicenet/sluice/api"
)

// states are Linux's numbers of the states, and FreeBSD's.
var (
	linuxStates = map[api.State]int64{
		api.StateEstablished: 1, api.StateSynSent: 2, api.StateSynReceived: 3, api.StateFinWait1: 4,
		api.StateFinWait2: 5, api.StateTimeWait: 6, api.StateClosed: 7, api.StateCloseWait: 8,
		api.StateLastAck: 9, api.StateListen: 10, api.StateClosing: 11,
	}
	freebsdStates = map[api.State]int64{
		api.StateClosed: 0, api.StateListen: 1, api.StateSynSent: 2, api.StateSynReceived: 3,
		api.StateEstablished: 4, api.StateCloseWait: 5, api.StateFinWait1: 6, api.StateClosing: 7,
		api.StateLastAck: 8, api.StateFinWait2: 9, api.StateTimeWait: 10,
	}
	caStates = map[string]int64{"open": 0, "disorder": 1, "cwr": 2, "recovery": 3, "loss": 4}
)

// infiniteSsthresh is TCP_INFINITE_SSTHRESH.
const infiniteSsthresh = 0x7fffffff

// An infoField is a member of Linux's struct tcp_info.
type infoField struct {
	name  string
	size  int
	value int64
}

// Info implements [Process].
func (p *Proc) Info(fd int) (map[string]int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, err := p.socket(fd)
	if err != nil {
		return nil, err
	}
	m := make(map[string]int64)
	if p.cfg.FreeBSD {
		for _, f := range s.freebsdInfo() {
			m[f.name] = f.value
		}
		return m, nil
	}
	for _, f := range s.linuxInfo() {
		if !unmeasured[f.name] {
			m[f.name] = f.value
		}
	}
	return m, nil
}

// unmeasured are members of which the stack does not know the value. They are zero, or
// nearly right, in the bytes of the struct, and nothing can be asserted of them.
var unmeasured = map[string]bool{
	"": true, "tcpi_delivery_rate_app_limited": true, "tcpi_rcv_rtt": true, "tcpi_rcv_ssthresh": true,
	"tcpi_total_rto_recoveries": true, "tcpi_total_rto_time": true,
}

func (s *socket) info() api.Info {
	switch {
	case s.flow != nil:
		return s.flow.Info()
	case s.dialling:
		if i, ok := s.dialInfo(); ok {
			return i
		}
	}
	i := api.Info{State: s.state(), SendWindowScale: -1, RecvWindowScale: -1}
	i.RTO = time.Second
	return i
}

func usecs(d time.Duration) int64 { return int64(d / time.Microsecond) }

func msecsSince(now, t time.Time) int64 {
	if t.IsZero() {
		return int64(now.UnixMilli())
	}
	return int64(now.Sub(t) / time.Millisecond)
}

// fastOpenFails are Linux's numbers of why Fast Open failed.
var fastOpenFails = map[string]int64{"no-cookie": 1, "not-acknowledged": 2, "retransmitted": 3}

// infoOptions is tcpi_options.
func infoOptions(i *api.Info) (v int64) {
	if i.Timestamps {
		v |= 1
	}
	if i.SACK {
		v |= 2
	}
	if i.SendWindowScale >= 0 {
		v |= 4
	}
	if i.ECN {
		v |= 8
	}
	if i.ECNSeen {
		v |= 16
	}
	if i.FastOpen == "accepted" {
		v |= 32
	}
	return v
}

func (s *socket) linuxInfo() []infoField {
	i := s.info()
	opts := infoOptions(&i)
	if s.fast { // TCPI_OPT_TFO_CHILD
		opts |= 128
	}
	now := s.p.cfg.Clock.Wall(s.p.cfg.Clock.Now())
	mss := max(i.SendMSS, 1)
	cwnd, ssthresh := max(i.Cwnd/mss, 1), int64(infiniteSsthresh)
	if i.Cwnd == 0 || i.State == api.StateSynSent {
		cwnd = 10
	}
	if i.Ssthresh > 0 {
		ssthresh = i.Ssthresh / mss
	}
	snd, rcv := int64(max(i.SendWindowScale, 0)), int64(max(i.RecvWindowScale, 0))
	unacked := i.UnackedSegments
	sacked := i.SackedSegments
	if i.State == api.StateListen {
		unacked, sacked = 0, int64(s.listener.backlog)
		if s.listener != nil {
			unacked = int64(len(s.listener.queue))
		}
	}
	minRTT := usecs(i.MinRTT)
	if i.MinRTT == 0 {
		minRTT = 0xffffffff
	}
	srtt, rttvar := usecs(i.SRTT), usecs(i.RTTVar)
	if i.SRTT == 0 {
		rttvar = 250000 // before the first sample: TCP_TIMEOUT_INIT / 4
	}
	acked := int64(i.BytesAcked) // a SYN and a FIN are bytes, but not the SYN of who was connected to
	if s.active && i.State != api.StateSynSent {
		acked++
	}
	switch i.State {
	case api.StateFinWait2, api.StateTimeWait:
		acked++
	}
	rcvMSS := i.RecvSegment
	if rcvMSS == 0 { // TCP_MSS_DEFAULT, until something has come
		rcvMSS = max(min(536, mss, max(i.RecvMSS, 1)), 88)
	}
	backoff := int64(i.Backoff)
	pmtu := i.PathMTU
	return []infoField{
		{"tcpi_state", 1, linuxStates[i.State]},
		{"tcpi_ca_state", 1, caStates[i.CongestionState]},
		{"tcpi_retransmits", 1, int64(i.Retries)},
		{"tcpi_probes", 1, int64(i.KeepaliveProbes)},
		{"tcpi_backoff", 1, backoff},
		{"tcpi_options", 1, opts},
		{"tcpi_snd_wscale", 0, snd},
		{"tcpi_rcv_wscale", 0, rcv},
		{"", 1, snd | rcv<<4},
		{"tcpi_delivery_rate_app_limited", 0, 0},
		{"tcpi_fastopen_client_fail", 0, fastOpenFails[i.FastOpen]},
		{"", 1, fastOpenFails[i.FastOpen] << 1},
		{"tcpi_rto", 4, usecs(i.RTO)},
		{"tcpi_ato", 4, usecs(i.AckDelay)},
		{"tcpi_snd_mss", 4, i.SendMSS},
		{"tcpi_rcv_mss", 4, rcvMSS},
		{"tcpi_unacked", 4, unacked},
		{"tcpi_sacked", 4, sacked},
		{"tcpi_lost", 4, i.LostSegments},
		{"tcpi_retrans", 4, i.ResentSegments},
		{"tcpi_fackets", 4, 0},
		{"tcpi_last_data_sent", 4, msecsSince(now, i.LastSend)},
		{"tcpi_last_ack_sent", 4, 0},
		{"tcpi_last_data_recv", 4, msecsSince(now, i.LastReceive)},
		{"tcpi_last_ack_recv", 4, msecsSince(now, i.LastReceive)},
		{"tcpi_pmtu", 4, pmtu},
		{"tcpi_rcv_ssthresh", 4, i.RecvWindow},
		{"tcpi_rtt", 4, srtt},
		{"tcpi_rttvar", 4, rttvar},
		{"tcpi_snd_ssthresh", 4, ssthresh},
		{"tcpi_snd_cwnd", 4, cwnd},
		{"tcpi_advmss", 4, s.advmss(&i)},
		{"tcpi_reordering", 4, 3},
		{"tcpi_rcv_rtt", 4, 0},
		{"tcpi_rcv_space", 4, i.RecvBuffer},
		{"tcpi_total_retrans", 4, int64(i.Retransmits)},
		{"tcpi_pacing_rate", 8, i.PacingRate},
		{"tcpi_max_pacing_rate", 8, -1},
		{"tcpi_bytes_acked", 8, acked},
		{"tcpi_bytes_received", 8, int64(i.BytesReceived)},
		{"tcpi_segs_out", 4, int64(i.SegmentsSent)},
		{"tcpi_segs_in", 4, int64(i.SegmentsReceived)},
		{"tcpi_notsent_bytes", 4, i.NotSent + int64(len(s.cork))},
		{"tcpi_min_rtt", 4, minRTT},
		{"tcpi_data_segs_in", 4, int64(i.DataSegmentsReceived)},
		{"tcpi_data_segs_out", 4, int64(i.DataSegmentsSent)},
		{"tcpi_delivery_rate", 8, i.DeliveryRate},
		{"tcpi_delivered", 4, int64(i.DeliveredSegments)},
		{"tcpi_delivered_ce", 4, int64(i.DeliveredCE)},
		{"tcpi_bytes_sent", 8, int64(i.BytesSent + i.BytesRetransmitted)},
		{"tcpi_bytes_retrans", 8, int64(i.BytesRetransmitted)},
		{"tcpi_dsack_dups", 4, int64(i.SpuriousRetransmits)},
		{"tcpi_reord_seen", 4, int64(i.ReorderingSeen)},
		{"tcpi_rcv_ooopack", 4, int64(i.OutOfOrderSegments)},
		{"tcpi_snd_wnd", 4, i.SendWindow},
		{"tcpi_rcv_wnd", 4, i.RecvWindow},
		{"tcpi_rehash", 4, 0},
		{"tcpi_total_rto", 2, int64(i.Timeouts)},
		{"tcpi_total_rto_recoveries", 2, 0},
		{"tcpi_total_rto_time", 4, 0},
	}
}

// advmss is the MSS announced, less the options that every segment has.
func (s *socket) advmss(i *api.Info) int64 {
	if i.Timestamps {
		return i.RecvMSS - 12
	}
	return i.RecvMSS
}

// infoBytes is struct tcp_info.
func (s *socket) infoBytes() (b []byte) {
	for _, f := range s.linuxInfo() {
		switch f.size {
		case 1:
			b = append(b, byte(f.value))
		case 2:
			b = binary.LittleEndian.AppendUint16(b, uint16(f.value))
		case 4:
			b = binary.LittleEndian.AppendUint32(b, uint32(f.value))
		case 8:
			b = binary.LittleEndian.AppendUint64(b, uint64(f.value))
		}
	}
	return b
}

func (s *socket) freebsdInfo() []infoField {
	i := s.info()
	now := s.p.cfg.Clock.Wall(s.p.cfg.Clock.Now())
	ssthresh := i.Ssthresh
	if ssthresh == 0 {
		ssthresh = 1 << 30 // TCP_MAXWIN << TCP_MAX_WINSHIFT
	}
	return []infoField{
		{"tcpi_state", 1, freebsdStates[i.State]},
		{"tcpi_options", 1, infoOptions(&i)},
		{"tcpi_snd_wscale", 0, int64(max(i.SendWindowScale, 0))},
		{"tcpi_rcv_wscale", 0, int64(max(i.RecvWindowScale, 0))},
		{"tcpi_rto", 4, usecs(i.RTO)},
		{"tcpi_snd_mss", 4, i.SendMSS},
		{"tcpi_rcv_mss", 4, i.RecvMSS},
		{"tcpi_last_data_recv", 4, msecsSince(now, i.LastReceive) * 1000},
		{"tcpi_rtt", 4, usecs(i.SRTT)},
		{"tcpi_rttvar", 4, usecs(i.RTTVar)},
		{"tcpi_snd_ssthresh", 4, ssthresh},
		{"tcpi_snd_cwnd", 4, i.Cwnd},
		{"tcpi_rcv_space", 4, i.RecvWindow},
		{"tcpi_snd_wnd", 4, i.SendWindow},
		{"tcpi_snd_bwnd", 4, 0},
		{"tcpi_snd_rexmitpack", 4, int64(i.Retransmits)},
		{"tcpi_rcv_ooopack", 4, int64(i.OutOfOrderSegments)},
		{"tcpi_snd_zerowin", 4, 0},
		{"tcpi_delivered_ce", 4, int64(i.DeliveredCE)},
		{"tcpi_dupacks", 4, int64(i.DupAcks)},
		{"tcpi_rttmin", 4, usecs(i.MinRTT)},
		{"tcpi_total_tlp", 4, int64(i.Probes)},
	}
}
