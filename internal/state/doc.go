// Package state keeps what a loader must remember of one network namespace: the
// bundle in force, the one before it, and the highest sequence ever seen.
//
// What it guarantees:
//
//   - A reader finds the old state or the new one, wholly, however and whenever
//     the writer was stopped: files are written beside, synced, and renamed.
//   - Once [Folder.Prepare] has returned, [Folder.Commit] and [Folder.Abandon]
//     need no disk space.
//   - Nothing is opened, written or removed through a symbolic link below, or
//     at, the state directory, and nobody but its owner can look into it.
//   - One process at a time holds a folder's lock.
package state
