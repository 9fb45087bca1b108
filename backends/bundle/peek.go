package bundle

import "bytes"

// GenerationOf returns the generation of a bundle that Write wrote, without reading
// it; "" where data is none. The manifest comes first and is in canonical form, in
// which nothing but its own field begins a line so: strings hold no newline.
func GenerationOf(data []byte) string {
	_, rest, ok := bytes.Cut(data, []byte("\n  \"generation\": \""))
	generation, _, ended := bytes.Cut(rest, []byte{'"'})
	if !ok || !ended {
		return ""
	}
	return string(generation)
}
