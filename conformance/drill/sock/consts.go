package sock

// Domains, types, flags and options, as Linux numbers them.
const (
	AFInet  = 2
	AFInet6 = 10

	SockStream   = 1
	SockDgram    = 2
	SockRaw      = 3
	SockTypeMask = 0xf
	SockNonblock = 0o4000
	SockCloexec  = 0o2000000

	ShutRD, ShutWR, ShutRDWR = 0, 1, 2

	FGetFL, FSetFL, FGetFD, FSetFD = 3, 4, 1, 2
	ONonblock                      = 0o4000
	ORdWr                          = 2

	MsgOOB         = 0x1
	MsgPeek        = 0x2
	MsgDontRoute   = 0x4
	MsgCtrunc      = 0x8
	MsgTrunc       = 0x20
	MsgDontWait    = 0x40
	MsgEOR         = 0x80
	MsgWaitAll     = 0x100
	MsgConfirm     = 0x800
	MsgErrQueue    = 0x2000
	MsgNoSignal    = 0x4000
	MsgMore        = 0x8000
	MsgZeroCopy    = 0x4000000
	MsgFastOpen    = 0x20000000
	MsgCmsgCloexec = 0x40000000

	SolSocket  = 1
	IPProtoIP  = 0
	IPProtoTCP = 6
	IPProtoUDP = 17
	IPProtoV6  = 41

	SoDebug, SoReuseAddr, SoType, SoError           = 1, 2, 3, 4
	SoDontRoute, SoBroadcast, SoSndBuf, SoRcvBuf    = 5, 6, 7, 8
	SoKeepalive, SoOOBInline, SoNoCheck, SoPriority = 9, 10, 11, 12
	SoLinger, SoBSDCompat, SoReusePort              = 13, 14, 15
	SoRcvLowat, SoSndLowat, SoRcvTimeo, SoSndTimeo  = 18, 19, 20, 21
	SoBindToDevice, SoTimestamp, SoAcceptConn       = 25, 29, 30
	SoSndBufForce, SoRcvBufForce, SoTimestampNS     = 32, 33, 35
	SoMark, SoTimestamping, SoProtocol, SoDomain    = 36, 37, 38, 39
	SoPeekOff, SoMaxPacingRate, SoMemInfo           = 42, 47, 55
	SoBusyPoll, SoIncomingCPU, SoIncomingNAPI       = 46, 49, 56
	SoCookie, SoZeroCopy, SoTxTime                  = 57, 60, 61
	SoTxRehash, SoRcvMark, SoSelectErrQueue         = 74, 75, 45

	IPTOS, IPTTL, IPHdrIncl, IPOptions  = 1, 2, 3, 4
	IPRecvTTL, IPRecvTOS, IPRecvErr     = 12, 13, 11
	IPMTUDiscover, IPMTU, IPFreebind    = 10, 14, 15
	IPTransparent, IPMinTTL             = 19, 21
	IPBindAddressNoPort                 = 24
	IPv6UnicastHops, IPv6MTUDiscover    = 16, 23
	IPv6MTU, IPv6RecvErr, IPv6V6Only    = 24, 25, 26
	IPv6RecvHopLimit, IPv6RecvTClass    = 51, 66
	IPv6TClass, IPv6DontFrag            = 67, 62
	IPv6FlowInfoSend, IPv6AutoFlowLabel = 33, 70
	IPv6FlowLabelMgr, IPv6MinHopCount   = 32, 73

	TCPNoDelay, TCPMaxSeg, TCPCork          = 1, 2, 3
	TCPKeepIdle, TCPKeepIntvl, TCPKeepCnt   = 4, 5, 6
	TCPSynCnt, TCPLinger2, TCPDeferAccept   = 7, 8, 9
	TCPWindowClamp, TCPInfo, TCPQuickAck    = 10, 11, 12
	TCPCongestion, TCPMD5Sig                = 13, 14
	TCPThinLinear, TCPThinDupack            = 16, 17
	TCPUserTimeout, TCPRepair               = 18, 19
	TCPFastOpen, TCPTimestamp               = 23, 24
	TCPNotSentLowat, TCPCCInfo, TCPSaveSyn  = 25, 26, 27
	TCPSavedSyn, TCPFastOpenConnect, TCPULP = 28, 30, 31
	TCPFastOpenKey, TCPFastOpenNoCookie     = 33, 34
	TCPZeroCopyReceive, TCPInq, TCPTxDelay  = 35, 36, 37
	TCPRtoMaxMs, TCPRtoMinUs, TCPDelackMax  = 44, 45, 46
	TCPIsMPTCP                              = 43

	// FreeBSD's.
	TCPFunctionBlk    = 0x10001
	TCPNoOpt          = 0x10002
	TCPDelack         = 0x10003
	TCPRemoteUDPPort  = 0x10004
	TCPKeepInit       = 0x10005
	TCPMaxUnackTime   = 0x10006
	TCPRexmitDropOpt  = 0x10007
	TCPLog            = 0x10008
	TCPReusPortLBNuma = 0x10009
	TCPCCAlgoOpt      = 0x1000a
	TCPFastOpenBSD    = 0x1000b
	SoNoSigPipe       = 0x10020
	SoReusePortLB     = 0x10021
	SoUserCookie      = 0x10022
	SoTsClock         = 0x10023

	FIONREAD    = 0x541b // SIOCINQ
	SIOCOUTQ    = 0x5411 // TIOCOUTQ
	SIOCOUTQNSD = 0x894b
	SIOCATMARK  = 0x8905
	FIONBIO     = 0x5421
	FIONSPACE   = 0x10030

	PollIn, PollPri, PollOut, PollErr      = 0x1, 0x2, 0x4, 0x8
	PollHup, PollNval                      = 0x10, 0x20
	PollRdNorm, PollRdBand                 = 0x40, 0x80
	PollWrNorm, PollWrBand, PollRdHup      = 0x100, 0x200, 0x2000
	EpollET, EpollOneShot, EpollExclusive  = 1 << 31, 1 << 30, 1 << 28
	EpollCtlAdd, EpollCtlDel, EpollCtlMod  = 1, 2, 3
	SpliceMove, SpliceNonblock, SpliceMore = 1, 2, 4
)
