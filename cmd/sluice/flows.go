package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/config"
)

func flowsCommand() *cobra.Command {
	var (
		socket   string
		watch    bool
		asJSON   bool
		interval time.Duration
	)
	cmd := &cobra.Command{
		Use:   "flows",
		Short: "Show the flows of a running daemon",
		Long:  "Show the flows of a running daemon, with the field names of ss(8).",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if interval < 100*time.Millisecond {
				return misused("--interval: %v is less than 100ms", interval)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			out := cmd.OutOrStdout()
			for {
				raw, err := ask(ctx, socket, "/v1/flows")
				if err != nil {
					if watch && ctx.Err() != nil {
						return nil
					}
					return failed(err)
				}
				var page bytes.Buffer
				if asJSON {
					page.Write(raw)
				} else {
					var list flowList
					if err := json.Unmarshal(raw, &list); err != nil {
						return failed(fmt.Errorf("%s: the answer is not understood: %w", socket, err))
					}
					printFlows(&page, list.Flows)
				}
				if watch && isTerminal(out) {
					fmt.Fprint(out, "\x1b[H\x1b[2J")
				}
				if _, err := out.Write(page.Bytes()); err != nil {
					return failed(err)
				}
				if !watch {
					return nil
				}
				select {
				case <-time.After(interval):
					if !asJSON && !isTerminal(out) {
						fmt.Fprintln(out)
					}
				case <-ctx.Done():
					return nil
				}
			}
		},
	}
	cmd.Flags().StringVar(&socket, "socket", defaultSocket(), "`path` of the daemon's control socket")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "show them again and again")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().DurationVar(&interval, "interval", time.Second, "time between two listings of --watch")
	return cmd
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}

// maxAnswer bounds what is read from the daemon.
const maxAnswer = 256 << 20

// ask asks the daemon behind a control socket.
func ask(ctx context.Context, socket, path string) ([]byte, error) {
	client := &http.Client{
		Timeout: 30 * time.Second,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, "unix", socket)
			},
		},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("no daemon answers at %s: is 'sluice run' running? If its socket is elsewhere, use --socket", socket)
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("no permission to use %s: ask as the user that runs the daemon, or set control.mode", socket)
	case err != nil:
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("the daemon answers %s", resp.Status)
	}
	return b, err
}

// ssState are the names that ss(8) uses.
var ssState = map[string]string{
	"ESTABLISHED": "ESTAB", "SYN-RECEIVED": "SYN-RECV", "CLOSED": "UNCONN",
}

// printFlows prints what "ss -ti" would.
func printFlows(w io.Writer, flows []config.FlowStatus) {
	var heads bytes.Buffer
	tw := tabwriter.NewWriter(&heads, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "STATE\tRECV-Q\tSEND-Q\tLOCAL\tPEER\tCC\tSTACK")
	for i := range flows {
		f := &flows[i]
		state := f.State
		if s, ok := ssState[state]; ok {
			state = s
		}
		fmt.Fprintf(tw, "%s\t%d\t%d\t%s\t%s\t%s\t%s\n", state, f.ReceiveQueue, f.SendQueue,
			address(f.Local), address(f.Peer), orDash(f.Congestion), f.Stack)
	}
	tw.Flush()
	lines := strings.SplitAfter(heads.String(), "\n")
	io.WriteString(w, lines[0])
	for i := range flows {
		io.WriteString(w, lines[i+1])
		if d := details(&flows[i]); d != "" {
			fmt.Fprintf(w, "  %s\n", d)
		}
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func address(a netip.AddrPort) string {
	switch {
	case !a.IsValid():
		return "*:*"
	case a.Addr().IsUnspecified():
		return "*:" + strconv.Itoa(int(a.Port()))
	}
	return a.String()
}

// details prints the fields that have something to say.
func details(f *config.FlowStatus) string {
	if f.State == "LISTEN" || f.State == "TIME-WAIT" {
		if f.Timer != "" {
			return "timer:" + f.Timer + "," + micros(f.TimerLeft)
		}
		return ""
	}
	var s []string
	add := func(format string, args ...any) { s = append(s, fmt.Sprintf(format, args...)) }
	if f.Timestamps {
		add("ts")
	}
	if f.SACK {
		add("sack")
	}
	if f.SendWindowScale >= 0 && f.RecvWindowScale >= 0 {
		add("wscale:%d,%d", f.SendWindowScale, f.RecvWindowScale)
	}
	add("rto:%s", micros(f.RTO))
	if f.Backoff > 0 {
		add("backoff:%d", f.Backoff)
	}
	if f.RTT > 0 {
		add("rtt:%s/%s", strings.TrimSuffix(millis(f.RTT), "ms"), millis(f.RTTVar))
		add("minrtt:%s", millis(f.MinRTT))
	}
	add("mss:%d", f.MSS)
	if f.PathMTU > 0 {
		add("pmtu:%d", f.PathMTU)
	}
	add("cwnd:%s", size(f.Cwnd))
	if f.Ssthresh > 0 {
		add("ssthresh:%s", size(f.Ssthresh))
	}
	first := strings.Join(s, " ")
	s = s[:0]
	add("inflight:%s", size(f.InFlight))
	add("sent:%s", size(int64(f.BytesSent)))
	add("received:%s", size(int64(f.BytesReceived)))
	add("retrans:%d/%d", f.Backoff, f.Retransmits)
	if f.Spurious > 0 {
		add("spurious:%d", f.Spurious)
	}
	if f.ControllerFaults > 0 {
		add("ctlfaults:%d", f.ControllerFaults)
	}
	if f.DeliveryRate > 0 {
		add("delivery:%s", rate(f.DeliveryRate))
	}
	if f.PacingRate > 0 {
		add("pacing:%s", rate(f.PacingRate))
	}
	switch f.Timer {
	case "":
	case "keepalive":
		add("ka:%s/%d", micros(f.TimerLeft), f.Probes)
	default:
		add("timer:%s,%s", f.Timer, micros(f.TimerLeft))
	}
	add("rwnd:%s", size(f.RecvWindow))
	add("swnd:%s", size(f.SendWindow))
	if f.SoftError != "" {
		add("error:%q", f.SoftError)
	}
	return first + "\n  " + strings.Join(s, " ")
}

// micros prints a time at the precision at which it is of use.
func micros(us int64) string {
	d := time.Duration(us) * time.Microsecond
	switch {
	case d >= 10*time.Second:
		d = d.Round(time.Second)
	case d >= time.Second:
		d = d.Round(100 * time.Millisecond)
	case d >= 10*time.Millisecond:
		d = d.Round(time.Millisecond)
	}
	return d.String()
}

func millis(us int64) string {
	return strconv.FormatFloat(float64(us)/1000, 'f', 1, 64) + "ms"
}

// size prints bytes with a decimal prefix and three figures.
func size(n int64) string {
	if n < 1000 {
		return strconv.FormatInt(n, 10) + "B"
	}
	return figures(float64(n), "kMGT") + "B"
}

func rate(bytesPerSecond int64) string {
	x := float64(bytesPerSecond) * 8
	if x < 1000 {
		return strconv.FormatFloat(x, 'f', 0, 64) + "bit/s"
	}
	return figures(x, "kMGT") + "bit/s"
}

func figures(x float64, prefixes string) string {
	i := -1
	for x >= 999.5 && i < len(prefixes)-1 {
		x /= 1000
		i++
	}
	decimals := 0
	if x < 99.95 {
		decimals = 1
	}
	return strconv.FormatFloat(x, 'f', decimals, 64) + prefixes[i:i+1]
}
