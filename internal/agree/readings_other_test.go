//go:build !linux

package agree

import "testing"

// allReadings returns every reading that can be had here: no program is loaded.
func allReadings(t *testing.T) []Reading { return Derived }
