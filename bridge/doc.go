// Package bridge puts a link of the laboratory between two TUN devices, in real
// time: what the kernel, or any program, sends into one comes out of the other as
// the link would have it, with its rate, queue, delay and losses. It is a netem
// that is seeded, can be scripted, and needs no kernel module.
//
// [Load] reads a file, [Open] opens the devices, [Bridge.Run] moves packets. The
// impairments are those of package sim: the same code, driven by the machine's clock
// instead of a virtual one. What chance does to the n-th packet is a function of the
// seed; when packets come is up to the machine.
//
// One thread does everything. It waits for packets and for the next instant at which
// one is due with a single system call, at real-time priority where that is
// allowed; how late packets left is in the report.
package bridge
