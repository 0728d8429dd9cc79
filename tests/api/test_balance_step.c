/* SPDX-License-Identifier: Apache-2.0
 * Balancers that look more than once, through mtl_objective_step(): beside the same steps by hand, and when a look fails. */
#include "balanced_tasks.h"
#include "support.h"

#include <math.h>

enum { STEPS = 4 };

static const int32_t step_methods[] = {MTL_BALANCE_FAMO,        MTL_BALANCE_SDMGRAD, MTL_BALANCE_MODO,
                                       MTL_BALANCE_AUTO_LAMBDA, MTL_BALANCE_MOML,    MTL_BALANCE_FORUM};
enum { STEP_METHODS = sizeof step_methods / sizeof step_methods[0] };

/* A model with a balancer in a context of its own. */
typedef struct trained {
    mtl_context *context;
    balanced_tasks tasks;
    mtl_balancer *balancer;
} trained;

static void open_trained(trained *t, const balanced_setup *setup, const mtl_balancer_options *options)
{
    t->context = test_context();
    assert_ok(t->context, balanced_tasks_create(t->context, setup, &t->tasks));
    assert_ok(t->context, mtl_balancer_create(t->context, options, &t->balancer));
    assert_ok(t->context, mtl_objective_set_balancer(t->tasks.objective, t->balancer));
}

static void close_trained(trained *t)
{
    mtl_balancer_destroy(t->balancer);
    balanced_tasks_destroy(&t->tasks);
    mtl_context_release(t->context);
}

static mtl_status step_trained(trained *t)
{
    return mtl_objective_step(t->tasks.objective, t->tasks.optimizer, balanced_tasks_evaluate, &t->tasks);
}

static void read_array(const mtl_balancer *balancer, const char *name, int32_t tasks, double *values)
{
    assert_int_equal(mtl_balancer_read(balancer, name, values, tasks), tasks);
}

/* ---- FAMO ---- */

static void losses_by_hand(balanced_tasks *t, uint64_t seed, mtl_tensor **losses, double *values)
{
    assert_ok(t->context, mtl_context_set_seed(t->context, seed)); /* of the dropout masks */
    mtl_tape_reset(t->tape, MTL_TAPE_TRAIN);
    memset(losses, 0, BALANCED_MOST * sizeof losses[0]);
    assert_ok(t->context, balanced_tasks_evaluate(t, t->tape, 0, losses));
    for (int32_t k = 0; k < t->setup.tasks; k++) {
        values[k] = (double)NAN;
        if (balanced_tasks_has(t, k)) {
            assert_ok(t->context, mtl_tensor_read(losses[k], MTL_FLOAT64, &values[k], 1));
            values[k] = t->lambda[k] * values[k] + 1e-8;
        }
    }
}

static void softmax_of(const balanced_tasks *t, const double *xi, double *z)
{
    double sum = 0;
    for (int32_t k = 0; k < t->setup.tasks; k++) {
        z[k] = balanced_tasks_has(t, k) ? exp(xi[k]) : 0;
        sum += z[k];
    }
    for (int32_t k = 0; k < t->setup.tasks; k++) {
        z[k] /= sum;
    }
}

typedef struct hand_famo {
    double xi[BALANCED_MOST];
    double m[BALANCED_MOST];
    double v[BALANCED_MOST];
} hand_famo;

static void famo_by_hand(balanced_tasks *t, uint64_t seed, int step, hand_famo *h, double *weights)
{
    mtl_tensor *losses[BALANCED_MOST];
    double before[BALANCED_MOST], after[BALANCED_MOST], z[BALANCED_MOST];
    double sum = 0;
    double mean = 0;
    losses_by_hand(t, seed, losses, before);
    softmax_of(t, h->xi, z);
    for (int32_t k = 0; k < t->setup.tasks; k++) {
        sum += balanced_tasks_has(t, k) ? z[k] / before[k] : 0;
    }
    mtl_tensor *total = NULL;
    for (int32_t k = 0; k < t->setup.tasks; k++) {
        weights[k] = 0;
        if (balanced_tasks_has(t, k)) {
            weights[k] = z[k] / before[k] / sum;
            mtl_tensor *term = mtl_scale(t->tape, losses[k], weights[k] * t->lambda[k]);
            total = total ? mtl_add(t->tape, total, term) : term;
        }
    }
    assert_ok(t->context, mtl_tape_backward(t->tape, total, 1, t->gradients));
    assert_ok(t->context, mtl_optimizer_step(t->optimizer, t->gradients));
    losses_by_hand(t, seed, losses, after);
    for (int32_t k = 0; k < t->setup.tasks; k++) {
        mean += balanced_tasks_has(t, k) ? z[k] * log(before[k] / after[k]) : 0;
    }
    for (int32_t k = 0; k < t->setup.tasks; k++) {
        if (balanced_tasks_has(t, k)) {
            double g = z[k] * (log(before[k] / after[k]) - mean) + 0.001 * h->xi[k];
            h->m[k] = 0.9 * h->m[k] + 0.1 * g;
            h->v[k] = 0.999 * h->v[k] + 0.001 * g * g;
            h->xi[k] -= 0.025 * h->m[k] / (1 - pow(0.9, step)) / (sqrt(h->v[k] / (1 - pow(0.999, step))) + 1e-8);
        }
    }
}

/* Losses of about 1 are known to 1e-7, their changes of about 1e-2 to 1e-5; Adam's step is a ratio of such numbers. */
static void famo_follows_the_decrease(void **state)
{
    (void)state;
    for (int c = 0; c < 2 * BALANCED_LABELLINGS; c++) {
        balanced_setup setup = {.tasks = 3,
                                .labels = (balanced_labels)(c / 2),
                                .dropout = c % 2 ? 0.3 : 0,
                                .lambda = (const double[]){1, 0.5, 2}};
        mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
        options.method = MTL_BALANCE_FAMO;
        trained t;
        balanced_tasks hand;
        hand_famo famo = {{0}, {0}, {0}};
        open_trained(&t, &setup, &options);
        mtl_context *context = test_context();
        assert_ok(context, balanced_tasks_create(context, &setup, &hand));
        for (int step = 1; step <= STEPS; step++) {
            double weights[BALANCED_MOST], xi[BALANCED_MOST], m[BALANCED_MOST];
            static double ours[BALANCED_MOST_VALUES], theirs[BALANCED_MOST_VALUES];
            assert_ok(t.context, mtl_context_set_seed(t.context, 100 + (uint64_t)step));
            assert_ok(t.context, step_trained(&t));
            famo_by_hand(&hand, 100 + (uint64_t)step, step, &famo, weights);
            read_array(t.balancer, "xi", 3, xi);
            read_array(t.balancer, "m", 3, m);
            for (int32_t k = 0; k < 3; k++) {
                assert_near(mtl_objective_balance_weight(t.tasks.objective, k), weights[k], 1e-5);
                assert_near(m[k], famo.m[k], 1e-6);
                assert_near(xi[k], famo.xi[k], 1e-3 * 0.025 * step);
            }
            assert_ok(t.context, balanced_tasks_weights(&t.tasks, ours));
            assert_ok(context, balanced_tasks_weights(&hand, theirs));
            assert_close(ours, theirs, (size_t)balanced_tasks_size(&hand), 1e-4, 1e-6);
            assert_int_equal(t.tasks.evaluations[0], 2 * step);
        }
        balanced_tasks_destroy(&hand);
        mtl_context_release(context);
        close_trained(&t);
    }
}

/* After a step the next one draws other masks: what the second look drew again is not drawn a third time. */
static void masks_go_on_after_a_second_look(void **state)
{
    (void)state;
    double losses[2][STEPS];
    for (int famo = 0; famo < 2; famo++) {
        balanced_setup setup = {.tasks = 2, .labels = BALANCED_ALL, .dropout = 0.5};
        mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
        options.method = famo ? MTL_BALANCE_FAMO : MTL_BALANCE_EQUAL;
        trained t;
        open_trained(&t, &setup, &options);
        assert_ok(t.context, mtl_optimizer_set_learning_rate(t.tasks.optimizer, 1e-30)); /* the weights stand still */
        for (int step = 0; step < STEPS; step++) {
            assert_ok(t.context, step_trained(&t));
            losses[famo][step] = mtl_objective_task_loss(t.tasks.objective, 0);
        }
        close_trained(&t);
    }
    assert_memory_equal(losses[0], losses[1], sizeof losses[0]);
    assert_true(losses[0][0] != losses[0][1]);
}

/* ---- three draws ---- */

static void project(int32_t n, double *x)
{
    double low = -1e3;
    double high = 1e3;
    for (int i = 0; i < 200; i++) { /* the threshold of the projection, by bisection */
        double middle = (low + high) / 2;
        double sum = 0;
        for (int32_t k = 0; k < n; k++) {
            sum += fmax(x[k] - middle, 0);
        }
        if (sum > 1) {
            low = middle;
        } else {
            high = middle;
        }
    }
    for (int32_t k = 0; k < n; k++) {
        x[k] = fmax(x[k] - low, 0);
    }
}

static void descend_by_hand(int32_t method, int32_t n, const double *cross, double *lambda, double *weights)
{
    double velocity[BALANCED_MOST] = {0};
    double scale = 0;
    for (int32_t k = 0; k < n; k++) {
        scale += sqrt(fmax(cross[k * n + k], 0)) / n;
    }
    bool several = method == MTL_BALANCE_SDMGRAD;
    for (int step = 0; step < (several ? 20 : 1); step++) {
        double next[BALANCED_MOST];
        for (int32_t i = 0; i < n; i++) {
            double slope = several ? 0 : 0.1 * lambda[i];
            for (int32_t j = 0; j < n; j++) {
                double at = several ? lambda[j] + 0.3 / n : lambda[j];
                slope += cross[i * n + j] * at / (several ? scale * scale : 1);
            }
            velocity[i] = several ? 0.5 * velocity[i] + slope : slope;
            next[i] = lambda[i] - (several ? 0.05 : 0.5) * velocity[i];
        }
        memcpy(lambda, next, (size_t)n * sizeof(double));
        project(n, lambda);
    }
    for (int32_t k = 0; k < n; k++) {
        weights[k] = several ? (lambda[k] + 0.3 / n) / 1.3 : lambda[k];
    }
}

static double drawn[2][BALANCED_MOST * BALANCED_MOST_VALUES];

static void two_draws_decide_and_the_third_moves(void **state)
{
    (void)state;
    for (int c = 0; c < 2 * BALANCED_ABSENT; c++) {
        int32_t method = c % 2 ? MTL_BALANCE_MODO : MTL_BALANCE_SDMGRAD;
        balanced_setup setup = {.tasks = 3, .labels = (balanced_labels)(c / 2), .lambda = (const double[]){1, 0.5, 2}};
        mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
        options.method = method;
        if (method == MTL_BALANCE_MODO) {
            options.gamma = 0.5;
        } else {
            options.rate = 0.05;
        }
        trained t;
        open_trained(&t, &setup, &options);
        int64_t size = balanced_tasks_size(&t.tasks);
        double lambda[BALANCED_MOST] = {1.0 / 3, 1.0 / 3, 1.0 / 3};
        for (int step = 1; step <= STEPS; step++) {
            double cross[9], weights[BALANCED_MOST], told[BALANCED_MOST];
            static double before[BALANCED_MOST_VALUES], after[BALANCED_MOST_VALUES];
            assert_ok(t.context, balanced_tasks_explicit(&t.tasks, 0, NULL, drawn[0]));
            assert_ok(t.context, balanced_tasks_explicit(&t.tasks, 1, NULL, drawn[1]));
            for (int k = 0; k < 9; k++) {
                cross[k] = 0;
                for (int64_t i = 0; i < balanced_tasks_shared(&t.tasks); i++) {
                    cross[k] += drawn[0][k / 3 * size + i] * drawn[1][k % 3 * size + i];
                }
            }
            descend_by_hand(method, 3, cross, lambda, weights);
            assert_ok(t.context, balanced_tasks_explicit(&t.tasks, 2, NULL, drawn[0]));
            assert_ok(t.context, balanced_tasks_weights(&t.tasks, before));
            assert_ok(t.context, step_trained(&t));
            assert_ok(t.context, balanced_tasks_weights(&t.tasks, after));
            read_array(t.balancer, "lambda", 3, told);
            assert_close(told, lambda, 3, 0, 1e-4);
            for (int32_t k = 0; k < 3; k++) {
                assert_near(mtl_objective_balance_weight(t.tasks.objective, k), weights[k], 1e-4);
                assert_int_equal(t.tasks.evaluations[k], step); /* draws 0, 1, 2 once each */
            }
            for (int64_t i = 0; i < size; i++) {
                double direction = 0;
                for (int32_t k = 0; k < 3; k++) {
                    direction += (i < balanced_tasks_shared(&t.tasks) ? weights[k] : 1) * drawn[0][k * size + i];
                }
                assert_near(after[i], before[i] - 0.1 * direction, 2e-6);
            }
        }
        close_trained(&t);
    }
}

/* ---- validation ---- */

/* Σ_s of chosen s of λ_s L_s of draw 1 after an inner step along the training gradients with softmax(logits). */
static double validation_after(balanced_tasks *t, const double *start, const double *g, double rate,
                               const double *logits, int32_t only)
{
    static double moved[BALANCED_MOST_VALUES];
    static double unused[BALANCED_MOST * BALANCED_MOST_VALUES];
    int64_t size = balanced_tasks_size(t);
    double z[BALANCED_MOST], losses[BALANCED_MOST];
    double sum = 0;
    softmax_of(t, logits, z);
    for (int64_t i = 0; i < size; i++) {
        moved[i] = start[i];
        for (int32_t k = 0; k < t->setup.tasks; k++) {
            moved[i] -= rate * z[k] * g[k * size + i];
        }
    }
    assert_ok(t->context, balanced_tasks_set_weights(t, moved));
    assert_ok(t->context, balanced_tasks_explicit(t, 1, losses, unused));
    for (int32_t k = 0; k < t->setup.tasks; k++) {
        sum += (only < 0 || only == k) && balanced_tasks_has(t, k) ? losses[k] : 0;
    }
    assert_ok(t->context, balanced_tasks_set_weights(t, start));
    return sum;
}

/* By central differences: losses are known to 1e-7 and a logit moves by .2, so that the error is about 1e-6 and, of the
 * third derivative, below 1% of what is large. */
static void difference(balanced_tasks *t, const double *start, const double *g, double rate, const double *logits,
                       int32_t only, double *gradient)
{
    const double step = 0.1;
    for (int32_t k = 0; k < t->setup.tasks; k++) {
        double up[BALANCED_MOST], down[BALANCED_MOST];
        memcpy(up, logits, sizeof up);
        memcpy(down, logits, sizeof down);
        up[k] += step;
        down[k] -= step;
        gradient[k] =
            (validation_after(t, start, g, rate, up, only) - validation_after(t, start, g, rate, down, only)) /
            (2 * step);
    }
}

/* The gradient that Adam saw, from its first moment. */
static void trained_gradient(const trained *t, int32_t tasks, const double *m_before, double *gradient)
{
    double m[BALANCED_MOST];
    read_array(t->balancer, "m", tasks, m);
    for (int32_t k = 0; k < tasks; k++) {
        gradient[k] = (m[k] - 0.9 * m_before[k]) / 0.1;
    }
}

/* MGDA over the normalized gradients of the validation losses. */
static void common_descent(mtl_context *context, int32_t tasks, double a[][BALANCED_MOST], double *out)
{
    double gram[BALANCED_MOST * BALANCED_MOST], weights[BALANCED_MOST];
    const double losses[BALANCED_MOST] = {1, 1, 1, 1};
    for (int32_t s = 0; s < tasks; s++) {
        double length = 0;
        for (int32_t k = 0; k < tasks; k++) {
            length += a[s][k] * a[s][k];
        }
        for (int32_t k = 0; k < tasks; k++) {
            a[s][k] /= sqrt(length);
        }
    }
    balanced_gram(tasks, tasks, BALANCED_MOST, &a[0][0], gram);
    mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
    mtl_balancer *mgda;
    options.method = MTL_BALANCE_MGDA;
    assert_ok(context, mtl_balancer_create(context, &options, &mgda));
    assert_ok(context, mtl_balancer_decide(mgda, tasks, losses, gram, weights, NULL));
    mtl_balancer_destroy(mgda);
    for (int32_t k = 0; k < tasks; k++) {
        out[k] = 0;
        for (int32_t s = 0; s < tasks; s++) {
            out[k] += weights[s] * a[s][k];
        }
    }
}

static void logits_follow_the_validation_losses(void **state)
{
    (void)state;
    for (int c = 0; c < 2 * BALANCED_ABSENT; c++) {
        bool moml = c % 2 == 1;
        const double rate = 1.5;
        balanced_setup setup = {.tasks = 3, .labels = (balanced_labels)(c / 2), .lambda = (const double[]){1, 0.5, 2}};
        mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
        options.method = moml ? MTL_BALANCE_MOML : MTL_BALANCE_AUTO_LAMBDA;
        options.inner_rate = rate;
        options.rate = 0.3;
        trained t;
        open_trained(&t, &setup, &options);
        int64_t size = balanced_tasks_size(&t.tasks);
        double logits[BALANCED_MOST] = {0};
        double m[BALANCED_MOST] = {0};
        for (int step = 1; step <= 3; step++) {
            static double before[BALANCED_MOST_VALUES], after[BALANCED_MOST_VALUES];
            double expected[BALANCED_MOST], actual[BALANCED_MOST], rows[BALANCED_MOST][BALANCED_MOST];
            double train[BALANCED_MOST], z[BALANCED_MOST];
            assert_ok(t.context, balanced_tasks_explicit(&t.tasks, 0, train, drawn[0]));
            assert_ok(t.context, balanced_tasks_weights(&t.tasks, before));
            if (moml) {
                for (int32_t s = 0; s < 3; s++) {
                    difference(&t.tasks, before, drawn[0], rate, logits, s, rows[s]);
                }
                common_descent(t.context, 3, rows, expected);
            } else {
                difference(&t.tasks, before, drawn[0], rate, logits, -1, expected);
            }
            assert_ok(t.context, step_trained(&t));
            trained_gradient(&t, 3, m, actual);
            double largest = fmax(fmax(fabs(expected[0]), fabs(expected[1])), fabs(expected[2]));
            assert_true(moml || largest > 1e-3); /* else there is nothing to compare; moml's may be 0 */
            assert_close(actual, expected, 3, 0, 0.02 * (moml ? 1 : largest));
            read_array(t.balancer, "m", 3, m);
            read_array(t.balancer, "logits", 3, logits);
            /* the new weights act on the training gradients of everything, heads too */
            softmax_of(&t.tasks, logits, z);
            assert_ok(t.context, balanced_tasks_weights(&t.tasks, after));
            for (int64_t i = 0; i < size; i++) {
                double direction = 0;
                for (int32_t k = 0; k < 3; k++) {
                    direction += z[k] * drawn[0][k * size + i];
                }
                assert_near(after[i], before[i] - 0.1 * direction, 2e-6);
            }
            for (int32_t k = 0; k < 3; k++) { /* what is told is of the training rows */
                assert_near(mtl_objective_task_loss(t.tasks.objective, k) * t.tasks.lambda[k], train[k], 1e-6);
            }
            assert_near(mtl_objective_value(t.tasks.objective), train[0] + train[1] + train[2], 1e-5);
            assert_int_equal(t.tasks.evaluations[0], step);
            assert_int_equal(t.tasks.evaluations[1], step);
            assert_int_equal(t.tasks.evaluations[2], 0);
        }
        close_trained(&t);
    }
}

static void auto_lambda_takes_the_optimizers_rate(void **state)
{
    (void)state;
    double logits[2][BALANCED_MOST];
    for (int given = 0; given < 2; given++) {
        balanced_setup setup = {.tasks = 3, .labels = BALANCED_ALL};
        mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
        options.method = MTL_BALANCE_AUTO_LAMBDA;
        options.inner_rate = given ? 0.1 : -1; /* the rate of balanced_tasks.h */
        trained t;
        open_trained(&t, &setup, &options);
        for (int step = 0; step < STEPS; step++) {
            assert_ok(t.context, step_trained(&t));
        }
        read_array(t.balancer, "logits", 3, logits[given]);
        close_trained(&t);
    }
    assert_memory_equal(logits[0], logits[1], 3 * sizeof(double));
    assert_true(logits[0][0] != 0);
}

/* ---- what fails ---- */

typedef struct obstacle {
    balanced_tasks *tasks;
    int calls;
    int fails_at;       /* the call, from 0, that fails */
    int32_t absent[3];  /* the task that a draw lacks; -1: none */
    bool everything[3]; /* a draw lacks all tasks */
} obstacle;

static mtl_status evaluate_with_obstacle(void *user, mtl_tape *tape, int32_t draw, mtl_tensor **losses)
{
    obstacle *o = user;
    if (o->calls++ == o->fails_at) {
        return MTL_ERROR_CANCELLED;
    }
    mtl_status status = balanced_tasks_evaluate(o->tasks, tape, draw, losses);
    for (int32_t k = 0; k < o->tasks->setup.tasks; k++) {
        losses[k] = o->everything[draw] || o->absent[draw] == k ? NULL : losses[k];
    }
    return status;
}

static void a_look_that_fails_ends_the_step(void **state)
{
    (void)state;
    for (int m = 0; m < STEP_METHODS; m++) {
        balanced_setup setup = {.tasks = 3, .labels = BALANCED_PARTLY, .adam = 1};
        mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
        options.method = step_methods[m];
        trained t;
        static double before[BALANCED_MOST_VALUES], after[BALANCED_MOST_VALUES];
        open_trained(&t, &setup, &options);
        size_t bytes = (size_t)balanced_tasks_size(&t.tasks) * sizeof(double);
        assert_ok(t.context, step_trained(&t));
        int fails_at = 0;
        for (;; fails_at++) {
            obstacle o = {.tasks = &t.tasks, .fails_at = fails_at, .absent = {-1, -1, -1}};
            assert_ok(t.context, balanced_tasks_weights(&t.tasks, before));
            mtl_status status = mtl_objective_step(t.tasks.objective, t.tasks.optimizer, evaluate_with_obstacle, &o);
            if (status == MTL_OK) {
                break;
            }
            assert_int_equal(status, MTL_ERROR_CANCELLED);
            assert_non_null(strstr(mtl_context_last_error(t.context), "mtl_objective_step: evaluate returned"));
            assert_ok(t.context, balanced_tasks_weights(&t.tasks, after));
            bool moved = memcmp(before, after, bytes) != 0;
            assert_true(moved == (options.method == MTL_BALANCE_FAMO && fails_at == 1)); /* after the update */
        }
        int least = options.method == MTL_BALANCE_SDMGRAD || options.method == MTL_BALANCE_MODO ? 3 : 2;
        assert_true(options.method == MTL_BALANCE_FORUM ? fails_at > 2 : fails_at == least);
        close_trained(&t);
    }
}

static void a_backward_pass_alone_does_not_do(void **state)
{
    (void)state;
    for (int m = 0; m < STEP_METHODS; m++) {
        balanced_setup setup = {.tasks = 2, .labels = BALANCED_ALL};
        mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
        options.method = step_methods[m];
        trained t;
        open_trained(&t, &setup, &options);
        char message[128];
        snprintf(message, sizeof message, "the balancer's method '%s' works in mtl_objective_step() only",
                 mtl_balance_method_name(options.method));
        assert_fails(t.context, balanced_tasks_backward(&t.tasks), MTL_ERROR_UNSUPPORTED, message);
        assert_ok(t.context, step_trained(&t));
        close_trained(&t);
    }
}

/* ---- tasks that come and go ---- */

static void draws_may_lack_tasks(void **state)
{
    (void)state;
    for (int m = 0; m < STEP_METHODS; m++) {
        for (int c = 0; c < 6; c++) {
            balanced_setup setup = {.tasks = 3, .labels = BALANCED_ALL};
            mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
            options.method = step_methods[m];
            trained t;
            open_trained(&t, &setup, &options);
            obstacle o = {.tasks = &t.tasks, .fails_at = -1, .absent = {-1, -1, -1}};
            if (c < 3) {
                o.absent[c] = 1;
            } else {
                o.everything[c - 3] = true;
            }
            bool forum = options.method == MTL_BALANCE_FORUM;
            bool unequal = forum && (c == 0 || c == 1 || c == 4); /* wants the same tasks in both draws */
            for (int step = 0; step < 3; step++) {
                mtl_status status =
                    mtl_objective_step(t.tasks.objective, t.tasks.optimizer, evaluate_with_obstacle, &o);
                if (status != (unequal ? MTL_ERROR_UNSUPPORTED : MTL_OK)) {
                    fail_msg("%s, case %d: %s: %s", mtl_balance_method_name(options.method), c, mtl_status_name(status),
                             mtl_context_last_error(t.context));
                }
            }
            double norm = 0;
            for (int32_t k = 0; k < 3; k++) {
                double weight = mtl_objective_balance_weight(t.tasks.objective, k);
                norm += isfinite(weight) ? fabs(weight) : 0;
            }
            assert_true(norm < 10);
            bool draws = options.method == MTL_BALANCE_SDMGRAD || options.method == MTL_BALANCE_MODO;
            if (draws && c == 0) { /* only the last draw has it: an equal share */
                assert_near(mtl_objective_balance_weight(t.tasks.objective, 1), 1.0 / 3, 1e-15);
            }
            if (draws && c == 2) { /* the last draw lacks it */
                assert_true(mtl_objective_balance_weight(t.tasks.objective, 1) == 0);
                assert_true(isnan(mtl_objective_task_loss(t.tasks.objective, 1)));
            }
            close_trained(&t);
        }
    }
}

static void remember_losses(void *user, const mtl_balance_report *report)
{
    memcpy(user, report->losses, (size_t)report->num_tasks * sizeof(double));
}

static void one_task_alone_is_plain_training(void **state)
{
    (void)state;
    static double expected[BALANCED_MOST_VALUES], actual[BALANCED_MOST_VALUES];
    for (int m = 0; m < STEP_METHODS; m++) {
        balanced_setup setup = {.tasks = 1, .labels = BALANCED_ALL};
        for (int balanced = 0; balanced < 2; balanced++) {
            mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
            double losses[1] = {0};
            options.method = step_methods[m];
            trained t;
            open_trained(&t, &setup, &options);
            assert_ok(t.context, mtl_balancer_set_monitor(t.balancer, remember_losses, losses));
            if (!balanced) {
                assert_ok(t.context, mtl_objective_set_balancer(t.tasks.objective, NULL));
            }
            for (int step = 0; step < 2; step++) {
                obstacle o = {.tasks = &t.tasks, .fails_at = -1, .absent = {-1, -1, -1}};
                bool draws = options.method == MTL_BALANCE_SDMGRAD || options.method == MTL_BALANCE_MODO;
                if (!balanced && draws) { /* these move along draw 2 */
                    mtl_tensor *inputs = t.tasks.inputs[0];
                    mtl_tensor *labels = t.tasks.labels[0][0];
                    t.tasks.inputs[0] = t.tasks.inputs[2];
                    t.tasks.labels[0][0] = t.tasks.labels[2][0];
                    assert_ok(t.context,
                              mtl_objective_step(t.tasks.objective, t.tasks.optimizer, evaluate_with_obstacle, &o));
                    t.tasks.inputs[0] = inputs;
                    t.tasks.labels[0][0] = labels;
                    continue;
                }
                assert_ok(t.context,
                          mtl_objective_step(t.tasks.objective, t.tasks.optimizer, evaluate_with_obstacle, &o));
            }
            double told = mtl_objective_task_loss(t.tasks.objective, 0);
            bool validates = options.method != MTL_BALANCE_SDMGRAD && options.method != MTL_BALANCE_MODO;
            assert_true(!balanced || !validates || fabs(losses[0] - told) < 1e-6);
            assert_ok(t.context, balanced_tasks_weights(&t.tasks, balanced ? actual : expected));
            close_trained(&t);
        }
        if (step_methods[m] != MTL_BALANCE_FORUM) { /* which lowers validation losses */
            assert_close(actual, expected, BALANCED_MOST_VALUES, 0, 1e-6);
        }
    }
}

/* ---- they learn ---- */

static void losses_fall(void **state)
{
    (void)state;
    for (int m = 0; m < STEP_METHODS; m++) {
        balanced_setup setup = {.tasks = 2, .labels = BALANCED_ALL, .adam = 1};
        mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
        options.method = step_methods[m];
        trained t;
        open_trained(&t, &setup, &options);
        double first = 0;
        double last = 0;
        for (int step = 0; step < 60; step++) {
            assert_ok(t.context, step_trained(&t));
            double sum = mtl_objective_task_loss(t.tasks.objective, 0) + mtl_objective_task_loss(t.tasks.objective, 1);
            first = step == 0 ? sum : first;
            last = sum;
        }
        if (!(last < 0.8 * first)) {
            fail_msg("%s: %g after 60 steps, %g before", mtl_balance_method_name(options.method), last, first);
        }
        close_trained(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(famo_follows_the_decrease),
        cmocka_unit_test(masks_go_on_after_a_second_look),
        cmocka_unit_test(two_draws_decide_and_the_third_moves),
        cmocka_unit_test(logits_follow_the_validation_losses),
        cmocka_unit_test(auto_lambda_takes_the_optimizers_rate),
        cmocka_unit_test(a_look_that_fails_ends_the_step),
        cmocka_unit_test(a_backward_pass_alone_does_not_do),
        cmocka_unit_test(draws_may_lack_tasks),
        cmocka_unit_test(one_task_alone_is_plain_training),
        cmocka_unit_test(losses_fall),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
