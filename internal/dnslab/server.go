//go:build linux

package dnslab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"

	"github.com/trafficpolicy/trafficpolicy/internal/netlab"
)

// Port is where the server answers, over UDP and TCP.
const Port = 53

// startTime is how long a server may take to start, or to load zones.
const startTime = 10 * time.Second

// Server is a knotd. It answers with authority for all names: those that it was
// given no record of do not exist.
type Server struct {
	dir    string
	listen []netip.Addr
	zones  []string // deepest first, the root last
	failed []string // names below which everything is SERVFAIL
	serial int
	text   map[string]string // of each zone's file
	cmd    *exec.Cmd
	ended  chan error // gets the one result of the process
	stderr *bytes.Buffer
}

// Start starts a server in the namespace, at addresses that it has. zones, such as
// "away.test.", are zones beside the root: a CNAME from one zone into another
// ends the answer, and the asker has to ask again.
func Start(ns *netlab.Namespace, listen []netip.Addr, zones ...string) (*Server, error) {
	dir, err := os.MkdirTemp("", "tp-dns-")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, listen: listen, ended: make(chan error, 1), stderr: new(bytes.Buffer), text: map[string]string{}}
	for _, z := range zones {
		s.zones = append(s.zones, dns.CanonicalName(z))
	}
	slices.SortFunc(s.zones, func(a, b string) int { return dns.CountLabel(b) - dns.CountLabel(a) })
	s.zones = append(s.zones, ".")
	if err := s.start(ns); err != nil {
		return nil, errors.Join(fmt.Errorf("start knotd: %w", err), s.Close())
	}
	return s, nil
}

func (s *Server) start(ns *netlab.Namespace) error {
	path, err := find("knotd")
	if err != nil {
		return err
	}
	if _, err := s.writeZones(nil); err != nil {
		return err
	}
	if err := s.configure(); err != nil {
		return err
	}
	s.cmd = exec.Command(path, "-c", s.file("knot.conf"))
	s.cmd.Stdout, s.cmd.Stderr = s.stderr, s.stderr
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go func() {
		// The thread stays as long as the process, which would get the signal if the
		// thread ended (prctl(2), PR_SET_PDEATHSIG).
		s.ended <- ns.Do(func() error {
			err := s.cmd.Start()
			started <- err
			if err != nil {
				return err
			}
			return s.cmd.Wait()
		})
	}()
	if err := <-started; err != nil {
		return err
	}
	if err := s.ready(); err != nil {
		return err
	}
	return s.listens(ns)
}

// listens tries each address: knotd does without those that it cannot have.
func (s *Server) listens(ns *netlab.Namespace) error {
	for _, a := range s.listen {
		c, err := ns.Dial(netip.Addr{}, netip.AddrPortFrom(a, Port), startTime)
		if err != nil {
			return err
		}
		c.Close()
	}
	return nil
}

// ready waits until the server takes commands and has loaded its zones.
func (s *Server) ready() error {
	for end := time.Now().Add(startTime); ; time.Sleep(5 * time.Millisecond) {
		err := s.control("zone-reload")
		if err == nil {
			return nil
		}
		select {
		case died := <-s.ended:
			s.ended <- died
			return fmt.Errorf("%w: %s", died, s.stderr)
		default:
		}
		if time.Now().After(end) {
			return err
		}
	}
}

// find returns the path of a program of the package.
func find(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	return exec.LookPath("/usr/sbin/" + name)
}

func (s *Server) file(name string) string { return filepath.Join(s.dir, name) }

// control runs a command of knotc and waits until the server has done it.
func (s *Server) control(args ...string) error {
	path, err := find("knotc")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, append([]string{"-s", s.file("sock"), "-b"}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("knotc %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// Set gives the server its records, in the words of a zone file with absolute names
// (db.example. 60 A 10.0.0.1), instead of all those it had.
func (s *Server) Set(records ...string) error {
	changed, err := s.writeZones(records)
	if err != nil || len(changed) == 0 {
		return err
	}
	return s.control(append([]string{"zone-reload"}, changed...)...)
}

// Fail has the server answer SERVFAIL for the names and all below them, instead
// of those it did so for before. They must not be zones that Start was given.
func (s *Server) Fail(names ...string) error {
	s.failed = names
	if err := s.configure(); err != nil {
		return err
	}
	return s.control("reload")
}

// Pause stops the server where it is: it keeps its port and answers nothing.
func (s *Server) Pause() error { return s.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume ends Pause. What was asked meanwhile is answered now.
func (s *Server) Resume() error { return s.cmd.Process.Signal(syscall.SIGCONT) }

// Close ends the server. It may be called more than once.
func (s *Server) Close() error {
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Kill() // also of a process that is paused; it may have ended
		s.ended <- <-s.ended
	}
	return os.RemoveAll(s.dir)
}
