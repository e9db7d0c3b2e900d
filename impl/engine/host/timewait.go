package host

import (
	"iter"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/tcp"
)

// timeWaitReuse is how long a connection must have been in TIME-WAIT before our
// own dial takes its place. Sequence numbers then begin beyond those of the old
// one, and the peer, which is in no TIME-WAIT, has had time to hear our last ACK.
const timeWaitReuse = time.Second

// A timeWait is what is left of a connection in TIME-WAIT (RFC 9293, section
// 3.6.1, MUST-13). There may be very many.
type timeWait struct {
	key          tuple
	chain        *timeWait // in the lookup
	record       tcp.TimeWait
	label        uint32
	loop         bool
	timer        timer
	older, newer *timeWait
}

// enterTimeWait puts a record in the place of a connection. At the limit the
// oldest record goes: to be without the shortest rest of TIME-WAIT is the least
// harm.
func (h *Host) enterTimeWait(now clock.Time, e *entry) {
	w := &timeWait{
		key: *e.conn.Pair(), record: e.conn.TimeWait(), label: e.label, loop: e.loop,
		timer: timer{index: -1},
	}
	w.timer.owner = w
	h.remove(e)
	if h.timeWait.len() >= h.cfg.MaxTimeWait {
		h.forget(h.timeWaitFirst)
	}
	h.timeWait.add(w)
	if w.older = h.timeWaitLast; w.older != nil {
		w.older.newer = w
	} else {
		h.timeWaitFirst = w
	}
	h.timeWaitLast = w
	h.arm(&w.timer, w.record.Deadline())
}

func (h *Host) forget(w *timeWait) {
	h.timeWait.remove(w)
	h.disarm(&w.timer)
	if w.older != nil {
		w.older.newer = w.newer
	} else {
		h.timeWaitFirst = w.newer
	}
	if w.newer != nil {
		w.newer.older = w.older
	} else {
		h.timeWaitLast = w.older
	}
	w.older, w.newer = nil, nil
}

// due implements timed.
func (w *timeWait) due(h *Host, now clock.Time) {
	if d := w.record.Deadline(); d > now {
		h.arm(&w.timer, d)
		return
	}
	h.forget(w)
}

// timeWaitSegment takes in a segment for a connection in TIME-WAIT. It returns
// true for a SYN that may open a new one in its place (RFC 9293, section 3.10.7.4,
// MAY-2; RFC 6191). What is dropped has been counted by the record.
func (h *Host) timeWaitSegment(now clock.Time, w *timeWait, s *tcp.Segment) (reuse bool) {
	switch w.record.Segment(now, s, &h.out) {
	case tcp.TimeWaitReuse:
		return true
	case tcp.TimeWaitReply:
		e := entry{label: w.label, loop: w.loop}
		h.counters.SegmentsOut++
		local, remote := w.key.AddrPorts()
		h.replyTCP(local, remote, &h.out, &e)
	}
	h.arm(&w.timer, w.record.Deadline())
	return false
}

// TimeWaits iterates over snapshots of the records in TIME-WAIT, from the oldest.
func (h *Host) TimeWaits(now clock.Time) iter.Seq[api.Info] {
	return func(yield func(api.Info) bool) {
		for w := h.timeWaitFirst; w != nil; w = w.newer {
			local, remote := w.key.AddrPorts()
			if !yield(api.Info{
				State: api.StateTimeWait, Src: local, Dst: remote,
				SendWindowScale: -1, RecvWindowScale: -1,
				Timer: "timewait", TimerLeft: max(w.record.Deadline().Sub(now), 0),
			}) {
				return
			}
		}
	}
}
