package bundle

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
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
	// Envelope has the signatures of a bundle that was read, nil where it has none.
	// That they are right is for [Open] and [Bundle.Verify] to say.
	Envelope *Envelope
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
			m.Names[i].Addrs = []netip.Addr{}
		}
	}
	if err := realLimits.check(0, m.Files); err != nil {
		return m, err
	}
	if err := m.validate(); err != nil {
		return m, fmt.Errorf("manifest: %w", err)
	}
	return m, nil
}

// Write writes a bundle of the files, sealing m, signed with each key of signers if
// there are any. Entries are regular files of mode 0644 and owner 0, dated the epoch,
// in USTAR form. It refuses what Read would refuse, before it writes anything.
func Write(w io.Writer, m Manifest, files []File, signers ...*Signer) error {
	m, err := m.Seal(files)
	if err != nil {
		return err
	}
	text, err := encodeManifest(&m)
	if err != nil {
		return err
	}
	if err := realLimits.check(int64(len(text)), m.Files); err != nil {
		return err
	}
	var e *Envelope
	if len(signers) > 0 {
		if e, err = sign(text, signers); err != nil {
			return fmt.Errorf("sign: %w", err)
		}
	}
	return write(w, text, e, files)
}

// write writes the tar of a manifest's text, the envelope if there is one, and files.
func write(w io.Writer, manifest []byte, e *Envelope, files []File) error {
	head := []File{{ManifestName, manifest}}
	if e != nil {
		text, err := encodeEnvelope(e)
		if err != nil {
			return err
		}
		head = append(head, File{SignatureName, text})
	}
	return archiveOf(w, append(head, files...))
}

// Bytes returns what a bundle was read from: the same bytes, since no two inputs are
// one bundle.
func (b *Bundle) Bytes() ([]byte, error) {
	text, err := encodeManifest(&b.Manifest)
	if err != nil {
		return nil, err
	}
	size := len(text) + MaxEnvelope + (2*(len(b.Files)+2)+2)*blockSize
	for _, f := range b.Files {
		size += len(f.Data)
	}
	out := bytes.NewBuffer(make([]byte, 0, size))
	err = write(out, text, b.Envelope, b.Files)
	return out.Bytes(), err
}

// archiveOf writes a tar of the files.
func archiveOf(w io.Writer, files []File) error {
	tw := tar.NewWriter(w)
	for _, f := range files {
		if err := tw.WriteHeader(header(f.Name, int64(len(f.Data)))); err != nil {
			return fmt.Errorf("write %s: %w", f.Name, err)
		}
		if _, err := tw.Write(f.Data); err != nil {
			return fmt.Errorf("write %s: %w", f.Name, err)
		}
	}
	return tw.Close()
}

// encodeManifest returns the canonical text: indented by two spaces, in the
// order of the struct's fields, with a final newline and no HTML escapes.
func encodeManifest(m *Manifest) ([]byte, error) { return encodeJSON(m, "manifest") }

func encodeJSON(v any, what string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return b.Bytes(), nil
}
