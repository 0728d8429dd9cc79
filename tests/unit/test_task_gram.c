/* SPDX-License-Identifier: Apache-2.0
 * Task gradients that are discarded, and those of representations: the Gram matrix, the weighted sum and the two halves of a
 * sweep are what sweeps of each task give. */
#include "support_task_sweep.h"

static const network separable[] = {NETWORK_LSTM,  NETWORK_LSTM_RARE, NETWORK_LSTM_DEEP, NETWORK_LSTM_MEAN,
                                    NETWORK_DENSE, NETWORK_EMBEDDING, NETWORK_TWICE};
enum { SEPARABLE = sizeof separable / sizeof separable[0] };

static const double seeds[TASKS] = {1, 0.25, 3};

typedef struct gram_fixture {
    fixture f;
    const mtli_parameters *shared[1];
    mtl_gradients *sum;   /* over encoder and heads */
    mtl_gradients *whole; /* likewise */
    mtli_task_pass pass;
} gram_fixture;

static mtl_gradients *over_everything(fixture *f)
{
    mtli_parameters *blocks[TASKS + 1] = {f->encoder->parameters};
    mtl_gradients *gradients = NULL;
    for (int t = 0; t < TASKS; t++) {
        blocks[t + 1] = f->heads[t]->parameters;
    }
    assert_ok(f->context, mtli_gradients_create(f->context, blocks, TASKS + 1, &gradients));
    return gradients;
}

static void open_gram(gram_fixture *g, network kind, labelling labels, int threads)
{
    open_fixture(&g->f, kind, labels, threads);
    g->sum = over_everything(&g->f);
    g->whole = over_everything(&g->f);
    g->shared[0] = g->f.encoder->parameters;
    compute_losses(&g->f);
    g->pass = (mtli_task_pass){
        .tape = g->f.tape, .count = TASKS, .losses = g->f.losses, .seeds = seeds, .num_shared = 1, .shared = g->shared};
}

static void close_gram(gram_fixture *g)
{
    mtl_gradients_destroy(g->sum);
    mtl_gradients_destroy(g->whole);
    close_fixture(&g->f);
}

/* A task gradient and its parts are the same float32 terms in another order: their relative difference is below some 2^-24
 * times the number of terms where little cancels, here 100. */
static const double tolerance = 100.0 / (1 << 24);

static void assert_same_gradients(mtl_context *context, mtl_gradients *actual, const mtl_gradients *expected)
{
    double norm = mtl_gradients_norm(expected);
    assert_ok(context, mtl_gradients_add(actual, -1, expected));
    double difference = mtl_gradients_norm(actual);
    if (!(difference <= tolerance * norm + 1e-12)) {
        fail_msg("norm %g, difference %g", norm, difference);
    }
}

/* ---- the matrix ---- */

static void assert_gram(gram_fixture *g, const double *gram)
{
    fixture *f = &g->f;
    double norms[TASKS];
    for (int t = 0; t < TASKS; t++) {
        assert_ok(f->context, mtli_sweep_run(f->tape, &f->losses[t], &seeds[t], 1, f->targets[t]));
        norms[t] = mtl_gradients_norm(f->targets[t]);
    }
    assert_true(norms[0] > 0);
    for (int i = 0; i < TASKS; i++) {
        for (int j = 0; j < TASKS; j++) {
            double dot;
            assert_ok(f->context, mtl_gradients_dot(f->targets[i], f->targets[j], &dot));
            assert_near(gram[i * TASKS + j], dot, 2 * tolerance * norms[i] * norms[j]);
            assert_true(gram[i * TASKS + j] == gram[j * TASKS + i]);
        }
    }
}

static void test_gram_equals_explicit_products(void **state)
{
    (void)state;
    for (int k = 0; k < SEPARABLE; k++) {
        for (int labels = LABELS_DISJOINT; labels <= LABELS_WITH_GAPS; labels++) {
            gram_fixture g;
            double gram[TASKS * TASKS];
            open_gram(&g, separable[k], (labelling)labels, 1);
            assert_ok(g.f.context, mtli_task_sweep_gram(&g.pass, gram));
            assert_true(g.pass.split);
            assert_int_equal(g.pass.way, MTLI_TASKS_ONE_SWEEP);
            assert_gram(&g, gram);
            close_gram(&g);
        }
    }
}

static void test_shared_rows_are_declined(void **state)
{
    (void)state;
    static const struct {
        network kind;
        labelling labels;
    } cases[] = {{NETWORK_LSTM_DEEP, LABELS_OVERLAPPING}, {NETWORK_BATCH_NORMS, LABELS_DISJOINT}};
    for (int k = 0; k < 2; k++) {
        gram_fixture g;
        double gram[TASKS * TASKS] = {17};
        open_gram(&g, cases[k].kind, cases[k].labels, 1);
        assert_ok(g.f.context, mtli_task_sweep_gram(&g.pass, gram));
        assert_int_equal(g.pass.way, MTLI_TASKS_SWEEP_EACH);
        assert_true(g.pass.split && gram[0] == 17);
        assert_fails(g.f.context, mtli_task_sweep_weighted(&g.pass, seeds, g.sum), MTL_ERROR_STATE, "kept");
        close_gram(&g);
    }
}

/* ---- the weighted sum ---- */

static void check_weighted(gram_fixture *g, const double *weights)
{
    fixture *f = &g->f;
    double gram[TASKS * TASKS];
    mtl_gradients_clear(g->sum);
    assert_ok(f->context, mtli_task_sweep_gram(&g->pass, gram));
    for (int round = 0; round < 2; round++) { /* adds, and may be repeated */
        assert_ok(f->context, mtli_task_sweep_weighted(&g->pass, weights, g->sum));
    }
    assert_ok(f->context, mtli_task_sweep_rest(&g->pass, weights, g->sum));
    assert_ok(f->context, mtli_task_sweep_rest(&g->pass, weights, g->sum));
    assert_ok(f->context, mtli_sweep_run(f->tape, f->losses, weights, TASKS, g->whole));
    mtl_gradients_scale(g->whole, 2);
    assert_same_gradients(f->context, g->sum, g->whole);
}

static void test_weighted_sum_equals_a_sweep(void **state)
{
    (void)state;
    static const double weights[][TASKS] = {{1, 0.25, 3}, {0.5, -2, 1}, {0, 1, 0}, {0, 0, 0}};
    for (int k = 0; k < SEPARABLE; k++) {
        for (int labels = LABELS_DISJOINT; labels <= LABELS_WITH_GAPS; labels++) {
            gram_fixture g;
            open_gram(&g, separable[k], (labelling)labels, 1);
            for (int w = 0; w < 4; w++) {
                check_weighted(&g, weights[w]);
            }
            close_gram(&g);
        }
    }
}

static void gram_and_sum(gram_fixture *g, const double *weights, double *gram)
{
    assert_ok(g->f.context, mtli_task_sweep_gram(&g->pass, gram));
    assert_ok(g->f.context, mtli_task_sweep_weighted(&g->pass, weights, g->sum));
}

/* What overflowed in a task without weight does not reach the sum. */
static void test_weight_zero_leaves_a_task_out(void **state)
{
    (void)state;
    static const double infinite[TASKS] = {1, 0.25, INFINITY};
    static const double weights[TASKS] = {1, 0.25, 0};
    for (int k = 0; k < SEPARABLE; k++) {
        gram_fixture g;
        double gram[TASKS * TASKS];
        open_gram(&g, separable[k], LABELS_DISJOINT, 1);
        g.pass.seeds = infinite;
        gram_and_sum(&g, weights, gram);
        assert_true(isfinite(gram[0]) && isfinite(gram[1]) && !isfinite(gram[TASKS * TASKS - 1]));
        assert_ok(g.f.context, mtli_task_sweep_rest(&g.pass, weights, g.sum));
        assert_ok(g.f.context, mtli_sweep_run(g.f.tape, g.f.losses, weights, TASKS, g.whole));
        assert_same_gradients(g.f.context, g.sum, g.whole);
        close_gram(&g);
    }
}

/* Gradients are there, and all zero: no row is anybody's. */
static void test_gradients_of_zero(void **state)
{
    (void)state;
    for (int k = 0; k < SEPARABLE; k++) {
        gram_fixture g;
        double gram[TASKS * TASKS];
        open_gram(&g, separable[k], LABELS_DISJOINT, 2);
        for (int t = 0; t < TASKS; t++) {
            g.f.losses[t] = mtl_scale(g.f.tape, g.f.losses[t], 0);
        }
        gram_and_sum(&g, seeds, gram);
        for (int i = 0; i < TASKS * TASKS; i++) {
            assert_true(gram[i] == 0);
        }
        assert_true(mtl_gradients_norm(g.sum) == 0);
        g.pass.targets = g.f.targets;
        assert_ok(g.f.context, mtli_task_sweep(&g.pass));
        assert_int_equal(g.pass.way, MTLI_TASKS_ONE_SWEEP);
        assert_true(mtl_gradients_norm(g.f.targets[0]) == 0);
        close_gram(&g);
    }
}

/* ---- threads ---- */

enum { MOST_VALUES = 1 << 16 };

typedef struct values {
    double gram[TASKS * TASKS];
    size_t count;
    float of[MOST_VALUES];
} values;

static void read_block(const gram_fixture *g, const mtli_parameters *block, values *out)
{
    for (int32_t i = 0; i < block->count; i++) {
        const mtl_tensor *parameter = &block->list[i].tensor;
        assert_true(out->count + (size_t)parameter->size <= MOST_VALUES);
        assert_ok(g->f.context,
                  mtl_gradients_read(g->sum, parameter, MTL_FLOAT32, out->of + out->count, (size_t)parameter->size));
        out->count += (size_t)parameter->size;
    }
}

static void compute_with_threads(network kind, int threads, values *out)
{
    gram_fixture g;
    memset(out, 0, sizeof *out);
    open_gram(&g, kind, LABELS_DISJOINT, threads);
    gram_and_sum(&g, seeds, out->gram);
    read_block(&g, g.f.encoder->parameters, out);
    close_gram(&g);
}

static void test_threads_change_no_bit(void **state)
{
    (void)state;
    static values one;
    static values two;
    for (int k = 0; k < SEPARABLE; k++) {
        compute_with_threads(separable[k], 1, &one);
        compute_with_threads(separable[k], 2, &two);
        assert_true(one.count > 0);
        assert_memory_equal(&one, &two, sizeof one);
    }
}

/* ---- targets over all blocks ---- */

static void check_all_blocks(labelling labels, mtli_task_way way)
{
    gram_fixture g;
    mtl_gradients *targets[TASKS];
    open_gram(&g, NETWORK_LSTM_DEEP, labels, 1);
    fixture *f = &g.f;
    for (int t = 0; t < TASKS; t++) {
        targets[t] = over_everything(f);
    }
    g.pass.targets = targets;
    for (int round = 0; round < 2; round++) { /* targets are overwritten */
        assert_ok(f->context, mtli_task_sweep(&g.pass));
    }
    assert_int_equal(g.pass.way, way);
    for (int t = 0; t < TASKS; t++) {
        assert_ok(f->context, mtli_sweep_run(f->tape, &f->losses[t], &seeds[t], 1, g.whole));
        for (int other = 0; other < TASKS; other++) {
            const mtl_tensor *weight = &f->heads[other]->parameters->list[0].tensor;
            assert_int_equal(mtl_gradients_touched(targets[t], weight), mtl_gradients_touched(g.whole, weight));
            assert_true(labels == LABELS_WITH_GAPS || mtl_gradients_touched(targets[t], weight) == (other == t));
        }
        assert_same_gradients(f->context, targets[t], g.whole);
        mtl_gradients_destroy(targets[t]);
    }
    close_gram(&g);
}

static void test_targets_over_all_blocks(void **state)
{
    (void)state;
    check_all_blocks(LABELS_DISJOINT, MTLI_TASKS_ONE_SWEEP);
    check_all_blocks(LABELS_WITH_GAPS, MTLI_TASKS_ONE_SWEEP);
    check_all_blocks(LABELS_OVERLAPPING, MTLI_TASKS_SWEEP_EACH);
}

/* ---- representations ---- */

/* Σ weights[t] * gradients[t], in the first gradient that there is. */
static mtli_real *combine(const mtli_task_arrival *arrival, const double *weights)
{
    mtli_real *sum = NULL;
    for (int t = 0; t < TASKS; t++) {
        const mtli_real *gradient = arrival->gradients[t];
        for (int64_t i = 0; gradient && i < arrival->result->size; i++) {
            mtli_real value = (mtli_real)weights[t] * gradient[i];
            if (sum) {
                sum[i] += value;
            } else {
                arrival->gradients[t][i] = value;
            }
        }
        sum = sum ? sum : arrival->gradients[t];
    }
    return sum;
}

static void check_representation(network kind, labelling labels)
{
    static const double weights[TASKS] = {2, -1, 0.5};
    double products[TASKS];
    gram_fixture g;
    mtli_task_arrivals arrivals;
    open_gram(&g, kind, labels, 1);
    fixture *f = &g.f;
    g.pass.targets = f->targets; /* over the shared block alone: stay empty */
    assert_ok(f->context, mtli_task_sweep_outside(&g.pass, &arrivals));
    assert_true(g.pass.split);
    assert_int_equal(arrivals.count, 1);
    assert_int_equal(arrivals.list[0].leading, ROWS);
    assert_int_equal(arrivals.list[0].width, mtl_encoder_output_dim(f->encoder));
    for (int t = 0; t < TASKS; t++) {
        assert_true(mtl_gradients_norm(f->targets[t]) == 0);
        products[t] = weights[t] * seeds[t];
    }
    mtli_real *combined = combine(&arrivals.list[0], weights);
    assert_ok(f->context, mtli_task_sweep_inside(&g.pass, &arrivals, &combined, g.sum));
    assert_ok(f->context, mtli_task_sweep_rest(&g.pass, products, g.sum));
    assert_ok(f->context, mtli_sweep_run(f->tape, f->losses, products, TASKS, g.whole));
    assert_true(mtl_gradients_norm(g.whole) > 0);
    assert_same_gradients(f->context, g.sum, g.whole);
    close_gram(&g);
}

static void test_representation_gradients(void **state)
{
    (void)state;
    for (int kind = 0; kind < NETWORKS; kind++) {
        for (int labels = 0; labels < LABELLINGS; labels++) {
            check_representation((network)kind, (labelling)labels);
        }
    }
}

/* A loss that reads a parameter of the encoder by itself: nothing can be swept apart. */
static void test_calls_that_do_not_split(void **state)
{
    (void)state;
    gram_fixture g;
    mtli_task_arrivals arrivals = {3, NULL};
    double gram[TASKS * TASKS];
    open_gram(&g, NETWORK_DENSE, LABELS_DISJOINT, 1);
    mtl_tensor *gain = &g.f.encoder->parameters->list[2].tensor;
    g.f.losses[0] = mtl_add(g.f.tape, g.f.losses[0], mtl_sum(g.f.tape, gain));
    assert_ok(g.f.context, mtli_task_sweep_outside(&g.pass, &arrivals));
    assert_false(g.pass.split);
    assert_int_equal(arrivals.count, 0);
    assert_ok(g.f.context, mtli_task_sweep_gram(&g.pass, gram));
    assert_int_equal(g.pass.way, MTLI_TASKS_SWEEP_EACH);
    close_gram(&g);
}

/* Two results of the inside are read outside, one of them by the inside too. */
static mtl_tensor *middle; /* of the last forward pass */

static mtl_tensor *two_results(void *user, mtl_encoder_call *call)
{
    (void)user;
    mtl_tape *tape = mtl_encoder_call_tape(call);
    mtl_tensor *weight = mtl_encoder_call_parameter(call, 0);
    middle = mtl_tanh(tape, mtl_linear(tape, mtl_encoder_call_inputs(call), weight, NULL));
    return mtl_linear(tape, middle, weight, NULL);
}

static void test_two_representations(void **state)
{
    (void)state;
    static const mtl_parameter_spec square[] = {{"weight", {FEATURES, FEATURES}, 2, MTL_INIT_NORMAL, 1}};
    static const double ones[TASKS] = {1, 1, 1};
    gram_fixture g;
    mtli_task_arrivals arrivals;
    mtli_real *combined[2];
    open_gram(&g, NETWORK_DENSE, LABELS_DISJOINT, 1);
    fixture *f = &g.f;
    mtl_encoder_release(f->encoder);
    create_custom(f, two_results, square, 1, FEATURES);
    mtli_parameters *block = f->encoder->parameters;
    mtl_gradients *sum;
    mtl_gradients *whole;
    g.shared[0] = block;
    g.pass.seeds = ones;
    assert_ok(f->context, mtli_gradients_create(f->context, &block, 1, &sum));
    assert_ok(f->context, mtli_gradients_create(f->context, &block, 1, &whole));
    compute_losses(f);
    f->losses[1] = mtl_cross_entropy(f->tape, mtl_head_forward(f->heads[1], f->tape, middle), f->labels[1], NULL);
    assert_ok(f->context, mtli_task_sweep_outside(&g.pass, &arrivals));
    assert_int_equal(arrivals.count, 2);
    assert_ptr_equal(arrivals.list[0].result, middle);
    assert_true(arrivals.list[0].gradients[1] && !arrivals.list[0].gradients[0]);
    assert_true(!arrivals.list[1].gradients[1] && arrivals.list[1].gradients[0]);
    combined[0] = combine(&arrivals.list[0], ones);
    combined[1] = combine(&arrivals.list[1], ones);
    assert_ok(f->context, mtli_task_sweep_inside(&g.pass, &arrivals, combined, sum));
    assert_ok(f->context, mtli_sweep_run(f->tape, f->losses, ones, TASKS, whole));
    assert_true(mtl_gradients_norm(whole) > 0);
    assert_same_gradients(f->context, sum, whole);
    mtl_gradients_destroy(sum);
    mtl_gradients_destroy(whole);
    close_gram(&g);
}

/* ---- memory ---- */

static mtl_status everything_once(gram_fixture *g, double *gram)
{
    mtli_task_arrivals arrivals;
    mtl_gradients_clear(g->sum);
    mtl_status status = mtli_task_sweep_outside(&g->pass, &arrivals);
    if (status == MTL_OK) {
        mtli_real *combined = combine(&arrivals.list[0], seeds);
        status = mtli_task_sweep_inside(&g->pass, &arrivals, &combined, g->sum);
    }
    mtl_gradients_clear(g->sum);
    if (status == MTL_OK) {
        status = mtli_task_sweep_gram(&g->pass, gram);
    }
    if (status == MTL_OK) {
        status = mtli_task_sweep_weighted(&g->pass, seeds, g->sum);
    }
    return status == MTL_OK ? mtli_task_sweep_rest(&g->pass, seeds, g->sum) : status;
}

/* Returns whether allocation k was reached. */
static bool fail_allocation(network kind, long k, bool for_ever)
{
    gram_fixture g;
    double gram[TASKS * TASKS];
    open_gram(&g, kind, LABELS_DISJOINT, 1);
    g.f.allocator.fail_at = g.f.allocator.calls + k;
    g.f.allocator.fail_forever = for_ever;
    mtl_status status = everything_once(&g, gram);
    bool reached = g.f.allocator.calls > g.f.allocator.fail_at;
    assert_int_equal(status, reached ? MTL_ERROR_MEMORY : MTL_OK);
    assert_true(!reached || mtl_context_last_error(g.f.context)[0] != '\0');
    g.f.allocator.fail_at = -1;
    g.f.allocator.fail_forever = 0;
    assert_ok(g.f.context, everything_once(&g, gram)); /* is usable again */
    assert_ok(g.f.context, mtli_sweep_run(g.f.tape, g.f.losses, seeds, TASKS, g.whole));
    assert_same_gradients(g.f.context, g.sum, g.whole);
    assert_gram(&g, gram);
    close_gram(&g);
    return reached;
}

static void test_each_allocation_fails(void **state)
{
    (void)state;
    for (int k = 0; k < SEPARABLE; k++) {
        for (int for_ever = 0; for_ever <= 1; for_ever++) {
            long allocation = 0;
            while (fail_allocation(separable[k], allocation, for_ever)) {
                allocation++;
            }
            assert_true(allocation > 0);
        }
    }
}

static void test_a_second_step_allocates_nothing(void **state)
{
    (void)state;
    for (int k = 0; k < SEPARABLE; k++) {
        for (int threads = 1; threads <= 2; threads++) {
            gram_fixture g;
            double gram[TASKS * TASKS];
            open_gram(&g, separable[k], LABELS_DISJOINT, threads);
            assert_ok(g.f.context, everything_once(&g, gram));
            compute_losses(&g.f); /* the tape grows where a second forward pass needs another chunk */
            long before = g.f.allocator.calls;
            for (int step = 0; step < 3; step++) {
                compute_losses(&g.f);
                assert_ok(g.f.context, everything_once(&g, gram));
            }
            assert_int_equal(g.f.allocator.calls, before);
            close_gram(&g);
        }
    }
}

/* Layers of one size share memory: all gradients of the DEEP - 1 square layers at the same time would be 1.3 MiB, those of
 * one layer are 192 KiB. What lies between is the arena, whose chunks double. */
enum { DEEP = 8, WIDE = 128 };

static mtl_tensor *deep_forward(void *user, mtl_encoder_call *call)
{
    (void)user;
    mtl_tape *tape = mtl_encoder_call_tape(call);
    mtl_tensor *h = mtl_encoder_call_inputs(call);
    for (int i = 0; i < DEEP; i++) {
        h = mtl_tanh(tape, mtl_linear(tape, h, mtl_encoder_call_parameter(call, i), NULL));
    }
    return h;
}

static void test_layers_share_memory(void **state)
{
    (void)state;
    mtl_parameter_spec specs[DEEP];
    char names[DEEP][8];
    gram_fixture g;
    double gram[TASKS * TASKS];
    open_gram(&g, NETWORK_DENSE, LABELS_DISJOINT, 1);
    fixture *f = &g.f;
    for (int i = 0; i < DEEP; i++) {
        snprintf(names[i], sizeof names[i], "w%d", i);
        specs[i] = (mtl_parameter_spec){names[i], {WIDE, i ? WIDE : FEATURES}, 2, MTL_INIT_NORMAL, 0.1};
    }
    mtl_encoder_release(f->encoder);
    create_custom(f, deep_forward, specs, DEEP, WIDE);
    g.shared[0] = f->encoder->parameters;
    for (int t = 0; t < TASKS; t++) {
        mtl_head_release(f->heads[t]);
        assert_ok(f->context, mtl_head_create_classifier(f->context, WIDE, CLASSES, NULL, &f->heads[t]));
    }
    compute_losses(f);
    long before = f->allocator.live_bytes;
    assert_ok(f->context, mtli_task_sweep_gram(&g.pass, gram));
    assert_int_equal(g.pass.way, MTLI_TASKS_ONE_SWEEP);
    long layer = TASKS * WIDE * WIDE * (long)sizeof(mtli_real);
    assert_in_range(f->allocator.live_bytes - before, layer, (DEEP - 1) * layer - 1);
    close_gram(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gram_equals_explicit_products),
        cmocka_unit_test(test_shared_rows_are_declined),
        cmocka_unit_test(test_weighted_sum_equals_a_sweep),
        cmocka_unit_test(test_weight_zero_leaves_a_task_out),
        cmocka_unit_test(test_gradients_of_zero),
        cmocka_unit_test(test_threads_change_no_bit),
        cmocka_unit_test(test_targets_over_all_blocks),
        cmocka_unit_test(test_representation_gradients),
        cmocka_unit_test(test_calls_that_do_not_split),
        cmocka_unit_test(test_two_representations),
        cmocka_unit_test(test_each_allocation_fails),
        cmocka_unit_test(test_a_second_step_allocates_nothing),
        cmocka_unit_test(test_layers_share_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
