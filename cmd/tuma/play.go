package main

type playCommand struct{}

// Run plays.
func (playCommand) Run() error { return nil }
