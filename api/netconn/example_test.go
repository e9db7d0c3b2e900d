package netconn_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"

	"github.com/sluicenet/sluice/api/cc"
	"github.com/sluicenet/sluice/api/link"
	"github.com/sluicenet/sluice/api/netconn"
	"github.com/sluicenet/sluice/impl/cubic"
	"github.com/sluicenet/sluice/impl/engine"
	memory "github.com/sluicenet/sluice/link/pipe"
)

// exampleStack returns a stack with one address on a link.
func exampleStack(l link.Link, address string) *engine.Stack {
	s, err := engine.New(engine.Config{
		Link:        l,
		Addresses:   []netip.Prefix{netip.MustParsePrefix(address)},
		Controllers: []cc.Factory{cubic.Factory},
	})
	if err != nil {
		log.Fatal(err)
	}
	return s
}

// A web server and its client, on two stacks that a pipe joins.
func Example() {
	a, b := memory.New(memory.Config{})
	near, far := exampleStack(a, "10.0.0.1/24"), exampleStack(b, "10.0.0.2/24")

	listener, err := netconn.Listen(far, 80, nil)
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		fmt.Fprintf(w, "hello, %s", host)
	})}
	go server.Serve(listener)

	dialer := &netconn.Dialer{Stack: near}
	client := http.Client{Transport: &http.Transport{DialContext: dialer.DialContext}}
	answer, err := client.Get("http://10.0.0.2/")
	if err != nil {
		log.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	fmt.Printf("%s, %v\n", body, err)

	client.CloseIdleConnections()
	_ = server.Shutdown(context.Background())
	near.Disconnect(context.Background())
	far.Disconnect(context.Background())
	// Output: hello, 10.0.0.1, <nil>
}

// CloseWrite ends one direction; the other goes on.
func ExampleConn_CloseWrite() {
	a, b := memory.New(memory.Config{})
	near, far := exampleStack(a, "10.0.0.1/24"), exampleStack(b, "10.0.0.2/24")
	listener, err := netconn.Listen(far, 7, nil)
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		c, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		all, _ := io.ReadAll(c) // until the other end has closed its direction
		fmt.Fprintf(c, "you said %q", all)
		c.Close()
	}()

	dialer := &netconn.Dialer{Stack: near}
	c, err := dialer.Dial("tcp", "10.0.0.2:7")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprint(c, "that is all")
	_ = c.(*netconn.Conn).CloseWrite()
	answer, err := io.ReadAll(c)
	fmt.Printf("%s, %v\n", answer, err)
	c.Close()
	listener.Close()
	near.Disconnect(context.Background())
	far.Disconnect(context.Background())
	// Output: you said "that is all", <nil>
}
