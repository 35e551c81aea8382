#!/bin/sh
# Runs the command of the container. Volumes of Caddy's own image belong to root, and Caddy's errors
# about files that it may not write do not name the fix. This does; it goes on, because plain HTTP
# needs no such file.
check() {
	for path; do
		if [ -e "$path" ] && [ ! -w "$path" ]; then
			echo "hoko-edge: user $(id -u) cannot write $path. Once, as root:" \
				"docker run --rm --user 0 --volume VOLUME:$home IMAGE chown -R $(id -u):$(id -g) $home" >&2
			return
		fi
	done
}
for home in "$XDG_DATA_HOME" "$XDG_CONFIG_HOME"; do
	if [ -e "$home/caddy" ]; then
		check "$home/caddy" "$home/caddy"/*
	else
		check "$home"
	fi
done
exec "$@"
