# What ends the loader, and what it refuses; after loader-guest.sh.
policy() {
	cut -d' ' -f41 "/proc/$1/stat"
}

is_real_time() {
	[ "$(policy 1)" != 0 ]
}

start /objects/simple_fifo.o --lease-ms 3000
until_ said attached
report lease-attached 0 "$(state)"
until_ is_real_time
report lease-late "$(policy 1)" "$(state)"
sleep 1000 &
report lease-started "$(policy $!)" "$(state)"
kill $!
finish lease
report lease-after "$(policy 1)" "$(state)"

start /objects/simple_fifo.o --lease-ms 3000
until_ said attached
for _ in 1 2 3 4 5 6 7 8; do
	echo >&4
	usleep 900000
done
report renewed "$(policy 1)" "$(state)"
exec 4>&-
finish parent-gone

start /objects/simple_fifo.o --lease-ms 60000
until_ said attached
kill -TERM $loader
finish terminated

start /objects/simple_fifo.o --lease-ms 60000
until_ said attached
kill -KILL $loader
finish killed

start /objects/simple_fifo.o --lease-ms 60000
until_ said attached
schedcp-loader --object /objects/simple_fifo.o --digest "sha256:$(digest /objects/simple_fifo.o)" \
	--lease-ms 0 >/run/second 2>/run/err
report second $? "$(state)"
kill -TERM $loader
finish first

for refused in extra_kprobe bad_map; do
	start /objects/$refused.o --lease-ms 60000
	finish $refused
done

start /objects/simple_fifo.o --lease-ms 60000 --knob no_such_knob=1
finish knob

before=$(digest /objects/simple_fifo.o)
cp /objects/simple_fifo.o /run/flipped.o
printf '\377' | dd of=/run/flipped.o bs=1 seek=4000 conv=notrunc 2>/run/err
schedcp-loader --object /run/flipped.o --digest "sha256:$before" --lease-ms 0 >/run/out 2>/run/err
report flipped $? "$(state)"

sequence=$(cat $SX/enable_seq)
schedcp-loader --object /objects/simple_fifo.o --digest "sha256:$before" --lease-ms 60000 \
	</dev/null >/run/out 2>/run/err
report unwanted $? "$(state)"
echo "unwanted-enabled $(($(cat $SX/enable_seq) - sequence)) -" >>/run/results

sequence=$(cat $SX/enable_seq)
start /objects/simple_fifo.o --lease-ms 60000
until_ said opened
kill -TERM $loader
finish stopped-early
echo "stopped-early-enabled $(($(cat $SX/enable_seq) - sequence)) -" >>/run/results

# A file for a map that the scheduler has is read, and read again at SIGHUP.
echo '1 5000000000' >/run/expected
echo 1 >/run/targets
start /objects/long_tail.o --lease-ms 60000 --expected-file /run/expected \
	--target-cgroups-file /run/targets
until_ said attached
echo '2 soon' >/run/expected
kill -HUP $loader
until_ grep -q InputRefused /run/out
kill -TERM $loader
finish expected

sequence=$(cat $SX/enable_seq)
start /objects/long_tail.o --lease-ms 60000 --expected-file /run/expected
finish malformed
echo "malformed-enabled $(($(cat $SX/enable_seq) - sequence)) -" >>/run/results

# The same file says nothing to a scheduler without the map.
start /objects/simple_fifo.o --lease-ms 60000 --expected-file /run/expected
until_ said attached
kill -TERM $loader
finish unneeded

start /objects/late_stall.o --lease-ms 60000 --knob healthy_seconds=1
finish stalled

start /objects/untold_stall.o --lease-ms 60000
finish untold

# A program that loads its scheduler by itself is held as an object is.
PROGRAM=/programs/simple_fifo

# start_program OPS ARGUMENTS...: what stands behind -- is the program's.
start_program() {
	ops=$1
	shift
	exec 4<>/run/renew
	: >/run/out
	schedcp-loader --program $PROGRAM --ops "$ops" --digest "sha256:$(digest $PROGRAM)" \
		--rt-priority 50 --timeout-ms 5000 "$@" </run/renew 4>&- >>/run/out 2>/run/err &
	loader=$!
}

child() {
	sed 's/ .*//' "/proc/$loader/task/$loader/children"
}

is_gone() {
	[ ! -d "/proc/$program" ]
}

# finish_program CASE: as finish, and tell whether the program is gone: 0 when it is.
finish_program() {
	finish "$1"
	until_ is_gone
	gone=$?
	report "$1-program" $gone "$(state)"
}

start_program schedcp_simple_fifo --lease-ms 60000 -- --slice-us 5000
until_ said attached
program=$(child)
report program-policy "$(policy "$program")" "$(state)"
tr '\0' '\n' <"/proc/$program/environ" | sort >/run/found
printf 'LC_ALL=C\nPATH=/usr/bin:/bin\nSCX_TIMEOUT_MS=5000\n' | cmp -s - /run/found
report program-environment $? "$(state)"
tr '\0' ' ' <"/proc/$program/cmdline" >/run/found
printf '%s --slice-us 5000 ' $PROGRAM | cmp -s - /run/found
report program-words $? "$(state)"
kill -TERM $loader
finish_program program-terminated

start_program schedcp_simple_fifo --lease-ms 60000
until_ said attached
program=$(child)
kill -KILL $loader
finish_program program-killed

start_program schedcp_simple_fifo --lease-ms 3000
until_ said attached
program=$(child)
finish_program program-lease

start_program schedcp_simple_fifo --lease-ms 60000
until_ said attached
program=$(child)
exec 4>&-
finish_program program-parent-gone

start_program schedcp_simple_fifo --lease-ms 60000
until_ said attached
program=$(child)
kill -KILL "$program"
finish_program program-shot

start_program schedcp_simple_fifo --lease-ms 60000 -- --exit-after 2
until_ said attached
program=$(child)
finish_program program-left

start_program schedcp_simple_fifo --lease-ms 60000 -- --no-such-word
finish program-words-refused

start_program schedcp_other --lease-ms 60000
finish program-name

cp $PROGRAM /run/program
before=$(digest $PROGRAM)
printf '\377' | dd of=/run/program bs=1 seek=4000 conv=notrunc 2>/run/err
schedcp-loader --program /run/program --ops schedcp_simple_fifo --digest "sha256:$before" \
	--lease-ms 0 >/run/out 2>/run/err
report program-flipped $? "$(state)"

schedcp-loader --program $PROGRAM --ops schedcp_simple_fifo --digest "sha256:$before" \
	--lease-ms 60000 </dev/null >/run/out 2>/run/err
report program-unwanted $? "$(state)"

# What is no program at all is not started; one that attaches nothing is waited for.
PROGRAM=/run/nonsense
echo nonsense >$PROGRAM
start_program schedcp_waited_for --lease-ms 60000
finish program-nonsense

PROGRAM=/run/sleep
cp /bin/busybox $PROGRAM
sleeps() {
	program=$(child) && grep -q "^$PROGRAM" "/proc/$program/cmdline"
}

start_program schedcp_waited_for --lease-ms 60000 -- 1000
until_ sleeps
echo 'sched_ext: BPF scheduler "schedcp_waited_for" disabled (runtime error)' >/dev/kmsg
kill -KILL "$program"
finish_program program-ejected

seconds() {
	cut -d. -f1 /proc/uptime
}

start_program schedcp_waited_for --lease-ms 60000 -- 1000
until_ sleeps
/programs/simple_fifo >/run/foreigner 2>&1 &
foreigner=$!
until_ is enabled
began=$(seconds)
wait $loader
report program-foreigner $? "$(state)"
echo "program-foreigner-seconds $(($(seconds) - began)) -" >>/run/results
kill -TERM $foreigner
wait $foreigner

done_
