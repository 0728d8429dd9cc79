/* SPDX-License-Identifier: Apache-2.0
 * What a balancer remembers: saved and loaded it goes on as if nothing had been between; reset, it begins anew; bytes
 * that are no such state are refused and change nothing. */
#include "balancers.h"

enum { T = 4, HEADER = 56 };

typedef struct trained {
    mtl_context *context;
    mtl_balancer *balancer;
} trained;

static mtl_status mean_of_neighbours(void *user, int32_t count, const int32_t *tasks, const double *losses,
                                     const double *gram, double *weights)
{
    (void)user;
    (void)tasks;
    for (int32_t i = 0; i < count; i++) {
        weights[i] = losses[i] + gram[i * count + (i + 1) % count];
    }
    return MTL_OK;
}

/* Everything that is remembered: a warm-up, kept weights, averages, epochs, conflicts. */
static mtl_balancer_options rich_options(int32_t method)
{
    mtl_balancer_options options = balancer_options(method);
    options.warmup_steps = 2;
    options.update_every = 2;
    options.measure_every = 1;
    options.epoch_steps = 3;
    options.smoothing = .5;
    options.decide = method == MTL_BALANCE_CUSTOM ? mean_of_neighbours : NULL;
    options.needs = method == MTL_BALANCE_CUSTOM ? MTL_BALANCE_NEEDS_GRAM : 0;
    return options;
}

static bool is_tested(int32_t method)
{
    return balancer_decides(method) || method == MTL_BALANCE_CUSTOM;
}

static void open_trained(trained *b, int32_t method, uint64_t seed)
{
    mtl_balancer_options options = rich_options(method);
    b->context = test_context();
    assert_ok(b->context, mtl_context_set_seed(b->context, seed));
    b->balancer = balancer_with(b->context, &options);
}

static void close_trained(trained *b)
{
    mtl_balancer_destroy(b->balancer);
    mtl_context_release(b->context);
}

/* Steps [from, to): each with its own numbers; tasks come and go. weights [to - from, T] may be NULL. */
static void run_steps(trained *b, int32_t method, int from, int to, double *weights)
{
    for (int step = from; step < to; step++) {
        double losses[T], gram[T * T], unwanted[T];
        uint32_t seed = 1000u + (uint32_t)step;
        balancer_data(&seed, T, losses, gram);
        if (step % 3 == 1) {
            losses[step % T] = NAN;
        }
        assert_ok(b->context, mtl_balancer_decide(b->balancer, T, losses, gram,
                                                  weights ? weights + (step - from) * T : unwanted, NULL));
        if (method == MTL_BALANCE_PRIORITIZATION) {
            assert_ok(b->context, mtl_balancer_set_measure(b->balancer, step % T, .1 * (step % 10)));
        }
    }
}

static unsigned char *save(trained *b, uint64_t *size)
{
    *size = mtl_balancer_state_size(b->balancer);
    unsigned char *bytes = malloc(*size);
    assert_non_null(bytes);
    assert_ok(b->context, mtl_balancer_save_state(b->balancer, bytes, *size));
    return bytes;
}

static void assert_state(trained *b, const unsigned char *expected, uint64_t expected_size)
{
    uint64_t size;
    unsigned char *bytes = save(b, &size);
    assert_int_equal(size, expected_size);
    assert_memory_equal(bytes, expected, size);
    free(bytes);
}

/* ---- going on ---- */

static void a_loaded_balancer_goes_on(void **state)
{
    (void)state;
    enum { MORE = 8 };
    for (int32_t method = 0; method < BALANCERS_METHODS; method++) {
        for (int stop = 0; stop <= 7 && is_tested(method); stop++) {
            trained first, second;
            double expected[MORE * T], weights[MORE * T];
            uint64_t size, last_size;
            open_trained(&first, method, 17);
            open_trained(&second, method, 99);
            run_steps(&second, method, 20, 23, NULL); /* what it knew is gone after loading */
            run_steps(&first, method, 0, stop, NULL);
            unsigned char *bytes = save(&first, &size);
            assert_ok(second.context, mtl_balancer_load_state(second.balancer, bytes, size));
            assert_state(&second, bytes, size);
            run_steps(&first, method, stop, stop + MORE, expected);
            run_steps(&second, method, stop, stop + MORE, weights);
            if (memcmp(weights, expected, sizeof expected) != 0) {
                fail_msg("%s, saved after %d steps, goes on differently", mtl_balance_method_name(method), stop);
            }
            unsigned char *last = save(&first, &last_size);
            assert_state(&second, last, last_size);
            free(last);
            free(bytes);
            close_trained(&second);
            close_trained(&first);
        }
    }
}

static void what_is_learned_can_be_forgotten(void **state)
{
    (void)state;
    enum { STEPS = 7 };
    for (int32_t method = 0; method < BALANCERS_METHODS; method++) {
        if (!is_tested(method)) {
            continue;
        }
        trained b;
        double first[STEPS * T], again[STEPS * T];
        open_trained(&b, method, 3);
        assert_int_equal(mtl_balancer_memory(b.balancer), 0);
        run_steps(&b, method, 0, STEPS, first);
        assert_true(mtl_balancer_memory(b.balancer) > 0);
        mtl_balancer_reset(b.balancer);
        assert_int_equal(mtl_balancer_read(b.balancer, "weights", NULL, 0), -1);
        assert_int_equal(mtl_balancer_memory(b.balancer), 0);
        assert_int_equal(mtl_balancer_state_size(b.balancer), HEADER);
        run_steps(&b, method, 0, STEPS, again);
        assert_memory_equal(again, first, sizeof first);
        close_trained(&b);
    }
}

/* The bytes are little-endian and in an order of their own on every machine. */
static void the_bytes_of_a_state(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    assert_ok(context, mtl_context_set_seed(context, 0x0102030405060708));
    mtl_balancer *balancer = balancer_of(context, MTL_BALANCE_UNCERTAINTY);
    unsigned char bytes[512];
    double weights[1];
    const unsigned char head[] = {'m', 't', 'l', 'b', 'a', 'l', 'a', 'n', 1, 0, 0, 0, 3, 0, 0, 0,
                                  1,   0,   0,   0,   0,   0,   0,   0,   8, 7, 6, 5, 4, 3, 2, 1};
    assert_int_equal(mtl_balancer_state_size(balancer), HEADER);
    assert_ok(context, mtl_balancer_save_state(balancer, bytes, HEADER));
    assert_memory_equal(bytes, head, sizeof head);
    assert_ok(context, mtl_balancer_decide(balancer, 1, ROW(2), NULL, weights, NULL));
    /* steps, steps of the epoch, weight, own weight, mean loss, its count; s, m, v, updates */
    assert_int_equal(mtl_balancer_state_size(balancer), HEADER + 10 * 8);
    assert_ok(context, mtl_balancer_save_state(balancer, bytes, HEADER + 10 * 8));
    const unsigned char one[8] = {0, 0, 0, 0, 0, 0, 0xf0, 0x3f}, two[8] = {0, 0, 0, 0, 0, 0, 0, 0x40};
    assert_int_equal(bytes[20], 1);
    assert_memory_equal(bytes + HEADER, one, 8);
    assert_memory_equal(bytes + HEADER + 4 * 8, two, 8);
    assert_memory_equal(bytes + HEADER + 9 * 8, one, 8);
    assert_fails(context, mtl_balancer_save_state(balancer, bytes, HEADER), MTL_ERROR_ARGUMENT, "size = 56");
    assert_fails(context, mtl_balancer_save_state(balancer, bytes, HEADER + 88), MTL_ERROR_ARGUMENT, "has 136 bytes");
    mtl_balancer_destroy(balancer);
    mtl_context_release(context);
}

static void arrays_are_read_by_name(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtl_balancer *balancer = balancer_of(context, MTL_BALANCE_UNCERTAINTY);
    double values[3] = {7, 7, 7};
    double weights[2];
    assert_int_equal(mtl_balancer_read(balancer, "s", values, 3), -1);
    assert_ok(context, mtl_balancer_decide(balancer, 2, ROW(1, 3), NULL, weights, NULL));
    assert_int_equal(mtl_balancer_read(balancer, "nothing", values, 3), -1);
    assert_int_equal(mtl_balancer_read(balancer, "s", NULL, 0), 2);
    assert_int_equal(mtl_balancer_read(balancer, "s", NULL, 5), 2);
    assert_int_equal(mtl_balancer_read(balancer, "s", values, -1), 2);
    assert_int_equal(mtl_balancer_read(balancer, "loss-mean", values, 1), 2);
    assert_close(values, ROW(1, 7, 7), 3, 0, 0);
    assert_int_equal(mtl_balancer_read(balancer, "loss-mean", values, 3), 2);
    assert_close(values, ROW(1, 3, 7), 3, 0, 0);
    assert_int_equal(mtl_balancer_read(balancer, "updates", values, 3), 1);
    assert_near(values[0], 1, 0);
    mtl_balancer_destroy(balancer);
    mtl_context_release(context);
}

/* ---- what is no state ---- */

static void refuse_state(trained *b, const unsigned char *bytes, uint64_t size, const char *message)
{
    uint64_t before_size;
    unsigned char *before = save(b, &before_size);
    unsigned char *exact = malloc(size ? size : 1); /* so that a checker sees a read beyond its end */
    assert_non_null(exact);
    memcpy(exact, bytes, size);
    assert_fails(b->context, mtl_balancer_load_state(b->balancer, exact, size), MTL_ERROR_FORMAT, message);
    assert_state(b, before, before_size);
    free(exact);
    free(before);
}

static void states_that_are_cut_off(void **state)
{
    (void)state;
    for (int32_t method = 0; method < BALANCERS_METHODS; method++) {
        if (!is_tested(method)) {
            continue;
        }
        trained from, to;
        uint64_t size;
        open_trained(&from, method, 1);
        open_trained(&to, method, 1);
        run_steps(&from, method, 0, 6, NULL);
        run_steps(&to, method, 6, 9, NULL);
        unsigned char *bytes = save(&from, &size);
        for (uint64_t length = 0; length < size; length++) {
            refuse_state(&to, bytes, length, "buffer is not a state of this balancer");
        }
        unsigned char *longer = calloc(1, size + 4);
        assert_non_null(longer);
        memcpy(longer, bytes, size);
        refuse_state(&to, longer, size + 4, "its length is wrong");
        free(longer);
        free(bytes);
        close_trained(&to);
        close_trained(&from);
    }
}

static void put(unsigned char *bytes, size_t at, uint64_t value, int count)
{
    for (int i = 0; i < count; i++) {
        bytes[at + (size_t)i] = (unsigned char)(value >> (8 * i));
    }
}

static void headers_of_others(void **state)
{
    (void)state;
    const struct {
        size_t at;
        int bytes;
        uint64_t value;
        const char *message;
    } wrong[] = {
        {0, 1, 'M', "does not begin"},
        {8, 4, 2, "another version"},
        {12, 4, MTL_BALANCE_IMTL_L, "another method"},
        {16, 4, MTL_BALANCE_FORM_FULL, "another method or form"},
        {20, 4, T + 1, "other options"},
        {20, 4, 65537, "sizes"},
        {20, 4, 0, "other options"},
        {20, 4, UINT32_MAX, "sizes"},
        {40, 8, 1, "tracks no gradients"},
        {40, 8, UINT64_MAX, "tracks no gradients"},
        {48, 4, 2, "sizes"},
        {52, 4, 1, "other options"},
        {52, 4, UINT32_MAX, "other options"},
    };
    trained b;
    uint64_t size;
    open_trained(&b, MTL_BALANCE_UNCERTAINTY, 1);
    run_steps(&b, MTL_BALANCE_UNCERTAINTY, 0, 6, NULL);
    unsigned char *bytes = save(&b, &size);
    unsigned char *changed = malloc(size);
    assert_non_null(changed);
    for (size_t k = 0; k < sizeof wrong / sizeof wrong[0]; k++) {
        memcpy(changed, bytes, size);
        put(changed, wrong[k].at, wrong[k].value, wrong[k].bytes);
        refuse_state(&b, changed, size, wrong[k].message);
    }
    free(changed);
    free(bytes);
    close_trained(&b);
}

/* A header of 56 bytes must not make anybody take memory for 4096² pairs; with an options array of another length, the
 * tasks would lie beyond it. */
static void sizes_are_believed_late(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtl_memory_info before, after;
    unsigned char bytes[2048];
    double weights[T];
    mtl_balancer_options options = balancer_options(MTL_BALANCE_UPGRAD);
    mtl_balancer *balancer = balancer_with(context, &options);
    assert_ok(context, mtl_balancer_save_state(balancer, bytes, HEADER));
    put(bytes, 20, 4096, 4);
    assert_ok(context, mtl_context_memory(context, &before));
    assert_fails(context, mtl_balancer_load_state(balancer, bytes, HEADER), MTL_ERROR_FORMAT, "other options");
    put(bytes, 52, 2 + 4 * 4096 + 2 * 4096 * 4096, 4);
    assert_fails(context, mtl_balancer_load_state(balancer, bytes, HEADER), MTL_ERROR_FORMAT, "cut off");
    assert_ok(context, mtl_context_memory(context, &after));
    assert_int_equal(after.peak_bytes, before.peak_bytes);
    assert_ok(context, mtl_balancer_decide(balancer, T, ROW(1, 1, 1, 1),
                                           ROW(1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1), weights, NULL));
    uint64_t size = mtl_balancer_state_size(balancer);
    assert_true(size <= sizeof bytes);
    assert_ok(context, mtl_balancer_save_state(balancer, bytes, size));
    mtl_balancer_destroy(balancer);
    options.num_tasks = 2;
    options.preference = ROW(1, 2);
    balancer = balancer_with(context, &options);
    assert_fails(context, mtl_balancer_load_state(balancer, bytes, size), MTL_ERROR_FORMAT, "options->num_tasks");
    mtl_balancer_destroy(balancer);
    mtl_context_release(context);
}

/* Counters become whole numbers, averages are means of what lies in [0, 1] or [-1, 1]. */
static void values_that_cannot_be(void **state)
{
    (void)state;
    const struct {
        int32_t method;
        int32_t at; /* which double */
        double value;
        const char *message;
    } wrong[] = {
        {MTL_BALANCE_EQUAL, 0, -1, "steps[0] = -1"},
        {MTL_BALANCE_EQUAL, 0, .5, "steps[0] = 0.5"},
        {MTL_BALANCE_EQUAL, 0, 1e300, "steps[0] = 1e+300"},
        {MTL_BALANCE_EQUAL, 0, NAN, "steps[0] = "},
        {MTL_BALANCE_EQUAL, 1, INFINITY, "epoch-steps[0] = inf"},
        {MTL_BALANCE_EQUAL, 3, NAN, "weights[1] = "},
        {MTL_BALANCE_EQUAL, 3, -INFINITY, "weights[1] = -inf"},
        {MTL_BALANCE_EQUAL, 9, INFINITY, "own-weights[3] = inf"},
        {MTL_BALANCE_EQUAL, 14, -1, "loss-count[0] = -1"},
        {MTL_BALANCE_UNCERTAINTY, -1, 1e19, "updates[0] = 1e+19"},
        {MTL_BALANCE_UNCERTAINTY, -2, -1, "v[3] = -1"},
        {MTL_BALANCE_PRIORITIZATION, -8, 1.25, "success[0] = 1.25"},
        {MTL_BALANCE_GRADVAC, -1, -1.5, "rho[15] = -1.5"},
        {MTL_BALANCE_MGDA, -1, 1, "more conflicts than pairs"},
        {MTL_BALANCE_DWA, -1, 1.5, "epochs[0] = 1.5"},
    };
    for (size_t k = 0; k < sizeof wrong / sizeof wrong[0]; k++) {
        trained b;
        uint64_t size;
        uint64_t bits;
        open_trained(&b, wrong[k].method, 1);
        run_steps(&b, wrong[k].method, 0, 6, NULL);
        unsigned char *bytes = save(&b, &size);
        memcpy(&bits, &wrong[k].value, sizeof bits);
        put(bytes, wrong[k].at < 0 ? size - (size_t)-wrong[k].at * 8 : HEADER + (size_t)wrong[k].at * 8, bits, 8);
        refuse_state(&b, bytes, size, wrong[k].message);
        free(bytes);
        close_trained(&b);
    }
}

/* Any bytes: refused, or a state with which every step has an answer. */
static void states_with_wrong_bytes(void **state)
{
    (void)state;
    enum { CHANGES = 300 };
    const unsigned char extremes[] = {0, 0xff, 0x7f, 0x80, 0xf0, 1};
    uint32_t random = 1;
    int loaded = 0;
    for (int32_t method = 0; method < BALANCERS_METHODS; method++) {
        if (!is_tested(method)) {
            continue;
        }
        trained from;
        uint64_t size;
        open_trained(&from, method, 1);
        run_steps(&from, method, 0, 6, NULL);
        unsigned char *bytes = save(&from, &size);
        for (int change = 0; change < CHANGES; change++) {
            trained to;
            unsigned char *wrong = malloc(size);
            assert_non_null(wrong);
            memcpy(wrong, bytes, size);
            for (int i = 0; i <= change % 3; i++) {
                random = random * 1664525u + 1013904223u;
                size_t at = (random >> 8) % size;
                wrong[change % 2 ? HEADER + (at % (size - HEADER) | 7) : at] =
                    change % 4 < 2 ? extremes[random % 6] : (unsigned char)(random >> 3);
            }
            open_trained(&to, method, 1);
            mtl_status status = mtl_balancer_load_state(to.balancer, wrong, size);
            assert_true(status == MTL_OK || status == MTL_ERROR_FORMAT);
            for (int step = 0; step < 3 && status == MTL_OK; step++) {
                double losses[T], gram[T * T], weights[T] = {0};
                uint32_t seed = (uint32_t)step;
                balancer_data(&seed, T, losses, gram);
                mtl_status decided = mtl_balancer_decide(to.balancer, T, losses, gram, weights, NULL);
                assert_true(decided == MTL_OK || decided == MTL_ERROR_NUMERIC);
                for (int t = 0; t < T; t++) {
                    assert_true(isfinite(weights[t]));
                }
                loaded++;
            }
            if (status == MTL_OK) { /* what was made of it is a state again */
                uint64_t again_size;
                unsigned char *again = save(&to, &again_size);
                assert_ok(from.context, mtl_balancer_load_state(from.balancer, again, again_size));
                free(again);
            }
            free(wrong);
            close_trained(&to);
        }
        free(bytes);
        close_trained(&from);
    }
    assert_true(loaded > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loaded_balancer_goes_on), cmocka_unit_test(what_is_learned_can_be_forgotten),
        cmocka_unit_test(the_bytes_of_a_state),      cmocka_unit_test(arrays_are_read_by_name),
        cmocka_unit_test(states_that_are_cut_off),   cmocka_unit_test(headers_of_others),
        cmocka_unit_test(sizes_are_believed_late),   cmocka_unit_test(values_that_cannot_be),
        cmocka_unit_test(states_with_wrong_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
