package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cost is processor time spent so far. Unlike a rate it hardly depends on what
// else the machine does, so it tells whether a change made a payment cheaper.
type cost struct {
	process time.Duration            // of this process, callers and all
	servers map[string]time.Duration // of the processes that it has started and of theirs, by the name of the former
}

func (c cost) minus(d cost) cost {
	left := cost{c.process - d.process, map[string]time.Duration{}}
	for name, spent := range c.servers {
		left.servers[name] = spent - d.servers[name]
	}
	return left
}

// server is the sum over all servers.
func (c cost) server() (sum time.Duration) {
	for _, d := range c.servers {
		sum += d
	}
	return sum
}

// each is the microseconds of one of n.
func each(d time.Duration, n int64) float64 { return float64(d.Microseconds()) / float64(max(1, n)) }

const tick = 10 * time.Millisecond // of /proc, on every Linux there is

// task is a line of /proc.
type task struct {
	parent int
	name   string
	spent  time.Duration
}

// costNow counts this process and, where there is a /proc, the servers that it
// has started. A backend that ends in between is counted by its server.
func costNow() cost {
	var self syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &self); err != nil {
		return cost{}
	}
	c := cost{process: time.Duration(self.Utime.Nano() + self.Stime.Nano()), servers: map[string]time.Duration{}}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	tasks := map[int]task{}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		head, rest, _ := strings.Cut(string(text), ") ") // the name may have blanks
		_, name, _ := strings.Cut(head, "(")
		f := strings.Fields(rest)
		if len(f) < 15 {
			continue
		}
		t := task{name: name}
		t.parent, _ = strconv.Atoi(f[1])
		for _, ticks := range f[11:15] { // user and system, of it and of its children that have ended
			n, _ := strconv.Atoi(ticks)
			t.spent += time.Duration(n) * tick
		}
		tasks[pid] = t
	}
	for pid, t := range tasks {
		top := pid
		for tasks[top].parent != os.Getpid() && top != 0 {
			top = tasks[top].parent
		}
		if top != 0 {
			c.servers[tasks[top].name] += t.spent
		}
	}
	return c
}

// ownName is what /proc calls a process of this program.
func ownName() string {
	self, err := os.Executable()
	if err != nil {
		return ""
	}
	name := filepath.Base(self)
	return name[:min(len(name), 15)]
}

// machineNow is the time that all cores have been busy and idle, with whatever
// runs on the machine; zero where there is no /proc.
func machineNow() (busy, idle time.Duration) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	for i, field := range strings.Fields(line)[1:] {
		n, _ := strconv.Atoi(field)
		switch {
		case i == 3 || i == 4: // idle, and waiting for the disk
			idle += time.Duration(n) * tick
		case i < 8: // what follows is part of these
			busy += time.Duration(n) * tick
		}
	}
	return busy, idle
}
