package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/config"
	"github.com/sluicenet/sluice/examples"
)

// configFlags are the flags of commands that read a configuration.
type configFlags struct {
	file   string
	set    []string
	listen string
	http   string
	socket string
	level  string
}

func (f *configFlags) addTo(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.file, "config", "c", "", "configuration `file`")
	cmd.Flags().StringArrayVar(&f.set, "set", nil, "set one key, as in `KEY=VALUE`: stacks.far.backend=cubic")
}

func (f *configFlags) addRunTo(cmd *cobra.Command) {
	f.addTo(cmd)
	cmd.Flags().StringVar(&f.listen, "listen", "", "`address` of this host that is carried through the stacks")
	cmd.Flags().StringVar(&f.http, "http", "", "`address` of the JSON status, or 'off'")
	cmd.Flags().StringVar(&f.socket, "socket", "", "`path` of the control socket, or 'off'")
	cmd.Flags().StringVar(&f.level, "log-level", "", "`level` of the log: debug, info, warn or error")
}

// load reads the file, or the embedded default, with what the environment and
// the flags say.
func (f *configFlags) load() (*config.Config, error) {
	opts := config.Options{File: f.file, Environ: os.Environ()}
	if f.file == "" {
		opts.Name, opts.Data = "(default configuration)", examples.Default
	}
	for _, s := range f.set {
		a, err := config.ParseAssignment(s, "--set")
		if err != nil {
			return nil, misused("%w", err)
		}
		opts.Set = append(opts.Set, a)
	}
	for _, x := range []struct{ flag, key, value string }{
		{"--http", "http.listen", f.http},
		{"--socket", "control.socket", f.socket},
		{"--log-level", "log.level", f.level},
	} {
		if x.value != "" {
			opts.Set = append(opts.Set, config.Assignment{Key: x.key, Value: x.value, Source: x.flag + " " + x.value})
		}
	}
	cfg, err := config.Load(opts)
	if err != nil || f.listen == "" {
		return cfg, wrapLoad(err)
	}
	// --listen means the one service that listens on this host.
	name, err := forwardService(cfg)
	if err != nil {
		return nil, err
	}
	opts.Set = append(opts.Set, config.Assignment{
		Key: "services." + name + ".from", Value: f.listen, Source: "--listen " + f.listen})
	cfg, err = config.Load(opts)
	return cfg, wrapLoad(err)
}

func wrapLoad(err error) error {
	if err == nil {
		return nil
	}
	return failed(err)
}

func forwardService(cfg *config.Config) (string, error) {
	var names []string
	for _, s := range cfg.Services {
		if s.Handler == "forward" {
			names = append(names, s.Name)
		}
	}
	switch len(names) {
	case 1:
		return names[0], nil
	case 0:
		return "", misused("--listen: no service of the configuration has the handler forward")
	}
	return "", misused("--listen: there are several services with the handler forward (%v): say which with --set services.%s.from=ADDRESS", names, names[0])
}

// defaultSocket is where the control socket is unless the configuration says
// otherwise.
func defaultSocket() string {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, "sluice.sock")
	}
	// In a directory that everybody may write to, somebody else could make root's
	// first, and answer for it.
	if info, err := os.Stat("/run"); err == nil && info.IsDir() && os.Getuid() == 0 {
		return "/run/sluice.sock"
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("sluice-%d.sock", os.Getuid()))
}

func checkCommand() *cobra.Command {
	var f configFlags
	var keys bool
	cmd := &cobra.Command{
		Use:   "check -c FILE",
		Short: "Check a configuration file",
		Long:  "Check a configuration file. Every mistake is reported with its file, line and key.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			out := cmd.OutOrStdout()
			if keys {
				for _, k := range config.Keys() {
					fmt.Fprintf(out, "%s (%s)\n    %s\n", k.Path, k.Summary(), k.Doc)
				}
				return nil
			}
			if f.file == "" {
				return misused("check: which file? Use -c FILE")
			}
			cfg, err := f.load()
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "%s: ok: %s, %s, %s\n", cfg.Name(),
				count(len(cfg.Links), "link"), count(len(cfg.Stacks), "stack"), count(len(cfg.Services), "service"))
			return nil
		},
	}
	f.addTo(cmd)
	cmd.Flags().BoolVar(&keys, "keys", false, "list every key that a configuration can have")
	return cmd
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
