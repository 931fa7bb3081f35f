#!/usr/bin/env bash
# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

# Installs the Debian packages that UniSparse is built, tested and run with.
# Says what is missing first, and needs root (or sudo) only when something is;
# with everything there it asks dpkg once and is done in a fraction of a second.
#
#   scripts/install-deps.sh           what `make demo` and `make check` need
#   scripts/install-deps.sh --bench   the same and what `make bench` compares with
#   scripts/install-deps.sh --fuzz    the same and what `make fuzz` is linked with
#   scripts/install-deps.sh --check   only say what is missing; status 1 if any is
set -euo pipefail

packages=(
  # the compiler UniSparse is built with and the MLIR it is built on
  cmake ninja-build ccache clang-22 lld-22
  libmlir-22-dev mlir-22-tools llvm-22-dev llvm-22-tools libzstd-dev zlib1g-dev
  # unisparse-run draws its selection maps with cairo
  libcairo2-dev fonts-dejavu-core pkg-config
  # tests: GoogleTest, the NumPy oracle, and lit's time limits (psutil)
  libgtest-dev python3 python3-numpy python3-psutil
)
bench_packages=(libopenblas0-pthread)
fuzz_packages=(libclang-rt-22-dev)
# The compiled code calls libomp.so.5 whoever ships it. The -dev packages stay
# out: those of different LLVM versions conflict, and nothing here needs them.
openmp_package=libomp5-14

fail() {
  printf '%s\n' "install-deps: $1" "${@:2}" >&2
  exit 1
}

# Sets `missing` to what is not installed.
find_missing() {
  local installed package
  # dpkg-query's status is 1 when it knows no such package: that one is missing.
  installed=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null || true)
  missing=()
  for package in "${packages[@]}"; do
    [[ $'\n'$installed$'\n' == *$'\n'"installed $package"$'\n'* ]] || missing+=("$package")
  done
  [[ $(/sbin/ldconfig -p) == *libomp.so.5\ * ]] || missing+=("$openmp_package")
}

check_only=false
for argument in "$@"; do
  case $argument in
    --bench) packages+=("${bench_packages[@]}") ;;
    --fuzz) packages+=("${fuzz_packages[@]}") ;;
    --check) check_only=true ;;
    *) printf 'usage: %s [--bench] [--fuzz] [--check]\n' "$0" >&2; exit 2 ;;
  esac
done

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  fail "this script knows Debian only; elsewhere install the equivalents of" \
    "  ${packages[*]} $openmp_package" \
    "by hand and build with cmake --preset release"
fi

find_missing
if [[ ${#missing[@]} -eq 0 ]]; then
  exit 0
fi
echo "Missing packages: ${missing[*]}"
if $check_only; then
  exit 1
fi

by_hand=("  apt-get update && apt-get install --no-install-recommends ${missing[*]}" "and try again")
if [[ $(id -u) -eq 0 ]]; then
  as_root=(env)
elif command -v sudo >/dev/null; then
  echo "Installing them with sudo."
  sudo true || fail "installing packages needs root, and sudo refused; as root, run" "${by_hand[@]}"
  as_root=(sudo env)
else
  fail "installing packages needs root, and there is no sudo; as root, run" "${by_hand[@]}"
fi
as_root+=(DEBIAN_FRONTEND=noninteractive)
apt_options=(-q -o DPkg::Lock::Timeout=300)

# A foreign source that cannot be reached is no reason to stop: what counts is
# whether every package has a candidate afterwards.
"${as_root[@]}" apt-get "${apt_options[@]}" update ||
  echo "install-deps: apt-get update reported errors; going on with what it got" >&2
for package in "${missing[@]}"; do
  if ! apt-cache show "$package" >/dev/null 2>&1; then
    fail "apt knows no package $package; on Debian 12, LLVM 22 comes from the security suite:" \
      "  deb http://deb.debian.org/debian-security bookworm-security main" \
      "must be among the lines of /etc/apt/sources.list (or in /etc/apt/sources.list.d)"
  fi
done
# --no-remove: where a package conflicts with one that is installed, stop and
# leave the choice to the owner of the machine.
if ! "${as_root[@]}" apt-get "${apt_options[@]}" install -y --no-install-recommends --no-remove \
  -o Dpkg::Use-Pty=0 "${missing[@]}"; then
  fail "apt-get could not install: ${missing[*]}"
fi

find_missing
if [[ ${#missing[@]} -ne 0 ]]; then
  fail "still missing after the installation: ${missing[*]}"
fi
echo "All packages are installed."
