#!/bin/bash
# Prints intent: one tenant a provider of topology/latvia.yaml and N segments that span all four
# sites, shared out among the tenants. No attachments: a site has four ports, and the demo tenants
# use them.
#
# usage: segments.sh N
set -euo pipefail

n=${1:-}
[[ $n =~ ^[1-9][0-9]*$ ]] || { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2; exit 64; }
providers=(lvrtc lnb ic ldc)

echo "tenants:"
for p in "${providers[@]}"; do
	echo "- {name: many-$p, provider: $p, display_name: Many}"
done
echo "segments:"
for ((i = 0; i < n; i++)); do
	p=${providers[i % 4]}
	echo "- {name: many-$i, provider: $p, tenant: many-$p, sites: [lvrtc, lnb, ic, ldc]," \
		"mtu: 1500, subnets: [10.$((i / 250)).$((i % 250)).0/24]}"
done
