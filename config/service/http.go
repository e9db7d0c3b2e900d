package service

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicenet/sluice/api/netconn"
)

// HTTPOptions say what an HTTP service serves.
type HTTPOptions struct {
	// Root is a directory of files. Without it the service has the status page.
	Root string

	// Upload lets clients store files under Root, by PUT or POST. Root is made
	// if it does not exist.
	Upload bool

	// Status returns what the status page shows, as JSON.
	Status func() any
}

// HTTP returns a service of HTTP/1.1 over the stack.
func HTTP(cfg Config, opts HTTPOptions) Service {
	return &httpService{base: newBase(cfg), opts: opts}
}

type httpService struct {
	*base
	opts   HTTPOptions
	server *http.Server
	root   *os.Root
}

// Start implements Service.
func (s *httpService) Start() error {
	var h http.Handler = statusPage(s.opts.Status)
	if s.opts.Root != "" {
		if s.opts.Upload {
			if err := os.MkdirAll(s.opts.Root, 0o755); err != nil {
				return fmt.Errorf("service %s: root: %w", s.cfg.Name, err)
			}
		}
		root, err := os.OpenRoot(s.opts.Root)
		if err != nil {
			return fmt.Errorf("service %s: root: %w", s.cfg.Name, err)
		}
		s.root = root
		h = &files{root: root, read: http.FileServerFS(root.FS()), upload: s.opts.Upload, log: s.log}
	}
	l, err := netconn.Listen(s.cfg.Stack, s.cfg.Port, s.listenConfig())
	if err != nil {
		return fmt.Errorf("service %s: %w", s.cfg.Name, err)
	}
	s.listensOn(l.Addr().String())
	s.server = &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return s.hard },
	}
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		err := s.server.Serve(&boundedListener{Listener: l, s: s.base, room: make(chan struct{}, s.cfg.Connections)})
		if err != nil && !errors.Is(err, http.ErrServerClosed) && s.draining.Err() == nil {
			s.log.Error("service failed", "error", err)
		}
	}()
	s.log.Info("service started", "listen", l.Addr(), "root", s.opts.Root)
	return nil
}

// Drain implements Service. Requests under way are answered in full, if ctx
// lasts that long; otherwise they end where they are.
func (s *httpService) Drain(ctx context.Context) {
	s.drain()
	if s.server == nil {
		return
	}
	if s.server.Shutdown(ctx) != nil {
		s.server.Close()
	}
	s.wait(ctx)
}

// Close implements Service.
func (s *httpService) Close() {
	s.drain()
	s.stop()
	if s.server != nil {
		s.server.Close()
	}
	s.base.Close()
	if s.root != nil {
		s.root.Close()
	}
}

// boundedListener accepts while there is room, and counts.
type boundedListener struct {
	net.Listener
	s    *base
	room chan struct{}
}

func (l *boundedListener) Accept() (net.Conn, error) {
	select {
	case l.room <- struct{}{}:
	case <-l.s.draining.Done():
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.room
		return nil, err
	}
	return &countedConn{Conn: c, s: l.s, end: l.s.begin(), room: l.room}, nil
}

// countedConn counts a connection's bytes, and gives its room back.
type countedConn struct {
	net.Conn
	s    *base
	end  func(error)
	room chan struct{}
	once sync.Once
	bad  atomic.Bool
}

func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.s.bytesIn.Add(int64(n))
	return n, err
}

func (c *countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.s.bytesOut.Add(int64(n))
	if err != nil {
		c.bad.Store(true)
	}
	return n, err
}

// ReadFrom keeps files from being copied once more on their way.
func (c *countedConn) ReadFrom(r io.Reader) (int64, error) {
	n, err := c.Conn.(io.ReaderFrom).ReadFrom(r)
	c.s.bytesOut.Add(n)
	if err != nil {
		c.bad.Store(true)
	}
	return n, err
}

// CloseWrite lets net/http end a connection before it discards what the client
// is still sending.
func (c *countedConn) CloseWrite() error {
	return c.Conn.(interface{ CloseWrite() error }).CloseWrite()
}

func (c *countedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		var failure error
		if c.bad.Load() {
			failure = net.ErrClosed
		}
		c.end(failure)
		<-c.room
	})
	return err
}

// files serves a directory, and stores files in it.
type files struct {
	root   *os.Root
	read   http.Handler
	upload bool
	log    *slog.Logger
}

func (h *files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		h.read.ServeHTTP(w, r)
	case http.MethodPut, http.MethodPost:
		if !h.upload {
			http.Error(w, "uploads are off; the service's key 'upload' turns them on", http.StatusForbidden)
			return
		}
		h.store(w, r)
	default:
		allow := "GET, HEAD"
		if h.upload {
			allow += ", PUT, POST"
		}
		w.Header().Set("Allow", allow)
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	}
}

// store writes the body to a file beside the target, and moves it there once it
// is whole, so that nobody ever sees half of it. os.Root keeps it below the root.
func (h *files) store(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")
	if name == "" || strings.HasSuffix(r.URL.Path, "/") {
		http.Error(w, "the path names no file", http.StatusBadRequest)
		return
	}
	temp := path.Join(path.Dir(name), ".upload-"+rand.Text())
	f, err := h.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		h.refuse(w, name, err)
		return
	}
	n, err := io.Copy(f, r.Body)
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = h.root.Rename(temp, name)
	}
	if err != nil {
		h.root.Remove(temp)
		h.refuse(w, name, err)
		return
	}
	h.log.Info("file stored", "path", name, "bytes", n)
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintf(w, "%d bytes\n", n)
}

func (h *files) refuse(w http.ResponseWriter, name string, err error) {
	h.log.Warn("upload failed", "path", name, "error", err)
	switch {
	case errors.Is(err, os.ErrNotExist):
		http.Error(w, "no such directory", http.StatusNotFound)
	case errors.Is(err, os.ErrPermission):
		http.Error(w, "permission denied", http.StatusForbidden)
	default:
		http.Error(w, "the file could not be stored", http.StatusInternalServerError)
	}
}

//go:embed page.html
var pageFS embed.FS

// statusPage is a page that shows what status returns, and what the stacks do.
func statusPage(status func() any) http.Handler {
	page, err := pageFS.ReadFile("page.html")
	if err != nil {
		panic("BUG: " + err.Error())
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; img-src data:")
		w.Write(page)
	})
	mux.HandleFunc("GET /status.json", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		var v any
		if status != nil {
			v = status()
		}
		json.NewEncoder(w).Encode(v)
	})
	mux.HandleFunc("GET /bytes/{n}", sendBytes)
	return mux
}

// maxBytes bounds what /bytes/{n} sends.
const maxBytes = 1 << 30

// sendBytes sends n bytes of RFC 864's pattern, to try a transfer with.
func sendBytes(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.PathValue("n"), 10, 64)
	if err != nil || n < 0 || n > maxBytes {
		http.Error(w, fmt.Sprintf("want a number of bytes up to %d", maxBytes), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	w.Header().Set("Cache-Control", "no-store")
	for n > 0 {
		m, err := w.Write(chargenPage[:min(n, int64(len(chargenPage)))])
		if err != nil {
			return
		}
		n -= int64(m)
	}
}
