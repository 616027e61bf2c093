package fsys

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func create(t *testing.T, path, content string) File {
	t.Helper()
	f, err := OS{}.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.WriteAt([]byte(content), 0); err != nil {
		t.Fatal(err)
	}
	return f
}

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func stats(t *testing.T, path string) Info {
	t.Helper()
	i, err := OS{}.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestStatAgreesWithPackageOS(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	f := create(t, path, "content")
	if err := os.Symlink("file", link); err != nil {
		t.Skip(err)
	}
	for _, name := range []string{dir, path, link} {
		want, err := os.Lstat(name)
		if err != nil {
			t.Fatal(err)
		}
		got := stats(t, name)
		if got.Mode.Type() != want.Mode().Type() || !got.ModTime.Equal(want.ModTime()) {
			t.Errorf("%s: got %+v, want %v", name, got, want)
		}
	}
	byPath := stats(t, path)
	byName, err := OS{}.Stat(link)
	if err != nil {
		t.Fatal(err)
	}
	byFile, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if byPath != byName || byPath != byFile {
		t.Errorf("one file, three looks:\n%+v\n%+v\n%+v", byPath, byName, byFile)
	}
	if !SameFile(byPath, byFile) || SameFile(byPath, stats(t, link)) {
		t.Error("SameFile is wrong")
	}
	if byFile.Size != 7 || byFile.Nlink != 1 || byFile.MountRoot {
		t.Errorf("%+v", byFile)
	}
}

func TestOpenFileDoesNotFollow(t *testing.T) {
	dir := t.TempDir()
	create(t, filepath.Join(dir, "file"), "content")
	link := filepath.Join(dir, "link")
	if err := os.Symlink("file", link); err != nil {
		t.Skip(err)
	}
	if f, err := (OS{}).OpenFile(link, os.O_RDWR, 0); err == nil {
		f.Close()
		t.Error("a link was followed")
	}
	if f, err := (OS{}).OpenFile(link, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); !errors.Is(err, fs.ErrExist) {
		if err == nil {
			f.Close()
		}
		t.Errorf("a link in the place of a new file: %v", err)
	}
	if err := os.Symlink(dir, filepath.Join(dir, "dirlink")); err != nil {
		t.Fatal(err)
	}
	if f, err := (OS{}).OpenDir(filepath.Join(dir, "dirlink")); err == nil {
		f.Close()
		t.Error("a link to a directory was followed")
	}
	if f, err := (OS{}).OpenDir(filepath.Join(dir, "file")); err == nil {
		f.Close()
		t.Error("a file was opened as a directory")
	}
}

func TestReadDirIsSorted(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b", "c", "a"} {
		create(t, filepath.Join(dir, name), "")
	}
	names, err := OS{}.ReadDir(dir)
	if err != nil || !slices.Equal(names, []string{"a", "b", "c"}) {
		t.Errorf("%v, %v", names, err)
	}
}

func TestRemoveAndRmdirKeepToTheirKind(t *testing.T) {
	dir := t.TempDir()
	file, sub := filepath.Join(dir, "file"), filepath.Join(dir, "sub")
	create(t, file, "").Close()
	if err := (OS{}).Mkdir(sub, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := (OS{}).Rmdir(file); err == nil {
		t.Error("Rmdir removed a file")
	}
	if err := (OS{}).Remove(sub); err == nil {
		t.Error("Remove removed a directory")
	}
	create(t, filepath.Join(sub, "inner"), "").Close()
	if err := (OS{}).Rmdir(sub); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Rmdir of a directory that is not empty: %v", err)
	}
	for _, step := range []error{OS{}.Remove(filepath.Join(sub, "inner")), OS{}.Rmdir(sub), OS{}.Remove(file)} {
		if step != nil {
			t.Error(step)
		}
	}
}

func TestRename(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	create(t, a, "new").Close()
	create(t, b, "old").Close()
	err := OS{}.RenameNoReplace(a, b)
	switch {
	case errors.Is(err, ErrUnsupported):
	case !errors.Is(err, fs.ErrExist):
		t.Errorf("RenameNoReplace over a file: %v", err)
	default:
		if err := (OS{}).RenameNoReplace(a, filepath.Join(dir, "c")); err != nil {
			t.Error(err)
		}
		if err := os.Rename(filepath.Join(dir, "c"), a); err != nil {
			t.Fatal(err)
		}
	}
	if got := content(t, b); got != "old" {
		t.Errorf("RenameNoReplace replaced: %q", got)
	}
	if err := (OS{}).Rename(a, b); err != nil {
		t.Fatal(err)
	}
	if got := content(t, b); got != "new" {
		t.Errorf("Rename did not replace: %q", got)
	}
}

func TestTryLockExcludesTwoOpensOfOneProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "guard")
	first := create(t, path, "")
	second, err := OS{}.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if err := first.TryLock(); err != nil {
		t.Fatal(err)
	}
	if err := second.TryLock(); !errors.Is(err, ErrWouldBlock) {
		t.Fatalf("second lock: %v", err)
	}
	first.Close()
	if err := second.TryLock(); err != nil {
		t.Fatalf("after the close: %v", err)
	}
}

func TestSetTimeThroughTheDescriptor(t *testing.T) {
	dir := t.TempDir()
	sub, moved := filepath.Join(dir, "lock"), filepath.Join(dir, "moved")
	if err := os.Mkdir(sub, 0o700); err != nil {
		t.Fatal(err)
	}
	d, err := OS{}.OpenDir(sub)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	// The directory is moved away and another takes its name: the descriptor's
	// own is stamped, the stranger is not (INTEROP §3.2).
	if err := os.Rename(sub, moved); err != nil {
		t.Skip(err)
	}
	if err := os.Mkdir(sub, 0o700); err != nil {
		t.Fatal(err)
	}
	stranger := stats(t, sub).ModTime
	stamp := time.Date(2001, 2, 3, 4, 5, 6, 789_123_000, time.UTC)
	if err := d.SetTime(stamp); err != nil {
		t.Fatal(err)
	}
	if got := stats(t, moved).ModTime; !got.Equal(stamp) {
		t.Errorf("stamped %v, found %v", stamp, got)
	}
	if got := stats(t, sub).ModTime; !got.Equal(stranger) {
		t.Errorf("the stranger was touched: %v", got)
	}
}

func TestPreallocateKeepsTheSize(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	f := create(t, path, "content")
	if err := f.Preallocate(64 << 10); err != nil && !errors.Is(err, ErrUnsupported) {
		t.Fatal(err)
	}
	if got := content(t, path); got != "content" {
		t.Errorf("content became %q", got)
	}
}

func TestWriteSyncTruncateRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	f := create(t, path, "0123456789")
	for _, err := range []error{f.Truncate(4), f.Sync(), f.Datasync()} {
		if err != nil {
			t.Error(err)
		}
	}
	b, err := io.ReadAll(f) // WriteAt left the position at the start
	if err != nil || string(b) != "0123" {
		t.Errorf("%q, %v", b, err)
	}
	d, err := OS{}.OpenDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		t.Error(err)
	}
}

func TestKindHasAName(t *testing.T) {
	k, err := OS{}.Kind(t.TempDir())
	if err != nil || k.Name == "" {
		t.Errorf("%+v, %v", k, err)
	}
	if _, err := (OS{}).Kind(filepath.Join(t.TempDir(), "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
}
