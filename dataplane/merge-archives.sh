#!/bin/sh
# Merge static libraries into one, so that the build system can treat it as a single target.
# usage: merge-archives.sh OUTPUT INPUT.a...
set -e
out=$1
shift
rm -f "$out"
{
	echo "create $out"
	for archive; do
		echo "addlib $archive"
	done
	echo save
	echo end
} | ar -M
