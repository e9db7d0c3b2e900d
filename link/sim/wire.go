package sim

import (
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/link/impair"
)

// A wire transmits one packet after another at a rate, the others waiting in a
// drop-tail queue.
type wire struct {
	freeAt clock.Time // the end of the last transmission
	serial impair.Serializer

	waiting      []waiting // whose transmission begins later, oldest first
	head         int       // waiting[:head] have begun
	waitingBytes int64
}

type waiting struct {
	begins clock.Time
	bytes  int64
}

// advance removes from the queue what has left it by now.
func (w *wire) advance(now clock.Time) {
	for w.head < len(w.waiting) && w.waiting[w.head].begins <= now {
		w.waitingBytes -= w.waiting[w.head].bytes
		w.head++
	}
	if w.head > 64 && w.head*2 > len(w.waiting) {
		w.waiting = append(w.waiting[:0], w.waiting[w.head:]...)
		w.head = 0
	}
}

// transmit queues n bytes and returns when their transmission will have ended.
// ok is false if there is no room.
func (w *wire) transmit(now clock.Time, n int64, d *Direction) (sent clock.Time, ok bool) {
	w.advance(now)
	begins := w.freeAt
	if begins <= now {
		begins = now
		w.serial.Reset()
	} else if !d.room(w.waitingBytes+n, len(w.waiting)-w.head+1) {
		return 0, false
	}
	if begins > now {
		w.waiting = append(w.waiting, waiting{begins, n})
		w.waitingBytes += n
	}
	w.freeAt = begins
	if d.Rate > 0 {
		w.freeAt = begins.Add(w.serial.Time(n, int64(d.Rate)))
	}
	return w.freeAt, true
}

const (
	minQueue   = 64 << 10 // the least room, in bytes, of a queue for which none was given
	maxWaiting = 1 << 20  // the most packets in any queue
)

// room reports whether so much may wait.
func (d *Direction) room(bytes int64, packets int) bool {
	if packets > maxWaiting {
		return false
	}
	if d.QueueBytes == 0 && d.QueuePackets == 0 {
		return bytes <= max(impair.BDP(int64(d.Rate), 2*d.Delay), minQueue)
	}
	return (d.QueueBytes == 0 || bytes <= d.QueueBytes) &&
		(d.QueuePackets == 0 || packets <= d.QueuePackets)
}
