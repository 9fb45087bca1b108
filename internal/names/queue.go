package names

import (
	"container/heap"
	"time"
)

// item is something to be done for a name at a time; it is in one queue at most.
type item struct {
	due    time.Time
	name   *name
	family family // of a question
	pos    int    // in the queue, from 1; 0 while it is in none
}

func (it *item) queued() bool { return it.pos > 0 }

// queue has the items by time, the earliest first. The zero queue is empty.
type queue struct{ h items }

// first returns the earliest item, nil without one.
func (q *queue) first() *item {
	if len(q.h) == 0 {
		return nil
	}
	return q.h[0]
}

// set queues the item for that time, whether it is queued or not.
func (q *queue) set(it *item, due time.Time) {
	it.due = due
	if it.queued() {
		heap.Fix(&q.h, it.pos-1)
		return
	}
	heap.Push(&q.h, it)
}

// remove takes the item out if it is queued.
func (q *queue) remove(it *item) {
	if it.queued() {
		heap.Remove(&q.h, it.pos-1)
	}
}

// items implements heap.Interface.
type items []*item

func (h items) Len() int           { return len(h) }
func (h items) Less(i, j int) bool { return h[i].due.Before(h[j].due) }

func (h items) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = i+1, j+1
}

func (h *items) Push(x any) {
	it := x.(*item)
	*h = append(*h, it)
	it.pos = len(*h)
}

func (h *items) Pop() any {
	n := len(*h) - 1
	it := (*h)[n]
	(*h)[n] = nil
	*h = (*h)[:n]
	it.pos = 0
	return it
}
