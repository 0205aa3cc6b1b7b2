#!/bin/sh
# Runs every fuzz target for a minute (or $1 seconds), starting from the files in seeds/TARGET and,
# for tdl, from templates/. Needs a nightly compiler and cargo-fuzz (`cargo install cargo-fuzz`).
set -eu
cd "$(dirname "$0")"
seconds=${1:-60}
for target in fuzz_targets/*.rs; do
    name=$(basename "$target" .rs)
    mkdir -p "corpus/$name"
    seeds=
    [ -d "seeds/$name" ] && seeds="seeds/$name"
    [ "$name" = tdl ] && seeds="$seeds ../templates"
    # shellcheck disable=SC2086  # no seeds, or several folders
    cargo +nightly fuzz run "$name" "corpus/$name" $seeds -- -max_total_time="$seconds" -timeout=10
done
