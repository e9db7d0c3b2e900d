package scenario

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/sim.md anew")

const docsHead = `# The laboratory

<!-- The tables below are generated from the schema: go test ./sim/scenario -run TestDocs -update -->

` + "`sluice sim`" + ` carries out experiments in virtual time: hosts with the daemon's own TCP, routers, links and applications. The
machines are the very code that ` + "`sluice run`" + ` runs (` + "`impl/engine/host`" + ` and ` + "`impl/engine/tcp`" + `), without goroutines, locks and
clocks around them. The same scenario with the same seed gives the same packets, bit for bit, on any machine and with any
number of processors. One processor simulates a million packets a second or more (1.1 to 1.3 million where this was
measured, from 1 to 100 flows; go test ./sim -run - -bench Packets); the cost is linear in packets.

    sluice sim list                                  the built-in scenarios
    sluice sim list --show bufferbloat > mine.yaml   one of them, to begin with
    sluice sim list --keys                           what stands below
    sluice sim run one-flow --plot one-flow.svg      cwnd, RTT, queue and goodput on one time axis
    sluice sim run mine.yaml --seed 7 --json         results for programs
    sluice sim run mine.yaml --set links.wan.rate=5Mbit --set hosts.a.congestion=reno
    sluice sim run mine.yaml --pcap t.pcapng --pcap-at wan:a,exit --csv series.csv --drops drops.csv
    sluice sim matrix one-flow --vary hosts.sender.congestion=reno,cubic \
        --vary links.bottleneck.queue=5ms,10ms,20ms,40ms --seeds 1-10 --csv queues.csv

Exit status: 0 if the experiment was carried out, 1 if it could not be, 2 for wrong usage. ` + "`sluice bridge`" + ` puts the same links, in
real time, between two devices.

## How to read the results

- Goodput is payload that arrived in order, in bits a second, from the end of the warm-up (or the flow's start) to the end of
  the flow or of the experiment. Rates of links count whole IP packets: with an MTU of 1500 and timestamps, 96.5 %% of the
  rate can be goodput.
- RESENT is the share of retransmissions in all payload bytes sent. MEAN RTT and MEAN CWND are means over the time series; the
  RTT is the smoothed one, which lags behind queues that come and go within a few round trips.
- USED is what was sent of what the rate carries. A packet that is lost by chance is lost on the wire: it was sent.
- The Jain index is of the goodputs of the bulk flows: 1 if all are equal.
- A capture's interface is where a link meets a node, ` + "`LINK:NODE`" + `. Packets that leave the node are recorded before the queue of the
  link, so that those are seen too which it then drops. Times begin at 1970-01-01.
- ` + "`--csv`" + ` has one row for each flow, and each direction of a link, at each instant, and ` + "`--jsonl`" + ` the same as one JSON
  object a line; ` + "`--drops`" + ` has one row for each lost packet, with
  the reason: queue, codel, policer, loss, every, list, gilbert, blackhole, too-big, ttl, header, no-route.
- ` + "`--json`" + `: times are seconds, sizes bytes, rates bits a second. ` + "`flows[]`" + ` has name, kind, from, to, congestion, start, end,
  complete, failed, error, bytes, goodput, sent_bytes, retransmitted_bytes, retransmits, spurious, timeouts, base_rtt, min_rtt,
  mean_rtt, mean_cwnd, cwnd, retransmitted_share, count, latency {mean, p50, p95, p99, max}, unstarted; ` + "`links[]`" + `, each direction on its
  own, has name, from, to, offered, sent, sent_bytes, delivered, dropped (by reason), marked, corrupted, reordered, duplicated,
  rate, utilization, mean_queue, max_queue, mean_queue_delay, max_queue_delay; on top are scenario, title, seed, duration,
  packets, hops, jain, drops. Keys may be added, and are not renamed.

## The file

One YAML file, as strict as the daemon's: unknown keys, keys that mean nothing to the kind of a flow, numbers without a unit and
impossible topologies are refused with file, line, key and the nearest valid key. Durations, sizes, rates and percentages need
their unit: ` + "`30ms`, `64KiB`, `50Mbit`, `0.5%%`" + `. This is a whole scenario:

` + "```yaml" + `
%s` + "```" + `

Addresses are given out by the network. Every source of chance has a stream of random numbers of its own, so that changing one
impairment does not change what the others do.
`

// example is the scenario in the document.
const example = `version: 1
title: Two flows over a narrow link that gets narrower
duration: 60s
warmup: 10s
hosts:
  - {name: a, congestion: cubic}
  - {name: b, congestion: reno}
  - {name: c}
routers:
  - {name: r}
links:
  - {name: a-r, between: [a, r], rate: 1Gbit, delay: 1ms}
  - {name: b-r, between: [b, r], rate: 1Gbit, delay: 1ms}
  - name: wan
    between: [r, c]
    rate: 20Mbit
    delay: 15ms
    queue: 30ms              # or bytes, as in 75kB
    loss: 0.01%
    reverse: {rate: 5Mbit, delay: 15ms, queue: 64KiB}
flows:
  - {name: upload, from: a, to: c}
  - {name: other, from: b, to: c, start: 5s}
  - {name: web, kind: request, from: c, to: a, request: 400B, response: 20kB, think: 200ms}
changes:
  - {at: 30s, link: wan, direction: forward, rate: 10Mbit}
`

func docs() string {
	var b strings.Builder
	fmt.Fprintf(&b, docsHead, example)
	var sections []string
	rows, doc := map[string]string{}, map[string]string{}
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
		if strings.HasPrefix(prefix, "links[].reverse") || strings.HasPrefix(prefix, "changes[].") {
			continue // as of links
		}
		if rows[prefix] == "" {
			sections = append(sections, prefix)
		}
		value := k.Type
		if name == "queue" || name == "mark" {
			value = "size or duration"
		}
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
		fmt.Fprintf(&b, "\n### %s\n\n", title)
		if p != "" {
			fmt.Fprintf(&b, "%s\n\n", doc[p])
		}
		b.WriteString("| key | value | default | meaning |\n|---|---|---|---|\n" + rows[p])
		if p == "links[]" {
			fmt.Fprintf(&b, "\n`reverse` has the same keys, from `blackhole` on: %s\n", doc["links[].reverse"])
		}
	}
	return b.String()
}

func TestDocs(t *testing.T) {
	const path = "../../docs/sim.md"
	if *update {
		if err := os.WriteFile(path, []byte(docs()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != docs() {
		t.Errorf("docs/sim.md is stale (%v): go test ./sim/scenario -run TestDocs -update", err)
	}
	for _, k := range Keys() {
		if k.Doc == "" || !strings.HasSuffix(k.Doc, ".") {
			t.Errorf("%s is not documented", k.Path)
		}
	}
}

func TestDocumentedExample(t *testing.T) {
	s, err := Load(Options{Name: "example", Data: []byte(example)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Run(RunOptions{}); err != nil {
		t.Fatal(err)
	}
}
