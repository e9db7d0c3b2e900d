package bridge

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/sluicenet/sluice/config"
	"github.com/sluicenet/sluice/sim"
	"github.com/sluicenet/sluice/sim/scenario"
)

// File is the content of a bridge's file.
type File struct {
	Version  int             `mapstructure:"version" oneof:"1" required:"true" doc:"Version of the file format."`
	Title    string          `mapstructure:"title" doc:"What the bridge is for, in one line."`
	Seed     uint64          `mapstructure:"seed" default:"1" doc:"Seed of everything random. What befalls the n-th packet of a direction depends on nothing else."`
	Duration config.Duration `mapstructure:"duration" doc:"When the bridge ends by itself; 0 for never."`
	Realtime string          `mapstructure:"realtime" default:"auto" oneof:"auto|on|off" doc:"Run at real-time priority: on insists on it, auto takes it where it is allowed."`
	Spin     config.Duration `mapstructure:"spin" default:"0s" max:"1ms" doc:"How long before a packet is due the bridge stops sleeping and watches the clock instead. It costs a processor, and makes packets more punctual on machines that wake up late."`
	Ends     []End           `mapstructure:"ends" required:"true" doc:"The two devices. 'Forward' is from the first to the second."`
	Link     Link            `mapstructure:"link" doc:"What is between them."`
	Changes  []Change        `mapstructure:"changes" doc:"What becomes different at set times."`
}

// End is one device.
type End struct {
	Name       string          `mapstructure:"name" required:"true" name:"true" doc:"Name of the end, for reports: lower-case letters, digits and '-'."`
	Device     string          `mapstructure:"device" doc:"Name of the TUN device, which is created unless it exists. By default the kernel chooses one."`
	Netns      string          `mapstructure:"netns" doc:"Network namespace of the device: a name as of 'ip netns', or a path. By default that of the bridge."`
	FD         int             `mapstructure:"fd" min:"3" doc:"Inherited descriptor of a TUN device, opened with IFF_NO_PI and without IFF_VNET_HDR, instead of device and netns."`
	Addresses  []config.Prefix `mapstructure:"addresses" doc:"Addresses that the kernel gets on the device, with their networks, which it then routes there."`
	QueueLimit int             `mapstructure:"queue_limit" default:"10000" min:"1" max:"1000000" doc:"Packets that may wait in the device until the bridge has taken them: room for bursts, not part of the link."`
}

// Link is what is between the devices.
type Link struct {
	MTU           int `mapstructure:"mtu" default:"1500" min:"576" max:"65535" doc:"Largest IP packet, in bytes. The devices get it too."`
	scenario.Path `mapstructure:",squash"`
	Reverse       *scenario.Path `mapstructure:"reverse" doc:"The direction from the second end to the first, if it differs. A key that is absent here keeps its default. Without this block both directions are alike."`
}

// Change is something that becomes different while the bridge runs. What is absent
// stays as it is.
type Change struct {
	At             config.Duration `mapstructure:"at" required:"true" doc:"When, counted from the start."`
	Direction      string          `mapstructure:"direction" default:"both" oneof:"forward|reverse|both" doc:"Direction of the link."`
	scenario.Patch `mapstructure:",squash"`
}

// Load reads and validates a file. The error, if any, is of type [config.Errors], or
// that of reading the file.
func Load(opts config.Options) (*File, error) {
	f := new(File)
	doc, err := config.Decode(opts, f)
	if err != nil {
		return nil, err
	}
	if len(f.Ends) != 2 {
		doc.Fail("ends", "ends", "wants two devices, not %d", len(f.Ends))
	}
	for i := range f.Ends {
		e := &f.Ends[i]
		path, key := fmt.Sprintf("ends[%d].", i), "ends."+e.Name+"."
		if len(e.Device) > 15 {
			doc.Fail(path+"device", key+"device", "%q is longer than 15 bytes", e.Device)
		}
		if e.FD != 0 {
			for _, k := range []string{"device", "netns", "addresses", "queue_limit"} {
				if doc.Given(path + k) {
					doc.Fail(path+k, key+k, "is up to whoever opened the descriptor that fd names")
				}
			}
		}
		for j := range i {
			o := &f.Ends[j]
			if e.FD != 0 && e.FD == o.FD {
				doc.Fail(path+"fd", key+"fd", "is the descriptor of %s", o.Name)
			}
			if e.FD == 0 && o.FD == 0 && e.Device != "" && e.Device == o.Device && NamespacePath(e.Netns) == NamespacePath(o.Netns) {
				doc.Fail(path+"device", key+"device", "is the device of %s", o.Name)
			}
		}
		for j, a := range e.Addresses {
			if a.Addr().Is6() && f.Link.MTU < 1280 {
				doc.Fail(fmt.Sprintf("%saddresses[%d]", path, j), key+"addresses", "the MTU of the link, %d, is less than IPv6 needs, 1280", f.Link.MTU)
			}
		}
	}
	scenario.CheckPath(doc, "link", "link", &f.Link.Path)
	if f.Link.Reverse != nil {
		scenario.CheckPath(doc, "link.reverse", "link.reverse", f.Link.Reverse)
	}
	for i := range f.Changes {
		if c := &f.Changes[i]; f.Duration != 0 && c.At >= f.Duration {
			doc.Fail(fmt.Sprintf("changes[%d].at", i), fmt.Sprintf("changes.#%d.at", i+1), "%v is not before the end, %v", c.At, f.Duration)
		}
	}
	if err := doc.Err(); err != nil {
		return nil, err
	}
	return f, nil
}

// Keys describes the keys of a file.
func Keys() []config.Key { return config.KeysOf(new(File)) }

// NamespacePath returns where a network namespace is in the file system: "" for
// that of the caller.
func NamespacePath(name string) string {
	if name == "" || filepath.Base(name) != name {
		return name
	}
	return "/run/netns/" + name
}

// build makes the network: two ports and the link between them.
func (f *File) build(deliver [2]func(due sim.Time, packet []byte)) (*sim.Network, *sim.Link, [2]*sim.Port, error) {
	n := sim.New(sim.Config{Seed: f.Seed})
	var ports [2]*sim.Port
	for i := range ports {
		p, err := n.AddPort(f.Ends[i].Name, deliver[i])
		if err != nil {
			return nil, nil, ports, err
		}
		ports[i] = p
	}
	reverse := &f.Link.Path
	if f.Link.Reverse != nil {
		reverse = f.Link.Reverse
	}
	l, err := n.AddLink(sim.LinkConfig{Name: "link", A: ports[0], B: ports[1], MTU: f.Link.MTU,
		AB: f.Link.Path.Direction(), BA: reverse.Direction()})
	if err != nil {
		return nil, nil, ports, err
	}
	for i := range f.Changes {
		c := &f.Changes[i]
		n.At(sim.Time(c.At), func(sim.Time) {
			for _, back := range []bool{false, true} {
				if c.Direction == "forward" && back || c.Direction == "reverse" && !back {
					continue
				}
				d := l.Direction(back)
				c.Apply(&d)
				if err := l.Set(back, d); err != nil {
					panic("BUG: a change that was checked is bad: " + err.Error())
				}
			}
		})
	}
	return n, l, ports, n.Check()
}

// end returns when the bridge ends, Never if it does not.
func (f *File) end() sim.Time {
	if f.Duration == 0 {
		return sim.Never
	}
	return sim.Time(time.Duration(f.Duration))
}
