package doctor

import (
	"fmt"
	"syscall"
)

// minDescriptors is the least limit of open files without a warning. A proxied request takes two,
// the client's connection and the site's, and an idle client one for up to five minutes. This
// leaves room for some 4000 requests at a time.
const minDescriptors = 8192

// fileDescriptors checks the limit of open files of this process. Go raises the soft limit to the
// hard one when a process starts, so this is what an edge gets that is started the same way.
func (r *Report) fileDescriptors() {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		r.ok(aboutDescriptors, "the limit of open files cannot be read: %v", err)
		return
	}
	r.compareDescriptors(limit.Max)
}

const aboutDescriptors = "file-descriptors"

func (r *Report) compareDescriptors(limit uint64) {
	if limit >= minDescriptors {
		r.ok(aboutDescriptors, "a process that is started as this one may open %d files", min(limit, 1<<30))
		return
	}
	r.warn(aboutDescriptors, fmt.Sprintf("a process that is started as this one may open only %d files: an edge would "+
		"serve at most %d requests at a time, because each takes two", limit, limit/2),
		"set LimitNOFILE=65536 in the edge's systemd unit, --ulimit nofile=65536 for docker run, "+
			"or ulimit -n 65536 in the shell")
}
