// Package kernelsock makes system calls of the kernel's own, in a network
// namespace of their own: a [sock.Process] to which scripts compare ours.
package kernelsock

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Namespace is a network namespace without a name. It lives as long as its thread
// and the sockets made in it.
type Namespace struct {
	work chan func()
}

// NewNamespace makes a namespace. It needs CAP_SYS_ADMIN.
func NewNamespace() (*Namespace, error) {
	n := &Namespace{work: make(chan func())}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		started <- err
		if err != nil {
			return
		}
		for f := range n.work {
			f()
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("cannot make a network namespace: %w: run as root", err)
	}
	return n, nil
}

// Do calls f on the namespace's thread.
func (n *Namespace) Do(f func() error) error {
	done := make(chan error, 1)
	n.work <- func() { done <- f() }
	return <-done
}

// Close ends the thread.
func (n *Namespace) Close() { close(n.work) }

// SetSysctl sets a key below net. in the namespace. ErrNoKey: this kernel has no
// such key there.
func (n *Namespace) SetSysctl(key, value string) error {
	if !strings.HasPrefix(key, "net.ipv4.") && !strings.HasPrefix(key, "net.ipv6.") && !strings.HasPrefix(key, "net.core.") || strings.Contains(key, "..") {
		return ErrNoKey
	}
	file := filepath.Join("/proc/sys", strings.ReplaceAll(key, ".", "/"))
	return n.Do(func() error {
		err := os.WriteFile(file, []byte(value), 0)
		if errors.Is(err, os.ErrNotExist) {
			return ErrNoKey
		}
		return err
	})
}

// ErrNoKey is a sysctl that does not belong to the namespace.
var ErrNoKey = errors.New("no such key in a network namespace")
