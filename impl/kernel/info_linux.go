package kernel

import (
	"encoding/binary"
	"math"
	"time"
	"unsafe"

	"github.com/sluicenet/sluice/api"
	"golang.org/x/sys/unix"
)

// states translates the kernel's numbers.
var states = [...]api.State{
	unix.BPF_TCP_ESTABLISHED: api.StateEstablished,
	unix.BPF_TCP_SYN_SENT:    api.StateSynSent,
	unix.BPF_TCP_SYN_RECV:    api.StateSynReceived,
	unix.BPF_TCP_FIN_WAIT1:   api.StateFinWait1,
	unix.BPF_TCP_FIN_WAIT2:   api.StateFinWait2,
	unix.BPF_TCP_TIME_WAIT:   api.StateTimeWait,
	unix.BPF_TCP_CLOSE:       api.StateClosed,
	unix.BPF_TCP_CLOSE_WAIT:  api.StateCloseWait,
	unix.BPF_TCP_LAST_ACK:    api.StateLastAck,
	unix.BPF_TCP_LISTEN:      api.StateListen,
	unix.BPF_TCP_CLOSING:     api.StateClosing,
}

// Info implements [api.Flow].
func (f *flow) Info() api.Info {
	f.settle()
	f.wmu.Lock()
	waiting := f.waiting
	f.wmu.Unlock()
	f.fdMu.RLock()
	defer f.fdMu.RUnlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fd < 0 {
		i := f.last
		i.ReceiveQueue = 0
		for _, b := range f.left {
			i.ReceiveQueue += int64(b.Len())
			i.Memory += b.MemSize()
		}
		return i
	}
	i := f.infoLocked()
	i.SendQueue += waiting
	i.Memory += waiting
	return i
}

// infoLocked asks the kernel. The caller holds mu and keeps the descriptor open.
func (f *flow) infoLocked() api.Info {
	i := api.Info{Src: f.src, Dst: f.dst, Opened: f.opened, SoftError: f.soft,
		SendWindowScale: -1, RecvWindowScale: -1}
	c := inForce(f.fd, f.dst.Addr().Is6(), f.cfg)
	i.Congestion, i.TTL, i.DSCP, i.NoDelay = c.Congestion, c.TTL, c.DSCP, c.NoDelay
	i.SendBuffer, i.RecvBuffer = c.SendBuffer, c.ReceiveBuffer
	if n, err := unix.IoctlGetInt(f.fd, unix.SIOCOUTQ); err == nil {
		i.SendQueue = int64(n)
	}
	if n, err := unix.IoctlGetInt(f.fd, unix.TIOCINQ); err == nil {
		i.ReceiveQueue = int64(n)
	}
	if pending, err := urgentAhead(f.fd); err == nil && pending {
		i.UrgentPending = 1
	}
	i.Memory = socketMemory(f.fd)
	t, err := unix.GetsockoptTCPInfo(f.fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return i
	}
	fillInfo(&i, t, c.Keepalive != nil)
	if f.dialled && i.BytesAcked > 0 {
		i.BytesAcked-- // the kernel counts our SYN
	}
	if i.State == api.StateFinWait1 || i.State == api.StateClosing || i.State == api.StateLastAck {
		i.SendQueue = max(i.SendQueue-1, 0) // and our FIN
	}
	return i
}

// fillInfo translates tcp_info.
func fillInfo(i *api.Info, t *unix.TCPInfo, keepalive bool) {
	if int(t.State) < len(states) {
		i.State = states[t.State]
	}
	mss := int64(t.Snd_mss)
	i.Cwnd = int64(t.Snd_cwnd) * mss
	if t.Snd_ssthresh < math.MaxInt32 {
		i.Ssthresh = int64(t.Snd_ssthresh) * mss
	}
	i.InFlight = max(int64(t.Unacked)-int64(t.Sacked)-int64(t.Lost)+int64(t.Retrans), 0) * mss
	i.SendWindow, i.RecvWindow = int64(t.Snd_wnd), int64(t.Rcv_wnd)
	us := func(n uint32) time.Duration { return time.Duration(n) * time.Microsecond }
	i.SRTT, i.RTTVar, i.RTO = us(t.Rtt), us(t.Rttvar), us(t.Rto)
	if t.Min_rtt != math.MaxUint32 {
		i.MinRTT = us(t.Min_rtt)
	}
	i.Backoff = int(t.Backoff)
	i.SendMSS, i.RecvMSS, i.PathMTU = mss, int64(t.Rcv_mss), int64(t.Pmtu)
	const optTimestamps, optSACK, optWscale, optECN = 1, 2, 4, 8
	i.Timestamps, i.SACK, i.ECN = t.Options&optTimestamps != 0, t.Options&optSACK != 0, t.Options&optECN != 0
	if t.Options&optWscale != 0 {
		i.SendWindowScale, i.RecvWindowScale = windowScales(t)
	}
	i.BytesSent = t.Bytes_sent - min(t.Bytes_retrans, t.Bytes_sent)
	i.BytesReceived, i.BytesRetransmitted, i.BytesAcked = t.Bytes_received, t.Bytes_retrans, t.Bytes_acked
	i.SegmentsSent, i.SegmentsReceived = uint64(t.Segs_out), uint64(t.Segs_in)
	i.Retransmits, i.SpuriousRetransmits = uint64(t.Total_retrans), uint64(t.Dsack_dups)
	i.Timeouts = uint64(t.Total_rto)
	if t.Pacing_rate <= math.MaxInt64 {
		i.PacingRate = int64(t.Pacing_rate)
	}
	i.DeliveryRate = int64(t.Delivery_rate)
	if keepalive && t.Unacked == 0 {
		i.KeepaliveProbes = int(t.Probes)
	}
	now := time.Now()
	ago := func(ms uint32) time.Time { return now.Add(-time.Duration(ms) * time.Millisecond) }
	if t.Data_segs_out > 0 {
		i.LastSend = ago(t.Last_data_sent)
	}
	if t.Segs_in > 0 {
		i.LastReceive = ago(min(t.Last_data_recv, t.Last_ack_recv))
	}
}

// windowScales are two fields of four bits each, after the options, that
// package unix does not show: tcpi_snd_wscale and tcpi_rcv_wscale.
func windowScales(t *unix.TCPInfo) (snd, rcv int) {
	const offset = 6
	b := *(*byte)(unsafe.Add(unsafe.Pointer(t), offset))
	lo, hi := int(b&15), int(b>>4)
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		return lo, hi
	}
	return hi, lo
}

// socketMemory is what the kernel has charged to the socket for both queues.
func socketMemory(fd int) int64 {
	const rmemAlloc, wmemQueued, vars = 0, 5, 9 // SK_MEMINFO_*
	var mem [vars]uint32
	size := uint32(unsafe.Sizeof(mem))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&mem)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return 0
	}
	return int64(mem[rmemAlloc]) + int64(mem[wmemQueued])
}

// Configure implements [api.Flow].
func (f *flow) Configure(change func(*api.FlowConfig)) error {
	if err := f.configure(change); err != nil {
		return f.error("configure", err)
	}
	return nil
}

func (f *flow) configure(change func(*api.FlowConfig)) error {
	// change is the user's, and may use the flow: none of the other locks is
	// held meanwhile.
	f.configuring.Lock()
	defer f.configuring.Unlock()
	f.fdMu.RLock()
	open := f.fd >= 0
	f.mu.Lock()
	asked, reason := f.cfg, f.reason
	f.mu.Unlock()
	old := asked
	if open {
		old = inForce(f.fd, f.dst.Addr().Is6(), asked)
	}
	f.fdMu.RUnlock()
	if !open {
		return api.ClosedBy(reason)
	}
	old.Local = f.src
	c := old
	change(&c)
	switch {
	case c.MSS != old.MSS:
		return invalid("MSS is fixed once a flow exists")
	case c.Local != old.Local:
		return invalid("Local is fixed once a flow exists")
	case c.Congestion != old.Congestion:
		return invalid("Congestion is fixed once a flow exists")
	}
	if err := validate(&c); err != nil {
		return err
	}
	if err := f.set(old, c); err != nil {
		return err
	}
	f.mu.Lock()
	f.cfg = c
	f.cfg.Local, f.cfg.Congestion = asked.Local, asked.Congestion
	f.mu.Unlock()
	f.notify.set(c.Notify)
	return nil
}

// set changes the socket's options from old to c.
func (f *flow) set(old, c api.FlowConfig) error {
	f.wmu.Lock() // noDelays must not change
	defer f.wmu.Unlock()
	f.fdMu.RLock()
	defer f.fdMu.RUnlock()
	if f.fd < 0 {
		f.mu.Lock()
		defer f.mu.Unlock()
		return api.ClosedBy(f.reason)
	}
	old.NoDelay = old.NoDelay || f.noDelays > 0
	c.NoDelay = c.NoDelay || f.noDelays > 0
	if err := f.s.apply(f.fd, f.ipv6, &old, &c); err != nil {
		// Take back what was done before it failed.
		if back := f.s.apply(f.fd, f.ipv6, &c, &old); back != nil {
			f.s.log.Warn("kernel backend: options half changed", "flow", f.dst, "error", back)
		}
		return err
	}
	return nil
}
