package conformance

import (
	"encoding/xml"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

// junitShape is the schema that readers of JUnit's XML agree on: for each element its
// attributes, those that it must have first, and its children in order.
var junitShape = map[string]struct{ must, may, children []string }{
	"testsuites": {[]string{"name"}, []string{"tests", "failures", "errors", "disabled", "time"}, []string{"testsuite"}},
	"testsuite":  {[]string{"name", "tests", "failures", "errors", "skipped", "time"}, []string{"timestamp", "hostname", "id", "package"}, []string{"properties", "testcase", "system-out", "system-err"}},
	"properties": {nil, nil, []string{"property"}},
	"property":   {[]string{"name", "value"}, nil, nil},
	"testcase":   {[]string{"name", "classname", "time"}, []string{"assertions", "status"}, []string{"skipped", "error", "failure", "system-out", "system-err"}},
	"skipped":    {[]string{"message"}, nil, nil},
	"error":      {[]string{"message", "type"}, nil, nil},
	"failure":    {[]string{"message", "type"}, nil, nil},
	"system-out": {},
}

func TestJUnit(t *testing.T) {
	r := &Report{Started: time.Unix(0, 0), Targets: []TargetReport{{Name: "a", Seed: 7, Version: "1"}, {Name: "b", Seed: 7}}}
	for _, target := range []string{"a", "b"} {
		for i, v := range Verdicts {
			r.Records = append(r.Records, Record{ID: "x/" + string(v), Level: []string{"contract", "wire"}[i%2], Family: "ipv4", Target: target, Verdict: v,
				Reason: "because ]]> <b> & \x00", Failures: []string{"at 1s: <wrong> \"so\"\nmore"}})
		}
	}
	r = Merge(r)
	var b strings.Builder
	if err := r.WriteJUnit(&b); err != nil {
		t.Fatal(err)
	}
	type open struct {
		name string
		last int // index of the last child's name
	}
	var stack []open
	counts := map[string]int{}
	for d := xml.NewDecoder(strings.NewReader(b.String())); ; {
		token, err := d.Token()
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, b.String())
		}
		switch token := token.(type) {
		case xml.StartElement:
			name := token.Name.Local
			shape, ok := junitShape[name]
			if !ok {
				t.Fatalf("element %s", name)
			}
			counts[name]++
			var have []string
			for _, a := range token.Attr {
				have = append(have, a.Name.Local)
				if !slices.Contains(shape.must, a.Name.Local) && !slices.Contains(shape.may, a.Name.Local) {
					t.Errorf("%s has %s", name, a.Name.Local)
				}
			}
			for _, m := range shape.must {
				if !slices.Contains(have, m) {
					t.Errorf("%s lacks %s", name, m)
				}
			}
			if len(stack) > 0 {
				parent := &stack[len(stack)-1]
				i := slices.Index(junitShape[parent.name].children, name)
				if i < parent.last {
					t.Errorf("%s stands in %s, or too late", name, parent.name)
				}
				parent.last = i
			}
			stack = append(stack, open{name: name})
		case xml.EndElement:
			stack = stack[:len(stack)-1]
		}
	}
	for name, want := range map[string]int{"testsuites": 1, "testsuite": 4, "testcase": 10, "failure": 2, "error": 2, "skipped": 2, "system-out": 2} {
		if counts[name] != want {
			t.Errorf("%d %s, want %d", counts[name], name, want)
		}
	}
	if !strings.Contains(b.String(), `timestamp="0001-01-01T00:00:00"`) {
		t.Error("no timestamp")
	}
}

// Of two records of one case the later counts, and counts are made anew.
func TestMerge(t *testing.T) {
	rec := func(target, id string, v Verdict) Record {
		return Record{ID: id, Target: target, Family: "ipv4", Verdict: v}
	}
	a := &Report{Started: time.Unix(9, 0), Seconds: 1, Records: []Record{rec("x", "1", Fail), rec("x", "2", Pass)}, Counts: map[Verdict]int{Fail: 99}}
	b := &Report{Started: time.Unix(5, 0), Seconds: 2, Records: []Record{rec("x", "1", Pass), rec("y", "1", Skip)}}
	m := Merge(a, b)
	if m.Target != "x,y" || len(m.Records) != 3 || m.Counts[Fail] != 0 || m.Counts[Pass] != 2 || m.Targets[1].Counts[Skip] != 1 || !m.Started.Equal(time.Unix(5, 0)) || m.Seconds != 3 || !m.OK() {
		t.Errorf("%+v", m)
	}
	if n := Merge(m); n.Target != m.Target || len(n.Records) != 3 || n.Counts[Pass] != 2 {
		t.Errorf("merging alone changes a report: %+v", n)
	}
}
