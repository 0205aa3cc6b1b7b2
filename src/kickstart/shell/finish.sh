# Runs in the installer, last of all. anaconda copies the kickstart that it was given to
# /root/original-ks.cfg after the last %post, so it is the given one that is cut back to what
# its author wrote. $author_size, $block_offset, $block_line and $restoring are set above.
umask 077

fail() {
    printf 'ozr: %s\n' "$1"
    printf '\nozr: %s\n' "$1" 2>/dev/null >>/dev/console || :
    exit 1
}

for copy in /run/install/ks.cfg /tmp/ks.cfg; do
    [ -f "$copy" ] || continue
    [ "$(tail -c +"$((block_offset + 1))" "$copy" | head -n 1)" = "$block_line" ] || continue
    head -c "$author_size" "$copy" >"$copy.ozr" || fail "cannot clean $copy"
    [ -z "$restoring" ] || LC_ALL=C sed -i -e "$restoring" "$copy.ozr" || fail "cannot clean $copy"
    cat "$copy.ozr" >"$copy" || fail "cannot clean $copy"
    rm -f "$copy.ozr"
done
# The installer copies its logs once more when this is done: what an earlier copy says of our addresses is not to stay in
# room that it had.
for log in /mnt/sysroot/var/log/anaconda/* /mnt/sysimage/var/log/anaconda/*; do
    if [ -f "$log" ] && [ ! -L "$log" ] && [ -f "/tmp/${log##*/}" ]; then
        shred -n 0 -z "$log" 2>/dev/null || :
    fi
done
sync || :
