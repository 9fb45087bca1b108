package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/trafficpolicy/trafficpolicy/compiler"
)

// gitPrefix marks an argument as git:REV:PATH.
const gitPrefix = "git:"

// gitSource is files as they are in one revision of a git repository, written to
// a folder of their own.
type gitSource struct {
	arg  string // as it was given
	dir  string // to be removed
	path string // within dir, what to load
	// skipped are links and submodules, which are not followed.
	skipped []string
}

// readGit reads git:REV:PATH from the repository of the working directory. As in
// git itself PATH is a file or a folder from the repository's root, or with ./
// or ../ from the working directory; it may be empty, the root.
func readGit(ctx context.Context, arg string) (*gitSource, error) {
	rev, file, ok := strings.Cut(strings.TrimPrefix(arg, gitPrefix), ":")
	if !ok || rev == "" {
		return nil, fmt.Errorf("%q is not git:REV:PATH", arg)
	}
	if _, err := git(ctx, nil, "rev-parse", "--git-dir"); err != nil {
		return nil, fmt.Errorf("%s: %w", arg, err)
	}
	commit, err := git(ctx, nil, "rev-parse", "--verify", "--quiet", "--end-of-options", rev+"^{commit}")
	if err != nil {
		return nil, fmt.Errorf("%s: the repository has no revision %q", arg, rev)
	}
	object, err := git(ctx, nil, "rev-parse", "--verify", "--quiet", "--end-of-options", line(commit)+":"+file)
	if err != nil {
		return nil, fmt.Errorf("%s: revision %q has no %q", arg, rev, file)
	}
	g := &gitSource{arg: arg}
	if g.dir, err = os.MkdirTemp("", "trafficpolicy-git-"); err != nil {
		return nil, err
	}
	if err := g.write(ctx, line(object), path.Base("/"+file)); err != nil {
		g.Close()
		return nil, fmt.Errorf("%s: %w", arg, err)
	}
	return g, nil
}

// Close removes the files.
func (g *gitSource) Close() error { return os.RemoveAll(g.dir) }

// name returns a path below g.dir as the user would name it.
func (g *gitSource) name(file string) string {
	rest, ok := strings.CutPrefix(file, g.path)
	if !ok {
		return file
	}
	arg := strings.TrimSuffix(g.arg, "/")
	rest = filepath.ToSlash(rest)
	if strings.HasSuffix(arg, ":") {
		rest = strings.TrimPrefix(rest, "/")
	}
	return arg + rest
}

// write writes object, a file called name or a folder, and sets g.path.
func (g *gitSource) write(ctx context.Context, object, name string) error {
	kind, err := git(ctx, nil, "cat-file", "-t", object)
	if err != nil {
		return err
	}
	files := []gitFile{{object, name}}
	g.path = filepath.Join(g.dir, name)
	if line(kind) == "tree" {
		g.path = filepath.Join(g.dir, "tree")
		if files, err = g.list(ctx, object); err != nil {
			return err
		}
		if err := os.Mkdir(g.path, 0o700); err != nil {
			return err
		}
	} else if name == "/" {
		return errors.New("not a file or folder")
	}
	return g.copy(ctx, files)
}

// gitFile is one file, by object and path below gitSource.dir.
type gitFile struct{ object, path string }

// list returns the files of a folder that a directory is read for.
func (g *gitSource) list(ctx context.Context, tree string) ([]gitFile, error) {
	out, err := git(ctx, nil, "ls-tree", "-r", "-z", "--full-tree", tree)
	if err != nil {
		return nil, err
	}
	var files []gitFile
	for entry := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		meta, file, ok := strings.Cut(entry, "\t")
		fields := strings.Fields(meta) // mode, type, object
		if !ok || len(fields) != 3 || !compiler.IsInputFile(path.Base(file)) {
			continue
		}
		if !strings.HasPrefix(fields[0], "100") { // 120000 is a link, 160000 a submodule
			g.skipped = append(g.skipped, file)
			continue
		}
		if !filepath.IsLocal(filepath.FromSlash(file)) {
			return nil, fmt.Errorf("file name %q cannot be written here", file)
		}
		files = append(files, gitFile{fields[2], "tree/" + file})
	}
	return files, nil
}

// copy writes the contents of files.
func (g *gitSource) copy(ctx context.Context, files []gitFile) error {
	var ask bytes.Buffer
	for _, f := range files {
		fmt.Fprintln(&ask, f.object)
	}
	out, err := git(ctx, &ask, "cat-file", "--batch")
	if err != nil {
		return err
	}
	r := bufio.NewReader(bytes.NewReader(out))
	for _, f := range files {
		head, err := r.ReadString('\n') // OBJECT TYPE SIZE
		fields := strings.Fields(head)
		if err != nil || len(fields) != 3 {
			return fmt.Errorf("git cat-file: no object %s", f.object)
		}
		size, err := strconv.Atoi(fields[2])
		if err != nil {
			return fmt.Errorf("git cat-file: %q has no size", head)
		}
		text := make([]byte, size+1) // a line end follows
		if _, err := io.ReadFull(r, text); err != nil {
			return fmt.Errorf("git cat-file: %w", err)
		}
		to := filepath.Join(g.dir, filepath.FromSlash(f.path))
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(to, text[:size], 0o600); err != nil {
			return err
		}
	}
	return nil
}

// git runs a git command and returns what it prints.
func git(ctx context.Context, stdin io.Reader, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Stdin = stdin
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, errors.New("there is no git command to read it with")
	case err != nil && stderr.Len() > 0:
		return nil, fmt.Errorf("git %s: %s", args[0], strings.TrimPrefix(line(stderr.Bytes()), "fatal: "))
	case err != nil:
		return nil, fmt.Errorf("git %s: %w", args[0], err)
	}
	return out, nil
}

// line returns the first line of b without its end.
func line(b []byte) string {
	first, _, _ := strings.Cut(string(b), "\n")
	return first
}
