#!/usr/bin/env bash
# Lays out the root file system of the image: rootfs.sh BINARY FOLDER
# The binary without its debug information, the libraries it names, one unprivileged user, certificates, and the data
# folder of that user.
set -euo pipefail
binary=$1
root=$2
user=10001

install -D --mode 0755 "$binary" "$root/bin/azimuth"
# The names of functions stay: a backtrace can be read.
strip --strip-debug "$root/bin/azimuth"
ldd "$binary" | grep --only-matching '/[^ ]*' | sort --unique | while read -r library; do
  install -D --mode 0755 "$(readlink --canonicalize "$library")" "$root$library"
done
mkdir -p "$root/etc/ssl/certs" "$root/tmp" "$root/var/lib/azimuth"
cp --dereference /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
echo "azimuth:x:$user:$user:Azimuth:/var/lib/azimuth:/nonexistent" >"$root/etc/passwd"
echo "azimuth:x:$user:" >"$root/etc/group"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
chmod 0750 "$root/var/lib/azimuth"
