package synth

import (
	"bufio"
	"encoding/json"
	"io"
	"iter"

	"go.yaml.in/yaml/v3"
)

// Inventory returns every object that is no policy, in the order of
// kubectl get pods,services,endpointslices,endpoints,namespaces,nodes.
func (f *Fleet) Inventory() iter.Seq[map[string]any] {
	return func(yield func(object) bool) {
		for _, part := range []iter.Seq[object]{f.podObjects(), f.serviceObjects(), f.namespaceAndNodeObjects(), f.workloadObjects()} {
			for o := range part {
				if !yield(o) {
					return
				}
			}
		}
	}
}

func (f *Fleet) podObjects() iter.Seq[object] {
	return func(yield func(object) bool) {
		for _, w := range f.workloads {
			for i := range w.pods {
				if !yield(f.podObject(w, i)) {
					return
				}
			}
		}
	}
}

func (f *Fleet) serviceObjects() iter.Seq[object] {
	return func(yield func(object) bool) {
		for _, s := range f.services {
			if !yield(f.serviceObject(s)) {
				return
			}
		}
		for _, s := range f.services {
			for o := range f.endpointObjects(s) {
				if !yield(o) {
					return
				}
			}
		}
	}
}

func (f *Fleet) namespaceAndNodeObjects() iter.Seq[object] {
	return func(yield func(object) bool) {
		for i := range f.namespaces {
			if !yield(f.namespaceObject(&f.namespaces[i], i)) {
				return
			}
		}
		for i := range f.sizes.Nodes {
			if !yield(f.nodeObject(i)) {
				return
			}
		}
	}
}

func (f *Fleet) workloadObjects() iter.Seq[object] {
	return func(yield func(object) bool) {
		for _, w := range f.workloads {
			if f.sizes.Workloads && !yield(w.object(f)) {
				return
			}
		}
	}
}

// WriteJSON writes objects as kubectl get -o json prints them: one List, indented.
// It holds one object at a time.
func WriteJSON(w io.Writer, objects iter.Seq[map[string]any]) error {
	b := bufio.NewWriterSize(w, 1<<16)
	b.WriteString("{\n    \"apiVersion\": \"v1\",\n    \"items\": [")
	first := true
	for o := range objects {
		text, err := json.MarshalIndent(o, "        ", "    ")
		if err != nil {
			return err
		}
		if !first {
			b.WriteByte(',')
		}
		first = false
		b.WriteString("\n        ")
		if _, err := b.Write(text); err != nil {
			return err
		}
	}
	b.WriteString("\n    ],\n    \"kind\": \"List\",\n    \"metadata\": {\n        \"resourceVersion\": \"\"\n    }\n}\n")
	return b.Flush()
}

// WriteYAML writes objects as a stream of documents, one at a time.
func WriteYAML(w io.Writer, objects iter.Seq[map[string]any]) error {
	b := bufio.NewWriterSize(w, 1<<16)
	for o := range objects {
		text, err := yaml.Marshal(o) // an Encoder keeps what it has written
		if err != nil {
			return err
		}
		b.WriteString("---\n")
		if _, err := b.Write(text); err != nil {
			return err
		}
	}
	return b.Flush()
}
