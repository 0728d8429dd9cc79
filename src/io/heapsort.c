/* SPDX-License-Identifier: Apache-2.0
 * Heapsort. */
#include "io/heapsort.h"

typedef struct heap {
    unsigned char *elements;
    size_t size;
    mtli_heap_compare compare;
    const void *user;
} heap;

static unsigned char *heap_element(const heap *h, size_t index)
{
    return h->elements + index * h->size;
}

static void heap_swap(const heap *h, size_t a, size_t b)
{
    unsigned char *x = heap_element(h, a);
    unsigned char *y = heap_element(h, b);
    for (size_t i = 0; i < h->size; i++) {
        unsigned char byte = x[i];
        x[i] = y[i];
        y[i] = byte;
    }
}

/* Lets the element at `root` sink to its place among the first `count`. */
static void heap_sink(const heap *h, size_t root, size_t count)
{
    while (root < count / 2) {
        size_t child = 2 * root + 1;
        if (child + 1 < count && h->compare(heap_element(h, child), heap_element(h, child + 1), h->user) < 0) {
            child++;
        }
        if (h->compare(heap_element(h, root), heap_element(h, child), h->user) >= 0) {
            return;
        }
        heap_swap(h, root, child);
        root = child;
    }
}

void mtli_heapsort(void *elements, size_t count, size_t size, mtli_heap_compare compare, const void *user)
{
    heap h = {elements, size, compare, user};
    for (size_t i = count / 2; i > 0; i--) {
        heap_sink(&h, i - 1, count);
    }
    for (size_t end = count; end > 1; end--) {
        heap_swap(&h, 0, end - 1);
        heap_sink(&h, 0, end - 1);
    }
}
