#!/usr/bin/env bash
# Shows tsflannel on this one machine: four hosts made from network namespaces, three on one L2 and the fourth behind a
# router, one `init`, three `join`s, real Docker engines on two of them, and every container reaching every other.
# Installs what is missing (apt, npm), builds, and removes the hosts at the end. Nothing of the machine's own network
# is touched.
set -euo pipefail

usage() {
  cat <<'END'
usage: deploy/demo.sh [--keep] [--loop N] [--no-docker]

  --keep       leave the hosts, and print how to enter and remove them
  --loop N     show it N times in a row; stop at the first failure
  --no-docker  plain network namespaces as containers on all hosts

exit code: 0 every container reached every other, 1 one did not, 2 mistyped option,
           3 all reached but no Docker engine was to be had
END
}

docker=yes
arguments=("$@")
while [ $# -gt 0 ]; do
  case $1 in
    --keep) ;;
    --no-docker) docker=no ;;
    --loop)
      [[ ${2-} =~ ^[1-9][0-9]*$ ]] || { usage >&2; exit 2; }
      shift
      ;;
    --help | -h) usage; exit ;;
    *) printf 'unknown option: %s\n\n' "$1" >&2; usage >&2; exit 2 ;;
  esac
  shift
done

. "$(dirname "$0")/prepare.sh"
need_root
need_tools
if [ "$docker" = yes ]; then
  need_engine || say "No Docker engine could be installed; the demo goes on without"
fi
need_packages
build
exec node dist/test/demo/demo.js ${arguments[@]+"${arguments[@]}"}
