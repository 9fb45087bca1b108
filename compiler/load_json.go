package compiler

import (
	"bufio"
	"context"
	"errors"
	"io"
	"maps"
	"slices"

	"go.yaml.in/yaml/v3"
)

// jsonStream takes all objects of a stream of JSON values. Items of lists are
// taken one by one, so that a dump of a cluster needs the memory of one item.
func (l *loader) jsonStream(ctx context.Context, src *source, r *bufio.Reader) error {
	j := &jsonLoader{loader: l, ctx: ctx, src: src, scan: newJSONScanner(r)}
	err := j.stream()
	var syntax *syntaxError
	if errors.As(err, &syntax) {
		l.textError(src.document, syntax.line, syntax.column, "not JSON: "+syntax.message)
		f := l.findings[len(l.findings)-1]
		l.cutOff = &f
		return nil
	}
	return err
}

type jsonLoader struct {
	*loader
	ctx  context.Context
	src  *source
	scan *jsonScanner
}

func (j *jsonLoader) stream() error {
	for {
		c, err := j.scan.between()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if c != '{' {
			return j.other(j.src, 0)
		}
		if err := j.object(j.src, typeMeta{}, nil, 0); err != nil {
			return err
		}
	}
}

// other takes a value that should be an object.
func (j *jsonLoader) other(src *source, depth int) error {
	j.scan.values = 0
	n, err := j.scan.value()
	if err != nil {
		return j.tooMany(err)
	}
	j.decode(n, j.document(src), typeMeta{}, depth)
	return nil
}

// document returns src with a count of values of its own.
func (j *jsonLoader) document(src *source) *source {
	own := *src
	own.document = &document{file: src.file}
	return &own
}

// tooMany reports an object above maxValues; the rest of the file cannot be read.
func (j *jsonLoader) tooMany(err error) error {
	if errors.Is(err, errTooManyValues) {
		return j.scan.errorf("an object has more than %d values", maxValues)
	}
	return err
}

// jsonObject is an object while it is read, which may turn out to be a list.
type jsonObject struct {
	typeMeta     // as far as it has been read
	seen     int // entries of the node's Content that typeMeta takes account of

	streamed bool         // items were taken one by one
	pending  []*yaml.Node // items without a type, while that of the list is not known
	values   int          // in pending
	// What was there before the items, should the object turn out to be no list.
	objects, findings int
	skipped           map[string]int
}

// see takes note of apiVersion and kind once they have been read.
func (o *jsonObject) see(n *yaml.Node) {
	for ; o.seen+1 < len(n.Content); o.seen += 2 {
		switch n.Content[o.seen].Value {
		case "apiVersion":
			o.apiVersion = n.Content[o.seen+1].Value
		case "kind":
			o.kind = n.Content[o.seen+1].Value
		}
	}
}

// object takes one object, or the items of a list as they come. within is the
// type that items without one have, outer the list it stands in, nil without one.
func (j *jsonLoader) object(src *source, within typeMeta, outer *jsonObject, depth int) error {
	if err := j.ctx.Err(); err != nil {
		return err
	}
	j.scan.values, j.scan.drop = 0, nil
	o := &jsonObject{objects: len(j.objects), findings: len(j.findings)}
	n, err := j.scan.object(func(n *yaml.Node, key string) (*yaml.Node, bool, error) {
		o.see(n)
		switch {
		case key == "items" && (o.kind == "" || o.isList()) && !o.streamed:
			return j.items(src, o, depth)
		case o.meansNothing() && key != "apiVersion" && key != "kind":
			return nil, true, j.scan.skip()
		case o.lookup() != nil:
			j.scan.drop = bulkFields
		}
		return nil, false, nil
	})
	if err != nil {
		return j.tooMany(err)
	}
	o.see(n)
	src = j.document(src)
	if o.streamed && o.isList() {
		return j.endList(n, src, o, depth)
	}
	if o.streamed {
		j.undo(o)
	}
	if outer != nil && outer.kind == "" && o.typeMeta == (typeMeta{}) {
		return j.hold(n, outer)
	}
	j.decode(n, src, within, depth)
	return nil
}

// bulkFields are mappings and lists of inventory objects that nothing is read
// from and that make up most of a dump. A label or annotation of such a name is
// a string and so not meant.
var bulkFields = map[string]bool{
	"args": true, "affinity": true, "command": true, "conditions": true, "containerStatuses": true, "env": true,
	"envFrom": true, "images": true, "initContainerStatuses": true, "lifecycle": true, "livenessProbe": true,
	"managedFields": true, "ownerReferences": true, "readinessProbe": true, "resources": true,
	"startupProbe": true, "targetRef": true, "volumeMounts": true, "volumes": true,
}

// meansNothing reports whether the type is known to be one that is only counted.
func (o *jsonObject) meansNothing() bool {
	return o.apiVersion != "" && o.kind != "" && !o.isList() && o.lookup() == nil && nearest(o.kind, policyKinds) == ""
}

// items takes the items of what seems to be a list, one by one.
func (j *jsonLoader) items(src *source, o *jsonObject, depth int) (*yaml.Node, bool, error) {
	c, err := j.scan.inside()
	if c != '[' || err != nil {
		return nil, false, err
	}
	placeholder := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Line: j.scan.line, Column: j.scan.column}
	o.streamed, o.skipped = true, maps.Clone(j.skipped)
	within := o.itemType()
	item := *src
	item.found = false
	values := j.scan.values
	err = j.scan.elements(func() error {
		c, err := j.scan.inside()
		if err != nil {
			return err
		}
		if c != '{' {
			return j.other(&item, depth+1)
		}
		return j.object(&item, within, o, depth+1)
	})
	j.scan.values, j.scan.drop = values, nil
	return placeholder, true, err
}

// hold keeps an item without a type until that of its list is known.
func (j *jsonLoader) hold(n *yaml.Node, outer *jsonObject) error {
	if outer.values += j.scan.values; outer.values > maxPending {
		return j.scan.errorf("items without kind stand before the kind of their list, want the kind first, or in each item")
	}
	outer.pending = append(outer.pending, n)
	return nil
}

// endList finishes a list whose items were taken.
func (j *jsonLoader) endList(n *yaml.Node, src *source, o *jsonObject, depth int) error {
	d := j.newDecoder(src.document)
	if t, ok := d.typeOf(n, src, typeMeta{}); ok {
		d.items(n, src, t, depth)
	}
	j.findings = append(j.findings, d.findings...)
	for _, item := range o.pending {
		own := j.document(src)
		own.found = false
		j.decode(item, own, o.itemType(), depth+1)
	}
	return nil
}

// undo forgets the items of an object that is no list.
func (j *jsonLoader) undo(o *jsonObject) {
	j.objects = slices.Delete(j.objects, o.objects, len(j.objects))
	j.findings = j.findings[:o.findings]
	clear(j.skipped)
	maps.Copy(j.skipped, o.skipped)
}
