package main

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"hoko.to/edge/bench/measure"
)

// pgbenchSide is pgbench with one of its scripts.
func (b *bench) pgbenchSide(name, script string, clients int) (*side, error) {
	path, err := b.stage.findPgbench()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(b.stage.dir, "pgbench")
	if err != nil {
		return nil, err
	}
	return &side{
		name: name, connections: clients,
		servers: []measure.Process{{Name: "Postgres", PID: b.stage.postgres.PID()}},
		driver: &pgbench{
			path: path, dsn: b.stage.database.dsn, dir: dir, clients: clients,
			script:  filepath.Join(b.stage.root, "bench", "peers", "pgbench", script+".sql"),
			define:  []string{"customers=" + strconv.Itoa(b.mode.customers)},
			seconds: int(math.Ceil(b.mode.measure.Seconds())),
		},
	}, nil
}

// findPgbench is that which came with the server, else that in PATH.
func (s *stage) findPgbench() (string, error) {
	server, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", s.postgres.PID()))
	if err == nil {
		path := filepath.Join(filepath.Dir(server), "pgbench")
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return exec.LookPath("pgbench")
}
