package stage

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// page is the response of the site, about 1 kB.
var page = "<!doctype html><title>A page</title><p>" + strings.Repeat("Some text of a page. ", 45) + "\n"

// ServeSite runs the site behind the proxies. It prints its address and returns when stdin ends.
func ServeSite(stdin io.Reader, stdout io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	length := strconv.Itoa(len(page))
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Length", length)
		io.WriteString(w, page)
	}))
	fmt.Fprintln(stdout, l.Addr())
	_, err = io.Copy(io.Discard, stdin)
	return err
}
