// Package devserver starts and supervises a private Postgres and a private Redis from the machine's
// own binaries, for development and tests. They listen on Unix sockets in a private directory,
// never run as root, and end with the process that started them, even if it is killed.
package devserver
