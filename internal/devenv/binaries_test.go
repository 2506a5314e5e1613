package devenv

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestParseVersion(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]struct {
		version string
		major   int
	}{
		"postgres (PostgreSQL) 15.10 (Debian 15.10-0+deb12u1)\n": {"15.10", 15},
		"postgres (PostgreSQL) 18.4\n":                           {"18.4", 18},
		"postgres (PostgreSQL) 19beta2\n":                        {"19beta2", 19},
	} {
		version, major, err := parseVersion(line)
		if err != nil || version != want.version || major != want.major {
			t.Errorf("%q: %q, %d, %v", line, version, major, err)
		}
	}
	if _, _, err := parseVersion("postgres: not found"); err == nil {
		t.Error("no error for a line without a version")
	}
}

func TestChoosePrefersTheDirectorysVersion(t *testing.T) {
	t.Parallel()
	found := []binaries{{"/a", "17.2", 17}, {"/b", "15.10", 15}}
	data := filepath.Join(t.TempDir(), "data")
	if b, err := choose(found, data); err != nil || b.major != 17 {
		t.Errorf("for a new directory: %+v, %v", b, err)
	}
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte("15\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := choose(found, data); err != nil || b.major != 15 {
		t.Errorf("for a directory of 15: %+v, %v", b, err)
	}
	var wrong ErrVersion
	if _, err := choose(found[:1], data); !errors.As(err, &wrong) || !slices.Equal(wrong.Installed, []string{"17.2"}) {
		t.Errorf("with only 17 installed: %v", err)
	}
}

func TestNoServer(t *testing.T) {
	t.Setenv("PG_BINDIR", t.TempDir())
	_, err := StartPostgres(t.Context(), PostgresOptions{Dir: filepath.Join(room(t), "pg")})
	var none ErrNoServer
	if !errors.As(err, &none) {
		t.Errorf("got %v", err)
	}
}

func TestLinkLibraries(t *testing.T) {
	t.Parallel()
	pkg := t.TempDir()
	bin, lib := filepath.Join(pkg, "native", "bin"), filepath.Join(pkg, "native", "lib")
	for _, dir := range []string{bin, lib} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := linkLibraries(bin); err != nil {
		t.Errorf("without a list of links: %v", err)
	}
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(lib, "libpq.so.5.18"), "code")
	list := filepath.Join(pkg, "native", "pg-symlinks.json")
	write(list, `[{"source":"native/lib/libpq.so.5.18","target":"native/lib/libpq.so.5"}]`)
	for range 2 { // the second time the links are there
		if err := linkLibraries(bin); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(filepath.Join(lib, "libpq.so.5")); err != nil || string(text) != "code" {
		t.Errorf("%q, %v", text, err)
	}
	write(list, `[{"source":"native/lib/libpq.so.5.18","target":"../../evil"}]`)
	if err := linkLibraries(bin); err == nil {
		t.Error("a link outside the package was made")
	}
}
