package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"hoko.to/edge/bench/load"
)

// latency is that of the logged transactions that ended within a window. The
// logs are removed.
func (p *pgbench) latency(w window) (load.Latency, error) {
	logs, err := filepath.Glob(filepath.Join(p.dir, "log.*"))
	if err != nil {
		return load.Latency{}, err
	}
	var all []time.Duration
	for _, log := range logs {
		if all, err = appendLogged(all, log, w); err != nil {
			return load.Latency{}, err
		}
		if err := os.Remove(log); err != nil {
			return load.Latency{}, err
		}
	}
	return latencyOf(all), nil
}

// appendLogged reads lines of client, transaction, its time in µs, script, and when it ended, in seconds and µs.
func appendLogged(all []time.Duration, path string, w window) ([]time.Duration, error) {
	log, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	for lines := bufio.NewScanner(log); lines.Scan(); {
		var client, transaction, took, script, seconds, micros int64
		if n, _ := fmt.Sscan(lines.Text(), &client, &transaction, &took, &script, &seconds, &micros); n != 6 {
			return nil, fmt.Errorf("pgbench's log: %q", lines.Text())
		}
		if ended := time.Unix(seconds, micros*1e3); ended.After(w.from) && !ended.After(w.to) {
			all = append(all, time.Duration(took)*time.Microsecond)
		}
	}
	return all, nil
}

func latencyOf(all []time.Duration) load.Latency {
	if len(all) == 0 {
		return load.Latency{}
	}
	slices.Sort(all)
	at := func(share float64) time.Duration { return all[min(len(all)-1, int(share*float64(len(all))))] }
	var sum time.Duration
	for _, d := range all {
		sum += d
	}
	return load.Latency{P50: at(.5), P90: at(.9), P99: at(.99), P999: at(.999), Max: all[len(all)-1], Mean: sum / time.Duration(len(all))}
}
