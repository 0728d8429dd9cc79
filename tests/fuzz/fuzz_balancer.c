/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: balancers without an objective. Bytes choose a method and its options, a state to load (their own, or a
 * true one with bytes changed), and losses and Gram matrices of any value. Every step answers with finite weights or
 * fails and changes nothing, and what was learned is a state again. */
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <mtl/balance.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_TASKS = 6, STEPS = 4, MOST_BYTES = 1 << 22 };

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

/* ---- bytes; after the last one, zeros ---- */

typedef struct source {
    const uint8_t *data;
    size_t size;
} source;

static uint8_t next_byte(source *s)
{
    if (s->size == 0) {
        return 0;
    }
    s->size--;
    return *s->data++;
}

/* One byte for values of interest, nine for any. */
static double next_double(source *s)
{
    static const double values[] = {0,    -0.0,   1,     -1,     .5,    2,      -3,     1e-8,  1e-30,
                                    1e30, 1e-160, 1e150, 1e-300, 1e300, -1e300, 5e-324, 1e308, -1e308};
    enum { VALUES = sizeof values / sizeof values[0] };
    uint8_t kind = next_byte(s);
    if (kind < 2 * VALUES) {
        return values[kind % VALUES];
    }
    if (kind < 240) {
        return (kind - 128) / 32.0;
    }
    if (kind < 250) {
        uint8_t bytes[8];
        for (int i = 0; i < 8; i++) {
            bytes[i] = next_byte(s);
        }
        double value;
        memcpy(&value, bytes, sizeof value);
        return value;
    }
    return kind < 253 ? (double)NAN : kind == 253 ? HUGE_VAL : kind == 254 ? -HUGE_VAL : 1;
}

/* ---- options ---- */

static mtl_status decide_as_host(void *user, int32_t count, const int32_t *tasks, const double *losses,
                                 const double *gram, double *weights)
{
    (void)user;
    for (int32_t i = 0; i < count; i++) {
        weights[i] = losses[i] * (gram ? gram[i * count] : 1) + tasks[i];
    }
    return losses[0] < -2 ? MTL_ERROR_IO : MTL_OK;
}

static void choose_numbers(source *s, mtl_balancer_options *options)
{
    double *first = &options->alpha;
    for (uint8_t changes = next_byte(s) % 8; changes > 0; changes--) {
        double *chosen = &first[next_byte(s) % 18]; /* alpha .. inner_rate */
        *chosen = next_double(s);
    }
}

static mtl_balancer_options choose_options(source *s, const double *preference, const double *reference)
{
    mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
    options.method = next_byte(s) % (MTL_BALANCE_CUSTOM + 2);
    options.form = next_byte(s) % 20;
    uint8_t choices = next_byte(s);
    options.scope = choices & 3;
    options.reduction = choices >> 2 & 3;
    options.gradient = choices >> 4 & 1;
    options.measure_every = choices >> 5 & 1;
    options.preference = choices & 64 ? preference : NULL;
    options.reference = choices & 128 ? reference : NULL;
    uint8_t schedule = next_byte(s);
    options.update_every = 1 + (schedule & 3);
    options.warmup_steps = schedule >> 2 & 3;
    options.epoch_steps = schedule >> 4 & 3;
    options.smoothing = schedule & 64 ? .5 : 0;
    options.steps = schedule & 128 ? 3 : -1;
    uint8_t rest = next_byte(s);
    options.outliers = rest & 1 ? rest >> 4 : -1;
    options.selected = rest & 2 ? rest >> 4 : -1;
    options.needs = rest & 4 ? MTL_BALANCE_NEEDS_GRAM : 0;
    options.decide = options.method == MTL_BALANCE_CUSTOM ? decide_as_host : NULL;
    options.num_tasks = rest & 8 || choices >= 64 ? 1 + rest % MOST_TASKS : 0;
    choose_numbers(s, &options);
    return options;
}

/* ---- steps ---- */

typedef struct state_bytes {
    uint8_t *bytes;
    uint64_t size;
} state_bytes;

static state_bytes save(const mtl_balancer *balancer)
{
    state_bytes saved = {NULL, mtl_balancer_state_size(balancer)};
    saved.bytes = malloc(saved.size);
    require(saved.bytes != NULL);
    require(mtl_balancer_save_state(balancer, saved.bytes, saved.size) == MTL_OK);
    return saved;
}

/* Any numbers, or the Gram matrix of gradients with two coordinates. Whether it is one of lengths that every method
 * on it is for. */
static bool next_gram(source *s, int32_t tasks, double *gram)
{
    bool moderate = true;
    bool formed = next_byte(s) % 2 == 0;
    double g[2 * MOST_TASKS];
    for (int32_t i = 0; i < 2 * tasks; i++) {
        g[i] = next_double(s);
        moderate = moderate && (g[i] == 0 || (fabs(g[i]) >= 1e-30 && fabs(g[i]) <= 1e30));
    }
    for (int32_t i = 0; i < tasks; i++) {
        for (int32_t j = 0; j <= i; j++) {
            double value = formed ? g[2 * i] * g[2 * j] + g[2 * i + 1] * g[2 * j + 1] : next_double(s);
            gram[i * tasks + j] = gram[j * tasks + i] = value;
        }
    }
    return formed && moderate;
}

static void check_report(void *user, const mtl_balance_report *report)
{
    int *calls = user;
    ++*calls;
    require(report->step > 0 && report->num_tasks <= MOST_TASKS);
    require(!(report->conflict_rate < 0) && !(report->conflict_rate > 1));
    for (int32_t i = 0; i < report->num_tasks && report->cosines; i++) {
        require(!(fabs(report->cosines[i]) > 1));
    }
}

static void take_step(source *s, mtl_balancer *balancer, int32_t tasks, bool plain)
{
    double losses[MOST_TASKS], gram[MOST_TASKS * MOST_TASKS], weights[MOST_TASKS];
    mtl_balance_result result = {.struct_size = sizeof result};
    int calls = 0;
    for (int32_t i = 0; i < tasks; i++) {
        losses[i] = next_double(s);
        plain = plain && !isinf(losses[i]);
        weights[i] = 7;
    }
    plain = next_gram(s, tasks, gram) && plain;
    state_bytes before = save(balancer);
    require(mtl_balancer_set_monitor(balancer, check_report, &calls) == MTL_OK);
    mtl_status status = mtl_balancer_decide(balancer, tasks, losses, gram, weights, &result);
    state_bytes after = save(balancer);
    require(calls == (status == MTL_OK));
    require(status == MTL_OK || !plain);
    for (int32_t i = 0; i < tasks; i++) {
        require(status == MTL_OK ? isfinite(weights[i]) && (!isnan(losses[i]) || weights[i] == 0) : weights[i] == 7);
    }
    if (status == MTL_OK) {
        require(result.status >= MTL_BALANCE_OK && result.status <= MTL_BALANCE_NOT_CONVERGED);
        require(mtl_balancer_load_state(balancer, after.bytes, after.size) == MTL_OK);
    } else if (before.size == after.size) { /* the first step takes its memory also when it fails */
        require(memcmp(before.bytes, after.bytes, before.size) == 0);
    }
    free(before.bytes);
    free(after.bytes);
}

/* Whether the balancer is as it was. */
static bool load_something(source *s, mtl_balancer *balancer)
{
    state_bytes saved = save(balancer);
    uint8_t kind = next_byte(s);
    if (kind % 4 == 1) {
        for (uint8_t changes = kind >> 2; changes > 0; changes--) {
            uint64_t at = (uint64_t)next_byte(s) << 8;
            at = (at | next_byte(s)) % saved.size;
            saved.bytes[at] = next_byte(s);
        }
        mtl_status status = mtl_balancer_load_state(balancer, saved.bytes, saved.size);
        require(status == MTL_OK || status == MTL_ERROR_FORMAT);
    } else if (kind % 4 == 2) {
        uint64_t fewer = saved.size - next_byte(s) % saved.size - 1;
        require(mtl_balancer_load_state(balancer, saved.bytes, fewer) == MTL_ERROR_FORMAT);
    } else if (kind % 4 == 3) {
        mtl_status status = mtl_balancer_load_state(balancer, s->data, s->size);
        require(status == MTL_OK || status == MTL_ERROR_FORMAT || (status == MTL_ERROR_ARGUMENT && !s->data));
    }
    free(saved.bytes);
    return kind % 2 == 0;
}

static void use_balancer(source *s, mtl_balancer *balancer, bool plain)
{
    int32_t tasks = 1 + next_byte(s) % MOST_TASKS;
    for (int step = 0; step < STEPS; step++) {
        plain = load_something(s, balancer) && plain;
        take_step(s, balancer, tasks, plain);
        uint8_t event = next_byte(s);
        if (event & 1) {
            (void)!mtl_balancer_set_measure(balancer, event % 8, next_double(s));
        }
        if (event & 2) {
            mtl_balancer_next_epoch(balancer);
        }
        if (event > 250) {
            mtl_balancer_reset(balancer);
        }
    }
}

/* With its numbers as published, a method on G alone answers to every moderate G. */
static bool is_plain(const mtl_balancer_options *options)
{
    const mtl_balancer_options defaults = MTL_BALANCER_OPTIONS_INIT;
    bool on_gram = options->method >= MTL_BALANCE_MGDA && options->method <= MTL_BALANCE_KRUM &&
                   options->method != MTL_BALANCE_IMTL && !options->preference && options->num_tasks == 0;
    const size_t first = offsetof(mtl_balancer_options, alpha);
    const size_t end = offsetof(mtl_balancer_options, smoothing);
    return on_gram && memcmp((const char *)options + first, (const char *)&defaults + first, end - first) == 0 &&
           options->form <= MTL_BALANCE_FORM_PLAIN;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    source s = {data, size};
    double preference[MOST_TASKS], reference[MOST_TASKS];
    mtl_context_options limited = MTL_CONTEXT_OPTIONS_INIT;
    limited.max_bytes = MOST_BYTES;
    mtl_context *context = NULL;
    mtl_balancer *balancer = NULL;
    require(mtl_context_create(&limited, &context) == MTL_OK);
    for (int i = 0; i < MOST_TASKS; i++) {
        preference[i] = 1 + i % 3;
        reference[i] = 0;
    }
    uint8_t arrays = next_byte(&s);
    if (arrays & 1) {
        preference[arrays % MOST_TASKS] = next_double(&s);
        reference[arrays % 5] = next_double(&s);
    }
    mtl_balancer_options options = choose_options(&s, preference, reference);
    mtl_status status = mtl_balancer_create(context, &options, &balancer);
    require((status == MTL_OK) == (balancer != NULL));
    require(balancer || status == MTL_ERROR_ARGUMENT || status == MTL_ERROR_UNSUPPORTED);
    if (balancer) {
        use_balancer(&s, balancer, is_plain(&options));
    }
    mtl_balancer_destroy(balancer);
    mtl_memory_info info;
    require(mtl_context_memory(context, &info) == MTL_OK && info.blocks == 1);
    mtl_context_release(context);
    return 0;
}
