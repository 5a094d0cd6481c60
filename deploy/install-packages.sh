#!/bin/bash
# Installs the Debian packages that deploy/packages.txt names, as far as they are missing. Needs no
# network when all are there. Services of packages that are installed (frr above all) are kept from
# starting, now and at boot: a lab runs its own.
#
# usage: install-packages.sh [--check] [--with SECTION]
#   --check         install nothing; list what is missing, exit status 1 when anything is
#   --with SECTION  also what the list has under [SECTION], which nobody else needs
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
list=$here/packages.txt
policy=/usr/sbin/policy-rc.d
section=

say() { echo "install-packages: $*"; }
die() { echo "install-packages: $*" >&2; exit 1; }

installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Whether apt knows a package that can be installed.
available() {
	[ -n "$(apt-cache policy "$1" 2>/dev/null | sed -n '/^  Candidate: [^(]/p')" ]
}

# The package of a line "a|b" that is there; empty when none is.
present_of() {
	local p
	for p in ${1//|/ }; do
		if installed "$p"; then echo "$p"; return; fi
	done
}

# The first package of a line "a|b" that apt knows.
choice_of() {
	local p
	for p in ${1//|/ }; do
		if available "$p"; then echo "$p"; return; fi
	done
}

missing_lines() {
	local line part=
	while read -r line _; do
		case $line in
		'' | '#'*) continue ;;
		'['*']') part=${line:1:-1}; continue ;;
		esac
		[ -z "$part" ] || [ "$part" = "$section" ] || continue
		[ -n "$(present_of "$line")" ] || echo "$line"
	done <"$list"
}

# Services must not start while packages are installed; the policy of before comes back in any case.
guard_set() {
	guard_saved=
	if [ -e $policy ] || [ -L $policy ]; then
		guard_saved=$(mktemp -d)
		cp -a $policy "$guard_saved/policy"
		rm -f $policy
	fi
	printf '#!/bin/sh\n# no service starts while Audums installs packages\nexit 101\n' >$policy
	chmod 755 $policy
	trap guard_restore EXIT
}

guard_restore() {
	rm -f $policy
	if [ -n "$guard_saved" ]; then
		cp -a "$guard_saved/policy" $policy
		rm -rf "$guard_saved"
	fi
}

# Debian enables these for the next boot; only a host that had them before keeps them.
services_disable() {
	local s
	for s in "$@"; do
		if [ -n "$(command -v systemctl || true)" ] && [ -d /run/systemd/system ]; then
			systemctl disable "$s" >/dev/null 2>&1 || true
		elif [ -x "/etc/init.d/$s" ]; then
			update-rc.d "$s" disable >/dev/null 2>&1 || true
		fi
	done
}

main() {
	local line p missing=() packages=() unknown=() services=() check=no

	while [ $# -gt 0 ]; do
		case $1 in
		--check) check=yes ;;
		--with)
			section=${2:?$1 needs a value}
			grep -qxF "[$section]" "$list" || die "no section $section in $list"
			shift
			;;
		*) die "unknown option $1" ;;
		esac
		shift
	done

	[ -f "$list" ] || die "$list is not there"
	[ -n "$(command -v dpkg-query || true)" ] ||
		die "this is no Debian: install by hand what $list names"
	mapfile -t missing < <(missing_lines)
	if [ ${#missing[@]} -eq 0 ]; then
		say "all packages are there"
		return 0
	fi
	if [ $check = yes ]; then
		printf '%s\n' "${missing[@]}"
		return 1
	fi
	[ "$(id -u)" = 0 ] || die "missing: ${missing[*]}; installing them needs root (sudo)"
	for p in frr openvswitch-switch; do
		installed $p || services+=("$p")
	done
	say "missing: ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	# apt's lists may never have been fetched, or be old
	apt-get update -qq || say "apt-get update failed; trying with the lists that are there"
	for line in "${missing[@]}"; do
		p=$(choice_of "$line")
		if [ -n "$p" ]; then packages+=("$p"); else unknown+=("$line"); fi
	done
	[ ${#unknown[@]} -eq 0 ] || die "apt knows none of: ${unknown[*]} (is this Debian 12 or newer?)"
	guard_set
	apt-get install -y --no-install-recommends "${packages[@]}" >/tmp/audums-apt.$$.log 2>&1 || {
		tail -30 /tmp/audums-apt.$$.log >&2
		rm -f /tmp/audums-apt.$$.log
		die "apt-get install failed; its last lines stand above"
	}
	rm -f /tmp/audums-apt.$$.log
	services_disable "${services[@]}"
	say "installed ${packages[*]}"
}

main "$@"
