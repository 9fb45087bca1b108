// Package nftwalk runs the nftables commands of an artifact on packets that are
// described, rule by rule, as nft_do_chain does it in the kernel. It knows what
// commands mean and nothing of what the artifact means by them, so that it can say
// which changes of a script change a decision, without a kernel and thousands of
// times a second.
package nftwalk
