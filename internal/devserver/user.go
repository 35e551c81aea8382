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

// serverUser is whom the servers run as: us, unless we are root, as Postgres refuses to.
type serverUser struct {
	isUs     bool
	name     string
	uid, gid uint32
}

func findServerUser() (serverUser, error) {
	if os.Geteuid() != 0 {
		return serverUser{isUs: true}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		if account, err := user.Lookup(name); err == nil {
			return newServerUser(account)
		}
	}
	return serverUser{}, errors.New("servers do not run as root, and there is no user postgres or nobody to run them as")
}

func newServerUser(account *user.User) (serverUser, error) {
	uid, uidErr := parseID(account.Uid)
	gid, gidErr := parseID(account.Gid)
	if err := errors.Join(uidErr, gidErr); err != nil {
		return serverUser{}, fmt.Errorf("user %s: %w", account.Username, err)
	}
	return serverUser{name: account.Username, uid: uid, gid: gid}, nil
}

// parseID reads a numeric id: macOS's nobody is -2.
func parseID(text string) (uint32, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	return uint32(id), err
}

// credential is what a command needs to run as this user: nothing where that is us.
func (u serverUser) credential() *syscall.Credential {
	if u.isUs {
		return nil
	}
	return &syscall.Credential{Uid: u.uid, Gid: u.gid}
}

// own gives a directory to the user.
func (u serverUser) own(dir string) error {
	if u.isUs {
		return nil
	}
	return os.Chown(dir, int(u.uid), int(u.gid))
}

// passableMode is that of a directory of ours with the user's own below it.
func (u serverUser) passableMode() os.FileMode {
	if u.isUs {
		return 0o700
	}
	return 0o711
}

// mayEnter refuses a directory that the user cannot reach, and names the one in the way.
func (u serverUser) mayEnter(dir string) error {
	if u.isUs {
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
			return fmt.Errorf("user %s, as whom the server runs, may not enter %s: choose another directory", u.name, dir)
		}
	}
	return nil
}
