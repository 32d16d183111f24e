# Each scheduler of the library in turn, with more work under it than there are CPUs; after
# loader-guest.sh. Half of each pair makes what the other one waits for.
mkfifo /run/questions /run/answers

answered() {
	said attached || ! kill -0 $loader
}

answer() {
	while read -r question; do
		echo "$question"
	done </run/questions >/run/answers
}

ask() {
	asked=0
	while [ $asked -lt 100 ]; do
		echo $asked >&7
		read -r _ <&8
		asked=$((asked + 1))
	done 7>/run/questions 8</run/answers
}

work() {
	answer &
	pairs=$!
	for _ in 1 2 3 4 5 6; do
		dd if=/dev/zero bs=16k count=40 2>/run/err.dd | sha256sum >/run/sums &
		pairs="$pairs $!"
	done
	ask
	wait $pairs
}

for object in /objects/*.o; do
	name=${object##*/}
	name=${name%.o}
	start "$object" --lease-ms 60000
	until_ answered 2>/run/err.kill
	if said attached; then
		work
		report "$name-worked" $? "$(state)"
		kill -TERM $loader
	else
		cat /run/err
	fi
	finish "$name"
done
done_
