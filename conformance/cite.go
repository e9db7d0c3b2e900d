package conformance

import (
	"fmt"
	"regexp"
	"slices"
	"sync"
)

// A Citation is a place in an RFC.
type Citation struct {
	RFC     int
	Section string // "" is the whole
	Text    string // as the text has it
}

// URL is where to read it.
func (c Citation) URL() string {
	if c.Section == "" {
		return fmt.Sprintf("https://www.rfc-editor.org/rfc/rfc%d.html", c.RFC)
	}
	return fmt.Sprintf("https://www.rfc-editor.org/rfc/rfc%d.html#section-%s", c.RFC, c.Section)
}

var citation = regexp.MustCompile(`RFC (\d{3,5})(?: section ([0-9]+(?:\.[0-9]+)*))?`)

// Citations returns the places that a text names, as "RFC 9293 section 3.8.6".
func Citations(text string) []Citation {
	var out []Citation
	for _, m := range citation.FindAllStringSubmatch(text, -1) {
		c := Citation{Section: m[2], Text: m[0]}
		fmt.Sscan(m[1], &c.RFC)
		out = append(out, c)
	}
	return out
}

// URL is where to read what c demands: the first place that its source names, or ""
// if that is the contract.
func (c *Case) URL() string {
	if cited := Citations(c.Source); len(cited) > 0 {
		return cited[0].URL()
	}
	return ""
}

// proofs maps IDs of cases to those of the requirements that they prove.
var proofs = sync.OnceValue(func() map[string][]string {
	m := map[string][]string{}
	for _, r := range Requirements() {
		for _, c := range r.Cases() {
			m[c.ID] = append(m[c.ID], r.ID)
		}
	}
	return m
})

// Requirements returns the IDs of the requirements that c proves.
func (c *Case) Requirements() []string { return slices.Clone(proofs()[c.ID]) }
