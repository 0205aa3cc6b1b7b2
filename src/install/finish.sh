#!/bin/sh
# Process 1 of the guest that finishes an installed disk: finds the installed system and hands over to
# `inside` there. Runs in the initramfs of the release's own installer, with what every dracut has
# (modules.d/99base: mount, umount, mkdir, sleep, modprobe) and no more.
# /ozr-port, /ozr-token, /ozr-drivers, /ozr-inside and /ozr-passphrases come with it.

export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null
mkdir -p /run /sysroot

# The host says what its disks need.
load() {
    for module in "$@"; do
        modprobe -q "$module"
    done
}
read -r drivers </ozr-drivers
# shellcheck disable=SC2086 # several
load $drivers

# Ports and disks can be late: three seconds.
tries='1 2 3 4 5 6 7 8 9 10 11 12 13 14 15'

# The port that the installer logs to takes reports.
read -r wanted </ozr-port
port=/dev/console
for _ in $tries; do
    for each in /sys/class/virtio-ports/*; do
        read -r name 2>/dev/null <"$each/name" && [ "$name" = "$wanted" ] && port=/dev/${each##*/}
    done
    [ "$port" = /dev/console ] || break
    sleep 0.2
done
exec 3>"$port"
say() { printf 'ozr-finish %s\n' "$*" >&3; }

fail() {
    say "failed $*"
    # Nothing was written.
    echo o >/proc/sysrq-trigger
    sleep 60
}

# Sets `devices` to the disks and partitions, and to what is made of them.
find_devices() {
    devices=
    for each in /sys/class/block/*; do
        name=${each##*/}
        case $name in
            loop* | ram* | zram* | sr* | fd* | '*') ;;
            *) [ -b "/dev/$name" ] && devices="$devices /dev/$name" ;;
        esac
    done
}

# All of them, with their partitions: two looks agree.
devices=
for _ in $tries; do
    before=$devices
    find_devices
    [ -n "$devices" ] && [ "$devices" = "$before" ] && break
    sleep 0.2
done
[ -n "$devices" ] || fail "no disk was found"

# Sets `kinds` to what is on them, by blkid's names; to `supposed`, where that is set or nothing can be said.
supposed=
all_kinds='ext4 xfs btrfs vfat linux_raid_member LVM2_member crypto_LUKS'
find_kinds() {
    find_devices
    kinds=$supposed
    # shellcheck disable=SC2086 # several
    [ -n "$kinds" ] || kinds=$(blkid -o value -s TYPE $devices 2>/dev/null)
    [ -n "$kinds" ] || kinds=$all_kinds
}
is_there() {
    case $kinds in *"$1"*) return 0 ;; esac
    return 1
}

activate_volumes() {
    find_kinds
    if is_there raid_member; then
        load raid0 raid1 raid10 raid456
        if command -v mdadm >/dev/null; then
            mdadm --assemble --scan >/dev/null 2>&1
        fi
        find_kinds
    fi
    if is_there LVM2_member; then
        load dm_mod
        if command -v lvm >/dev/null; then
            # There is no udev.
            lvm vgchange --activate y --config 'activation { udev_sync = 0 udev_rules = 0 }' >/dev/null 2>&1
        fi
        find_kinds
    fi
}

# Opens what is encrypted, and what lies on it and is encrypted again; `closed` is what is not opened.
opened=' '
number=0
open_encrypted() {
    for _ in 1 2; do
        is_there crypto_LUKS && command -v cryptsetup >/dev/null || return
        load dm_mod dm_crypt
        closed=
        for device in $devices; do
            case $opened in *" $device "*) continue ;; esac
            cryptsetup isLuks "$device" 2>/dev/null || continue
            closed="$closed $device"
            while IFS= read -r passphrase; do
                number=$((number + 1))
                if printf %s "$passphrase" |
                    cryptsetup --allow-discards --key-file - luksOpen "$device" "ozr$number" 2>/dev/null; then
                    opened="$opened$device "
                    closed=${closed% *}
                    break
                fi
            done </ozr-passphrases
        done
        activate_volumes
    done
}

# What the kernel needs for such a file system.
load_for() {
    case $1 in
        ext2 | ext3 | ext4) load ext4 ;;
        xfs | btrfs | vfat) load "$1" ;;
    esac
}

# The root is where the table of file systems is; of a Btrfs it is in the subvolume that anaconda calls
# `root`.
find_root() {
    for kind in $kinds; do
        load_for "$kind"
    done
    ways='auto:ro'
    ! is_there btrfs || ways='auto:ro btrfs:ro,subvol=root'
    for device in $devices; do
        for way in $ways; do
            mount -t "${way%:*}" -o "${way#*:}" "$device" /sysroot 2>/dev/null || continue
            if [ -e /sysroot/etc/fstab ] && [ -x /sysroot/bin/sh ]; then
                root=$device
                return
            fi
            umount /sysroot
        done
    done
}

# By what is there; by all that there can be only where no root is found by that: in software emulation Btrfs, XFS and
# RAID 6 take two seconds each to be loaded.
root=
closed=
for supposed in '' "$all_kinds"; do
    activate_volumes
    open_encrypted
    find_root
    [ -z "$root" ] || break
done
if [ -z "$root" ] && [ -n "$closed" ]; then
    fail "no installed system was found, and no passphrase opens$closed, which is encrypted: name the passphrase with --luks-passphrase"
fi
[ -n "$root" ] || fail "no installed system was found on the disk"
mount -o remount,rw /sysroot || fail "the root of the installed system ($root) cannot be written to"
# For the other places, too, whatever can be said of what they lie on: from there nothing can be loaded.
while read -r _ _ kind _; do
    load_for "$kind"
done </sysroot/etc/fstab
# The installed system's own programs do the rest, in its own place.
for each in dev proc sys; do
    mount -o move "/$each" "/sysroot/$each" 2>/dev/null || mount --move "/$each" "/sysroot/$each" ||
        fail "/$each cannot be handed to the installed system"
done
read -r token </ozr-token
export token
if command -v chroot >/dev/null; then
    exec chroot /sysroot /bin/sh -s </ozr-inside
fi
# Some have none (dracut 059 with systemd): the installed system's, by its own loader and libraries.
libraries=/sysroot/usr/lib64:/sysroot/lib64:/sysroot/usr/lib:/sysroot/lib
for each in /sysroot/usr/lib/*-linux-gnu; do
    libraries=$libraries:$each
done
for loader in /sysroot/lib64/ld*.so.* /sysroot/lib/ld*.so.*; do
    for program in /sysroot/usr/sbin/chroot /sysroot/usr/bin/chroot; do
        if [ -x "$loader" ] && [ -x "$program" ]; then
            exec "$loader" --library-path "$libraries" "$program" /sysroot /bin/sh -s </ozr-inside
        fi
    done
done
fail "there is no chroot, neither in the initramfs nor in the installed system"
