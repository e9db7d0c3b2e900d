package linktest_test

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/link/linktest"
	"github.com/sluicenet/sluice/link/pipe"
)

// A broken link is a pipe with one fault.
type broken struct {
	*pipe.End
	fault string
	peer  *broken
	recv  func([]link.Packet)
}

func (b *broken) Attributes() link.Attributes {
	a := b.End.Attributes()
	if b.fault == "MTU" {
		a.MTU = 1400
	}
	return a
}

func (b *broken) Attach(recv func([]link.Packet)) error {
	b.recv = recv
	err := b.End.Attach(recv)
	if b.fault == "Attach" {
		return nil
	}
	return err
}

func (b *broken) Send(batch []link.Packet) error {
	switch b.fault {
	case "Batch":
		batch = slices.Clone(batch)
		slices.Reverse(batch)
	case "Order":
		if len(batch) == 1 && len(batch[0].Header) > 1000 {
			batch[0].Header[900]++
		}
	case "Ownership":
		if b.peer.recv == nil {
			return nil
		}
		out := make([]link.Packet, len(batch))
		for i := range batch {
			out[i].Header = batch[i].Header
			for j := range batch[i].Payload {
				out[i].Payload = append(out[i].Payload, *api.NewBuffer(batch[i].Payload[j].Bytes()))
			}
		}
		b.peer.recv(out)
		return nil
	case "Offload":
		for i := range batch {
			batch[i].Offload.NeedsChecksum = false
		}
	}
	if err := b.End.Send(batch); b.fault != "SendAfterClose" {
		return err
	}
	return nil
}

func (b *broken) Stats() link.Stats {
	s := b.End.Stats()
	if b.fault == "Stats" {
		s.BytesIn = 0
	}
	return s
}

func (b *broken) Close() error {
	if b.fault == "CloseWaitsForRecv" {
		go b.End.Close()
		return nil
	}
	return b.End.Close()
}

func newBroken(fault string) (a, b link.Link) {
	x, y := pipe.New(pipe.Config{MaxGSO: 65535})
	p, q := &broken{End: x, fault: fault}, &broken{End: y, fault: fault}
	p.peer, q.peer = q, p
	return p, q
}

// Each test of the suite finds the fault that it is for. The broken link is
// tested in a process of its own, as a test that has to fail.
func TestFindsFaults(t *testing.T) {
	if fault := os.Getenv("LINKTEST_FAULT"); fault != "" {
		linktest.Run(t, func() (a, b link.Link) { return newBroken(fault) })
		return
	}
	for fault, test := range map[string]string{
		"none": "", "Attach": "Attach", "Order": "Order", "Batch": "Batch", "Stats": "Order", "Ownership": "Ownership",
		"MTU": "MTU", "Offload": "Offload", "SendAfterClose": "SendAfterClose", "CloseWaitsForRecv": "CloseWaitsForRecv",
	} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestFindsFaults$/^"+test+"$")
		if test == "" {
			cmd = exec.Command(os.Args[0], "-test.run=^TestFindsFaults$")
		}
		cmd.Env = append(os.Environ(), "LINKTEST_FAULT="+fault)
		out, err := cmd.CombinedOutput()
		if found := err != nil && strings.Contains(string(out), "--- FAIL: TestFindsFaults/"+test); found != (test != "") || strings.Contains(string(out), "no tests to run") {
			t.Errorf("fault %s: %v\n%s", fault, err, out)
		}
	}
}
