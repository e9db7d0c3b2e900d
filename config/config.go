package config

import (
	"log/slog"
	"net/netip"
)

// Config is a whole, valid configuration. It comes from [Load] and is not
// changed afterwards; whoever needs another loads another.
type Config struct {
	Version  int       `mapstructure:"version" oneof:"1" required:"true" doc:"Version of the file format."`
	Log      Log       `mapstructure:"log" doc:"What the daemon prints on standard error."`
	Shutdown Duration  `mapstructure:"shutdown" default:"10s" doc:"How long a shutdown may take: the first half for services to finish what they are doing, the rest for the stacks to deliver what was written. What is left is reset."`
	Control  Control   `mapstructure:"control" doc:"The Unix socket that 'sluice flows' talks to."`
	HTTP     HTTP      `mapstructure:"http" doc:"Status as JSON over HTTP."`
	Links    []Link    `mapstructure:"links" doc:"What stacks are attached to."`
	Stacks   []Stack   `mapstructure:"stacks" required:"true" doc:"The TCP stacks."`
	Services []Service `mapstructure:"services" doc:"What runs on the stacks."`

	name     string // of the file
	backends Backends
	pos      map[string]position
}

// Name returns where the configuration came from.
func (c *Config) Name() string { return c.name }

// Log says what is logged and how.
type Log struct {
	Level  slog.Level `mapstructure:"level" default:"info" doc:"Least severity that is logged: debug, info, warn or error."`
	Format string     `mapstructure:"format" default:"text" oneof:"text|json" doc:"Form of the log lines."`
}

// Control is the daemon's control socket.
type Control struct {
	Socket string `mapstructure:"socket" doc:"Path of the socket; 'off' for none. By default sluice.sock in $XDG_RUNTIME_DIR; without that /run/sluice.sock for root, and otherwise sluice-UID.sock in the directory for temporary files."`
	Mode   Mode   `mapstructure:"mode" default:"0600" doc:"Permissions of the socket."`
}

// HTTP is the status server.
type HTTP struct {
	Listen AddrPort `mapstructure:"listen" default:"off" doc:"Loopback address and port to serve on, or 'off'."`
}

// Link is one link.
type Link struct {
	Name    string   `mapstructure:"name" required:"true" name:"true" doc:"Name of the link: lower-case letters, digits and '-'."`
	Driver  string   `mapstructure:"driver" required:"true" oneof:"pipe|sim|tun|tap|packet|replay" doc:"pipe: memory between two stacks; sim: a simulated network between two stacks; tun, tap: a TUN or TAP device of this machine (Linux); packet: a station on the network of an interface that exists (Linux); replay: the packets of a capture."`
	MTU     int      `mapstructure:"mtu" default:"1500" min:"576" max:"65535" doc:"Largest IP packet, in bytes; 1280 at least for IPv6."`
	Ends    []string `mapstructure:"ends" default:"a,b" doc:"Names of the two ends of a pipe or sim link. Stacks refer to them as 'link:end'."`
	Capture string   `mapstructure:"capture" doc:"File that the link's packets are written to, in pcapng format; of a pipe or sim link, those that pass its first end. Replaced at each start."`
	Pipe    *Pipe    `mapstructure:"pipe" doc:"Settings of the driver pipe."`
	Tun     *Tun     `mapstructure:"tun" doc:"Settings of the driver tun."`
	Tap     *Tap     `mapstructure:"tap" doc:"Settings of the driver tap."`
	Packet  *Packet  `mapstructure:"packet" doc:"Settings of the driver packet."`
	Replay  *Replay  `mapstructure:"replay" doc:"Settings of the driver replay."`
	Sim     *Sim     `mapstructure:"sim" doc:"Settings of the driver sim, for packets both ways. Without them it is a perfect link."`
}

// oneEnd reports whether the link has one end, for one stack.
func (l *Link) oneEnd() bool { return l.Driver != "pipe" && l.Driver != "sim" }

// ethernet reports whether the link may carry Ethernet frames. Of a replay only the
// capture tells.
func (l *Link) ethernet() bool {
	return l.Driver == "tap" || l.Driver == "packet" || l.Driver == "replay"
}

// kernelDevice returns the settings of a TUN or TAP device, or nil.
func (l *Link) kernelDevice() *Tun {
	if l.Tap != nil {
		return &l.Tap.Tun
	}
	return l.Tun
}

// Pipe is a link in memory.
type Pipe struct {
	Offload string `mapstructure:"offload" default:"off" oneof:"off|on|software" doc:"on: super-packets of up to 64 KiB cross whole, and nobody computes checksums. software: packets of the MTU with checksums cross, which are cut in front of the link and merged behind it. Both make bulk transfers faster."`
}

// Tun is a TUN device.
type Tun struct {
	Device        string   `mapstructure:"device" doc:"Name of the device, created if there is none. By default the kernel chooses one."`
	FD            int      `mapstructure:"fd" min:"3" doc:"Number of an inherited descriptor of an open device of the kind, instead of device."`
	Queues        int      `mapstructure:"queues" default:"1" min:"1" max:"256" doc:"Queues of the device, each read by a goroutine of its own; the kernel spreads flows over them. One for each CPU pays where many flows are busy."`
	Offload       string   `mapstructure:"offload" default:"off" oneof:"off|on|auto|software" doc:"Exchange super-packets and unfinished checksums with the kernel: auto where it can. software: plain packets cross the device, and are cut and merged in front of it."`
	Up            bool     `mapstructure:"up" default:"true" doc:"Set the device's MTU and addresses and bring it up. Needs CAP_NET_ADMIN. Otherwise that is the administrator's task."`
	HostAddresses []Prefix `mapstructure:"host_addresses" doc:"Addresses for the kernel's side of the device."`
}

// Tap is a TAP device.
type Tap struct {
	Tun `mapstructure:",squash"`
	MAC MAC `mapstructure:"mac" doc:"Ethernet address of the stack, other than the device's own. By default one at random."`
}

// Packet is a packet socket on an interface.
type Packet struct {
	Interface string `mapstructure:"interface" required:"true" doc:"Name of the interface, which exists and is up. The kernel must not have the stack's addresses."`
	MAC       MAC    `mapstructure:"mac" doc:"Ethernet address of the stack; another than the interface's makes that promiscuous. By default the interface's own."`
	Offload   string `mapstructure:"offload" default:"on" oneof:"off|on|software" doc:"Send super-packets and unfinished checksums, for the kernel or the card to finish. software: cut them before."`
}

// Replay is a capture that is played.
type Replay struct {
	File      string  `mapstructure:"file" required:"true" doc:"The capture: pcap or pcapng, of Ethernet frames or IP packets."`
	Speed     float64 `mapstructure:"speed" default:"1" min:"0" doc:"How many times faster than recorded it is played; 0: as fast as the stack takes it."`
	Interface string  `mapstructure:"interface" doc:"Play only what was recorded on this interface of a pcapng file: 'x in' is what came in on the link x of a capture that Sluice has made. By default everything."`
	MAC       MAC     `mapstructure:"mac" doc:"Ethernet address of the stack, for a capture of Ethernet frames: that of the host whose part it plays."`
}

// Sim is a simulated network.
type Sim struct {
	Path    `mapstructure:",squash"`
	Reverse *Path  `mapstructure:"reverse" doc:"Settings for packets from the second end to the first, where they differ. A key that is absent here keeps its default, not the value of the other direction."`
	Seed    uint64 `mapstructure:"seed" default:"1" doc:"Seed of everything random in the link."`
}

// Path is what a simulated network does to packets in one direction.
type Path struct {
	Delay        Duration `mapstructure:"delay" doc:"One-way delay."`
	Jitter       Duration `mapstructure:"jitter" doc:"Largest random change of the delay, either way. It does not change the order."`
	Loss         Percent  `mapstructure:"loss" doc:"Share of packets lost."`
	Reorder      Percent  `mapstructure:"reorder" doc:"Share of packets that later ones may overtake."`
	ReorderDelay Duration `mapstructure:"reorder_delay" doc:"Further delay of those packets; by default half the delay, 1ms at least."`
	Duplicate    Percent  `mapstructure:"duplicate" doc:"Share of packets delivered twice."`
	Corrupt      Percent  `mapstructure:"corrupt" doc:"Share of packets in which one bit is flipped."`
	Rate         Rate     `mapstructure:"rate" doc:"Bit rate; 0 for no limit."`
	Queue        Size     `mapstructure:"queue" min:"576B" doc:"Room in the queue in front of the rate limit; packets that do not fit are dropped. By default what the wire carries in a round trip, 64KiB at least."`
}

// Stack is one TCP stack.
type Stack struct {
	Name      string       `mapstructure:"name" required:"true" name:"true" doc:"Name of the stack: lower-case letters, digits and '-'."`
	Backend   string       `mapstructure:"backend" default:"cubic" doc:"Implementation: reno, cubic, bbr, dctcp and fixed are the userspace engine with that congestion controller, kernel is the sockets of the host."`
	Link      string       `mapstructure:"link" doc:"Link that the stack is attached to; 'link:end' for one with two ends, 'none' for a stack that talks to itself alone. The backend kernel has no link."`
	Addresses []Prefix     `mapstructure:"addresses" doc:"The stack's own addresses with their networks."`
	Gateways  []netip.Addr `mapstructure:"gateways" doc:"Routers beyond these networks, one for each family at most."`

	DuplicateDetection bool `mapstructure:"duplicate_detection" default:"true" doc:"On a link of Ethernet, ask whether another station has the addresses before using them: for 7 seconds at most with IPv4, 2 with IPv6."`

	Buffers     Buffers    `mapstructure:"buffers" doc:"Limits of one flow's queues."`
	Limits      Limits     `mapstructure:"limits" doc:"Limits of the whole stack."`
	Keepalive   *Keepalive `mapstructure:"keepalive" doc:"Probe idle peers. Without this block that is off; an empty one, {}, turns it on."`
	NoDelay     bool       `mapstructure:"nodelay" default:"false" doc:"Turn Nagle's algorithm off."`
	UserTimeout Duration   `mapstructure:"user_timeout" min:"1s" doc:"End a flow whose data stays unacknowledged for that long, and a dial that is not answered."`
	TTL         int        `mapstructure:"ttl" min:"1" max:"255" doc:"IPv4 time to live and IPv6 hop limit."`
	DSCP        int        `mapstructure:"dscp" min:"0" max:"63" doc:"Diffserv code point."`
	MSS         int        `mapstructure:"mss" min:"64" max:"65495" doc:"Largest segment payload announced and sent, in bytes."`

	Timers Timers `mapstructure:"timers" doc:"Timers of TCP."`
	TCP    TCP    `mapstructure:"tcp" doc:"Features of TCP."`
	Cubic  *Cubic `mapstructure:"cubic" doc:"Options of the backend cubic."`
	Fixed  *Fixed `mapstructure:"fixed" doc:"Options of the backend fixed."`

	Shards int    `mapstructure:"shards" min:"1" max:"4096" doc:"Independently locked parts of the stack; by default 16 for each CPU."`
	Seed   uint64 `mapstructure:"seed" doc:"Makes the stack's random choices repeatable, for tests and simulations only: sequence numbers become predictable."`
}

// Buffers are the limits of one flow.
type Buffers struct {
	Send     Size `mapstructure:"send" min:"4KiB" max:"1GiB" doc:"Memory for data written and not yet acknowledged."`
	Receive  Size `mapstructure:"receive" min:"4KiB" max:"1GiB" doc:"Memory for data received and not yet read."`
	Autotune bool `mapstructure:"autotune" default:"true" doc:"Begin with 64KiB each way and grow up to these limits as the flow needs: the receive buffer with what is read in a round trip, the send buffer with the congestion window. Otherwise the whole of them is there from the start."`
}

// Limits are the limits of a stack.
type Limits struct {
	Memory   Size `mapstructure:"memory" min:"64KiB" doc:"Buffers of all flows together."`
	Flows    int  `mapstructure:"flows" min:"1" doc:"Open flows."`
	HalfOpen int  `mapstructure:"half_open" min:"1" doc:"Connections not yet established by their peer."`
	TimeWait int  `mapstructure:"time_wait" min:"1" doc:"Records in TIME-WAIT."`
}

// Keepalive says when a silent peer is given up.
type Keepalive struct {
	After    Duration `mapstructure:"after" default:"2h" min:"1s" doc:"Silence before the first probe."`
	Interval Duration `mapstructure:"interval" default:"75s" min:"1s" doc:"Time between probes."`
	Probes   int      `mapstructure:"probes" default:"9" min:"1" max:"1000" doc:"Unanswered probes after which the peer is given up."`
}

// Timers are the timers of TCP.
type Timers struct {
	RTOInitial        Duration `mapstructure:"rto_initial" min:"1ms" max:"1m" doc:"Retransmission timeout before the first measurement (RFC 6298)."`
	RTOMin            Duration `mapstructure:"rto_min" min:"1ms" max:"1m" doc:"Least retransmission timeout."`
	RTOMax            Duration `mapstructure:"rto_max" min:"1s" max:"1h" doc:"Greatest retransmission timeout."`
	DelayedAck        Duration `mapstructure:"delayed_ack" min:"1ms" max:"499ms" doc:"How long an acknowledgement may wait for company (RFC 9293: less than 500 ms)."`
	TimeWait          Duration `mapstructure:"time_wait" min:"1ms" max:"1h" doc:"Length of TIME-WAIT."`
	FinWait2          Duration `mapstructure:"fin_wait2" min:"1ms" max:"24h" doc:"How long a flow that both its user and nobody else holds waits for the peer's FIN."`
	SynTimeout        Duration `mapstructure:"syn_timeout" min:"1s" max:"1h" doc:"How long a handshake is tried."`
	ChallengeInterval Duration `mapstructure:"challenge_interval" min:"1ms" max:"1m" doc:"Least time between challenge ACKs of a flow (RFC 5961)."`
}

// TCP has the features of TCP.
type TCP struct {
	SACK          bool     `mapstructure:"sack" default:"true" doc:"Selective acknowledgements (RFC 2018)."`
	Timestamps    bool     `mapstructure:"timestamps" default:"true" doc:"Timestamps (RFC 7323)."`
	WindowScale   bool     `mapstructure:"window_scale" default:"true" doc:"Window scaling (RFC 7323)."`
	ECN           string   `mapstructure:"ecn" default:"passive" oneof:"off|passive|on" doc:"Explicit congestion notification (RFC 3168): passive where the peer asks for it, on to ask for it too. A congestion controller that needs it asks for it, unless this is off."`
	SynCookies    string   `mapstructure:"syn_cookies" default:"overflow" oneof:"never|overflow|always" doc:"Answer SYNs by cookies, without remembering them (RFC 4987): overflow where the SYN queue is full. With never the oldest half-open connection makes room instead."`
	FastOpen      FastOpen `mapstructure:"fast_open" doc:"TCP Fast Open (RFC 7413): data travel with the SYN. The network can repeat them, so applications have to ask for it too, and must not mind."`
	InitialWindow Size     `mapstructure:"initial_window" min:"64B" max:"1MiB" doc:"Initial congestion window; by default that of RFC 6928."`
	MaxWindow     Size     `mapstructure:"max_window" min:"1KiB" max:"1GiB" doc:"Greatest congestion window."`
	MinMSS        int      `mapstructure:"min_mss" min:"1" max:"536" doc:"Smallest MSS that a peer may announce."`
	OrphanRetries int      `mapstructure:"orphan_retries" min:"1" max:"30" doc:"Retransmissions for a flow that nobody holds."`
}

// FastOpen says where Fast Open may be used.
type FastOpen struct {
	Client bool `mapstructure:"client" default:"false" doc:"What a program dials with data (DialFast) may send them with the SYN, to servers that have given a cookie."`
	Server bool `mapstructure:"server" default:"false" doc:"Listeners that ask for it, as services by their key fast_open, may take data from SYNs."`
}

// Cubic has the options of the congestion controller CUBIC (RFC 9438).
type Cubic struct {
	FastConvergence bool    `mapstructure:"fast_convergence" default:"true" doc:"Give way to new flows faster (section 4.7)."`
	HyStart         bool    `mapstructure:"hystart" default:"true" doc:"Leave slow start when the delay grows (RFC 9406)."`
	C               float64 `mapstructure:"c" default:"0.4" min:"0.001" max:"100" doc:"Aggressiveness (section 5)."`
	Beta            float64 `mapstructure:"beta" default:"0.7" min:"0.1" max:"0.95" doc:"Multiplicative decrease (section 4.6)."`
}

// Fixed has the options of the constant window.
type Fixed struct {
	Window Size `mapstructure:"window" default:"64KiB" min:"1B" max:"1GiB" doc:"What may be in flight, whatever happens."`
}

// Service is something that runs on a stack.
type Service struct {
	Name        string   `mapstructure:"name" required:"true" name:"true" doc:"Name of the service: lower-case letters, digits and '-'."`
	Stack       string   `mapstructure:"stack" required:"true" doc:"Stack that it runs on."`
	Handler     string   `mapstructure:"handler" required:"true" oneof:"echo|discard|chargen|http|proxy|forward" doc:"echo, discard, chargen: RFC 862, 863, 864; http: files, or a status page; proxy: from the stack to an address of the host's network; forward: from an address of the host through the stack (from, to), or from the stack to wherever the connection was going (prefixes)."`
	Listen      Endpoint `mapstructure:"listen" doc:"Port in the stack, or one of its addresses and a port. For every handler but forward."`
	Connections int      `mapstructure:"connections" default:"1024" min:"1" max:"1000000" doc:"Most connections at once; more have to wait."`
	FastOpen    int      `mapstructure:"fast_open" default:"0" min:"0" max:"65536" doc:"Connections that may be opened by a SYN with data (TCP Fast Open) and wait for the end of their handshake; 0 for none. The stack has to allow it by tcp.fast_open.server. A request may then come twice."`
	Root        string   `mapstructure:"root" doc:"Directory that http serves, from the working directory of the daemon if it is relative. Without it http serves the built-in status page."`
	Upload      bool     `mapstructure:"upload" default:"false" doc:"Let http store files under root, by PUT or POST. The directory is made if it does not exist."`
	To          AddrPort `mapstructure:"to" default:"off" doc:"Where proxy (in the host's network) or forward (in the stack's) leads."`
	From        AddrPort `mapstructure:"from" default:"off" doc:"Address and port of the host that forward listens on."`
	Prefixes    []Prefix `mapstructure:"prefixes" doc:"Addresses beyond the stack's own to which forward takes connections, as in [0.0.0.0/0, '::/0']. Each is carried on to its destination by the host's network, which must not route it back into the stack; the destination is dialled first. In place of from and to."`
}
