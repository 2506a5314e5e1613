package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
)

// listen takes the socket that systemd has opened, if it has, and else opens one
// at the address. systemd's outlives the process and several processes share it:
// who connects between two processes waits for the next, and is not refused.
func listen(address string) (net.Listener, error) {
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return net.Listen("tcp", address)
	}
	if n := os.Getenv("LISTEN_FDS"); n != "1" {
		return nil, fmt.Errorf("systemd passes %s sockets: there is use for one", n)
	}
	const first = 3 // of those that are passed
	syscall.CloseOnExec(first)
	f := os.NewFile(first, "systemd")
	defer f.Close() // the listener has a copy
	return net.FileListener(f)
}

// notify tells systemd how far the process is, where it wants to know.
func notify(state string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	c, err := net.Dial("unixgram", path)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Write([]byte(state))
	return err
}
