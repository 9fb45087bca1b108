package space

// visitor is called for each node of a tree: enter before its children, leave
// after them with what they do together. Where the children leave an address
// out, p is that of the node itself (p.at is i) and has no worst. leave puts the
// node's own rules before p; it must not keep p's memory.
type visitor interface {
	enter(i int32)
	leave(i int32, p *pieces)
}

// frame is a node whose children are being visited.
type frame struct {
	node  int32
	next  address // behind the children so far, as long as they abut
	full  bool    // they abut so far
	parts []pieces
	sizes []int // of children merged in each part, descending: as a binary counter
}

// walk visits every node in order and returns the pieces of the whole space. It
// sets holes, by node, to the first address that no child holds, where there is
// one.
func (t *tree) walk(holes []address, v visitor) pieces {
	var stack []frame
	for i := range t.nodes {
		n := &t.nodes[i]
		for len(stack) > 0 && t.nodes[stack[len(stack)-1].node].end <= int32(i) {
			stack = t.leave(stack, holes, v)
		}
		if len(stack) > 0 {
			stack[len(stack)-1].meet(n, holes)
		}
		stack = begin(stack, int32(i), n)
		holes[i] = n.first
		v.enter(int32(i))
	}
	for len(stack) > 1 {
		stack = t.leave(stack, holes, v)
	}
	return t.done(&stack[0], holes, v)
}

// begin adds a frame for node i to the stack, in the memory of one that is done.
func begin(stack []frame, i int32, n *node) []frame {
	if len(stack) == cap(stack) {
		stack = append(stack, frame{})
	} else {
		stack = stack[:len(stack)+1]
	}
	f := &stack[len(stack)-1]
	*f = frame{node: i, next: n.first, full: true, parts: f.parts[:0], sizes: f.sizes[:0]}
	return stack
}

// leave ends the last node of the stack and gives its pieces to its parent.
func (t *tree) leave(stack []frame, holes []address, v visitor) []frame {
	n := len(stack) - 1
	p := t.done(&stack[n], holes, v)
	t.add(&stack[n-1], p)
	return stack[:n]
}

// meet notes the child n, the next in order.
func (f *frame) meet(n *node, holes []address) {
	if f.full && n.first == f.next {
		f.next = n.next()
		return
	}
	if f.full {
		f.full = false
		holes[f.node] = f.next
	}
}

// add gives f what a child returned. Parts are merged when they are of one
// size, so that each piece is copied log(children) times.
func (t *tree) add(f *frame, p pieces) {
	f.parts, f.sizes = append(f.parts, p), append(f.sizes, 1)
	for n := len(f.parts); n > 1 && f.sizes[n-2] <= f.sizes[n-1]; n-- {
		t.join(f)
	}
}

// join merges the last two parts.
func (t *tree) join(f *frame) {
	n := len(f.parts)
	f.parts[n-2], f.sizes[n-2] = merge(&t.memory, f.parts[n-2], f.parts[n-1]), f.sizes[n-2]+f.sizes[n-1]
	f.parts, f.sizes = f.parts[:n-1], f.sizes[:n-1]
}

// done returns what the node's subtree does, after its children were visited.
func (t *tree) done(f *frame, holes []address, v visitor) pieces {
	for len(f.parts) > 1 {
		t.join(f)
	}
	p := pieces{at: f.node}
	if len(f.parts) == 1 {
		p = f.parts[0]
		if f.full && f.next != t.nodes[f.node].next() {
			f.full = false
			holes[f.node] = f.next
		}
		if !f.full {
			p.open(f.node)
		}
	}
	v.leave(f.node, &p)
	return p
}
