/* SPDX-License-Identifier: Apache-2.0
 * Rates of the kernels beside the machine's peak and (built with MTL_BENCH_CBLAS) cblas_sgemm in
 * the same run. Prints "name value unit" lines, medians. Usage: OPENBLAS_NUM_THREADS=1
 * bench_kernels [repeats] [level]
 * OpenBLAS picks slower kernels on processors it does not know (0.3.21: AVX2 on Zen 5); compare with
 * OPENBLAS_CORETYPE=SKYLAKEX too where AVX-512 is there. */
#define _DEFAULT_SOURCE
#include "base/float_mode.h"
#include "kernels/kernels.h"

#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef __linux__
#include <sys/mman.h>
#endif
#ifdef MTL_BENCH_CBLAS
#include <cblas.h>
#endif

#define MAX_REPEATS 64
#define MAX_THREADS 2

static int repeats = 7;
static const mtli_kernels *kernels;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, compare);
    return v[n / 2];
}

static mtli_real *reals(int64_t n, double scale)
{
    size_t alignment = n > 262144 ? (size_t)1 << 21 : 64;
    size_t size = ((size_t)n * sizeof(mtli_real) / alignment + 1) * alignment;
    mtli_real *p = aligned_alloc(alignment, size);
    if (!p) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
#ifdef MADV_HUGEPAGE
    if (alignment > 64) /* worth about 5 % */
        madvise(p, size, MADV_HUGEPAGE);
#endif
    for (int64_t i = 0; i < n; i++)
        p[i] = (mtli_real)((rand() / (double)RAND_MAX - 0.5) * scale);
    return p;
}

/* Independent chains of multiply-adds through the compiler's vectors: the ceiling of a level. */
#define PEAK(name, bytes, flags)                                                                   \
    typedef float peak_##name __attribute__((vector_size(bytes)));                                 \
    __attribute__((target(flags), optimize("fp-contract=fast"))) static double name(long n)        \
    {                                                                                              \
        peak_##name acc[12], a = {0}, b = {0};                                                     \
        a += 0.999f;                                                                               \
        b += 0.001f;                                                                               \
        for (int i = 0; i < 12; i++)                                                               \
            acc[i] = a * (float)i;                                                                 \
        for (long k = 0; k < n; k++) {                                                             \
            _Pragma("GCC unroll 12") for (int i = 0; i < 12; i++) acc[i] = acc[i] * a + b;         \
        }                                                                                          \
        double sum = 0;                                                                            \
        for (int i = 0; i < 12; i++)                                                               \
            sum += (double)acc[i][0];                                                              \
        return sum;                                                                                \
    }
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
PEAK(peak512, 64, "avx512f,fma")
PEAK(peak256, 32, "avx2,fma")

static void bench_peak(void)
{
    double rate[MAX_REPEATS];
    volatile double sink = 0;
    int wide = kernels->level == MTLI_LEVEL_AVX512;
    for (int r = 0; r < repeats && kernels->level >= MTLI_LEVEL_AVX2; r++) {
        double start = now();
        sink += wide ? peak512(4000000) : peak256(4000000);
        rate[r] = 4e6 * 12 * (wide ? 32 : 16) / (now() - start) * 1e-9;
    }
    if (kernels->level >= MTLI_LEVEL_AVX2)
        printf("fma_peak_%s %.1f GFLOP/s\n", kernels->name, median(rate, repeats));
}
#else
static void bench_peak(void)
{
}
#endif

/* One product, ours (packing included and excluded) beside CBLAS. */
static void bench_gemm(const char *what, int ta, int tb, int64_t m, int64_t n, int64_t k)
{
    mtli_real *a = reals(m * k, 1), *b = reals(k * n, 1), *c = reals(m * n, 1);
    mtli_real *packed = reals(kernels->gemm_packed_size(k, n), 1);
    int64_t lda = ta ? m : k, ldb = tb ? k : n;
    double flops = 2e-9 * (double)m * (double)n * (double)k;
    double whole[MAX_REPEATS], packed_only[MAX_REPEATS], blas[MAX_REPEATS];
    int inner = (int)(0.5 / flops) + 1;
    for (int r = 0; r < repeats; r++) {
        double t0 = now();
        for (int i = 0; i < inner; i++) {
            kernels->gemm_pack_b(tb, k, n, b, ldb, packed);
            kernels->gemm_packed(ta, 0, m, n, k, a, lda, packed, c, n, 0);
        }
        double t1 = now();
        for (int i = 0; i < inner; i++)
            kernels->gemm_packed(ta, 0, m, n, k, a, lda, packed, c, n, 0);
        double t2 = now();
        whole[r] = inner * flops / (t1 - t0);
        packed_only[r] = inner * flops / (t2 - t1);
#if defined(MTL_BENCH_CBLAS) && !defined(MTLI_DOUBLE)
        for (int i = 0; i < inner; i++)
            cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans,
                        tb ? CblasTrans : CblasNoTrans, (int)m, (int)n, (int)k, 1, a, (int)lda, b,
                        (int)ldb, 0, c, (int)n);
        blas[r] = inner * flops / (now() - t2);
#else
        blas[r] = 0;
#endif
    }
    printf("gemm_%s_%dx%dx%d %.1f GFLOP/s\n", what, (int)m, (int)n, (int)k, median(whole, repeats));
    printf("gemm_%s_%dx%dx%d_prepacked %.1f GFLOP/s\n", what, (int)m, (int)n, (int)k,
           median(packed_only, repeats));
    printf("gemm_%s_%dx%dx%d_cblas %.1f GFLOP/s\n", what, (int)m, (int)n, (int)k,
           median(blas, repeats));
    free(a);
    free(b);
    free(c);
    free(packed);
}

typedef struct lstm_bench {
    mtli_lstm_forward forward;
    mtli_lstm_backward backward;
    mtli_lstm_weights weights;
    const mtli_real *w_ih, *w_hh, *bias;
    mtli_real *packed_forward, *packed_backward;
    int threads;
    pthread_barrier_t barrier;
    double start, after_forward, after_backward, end;
} lstm_bench;

typedef struct lstm_thread {
    lstm_bench *bench;
    int index;
} lstm_thread;

static void *lstm_step(void *argument)
{
    lstm_thread *thread = argument;
    lstm_bench *b = thread->bench;
    int64_t input = b->forward.shape.input, hidden = b->forward.shape.hidden;
    mtli_part part = {thread->index, b->threads};
    int64_t panels = kernels->lstm_panels(hidden);
    uint64_t mode = mtli_float_mode_enter();

    pthread_barrier_wait(&b->barrier);
    if (thread->index == 0) {
        b->start = now();
        kernels->lstm_pack_forward(input, hidden, b->w_ih, b->w_hh, b->bias, b->bias,
                                   b->packed_forward);
    }
    pthread_barrier_wait(&b->barrier);
    kernels->lstm_forward(&b->forward, part);
    pthread_barrier_wait(&b->barrier);
    if (thread->index == 0) {
        b->after_forward = now();
        kernels->lstm_pack_backward(input, hidden, b->w_ih, b->w_hh, b->packed_backward);
    }
    pthread_barrier_wait(&b->barrier);
    kernels->lstm_backward(&b->backward, part);
    pthread_barrier_wait(&b->barrier);
    if (thread->index == 0)
        b->after_backward = now();
    kernels->lstm_weight_gradient(&b->weights, panels * part.index / part.count,
                                  panels * (part.index + 1) / part.count);
    pthread_barrier_wait(&b->barrier);
    if (thread->index == 0)
        b->end = now();
    mtli_float_mode_leave(mode);
    return NULL;
}

static void lstm_run(lstm_bench *b)
{
    pthread_t other;
    lstm_thread first = {b, 0}, second = {b, 1};
    pthread_barrier_init(&b->barrier, NULL, (unsigned)b->threads);
    if (b->threads == 2 && pthread_create(&other, NULL, lstm_step, &second))
        exit(1);
    lstm_step(&first);
    if (b->threads == 2)
        pthread_join(other, NULL);
    pthread_barrier_destroy(&b->barrier);
}

static void bench_lstm(int64_t batch, int64_t steps, int64_t input, int64_t hidden, int threads)
{
    int64_t tokens = batch * steps, width = kernels->lstm_gate_width(hidden);
    int64_t *offsets = malloc((size_t)(steps + 1) * sizeof *offsets);
    for (int64_t t = 0; offsets && t <= steps; t++)
        offsets[t] = t * batch;
    mtli_lstm_shape shape = {input, hidden, steps, offsets};
    mtli_real *w_ih = reals(4 * hidden * input, 0.2), *w_hh = reals(4 * hidden * hidden, 0.2);
    mtli_real *bias = reals(4 * hidden, 0.2), *x = reals(tokens * input, 1),
              *h = reals(tokens * hidden, 1);
    mtli_real *c = reals(tokens * hidden, 1), *gates = reals(tokens * width, 1);
    mtli_real *dh = reals(tokens * hidden, 0.1), *dgates = reals(tokens * width, 1),
              *dx = reals(tokens * input, 1);
    mtli_real *work = reals(kernels->lstm_backward_work(batch, hidden), 1);
    mtli_real *dw_ih = reals(4 * hidden * input, 1), *dw_hh = reals(4 * hidden * hidden, 1);
    mtli_real *db = reals(4 * hidden, 1);
    mtli_real *pf = reals(kernels->lstm_forward_packed_size(input, hidden), 1);
    mtli_real *pb = reals(kernels->lstm_backward_packed_size(input, hidden), 1);
    lstm_bench b = {
        .forward = {shape, pf, x, NULL, NULL, gates, c, h},
        .backward = {shape, pb, gates, c, dh, NULL, dgates, dx, work},
        .weights = {shape, dgates, x, h, NULL, 0, dw_ih, dw_hh, db, 0},
        .w_ih = w_ih,
        .w_hh = w_hh,
        .bias = bias,
        .packed_forward = pf,
        .packed_backward = pb,
        .threads = threads,
    };
    double part[4][MAX_REPEATS];
    double flops = 2e-9 * (double)tokens * 4 * (double)hidden * (double)(input + hidden);
    for (int r = -2; r < repeats; r++) {
        lstm_run(&b);
        if (r < 0)
            continue;
        part[0][r] = flops / (b.after_forward - b.start);
        part[1][r] = flops / (b.after_backward - b.after_forward);
        part[2][r] = flops / (b.end - b.after_backward);
        part[3][r] = 3 * flops / (b.end - b.start);
    }
    static const char *const names[4] = {"forward", "backward", "weights", "train"};
    for (int i = 0; i < 4; i++)
        printf("lstm_%s_B%d_T%d_E%d_H%d_t%d %.1f GFLOP/s\n", names[i], (int)batch, (int)steps,
               (int)input, (int)hidden, threads, median(part[i], repeats));
    mtli_real *all[] = {w_ih,   w_hh, bias, x,     h,     c,  gates, dh,
                        dgates, dx,   work, dw_ih, dw_hh, db, pf,    pb};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    free(offsets);
}

static void bench_math(void)
{
    enum { N = 4096 };
    mtli_real *x = reals(N, 8), *y = reals(N, 1);
    double rate[MAX_REPEATS];
    void (*const functions[])(int64_t, const mtli_real *, mtli_real *) = {
        kernels->vexp, kernels->vtanh, kernels->vsigmoid, kernels->verf};
    static const char *const names[] = {"exp", "tanh", "sigmoid", "erf"};
    for (int f = 0; f < 4; f++) {
        for (int r = 0; r < repeats; r++) {
            double start = now();
            for (int i = 0; i < 1000; i++)
                functions[f](N, x, y);
            rate[r] = (now() - start) * 1e9 / (1000.0 * N);
        }
        printf("math_%s %.3f ns/element\n", names[f], median(rate, repeats));
    }
    free(x);
    free(y);
}

int main(int argc, char **argv)
{
    static const int64_t sizes[3][4] = {
        {32, 64, 100, 128}, {64, 64, 128, 256}, {64, 200, 128, 256}};
    repeats = argc > 1 ? atoi(argv[1]) : repeats;
    if (repeats < 1 || repeats > MAX_REPEATS)
        return 2;
    kernels = mtli_kernels_get(argc > 2 ? atoi(argv[2]) : mtli_kernels_best_level());
    if (!kernels)
        return 77;
    printf("level %d %s\n", kernels->level, kernels->name);
    bench_peak();
    bench_math();
    for (int i = 0; i < 2; i++) {
        int64_t b = sizes[i][0], t = sizes[i][1], e = sizes[i][2], h = sizes[i][3];
        bench_gemm("input", 0, 1, b * t, 4 * h, e);
        bench_gemm("recurrent", 0, 1, b, 4 * h, h);
        bench_gemm("recurrent_back", 0, 0, b, h, 4 * h);
        bench_gemm("weights", 1, 0, 4 * h, h, b * t);
    }
    bench_gemm("square", 0, 0, 1024, 1024, 1024);
    for (int i = 0; i < 3; i++)
        for (int threads = 1; threads <= MAX_THREADS; threads++)
            bench_lstm(sizes[i][0], sizes[i][1], sizes[i][2], sizes[i][3], threads);
    return 0;
}
