#!/bin/sh
# Runs a command in an image's root as a restricted pod runs it: nobody of the image's own choice,
# without capabilities or a way to get any, the root read-only. To be run as root in a mount
# namespace of its own.
# Arguments: ROOT USER, for each volume `empty PLACE`, `copy PLACE FOLDER` or `bind PLACE FOLDER`
# (the last two are read-only), --, the command.
set -eu
root=$1 user=$2
shift 2
mount --bind "$root" "$root"
while [ "$1" != -- ]; do
	kind=$1
	# Links, such as /var/run, are the image's: outside they would lead to this machine's folders.
	place=$root$(chroot "$root" realpath -m "$2")
	shift 2
	mkdir -p "$place"
	if [ "$kind" = bind ]; then
		mount --bind "$1" "$place"
		mount -o remount,bind,ro "$place"
		shift
		continue
	fi
	mount -t tmpfs -o mode=755,uid="$user",gid="$user" tmpfs "$place"
	if [ "$kind" = copy ]; then
		cp -rL "$1/." "$place/"
		chmod -R a+rX "$place"
		mount -o remount,ro "$place"
		shift
	fi
done
shift
mount --rbind /dev "$root/dev"
mount --rbind /proc "$root/proc"
mount -o remount,bind,ro "$root"
exec chroot "$root" setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs \
	--inh-caps=-all --bounding-set=-all -- "$@"
