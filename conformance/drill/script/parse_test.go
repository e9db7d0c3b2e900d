package script

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

// whole makes a script of one event.
func whole(line string) string {
	if strings.HasPrefix(line, "--") || strings.HasPrefix(line, "`") {
		return line + "\n0 close(3) = 0\n"
	}
	return line + "\n"
}

// valid are lines of both dialects, with their canonical form where that differs.
var valid = [][2]string{
	{"--tolerance_usecs=10000"},
	{"--strict_segments"},
	{"--ip_version=ipv4-mapped-ipv6"},
	{`--code_command="python3 -u"`},
	{"--local_ip=fd3d:fa7b:d17d::1"},
	{"--remote_ip=192.0.2.1", "--remote_ip=192.0.2.1"},
	{"--mtu = 1280", "--mtu=1280"},
	{"`sysctl -q -w net.ipv4.tcp_sack=1`"},
	{"`echo \\`date\\``"},

	// Times.
	{"0 close(3) = 0"},
	{"0.0 close(3) = 0", "0 close(3) = 0"},
	{"+0.123456 close(3) = 0"},
	{"+.1 close(3) = 0", "+0.1 close(3) = 0"},
	{"* > . 1:1(0) ack 1"},
	{"1.0~1.5 > . 1:1(0) ack 1", "1~1.5 > . 1:1(0) ack 1"},
	{"+0.2~+0.25 > . 1:1(0) ack 1"},
	{"+0~0.25 > . 1:1(0) ack 1", "+0~+0.25 > . 1:1(0) ack 1"},
	{"0...0.100 connect(3, ..., ...) = 0", "0...0.1 connect(3, ..., ...) = 0"},
	{"+0...1 read(3, ..., 100) = 0"},

	// Packets.
	{"+0 < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>"},
	{"+0 < SEW 0:0(0) win 32792 <mss 1000, nop, eol>", "+0 < SEW 0:0(0) win 32792 <mss 1000,nop,eol>"},
	{"+0 > S. 0:0(0) ack 1 <...>"},
	{"+0 > SE. 0:0(0) ack 1 win 65535 <mss 1460,nop,wscale 6>"},
	{"+0 < SEWA 0:0(0) win 1000"},
	{"+0 > S.5 0:0(0) ack 1", "+0 > S.5 0:0(0) ack 1"},
	{"+0 < .5 1:1(0) ack 1 win 1000"},
	{"+0 < P.7 1:1001(1000) ack 1 win 1000"},
	{"+0 < - 1:1(0) win 1000"},
	{"+0 < F. 1:1(0) ack 1 win 1000"},
	{"+0 > RP.U 1:11(10) ack 1 win 5 urg 3", "+0 > RPU. 1:11(10) ack 1 win 5 urg 3"},
	{"+0 < [ce] P. 1:1001(1000) ack 1 win 1000"},
	{"+0 > [ect01] P. 1:1001(1000) ack 1"},
	{"+0 > (noecn) P. 1:1001(1000) ack 1", "+0 > [noecn] P. 1:1001(1000) ack 1"},
	{"+0 > [ect0, flowlabel 0x12345] . 1:1(0) ack 1"},
	{"+0 > [tos 0x02] . 1:1(0) ack 1"},
	{"+0 > [ttl 255] . 1:1(0) ack 1"},
	{"+0 > [class 0x10, hlim 3] . 1:1(0) ack 1", "+0 > [tos 0x10, ttl 3] . 1:1(0) ack 1"},
	{"+0 < [dscp af11, ecn ect0] . 1:1(0) ack 1", "+0 < [dscp 0x0a, ect0] . 1:1(0) ack 1"},
	{"+0 > (dscp voice-admit) . 1:1(0) ack 1", "+0 > [dscp 0x2c] . 1:1(0) ack 1"},
	{"+0 < P5. 1:1(0) ack 1", "+0 < P.5 1:1(0) ack 1"},
	{"+0 < 5. 1:1(0) ack 1", "+0 < .5 1:1(0) ack 1"},
	{"+0 < . 1:1(0) ack 1 <AccECN0 ee0b 1 eceb 2,nop>", "+0 < . 1:1(0) ack 1 <ECN e0b 1 ceb 2,nop>"},
	{"+0 < . 1:1(0) ack 1 <exp-AccECN1,exp-TARR 4,exp-FO>", "+0 < . 1:1(0) ack 1 <exp-AccECN1,exp-TARR 4,FOEXP>"},
	{"+0 > [flowlabel 0x1] . 1:1(0) ack 1"},
	{"+0 < 55668 > 8080 S 0:0(0) win 1000"},
	{"+0 < . 1:1(0) ack 1 win 257 <sack 1001:2001 3001:4001,nop,nop>"},
	{"+0 < . 1:1(0) ack 1 win 257 <nop,nop,TS val 100 ecr 4294967295>"},
	{"+0 > . 1:1(0) ack 1 <nop,nop,TS val ... ecr 100!>"},
	{"+0 > S 0:0(0) <mss 1460,FO,nop,nop>"},
	{"+0 > S 0:0(0) <mss 1460,FO abcd1234,nop,nop>"},
	{"+0 < S 0:0(0) win 1000 <FOEXP 0123456789abcdef>"},
	{"+0 < S 0:0(0) win 1000 <FO 12345678>"},
	{"+0 < S 0:0(0) win 1000 <md5 000102030405060708090a0b0c0d0e0f>"},
	{"+0 > S. 0:0(0) ack 1 <mss 1460,ECN e1b 1 ceb 0 e0b 1,nop>"},
	{"+0 > S. 0:0(0) ack 1 <mss 1460,ECN>"},
	{"+0 < . 1:1(0) ack 1 win 1 <AccECNEXP e0b 1 ceb 2>"},
	{"+0 < S 0:0(0) win 1 <mystery 1 [2,3] foo=4,nop>", "+0 < S 0:0(0) win 1 <mystery 1 [ 2 , 3 ] foo = 4,nop>"},
	{"+0 > R 1:1(0)"},
	{"+0 > R 4294967295:0(1)"},
	{"+0 < R 123:123(0)! win 0"},
	{"+0 > . ...(1000) ack 1"},
	{"+0 > S 0:0(0) win 65535 <mss 1460> /udp(9899 > 9900)"},
	{"+0 < S 0:0(0) win 1000 <mss 1460,nop,nop>{mut tcp mss; trun ip 4 - 8; ins tcp 1 2}", "+0 < S 0:0(0) win 1000 <mss 1460,nop,nop> {mut tcp mss; trun ip 4 - 8; ins tcp 1 2}"},
	{"+0 < S 0:0(0) win 1000 {trun ip 4-8}", "+0 < S 0:0(0) win 1000 {trun ip 4 - 8}"},
	{"+0 > ipv4 192.0.2.1 > 192.0.2.2: . 1:1(0) ack 1"},
	{"+0 > ipv4 [tos 0x10] 1.2.3.4 > 5.6.7.8 : gre: . 1:1(0)", "+0 > ipv4 [tos 0x10] 1.2.3.4 > 5.6.7.8: gre: . 1:1(0)"},
	{"+0 > ipv6 2001:db8::1 > fd3d:fa7b:d17d::2: mpls (label 0, tc 0, ttl 0) (label 1048575, tc 7, [S], ttl 255): . 1:1(0) ack 1"},
	{"+0 < ipv6 ::1 > ::ffff:1.2.3.4: udp (8)"},
	{"+0 < gre flags [key present, sequence# present] sum 0 off 0 key = 5 seq 6: . 1:1(0) win 1",
		"+0 < gre flags 0x3000, sum 0x0, off 0x0, key 0x5, seq 0x6: . 1:1(0) win 1"},
	{"+0 < udp (1000)"},
	{"+0 < udp 1234 > 8080 (1000)"},
	{"+0 > udplite (1000, 8)"},
	{"+0 < icmp unreachable port_unreachable"},
	{"+0 < icmp unreachable frag_needed mtu 1200 [1:1461(1460)]"},
	{"+0 < [1:1461(1460)] icmp unreachable frag_needed mtu 1200", "+0 < icmp unreachable frag_needed mtu 1200 [1:1461(1460)]"},
	{"+0 < [1:1(0) /udp(1 > 2)] icmp unreachable port", "+0 < icmp unreachable port [1:1(0) /udp(1 > 2)]"},
	{"+0 < [udp (1472)] icmp packet_too_big mtu 1280", "+0 < icmp packet_too_big mtu 1280 [udp (1472)]"},
	{"+0 < [udplite (10, 8)] icmp unreachable", "+0 < icmp unreachable [udplite (10, 8)]"},
	{"+0 < [sctp (1)] icmp unreachable", "+0 < icmp unreachable [sctp (1)]"},
	{"+0 < icmp echo_request id 7 [raw (64)]"},
	{"+0 < sctp: INIT[flgs=0, tag=1, a_rwnd=1500, os=1, is=1, tsn=1];\nDATA[flgs=BE, len=1016, val=[0x00, 0x01]]",
		"+0 < sctp : INIT [ flgs = 0 , tag = 1 , a_rwnd = 1500 , os = 1 , is = 1 , tsn = 1 ] ; DATA [ flgs = BE , len = 1016 , val = [ 0x00 , 0x01 ] ]"},
	{"+0 < psp (spi 1): . 1:1(0)", "+0 < psp ( spi 1 ) : . 1 : 1 ( 0 )"},

	// System calls.
	{"0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3"},
	{"+0 setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0"},
	{"+0 setsockopt(3, SOL_SOCKET, SO_LINGER, {onoff=1, linger=0}, 8) = 0"},
	{"+0 getsockopt(4, IPPROTO_TCP, TCP_CONGESTION, \"cubic\"..., [5]) = 0"},
	{"+0 bind(3, {sa_family = AF_INET, sin_port = htons(8080), sin_addr = inet_addr(\"127.0.0.1\")}, 16) = 0",
		"+0 bind(3, {sa_family=AF_INET, sin_port=htons(8080), sin_addr=inet_addr(\"127.0.0.1\")}, 16) = 0"},
	{"+0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)"},
	{"+0 connect(3, ..., ...) = -1 EINVAL"},
	{"+0 fcntl(3, F_GETFL) = 0x2 (flags O_RDWR)"},
	{"+0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0", "+0 fcntl(3, F_SETFL, O_RDWR | O_NONBLOCK) = 0"},
	{"+0 fcntl(3, F_GETFL) = O_RDWR|O_NONBLOCK (flags O_RDWR)", "+0 fcntl(3, F_GETFL) = O_RDWR | O_NONBLOCK (flags O_RDWR)"},
	{"+0 write(4, \"a\\x00\\\"b\\n\" \"c\", 6) = 6", "+0 write(4, \"a\\x00\\\"b\\x0ac\", 6) = 6"},
	{"+0 poll([{fd=3, events=POLLIN|POLLOUT, revents=POLLOUT}], 1, 0) = 1", "+0 poll([{fd=3, events=POLLIN | POLLOUT, revents=POLLOUT}], 1, 0) = 1"},
	{"+0 sendmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 100}], msg_flags=0}, 0) = 100"},
	{"+0 recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{...,0}], msg_flags=MSG_ERRQUEUE, msg_control=[{cmsg_level=SOL_IP, cmsg_type=IP_RECVERR, cmsg_data={ee_errno=0, ee_origin=SO_EE_ORIGIN_ZEROCOPY, ee_type=0, ee_code=0, ee_info=0, ee_data=1}}]}, MSG_ERRQUEUE) = 0",
		"+0 recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 0}], msg_flags=MSG_ERRQUEUE, msg_control=[{cmsg_level=SOL_IP, cmsg_type=IP_RECVERR, cmsg_data={ee_errno=0, ee_origin=SO_EE_ORIGIN_ZEROCOPY, ee_type=0, ee_code=0, ee_info=0, ee_data=1}}]}, MSG_ERRQUEUE) = 0"},
	{"+0 sendmsg(3, {msg_name(...)=..., msg_iov(1)=[{iov_base=..., iov_len=5}], msg_control(20)=[{cmsg_len=20, cmsg_level=IPPROTO_IP, cmsg_type=IP_TOS, cmsg_data=[2]}], msg_flags=0}, 0) = 5"},
	{"+0 epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLIN|EPOLLET, fd=4}) = 0", "+0 epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLIN | EPOLLET, fd=4}) = 0"},
	{"+0 epoll_wait(5, {events=EPOLLIN, ptr=4}, 1, 0) = 1"},
	{"+0 recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 0}], msg_flags=0, msg_control=[{cmsg_level=SOL_SOCKET, cmsg_type=SCM_TIMESTAMPING, cmsg_data={scm_sec=0, scm_nsec=200000000}}, {cmsg_level=SOL_SOCKET, cmsg_type=SCM_TIMESTAMPING_OPT_STATS, cmsg_data=[{TCP_NLA_BUSY=1000}, {TCP_NLA_X=1, 5}]}]}, 0) = 0",
		"+0 recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 0}], msg_flags=0, msg_control=[{cmsg_level=SOL_SOCKET, cmsg_type=SCM_TIMESTAMPING, cmsg_data={scm_sec=0, scm_nsec=200000000}}, {cmsg_level=SOL_SOCKET, cmsg_type=SCM_TIMESTAMPING_OPT_STATS, cmsg_data=[{TCP_NLA_BUSY=1000}, {TCP_NLA_X=1, 5}]}]}, 0) = 0"},
	{"+0 setsockopt(3, IPPROTO_TCP, TCP_FUNCTION_BLK, {function_set_name=\"rack\", pcbcnt=...}, 36) = 0"},
	{"+0 setsockopt(3, SOL_SOCKET, SO_ACCEPTFILTER, {af_name=\"dataready\"}, 256) = 0"},
	{"+0 sendfile(4, 5, 0, 100, {headers(1)=[{..., 5}], trailers(0)=[]}, NULL, 0) = 0"},
	{"+0 setsockopt(3, SOL_IP, IP_X, htonl(0x7f000001), 4) = 0"},
	{"+0 f(1 + 2 * 3, (1 + 2) * 3, 1<<4 | 3, ~1, -X, 8-1, 0777, 0) = 0", "+0 f(1 + 2 * 3, (1 + 2) * 3, 1 << 4 | 3, ~1, -X, 8 - 1, 511, 0) = 0"},
	{"+0 f({(label 1, tc 2, ttl 3)}, {flags 0x2000, sum 0, off 0, key 5, seq 6}, {flags=1}, {}) = 0",
		"+0 f({(label 1, tc 2, ttl 3)}, {flags 0x2000, sum 0x0, off 0x0, key 0x5, seq 0x6}, {flags=1}, {}) = 0"},
	{"+0 f(inet6_addr(\"::1\")) = -0x1"},

	// Commands and code.
	{"+0 `sleep 1`"},
	{"+0 %{ assert tcpi_snd_cwnd == 10, tcpi_snd_cwnd }%"},
	{"+0 %{\nif tcpi_rto > 5:\n  print(\"}\")\n}%", "+0 %{ \nif tcpi_rto > 5:\n  print(\"}\")\n }%"},
}

func TestParsePrint(t *testing.T) {
	for _, v := range valid {
		in, want := v[0], v[1]
		if want == "" {
			want = in
		}
		s, err := Parse("t.pkt", whole(in), Config{})
		if err != nil {
			t.Errorf("%s\n%v", in, err)
			continue
		}
		if got := s.Text(); got != whole(want) {
			t.Errorf("%s\nprints as\n%swant\n%s", in, got, whole(want))
		}
		stable(t, s)
	}
}

// stable proves that a script's text parses to the same text again.
func stable(t *testing.T, s *Script) {
	t.Helper()
	text := s.Text()
	again, err := Parse("t.pkt", text, Config{OS: "none"})
	if err != nil {
		t.Fatalf("the printed script does not parse: %v\n%s", err, text)
	}
	if got := again.Text(); got != text {
		t.Fatalf("printed\n%sthen\n%s", text, got)
	}
	again2, _ := Parse("t.pkt", text, Config{OS: "none"})
	if !reflect.DeepEqual(again, again2) {
		t.Fatal("parsing twice differs")
	}
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", "1:1: expected an event, found the end of the script"},
		{"// nothing\n", "2:1: expected an event, found the end of the script"},
		{"/* open", "1:1: this comment does not end: expected */"},
		{"0 `open", "1:3: this command does not end: expected `"},
		{"0 write(3, \"open, 5) = 5", "1:12: this string does not end: expected \""},
		{"0 %{ open", "1:3: this code does not end: expected }%"},
		{"foo", `1:1: expected a time in seconds, found "foo"`},
		{"-1 close(3) = 0", "1:1: a time cannot be negative: -1"},
		{"0 ?", `1:3: expected a packet (< or >), a system call, a ` + "`command` or %{ code }%" + `, found "?"`},
		{"* close(3) = 0", "1:1: the time * is for outbound packets only"},
		{"1~2 < . 1:1(0) ack 1 win 1", "1:1: a range of times is for outbound packets only"},
		{"2~1 > . 1:1(0) ack 1", "1:1: the range of times is backwards"},
		{"99999999999 close(3) = 0", "1:1: the time 99999999999 is beyond 876000h0m0s"},
		{"0 > X. 1:1(0)", `1:5: expected a flag of FSRPUEWA, '.' or a digit up to 7, found "X"`},
		{"0 > S9. 1:1(0)", `1:6: expected a flag of FSRPUEWA, '.' or a digit up to 7, found "9"`},
		{"0 > E.5 1:1(0)", `1:7: the digit of Accurate ECN stands for the flags E, W and A`},
		{"0 > . 1:2(0)", "1:7: 1:2(0): the numbers and the length do not agree"},
		{"0 > . 1:2", "1:10: expected '(', found the end of the script"},
		{"0 > . 1:1(70000)", "1:11: the length of the payload: 70000 is not between 0 and 65535"},
		{"0 > . 5000000000:1(0)", "1:7: a sequence number: 5000000000 is not between 0 and 4294967295"},
		{"0 < . 1:1(0) ack 1 win 70000", "1:24: the window: 70000 is not between 0 and 65535"},
		{"0 < . 1:1(0) win 1 <...>", "1:20: the options <...> are for outbound packets only"},
		{"0 < [ect01] . 1:1(0) win 1", "1:3: [ect01] is for outbound packets only"},
		{"0 < . 1:1(0) win 1 <mss>", "1:24: expected the maximum segment size, found \">\""},
		{"0 < . 1:1(0) win 1 <nop nop>", "1:25: expected ',' or '>' after a TCP option, found \"nop\""},
		{"0 < . 1:1(0) win 1 <TS 1>", "1:24: expected \"val\", found \"1\""},
		{"0 < . 1:1(0) win 1 <FO xyz>", "1:24: the cookie: xyz is not a run of at most 38 bytes in hexadecimal"},
		{"0 < icmp", "1:9: expected the type of the ICMP message, found the end of the script"},
		{"0 < [foo] icmp x", "1:6: expected a sequence range, udp, udplite, raw or sctp, found \"foo\""},
		{"0 < ipv4 300.0.0.1 > 1.1.1.1: . 1:1(0)", "1:10: expected an IPv4 address, found \"300.0\""},
		{"0 close 3", "1:9: expected '(' after close, found \"3\""},
		{"0 close(3", "1:10: expected ',' or ')', found the end of the script"},
		{"0 close(3,) = 0", "1:11: expected an expression, found \")\""},
		{"0 close(3)", "1:11: expected '=', found the end of the script"},
		{"0 close(3) = -1 EBADF (Bad", "1:23: expected ')' after these words"},
		{"0 close(99999999999999999999) = 0", "1:9: the number 99999999999999999999 is too large"},
		{"0 f(" + strings.Repeat("[", 100), "1:69: expressions are nested more than 64 deep"},
		{"0 close(3) = 0\n`a`\n0 close(4) = 0", "2:1: expected the time of an event; only the last command of a script goes without"},
		{"--define=X\n0 close(3) = 0", "1:1: expected --define=NAME=value"},
		{"--mtu=\n0 close(3) = 0", "1:7: expected the value of --mtu"},
		{"#ifdef Plan9\n#endif\n0 close(3) = 0", "1:1: #ifdef Plan9: expected one of freebsd, linux, netbsd, openbsd, omnet"},
		{"#ifdef Linux\n0 close(3) = 0", "1:1: this #ifdef has no #endif"},
		{"0 poll([{fd=1, msg_iov(1)=[], 5}]) = 0", "1:16: this member has a name, others of the same list have none"},
		{"\n\n   +0 < S. bad", "3:12: expected a sequence number, found \"bad\""},
		{strings.Repeat("x", maxSource+1), "1:1: the script is longer than 1048576 bytes"},
	} {
		_, err := Parse("", c.in, Config{})
		var e *Error
		if !errors.As(err, &e) || e.Error() != c.want {
			t.Errorf("%.60q:\ngot  %v\nwant %s", c.in, err, c.want)
		}
	}
}

func TestParseTree(t *testing.T) {
	src := `--ip_version=ipv6 // a comment
--define=OPT=SO_KEEPALIVE
--define=MSG="hello world"
--define=CMD=` + "`true`" + `
` + "`init`" + `
# a comment
0.000 socket(..., SOCK_STREAM, 0) = 3
+.1...0.2 write(3, MSG, N) = 11 /* inline
 */
#ifdef FreeBSD
+0 setsockopt(3, SOL_SOCKET, OPT, [0], 4) = 0
#endif
#ifdef Linux
+0 setsockopt(3, SOL_SOCKET, OPT, [1], 4) = 0
#endif
+0 CMD
+0 %{  assert True
print(1)	 }%
` + "`cleanup`"
	s, err := Parse("x.pkt", src, Config{Defines: map[string]string{"N": "11", "OPT": "overridden"}})
	if err != nil {
		t.Fatal(err)
	}
	if s.Init.Text != "init" || s.Cleanup.Text != "cleanup" || s.Cleanup.Line != 19 {
		t.Errorf("init %+v, cleanup %+v", s.Init, s.Cleanup)
	}
	if len(s.Options) != 4 || s.Options[0].Value != "ipv6" {
		t.Errorf("options %+v", s.Options)
	}
	if len(s.Events) != 5 {
		t.Fatalf("%d events", len(s.Events))
	}
	w := s.Events[1].Action.(*Syscall)
	if !w.Blocking || w.End != 200*time.Millisecond || w.Pos.String() != "x.pkt:8:11" {
		t.Errorf("write %+v", w)
	}
	if got := ExprText(w.Args[1]) + ExprText(w.Args[2]); got != `"hello world"11` {
		t.Errorf("arguments %s", got)
	}
	if got := s.Events[2].String(); got != "+0 setsockopt(3, SOL_SOCKET, SO_KEEPALIVE, [1], 4) = 0" {
		t.Error(got)
	}
	if c, ok := s.Events[3].Action.(*Command); !ok || c.Text != "true" {
		t.Errorf("%+v", s.Events[3].Action)
	}
	code := s.Events[4].Action.(*Code)
	if code.Text != "assert True\nprint(1)" || code.Pos.String() != "x.pkt:17:8" {
		t.Errorf("code %+v", code)
	}
	b, err := Parse("x.pkt", src, Config{Defines: map[string]string{"N": "11"}, OS: "freebsd"})
	if err != nil {
		t.Fatal(err)
	}
	if got := b.Events[2].String(); got != "+0 setsockopt(3, SOL_SOCKET, SO_KEEPALIVE, [0], 4) = 0" {
		t.Error(got)
	}
}

// FuzzParse: whatever is read, the parser returns, with a script that prints to
// one that means the same.
func FuzzParse(f *testing.F) {
	for _, v := range valid {
		f.Add(whole(v[0]))
	}
	f.Add("--define=A=B\n#ifdef Linux\n0 close(A) = 0\n#endif\n`x`")
	f.Fuzz(func(t *testing.T, src string) {
		s, err := Parse("f.pkt", src, Config{})
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Line < 1 || e.Col < 1 {
				t.Fatalf("%v", err)
			}
			return
		}
		for _, o := range s.Options {
			if o.Name == "define" {
				return // the text of unsupported protocols keeps the symbols
			}
		}
		stable(t, s)
	})
}
