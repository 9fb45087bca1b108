package bundle

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// testSigner returns a Signer with a key of its own for each n.
func testSigner(n byte) *Signer {
	return NewSigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize)))
}

// ring returns the public keys of signers.
func ring(signers ...*Signer) *Keyring {
	k := &Keyring{}
	for _, s := range signers {
		k.Add(s.key.Public().(ed25519.PublicKey))
	}
	return k
}

// packSigned returns the bundle of testManifest and testFiles.
func packSigned(t testing.TB, signers ...*Signer) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, testManifest(), testFiles, signers...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// testEnvelope returns the manifest of testManifest and the envelope over it.
func testEnvelope(t testing.TB, signers ...*Signer) (manifest, envelope []byte) {
	t.Helper()
	m, err := testManifest().Seal(testFiles)
	if err != nil {
		t.Fatal(err)
	}
	if manifest, err = encodeManifest(&m); err != nil {
		t.Fatal(err)
	}
	e, err := sign(manifest, signers)
	if err != nil {
		t.Fatal(err)
	}
	if envelope, err = encodeEnvelope(e); err != nil {
		t.Fatal(err)
	}
	return manifest, envelope
}

// The envelope of a fixed key over a fixed manifest, as bytes, and what it signs.
func TestEnvelopeGolden(t *testing.T) {
	_, got := testEnvelope(t, testSigner(1), testSigner(2))
	const golden = "testdata/signature.json"
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	const signed = "{\"manifest\":\"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"}\n"
	if got := string(statement(nil)); got != signed {
		t.Errorf("what is signed is %q, want %q", got, signed)
	}
}

func TestSignedRoundTrip(t *testing.T) {
	one, two := testSigner(1), testSigner(2)
	data := packSigned(t, one)
	if !bytes.Equal(data, packSigned(t, one, one)) {
		t.Error("signed twice by one key it has other bytes")
	}
	both := packSigned(t, two, one)
	if !bytes.Equal(both, packSigned(t, one, two)) {
		t.Error("the order of the keys makes a difference")
	}
	for _, tt := range []struct {
		name    string
		data    []byte
		trusted *Keyring
	}{
		{"not asked", data, nil},
		{"its key", data, ring(one)},
		{"its key and another", data, ring(one, two)},
		{"one of two keys", both, ring(two)},
		{"a key and one that is not there", both, ring(two, testSigner(3))},
		{"both", both, ring(one, two)},
	} {
		b, err := Open(bytes.NewReader(tt.data), tt.trusted)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if err := b.Verify(tt.trusted); err != nil {
			t.Errorf("%s: again: %v", tt.name, err)
		}
		if again, err := b.Bytes(); err != nil || !bytes.Equal(again, tt.data) {
			t.Errorf("%s: written again it has other bytes, error %v", tt.name, err)
		}
		if b.Manifest.Sequence != 7 || len(b.Files) != len(testFiles) {
			t.Errorf("%s: %+v", tt.name, b.Manifest)
		}
	}
	if b, err := Read(bytes.NewReader(packSigned(t))); err != nil || b.Envelope != nil {
		t.Errorf("unsigned: %v", err)
	}
	// The statement, and with it the tar's layout: without keys nothing is added.
	if bytes.Contains(packSigned(t), []byte(SignatureName)) || bytes.Index(data, []byte(SignatureName)) > bytes.Index(data, []byte("skeleton.nft\x00")) {
		t.Error("the envelope does not stand right behind the manifest")
	}
}

func TestOpenRefuses(t *testing.T) {
	one, two, three := testSigner(1), testSigner(2), testSigner(3)
	manifest, envelope := testEnvelope(t, one)
	id := func(s *Signer) string { id, _ := s.KeyID(); return id }
	sigOf := func(s *Signer, text string) string {
		return base64.StdEncoding.EncodeToString(ed25519.Sign(s.key, []byte(text)))
	}
	// rebuilt is the bundle with another envelope.
	rebuilt := func(envelope []byte) []byte {
		var b bytes.Buffer
		files := append([]File{{ManifestName, manifest}, {SignatureName, envelope}}, testFiles...)
		if err := archiveOf(&b, files); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	// changed is an envelope of keys one and two, changed.
	changed := func(change func(e *Envelope)) []byte {
		e, err := sign(manifest, []*Signer{one, two})
		if err != nil {
			t.Fatal(err)
		}
		change(e)
		text, err := encodeEnvelope(e)
		if err != nil {
			t.Fatal(err)
		}
		return rebuilt(text)
	}
	forged := func(s *Signer) func(e *Envelope) {
		return func(e *Envelope) {
			for i := range e.Signatures {
				if e.Signatures[i].KeyID == id(s) {
					e.Signatures[i].Sig = sigOf(s, "something else")
				}
			}
		}
	}
	nonsense := rebuilt(bytes.Replace(envelope, []byte(`"payload"`), []byte(`"Payload"`), 1))
	for _, tt := range []struct {
		name    string
		data    []byte
		trusted *Keyring
		reason  Reason
		text    string
	}{
		{"unsigned", packSigned(t), ring(one), Unsigned, "it is not signed"},
		{"unsigned, nobody is trusted", packSigned(t), &Keyring{}, Unsigned, "it is not signed"},
		{"nobody is trusted", packSigned(t, one), &Keyring{}, UnknownKey, "(trusted: no key)"},
		{"another key", packSigned(t, one), ring(two), UnknownKey,
			fmt.Sprintf("it is signed by key %.16s, which is not trusted (trusted: key %.16s)", id(one), id(two))},
		{"two other keys", packSigned(t, one, two), ring(three), UnknownKey, "it is signed by keys "},
		{"forged", changed(forged(one)), ring(one), BadSignature, fmt.Sprintf("the signature of key %.16s is wrong", id(one))},
		{"one of two forged, both trusted", changed(forged(one)), ring(one, two), BadSignature, id(one)[:16]},
		{"the other forged", changed(forged(two)), ring(one, two), BadSignature, id(two)[:16]},
		{"signed as another", changed(func(e *Envelope) {
			e.Signatures[0].Sig, e.Signatures[1].Sig = e.Signatures[1].Sig, e.Signatures[0].Sig
		}), ring(one, two), BadSignature, "is wrong"},
		// What is wrong with an envelope is wrong also where no signature is asked for.
		{"other manifest", changed(func(e *Envelope) {
			e.Payload = base64.StdEncoding.EncodeToString(statement([]byte("x")))
		}), nil, BadEnvelope, "signs another manifest"},
		{"other manifest, signed", func() []byte {
			e, err := sign([]byte("x"), []*Signer{one})
			if err != nil {
				t.Fatal(err)
			}
			text, _ := encodeEnvelope(e)
			return rebuilt(text)
		}(), ring(one), BadEnvelope, "signs another manifest"},
		{"payload type", changed(func(e *Envelope) { e.PayloadType = "application/json" }), nil, BadEnvelope, `payload type "application/json"`},
		{"no signatures", changed(func(e *Envelope) { e.Signatures = e.Signatures[:0] }), nil, BadEnvelope, "0 signatures, not 1 to 16"},
		{"too many signatures", changed(func(e *Envelope) {
			for len(e.Signatures) <= MaxSignatures {
				e.Signatures = append(e.Signatures, e.Signatures[0])
			}
		}), nil, BadEnvelope, "17 signatures, not 1 to 16"},
		{"a signature twice", changed(func(e *Envelope) { e.Signatures[1] = e.Signatures[0] }), nil, BadEnvelope, "out of order"},
		{"order", changed(func(e *Envelope) { slices.Reverse(e.Signatures) }), nil, BadEnvelope, "out of order"},
		{"key name", changed(func(e *Envelope) { e.Signatures[0].KeyID = "" }), nil, BadEnvelope, "no ed25519 signature"},
		{"key name in capitals", changed(func(e *Envelope) { e.Signatures[0].KeyID = strings.ToUpper(e.Signatures[0].KeyID) }), nil, BadEnvelope, "no ed25519 signature"},
		{"short signature", changed(func(e *Envelope) { e.Signatures[0].Sig = "AAAA" }), nil, BadEnvelope, "no ed25519 signature"},
		{"other base64", changed(func(e *Envelope) {
			e.Signatures[0].Sig = strings.TrimRight(e.Signatures[0].Sig, "=")
		}), nil, BadEnvelope, "no ed25519 signature"},
		{"field", nonsense, nil, BadEnvelope, "not in the form in which the compiler writes it"},
		{"no JSON", rebuilt([]byte("signed\n")), nil, BadEnvelope, "signature.json"},
		{"empty", rebuilt(nil), nil, BadEnvelope, "signature.json"},
		{"too large", rebuilt(make([]byte, MaxEnvelope+1)), nil, TooLarge, "signature.json has 8193 bytes, more than 8192"},
		{"largest", rebuilt(make([]byte, MaxEnvelope)), nil, BadEnvelope, "not in the form"},
	} {
		b, err := Open(bytes.NewReader(tt.data), tt.trusted)
		var e *Error
		if !errors.As(err, &e) || b != nil {
			t.Errorf("%s: taken, error %v", tt.name, err)
			continue
		}
		if e.Reason != tt.reason || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: reason %d %q, want %d %q", tt.name, e.Reason, err, tt.reason, tt.text)
		}
	}
	// With a key that is not trusted, what it has signed is not looked at.
	if _, err := Open(bytes.NewReader(changed(forged(one))), ring(two)); err != nil {
		t.Errorf("a signature by a key that nobody asked about: %v", err)
	}
	if _, err := Open(bytes.NewReader(rebuilt(envelope)), ring(one)); err != nil {
		t.Errorf("rebuilt as it was: %v", err)
	}
}

// Where a signature is asked for, nothing behind the place of the envelope is read.
func TestOpenReadsNoFurther(t *testing.T) {
	for name, data := range map[string][]byte{"unsigned": packSigned(t), "another key": packSigned(t, testSigner(1))} {
		r := bytes.NewReader(data)
		if _, err := Open(r, ring(testSigner(2))); err == nil {
			t.Errorf("%s: taken", name)
		}
		if read, most := len(data)-r.Len(), bytes.Index(data, []byte("skeleton.nft\x00"))+blockSize; read > most {
			t.Errorf("%s: %d bytes read, of which %d are the manifest and what follows it", name, read, most)
		}
	}
}

// A manifest alone is read by the same rules, and no file with it.
func TestReadManifest(t *testing.T) {
	one, two := testSigner(1), testSigner(2)
	data := packSigned(t, one)
	files := bytes.Index(data, []byte("skeleton.nft\x00"))
	for _, trusted := range []*Keyring{nil, ring(one)} {
		r := bytes.NewReader(data)
		m, err := ReadManifest(r, trusted)
		if err != nil || m.Sequence != 7 {
			t.Errorf("%v: %+v, %v", trusted.IDs(), m, err)
		}
		if read := len(data) - r.Len(); read > files+blockSize {
			t.Errorf("%d bytes read, the first file stands at %d", read, files)
		}
	}
	if _, err := ReadManifest(bytes.NewReader(data[:files]), ring(one)); err != nil {
		t.Errorf("without files: %v", err)
	}
	for name, data := range map[string][]byte{"another key": data, "unsigned": packSigned(t), "cut": data[:files-1]} {
		if m, err := ReadManifest(bytes.NewReader(data), ring(two)); err == nil || m != nil {
			t.Errorf("%s: read", name)
		}
	}
}

// No bit of a signed bundle can be another.
func TestEveryBit(t *testing.T) {
	m := Manifest{
		Backend: EBPF, Scope: ScopeNode, Name: "n", Node: "n", Sequence: 3,
		Rules: []Rule{{ID("TrafficPolicy/d/a#egress[0]"), "TrafficPolicy/d/a#egress[0]", "deny"}}, Counts: Counts{Rules: 1},
	}
	one := testSigner(1)
	var b bytes.Buffer
	if err := Write(&b, m, []File{{"a", []byte("xyz")}, {"b", nil}}, one); err != nil {
		t.Fatal(err)
	}
	data, trusted := b.Bytes(), ring(one)
	for i := range data {
		for bit := range 8 {
			data[i] ^= 1 << bit
			if _, err := Open(bytes.NewReader(data), trusted); err == nil {
				t.Errorf("taken with bit %d of byte %d changed", bit, i)
			}
			data[i] ^= 1 << bit
		}
	}
	for i := range data {
		if _, err := Open(bytes.NewReader(data[:i]), trusted); err == nil {
			t.Errorf("taken when cut off after %d bytes", i)
		}
	}
	if _, err := Open(bytes.NewReader(data), trusted); err != nil {
		t.Errorf("as it was: %v", err)
	}
}

// FuzzEnvelope holds decoding to: no panic, an envelope or a BadEnvelope, and an
// envelope that was read is written again as the same bytes.
func FuzzEnvelope(f *testing.F) {
	manifest, envelope := testEnvelope(f, testSigner(1))
	f.Add(envelope)
	f.Add(envelope[:len(envelope)-20])
	f.Add([]byte("{\n  \"signatures\": []\n}\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		e, err := decodeEnvelope(in, manifest)
		if err != nil {
			var own *Error
			if !errors.As(err, &own) || own.Reason != BadEnvelope || e != nil {
				t.Fatalf("decodeEnvelope = %v, %v", e, err)
			}
			return
		}
		if again, err := encodeEnvelope(e); err != nil || !bytes.Equal(again, in) {
			t.Fatalf("written again: %q, %v", again, err)
		}
		if err := verifyEnvelope(e, ring(testSigner(1))); err == nil && !bytes.Equal(in, envelope) && len(e.Signatures) == 1 {
			t.Fatalf("a second envelope of one key: %s", in)
		}
	})
}

// FuzzManifest is the same for the manifest.
func FuzzManifest(f *testing.F) {
	manifest, _ := testEnvelope(f, testSigner(1))
	f.Add(manifest)
	f.Add([]byte("{\n  \"schema\": 1,\n  \"tool\": \"\"\n}\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		m, err := decodeManifest(in)
		if err != nil {
			var own *Error
			if !errors.As(err, &own) || m != nil {
				t.Fatalf("decodeManifest = %v, %v", m, err)
			}
			return
		}
		if again, err := encodeManifest(m); err != nil || !bytes.Equal(again, in) {
			t.Fatalf("written again: %q, %v", again, err)
		}
	})
}
