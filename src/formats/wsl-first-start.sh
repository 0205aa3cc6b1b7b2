#!/bin/sh
# Makes the user that WSL logs in, when the first shell is opened.
set -u
if getent passwd 1000 > /dev/null; then
    exit 0
fi
echo 'Name a user for this system; it need not be that of Windows.'
while :; do
    printf 'User name: '
    read -r name || exit 1
    if useradd --create-home --uid 1000 --groups wheel "$name"; then
        break
    fi
done
until passwd "$name"; do
    :
done
