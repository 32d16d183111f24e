# The beginning of PID 1 of a guest that loads schedulers: each case prints `CASE STATUS STATE` and
# then, each line behind the case's name, what the loader said. The parent's renewals go through a
# pipe on descriptor 4; what is to be sent home is collected, and sent at the end by `done_`.
export PATH=/bin
mkdir -p /dev /proc /sys /run
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs run /run
mkfifo /run/renew
SX=/sys/kernel/sched_ext
DEADLINE=1200 # polls of 50 ms

state() {
	cat $SX/state
}

# until COMMAND...: poll until it succeeds; at the deadline the case ends as it is.
until_() {
	polls=0
	until "$@"; do
		polls=$((polls + 1))
		[ $polls -lt $DEADLINE ] || return 1
		usleep 50000
	done
}

said() {
	grep -q "\"event\":\"$1\"" /run/out
}

is() {
	[ "$(state)" = "$1" ]
}

digest() {
	sha256sum "$1" | cut -d' ' -f1
}

# start OBJECT ARGUMENTS...: start the loader as a child; its standard input is the pipe.
start() {
	object=$1
	shift
	exec 4<>/run/renew
	: >/run/out
	schedcp-loader --object "$object" --digest "sha256:$(digest "$object")" \
		--rt-priority 50 --timeout-ms 5000 "$@" </run/renew 4>&- >>/run/out 2>/run/err &
	loader=$!
}

# finish CASE: wait for the loader's end and report.
finish() {
	wait $loader
	status=$?
	until_ is disabled
	report "$1" $status "$(state)"
	exec 4>&-
}

report() {
	echo "$1 $2 $3" >>/run/results
	sed -e "s/^/$1	/" /run/out >>/run/results
}

# done_: send home what was collected, and end the guest.
done_() {
	exec 3>/dev/vport0p1
	cat /run/results >&3
	poweroff -f
}
