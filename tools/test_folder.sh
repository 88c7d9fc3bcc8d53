#!/usr/bin/env bash
# Print the folder for temporary files of the tests: memory if there is enough of it, because syncs to a disk
# take a quarter of the time of the tests on servers.
set -euo pipefail
memory=/dev/shm
free_kib=$(df --output=avail "$memory" 2>/dev/null | tail -1 || echo 0)
if [ -w "$memory" ] && [ "${free_kib:-0}" -gt $((6 * 1024 * 1024)) ]; then
    echo "$memory"
else
    echo "${TMPDIR:-/tmp}"
fi
