//go:build linux

// Command tploader puts compiled policies into the kernel of a Linux node, or of
// one pod's network namespace, and says what the kernel does with them.
package main

import (
	"os"
	"runtime"
)

// The main goroutine keeps the main thread: --netns changes the namespace of a
// thread, and /proc/self is about the main one.
func init() { runtime.LockOSThread() }

func main() { os.Exit(newCommand().Main(os.Args[1:])) }
