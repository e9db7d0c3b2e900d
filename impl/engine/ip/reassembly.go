package ip

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/impl/engine/fault"
	"github.com/sluicenet/sluice/impl/engine/wire"
)

// Specification constants.
const (
	Reassembly4Timeout = 30 * time.Second // RFC 1122, section 3.3.2, leaves it open; as Linux
	Reassembly6Timeout = 60 * time.Second // RFC 8200, section 4.5

	maxPacket = 65535
)

// Implementation constants: what one Reassembler holds. All Reassemblers of a
// stack are bounded together by their [Account].
const (
	maxDatagrams          = 256
	maxDatagramsPerSource = 16
	maxReassemblyBytes    = 1 << 20
	datagramOverhead      = 1600 // record, bitmap, table entry
	pieceOverhead         = 32
	maxDuplicateSearch    = 128 // pieces of a datagram in which an exact duplicate is looked for
)

// An Account bounds the memory of fragments of a whole stack. Its methods may be
// called concurrently.
type Account interface {
	Charge(n int64) bool
	Release(n int64)
}

type datagramKey struct {
	src, dst netip.Addr
	id       uint32
	proto    uint8 // 0 for IPv6, which tells datagrams apart by the rest
}

// A datagram is one that is not whole yet.
type datagram struct {
	key      datagramKey
	deadline clock.Time
	dead     bool // fragments overlapped: those still to come are dropped too (RFC 5722)

	header []byte // IP headers of the fragment with offset 0, nil until it came
	keep   int    // of header, what the whole has: not the fragment header
	nextAt int    // IPv6: in header, the field that names what follows
	next   uint8  // and its value for the whole
	pieces []piece
	data   []byte // of all pieces, in the order of arrival
	blocks []uint64
	have   int // bytes
	total  int // length of the whole, -1 while the last fragment is missing
	end    int // of the farthest piece
	ecn    uint8
	mem    int64
	older  *datagram
	newer  *datagram
}

type piece struct{ offset, start, n int }

// A Reassembler puts fragments together again, within bounds in memory, in number
// and for each source: where there is no room the oldest datagram makes it, of
// the same source if that has too many.
type Reassembler struct {
	account Account
	table   map[datagramKey]*datagram
	sources map[netip.Addr]int
	oldest  *datagram
	newest  *datagram
	mem     int64

	deadline clock.Time
	stale    bool // deadline is to be found anew

	drops *[api.NumDropReasons]uint64
}

// NewReassembler returns a Reassembler that counts what it drops, a fragment at a
// time, in drops.
func NewReassembler(account Account, drops *[api.NumDropReasons]uint64) *Reassembler {
	return &Reassembler{
		account: account, drops: drops, deadline: clock.Never,
		table: make(map[datagramKey]*datagram), sources: make(map[netip.Addr]int),
	}
}

// Len returns the number of datagrams held, and Memory the bytes charged for them.
func (r *Reassembler) Len() int      { return len(r.table) }
func (r *Reassembler) Memory() int64 { return r.mem }

// Add takes in a fragment: b is the whole packet, cut to p.Len, that p was parsed
// from. It is copied. When the datagram is whole, Add returns it as one packet.
// A Fault may ask for a report.
func (r *Reassembler) Add(now clock.Time, p *Packet, b []byte) (whole []byte, f Fault) {
	f = Fault{Reason: api.NumDropReasons}
	data := b[p.HeaderLen:p.Len]
	end := p.FragOffset + len(data)
	switch {
	case len(data) == 0, p.More && len(data)%8 != 0:
		f.Reason = api.DropFragmentInvalid
		if p.Is6() { // RFC 8200, section 4.5
			f.Report, f.Code, f.Pointer = true, wire.ICMPv6CodeHeaderField, 4
		}
	case end+p.headerLenWhole() > maxPacket:
		f.Reason = api.DropFragmentInvalid
		if p.Is6() {
			f.Report, f.Code, f.Pointer = true, wire.ICMPv6CodeHeaderField, uint32(p.unfragmentable+2)
		}
	}
	if f.Reason != api.NumDropReasons {
		r.drops[f.Reason]++
		return nil, f
	}

	d := r.find(now, p)
	if d == nil || !r.room(d, int64(len(data)+pieceOverhead+p.HeaderLen)) {
		r.drops[api.DropFragmentLimit]++
		return nil, f
	}
	if d.dead {
		r.drops[api.DropFragmentOverlap]++
		return nil, f
	}
	switch d.overlap(p.FragOffset, data) {
	case exactDuplicate: // RFC 8200, section 4.5: need not count as overlapping
		r.drops[api.DropFragmentInvalid]++
		return nil, f
	case overlapping:
		if fault.On("fragments-overlap-taken") {
			d.have = maxPacket // there may be holes
			break
		}
		r.kill(d)
		r.drops[api.DropFragmentOverlap]++
		return nil, f
	}
	// The end is said once, and nothing lies beyond it.
	if !p.More && (d.total >= 0 || d.end > end) || d.total >= 0 && end > d.total {
		r.kill(d)
		r.drops[api.DropFragmentInvalid]++
		return nil, f
	}

	if !p.More {
		d.total = end
	}
	d.end = max(d.end, end)
	d.have += len(data)
	d.ecn |= 1 << (p.TOS & 3)
	if p.FragOffset == 0 {
		d.header, d.keep = bytes.Clone(b[:p.HeaderLen]), p.HeaderLen
		if p.Is6() {
			d.keep, d.nextAt, d.next = p.unfragmentable, p.nextHeaderAt, p.Proto
		}
	}
	d.pieces = append(d.pieces, piece{p.FragOffset, len(d.data), len(data)})
	d.data = append(d.data, data...)
	d.mark(p.FragOffset, end)
	if d.total < 0 || d.have < d.total {
		return nil, f
	}
	whole = d.assemble()
	r.remove(d)
	if whole == nil {
		r.drops[api.DropFragmentInvalid]++
	}
	return whole, f
}

// headerLenWhole is what the reassembled packet has in front of the fragments'
// data and its length field counts.
func (p *Packet) headerLenWhole() int {
	if p.Is6() {
		return p.unfragmentable - wire.IPv6HeaderLen
	}
	return p.HeaderLen
}

func (r *Reassembler) find(now clock.Time, p *Packet) *datagram {
	key := datagramKey{src: p.Src, dst: p.Dst, id: p.FragID}
	timeout := Reassembly6Timeout
	if !p.Is6() {
		key.proto = p.Proto
		timeout = Reassembly4Timeout
	}
	if d := r.table[key]; d != nil {
		return d
	}
	if r.sources[p.Src] >= maxDatagramsPerSource {
		for d := r.oldest; d != nil; d = d.newer {
			if d.key.src == p.Src {
				r.evict(d)
				break
			}
		}
	}
	if len(r.table) >= maxDatagrams {
		r.evict(r.oldest)
	}
	for !r.charge(datagramOverhead) {
		if r.oldest == nil {
			return nil
		}
		r.evict(r.oldest)
	}
	d := &datagram{key: key, deadline: now.Add(timeout), total: -1, mem: datagramOverhead}
	r.table[key] = d
	r.sources[p.Src]++
	d.older = r.newest
	if r.newest != nil {
		r.newest.newer = d
	} else {
		r.oldest = d
	}
	r.newest = d
	r.stale = true
	return d
}

// room charges n bytes to d, at the cost of older datagrams but not of d itself.
func (r *Reassembler) room(d *datagram, n int64) bool {
	if d.dead {
		return true
	}
	for !r.charge(n) {
		victim := r.oldest
		if victim == d {
			victim = d.newer
		}
		if victim == nil {
			return false
		}
		r.evict(victim)
	}
	d.mem += n
	return true
}

func (r *Reassembler) charge(n int64) bool {
	if r.mem+n > maxReassemblyBytes || !r.account.Charge(n) {
		return false
	}
	r.mem += n
	return true
}

func (r *Reassembler) uncharge(n int64) {
	r.mem -= n
	r.account.Release(n)
}

// evict removes d for want of room.
func (r *Reassembler) evict(d *datagram) {
	r.drops[api.DropFragmentLimit] += uint64(len(d.pieces))
	r.remove(d)
}

// kill frees what d holds, and keeps the record, so that the fragments still to
// come are dropped too.
func (r *Reassembler) kill(d *datagram) {
	r.drops[api.DropFragmentOverlap] += uint64(len(d.pieces))
	r.uncharge(d.mem - datagramOverhead)
	d.mem = datagramOverhead
	d.dead = true
	d.header, d.pieces, d.data, d.blocks = nil, nil, nil, nil
}

func (r *Reassembler) remove(d *datagram) {
	delete(r.table, d.key)
	if r.sources[d.key.src]--; r.sources[d.key.src] == 0 {
		delete(r.sources, d.key.src)
	}
	if d.older != nil {
		d.older.newer = d.newer
	} else {
		r.oldest = d.newer
	}
	if d.newer != nil {
		d.newer.older = d.older
	} else {
		r.newest = d.older
	}
	d.older, d.newer = nil, nil
	r.stale = true
	r.uncharge(d.mem)
}

// Deadline returns when Expire is to be called.
func (r *Reassembler) Deadline() clock.Time {
	if !r.stale {
		return r.deadline
	}
	// Datagrams are in the order of their arrival, and there are but two
	// timeouts: the earliest deadline is that of the first of either family.
	r.deadline, r.stale = clock.Never, false
	var seen4, seen6 bool
	for d := r.oldest; d != nil && !(seen4 && seen6); d = d.newer {
		r.deadline = min(r.deadline, d.deadline)
		if d.key.src.Is6() {
			seen6 = true
		} else {
			seen4 = true
		}
	}
	return r.deadline
}

// Expire forgets the datagrams that are due. For each whose first fragment came it
// calls exceeded with that fragment's headers and data, for an ICMP error to quote
// (RFC 792; RFC 8200, section 4.5).
func (r *Reassembler) Expire(now clock.Time, exceeded func(src, dst netip.Addr, quote []byte)) {
	for d := r.oldest; d != nil; {
		next := d.newer
		if d.deadline <= now {
			r.drops[api.DropFragmentTimeout] += uint64(len(d.pieces))
			if d.header != nil && exceeded != nil {
				for _, p := range d.pieces {
					if p.offset == 0 {
						exceeded(d.key.src, d.key.dst, append(bytes.Clone(d.header), d.data[p.start:p.start+p.n]...))
						break
					}
				}
			}
			r.remove(d)
		}
		d = next
	}
}

// Clear forgets everything.
func (r *Reassembler) Clear() {
	for r.oldest != nil {
		r.remove(r.oldest)
	}
}

type overlap uint8

const (
	disjoint overlap = iota
	exactDuplicate
	overlapping
)

// overlap compares a fragment with what has come. Offsets are multiples of eight,
// so that a bitmap of blocks of eight bytes tells exactly.
func (d *datagram) overlap(offset int, data []byte) overlap {
	hit := false
	for i := offset / 8; i < (offset+len(data)+7)/8; i++ {
		if i/64 < len(d.blocks) && d.blocks[i/64]>>(i%64)&1 != 0 {
			hit = true
			break
		}
	}
	if !hit {
		return disjoint
	}
	if len(d.pieces) <= maxDuplicateSearch {
		for _, p := range d.pieces {
			if p.offset == offset && bytes.Equal(d.data[p.start:p.start+p.n], data) {
				return exactDuplicate
			}
		}
	}
	return overlapping
}

func (d *datagram) mark(offset, end int) {
	last := (end + 7) / 8
	for len(d.blocks)*64 < last {
		d.blocks = append(d.blocks, 0)
	}
	for i := offset / 8; i < last; i++ {
		d.blocks[i/64] |= 1 << (i % 64)
	}
}

// assemble returns the whole packet, or nil if the fragments contradict each
// other.
func (d *datagram) assemble() []byte {
	n := d.keep + d.total
	ecn, ok := reassembledECN(d.ecn)
	is6 := d.key.src.Is6()
	if d.header == nil || !ok || !is6 && n > maxPacket || is6 && n-wire.IPv6HeaderLen > maxPacket {
		return nil
	}
	b := make([]byte, n)
	copy(b, d.header[:d.keep])
	for i, p := range d.pieces {
		if fault.On("fragments-in-order-of-arrival") && i > 0 {
			p.offset = d.pieces[i-1].offset + d.pieces[i-1].n
		}
		copy(b[d.keep+p.offset:], d.data[p.start:p.start+p.n])
	}
	if is6 {
		binary.BigEndian.PutUint16(b[4:], uint16(n-wire.IPv6HeaderLen))
		b[1] = b[1]&^0x30 | ecn<<4
		b[d.nextAt] = d.next
		return b
	}
	b[1] = b[1]&^3 | ecn
	binary.BigEndian.PutUint16(b[2:], uint16(n))
	binary.BigEndian.PutUint16(b[6:], 0)
	b[10], b[11] = 0, 0
	var sum wire.Checksum
	sum.Add(b[:d.keep])
	binary.BigEndian.PutUint16(b[10:], sum.Value())
	return b
}

// reassembledECN returns the codepoint of a datagram whose fragments had those in
// the mask (RFC 3168, section 5.3): congestion experienced by one is by all, but
// not if another was not capable.
func reassembledECN(mask uint8) (uint8, bool) {
	const notECT, ect1, ect0, ce = 1 << 0, 1 << 1, 1 << 2, 1 << 3
	switch {
	case mask == notECT:
		return 0, true
	case mask&notECT != 0:
		return 0, mask&ce == 0
	case mask&ce != 0:
		return 3, true
	case mask&ect0 != 0:
		return 2, true
	default:
		return 1, true
	}
}
