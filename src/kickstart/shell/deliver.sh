# Runs in the installer: brings contents into a directory of the installed system that
# only root can enter. $stage_name is set above.
umask 077
stage=
target_root=${ANA_INSTALL_PATH:-/mnt/sysimage}

say() {
    printf 'ozr: %s\n' "$1"
    printf '\nozr: %s\n' "$1" 2>/dev/null >>/dev/console || :
}

fail() {
    say "$1"
    [ -z "$stage" ] || rm -rf "$stage"
    exit 1
}

# The name is new and unguessable, directly below a directory that cannot be a link out of
# the target. On image-based systems / cannot be written, /var can.
for directory in "$target_root" "$target_root/var"; do
    if mkdir -m 0700 "$directory/$stage_name" 2>/dev/null; then
        stage=$directory/$stage_name
        break
    fi
done
[ -n "$stage" ] || fail "cannot create a directory in $target_root"

python=
for candidate in python3 /usr/libexec/platform-python python python2; do
    if command -v "$candidate" >/dev/null 2>&1; then
        python=$candidate
        break
    fi
done

# get URL FILE: no proxy, the server is next door. Ten minutes are for a large file on a host
# that is busy with other builds.
get() {
    if command -v curl >/dev/null 2>&1; then
        curl --fail --silent --show-error --globoff --noproxy '*' \
            --connect-timeout 20 --max-time 600 --output "$2" "$1"
    elif [ -n "$python" ]; then
        "$python" -c '
import sys
try:
    from urllib.request import ProxyHandler, build_opener
except ImportError:
    from urllib2 import ProxyHandler, build_opener
source = build_opener(ProxyHandler({})).open(sys.argv[1], None, 60)
target = open(sys.argv[2], "wb")
while True:
    block = source.read(65536)
    if not block:
        break
    target.write(block)
target.close()
' "$1" "$2"
    else
        fail "the installer has neither curl nor python to fetch contents with; use --deliver initrd"
    fi
}

# decode FILE: base64 from standard input.
decode() {
    if command -v base64 >/dev/null 2>&1; then
        base64 -d >"$stage/$1"
    elif [ -n "$python" ]; then
        "$python" -c '
import base64, sys
out = getattr(sys.stdout, "buffer", sys.stdout)
out.write(base64.b64decode(sys.stdin.read()))
' >"$stage/$1"
    else
        fail "the installer has neither base64 nor python to decode contents with"
    fi
}

# check FILE SHA256 SIZE WHAT
check() {
    size=$(wc -c <"$stage/$1") || fail "the content of $4 did not arrive"
    [ "$size" -eq "$3" ] || fail "the content of $4 arrived with $((size)) bytes instead of $3"
    if command -v sha256sum >/dev/null 2>&1; then
        sum=$(sha256sum <"$stage/$1")
        [ "${sum%% *}" = "$2" ] || fail "the content of $4 arrived with the wrong sha256"
    fi
}

# fetch FILE URL SHA256 SIZE WHAT
fetch() {
    tries=1
    until get "$2" "$stage/$1"; do
        [ "$tries" -lt 5 ] || fail "cannot fetch the content of $5 from the build host"
        tries=$((tries + 1))
        sleep 2
    done
    check "$1" "$3" "$4" "$5"
}
