# Runs in the installed system. $stage_name is set above.
case $0 in
/tmp/ks-script-*) rm -f "$0" ;; # anaconda leaves it in the image
esac
unset LD_PRELOAD LD_LIBRARY_PATH PYTHONPATH PYTHONHOME
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
HOME=/root
USER=root
LOGNAME=root
SHELL=/bin/bash
export PATH HOME USER LOGNAME SHELL
umask 022

say() {
    printf 'ozr: %s\n' "$1"
    printf '\nozr: %s\n' "$1" 2>/dev/null >>/dev/console || :
}

fail() {
    say "$1"
    exit 1
}

stage=
for directory in / /var/; do
    if [ -d "$directory$stage_name" ] || mkdir -m 0700 "$directory$stage_name" 2>/dev/null; then
        stage=$directory$stage_name
        break
    fi
done
[ -n "$stage" ] || fail "cannot create a directory in the installed system"
trap 'rm -rf "$stage"' EXIT

# What is written here was created by the installer's kernel, without a policy's transitions.
relabel() {
    if command -v restorecon >/dev/null 2>&1; then
        restorecon -F "$1" || printf 'ozr: restorecon could not label %s\n' "$1"
    fi
}

make_directory() {
    if [ -z "$1" ] || [ -d "$1" ]; then
        return 0
    fi
    make_directory "${1%/*}" || return 1
    mkdir -m 0755 "$1" || return 1
    relabel "$1"
}

# install_file STAGED PATH: a link is followed, as scp does; an existing file keeps its
# owner and mode, a new one is root's with mode 0644.
install_file() {
    target=$2
    if [ -L "$target" ]; then
        target=$(readlink -f "$target") || fail "cannot write $2: it is a broken link"
    fi
    [ ! -d "$target" ] || fail "cannot write $2: it is a directory"
    if [ -e "$target" ] && [ ! -f "$target" ]; then
        fail "cannot write $2: it is not a regular file"
    fi
    make_directory "${target%/*}" || fail "cannot create the directory of $2"
    fresh=${target%/*}/$stage_name.new
    cp "$stage/$1" "$fresh" || fail "cannot write $2"
    if [ -e "$target" ]; then
        chown --reference="$target" "$fresh" || fail "cannot write $2"
        chmod --reference="$target" "$fresh" || fail "cannot write $2"
    else
        chown 0:0 "$fresh" || fail "cannot write $2"
        chmod 0644 "$fresh" || fail "cannot write $2"
    fi
    mv -f "$fresh" "$target" || fail "cannot write $2"
    relabel "$target"
}

# write_repository ID LINE...
write_repository() {
    repository_file=/etc/yum.repos.d/$1.repo
    if [ -e "$repository_file" ] && [ ! -e "$stage/$1.kept" ]; then
        cp -p "$repository_file" "$stage/$1.kept" || fail "cannot keep $repository_file"
    fi
    shift
    printf '%s\n' "$@" >"$stage/repository" || fail "cannot write $repository_file"
    install_file repository "$repository_file"
}

# remove_repository ID: what a package put there comes back.
remove_repository() {
    rm -f "/etc/yum.repos.d/$1.repo"
    if [ -e "$stage/$1.kept" ]; then
        mv -f "$stage/$1.kept" "/etc/yum.repos.d/$1.repo" || fail "cannot restore $1.repo"
        relabel "/etc/yum.repos.d/$1.repo"
    fi
}

# keep WHAT: what a command printed goes into the record of the build, each line marked as no words of the
# installer's. Its own log goes when the image is sealed.
keep() {
    [ -s "$stage/output" ] || return 0
    {
        printf '\nozr| %s:\n' "$1"
        head -c 65536 "$stage/output" | sed 's/^/ozr| /'
        printf '\n'
    } 2>/dev/null >>/dev/console || :
}

# run_script STAGED WHAT: `#!` and ELF are for the kernel, anything else is for root's shell.
# The output goes through a file, so that a process left behind cannot hold up the installer,
# and so that its end can be shown.
run_script() {
    script=$stage/$1
    chmod 0700 "$script" || fail "cannot run $2"
    first=
    IFS= read -r first <"$script" || :
    case $first in
    '#!'* | ?ELF*) set -- "$1" "$2" "$script" ;;
    *) set -- "$1" "$2" "$shell" "$script" ;;
    esac
    what=$2
    shift 2
    status=0
    (cd "$HOME" 2>/dev/null || cd /; exec "$@") </dev/null >"$stage/output" 2>&1 || status=$?
    cat "$stage/output"
    if [ "$status" -ne 0 ]; then
        tail -n 20 "$stage/output" 2>/dev/null >>/dev/console || :
        fail "$what failed with exit status $status"
    fi
    keep "$what"
    rm -f "$script" "$stage/output"
}

shell=/bin/sh
[ ! -x /bin/bash ] || shell=/bin/bash

# scrub FILE EXPRESSION...: what ozr added goes from a kept copy, in place.
scrub() {
    if [ ! -f "$1" ] || [ -L "$1" ]; then
        return 0
    fi
    copy=$1
    shift
    (umask 077 && sed "$@" <"$copy" >"$stage/copy") || fail "cannot clean $copy"
    cmp -s "$stage/copy" "$copy" || cat "$stage/copy" >"$copy" || fail "cannot clean $copy"
    rm -f "$stage/copy"
}
