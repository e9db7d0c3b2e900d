package targets

import (
	"sync/atomic"

	"github.com/sluicenet/sluice/api/link"
)

// tapped is a link with somebody who wants to know when a packet crosses it.
type tapped struct {
	link.Link
	packet atomic.Value // func()
}

func (t *tapped) crossed() {
	if f, ok := t.packet.Load().(func()); ok {
		f()
	}
}

// Attach implements link.Link.
func (t *tapped) Attach(recv func([]link.Packet)) error {
	return t.Link.Attach(func(batch []link.Packet) {
		recv(batch)
		t.crossed()
	})
}

// Send implements link.Link.
func (t *tapped) Send(batch []link.Packet) error {
	err := t.Link.Send(batch)
	t.crossed()
	return err
}
