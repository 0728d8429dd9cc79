/* SPDX-License-Identifier: Apache-2.0
 * Balancing on gradients of what the encoder returns, beside gradients that are read from the tape; and tapes on which
 * heads and encoders cannot be told apart. */
#include "balanced_tasks.h"
#include "support.h"

#include <math.h>

#include "balance/balancer.h"
#include "balance/coordinates.h"
#include "multitask/objective.h"

enum { MOST_FEATURES = 2 * BALANCED_ROWS * 16, LOOKS = 2 };

/* Each task reads the encoder's result of draw 0; the last one that of draw 1 too when there are two looks. */
typedef struct reading {
    mtl_tensor *features[LOOKS];
    mtl_tensor *losses[BALANCED_MOST];
    int looks;
} reading;

static void read_features(balanced_tasks *t, int looks, reading *r)
{
    r->looks = looks;
    mtl_tape_reset(t->tape, MTL_TAPE_TRAIN);
    for (int i = 0; i < looks; i++) {
        r->features[i] = mtl_encoder_forward(t->encoder, t->tape, t->inputs[i]);
    }
    int32_t last = t->setup.tasks - 1;
    for (int32_t k = 0; k <= last; k++) {
        mtl_tensor *x = r->features[0];
        if (looks > 1 && k == last) {
            x = mtl_add(t->tape, x, mtl_tanh(t->tape, r->features[1]));
        }
        r->losses[k] = mtl_cross_entropy(t->tape, mtl_head_forward(t->heads[k], t->tape, x), t->labels[0][k], NULL);
    }
}

typedef struct explicit_pass {
    double losses[BALANCED_MOST];
    double g[BALANCED_MOST * BALANCED_MOST_VALUES]; /* of parameters */
    double z[BALANCED_MOST][LOOKS][MOST_FEATURES];  /* of the features */
    int64_t rows;
    int64_t width;
} explicit_pass;

static explicit_pass known;

static void read_explicitly(balanced_tasks *t, int looks)
{
    reading r;
    memset(&known, 0, sizeof known);
    for (int32_t k = 0; k < t->setup.tasks; k++) {
        read_features(t, looks, &r);
        known.losses[k] = (double)NAN;
        known.rows = mtl_tensor_dim(r.features[0], 0);
        known.width = mtl_tensor_dim(r.features[0], 1);
        if (!balanced_tasks_has(t, k)) {
            continue;
        }
        assert_ok(t->context, mtl_tape_backward(t->tape, r.losses[k], t->lambda[k], t->gradients));
        assert_ok(t->context, balanced_tasks_gradient(t, t->gradients, known.g + k * balanced_tasks_size(t)));
        assert_ok(t->context, mtl_tensor_read(r.losses[k], MTL_FLOAT64, &known.losses[k], 1));
        known.losses[k] *= t->lambda[k];
        for (int i = 0; i < looks; i++) {
            const mtl_tensor *gradient = mtl_tape_gradient(t->tape, r.features[i]);
            if (gradient) {
                assert_ok(t->context,
                          mtl_tensor_read(gradient, MTL_FLOAT64, known.z[k][i], (size_t)(known.rows * known.width)));
            }
        }
    }
}

static void gram_of_features(const balanced_tasks *t, int looks, bool summed, double *gram)
{
    int32_t tasks = t->setup.tasks;
    memset(gram, 0, (size_t)(tasks * tasks) * sizeof(double));
    for (int i = 0; i < looks; i++) {
        double vectors[BALANCED_MOST * MOST_FEATURES] = {0};
        double part[BALANCED_MOST * BALANCED_MOST];
        for (int32_t k = 0; k < tasks; k++) {
            for (int64_t j = 0; j < known.rows * known.width; j++) {
                vectors[k * MOST_FEATURES + (summed ? j % known.width : j)] += known.z[k][i][j];
            }
        }
        balanced_gram(tasks, MOST_FEATURES, MOST_FEATURES, vectors, part);
        for (int32_t k = 0; k < tasks * tasks; k++) {
            gram[k] += part[k];
        }
    }
}

static void make_balancer(mtl_context *context, const mtl_balancer_options *options, mtl_objective *objective,
                          mtl_balancer **out)
{
    assert_ok(context, mtl_balancer_create(context, options, out));
    if (objective) {
        assert_ok(context, mtl_objective_set_balancer(objective, *out));
    }
}

static double actual[BALANCED_MOST_VALUES];

/* The gradient in t->gradients against weights on task gradients, relative to the largest value. */
static void compare_weighted(balanced_tasks *t, const double *weights, const double *own, const char *what)
{
    double largest = 0;
    double worst = 0;
    int64_t size = balanced_tasks_size(t);
    assert_ok(t->context, balanced_tasks_gradient(t, t->gradients, actual));
    for (int64_t i = 0; i < size; i++) {
        double expected = 0;
        for (int32_t k = 0; k < t->setup.tasks; k++) {
            double weight = i < balanced_tasks_shared(t) ? weights[k] : own[k];
            expected += weight * known.g[k * size + i];
        }
        largest = fmax(largest, fabs(expected));
        worst = fmax(worst, fabs(expected - actual[i]));
    }
    if (!(worst <= 1e-5 * largest)) {
        fail_msg("%s: off by %g, the largest value is %g", what, worst, largest);
    }
}

static void weights_from_features(void **state)
{
    (void)state;
    const int32_t methods[] = {MTL_BALANCE_MGDA, MTL_BALANCE_UPGRAD, MTL_BALANCE_CAGRAD, MTL_BALANCE_NASH};
    const balanced_labels labels[] = {BALANCED_ALL, BALANCED_PARTLY, BALANCED_NULL, BALANCED_DISJOINT};
    for (int c = 0; c < 4 * 4 * 2 * 2; c++) {
        balanced_setup setup = {.tasks = 3, .labels = labels[c % 4], .lambda = (const double[]){1, 0.4, 1.5, 0}};
        int looks = 1 + c / 4 % 2;
        mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
        options.method = methods[c / 16];
        options.gradient = c / 8 % 2 ? MTL_BALANCE_OF_REPRESENTATION_SUM : MTL_BALANCE_OF_REPRESENTATION;
        mtl_context *context = test_context();
        balanced_tasks t;
        mtl_balancer *balancer, *twin;
        reading r;
        double gram[BALANCED_MOST * BALANCED_MOST], weights[BALANCED_MOST];
        assert_ok(context, balanced_tasks_create(context, &setup, &t));
        make_balancer(context, &options, t.objective, &balancer);
        make_balancer(context, &options, NULL, &twin);
        read_explicitly(&t, looks);
        gram_of_features(&t, looks, options.gradient == MTL_BALANCE_OF_REPRESENTATION_SUM, gram);
        assert_ok(context, mtl_balancer_decide(twin, 3, known.losses, gram, weights, NULL));
        read_features(&t, looks, &r);
        if (!balanced_tasks_has(&t, 1)) {
            r.losses[1] = NULL;
        }
        assert_ok(context, mtl_objective_backward(t.objective, t.tape, r.losses, 3, t.gradients));
        bool all = options.method == MTL_BALANCE_NASH;
        const double ones[BALANCED_MOST] = {1, 1, 1, 1};
        double told[BALANCED_MOST];
        for (int32_t k = 0; k < 3; k++) {
            told[k] = mtl_objective_balance_weight(t.objective, k);
            assert_near(told[k], weights[k], 1e-4 * fmax(1, fabs(weights[k])));
        }
        compare_weighted(&t, told, all ? told : ones, mtl_balance_method_name(options.method));
        mtl_balancer_destroy(twin);
        mtl_balancer_destroy(balancer);
        balanced_tasks_destroy(&t);
        mtl_context_release(context);
    }
}

/* ---- GradDrop ---- */

/* Σ_t mask_t ⊙ ∂L_t/∂Z of one look, as float. */
static void drop_features(balanced_tasks *t, const mtl_balancer *balancer, int64_t first, int look,
                          const float *features, float *out)
{
    double leak = balancer->options.leak;
    for (int64_t j = 0; j < known.width; j++) {
        double s[BALANCED_MOST] = {0};
        double sum = 0;
        double magnitude = 0;
        mtli_real u;
        mtli_coordinates_uniform(balancer->seed, balancer->stream, first + j, 1, &u);
        for (int32_t k = 0; k < t->setup.tasks; k++) {
            for (int64_t row = 0; row < known.rows; row++) {
                float z = features[row * known.width + j];
                s[k] += known.z[k][look][row * known.width + j] * (z > 0 ? 1 : z < 0 ? -1 : 0);
            }
            sum += s[k];
            magnitude += fabs(s[k]);
        }
        double purity = magnitude > 0 ? 0.5 * (1 + sum / magnitude) : 0.5;
        for (int64_t row = 0; row < known.rows; row++) {
            double value = 0;
            for (int32_t k = 0; k < t->setup.tasks; k++) {
                bool kept = (s[k] > 0 && purity > (double)u) || (s[k] < 0 && purity < (double)u);
                value += (kept ? 1 : leak) * known.z[k][look][row * known.width + j];
            }
            out[row * known.width + j] = (float)value;
        }
    }
}

static void dropped_features(void **state)
{
    (void)state;
    for (int c = 0; c < BALANCED_LABELLINGS * 4; c++) {
        balanced_setup setup = {.tasks = 3, .labels = (balanced_labels)(c / 4)};
        int looks = 1 + c % 2;
        mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
        options.method = MTL_BALANCE_GRADDROP;
        options.gradient = MTL_BALANCE_OF_REPRESENTATION;
        options.leak = c / 2 % 2 ? 0.2 : 0;
        mtl_context *context = test_context();
        balanced_tasks t;
        mtl_balancer *balancer;
        reading r;
        assert_ok(context, balanced_tasks_create(context, &setup, &t));
        make_balancer(context, &options, t.objective, &balancer);
        for (int64_t step = 0; step < 3; step++) {
            static double expected[BALANCED_MOST_VALUES];
            float z[MOST_FEATURES], combined[MOST_FEATURES];
            mtl_tensor *factor[LOOKS];
            mtl_tensor *sum = NULL;
            read_explicitly(&t, looks);
            read_features(&t, looks, &r);
            for (int i = 0; i < looks; i++) {
                size_t size = (size_t)(known.rows * known.width);
                assert_ok(context, mtl_tensor_read(r.features[i], MTL_FLOAT32, z, size));
                drop_features(&t, balancer, (step << 32) + i * known.width, i, z, combined);
                assert_ok(context,
                          mtl_tensor_create(context, MTL_FLOAT32, 2, (int64_t[]){known.rows, known.width}, &factor[i]));
                assert_ok(context, mtl_tensor_write(factor[i], MTL_FLOAT32, combined, size));
                mtl_tensor *term = mtl_sum(t.tape, mtl_mul(t.tape, r.features[i], factor[i]));
                sum = sum ? mtl_add(t.tape, sum, term) : term;
            }
            assert_ok(context, mtl_tape_backward(t.tape, sum, 1, t.gradients));
            assert_ok(context, balanced_tasks_gradient(&t, t.gradients, expected));
            read_features(&t, looks, &r);
            assert_ok(context, mtl_objective_backward(t.objective, t.tape, r.losses, 3, t.gradients));
            assert_ok(context, balanced_tasks_gradient(&t, t.gradients, actual));
            for (int64_t i = 0; i < balanced_tasks_size(&t); i++) {
                double own = 0;
                for (int32_t k = 0; k < 3; k++) {
                    own += known.g[k * balanced_tasks_size(&t) + i];
                }
                assert_near(actual[i], i < balanced_tasks_shared(&t) ? expected[i] : own, 1e-6);
            }
            assert_true(isnan(mtl_objective_balance_weight(t.objective, 0)));
            assert_ok(context, mtl_optimizer_step(t.optimizer, t.gradients));
            for (int i = 0; i < looks; i++) {
                mtl_tensor_release(factor[i]);
            }
        }
        mtl_balancer_destroy(balancer);
        balanced_tasks_destroy(&t);
        mtl_context_release(context);
    }
}

/* ---- tapes that cannot be split ---- */

/* Task 0 has a term on an encoder's parameter, outside of the encoder. */
static void read_unsplit(balanced_tasks *t, reading *r)
{
    read_features(t, 1, r);
    mtl_tensor *parameter = mtl_model_parameter(t->model, 2);
    mtl_tensor *term = mtl_sum(t->tape, mtl_mul(t->tape, parameter, parameter));
    r->losses[0] = mtl_add(t->tape, r->losses[0], mtl_scale(t->tape, term, 0.05));
}

static void without_a_split(void **state)
{
    (void)state;
    for (int32_t method = 0; method < MTL_BALANCE_CUSTOM; method++) {
        enum { STEP = MTL_BALANCE_NEEDS_DRAWS | MTL_BALANCE_NEEDS_VALIDATION | MTL_BALANCE_NEEDS_SECOND_EVALUATION };
        if ((mtl_balance_method_needs(method) & STEP) != 0) {
            continue;
        }
        for (int kept = 0; kept < 2; kept++) {
            balanced_setup setup = {.tasks = 3, .labels = BALANCED_DISJOINT};
            mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
            options.method = method;
            options.max_bytes = kept ? options.max_bytes : 0;
            mtl_context *context = test_context();
            balanced_tasks t;
            mtl_balancer *balancer;
            reading r;
            assert_ok(context, balanced_tasks_create(context, &setup, &t));
            make_balancer(context, &options, t.objective, &balancer);
            for (int32_t k = 0; k < 3; k++) {
                read_unsplit(&t, &r);
                assert_ok(context, mtl_tape_backward(t.tape, r.losses[k], 1, t.gradients));
                assert_ok(context, balanced_tasks_gradient(&t, t.gradients, known.g + k * balanced_tasks_size(&t)));
            }
            read_unsplit(&t, &r);
            assert_ok(context, mtl_objective_backward(t.objective, t.tape, r.losses, 3, t.gradients));
            double weights[BALANCED_MOST];
            double own[BALANCED_MOST];
            for (int32_t k = 0; k < 3; k++) {
                weights[k] = mtl_objective_balance_weight(t.objective, k);
                own[k] = balancer->rule->weighs_all || method == MTL_BALANCE_IMTL || method == MTL_BALANCE_DB_MTL
                             ? t.objective->room->own[k]
                             : 1;
            }
            bool weighs = (mtl_balance_method_needs(method) & MTL_BALANCE_NEEDS_COORDINATES) == 0 ||
                          method == MTL_BALANCE_EXCESS_MTL;
            if (weighs) {
                compare_weighted(&t, weights, own, mtl_balance_method_name(method));
            }
            mtl_balancer_destroy(balancer);
            balanced_tasks_destroy(&t);
            mtl_context_release(context);
        }
    }
}

static void no_representation_without_a_split(void **state)
{
    (void)state;
    const int32_t methods[] = {MTL_BALANCE_MGDA, MTL_BALANCE_GRADDROP};
    for (int m = 0; m < 2; m++) {
        balanced_setup setup = {.tasks = 3, .labels = BALANCED_ALL};
        mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
        options.method = methods[m];
        options.gradient = MTL_BALANCE_OF_REPRESENTATION;
        mtl_context *context = test_context();
        balanced_tasks t;
        mtl_balancer *balancer;
        reading r;
        assert_ok(context, balanced_tasks_create(context, &setup, &t));
        make_balancer(context, &options, t.objective, &balancer);
        read_unsplit(&t, &r);
        assert_fails(context, mtl_objective_backward(t.objective, t.tape, r.losses, 3, t.gradients),
                     MTL_ERROR_UNSUPPORTED, "mtl_objective_backward: there are no representation gradients");
        assert_true(mtl_gradients_norm(t.gradients) == 0);
        read_features(&t, 1, &r);
        assert_ok(context, mtl_objective_backward(t.objective, t.tape, r.losses, 3, t.gradients));
        mtl_balancer_destroy(balancer);
        balanced_tasks_destroy(&t);
        mtl_context_release(context);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_from_features),
        cmocka_unit_test(dropped_features),
        cmocka_unit_test(without_a_split),
        cmocka_unit_test(no_representation_without_a_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
