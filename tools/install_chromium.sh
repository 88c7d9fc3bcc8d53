#!/usr/bin/env bash
# Install Chromium, which the browser tests drive and no wheel contains. Has no effect if it is there.
set -euo pipefail

for name in chromium chromium-browser google-chrome; do
    if command -v "$name" > /dev/null; then
        exit 0
    fi
done
root=()
if [ "$(id -u)" -ne 0 ]; then
    root=(sudo --non-interactive)
fi
if ! command -v apt-get > /dev/null; then
    echo "Chromium is missing, and this machine has no apt-get: install Chromium, and put it on the PATH as chromium." >&2
    exit 1
fi
packages=(chromium fonts-liberation)
if ! { "${root[@]}" apt-get update -qq \
    && "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" > /dev/null; }; then
    echo "Chromium is missing and could not be installed: run \`apt-get install chromium\` as root." >&2
    exit 1
fi
