package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// spawnServer starts a child whose first line says that it listens: its address, of ours.
func (s *stage) spawnServer(ctx context.Context, name string, cmd *exec.Cmd) (*child, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout = w
	c, err := s.spawn(name, cmd)
	w.Close()
	if err != nil {
		r.Close()
		return nil, err
	}
	s.onClose(func() { r.Close() })
	defer context.AfterFunc(ctx, func() { r.Close() })()
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("%s did not say where it listens: %w", name, err)
	}
	c.address = strings.TrimSpace(line)
	return c, nil
}

// command is a part of ours, in a process of its own.
func (s *stage) command(args ...string) *exec.Cmd { return exec.Command(s.self, args...) }
