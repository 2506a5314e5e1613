package main

import (
	"errors"
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

// shareSocket opens a socket that processes take by listen. It is not blocking and
// stays so: File of a listener would make it blocking whenever it is handed on, for
// all who have it, and one that waits in accept for a connection that another got
// would not end.
func shareSocket() (socket *os.File, address string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	defer l.Close()
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		return nil, "", err
	}
	bad := raw.Control(func(fd uintptr) {
		var copied int
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
		if copied, err = syscall.Dup(int(fd)); err == nil {
			syscall.CloseOnExec(copied)
			socket = os.NewFile(uintptr(copied), "shared")
		}
	})
	return socket, l.Addr().String(), errors.Join(bad, err)
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
