#!/bin/busybox sh
# The first process of a machine that runs the cases. Its second serial line, ttyS1, has nothing but
# what this script and the cases print; everything else is on the first one, the kernel's console.
/bin/busybox --install -s /bin
export PATH=/bin:/sbin

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs run /run
mount -t bpf bpf /sys/fs/bpf
ip link set lo up

# Read by machine.rs and results.rs.
echo "landfast: started Linux $(uname -r)" >/dev/ttyS1
sh /load-modules && sh /run-cases >/dev/ttyS1
echo "landfast: ended with $?" >/dev/ttyS1
poweroff -f
