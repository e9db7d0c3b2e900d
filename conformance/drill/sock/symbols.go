package sock

import "sort"

// Symbols has the numbers of the constants that scripts name.
var Symbols = withErrnos(map[string]int64{
	"NULL": 0, "IP_HDRINCL": IPHdrIncl,
	"AF_UNSPEC": 0, "AF_INET": AFInet, "AF_INET6": AFInet6, "PF_INET": AFInet, "PF_INET6": AFInet6,
	"SOCK_STREAM": SockStream, "SOCK_DGRAM": SockDgram, "SOCK_RAW": SockRaw,
	"SOCK_NONBLOCK": SockNonblock, "SOCK_CLOEXEC": SockCloexec, "SOCK_SEQPACKET": 5,
	"SHUT_RD": ShutRD, "SHUT_WR": ShutWR, "SHUT_RDWR": ShutRDWR,
	"F_GETFL": FGetFL, "F_SETFL": FSetFL, "F_GETFD": FGetFD, "F_SETFD": FSetFD, "FD_CLOEXEC": 1,
	"O_NONBLOCK": ONonblock, "O_RDWR": ORdWr, "O_RDONLY": 0, "O_WRONLY": 1, "O_CLOEXEC": SockCloexec,
	"MSG_OOB": MsgOOB, "MSG_PEEK": MsgPeek, "MSG_DONTROUTE": MsgDontRoute, "MSG_CTRUNC": MsgCtrunc,
	"MSG_TRUNC": MsgTrunc, "MSG_DONTWAIT": MsgDontWait, "MSG_EOR": MsgEOR, "MSG_WAITALL": MsgWaitAll,
	"MSG_CONFIRM": MsgConfirm, "MSG_ERRQUEUE": MsgErrQueue, "MSG_NOSIGNAL": MsgNoSignal, "MSG_MORE": MsgMore,
	"MSG_ZEROCOPY": MsgZeroCopy, "MSG_FASTOPEN": MsgFastOpen, "MSG_CMSG_CLOEXEC": MsgCmsgCloexec,
	"SOL_SOCKET": SolSocket, "SOL_IP": IPProtoIP, "SOL_TCP": IPProtoTCP, "SOL_UDP": IPProtoUDP, "SOL_IPV6": IPProtoV6,
	"IPPROTO_IP": IPProtoIP, "IPPROTO_TCP": IPProtoTCP, "IPPROTO_UDP": IPProtoUDP, "IPPROTO_IPV6": IPProtoV6,
	"IPPROTO_ICMP": 1, "IPPROTO_ICMPV6": 58, "IPPROTO_SCTP": 132, "IPPROTO_UDPLITE": 136, "IPPROTO_MPTCP": 262,

	"SO_DEBUG": SoDebug, "SO_REUSEADDR": SoReuseAddr, "SO_TYPE": SoType, "SO_ERROR": SoError,
	"SO_DONTROUTE": SoDontRoute, "SO_BROADCAST": SoBroadcast, "SO_SNDBUF": SoSndBuf, "SO_RCVBUF": SoRcvBuf,
	"SO_KEEPALIVE": SoKeepalive, "SO_OOBINLINE": SoOOBInline, "SO_NO_CHECK": SoNoCheck, "SO_PRIORITY": SoPriority,
	"SO_LINGER": SoLinger, "SO_BSDCOMPAT": SoBSDCompat, "SO_REUSEPORT": SoReusePort,
	"SO_RCVLOWAT": SoRcvLowat, "SO_SNDLOWAT": SoSndLowat, "SO_RCVTIMEO": SoRcvTimeo, "SO_SNDTIMEO": SoSndTimeo,
	"SO_BINDTODEVICE": SoBindToDevice, "SO_TIMESTAMP": SoTimestamp, "SO_ACCEPTCONN": SoAcceptConn,
	"SO_SNDBUFFORCE": SoSndBufForce, "SO_RCVBUFFORCE": SoRcvBufForce, "SO_TIMESTAMPNS": SoTimestampNS,
	"SO_MARK": SoMark, "SO_TIMESTAMPING": SoTimestamping, "SO_PROTOCOL": SoProtocol, "SO_DOMAIN": SoDomain,
	"SO_PEEK_OFF": SoPeekOff, "SO_MAX_PACING_RATE": SoMaxPacingRate, "SO_MEMINFO": SoMemInfo,
	"SO_BUSY_POLL": SoBusyPoll, "SO_INCOMING_CPU": SoIncomingCPU, "SO_INCOMING_NAPI_ID": SoIncomingNAPI,
	"SO_COOKIE": SoCookie, "SO_ZEROCOPY": SoZeroCopy, "SO_TXTIME": SoTxTime, "SO_TXREHASH": SoTxRehash,
	"SO_NOSIGPIPE": SoNoSigPipe, "SO_REUSEPORT_LB": SoReusePortLB, "SO_USER_COOKIE": SoUserCookie, "SO_TS_CLOCK": SoTsClock,
	"SCM_TIMESTAMP": SoTimestamp, "SCM_TIMESTAMPNS": SoTimestampNS, "SCM_TIMESTAMPING": SoTimestamping,
	"SCM_TIMESTAMPING_OPT_STATS": 54,

	"IP_TOS": IPTOS, "IP_TTL": IPTTL, "IP_OPTIONS": IPOptions, "IP_RECVTTL": IPRecvTTL, "IP_RECVTOS": IPRecvTOS,
	"IP_RECVERR": IPRecvErr, "IP_MTU_DISCOVER": IPMTUDiscover, "IP_MTU": IPMTU, "IP_FREEBIND": IPFreebind,
	"IP_TRANSPARENT": IPTransparent, "IP_MINTTL": IPMinTTL, "IP_BIND_ADDRESS_NO_PORT": IPBindAddressNoPort,
	"IP_PMTUDISC_DONT": 0, "IP_PMTUDISC_WANT": 1, "IP_PMTUDISC_DO": 2, "IP_PMTUDISC_PROBE": 3,
	"IP_PMTUDISC_INTERFACE": 4, "IP_PMTUDISC_OMIT": 5, "IP_DONTFRAG": IPMTUDiscover,
	"IPV6_PMTUDISC_DONT": 0, "IPV6_PMTUDISC_WANT": 1, "IPV6_PMTUDISC_DO": 2, "IPV6_PMTUDISC_PROBE": 3,
	"IPV6_UNICAST_HOPS": IPv6UnicastHops, "IPV6_MTU_DISCOVER": IPv6MTUDiscover, "IPV6_MTU": IPv6MTU,
	"IPV6_RECVERR": IPv6RecvErr, "IPV6_V6ONLY": IPv6V6Only, "IPV6_RECVHOPLIMIT": IPv6RecvHopLimit,
	"IPV6_RECVTCLASS": IPv6RecvTClass, "IPV6_TCLASS": IPv6TClass, "IPV6_DONTFRAG": IPv6DontFrag,
	"IPV6_HOPLIMIT": 52, "IPV6_AUTOFLOWLABEL": IPv6AutoFlowLabel, "IPV6_FLOWINFO_SEND": IPv6FlowInfoSend,
	"IPV6_FLOWLABEL_MGR": IPv6FlowLabelMgr, "IPV6_MINHOPCOUNT": IPv6MinHopCount,

	"TCP_NODELAY": TCPNoDelay, "TCP_MAXSEG": TCPMaxSeg, "TCP_CORK": TCPCork, "TCP_NOPUSH": TCPCork,
	"TCP_KEEPIDLE": TCPKeepIdle, "TCP_KEEPINTVL": TCPKeepIntvl, "TCP_KEEPCNT": TCPKeepCnt, "TCP_KEEPINIT": TCPKeepInit,
	"TCP_SYNCNT": TCPSynCnt, "TCP_LINGER2": TCPLinger2, "TCP_DEFER_ACCEPT": TCPDeferAccept,
	"TCP_WINDOW_CLAMP": TCPWindowClamp, "TCP_INFO": TCPInfo, "TCP_QUICKACK": TCPQuickAck,
	"TCP_CONGESTION": TCPCongestion, "TCP_MD5SIG": TCPMD5Sig, "TCP_THIN_LINEAR_TIMEOUTS": TCPThinLinear,
	"TCP_THIN_DUPACK": TCPThinDupack, "TCP_USER_TIMEOUT": TCPUserTimeout, "TCP_REPAIR": TCPRepair,
	"TCP_FASTOPEN": TCPFastOpen, "TCP_TIMESTAMP": TCPTimestamp, "TCP_NOTSENT_LOWAT": TCPNotSentLowat,
	"TCP_CC_INFO": TCPCCInfo, "TCP_SAVE_SYN": TCPSaveSyn, "TCP_SAVED_SYN": TCPSavedSyn,
	"TCP_FASTOPEN_CONNECT": TCPFastOpenConnect, "TCP_ULP": TCPULP, "TCP_FASTOPEN_KEY": TCPFastOpenKey,
	"TCP_FASTOPEN_NO_COOKIE": TCPFastOpenNoCookie, "TCP_ZEROCOPY_RECEIVE": TCPZeroCopyReceive,
	"TCP_INQ": TCPInq, "TCP_CM_INQ": TCPInq, "TCP_TX_DELAY": TCPTxDelay,
	"TCP_RTO_MAX_MS": TCPRtoMaxMs, "TCP_RTO_MIN_US": TCPRtoMinUs, "TCP_DELACK_MAX_US": TCPDelackMax,
	"TCP_NOOPT": TCPNoOpt, "TCP_DELACK": TCPDelack, "TCP_FUNCTION_BLK": TCPFunctionBlk,
	"TCP_REMOTE_UDP_ENCAPS_PORT": TCPRemoteUDPPort, "TCP_MAXUNACKTIME": TCPMaxUnackTime, "TCP_LOG": TCPLog,
	"TCP_CCALGOOPT": TCPCCAlgoOpt, "TCP_REUSPORT_LB_NUMA": TCPReusPortLBNuma,

	"FIONREAD": FIONREAD, "SIOCINQ": FIONREAD, "SIOCOUTQ": SIOCOUTQ, "TIOCOUTQ": SIOCOUTQ, "FIONWRITE": SIOCOUTQ,
	"SIOCOUTQNSD": SIOCOUTQNSD, "SIOCATMARK": SIOCATMARK, "FIONBIO": FIONBIO, "FIONSPACE": FIONSPACE,

	"POLLIN": PollIn, "POLLPRI": PollPri, "POLLOUT": PollOut, "POLLERR": PollErr, "POLLHUP": PollHup, "POLLNVAL": PollNval,
	"POLLRDNORM": PollRdNorm, "POLLRDBAND": PollRdBand, "POLLWRNORM": PollWrNorm, "POLLWRBAND": PollWrBand,
	"POLLRDHUP": PollRdHup, "POLLINIGNEOF": PollRdHup,
	"EPOLLIN": PollIn, "EPOLLPRI": PollPri, "EPOLLOUT": PollOut, "EPOLLERR": PollErr, "EPOLLHUP": PollHup,
	"EPOLLRDNORM": PollRdNorm, "EPOLLRDBAND": PollRdBand, "EPOLLWRNORM": PollWrNorm, "EPOLLWRBAND": PollWrBand,
	"EPOLLRDHUP": PollRdHup, "EPOLLET": EpollET, "EPOLLONESHOT": EpollOneShot, "EPOLLEXCLUSIVE": EpollExclusive,
	"EPOLL_CTL_ADD": EpollCtlAdd, "EPOLL_CTL_DEL": EpollCtlDel, "EPOLL_CTL_MOD": EpollCtlMod, "EPOLL_CLOEXEC": SockCloexec,
	"SPLICE_F_MOVE": SpliceMove, "SPLICE_F_NONBLOCK": SpliceNonblock, "SPLICE_F_MORE": SpliceMore,
	"INADDR_ANY": 0, "INADDR_LOOPBACK": 0x7f000001,

	"TCP_ESTABLISHED": 1, "TCP_SYN_SENT": 2, "TCP_SYN_RECV": 3, "TCP_FIN_WAIT1": 4, "TCP_FIN_WAIT2": 5,
	"TCP_TIME_WAIT": 6, "TCP_CLOSE": 7, "TCP_CLOSE_WAIT": 8, "TCP_LAST_ACK": 9, "TCP_LISTEN": 10, "TCP_CLOSING": 11,
	"TCP_CA_Open": 0, "TCP_CA_Disorder": 1, "TCP_CA_CWR": 2, "TCP_CA_Recovery": 3, "TCP_CA_Loss": 4,
	"TCPI_OPT_TIMESTAMPS": 1, "TCPI_OPT_SACK": 2, "TCPI_OPT_WSCALE": 4, "TCPI_OPT_ECN": 8,
	"TCPI_OPT_ECN_SEEN": 16, "TCPI_OPT_SYN_DATA": 32, "TCPI_OPT_USEC_TS": 64,

	"SOF_TIMESTAMPING_TX_HARDWARE": 1, "SOF_TIMESTAMPING_TX_SOFTWARE": 2, "SOF_TIMESTAMPING_RX_HARDWARE": 4,
	"SOF_TIMESTAMPING_RX_SOFTWARE": 8, "SOF_TIMESTAMPING_SOFTWARE": 16, "SOF_TIMESTAMPING_SYS_HARDWARE": 32,
	"SOF_TIMESTAMPING_RAW_HARDWARE": 64, "SOF_TIMESTAMPING_OPT_ID": 128, "SOF_TIMESTAMPING_TX_SCHED": 256,
	"SOF_TIMESTAMPING_TX_ACK": 512, "SOF_TIMESTAMPING_OPT_CMSG": 1024, "SOF_TIMESTAMPING_OPT_TSONLY": 2048,
	"SOF_TIMESTAMPING_OPT_STATS": 4096,
})

func withErrnos(m map[string]int64) map[string]int64 {
	for e, n := range numbers {
		m[string(e)] = int64(n)
	}
	return m
}

// numbers are Linux's error numbers.
var numbers = map[Errno]int{
	EPERM: 1, ENOENT: 2, EINTR: 4, EBADF: 9, EAGAIN: 11, EACCES: 13, EEXIST: 17, EINVAL: 22, ENOTTY: 25,
	EPIPE: 32, EDOM: 33, ENOTSOCK: 88, EDESTADDRREQ: 89, EMSGSIZE: 90, EPROTOTYPE: 91, ENOPROTOOPT: 92,
	EPROTONOSUPPORT: 93, EOPNOTSUPP: 95, EAFNOSUPPORT: 97, EADDRINUSE: 98, EADDRNOTAVAIL: 99,
	ENETDOWN: 100, ENETUNREACH: 101, ECONNABORTED: 103, ECONNRESET: 104, ENOBUFS: 105, EISCONN: 106,
	ENOTCONN: 107, ETIMEDOUT: 110, ECONNREFUSED: 111, EHOSTUNREACH: 113, EALREADY: 114, EINPROGRESS: 115,
}

// Number returns Linux's number of e, 0 for "".
func (e Errno) Number() int { return numbers[e] }

// optionName names an option for messages.
func optionName(level, name int) string {
	prefix := map[int]string{SolSocket: "SO_", IPProtoIP: "IP_", IPProtoTCP: "TCP_", IPProtoV6: "IPV6_"}[level]
	var found []string
	for s, v := range Symbols {
		if prefix != "" && int(v) == name && len(s) > len(prefix) && s[:len(prefix)] == prefix {
			found = append(found, s)
		}
	}
	if len(found) == 0 {
		return "socket option"
	}
	sort.Strings(found)
	for _, s := range found {
		switch s { // states and such are no options
		case "TCP_ESTABLISHED", "TCP_SYN_SENT", "TCP_SYN_RECV", "TCP_FIN_WAIT1", "TCP_FIN_WAIT2", "TCP_TIME_WAIT",
			"TCP_CLOSE", "TCP_CLOSE_WAIT", "TCP_LAST_ACK", "TCP_LISTEN", "TCP_CLOSING":
			continue
		}
		return s
	}
	return found[0]
}
