/* SPDX-License-Identifier: Apache-2.0
 * Merge sort, from runs of one item up. */
#include "text/sort.h"

#include <string.h>

static void merge_runs(const uint32_t *from, uint32_t *to, size_t middle, size_t end, mtli_before before,
                       const void *user)
{
    size_t left = 0;
    size_t right = middle;
    for (size_t i = 0; i < end; i++) {
        bool take_right = left == middle || (right < end && before(user, from[right], from[left]));
        to[i] = take_right ? from[right++] : from[left++];
    }
}

void mtli_sort(uint32_t *items, uint32_t *scratch, size_t count, mtli_before before, const void *user)
{
    uint32_t *from = items;
    uint32_t *to = scratch;
    for (size_t width = 1; width < count; width *= 2) {
        for (size_t begin = 0; begin < count; begin += 2 * width) {
            size_t rest = count - begin;
            size_t middle = rest < width ? rest : width;
            merge_runs(from + begin, to + begin, middle, rest < 2 * width ? rest : 2 * width, before, user);
        }
        uint32_t *previous = from;
        from = to;
        to = previous;
    }
    if (from != items && count > 0) {
        memcpy(items, from, count * sizeof items[0]);
    }
}
