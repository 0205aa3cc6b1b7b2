# shellcheck shell=sh
# What happens in the installed system, with its own programs, as process 1. Descriptor 3 takes reports;
# Defined before this are `seal`, `extra`, the template's command, and, where the template is to be applied,
# `customize` with the network that it is to have.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
say() { printf 'ozr-finish %s\n' "$*" >&3; }

# in_batches COMMAND FILE...: runs it with those files that are there, some hundred at a time, which any system takes at
# once; with variables of its own, for it may do the same.
in_batches() {
    command=$1 names='' number=0
    shift
    for each in "$@"; do
        [ -e "$each" ] || [ -L "$each" ] || continue
        number=$((number + 1))
        eval "file_$number=\$each"
        names="$names \"\$file_$number\""
        if [ $number = 400 ]; then
            eval "($command $names)"
            names='' number=0
        fi
    done
    [ $number = 0 ] || eval "($command $names)"
}
# Writes zeros over those that are files and have no other name, by which they are not taken out. Larger ones are mostly
# holes, which would be filled.
overwrite() {
    count=$#
    for each in "$@"; do
        [ -f "$each" ] && [ ! -L "$each" ] && [ -s "$each" ] && set -- "$@" "$each"
    done
    shift "$count"
    [ $# != 0 ] || return 0
    stat -c '%h %s' "$@" | {
        count=$#
        for each in "$@"; do
            read -r links size
            [ "$links" = 1 ] && [ "$size" -le 67108864 ] && set -- "$@" "$each"
        done
        shift "$count"
        [ $# = 0 ] || shred -n 0 -z "$@" 2>/dev/null
    }
}
# Overwrites files, and all that are in directories: room that is given back may still have what was there, for a qcow2
# image gives back whole clusters only.
wipe() {
    for each in "$@"; do
        if [ -d "$each" ] && [ ! -L "$each" ]; then
            wipe "$each"/* "$each"/.[!.]* "$each"/..?*
        fi
    done
    in_batches overwrite "$@"
}
take_out() { in_batches take_some_out "$@"; }
take_some_out() {
    count=$#
    for each in "$@"; do
        [ -L "$each" ] || set -- "$@" "$each"
    done
    shift "$count"
    wipe "$@"
    rm -rf "$@"
}
# The same of all that is in a directory; what the shell's `*` leaves out begins with a dot.
take_within() {
    wipe "$1"
    in_batches 'rm -rf' "$1"* "$1".[!.]* "$1"..?*
}
make_empty() {
    in_batches overwrite "$@"
    for file in "$@"; do
        if [ -f "$file" ] && [ ! -L "$file" ] && [ -s "$file" ]; then
            : >"$file"
        fi
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
# Reports what a command prints, line by line, and its status if that is not 0.
tell() {
    {
        # Nothing that it starts may report in our name. A command that hangs is ended.
        HOME=/root timeout 120 /bin/sh -c "$2" </dev/null 3>&- || say "broken $1 $?"
    } | while IFS= read -r line || [ -n "$line" ]; do
        say "$1 $line"
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

# shellcheck disable=SC2154 # all of it is defined before
online() {
    mount -t tmpfs tmpfs /run
    for each in /sys/class/net/*; do
        [ -e "$each/device" ] || continue
        card=${each##*/}
        ip link set lo up
        ip link set "$card" up && ip address add "$address" dev "$card" && ip route add default via "$gateway"
        break
    done
    # Names are resolved by QEMU, whatever the image will have.
    resolver=$(readlink -f /etc/resolv.conf) && mkdir -p "${resolver%/*}" || return 0
    [ -e "$resolver" ] || { : >"$resolver" && made=$resolver; }
    echo "nameserver $nameserver" >/run/ozr-resolv.conf
    mount --bind /run/ozr-resolv.conf "$resolver"
}
offline() {
    umount "$resolver"
    [ -z "$made" ] || rm -f "$made"
    umount /run
}
# There is no policy in this kernel, so that nothing that was written has a label: all get theirs.
relabel() {
    [ -r /etc/selinux/config ] && command -v setfiles >/dev/null || return 0
    SELINUX='' SELINUXTYPE=''
    # shellcheck disable=SC1091 # the image's
    . /etc/selinux/config
    contexts=/etc/selinux/$SELINUXTYPE/contexts/files/file_contexts
    [ "$SELINUX" != disabled ] && [ -r "$contexts" ] || return 0
    setfiles -e /proc -e /sys -e /dev -e /run "$contexts" /
}

# shellcheck disable=SC2154 # all of it is defined before
if [ -n "$customizing" ]; then
    {
        mount -a -t ext2,ext3,ext4,xfs,btrfs,vfat
        online
        # Nothing that it starts may report in our name.
        customize 3>&- || say "unfinished $?"
        offline
        relabel
    } 2>&1 | while IFS= read -r line || [ -n "$line" ]; do
        say "output $line"
    done
    # What it has left running; not this, which is process 1.
    kill -9 -1
fi
{
    mount -a -t ext2,ext3,ext4,xfs,btrfs,vfat
    if [ -n "$extra" ]; then
        tell package 'rpm -qa'
        tell extra "$extra"
    fi
    seal
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
