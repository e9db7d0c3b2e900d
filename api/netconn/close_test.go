package netconn_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/netconn"
)

// A closed connection that is not done yet waits in the stack, not in a
// goroutine.
func TestCloseTakesNoGoroutine(t *testing.T) {
	eachStack(t, func(t *testing.T, e env) {
		const n = 40
		// More than the sockets hold, less than the stack's limits.
		data := bytes.Repeat([]byte("sluice"), 20_000)
		var far []net.Conn
		var near []*netconn.Conn
		for range n {
			c, s := connect(t, e)
			near, far = append(near, c), append(far, s)
			c.SetDeadline(time.Time{})
			if _, err := c.Write(data); err != nil {
				t.Fatal(err)
			}
		}
		before := runtime.NumGoroutine()
		for _, c := range near {
			c.Close()
		}
		if after := runtime.NumGoroutine(); after > before+n/4 {
			t.Errorf("%d goroutines before %d calls of Close, %d after", before, n, after)
		}
		for _, s := range far {
			got, err := io.ReadAll(s)
			if err != nil || !bytes.Equal(got, data) {
				t.Fatalf("%d bytes of %d, %v", len(got), len(data), err)
			}
		}
	})
}

// plain hides what a flow offers beyond api.Flow.
type plain struct{ api.Flow }

// Flows that cannot be orphaned are delivered too.
func TestCloseWithoutOrphaner(t *testing.T) {
	eachStack(t, func(t *testing.T, e env) {
		c, s := connect(t, e)
		c = netconn.New(plain{c.Flow()})
		c.SetLinger(1)
		if _, err := c.Write([]byte("last words")); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(s)
		if string(got) != "last words" || err != nil {
			t.Errorf("read %q, %v", got, err)
		}
		// Nobody closes s: a second later the flow is reset.
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := c.Flow().Close(ctx); err == nil {
			t.Error("the flow ended in order")
		}
		if r := c.Flow().CloseReason(); r != api.ErrAborted {
			t.Errorf("the flow ended by %v", r)
		}
	})
}

// A deadline that moves back and forth over the present never makes a Read
// return neither data nor an error, nor lose any.
func TestDeadlineStorm(t *testing.T) {
	eachStack(t, func(t *testing.T, e env) {
		c, s := connect(t, e)
		c.SetDeadline(time.Time{})
		const size = 1 << 20
		var stop atomic.Bool
		var wg sync.WaitGroup
		wg.Add(2)
		go func() {
			defer wg.Done()
			for i := 0; !stop.Load(); i++ {
				c.SetReadDeadline(time.Now().Add(time.Duration(i%3-1) * time.Millisecond))
				runtime.Gosched()
			}
		}()
		go func() {
			defer wg.Done()
			s.Write(make([]byte, size))
			s.CloseWrite()
		}()
		var total int
		p := make([]byte, 10_000)
		for limit := time.Now().Add(patience); ; {
			n, err := c.Read(p)
			total += n
			switch {
			case err == io.EOF:
				if total != size {
					t.Errorf("read %d bytes of %d", total, size)
				}
				stop.Store(true)
				wg.Wait()
				return
			case err != nil:
				want(t, err, "read", os.ErrDeadlineExceeded)
				if n != 0 {
					t.Errorf("%d bytes with %v", n, err)
				}
			case n == 0:
				t.Error("neither data nor an error")
			}
			if time.Now().After(limit) {
				t.Fatal("no end")
			}
		}
	})
}
