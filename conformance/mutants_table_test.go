package conformance

import (
	"testing"
	"time"
)

// found says for each case which mutant it finds. There are more that it would.
var found = map[string]string{
	"contract/Abort":                     "abort-closes",
	"contract/C1":                        "close-aborts",
	"contract/C2":                        "deaf-to-fin",
	"contract/C3":                        "read-ends-on-close",
	"contract/C4":                        "close-returns-at-once",
	"contract/C4-reset":                  "close-swallows",
	"contract/C4-twice":                  "close-only-once",
	"contract/C5":                        "flows-leak",
	"contract/C5-unread":                 "read-ends-on-close",
	"contract/CloseRead":                 "close-read-does-nothing",
	"contract/CloseReason":               "reason-none",
	"contract/CloseWrite":                "no-fin",
	"contract/Configure":                 "configure-ignored",
	"contract/D1":                        "dst-wrong",
	"contract/Flows":                     "flows-empty",
	"contract/Info":                      "info-empty",
	"contract/K-config":                  "configure-ignored",
	"contract/K-custom":                  "keepalive-only-usual",
	"contract/K1":                        "keepalive-always",
	"contract/K2":                        "keepalive-one-probe",
	"contract/K2-custom":                 "configure-ignored",
	"contract/K2-defaults":               "keepalive-never",
	"contract/K3":                        "keepalive-never",
	"contract/K4":                        "keepalive-never",
	"contract/L-address":                 "address-ignored",
	"contract/L1":                        "one-at-a-time",
	"contract/L2":                        "listener-options-ignored",
	"contract/L2-keepalive":              "listener-options-ignored",
	"contract/L3":                        "listen-twice",
	"contract/L3-backlog":                "backlog-ignored",
	"contract/N1":                        "nodelay-does-not-wait",
	"contract/N1-full":                   "nodelay-waits-for-close",
	"contract/N1-reset":                  "nodelay-does-not-wait",
	"contract/N1-unread":                 "nodelay-waits-for-close",
	"contract/N2":                        "nagle-off",
	"contract/N3":                        "nodelay-does-not-wait",
	"contract/N4":                        "nagle-on",
	"contract/Notify":                    "notify-never",
	"contract/Notify-write":              "notify-never",
	"contract/Observer":                  "observer-deaf",
	"contract/O1":                        "info-empty",
	"contract/O1-local":                  "local-ignored",
	"contract/O2-context":                "context-ignored",
	"contract/O2-done-context":           "context-ignored",
	"contract/O2-invalid":                "dial-anything",
	"contract/O2-refused":                "refused-is-timeout",
	"contract/O2-timeout":                "user-timeout-short",
	"contract/O2-user-timeout":           "user-timeout-ignored",
	"contract/R1":                        "read-shares",
	"contract/R1-retransmit":             "retransmission-shifted",
	"contract/R2":                        "read-empty",
	"contract/R3":                        "deaf-to-fin",
	"contract/R3-local":                  "read-ends-on-close",
	"contract/R4":                        "read-wraps-eof",
	"contract/R4-reset":                  "reset-is-eof",
	"contract/U1":                        "unlisten-ignored",
	"contract/V1":                        "writev-in-pieces",
	"contract/W1":                        "write-copies-wrongly",
	"contract/W2":                        "write-waits-for-ack",
	"contract/W3":                        "byte-wrong",
	"contract/W3-duplex":                 "old-ack-loses-data",
	"contract/W4":                        "write-error-odd",
	"contract/W4-blocked":                "write-error-odd",
	"contract/W4-blocked-abort":          "write-error-odd",
	"contract/W4-blocked-close":          "write-error-odd",
	"contract/W5":                        "errors-bare",
	"contract/W5-context":                "write-in-halves",
	"contract/X1":                        "disconnect-aborts",
	"contract/X1-release":                "disconnect-ignored",
	"contract/X2":                        "disconnect-ignored",
	"contract/context-done":              "context-checked-first",
	"contract/loss":                      "old-ack-loses-data",
	"contract/mss-small":                 "mss-ignored",
	"contract/urgent":                    "no-urg",
	"icmp/echo":                          "no-icmp-out",
	"icmp/wrong-connection":              "icmp-resets",
	"ip/fragments":                       "overlaps-accepted",
	"ip/not-ours":                        "takes-all-addresses",
	"ip/trailing":                        "padding-is-data",
	"ipv6/extension-headers":             "no-ip-options",
	"mirage/checksum-verify":             "no-checksum-check",
	"mirage/close-waits":                 "close-returns-at-once",
	"mirage/disconnect-cancels":          "disconnect-ignored",
	"mirage/dupack-grows-cwnd":           "cwnd-wide",
	"mirage/fin-retransmitted":           "deaf-to-repeated-fin",
	"mirage/fin-wait-2":                  "deaf-to-repeated-fin",
	"mirage/giveup-unblocks":             "user-timeout-ignored",
	"mirage/idle-restart":                "cwnd-wide",
	"mirage/keepalive-write-closed":      "keepalive-one-probe",
	"mirage/listen-twice":                "listen-twice",
	"mirage/no-route":                    "everything-on-link",
	"mirage/option-mss-small":            "needs-mss-88",
	"mirage/option-wscale-15":            "scale-15",
	"mirage/overlap-trim":                "deaf-to-old",
	"mirage/partial-ack-mid-segment":     "retransmission-shifted",
	"mirage/pmtud":                       "no-icmp-in",
	"mirage/port-exhaustion":             "dial-anything",
	"mirage/read-eof-repeats":            "read-eof-once",
	"mirage/reset-not-eof":               "reset-is-eof",
	"mirage/rst-acks-payload":            "rst-ack-off",
	"mirage/rst-syn-rcvd":                "rst-anywhere",
	"mirage/rto-backoff":                 "no-retransmission",
	"mirage/rto-one-segment":             "cwnd-wide",
	"mirage/rto-restart":                 "no-retransmission",
	"mirage/sequence-wrap-2^31":          "deaf-to-early",
	"mirage/shutdown-read":               "close-read-does-nothing",
	"mirage/simultaneous-open":           "no-simultaneous-open",
	"mirage/syn-flood-bounded":           "half-open-unbounded",
	"mirage/syn-window-unscaled":         "scale-in-syn",
	"mirage/synack-retransmit-options":   "second-synack-without-options",
	"mirage/unacceptable-ack":            "no-challenge",
	"mirage/window-honest":               "window-always-open",
	"mirage/write-closed":                "write-error-odd",
	"mirage/write-nodelay-blocks":        "nodelay-does-not-wait",
	"mirage/zero-window-probe":           "any-window",
	"rfc1337/time-wait-rst":              "deaf-to-repeated-fin",
	"rfc2018/2-permitted":                "always-offers",
	"rfc2018/3-timestamps":               "no-sack-blocks",
	"rfc2018/4-blocks":                   "sack-reversed",
	"rfc2018/8-reneging":                 "no-retransmission",
	"rfc2018/bogus-blocks":               "no-retransmission",
	"rfc2883/4-duplicate":                "no-dsack",
	"rfc3042/limited-transmit":           "deaf-to-dupacks",
	"rfc5461/hard-syn-sent":              "icmp-unchecked",
	"rfc5681/2-not-duplicate":            "old-ack-loses-data",
	"rfc5681/3.1-halve":                  "cwnd-never-shrinks",
	"rfc5681/3.2-fast-retransmit":        "deaf-to-dupacks",
	"rfc5681/4.2-out-of-order":           "ack-delayed-always",
	"rfc5681/ack-division":               "cwnd-wide",
	"rfc5681/dupack-spoofing":            "dupacks-acknowledge",
	"rfc5681/go-on-after-rto":            "deaf-to-dupacks",
	"rfc5681/optimistic-ack":             "any-ack",
	"rfc5927/hard-synchronised":          "icmp-resets",
	"rfc5927/ptb-checked":                "icmp-unchecked",
	"rfc5961/3-rst-in-window":            "rst-in-window",
	"rfc5961/3-rst-outside":              "rst-anywhere",
	"rfc5961/4-syn":                      "syn-resets",
	"rfc5961/5-ack-range":                "any-ack",
	"rfc5961/5-old-ack":                  "old-ack-loses-data",
	"rfc5961/7-limit":                    "challenges-without-limit",
	"rfc5961/ack-war":                    "challenges-without-limit",
	"rfc6056/ports":                      "ports-in-order",
	"rfc6191/reuse":                      "answers-syn-always",
	"rfc6298/2-estimate":                 "no-retransmission",
	"rfc6298/2-initial":                  "no-retransmission",
	"rfc6298/5.2-stop":                   "keepalive-always",
	"rfc6298/5.7-syn-lost":               "no-retransmission",
	"rfc6582/partial-ack":                "deaf-to-dupacks",
	"rfc6675/5-holes-only":               "deaf-to-sack",
	"rfc7323/2.2-scale":                  "scales-unasked",
	"rfc7323/2.2-scale-later":            "options-confuse",
	"rfc7323/3.2-every-segment":          "no-ts-on-data",
	"rfc7323/3.2-missing":                "ts-not-needed",
	"rfc7323/4.3-recent":                 "ts-echo-newest",
	"rfc7323/5.3-paws":                   "no-paws",
	"rfc7323/5.3-poison":                 "poisoned",
	"rfc7323/5.4-clock":                  "ts-stands-still",
	"rfc7323/offset":                     "ts-stands-still",
	"rfc9293/3.10.5-abort":               "abort-closes",
	"rfc9293/3.10.7.1-closed":            "no-rst",
	"rfc9293/3.10.7.2-listen":            "answers-anything",
	"rfc9293/3.10.7.3-syn-sent-ack":      "rst-may-have-any-ack",
	"rfc9293/3.10.7.3-syn-sent-other":    "ack-opens-syn-sent",
	"rfc9293/3.10.7.3-syn-sent-rst":      "rst-without-ack-refuses",
	"rfc9293/3.10.7.4-acceptability":     "no-challenge",
	"rfc9293/3.10.7.4-reset-states":      "deaf-to-rst",
	"rfc9293/3.10.7.4-syn-rcvd-ack":      "any-ack",
	"rfc9293/3.10.7.4-time-wait-restart": "deaf-to-repeated-fin",
	"rfc9293/3.4-duplicate-syn":          "deaf-to-rst",
	"rfc9293/3.5.1-half-open":            "syn-resets",
	"rfc9293/MUST-1":                     "signed-window",
	"rfc9293/MUST-10":                    "no-simultaneous-open",
	"rfc9293/MUST-11":                    "deaf-to-rst",
	"rfc9293/MUST-12":                    "reset-is-eof",
	"rfc9293/MUST-13":                    "no-rst",
	"rfc9293/MUST-14":                    "mss-9000",
	"rfc9293/MUST-15":                    "small-segments",
	"rfc9293/MUST-16":                    "small-segments",
	"rfc9293/MUST-17":                    "nagle-on",
	"rfc9293/MUST-18":                    "no-retransmission",
	"rfc9293/MUST-19":                    "cwnd-wide",
	"rfc9293/MUST-2":                     "one-checksum-wrong",
	"rfc9293/MUST-20":                    "notify-never",
	"rfc9293/MUST-21":                    "user-timeout-ignored",
	"rfc9293/MUST-22":                    "user-timeout-short",
	"rfc9293/MUST-25":                    "keepalive-always",
	"rfc9293/MUST-26":                    "keepalive-always",
	"rfc9293/MUST-28":                    "keepalive-never",
	"rfc9293/MUST-29":                    "keepalive-one-probe",
	"rfc9293/MUST-3":                     "no-checksum-check",
	"rfc9293/MUST-31":                    "urg-deaf",
	"rfc9293/MUST-34":                    "any-window",
	"rfc9293/MUST-35":                    "any-window",
	"rfc9293/MUST-37":                    "any-window",
	"rfc9293/MUST-38":                    "any-window",
	"rfc9293/MUST-39":                    "silly-window",
	"rfc9293/MUST-4":                     "unaligned-options-confuse",
	"rfc9293/MUST-40":                    "ack-late",
	"rfc9293/MUST-42":                    "ports-in-order",
	"rfc9293/MUST-44":                    "one-address",
	"rfc9293/MUST-46":                    "dial-anything",
	"rfc9293/MUST-48":                    "ttl-64",
	"rfc9293/MUST-5":                     "options-confuse",
	"rfc9293/MUST-50":                    "no-ip-options",
	"rfc9293/MUST-55":                    "quench-obeyed",
	"rfc9293/MUST-56":                    "icmp-resets",
	"rfc9293/MUST-57":                    "takes-all-addresses",
	"rfc9293/MUST-59":                    "ack-data-at-once",
	"rfc9293/MUST-60":                    "no-psh",
	"rfc9293/MUST-62":                    "urg-off-by-one",
	"rfc9293/MUST-63":                    "believes-any-source",
	"rfc9293/MUST-64":                    "unaligned-options-confuse",
	"rfc9293/MUST-65":                    "mss-on-data",
	"rfc9293/MUST-66":                    "zero-window-deaf",
	"rfc9293/MUST-7":                     "bad-option-resets",
	"rfc9293/MUST-8":                     "isn-constant",
	"rfc9293/MUST-9":                     "isn-by-port",
	"rfc9293/SHLD-12":                    "keepalive-never",
	"rfc9293/SHLD-14":                    "window-jitters",
	"rfc9293/SHLD-17":                    "user-timeout-short",
	"rfc9293/SHLD-19":                    "ack-delayed-always",
	"rfc9293/SHLD-2":                     "rst-with-data-ignored",
	"rfc9293/SHLD-27":                    "small-segments",
	"rfc9293/SHLD-3":                     "no-rst",
	"rfc9293/SHLD-7":                     "nagle-off",
	"rfc9293/beyond-window":              "takes-beyond-window",
	"rfc9293/data-after-fin":             "info-empty",
	"rfc9293/fin-retransmission":         "no-retransmission",
	"rfc9293/fin-with-data":              "fin-over-hole",
	"rfc9293/first-byte-wins":            "last-byte-wins",
	"rfc9293/half-close-data":            "old-ack-loses-data",
	"rfc9293/keepalive-answer":           "no-challenge",
	"rfc9293/last-ack-lost":              "chatty",
	"rfc9293/loss-free-bulk":             "everything-twice",
	"rfc9293/no-ack-bit":                 "ack-not-needed",
	"rfc9293/no-ack-of-ack":              "ack-every-ack",
	"rfc9293/passive-close":              "close-returns-at-once",
	"rfc9293/persist-user-timeout":       "user-timeout-ignored",
	"rfc9293/piggyback":                  "ack-data-at-once",
	"rfc9293/simultaneous-close":         "close-returns-at-once",
	"rfc9293/sws-override":               "any-window",
	"rfc9293/syn-ack-lost-data":          "deaf-to-fin",
	"rfc9293/tiny-mss":                   "tiny-mss-obeyed",
	"rfc9293/tiny-segments":              "memory-unbounded",
	"rfc9293/urgent-nonsense":            "urg-eats-a-byte",
	"rfc9293/urgent-zero-window":         "no-urg",
	"rfc9293/whole-window-out-of-order":  "deaf-to-early",
	"rfc9293/window-update":              "no-window-update",
	"rfc9293/wl1-wl2":                    "old-window-counts",
	"robust/counted":                     "drops-uncounted",
	"robust/garbage":                     "no-checksum-check",
}

// TestMutants shows that cases can fail: each is run against a stack with a fault of
// the kind that it is there to find. TestFaults has the faults inside the engine as
// well, and asks for one for every case.
func TestMutants(t *testing.T) {
	byName := map[string]*mutant{}
	for _, m := range append(mutants(), caseMutants()...) {
		byName[m.name] = &m
	}
	for i := range Cases() {
		c := &Cases()[i]
		name, ok := found[c.ID]
		if !ok {
			continue // a fault of the engine finds it: TestFaults
		}
		m := byName[name]
		if m == nil {
			t.Errorf("%s: there is no mutant %q", c.ID, name)
			continue
		}
		if testing.Short() && (c.ID == "mirage/port-exhaustion" || c.ID == "mirage/syn-flood-bounded") {
			continue
		}
		if r := RunCase(mutantTarget{m}, c, c.families()[0], 1, 10*time.Second); r.Verdict != Fail {
			t.Errorf("%s: verdict %s for the mutant %q", c.ID, r.Verdict, name)
		}
	}
	for id := range found {
		if _, ok := Lookup(id); !ok {
			t.Errorf("there is no case %q", id)
		}
	}
}

// A stack that says nothing at all passes no wire case, and neither does one that
// resets whatever it hears.
func TestSilencePassesNothing(t *testing.T) {
	for _, name := range []string{"silent", "deaf-and-dumb"} {
		m := &mutant{name: name, raw: func(_ *mutation, in bool, raw []byte) []byte {
			if in && name == "silent" {
				return raw
			}
			return nil
		}}
		for i := range Cases() {
			c := &Cases()[i]
			if c.Level != OnWire {
				continue
			}
			if r := RunCase(mutantTarget{m}, c, c.families()[0], 1, 10*time.Second); r.Verdict == Pass {
				t.Errorf("%s passes though the stack is %s", c.ID, name)
			}
		}
	}
}
