package main

import (
	"fmt"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A cell is one kind of work, and the stacks that can do it.
type cell struct {
	name, about string
	metric      string   // what it is judged by
	cpuMetric   string   // work per second of CPU time
	also        []string // to be shown beside
	lower       bool     // less of the metric is better
	slow        bool     // to be run only if asked for
	rounds      int      // at most, if not 0
	timeout     time.Duration
	env         []string
	reference   reference
	stacks      []variant
}

// reference has medians once measured on a quiet machine of 2 cores (Linux 6.18,
// Go 1.26.8): the kernel's, and gVisor's best.
type reference struct{ kernel, gvisor float64 }

// A variant is one way for one stack to do the work of a cell.
type variant struct {
	name string
	run  func(p *params) (map[string]float64, error)
}

func selectCells(patterns string) ([]*cell, error) {
	var chosen []*cell
	for _, c := range allCells() {
		for _, p := range strings.Split(patterns, ",") {
			ok := p == "default" && !c.slow
			if !ok {
				var err error
				if ok, err = path.Match(p, c.name); err != nil {
					return nil, fmt.Errorf("-cells %q: %v", p, err)
				}
			}
			if ok {
				chosen = append(chosen, c)
				break
			}
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("-cells %q: no cell has such a name; see -list", patterns)
	}
	return chosen, nil
}

func allCells() []*cell {
	var cells []*cell
	add := func(c cell) { cells = append(cells, &c) }

	// Memory links: both ends in this process.
	type open = func() (network, error)
	over := func(w func(network, *params) (map[string]float64, error), o open) func(*params) (map[string]float64, error) {
		return func(p *params) (map[string]float64, error) {
			n, err := o()
			if err != nil {
				return nil, err
			}
			return w(n, p)
		}
	}
	plain := memLink{mtu: 1500}
	edge := memLink{mtu: 1500, software: true}
	super := memLink{mtu: 1500, gso: true}
	mem := func(l memLink, w func(network, *params) (map[string]float64, error), withFlow bool) []variant {
		v := []variant{{"sluice", over(w, func() (network, error) { return newSluicePair(l, false) })}}
		if withFlow {
			v = append(v, variant{"sluice-flow", over(w, func() (network, error) { return newSluicePair(l, true) })})
		}
		if !l.gso {
			v = append(v, variant{"gvisor-pipe", over(w, func() (network, error) { return newGVisorPair(l, gvisorPipe) })})
		}
		if l.software {
			v = append(v, variant{"gvisor-edge", over(w, func() (network, error) { return newGVisorPair(l, gvisorDirect) })})
		}
		whole := l // for those that see what crosses; not l itself, which the others still look at
		whole.software = false
		v = append(v,
			variant{"gvisor-channel", over(w, func() (network, error) { return newGVisorPair(whole, gvisorChannel) })},
			variant{"gvisor-direct", over(w, func() (network, error) { return newGVisorPair(whole, gvisorDirect) })})
		return append(v, kernels(l.gso || l.software, func(congestion string) func(*params) (map[string]float64, error) {
			return over(w, func() (network, error) { return newLoopback(whole, congestion) })
		})...)
	}
	for i, flows := range []int{1, 10, 100} {
		w := bulk{flows: flows}.run
		add(cell{
			name: fmt.Sprintf("bulk/mem/1500/%d", flows), about: fmt.Sprintf("%d flows, one way, in memory, MTU 1500, no offload; kernel: loopback", flows),
			metric: "gbit/s", cpuMetric: "gbit/cpu-s", also: []string{"allocs/MB", "retransmits"},
			reference: []reference{{11.3, 3.6}, {13.7, 5.1}, {12.2, 3.9}}[i],
			stacks:    mem(edge, w, true),
		})
	}
	for _, flows := range []int{1000, 10000} {
		add(cell{
			name: fmt.Sprintf("bulk/mem/1500/%d", flows), about: fmt.Sprintf("%d flows, one way, in memory, MTU 1500, no offload; kernel: loopback", flows),
			metric: "gbit/s", cpuMetric: "gbit/cpu-s", slow: true, timeout: time.Minute,
			stacks: mem(edge, bulk{flows: flows}.run, true),
		})
	}
	for i, flows := range []int{1, 10, 100} {
		w := bulk{flows: flows}.run
		add(cell{
			name: fmt.Sprintf("bulk/mem/gso/%d", flows), about: fmt.Sprintf("%d flows, one way, in memory, MTU 1500, super-packets of 64 KB", flows),
			metric: "gbit/s", cpuMetric: "gbit/cpu-s", also: []string{"allocs/MB", "retransmits"},
			reference: []reference{{19.1, 44.4}, {29.6, 68.3}, {27.3, 39.4}}[i],
			stacks:    mem(super, w, true),
		})
	}
	add(cell{
		name: "rr/mem", about: "one byte there and back, one flow, in memory",
		metric: "per_s", cpuMetric: "per_cpu-s", also: []string{"p50_us", "p99_us", "allocs/op"},
		reference: reference{234000, 57000}, stacks: slices.Insert(mem(plain, requestResponse, true), 2,
			variant{"sluice-notify", over(notifiedRequestResponse, func() (network, error) { return newSluicePair(plain, true) })}),
	})
	for i, workers := range []int{1, 16} {
		add(cell{
			name: fmt.Sprintf("crr/mem/%d", workers), about: fmt.Sprintf("connect, one byte there and back, close; %d workers, in memory", workers),
			metric: "per_s", cpuMetric: "per_cpu-s", also: []string{"p99_us", "allocs/op", "failed"},
			reference: []reference{{32000, 11700}, {45600, 16500}}[i],
			stacks:    mem(plain, connections{workers: workers}.run, false),
		})
	}

	// TUN: a stack of user space talks to the kernel's sockets; kernel: two
	// namespaces joined by veth.
	tun := func(offload, bulk bool, w func(network, *params) (map[string]float64, error), withFlow bool) []variant {
		v := []variant{{"sluice", over(w, func() (network, error) { return newSluiceTun(offload, false) })}}
		if withFlow {
			v = append(v, variant{"sluice-flow", over(w, func() (network, error) { return newSluiceTun(offload, true) })})
		}
		v = append(v,
			variant{"gvisor-tun", over(w, func() (network, error) { return newGVisorTun(offload, 1) })},
			variant{"gvisor-queues", over(w, func() (network, error) { return newGVisorTun(offload, runtime.NumCPU()) })})
		return append(v, kernels(bulk, func(congestion string) func(*params) (map[string]float64, error) {
			return over(w, func() (network, error) { return newVeth(offload, congestion) })
		})...)
	}
	for _, offload := range []bool{true, false} {
		name, about := "plain", "without offload"
		if offload {
			name, about = "gso", "with virtio header, TSO and checksum offload"
		}
		for _, down := range []bool{false, true} {
			dir, what := "send", "stack sends"
			if down {
				dir, what = "recv", "stack receives"
			}
			for i, flows := range []int{1, 10} {
				ref := map[string][]reference{
					"gso/send":   {{16.4, 27.2}, {33.4, 39.5}},
					"gso/recv":   {{19.4, 14.0}, {29.3, 18.6}},
					"plain/send": {{10.3, 3.3}, {14.5, 6.2}},
					"plain/recv": {{10.1, 7.3}, {12.5, 5.3}},
				}[name+"/"+dir][i]
				add(cell{
					name: fmt.Sprintf("bulk/tun/%s/%s/%d", name, dir, flows), about: fmt.Sprintf("%d flows over TUN %s, %s", flows, about, what),
					metric: "gbit/s", cpuMetric: "gbit/cpu-s", also: []string{"retransmits"}, reference: ref,
					stacks: tun(offload, true, bulk{flows: flows, down: down}.run, true),
				})
			}
		}
	}
	add(cell{
		name: "rr/tun", about: "one byte there and back, one flow, over TUN",
		metric: "per_s", cpuMetric: "per_cpu-s", also: []string{"p50_us", "p99_us"},
		reference: reference{221000, 58000}, stacks: slices.Insert(tun(true, false, requestResponse, true), 2,
			variant{"sluice-notify", over(notifiedRequestResponse, func() (network, error) { return newSluiceTun(true, true) })}),
	})
	for i, workers := range []int{1, 16} {
		add(cell{
			name: fmt.Sprintf("crr/tun/%d", workers), about: fmt.Sprintf("connect, one byte there and back, close; %d workers, over TUN", workers),
			metric: "per_s", cpuMetric: "per_cpu-s", also: []string{"p99_us", "failed"},
			reference: []reference{{17200, 17000}, {16600, 24800}}[i],
			stacks:    tun(true, false, connections{workers: workers}.run, false),
		})
	}
	return append(cells, scaleCells()...)
}
