package virtio

import "fmt"

// A Mode says whether a device uses offloads.
type Mode uint8

// The modes.
const (
	Off  Mode = iota // plain packets only
	On               // opening fails where the device cannot
	Auto             // on where the device can
)

// String returns "off", "on" or "auto".
func (m Mode) String() string {
	switch m {
	case Off:
		return "off"
	case On:
		return "on"
	case Auto:
		return "auto"
	}
	return fmt.Sprintf("offload mode %d", uint8(m))
}
