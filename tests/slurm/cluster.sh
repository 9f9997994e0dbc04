#!/bin/bash
# First process of the namespaces in which the Slurm of a test runs: cluster.sh DIRECTORY NODES. All others end with it.
set -euo pipefail
directory=$1 nodes=$2
ip link set lo up
# Without any address but that of loopback, the C library resolves no names.
ip address add 10.255.0.1/32 dev lo
mount --bind "$directory/etc" /etc/slurm
mount --bind "$directory/etc/hosts" /etc/hosts
unset SLURM_CONF
munged --force --key-file="$directory/munge/key" --socket="$directory/socket/munge" --pid-file="$directory/munge/pid" \
    --log-file="$directory/log/munged" --seed-file="$directory/munge/seed"
slurmctld
for number in $(seq "$nodes"); do
    slurmd -N "n$number"
done
touch "$directory/started"
# bash reaps orphans that end; without a child it would not wait.
sleep infinity &
wait
