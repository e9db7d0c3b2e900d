package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/api"
	"github.com/sluicenet/sluice/config"
	"github.com/sluicenet/sluice/config/service"
)

func runCommand() *cobra.Command {
	var f configFlags
	cmd := &cobra.Command{
		Use:   "run [-c FILE]",
		Short: "Run stacks and services",
		Long: `Run the stacks and services of a configuration file until SIGINT or SIGTERM.

Without a file it runs two userspace stacks joined by a simulated network of
50 Mbit/s and 20 ms, and carries 127.0.0.1:8080 through them to a web page on
the far one. That needs no privileges.

SIGINT or SIGTERM ends it in order: what was written is delivered first. A second
one ends it at once.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := f.load()
			if err != nil {
				return err
			}
			return run(cmd.Context(), cfg, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f.addRunTo(cmd)
	return cmd
}

// run is the daemon. It returns when ctx ends or a signal comes.
func run(ctx context.Context, cfg *config.Config, stdout, stderr io.Writer) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)

	log := newLogger(cfg.Log, stderr)
	sys, err := config.Build(cfg, config.Deps{Logger: log})
	if err != nil {
		return failed(err)
	}
	now, cancelNow := context.WithCancel(context.Background()) // ends when all is to end at once
	defer cancelNow()

	servers, err := serveStatus(cfg, sys, log)
	if err == nil {
		err = explainStart(sys.Start())
	}
	if err != nil {
		cancelNow()
		sys.Close(now)
		servers.close()
		return failed(err)
	}
	announce(stdout, sys, servers)

	select {
	case s := <-signals:
		log.Info("shutting down", "signal", s.String(), "at most", cfg.Shutdown)
	case <-ctx.Done():
		log.Info("shutting down", "at most", cfg.Shutdown)
	}
	var watch sync.WaitGroup
	over := make(chan struct{})
	watch.Go(func() {
		select {
		case <-signals:
			log.Warn("second signal: ending at once")
			cancelNow()
		case <-over:
		}
	})
	sys.Close(now)
	close(over)
	watch.Wait()
	servers.close()
	log.Info("ended")
	if now.Err() != nil {
		return &statusError{status: 1}
	}
	return nil
}

func newLogger(c config.Log, w io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: c.Level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// explainStart says what to do about a port that is taken.
func explainStart(err error) error {
	var inUse *service.PortInUseError
	if errors.As(err, &inUse) {
		return fmt.Errorf("%s is in use by another program: choose another with --listen ADDRESS, or --set services.%s.from=ADDRESS",
			inUse.Addr, inUse.Service)
	}
	if errors.Is(err, api.ErrPortInUse) {
		return fmt.Errorf("%w: choose another with --set services.NAME.listen=PORT", err)
	}
	return err
}

// announce prints what runs, and where to look at it.
func announce(w io.Writer, sys *config.System, servers *statusServers) {
	st := sys.Status()
	fmt.Fprintf(w, "sluice %s, %s\n", st.Version, st.Config)
	for _, l := range st.Links {
		name := l.Name
		if l.Device != "" {
			name += " (" + l.Device + ")"
		}
		fmt.Fprintf(w, "  link     %s: %s, MTU %d\n", name, l.Driver, l.MTU)
	}
	for _, s := range st.Stacks {
		fmt.Fprintf(w, "  stack    %s: %s on %v\n", s.Name, s.Backend, s.Addresses)
	}
	web := ""
	for i, c := range sys.Config().Services {
		line := fmt.Sprintf("  service  %s: %s on %s of stack %s", c.Name, c.Handler, st.Services[i].Listen, c.Stack)
		if c.Handler == "forward" {
			line = fmt.Sprintf("  service  %s: %s of this host, through stack %s, to %s", c.Name, st.Services[i].Listen, c.Stack, c.To)
			if web == "" && leadsToHTTP(sys.Config(), c.To) {
				web = st.Services[i].Listen
			}
		}
		if c.Handler == "proxy" {
			line += fmt.Sprintf(", to %s of the host's network", c.To)
		}
		fmt.Fprintln(w, line)
	}
	if servers.socket != "" {
		fmt.Fprintf(w, "  control  %s (sluice flows)\n", servers.socket)
	}
	fmt.Fprintln(w)
	if web != "" {
		fmt.Fprintf(w, "Open http://%s/ : it comes through the stacks.\n", web)
	}
	if servers.addr != nil {
		fmt.Fprintf(w, "Status as JSON: http://%s/v1/status\n", servers.addr)
	}
	fmt.Fprintln(w, "Ctrl-C ends it.")
}

// leadsToHTTP reports whether to is where a service of HTTP listens.
func leadsToHTTP(cfg *config.Config, to config.AddrPort) bool {
	for _, s := range cfg.Services {
		if s.Handler != "http" || s.Listen.Port != to.Port() {
			continue
		}
		for _, st := range cfg.Stacks {
			if st.Name != s.Stack {
				continue
			}
			for _, a := range st.Addresses {
				if a.Addr() == to.Addr() {
					return true
				}
			}
		}
	}
	return false
}
