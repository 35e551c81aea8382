package cli

// DevCaddyfile returns the Caddyfile of `caddy hoko dev`.
func DevCaddyfile(dir string, port int, hosts ...string) string {
	e := devEdge{dir: dir, port: port, hosts: hosts}
	return e.caddyfile()
}

const MaxSocketPath = maxSocketPath

var FreeLoopback = freeLoopback
