//go:build linux

package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/trafficpolicy/trafficpolicy/internal/agent"
	"github.com/trafficpolicy/trafficpolicy/internal/loader"
	"github.com/trafficpolicy/trafficpolicy/internal/names"
	"github.com/trafficpolicy/trafficpolicy/internal/netns"
)

// watchFlags are the flags of watch.
type watchFlags struct {
	target    targetFlags
	trust     trustFlags
	resolvers []string
	refuse    []string
	metrics   string
	grace     time.Duration
	stale     time.Duration
}

func (c *command) watchCmd() *cobra.Command {
	f := &watchFlags{}
	cmd := &cobra.Command{
		Use:   "watch [BUNDLE|DIRECTORY]",
		Short: "Stay: apply new bundles, attach pods, keep domain names",
		Long: `Watch is the node's agent. It first applies what was in force last, also before a boot, and then stays:

  - it applies the bundle, or of a directory the one for this node with the highest sequence,
    whenever that is a new one;
  - it attaches interfaces of the bundle's pods as they appear, and mends what has drifted;
  - it asks the resolvers for the addresses of the bundle's domain names, and has them enforced.

Without BUNDLE it keeps whatever is applied. Other tploaders can work beside it: what they apply, roll back
or remove stays. Each bundle's signature is checked, by the keys of --trusted or else those that the last
apply was given. SIGHUP has it look at everything now. It ends with Ctrl-C or SIGTERM, and what is in force
stays in force.`,
		Example: `  tploader watch
  tploader watch /etc/trafficpolicy/bundles --node n1 --resolver 10.0.0.2
  tploader watch n1.tar --metrics unix:/run/trafficpolicy/metrics.sock`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return c.watch(cmd, f, args) },
	}
	f.target.register(cmd)
	f.trust.register(cmd)
	p := cmd.Flags()
	p.StringArrayVar(&f.resolvers, "resolver", nil, "ask this `IP[:PORT]` for domain names, the others where it fails (repeatable; default those of "+names.HostResolvConf+")")
	p.StringArrayVar(&f.refuse, "refuse", nil, "no answer opens addresses of this `CIDR`, such as those of pods and Services of the cluster (repeatable)")
	p.DurationVar(&f.grace, "name-grace", names.DefaultGrace, "keep an address of a name for this `time` after the TTL of the last answer that had it")
	p.DurationVar(&f.stale, "name-stale", names.DefaultStale, "keep addresses of a name for this `time` after the last answer while resolvers fail")
	p.StringVar(&f.metrics, "metrics", "", "serve /healthz and /metrics at `unix:PATH` or a loopback address and port")
	return cmd
}

func (c *command) watch(cmd *cobra.Command, f *watchFlags, args []string) error {
	o, err := f.options()
	if err != nil {
		return err
	}
	if len(args) > 0 {
		o.Source = args[0]
	}
	if err := c.enterWhole(); err != nil {
		return err
	}
	o.Backends, o.Open = backends, loader.OpenOptions{StateDir: c.stateDir, Log: c.logf}
	if err := f.trust.into(&o.Open); err != nil {
		return err
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	o.Refresh = hangup
	o.Report = func(res *loader.Result) { c.reportApply(res, false) }
	a, err := agent.New(o)
	if err != nil {
		return err
	}
	return a.Run(cmd.Context())
}

// options checks the flags.
func (f *watchFlags) options() (o agent.Options, err error) {
	if o.Apply, err = f.target.options(); err != nil {
		return o, err
	}
	o.Node, o.Listen, o.Grace, o.Stale = o.Apply.Node, f.metrics, f.grace, f.stale
	if f.grace <= 0 || f.stale <= 0 {
		return o, errors.New("--name-grace and --name-stale are more than nothing")
	}
	if f.metrics != "" {
		if _, _, err := agent.ParseListen(f.metrics); err != nil {
			return o, fmt.Errorf("--metrics: %w", err)
		}
	}
	for _, s := range f.refuse {
		p, err := netip.ParsePrefix(s)
		if err != nil || p.Addr().Is4In6() { // addresses are compared unmapped
			return o, fmt.Errorf("--refuse %q is no CIDR", s)
		}
		o.Refused = append(o.Refused, p.Masked())
	}
	for _, s := range f.resolvers {
		r, err := names.ParseResolver(s)
		if err != nil {
			return o, fmt.Errorf("--resolver: %w", err)
		}
		o.Resolvers = append(o.Resolvers, r)
	}
	if len(f.resolvers) == 0 {
		o.Resolvers, o.NoResolver = names.HostResolvers(names.HostResolvConf)
	}
	return o, nil
}

// enterWhole goes where --netns says with the whole process, and not with one thread: the
// program is executed anew in the namespace. It does nothing where the process is there
// already.
func (c *command) enterWhole() error {
	if c.netns == "" {
		return nil
	}
	here, err := netns.Here(c.netns)
	if err != nil || here {
		return err
	}
	if err := netns.Enter(c.netns); err != nil {
		return err
	}
	return fmt.Errorf("execute tploader in network namespace %s: %w", c.netns, unix.Exec("/proc/self/exe", os.Args, os.Environ()))
}
