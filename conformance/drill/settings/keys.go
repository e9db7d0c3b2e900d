package settings

import (
	"strconv"
	"strings"
	"time"
)

// value is the value of a sysctl: numbers, as a rule.
type value struct {
	text string
	n    []int64
}

func (v *value) parse() bool {
	for _, f := range strings.FieldsFunc(v.text, func(r rune) bool { return r == ' ' || r == '\t' || r == ',' }) {
		n, err := strconv.ParseInt(f, 0, 64)
		if err != nil {
			return false
		}
		v.n = append(v.n, n)
	}
	return len(v.n) > 0
}

func (v value) num() int64 {
	if len(v.n) == 0 {
		return 0
	}
	return v.n[0]
}

func (v value) on() bool { return v.num() != 0 }

// duration reads the value in units, up to a century.
func (v value) duration(unit time.Duration) time.Duration {
	const most = 100 * 365 * 24 * time.Hour
	return time.Duration(min(max(v.num(), 0), int64(most/unit))) * unit
}

// count reads a number that is small.
func (v value) count() int { return int(min(max(v.num(), 0), 1<<20)) }

// size reads a number of bytes.
func (v value) size() int64 { return min(max(v.num(), 0), 1<<30) }

// key is what is known of a sysctl. Without apply it has no effect here, and
// feature says why. With reject, some of its values name a feature that is missing.
type key struct {
	apply   func(s *Settings, v value)
	reject  func(v value) bool
	feature string
	text    bool // the value need not be a number
}

// Why a key has no effect.
const (
	unseen   = "nothing that a script can see depends on it"
	noFile   = "the host's own affair"
	alwaysOn = "always so here"
)

func flag(f func(s *Settings) *bool) key {
	return key{apply: func(s *Settings, v value) { *f(s) = v.on() }}
}

func span(unit time.Duration, f func(s *Settings) *time.Duration) key {
	return key{apply: func(s *Settings, v value) { *f(s) = v.duration(unit) }}
}

func number(f func(s *Settings) *int) key {
	return key{apply: func(s *Settings, v value) { *f(s) = v.count() }}
}

func bytes(f func(s *Settings) *int64) key {
	return key{apply: func(s *Settings, v value) { *f(s) = v.size() }}
}

func ignored(why string) key { return key{feature: why, text: true} }

// without is a key of which all values but those given need a feature.
func without(feature string, fine ...int64) key {
	return key{feature: feature, reject: func(v value) bool {
		for _, n := range fine {
			if v.num() == n {
				return false
			}
		}
		return true
	}}
}

func buffers(f func(s *Settings) *Space) key {
	return key{apply: func(s *Settings, v value) {
		b := f(s)
		for i, p := range []*int64{&b.Min, &b.Default, &b.Max} {
			if i < len(v.n) {
				*p = value{n: v.n[i:]}.size()
			}
		}
	}}
}

var congestion = key{text: true, apply: func(s *Settings, v value) { s.Congestion = v.text }}

// ecn has what both systems call 0, 1 and 2; more is Accurate ECN.
func ecn() key {
	return key{
		apply:   func(s *Settings, v value) { s.ECN = []ECN{ECNOff, ECNRequest, ECNAccept}[min(v.count(), 2)] },
		reject:  func(v value) bool { return v.num() > 2 || v.num() < 0 },
		feature: "Accurate ECN",
	}
}

var keys = map[string]key{
	// Linux, net.ipv4.
	"net.ipv4.tcp_sack":           flag(func(s *Settings) *bool { return &s.SACK }),
	"net.ipv4.tcp_dsack":          flag(func(s *Settings) *bool { return &s.DSACK }),
	"net.ipv4.tcp_timestamps":     flag(func(s *Settings) *bool { return &s.Timestamps }),
	"net.ipv4.tcp_window_scaling": flag(func(s *Settings) *bool { return &s.WindowScale }),
	"net.ipv4.tcp_ecn":            ecn(),
	"net.ipv4.tcp_recovery": {apply: func(s *Settings, v value) {
		s.RACK = v.num()&1 != 0
	}},
	"net.ipv4.tcp_early_retrans": {apply: func(s *Settings, v value) { s.TLP = v.num() >= 3 }},
	"net.ipv4.tcp_frto":          flag(func(s *Settings) *bool { return &s.FRTO }),
	"net.ipv4.tcp_reordering":    number(func(s *Settings) *int { return &s.Reordering }),
	"net.ipv4.tcp_slow_start_after_idle": flag(func(s *Settings) *bool {
		return &s.SlowStartAfterIdle
	}),
	"net.ipv4.tcp_congestion_control":  congestion,
	"net.ipv4.tcp_syn_retries":         number(func(s *Settings) *int { return &s.SynRetries }),
	"net.ipv4.tcp_synack_retries":      number(func(s *Settings) *int { return &s.SynAckRetries }),
	"net.ipv4.tcp_syn_linear_timeouts": number(func(s *Settings) *int { return &s.SynLinear }),
	"net.ipv4.tcp_retries2":            number(func(s *Settings) *int { return &s.Retries }),
	"net.ipv4.tcp_orphan_retries": {apply: func(s *Settings, v value) {
		s.OrphanRetries = v.count()
		if s.OrphanRetries == 0 {
			s.OrphanRetries = 8
		}
	}},
	"net.ipv4.tcp_fin_timeout":      span(time.Second, func(s *Settings) *time.Duration { return &s.FinWait2 }),
	"net.ipv4.tcp_keepalive_time":   span(time.Second, func(s *Settings) *time.Duration { return &s.KeepaliveIdle }),
	"net.ipv4.tcp_keepalive_intvl":  span(time.Second, func(s *Settings) *time.Duration { return &s.KeepaliveEvery }),
	"net.ipv4.tcp_keepalive_probes": number(func(s *Settings) *int { return &s.KeepaliveCount }),
	"net.ipv4.tcp_rmem":             buffers(func(s *Settings) *Space { return &s.ReceiveBuffer }),
	"net.ipv4.tcp_wmem":             buffers(func(s *Settings) *Space { return &s.SendBuffer }),
	"net.ipv4.tcp_moderate_rcvbuf":  flag(func(s *Settings) *bool { return &s.AutotuneReceive }),
	"net.ipv4.tcp_notsent_lowat": {apply: func(s *Settings, v value) {
		if s.NotSentLowat = int(v.size()); v.num() < 0 || v.num() >= 1<<31 {
			s.NotSentLowat = 0
		}
	}},
	"net.ipv4.tcp_rto_min_us":  span(time.Microsecond, func(s *Settings) *time.Duration { return &s.RTOMin }),
	"net.ipv4.tcp_rto_max_ms":  span(time.Millisecond, func(s *Settings) *time.Duration { return &s.RTOMax }),
	"net.ipv4.tcp_min_snd_mss": bytes(func(s *Settings) *int64 { return &s.MinMSS }),
	"net.ipv4.tcp_invalid_ratelimit": span(time.Millisecond, func(s *Settings) *time.Duration {
		return &s.ChallengeInterval
	}),
	"net.ipv4.ip_default_ttl": number(func(s *Settings) *int { return &s.TTL }),
	"net.ipv4.ip_no_pmtu_disc": {apply: func(s *Settings, v value) {
		s.PMTUD = !v.on()
	}},
	"net.core.somaxconn": number(func(s *Settings) *int { return &s.Somaxconn }),
	"net.core.rmem_max":  bytes(func(s *Settings) *int64 { return &s.ReceiveMax }),
	"net.core.wmem_max":  bytes(func(s *Settings) *int64 { return &s.SendMax }),

	"net.ipv4.tcp_mtu_probing":          without("packetization layer path MTU discovery", 0),
	"net.ipv4.tcp_l3mdev_accept":        without("virtual routing and forwarding", 0),
	"net.ipv4.tcp_fwmark_accept":        without("firewall marks", 0),
	"net.ipv4.tcp_abort_on_overflow":    without("resets when a listener is full", 0),
	"net.ipv4.tcp_thin_linear_timeouts": flag(func(s *Settings) *bool { return &s.LinearThin }),
	"net.ipv4.tcp_thin_dupack":          without("fast retransmit of thin streams", 0),
	"net.ipv4.tcp_shrink_window":        without("windows that shrink", 0),
	"net.ipv4.tcp_migrate_req":          without("migration of requests between listeners", 0),
	"net.ipv4.tcp_stdurg":               without("the urgent pointer of RFC 1122", 0, 1),

	// Accurate ECN is judged where a script uses it.
	"net.ipv4.tcp_ecn_option":        ignored("Accurate ECN is skipped where it is asked for"),
	"net.ipv4.tcp_ecn_option_beacon": ignored("Accurate ECN is skipped where it is asked for"),
	"net.ipv4.tcp_ecn_fallback":      ignored(alwaysOn),

	"net.ipv4.tcp_fastopen": {apply: func(s *Settings, v value) { s.FastOpen = v.num() }},
	"net.ipv4.tcp_fastopen_key": {text: true, apply: func(s *Settings, v value) {
		s.FastOpenKeys, _ = parseFastOpenKey(v.text)
	}, reject: func(v value) bool {
		_, ok := parseFastOpenKey(v.text)
		return !ok
	}, feature: "a key of Fast Open that is not four words"},
	"net.ipv4.tcp_fastopen_blackhole_timeout_sec": span(time.Second, func(s *Settings) *time.Duration { return &s.FastOpenPause }),

	"net.ipv4.tcp_retries1":                     ignored("there is one route"),
	"net.ipv4.tcp_adv_win_scale":                ignored("lenient matching does not compare windows"),
	"net.ipv4.tcp_app_win":                      ignored("lenient matching does not compare windows"),
	"net.ipv4.tcp_max_reordering":               ignored("reordering is bounded by time, not by a count"),
	"net.ipv4.tcp_limit_output_bytes":           ignored("there is no queue below the stack"),
	"net.ipv4.tcp_min_tso_segs":                 ignored("segments are compared after they have been cut"),
	"net.ipv4.tcp_tso_win_divisor":              ignored("segments are compared after they have been cut"),
	"net.ipv4.tcp_tso_rtt_log":                  ignored("segments are compared after they have been cut"),
	"net.ipv4.tcp_pacing_ss_ratio":              ignored("only BBR paces here"),
	"net.ipv4.tcp_pacing_ca_ratio":              ignored("only BBR paces here"),
	"net.ipv4.tcp_no_metrics_save":              ignored("no metrics are kept between connections"),
	"net.ipv4.tcp_no_ssthresh_metrics_save":     ignored("no metrics are kept between connections"),
	"net.ipv4.tcp_autocorking":                  ignored("there is no queue below the stack"),
	"net.ipv4.tcp_backlog_ack_defer":            ignored(unseen),
	"net.ipv4.tcp_comp_sack_delay_ns":           ignored("ACKs with SACK blocks are never held back"),
	"net.ipv4.tcp_comp_sack_slack_ns":           ignored("ACKs with SACK blocks are never held back"),
	"net.ipv4.tcp_comp_sack_nr":                 ignored("ACKs with SACK blocks are never held back"),
	"net.ipv4.tcp_comp_sack_rtt_percent":        ignored("ACKs with SACK blocks are never held back"),
	"net.ipv4.tcp_syncookies":                   {apply: func(s *Settings, v value) { s.Cookies = v.num() == 2 }},
	"net.ipv4.tcp_max_syn_backlog":              ignored("the SYN queue is never full in a script"),
	"net.ipv4.tcp_max_tw_buckets":               ignored(unseen),
	"net.ipv4.tcp_max_orphans":                  ignored(unseen),
	"net.ipv4.tcp_mem":                          ignored(unseen),
	"net.ipv4.tcp_min_rtt_wlen":                 ignored(unseen),
	"net.ipv4.tcp_challenge_ack_limit":          ignored("the limit is for each connection here"),
	"net.ipv4.tcp_rfc1337":                      ignored(alwaysOn),
	"net.ipv4.tcp_retrans_collapse":             ignored("segments are compared after they have been cut"),
	"net.ipv4.tcp_workaround_signed_windows":    ignored(unseen),
	"net.ipv4.tcp_tw_reuse":                     ignored("a new SYN may reuse TIME-WAIT as RFC 6191 has it"),
	"net.ipv4.tcp_tw_reuse_delay":               ignored("a new SYN may reuse TIME-WAIT as RFC 6191 has it"),
	"net.ipv4.tcp_tw_recycle":                   ignored("gone from Linux"),
	"net.ipv4.tcp_fack":                         ignored("gone from Linux"),
	"net.ipv4.tcp_low_latency":                  ignored("gone from Linux"),
	"net.ipv4.tcp_abc":                          ignored("gone from Linux"),
	"net.ipv4.tcp_cookie_size":                  ignored("gone from Linux"),
	"net.ipv4.tcp_default_init_rwnd":            ignored("gone from Linux"),
	"net.ipv4.tcp_max_ssthresh":                 ignored("gone from Linux"),
	"net.ipv4.tcp_dma_copybreak":                ignored("gone from Linux"),
	"net.ipv4.tcp_base_mss":                     ignored("used by path MTU probing alone"),
	"net.ipv4.tcp_mtu_probe_floor":              ignored("used by path MTU probing alone"),
	"net.ipv4.tcp_probe_interval":               ignored("used by path MTU probing alone"),
	"net.ipv4.tcp_probe_threshold":              ignored("used by path MTU probing alone"),
	"net.ipv4.tcp_available_congestion_control": ignored(noFile),
	"net.ipv4.tcp_allowed_congestion_control":   ignored(noFile),
	"net.ipv4.tcp_child_ehash_entries":          ignored(unseen),
	"net.ipv4.tcp_ehash_entries":                ignored(unseen),
	"net.ipv4.tcp_reflect_tos":                  without("the type of service of a SYN reflected", 0),
	"net.ipv4.tcp_pingpong_thresh":              ignored("lenient matching takes an ACK early or late"),
	"net.ipv4.tcp_rcvbuf_low_rtt":               ignored(unseen),
	"net.ipv4.tcp_collapse_max_bytes":           ignored(unseen),
	"net.ipv4.tcp_plb_enabled":                  without("protective load balancing", 0),
	"net.ipv4.ip_local_port_range":              ignored("ports are mapped"),
	"net.ipv4.ip_local_reserved_ports":          ignored("ports are mapped"),
	"net.ipv4.ip_forward":                       ignored(noFile),
	"net.ipv4.ip_nonlocal_bind":                 ignored(noFile),
	"net.ipv4.ip_early_demux":                   ignored(noFile),
	"net.ipv4.ip_forward_use_pmtu":              ignored(noFile),
	"net.ipv4.icmp_echo_ignore_all":             ignored(noFile),
	"net.ipv4.icmp_ratelimit":                   ignored(noFile),
	"net.ipv4.icmp_ratemask":                    ignored(noFile),
	"net.ipv4.icmp_msgs_per_sec":                ignored(noFile),
	"net.ipv4.fib_sync_mem":                     ignored(noFile),

	// FreeBSD, net.inet.tcp.
	"net.inet.tcp.rfc1323": {apply: func(s *Settings, v value) {
		n := v.num()
		s.WindowScale, s.Timestamps = n == 1 || n == 2, n == 1 || n == 3
	}},
	"net.inet.tcp.sack.enable":       flag(func(s *Settings) *bool { return &s.SACK }),
	"net.inet.tcp.rfc3042":           flag(func(s *Settings) *bool { return &s.LimitedTransmit }),
	"net.inet.tcp.do_prr":            flag(func(s *Settings) *bool { return &s.PRR }),
	"net.inet.tcp.initcwnd_segments": number(func(s *Settings) *int { return &s.InitialWindow }),
	"net.inet.tcp.delayed_ack": {apply: func(s *Settings, v value) {
		s.AckEvery = !v.on()
	}},
	"net.inet.tcp.delacktime":       span(time.Millisecond, func(s *Settings) *time.Duration { return &s.DelayedAck }),
	"net.inet.tcp.ecn.enable":       ecn(),
	"net.inet.tcp.cc.algorithm":     congestion,
	"net.inet.tcp.keepidle":         span(time.Millisecond, func(s *Settings) *time.Duration { return &s.KeepaliveIdle }),
	"net.inet.tcp.keepintvl":        span(time.Millisecond, func(s *Settings) *time.Duration { return &s.KeepaliveEvery }),
	"net.inet.tcp.keepcnt":          number(func(s *Settings) *int { return &s.KeepaliveCount }),
	"net.inet.tcp.keepinit":         span(time.Millisecond, func(s *Settings) *time.Duration { return &s.KeepaliveInit }),
	"net.inet.tcp.always_keepalive": flag(func(s *Settings) *bool { return &s.KeepaliveAlways }),
	"net.inet.tcp.persmin":          span(time.Millisecond, func(s *Settings) *time.Duration { return &s.PersistMin }),
	"net.inet.tcp.persmax":          span(time.Millisecond, func(s *Settings) *time.Duration { return &s.PersistMax }),
	"net.inet.tcp.rexmit_initial":   span(time.Millisecond, func(s *Settings) *time.Duration { return &s.RTOInitial }),
	"net.inet.tcp.rexmit_min": {apply: func(s *Settings, v value) {
		s.RTOMin = v.duration(time.Millisecond) + s.slop()
	}},
	"net.inet.tcp.rexmit_slop": {apply: func(s *Settings, v value) {
		least := 30 * time.Millisecond
		if m, ok := s.Keys["net.inet.tcp.rexmit_min"]; ok {
			mv := value{text: m}
			mv.parse()
			least = mv.duration(time.Millisecond)
		}
		s.RTOMin = least + v.duration(time.Millisecond)
	}},
	"net.inet.tcp.retries": number(func(s *Settings) *int { return &s.Retries }),
	"net.inet.tcp.msl": {apply: func(s *Settings, v value) {
		s.TimeWait = 2 * v.duration(time.Millisecond)
	}},
	"net.inet.tcp.finwait2_timeout":    span(time.Millisecond, func(s *Settings) *time.Duration { return &s.FinWait2 }),
	"net.inet.tcp.syncache.rexmtlimit": number(func(s *Settings) *int { return &s.SynAckRetries }),
	"net.inet.tcp.sendspace": {apply: func(s *Settings, v value) {
		s.SendBuffer.Min, s.SendBuffer.Default = v.size(), v.size()
	}},
	"net.inet.tcp.recvspace": {apply: func(s *Settings, v value) {
		s.ReceiveBuffer.Min, s.ReceiveBuffer.Default = v.size(), v.size()
	}},
	"net.inet.tcp.sendbuf_max": bytes(func(s *Settings) *int64 { return &s.SendBuffer.Max }),
	"net.inet.tcp.recvbuf_max": bytes(func(s *Settings) *int64 { return &s.ReceiveBuffer.Max }),
	"net.inet.tcp.recvbuf_auto": flag(func(s *Settings) *bool {
		return &s.AutotuneReceive
	}),
	"net.inet.tcp.minmss": bytes(func(s *Settings) *int64 { return &s.MinMSS }),
	"net.inet.tcp.path_mtu_discovery": flag(func(s *Settings) *bool {
		return &s.PMTUD
	}),
	"net.inet.tcp.functions_default": {text: true, apply: func(s *Settings, v value) {
		s.RACK = v.text == "rack"
		s.TLP = s.RACK
		if v.text == "bbr" {
			s.Congestion = "bbr"
		}
	}, reject: func(v value) bool {
		return v.text != "freebsd" && v.text != "rack" && v.text != "bbr"
	}, feature: "another TCP of FreeBSD's"},
	"net.inet.ip.ttl": number(func(s *Settings) *int { return &s.TTL }),
	"kern.ipc.maxsockbuf": {apply: func(s *Settings, v value) {
		s.SendMax, s.ReceiveMax = v.size(), v.size()
		s.WindowShift = 0
		for s.WindowShift < 14 && int64(65535)<<s.WindowShift < v.size() {
			s.WindowShift++
		}
	}},
	"kern.ipc.soacceptqueue": number(func(s *Settings) *int { return &s.Somaxconn }),
	"kern.ipc.somaxconn":     number(func(s *Settings) *int { return &s.Somaxconn }),

	"net.inet.tcp.rfc6675_pipe":                          ignored(alwaysOn),
	"net.inet.tcp.rfc3390":                               ignored("initcwnd_segments has replaced it"),
	"net.inet.tcp.rfc3465":                               ignored("appropriate byte counting is always on here"),
	"net.inet.tcp.abc_l_var":                             ignored("appropriate byte counting is bounded by 8 segments here"),
	"net.inet.tcp.do_prr_conservative":                   ignored("RFC 9937 chooses the bound by itself"),
	"net.inet.tcp.sack.revised":                          ignored(alwaysOn),
	"net.inet.tcp.sack.lrd":                              ignored("RACK finds lost retransmissions"),
	"net.inet.tcp.sack.tso":                              ignored("segments are compared after they have been cut"),
	"net.inet.tcp.newcwv":                                without("RFC 7661", 0),
	"net.inet.tcp.cc.abe":                                without("alternative backoff with ECN (RFC 8511)", 0),
	"net.inet.tcp.blackhole":                             number(func(s *Settings) *int { return &s.Blackhole }),
	"net.inet.tcp.blackhole_local":                       without("silence where a reset is due", 0),
	"net.inet.tcp.insecure_rst":                          without("resets without RFC 5961", 0),
	"net.inet.tcp.insecure_syn":                          without("SYNs without RFC 5961", 0),
	"net.inet.tcp.insecure_ack":                          without("ACKs without RFC 5961", 0),
	"net.inet.tcp.drop_synfin":                           flag(func(s *Settings) *bool { return &s.DropSynFin }),
	"net.inet.tcp.icmp_may_rst":                          ignored("an ICMP error fails a dial, as with 1"),
	"net.inet.tcp.syncookies_only":                       without("SYN cookies alone", 0),
	"net.inet.tcp.syncache.rst_on_sock_fail":             ignored(unseen),
	"net.inet.tcp.syncache.see_other":                    ignored(noFile),
	"net.inet.tcp.pmtud_blackhole_detection":             without("black hole detection", 0),
	"net.inet.tcp.pmtud_blackhole_mss":                   ignored("used by black hole detection alone"),
	"net.inet.tcp.v6pmtud_blackhole_mss":                 ignored("used by black hole detection alone"),
	"net.inet.tcp.mssdflt":                               ignored("used for peers that announce no MSS: RFC 9293 has 536 and 1220"),
	"net.inet.tcp.v6mssdflt":                             ignored("used for peers that announce no MSS: RFC 9293 has 536 and 1220"),
	"net.inet.tcp.tolerate_missing_ts":                   ignored("segments without the timestamps agreed on are dropped (RFC 7323, section 3.2)"),
	"net.inet.tcp.ts_offset_per_conn":                    ignored("timestamps are mapped"),
	"net.inet.tcp.isn_reseed_interval":                   ignored("sequence numbers are mapped"),
	"net.inet.tcp.functions_inherit_listen_socket_stack": ignored("there is one stack"),
	"net.inet.tcp.udp_tunneling_port":                    without("TCP over UDP", 0),
	"net.inet.tcp.udp_tunneling_overhead":                ignored("used by TCP over UDP alone"),
	"net.inet.tcp.rexmit_drop_options":                   ignored("options are kept"),
	"net.inet.tcp.maxpersistidle":                        ignored("the user timeout bounds a closed window"),
	"net.inet.tcp.fast_finwait2_recycle":                 ignored(unseen),
	"net.inet.tcp.nolocaltimewait":                       ignored("no peer is local"),
	"net.inet.tcp.msl_local":                             ignored("no peer is local"),
	"net.inet.tcp.maxtcptw":                              ignored(unseen),
	"net.inet.tcp.require_unique_port":                   ignored("ports are mapped"),
	"net.inet.tcp.tso":                                   ignored("segments are compared after they have been cut"),
	"net.inet.tcp.log_in_vain":                           ignored(noFile),
	"net.inet.tcp.log_debug":                             ignored(noFile),
	"net.inet.tcp.syncookies":                            ignored("the SYN queue is never full in a script"),
	"net.inet.tcp.sendbuf_auto":                          ignored("the send buffer is as large as it may grow"),
	"net.inet.tcp.sendbuf_auto_lowat":                    ignored("the send buffer is as large as it may grow"),
	"net.inet.tcp.sendbuf_inc":                           ignored("the send buffer is as large as it may grow"),
	"net.inet.tcp.recvbuf_inc":                           ignored(unseen),
	"net.inet.tcp.ecn.maxretries":                        ignored("ECN is given up as RFC 3168 has it"),
	"net.inet.tcp.ecn.generalized":                       without("generalised ECN", 0),
	"net.inet.tcp.fastopen.server_enable":                ignored("Fast Open is skipped where it is used"),
	"net.inet.tcp.fastopen.client_enable":                ignored("Fast Open is skipped where it is used"),
	"net.inet.tcp.do_tcpdrain":                           ignored(unseen),
	"net.inet.tcp.read_locking":                          ignored(unseen),
	"net.inet.tcp.per_cpu_timers":                        ignored(unseen),
	"net.inet.tcp.ack_war_timewindow": span(time.Millisecond, func(s *Settings) *time.Duration {
		return &s.ChallengeInterval
	}),
	"net.inet.tcp.ack_war_cnt": ignored("one challenge ACK an interval"),
}

// families are prefixes of keys that have no effect, or need a feature.
var families = []struct {
	prefix string
	key    key
}{
	{"net.mptcp.", without("Multipath TCP")},
	{"net.sctp.", without("SCTP")},
	{"net.inet.sctp.", without("SCTP")},
	{"net.inet.tcp.fastopen.", ignored("Fast Open is skipped where it is used")},
	{"net.ipv4.tcp_plb_", ignored("protective load balancing is off")},
	{"net.ipv4.conf.", ignored(noFile)},
	{"net.ipv4.neigh.", ignored(noFile)},
	{"net.ipv4.route.", ignored(noFile)},
	{"net.ipv4.icmp_", ignored(noFile)},
	{"net.ipv4.igmp_", ignored(noFile)},
	{"net.ipv4.udp_", ignored("there is no UDP here")},
	{"net.ipv4.inet_peer_", ignored(noFile)},
	{"net.ipv4.ipfrag_", ignored(noFile)},
	{"net.ipv4.fib_", ignored(noFile)},
	{"net.ipv4.vs.", ignored(noFile)},
	{"net.ipv6.", ignored(noFile)},
	{"net.core.", ignored(noFile)},
	{"net.netfilter.", ignored(noFile)},
	{"net.inet.tcp.hostcache.", ignored("no metrics are kept between connections")},
	{"net.inet.tcp.syncache.", ignored(unseen)},
	{"net.inet.tcp.reass.", ignored(unseen)},
	{"net.inet.tcp.lro.", ignored("segments are delivered one by one")},
	{"net.inet.tcp.hpts.", ignored(unseen)},
	{"net.inet.tcp.bb.", ignored(noFile)},
	{"net.inet.tcp.rack.", ignored("the parameters of RACK are those of RFC 8985")},
	{"net.inet.tcp.bbr.", ignored("the parameters of BBR are its draft's")},
	{"net.inet.tcp.cc.", ignored("the parameters of controllers are their RFCs'")},
	{"net.inet.tcp.timers.", ignored(unseen)},
	{"net.inet.icmp.", ignored(noFile)},
	{"net.inet.ip.", ignored(noFile)},
	{"net.inet.udp.", ignored("there is no UDP here")},
	{"net.inet6.", ignored(noFile)},
	{"net.isr.", ignored(noFile)},
	{"net.link.", ignored(noFile)},
	{"net.route.", ignored(noFile)},
	{"kern.", ignored(noFile)},
	{"kernel.", ignored(noFile)},
	{"vm.", ignored(noFile)},
	{"fs.", ignored(noFile)},
	{"debug.", ignored(noFile)},
	{"security.", ignored(noFile)},
	{"hw.", ignored(noFile)},
	{"user.", ignored(noFile)},
}

// lookup returns what is known of a key. net.ipv6.tcp_x is nothing, but keys may
// be written with slashes.
func lookup(name string) (key, bool) {
	if k, ok := keys[name]; ok {
		return k, true
	}
	for _, f := range families {
		if strings.HasPrefix(name, f.prefix) {
			return f.key, true
		}
	}
	return key{}, false
}

// slop is what FreeBSD adds to its least RTO.
func (s *Settings) slop() time.Duration {
	v := value{text: s.Keys["net.inet.tcp.rexmit_slop"]}
	if !v.parse() {
		return 200 * time.Millisecond
	}
	return v.duration(time.Millisecond)
}
