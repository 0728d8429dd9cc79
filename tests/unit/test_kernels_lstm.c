/* SPDX-License-Identifier: Apache-2.0
 * The LSTM kernels of every level beside plain loops in double, on ragged batches, and their bits
 * for different splits between threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/kernels.h"
#include "kernels/reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint32_t random_state = 4711;

static double uniform(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) / 16777216.0 * 2.0 - 1.0;
}

/* Exactly n values, so that sanitizers see one step too far. */
static mtli_real *reals(int64_t n, double scale)
{
    mtli_real *p = malloc((size_t)(n ? n : 1) * sizeof *p);
    assert_non_null(p);
    for (int64_t i = 0; i < n; i++)
        p[i] = (mtli_real)(scale * uniform());
    return p;
}

/* For outputs: whatever is not written shows. */
static mtli_real *nans(int64_t n)
{
    mtli_real *p = reals(n, 0);
    for (int64_t i = 0; i < n; i++)
        p[i] = (mtli_real)NAN;
    return p;
}

static double *doubles(int64_t n)
{
    double *p = calloc((size_t)(n ? n : 1), sizeof *p);
    assert_non_null(p);
    return p;
}

/* A batch, its weights, the gradients that arrive, and the truth. */
typedef struct problem {
    int64_t input, hidden, tokens, sequences;
    int64_t *offsets;
    mtli_real *w_ih, *w_hh, *bias_ih, *bias_hh, *x, *dh, *dh_last;
    mtli_ref_lstm truth;
} problem;

/* lengths: sorted descending. */
static problem problem_create(int64_t input, int64_t hidden, int64_t sequences,
                              const int64_t *lengths)
{
    problem p = {.input = input, .hidden = hidden, .sequences = sequences};
    int64_t steps = sequences ? lengths[0] : 0;
    p.offsets = malloc((size_t)(steps + 1) * sizeof *p.offsets);
    assert_non_null(p.offsets);
    for (int64_t t = 0; t <= steps; t++) {
        p.offsets[t] = p.tokens;
        for (int64_t s = 0; t < steps && s < sequences && lengths[s] > t; s++)
            p.tokens++;
    }
    double scale = 1.0 / sqrt((double)hidden);
    p.w_ih = reals(4 * hidden * input, scale);
    p.w_hh = reals(4 * hidden * hidden, scale);
    p.bias_ih = reals(4 * hidden, scale);
    p.bias_hh = reals(4 * hidden, scale);
    p.x = reals(p.tokens * input, 1);
    p.dh = reals(p.tokens * hidden, 1);
    p.dh_last = reals(sequences * hidden, 1);
    p.truth = (mtli_ref_lstm){
        .shape = {input, hidden, steps, p.offsets},
        .w_ih = p.w_ih,
        .w_hh = p.w_hh,
        .bias_ih = p.bias_ih,
        .bias_hh = p.bias_hh,
        .x = p.x,
        .gates = doubles(p.tokens * 4 * hidden),
        .c = doubles(p.tokens * hidden),
        .h = doubles(p.tokens * hidden),
        .dh = p.dh,
        .dh_last = p.dh_last,
        .dgates = doubles(p.tokens * 4 * hidden),
        .dx = doubles(p.tokens * input),
        .carry = doubles(2 * hidden),
        .dw_ih = doubles(4 * hidden * input),
        .dw_hh = doubles(4 * hidden * hidden),
        .db = doubles(4 * hidden),
    };
    mtli_ref_lstm_forward(&p.truth);
    mtli_ref_lstm_backward(&p.truth);
    mtli_ref_lstm_weights(&p.truth, NULL, 0);
    return p;
}

static void problem_destroy(problem *p)
{
    mtli_real *inputs[] = {p->w_ih, p->w_hh, p->bias_ih, p->bias_hh, p->x, p->dh, p->dh_last};
    double *outputs[] = {p->truth.gates,  p->truth.c,     p->truth.h,
                         p->truth.dgates, p->truth.dx,    p->truth.carry,
                         p->truth.dw_ih,  p->truth.dw_hh, p->truth.db};
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++)
        free(inputs[i]);
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++)
        free(outputs[i]);
    free(p->offsets);
}

/* What the kernels make of a problem, in `parts` parts one after the other. */
typedef struct result {
    mtli_real *gates, *c, *h, *dgates, *dx, *dw_ih, *dw_hh, *db;
} result;

static void result_destroy(result *r)
{
    mtli_real *all[] = {r->gates, r->c, r->h, r->dgates, r->dx, r->dw_ih, r->dw_hh, r->db};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

static void run_forward(const mtli_kernels *k, const problem *p, result *r, int64_t parts,
                        int project)
{
    int64_t width = k->lstm_gate_width(p->hidden);
    mtli_real *packed = nans(k->lstm_forward_packed_size(p->input, p->hidden));
    mtli_real *projected = nans(p->tokens * width);
    int32_t *rows = malloc((size_t)(p->tokens + 1) * sizeof *rows);
    assert_non_null(rows);
    k->lstm_pack_forward(p->input, p->hidden, p->w_ih, p->w_hh, p->bias_ih, p->bias_hh, packed);
    mtli_lstm_forward f = {p->truth.shape, packed, p->x, NULL, NULL, r->gates, r->c, r->h};
    if (project) {
        /* Tokens in reverse order, to see that the index is used. */
        mtli_real *reversed = reals(p->tokens * p->input, 1);
        for (int64_t n = 0; n < p->tokens; n++) {
            rows[n] = (int32_t)(p->tokens - 1 - n);
            memcpy(reversed + rows[n] * p->input, p->x + n * p->input,
                   (size_t)p->input * sizeof *reversed);
        }
        for (int64_t i = 0; i < parts; i++)
            k->lstm_project(p->input, p->hidden, packed, p->tokens * i / parts,
                            p->tokens * (i + 1) / parts, reversed, projected);
        free(reversed);
        f.x = NULL;
        f.projected = projected;
        f.projected_row = rows;
    }
    for (int64_t i = 0; i < parts; i++)
        k->lstm_forward(&f, (mtli_part){i, parts});
    free(packed);
    free(projected);
    free(rows);
}

static void run_backward(const mtli_kernels *k, const problem *p, result *r, int64_t parts)
{
    int64_t panels = k->lstm_panels(p->hidden);
    mtli_real *packed = nans(k->lstm_backward_packed_size(p->input, p->hidden));
    mtli_real *work = nans(k->lstm_backward_work(p->sequences, p->hidden));
    k->lstm_pack_backward(p->input, p->hidden, p->w_ih, p->w_hh, packed);
    mtli_lstm_backward b = {p->truth.shape, packed,    r->gates, r->c, p->dh,
                            p->dh_last,     r->dgates, r->dx,    work};
    for (int64_t i = parts - 1; i >= 0; i--)
        k->lstm_backward(&b, (mtli_part){i, parts});
    mtli_lstm_weights w = {p->truth.shape, r->dgates, p->x,  r->h, NULL, 0,
                           r->dw_ih,       r->dw_hh,  r->db, 0};
    for (int64_t i = 0; i < parts; i++)
        k->lstm_weight_gradient(&w, panels * i / parts, panels * (i + 1) / parts);
    free(packed);
    free(work);
}

static result run(const mtli_kernels *k, const problem *p, int64_t parts, int project)
{
    int64_t gates = p->tokens * k->lstm_gate_width(p->hidden);
    result r = {
        nans(gates),
        nans(p->tokens * p->hidden),
        nans(p->tokens * p->hidden),
        nans(gates),
        nans(p->tokens * p->input),
        nans(4 * p->hidden * p->input),
        nans(4 * p->hidden * p->hidden),
        nans(4 * p->hidden),
    };
    run_forward(k, p, &r, parts, project);
    run_backward(k, p, &r, parts);
    return r;
}

static double largest(const double *v, int64_t n)
{
    double m = 0;
    for (int64_t i = 0; i < n; i++)
        m = fmax(m, fabs(v[i]));
    return m;
}

/* Error relative to the largest entry. */
static void compare(const char *what, const mtli_kernels *k, const problem *p, const mtli_real *got,
                    const double *truth, int64_t n, double tolerance)
{
    double scale = fmax(largest(truth, n), 1e-3);
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - truth[i]) <= tolerance * scale))
            fail_msg("%s E=%d H=%d N=%d: %s[%d] = %.9g, not %.9g (tolerance %.2g)", k->name,
                     (int)p->input, (int)p->hidden, (int)p->tokens, what, (int)i, (double)got[i],
                     truth[i], tolerance * scale);
}

/* A gate sums E + H + 2 terms, each rounded once, and each step adds its error to a state whose map
 * contracts on average (forget gates below 1): with n = E + H, errors of forward values stay within
 * a few eps sqrt(n), and we allow 8 eps (sqrt(n) + 4). Backward sums 4H terms a step and weight
 * gradients N terms: the same with n replaced by 4H + N, relative to the largest entry, times 4 for
 * the forward errors that enter as factors. */
static void compare_all(const mtli_kernels *k, const problem *p, const result *r)
{
    int64_t e = p->input, h = p->hidden, n = p->tokens;
    double forward = 8 * MTLI_REAL_EPSILON * (sqrt((double)(e + h)) + 4);
    double backward = 32 * MTLI_REAL_EPSILON * (sqrt((double)(e + 4 * h + n)) + 4);
    compare("h", k, p, r->h, p->truth.h, n * h, forward);
    compare("c", k, p, r->c, p->truth.c, n * h, forward);
    compare("dx", k, p, r->dx, p->truth.dx, n * e, backward);
    compare("dw_ih", k, p, r->dw_ih, p->truth.dw_ih, 4 * h * e, backward);
    compare("dw_hh", k, p, r->dw_hh, p->truth.dw_hh, 4 * h * h, backward);
    compare("db", k, p, r->db, p->truth.db, 4 * h, backward);
}

static void same_bits(const mtli_kernels *k, const problem *p, const result *a, const result *b)
{
    size_t e = (size_t)p->input, h = (size_t)p->hidden, n = (size_t)p->tokens,
           size = sizeof(mtli_real);
    size_t gates = n * (size_t)k->lstm_gate_width(p->hidden);
    assert_memory_equal(a->gates, b->gates, gates * size);
    assert_memory_equal(a->c, b->c, n * h * size);
    assert_memory_equal(a->h, b->h, n * h * size);
    assert_memory_equal(a->dgates, b->dgates, gates * size);
    assert_memory_equal(a->dx, b->dx, n * e * size);
    assert_memory_equal(a->dw_ih, b->dw_ih, 4 * h * e * size);
    assert_memory_equal(a->dw_hh, b->dw_hh, 4 * h * h * size);
    assert_memory_equal(a->db, b->db, 4 * h * size);
}

static void check_problem(const problem *p)
{
    for (int level = 0; level < MTLI_LEVEL_COUNT; level++) {
        const mtli_kernels *k = mtli_kernels_get(level);
        if (!k)
            continue;
        result whole = run(k, p, 1, 0);
        compare_all(k, p, &whole);
        for (int64_t parts = 2; parts <= 5; parts++) {
            result split = run(k, p, parts, 0);
            same_bits(k, p, &whole, &split);
            result_destroy(&split);
        }
        result projected = run(k, p, 3, 1);
        same_bits(k, p, &whole, &projected);
        result_destroy(&projected);
        result_destroy(&whole);
    }
}

static void check_lengths(int64_t input, int64_t hidden, int64_t sequences, const int64_t *lengths)
{
    problem p = problem_create(input, hidden, sequences, lengths);
    check_problem(&p);
    problem_destroy(&p);
}

static void test_shapes(void **state)
{
    static const int64_t sizes[][2] = {{1, 1},  {3, 2},   {5, 17},  {16, 16},
                                       {7, 31}, {33, 48}, {70, 20}, {100, 65}};
    static const int64_t equal[13] = {6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6};
    static const int64_t ragged[9] = {31, 17, 17, 16, 9, 4, 1, 1, 1};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        check_lengths(sizes[i][0], sizes[i][1], 1, equal);
        check_lengths(sizes[i][0], sizes[i][1], 13, equal);
        check_lengths(sizes[i][0], sizes[i][1], 9, ragged);
        check_lengths(sizes[i][0], sizes[i][1], 1, ragged);
        check_lengths(sizes[i][0], sizes[i][1], 0, NULL);
    }
    check_lengths(40, 24, 9, (int64_t[9]){60, 60, 50, 40, 20, 3, 2, 2, 1});
}

static int descending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

static void test_random_shapes(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        int64_t lengths[32], sequences = 1 + (int64_t)(fabs(uniform()) * 31);
        for (int64_t s = 0; s < sequences; s++)
            lengths[s] = 1 + (int64_t)(fabs(uniform()) * 15);
        qsort(lengths, (size_t)sequences, sizeof *lengths, descending);
        check_lengths(1 + (int64_t)(fabs(uniform()) * 50), 1 + (int64_t)(fabs(uniform()) * 50),
                      sequences, lengths);
    }
}

/* Sums over a list of tokens, and accumulation: the lists of two tasks add up to the whole. */
static void test_token_lists(void **state)
{
    static const int64_t lengths[9] = {40, 31, 20, 20, 20, 19, 5, 1, 1};
    (void)state;
    problem p = problem_create(21, 18, 9, lengths);
    int32_t list[2][200];
    int64_t count[2] = {0, 0};
    for (int64_t n = 0; n < p.tokens; n++) {
        int task = uniform() > 0.3;
        list[task][count[task]++] = (int32_t)n;
    }
    for (int level = 0; level < MTLI_LEVEL_COUNT; level++) {
        const mtli_kernels *k = mtli_kernels_get(level);
        if (!k)
            continue;
        result r = run(k, &p, 1, 0);
        mtli_lstm_weights w = {p.truth.shape, r.dgates, p.x,     r.h,  list[0],
                               count[0],      r.dw_ih,  r.dw_hh, r.db, 0};
        mtli_ref_lstm_weights(&p.truth, list[0], count[0]);
        k->lstm_weight_gradient(&w, 0, k->lstm_panels(p.hidden));
        compare_all(k, &p, &r);
        w.tokens = list[1];
        w.token_count = count[1];
        w.accumulate = 1;
        mtli_ref_lstm_weights(&p.truth, NULL, 0);
        k->lstm_weight_gradient(&w, 0, k->lstm_panels(p.hidden));
        compare_all(k, &p, &r);
        result_destroy(&r);
    }
    problem_destroy(&p);
}

/* Gate gradients summed by distinct token give the same dw_ih, and dx of a distinct token is the
 * sum of its occurrences. */
static void test_distinct_tokens(void **state)
{
    enum { DISTINCT = 7 };
    static const int64_t lengths[5] = {20, 13, 13, 4, 1};
    (void)state;
    problem p = problem_create(19, 23, 5, lengths);
    int32_t row[64];
    mtli_real *table = reals(DISTINCT * p.input, 1);
    for (int64_t n = 0; n < p.tokens; n++) {
        row[n] = (int32_t)(fabs(uniform()) * DISTINCT);
        memcpy(p.x + n * p.input, table + row[n] * p.input, (size_t)p.input * sizeof *table);
    }
    mtli_ref_lstm_forward(&p.truth);
    mtli_ref_lstm_backward(&p.truth);
    mtli_ref_lstm_weights(&p.truth, NULL, 0);
    double *dtable = doubles(DISTINCT * p.input);
    for (int64_t i = 0; i < p.tokens * p.input; i++)
        dtable[row[i / p.input] * p.input + i % p.input] += p.truth.dx[i];
    for (int level = 0; level < MTLI_LEVEL_COUNT; level++) {
        const mtli_kernels *k = mtli_kernels_get(level);
        if (!k)
            continue;
        int64_t panels = k->lstm_panels(p.hidden), distinct_offsets[2] = {0, DISTINCT};
        result r = run(k, &p, 1, 0);
        mtli_real *sums = nans(DISTINCT * k->lstm_gate_width(p.hidden)),
                  *dx = nans(DISTINCT * p.input);
        mtli_real *packed = nans(k->lstm_backward_packed_size(p.input, p.hidden));
        k->lstm_sum_gates(p.tokens, DISTINCT, row, r.dgates, sums, 0, panels / 2);
        k->lstm_sum_gates(p.tokens, DISTINCT, row, r.dgates, sums, panels / 2, panels);
        k->lstm_pack_backward(p.input, p.hidden, p.w_ih, p.w_hh, packed);
        k->lstm_input_gradient(p.input, p.hidden, packed, 0, 2, DISTINCT, sums, dx);
        k->lstm_input_gradient(p.input, p.hidden, packed, 2, DISTINCT, DISTINCT, sums, dx);
        compare("dtable", k, &p, dx, dtable, DISTINCT * p.input, 32 * 16 * MTLI_REAL_EPSILON);
        mtli_lstm_shape shape = {p.input, p.hidden, 1, distinct_offsets};
        mtli_lstm_weights w = {shape, sums, table, NULL, NULL, 0, r.dw_ih, NULL, NULL, 0};
        k->lstm_weight_gradient(&w, 0, panels);
        compare_all(k, &p, &r);
        free(sums);
        free(dx);
        free(packed);
        result_destroy(&r);
    }
    free(dtable);
    free(table);
    problem_destroy(&p);
}

/* Without dh, dh_last, biases, dx or saved gates. */
static void test_optional(void **state)
{
    static const int64_t lengths[3] = {5, 3, 3};
    (void)state;
    problem p = problem_create(6, 10, 3, lengths);
    memset(p.bias_ih, 0, (size_t)(4 * p.hidden) * sizeof *p.bias_ih);
    memset(p.bias_hh, 0, (size_t)(4 * p.hidden) * sizeof *p.bias_hh);
    for (int level = 0; level < MTLI_LEVEL_COUNT; level++) {
        const mtli_kernels *k = mtli_kernels_get(level);
        if (!k)
            continue;
        result r = run(k, &p, 1, 0);
        mtli_real *h = nans(p.tokens * p.hidden), *c = nans(p.tokens * p.hidden);
        mtli_real *packed = nans(k->lstm_forward_packed_size(p.input, p.hidden));
        mtli_real *packed_back = nans(k->lstm_backward_packed_size(p.input, p.hidden));
        mtli_real *work = nans(k->lstm_backward_work(p.sequences, p.hidden));
        k->lstm_pack_forward(p.input, p.hidden, p.w_ih, p.w_hh, NULL, NULL, packed);
        k->lstm_pack_backward(p.input, p.hidden, p.w_ih, p.w_hh, packed_back);
        mtli_lstm_forward f = {p.truth.shape, packed, p.x, NULL, NULL, NULL, c, h};
        k->lstm_forward(&f, (mtli_part){0, 1});
        assert_memory_equal(h, r.h, (size_t)(p.tokens * p.hidden) * sizeof *h);
        mtli_lstm_backward b = {p.truth.shape, packed_back, r.gates, c,   NULL,
                                NULL,          r.dgates,    NULL,    work};
        k->lstm_backward(&b, (mtli_part){0, 1});
        for (int64_t i = 0; i < p.tokens * k->lstm_gate_width(p.hidden); i++)
            assert_true(r.dgates[i] == 0);
        free(h);
        free(c);
        free(packed);
        free(packed_back);
        free(work);
        result_destroy(&r);
    }
    problem_destroy(&p);
}

/* A NaN in one sequence stays in that sequence. */
static void test_nan_stays(void **state)
{
    static const int64_t lengths[8] = {9, 8, 8, 8, 7, 3, 3, 3};
    (void)state;
    problem p = problem_create(5, 9, 8, lengths);
    p.x[(p.offsets[4] + 3) * p.input + 1] = (mtli_real)NAN;
    for (int level = 0; level < MTLI_LEVEL_COUNT; level++) {
        const mtli_kernels *k = mtli_kernels_get(level);
        if (!k)
            continue;
        result r = run(k, &p, 1, 0);
        for (int64_t t = 0; t < p.truth.shape.steps; t++)
            for (int64_t n = p.offsets[t]; n < p.offsets[t + 1]; n++)
                for (int64_t u = 0; u < p.hidden; u++)
                    assert_true(!isnan(r.h[n * p.hidden + u]) ==
                                !(n - p.offsets[t] == 3 && t >= 4));
        result_destroy(&r);
    }
    problem_destroy(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),      cmocka_unit_test(test_random_shapes),
        cmocka_unit_test(test_token_lists), cmocka_unit_test(test_distinct_tokens),
        cmocka_unit_test(test_optional),    cmocka_unit_test(test_nan_stays),
    };
    return cmocka_run_group_tests_name("kernels_lstm", tests, NULL, NULL);
}
