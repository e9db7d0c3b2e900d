package settings

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// describe says what effects are, without what is only noted.
func describe(effects []Effect) string {
	var parts []string
	for _, e := range effects {
		switch e := e.(type) {
		case Set:
			parts = append(parts, e.Key+"="+e.Value)
		case Sleep:
			parts = append(parts, "sleep "+e.For.String())
		case File:
			parts = append(parts, fmt.Sprintf("file %s %d", e.Path, e.Size))
		case Skip:
			parts = append(parts, "skip "+e.Feature)
		case *Query:
			parts = append(parts, "query "+e.Text)
		}
	}
	return strings.Join(parts, "; ")
}

func TestCommand(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"sysctl -q net.ipv4.tcp_sack=0", "net.ipv4.tcp_sack=0"},
		{"sysctl -q -w net.ipv4.tcp_sack=0 net.ipv4.tcp_timestamps=0", "net.ipv4.tcp_sack=0; net.ipv4.tcp_timestamps=0"},
		{"/sbin/sysctl net/ipv4/tcp_sack=0 >/dev/null 2>&1", "net.ipv4.tcp_sack=0"},
		{`sysctl -q net.ipv4.tcp_rmem="4096 87380 1000000"; sysctl -w net.ipv4.tcp_wmem='1 2 3' && true`, "net.ipv4.tcp_rmem=4096 87380 1000000; net.ipv4.tcp_wmem=1 2 3"},
		{"sysctl -w net.ipv4.tcp_rmem=4096 87380 1000000", "net.ipv4.tcp_rmem=4096 87380 1000000"},
		{"sysctl net.inet.tcp.delacktime = 100", "net.inet.tcp.delacktime=100"},
		{"echo 0 > /proc/sys/net/ipv4/tcp_sack", "net.ipv4.tcp_sack=0"},
		{"echo '4096 1 2' >/proc/sys/net/ipv4/tcp_rmem", "net.ipv4.tcp_rmem=4096 1 2"},
		{"echo 0 | sudo tee /proc/sys/net/ipv4/tcp_sack", "net.ipv4.tcp_sack=0"},
		{"../common/defaults.sh", ""},
		{"./defaults.sh\n./set_sysctls.py /proc/sys/net/ipv4/tcp_timestamps=0 /proc/sys/net/ipv4/tcp_rmem='1 2 3'", "net.ipv4.tcp_timestamps=0; net.ipv4.tcp_rmem=1 2 3"},
		{"bash -c 'sysctl -q net.ipv4.tcp_sack=0; sleep 0.5'", "net.ipv4.tcp_sack=0; sleep 500ms"},
		{"sleep 2", "sleep 2s"},
		{"usleep 1500", "sleep 1.5ms"},
		{"true || foo", ""},
		{"foo", "skip the shell command foo"},
		{"sysctl -q net.ipv4.tcp_foo=1", "skip the sysctl net.ipv4.tcp_foo"},
		{"sysctl -q net.ipv4.tcp_sack=yes", `skip the value "yes" of the sysctl net.ipv4.tcp_sack`},
		{"sysctl -q net.ipv4.tcp_ecn=3", "skip Accurate ECN (net.ipv4.tcp_ecn=3)"},
		{"sysctl net.inet.tcp.blackhole=2", "net.inet.tcp.blackhole=2"},
		{"sysctl net.inet.tcp.insecure_rst=1", "skip resets without RFC 5961 (net.inet.tcp.insecure_rst=1)"},
		{"sysctl net.inet.tcp.insecure_rst=0", ""},
		{"sysctl net.inet.tcp.functions_default=rack", "net.inet.tcp.functions_default=rack"},
		{"sysctl net.inet.tcp.hostcache.purgenow=1", ""},
		{"sysctl -n net.inet.tcp.msl", ""},
		{"sysctl -w net.ipv4.tcp_sack=$X", `skip in a shell command, there is an expansion ("$")`},
		{"echo 'x", "skip in a shell command, a quote is not closed"},
		{"ip route change 192.0.2.0/24 via 192.168.0.1 dev tun0 initcwnd 20 initrwnd 5", "ip route initcwnd=20; ip route initrwnd=5"},
		{"ip -6 route replace fd3d::/16 dev tun0 mtu lock 1280 advmss 1200 quickack 1 congctl reno rto_min 50ms", "ip route mtu=1280; ip route advmss=1200; ip route quickack=1; ip route congctl=reno; ip route rto_min=50ms"},
		{"ip route change 192.0.2.0/24 reordering 5", "skip ip route reordering 5"},
		{"ip tcp_metrics flush all > /dev/null 2>&1", ""},
		{"ip link set dev tun0 mtu 9000", "ip link mtu=9000"},
		{"ip link set dev tun0 gso_max_segs 1", ""},
		{"ip vrf exec", "skip the shell command ip vrf"},
		{"ifconfig tun0 mtu 500", "ifconfig mtu=500"},
		{"tc qdisc replace dev tun0 root fq", ""},
		{"tc qdisc add dev tun0 root netem delay 10ms", "skip tc netem"},
		{"kldload -n tcp_rack", ""},
		{"rm -f /tmp/x; dd if=/dev/zero of=/tmp/x bs=1k count=10 status=none", "file /tmp/x 10240"},
		{"truncate -s 100 /tmp/x", "file /tmp/x 100"},
		{"echo -n abc > /tmp/x", "file /tmp/x 3"},
		{"sockstat -46 -P tcp -s | grep -c ESTABLISHED | grep -q 1", "query sockstat -46 -P tcp -s | grep -c ESTABLISHED | grep -q 1"},
		{"nstat | grep TcpExtTCPTimeouts | awk '{print}'", `skip the shell command nstat | grep TcpExtTCPTimeouts | awk {print}`},
		{"ss -K", "skip connections aborted by ss -K"},
		{"iptables -A INPUT -j DROP", "skip the shell command iptables"},
	} {
		if got := describe(New(Linux).Command(c.in)); got != c.want {
			t.Errorf("%s\ngot  %s\nwant %s", c.in, got, c.want)
		}
	}
}

func TestQuery(t *testing.T) {
	lines := []string{"root a 1 3 tcp4 10.0.0.1:80 10.0.0.2:99 ESTABLISHED", "root a 1 4 tcp4 *:80 *:* LISTEN"}
	for text, want := range map[string]bool{
		"sockstat -s | grep -c ESTABLISHED | grep -q 1":    true,
		"sockstat -s | grep -c ESTABLISHED | grep -q 2":    false,
		"sockstat -s | grep -c TIME_WAIT | grep 0":         true,
		"sockstat -s | grep -q TIME_WAIT":                  false,
		"sockstat -s | grep -v LISTEN | wc -l | grep -x 1": true,
		`sockstat -s | grep 'EST\(AB\|ABC\)' | head -n 1`:  true,
		"sockstat -s | grep -iE 'list(en|o)' | tail -1":    true,
		"sockstat -s | grep -w LIST":                       false,
		"! sockstat -s | grep -q TIME_WAIT":                true,
		"! sockstat -s | grep -q ESTABLISHED":              false,
	} {
		e := New(FreeBSD).Command(text)
		q, ok := e[0].(*Query)
		if !ok {
			t.Errorf("%s: %v", text, describe(e))
			continue
		}
		if err := q.Check(lines); (err == nil) != want {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestKeysDoSomething: a key that claims to be honoured changes the settings.
func TestKeysDoSomething(t *testing.T) {
	for name, k := range keys {
		if k.apply == nil {
			if k.feature == "" {
				t.Errorf("%s is ignored without a reason", name)
			}
			continue
		}
		p := Linux
		if !strings.HasPrefix(name, "net.ipv4.") && !strings.HasPrefix(name, "net.core.") {
			p = FreeBSD
		}
		changed := false
		for _, text := range []string{"0", "1", "2", "77", "1000000 2000000 3000000", "rack", "1-2-3-4"} {
			s := New(p)
			s.Command("sysctl -w " + name + "='" + text + "'")
			s.Keys = map[string]string{}
			changed = changed || !reflect.DeepEqual(s, New(p))
		}
		if !changed {
			t.Errorf("%s changes nothing", name)
		}
	}
}

func TestFreeBSDTimeouts(t *testing.T) {
	s := New(FreeBSD)
	s.Command("sysctl net.inet.tcp.rexmit_slop=100\nsysctl net.inet.tcp.rexmit_min=50 net.inet.tcp.msl=1000")
	if s.RTOMin != 150*time.Millisecond || s.TimeWait != 2*time.Second {
		t.Errorf("%v %v", s.RTOMin, s.TimeWait)
	}
}

func FuzzCommand(f *testing.F) {
	f.Add("sysctl -q net.ipv4.tcp_rmem='1 2 3' && sleep 1 || true | grep -c x > /tmp/f")
	f.Add(`bash -c "echo 1 > /proc/sys/net/ipv4/tcp_sack"; ip route change x initcwnd 10 mtu lock 5`)
	f.Add("sockstat | grep -c EST\\(AB | grep -qw 1")
	f.Fuzz(func(t *testing.T, text string) {
		for _, e := range New(Linux).Command(text) {
			if q, ok := e.(*Query); ok {
				q.Check([]string{"a b", ""})
			}
		}
	})
}
