package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// fullDisk is the fault that needs a disk of its own.
const fullDisk = "full-disk"

// leastDisk holds a new cluster with its log, in MB.
const leastDisk = 400

// mountDisk makes dir a disk of so many MB, in memory.
func mountDisk(ctx context.Context, dir string, mb int) error {
	out, err := exec.CommandContext(ctx, "mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm,mode=0755", mb), "tuma-simulate", dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("a disk of its own could not be mounted (it needs root): %w: %s", err, out)
	}
	return nil
}

func unmountDisk(dir string) error {
	out, err := exec.Command("umount", dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("unmounting %s: %w: %s", dir, err, out)
	}
	return nil
}

// fill takes all space that is left on dir's disk; mend gives it back.
func fill(dir string) (mend func() error, err error) {
	hog := filepath.Join(dir, "hog")
	f, err := os.Create(hog)
	if err != nil && !errors.Is(err, syscall.ENOSPC) {
		return nil, err
	}
	if f != nil {
		defer f.Close()
		for size := 1 << 20; size > 0; {
			if _, err := f.Write(make([]byte, size)); err != nil {
				if !errors.Is(err, syscall.ENOSPC) {
					os.Remove(hog)
					return nil, err
				}
				size /= 16
			}
		}
	}
	return func() error { return os.Remove(hog) }, nil
}
