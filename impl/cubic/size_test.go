package cubic

import (
	"testing"
	"unsafe"

	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/internal/cctest"
)

// TestSize: a stack may have a million controllers.
func TestSize(t *testing.T) {
	if n := unsafe.Sizeof(controller{}); n > 96 {
		t.Errorf("a controller in its first slow start takes %d bytes", n)
	}
}

// TestNobodyIsEmpty: what those in their first slow start share is written by none.
func TestNobodyIsEmpty(t *testing.T) {
	cctest.Properties(t, Factory, "")
	for _, kind := range []cc.CongestionKind{cc.LossDetected, cc.Timeout, cc.ECNMark} {
		p := newPath(t, "")
		p.C.(cc.MSSObserver).OnMSS(500)
		p.C.(cc.IdleObserver).OnRestart(p.Now, rtt)
		p.C.(cc.Undoer).Undo(p.Now, kind)
		p.C.OnCongestion(&cc.CongestionEvent{Kind: cc.Timeout, FlightSize: mss, Repeat: true})
		p.Congest(kind)
		p.C.(cc.Undoer).Undo(p.Now, kind)
	}
	if nobody != (grown{}) || defaults != (options{0.4, 0.7, true, true}) {
		t.Errorf("%+v, %+v", nobody, defaults)
	}
}
