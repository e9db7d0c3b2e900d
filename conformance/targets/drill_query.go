package targets

import (
	"fmt"
	"sort"

	"github.com/sluicenet/sluice/api"
)

// The names that FreeBSD's sockstat and netstat, and Linux's ss, have for states.
var (
	bsdStates = map[api.State]string{
		api.StateClosed: "CLOSED", api.StateListen: "LISTEN", api.StateSynSent: "SYN_SENT", api.StateSynReceived: "SYN_RCVD",
		api.StateEstablished: "ESTABLISHED", api.StateFinWait1: "FIN_WAIT_1", api.StateFinWait2: "FIN_WAIT_2",
		api.StateCloseWait: "CLOSE_WAIT", api.StateClosing: "CLOSING", api.StateLastAck: "LAST_ACK", api.StateTimeWait: "TIME_WAIT",
	}
	ssStates = map[api.State]string{
		api.StateClosed: "UNCONN", api.StateListen: "LISTEN", api.StateSynSent: "SYN-SENT", api.StateSynReceived: "SYN-RECV",
		api.StateEstablished: "ESTAB", api.StateFinWait1: "FIN-WAIT-1", api.StateFinWait2: "FIN-WAIT-2",
		api.StateCloseWait: "CLOSE-WAIT", api.StateClosing: "CLOSING", api.StateLastAck: "LAST-ACK", api.StateTimeWait: "TIME-WAIT",
	}
)

// drillQuery prints a stack's connections as a command would.
func drillQuery(s api.Stack) func(source string) ([]string, bool) {
	return func(source string) (lines []string, ok bool) {
		for i := range s.Flows() {
			family := "tcp4"
			if i.Src.Addr().Is6() {
				family = "tcp6"
			}
			dst := i.Dst.String()
			if !i.Dst.IsValid() {
				dst = "*:*"
			}
			switch source {
			case "sockstat":
				lines = append(lines, fmt.Sprintf("root drill 1 3 %s %s %s %s", family, i.Src, dst, bsdStates[i.State]))
			case "netstat":
				lines = append(lines, fmt.Sprintf("%s %d %d %s %s %s", family, i.ReceiveQueue, i.SendQueue, i.Src, dst, bsdStates[i.State]))
			case "ss":
				lines = append(lines, fmt.Sprintf("%s %d %d %s %s", ssStates[i.State], i.ReceiveQueue, i.SendQueue, i.Src, dst))
			default:
				return nil, false
			}
		}
		switch source {
		case "sockstat", "netstat", "ss":
			sort.Strings(lines)
			return lines, true
		}
		return nil, false
	}
}
