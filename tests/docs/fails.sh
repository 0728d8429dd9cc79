#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# blocks.sh finds what is wrong: it passes a small project with good blocks, and fails on each of these that is broken.
# Usage: fails.sh ROOT GENERATED_INCLUDES CC
set -eu
root=$1
generated=$2
cc=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0

mkdir -p "$work/docs" "$work/include" "$work/tests"
cp -r "$root/include/mtl" "$work/include/mtl"
cp -r "$root/tests/docs" "$work/tests/docs"

# One document with a block that is good, and the block in question.
write() {
    {
        printf '# Title\n\n```c\nmtl_context *own = mtl_context_retain(ctx);\n```\n\n'
        printf 'text\n\n```c\n%s\n```\n' "$1"
    } >"$work/docs/one.md"
}

expect() { # PATTERN of what is said; "" for success
    said=$(sh "$root/tests/docs/blocks.sh" "$work" "$generated" "$cc" 2>&1) && failed=0 || failed=1
    if [ -z "$1" ] && [ "$failed" = 1 ]; then
        printf '%s\nthis should have passed\n' "$said"
        bad=1
    elif [ -n "$1" ] && { [ "$failed" = 0 ] || ! printf '%s\n' "$said" | grep -q "$1"; }; then
        printf '%s\nthis should have failed with: %s\n' "$said" "$1"
        bad=1
    fi
}

write 'CHECK(mtl_context_set_seed(ctx, 1));'
expect ''
write 'static int twice(int x)
{
    return 2 * x;
}

CHECK(mtl_context_set_seed(ctx, (uint64_t)twice(1)));'
expect ''
write '#include <mtl/mtl.h>
int main(void)
{
    return mtl_context_create(NULL, NULL) == MTL_OK;
}'
expect ''

second='docs/one.md:10: block 2 does not compile'
write 'CHECK(mtl_context_set_sed(ctx, 1));' # no such function
expect "$second"
write 'CHECK(mtl_context_set_seed(ctx));' # an argument is missing
expect "$second"
write 'CHECK(mtl_context_set_seed(model, 1));' # another type
expect "$second"
write 'mtl_context_set_seed(ctx, 1);' # the status is dropped
expect "$second"
write 'CHECK(mtl_context_set_seed(ctx, seed));' # a name that nobody declares
expect "$second"
write 'for (int i = 0; i < 2; i++) {' # an end is missing
expect "$second"
write 'int main(void) { return mtl_context_create(NULL, NULL) == MTL_OK; }' # a program without its #include
expect "$second"
printf '```c\nint x;\n' >"$work/docs/one.md"
expect 'docs/one.md:2: the block has no end'

write ''
printf '/** @code\n *  CHECK(mtl_context_set_seed(ctx, 1));\n *  @endcode */\n' >>"$work/include/mtl/status.h"
expect ''
printf '/** @code\n *  CHECK(mtl_context_set_sed(ctx, 1));\n *  @endcode */\n' >>"$work/include/mtl/status.h"
expect 'include/mtl/status.h:[0-9]*: block 2 does not compile'

[ "$bad" = 0 ] && echo "what is broken is found"
exit "$bad"
