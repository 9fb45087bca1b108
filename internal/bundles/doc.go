// Package bundles keeps a directory of bundles, one for each node of a cluster, and
// its index. Each bundle is replaced in one step; those that do not change keep
// their bytes and their time; a run that fails before all bundles are written
// changes nothing. The index is written last.
package bundles
