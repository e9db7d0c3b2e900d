package matrix

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/sluicenet/sluice/conformance"
)

// hostile is text that is markup in every language that a report is written in.
const hostile = `</script><script>alert(1)</script><img src=x onerror=alert(1)> "quoted" 'single' | & ` + "`code`" + " [a](javascript:alert(1))\nnext\x00"

// full returns a report of every case against n targets, of which a tenth fail
// with long traces, and of which each says something hostile.
func full(n int) *conformance.Report {
	r := &conformance.Report{Started: time.Unix(0, 0).UTC()}
	for i := range n {
		name := fmt.Sprintf("stack%d", i)
		for j, c := range conformance.Cases() {
			for _, family := range c.Families() {
				rec := conformance.Record{
					ID: c.ID, Title: c.Title, Clause: c.Clause, Source: c.Source, URL: c.URL(), Level: c.Level.String(), Family: family,
					Target: name, Verdict: conformance.Pass, Seed: 7, Requirements: c.Requirements(),
					Repeat: "sluice conform run --target " + name + " --case " + c.ID + " --family " + family + " --seed 7",
				}
				switch j % 20 {
				case 0:
					rec.Verdict, rec.Failures = conformance.Fail, []string{hostile}
				case 1:
					rec.Verdict, rec.Reason, rec.Citation = conformance.Deviates, hostile, "RFC 9293 section 3.8.6; "+hostile
					rec.Failures = []string{"at 1s: something"}
				case 2:
					rec.Verdict, rec.Reason = conformance.Skip, "not applicable: "+hostile
				case 3:
					rec.Verdict, rec.Reason = conformance.Inconclusive, hostile
				}
				if rec.Verdict == conformance.Fail || rec.Verdict == conformance.Deviates {
					for k := range 200 {
						who := []string{"stack", "peer"}[k%2]
						rec.Packets = append(rec.Packets, fmt.Sprintf("%-14v %-6s 192.0.2.1:40000 > 192.0.2.2:80: [.] seq %d ack 1 win 65535 <TS 1:2>", time.Duration(k)*time.Millisecond, who, k))
					}
				}
				r.Records = append(r.Records, rec)
			}
		}
	}
	return conformance.Merge(r)
}

// nodes returns the elements of a page with a name.
func nodes(n *html.Node, name string) (found []*html.Node) {
	if n.Type == html.ElementNode && n.Data == name {
		found = append(found, n)
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		found = append(found, nodes(c, name)...)
	}
	return found
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func text(n *html.Node) string {
	if n.Type == html.TextNode {
		return n.Data
	}
	s := ""
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		s += text(c)
	}
	return s
}

// TestPage parses the page of five targets: it has a row for each requirement, a cell
// for each target and family, every case once, and nothing that comes from elsewhere
// or from the records as markup.
func TestPage(t *testing.T) {
	m := New(full(5), []string{"stack3", "absent"})
	var b bytes.Buffer
	if err := m.WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	if b.Len() > 3<<20 {
		t.Errorf("the page has %d bytes", b.Len())
	}
	page := b.String()
	doc, err := html.Parse(&b)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(nodes(doc, "script")); n != 2 {
		t.Errorf("%d scripts: something of the records has become one", n)
	}
	for _, name := range []string{"img", "link", "iframe", "object", "embed", "base", "video", "audio"} {
		if len(nodes(doc, name)) > 0 {
			t.Errorf("the page has a <%s>", name)
		}
	}
	for _, bad := range []string{"src=", "@import", "url(", "ZgotmplZ"} {
		if strings.Contains(strings.ReplaceAll(page, "&lt;img src=x", ""), bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	ids := map[string]bool{}
	var walk func(*html.Node)
	walk = func(n *html.Node) {
		if id := attr(n, "id"); id != "" {
			if ids[id] {
				t.Errorf("two elements have the id %q", id)
			}
			ids[id] = true
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") {
				t.Errorf("<%s> has %s", n.Data, a.Key)
			}
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c)
		}
	}
	walk(doc)
	for _, r := range conformance.Requirements() {
		if !ids[anchor(r.ID)] {
			t.Errorf("there is no row for %s", r.ID)
		}
	}
	for _, c := range conformance.Cases() {
		if !ids["c."+anchor(c.ID)] {
			t.Errorf("there is no case %s", c.ID)
		}
	}
	for _, a := range nodes(doc, "a") {
		href := attr(a, "href")
		switch at, inside := strings.CutPrefix(href, "#"); {
		case inside && !ids[strings.ReplaceAll(at, "%2f", "/")]:
			t.Errorf("a link to %s leads nowhere", href)
		case !inside && !strings.HasPrefix(href, "https://www.rfc-editor.org/rfc/"):
			t.Errorf("a link to %s", href)
		}
	}
	rows := 0
	for _, tr := range nodes(doc, "tr") {
		if attr(tr, "class") != "req" {
			continue
		}
		rows++
		button := nodes(tr, "button")
		if len(button) != 1 || !ids[attr(button[0], "aria-controls")] {
			t.Fatalf("row %s has no button that shows its details", attr(tr, "id"))
		}
		cells := nodes(tr, "td")
		if n := len(cells); n != 1+2*6 && n != 2 {
			t.Errorf("row %s has %d cells, want the level and two for each of six targets", attr(tr, "id"), n)
		}
		for _, td := range cells[1:] {
			// A verdict is told by a word, not by colour or sign alone.
			if class := attr(td, "class"); strings.Contains(class, "v-") && len(strings.Fields(text(td))) < 2 {
				t.Errorf("row %s: cell %q has no word", attr(tr, "id"), text(td))
			}
		}
	}
	if rows < len(conformance.Requirements()) {
		t.Errorf("%d rows", rows)
	}
	heads := nodes(nodes(doc, "thead")[2], "th")
	if text(heads[2]) != "stack3" || text(heads[3]) != "absent" {
		t.Errorf("the first columns are %s and %s", text(heads[2]), text(heads[3]))
	}
	for _, want := range []string{"stack → peer", "stack ← peer", "&#43;0.001000", "sluice conform run --target stack0 --case", "not run",
		"https://www.rfc-editor.org/rfc/rfc9293.html#section-3.8.6", "prefers-color-scheme: dark", "@media print"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q", want)
		}
	}
}

// Traces of cases that passed are not cut: somebody has asked for them.
func TestTraces(t *testing.T) {
	r := full(1)
	m := New(r, nil)
	if n := m.traceLimit(); n >= 200 || n < 2 {
		t.Errorf("%d packets of each trace fit", n)
	}
	got := packets(r.Records[0].Packets, 3)
	if len(got) != 4 || !strings.Contains(got[0].Text, "197 lines before") || got[3].At != "0.199000" || got[3].Since != "+0.001000" || got[3].Direction != "stack ← peer" || got[1].Since != "" {
		t.Errorf("the last packets: %+v", got)
	}
	for i := range r.Records {
		if r.Records[i].Verdict == conformance.Pass {
			r.Records[i].Packets = []string{"1ms            A>B    x"}
		}
	}
	if n := New(r, nil).traceLimit(); n < 200 {
		t.Errorf("with traces of passes %d packets are shown", n)
	}
}

// TestMarkdown: no text of a record breaks a table, and every case is there.
func TestMarkdown(t *testing.T) {
	var b strings.Builder
	if err := New(full(2), []string{"stack0", "absent"}).WriteMarkdown(&b); err != nil {
		t.Fatal(err)
	}
	md := b.String()
	for _, c := range conformance.Cases() {
		if !strings.Contains(md, "`"+c.ID+"`") {
			t.Errorf("no case %s", c.ID)
		}
	}
	columns := 0
	for _, line := range strings.Split(md, "\n") {
		if strings.Contains(line, "<script") || strings.Contains(strings.ReplaceAll(line, `\](`, ""), "](javascript") {
			t.Fatalf("markup of a record: %s", line)
		}
		if !strings.HasPrefix(line, "|") {
			columns = 0
			continue
		}
		n := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|")
		if columns == 0 {
			columns = n
		}
		if n != columns {
			t.Fatalf("%d columns, want %d: %s", n, columns, line)
		}
	}
	for _, want := range []string{"| absent | not run |", "## What stack1 does otherwise", "**fail**"} {
		if !strings.Contains(md, want) {
			t.Errorf("no %q", want)
		}
	}
}

// The worst verdict of a requirement's cases is the one that is shown.
func TestMark(t *testing.T) {
	var k Mark
	if k.String() != "not run" {
		t.Error(k)
	}
	for _, step := range []struct {
		add, want conformance.Verdict
	}{
		{conformance.Skip, conformance.Skip}, {conformance.Pass, conformance.Pass}, {conformance.Skip, conformance.Pass}, {conformance.Deviates, conformance.Deviates},
		{conformance.Inconclusive, conformance.Inconclusive}, {conformance.Fail, conformance.Fail}, {conformance.Pass, conformance.Fail},
	} {
		k.add(&conformance.Record{Verdict: step.add})
		if k.Verdict != step.want {
			t.Errorf("after %s the mark is %s, want %s", step.add, k.Verdict, step.want)
		}
	}
	if s := k.String(); s != "fail (2 pass, 1 deviation, 1 fail, 1 inconclusive, 2 skip)" {
		t.Error(s)
	}
}
