package devenv

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

// tie makes the kernel send sig to the child when the thread that started it ends.
func tie(attr *syscall.SysProcAttr, sig syscall.Signal) { attr.Pdeathsig = sig }

// runsIn reports whether process pid is a postgres that works in directory
// dir, which is how every postmaster runs. A zombie works nowhere.
func runsIn(pid int, dir string) bool {
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil || !strings.HasPrefix(string(comm), "postgres") {
		return false
	}
	cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	return err == nil && cwd == dir
}
