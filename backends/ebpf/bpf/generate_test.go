package bpf_test

//go:generate go tool bpf2go -no-global-types -tags linux -target bpfel -cflags "-O2 -g -Wall -Wextra -Wno-unused-parameter -Wno-parentheses -Werror -mcpu=v3 -isystem /usr/include/x86_64-linux-gnu -isystem /usr/include/aarch64-linux-gnu" bench bench.bpf.c
