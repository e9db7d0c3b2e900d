package clock_test

import (
	"context"
	"fmt"
	"time"

	"github.com/sluicenet/sluice/api/clock"
)

// A day passes at once, and in the same order every time.
func ExampleVirtual() {
	v := clock.NewVirtual()
	v.Run(func() {
		done := v.NewWaiter()
		v.Go(func() {
			_ = clock.Sleep(context.Background(), v, 24*time.Hour)
			fmt.Println("slept until", v.Now())
			done.Wake()
		})
		ctx, cancel := v.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		fmt.Println(done.Park(ctx), "at", v.Now())
		fmt.Println(done.Park(context.Background()), "at", v.Now())
	})
	// Output:
	// context deadline exceeded at 1h0m0s
	// slept until 24h0m0s
	// <nil> at 24h0m0s
}
