package devserver

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// serverUser is the user that servers run as: the current one unless that is root, because Postgres
// does not run as root.
type serverUser struct {
	current  bool
	name     string
	uid, gid uint32
}

func findServerUser() (serverUser, error) {
	if os.Geteuid() != 0 {
		return serverUser{current: true}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		if account, err := user.Lookup(name); err == nil {
			return newServerUser(account)
		}
	}
	return serverUser{}, errors.New("servers do not run as root, and neither user postgres nor nobody exists")
}

func newServerUser(account *user.User) (serverUser, error) {
	uid, uidErr := parseID(account.Uid)
	gid, gidErr := parseID(account.Gid)
	if err := errors.Join(uidErr, gidErr); err != nil {
		return serverUser{}, fmt.Errorf("user %s: %w", account.Username, err)
	}
	return serverUser{name: account.Username, uid: uid, gid: gid}, nil
}

// parseID parses a numeric id, which may be negative: macOS's nobody is -2.
func parseID(text string) (uint32, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	return uint32(id), err
}

// credential returns what a command needs to run as this user; nil for the current user.
func (u serverUser) credential() *syscall.Credential {
	if u.current {
		return nil
	}
	return &syscall.Credential{Uid: u.uid, Gid: u.gid}
}

// chown makes the user the owner of a directory.
func (u serverUser) chown(dir string) error {
	if u.current {
		return nil
	}
	return os.Chown(dir, int(u.uid), int(u.gid))
}

// dirMode returns the mode of a directory that holds directories of the server's user.
func (u serverUser) dirMode() os.FileMode {
	if u.current {
		return 0o700
	}
	return 0o711
}

// checkAccess returns an error if the user may not enter a directory or one of its parents.
func (u serverUser) checkAccess(dir string) error {
	if u.current {
		return nil
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		owns := ok && stat.Uid == u.uid
		if info.Mode()&0o001 == 0 && !owns {
			return fmt.Errorf("the server's user %s may not enter %s: choose another directory", u.name, dir)
		}
	}
	return nil
}
