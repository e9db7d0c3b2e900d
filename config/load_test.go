package config

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// minimal is a valid file; tests append to it, or cut it up.
const minimal = `version: 1
links:
  - {name: lab, driver: sim}
stacks:
  - {name: near, link: "lab:a", addresses: [10.0.0.1/24]}
  - {name: far, link: "lab:b", addresses: [10.0.0.2/24]}
`

func load(t *testing.T, yaml string, env ...string) (*Config, error) {
	t.Helper()
	return Load(Options{Name: "f.yaml", Data: []byte(yaml), Environ: env})
}

func TestLoadDefaults(t *testing.T) {
	c, err := load(t, minimal)
	if err != nil {
		t.Fatal(err)
	}
	if c.Shutdown != Duration(10*time.Second) || c.Control.Mode != 0o600 || c.HTTP.Listen.IsValid() {
		t.Errorf("top-level defaults: %v %v %v", c.Shutdown, c.Control.Mode, c.HTTP.Listen)
	}
	if l := c.Links[0]; l.MTU != 1500 || strings.Join(l.Ends, " ") != "a b" || l.Sim != nil {
		t.Errorf("link defaults: %+v", l)
	}
	if s := c.Stacks[0]; s.Backend != "cubic" || !s.TCP.SACK || s.Keepalive != nil || s.Addresses[0].Addr() != netip.MustParseAddr("10.0.0.1") {
		t.Errorf("stack defaults: %+v", s)
	}
}

func TestLoadBlocks(t *testing.T) {
	c, err := load(t, strings.Replace(minimal, "driver: sim}", "driver: sim, sim: {delay: 20ms, loss: 0.5%, rate: 50Mbit, queue: 64KiB, reverse: {rate: 1Gbit}}}", 1)+
		"services:\n  - {name: e, stack: far, listen: 7, handler: echo}\n"+
		"control: {mode: 0660, socket: /run/x.sock}\nlog: {level: debug}\n")
	if err != nil {
		t.Fatal(err)
	}
	s := c.Links[0].Sim
	if s.Delay != Duration(20*time.Millisecond) || s.Loss != 0.005 || s.Rate != 50e6 || s.Queue != 64<<10 || s.Seed != 1 {
		t.Errorf("sim: %+v", s)
	}
	if s.Reverse.Rate != 1e9 || s.Reverse.Delay != 0 {
		t.Errorf("reverse: %+v", s.Reverse)
	}
	if c.Control.Mode != 0o660 {
		t.Errorf("mode %o", c.Control.Mode)
	}
	if c.Services[0].Listen.Port != 7 || c.Services[0].Connections != 1024 {
		t.Errorf("service: %+v", c.Services[0])
	}
}

// TestErrors has one mistake a row, and what the message must say.
func TestErrors(t *testing.T) {
	stack := func(s string) string {
		return strings.Replace(minimal, "[10.0.0.2/24]}", "[10.0.0.2/24], "+s+"}", 1)
	}
	link := func(s string) string { return strings.Replace(minimal, "driver: sim}", "driver: sim, "+s+"}", 1) }
	service := func(s string) string { return minimal + "services:\n  - {name: s, " + s + "}\n" }
	tun := func(s string) string {
		return "version: 1\nlinks:\n  - {name: w, driver: tun, " + s + "}\nstacks:\n  - {name: e, link: w, addresses: [10.9.0.2/24]}\n"
	}
	for _, tc := range []struct {
		name, yaml string
		want       []string
	}{
		{"empty", "", []string{"f.yaml: is empty"}},
		{"only a comment", "# nothing\n", []string{"f.yaml: is empty"}},
		{"not YAML", "version: [1\n", []string{"f.yaml:", "not valid YAML"}},
		{"tab", "version: 1\nlog:\n\tlevel: info\n", []string{"f.yaml:3", "not valid YAML"}},
		{"list at the top", "- version: 1\n", []string{"f.yaml:1", "keys and values"}},
		{"two documents", minimal + "---\nversion: 1\n", []string{"second document"}},
		{"no version", strings.Replace(minimal, "version: 1\n", "", 1), []string{"version: is required"}},
		{"other version", strings.Replace(minimal, "version: 1", "version: 2", 1), []string{"f.yaml:1: version: 2 is not supported"}},
		{"unknown key", minimal + "shutdwon: 3s\n", []string{`f.yaml:7: shutdwon: unknown key; did you mean "shutdown"?`}},
		{"unknown nested key", minimal + "log: {levle: info}\n", []string{`f.yaml:7: log.levle: unknown key; did you mean "level"?`}},
		{"key in another place", minimal + "mtu: 1400\n", []string{"f.yaml:7: mtu: unknown key; there is a key links[].mtu"}},
		{"capital letters", minimal + "Log: {level: info}\n", []string{`f.yaml:7: Log: unknown key; did you mean "log"?`}},
		{"twice", minimal + "log: {level: info}\nlog: {level: warn}\n", []string{"f.yaml:8: log: is there twice; first on line 7"}},
		{"merge key", minimal + "log:\n  <<: {level: info}\n", []string{"merge keys"}},
		{"no unit", minimal + "shutdown: 30\n", []string{`f.yaml:7: shutdown: "30" has no unit: write "30s"`}},
		{"bad unit", minimal + "shutdown: 30sec\n", []string{"is not a duration"}},
		{"negative", minimal + "shutdown: -3s\n", []string{"is negative"}},
		{"empty value", minimal + "shutdown:\n", []string{"f.yaml:7: shutdown: is empty"}},
		{"empty block", minimal + "log:\n", []string{"f.yaml:7: log: is empty", "{}"}},
		{"list for a value", minimal + "shutdown: [3s]\n", []string{"wants one value"}},
		{"value for a list", strings.Replace(minimal, "[10.0.0.1/24]", "10.0.0.1/24", 1), []string{"f.yaml:5: stacks.near.addresses: wants a list, such as [10.0.0.1/24]"}},
		{"value for a block", minimal + "log: info\n", []string{"wants a block"}},
		{"log level", minimal + "log: {level: loud}\n", []string{"f.yaml:7: log.level: unknown level", "debug, info, warn, error"}},
		{"log format", minimal + "log: {format: jsno}\n", []string{`did you mean "json"?`}},
		{"mode", minimal + "control: {mode: 999}\n", []string{"f.yaml:7: control.mode", "not a file mode"}},
		{"socket path", minimal + "control: {socket: /" + strings.Repeat("x", 120) + "}\n", []string{"f.yaml:7: control.socket: is 121 bytes long"}},
		{"public status", minimal + "http: {listen: \"0.0.0.0:80\"}\n", []string{"f.yaml:7: http.listen", "not a loopback address"}},
		{"no host", minimal + "http: {listen: \":80\"}\n", []string{`write "127.0.0.1:80"`}},
		{"no port", minimal + "http: {listen: 127.0.0.1}\n", []string{`has no port: write "127.0.0.1:80"`}},

		{"driver", link("mtu: 1500, sim: {dely: 3ms}"), []string{`f.yaml:3: links.lab.sim.dely: unknown key; did you mean "delay"?`}},
		{"unknown driver", strings.Replace(minimal, "driver: sim", "driver: sin", 1), []string{`f.yaml:3: links.lab.driver: "sin" is unknown; did you mean "sim"?`}},
		{"loss", link("sim: {loss: 5}"), []string{`"5" has no unit: write "5%"`}},
		{"loss over 100", link("sim: {loss: 101%}"), []string{"more than 100%"}},
		{"rate", link("sim: {rate: 50}"), []string{`"50" has no unit: write "50Mbit"`}},
		{"rate unit", link("sim: {rate: 50Mbyte}"), []string{`unknown unit "Mbyte"`}},
		{"queue", link("sim: {queue: 1B}"), []string{"1B is out of range; the least is 576B"}},
		{"mtu", link("mtu: 100"), []string{"f.yaml:3: links.lab.mtu: 100 is out of range; the least is 576"}},
		{"mtu text", link("mtu: big"), []string{`"big" is not a whole number`}},
		{"ends", link("ends: [a, a]"), []string{"links.lab.ends: wants two different names"}},
		{"tun block in sim", link("tun: {device: x}"), []string{"links.lab.tun: is for the driver tun, not sim"}},
		{"link name", strings.Replace(minimal, "name: lab", "name: Lab_1", 1), []string{`"Lab_1" is not a name`}},
		{"link twice", strings.Replace(minimal, "links:\n", "links:\n  - {name: lab, driver: pipe}\n", 1), []string{`f.yaml:4: links: the name "lab" is taken by item 1`}},
		{"unused link", strings.Replace(minimal, "links:\n", "links:\n  - {name: idle, driver: pipe}\n", 1), []string{"f.yaml:3: links.idle: no stack is attached to idle:a", "idle:b"}},
		{"sim block in tun", tun("sim: {delay: 3ms}"), []string{"is for the driver sim, not tun"}},
		{"ends of tun", tun("ends: [a, b]"), []string{"a tun link has one end"}},
		{"ends of tap", strings.Replace(tun("ends: [a, b]"), "driver: tun", "driver: tap", 1), []string{"a tap link has one end"}},
		{"tap block in tun", tun("tap: {device: t0}"), []string{"links.w.tap: is for the driver tap, not tun"}},
		{"tap's device", strings.Replace(tun("tap: {device: a-name-that-is-too-long}"), "driver: tun", "driver: tap", 1), []string{"links.w.tap.device", "is not a device name"}},
		{"queues", tun("tun: {queues: 0}"), []string{"0 is out of range; the least is 1"}},
		{"queues of a descriptor", tun("tun: {fd: 3, queues: 2}"), []string{"links.w.tun.queues: cannot be set with fd"}},
		{"packet without interface", strings.Replace(tun("mtu: 1500"), "driver: tun", "driver: packet", 1), []string{"links.w.packet.interface: is required"}},
		{"packet with an empty block", strings.Replace(tun("packet: {}"), "driver: tun", "driver: packet", 1), []string{"links.w.packet.interface: is required"}},
		{"packet's interface", strings.Replace(tun("packet: {interface: eth/0}"), "driver: tun", "driver: packet", 1), []string{`"eth/0" is not the name of an interface`}},
		{"mac", strings.Replace(tun("packet: {interface: eth0, mac: \"02:00\"}"), "driver: tun", "driver: packet", 1), []string{`"02:00" is not an Ethernet address`}},
		{"mac of a group", strings.Replace(tun("packet: {interface: eth0, mac: \"03:00:00:00:00:01\"}"), "driver: tun", "driver: packet", 1), []string{"is not the address of one station"}},
		{"replay without file", strings.Replace(tun("mtu: 1500"), "driver: tun", "driver: replay", 1), []string{"links.w.replay.file: is required"}},
		{"replay's speed", strings.Replace(tun("replay: {file: x, speed: -1}"), "driver: tun", "driver: replay", 1), []string{"-1 is out of range"}},
		{"detection without Ethernet", strings.Replace(tun("mtu: 1500"), "[10.9.0.2/24]", "[10.9.0.2/24], duplicate_detection: false", 1), []string{"stacks.e.duplicate_detection: is for stacks on a link of Ethernet"}},
		{"device and fd", tun("tun: {device: t0, fd: 3}"), []string{"only one can be"}},
		{"device name", tun("tun: {device: a-name-that-is-too-long}"), []string{"is not a device name"}},
		{"addresses but not up", tun("tun: {device: t0, up: false, host_addresses: [10.9.0.1/24]}"), []string{"cannot be set with 'up: false'"}},
		{"up", tun("tun: {up: yes}"), []string{`"yes" is neither true nor false`}},
		{"host's address", tun("tun: {host_addresses: [10.9.0.2/24]}"), []string{"10.9.0.2 is taken by the host's side of link w"}},
		{"ipv6 on a small MTU", tun("mtu: 600, tun: {host_addresses: [\"fd09::1/64\"]}"), []string{"1280"}},

		{"no stacks", "version: 1\n", []string{"stacks: is required"}},
		{"empty stacks", "version: 1\nstacks: []\n", []string{"nothing to run"}},
		{"backend", stack("backend: cubik"), []string{`f.yaml:6: stacks.far.backend: there is no backend "cubik"; did you mean "cubic"?`}},
		{"link", strings.Replace(minimal, "lab:b", "labb:b", 1), []string{`f.yaml:6: stacks.far.link: there is no link "labb"; did you mean "lab"?`}},
		{"end", strings.Replace(minimal, "lab:b", "lab:c", 1), []string{`f.yaml:6: stacks.far.link: link lab has no end "c"`}},
		{"no end", strings.Replace(minimal, "\"lab:b\"", "lab", 1), []string{`lab has two ends: write "lab:a" or "lab:b"`}},
		{"end taken", strings.Replace(minimal, "lab:b", "lab:a", 1), []string{"stack near is attached to lab:a already"}},
		{"no link", strings.Replace(minimal, "link: \"lab:b\", ", "", 1), []string{"stacks.far.link: is required"}},
		{"kernel with a link", stack("backend: kernel"), []string{"f.yaml:6: stacks.far.link: the backend kernel does not take it"}},
		{"kernel with timers", "version: 1\nstacks:\n  - {name: k, backend: kernel, timers: {rto_min: 1s}, limits: {memory: 1MiB, flows: 3}}\n",
			[]string{"stacks.k.timers", "stacks.k.limits.memory: the backend kernel does not take it"}},
		{"link called none", strings.Replace(minimal, "name: lab", "name: none", 1), []string{"stands for no link"}},
		{"no address", strings.Replace(minimal, ", addresses: [10.0.0.2/24]", "", 1), []string{"f.yaml:6: stacks.far.addresses: is required"}},
		{"no prefix", strings.Replace(minimal, "10.0.0.2/24", "10.0.0.2", 1), []string{`"10.0.0.2" has no prefix length: write "10.0.0.2/24"`}},
		{"address twice", strings.Replace(minimal, "10.0.0.2/24", "10.0.0.1/16", 1), []string{"f.yaml:6: stacks.far.addresses: 10.0.0.1 is taken by stack near"}},
		{"network address", strings.Replace(minimal, "10.0.0.2/24", "10.0.0.0/24", 1), []string{"address of the network itself"}},
		{"broadcast address", strings.Replace(minimal, "10.0.0.2/24", "10.0.0.255/24", 1), []string{"broadcast"}},
		{"multicast address", strings.Replace(minimal, "10.0.0.2/24", "224.0.0.1/24", 1), []string{"multicast"}},
		{"loopback address", strings.Replace(minimal, "10.0.0.2/24", "127.0.0.1/8", 1), []string{"loopback"}},
		{"gateway outside", stack("gateways: [192.168.0.1]"), []string{"192.168.0.1 is in none of the stack's networks"}},
		{"two gateways", stack("gateways: [10.0.0.3, 10.0.0.4]"), []string{"one for each"}},
		{"own gateway", stack("gateways: [10.0.0.2]"), []string{"own address"}},
		{"bad gateway", stack("gateways: [router]"), []string{"not an IP address"}},
		{"cubic for reno", stack("backend: reno, cubic: {beta: 0.8}"), []string{"f.yaml:6: stacks.far.cubic", "the backend reno does not take it"}},
		{"mss", stack("mss: 1461"), []string{"1461 does not fit into the MTU"}},
		{"ttl", stack("ttl: 256"), []string{"the most is 255"}},
		{"dscp", stack("dscp: 64"), []string{"the most is 63"}},
		{"keepalive", stack("keepalive: {after: 60}"), []string{`write "60s"`}},
		{"delayed ack", stack("timers: {delayed_ack: 500ms}"), []string{"500ms is out of range; the most is 499ms"}},
		{"rto", stack("timers: {rto_min: 10s, rto_max: 1s}"), []string{"10s is more than rto_max, 1s"}},
		{"memory", stack("limits: {memory: 64KiB}, buffers: {send: 1MiB}"), []string{"less than one flow's buffer"}},

		{"handler", service("stack: far, listen: 7, handler: ehco"), []string{`f.yaml:8: services.s.handler: "ehco" is unknown; did you mean "echo"?`}},
		{"service's stack", service("stack: fra, listen: 7, handler: echo"), []string{`there is no stack "fra"; did you mean "far"?`}},
		{"no listen", service("stack: far, handler: echo"), []string{"services.s.listen: is required for the handler echo"}},
		{"port 0", service("stack: far, handler: echo, listen: 0"), []string{"ports are 1 to 65535"}},
		{"listen elsewhere", service("stack: far, handler: echo, listen: \"10.0.0.1:7\""), []string{"10.0.0.1 is not an address of stack far"}},
		{"echo with to", service("stack: far, handler: echo, listen: 7, to: \"127.0.0.1:1\""), []string{"the handler echo does not take it"}},
		{"echo with root", service("stack: far, handler: echo, listen: 7, root: /tmp"), []string{"services.s.root: the handler echo does not take it"}},
		{"upload without root", service("stack: far, handler: http, listen: 80, upload: true"), []string{"needs a root"}},
		{"proxy without to", service("stack: far, handler: proxy, listen: 80"), []string{"services.s.to: is required"}},
		{"forward with listen", service("stack: far, handler: forward, listen: 80, from: \"127.0.0.1:1\", to: \"10.0.0.1:80\""), []string{"services.s.listen: the handler forward does not take it"}},
		{"forward without anything", service("stack: far, handler: forward"), []string{"services.s.from: is required for the handler forward, unless it has prefixes", "services.s.to"}},
		{"forward with both", service("stack: far, handler: forward, prefixes: [0.0.0.0/0], to: \"10.0.0.1:80\""), []string{"services.s.to: the handler forward does not take it beside prefixes"}},
		{"proxy with prefixes", service("stack: far, handler: proxy, listen: 80, to: \"127.0.0.1:1\", prefixes: [0.0.0.0/0]"), []string{"services.s.prefixes: the handler proxy does not take it"}},
		{"prefix without length", service("stack: far, handler: forward, prefixes: [10.0.0.0]"), []string{"10.0.0.0/24"}},
		{"target without port", service("stack: far, handler: proxy, listen: 80, to: \"127.0.0.1:0\""), []string{"has no port"}},
		{"port taken", service("stack: far, handler: echo, listen: 7") + "  - {name: t, stack: far, handler: discard, listen: \"10.0.0.2:7\"}\n",
			[]string{"f.yaml:9: services.t.listen: port 7 of stack far is taken by service s"}},
		{"host's port taken", service("stack: far, handler: forward, from: \"127.0.0.1:80\", to: \"10.0.0.1:80\"") + "http: {listen: \"127.0.0.1:80\"}\n",
			[]string{"127.0.0.1:80 is taken by http.listen"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := load(t, tc.yaml)
			if err == nil {
				t.Fatal("no error")
			}
			for _, w := range tc.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("want %q in:\n%v", w, err)
				}
			}
		})
	}
}

func TestErrorsTogetherInOrder(t *testing.T) {
	_, err := load(t, "version: 1\nshutdown: 3\nlog: {level: loud, colour: red}\nstacks: []\n", "SLUICE_LOG_FORMAT=xml")
	var es Errors
	if !errors.As(err, &es) {
		t.Fatalf("%T: %v", err, err)
	}
	var got []string
	for _, e := range es {
		got = append(got, e.Key)
	}
	if s := strings.Join(got, " "); s != "shutdown log.level log.colour log.format" {
		t.Errorf("keys %q in\n%v", s, err)
	}
	var one *Error
	if !errors.As(err, &one) || one.Line != 2 || one.Column != 11 || one.File != "f.yaml" {
		t.Errorf("first error: %+v", one)
	}
}

func TestPrecedence(t *testing.T) {
	file := minimal + "log: {level: warn}\nshutdown: 5s\n"
	set := []Assignment{{Key: "log.level", Value: "error", Source: "--log-level"}}
	for _, tc := range []struct {
		yaml string
		env  []string
		set  []Assignment
		want string
	}{
		{minimal, nil, nil, "INFO"},
		{file, nil, nil, "WARN"},
		{file, []string{"SLUICE_LOG_LEVEL=debug"}, nil, "DEBUG"},
		{file, []string{"SLUICE_LOG_LEVEL=debug"}, set, "ERROR"},
		{minimal, []string{"SLUICE_LOG_LEVEL=debug"}, nil, "DEBUG"},
	} {
		c, err := Load(Options{Name: "f.yaml", Data: []byte(tc.yaml), Environ: tc.env, Set: tc.set})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Log.Level.String(); got != tc.want {
			t.Errorf("level %s, want %s", got, tc.want)
		}
	}
}

func TestEnvironmentReachesItems(t *testing.T) {
	c, err := load(t, minimal, "SLUICE_STACKS_FAR_BACKEND=reno", "SLUICE_STACKS_NEAR_CUBIC_BETA=0.8",
		"SLUICE_LINKS_LAB_SIM_LOSS=2%", "SLUICE_STACKS_NEAR_ADDRESSES=10.0.0.7/24, fd00::7/64", "PATH=/bin", "SLUICE=1")
	if err != nil {
		t.Fatal(err)
	}
	if c.Stacks[1].Backend != "reno" || c.Stacks[0].Cubic == nil || c.Stacks[0].Cubic.Beta != 0.8 || !c.Stacks[0].Cubic.FastConvergence {
		t.Errorf("stacks: %+v", c.Stacks)
	}
	if c.Links[0].Sim == nil || c.Links[0].Sim.Loss != 0.02 || c.Links[0].Sim.Seed != 1 {
		t.Errorf("link: %+v", c.Links[0])
	}
	if len(c.Stacks[0].Addresses) != 2 {
		t.Errorf("addresses: %v", c.Stacks[0].Addresses)
	}
}

func TestEnvironmentAndAssignmentErrors(t *testing.T) {
	for _, tc := range []struct {
		env, key, value, want string
	}{
		{env: "SLUICE_LOG_LEVLE=info", want: "SLUICE_LOG_LEVLE: unknown environment variable; did you mean SLUICE_LOG_LEVEL?"},
		{env: "SLUICE_SHUTDOWN=30", want: `SLUICE_SHUTDOWN: shutdown: "30" has no unit: write "30s"`},
		{env: "SLUICE_STACKS_FAR_BACKEND=bbrr", want: `SLUICE_STACKS_FAR_BACKEND: stacks.far.backend: there is no backend "bbrr"`},
		{env: "SLUICE_VERSION=2", want: "unknown environment variable"},
		{key: "stacks.fra.backend", value: "reno", want: `stacks has no item named "fra"; did you mean "far"?`},
		{key: "stacks.far", value: "reno", want: "names a whole item"},
		{key: "stacks.far.name", value: "x", want: `there is no key "name" to set`},
		{key: "log", value: "info", want: "is a block: name one of its keys"},
		{key: "log.level.x", value: "info", want: `"log.level" is not a block`},
		{key: "lgo.level", value: "info", want: `there is no key "lgo" to set; did you mean "log"?`},
		{key: "stacks", value: "", want: "is a block"},
	} {
		opts := Options{Name: "f.yaml", Data: []byte(minimal)}
		if tc.env != "" {
			opts.Environ = []string{tc.env}
		} else {
			opts.Set = []Assignment{{tc.key, tc.value, "--set"}}
		}
		_, err := Load(opts)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s%s: want %q, got %v", tc.env, tc.key, tc.want, err)
		}
	}
	if _, err := ParseAssignment("a.b", "--set"); err == nil {
		t.Error("an assignment without '=' is accepted")
	}
}

// TestAliases: anchors are YAML too, also ones that refer to themselves.
func TestAliases(t *testing.T) {
	c, err := load(t, strings.Replace(minimal, "[10.0.0.1/24]}", "[10.0.0.1/24], ttl: &n 9}", 1)+"shutdown: 3s\n")
	if err != nil || c.Stacks[0].TTL != 9 {
		t.Fatalf("%v", err)
	}
	if _, err := load(t, "version: 1\nstacks: &a [*a]\n"); err == nil {
		t.Error("a list that contains itself is accepted")
	}
	if _, err := load(t, "version: 1\nlog: &a {level: *a}\n"); err == nil {
		t.Error("a block that contains itself is accepted")
	}
}

func TestLoadFile(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(Options{File: filepath.Join(dir, "none.yaml")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := Load(Options{File: dir}); err == nil {
		t.Error("a directory is accepted")
	}
	big := filepath.Join(dir, "big.yaml")
	os.WriteFile(big, make([]byte, maxFile+1), 0o600)
	if _, err := Load(Options{File: big}); err == nil || !strings.Contains(err.Error(), "larger than 1MiB") {
		t.Errorf("large file: %v", err)
	}
	good := filepath.Join(dir, "good.yaml")
	os.WriteFile(good, []byte(minimal), 0o600)
	if c, err := Load(Options{File: good}); err != nil || c.Name() != good {
		t.Errorf("good file: %v", err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(minimal), "SLUICE_LOG_LEVEL=debug", "stacks.far.backend")
	f.Add([]byte("version: 1\nstacks: &a [*a]\n"), "SLUICE_X=", "links.lab.sim.loss")
	f.Add([]byte("a: &a [*a, *a]\nb: {<<: *a}"), "", "")
	f.Fuzz(func(t *testing.T, data []byte, env, key string) {
		c, err := Load(Options{Name: "f", Data: data, Environ: []string{env}, Set: []Assignment{{key, "1", "--set"}}})
		if (c == nil) == (err == nil) {
			t.Errorf("config %v, error %v", c, err)
		}
		Load(Options{Name: "f", Data: data})
	})
}
