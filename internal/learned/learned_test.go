package learned

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestReadIsTheInverseOfWrite(t *testing.T) {
	names := Known{"a.example": {netip.MustParseAddr("8.8.8.8"), netip.MustParseAddr("2001:db8::1")}, "b.example": nil}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	text, err := Write(at, names)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Read(text)
	if err != nil || !f.Written.Equal(at) {
		t.Fatalf("%+v %v", f, err)
	}
	if diff := cmp.Diff(names, f.Names, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestReadRefuses(t *testing.T) {
	for text, want := range map[string]string{
		``:                          "unexpected end",
		`{"schema": 2}`:             "another version of tploader wrote it",
		`{"schema": 1, "names": 5}`: "cannot unmarshal",
		`{"schema": 1, "names": {"a.example": ["fe80::1%eth0"]}}`:   "is no plain address",
		`{"schema": 1, "names": {"a.example": ["::ffff:8.8.8.8"]}}`: "is no plain address",
		`{"schema": 1, "names": {"a.example": [""]}}`:               "is no plain address",
	} {
		if _, err := Read([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if f, err := Read([]byte(`{"schema": 1}`)); err != nil || f.Names == nil {
		t.Errorf("nothing learned: %+v %v", f, err)
	}
}
