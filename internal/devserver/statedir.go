package devserver

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// StateDir returns the directory for development data and creates it if missing. It is
// $XDG_STATE_HOME/hoko-edge if that is an absolute path, else ~/.local/state/hoko-edge, or on macOS
// ~/Library/Application Support/hoko-edge. For root it is /var/lib/hoko-edge, because the servers
// do not run as root and may not enter root's home.
func StateDir() (string, error) {
	base, err := stateBase()
	if err != nil {
		return "", fmt.Errorf("state directory: %w", err)
	}
	user, err := findServerUser()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(base, "hoko-edge")
	if err := os.MkdirAll(base, 0o755); err != nil {
		return "", fmt.Errorf("state directory: %w", err)
	}
	if err := os.MkdirAll(dir, user.dirMode()); err != nil {
		return "", fmt.Errorf("state directory: %w", err)
	}
	return dir, nil
}

func stateBase() (string, error) {
	if base := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(base) {
		return base, nil
	}
	if os.Geteuid() == 0 {
		return "/var/lib", nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	if runtime.GOOS == "darwin" {
		return filepath.Join(home, "Library", "Application Support"), nil
	}
	return filepath.Join(home, ".local", "state"), nil
}
