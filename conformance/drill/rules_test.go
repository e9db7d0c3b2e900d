package drill

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/pcapgo"
)

// Every rule by which packets, results and times are compared has a script that
// passes, and its twin, in which one thing is different and which must fail, and say
// why.
func TestRules(t *testing.T) {
	sent := func(line string) string {
		return passiveOpen + "+0 write(4, ..., 1000) = 1000\n" + line + "\n"
	}
	const data = "+0 > P. 1:1001(1000) ack 1"
	received := func(line string) string {
		return passiveOpen + "+0 < . 1001:2001(1000) ack 1 win 257\n" + line + "\n"
	}
	connected := func(line, rest string) string {
		return "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0\n" +
			"+0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)\n" + line + "\n" + rest
	}
	for _, c := range []struct {
		name       string
		match      Match
		pass, fail string
		why        []string // in the diagnosis of the twin
	}{
		{"seq", Strict, sent(data), sent("+0 > P. 2:1002(1000) ack 1"), []string{"seq: expected 2, got 1"}},
		{"ack", Strict, sent(data), sent("+0 > P. 1:1001(1000) ack 2"), []string{"ack: expected 2, got 1"}},
		{"length", Strict, sent(data), sent("+0 > P. 1:901(900) ack 1"), []string{"length: expected 900, got 1000"}},
		{"flags", Strict, sent(data), sent("+0 > . 1:1001(1000) ack 1"), []string{"flags: expected ., got P."}},
		{"ece", Strict, sent(data), sent("+0 > PE. 1:1001(1000) ack 1"), []string{"flags"}},
		{"ace", Strict, sent("+0 > P0. 1:1001(1000) ack 1"), sent("+0 > P1. 1:1001(1000) ack 1"), []string{"ACE: expected 1, got 0"}},
		{"window", Strict, sent(data + " win 32768"), sent(data + " win 1000"), []string{"win: expected 1000, got 32768"}},
		{"urgent", Strict, passiveOpen + "+0 send(4, ..., 10, MSG_OOB) = 10\n+0 > PU. 1:11(10) ack 1 urg 10\n",
			passiveOpen + "+0 send(4, ..., 10, MSG_OOB) = 10\n+0 > PU. 1:11(10) ack 1 urg 9\n", []string{"urg: expected 9, got 10"}},
		{"options", Strict, received("+0 > . 1:1(0) ack 1 <nop,nop,sack 1001:2001>"), received("+0 > . 1:1(0) ack 1 <nop,nop,sack 1001:2000>"),
			[]string{"options: expected <nop,nop,sack 1001:2000>, got <nop,nop,sack 1001:2001>"}},
		{"options in order", Strict, received("+0 > . 1:1(0) ack 1 <nop,nop,sack 1001:2001>"), received("+0 > . 1:1(0) ack 1 <sack 1001:2001,nop,nop>"),
			[]string{"options"}},
		{"no options", Strict, received("+0 > . 1:1(0) ack 1 <...>"), received("+0 > . 1:1(0) ack 1"), []string{"options: expected <>"}},
		{"options of a SYN", Lenient, connected("+0 > S 0:0(0) <mss 1000>", ""), connected("+0 > S 0:0(0) ack 7 <mss 1000>", ""), []string{"ack"}},
		{"ECN", Strict, sent("+0 > [noecn] P. 1:1001(1000) ack 1"), sent("+0 > [ect0] P. 1:1001(1000) ack 1"), []string{"ecn: expected ect0, got noecn"}},
		{"TOS", Strict, passiveOpen + "+0 setsockopt(4, SOL_IP, IP_TOS, [8], 4) = 0\n+0 write(4, ..., 1) = 1\n+0 > [tos 0x08] P. 1:2(1) ack 1\n",
			sent("+0 > [tos 0x08] P. 1:1001(1000) ack 1"), []string{"tos: expected 0x08, got 0x00"}},
		{"TTL", Strict, sent("+0 > [ttl 64] P. 1:1001(1000) ack 1"), sent("+0 > [ttl 63] P. 1:1001(1000) ack 1"), []string{"ttl: expected 63, got 64"}},
		{"time", Strict, sent(data + "\n+.3~+.31 > P. 1:1001(1000) ack 1"), sent(data + "\n+.4~+.5 > P. 1:1001(1000) ack 1"), []string{"at another time", "0.500000~0.600000", "0.400000"}},
		{"an eighth of the pause", Strict, sent(data + "\n+.33 > P. 1:1001(1000) ack 1"), sent(data + "\n+.35 > P. 1:1001(1000) ack 1"), []string{"expected at 0.450000 s, happened at 0.400000 s"}},
		{"75 ms", Lenient, sent(data + "\n+.37 > P. 1:1001(1000) ack 1"), sent(data + "\n+.38 > P. 1:1001(1000) ack 1"), []string{"expected at 0.480000 s, happened at 0.400000 s"}},
		{"any time", Strict, sent(data + "\n* > P. 1:1001(1000) ack 1"), sent(data + "\n* > P. 1:1000(999) ack 1"), []string{"length"}},
		{"nothing sent", Strict, passiveOpen, passiveOpen + "+0 > . 1:1(0) ack 1\n", []string{"the expected packet was not sent", "no packet"}},
		{"merged", Strict, passiveOpen + "+0 write(4, ..., 3000) = 3000\n+0 > P. 1:3001(3000) ack 1\n",
			"--strict_segments\n" + passiveOpen + "+0 write(4, ..., 3000) = 3000\n+0 > P. 1:3001(3000) ack 1\n", []string{"length: expected 3000, got 1000"}},
		{"split", Lenient, sent("+0 > . 1:501(500) ack 1\n+0 > P. 501:1001(500) ack 1"), sent("+0 > . 1:501(500) ack 1\n+0 > P. 502:1001(499) ack 1"), []string{"seq"}},
		{"PSH of data", Lenient, sent("+0 > . 1:1001(1000) ack 1"), sent("+0 > F. 1:1001(1000) ack 1"), []string{"flags"}},
		{"resets", Lenient, passiveOpen + "+0 setsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=0}, 8) = 0\n+0 close(4) = 0\n+0 > R 1:1(0)\n",
			passiveOpen + "+0 setsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=0}, 8) = 0\n+0 close(4) = 0\n+0 > R 2:2(0)\n", []string{"seq: expected 2"}},
		{"windows", Lenient, sent(data + " win 1"), sent("+0 > P. 1:1001(1000) ack 2 win 1"), []string{"ack"}},
		{"a later ACK", Lenient, passiveOpen + "+0 < . 1:1001(1000) ack 1 win 257\n+0 < . 1001:2001(1000) ack 1 win 257\n+0 > . 1:1(0) ack 2001\n",
			passiveOpen + "+0 < . 1:1001(1000) ack 1 win 257\n+0 < . 1001:2001(1000) ack 1 win 257\n+0 > . 1:1(0) ack 2002\n", []string{"ack: expected 2002"}},
		{"an ACK that a later one covers", Lenient, passiveOpen + "+0 < . 1:1001(1000) ack 1 win 257\n+0 < . 1001:2001(1000) ack 1 win 257\n" +
			"+0 > . 1:1(0) ack 1001\n+0 > . 1:1(0) ack 1501\n+0 > . 1:1(0) ack 2001\n",
			passiveOpen + "+0 < . 1:1001(1000) ack 1 win 257\n+0 < . 1001:2001(1000) ack 1 win 257\n+0 > . 1:1(0) ack 1001\n+0 > . 1:1(0) ack 1501\n+0 > . 1:1(0) ack 2001\n+0 > . 1:1(0) ack 2501\n",
			[]string{"not sent"}},
		{"extra ACKs, strictly", Lenient, passiveOpen + "+0 < . 1:1001(1000) ack 1 win 257\n+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1001\n",
			passiveOpen + "+0 < . 1:1001(1000) ack 1 win 257\n+0 write(4, ..., 10) = 10\n+0 > P. 1:12(11) ack 1001\n", []string{"length"}},
		{"the result of a call", Strict, passiveOpen + "+0 fcntl(4, F_GETFL) = O_RDWR\n", passiveOpen + "+0 fcntl(4, F_GETFL) = O_RDWR|O_NONBLOCK\n",
			[]string{"fcntl() = 2050", "fcntl() = 2"}},
		{"an error", Strict, passiveOpen + "+0 recv(4, ..., 10, MSG_DONTWAIT) = -1 EAGAIN (Resource temporarily unavailable)\n",
			passiveOpen + "+0 recv(4, ..., 10, MSG_DONTWAIT) = -1 EPIPE\n", []string{"EPIPE", "EAGAIN"}},
		{"a value", Strict, passiveOpen + "+0 getsockopt(4, SOL_TCP, TCP_NODELAY, [0], [4]) = 0\n", passiveOpen + "+0 getsockopt(4, SOL_TCP, TCP_NODELAY, [1], [4]) = 0\n",
			[]string{"the value is 0, not 1"}},
		{"revents", Strict, passiveOpen + "+0 poll([{fd=4, events=POLLOUT, revents=POLLOUT}], 1, 0) = 1\n", passiveOpen + "+0 poll([{fd=4, events=POLLOUT, revents=POLLIN}], 1, 0) = 1\n",
			[]string{"revents is OUT, not IN"}},
		{"the end of a blocking call", Strict, passiveOpen + "+0...0.2 read(4, ..., 10) = 10\n+.2 < P. 1:11(10) ack 1 win 257\n",
			passiveOpen + "+0...0.4 read(4, ..., 10) = 10\n+.2 < P. 1:11(10) ack 1 win 257\n", []string{"read returned at another time", "0.500000", "0.300000"}},
		{"a call that blocks", Strict, passiveOpen + "+0...60 read(4, ..., 10) = 10\n+60 < P. 1:11(10) ack 1 win 257\n", passiveOpen + "+0 read(4, ..., 10) = 10\n+2 < P. 1:11(10) ack 1 win 257\n",
			[]string{"has not returned"}},
		{"an assertion", Strict, passiveOpen + "+0 %{ assert tcpi_state == TCP_ESTABLISHED and 1 <= tcpi_snd_cwnd <= 10 }%\n", passiveOpen + "+0 %{\nassert tcpi_snd_cwnd == 11, tcpi_snd_cwnd\n}%\n",
			[]string{"tcpi_snd_cwnd == 11", "line 11"}},
		{"timestamps", Strict, "--tcp_ts_tick_usecs=1000\n" + connected("+0 > S 0:0(0) <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 5>",
			"+.1 < S. 0:0(0) ack 1 win 5792 <mss 1460,sackOK,TS val 700 ecr 100,nop,wscale 7>\n+0 > . 1:1(0) ack 1 <nop,nop,TS val 200 ecr 700>\n"),
			"--tcp_ts_tick_usecs=1000\n" + connected("+0 > S 0:0(0) <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 5>",
				"+.1 < S. 0:0(0) ack 1 win 5792 <mss 1460,sackOK,TS val 700 ecr 100,nop,wscale 7>\n+0 > . 1:1(0) ack 1 <nop,nop,TS val 300 ecr 700>\n"),
			[]string{"options"}},
		{"sequence numbers of SYNs are absolute", Strict, connected("+0 > S 500:500(0) <...>", "+.1 < S. 77:77(0) ack 501 win 5792 <mss 1460>\n+0 > . 1:1(0) ack 1\n"),
			connected("+0 > S 500:500(0) <...>", "+.1 < S. 77:77(0) ack 501 win 5792 <mss 1460>\n+0 > . 501:501(0) ack 78\n"), []string{"seq: expected 501, got 1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			check(t, Options{Match: c.match}, c.pass, Pass)
			v := check(t, Options{Match: c.match}, c.fail, Fail, c.why...)
			if v.Line == 0 || v.Source == "" {
				t.Errorf("the verdict does not say where: %+v", v)
			}
		})
	}
}

// What is missing, or makes no sense, is told by name.
func TestSkipAndBroken(t *testing.T) {
	for _, c := range []struct {
		source string
		want   Outcome
		has    string
	}{
		{"0 socket(..., SOCK_DGRAM, IPPROTO_UDP) = 3\n", Skip, "UDP"},
		{"0 socket(..., SOCK_STREAM, IPPROTO_SCTP) = 3\n", Skip, "SCTP"},
		{"0 nosuchcall(3) = 0\n", Skip, "the system call nosuchcall"},
		{passiveOpen + "+0 setsockopt(4, SOL_TCP, TCP_MD5SIG, [1], 4) = 0\n", Skip, "TCP_MD5SIG"},
		{passiveOpen + "+0 sendto(4, ..., 10, MSG_FASTOPEN, ..., ...) = 10\n", Skip, "Fast Open"},
		{"--wire_client\n0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n", Skip, "--wire_client"},
		{"--so_filename=x.so\n0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n", Skip, "--so_filename"},
		{"0 > S 0:0(0)\n", Broken, "no connection"},
		{"--bind_port=99999\n0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n", Broken, "--bind_port"},
		{"0 socket(\n", Broken, "test.pkt:"},
		{"0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 read(3, ..., 99999999999) = 0\n", Broken, "a buffer of"},
	} {
		check(t, Options{}, c.source, c.want, c.has)
	}
}

// With --non_fatal what differs is noted.
func TestNonFatal(t *testing.T) {
	check(t, Options{}, "--non_fatal=packet,syscall\n"+passiveOpen+
		"+0 write(4, ..., 10) = 11\n+0 > P. 1:12(11) ack 1\n", Pass, "write returned 10, not 11", "the packet differs")
}

// Families and ports are those of the options.
func TestFamilies(t *testing.T) {
	for _, o := range []string{"--ip_version=ipv6", "--ip_version=ipv4-mapped-ipv6", "--ip_version=ipv4", "--bind_port=1234", "--local_ip=192.168.7.7 --remote_ip=192.0.2.33", "--mtu=1200"} {
		opts := strings.ReplaceAll(o, " ", "\n") + "\n"
		source := opts + strings.Replace(passiveOpen, "<mss 1460,nop,nop,sackOK,nop,wscale 5>", "<...>", 1) +
			"+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1\n+0 close(4) = 0\n+0 > F. 11:11(0) ack 1\n"
		check(t, Options{}, source, Pass)
		active := opts + "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0...0.1 connect(3, ..., ...) = 0\n+0 > S 0:0(0) <...>\n" +
			"+.1 < S. 0:0(0) ack 1 win 5792 <mss 1460>\n+0 > . 1:1(0) ack 1\n"
		check(t, Options{}, active, Pass)
	}
}

// A script has the same verdict each time, and its packets are captured.
func TestRepeats(t *testing.T) {
	source := passiveOpen + "+0 write(4, ..., 20000) = 20000\n+0 > P. 1:10000(9999) ack 1\n"
	var first *Verdict
	for range 3 {
		var b bytes.Buffer
		v := check(t, Options{Pcap: &b, Seed: 7}, source, Fail)
		r, err := pcapgo.NewNgReader(&b, pcapgo.DefaultNgReaderOptions)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for {
			if _, _, err := r.ReadPacketData(); err != nil {
				break
			}
			n++
		}
		if n < 10 {
			t.Fatalf("%d packets were captured", n)
		}
		if first == nil {
			first = v
		} else if !reflect.DeepEqual(first, v) {
			t.Fatalf("another verdict:\n%v\n%v", first, v)
		}
	}
}

// Hours of a script take no time, and nothing is left of one when the next begins.
func TestVirtualTime(t *testing.T) {
	source := passiveOpen + "+7200 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1\n"
	began := time.Now()
	for range 20 {
		if v := check(t, Options{}, source, Pass); v.Took < 2*time.Hour {
			t.Fatalf("took %v", v.Took)
		}
	}
	if d := time.Since(began); d > 30*time.Second {
		t.Errorf("20 scripts took %v", d)
	}
}
