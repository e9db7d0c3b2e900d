package drill

import (
	"strings"
	"testing"
	"time"
)

// Whatever a script says, it comes to a verdict, and that is no bug of ours.
func FuzzRun(f *testing.F) {
	for _, s := range []string{
		passiveOpen + "+0 write(4, ..., 3000) = 3000\n+0 > P. 1:3001(3000) ack 1\n+.1 < . 1:1(0) ack 1001 win 257 <sack 2001:3001,nop,nop>\n",
		"0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0...0.1 connect(3, ..., ...) = -1 ECONNREFUSED\n+0 > S 0:0(0) <...>\n+.1 < R. 0:0(0) ack 1 win 0\n",
		passiveOpen + "+0 poll([{fd=4, events=POLLIN, revents=0}], 1, 10) = 0\n* > . 1:1(0) ack 1\n+0 %{ print(tcpi_rtt) }%\n",
		"--ip_version=ipv6\n" + passiveOpen + "+0 < icmp packet_too_big mtu 1280 [1:1461(1460)]\n+0 close(4) = 0\n",
		passiveOpen + "+0 sendmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 100}], msg_flags=0}, MSG_OOB) = 100\n+0 `sysctl net.ipv4.tcp_sack=0`\n",
	} {
		f.Add(s, false)
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, source string, lenient bool) {
		o := Options{Target: engineTarget{}, RealTime: 20 * time.Second}
		if lenient {
			o.Match = Lenient
		}
		v := Run(&o, "fuzz.pkt", source)
		if v.Outcome == "" || strings.Contains(v.Reason, "BUG") || strings.Contains(v.Reason, "of real time") {
			t.Fatalf("%v", v)
		}
	})
}
