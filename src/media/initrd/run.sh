#!/bin/sh
# Runs in the initramfs of the release's own installer, at its hooks: hands over to ozr, which is here with the
# libraries and the loader that it was started with. Does not return.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
exec </dev/null >/dev/console 2>&1
set -- /ozr/ozr --deploy
for loader in /ozr/lib/ld*; do
    [ -e "$loader" ] && set -- "$loader" --library-path /ozr/lib "$@"
done
"$@"
echo "ozr: nothing more is done; switch the machine off, or restart it"
while :; do
    sleep 3600
done
