#!/bin/bash
# Installs the Debian packages that deploy/packages.txt names, as far as they are missing. Needs no
# network when all are there. Services of packages that are installed (frr above all) are kept from
# starting, now and at boot: a lab runs its own.
#
# usage: install-packages.sh [--check]
#   --check   install nothing; list what is missing, exit status 1 when anything is
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
list=$here/packages.txt
policy=/usr/sbin/policy-rc.d

say() { echo "install-packages: $*"; }
die() { echo "install-packages: $*" >&2; exit 1; }

installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Whether apt knows a package that can be installed.
available() {
	apt-cache policy "$1" 2>/dev/null | grep -q '^  Candidate: [^(]'
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
	local line
	while read -r line _; do
		case $line in '' | '#'*) continue ;; esac
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

# Debian enables frr for the next boot; only a host that had it before keeps it.
services_disable() {
	local s
	for s in frr openvswitch-switch; do
		if [ -n "$(command -v systemctl || true)" ] && [ -d /run/systemd/system ]; then
			systemctl disable "$s" >/dev/null 2>&1 || true
		elif [ -x "/etc/init.d/$s" ]; then
			update-rc.d "$s" disable >/dev/null 2>&1 || true
		fi
	done
}

main() {
	local line p missing=() packages=() unknown=() frr_before=yes

	[ -f "$list" ] || die "$list is not there"
	[ -n "$(command -v dpkg-query || true)" ] ||
		die "this is no Debian: install by hand what $list names"
	mapfile -t missing < <(missing_lines)
	if [ ${#missing[@]} -eq 0 ]; then
		say "all packages are there"
		return 0
	fi
	if [ "${1:-}" = --check ]; then
		printf '%s\n' "${missing[@]}"
		return 1
	fi
	[ "$(id -u)" = 0 ] || die "missing: ${missing[*]}; installing them needs root (sudo)"
	installed frr || frr_before=no
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
	[ $frr_before = yes ] || services_disable
	say "installed ${packages[*]}"
}

main "$@"
