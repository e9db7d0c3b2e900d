package ip

import "net/netip"

// Forget forgets what is known about dst. Only a fault asks for it.
func (m *PathMTUs) Forget(dst netip.Addr) { delete(m.paths, dst) }
