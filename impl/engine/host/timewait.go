package host

import (
	"container/list"
	"iter"
	"net/netip"
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
// 3.6.1, MUST-13).
type timeWait struct {
	record        tcp.TimeWait
	key           tuple
	local, remote netip.AddrPort
	since         clock.Time
	timer         timer
	label         uint32
	loop          bool
	inOrder       *list.Element
}

// enterTimeWait puts a record in the place of a connection. At the limit the
// oldest record goes: to be without the shortest rest of TIME-WAIT is the least
// harm.
func (h *Host) enterTimeWait(now clock.Time, e *entry) {
	w := &timeWait{
		record: e.conn.TimeWait(), key: e.key, local: e.conn.Local(), remote: e.conn.Remote(),
		since: now, label: e.label, loop: e.loop, timer: timer{index: -1},
	}
	w.timer.owner = w
	h.remove(e)
	if len(h.timeWait) >= h.cfg.MaxTimeWait {
		h.forget(h.timeWaitOrder.Front().Value.(*timeWait))
	}
	h.timeWait[w.key] = w
	w.inOrder = h.timeWaitOrder.PushBack(w)
	h.arm(&w.timer, w.record.Deadline())
}

func (h *Host) forget(w *timeWait) {
	delete(h.timeWait, w.key)
	h.timeWaitOrder.Remove(w.inOrder)
	h.disarm(&w.timer)
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
		h.replyTCP(w.local, w.remote, &h.out, &e)
	}
	h.arm(&w.timer, w.record.Deadline())
	return false
}

// TimeWaits iterates over snapshots of the records in TIME-WAIT, from the oldest.
func (h *Host) TimeWaits(now clock.Time) iter.Seq[api.Info] {
	return func(yield func(api.Info) bool) {
		for el := h.timeWaitOrder.Front(); el != nil; el = el.Next() {
			w := el.Value.(*timeWait)
			if !yield(api.Info{
				State: api.StateTimeWait, Src: w.local, Dst: w.remote,
				SendWindowScale: -1, RecvWindowScale: -1,
				Timer: "timewait", TimerLeft: max(w.record.Deadline().Sub(now), 0),
			}) {
				return
			}
		}
	}
}
