package compiler

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"net/netip"
	"slices"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// compactWriter writes a compact inventory.
type compactWriter struct {
	out   []byte // closed blocks
	block []byte // of the record at hand, and those before it
	sum   uint32 // of everything in out but magic and sums
	large bool   // a block is too large

	words  map[string]uint64 // numbers of words, from 1
	shapes map[string]uint64 // numbers of shapes, from 1, by shapeKey
	line   int               // of the last position
}

func newCompactWriter() *compactWriter {
	w := &compactWriter{words: map[string]uint64{}, shapes: map[string]uint64{}}
	w.out = binary.AppendUvarint([]byte(compactMagic), compactVersion)
	w.sum = crc32.Checksum(w.out[len(compactMagic):], castagnoli)
	return w
}

// all writes what l has read, before it is merged.
func (w *compactWriter) all(l *loader) {
	for i, file := range l.sources {
		end := sourceMark{len(l.objects), len(l.findings), len(l.in.Suppressions)}
		if i+1 < len(l.sources) {
			end = l.sources[i+1].sourceMark
		}
		w.file(&file)
		for i := file.findings; i < end.findings; i++ {
			w.number(compactFinding)
			w.finding(&l.findings[i])
			w.close()
		}
		for _, s := range l.in.Suppressions[file.suppressions:end.suppressions] {
			w.suppression(&s)
		}
		for _, o := range l.objects[file.objects:end.objects] {
			w.object(o)
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(l.skipped)) {
		w.number(compactSkipped)
		w.text(kind)
		w.number(uint64(l.skipped[kind]))
		w.close()
	}
}

// close ends a record, and the block if that is large enough.
func (w *compactWriter) close() {
	if len(w.block) >= compactBlock {
		w.flush()
	}
}

// flush ends the block. One without bytes ends the file.
func (w *compactWriter) flush() {
	w.large = w.large || len(w.block) > maxCompactBlock
	start := len(w.out)
	w.out = binary.AppendUvarint(w.out, uint64(len(w.block)))
	w.out = append(w.out, w.block...)
	w.sum = crc32.Update(w.sum, castagnoli, w.out[start:])
	w.out = binary.LittleEndian.AppendUint32(w.out, w.sum)
	w.block = w.block[:0]
}

// end returns the whole file.
func (w *compactWriter) end() ([]byte, error) {
	if len(w.block) > 0 {
		w.flush()
	}
	w.flush()
	if w.large {
		return nil, fmt.Errorf("an object takes more than %d MB in a compact inventory", maxCompactBlock>>20)
	}
	return w.out, nil
}

func (w *compactWriter) number(n uint64) { w.block = binary.AppendUvarint(w.block, n) }

// text writes a string that hardly repeats.
func (w *compactWriter) text(s string) {
	w.number(uint64(len(s)))
	w.block = append(w.block, s...)
}

// word writes a string that repeats: its number, or 0 and the string, which has
// the next number from then on.
func (w *compactWriter) word(s string) {
	n := w.words[s]
	w.number(n)
	if n == 0 {
		w.text(s)
		w.words[s] = uint64(len(w.words) + 1)
	}
}

// place writes a position: lines since the last one, and the column.
func (w *compactWriter) place(p model.Pos) {
	w.block = binary.AppendVarint(w.block, int64(p.Line-w.line))
	w.number(uint64(p.Column))
	w.line = p.Line
}

func (w *compactWriter) file(f *sourceFile) {
	w.number(compactFile)
	w.text(f.name)
	w.text(f.digest)
	w.line = 0
	w.close()
}

// finding writes what [model.NewFinding] does not know of a finding.
func (w *compactWriter) finding(f *model.Finding) {
	w.word(string(f.Code))
	w.number(uint64(f.Severity))
	w.place(f.Pos())
	for _, s := range []string{f.Message, f.Field, f.Suggestion} {
		w.text(s)
	}
}

func (w *compactWriter) suppression(s *Suppression) {
	w.number(compactSuppression)
	w.text(string(s.Code))
	w.text(s.Reason)
	w.place(s.Pos)
	w.number(uint64(s.Line))
	w.bool(s.Above)
	w.close()
}

func (w *compactWriter) bool(b bool) {
	n := uint64(0)
	if b {
		n = 1
	}
	w.number(n)
}

// object writes an object: a policy as a tree, any other as what was read of it.
func (w *compactWriter) object(o *object) {
	defer w.close()
	if o.tree != nil {
		w.number(compactPolicy)
		w.number(uint64(len(o.tree)))
		w.block = append(w.block, o.tree...)
		return
	}
	flags := uint64(0)
	set := func(is bool, flag uint64) {
		if is {
			flags |= flag
		}
	}
	pod, _ := o.value.(*model.Pod)
	service, _ := o.value.(*model.Service)
	set(o.defaulted, compactDefaultNamespace)
	set(len(o.findings) > 0, compactFindings)
	set(o.value == nil, compactBroken)
	set(pod != nil && pod.Deleting, compactDeleting)
	set(service != nil && service.Headless, compactHeadless)
	w.number(compactObject)
	w.word(o.kind)
	w.number(flags)
	if !o.defaulted {
		w.word(o.namespace)
	}
	w.text(o.name)
	w.place(o.pos)
	if len(o.findings) > 0 {
		w.number(uint64(len(o.findings)))
		for i := range o.findings {
			w.finding(&o.findings[i])
		}
	}
	if o.value == nil {
		w.text(o.spec)
	}
	w.value(o.value)
}

func (w *compactWriter) value(value any) {
	switch v := value.(type) {
	case *model.Namespace:
		w.labels(v.Labels)
	case *model.Node:
		w.addrs(v.Addresses)
		w.number(uint64(len(v.PodCIDRs)))
		for _, p := range v.PodCIDRs {
			w.addr(p.Addr())
			w.number(uint64(p.Bits()))
		}
		w.word(v.KubeletVersion)
	case *model.Pod:
		w.shape(&v.PodMeta, v.NamedPorts)
		w.word(v.NodeName)
		w.word(string(v.Phase))
		w.addrs(v.IPs)
	case *model.PodTemplate:
		w.shape(&v.PodMeta, nil)
	case *model.Service:
		w.text(v.ExternalName)
		w.addrs(v.ClusterIPs)
		w.labels(v.Selector)
		w.number(uint64(len(v.Ports)))
		for _, p := range v.Ports {
			w.word(p.Name)
			w.number(uint64(p.Proto))
			w.number(uint64(p.Port))
			w.number(uint64(p.Target))
			w.word(p.TargetName)
		}
	case *model.Endpoints:
		w.word(v.Service)
		w.number(uint64(len(v.Subsets)))
		for _, set := range v.Subsets {
			w.addrs(set.Addrs)
			w.number(uint64(len(set.Ports)))
			for _, p := range set.Ports {
				w.word(p.Name)
				w.number(uint64(p.Proto))
				w.number(uint64(p.Port))
			}
		}
	}
}

func (w *compactWriter) labels(ls model.Labels) {
	w.number(uint64(len(ls)))
	for _, l := range ls {
		w.word(l.Key)
		w.word(l.Value)
	}
}

func (w *compactWriter) addrs(as []netip.Addr) {
	w.number(uint64(len(as)))
	for _, a := range as {
		w.addr(a)
	}
}

// addr writes 4 or 16 and as many bytes.
func (w *compactWriter) addr(a netip.Addr) {
	b := a.AsSlice()
	w.number(uint64(len(b)))
	w.block = append(w.block, b...)
}

// shape writes what the pods of a workload have in common, or the number of one
// that was written before.
func (w *compactWriter) shape(m *model.PodMeta, ports map[model.NamedPort]uint16) {
	named := sortedPorts(ports)
	key := shapeKey(m, named)
	n := w.shapes[key]
	w.number(n)
	if n > 0 {
		return
	}
	w.shapes[key] = uint64(len(w.shapes) + 1)
	w.number(shapeFlags(m))
	w.labels(m.Labels)
	w.number(uint64(len(m.Bypass)))
	for _, why := range m.Bypass {
		w.word(why)
	}
	w.number(uint64(len(named)))
	for _, p := range named {
		w.word(p.Name)
		w.number(uint64(p.Proto))
		w.number(uint64(p.number))
	}
}

func shapeFlags(m *model.PodMeta) (flags uint64) {
	for flag, is := range map[uint64]bool{compactEnrolled: m.Enrolled, compactVirtualNode: m.VirtualNode, compactHostNetwork: m.HostNetwork} {
		if is {
			flags |= flag
		}
	}
	return flags
}

// sortedPorts lists named ports by name and protocol.
func sortedPorts(ports map[model.NamedPort]uint16) []namedPort {
	var out []namedPort
	for p, number := range ports {
		out = append(out, namedPort{p, number})
	}
	slices.SortFunc(out, func(a, b namedPort) int { return comparePorts(a.NamedPort, b.NamedPort) })
	return out
}

// shapeKey tells shapes apart.
func shapeKey(m *model.PodMeta, ports []namedPort) string {
	b := binary.AppendUvarint(nil, shapeFlags(m))
	text := func(s string) { b = append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	b = binary.AppendUvarint(b, uint64(len(m.Labels)))
	for _, l := range m.Labels {
		text(l.Key)
		text(l.Value)
	}
	b = binary.AppendUvarint(b, uint64(len(m.Bypass)))
	for _, why := range m.Bypass {
		text(why)
	}
	for _, p := range ports {
		text(p.Name)
		b = append(b, byte(p.Proto), byte(p.number), byte(p.number>>8))
	}
	return string(b)
}
