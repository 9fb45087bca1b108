//go:build linux

package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"

	netfilter "github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/trafficpolicy/trafficpolicy/internal/loader"
)

// minVersion is the oldest nft that the artifacts are made for: that of Debian 12.
var minVersion = [3]int{1, 0, 6}

// command is the nft command. It runs in the network namespace of the thread
// that calls it, so callers stay on the goroutine that entered it.
type command struct {
	path    string
	version string
	space   *loader.Space
}

// findNFT looks nft up and makes sure that it can be used here. The errors say
// which of program, version, privilege and kernel is missing.
func findNFT(ctx context.Context, s *loader.Space) (*command, error) {
	path, err := exec.LookPath("nft")
	if err != nil {
		return nil, errors.New("the nft command is not installed (it is in the package nftables)")
	}
	c := &command{path: path, space: s}
	out, err := c.run(ctx, nil, "--version")
	if err != nil {
		return nil, err
	}
	if c.version, err = checkVersion(string(out)); err != nil {
		return nil, err
	}
	return c, ask()
}

// ask asks the kernel for something small: every listing of nft's fetches all sets of a
// table before it.
func ask() error {
	conn, err := netfilter.New()
	if err == nil {
		_, err = conn.ListTablesOfFamily(netfilter.TableFamilyINet)
	}
	switch {
	case errors.Is(err, unix.EPERM):
		return errNotPermitted
	case err != nil:
		return fmt.Errorf("this kernel has no nf_tables (%w)", err)
	}
	return nil
}

var errNotPermitted = errors.New("not permitted to change nftables in this network namespace (tploader needs root, or CAP_NET_ADMIN)")

var versionText = regexp.MustCompile(`v(\d+)\.(\d+)(?:\.(\d+))?`)

func checkVersion(out string) (string, error) {
	m := versionText.FindStringSubmatch(out)
	if m == nil {
		return "", fmt.Errorf("nft --version says %q, which has no version", firstLine(out))
	}
	for i, least := range minVersion {
		n, _ := strconv.Atoi(m[i+1])
		if n > least {
			break
		}
		if n < least {
			return "", fmt.Errorf("nft %s is too old, %d.%d.%d or later is needed", m[0][1:], minVersion[0], minVersion[1], minVersion[2])
		}
	}
	return m[0][1:], nil
}

// load runs a script as one transaction: all of it takes effect, or nothing.
func (c *command) load(ctx context.Context, script string) error {
	_, err := c.run(ctx, []byte(script), "-f", "-")
	return err
}

// check does what load does up to the commit.
func (c *command) check(ctx context.Context, script string) error {
	_, err := c.run(ctx, []byte(script), "-c", "-f", "-")
	return err
}

// run runs nft with args and returns what it prints.
func (c *command) run(ctx context.Context, stdin []byte, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, c.path, args...)
	cmd.Env = []string{"LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	if stdin != nil {
		f, err := memFile(stdin)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		cmd.Stdin = f
	}
	if c.space.Lock != nil {
		cmd.ExtraFiles = []*os.File{c.space.Lock}
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, explain(args, stderr.String(), err)
	}
	return stdout.Bytes(), nil
}

// memFile returns an anonymous file with that content. A pipe will not do: if
// this process is killed while it writes, nft sees the end of the input and runs
// the half of the script that it has.
func memFile(data []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("nft-script", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memory for the nft script: %w", err)
	}
	f := os.NewFile(uintptr(fd), "nft-script")
	if _, err := f.Write(data); err != nil {
		f.Close()
		return nil, fmt.Errorf("memory for the nft script: %w", err)
	}
	if _, err := f.Seek(0, 0); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Error is what nft said when it failed.
type Error struct {
	Args   []string
	Output string // stderr, whole
}

func (e *Error) Error() string {
	line := firstLine(e.Output)
	for l := range strings.Lines(e.Output) {
		if strings.Contains(l, "Error:") {
			line = strings.TrimSpace(l)
			break
		}
	}
	if line == "" {
		line = "no reason given"
	}
	return fmt.Sprintf("nft %s: %s", strings.Join(e.Args, " "), line)
}

// explain turns what nft prints where it cannot work at all into a sentence.
func explain(args []string, stderr string, err error) error {
	switch {
	case strings.Contains(stderr, "Operation not permitted"):
		return errNotPermitted
	case strings.Contains(stderr, "cache initialization failed"), strings.Contains(stderr, "Unable to initialize Netlink"):
		return fmt.Errorf("this kernel has no nf_tables (%s)", firstLine(stderr))
	}
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || stderr == "" {
		return fmt.Errorf("run nft %s: %w", strings.Join(args, " "), err)
	}
	return &Error{Args: args, Output: stderr}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}
