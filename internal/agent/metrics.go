//go:build linux

package agent

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/trafficpolicy/trafficpolicy/internal/loader"
	"github.com/trafficpolicy/trafficpolicy/internal/names"
	"github.com/trafficpolicy/trafficpolicy/internal/version"
)

// readPeriod is for how long what was read from the kernel is good: reading takes the
// lock of the namespace, and counting connections all of their table.
const readPeriod = 5 * time.Second

// collector gathers the metrics when they are asked for.
type collector struct {
	agent *Agent

	mu   sync.Mutex
	read time.Time
	last *kernelState
	err  error
}

// kernelState is what the kernel says.
type kernelState struct {
	stats        *loader.Stats
	conns, names *loader.ConnTable
}

// registry returns all metrics of the process.
func (a *Agent) registry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(&collector{agent: a},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// totals returns what the learner counts, nil without one.
func (a *Agent) totals() *names.Totals {
	if a.names == nil {
		return nil
	}
	t := a.names.Status().Totals
	return &t
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("trafficpolicy_"+name, help, labels, nil)
}

// The metrics; docs/tploader.md has them too.
var (
	descBuild      = desc("build_info", "1; the version of tploader.", "version")
	descInfo       = desc("in_force_info", "1 while a bundle is in force; which.", "generation", "backend", "scope", "name")
	descInForce    = desc("in_force", "Whether a bundle is in force.")
	descHealthy    = desc("healthy", "Whether /healthz says ok.")
	descSequence   = desc("sequence", "Sequence of the bundle in force.")
	descDrift      = desc("drift", "Differences between the kernel and what was applied that the last look found, and mended.")
	descMended     = desc("drift_mended_total", "Looks that found the kernel to differ from what was applied, and mended it.")
	descFailures   = desc("look_failures_total", "Looks and applies that failed.")
	descLook       = desc("last_look_timestamp_seconds", "When the agent last looked at the node.")
	descLookOK     = desc("last_look_success", "Whether the last look or apply succeeded.")
	descApply      = desc("last_apply_timestamp_seconds", "When the agent last changed something in the kernel.")
	descSource     = desc("source_in_force", "Whether the bundle that is watched was taken; absent where none is watched.")
	descUnattached = desc("unattached_pods", "Pods of the bundle whose interfaces are not attached to.")

	descNames      = desc("names", "Domain names that are kept.")
	descAddrs      = desc("name_addresses", "Addresses of domain names in force.")
	descStale      = desc("names_stale", "Domain names whose last question failed: their addresses are of earlier answers.")
	descUnresolved = desc("names_unresolved", "Domain names without any address.")
	descInUse      = desc("name_addresses_in_use", "Addresses past their time that are kept for live connections.")
	descShared     = desc("name_addresses_shared", "Addresses that more than one domain name has.")
	descCapped     = desc("name_addresses_capped", "Addresses of the last answers that a limit keeps out.")
	descRefusedNow = desc("name_addresses_refused", "Addresses of the last answers that are refused.")
	descRefused    = desc("name_refusals_total", "Addresses in answers that were refused.")
	descQueries    = desc("dns_questions_total", "Questions for names that were asked.")
	descQueryFails = desc("dns_failures_total", "Questions for names that no resolver answered.")
	descEnforced   = desc("name_changes_total", "Changes of addresses that were enforced.")
	descEnforceBad = desc("name_change_failures_total", "Changes of addresses that could not be enforced, and are tried again.")
	descDelay      = desc("name_change_delay_seconds", "How long the last change of addresses took from the answer to the kernel.")

	descScrape  = desc("kernel_read_success", "Whether the counters and tables below could be read.")
	descAllowed = desc("allowed_packets_total", "Packets that rules allowed.")
	descDenied  = desc("denied_packets_total", "Packets that were denied, by a rule or by the default deny.", "by")
	descDropped = desc("dropped_packets_total", "Packets that were dropped before any rule was asked, by reason.", "reason")
	descEntries = desc("table_entries", "Entries of a table: connections, names.", "table")
	descSize    = desc("table_size", "Entries that a table can have.", "table")
)

// Describe sends nothing: which metrics there are depends on what is in force.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect sends the metrics.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, t prometheus.ValueType, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, t, v, labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) { send(d, prometheus.GaugeValue, v, labels...) }
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		send(d, prometheus.CounterValue, float64(v), labels...)
	}
	n, totals := c.agent.health.get(), c.agent.totals()
	gauge(descBuild, 1, version.String())
	gauge(descHealthy, truth(len(n.problems(totals, time.Now())) == 0))
	gauge(descInForce, truth(n.record != nil))
	if r := n.record; r != nil {
		gauge(descInfo, 1, r.Generation, r.Backend, r.Scope, r.Name)
		gauge(descSequence, float64(r.Sequence))
	}
	gauge(descDrift, float64(n.drift))
	count(descMended, n.mended)
	count(descFailures, n.failures)
	gauge(descLook, seconds(n.looked))
	gauge(descLookOK, truth(n.err == nil))
	gauge(descApply, seconds(n.applied))
	if c.agent.o.Source != "" {
		gauge(descSource, truth(n.sourceErr == nil))
	}
	gauge(descUnattached, float64(len(n.unattached)))
	if totals != nil {
		collectNames(totals, gauge, count)
	}
	k, err := c.kernel()
	gauge(descScrape, truth(err == nil))
	if k != nil {
		k.collect(gauge, count)
	}
}

func collectNames(t *names.Totals, gauge func(*prometheus.Desc, float64, ...string), count func(*prometheus.Desc, uint64, ...string)) {
	gauge(descNames, float64(t.Names))
	gauge(descAddrs, float64(t.Addrs))
	gauge(descStale, float64(t.Failing))
	gauge(descUnresolved, float64(t.Unresolved))
	gauge(descInUse, float64(t.InUse))
	gauge(descShared, float64(t.Shared))
	gauge(descCapped, float64(t.Capped))
	gauge(descRefusedNow, float64(t.Refused))
	count(descRefused, t.RefusedSeen)
	count(descQueries, t.Questions)
	count(descQueryFails, t.Failures)
	count(descEnforced, t.Enforced)
	count(descEnforceBad, t.EnforceFailures)
	gauge(descDelay, t.Delay.Seconds())
}

func (k *kernelState) collect(gauge func(*prometheus.Desc, float64, ...string), count func(*prometheus.Desc, uint64, ...string)) {
	var allowed, denied, defaults uint64
	for _, r := range k.stats.Rules {
		if r.Action == "allow" {
			allowed += r.Packets
		} else {
			denied += r.Packets
		}
	}
	for _, d := range k.stats.DefaultDenies {
		defaults += d.Packets
	}
	count(descAllowed, allowed)
	count(descDenied, denied, "rule")
	count(descDenied, defaults, "default")
	count(descDropped, k.stats.Spoofed.Packets, "spoofed")
	count(descDropped, k.stats.Stray.Packets, "stray")
	count(descDropped, k.stats.Broken.Packets, "broken")
	count(descDropped, k.stats.Unknown.Packets, "unknown")
	count(descDropped, k.stats.Limited.Packets, "limited")
	for _, o := range k.stats.Others {
		if o.Drop {
			count(descDropped, o.Packets, o.Name)
		}
	}
	for name, t := range map[string]*loader.ConnTable{"connections": k.conns, "names": k.names} {
		if t != nil {
			gauge(descEntries, float64(t.Count), name)
			gauge(descSize, float64(t.Max), name)
		}
	}
}

// kernel reads counters and tables, or returns what was read a moment ago.
func (c *collector) kernel() (*kernelState, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.read) < readPeriod {
		return c.last, c.err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	k := &kernelState{}
	err := c.agent.with(ctx, false, func(l *loader.Loader) (err error) {
		if k.stats, err = l.Stats(ctx); err == nil {
			k.conns, k.names, err = l.Tables(ctx)
		}
		return err
	})
	if err != nil {
		k = nil
	}
	if errors.Is(err, loader.ErrNothing) {
		err = nil
	}
	c.read, c.last, c.err = time.Now(), k, err
	return k, err
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// seconds returns a time as Prometheus has it, 0 for none.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
