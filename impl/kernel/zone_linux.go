package kernel

import (
	"fmt"
	"net"
	"strconv"

	"github.com/sluicenet/sluice/api"
)

// zoneID is the index of the interface that zone names.
func zoneID(zone string) (uint32, error) {
	if zone == "" {
		return 0, nil
	}
	if i, err := net.InterfaceByName(zone); err == nil {
		return uint32(i.Index), nil
	}
	n, err := strconv.ParseUint(zone, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%w: no interface %q", api.ErrInvalidAddress, zone)
	}
	return uint32(n), nil
}

func zoneName(id uint32) string {
	if i, err := net.InterfaceByIndex(int(id)); err == nil {
		return i.Name
	}
	return strconv.FormatUint(uint64(id), 10)
}
