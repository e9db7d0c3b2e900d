package targets

import (
	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/conformance"
	"github.com/sluicenet/sluice/impl/kernel"
)

// Kernel is the host kernel's TCP, in real time. Each stack has a network namespace
// of its own, which it makes and removes, with a TUN device that leads to the
// suite's link. That takes root and /dev/net/tun; without them the stacks are the
// host's own, over the loopback interface, and the cases that need a link are not
// applicable.
type Kernel struct{}

var _ conformance.Target = Kernel{}

// Name implements conformance.Target.
func (Kernel) Name() string { return "kernel" }

// Capabilities implements conformance.Target.
func (Kernel) Capabilities() conformance.Capability {
	can := conformance.All &^ (conformance.VirtualTime | conformance.CustomKeepalive | conformance.InitialSequence |
		conformance.Bounds | conformance.FastOpen) // impl/kernel dials without data
	if wireless() != nil {
		can &^= conformance.Wire
	}
	return can
}

// Version implements conformance.Versioned: the release of the kernel.
func (Kernel) Version() string { return version() }

// Lacks implements conformance.Explainer.
func (Kernel) Lacks(missing conformance.Capability) string {
	if err := wireless(); err != nil && missing&conformance.Wire != 0 {
		return err.Error()
	}
	return ""
}

// New implements conformance.Target.
func (Kernel) New(env *conformance.Env) (api.Stack, error) {
	if env.Link != nil {
		return newKernelOnWire(env)
	}
	return kernel.New(kernel.Config{Addresses: env.Addresses, Flow: env.Flow})
}

// Deviations implements conformance.Target.
func (Kernel) Deviations() []conformance.Deviation {
	return []conformance.Deviation{
		{
			Case:    "contract/K-custom",
			Reason:  "a Keepalive of the user's own is refused with ErrInvalidConfig",
			Source:  "RFC 9293 section 3.8.4 leaves the policy to the implementation; Linux has TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT alone",
			Failure: "the kernel takes no Keepalive but a KeepaliveConfig",
		},
		{
			Case:    "contract/urgent",
			Reason:  "Info.UrgentPending is 1 while urgent data is ahead, wherever it ends",
			Source:  "RFC 6093 section 3.2; Linux tells by SIOCATMARK only whether the mark has been reached",
			Failure: "1 urgent bytes pending, want 14",
		},
		{
			Case:    "contract/mss-small",
			Reason:  "an MSS below 88 is refused with ErrInvalidConfig",
			Source:  "TCP_MAXSEG takes 88 to 32767 (TCP_MIN_MSS of Linux)",
			Failure: "invalid configuration: MSS 64",
		},
		{
			Case:    "contract/Flows",
			Reason:  "connections in TIME-WAIT are not listed",
			Source:  "RFC 9293 section 3.6.1: TIME-WAIT belongs to the kernel, which keeps it without a socket",
			Failure: "0 records in TIME-WAIT listed",
		},
		{
			Case:    "mirage/simultaneous-open",
			Reason:  "it scales its windows after crossing SYNs of which one did not offer that",
			Source:  "tcp_rcv_synsent_state_process of Linux; RFC 7323 section 2.2 differs",
			Failure: "right edge",
		},
		{
			Case:    "rfc9293/MUST-10",
			Reason:  "it scales its windows after crossing SYNs of which one did not offer that",
			Source:  "tcp_rcv_synsent_state_process of Linux; RFC 7323 section 2.2 differs",
			Failure: "right edge",
		},
		{
			Case:    "rfc9293/MUST-11",
			Reason:  "a dial that is reset in SYN-RECEIVED counts as established and reset",
			Source:  "connect(2) and SO_ERROR do not tell the two apart",
			Failure: "dial succeeded",
		},
		{
			Case:    "rfc9293/MUST-13",
			Reason:  "a socket in TIME-WAIT shows as CLOSED",
			Source:  "Linux keeps TIME-WAIT without a socket",
			Failure: "the state is CLOSED",
		},
		{
			Case:    "rfc1337/time-wait-rst",
			Reason:  "a socket in TIME-WAIT shows as CLOSED",
			Source:  "Linux keeps TIME-WAIT without a socket",
			Failure: "the state is CLOSED",
		},
		{
			Case:    "rfc9293/3.10.7.4-time-wait-restart",
			Reason:  "a socket in TIME-WAIT shows as CLOSED",
			Source:  "Linux keeps TIME-WAIT without a socket",
			Failure: "the state is CLOSED",
		},
		{
			Case:    "rfc9293/first-byte-wins",
			Reason:  "of out-of-order bytes that differ the newest is kept",
			Source:  "RFC 9293 section 3.10.7.4 allows either",
			Failure: "of the stream is wrong",
		},
		{
			Case:    "rfc9293/urgent-zero-window",
			Reason:  "urgent data is not announced into a closed window at once",
			Source:  "tcp_check_urg_mode of Linux; RFC 9293 section 3.8.5 differs",
			Failure: "announce",
		},
		{
			Case:    "rfc9293/MUST-31",
			Reason:  "that the end of urgent data moves is not announced while earlier urgent data is unread",
			Source:  "poll(2): POLLPRI is a state; RFC 6093 section 3",
			Failure: "urgent data of 5000 bytes was not announced",
		},
		{
			Case:    "rfc6298/2-initial",
			Reason:  "the first SYNs are a second apart",
			Source:  "net.ipv4.tcp_syn_linear_timeouts; RFC 6298 section 5.5 differs",
			Failure: "times the one before",
		},
		{
			Case:    "rfc7323/3.2-missing",
			Reason:  "data without its timestamps is taken",
			Source:  "tcp_validate_incoming of Linux; a SHOULD of RFC 7323 section 3.2",
			Failure: "without timestamps was taken",
		},
		{
			Case:    "rfc9293/MUST-56",
			Reason:  "soft errors are not reported",
			Source:  "impl/kernel does not ask for IP_RECVERR",
			Failure: "soft error <nil>",
		},
		{
			Case:    "rfc2018/4-first-random",
			Reason:  "with more than four runs beyond the ACK it forgets runs, and then tells only the part of one that it remembers",
			Source:  "tcp_sack_new_ofo_skb of Linux keeps TCP_NUM_SACKS (4) blocks; RFC 2018 section 4 differs",
			Failure: "is not all of its run",
		},
		{
			Case:    "rfc9293/MAY-1",
			Reason:  "a read after Orphan fails with ErrClosed rather than io.EOF",
			Source:  "api.Orphaner: later calls fail as after a local close; the socket has been closed by close(2)",
			Failure: "flow is closed",
		},
		{
			Case:    "rfc9293/MUST-30",
			Reason:  "Info.UrgentPending is 1 while urgent data is ahead, wherever it ends",
			Source:  "RFC 6093 section 3.2; Linux tells by SIOCATMARK only whether the mark has been reached",
			Failure: "1 urgent bytes pending",
		},
		{
			Case:    "rfc9293/MUST-33",
			Reason:  "urgent data that has not arrived is not counted",
			Source:  "tcp_poll of Linux: POLLPRI says that the urgent byte itself has come; RFC 6093 section 3.2",
			Failure: "0 urgent bytes pending",
		},
		{
			Case:    "rfc9293/MUST-32",
			Reason:  "urgent data is announced when its last byte has come, not when a segment points to it",
			Source:  "tcp_poll of Linux: POLLPRI while TCP_URG_VALID is set; RFC 9293 section 3.8.5 differs",
			Failure: "told 0 times of 1 announcements",
		},
		{
			Case:    "rfc9293/MUST-47",
			Reason:  "soft errors are not reported",
			Source:  "impl/kernel does not ask for IP_RECVERR",
			Failure: "Info has <nil>",
		},
		{
			Case:    "rfc9293/MUST-54",
			Reason:  "soft errors are not reported",
			Source:  "impl/kernel does not ask for IP_RECVERR",
			Failure: "has soft error <nil>",
		},
		{
			Case:    "rfc9293/SHLD-20",
			Reason:  "soft errors are not reported",
			Source:  "impl/kernel does not ask for IP_RECVERR",
			Failure: "never told",
		},
		{
			Case:    "rfc9293/SHLD-25",
			Reason:  "soft errors are not reported",
			Source:  "impl/kernel does not ask for IP_RECVERR",
			Failure: "is not made known",
		},
		{
			Case:    "icmp/wrong-connection",
			Reason:  "soft errors are not reported",
			Source:  "impl/kernel does not ask for IP_RECVERR",
			Failure: "soft errors <nil>",
		},
		{
			Case:    "rfc9293/MUST-46",
			Reason:  "a dial of 255.255.255.255 is unreachable rather than invalid",
			Source:  "connect(2): ENETUNREACH",
			Failure: "unreachable",
		},
		{
			Case:    "rfc5961/3-rst-outside",
			Reason:  "after a FIN a RST with the number before RCV.NXT is taken",
			Source:  "tcp_reset_check of Linux, for peers that send a FIN and then such a RST; RFC 5961 section 3.2 differs",
			Failure: "changed the state from CLOSE-WAIT to CLOSED",
		},
		{
			Case:    "rfc5681/dupack-spoofing",
			Reason:  "without SACK each duplicate ACK lets a segment out, however many there are",
			Source:  "RFC 5681 section 3.2, step 4; that a sender limits this to what was outstanding is a MAY there",
			Failure: "duplicate ACKs for",
		},
		{
			Case:    "rfc9293/MUST-63",
			Reason:  "a SYN from the network's broadcast address is answered",
			Source:  "a TUN device has no broadcast address: it is point to point",
			Failure: "unexpected answer",
			Family:  conformance.IPv4,
		},
		{
			Case:    "rfc9293/MUST-39",
			Reason:  "after everything has been read a small buffer's window is not announced whole",
			Source:  "Linux counts what segments take in memory, SO_RCVBUF in socket(7), and opens the window as data comes (tcp_rcv_space_adjust)",
			Failure: "after everything has been read",
		},
		{
			Case:    "rfc9293/SHLD-14",
			Reason:  "a receiver that is out of memory takes its window back",
			Source:  "tcp_select_window of Linux announces 0 when a segment could not be kept; RFC 9293 section 3.8.6 (SHLD-14), a SHOULD",
			Failure: "right edge of the window went back",
		},
		{
			Case:    "rfc9293/whole-window-out-of-order",
			Reason:  "not all of a window fits out of order",
			Source:  "Linux counts what segments take in memory, SO_RCVBUF in socket(7); RFC 9293 section 3.10.7.4 (SHLD-31), a SHOULD",
			Failure: "no ACK of 3",
		},
		{
			Case:    "rfc9293/SHLD-27",
			Reason:  "a hundred small writes fill the smallest send buffer",
			Source:  "Linux counts what buffers take in memory, SO_SNDBUF in socket(7)",
			Failure: "write of 100 bytes",
		},
		{
			Case:    "robust/counted",
			Reason:  "what was dropped is not counted by reason",
			Source:  "no socket option of Linux tells",
			Failure: "more dropped as",
		},
	}
}
