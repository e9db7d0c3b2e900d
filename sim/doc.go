// Package sim is a laboratory for transport protocols: hosts, routers and links in
// virtual time, on which the very machines run that the daemon runs
// ([host.Host], and in it tcp.Conn), without goroutines and locks around them.
//
// A [Network] has one heap of events, in integer nanoseconds and in a total order;
// every source of chance has a stream of random numbers of its own, derived from
// one seed. The same network with the same seed does the same, packet for packet.
//
//	n := sim.New(sim.Config{Seed: 1})
//	a, _ := n.AddHost(sim.HostConfig{Name: "a"})
//	b, _ := n.AddHost(sim.HostConfig{Name: "b"})
//	n.AddLink(sim.LinkConfig{Name: "wire", A: a, B: b,
//		AB: sim.Direction{Rate: 10e6, Delay: 20 * time.Millisecond},
//		BA: sim.Direction{Rate: 10e6, Delay: 20 * time.Millisecond}})
//	f, _ := n.AddBulk(sim.Bulk{FlowConfig: sim.FlowConfig{Name: "f", From: a, To: b}})
//	n.Run(10 * time.Second)
//	fmt.Println(f.Report().Goodput)
//
// Package sim/scenario reads networks from files; package sim/plot draws what was
// measured. A Network is not safe for concurrent use; different ones share
// nothing and may run side by side.
package sim
