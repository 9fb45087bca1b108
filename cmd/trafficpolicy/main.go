// Command trafficpolicy compiles and verifies TrafficPolicy and
// GlobalTrafficPolicy objects. It needs no privileges, no network and no kernel.
package main

import "os"

func main() { os.Exit(newCommand().Main(os.Args[1:])) }
