package conformance

import (
	"fmt"
	"io"
)

// WriteExplanation writes what a case demands.
func (c *Case) WriteExplanation(w io.Writer) error {
	families := "IPv4 and IPv6"
	if c.Family != Both {
		families = c.Family.String() + " only"
	}
	needs := c.Capabilities().String()
	if needs == "" {
		needs = "nothing special"
	}
	url := c.URL()
	if url != "" {
		url = "\n  read:    " + url
	}
	_, err := fmt.Fprintf(w, "%s\n  %s\n\n  %s\n\n  source:  %s%s\n  level:   %s\n  runs in: %s\n  needs:   %s\n",
		c.ID, c.Title, c.Clause, c.Source, url, c.Level, families, needs)
	return err
}
