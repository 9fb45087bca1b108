package compiler

// parseQueue parses documents while earlier ones are decoded: parsing takes most
// of the time. They come out in the order in which they were added. The zero value
// is ready to use.
type parseQueue struct {
	pending []pendingDocument
	size    int // bytes of all their texts
}

// pendingDocument is a document that is being parsed.
type pendingDocument struct {
	src    *source
	size   int
	parsed chan *parsedYAML // gets one
}

// isFull reports whether a document has to be taken out before one of the given
// size may be added, so that what is parsed ahead stays within parseAhead bytes.
func (q *parseQueue) isFull(size int) bool {
	return len(q.pending) > 0 && q.size+size > parseAhead
}

func (q *parseQueue) isEmpty() bool { return len(q.pending) == 0 }

// add begins to parse text, which must not be changed any more.
func (q *parseQueue) add(src *source, text []byte, parse func([]byte) *parsedYAML) {
	d := pendingDocument{src, len(text), make(chan *parsedYAML, 1)}
	q.pending = append(q.pending, d)
	q.size += d.size
	go func() { d.parsed <- parse(text) }()
}

// next takes out the first document, once it is parsed.
func (q *parseQueue) next() (*source, *parsedYAML) {
	d := q.pending[0]
	q.pending = q.pending[1:]
	q.size -= d.size
	return d.src, <-d.parsed
}

// wait returns when nothing is being parsed any more.
func (q *parseQueue) wait() {
	for !q.isEmpty() {
		q.next()
	}
}
