package bundle

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/trafficpolicy/trafficpolicy/internal/canon"
)

// A signed bundle has one entry more, behind the manifest: an envelope as DSSE
// v1.0 describes it. What it signs is the digest of the manifest, which has those of
// all files; so the signature is checked before a byte of the manifest means
// anything, and before the payload is read.
const (
	// SignatureName is the name of the envelope's entry.
	SignatureName = "signature.json"
	// PayloadType is what the envelope says that it signs.
	PayloadType = "application/vnd.trafficpolicy.bundle.v1+json"

	// MaxSignatures bounds the signatures of one bundle, and MaxEnvelope the
	// envelope with them, in bytes.
	MaxSignatures = 16
	MaxEnvelope   = 8 << 10
)

// Envelope is the content of an envelope.
type Envelope = dsse.Envelope

// statement returns what is signed of a manifest: one line of JSON.
func statement(manifest []byte) []byte {
	return fmt.Appendf(nil, "{\"manifest\":\"sha256:%x\"}\n", sha256.Sum256(manifest))
}

// sign returns the envelope over a manifest, with the signatures in the order of
// their keys' names. A key that is given twice signs once.
func sign(manifest []byte, signers []*Signer) (*Envelope, error) {
	byID := map[string]dsse.Signer{}
	var ids []string
	for _, s := range signers {
		id, _ := s.KeyID()
		if byID[id] == nil {
			byID[id], ids = s, append(ids, id)
		}
	}
	if len(ids) > MaxSignatures {
		return nil, fmt.Errorf("%d keys to sign with are more than %d", len(ids), MaxSignatures)
	}
	slices.Sort(ids)
	var sorted []dsse.Signer
	for _, id := range ids {
		sorted = append(sorted, byID[id])
	}
	s, err := dsse.NewEnvelopeSigner(sorted...)
	if err != nil {
		return nil, err
	}
	return s.SignPayload(context.Background(), PayloadType, statement(manifest))
}

// encodeEnvelope returns the canonical text, in the form of the manifest's.
func encodeEnvelope(e *Envelope) ([]byte, error) { return encodeJSON(e, SignatureName) }

// decodeEnvelope takes the canonical text of an envelope over that manifest only.
// It checks no signature.
func decodeEnvelope(text, manifest []byte) (*Envelope, error) {
	bad := func(format string, args ...any) error {
		return fail(BadEnvelope, SignatureName+" "+format, args...)
	}
	e := new(Envelope)
	if err := canon.Read(text, func(r *canon.Reader) { readEnvelope(r, e) }); err != nil {
		return nil, bad("is not in the form in which the compiler writes it: %v", err)
	}
	switch n := len(e.Signatures); {
	case e.PayloadType != PayloadType:
		return nil, bad("has payload type %q, not %s", e.PayloadType, PayloadType)
	case n == 0 || n > MaxSignatures:
		return nil, bad("has %d signatures, not 1 to %d", n, MaxSignatures)
	}
	for i, s := range e.Signatures {
		if !isKeyID(s.KeyID) || !isSignature(s.Sig) {
			return nil, bad("has a signature that is no ed25519 signature with the name of its key")
		}
		if i > 0 && strings.Compare(e.Signatures[i-1].KeyID, s.KeyID) >= 0 {
			return nil, bad("has its signatures out of order")
		}
	}
	if e.Payload != base64.StdEncoding.EncodeToString(statement(manifest)) {
		return nil, bad("signs another manifest: %s was changed after it was signed, or the envelope is of another bundle", ManifestName)
	}
	return e, nil
}

func readEnvelope(r *canon.Reader, e *Envelope) {
	e.PayloadType, e.Payload = r.String("payloadType"), r.String("payload")
	r.List("signatures", func() {
		var s dsse.Signature
		r.Object("", func() { s.KeyID, s.Sig = r.String("keyid"), r.String("sig") })
		e.Signatures = append(e.Signatures, s)
	})
}

func isKeyID(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == sha256.Size && s == strings.ToLower(s)
}

// isSignature reports whether s is the one base64 text of so many bytes.
func isSignature(s string) bool {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	return err == nil && len(b) == ed25519.SignatureSize && base64.StdEncoding.EncodeToString(b) == s
}

// Verify returns an error unless a trusted key has signed the bundle, and every
// trusted key that claims to has. The error says which of the reasons
// [Unsigned], [UnknownKey] and [BadSignature] it is. A nil trusted asks for nothing.
func (b *Bundle) Verify(trusted *Keyring) error { return verifyEnvelope(b.Envelope, trusted) }

// verifyEnvelope does what Bundle.Verify says. e is nil where there is none.
func verifyEnvelope(e *Envelope, trusted *Keyring) error {
	if trusted == nil {
		return nil
	}
	if e == nil {
		return fail(Unsigned, "it is not signed, and only bundles that a trusted key has signed are taken (trafficpolicy compile --sign KEY signs)")
	}
	var claimed []string
	for _, s := range e.Signatures {
		if trusted.has(s.KeyID) {
			claimed = append(claimed, s.KeyID)
		}
	}
	if len(claimed) == 0 {
		return fail(UnknownKey, "it is signed by %s, which is not trusted (trusted: %s)", keyList(signerIDs(e)), keyList(trusted.IDs()))
	}
	return verifyClaims(e, trusted, claimed)
}

// verifyClaims checks the signatures of the keys named in claimed.
func verifyClaims(e *Envelope, trusted *Keyring, claimed []string) error {
	verifiers := make([]dsse.Verifier, len(trusted.keys))
	for i := range trusted.keys {
		verifiers[i] = trusted.keys[i]
	}
	v, err := dsse.NewEnvelopeVerifier(verifiers...)
	if err != nil {
		return &Error{BadSignature, "verify", err}
	}
	accepted, _ := v.Verify(context.Background(), e) // the error is that there is none
	for _, id := range claimed {
		if !slices.ContainsFunc(accepted, func(a dsse.AcceptedKey) bool { return a.KeyID == id }) {
			return fail(BadSignature, "the signature of %s is wrong: the bundle or the signature was damaged or changed", keyList([]string{id}))
		}
	}
	return nil
}

// signerIDs returns the names of the keys that an envelope claims to be of.
func signerIDs(e *Envelope) []string {
	ids := make([]string, len(e.Signatures))
	for i, s := range e.Signatures {
		ids[i] = s.KeyID
	}
	return ids
}

// keyList names keys for people, by the beginning of their names.
func keyList(ids []string) string {
	if len(ids) == 0 {
		return "no key"
	}
	short := make([]string, len(ids))
	for i, id := range ids {
		short[i] = id[:min(16, len(id))]
	}
	if len(short) == 1 {
		return "key " + short[0]
	}
	return "keys " + strings.Join(short, ", ")
}
