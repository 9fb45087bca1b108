// Package netns enters network namespaces and tells them apart. Only the
// network namespace is changed: mounts, and with them state directories and
// pins, stay where they are.
package netns
