package main

import "runtime/debug"

// A process of ours has a small heap that turns over quickly, and the default
// collector would run all the time. It may use memory up to a bound instead,
// whatever the number of customers.
const (
	gcPercent   = 800
	memoryLimit = 160 << 20 // bytes; beyond it the collector works harder
)

func tuneMemory() {
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(memoryLimit)
}
