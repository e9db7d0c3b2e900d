package wire

// legalOptions reports whether each option of b has a length that can be. Only a
// fault asks.
func legalOptions(b []byte) bool {
	for len(b) > 0 && b[0] != optEnd {
		n := 1
		if b[0] != optNop {
			if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
				return false
			}
			n = int(b[1])
		}
		b = b[n:]
	}
	return true
}
