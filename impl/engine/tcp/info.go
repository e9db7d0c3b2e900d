package tcp

import (
	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/clock"
)

// Info returns a snapshot; its three civil times are left to the caller, who
// gets them from Times.
func (c *Conn) Info(now clock.Time) api.Info {
	f := &c.cfg.Flow
	i := api.Info{
		State: c.state, Src: c.Local(), Dst: c.Remote(), Congestion: c.cfg.name,
		Cwnd:     c.cwnd,
		InFlight: c.pipe(), SendWindow: c.sndWnd(), RecvWindow: max(0, c.rcvWnd()),
		SendQueue:    int64(c.sq.end - min(max(c.sndUna, c.iss+1), c.sq.end)),
		ReceiveQueue: c.rq.size, OutOfOrder: c.ooo.bytes, Memory: c.sq.charged + c.rcvCharged,
		SRTT: c.rtt.srtt, RTTVar: c.rtt.rttvar, MinRTT: c.rtt.least(), RTO: c.currentRTO(), Backoff: int(c.backoff),
		SendMSS: c.mss, RecvMSS: int64(c.announcedMSS), PathMTU: int64(c.pathMTU),
		SendWindowScale: -1, RecvWindowScale: -1,
		SACK: c.sackOK, Timestamps: c.tsOK, ECN: c.ecn.ok,
		BytesSent: c.stats.bytesSent, BytesReceived: c.stats.bytesReceived,
		BytesRetransmitted: c.seldom.bytesRexmit, BytesAcked: c.Acked(),
		SegmentsSent: c.stats.segsSent, SegmentsReceived: c.stats.segsReceived,
		Retransmits: c.seldom.rexmits, SpuriousRetransmits: uint64(c.seldom.spurious),
		DupAcks: uint64(c.stats.dupAcks), Timeouts: uint64(c.seldom.timeouts),
		DeliveryRate:  c.rate.last,
		UrgentPending: c.urgentPending(),
		SoftError:     c.softErr,
		TTL:           f.TTL, DSCP: f.DSCP, NoDelay: f.NoDelay,
		SendBuffer: c.sendLimit(), RecvBuffer: c.receiveLimit(),
	}
	c.segmentInfo(&i)
	if c.ssthresh < cc.NoThreshold {
		i.Ssthresh = c.ssthresh
	}
	if c.scaleOK && c.peerMSS != 0 {
		i.SendWindowScale, i.RecvWindowScale = int(c.sndScale), int(c.rcvScale)
	}
	if c.ka != nil {
		i.KeepaliveProbes = int(c.ka.sent)
	}
	if c.control != nil {
		i.PacingRate = int64(c.control.Pacing)
	}
	if c.state == api.StateTimeWait {
		i.Timer, i.TimerLeft = "timewait", max(0, c.tw.deadline.Sub(now))
		return i
	}
	first := clock.Never
	for t, name := range timerNames {
		if name != "" && c.tm[t] < first {
			first = c.tm[t]
			i.Timer, i.TimerLeft = name, max(0, c.tm[t].Sub(now))
		}
	}
	return i
}

var phaseNames = map[cc.Phase]string{cc.Open: "open", cc.Disorder: "disorder", cc.CWR: "cwr", cc.Recovery: "recovery", cc.Loss: "loss"}

// segmentInfo fills in what is counted in segments, and its neighbours.
func (c *Conn) segmentInfo(i *api.Info) {
	for j := range c.sb.live() {
		r := &c.sb.live()[j]
		n := int64(c.segmentsIn(r.len()))
		i.UnackedSegments += n
		if r.flags&recSacked != 0 {
			i.SackedSegments += n
			continue
		}
		if r.flags&recLost != 0 {
			i.LostSegments += n
		}
		if r.flags&recRexmit != 0 {
			i.ResentSegments += n
		}
	}
	i.SackedSegments += int64(c.segmentsIn(c.renoSacked))
	if c.state == api.StateSynSent || c.state == api.StateSynReceived {
		i.Retries = int(c.synRexmits)
		if i.UnackedSegments = int64(len(c.sb.live())); c.sndNxt > c.iss && !c.pending() { // no MSS is known yet
			i.UnackedSegments++
		}
	} else {
		i.Retries = int(c.retries)
	}
	i.NotSent = c.unsent()
	if c.ctl != nil {
		i.CongestionState = phaseNames[c.phase]
	}
	i.Probes = uint64(c.seldom.probes)
	i.ControllerFaults = uint64(c.seldom.misruled)
	i.DataSegmentsSent, i.DataSegmentsReceived = uint64(c.stats.dataSent), uint64(c.stats.dataReceived)
	i.DeliveredSegments, i.DeliveredCE = uint64(c.stats.delivered), uint64(c.seldom.deliveredCE)
	i.OutOfOrderSegments, i.ReorderingSeen = uint64(c.stats.outOfOrder), uint64(c.stats.reordered)
	i.RecvSegment = int64(c.rcvMSS)
	i.AckDelay = c.p.DelayedAck
	i.ECNSeen = c.ecn.seen
	i.FastOpen = fastOpenNames[c.fastStatus]
}

// segmentsIn returns how many segments n bytes take.
func (c *Conn) segmentsIn(n int64) uint64 {
	size := max(c.mss, 1)
	return uint64((n + size - 1) / size)
}
