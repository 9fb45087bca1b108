package oracle

import (
	"math/rand/v2"
	"testing"
)

func BenchmarkAnalyze(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	for b.Loop() {
		if _, err := Analyze(Input{Policies: Random(r, Shape{Expressions: true, IPv6: true})}); err != nil {
			b.Fatal(err)
		}
	}
}
