# SPDX-License-Identifier: Apache-2.0
# Sourced by tests that give nodes small file systems of their own, behind test.bash.
#
#   mount_or_skip               ends the test with 77 where nothing may be mounted
#   small_file_system I MIB     an empty one at $folder/node<I>: ext4 on a loop device, or tmpfs; sets $kind
#   unmount I
#   mount_clean                 cluster_end, once everything is unmounted: the trap of such a test

mounts=()

mount_or_skip() {
	mkdir "$folder/probe"
	mount -t tmpfs -o size=1m tmpfs "$folder/probe" 2>/dev/null || {
		echo "skipped: mounting a small file system needs root"
		exit 77
	}
	umount "$folder/probe"
	kind=tmpfs
	truncate -s 8M "$folder/probe.img"
	if mkfs.ext4 -q "$folder/probe.img" 2>/dev/null && mount -o loop "$folder/probe.img" "$folder/probe" 2>/dev/null; then
		umount "$folder/probe"
		kind=ext4
	fi
	rm -rf "$folder/probe" "$folder/probe.img"
	echo "file system: $kind"
}

# Without a journal larger than the file system has use for, and without blocks that are only for root.
small_file_system() {
	local at=$folder/node$1 image=$folder/node$1.img
	mkdir -p "$at"
	if [ $kind = ext4 ]; then
		rm -f "$image"
		truncate -s "$2M" "$image"
		mkfs.ext4 -q -m 0 -b 4096 -J size=4 "$image" 2>/dev/null || fail "mkfs.ext4 failed"
		mount -o loop "$image" "$at" || fail "mount failed"
		rmdir "$at/lost+found"
	else
		mount -t tmpfs -o "size=$2m" tmpfs "$at" || fail "mount failed"
	fi
	mounts+=("$at")
}

unmount() {
	local at=$folder/node$1 i
	umount "$at" || fail "umount failed: $(fuser -vm "$at" 2>&1)"
	for i in "${!mounts[@]}"; do [ "${mounts[i]}" != "$at" ] || unset "mounts[i]"; done
}

mount_clean() {
	local at
	trap - EXIT
	cluster_kill_all
	for at in "${mounts[@]}"; do umount "$at" 2>/dev/null || umount -l "$at"; done
	cluster_end
}
