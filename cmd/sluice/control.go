package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sluicenet/sluice/config"
)

// statusServers answer questions about a System: over a Unix socket, and over
// HTTP on loopback.
type statusServers struct {
	servers []*http.Server
	running sync.WaitGroup
	socket  string   // path, "" if none
	addr    net.Addr // of the HTTP server, nil if none
}

// flowList is the answer to /v1/flows.
type flowList struct {
	Flows []config.FlowStatus `json:"flows"`
}

// statusSource is what a System is to its observers.
type statusSource interface {
	Status() *config.Status
	Flows() []config.FlowStatus
}

// serveStatus starts the servers that cfg asks for. If it fails, those that
// have been started are to be closed all the same.
func serveStatus(cfg *config.Config, src statusSource, log *slog.Logger) (*statusServers, error) {
	s := &statusServers{}
	h := statusHandler(src)
	path := cfg.Control.Socket
	if path == "" {
		path = defaultSocket()
	}
	if path != "off" {
		l, err := listenUnix(path, os.FileMode(cfg.Control.Mode))
		if err != nil {
			return s, err
		}
		s.socket = path
		s.serve(l, h, log)
	}
	if a := cfg.HTTP.Listen; a.IsValid() {
		l, err := net.Listen("tcp", a.String())
		if err != nil {
			if errors.Is(err, syscall.EADDRINUSE) {
				err = fmt.Errorf("%s, for the JSON status, is in use by another program: choose another with --http ADDRESS, or --http off", a)
			}
			return s, err
		}
		s.addr = l.Addr()
		s.serve(l, loopbackOnly(h), log)
	}
	return s, nil
}

func (s *statusServers) serve(l net.Listener, h http.Handler, log *slog.Logger) {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      time.Minute,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	s.servers = append(s.servers, server)
	s.running.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("status server failed", "address", l.Addr(), "error", err)
		}
	})
}

func (s *statusServers) close() {
	for _, server := range s.servers {
		server.Close() // removes the socket as well
	}
	s.running.Wait()
}

// listenUnix listens on a socket that only the given mode lets in. A socket
// that a dead daemon has left behind is replaced.
func listenUnix(path string, mode os.FileMode) (net.Listener, error) {
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return nil, fmt.Errorf("a daemon is running already with the control socket %s: choose another with --socket PATH, or --socket off", path)
	} else if errors.Is(err, syscall.ECONNREFUSED) {
		if st, err := os.Lstat(path); err == nil && st.Mode().Type() == os.ModeSocket {
			os.Remove(path)
		}
	}
	restore := restrictUmask()
	l, err := net.Listen("unix", path)
	restore()
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			err = fmt.Errorf("control socket: %s exists and is not a socket that can be replaced", path)
		}
		return nil, fmt.Errorf("%w; choose another with --socket PATH, or --socket off", err)
	}
	if err := os.Chmod(path, mode); err != nil {
		l.Close()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return l, nil
}

func statusHandler(src statusSource) http.Handler {
	mux := http.NewServeMux()
	status := func(w http.ResponseWriter, r *http.Request) { writeJSON(w, src.Status()) }
	mux.HandleFunc("GET /{$}", status)
	mux.HandleFunc("GET /v1/status", status)
	mux.HandleFunc("GET /v1/flows", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, flowList{src.Flows()})
	})
	return mux
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.Encode(v)
}

// loopbackOnly refuses requests that name another host than this one, so that
// a page elsewhere cannot read the status by pointing its own name here.
func loopbackOnly(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		host = strings.Trim(host, "[]")
		a, err := netip.ParseAddr(host)
		if host != "localhost" && (err != nil || !a.IsLoopback()) {
			http.Error(w, "this status is for this machine alone", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}
