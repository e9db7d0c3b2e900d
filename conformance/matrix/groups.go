package matrix

import (
	"slices"
	"strconv"
	"strings"

	"github.com/sluicenet/sluice/conformance"
)

// subjects say what an RFC is about.
var subjects = map[int]string{
	791:  "IPv4",
	1122: "hosts",
	1191: "path MTU discovery, IPv4",
	1337: "hazards in TIME-WAIT",
	2018: "selective acknowledgment",
	2883: "duplicate selective acknowledgment",
	3042: "limited transmit",
	3168: "explicit congestion notification",
	3522: "Eifel detection",
	4987: "SYN floods",
	5461: "soft errors",
	5681: "congestion control",
	5682: "F-RTO",
	5927: "attacks by ICMP",
	5961: "blind attacks in the window",
	6056: "choice of ports",
	6191: "TIME-WAIT and timestamps",
	6298: "retransmission timer",
	6528: "initial sequence numbers",
	6582: "NewReno",
	6675: "recovery with selective acknowledgment",
	6928: "initial window",
	7323: "window scale and timestamps",
	8200: "IPv6",
	8201: "path MTU discovery, IPv6",
	8985: "RACK-TLP",
	9293: "TCP",
	9438: "CUBIC",
	9937: "proportional rate reduction",
}

// titles are of groups that are no RFC.
var titles = map[string]string{
	"contract": "The contract: what callers see",
	"mirage":   "Defects that were found in the reference implementation",
	"ip":       "IPv4 and IPv6",
	"ipv6":     "IPv6",
	"icmp":     "ICMP",
	"robust":   "Robustness",
}

// group returns the group that an ID belongs to, and adds it if it is new: the
// contract, RFC 9293, the other RFCs by number, then the rest.
func (m *Matrix) group(id string) *Group {
	prefix, _, _ := strings.Cut(id, "/")
	for _, g := range m.Groups {
		if g.ID == prefix {
			return g
		}
	}
	g := &Group{ID: prefix, Title: titles[prefix]}
	if n := rfc(prefix); n != 0 {
		g.Title = "RFC " + strconv.Itoa(n)
		if s := subjects[n]; s != "" {
			g.Title += ": " + s
		}
		g.URL = conformance.Citation{RFC: n}.URL()
	}
	if g.Title == "" {
		g.Title = prefix
	}
	m.Groups = append(m.Groups, g)
	slices.SortStableFunc(m.Groups, func(a, b *Group) int { return rank(a.ID) - rank(b.ID) })
	return g
}

// rfc returns the number of "rfc9293", and 0 for anything else.
func rfc(id string) int {
	digits, ok := strings.CutPrefix(id, "rfc")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil {
		return 0
	}
	return n
}

func rank(id string) int {
	switch n := rfc(id); {
	case id == "contract":
		return 0
	case n == 9293:
		return 1
	case n != 0:
		return 1 + n
	}
	return 1 << 30
}
