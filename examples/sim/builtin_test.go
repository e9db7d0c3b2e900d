package builtin

import (
	"testing"
	"time"

	"github.com/sluicenet/sluice/sim/scenario"
)

// Every scenario is valid, has a title, and sends something that arrives.
func TestScenarios(t *testing.T) {
	if n := len(Names()); n < 12 {
		t.Fatalf("%d scenarios", n)
	}
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			data, _ := Get(name)
			s, err := scenario.Load(scenario.Options{Name: name, Data: data})
			if err != nil {
				t.Fatal(err)
			}
			if s.Title == "" || s.Name() != name {
				t.Errorf("title %q, name %q", s.Title, s.Name())
			}
			until := 25 * time.Second
			if raceDetector || testing.Short() {
				until = 2 * time.Second
			}
			e, err := s.Run(scenario.RunOptions{Until: until})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range e.Report.Flows {
				t.Logf("%-12s %-8s %8.3f Mbit/s, rtt %5.1f ms, resent %.2f %%, %d timeouts", f.Name, f.Kind, f.Goodput/1e6, f.MeanRTT*1e3, f.LossRatio*100, f.Timeouts)
				if f.Error != "" {
					t.Errorf("%s: %s", f.Name, f.Error)
				}
				if f.Bytes == 0 && f.Start < until.Seconds()-1 {
					t.Errorf("%s: nothing arrived", f.Name)
				}
			}
		})
	}
}
