package sim_test

import (
	"context"
	"fmt"
	"time"

	"github.com/sluicenet/sluice/api/clock"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/link/linktest"
	"github.com/sluicenet/sluice/link/sim"
)

// A burst over a slow link with a short queue, an hour of it in no time.
func Example() {
	clk := clock.NewVirtual()
	a, b, err := sim.New(clk, sim.Config{AB: sim.Direction{
		Rate:         sim.Mbit,
		QueuePackets: 2,
		Delay:        20 * time.Millisecond,
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	b.Attach(func(batch []link.Packet) {
		for i := range batch {
			fmt.Println(clk.Now(), batch[i].Len())
			batch[i].Release()
		}
	})
	clk.Run(func() {
		for i := range 5 {
			a.Send([]link.Packet{{Header: linktest.Packet(uint64(i), 1250)}})
		}
		clock.Sleep(context.Background(), clk, time.Hour)
	})
	fmt.Println("dropped:", a.Counters().DropsQueue)
	// Output:
	// 30ms 1250
	// 40ms 1250
	// 50ms 1250
	// dropped: 2
}
