package compiler

import (
	"context"
	"io"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// LoadOptions says what to read. The zero LoadOptions reads nothing.
type LoadOptions struct {
	// Policies and Inventory are files, directories (read recursively for .yaml,
	// .yml, .json and .tpi) or "-" for Stdin, which may be named once. Each is YAML,
	// JSON or a compact inventory of [Snapshot].
	Policies, Inventory []string
	Stdin               io.Reader
	// Namespace is what a TrafficPolicy, and any other namespaced object, without
	// metadata.namespace gets; "" means default.
	Namespace string
	// PoseidonVersion, such as "0.7.2", turns on TP012; "" is no check.
	PoseidonVersion string
	// Open opens a file, [os.Open] where nil. Which files there are the file
	// system says all the same.
	Open func(path string) (io.ReadCloser, error)
}

// Input is everything that was read.
type Input struct {
	// Policies holds each valid policy once, sorted by [model.ComparePolicies].
	Policies []*model.Policy
	// Inventory is what the objects of all inputs say. It is never nil.
	Inventory *model.Inventory
	// InventoryGiven reports inventory mode: LoadOptions.Inventory was not empty.
	InventoryGiven bool
	// VersionGiven reports that TP012 was looked for: LoadOptions.PoseidonVersion was
	// not empty.
	VersionGiven bool
	// Findings are TP001 to TP012, sorted. An error among them means that
	// Policies or Inventory lack an object.
	Findings []model.Finding
	// Files counts the files that were read, each once, standard input included. Of a
	// compact inventory the files that it was made of count.
	Files int
	// Skipped counts objects of kinds that mean nothing to policies, by kind, and
	// under NoKind documents that are no Kubernetes objects.
	Skipped map[string]int

	// Copies are policies of Policies that were read once more, saying the same, in
	// input order.
	Copies []Copy

	// Suppressions are the suppression comments of all YAML, in input order; JSON
	// has none.
	Suppressions []Suppression

	lines sourceLines
	// copied holds files whose objects were read from a compact inventory, with what
	// it knows of them: their digests, "" without one. direct holds those that were
	// read themselves.
	copied map[string]string
	direct map[string]bool
	// inInventory holds the policies that LoadOptions.Inventory brought.
	inInventory map[*model.Policy]bool
	// ofInventory holds the findings of inventory objects that are in
	// Inventory.Broken.
	ofInventory map[findingKey]bool
}

// Load reads all inputs. It returns an error only for what could not be read at
// all (no such file, I/O, a namespace or version in o that is none);
// everything else is in Input.Findings.
func Load(ctx context.Context, o LoadOptions) (*Input, error) {
	l, err := newLoader(o)
	if err != nil {
		return nil, err
	}
	if err := l.readAll(ctx, o); err != nil {
		return nil, err
	}
	return l.finish(), nil
}

// readAll takes the objects of all inputs.
func (l *loader) readAll(ctx context.Context, o LoadOptions) error {
	inputs, err := listInputs(o)
	if err != nil {
		return err
	}
	for _, in := range inputs {
		if err := l.read(ctx, in); err != nil {
			return err
		}
	}
	return nil
}

// finish returns what was read.
func (l *loader) finish() *Input {
	l.merge()
	slices.SortFunc(l.in.Policies, model.ComparePolicies)
	model.SortFindings(l.in.Findings)
	l.in.Findings = slices.CompactFunc(l.in.Findings, sameFinding)
	return l.in
}

// Copy is an object that says the same as a policy that was read before it.
type Copy struct {
	Policy *model.Policy
	Pos    model.Pos // of the copy's first key
}

// FromInventory reports whether p, one of in.Policies, was read from
// LoadOptions.Inventory.
func (in *Input) FromInventory(p *model.Policy) bool { return in.inInventory[p] }

// Copied reports whether objects of file were read from a compact inventory, which
// does not change with the file.
func (in *Input) Copied(file string) bool { _, ok := in.copied[file]; return ok }

// copiedToo adds files that a compact inventory knows, by their digests.
func (in *Input) copiedToo(files map[string]string) {
	for file, digest := range files {
		if known, ok := in.copied[file]; ok && known != digest {
			digest = "" // it has changed between two compact inventories
		}
		in.copied[file] = digest
	}
}

// findingKey tells findings apart.
type findingKey struct {
	pos     model.Pos
	code    model.Code
	message string
}

func keyOf(f *model.Finding) findingKey { return findingKey{f.Pos(), f.Code, f.Message} }

// OfInventory reports whether f, one of in.Findings, is about an inventory
// object that Inventory.Broken names. Every other error is about a policy, or
// about a text of which it is not known what stands in it.
func (in *Input) OfInventory(f *model.Finding) bool { return in.ofInventory[keyOf(f)] }

// sameFinding reports whether two neighbours are one: a file that is named twice
// is read twice.
func sameFinding(a, b model.Finding) bool {
	return model.CompareFindings(a, b) == 0 && a.Field == b.Field
}
