/* SPDX-License-Identifier: Apache-2.0
 * Passes over stacks: pieces for the context's threads, sums in a fixed order, the look at finiteness. Included by
 * term.c for mtli_real and by term_double.c for double; these define
 *     term_scalar, term_stack, term_ops   the number, the stack, the table of a kind
 *     TERM_SCALAR_MAX                     the largest number
 *     TERM_SPECTRAL_ZERO                  singular values below sigma_1 √count times this are 0
 *     TERM_SPECTRAL(name)                 a function of linalg/spectral.h for this type
 *     TERM_COLUMNS_WORK(count, n)         the work of its columns functions */

enum {
    TERM_CHUNK = 32768, /* elements: about 10 microseconds */
    TERM_BLOCK = 256,   /* positions at a time, whose sums are in the first-level cache */
    TERM_LANES = 8      /* partial sums, which the compiler vectorizes without changing the order of addition */
};

/* Does [begin, end) and returns what is to be summed. */
typedef double (*term_body)(const void *argument, int64_t begin, int64_t end);

typedef struct term_loop {
    term_body body;
    const void *argument;
    int64_t n;
    int64_t chunk;
    double *sums; /* one per chunk; NULL: nobody wants them */
} term_loop;

static void run_term_chunk(void *user, int32_t index)
{
    const term_loop *loop = user;
    int64_t begin = index * loop->chunk;
    int64_t end = loop->n - begin < loop->chunk ? loop->n : begin + loop->chunk;
    double sum = loop->body(loop->argument, begin, end);
    if (loop->sums) {
        loop->sums[index] = sum;
    }
}

static void run_term_pieces(mtl_context *context, int32_t count, mtl_parallel_body body, void *argument)
{
    if (context) {
        mtli_parallel_for(context, count, body, argument);
        return;
    }
    for (int32_t i = 0; i < count; i++) {
        body(argument, i);
    }
}

/* How many items of `width` elements are a chunk: so many that there are fewer than 2^31 chunks of n. */
static int64_t items_per_chunk(int64_t n, int64_t width)
{
    int64_t chunk = width < TERM_CHUNK ? TERM_CHUNK / width : 1;
    while (n / chunk >= INT32_MAX) {
        chunk *= 2;
    }
    return chunk;
}

/* n items in chunks, on the threads. Returns the sum of what body returned, when there is room for sums. */
static double for_items(mtl_context *context, int64_t n, int64_t width, term_body body, const void *argument,
                        double *sums)
{
    term_loop loop = {body, argument, n, items_per_chunk(n, width), sums};
    int32_t count = n > 0 ? (int32_t)((n - 1) / loop.chunk) + 1 : 0;
    run_term_pieces(context, count, run_term_chunk, &loop);
    double sum = 0;
    for (int32_t i = 0; sums && i < count; i++) {
        sum += sums[i];
    }
    return sum;
}

/* Room for the sums of for_items() over any items and widths whose product is the number of the stack's elements. */
static size_t sums_bytes(const term_stack *stack)
{
    return (2 * ((size_t)stack->size * (size_t)stack->count / TERM_CHUNK) + 2) * sizeof(double);
}

/* Hands out pieces of the work, and counts them when there is none yet. */
typedef struct term_work {
    char *base; /* NULL: only counting */
    size_t used;
} term_work;

static void *take_work(term_work *work, size_t bytes)
{
    void *piece = work->base ? work->base + work->used : NULL;
    work->used += (bytes + 63) / 64 * 64;
    return piece;
}

static term_scalar to_scalar(double x)
{
    return x > (double)TERM_SCALAR_MAX ? TERM_SCALAR_MAX : (term_scalar)x;
}

static const term_scalar *const *weights_of(const term_stack *stack)
{
    return (const term_scalar *const *)stack->w;
}

/* 0, or NaN when some element is not finite. */
static double probe_finite(const void *argument, int64_t begin, int64_t end)
{
    const term_stack *stack = argument;
    term_scalar lane[TERM_LANES] = {0};
    for (int32_t t = 0; t < stack->count; t++) {
        const term_scalar *w = stack->w[t];
        int64_t i = begin;
        for (; i + TERM_LANES <= end; i += TERM_LANES) {
            for (int k = 0; k < TERM_LANES; k++) {
                lane[k] += w[i + k] * 0;
            }
        }
        for (; i < end; i++) {
            lane[0] += w[i] * 0;
        }
    }
    term_scalar sum = 0;
    for (int k = 0; k < TERM_LANES; k++) {
        sum += lane[k];
    }
    return (double)sum;
}

static bool stack_is_finite(mtl_context *context, const term_stack *stack, double *sums)
{
    return for_items(context, stack->size, stack->count, probe_finite, stack, sums) == 0;
}

/* Σ x y in double. */
static double dot_lanes(int64_t n, const term_scalar *x, const term_scalar *y)
{
    double lane[TERM_LANES] = {0};
    int64_t i = 0;
    for (; i + TERM_LANES <= n; i += TERM_LANES) {
        for (int k = 0; k < TERM_LANES; k++) {
            lane[k] += (double)x[i + k] * (double)y[i + k];
        }
    }
    for (; i < n; i++) {
        lane[0] += (double)x[i] * (double)y[i];
    }
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

/* ---- what is collected for all tasks before it is added ---- */

typedef struct collect_pass {
    const term_stack *stack;
    const term_scalar *collected; /* [count, size] */
    term_scalar factor;
    term_scalar *const *g;
} collect_pass;

static double add_collected(const void *argument, int64_t begin, int64_t end)
{
    const collect_pass *pass = argument;
    for (int32_t t = 0; t < pass->stack->count; t++) {
        const term_scalar *restrict x = pass->collected + t * pass->stack->size;
        term_scalar *restrict g = pass->g[t];
        for (int64_t i = begin; i < end; i++) {
            g[i] += pass->factor * x[i];
        }
    }
    return 0;
}

/* g_t += scale * collected_t */
static void add_to_tasks(mtl_context *context, const term_stack *stack, const term_scalar *collected, double scale,
                         term_scalar *const *g)
{
    collect_pass pass = {stack, collected, to_scalar(scale), g};
    for_items(context, stack->size, stack->count, add_collected, &pass, NULL);
}
