//go:build linux

package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sys/unix"
)

// ParseListen reads where health and metrics are to be: unix:PATH, with an absolute
// path, or a loopback address and port. Nothing else: whoever reads them learns who
// is denied what.
func ParseListen(s string) (network, address string, err error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if !filepath.IsAbs(path) {
			return "", "", fmt.Errorf("%q is no absolute path of a Unix socket", path)
		}
		return "unix", path, nil
	}
	a, err := netip.ParseAddrPort(s)
	if err != nil {
		return "", "", fmt.Errorf("%q is neither unix:PATH nor a loopback address and port", s)
	}
	if !a.Addr().Unmap().IsLoopback() {
		return "", "", fmt.Errorf("%s is no loopback address: health and metrics are for this host alone", a.Addr())
	}
	return "tcp", a.String(), nil
}

// server answers for health and metrics.
type server struct {
	http   *http.Server
	socket net.Listener
}

// listen opens the socket, nil where none is wanted.
func (a *Agent) listen() (*server, error) {
	if a.o.Listen == "" {
		return nil, nil
	}
	network, address, err := ParseListen(a.o.Listen)
	if err != nil {
		return nil, err
	}
	if network == "unix" {
		if err := freeSocket(address); err != nil {
			return nil, err
		}
		old := unix.Umask(0o177) // nobody else connects, from the first moment on
		defer unix.Umask(old)
	}
	socket, err := net.Listen(network, address)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", a.serveHealth)
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.registry(), promhttp.HandlerOpts{MaxRequestsInFlight: 2}))
	return &server{&http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute, MaxHeaderBytes: 1 << 14,
	}, socket}, nil
}

// freeSocket removes the socket that an agent which was killed has left; never anything
// else, and none that somebody listens at.
func freeSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("metrics: %s is there and is no socket", path)
	}
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		c.Close()
		return fmt.Errorf("metrics: somebody listens at %s", path)
	}
	return os.Remove(path)
}

// run answers until ctx ends. That it cannot go on ends the agent.
func (s *server) run(ctx context.Context, fail context.CancelCauseFunc) {
	stop := context.AfterFunc(ctx, func() {
		wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		s.http.Shutdown(wait)
	})
	defer stop()
	if err := s.http.Serve(s.socket); err != nil && !errors.Is(err, http.ErrServerClosed) {
		fail(fmt.Errorf("metrics: %w", err))
	}
}

// serveHealth says ok, or with 503 what is wrong, one sentence a line.
func (a *Agent) serveHealth(w http.ResponseWriter, _ *http.Request) {
	n := a.health.get()
	list := n.problems(a.totals(), time.Now())
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if len(list) == 0 {
		fmt.Fprintln(w, "ok")
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	fmt.Fprintln(w, strings.Join(list, "\n"))
}
