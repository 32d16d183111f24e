# PID 1 of a guest in which the loader holds a stock scheduler's program: prints what the loader said,
# behind a tab, then what the program said of its scheduler, and last the kernel's state.
export PATH=/bin
mkdir -p /dev /proc /sys /run /var/run/scx
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs run /run
mount -t cgroup2 cgroup /sys/fs/cgroup
mount -t tracefs tracefs /sys/kernel/tracing
mount -t bpf bpf /sys/fs/bpf
. /guest/trial
SX=/sys/kernel/sched_ext
SOCKET=/var/run/scx/root/stats
DEADLINE=4800 # polls of 50 ms

# until COMMAND...: poll until it succeeds, or until the deadline.
until_() {
	polls=0
	until "$@"; do
		polls=$((polls + 1))
		[ $polls -lt $DEADLINE ] || return 1
		usleep 50000
	done
}

settled() {
	grep -qE '"event":"(attached|error|detached)"' /run/out
}

# shellcheck disable=SC2086 -- the words are words
schedcp-loader --program "$PROGRAM" --ops "$OPS" --digest "$DIGEST" --lease-ms 0 --rt-priority 50 \
	--timeout-ms 10000 -- $WORDS >/run/out 2>/run/err &
loader=$!
until_ settled
until_ [ -S $SOCKET ]
statistics-client $SOCKET 3 >/run/answers
kill -TERM $loader
wait $loader
echo "status $?" >>/run/answers
echo "state $(cat $SX/state)" >>/run/answers
exec 3>/dev/vport0p1
sed 's/^/	/' /run/out >&3
cat /run/answers >&3
tail -n 5 /run/err | sed 's/^/error /' >&3
poweroff -f
