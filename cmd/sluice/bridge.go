package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/bridge"
	"github.com/sluicenet/sluice/config"
)

// bridgeCommand returns the command "bridge".
func bridgeCommand() *cobra.Command {
	var file, captureFile, dropsFile string
	var set []string
	var asJSON, keys, check bool
	cmd := &cobra.Command{
		Use:   "bridge -c FILE",
		Short: "Put a simulated link between two TUN devices, in real time",
		Long: "Bridge joins two TUN devices, in two network namespaces for example, by a link of the laboratory in real time:\n" +
			"with its rate, queue, delay, jitter, losses and so on, and with changes at set times. Whatever the kernel or a\n" +
			"program sends into one device comes out of the other as the link would have it. It ends with SIGINT or SIGTERM,\n" +
			"or after the file's duration, and then says what it has done. See docs/bridge.md.",
		Example: "  ip netns add left && ip netns add right\n" +
			"  sluice bridge -c examples/bridge/two-namespaces.yaml --set link.loss=1%",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, errs := cmd.OutOrStdout(), cmd.ErrOrStderr()
			if keys {
				for _, k := range bridge.Keys() {
					fmt.Fprintf(out, "%s (%s)\n    %s\n", k.Path, k.Summary(), k.Doc)
				}
				return nil
			}
			if file == "" {
				return misused("bridge: which file? Use -c FILE; a first one is examples/bridge/two-namespaces.yaml")
			}
			opts := config.Options{File: file}
			if file == "-" {
				data, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), 1<<20))
				if err != nil {
					return failed(err)
				}
				opts = config.Options{Name: "(standard input)", Data: data}
			}
			for _, s := range set {
				a, err := config.ParseAssignment(s, "--set")
				if err != nil {
					return misused("%w", err)
				}
				opts.Set = append(opts.Set, a)
			}
			f, err := bridge.Load(opts)
			if err != nil {
				return failed(err)
			}
			if check {
				fmt.Fprintf(out, "%s: ok\n", file)
				return nil
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			o := bridge.Options{WholeProcess: true}
			var capture *os.File
			if captureFile != "" {
				if capture, err = os.OpenFile(captureFile, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600); err != nil { // payload is private
					return failed(err)
				}
				defer capture.Close()
				o.Capture = capture
			}
			b, err := bridge.Open(f, o)
			if err != nil {
				return failed(err)
			}
			defer b.Close()
			d := b.Devices()
			fmt.Fprintf(errs, "bridge: %s (%s) and %s (%s) are joined\n", f.Ends[0].Name, d[0], f.Ends[1].Name, d[1])
			err = b.Run(ctx)
			stop() // another signal ends the program at once
			if capture != nil {
				if e := capture.Close(); err == nil {
					err = e
				}
			}
			if err == nil && dropsFile != "" {
				err = writeReport(dropsFile, out, b.Network().WriteDrops)
			}
			r := b.Report()
			if asJSON {
				enc := json.NewEncoder(out)
				enc.SetIndent("", "  ")
				if e := enc.Encode(r); err == nil {
					err = e
				}
			} else {
				printBridge(out, r)
			}
			if err != nil {
				return failed(err)
			}
			return nil
		},
	}
	cmd.AddCommand(compareCommand())
	f := cmd.Flags()
	f.StringVarP(&file, "config", "c", "", "the bridge's `file`; - for standard input")
	f.StringArrayVar(&set, "set", nil, "set one key, as in `KEY=VALUE`: link.rate=5Mbit")
	f.BoolVar(&asJSON, "json", false, "print the report as JSON")
	f.BoolVar(&keys, "keys", false, "list every key that a file can have")
	f.BoolVar(&check, "check", false, "only check the file")
	f.StringVar(&captureFile, "pcap", "", "write the packets at the first end into this `file` (pcapng)")
	f.StringVar(&dropsFile, "drops", "", "write every packet that the link lost, and why, into this `file` (CSV)")
	return cmd
}

// printBridge prints what a bridge has done.
func printBridge(out io.Writer, r *bridge.Report) {
	how := "at real-time priority"
	if !r.Realtime {
		how = "at normal priority"
	}
	fmt.Fprintf(out, "%.1f s %s, seed %d\n\n", r.Duration, how, r.Seed)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "FROM\tTO\tRATE\tUSED\tPACKETS\tLOST\tMARKED\tQUEUE MEAN/MAX\tDELAY MEAN/MAX\tREFUSED\t")
	for i := range r.Links {
		l := &r.Links[i]
		rate, used := "-", "-"
		if l.Rate > 0 {
			rate, used = quantity(float64(l.Rate), "bit/s"), fmt.Sprintf("%.1f %%", l.Utilization*100)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%d\t%s/%s\t%s/%s ms\t%d\t\n", l.From, l.To, rate, used, l.Offered, lost(l.Dropped), l.Marked,
			quantity(l.MeanQueue, "B"), quantity(float64(l.MaxQueue), "B"), trim(l.MeanWaiting*1e3), trim(l.MaxWaiting*1e3), r.Ends[1-i].Refused)
	}
	w.Flush()
	l := &r.Late
	fmt.Fprintf(out, "\nLateness of %d packets: mean %.3f ms, median %.3f, 99 %% %.3f, 99.9 %% %.3f, greatest %.3f (at %.1f s)\n", l.Packets,
		l.Mean*1e3, l.P50*1e3, l.P99*1e3, l.P999*1e3, l.Max*1e3, l.MaxAt)
	const most = 20
	shown := 0
	for i := range r.Flows {
		f := &r.Flows[i]
		if f.Bytes == 0 || shown == most {
			continue
		}
		if shown++; shown == 1 {
			fmt.Fprintln(out)
			fmt.Fprintln(w, "TCP FROM\tTO\tPACKETS\tBYTES\tRESENT\t")
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%.3g %%\t\n", f.Src, f.Dst, f.Packets, quantity(float64(f.Bytes), "B"), f.RetransmittedShare*100)
	}
	w.Flush()
}
