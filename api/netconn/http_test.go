package netconn_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/api/netconn"
)

// selfSigned returns a certificate for name, and a pool that trusts it.
func selfSigned(t *testing.T, name string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: name},
		DNSNames:     []string{name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IsCA:         true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// web serves requests on a listener of e, which get back the SHA-256 of what
// they send and then size bytes of a pattern.
func web(t *testing.T, e env, certificate *tls.Certificate) (address string) {
	t.Helper()
	l, err := netconn.Listen(e.server, 0, e.listen())
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{
		Handler:           http.HandlerFunc(answer),
		ReadHeaderTimeout: patience,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	served := make(chan error, 1)
	go func() {
		if certificate == nil {
			served <- server.Serve(l)
			return
		}
		server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*certificate}}
		served <- server.ServeTLS(l, "", "")
	}()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-served; err != http.ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
	})
	return l.Addr().String()
}

const answerSize = 300_000

func answer(w http.ResponseWriter, r *http.Request) {
	h := sha256.New()
	if _, err := io.Copy(h, r.Body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Sum", fmt.Sprintf("%x", h.Sum(nil)))
	w.Header().Set("Proto", r.Proto)
	w.Write(bytes.Repeat([]byte("sluice "), answerSize/7+1)[:answerSize])
}

// client returns an HTTP client over e's near stack.
func client(t *testing.T, e env, conf *tls.Config) *http.Client {
	d := &netconn.Dialer{Stack: e.client}
	tr := &http.Transport{DialContext: d.DialContext, TLSClientConfig: conf, ForceAttemptHTTP2: conf != nil}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

// post sends n bytes and checks the answer.
func post(c *http.Client, url, proto string, n int) error {
	body := make([]byte, n)
	rand.Read(body)
	r, err := c.Post(url, "application/octet-stream", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer r.Body.Close()
	got, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	if sum := fmt.Sprintf("%x", sha256.Sum256(body)); r.Header.Get("Sum") != sum {
		return fmt.Errorf("the server saw other bytes than were sent")
	}
	if len(got) != answerSize || !bytes.HasPrefix(got, []byte("sluice sluice ")) {
		return fmt.Errorf("%d bytes in the answer, want %d", len(got), answerSize)
	}
	if p := r.Header.Get("Proto"); p != proto {
		return fmt.Errorf("protocol %s, want %s", p, proto)
	}
	return nil
}

// posts runs several requests at once.
func posts(t *testing.T, c *http.Client, url, proto string) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := post(c, url, proto, i*50_000); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
}

func TestHTTP(t *testing.T) {
	eachStack(t, func(t *testing.T, e env) {
		posts(t, client(t, e, nil), "http://"+web(t, e, nil)+"/", "HTTP/1.1")
	})
}

func TestHTTP2(t *testing.T) {
	eachStack(t, func(t *testing.T, e env) {
		cert, pool := selfSigned(t, "sluice.test")
		c := client(t, e, &tls.Config{RootCAs: pool, ServerName: "sluice.test"})
		posts(t, c, "https://"+web(t, e, &cert)+"/", "HTTP/2.0")
	})
}

// TLS alone, with a half-close in its own words.
func TestTLS(t *testing.T) {
	eachStack(t, func(t *testing.T, e env) {
		cert, pool := selfSigned(t, "sluice.test")
		c, s := connect(t, e)
		data := make([]byte, 1<<20)
		rand.Read(data)
		errs := make(chan error, 1)
		go func() {
			server := tls.Server(s, &tls.Config{Certificates: []tls.Certificate{cert}})
			got, err := io.ReadAll(server)
			if err == nil && !bytes.Equal(got, data) {
				err = fmt.Errorf("the server saw other bytes than were sent")
			}
			if err == nil {
				_, err = server.Write([]byte("bye"))
			}
			server.Close()
			errs <- err
		}()
		client := tls.Client(c, &tls.Config{RootCAs: pool, ServerName: "sluice.test"})
		if _, err := client.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := client.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(client)
		if string(got) != "bye" || err != nil {
			t.Errorf("read %q, %v", got, err)
		}
		if err := <-errs; err != nil {
			t.Error(err)
		}
		client.Close()
	})
}

func TestListener(t *testing.T) {
	eachStack(t, func(t *testing.T, e env) {
		cfg := e.listen()
		cfg.Backlog = 1
		l, err := netconn.Listen(e.server, 0, cfg)
		if err != nil {
			t.Fatal(err)
		}
		address := l.Addr().(*net.TCPAddr)
		_, err = netconn.Listen(e.server, uint16(address.Port), e.listen())
		want(t, err, "listen", api.ErrPortInUse)

		d := netconn.Dialer{Stack: e.client}
		c1, err := d.Dial("tcp", address.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c1.Close()
		s1, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer s1.Close()

		// A flow that nobody accepts is reset when the listener closes.
		c2, err := d.Dial("tcp", address.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c2.Close()
		accepting := make(chan error)
		go func() {
			c, err := l.Accept() // c2, or the close
			if c != nil {
				c.(*netconn.Conn).SetLinger(0)
				c.Close()
				_, err = l.Accept()
			}
			accepting <- err
		}()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		want(t, <-accepting, "accept", net.ErrClosed)
		want(t, l.Close(), "close", net.ErrClosed)
		c2.SetReadDeadline(time.Now().Add(patience))
		_, err = c2.Read(make([]byte, 1))
		want(t, err, "read", api.ErrReset)

		// The port is free again, and the accepted flow lives on (U1).
		_, err = d.Dial("tcp", address.String())
		want(t, err, "dial", api.ErrRefused)
		if _, err := s1.Write([]byte("!")); err != nil {
			t.Error(err)
		}
		c1.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.ReadFull(c1, make([]byte, 1)); err != nil {
			t.Error(err)
		}
	})
}

func TestListenerOfAStackThatLeaves(t *testing.T) {
	eachStack(t, func(t *testing.T, e env) {
		if _, ok := e.server.(interface{ Done() <-chan struct{} }); !ok {
			t.Skip("the stack does not tell when it disconnects: the Listener has to be closed as well, as documented")
		}
		l, err := netconn.Listen(e.server, 0, e.listen())
		if err != nil {
			t.Fatal(err)
		}
		accepting := make(chan error)
		go func() {
			_, err := l.Accept()
			accepting <- err
		}()
		e.server.Disconnect(context.Background())
		want(t, <-accepting, "accept", api.ErrDisconnected)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestDialer(t *testing.T) {
	eachStack(t, func(t *testing.T, e env) {
		l, err := netconn.Listen(e.server, 0, e.listen())
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		d := netconn.Dialer{Stack: e.client, Config: &api.FlowConfig{NoDelay: true}}
		for _, network := range []string{"tcp", "tcp4"} {
			c, err := d.Dial(network, l.Addr().String())
			if err != nil {
				t.Fatalf("%s: %v", network, err)
			}
			if !c.(*netconn.Conn).Flow().Info().NoDelay {
				t.Error("the configuration was not used")
			}
			s, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			s.Close()
			c.Close()
		}
		for _, bad := range []struct{ network, address string }{
			{"tcp6", l.Addr().String()}, // the wrong family
			{"udp", l.Addr().String()},
			{"tcp", "127.0.0.1"},
			{"tcp", ":" + port},
			{"tcp", "localhost:" + port}, // there is no resolver
			{"tcp", "127.0.0.1:no-such-service"},
			{"tcp", "127.0.0.1:65536"},
		} {
			c, err := d.Dial(bad.network, bad.address)
			if err == nil {
				c.Close()
				t.Errorf("dialled %s %s", bad.network, bad.address)
				continue
			}
			if e, ok := err.(*net.OpError); !ok || e.Op != "dial" || e.Net != bad.network {
				t.Errorf("%s %s: error %v (%T)", bad.network, bad.address, err, err)
			}
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_, err = d.DialContext(ctx, "tcp", l.Addr().String())
		want(t, err, "dial", context.Canceled)
	})
}

// Of a name with several addresses the first that answers is taken.
func TestDialerResolves(t *testing.T) {
	e := sockets(t)
	t.Cleanup(e.leave)
	l, err := netconn.Listen(e.server, 0, e.listen()) // 127.0.0.1 alone
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	d := netconn.Dialer{Stack: e.client, Resolver: net.DefaultResolver}
	for _, network := range []string{"tcp", "tcp4"} {
		c, err := d.Dial(network, "localhost:"+port) // perhaps ::1, where nobody listens, first
		if err != nil {
			t.Fatal(err)
		}
		if got := c.RemoteAddr().String(); got != l.Addr().String() {
			t.Errorf("connected to %s", got)
		}
		c.Close()
	}
}
