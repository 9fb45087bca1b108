package compiler

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/trafficpolicy/trafficpolicy/model"
)

// compactStream takes everything that a compact inventory holds. An error says
// that it cannot be used; nothing of a block is looked at before its checksum.
func (l *loader) compactStream(ctx context.Context, src *source, r *bufio.Reader) error {
	blocks := &compactBlocks{r: r}
	if err := blocks.head(); err != nil {
		return err
	}
	c := &compactLoader{loader: l, inventory: src.inventory, path: src.file}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		at := blocks.at
		block, err := blocks.next()
		if err != nil || block == "" {
			return err
		}
		c.compactData = compactData{b: block}
		for len(c.b) > 0 {
			c.record()
		}
		if c.failed != "" {
			return compactError("is not valid, in the block at byte %d: %s", at, c.failed)
		}
	}
}

// compactBlocks reads the blocks of a compact inventory.
type compactBlocks struct {
	r   *bufio.Reader
	at  int64 // bytes read
	sum uint32
	buf []byte
}

// head reads what stands before the first block.
func (c *compactBlocks) head() error {
	magic, err := c.read(len(compactMagic))
	if err != nil {
		return err
	}
	if string(magic) != compactMagic {
		return compactError("was changed on its way as if it were text, copy it as binary")
	}
	version, err := c.number()
	if err != nil {
		return err
	}
	if version != compactVersion {
		return compactError("has version %d of the format, this trafficpolicy reads version %d", version, compactVersion)
	}
	return nil
}

// next returns the next block, "" at the end of the file.
func (c *compactBlocks) next() (string, error) {
	at := c.at
	size, err := c.number()
	if err != nil {
		return "", err
	}
	if size > maxCompactBlock {
		return "", compactError("is damaged: its block at byte %d has %d bytes, more than %d", at, size, maxCompactBlock)
	}
	block, err := c.read(int(size))
	if err != nil {
		return "", err
	}
	c.sum = crc32.Update(c.sum, castagnoli, block)
	text, want := string(block), c.sum
	sum, err := c.read(4)
	if err != nil {
		return "", err
	}
	if binary.LittleEndian.Uint32(sum) != want {
		return "", compactError("is damaged: its block at byte %d does not have the checksum that it should", at)
	}
	if _, err := c.r.Peek(1); size == 0 && err == nil {
		return "", compactError("is followed by something else, from byte %d on", c.at)
	} else if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return text, nil
}

// number reads a number, which is part of the sum.
func (c *compactBlocks) number() (uint64, error) {
	var b [binary.MaxVarintLen64]byte
	for i := range b {
		one, err := c.r.ReadByte()
		if err != nil {
			return 0, c.cutOff(err)
		}
		c.at++
		b[i] = one
		if one < 0x80 {
			c.sum = crc32.Update(c.sum, castagnoli, b[:i+1])
			n, size := binary.Uvarint(b[:i+1])
			if size <= 0 {
				break
			}
			return n, nil
		}
	}
	return 0, compactError("is damaged: there is no number before byte %d", c.at)
}

// read reads n bytes, valid until the next call. It takes no more memory than
// there are bytes.
func (c *compactBlocks) read(n int) ([]byte, error) {
	const step = 1 << 20
	c.buf = c.buf[:0]
	for len(c.buf) < n {
		start := len(c.buf)
		part := min(n-start, step)
		c.buf = append(c.buf, make([]byte, part)...)
		got, err := io.ReadFull(c.r, c.buf[start:])
		c.at += int64(got)
		if err != nil {
			return nil, c.cutOff(err)
		}
	}
	return c.buf, nil
}

// cutOff says what it means that a read failed.
func (c *compactBlocks) cutOff(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return compactError("is cut off: it ends after %d bytes, before its end mark; copy it again if the original is longer", c.at)
	}
	return err
}

// compactData is a block that is being read. Once something in it is wrong, failed
// says what, and everything that is read is zero.
type compactData struct {
	b      string
	failed string
}

func (d *compactData) fail(format string, args ...any) {
	if d.failed == "" {
		d.failed = fmt.Sprintf(format, args...)
	}
	d.b = ""
}

func (d *compactData) byte() byte {
	if len(d.b) == 0 {
		d.fail("a record ends too early")
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *compactData) number() uint64 {
	if len(d.b) > 0 && d.b[0] < 0x80 { // nearly all
		n := uint64(d.b[0])
		d.b = d.b[1:]
		return n
	}
	n := uint64(0)
	for i := 0; i < len(d.b) && i < binary.MaxVarintLen64; i++ {
		c := d.b[i]
		if i == binary.MaxVarintLen64-1 && c > 1 {
			break
		}
		n |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			d.b = d.b[i+1:]
			return n
		}
	}
	d.fail("a number has no end")
	return 0
}

// signed reads a number of binary.AppendVarint.
func (d *compactData) signed() int64 {
	n := d.number()
	return int64(n>>1) ^ -int64(n&1)
}

// below reads a number below limit.
func (d *compactData) below(limit uint64, what string) uint64 {
	n := d.number()
	if n >= limit {
		d.fail("%s %d is too large", what, n)
		return 0
	}
	return n
}

// entries reads how many entries follow, each of at least size bytes.
func (d *compactData) entries(size int) int {
	return int(d.below(uint64(len(d.b)/size)+1, "count"))
}

func (d *compactData) text() string {
	n := d.number()
	if n > uint64(len(d.b)) {
		d.fail("a text ends too early")
		return ""
	}
	s := d.b[:n]
	d.b = d.b[n:]
	return s
}

// compactLoader takes the records of one compact inventory.
type compactLoader struct {
	*loader
	compactData
	inventory bool   // named by LoadOptions.Inventory
	path      string // of the compact inventory

	file   string // that records are of, "" before the first
	line   int    // of the last position
	words  []string
	shapes []compactShape
	found  bool // a record of file was read
	slabs  compactSlabs
}

// record reads one record.
func (c *compactLoader) record() {
	kind := c.number()
	if !c.found && kind != compactFile && kind != compactSkipped {
		c.fail("record %d is of no file", kind)
		return
	}
	switch kind {
	case compactFile:
		c.beginFile()
	case compactFinding:
		c.findings = append(c.findings, c.finding())
	case compactSuppression:
		c.suppression()
	case compactSkipped:
		kind, n := c.text(), c.below(1<<40, "count")
		c.skipped[c.intern(kind)] += int(n)
	case compactObject:
		c.object()
	case compactPolicy:
		c.policy()
	default:
		c.fail("there is no record %d", kind)
	}
}

// beginFile reads the name of a file and its digest. Standard input counts apart
// from that of this run.
func (c *compactLoader) beginFile() {
	c.file, c.line, c.found = c.text(), 0, true
	digest := c.text()
	if c.file == StdinName {
		c.beginSource(c.file, c.path+" "+StdinName)
		c.in.lines.mixed = true
	} else {
		c.beginSource(c.file, c.file)
	}
	c.sources[len(c.sources)-1].digest = digest
	c.in.copiedToo(map[string]string{c.file: digest})
}

// word reads what compactWriter.word wrote.
func (c *compactLoader) word() string {
	n := c.number()
	if n == 0 {
		s := c.text()
		c.words = append(c.words, s)
		return s
	}
	if n > uint64(len(c.words)) {
		c.fail("there is no word %d", n)
		return ""
	}
	return c.words[n-1]
}

// place reads a position.
func (c *compactLoader) place() model.Pos {
	line := int64(c.line) + c.signed()
	column := c.below(maxPlace, "column")
	if line < 1 || line >= maxPlace || column < 1 {
		c.fail("line %d, column %d is no place", line, column)
		return model.Pos{}
	}
	c.line = int(line)
	return model.Pos{File: c.file, Line: int(line), Column: int(column)}
}

// maxPlace is above every line and column.
const maxPlace = 1 << 40

func (c *compactLoader) finding() model.Finding {
	code := model.Code(c.word())
	severity := model.Severity(c.below(uint64(model.Error)+1, "severity"))
	f := model.NewFinding(code, c.place(), c.text())
	if f.Name == "" || f.Message == "" {
		c.fail("%s is no finding", quote(string(code)))
	}
	f.Severity, f.Field, f.Suggestion = severity, c.text(), c.text()
	return f
}

func (c *compactLoader) suppression() {
	s := Suppression{Code: model.Code(c.text()), Reason: c.text(), Pos: c.place(), Line: int(c.below(maxPlace, "line"))}
	s.Above = c.below(2, "flag") == 1
	c.in.Suppressions = append(c.in.Suppressions, s)
}

// policy reads a policy, which is decoded as one of a text is.
func (c *compactLoader) policy() {
	tree := c.text()
	d := compactData{b: tree}
	kind, n := decodeTree(&d)
	if n == nil || !isPolicyKind(kind) {
		c.fail("a policy of kind %s: %s", quote(kind), d.failed)
		return
	}
	dec := c.newDecoder(&document{file: c.file})
	o := dec.policyObject(n, kind)
	if c.snapshot {
		o.tree = []byte(tree)
	}
	o.inventory = c.inventory
	c.objects = append(c.objects, o)
}
