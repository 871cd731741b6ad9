#!/usr/bin/env bash
# Unpacks Debian's arm64 shell and tools into FOLDER and lets arm64 programs run here through qemu-user.
# Needs apt, and leaves this machine's packages as they are. qemu is registered (as root) only where it is not yet.
set -euo pipefail
folder=${1:?usage: arm64_packages.sh FOLDER}

if [[ ! -e $folder/bin/toybox ]]; then
    state=$(mktemp -d)
    trap 'rm -rf "$state"' EXIT
    mkdir -p "$state/lists/partial" "$state/cache/archives/partial" "$state/debs"
    touch "$state/status"
    apt=(apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o "Dir::State=$state" -o "Dir::State::status=$state/status"
        -o "Dir::Cache=$state/cache" -o APT::Sandbox::User=root -o Acquire::Languages=none)
    "${apt[@]}" update
    (cd "$state/debs" && "${apt[@]}" download mksh toybox libc6 libcrypt1)
    rm -rf "$folder.part"
    mkdir -p "$folder.part"
    for package in "$state"/debs/*.deb; do
        dpkg-deb -x "$package" "$folder.part"
    done
    rm -rf "$folder" "$folder.part/usr/share"
    mv "$folder.part" "$folder"
fi

if ! "$folder/lib/ld-linux-aarch64.so.1" --version >/dev/null 2>&1; then
    qemu=$(command -v qemu-aarch64-static)
    binfmt=/proc/sys/fs/binfmt_misc
    [[ -e $binfmt/register ]] || mount -t binfmt_misc binfmt_misc "$binfmt"
    magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
    mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
    echo ":qemu-aarch64:M::$magic:$mask:$qemu:F" >"$binfmt/register"
fi
