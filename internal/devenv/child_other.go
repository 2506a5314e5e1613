//go:build !linux

package devenv

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// tie can promise nothing here: no signal follows the parent's death. A server
// that outlives its parent is found and stopped by the next start.
func tie(*syscall.SysProcAttr, syscall.Signal) {}

// runsIn reports whether process pid is a postgres started on data directory
// dir, which its command line names.
func runsIn(pid int, dir string) bool {
	out, err := exec.Command("ps", "-ww", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.Contains(string(out), "postgres") && strings.Contains(string(out), dir)
}
