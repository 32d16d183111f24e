#!/bin/sh
# Runs a command where this machine can be a Kubernetes node and stays as it is: in mount, PID,
# network, IPC and host name namespaces of its own. They end with their first process, and with them
# every process, mount and network interface; the cgroups and the folder on disk are removed here.
# Inside there is no network but loopback, /run is empty, and what is written to /var/lib and
# /var/log goes to that folder. Arguments: the command.
set -eu
group=schedcp-node
seconds_to_empty=20

# The settings of the machine that a kubelet writes when they are not to its liking.
settings="vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops
	kernel/keys/root_maxkeys kernel/keys/root_maxbytes"

inside() {
	work=$1
	mount --make-rshared /
	for setting in $settings; do
		copy=$work/settings/$setting
		mkdir -p "${copy%/*}"
		cat "/proc/sys/$setting" >"$copy"
		mount --bind "$copy" "/proc/sys/$setting"
	done
	for name in lib log; do
		mkdir -p "$work/$name/upper" "$work/$name/work"
		mount -t overlay overlay "/var/$name" \
			-o "lowerdir=/var/$name,upperdir=$work/$name/upper,workdir=$work/$name/work"
	done
	# An overlay cannot lie on an overlay, so containerd's folder must not.
	for name in containerd kubelet; do
		mkdir -p "$work/$name" "/var/lib/$name"
		mount --bind "$work/$name" "/var/lib/$name"
	done
	mount -t tmpfs -o mode=755 tmpfs /run
	ip link set lo up
	: >/run/schedcp-apart
}

hierarchies() {
	awk '$3 == "cgroup" || $3 == "cgroup2" { print $2 }' /proc/mounts
}

# One cgroup after another, the deepest first; fails while one of them has a process.
remove_groups() {
	for root in $(hierarchies); do
		test ! -d "$root/$group" || find "$root/$group" -depth -type d -exec rmdir {} + || return 1
	done
}

make_groups() {
	for root in $(hierarchies); do
		mkdir "$root/$group"
	done
}

# What the kubelet enables in the root of the unified hierarchy is disabled again.
restore_controllers() {
	test -f /sys/fs/cgroup/cgroup.subtree_control || return 0
	for controller in $(cat /sys/fs/cgroup/cgroup.subtree_control); do
		case " $controllers " in
		*" $controller "*) ;;
		*) echo "-$controller" >/sys/fs/cgroup/cgroup.subtree_control ;;
		esac
	done
}

leave() {
	status=$?
	trap - EXIT
	left=$((seconds_to_empty * 10))
	until remove_groups 2>/dev/null; do
		left=$((left - 1))
		if [ $left -le 0 ]; then
			remove_groups || status=1
			break
		fi
		sleep 0.1
	done
	restore_controllers || status=1
	rm -rf --one-file-system "$work" || status=1
	exit $status
}

if [ "${1:-}" = --inside ]; then
	inside "$2"
	shift 2
	# As a child: the first process of the namespace takes in orphans.
	"$@"
	exit $?
fi

if [ "$(id -u)" != 0 ]; then
	echo "$0: a node needs root" >&2
	exit 1
fi
# All that runs in here has the lock as well, so that it is free when the last of them has gone.
exec 9</sys/fs/cgroup
if ! flock --nonblock 9; then
	echo "$0: another node runs on this machine; wait until it has ended" >&2
	exit 1
fi
place=${TMPDIR:-/var/tmp}
# Of one that was killed before it could clean up.
remove_groups
rm -rf --one-file-system "$place"/schedcp-node.*
controllers=$(cat /sys/fs/cgroup/cgroup.subtree_control 2>/dev/null || true)
work=$(mktemp -d "$place/schedcp-node.XXXXXX")
trap leave EXIT
trap 'exit 130' INT TERM
make_groups
setpriv --pdeathsig KILL unshare --mount --pid --net --ipc --uts --fork --kill-child --mount-proc \
	"$0" --inside "$work" "$@"
