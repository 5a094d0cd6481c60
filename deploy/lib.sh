# What quickstart.sh and test.sh share. Sourced by them; sets `root` to the source tree.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

if [ -t 2 ] && [ -z "${NO_COLOR:-}" ]; then
	bold=$'\e[1m' red=$'\e[31m' plain=$'\e[0m'
else
	bold='' red='' plain=''
fi

step() { echo "${bold}==> $*${plain}" >&2; }
fail() { echo "${red}$*${plain}" >&2; }

# need_machine MEGABYTES: say everything that this machine lacks, and return 1 when it lacks any.
need_machine() {
	local ok=0 have
	if [ "$(id -u)" != 0 ]; then
		fail "not root: namespaces and devices need it (sudo $0)"
		ok=1
	fi
	if [ ! -c /dev/net/tun ]; then
		[ "$(id -u)" = 0 ] && modprobe tun 2>/dev/null || true
	fi
	if [ ! -c /dev/net/tun ]; then
		fail "no /dev/net/tun: load the kernel's module tun (modprobe tun), or give the" \
			"container the device"
		ok=1
	fi
	have=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
	if [ "$have" -lt "$1" ]; then
		fail "not enough memory: $have MB are available, about $1 MB are needed"
		ok=1
	fi
	return $ok
}

# build DIR [setup option...]: configure once, build (all, or $TARGET); the log is shown only when it fails.
build() {
	local dir=$root/$1 log
	shift
	log=$(mktemp)
	# a build tree that was made at another place is of no use
	if [ -d "$dir" ] && ! grep -qs "\"source\": \"$root\"" "$dir/meson-info/meson-info.json"; then
		rm -rf "$dir"
	fi
	if [ ! -f "$dir/build.ninja" ]; then
		rm -rf "$dir"
		meson setup "$dir" "$root" "$@" >"$log" 2>&1 || {
			tail -40 "$log" >&2
			rm -f "$log"
			fail "configuring failed (meson setup $dir)"
			return 1
		}
	fi
	ninja -C "$dir" ${JOBS:+-j$JOBS} ${TARGET:-} >"$log" 2>&1 || {
		grep -E 'error|FAILED|undefined' "$log" | head -40 >&2 || tail -40 "$log" >&2
		rm -f "$log"
		fail "building failed (ninja -C $dir)"
		return 1
	}
	rm -f "$log"
}
