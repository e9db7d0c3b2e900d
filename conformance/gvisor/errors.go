package main

import (
	"errors"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"

	"github.com/sluicenet/sluice/api"
)

// cause is the contract's error for one of gVisor's, or nil for none.
func cause(err tcpip.Error) error {
	switch err.(type) {
	case nil:
		return nil
	case *tcpip.ErrConnectionRefused:
		return api.ErrRefused
	case *tcpip.ErrTimeout:
		return api.ErrTimeout
	case *tcpip.ErrConnectionReset:
		return api.ErrReset
	case *tcpip.ErrAborted, *tcpip.ErrConnectionAborted:
		return api.ErrAborted
	case *tcpip.ErrPortInUse:
		return api.ErrPortInUse
	case *tcpip.ErrNoPortAvailable:
		return api.ErrNoPorts
	case *tcpip.ErrNetworkUnreachable, *tcpip.ErrHostUnreachable, *tcpip.ErrHostDown, *tcpip.ErrNoNet:
		return api.ErrUnreachable
	case *tcpip.ErrBadLocalAddress, *tcpip.ErrBadAddress, *tcpip.ErrBroadcastDisabled, *tcpip.ErrAddressFamilyNotSupported:
		return api.ErrInvalidAddress
	case *tcpip.ErrNoBufferSpace:
		return api.ErrNoMemory
	case *tcpip.ErrClosedForSend, *tcpip.ErrClosedForReceive, *tcpip.ErrNotConnected:
		return api.ErrClosed
	}
	return errors.New(err.String())
}

func failed(op string, src, dst netip.AddrPort, err error) error {
	return &api.Error{Op: op, Src: src, Dst: dst, Err: err}
}

func addrPort(a tcpip.FullAddress) netip.AddrPort {
	ip, _ := netip.AddrFromSlice(a.Addr.AsSlice())
	return netip.AddrPortFrom(ip.Unmap(), a.Port)
}

func fullAddress(a netip.AddrPort) tcpip.FullAddress {
	full := tcpip.FullAddress{Port: a.Port()}
	if a.Addr().IsValid() && !a.Addr().IsUnspecified() {
		full.Addr = tcpip.AddrFromSlice(a.Addr().Unmap().AsSlice())
	}
	return full
}
