// Package bpflab runs the eBPF programs on packets without a network: in a network
// namespace of its own with devices that nothing is sent by, through
// BPF_PROG_TEST_RUN. Tests of the programs and of what artifacts mean use it.
package bpflab
