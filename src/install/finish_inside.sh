# shellcheck shell=sh
# What happens in the installed system, with its own programs, as process 1. Descriptor 3 takes reports;
# `seal` is defined before this.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
say() { echo "ozr-finish $*" >&3; }

take_out() {
    for file in "$@"; do
        [ -L "$file" ] || rm -rf "$file"
    done
}
make_empty() {
    for file in "$@"; do
        [ -f "$file" ] && [ ! -L "$file" ] && [ -s "$file" ] && : >"$file"
    done
}
take_lines() {
    expression=$1
    shift
    for file in "$@"; do
        [ -f "$file" ] || continue
        # Written where it is: a new file would have another label.
        rest=$(sed -E "/$expression/d" "$file" && echo x) && printf %s "${rest%x}" >"$file"
    done
}
# Gives back the room that nobody uses, and what was in the swap space.
give_back() {
    while read -r device place kind rest; do
        case $kind in
            ext2 | ext3 | ext4 | xfs | btrfs | vfat) fstrim "$place" ;;
        esac
    done </proc/mounts
    while read -r device place kind rest; do
        [ "$kind" = swap ] || continue
        case $device in
            UUID=* | LABEL=*) device=$(findfs "$device") ;;
        esac
        # Its head, which has the name that fstab knows it by, stays.
        [ -b "$device" ] || continue
        size=$(blockdev --getsize64 "$device") || continue
        # Newer ones want to be told that a known signature is no reason not to.
        blkdiscard -f -o 65536 -l $((size - 65536)) "$device" 2>/dev/null ||
            blkdiscard -o 65536 -l $((size - 65536)) "$device"
    done </etc/fstab
}

{
    mount -a -t ext2,ext3,ext4,xfs,btrfs,vfat
    seal
    give_back
    sync
    # From the innermost on, as later mounts lie in earlier ones.
    places=
    while read -r device place kind rest; do
        case $kind in
            ext2 | ext3 | ext4 | xfs | btrfs | vfat) [ "$place" = / ] || places="$place $places" ;;
        esac
    done </proc/mounts
    for place in $places; do
        umount "$place" || mount -o remount,ro "$place"
    done
} 2>&1 | while IFS= read -r line; do
    say "note $line"
done
if mount -o remount,ro /; then
    # shellcheck disable=SC2154 # from the environment
    say "done $token"
else
    say "failed the root of the installed system cannot be unmounted"
fi
echo o >/proc/sysrq-trigger
sleep 60
