# SPDX-License-Identifier: Apache-2.0
# Read by abidiff.sh and baseline.sh: write_types ROOT LIBRARY prints the types behind the public functions, without a trace
# of where they were compiled.

write_types() {
    abidw --suppressions "$1/tests/abi/private.suppr" --exported-interfaces-only --no-comp-dir-path --no-corpus-path \
        --no-show-locs --no-elf-needed "$2" | sed "s#path='$1/#path='#"
}
