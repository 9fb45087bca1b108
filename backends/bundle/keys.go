package bundle

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Types of PEM blocks: PKCS#8 (RFC 5958) and SubjectPublicKeyInfo (RFC 5280 4.1),
// as openssl writes both.
const (
	pemPrivate = "PRIVATE KEY"
	pemPublic  = "PUBLIC KEY"
)

// MaxKeyFile bounds a file of keys, in bytes. A key takes 120.
const MaxKeyFile = 64 << 10

// KeyID names a public key: SHA-256, in hex, of its SubjectPublicKeyInfo in DER.
// It is what sha256sum says of the output of openssl pkey -pubin -outform DER.
func KeyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(derOf(key))
	return hex.EncodeToString(sum[:])
}

// derOf returns the SubjectPublicKeyInfo of a key.
func derOf(key ed25519.PublicKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		panic(err) // it takes every ed25519 key
	}
	return der
}

// EncodePrivateKey returns a private key as PEM.
func EncodePrivateKey(key ed25519.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemPrivate, Bytes: der}), nil
}

// EncodePublicKey returns a public key as PEM.
func EncodePublicKey(key ed25519.PublicKey) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemPublic, Bytes: derOf(key)})
}

// Signer signs bundles with one private key. It is a dsse.Signer.
type Signer struct{ key ed25519.PrivateKey }

// NewSigner returns a Signer for a key.
func NewSigner(key ed25519.PrivateKey) *Signer { return &Signer{key} }

// ParseSigner returns a Signer for the one private key in a PEM file.
func ParseSigner(text []byte) (*Signer, error) {
	b, rest := pem.Decode(text)
	switch {
	case b == nil:
		return nil, errors.New("it holds no PEM block (trafficpolicy keygen makes keys)")
	case b.Type == pemPublic:
		return nil, errors.New("it holds a public key, and signing takes the private one")
	case b.Type == "ENCRYPTED PRIVATE KEY":
		return nil, errors.New("its private key is encrypted: decrypt it first, for instance with openssl pkey")
	case b.Type != pemPrivate:
		return nil, fmt.Errorf("it holds a PEM block of type %q, not %q", b.Type, pemPrivate)
	case len(bytes.TrimSpace(rest)) > 0:
		return nil, errors.New("something follows its private key")
	}
	key, err := x509.ParsePKCS8PrivateKey(b.Bytes)
	if err != nil {
		return nil, errors.New("its private key is not in PKCS#8 form")
	}
	own, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("its private key is no ed25519 key (it is a %T)", key)
	}
	return NewSigner(own), nil
}

// KeyID returns the [KeyID] of the public key. The error is always nil.
func (s *Signer) KeyID() (string, error) {
	return KeyID(s.key.Public().(ed25519.PublicKey)), nil
}

// Sign signs data. The same data gives the same signature.
func (s *Signer) Sign(_ context.Context, data []byte) ([]byte, error) {
	return ed25519.Sign(s.key, data), nil
}

// Keyring is a set of public keys whose signatures are trusted. Functions that
// take a *Keyring ask for no signature where it is nil; one without keys trusts
// nobody.
type Keyring struct{ keys []publicKey }

// publicKey is a dsse.Verifier.
type publicKey struct {
	key ed25519.PublicKey
	id  string
}

func (p publicKey) KeyID() (string, error)   { return p.id, nil }
func (p publicKey) Public() crypto.PublicKey { return p.key }

func (p publicKey) Verify(_ context.Context, data, sig []byte) error {
	if !ed25519.Verify(p.key, data, sig) {
		return errors.New("wrong signature")
	}
	return nil
}

// Add adds a key. One that is there stays there once.
func (k *Keyring) Add(key ed25519.PublicKey) {
	p := publicKey{key, KeyID(key)}
	i, found := slices.BinarySearchFunc(k.keys, p, func(a, b publicKey) int { return strings.Compare(a.id, b.id) })
	if !found {
		k.keys = slices.Insert(k.keys, i, p)
	}
}

// AddPEM adds the public keys of a PEM file, of which there must be one at least
// and nothing else.
func (k *Keyring) AddPEM(text []byte) error {
	for n := 0; ; n++ {
		b, rest := pem.Decode(text)
		switch {
		case b == nil && n == 0:
			return errors.New("it holds no PEM block")
		case b == nil && len(bytes.TrimSpace(text)) > 0:
			return errors.New("something follows its keys")
		case b == nil:
			return nil
		case strings.HasSuffix(b.Type, pemPrivate):
			return errors.New("it holds a private key: give the public one, and keep this where bundles are signed")
		case b.Type != pemPublic:
			return fmt.Errorf("it holds a PEM block of type %q, not %q", b.Type, pemPublic)
		}
		if err := k.addDER(b.Bytes); err != nil {
			return err
		}
		text = rest
	}
}

func (k *Keyring) addDER(der []byte) error {
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return errors.New("its public key is not in SubjectPublicKeyInfo form")
	}
	own, ok := key.(ed25519.PublicKey)
	if !ok {
		return fmt.Errorf("its public key is no ed25519 key (it is a %T)", key)
	}
	k.Add(own)
	return nil
}

// IDs returns the names of the keys, sorted. A nil Keyring has none.
func (k *Keyring) IDs() []string {
	if k == nil {
		return nil
	}
	ids := make([]string, len(k.keys))
	for i := range k.keys {
		ids[i] = k.keys[i].id
	}
	return ids
}

// has reports whether the key of that name is among them.
func (k *Keyring) has(id string) bool {
	return slices.ContainsFunc(k.keys, func(p publicKey) bool { return p.id == id })
}

// Texts returns the keys as base64 of their SubjectPublicKeyInfo, in the order of
// IDs; nil for a nil Keyring.
func (k *Keyring) Texts() []string {
	if k == nil {
		return nil
	}
	texts := make([]string, len(k.keys))
	for i := range k.keys {
		texts[i] = base64.StdEncoding.EncodeToString(derOf(k.keys[i].key))
	}
	return texts
}

// KeyringOf is the inverse of Texts: nil for no texts.
func KeyringOf(texts []string) (*Keyring, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	k := &Keyring{}
	for _, t := range texts {
		der, err := base64.StdEncoding.DecodeString(t)
		if err == nil {
			err = k.addDER(der)
		}
		if err != nil {
			return nil, fmt.Errorf("trusted key %q: %w", t, err)
		}
	}
	return k, nil
}
