#!/bin/bash
# The first process of the emulated machine, whose /dev is there: runs the tests that /arguments names, one argument a line, leaves
# vitest's status in /status, and switches the machine off.
export PATH=/usr/local/bin:/usr/sbin:/usr/bin HOME=/root TERM=dumb NO_COLOR=1
mount -t proc proc /proc
mount -t sysfs sys /sys
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t tmpfs run /run
mount -t cgroup2 cgroup /sys/fs/cgroup
mount --make-rshared /
ln -s /proc/self/fd /dev/fd
busybox ip link set lo up
exec </dev/null >/dev/ttyAMA0 2>&1
printf 'This is %s, Node %s\n' "$(uname -srm)" "$(node --version)"
cd /checkout
mapfile -t arguments </arguments
# Through a pipe, or it would draw its progress on the console.
node node_modules/vitest/vitest.mjs run --reporter=verbose "${arguments[@]}" | cat
echo "${PIPESTATUS[0]}" >/status
sync
busybox poweroff -f
