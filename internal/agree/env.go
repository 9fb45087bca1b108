package agree

import (
	"fmt"
	"os"
	"strconv"
	"testing"
)

// Number returns the number in an environment variable, otherwise where it is not set.
func Number(t testing.TB, env string, otherwise int) int {
	t.Helper()
	s := os.Getenv(env)
	if s == "" {
		return otherwise
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		t.Fatal(fmt.Errorf("%s=%q is no number", env, s))
	}
	return n
}
