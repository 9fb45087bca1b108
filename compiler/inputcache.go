package compiler

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// InputCache reads the same inputs again and again, and parses only files that
// changed. Objects that say what they said before keep their pointers, from one
// Input to the next, so that what follows from them can be kept too. It is not
// safe for concurrent use.
type InputCache struct {
	options LoadOptions
	loader  *loader // for its memory of strings and checks, and its options
	files   map[inputFile]*cachedFile
	order   []*cachedFile // of the last input
	// count holds how many objects of all files have a key.
	count    map[objectKey]int
	last     *Input
	unsorted []*model.Policy // last.Policies in input order
}

// cachedFile is what was read from one file.
type cachedFile struct {
	stamp
	content
	// merged is what the file contributes to the input.
	merged *Input
}

// content is what stands in a file.
type content struct {
	objects      []*object
	findings     []model.Finding
	skipped      map[string]int
	suppressions []Suppression
	copied       map[string]string
	direct       map[string]bool
	counted      map[string]bool
}

// stamp tells whether a file is what it was.
type stamp struct {
	info   fs.FileInfo
	read   time.Time // when info was taken
	digest [sha256.Size]byte
}

// racy is how long after a change a file may change again without that its time
// shows it: some file systems count in seconds, FAT in two.
const racy = 2 * time.Second

// trusts reports whether a file of this info has the content it had.
func (s *stamp) trusts(info fs.FileInfo) bool {
	return os.SameFile(s.info, info) && s.info.Size() == info.Size() && s.info.ModTime().Equal(info.ModTime()) &&
		s.read.Sub(info.ModTime()) > racy
}

// NewInputCache returns a cache of what o names, which must not be standard input.
// o.Open does not count.
func NewInputCache(o LoadOptions) (*InputCache, error) {
	if slices.Contains(o.Policies, "-") || slices.Contains(o.Inventory, "-") {
		return nil, errors.New(`standard input ("-") cannot be read again, want files`)
	}
	o.Open = nil
	l, err := newLoader(o)
	if err != nil {
		return nil, err
	}
	return &InputCache{options: o, loader: l, files: map[inputFile]*cachedFile{}}, nil
}

// Load reads what changed since the last call, and reports whether anything did. It returns an
// error for what could not be read, as the function [Load] does; the next call
// then tries again. The Input is good until the next call.
func (c *InputCache) Load(ctx context.Context) (in *Input, changed bool, err error) {
	inputs, err := listInputs(c.options)
	if err != nil {
		return nil, false, err
	}
	next := make(map[inputFile]*cachedFile, len(inputs))
	order := make([]*cachedFile, len(inputs))
	var fresh []freshFile
	for i, in := range inputs {
		old := c.files[in]
		file := next[in]
		if file == nil {
			if file, err = c.file(ctx, in, old); err != nil {
				return nil, false, err
			}
			if file != old {
				fresh = append(fresh, freshFile{old, file})
			}
		}
		next[in], order[i] = file, file
	}
	for in, old := range c.files {
		if next[in] == nil {
			fresh = append(fresh, freshFile{old, nil})
		}
	}
	c.files = next
	if len(fresh) == 0 && slices.Equal(order, c.order) && c.last != nil {
		return c.last, false, nil
	}
	c.merge(order, fresh)
	return c.last, true, nil
}

// freshFile is a file that changed, with what it was; either is nil where there is none.
type freshFile struct{ old, now *cachedFile }

// file returns what a file holds: old where that is the same.
func (c *InputCache) file(ctx context.Context, in inputFile, old *cachedFile) (*cachedFile, error) {
	now := time.Now()
	info, err := os.Stat(in.path)
	if err != nil {
		return nil, err
	}
	if old != nil && old.trusts(info) {
		return old, nil
	}
	if old != nil && info.Mode().IsRegular() && info.Size() == old.info.Size() {
		sum, err := digestFile(in.path)
		if err != nil {
			return nil, err
		}
		if sum == old.digest {
			old.info, old.read = info, now
			return old, nil
		}
	}
	file, err := c.parse(ctx, in)
	if err != nil {
		return nil, err
	}
	file.info, file.read = info, now
	if old != nil {
		file.keep(&old.content)
	}
	return file, nil
}

func digestFile(path string) (sum [sha256.Size]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return sum, err
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// parse reads a file.
func (c *InputCache) parse(ctx context.Context, in inputFile) (*cachedFile, error) {
	h := sha256.New()
	l := c.part()
	l.open = func(path string) (io.ReadCloser, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		return &digesting{f, h}, nil
	}
	if err := l.read(ctx, in); err != nil {
		return nil, err
	}
	return &cachedFile{
		stamp:   stamp{digest: [sha256.Size]byte(h.Sum(nil))},
		content: content{l.objects, l.findings, l.skipped, l.in.Suppressions, l.in.copied, l.in.direct, l.counted},
	}, nil
}

// digesting is a file whose content goes into a digest as it is read.
type digesting struct {
	*os.File
	hash hash.Hash
}

func (d *digesting) Read(b []byte) (int, error) {
	n, err := d.File.Read(b)
	d.hash.Write(b[:n])
	return n, err
}

// part returns a loader that shares nothing with others but memory of strings and checks.
func (c *InputCache) part() *loader {
	l := *c.loader
	l.objects, l.findings, l.sources = nil, nil, nil
	l.skipped, l.counted = map[string]int{}, map[string]bool{}
	l.in = &Input{
		Inventory: &model.Inventory{}, InventoryGiven: c.loader.in.InventoryGiven, VersionGiven: c.loader.in.VersionGiven, Skipped: l.skipped,
		inInventory: map[*model.Policy]bool{}, copied: map[string]string{}, direct: map[string]bool{}, ofInventory: map[findingKey]bool{},
	}
	return &l
}

// keep gives objects that say what one of old did its pointer, and that what is new
// of it: where it stands.
func (c *content) keep(old *content) {
	was := make(map[objectKey]*object, len(old.objects))
	for _, o := range old.objects {
		was[o.objectKey] = o
	}
	for _, o := range c.objects {
		before := was[o.objectKey]
		if o.name == "" || before == nil || before.value == nil || o.value == nil || before.inventory != o.inventory || !sameObject(before, o) {
			continue
		}
		delete(was, o.objectKey) // a copy is an object of its own
		overwrite(before.value, o.value)
		o.value = before.value
	}
}

// overwrite makes dst the object that src is, of the same type.
func overwrite(dst, src any) {
	switch v := src.(type) {
	case *model.Policy:
		*dst.(*model.Policy) = *v
	case *model.Namespace:
		*dst.(*model.Namespace) = *v
	case *model.Node:
		*dst.(*model.Node) = *v
	case *model.Pod:
		*dst.(*model.Pod) = *v
	case *model.Service:
		*dst.(*model.Service) = *v
	case *model.Endpoints:
		*dst.(*model.Endpoints) = *v
	case *model.PodTemplate:
		*dst.(*model.PodTemplate) = *v
	}
}

// merge makes one Input of files, of which those in fresh changed.
func (c *InputCache) merge(order []*cachedFile, fresh []freshFile) {
	parts := order
	if c.last == nil || !c.mergeFresh(order, fresh) {
		parts = c.mergeAll(order)
	}
	c.order = order
	c.join(parts)
}

// mergeAll settles which objects count, among all. parts are the files with what
// they contribute.
func (c *InputCache) mergeAll(order []*cachedFile) (parts []*cachedFile) {
	var all []*object
	for _, f := range order {
		all = append(all, f.objects...)
	}
	c.count = make(map[objectKey]int, len(all))
	for _, o := range all {
		c.count[o.objectKey]++
	}
	both, first := inBoth(all), make(map[objectKey]*object, len(all))
	merged := map[*cachedFile]bool{}
	parts = slices.Clone(order)
	for i, f := range parts {
		if merged[f] { // named twice: its objects are copies of themselves
			twice := *f
			f, parts[i] = &twice, &twice
		}
		merged[f] = true
		c.contribute(f, both, first)
	}
	return parts
}

// contribute fills in f.merged. What is in first came before the file's objects.
func (c *InputCache) contribute(f *cachedFile, both map[objectKey]bool, first map[objectKey]*object) {
	l := c.part()
	l.mergeObjects(f.objects, both, first)
	f.merged = l.in
}

// mergeFresh does what mergeAll does where the objects of files that changed meet
// no other of their name; it reports whether it could.
func (c *InputCache) mergeFresh(order []*cachedFile, fresh []freshFile) bool {
	if hasTwice(order) || hasTwice(c.order) {
		return false
	}
	alone := true
	for _, f := range fresh {
		if f.old != nil {
			for _, o := range f.old.objects {
				alone = alone && (o.name == "" || c.count[o.objectKey] == 1)
				c.count[o.objectKey]--
			}
		}
		if f.now != nil {
			for _, o := range f.now.objects {
				c.count[o.objectKey]++
			}
		}
	}
	for _, f := range fresh {
		if f.now != nil {
			for _, o := range f.now.objects {
				alone = alone && (o.name == "" || c.count[o.objectKey] == 1)
			}
		}
	}
	if !alone || !c.sameOrder(order, fresh) {
		return false
	}
	for _, f := range fresh {
		if f.now != nil {
			c.contribute(f.now, nil, map[objectKey]*object{})
		}
	}
	return true
}

// hasTwice reports whether a file was named twice.
func hasTwice(order []*cachedFile) bool {
	seen := make(map[*cachedFile]bool, len(order))
	for _, f := range order {
		if seen[f] {
			return true
		}
		seen[f] = true
	}
	return false
}

// sameOrder reports whether files that did not change are in the order that they
// were in: of equal objects the first counts.
func (c *InputCache) sameOrder(order []*cachedFile, fresh []freshFile) bool {
	changed := make(map[*cachedFile]bool, 2*len(fresh))
	for _, f := range fresh {
		changed[f.old], changed[f.now] = true, true
	}
	unchanged := func(f *cachedFile) bool { return !changed[f] }
	return slices.Equal(filter(order, unchanged), filter(c.order, unchanged))
}

func filter[T any](s []T, keep func(T) bool) []T {
	var out []T
	for _, x := range s {
		if keep(x) {
			out = append(out, x)
		}
	}
	return out
}

// join makes an Input of what the files contribute.
func (c *InputCache) join(order []*cachedFile) {
	in := c.part().in
	inv := in.Inventory
	counted := map[string]bool{}
	for _, f := range order {
		m := f.merged
		in.Policies = append(in.Policies, m.Policies...)
		in.Findings = append(append(in.Findings, f.findings...), m.Findings...)
		in.Copies = append(in.Copies, m.Copies...)
		in.Suppressions = append(in.Suppressions, f.suppressions...)
		maps.Copy(in.inInventory, m.inInventory)
		maps.Copy(in.ofInventory, m.ofInventory)
		in.copiedToo(f.copied)
		maps.Copy(in.direct, f.direct)
		maps.Copy(counted, f.counted)
		for kind, n := range f.skipped {
			in.Skipped[kind] += n
		}
		inv.Namespaces = append(inv.Namespaces, m.Inventory.Namespaces...)
		inv.Nodes = append(inv.Nodes, m.Inventory.Nodes...)
		inv.Pods = append(inv.Pods, m.Inventory.Pods...)
		inv.Services = append(inv.Services, m.Inventory.Services...)
		inv.Endpoints = append(inv.Endpoints, m.Inventory.Endpoints...)
		inv.Templates = append(inv.Templates, m.Inventory.Templates...)
		inv.Broken = append(inv.Broken, m.Inventory.Broken...)
	}
	in.Files = len(counted)
	if c.last != nil && slices.Equal(in.Policies, c.unsorted) {
		in.Policies = c.last.Policies
	} else {
		c.unsorted = slices.Clone(in.Policies)
		slices.SortFunc(in.Policies, model.ComparePolicies)
	}
	model.SortFindings(in.Findings)
	in.Findings = slices.CompactFunc(in.Findings, sameFinding)
	c.last = in
}
