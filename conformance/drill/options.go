package drill

import (
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/sluicenet/sluice/conformance/drill/script"
	"github.com/sluicenet/sluice/conformance/drill/settings"
	"github.com/sluicenet/sluice/conformance/drill/sock"
)

// Match says how closely a stack has to follow a script.
type Match string

// The ways of matching.
//
// Strict is packetdrill's: flags, numbers, options in their order, windows that
// are stated, times within 4 ms or an eighth of the time since the event before.
//
// Lenient is for scripts that were written for another stack. It does not
// compare the options of SYNs and resets, whether a reset acknowledges, windows, PSH on data, the sizes of socket buffers, the
// order and the padding of options; times may be 75 ms off; ACKs and window
// updates that the script does not have are let pass, and one that it has may be
// missing if a later packet acknowledges as much within half a second; segments may be cut elsewhere.
const (
	Strict  Match = "strict"
	Lenient Match = "lenient"
)

// Options say how a script is run.
type Options struct {
	Target  Target
	Match   Match            // "" is Strict
	Profile settings.Profile // "" follows from the script
	Defines map[string]string
	Args    []string  // options as on packetdrill's command line, "--name=value"; those of the script win
	Seed    uint64    // 0 is 1
	Pcap    io.Writer // nil: no capture

	// RealTime bounds the time of the machine that a script takes; 0: 30 s, and
	// for a target in real time what the script needs and a minute.
	RealTime time.Duration
}

// runOptions are the options of a script.
type runOptions struct {
	tolerance             time.Duration
	percent               float64
	bindPort, connectPort uint16
	v6, mapped            bool
	local, remote         netip.Addr
	mtu                   int
	strictSegments        bool
	tsTick                int64
	nonFatalPacket        bool
	nonFatalCall          bool
	dryRun                bool
}

func defaultOptions() runOptions {
	return runOptions{tolerance: 4 * time.Millisecond, percent: 12.5, bindPort: 8080, connectPort: 8080}
}

// apply takes in one option. The error is a *broken or says what is not supported.
func (o *runOptions) apply(name, value string) error {
	bad := func() error { return fmt.Errorf("--%s=%s: bad value", name, value) }
	num := func(least, most int64) (int64, error) {
		n, err := strconv.ParseInt(strings.TrimSpace(value), 0, 64)
		if err != nil || n < least || n > most {
			return 0, bad()
		}
		return n, nil
	}
	ip := func() (netip.Addr, error) {
		v, _, _ := strings.Cut(value, "/")
		a, err := netip.ParseAddr(v)
		if err != nil {
			return a, bad()
		}
		return a, nil
	}
	var n int64
	var err error
	switch name {
	case "ip_version":
		switch value {
		case "ipv4":
			o.v6, o.mapped = false, false
		case "ipv4-mapped-ipv6":
			o.v6, o.mapped = false, true
		case "ipv6":
			o.v6, o.mapped = true, false
		default:
			return bad()
		}
	case "bind_port":
		n, err = num(1, 65535)
		o.bindPort = uint16(n)
	case "connect_port":
		n, err = num(1, 65535)
		o.connectPort = uint16(n)
	case "local_ip":
		o.local, err = ip()
	case "remote_ip":
		o.remote, err = ip()
	case "tolerance_usecs":
		n, err = num(1, 1<<40)
		o.tolerance = time.Duration(n) * time.Microsecond
	case "tolerance_percent":
		if o.percent, err = strconv.ParseFloat(value, 64); err != nil || o.percent < 0 || o.percent > 100 {
			return bad()
		}
	case "mtu":
		n, err = num(68, 65535)
		o.mtu = int(n)
	case "strict_segments":
		o.strictSegments = true
	case "tcp_ts_tick_usecs":
		o.tsTick, err = num(0, 1000000)
	case "non_fatal":
		for _, w := range strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' }) {
			o.nonFatalPacket = o.nonFatalPacket || w == "packet" || w == "packets"
			o.nonFatalCall = o.nonFatalCall || w == "syscall" || w == "syscalls"
		}
	case "dry_run":
		o.dryRun = true
	case "init_scripts":
		if value != "" {
			return sock.Unsupported{Feature: "--init_scripts (a program to be run)"}
		}
	case "so_filename", "so_flags":
		return sock.Unsupported{Feature: "--" + name + " (a stack in a shared object)"}
	case "wire_client", "wire_server", "wire_server_ip", "wire_server_at", "wire_server_port", "wire_client_dev", "wire_server_dev":
		return sock.Unsupported{Feature: "--" + name + " (a remote packetdrill)"}
	case "udp_encaps":
		return sock.Unsupported{Feature: "TCP over UDP (--udp_encaps)"}
	case "is_anyip":
		return sock.Unsupported{Feature: "--is_anyip"}
	case "mss":
		// The size at which Google's packetdrill cuts what it injects into a device;
		// it does not apply to whole packets.
		_, err = num(1, 65535)
	case "code_format":
		if value != "python" {
			return sock.Unsupported{Feature: "--code_format=" + value}
		}
	case "code_command":
		if !strings.Contains(value, "python") {
			return sock.Unsupported{Feature: "--code_command=" + value}
		}
	case "code_sockopt":
		if value != "" && value != "TCP_INFO" {
			return sock.Unsupported{Feature: "--code_sockopt=" + value}
		}
	case "gateway_ip", "netmask_ip": // the link has no other host
		_, err = ip()
	case "speed": // of a device that is not there: it has no effect on packets in packetdrill either
		_, err = num(0, 1<<32)
	case "define", "tcp_ts_ecr_scaled", "send_omit_free", "debug", "verbose", "persistent_tun_dev", "tun_dev":
		// define has been applied by the parser; the others do not change a verdict:
		// timestamps are always interpolated, and each script has a host of its own.
	default:
		return fmt.Errorf("packetdrill has no option --%s", name)
	}
	return err
}

// options collects those of the caller and of the script.
func (r *run) options(args []string, s *script.Script) {
	r.opt = defaultOptions()
	for _, a := range args {
		name, value, _ := strings.Cut(strings.TrimLeft(a, "-"), "=")
		r.option(nil, name, value)
	}
	for i := range s.Options {
		o := &s.Options[i]
		r.option(&o.Pos, o.Name, o.Value)
	}
	if r.opt.v6 && r.opt.local.Is4() || r.opt.v6 && r.opt.remote.Is4() || !r.opt.v6 && (r.opt.local.Is6() || r.opt.remote.Is6()) {
		// Addresses of the other family, as a script that is run in several has.
		r.opt.local, r.opt.remote = netip.Addr{}, netip.Addr{}
	}
}

func (r *run) option(at *script.Pos, name, value string) {
	err := r.opt.apply(name, value)
	if err == nil {
		return
	}
	line := 0
	if at != nil {
		line = at.Line
	}
	if u, ok := err.(sock.Unsupported); ok {
		r.skip(line, u.Feature)
	}
	r.broken(line, err.Error())
}
