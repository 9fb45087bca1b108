//go:build linux

package loader

import (
	"context"
	"net/netip"
	"os"

	"github.com/trafficpolicy/trafficpolicy/backends/bundle"
	"github.com/trafficpolicy/trafficpolicy/compiler/space"
	"github.com/trafficpolicy/trafficpolicy/internal/place"
	"github.com/trafficpolicy/trafficpolicy/internal/state"
)

// Backend is a way to enforce bundles.
type Backend interface {
	// Name is what manifests call the backend.
	Name() string
	// Hooks says what its hooks see of a node's pods.
	Hooks() place.Hooks
	// Read checks a bundle's payload and returns its pods, and whatever else the
	// backend wants to find in Bundle.Payload.
	Read(c *bundle.Bundle) (pods []Pod, payload any, err error)
	// Decode returns what a bundle's payload decides, read by itself: what Read
	// makes of it does not count.
	Decode(c *bundle.Bundle) (*space.Reading, error)
	// Open makes sure that the backend can be used in the namespace. The error
	// says what is missing: a program, a privilege, the kernel.
	Open(ctx context.Context, s *Space) (Kernel, error)
	// Monitor receives what the policies of a namespace deny.
	Monitor(ctx context.Context, s *Space, b *Bundle) (Feed, error)
}

// Space is the network namespace that a loader works in.
type Space struct {
	Key state.Key
	// Lock, if not nil, is the lock of the namespace's state. Child processes
	// inherit it, so that it is held until the last of them has ended, whatever
	// becomes of this process.
	Lock *os.File
	Log  func(format string, args ...any)
}

// Kernel is a backend at work in one network namespace.
type Kernel interface {
	// Drift returns how the kernel differs from what it held when a was put in
	// force, one sentence each. held is what Holding returned then, nil if that
	// was not recorded.
	Drift(ctx context.Context, a *Applied, held []byte) ([]string, error)
	// Inspect returns how the kernel differs from what the bundle of a says, as far as
	// Drift does not compare that.
	Inspect(ctx context.Context, a *Applied) ([]string, error)
	// Reading returns what the kernel decides for packets while a is in force, with
	// every address that it takes for the node's. It returns an error where that is
	// nothing that a loader puts there, and where the kernel cannot be asked.
	Reading(ctx context.Context, a *Applied) (*space.Reading, error)
	// Unknown returns what the kernel holds of the backend where nothing ought to
	// be in force, one sentence each.
	Unknown(ctx context.Context) ([]string, error)
	// InForce reports whether packets meet any policy of the backend.
	InForce(ctx context.Context) (bool, error)
	// Plan prepares a change and touches nothing. It may raise Record.Apply, and
	// fills in Record.Prefix.
	Plan(ctx context.Context, c *Change) (Plan, error)
	// Settle ends a change that was stopped, wherever that was: it reports whether
	// next is in force, and deletes what is of neither that nor, if not, of
	// current. current is nil where nothing of the backend was in force before.
	Settle(ctx context.Context, next, current *Applied) (switched bool, err error)
	// Holding describes what the kernel holds now that a is in force.
	Holding(ctx context.Context, a *Applied) ([]byte, error)
	// Remove deletes all of the backend, and reports whether there was anything.
	Remove(ctx context.Context) (bool, error)
	// Learn brings the addresses of domain names to what a says, in steps of which a
	// packet sees the whole or nothing for each name. names, if not nil, are those that
	// may differ. It returns an error that wraps ErrReload, and has changed nothing, where
	// only a generation that is loaded anew can be told. Live connections are judged by
	// what names mean from then on.
	Learn(ctx context.Context, a *Applied, names []string) error
	// Peers calls visit with the other end of each live connection of a governed pod,
	// in any order, and more than once for some. It holds one at a time in memory.
	Peers(ctx context.Context, a *Applied, visit func(netip.Addr)) error
	// NameTable describes the table of addresses of names that is fullest, nil without one.
	NameTable(ctx context.Context, a *Applied) *ConnTable
	// Counts reads the counters. It returns an error that wraps ErrNothing where
	// there are none.
	Counts(ctx context.Context) (*Counts, error)
	// Connections describes the table of connections, nil without one.
	Connections(ctx context.Context) *ConnTable
}

// Change is what an apply wants of the kernel.
type Change struct {
	Bundle *Bundle
	Record *state.Record // to be in force
	// Current is the record in force, nil if nothing of the same backend is.
	Current *state.Record
	Places  []place.Place // of every pod address
	// Learned is what domain names mean beside what the bundle says.
	Learned Known
	// Load is set where the generation has to be loaded. Otherwise only
	// interfaces, flags or the sequence differ from Current.
	Load bool
}

// Plan is a change that was prepared.
type Plan interface {
	// Check does all of the change that the kernel can check without doing it.
	Check(ctx context.Context) error
	// HoldingSize returns an upper bound, in bytes, of what Holding will return.
	HoldingSize() int64
	// Switch makes the change. After an error the kernel may be in any state that
	// Settle can be called in.
	Switch(ctx context.Context) error
	// Clean deletes what is no longer in force.
	Clean(ctx context.Context) error
}

// Applied is a record with its bundle, which is read when it is asked for.
type Applied struct {
	Record *state.Record
	Bundle func() (*Bundle, error)
	// Learned is what domain names mean beside what the bundle says.
	Learned Known
}

// Meaning returns what the bundle's names mean.
func (a *Applied) Meaning() (Known, error) {
	b, err := a.Bundle()
	if err != nil {
		return nil, err
	}
	return b.Meaning(a.Learned), nil
}
