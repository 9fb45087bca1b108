//go:build !linux

package main

import (
	"context"
	"errors"
	"runtime"
)

// world is what packets would be sent in; there is none but on Linux.
type world struct{}

func kernelReason() string { return "network namespaces are Linux's, this is " + runtime.GOOS }

func newWorld(context.Context) (*world, error) { return nil, errors.New(kernelReason()) }

func (*world) close()                  {}
func (*world) path() string            { return "" }
func (*world) describe() string        { return "" }
func (*world) send() ([]string, error) { return nil, errors.New(kernelReason()) }
