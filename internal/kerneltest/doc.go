// Package kerneltest shows that a real kernel does with packets what the
// simulator says: it applies compiled policies to nodes and pods made of
// network namespaces (package netlab) and sends real packets between them.
//
// Its tests need root and the nft command. Without them they are skipped with
// the reason, unless TRAFFICPOLICY_REQUIRE_KERNEL=1 makes that a failure.
package kerneltest
