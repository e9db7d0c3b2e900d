package kernel

// A Deviation is one way in which the kernel's sockets cannot keep the contract,
// or what surrounds it, to the letter.
type Deviation struct {
	ID     string // stable, unique: the contract's id, and a word
	Title  string
	Reason string // the clause of an RFC, or the behaviour of the kernel
}

// Deviations lists them all. For each there is a test that it still occurs.
func Deviations() []Deviation {
	return []Deviation{
		{"N1/polling", "WriteNoDelay notices the acknowledgement up to 5 ms late",
			"Linux has no event for an empty send queue: SIOCOUTQ, which counts the bytes not acknowledged, has to be polled."},
		{"K1/custom", "a Keepalive of the caller's own is refused with ErrInvalidConfig",
			"Linux sends keepalive probes by TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT alone (RFC 1122, section 4.2.3.6, leaves the policy to the implementation)."},
		{"K1/granularity", "keepalive times are rounded up to whole seconds and end at 32767 s, probes at 127",
			"TCP_KEEPIDLE and TCP_KEEPINTVL count seconds (MAX_TCP_KEEPIDLE, MAX_TCP_KEEPCNT)."},
		{"K2/user-timeout", "of a flow with a user timeout too, an idle peer is given up when that has passed, with fewer probes than asked for",
			"TCP_USER_TIMEOUT takes precedence over TCP_KEEPCNT; see tcp(7)."},
		{"K3/cause", "that a flow was ended by its keepalive is inferred",
			"The kernel reports ETIMEDOUT for an unanswered keepalive as for unacknowledged data. A flow with a keepalive that ends so with an empty send queue is taken to be the former."},
		{"L3/backlog", "connections beyond the backlog are established, not half-open, while they wait",
			"Linux completes handshakes before accept, for up to the backlog given to listen(2) of connections."},
		{"X1/time-wait", "connections in TIME-WAIT outlive Disconnect and are not listed",
			"TIME-WAIT belongs to the kernel (RFC 9293, section 3.6.1), which keeps it without a socket."},
		{"buffers/autotuned", "unless set, SendBuffer and ReceiveBuffer grow as the kernel thinks fit; set, they are bounded by it",
			"tcp_wmem and tcp_rmem autotuning; SO_SNDBUF has a minimum (SOCK_MIN_SNDBUF) and, without CAP_NET_ADMIN, a maximum (net.core.wmem_max)."},
		{"congestion/options", "a congestion controller takes no options, and must be one of the kernel's",
			"TCP_CONGESTION takes a name."},
		{"mss/floor", "an MSS below 88 is refused with ErrInvalidConfig",
			"TCP_MAXSEG accepts 88 to 32767 (TCP_MIN_MSS)."},
		{"urgent/end", "Info.UrgentPending is 1 while urgent data is ahead, wherever it ends",
			"SIOCATMARK says only whether the reader has reached the mark."},
	}
}
