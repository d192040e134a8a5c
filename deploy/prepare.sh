# Sourced by verify.sh and demo.sh: brings a Debian machine with Node to where both can run. Installs what is
# missing and replaces nothing that is there. Offers: say, need_root, need_tools, need_engine, need_packages, build.

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repository"

say() { printf '\n==> %s\n' "$*"; }
fail() { printf '%s\n' "$*" >&2; return 1; }

need_root() {
  [ "$(id -u)" = 0 ] || fail "This makes network namespaces and needs root: run it as root." || return
  unshare --net --mount true 2>/dev/null ||
    fail "This machine lets root make no network or mount namespaces (a container without CAP_SYS_ADMIN?): run it on a machine or a virtual machine of its own."
}

# Services that apt installs are not started: a policy of ours says no for as long as apt runs. An engine in the
# machine's own network would change its firewall; those of the lab run in namespaces.
apt_install() {
  command -v apt-get >/dev/null || fail "$* are missing and there is no apt-get: install them." || return
  local policy=/usr/sbin/policy-rc.d saved='' status=0
  say "apt-get install $*"
  if [ -e "$policy" ]; then
    saved=$(mktemp)
    cp --preserve "$policy" "$saved"
  fi
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  {
    DEBIAN_FRONTEND=noninteractive apt-get update -qq &&
      DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends "$@"
  } >&2 || status=$?
  if [ -n "$saved" ]; then mv "$saved" "$policy"; else rm -f "$policy"; fi
  return "$status"
}

is_static_busybox() { [ -x /bin/busybox ] && ! ldd /bin/busybox >/dev/null 2>&1; }

need_tools() {
  local missing=() entry
  for entry in ip:iproute2 iptables:iptables nft:nftables ping:iputils-ping \
    traceroute:traceroute sysctl:procps unshare:util-linux "$@"; do
    command -v "${entry%%:*}" >/dev/null || missing+=("${entry#*:}")
  done
  is_static_busybox || missing+=(busybox-static)
  [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
}

# The engine that is there, else Debian's; from Debian 13 on the client is a package of its own.
need_engine() {
  command -v dockerd >/dev/null || apt_install docker.io || return
  command -v docker >/dev/null || apt_install docker-cli
}

need_packages() {
  command -v node >/dev/null || fail "There is no node on the PATH: install Node 20.20 or later." || return
  node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 20) ? 0 : 1)' ||
    fail "Node $(node --version) is too old: install 20.20 or later." || return
  # npm writes the hidden file last; it is older than a lock file that changed since.
  if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
    say "npm ci"
    # No package here needs its install script: the native ones bring prebuilt binaries.
    npm ci --ignore-scripts --no-audit --no-fund >&2 || return
  fi
  node --input-type=module -e 'await Promise.all(["koffi", "level", "netlink"].map((name) => import(name)))' ||
    fail "The native packages do not load on this machine: remove node_modules and run this again."
}

build() {
  say "npm run build"
  npm run --silent build
}
