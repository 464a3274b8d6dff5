#!/bin/sh
# SPDX-License-Identifier: MIT
#
# systemd-init.sh DIRECTORY: run systemd as process 1 of namespaces of its own,
# with the units of DIRECTORY/units, until standard input ends: so nothing stays
# behind, whatever becomes of the process at its other end. DIRECTORY/pid names
# process 1, as seen from here. To be run as root, by
#
#   unshare --mount --propagation private

set -e
mount --bind "$1" "$1"
cd "$1"
mkdir -p cgroup dev empty

mount -t tmpfs tmpfs dev
for device in full null random urandom zero; do
  : >dev/$device
  mount --bind /dev/$device dev/$device
done

# The root file system and the kernel's settings are read-only, but for this
# directory. The first /proc is the outer one, which knows the outer pid.
# shellcheck disable=SC2016 # for the shell inside
inside='
  read -r pid rest </proc/self/stat
  mount -t proc proc /proc
  for place in /proc/sys /sys; do
    mount --bind $place $place
    mount -o remount,bind,ro $place
  done
  mount -o remount,bind,ro /
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  mount --rbind dev /dev
  mount -t tmpfs tmpfs /run
  mkdir /run/systemd
  ln -s "$PWD/units" /run/systemd/system
  echo "$pid" >pid.new
  mv pid.new pid
  exec env -i PATH="$PATH" container=uvsig \
    SYSTEMD_UNIT_PATH=/run/systemd/system \
    SYSTEMD_GENERATOR_PATH="$PWD/empty" \
    SYSTEMD_ENVIRONMENT_GENERATOR_PATH="$PWD/empty" \
    /lib/systemd/systemd --system --unit=test.target --log-target=null
'

# A control group, which systemd takes for the root of all.
mount -t cgroup2 cgroup2 cgroup
group=cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)/uvsig-test-$$
mkdir "$group"

exec 3<&0
(
  echo 0 >"$group/cgroup.procs"
  exec unshare --pid --mount --uts --ipc --cgroup --fork --kill-child \
    sh -euc "$inside"
) </dev/null 3<&- &
unshare=$!
trap 'kill -KILL "$unshare"' HUP INT TERM
(cat <&3 >/dev/null; kill -KILL "$unshare") &
reader=$!
exec 3<&-

wait "$unshare" || :
kill "$reader" 2>/dev/null || :
# Until all of its processes have gone.
until find "$group" -depth -type d -exec rmdir {} + 2>/dev/null; do
  sleep 0.05
done
