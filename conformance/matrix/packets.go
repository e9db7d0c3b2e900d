package matrix

import (
	"fmt"
	"strings"
	"time"
)

// A Packet is one line of a trace.
type Packet struct {
	At, Since string // seconds since the case began, and since the packet before
	Direction string // "stack → peer"
	Ours      bool   // sent by the stack, or by the first of two
	Text      string
}

// packets takes the last lines of a record's trace apart.
func packets(lines []string, limit int) []Packet {
	var out []Packet
	left := 0
	if n := len(lines) - limit; n > 0 {
		left, lines = n, lines[n:]
	}
	before := time.Duration(-1)
	for _, line := range lines {
		at, rest, ok := strings.Cut(line, " ")
		d, err := time.ParseDuration(at)
		who, text, _ := strings.Cut(strings.TrimSpace(rest), " ")
		if !ok || err != nil {
			out = append(out, Packet{Text: line}) // how many came before these
			continue
		}
		p := Packet{At: fmt.Sprintf("%.6f", d.Seconds()), Direction: direction(who), Ours: who == "stack" || strings.HasPrefix(who, "A"), Text: strings.TrimSpace(text)}
		if before >= 0 {
			p.Since = fmt.Sprintf("+%.6f", (d - before).Seconds())
		}
		before = d
		out = append(out, p)
	}
	if left > 0 {
		out = append([]Packet{{Text: fmt.Sprintf("(%d lines before these are in the JSON records)", left)}}, out...)
	}
	return out
}

// direction says where a packet goes, from who sent it.
func direction(who string) string {
	switch who {
	case "stack":
		return "stack → peer"
	case "peer":
		return "stack ← peer"
	case "A>B":
		return "A → B"
	case "B>A":
		return "A ← B"
	case "A>Bx":
		return "A → lost"
	case "B>Ax":
		return "lost ← B"
	}
	return who
}
