package bundle

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// File is one file of the payload.
type File struct {
	Name string
	Data []byte
}

// Bundle is a manifest with its files, in the manifest's order.
type Bundle struct {
	Manifest Manifest
	Files    []File
}

// File returns the content of a file, nil without one of that name.
func (b *Bundle) File(name string) []byte {
	for _, f := range b.Files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}

// Seal fills in what follows from the files: Schema, Files and Generation.
// Nil lists become empty ones.
func (m Manifest) Seal(files []File) (Manifest, error) {
	m.Schema = Schema
	m.Files = make([]FileInfo, 0, len(files))
	for _, f := range files {
		m.Files = append(m.Files, info(f))
	}
	m.Generation = Generation(m.Files)
	m.Rules = append([]Rule{}, m.Rules...)
	m.Defaults = append([]Default{}, m.Defaults...)
	m.Names = append([]KnownName{}, m.Names...)
	for i := range m.Defaults {
		m.Defaults[i].Policies = append([]string{}, m.Defaults[i].Policies...)
	}
	for i := range m.Names {
		if m.Names[i].Addrs == nil {
			m.Names[i].Addrs = m.PodAddrs[:0:0]
		}
	}
	if err := m.validate(); err != nil {
		return m, fmt.Errorf("manifest: %w", err)
	}
	return m, nil
}

// Write writes a bundle of the files, sealing m. Entries are regular files of
// mode 0644 and owner 0, dated the epoch, in USTAR form. It refuses what Read
// would refuse.
func Write(w io.Writer, m Manifest, files []File) error {
	m, err := m.Seal(files)
	if err != nil {
		return err
	}
	text, err := encodeManifest(&m)
	if err != nil {
		return err
	}
	if len(text) > MaxManifest {
		return fmt.Errorf("manifest: %d bytes are more than %d", len(text), MaxManifest)
	}
	tw := tar.NewWriter(w)
	for _, f := range append([]File{{ManifestName, text}}, files...) {
		if err := tw.WriteHeader(header(f.Name, int64(len(f.Data)))); err != nil {
			return fmt.Errorf("write %s: %w", f.Name, err)
		}
		if _, err := tw.Write(f.Data); err != nil {
			return fmt.Errorf("write %s: %w", f.Name, err)
		}
	}
	return tw.Close()
}

// header is the one header that an entry of that name and size can have.
func header(name string, size int64) *tar.Header {
	return &tar.Header{
		Typeflag: tar.TypeReg,
		Name:     name,
		Size:     size,
		Mode:     0o644,
		ModTime:  time.Unix(0, 0),
		Format:   tar.FormatUSTAR,
	}
}

// encodeManifest returns the canonical text: indented by two spaces, in the
// order of the struct's fields, with a final newline and no HTML escapes.
func encodeManifest(m *Manifest) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(m); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	return b.Bytes(), nil
}
