package bundle

import (
	"bytes"
	"errors"
	"testing"
)

// TestLimits has each limit at what a bundle needs, and one less.
func TestLimits(t *testing.T) {
	files := []FileInfo{{Name: "a", Size: 10}, {Name: "b", Size: 20}}
	for _, tt := range []struct {
		limits limits
		what   string
		have   int64
	}{
		{limits{manifest: 100, file: 20, total: 30}, "", 0},
		{limits{manifest: 99, file: 20, total: 30}, "bytes of manifest.json", 100},
		{limits{manifest: 100, file: 19, total: 30}, "bytes of b", 20},
		{limits{manifest: 100, file: 20, total: 29}, "bytes of files together", 30},
	} {
		err := tt.limits.check(100, files)
		limit := (*LimitError)(nil)
		switch {
		case tt.what == "" && err != nil:
			t.Errorf("%+v: %v", tt.limits, err)
		case tt.what != "" && (!errors.As(err, &limit) || limit.What != tt.what || limit.Have != tt.have || limit.Max != tt.have-1 || limit.Hint == ""):
			t.Errorf("%+v: error %v", tt.limits, err)
		}
	}
}

// The limits that count, by sizes alone.
func TestRealLimits(t *testing.T) {
	half := FileInfo{Name: "a", Size: MaxFile}
	if err := realLimits.check(MaxManifest, []FileInfo{half, half}); err != nil {
		t.Errorf("the largest: %v", err)
	}
	for name, err := range map[string]error{
		"manifest": realLimits.check(MaxManifest+1, nil),
		"file":     realLimits.check(0, []FileInfo{{Name: "a", Size: MaxFile + 1}}),
		"total":    realLimits.check(0, []FileInfo{half, half, {Name: "b", Size: 1}}),
	} {
		if !errors.As(err, new(*LimitError)) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// Write refuses what is over a limit before it writes anything, and Open what
// somebody else wrote.
func TestLimitsHold(t *testing.T) {
	real := realLimits
	t.Cleanup(func() { realLimits = real })
	data := pack(t, testManifest(), testFiles)
	manifest, _ := testEnvelope(t, testSigner(1))
	needs := limits{manifest: int64(len(manifest)), file: 1300, total: 1329}
	realLimits = needs
	if _, err := Read(bytes.NewReader(data)); err != nil {
		t.Errorf("as much as it needs: %v", err)
	}
	pack(t, testManifest(), testFiles)
	for name, less := range map[string]limits{
		"manifest": {needs.manifest - 1, needs.file, needs.total},
		"file":     {needs.manifest, needs.file - 1, needs.total},
		"total":    {needs.manifest, needs.file, needs.total - 1},
	} {
		realLimits = less
		var b bytes.Buffer
		if err := Write(&b, testManifest(), testFiles); !errors.As(err, new(*LimitError)) || b.Len() > 0 {
			t.Errorf("%s: %d bytes written, error %v", name, b.Len(), err)
		}
		var e *Error
		if _, err := Read(bytes.NewReader(data)); !errors.As(err, &e) || e.Reason != TooLarge {
			t.Errorf("%s: read, error %v", name, err)
		}
	}
}
