#!/usr/bin/env bash
# Proves that a stranger on a fresh machine gets there with the README's two commands.
#
# usage: tools/fresh-machine.sh DIR [COMMAND...]
#
# Makes an empty Debian in DIR (only Python, make and git; needs root and debootstrap), clones this checkout's HEAD into
# it, and runs `make demo` and `make test` there (or COMMAND instead), printing how long each took. DIR is kept; run
# again to start over from the same empty system. Certificates of this machine are copied, for registries behind a proxy.
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,9p' "$0" | cut -c3-; exit 2; }
root=$1; shift
here=$(git -C "$(dirname "$0")/.." rev-parse --show-toplevel)
command -v debootstrap >/dev/null || { echo "needs debootstrap: apt-get install debootstrap"; exit 1; }

if [ ! -x "$root/usr/bin/git" ]; then
  debootstrap --variant=minbase --include=python3,make,git,ca-certificates bookworm "$root" >"$root.log" 2>&1 ||
    { tail -5 "$root.log"; exit 1; }
fi
rm -rf "$root/home"
mkdir -p "$root/home" "$root/proc" "$root/dev"
cp /etc/resolv.conf "$root/etc/resolv.conf"
if compgen -G '/usr/local/share/ca-certificates/*.crt' >/dev/null; then
  cp /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates/"
  chroot "$root" update-ca-certificates >/dev/null 2>&1
fi
git clone --quiet --no-local "$here" "$root/home/kloster"

mounted=()
finish() { for ((at = ${#mounted[@]} - 1; at >= 0; at--)); do umount -l "${mounted[at]}"; done; }
trap finish EXIT
mount --bind "$root" "$root"; mounted+=("$root")  # the root of a machine is a mount point
mount -t proc proc "$root/proc"; mounted+=("$root/proc")
mount --rbind /dev "$root/dev"; mount --make-rslave "$root/dev"; mounted+=("$root/dev")

inside() {
  env -i PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin HOME=/home LANG=C.UTF-8 TERM="${TERM:-dumb}" \
    PIP_CERT=/etc/ssl/certs/ca-certificates.crt SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    chroot "$root" bash -c "cd /home/kloster && $1"
}
[ $# -gt 0 ] || set -- "make demo" "make test"
for command in "$@"; do
  echo "== $command"
  began=$(date +%s)
  inside "$command"
  echo "== $command took $(($(date +%s) - began)) s"
done
