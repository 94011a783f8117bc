#!/bin/sh
# Builds launcher-x86_64 and launcher-aarch64 from the sources beside this script, the same to the byte on every machine.
# Needs Python's pip and its package index, for the compiler: zig, which brings musl's C library.
# With "check" nothing is replaced: it fails if what it builds differs from what is there.
set -eu
cd "$(dirname "$0")"
zig=$(mktemp -d)
trap 'rm -rf "$zig"' EXIT
python3 -m pip install --quiet --no-deps --target "$zig" ziglang==0.17.1
for processor in x86_64 aarch64; do
  "$zig/ziglang/zig" cc -target "$processor-linux-musl" -std=c11 -O2 -Wall -Wextra -Werror -D_GNU_SOURCE \
    -static -s -ffunction-sections -Wl,--gc-sections -Wl,--build-id=none \
    -o "$zig/launcher-$processor" launcher.c cache.c package.c inflate.c sha256.c
  if [ "${1:-}" = check ]; then cmp "$zig/launcher-$processor" "launcher-$processor"; else cp "$zig/launcher-$processor" .; fi
done
[ "${1:-}" = check ] || sha256sum launcher-x86_64 launcher-aarch64 *.c *.h build.sh > SHA256SUMS
