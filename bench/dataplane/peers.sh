# The three programs that bench/dataplane/run.sh measures: started on the last CPU, asked what they
# sent, checked, stopped. Sourced by it; uses its work, ns, last, bench and seconds. What runs is
# known by peer_pid and peer_tid (the thread that forwards).
peer_pid='' peer_tid='' peer_kind=''

# thread_find PATTERN: the id of the thread of peer_pid with that name
thread_find() {
	local t
	for t in /proc/"$peer_pid"/task/*; do
		# shellcheck disable=SC2053
		[[ $(cat "$t/comm" 2>/dev/null) == $1 ]] && { echo "${t##*/}"; return 0; }
	done
	return 1
}

# wait_for SECONDS COMMAND...: until it succeeds
wait_for() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] && kill -0 "$peer_pid" 2>/dev/null || return 1
		sleep 0.1
	done
}

# ask LINE: send it to the program's standard input
ask() { echo "$1" >&"${to_peer}"; }

# answer SECONDS PATTERN: the next line of its output that matches
answer() {
	local line
	while IFS= read -r -t "$1" line <&"${from_peer}"; do
		# shellcheck disable=SC2053
		[[ $line == $2 ]] && { echo "$line"; return 0; }
	done
	return 1
}

# talk_start COMMAND...: run it with its input and output in our hands
talk_start() {
	rm -f "$work/in" "$work/out"
	mkfifo "$work/in" "$work/out"
	ip netns exec "$ns" "$@" <"$work/in" >"$work/out" 2>"$work/log" &
	peer_pid=$!
	exec {to_peer}>"$work/in" {from_peer}<"$work/out"
}

testpmd_start() {
	local program
	program=$(command -v dpdk-testpmd) || { fail "no dpdk-testpmd"; return 1; }
	talk_start stdbuf -oL "$program" --in-memory --no-pci --lcores "0,1@$last" --no-telemetry \
		--vdev "net_pcap0,rx_pcap=$work/$1.pcap,infinite_rx=1" --vdev net_null0,no-rx=1 -- \
		--total-num-mbufs=131072 --forward-mode=io --no-flush-rx --burst=32 --interactive
	ask start
	answer 30 '*forwarding*' >/dev/null || return 1
	peer_tid=$(thread_find '*worker*1')
}

testpmd_sent() {
	local line
	ask 'show port stats 1'
	line=$(answer 10 '*TX-packets:*') || return 1
	set -- $line
	echo "$2"
}

audums_start() {
	BENCH_HUGE=1 talk_start "$bench" run "$1" "$work/$1.pcap"
	answer 60 ready >/dev/null || return 1
	peer_tid=$(thread_find '*worker*1') || return 1
	taskset -p -c "$last" "$peer_tid" >/dev/null && taskset -p -c 0 "$peer_pid" >/dev/null
}

audums_sent() {
	local line
	ask count
	line=$(answer 10 'sent *') || return 1
	set -- $line
	echo "$2"
}

# every frame must have left
audums_check() {
	local c=$1 line
	ask count
	line=$(answer 10 'sent *')
	set -- $line
	[ $# -gt 0 ] || { fail "audums did not answer in case $c"; return 1; }
	[ $# = 2 ] || { fail "audums dropped frames in case $c: $line"; return 1; }
}

# "node cycles ... sent frames" as cycles a frame
peer_nodes() {
	ask nodes
	answer 10 '*sent *' | awk '{ for (i = 1; i < NF - 1; i += 2)
		if ($(i + 1) / $NF >= 0.1) printf "%s %.1f  ", $i, $(i + 1) / $NF }'
}

# an array, as a function in the background would be a shell between us and the program
in_ovs=(ip netns exec "$ns" env OVS_RUNDIR="$work/ovs" OVS_DBDIR="$work/ovs")
ovs_ctl() { "${in_ovs[@]}" "$@"; }
vsctl() { ovs_ctl ovs-vsctl --db="unix:$work/ovs/db.sock" --timeout=30 "$@"; }
appctl() { ovs_ctl ovs-appctl -t "$work/ovs/vswitchd.ctl" "$@"; }

# Its database, its server, DPDK with one polling thread; nothing of Debian's service is used.
ovs_daemons() {
	local vswitchd=/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk schema
	schema=/usr/share/openvswitch/vswitch.ovsschema
	[ -x $vswitchd ] || { fail "no $vswitchd"; return 1; }
	mkdir -p "$work/ovs"
	rm -rf "$work/ovs"/*
	ovsdb-tool create "$work/ovs/conf.db" $schema || return 1
	"${in_ovs[@]}" ovsdb-server "$work/ovs/conf.db" --remote="punix:$work/ovs/db.sock" \
		--unixctl="$work/ovs/db.ctl" >"$work/db.log" 2>&1 &
	peer_db=$!
	peer_pid=$peer_db
	wait_for 10 test -S "$work/ovs/db.sock" || return 1
	vsctl --no-wait init || return 1
	vsctl --no-wait set Open_vSwitch . other_config:dpdk-init=true \
		other_config:dpdk-lcore-mask=0x1 other_config:dpdk-socket-mem=1024 \
		other_config:pmd-cpu-mask="$(printf '0x%x' $((1 << last)))" \
		other_config:flow-limit=300000 other_config:max-idle=60000 \
		other_config:dpdk-extra="--in-memory --no-pci --no-telemetry" || return 1
	"${in_ovs[@]}" $vswitchd "unix:$work/ovs/db.sock" --unixctl="$work/ovs/vswitchd.ctl" \
		--log-file="$work/ovs/vswitchd.log" >"$work/log" 2>&1 &
	peer_pid=$!
	wait_for 30 appctl version
}

# ovs_device BRIDGE NAME DEVARGS
ovs_device() {
	vsctl add-port "$1" "$2" -- set Interface "$2" type=dpdk "options:dpdk-devargs=\"$3\""
}

ovs_start() {
	local in=br-int out=br-phy i
	local pcap="net_pcap0,rx_pcap=$work/$1.pcap,infinite_rx=1" null=net_null0,no-rx=1
	ovs_daemons || return 1
	case $1 in
	decap*) in=br-phy out=br-int ;;
	transit*) out=br-int ;;
	esac
	vsctl add-br br-int -- set Bridge br-int datapath_type=netdev fail-mode=secure &&
		vsctl add-br br-phy -- set Bridge br-phy datapath_type=netdev fail-mode=secure \
			"other-config:hwaddr=\"02:aa:00:00:00:01\"" || return 1
	for ((i = 0; i < 8; i++)); do
		vsctl add-port br-int "vx$i" -- set Interface "vx$i" type=vxlan \
			options:local_ip=10.254.1.1 "options:remote_ip=10.254.2.$((i + 1))" \
			options:key=10010 || return 1
	done
	ip -n "$ns" addr replace 10.254.1.1/32 dev br-phy &&
		ip -n "$ns" addr replace 10.0.0.2/24 dev br-phy && ip -n "$ns" link set br-phy up &&
		ip -n "$ns" route replace 10.254.2.0/24 via 10.0.0.1 src 10.254.1.1 || return 1
	appctl tnl/neigh/set br-phy 10.0.0.1 02:bb:00:00:00:01 >/dev/null || return 1
	# the way out first: frames come as soon as the other device is there
	ovs_device $out out "$null" || return 1
	if [ $out = br-phy ]; then
		ovs_ctl ovs-ofctl add-flow br-phy "in_port=LOCAL,actions=output:out" || return 1
	elif [ $in = br-phy ]; then
		ovs_ctl ovs-ofctl add-flow br-phy "actions=LOCAL" || return 1
	fi
	ovs_device $in in "$pcap" || return 1
	"$bench" rules "$1" >"$work/rules" && ovs_ctl ovs-ofctl --names add-flows br-int "$work/rules" ||
		return 1
	peer_tid=$(thread_find 'pmd-*') || return 1
	ovs_settle
}

ovs_flow_count() { appctl dpctl/show netdev@ovs-netdev | awk '/flows:/ { print $2; exit }'; }

# until the datapath has met every flow
ovs_settle() {
	local before=-1 now end=$((SECONDS + 60))
	while [ $SECONDS -lt $end ]; do
		now=$(ovs_flow_count) || return 1
		[ "$now" = "$before" ] && [ "$now" -gt 0 ] && return 0
		before=$now
		sleep 1
	done
	fail "OVS still makes new flows after a minute"
	return 1
}

ovs_sent() {
	appctl dpctl/show -s netdev@ovs-netdev | awk '/^ *port [0-9]+: / { out = ($3 == "out") }
		out && /TX packets:/ { sub("packets:", "", $2); print $2; exit }'
}

# The datapath does what was asked of it, and to nearly all frames that came.
ovs_check() {
	local want='' all
	case $1 in encap* | flood*) want=tnl_push ;; decap*) want=tnl_pop ;; esac
	appctl dpctl/dump-flows netdev@ovs-netdev >"$work/flows" || return 1
	if [ -n "$want" ] && ! grep -q "$want" "$work/flows"; then
		fail "OVS has no $want in its flows in case $1:"
		head -3 "$work/flows" >&2
		return 1
	fi
	all=$(grep -c . "$work/flows")
	if grep -q 'actions:drop' "$work/flows" && [ "$(grep -c 'actions:drop' "$work/flows")" -gt $((all / 100)) ]; then
		fail "OVS drops flows in case $1:"
		grep 'actions:drop' "$work/flows" | head -3 >&2
		return 1
	fi
}

testpmd_check() { :; }

# peer_start PEER CASE
peer_start() {
	peer_kind=$1
	"$1_start" "$2" && [ -n "$peer_tid" ] && return 0
	fail "$1 does not start in case $2:"
	tail -5 "$work/log" >&2
	return 1
}

peer_sent() { "${peer_kind}_sent"; }
peer_check() { "$1_check" "$2"; }

peer_stop() {
	[ -n "$peer_pid" ] && kill "$peer_pid" 2>/dev/null && wait "$peer_pid" 2>/dev/null
	[ -n "${peer_db:-}" ] && kill "$peer_db" 2>/dev/null && wait "$peer_db" 2>/dev/null
	[ -n "${to_peer:-}" ] && exec {to_peer}>&- {from_peer}<&-
	peer_pid='' peer_tid='' peer_db='' to_peer='' from_peer=''
	return 0
}
