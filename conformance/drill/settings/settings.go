// Package settings has what a script's shell commands configure. A script sets
// sysctls, routes and such; here they are read as settings, and never executed.
//
// A profile has the defaults that a corpus of scripts assumes: "linux" and
// "freebsd". A key that is unknown, or a value that cannot be honoured and that
// may decide what a script sees, leads to a [Skip] that names it.
package settings

import (
	"fmt"
	"sort"
	"time"
)

// Profile names the system whose defaults a script assumes.
type Profile string

// The profiles.
const (
	Linux   Profile = "linux"
	FreeBSD Profile = "freebsd"
)

// ECN says what a stack does about ECN (RFC 3168).
type ECN uint8

// The values of ECN.
const (
	ECNOff     ECN = iota
	ECNRequest     // asked for and accepted
	ECNAccept      // accepted alone
)

// Space is the least, the initial and the greatest size of a buffer, in bytes.
type Space struct{ Min, Default, Max int64 }

// Settings are what a stack under test is to be made with. Sizes are bytes,
// counts are what they say.
type Settings struct {
	Profile Profile

	// Native: the target takes sysctls itself, as the kernel does, so that no
	// value of a known key needs a feature.
	Native bool

	SACK, DSACK        bool
	Timestamps         bool
	WindowScale        bool
	ECN                ECN
	RACK               bool // RFC 8985; else RFC 6675 alone
	TLP                bool
	FRTO               bool
	LinearThin         bool // timeouts of thin streams are not doubled
	LimitedTransmit    bool // RFC 3042
	PRR                bool
	SlowStartAfterIdle bool
	Reordering         int // duplicate ACKs that tell a loss

	Congestion string // the controller's name as the system has it; "" is the target's own

	InitialWindow        int // segments; 0 is RFC 6928's
	InitialReceiveWindow int // segments; 0 follows from the buffer

	RTOInitial, RTOMin, RTOMax time.Duration

	DelayedAck time.Duration
	AckEvery   bool // no ACK is delayed
	DropSynFin bool // a SYN with a FIN is dropped
	Blackhole  int  // 1: no RST for a SYN to a closed port; 2: none at all there
	Cookies    bool // SYN cookies for every connection
	QuickStart bool // the first segments of a connection are acknowledged one by one

	SynRetries, SynAckRetries int // times that a SYN is sent again
	SynLinear                 int // of those, so many at a distance of RTOInitial
	Retries                   int // times that data is sent again before giving up
	OrphanRetries             int

	FinWait2 time.Duration
	TimeWait time.Duration // 2 MSL

	KeepaliveAlways bool
	KeepaliveIdle   time.Duration
	KeepaliveEvery  time.Duration
	KeepaliveCount  int
	KeepaliveInit   time.Duration // bound on a handshake; 0: none but SynRetries

	PersistMin, PersistMax time.Duration // 0: the RTO's

	SendBuffer, ReceiveBuffer Space
	SendMax, ReceiveMax       int64 // for SO_SNDBUF and SO_RCVBUF
	AutotuneReceive           bool
	WindowShift               int // announced if window scaling is on; -1 follows from the buffer

	MTU     int   // of the link; 0: 1500
	PathMTU int   // of the route; 0: the link's
	MSS     int64 // announced; 0 follows from the MTU
	MinMSS  int64 // floor for what a peer announces
	PMTUD   bool
	TTL     int

	NotSentLowat int // TCP_NOTSENT_LOWAT of sockets that set none; 0: none
	Somaxconn    int

	ChallengeInterval time.Duration // between challenge ACKs (RFC 5961)

	FastOpen      int64         // the bits of net.ipv4.tcp_fastopen
	FastOpenKeys  []byte        // of 16 bytes each; none: the host's own
	FastOpenPause time.Duration // after a black hole; 0: none

	// Keys has every sysctl that was set, with its value as written.
	Keys map[string]string
	// Notes are what was read and has no effect here.
	Notes []string
}

// New returns the defaults of a profile.
func New(p Profile) *Settings {
	s := &Settings{
		Profile: p,
		SACK:    true, DSACK: true, Timestamps: true, WindowScale: true,
		ECN: ECNAccept, RACK: true, TLP: true, FRTO: true, LimitedTransmit: true, PRR: true, SlowStartAfterIdle: true,
		Reordering:    3,
		InitialWindow: 10,
		RTOInitial:    time.Second, RTOMin: 200 * time.Millisecond, RTOMax: 120 * time.Second,
		DelayedAck: 40 * time.Millisecond, QuickStart: true,
		SynRetries: 6, SynAckRetries: 5, SynLinear: 4, Retries: 15, OrphanRetries: 8,
		FinWait2: 60 * time.Second, TimeWait: 60 * time.Second,
		KeepaliveIdle: 2 * time.Hour, KeepaliveEvery: 75 * time.Second, KeepaliveCount: 9,
		SendBuffer:    Space{4096, 16384, 4 << 20},
		ReceiveBuffer: Space{4096, 131072, 6 << 20},
		SendMax:       4 << 20, ReceiveMax: 4 << 20,
		AutotuneReceive: true,
		WindowShift:     -1,
		MinMSS:          48, PMTUD: true, TTL: 64, Somaxconn: 4096,
		ChallengeInterval: 500 * time.Millisecond,
		FastOpen:          foClient,
		Keys:              map[string]string{},
	}
	if p == FreeBSD {
		s.FastOpen = 0
		s.RACK, s.TLP, s.FRTO = false, false, false
		s.QuickStart = false
		s.RTOMin, s.RTOMax = 230*time.Millisecond, 64*time.Second // rexmit_min and rexmit_slop
		s.SynRetries, s.SynAckRetries, s.SynLinear, s.Retries = 12, 3, 0, 12
		s.KeepaliveCount, s.KeepaliveInit, s.KeepaliveAlways = 8, 75*time.Second, true
		s.PersistMin, s.PersistMax = 5*time.Second, 60*time.Second
		s.SendBuffer = Space{32768, 32768, 2 << 20}
		s.ReceiveBuffer = Space{65536, 65536, 2 << 20}
		s.SendMax, s.ReceiveMax = 2<<20, 2<<20
		s.WindowShift = 6
		s.MinMSS, s.Somaxconn = 216, 128
	}
	return s
}

// Effect is what a command means: a Set, Sleep, File, Query, Note or Skip.
type Effect interface{ effect() }

// Set says that a key has been set, and the settings changed accordingly.
type Set struct{ Key, Value string }

// Sleep is a pause.
type Sleep struct{ For time.Duration }

// File is a file that the command makes.
type File struct {
	Path string
	Data []byte
	Size int64 // of Data and of zeros behind it
}

// Note says that a command has no effect here, and why that is right.
type Note struct{ Text string }

// Skip names what is missing: the script cannot be judged.
type Skip struct{ Feature string }

func (Set) effect()    {}
func (Sleep) effect()  {}
func (File) effect()   {}
func (Note) effect()   {}
func (Skip) effect()   {}
func (*Query) effect() {}

// set applies a sysctl.
func (s *Settings) set(name, text string) Effect {
	k, ok := lookup(name)
	if !ok {
		return Skip{"the sysctl " + name}
	}
	v := value{text: text}
	if !v.parse() && !k.text {
		return Skip{fmt.Sprintf("the value %q of the sysctl %s", text, name)}
	}
	s.Keys[name] = text
	if k.reject != nil && k.reject(v) && !s.Native {
		return Skip{fmt.Sprintf("%s (%s=%s)", k.feature, name, text)}
	}
	if k.apply == nil && s.Native {
		return Set{name, text}
	}
	if k.apply == nil {
		return Note{fmt.Sprintf("%s=%s: %s", name, text, k.feature)}
	}
	k.apply(s, v)
	return Set{name, text}
}

// Supported lists the sysctls that are known, for users: those that are honoured,
// and those whose values are read and have no effect.
func Supported() (honoured, ignored []string) {
	for name, k := range keys {
		if k.apply != nil {
			honoured = append(honoured, name)
		} else {
			ignored = append(ignored, name)
		}
	}
	sort.Strings(honoured)
	sort.Strings(ignored)
	return honoured, ignored
}
