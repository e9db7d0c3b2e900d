package pipe_test

import (
	"fmt"

	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/link/linktest"
	"github.com/sluicenet/sluice/link/pipe"
)

func Example() {
	a, b := pipe.New(pipe.Config{MTU: 9000})
	b.Attach(func(batch []link.Packet) {
		for i := range batch {
			fmt.Println("received", batch[i].Len())
			batch[i].Release()
		}
	})
	a.Send([]link.Packet{{Header: linktest.Packet(0, 100)}, {Header: linktest.Packet(1, 9001)}})
	fmt.Println("dropped", a.Stats().DropsOut)
	// Output:
	// received 100
	// dropped 1
}
