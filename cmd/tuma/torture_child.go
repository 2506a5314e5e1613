package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// A plea that has no answer after so long is a finding by itself: a batch ends
// after 12 s.
const tortureAnswerLimit = 45 * time.Second

// tortureReadyLimit is how long somebody waits for a poster that starts.
const tortureReadyLimit = 30 * time.Second

// victim is a poster process and what is written about it outside of it. It is
// started again whenever it ends.
type victim struct {
	name    string
	orders  orders
	history *os.File // what was asked before it was asked, what was answered after
	found   func(format string, args ...any)

	mu      sync.Mutex
	cmd     *exec.Cmd
	in      io.WriteCloser
	ready   chan struct{} // closed when the present process answers
	killed  bool          // by us
	waiting map[int64]chan verdict
	n       int64
}

func newVictim(dir, name string, o orders, found func(string, ...any)) (*victim, error) {
	f, err := os.OpenFile(filepath.Join(dir, "history-"+name+".jsonl"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	return &victim{name: name, orders: o, history: f, found: found, ready: make(chan struct{}), waiting: map[int64]chan verdict{}}, nil
}

// run keeps a process alive until ctx ends.
func (v *victim) run(ctx context.Context) {
	defer v.history.Close()
	for ctx.Err() == nil {
		said, err := v.live(ctx)
		if err != nil && ctx.Err() == nil {
			v.found("poster %s ended by itself: %v: %s", v.name, err, said)
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond): // it may be the database that is down
		}
	}
}

// live is one process, from its start to its end. An error means that a process
// which had been ready ended without our doing.
func (v *victim) live(ctx context.Context) (said string, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	cmd := exec.Command(self, "torture", "poster")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		return "", err
	}
	first, err := json.Marshal(v.orders)
	if err != nil {
		return "", err
	}
	in.Write(append(first, '\n'))
	v.mu.Lock()
	v.cmd, v.in, v.killed = cmd, in, false
	v.mu.Unlock()
	ended := make(chan struct{})
	go func() { // when all is over it ends by itself, once its input does
		select {
		case <-ctx.Done():
			in.Close()
		case <-ended:
		}
	}()
	answered := v.listen(out)
	close(ended)
	err = cmd.Wait()
	v.mu.Lock()
	defer v.mu.Unlock()
	if !answered || v.killed || ctx.Err() != nil {
		err = nil // a start while the database is down fails, and may
	} else if err == nil {
		err = errors.New("status 0")
	}
	v.cmd, v.in = nil, nil
	if answered {
		v.ready = make(chan struct{})
	}
	for n, w := range v.waiting {
		w <- verdict{Unknown: "the poster died"}
		delete(v.waiting, n)
	}
	return errs.String(), err
}

// listen hands out verdicts until the process says no more.
func (v *victim) listen(out io.Reader) (answered bool) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var d verdict
		if err := json.Unmarshal(lines.Bytes(), &d); err != nil {
			continue // a line cut by the kill
		}
		v.mu.Lock()
		if d.N == 0 {
			answered = true
			close(v.ready)
		} else if w := v.waiting[d.N]; w != nil {
			w <- d
			delete(v.waiting, d.N)
		}
		v.mu.Unlock()
	}
	return answered
}

// kill ends the process as a power cut would.
func (v *victim) kill() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.cmd == nil {
		return false
	}
	v.killed = true
	return v.cmd.Process.Kill() == nil
}

// ask sends an entry and waits for what becomes of it. sent is false when
// nothing has left this process.
func (v *victim) ask(ctx context.Context, p plea) (d verdict, sent bool) {
	v.mu.Lock()
	ready := v.ready
	v.mu.Unlock()
	select {
	case <-ready:
	case <-time.After(tortureReadyLimit):
		v.found("poster %s: not ready within %v", v.name, tortureReadyLimit)
		return verdict{}, false
	case <-ctx.Done():
		return verdict{}, false
	}
	answer := make(chan verdict, 1)
	v.mu.Lock()
	if v.in == nil || v.ready != ready {
		v.mu.Unlock()
		return verdict{}, false
	}
	v.n++
	p.N = v.n
	v.waiting[p.N] = answer
	in := v.in
	line, err := json.Marshal(p)
	if err != nil {
		panic(err) // it is made of numbers and texts
	}
	v.note("asked", line)
	_, err = in.Write(append(line, '\n'))
	v.mu.Unlock()
	if err != nil { // it is dying; live answers, or has
		v.kill()
	}
	select {
	case d = <-answer:
	case <-time.After(tortureAnswerLimit):
		v.found("poster %s: no answer to %s in %v", v.name, p.Entry.Ref, tortureAnswerLimit)
		d = verdict{N: p.N, Unknown: "no answer"}
	}
	d.N = p.N
	if line, err = json.Marshal(d); err != nil {
		panic(err)
	}
	v.mu.Lock()
	v.note("answered", line)
	v.mu.Unlock()
	return d, true
}

// note appends to the history; one write each, so that what stands there is whole.
func (v *victim) note(what string, line []byte) {
	if _, err := v.history.Write(fmt.Appendf(nil, "{\"%s\":%s,\"at\":%d}\n", what, line, time.Now().UnixMicro())); err != nil {
		v.found("the history of poster %s cannot be written: %v", v.name, err)
	}
}
