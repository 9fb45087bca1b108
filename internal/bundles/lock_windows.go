package bundles

import "os"

// lockDir opens a directory. Two updates of it at once are not seen.
func lockDir(dir string) (*os.File, error) { return os.Open(dir) }
