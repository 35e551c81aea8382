// Package reload tests that reloads and stops lose no request, keep caches and connections, and
// leave nothing behind.
package reload
