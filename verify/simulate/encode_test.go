package simulate

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAppendJSON holds that answers are written as encoding/json writes them:
// random values of every field that it knows of, so a new one is not forgotten.
func TestAppendJSON(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 5))
	for range 5000 {
		var r Result
		fill(rng, reflect.ValueOf(&r).Elem(), 0)
		var want bytes.Buffer
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(&r); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.String(), string(r.appendJSON(nil))+"\n"); diff != "" {
			t.Fatalf("(-encoding/json +ours)\n%s", diff)
		}
	}
}

// fill sets what encoding/json would see of v to something random, often to zero.
func fill(rng *rand.Rand, v reflect.Value, depth int) {
	if rng.IntN(4) == 0 {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				fill(rng, v.Field(i), depth)
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(rng, v.Elem(), depth)
	case reflect.Slice:
		if depth < 2 {
			v.Set(reflect.MakeSlice(v.Type(), rng.IntN(3), 3))
			for i := range v.Len() {
				fill(rng, v.Index(i), depth+1)
			}
		}
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int:
		v.SetInt(rng.Int64N(2000) - 1)
	case reflect.Uint16:
		v.SetUint(rng.Uint64N(1 << 16))
	case reflect.String:
		strings := []string{"default/web", "a<b>&c", "\"", "\\", "\x00\x1f\t\n\x7f", "é", "\u2028\u2029\u0080", "\xff", "a\xc3", "~ !"}
		v.SetString(strings[rng.IntN(len(strings))])
	default:
		panic("no value for a " + v.Kind().String())
	}
}
