package config

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/config.md anew")

const docsHead = `# Configuration

<!-- The tables below are generated from the schema: go test ./config -run TestDocs -update -->

A configuration is one YAML file. ` + "`sluice check -c FILE`" + ` says what is wrong with it, with file, line and key;
` + "`sluice check --keys`" + ` prints what is below. [examples/](../examples) has files to begin with.

- Nothing is ignored. Unknown keys, keys that the chosen driver, backend or handler does not take, and references to what
  does not exist are errors.
- Durations, sizes, rates and percentages need their unit: ` + "`30s`, `64KiB`, `50Mbit`, `0.5%`" + `. Sizes may be B, KiB, MiB, GiB,
  TiB, or kB, MB, GB, TB; rates bit, kbit, Mbit, Gbit, each a second.
- Links, stacks and services are lists whose items have a ` + "`name`" + `.
- An environment variable beginning with SLUICE_ sets the key of that name: ` + "`SLUICE_LOG_LEVEL=debug`" + `, and for an item of a
  list ` + "`SLUICE_STACKS_FAR_BACKEND=cubic`" + `. On the command line that is ` + "`--set stacks.far.backend=cubic`" + `. Items of a list of
  values are separated by commas. Flags win over the environment, and the environment over the file. An unknown SLUICE_
  variable is an error.
- Where no default is given, that of the backend applies.

A pipe or sim link has two ends, each for one stack: with ` + "`ends: [near, far]`" + ` a stack's ` + "`link`" + ` is ` + "`lab:near`" + ` or ` + "`lab:far`" + `.
The others have one, ` + "`link: wan`" + `.

On links of Ethernet (tap, packet, some captures) the stack is a station that speaks ARP and neighbour discovery. It takes no
router advertisements: addresses and gateways are those configured. What the drivers need is said at their packages:
[tun](../link/tun), [tap](../link/tap), [packet](../link/packet), [replay](../link/pcap).

The backend ` + "`kernel`" + ` has no link, and takes only the keys that the host's sockets have: addresses (none means all of the
host's), buffers, limits.flows, keepalive, nodelay, user_timeout, ttl, dscp and mss.
`

func docs() string {
	var b strings.Builder
	b.WriteString(docsHead)
	var sections []string
	rows := map[string]string{}
	doc := map[string]string{}
	for _, k := range Keys() {
		if k.Type == "block" || strings.HasPrefix(k.Type, "list of blocks") {
			p := k.Path
			if k.Type != "block" {
				p += "[]"
			}
			doc[p] = k.Doc
			continue
		}
		prefix, name := "", k.Path
		if i := strings.LastIndex(k.Path, "."); i >= 0 {
			prefix, name = k.Path[:i], k.Path[i+1:]
		}
		if rows[prefix] == "" {
			sections = append(sections, prefix)
		}
		value := k.Type
		if k.Range != "" {
			value += ", " + k.Range
		}
		def := k.Default
		if def != "" {
			def = "`" + def + "`"
		}
		rows[prefix] += fmt.Sprintf("| `%s` | %s | %s | %s |\n", name, value, def, k.Doc)
	}
	for _, p := range sections {
		title := p
		if p == "" {
			title = "Top level"
		}
		fmt.Fprintf(&b, "\n## %s\n\n", title)
		if p != "" {
			fmt.Fprintf(&b, "%s\n\n", doc[p])
		}
		b.WriteString("| key | value | default | meaning |\n|---|---|---|---|\n" + rows[p])
	}
	return b.String()
}

func TestDocs(t *testing.T) {
	const path = "../docs/config.md"
	if *update {
		if err := os.WriteFile(path, []byte(docs()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != docs() {
		t.Errorf("docs/config.md is stale (%v): go test ./config -run TestDocs -update", err)
	}
	for _, k := range Keys() {
		if k.Doc == "" || !strings.HasSuffix(k.Doc, ".") {
			t.Errorf("%s is not documented", k.Path)
		}
	}
}
