package settings

import (
	"strings"

	"github.com/sluicenet/sluice/conformance/drill/script"
)

// Detect returns the profile that a script's source speaks for: FreeBSD if
// there are FreeBSD's sysctls or commands, otherwise Linux.
func Detect(source string) Profile {
	for _, w := range []string{"net.inet.tcp.", "net.inet6.", "kern.ipc.", "kldload", "kldstat", "sockstat", "TCP_FUNCTION_BLK", "SO_ACCEPTFILTER", "TCP_NOOPT", "TCP_NOPUSH"} {
		if strings.Contains(source, w) {
			return FreeBSD
		}
	}
	return Linux
}

// OS is the name that a script's "#ifdef" knows the profile by.
func (p Profile) OS() string { return string(p) }

// Infer takes from a script what its commands do not tell: the window scale that it
// expects in the first SYN, which follows from the sizes of buffers. Scripts have those set
// by a helper, whose text is not at hand. A script that sets them itself is believed.
func (s *Settings) Infer(sc *script.Script) {
	s.inferFastOpen(sc)
	for i := range sc.Events {
		p, ok := sc.Events[i].Action.(*script.Packet)
		if !ok || p.Dir != script.Outbound || p.TCP == nil || !p.TCP.Flags.SYN {
			continue
		}
		for _, o := range p.TCP.Options {
			if o.Kind == script.OptWScale && !o.AnyVal && o.Value <= 14 {
				s.WindowShift = int(o.Value)
				return
			}
		}
	}
}

// Options are the options that a script may give, of those that packetdrill has.
// A value says whether it needs an argument.
var Options = map[string]bool{
	"ip_version": true, "bind_port": true, "code_command": true, "code_format": true, "code_sockopt": true,
	"connect_port": true, "remote_ip": true, "local_ip": true, "gateway_ip": true, "netmask_ip": true, "speed": true,
	"mss": true, "mtu": true, "init_scripts": true, "tolerance_usecs": true, "tolerance_percent": true,
	"wire_client": false, "wire_server": false, "wire_server_ip": true, "wire_server_at": true, "wire_server_port": true,
	"wire_client_dev": true, "wire_server_dev": true, "so_filename": true, "so_flags": true, "tcp_ts_ecr_scaled": false,
	"tcp_ts_tick_usecs": true, "strict_segments": false, "non_fatal": true, "dry_run": false, "is_anyip": false,
	"send_omit_free": false, "debug": false, "define": true, "verbose": false, "udp_encaps": true,
}

// UnknownOptions returns the options of a script that packetdrill does not have.
func UnknownOptions(s *script.Script) []script.Option {
	var out []script.Option
	for _, o := range s.Options {
		if _, ok := Options[o.Name]; !ok {
			out = append(out, o)
		}
	}
	return out
}
