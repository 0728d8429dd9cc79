/* SPDX-License-Identifier: Apache-2.0
 * Encoders and heads in factors: they compute what the networks did, train like any module, and tell what their tasks
 * have in common. */
#include "factored_tasks.h"
#include "support.h"

#include <math.h>

enum { TASKS = 5, RANK = 2, LOGITS = FACTORED_ROWS * FACTORED_CLASSES };

static const int32_t kinds[] = {MTL_FACTORIZATION_LAF, MTL_FACTORIZATION_TUCKER, MTL_FACTORIZATION_TENSOR_TRAIN};
enum { KINDS = 3 };

typedef struct fixture {
    mtl_context *context;
    factored_tasks tasks;
    mtl_tape *tape;
    mtl_encoder *encoder; /* of all tasks */
    mtl_head *head;
} fixture;

static void open_fixture(fixture *f, int32_t count, int32_t rank)
{
    memset(f, 0, sizeof *f);
    f->context = test_context();
    assert_ok(f->context, factored_tasks_create(f->context, count, rank, &f->tasks));
    assert_ok(f->context, mtl_tape_create(f->context, NULL, &f->tape));
}

static void close_fixture(fixture *f)
{
    mtl_memory_info info;
    mtl_encoder_release(f->encoder);
    mtl_head_release(f->head);
    mtl_tape_destroy(f->tape);
    factored_tasks_destroy(&f->tasks);
    assert_ok(f->context, mtl_context_memory(f->context, &info));
    assert_int_equal(info.blocks, 1);
    mtl_context_release(f->context);
}

static mtl_factorized_options options_of(int32_t kind, double relative_error)
{
    mtl_factorized_options options = MTL_FACTORIZED_OPTIONS_INIT;
    options.kind = kind;
    options.relative_error = relative_error;
    options.shared = "embedding.*";
    return options;
}

static void factorize(fixture *f, int32_t kind, double relative_error)
{
    mtl_factorized_options options = options_of(kind, relative_error);
    mtl_encoder_release(f->encoder);
    mtl_head_release(f->head);
    f->encoder = NULL;
    f->head = NULL;
    assert_ok(f->context, mtl_encoder_create_factorized(f->tasks.encoders, f->tasks.count, &options, &f->encoder));
    options.shared = NULL;
    assert_ok(f->context, mtl_head_create_factorized(f->tasks.heads, f->tasks.count, &options, &f->head));
}

static void logits_of_task(fixture *f, int32_t task, double *logits)
{
    mtl_tensor *h = mtl_encoder_forward_task(f->encoder, f->tape, task, f->tasks.inputs);
    mtl_tensor *y = mtl_head_forward_task(f->head, f->tape, task, h);
    assert_string_equal(mtl_tape_error(f->tape), "");
    assert_ok(f->context, mtl_tensor_read(y, MTL_FLOAT64, logits, LOGITS));
}

static void logits_of_network(fixture *f, int32_t task, double *logits)
{
    mtl_tensor *h = mtl_encoder_forward(f->tasks.encoders[task], f->tape, f->tasks.inputs);
    mtl_tensor *y = mtl_head_forward(f->tasks.heads[task], f->tape, h);
    assert_string_equal(mtl_tape_error(f->tape), "");
    assert_ok(f->context, mtl_tensor_read(y, MTL_FLOAT64, logits, LOGITS));
}

static void expect_ranks(fixture *f, const mtl_factorized *factorized, const char *name, int64_t count, int64_t rank)
{
    int64_t ranks[MTL_MAX_DIMS] = {0};
    int64_t found = -1;
    assert_ok(f->context, mtl_factorized_ranks(factorized, name, ranks, MTL_MAX_DIMS, &found));
    assert_int_equal(found, count);
    for (int64_t k = 0; k < count; k++) {
        assert_int_equal(ranks[k], rank);
    }
}

/* ---- the same networks ---- */

/* Weights of low rank come back to rounding: at most four factors and as many sums of two terms, all of size about 1,
 * so an entry errs by 1e-6. A gate sums 12 of them with inputs up to 1: 1.2e-5 in each of at most 4 steps, doubled by
 * each step after it, since half the sum of a row of |W_hh| times the slope of tanh is about 2: 16 * 1.2e-5. */
#define SAME_LOGITS 2e-4

static void low_rank_networks_come_back(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, TASKS, RANK);
    for (int k = 0; k < KINDS; k++) {
        factorize(&f, kinds[k], 1e-6);
        const mtl_factorized *factorized = mtl_encoder_factorized(f.encoder);
        int64_t count = kinds[k] == MTL_FACTORIZATION_LAF ? 1 : kinds[k] == MTL_FACTORIZATION_TUCKER ? 3 : 2;
        assert_int_equal(mtl_factorized_num_tasks(factorized), TASKS);
        expect_ranks(&f, factorized, "lstm.weight_ih_l0", count, RANK);
        expect_ranks(&f, factorized, "lstm.weight_hh_l0", count, RANK);
        expect_ranks(&f, mtl_head_factorized(f.head), "weight", count, RANK);
        expect_ranks(&f, factorized, "lstm.bias_ih_l0", 0, 0);
        expect_ranks(&f, factorized, "embedding.weight", 0, 0);
        mtl_tape_reset(f.tape, MTL_TAPE_INFER);
        for (int32_t t = 0; t < TASKS; t++) {
            double expected[LOGITS];
            double logits[LOGITS];
            logits_of_network(&f, t, expected);
            logits_of_task(&f, t, logits);
            assert_close(logits, expected, LOGITS, 0, SAME_LOGITS);
        }
    }
    close_fixture(&f);
}

static void dense_weights_are_read(void **state)
{
    (void)state;
    static const char *const names[] = {"lstm.weight_ih_l0", "lstm.weight_hh_l0", "lstm.bias_ih_l0",
                                        "embedding.weight"};
    enum { MOST = 4 * FACTORED_HIDDEN * FACTORED_HIDDEN };
    fixture f;
    open_fixture(&f, TASKS, RANK);
    for (int k = 0; k < KINDS; k++) {
        factorize(&f, kinds[k], 1e-6);
        const mtl_factorized *factorized = mtl_encoder_factorized(f.encoder);
        for (int32_t t = 0; t < TASKS; t++) {
            for (int n = 0; n < 4; n++) {
                double expected[MOST];
                double values[MOST];
                mtl_tensor *weight = mtl_encoder_parameter(f.tasks.encoders[t], names[n]);
                int64_t size = mtl_tensor_size(weight);
                assert_ok(f.context, mtl_tensor_read(weight, MTL_FLOAT64, expected, (size_t)size));
                assert_ok(f.context, mtl_factorized_read(factorized, names[n], t, values, size));
                /* see SAME_LOGITS; what is not factorized is copied, and the mean of equal numbers is the number */
                assert_close(values, expected, (size_t)size, 0, n < 2 ? 1e-6 : 0);
            }
        }
    }
    close_fixture(&f);
}

/* ‖W - Ŵ‖ <= e ‖W‖ over all tasks, for networks that have nothing in common. */
static void the_error_is_what_was_allowed(void **state)
{
    (void)state;
    enum { MOST = 4 * FACTORED_HIDDEN * FACTORED_HIDDEN };
    static const double errors[] = {0.5, 0.2, 0.05};
    fixture f;
    open_fixture(&f, TASKS, 0);
    for (int k = 0; k < KINDS; k++) {
        for (int e = 0; e < 3; e++) {
            double difference = 0;
            double norm = 0;
            factorize(&f, kinds[k], errors[e]);
            for (int32_t t = 0; t < TASKS; t++) {
                double expected[MOST];
                double values[MOST];
                assert_ok(f.context, mtl_tensor_read(mtl_encoder_parameter(f.tasks.encoders[t], "lstm.weight_hh_l0"),
                                                     MTL_FLOAT64, expected, MOST));
                assert_ok(f.context,
                          mtl_factorized_read(mtl_encoder_factorized(f.encoder), "lstm.weight_hh_l0", t, values, MOST));
                for (int i = 0; i < MOST; i++) {
                    difference += (values[i] - expected[i]) * (values[i] - expected[i]);
                    norm += expected[i] * expected[i];
                }
            }
            assert_true(sqrt(difference / norm) <= errors[e] + 1e-6);
            /* Coarse where something can be left out: the smallest of five singular values is about a third of the
               norm. */
            assert_true(e > 0 || sqrt(difference / norm) > 0.2);
        }
    }
    close_fixture(&f);
}

/* Tasks on one tape do not disturb each other: the same bits as alone, in any order. */
static void tasks_share_a_tape(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, TASKS, 0);
    factorize(&f, MTL_FACTORIZATION_TUCKER, 0.1);
    double alone[TASKS][LOGITS];
    double together[LOGITS];
    for (int32_t t = 0; t < TASKS; t++) {
        mtl_tape_reset(f.tape, MTL_TAPE_INFER);
        logits_of_task(&f, t, alone[t]);
    }
    mtl_tape_reset(f.tape, MTL_TAPE_TRAIN);
    for (int32_t t = 2 * TASKS - 1; t >= 0; t--) {
        logits_of_task(&f, t % TASKS, together);
        assert_memory_equal(together, alone[t % TASKS], sizeof together);
    }
    close_fixture(&f);
}

/* A network of one task in Tucker's form is a network of low rank. */
static void one_network_of_low_rank(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, 1, RANK);
    factorize(&f, MTL_FACTORIZATION_TUCKER, 1e-6);
    int64_t ranks[3];
    int64_t count;
    double expected[LOGITS];
    double logits[LOGITS];
    assert_ok(f.context,
              mtl_factorized_ranks(mtl_encoder_factorized(f.encoder), "lstm.weight_ih_l0", ranks, 3, &count));
    assert_int_equal(count, 3);
    assert_int_equal(ranks[0], RANK);
    assert_int_equal(ranks[1], FACTORED_EMBEDDING); /* whole: a factor would have 5 * 2 values and save 6 */
    assert_int_equal(ranks[2], 1);
    assert_non_null(mtl_encoder_parameter(f.encoder, "lstm.bias_ih_l0")); /* one task: no number in the name */
    mtl_tape_reset(f.tape, MTL_TAPE_INFER);
    logits_of_network(&f, 0, expected);
    logits_of_task(&f, 0, logits);
    assert_close(logits, expected, LOGITS, 0, SAME_LOGITS);
    double strength = 0;
    assert_ok(f.context,
              mtl_factorized_sharing(mtl_encoder_factorized(f.encoder), "lstm.weight_ih_l0", NULL, 0, &strength));
    assert_near(strength, 1, 0);
    close_fixture(&f);
}

static void the_networks_are_not_needed(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, TASKS, RANK);
    factorize(&f, MTL_FACTORIZATION_TENSOR_TRAIN, 1e-6);
    double before[LOGITS];
    double after[LOGITS];
    mtl_tape_reset(f.tape, MTL_TAPE_INFER);
    logits_of_task(&f, 3, before);
    for (int32_t t = 0; t < TASKS; t++) {
        mtl_encoder_release(f.tasks.encoders[t]);
        mtl_head_release(f.tasks.heads[t]);
        f.tasks.encoders[t] = NULL;
        f.tasks.heads[t] = NULL;
    }
    mtl_tape_reset(f.tape, MTL_TAPE_INFER);
    logits_of_task(&f, 3, after);
    assert_memory_equal(before, after, sizeof after);
    close_fixture(&f);
}

/* ---- names and sizes ---- */

static void parameters_have_names(void **state)
{
    (void)state;
    static const char *const suffixes[KINDS][5] = {
        {"basis", "tasks", NULL}, {"core", "mode0", "mode1", "tasks", NULL}, {"core0", "core1", "tasks", NULL}};
    fixture f;
    open_fixture(&f, TASKS, RANK);
    for (int k = 0; k < KINDS; k++) {
        factorize(&f, kinds[k], 1e-6);
        int64_t factors = 0;
        for (; suffixes[k][factors]; factors++) {
            char name[64];
            snprintf(name, sizeof name, "lstm.weight_hh_l0.%s", suffixes[k][factors]);
            assert_non_null(mtl_encoder_parameter(f.encoder, name));
        }
        assert_non_null(mtl_encoder_parameter(f.encoder, "lstm.bias_hh_l0.task4"));
        assert_null(mtl_encoder_parameter(f.encoder, "lstm.bias_hh_l0.task5"));
        assert_null(mtl_encoder_parameter(f.encoder, "lstm.weight_hh_l0"));
        assert_non_null(mtl_encoder_parameter(f.encoder, "embedding.weight"));
        assert_int_equal(mtl_encoder_num_parameters(f.encoder), 1 + 2 * factors + 2 * TASKS);
        assert_int_equal(mtl_tensor_dim(mtl_encoder_parameter(f.encoder, "lstm.weight_ih_l0.tasks"), 0), TASKS);
        assert_int_equal(mtl_tensor_dim(mtl_encoder_parameter(f.encoder, "lstm.weight_ih_l0.tasks"), 1), RANK);
        assert_int_equal(mtl_encoder_output_dim(f.encoder), FACTORED_HIDDEN);
        assert_int_equal(mtl_head_output_dim(f.head), FACTORED_CLASSES);
        assert_int_equal(mtl_head_kind(f.head), MTL_HEAD_CLASSIFIER);
    }
    close_fixture(&f);
}

static void patterns_choose(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, 3, 0);
    mtl_factorized_options options = MTL_FACTORIZED_OPTIONS_INIT;
    options.parameters = "lstm.*_ih_l0,embedding.weight";
    options.shared = "lstm.weight_hh_*";
    assert_ok(f.context, mtl_encoder_create_factorized(f.tasks.encoders, 3, &options, &f.encoder));
    assert_non_null(mtl_encoder_parameter(f.encoder, "lstm.weight_ih_l0.basis"));
    assert_non_null(mtl_encoder_parameter(f.encoder, "lstm.bias_ih_l0.basis"));
    assert_non_null(mtl_encoder_parameter(f.encoder, "embedding.weight.basis"));
    assert_non_null(mtl_encoder_parameter(f.encoder, "lstm.weight_hh_l0"));
    assert_non_null(mtl_encoder_parameter(f.encoder, "lstm.bias_hh_l0.task2"));
    double mean[4 * FACTORED_HIDDEN * FACTORED_HIDDEN];
    double values[4 * FACTORED_HIDDEN * FACTORED_HIDDEN];
    double sum = 0;
    assert_ok(f.context, mtl_tensor_read(mtl_encoder_parameter(f.encoder, "lstm.weight_hh_l0"), MTL_FLOAT64, mean,
                                         sizeof mean / sizeof mean[0]));
    for (int t = 0; t < 3; t++) {
        assert_ok(f.context, mtl_tensor_read(mtl_encoder_parameter(f.tasks.encoders[t], "lstm.weight_hh_l0"),
                                             MTL_FLOAT64, values, sizeof values / sizeof values[0]));
        sum += values[7];
    }
    assert_near(mean[7], sum / 3, 6e-8); /* one rounding of a number below 1 */
    mtl_tape_reset(f.tape, MTL_TAPE_TRAIN);
    mtl_tensor *y = mtl_encoder_forward_task(f.encoder, f.tape, 1, f.tasks.inputs);
    assert_string_equal(mtl_tape_error(f.tape), "");
    assert_int_equal(mtl_tensor_dim(y, 0), FACTORED_ROWS);
    close_fixture(&f);
}

static void a_limit_makes_any_network_small(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, TASKS, 0);
    mtl_factorized_options options = options_of(MTL_FACTORIZATION_TUCKER, 0);
    options.max_rank = 3;
    assert_ok(f.context, mtl_encoder_create_factorized(f.tasks.encoders, TASKS, &options, &f.encoder));
    expect_ranks(&f, mtl_encoder_factorized(f.encoder), "lstm.weight_ih_l0", 3, 3);
    expect_ranks(&f, mtl_encoder_factorized(f.encoder), "lstm.weight_hh_l0", 3, 3);
    close_fixture(&f);
}

/* ---- training ---- */

typedef struct training {
    mtl_model *model;
    mtl_objective *objective;
    mtl_optimizer *optimizer;
    mtl_gradients *gradients;
} training;

static void begin_training(fixture *f, training *t)
{
    mtl_group_options slow = MTL_GROUP_OPTIONS_INIT;
    slow.learning_rate_scale = 0.5;
    int64_t matched = 0;
    assert_ok(f->context, mtl_model_create(f->context, NULL, &t->model));
    assert_ok(f->context, mtl_model_add_encoder(t->model, "encoder", f->encoder));
    assert_ok(f->context, mtl_model_add_head(t->model, "heads", f->head));
    assert_ok(f->context, mtl_objective_create(t->model, NULL, &t->objective));
    assert_ok(f->context, mtl_objective_share_encoder(t->objective, f->encoder));
    for (int32_t k = 0; k < f->tasks.count; k++) {
        char name[16];
        snprintf(name, sizeof name, "task%d", (int)k);
        assert_ok(f->context, mtl_objective_add_task(t->objective, name, 1));
    }
    assert_ok(f->context, mtl_optimizer_create_adam(t->model, NULL, &t->optimizer));
    assert_ok(f->context, mtl_optimizer_set_learning_rate(t->optimizer, 0.01));
    assert_ok(f->context, mtl_optimizer_add_group(t->optimizer, "*.tasks", &slow, &matched));
    assert_int_equal(matched, 3);
    assert_ok(f->context, mtl_gradients_create(t->model, &t->gradients));
}

static void end_training(training *t)
{
    mtl_gradients_destroy(t->gradients);
    mtl_optimizer_destroy(t->optimizer);
    mtl_objective_destroy(t->objective);
    mtl_model_destroy(t->model);
}

/* One step in which only tasks below `active` have rows. */
static double train_step(fixture *f, training *t, int32_t active)
{
    mtl_tensor *losses[TASKS] = {NULL};
    double total = 0;
    mtl_tape_reset(f->tape, MTL_TAPE_TRAIN);
    for (int32_t k = 0; k < active; k++) {
        mtl_tensor *h = mtl_encoder_forward_task(f->encoder, f->tape, k, f->tasks.inputs);
        losses[k] = mtl_cross_entropy(f->tape, mtl_head_forward_task(f->head, f->tape, k, h), f->tasks.labels, NULL);
    }
    assert_ok(f->context, mtl_objective_backward(t->objective, f->tape, losses, TASKS, t->gradients));
    for (int32_t k = 0; k < active; k++) {
        double value;
        assert_ok(f->context, mtl_tensor_item(losses[k], &value));
        total += value / active;
    }
    assert_ok(f->context, mtl_optimizer_step(t->optimizer, t->gradients));
    return total;
}

static void factors_learn(void **state)
{
    (void)state;
    for (int k = 0; k < KINDS; k++) {
        fixture f;
        training t;
        open_fixture(&f, TASKS, RANK);
        factorize(&f, kinds[k], 0.1);
        begin_training(&f, &t);
        double first = train_step(&f, &t, TASKS);
        double last = first;
        for (int step = 0; step < 150; step++) {
            last = train_step(&f, &t, TASKS);
        }
        assert_true(first > 0.5);
        /* One of the four rows is empty, so its logits are the biases' alone; the rest can be learned by heart. */
        assert_true(last < 0.2 * first);
        end_training(&t);
        close_fixture(&f);
    }
}

/* A task without rows keeps what is its own, and what is shared moves on. */
static void an_absent_task_keeps_its_own(void **state)
{
    (void)state;
    fixture f;
    training t;
    open_fixture(&f, TASKS, RANK);
    factorize(&f, MTL_FACTORIZATION_LAF, 1e-6);
    begin_training(&f, &t);
    double before[3][4 * FACTORED_HIDDEN];
    double after[3][4 * FACTORED_HIDDEN];
    static const char *const names[] = {"lstm.bias_ih_l0.task4", "lstm.bias_ih_l0.task0"};
    for (int n = 0; n < 2; n++) {
        assert_ok(f.context, mtl_tensor_read(mtl_encoder_parameter(f.encoder, names[n]), MTL_FLOAT64, before[n],
                                             4 * FACTORED_HIDDEN));
    }
    train_step(&f, &t, TASKS - 1);
    for (int n = 0; n < 2; n++) {
        assert_ok(f.context, mtl_tensor_read(mtl_encoder_parameter(f.encoder, names[n]), MTL_FLOAT64, after[n],
                                             4 * FACTORED_HIDDEN));
    }
    assert_memory_equal(before[0], after[0], sizeof after[0]);
    assert_memory_not_equal(before[1], after[1], sizeof after[1]);
    end_training(&t);
    close_fixture(&f);
}

static void a_second_equal_step_takes_no_memory(void **state)
{
    (void)state;
    fixture f;
    training t;
    open_fixture(&f, TASKS, RANK);
    factorize(&f, MTL_FACTORIZATION_TUCKER, 1e-6);
    begin_training(&f, &t);
    train_step(&f, &t, TASKS);
    uint64_t before = test_allocations(f.context);
    for (int step = 0; step < 3; step++) {
        train_step(&f, &t, TASKS);
    }
    assert_int_equal(test_allocations(f.context), before);
    end_training(&t);
    close_fixture(&f);
}

/* ---- after soft sharing ---- */

/* A step of each task's own network, with the trace norm's proximal step behind it. */
static void step_networks(fixture *f, mtl_objective *objective, mtl_optimizer *optimizer, mtl_gradients *gradients)
{
    mtl_tensor *losses[TASKS];
    mtl_tape_reset(f->tape, MTL_TAPE_TRAIN);
    for (int k = 0; k < TASKS; k++) {
        mtl_tensor *h = mtl_encoder_forward(f->tasks.encoders[k], f->tape, f->tasks.inputs);
        losses[k] = mtl_cross_entropy(f->tape, mtl_head_forward(f->tasks.heads[k], f->tape, h), f->tasks.labels, NULL);
    }
    assert_ok(f->context, mtl_objective_backward(objective, f->tape, losses, TASKS, gradients));
    assert_ok(f->context, mtl_optimizer_step(optimizer, gradients));
}

static void add_network(fixture *f, mtl_model *model, mtl_objective *objective, int k)
{
    char name[16];
    snprintf(name, sizeof name, "encoder%d", k);
    assert_ok(f->context, mtl_model_add_encoder(model, name, f->tasks.encoders[k]));
    snprintf(name, sizeof name, "head%d", k);
    assert_ok(f->context, mtl_model_add_head(model, name, f->tasks.heads[k]));
    snprintf(name, sizeof name, "task%d", k);
    assert_ok(f->context, mtl_objective_add_task(objective, name, 1));
}

/* Proximal steps make stacks of exactly low rank; the factors have that rank, and the networks are the same. */
static void proximal_steps_give_the_ranks(void **state)
{
    (void)state;
    static const char *const modules[TASKS] = {"encoder0", "encoder1", "encoder2", "encoder3", "encoder4"};
    fixture f;
    mtl_model *model;
    mtl_objective *objective;
    mtl_optimizer *optimizer;
    mtl_gradients *gradients;
    mtl_penalty *penalty;
    mtl_sgd_options sgd = MTL_SGD_OPTIONS_INIT;
    mtl_penalty_options options = MTL_PENALTY_OPTIONS_INIT;
    options.kind = MTL_PENALTY_TRACE_NORM;
    options.parameters = "lstm.weight_*";
    options.coefficient = 2;
    open_fixture(&f, TASKS, RANK);
    assert_ok(f.context, mtl_model_create(f.context, NULL, &model));
    assert_ok(f.context, mtl_objective_create(model, NULL, &objective));
    for (int k = 0; k < TASKS; k++) {
        add_network(&f, model, objective, k);
    }
    assert_ok(f.context, mtl_penalty_create(model, modules, TASKS, &options, &penalty));
    assert_ok(f.context, mtl_optimizer_create_sgd(model, &sgd, &optimizer));
    assert_ok(f.context, mtl_optimizer_add_proximal(optimizer, penalty));
    assert_ok(f.context, mtl_gradients_create(model, &gradients));
    for (int step = 0; step < 5; step++) {
        step_networks(&f, objective, optimizer, gradients);
    }
    factorize(&f, MTL_FACTORIZATION_LAF, 1e-6);
    for (int64_t i = 0; i < mtl_penalty_num_parameters(penalty); i++) {
        int64_t rank = 0;
        assert_ok(f.context, mtl_penalty_rank(penalty, i, 0, 1e-6, &rank));
        assert_in_range(rank, 1, TASKS - 1);
        expect_ranks(&f, mtl_encoder_factorized(f.encoder), mtl_penalty_parameter_name(penalty, i), 1, rank);
    }
    mtl_tape_reset(f.tape, MTL_TAPE_INFER);
    for (int32_t t = 0; t < TASKS; t++) {
        enum { SIZE = 4 * FACTORED_HIDDEN * FACTORED_HIDDEN };
        double expected[SIZE];
        double values[SIZE];
        assert_ok(f.context, mtl_tensor_read(mtl_encoder_parameter(f.tasks.encoders[t], "lstm.weight_hh_l0"),
                                             MTL_FLOAT64, expected, SIZE));
        assert_ok(f.context,
                  mtl_factorized_read(mtl_encoder_factorized(f.encoder), "lstm.weight_hh_l0", t, values, SIZE));
        assert_close(values, expected, SIZE, 0, 1e-6); /* see SAME_LOGITS */
    }
    mtl_penalty_destroy(penalty);
    mtl_gradients_destroy(gradients);
    mtl_optimizer_destroy(optimizer);
    mtl_objective_destroy(objective);
    mtl_model_destroy(model);
    close_fixture(&f);
}

/* ---- what the tasks have in common ---- */

static void sharing_is_measured(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, TASKS, RANK);
    double cosines[TASKS * TASKS];
    double strength;
    for (int k = 0; k < KINDS; k++) {
        factorize(&f, kinds[k], 1e-6);
        const mtl_factorized *factorized = mtl_encoder_factorized(f.encoder);
        double rows[TASKS][RANK];
        assert_ok(f.context, mtl_tensor_read(mtl_encoder_parameter(f.encoder, "lstm.weight_ih_l0.tasks"), MTL_FLOAT64,
                                             rows, TASKS * RANK));
        assert_ok(f.context,
                  mtl_factorized_sharing(factorized, "lstm.weight_ih_l0", cosines, TASKS * TASKS, &strength));
        double mean = 0;
        for (int s = 0; s < TASKS; s++) {
            for (int t = 0; t < TASKS; t++) {
                double a[RANK];
                double b[RANK];
                double dot = 0;
                double aa = 0;
                double bb = 0;
                for (int r = 0; r < RANK; r++) { /* softmax's divisor does not change a cosine */
                    a[r] = exp(fabs(rows[s][r]));
                    b[r] = exp(fabs(rows[t][r]));
                    dot += a[r] * b[r];
                    aa += a[r] * a[r];
                    bb += b[r] * b[r];
                }
                /* two vectors of two numbers: a few roundings in double */
                assert_near(cosines[s * TASKS + t], dot / sqrt(aa * bb), 1e-13);
                mean += s < t ? dot / sqrt(aa * bb) / (TASKS * (TASKS - 1) / 2) : 0;
            }
        }
        assert_near(strength, mean, 1e-13);
        assert_ok(f.context, mtl_factorized_sharing(factorized, "lstm.bias_ih_l0", cosines, TASKS * TASKS, &strength));
        assert_near(strength, 0, 0);
        assert_near(cosines[0], 1, 0);
        assert_near(cosines[1], 0, 0);
        assert_ok(f.context, mtl_factorized_sharing(factorized, "embedding.weight", NULL, 0, &strength));
        assert_near(strength, 1, 0);
    }
    close_fixture(&f);
}

static void equal_networks_share_everything(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, 1, 0);
    mtl_encoder *same[4] = {f.tasks.encoders[0], f.tasks.encoders[0], f.tasks.encoders[0], f.tasks.encoders[0]};
    mtl_factorized_options options = options_of(MTL_FACTORIZATION_LAF, 1e-6);
    double strength = 0;
    assert_ok(f.context, mtl_encoder_create_factorized(same, 4, &options, &f.encoder));
    expect_ranks(&f, mtl_encoder_factorized(f.encoder), "lstm.weight_ih_l0", 1, 1);
    assert_ok(f.context,
              mtl_factorized_sharing(mtl_encoder_factorized(f.encoder), "lstm.weight_ih_l0", NULL, 0, &strength));
    assert_near(strength, 1, 1e-15);
    close_fixture(&f);
}

static void set_large_weight(fixture *f, double value)
{
    double weights[FACTORED_CLASSES * FACTORED_HIDDEN] = {0};
    weights[4] = value;
    for (int t = 0; t < TASKS; t++) {
        mtl_tensor *weight = mtl_head_parameter(f->tasks.heads[t], "weight");
        assert_ok(f->context, mtl_tensor_write(weight, MTL_FLOAT64, weights, FACTORED_CLASSES * FACTORED_HIDDEN));
    }
}

/* One weight of 3e38 in each of five tasks: the basis would have it times √5. */
static void factors_that_overflow_are_an_error(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, TASKS, RANK);
    for (int k = 0; k < KINDS; k++) {
        mtl_factorized_options options = options_of(kinds[k], 0.1);
        double values[FACTORED_CLASSES * FACTORED_HIDDEN];
        options.shared = NULL;
        set_large_weight(&f, 3e38);
        assert_fails(f.context, mtl_head_create_factorized(f.tasks.heads, TASKS, &options, &f.head), MTL_ERROR_NUMERIC,
                     "the weights 'weight' have norm 6.7082e+38: their factors overflow");
        assert_null(f.head);
        set_large_weight(&f, 1e37); /* times 5 it is a float */
        assert_ok(f.context, mtl_head_create_factorized(f.tasks.heads, TASKS, &options, &f.head));
        assert_ok(f.context, mtl_factorized_read(mtl_head_factorized(f.head), "weight", 2, values,
                                                 FACTORED_CLASSES * FACTORED_HIDDEN));
        assert_near(values[4], 1e37, 1e37 * 0x1p-20); /* a handful of float roundings */
        mtl_head_release(f.head);
        f.head = NULL;
    }
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(low_rank_networks_come_back),
        cmocka_unit_test(dense_weights_are_read),
        cmocka_unit_test(the_error_is_what_was_allowed),
        cmocka_unit_test(tasks_share_a_tape),
        cmocka_unit_test(one_network_of_low_rank),
        cmocka_unit_test(the_networks_are_not_needed),
        cmocka_unit_test(parameters_have_names),
        cmocka_unit_test(patterns_choose),
        cmocka_unit_test(a_limit_makes_any_network_small),
        cmocka_unit_test(factors_learn),
        cmocka_unit_test(an_absent_task_keeps_its_own),
        cmocka_unit_test(a_second_equal_step_takes_no_memory),
        cmocka_unit_test(proximal_steps_give_the_ranks),
        cmocka_unit_test(sharing_is_measured),
        cmocka_unit_test(equal_networks_share_everything),
        cmocka_unit_test(factors_that_overflow_are_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
