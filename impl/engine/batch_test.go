package engine_test

import (
	"bytes"
	"context"
	"net/netip"
	"sync"
	"testing"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/impl/engine"
)

// A mixer joins two stacks. What one of them sends while it is held is kept, and then
// delivered as one batch in which the flows alternate.
type mixer struct {
	mu   sync.Mutex
	ends [2]mixerEnd
}

type mixerEnd struct {
	mixer *mixer
	peer  *mixerEnd
	recv  func([]link.Packet)
	held  bool
	kept  []link.Packet
	sent  int
}

func newMixer() *mixer {
	m := &mixer{}
	for i := range m.ends {
		m.ends[i].mixer, m.ends[i].peer = m, &m.ends[1-i]
	}
	return m
}

func (e *mixerEnd) Attach(recv func([]link.Packet)) error { e.recv = recv; return nil }
func (e *mixerEnd) Attributes() link.Attributes {
	return link.Attributes{Name: "mixer", Medium: link.IP, MTU: 1500}
}
func (e *mixerEnd) Close() error      { return nil }
func (e *mixerEnd) Stats() link.Stats { return link.Stats{} }
func (e *mixerEnd) Send(ps []link.Packet) error {
	e.mixer.mu.Lock()
	e.sent += len(ps)
	var batch []link.Packet
	for i := range ps {
		p := ps[i].Copy()
		if e.held {
			e.kept = append(e.kept, p)
		} else {
			batch = append(batch, p)
		}
	}
	e.mixer.mu.Unlock()
	if len(batch) > 0 {
		e.peer.recv(batch)
	}
	return nil
}

// hold begins to keep what e sends.
func (e *mixerEnd) hold() {
	e.mixer.mu.Lock()
	e.held = true
	e.mixer.mu.Unlock()
}

// release delivers what was kept, a packet of each flow in turn, and returns how
// many packets and flows there were, and how many packets came back.
func (e *mixerEnd) release() (packets, flows, back int) {
	e.mixer.mu.Lock()
	kept := e.kept
	e.kept, e.held = nil, false
	e.peer.sent = 0
	e.mixer.mu.Unlock()
	byPort := make(map[string][]link.Packet)
	var order []string
	for _, p := range kept {
		b := p.Payload[0].Bytes()
		port := string(b[20:22])
		if byPort[port] == nil {
			order = append(order, port)
		}
		byPort[port] = append(byPort[port], p)
	}
	var batch []link.Packet
	for round := 0; len(batch) < len(kept); round++ {
		for _, port := range order {
			if q := byPort[port]; round < len(q) {
				batch = append(batch, q[round])
			}
		}
	}
	e.peer.recv(batch)
	e.mixer.mu.Lock()
	defer e.mixer.mu.Unlock()
	return len(batch), len(order), e.peer.sent
}

// Packets of several flows that alternate within a batch are taken flow by flow: each
// flow gets one ACK for all of its packets, and its bytes in order. Batches are looked
// at in parts of 64 packets, and the longest here has two.
func TestBatchOfManyFlows(t *testing.T) {
	for _, flows := range []int{1, 3, 10, 20} {
		virtually(t, func(v *clock.Virtual) { testBatch(t, v, flows) })
	}
}

func testBatch(t *testing.T, v *clock.Virtual, flows int) {
	const segments, size, part = 6, 1448, 64
	m := newMixer()
	near, far := &m.ends[0], &m.ends[1]
	w := newWorld(t, v, near, far, func(_ string, c *engine.Config) { c.Shards = 8 })
	defer w.close()
	ctx := context.Background()
	got := make([][]byte, flows) // by the first byte
	done, left := v.NewWaiter(), flows
	if _, err := w.b.Listen(80, nil, func(ctx context.Context, f api.Flow) {
		var all []byte
		for len(all) < segments*size {
			b, err := f.Read(ctx)
			if err != nil {
				t.Error(err)
				return
			}
			all = append(all, b.Bytes()...)
			b.Release()
		}
		got[all[0]] = all
		if left--; left == 0 {
			done.Wake()
		}
		f.Abort()
	}); err != nil {
		t.Fatal(err)
	}
	var fs []api.Flow
	for range flows {
		f, err := w.a.Dial(ctx, netip.AddrPortFrom(addrB4.Addr(), 80), nil)
		if err != nil {
			t.Fatal(err)
		}
		fs = append(fs, f)
	}
	near.hold()
	var want [][]byte
	for i, f := range fs {
		data := make([]byte, segments*size)
		for j := range data {
			data[j] = byte(i) ^ byte(j>>8) ^ byte(j)
		}
		want = append(want, data)
		if err := f.Write(ctx, api.NewBuffer(bytes.Clone(data))); err != nil {
			t.Fatal(err)
		}
	}
	// No time passes, and no reader has read when the ACKs are counted.
	packets, n, acks := near.release()
	if n != flows || packets != segments*flows {
		t.Fatalf("%d packets of %d flows", packets, n)
	}
	atMost := 0
	for at := 0; at < packets; at += part {
		atMost += min(flows, packets-at)
	}
	if acks < flows || acks > atMost {
		t.Errorf("%d flows: %d packets were answered by %d ACKs, not %d at most", flows, packets, acks, atMost)
	}
	if err := done.Park(ctx); err != nil {
		t.Fatal(err)
	}
	for i := range flows {
		if !bytes.Equal(got[i], want[i]) {
			t.Errorf("flow %d received other bytes than were sent", i)
		}
	}
}
