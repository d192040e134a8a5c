#!/usr/bin/env bash
# Everything: installs what is missing, builds, lints, type-checks and runs all tests. The last line is
# `N passed, N failed`. Arguments go to vitest: `deploy/verify.sh --project unit`.
set -euo pipefail

# What fails before the tests counts as one; the tests replace this shell, and with it the trap.
trap 'printf "0 passed, 1 failed\n"' EXIT

. "$(dirname "$0")/prepare.sh"
need_root
need_tools systemd-analyze:systemd iperf3:iperf3 /usr/lib/cni/bridge:containernetworking-plugins
need_engine
need_packages
build
say "npm run lint"
npm run --silent lint
say "npm run typecheck"
npm run --silent typecheck
say "vitest run $*"
exec node_modules/.bin/vitest run --reporter=default --reporter=./test/support/summary-reporter.ts "$@"
