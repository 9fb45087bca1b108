// Command trafficpolicy compiles and verifies TrafficPolicy and
// GlobalTrafficPolicy objects. It needs no privileges, no network and no kernel.
package main

import (
	"os"
	"runtime/debug"
)

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200) // runs are short: collect half as often as is usual
	}
	os.Exit(newCommand().Main(os.Args[1:]))
}
