package simulate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"

	"github.com/trafficpolicy/trafficpolicy/compiler"
	"github.com/trafficpolicy/trafficpolicy/model"
)

// fixed is a shortcut that always says the same.
type fixed struct {
	rule int32
	ok   bool
}

func (f fixed) Find(netip.Addr, model.L4) (int32, []model.Conditional, bool) {
	return f.rule, nil, f.ok
}

// TestDisagreementIsLoud holds that a wrong shortcut ends a stream: at once where
// the rule that it names does not match, and where it names a later rule that
// does, at the first line that is judged both ways.
func TestDisagreementIsLoud(t *testing.T) {
	in := world(allow(cidr("8.0.0.0/8")), allow(cidr("9.0.0.0/8")), allow(cidr("8.0.0.0/7")))
	for _, tt := range []struct {
		name     string
		shortcut fixed
		line     int // of the first flow; 0 for no disagreement
		want     string
	}{
		{"right", fixed{0, true}, 0, ""},
		{"cannot say", fixed{1, false}, 0, ""},
		{"names what does not match", fixed{1, true}, 2, "TrafficPolicy/default/p#egress[1] matches, the walk says it does not"},
		{"names what matches later", fixed{2, true}, 2, `"TrafficPolicy/default/p#egress[0]"`},
		{"names none", fixed{-1, true}, 2, `the tables say {"src":`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := New(in, compiler.Options{}).With(func(*compiler.Resolver, []*model.Policy, model.Direction) Shortcut { return tt.shortcut })
			var out bytes.Buffer
			_, err := s.Stream(context.Background(), strings.NewReader("src,dst,port\ndefault/a,8.1.2.3,80\n"), &out, nil)
			var wrong *DisagreementError
			switch errors.As(err, &wrong); {
			case tt.line == 0:
				if err != nil || !strings.Contains(out.String(), "egress[0]") {
					t.Errorf("error %v, output %s", err, &out)
				}
			case wrong == nil:
				t.Errorf("error %v, want a DisagreementError; output %s", err, &out)
			case wrong.Line != tt.line || !strings.Contains(err.Error(), tt.want) || out.Len() > 0:
				t.Errorf("error %v, want one of line %d with %s; output %s", err, tt.line, tt.want, &out)
			}
		})
	}
}

// TestSampled holds that the first hundred lines of a stream are judged both ways,
// about one in a thousand of the others, at all sorts of distances.
func TestSampled(t *testing.T) {
	n, gaps := 0, map[int]bool{}
	last := 0
	for line := 1; line <= 1_000_000; line++ {
		switch {
		case sampled(line):
			n++
			gaps[line-last] = true
			last = line
		case line <= 100:
			t.Errorf("line %d is judged once", line)
		}
	}
	if n < 1000 || n > 1300 {
		t.Errorf("%d lines of a million are judged twice", n)
	}
	if len(gaps) < 100 {
		t.Errorf("the lines lie at %d distances from one another, want more", len(gaps))
	}
}

// TestDisagreementLater holds that the share of a long stream finds what the
// first lines do not show, and that the answers before it stand.
func TestDisagreementLater(t *testing.T) {
	rules := []model.Rule{allow(cidr("8.0.0.0/8")), allow(cidr("9.0.0.0/8")), allow(cidr("9.0.0.0/8"))}
	s := New(world(rules...), compiler.Options{}).With(func(*compiler.Resolver, []*model.Policy, model.Direction) Shortcut { return wrongAt9{} })
	var in strings.Builder
	in.WriteString("src,dst,port\n")
	for i := range 20_000 {
		fmt.Fprintf(&in, "default/a,%d.1.2.3,80\n", 8+min(1, i/1000))
	}
	var out bytes.Buffer
	_, err := s.Stream(context.Background(), strings.NewReader(in.String()), io.MultiWriter(&out), nil)
	var wrong *DisagreementError
	if !errors.As(err, &wrong) || wrong.Line < 1002 || !sampled(wrong.Line) {
		t.Fatalf("error %v, want a DisagreementError of a line from 1002 on", err)
	}
	if got := strings.Count(out.String(), "\n"); got != wrong.Line-2 {
		t.Errorf("%d answers before line %d", got, wrong.Line)
	}
}

// wrongAt9 takes the first rule for 8.0.0.0/8 and the third for all else.
type wrongAt9 struct{}

func (wrongAt9) Find(a netip.Addr, _ model.L4) (int32, []model.Conditional, bool) {
	if a.As4()[0] == 8 {
		return 0, nil, true
	}
	return 2, nil, true
}
