#!/bin/sh
# Runs the container's command. First, it names the fix if the user cannot write Caddy's files, as
# in volumes that Caddy's own image created. It goes on, because plain HTTP needs no files.
check() {
	for path; do
		if [ -e "$path" ] && [ ! -w "$path" ]; then
			echo "hoko-edge: user $(id -u) cannot write $path. Run once:" \
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
