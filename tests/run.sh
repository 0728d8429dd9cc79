#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds libmtl and runs its tests; installs what is missing on Debian or Ubuntu (as root, or through sudo).
#
#   sh tests/run.sh                    as it is shipped
#   sh tests/run.sh --sanitize         then also with the address, undefined-behaviour and thread sanitizers
#   sh tests/run.sh --reference-blas   then also with the reference CBLAS
#   sh tests/run.sh --coverage         then also with gcov, and the lines and branches that were reached
#   sh tests/run.sh --werror           warnings are errors
#   sh tests/run.sh --long             slow tests do all that they have: 300 kills in the middle of saves
#   sh tests/run.sh --only-...         that build alone, for instance --only-sanitize
#
# MTL_TEST_BUILD: where to build (default: build/ in the project). The exit status is 0 when everything passed.
set -eu
cd "$(dirname "$0")/.."
root=$(pwd)
builds=${MTL_TEST_BUILD:-$root/build}
presets=release
strict=no
packages='gcc g++ make cmake ninja-build pkg-config libc6-dev libopenblas-dev libutf8proc-dev libcmocka-dev abigail-tools'

for argument in "$@"; do
    case $argument in
    --only-*) presets= ;;
    esac
done
for argument in "$@"; do
    case $argument in
    --sanitize | --only-sanitize) presets="$presets asan-ubsan tsan" ;;
    --reference-blas | --only-reference-blas) presets="$presets reference-blas"; packages="$packages libblas-dev" ;;
    --coverage | --only-coverage) presets="$presets coverage"; packages="$packages gcovr" ;;
    --werror) strict=yes ;;
    --long) MTL_TEST_KILLS=${MTL_TEST_KILLS:-300}; export MTL_TEST_KILLS ;;
    -h | --help) sed -n '3,13s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "tests/run.sh: unknown option '$argument'; see --help" >&2; exit 2 ;;
    esac
done

. "$root/tests/packages.sh"
mtl_need_packages $packages

jobs=$(nproc 2>/dev/null || echo 2)
generator='Unix Makefiles'
command -v ninja >/dev/null && generator=Ninja
failed_presets=
passed=0
failed=0
skipped=0

# "PASSED FAILED SKIPPED" of a run: a cmocka program counts with its cases, another test as one.
count_cases() {
    awk '
    function close_test() {
        if (open) {
            if (cases) { passed += p; failed += f; skipped += s; if (state == "Failed" && !f) { failed++ } }
            else if (state == "Passed") { passed++ }
            else if (state == "Skipped") { skipped++ }
            else { failed++ }
        }
        open = 0
    }
    /^[0-9]+\/[0-9]+ Test(ing)?: / && /Testing: / { close_test(); open = 1; cases = 0; p = f = s = 0; state = "Failed" }
    /^\[  PASSED  \] [0-9]+ test/ { cases = 1; p += $4 }
    /^\[  FAILED  \] [0-9]+ test/ { cases = 1; f += $4 }
    /^\[  SKIPPED \] [0-9]+ test/ { cases = 1; s += $4 }
    /^Test Passed\.$/ { state = "Passed" }
    /^Test Skipped\.$/ { state = "Skipped" }
    END { close_test(); printf "%d %d %d\n", passed, failed, skipped }' "$1"
}

for preset in $presets; do
    build=$builds/$preset
    log=$build/log
    werror=OFF
    # Only where the compiler is not led astray by what a sanitizer or gcov adds.
    case $strict-$preset in yes-release | yes-reference-blas) werror=ON ;; esac
    mkdir -p "$build"
    echo "== $preset: configure and build in $build"
    if ! cmake --preset "$preset" -B "$build" -G "$generator" -DMTL_WERROR=$werror >"$log" 2>&1 ||
        ! cmake --build "$build" --parallel "$jobs" >>"$log" 2>&1; then
        grep -nE 'error|Error|FAILED|undefined reference|multiple definition' "$log" | head -n 40
        echo "== $preset: the build failed; all of it is in $log"
        failed_presets="$failed_presets $preset"
        failed=$((failed + 1))
        continue
    fi
    echo "== $preset: tests"
    status=0
    (cd "$build" && ctest --output-on-failure --parallel "$jobs") || status=$?
    [ $status -eq 0 ] || failed_presets="$failed_presets $preset"
    set -- $(count_cases "$build/Testing/Temporary/LastTest.log")
    passed=$((passed + $1))
    failed=$((failed + $2))
    skipped=$((skipped + $3))
    if [ "$preset" = coverage ]; then
        gcovr --root "$root" --filter "$root/src/" --object-directory "$build" --print-summary "$build" |
            tee "$build/coverage.txt" | tail -n 8
    fi
done

echo
[ -z "$failed_presets" ] || echo "failed in:$failed_presets"
[ "$skipped" -eq 0 ] || echo "$skipped skipped"
echo "$passed passed, $failed failed"
[ -z "$failed_presets" ]
