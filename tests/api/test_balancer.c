/* SPDX-License-Identifier: Apache-2.0
 * Balancers without an objective that decide from a Gram matrix: known answers, one task, other orders, other scales,
 * gradients that say nothing. */
#include "balancers.h"

/* Half a unit of the last of six printed digits. */
static const double PRINTED = 5.1e-7;

static const double FIRST[] = {-4, 1, 1, 6, 1, 1};
static const double SECOND[] = {1, 2, 0, -1, -2, 1, 1, 0, 0, -3, 2, 1};
static const double THIRD[] = {2, -1, 0, -1, 2, -1, 0, -1, 2};

/* ---- known answers, by enumeration, Newton, Jacobi; the first matrix is TorchJD's documented example ---- */

typedef struct known_answer {
    int32_t method;
    int32_t form;
    int32_t reduction;
    const double *weights;   /* NULL: not known */
    const double *direction; /* likewise */
} known_answer;

static void decide_once(const mtl_balancer_options *options, int32_t tasks, const double *gram, double *weights)
{
    mtl_context *context = test_context();
    mtl_balancer *balancer = balancer_with(context, options);
    double losses[BALANCERS_MOST_TASKS];
    mtl_balance_result result = {.struct_size = sizeof result, .status = 9, .iterations = -1, .residual = 9};
    for (int32_t i = 0; i < tasks; i++) {
        losses[i] = 1;
    }
    assert_ok(context, mtl_balancer_decide(balancer, tasks, losses, gram, weights, &result));
    assert_int_equal(result.struct_size, sizeof result);
    assert_int_equal(result.status, MTL_BALANCE_OK);
    assert_true(result.iterations >= 0);
    assert_true(result.residual >= 0 && result.residual < 1e-10);
    mtl_balancer_destroy(balancer);
    mtl_context_release(context);
}

static void check_answers(int32_t tasks, int32_t size, const double *g, const known_answer *answers, size_t count)
{
    double gram[9];
    double weights[3];
    balancer_gram(tasks, size, g, gram);
    for (size_t k = 0; k < count; k++) {
        const known_answer *a = &answers[k];
        const char *name = mtl_balance_method_name(a->method);
        mtl_balancer_options options = balancer_options(a->method);
        options.form = a->form;
        options.reduction = a->reduction;
        decide_once(&options, tasks, gram, weights);
        for (int32_t i = 0; i < tasks && a->weights; i++) {
            test_near(weights[i], a->weights[i], PRINTED, name, __FILE__, __LINE__);
        }
        for (int32_t p = 0; p < size && a->direction; p++) {
            double direction = 0;
            for (int32_t i = 0; i < tasks; i++) {
                direction += weights[i] * g[i * size + p];
            }
            test_near(direction, a->direction[p], PRINTED, name, __FILE__, __LINE__);
        }
    }
}

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define PLAIN 0, 0
#define MEAN 0, MTL_BALANCE_REDUCE_MEAN

static void first_matrix(void **state)
{
    (void)state;
    const known_answer answers[] = {
        {MTL_BALANCE_MGDA, PLAIN, ROW(.6, .4), ROW(0, 1, 1)},
        {MTL_BALANCE_DUAL_PROJECTION, PLAIN, ROW(.611111, .5), ROW(.555556, 1.111111, 1.111111)},
        {MTL_BALANCE_UPGRAD, PLAIN, ROW(1.111111, .789474), ROW(.292398, 1.900585, 1.900585)},
        {MTL_BALANCE_UPGRAD, 0, MTL_BALANCE_REDUCE_SUM, ROW(2.222222, 1.578947), NULL},
        {MTL_BALANCE_PCGRAD, PLAIN, ROW(2.222222, 1.578947), ROW(.584795, 3.801170, 3.801170)},
        {MTL_BALANCE_PCGRAD, MEAN, ROW(1.111111, .789474), NULL},
        {MTL_BALANCE_GRADVAC, PLAIN, ROW(2.222222, 1.578947), NULL},
        {MTL_BALANCE_IMTL_G, PLAIN, ROW(.592330, .407670), ROW(.076697, 1, 1)},
        {MTL_BALANCE_IMTL, PLAIN, ROW(.592330, .407670), NULL},
        {MTL_BALANCE_FAIRGRAD, PLAIN, ROW(.591461, .407071), ROW(.076584, .998533, .998533)},
        {MTL_BALANCE_ALIGNED, MEAN, ROW(.559072, .408261), ROW(.213279, .967333, .967333)},
        {MTL_BALANCE_CAGRAD, MTL_BALANCE_FORM_RESCALE_NONE, 0, ROW(.704124, .5), ROW(.183503, 1.204124, 1.204124)},
        {MTL_BALANCE_CAGRAD, MTL_BALANCE_FORM_RESCALE_SQUARE, 0, ROW(.704124 / 1.25, .4), NULL},
        {MTL_BALANCE_CAGRAD, MTL_BALANCE_FORM_DEFAULT, 0, ROW(.704124 / 1.25, .4), NULL},
        {MTL_BALANCE_CAGRAD, MTL_BALANCE_FORM_RESCALE_LINEAR, 0, ROW(.704124 / 1.5, .333333), NULL},
        {MTL_BALANCE_CONFIG, PLAIN, NULL, ROW(.158809, 2.070607, 2.070607)},
        {MTL_BALANCE_GRADNORM, PLAIN, ROW(1, 1), NULL},
        {MTL_BALANCE_KRUM, PLAIN, ROW(.5, .5), NULL}, /* two tasks: nobody is nearer than another */
    };
    check_answers(2, 3, FIRST, answers, COUNT(answers));
}

static void second_matrix(void **state)
{
    (void)state;
    const known_answer answers[] = {
        {MTL_BALANCE_MGDA, PLAIN, ROW(.5, .181818, .318182), ROW(.136364, .227273, .818182, -.181818)},
        {MTL_BALANCE_DUAL_PROJECTION, PLAIN, ROW(.388889, .333333, .333333), ROW(-.277778, .111111, 1.0, -.055556)},
        {MTL_BALANCE_UPGRAD, PLAIN, ROW(.788889, .417001, .559151), ROW(-.045114, .317326, 1.535303, -.229738)},
        {MTL_BALANCE_IMTL_G, PLAIN, ROW(.5, .165952, .334048), ROW(.168095, .16381, .834048, -.165952)},
        {MTL_BALANCE_FAIRGRAD, PLAIN, ROW(.882166, .460757, .594203), ROW(-.039348, .44248, 1.649164, -.287963)},
        {MTL_BALANCE_ALIGNED, MEAN, ROW(.3841, .214631, .275947), ROW(-.045163, .154988, .766526, -.108152)},
        /* tasks 0 and 1 are orthogonal: here no order differs from the ascending one */
        {MTL_BALANCE_PCGRAD, PLAIN, ROW(2.166667, 1.166667, 1.571429), ROW(-.166667, .785714, 4.309524, -.595238)},
        {MTL_BALANCE_GRADVAC, PLAIN, ROW(2.166667, 1.166667, 1.571429), NULL},
        {MTL_BALANCE_CAGRAD, MTL_BALANCE_FORM_RESCALE_NONE, 0, ROW(.610764, .333333, .393965),
         ROW(-.055903, .372966, 1.121263, -.216799)},
        {MTL_BALANCE_CONFIG, PLAIN, NULL, ROW(.504124, .491272, 2.501341, -.497698)},
    };
    check_answers(3, 4, SECOND, answers, COUNT(answers));
}

static void third_matrix(void **state)
{
    (void)state;
    const known_answer answers[] = {
        {MTL_BALANCE_MGDA, PLAIN, ROW(.294118, .411765, .294118), NULL},
        {MTL_BALANCE_DUAL_PROJECTION, PLAIN, ROW(.333333, .444444, .333333), ROW(.222222, .222222, .222222)},
        {MTL_BALANCE_UPGRAD, PLAIN, ROW(.793651, 1.095238, .793651), ROW(.492063, .603175, .492063)},
        {MTL_BALANCE_FAIRGRAD, PLAIN, ROW(1.490221, 2.067571, 1.490221), ROW(.912871, 1.154701, .912871)},
        {MTL_BALANCE_ALIGNED, MEAN, ROW(.292893, .390524, .292893), ROW(.195262, .195262, .195262)},
    };
    check_answers(3, 3, THIRD, answers, COUNT(answers));
}

/* G w = ‖G‖_F / w */
static void nash_is_fair(void **state)
{
    (void)state;
    double gram[4];
    double weights[2];
    balancer_gram(2, 3, FIRST, gram);
    mtl_balancer_options options = balancer_options(MTL_BALANCE_NASH);
    decide_once(&options, 2, gram, weights);
    double frobenius = sqrt(18 * 18 + 2 * 22 * 22 + 38 * 38);
    for (int i = 0; i < 2; i++) {
        double product = gram[2 * i] * weights[0] + gram[2 * i + 1] * weights[1];
        assert_near(product * weights[i] / frobenius, 1, 1e-13);
    }
}

/* With T = 2 the minimum is w_0 = (G_11 - G_01) / (G_00 + G_11 - 2 G_01). */
static void mgda_normalizes_in_four_ways(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    const double losses[] = {2, 1};
    const double gram[] = {18, -22, -22, 38};
    const double plain = .6;
    const double by_loss = (38 + 11.0) / (4.5 + 38 + 22);
    const double factor = 2 * sqrt(18); /* by which the first is divided with loss+; the second by √38 */
    const double a = 18 / (factor * factor);
    const double ab = -22 / (factor * sqrt(38));
    const double expected[] = {plain, .5, by_loss, (1 - ab) / (a + 1 - 2 * ab)};
    for (int32_t form = MTL_BALANCE_FORM_PLAIN; form <= MTL_BALANCE_FORM_LOSS_UNIT; form++) {
        mtl_balancer_options options = balancer_options(MTL_BALANCE_MGDA);
        options.form = form;
        mtl_balancer *balancer = balancer_with(context, &options);
        double weights[2];
        assert_ok(context, mtl_balancer_decide(balancer, 2, losses, gram, weights, NULL));
        assert_near(weights[0], expected[form - MTL_BALANCE_FORM_PLAIN], 1e-14);
        assert_near(weights[0] + weights[1], 1, 1e-15);
        mtl_balancer_destroy(balancer);
    }
    mtl_context_release(context);
}

/* u = (1, 0): of upgrad the projection of g_0 alone, of dualproj the nearest vector to it. */
static void preferences_of_projections(void **state)
{
    (void)state;
    double gram[4];
    double weights[2];
    balancer_gram(2, 3, FIRST, gram);
    const double preference[] = {1, 0};
    const int32_t methods[] = {MTL_BALANCE_UPGRAD, MTL_BALANCE_DUAL_PROJECTION};
    for (int k = 0; k < 2; k++) {
        mtl_balancer_options options = balancer_options(methods[k]);
        options.num_tasks = 2;
        options.preference = preference;
        decide_once(&options, 2, gram, weights);
        assert_near(weights[0], 1, 1e-14);
        assert_near(weights[1], 22.0 / 38, 1e-14); /* g_0 + w g_1 orthogonal to g_1 */
    }
}

/* Gradients on a line at 0, 1, 2, 10, 11.5: with one outlier among five each score takes two neighbours. */
static void krum_selects(void **state)
{
    (void)state;
    const double g[] = {1, 0, 1, 1, 1, 2, 1, 10, 1, 11.5};
    double gram[25];
    double weights[5];
    balancer_gram(5, 2, g, gram);
    for (int32_t selected = 1; selected <= 3; selected++) {
        mtl_balancer_options options = balancer_options(MTL_BALANCE_KRUM);
        options.outliers = 1;
        options.selected = selected;
        decide_once(&options, 5, gram, weights);
        assert_near(weights[1], 1.0 / selected, 1e-15); /* score 2, of 0 and 2: 5 */
        assert_near(weights[0], selected > 1 ? 1.0 / selected : 0, 1e-15);
        assert_near(weights[2], selected > 2 ? 1.0 / selected : 0, 1e-15);
        assert_near(weights[3] + weights[4], 0, 0);
    }
}

/* Two steps by hand. In the first, r = 1 and F falls towards equal lengths; Adam's first step has the length `rate`. */
static void gradnorm_by_hand(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtl_balancer *balancer = balancer_of(context, MTL_BALANCE_GRADNORM);
    const double losses[] = {2, 1};
    const double gram[] = {9, 1, 1, 1}; /* lengths 3 and 1, mean 2 */
    double weights[2];
    double s[2];
    assert_ok(context, mtl_balancer_decide(balancer, 2, losses, gram, weights, NULL));
    assert_near(weights[0], 1, 1e-15);
    assert_near(weights[1], 1, 1e-15);
    assert_int_equal(mtl_balancer_read(balancer, "first", s, 2), 2);
    assert_close(s, losses, 2, 0, 0);
    /* dF/dw = (3, -1), mean slope 1, dF/ds = (2, -2); Adam: -rate g / (|g| + 1e-8) */
    assert_int_equal(mtl_balancer_read(balancer, "s", s, 2), 2);
    assert_near(s[0], -0.025, 1e-9);
    assert_near(s[1], 0.025, 1e-9);
    assert_ok(context, mtl_balancer_decide(balancer, 2, losses, gram, weights, NULL));
    assert_near(weights[0], 2 / (1 + exp(.05)), 1e-9);
    assert_near(weights[0] + weights[1], 2, 1e-15);
    mtl_balancer_destroy(balancer);
    mtl_context_release(context);
}

/* Cosine -.8 of the pair (0, 1): rho becomes half of it, and is what the next cosine is compared with. */
static void gradvac_remembers_cosines(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtl_balancer *balancer = balancer_of(context, MTL_BALANCE_GRADVAC);
    const double losses[] = {1, 1};
    const double gram[] = {1, -.8, -.8, 1};
    double weights[2];
    double rho[4];
    assert_ok(context, mtl_balancer_decide(balancer, 2, losses, gram, weights, NULL));
    assert_near(weights[0], 1.8, 1e-15);
    assert_int_equal(mtl_balancer_read(balancer, "rho", rho, 4), 4);
    assert_near(rho[1], -.4, 1e-15);
    assert_near(rho[2], -.4, 1e-15);
    assert_ok(context, mtl_balancer_decide(balancer, 2, losses, gram, weights, NULL));
    assert_near(weights[0], 1 + (-.4 * .6 + .8 * sqrt(.84)) / sqrt(.84), 1e-14);
    mtl_balancer_destroy(balancer);
    mtl_context_release(context);
}

/* ---- one task: the plain gradient, but for the scale of the method ---- */

static double weight_alone(int32_t method, double loss, double square)
{
    switch (method) {
    case MTL_BALANCE_UNCERTAINTY:
        return 0.5; /* L / 2 */
    case MTL_BALANCE_SCALE_INVARIANT:
        return 1 / loss; /* log L */
    case MTL_BALANCE_CAGRAD:
        return 1.5 / 1.25; /* (1 + c) / (1 + c²) */
    case MTL_BALANCE_FAIRGRAD:
        return 1 / sqrt(square); /* G w = 1/w */
    default:
        return 1;
    }
}

static void one_task_is_the_plain_gradient(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    const double losses[] = {0.8};
    const double gram[] = {4};
    for (int32_t method = 0; method < BALANCERS_METHODS; method++) {
        if (balancer_decides(method)) {
            mtl_balancer *balancer = balancer_of(context, method);
            double weight;
            assert_ok(context, mtl_balancer_decide(balancer, 1, losses, gram, &weight, NULL));
            test_near(weight, weight_alone(method, losses[0], gram[0]), 1e-14, mtl_balance_method_name(method),
                      __FILE__, __LINE__);
            mtl_balancer_destroy(balancer);
        }
    }
    mtl_context_release(context);
}

/* ---- what every method has ---- */

static void decide_as(int32_t method, int32_t tasks, const double *losses, const double *gram, double *weights,
                      int32_t *ended)
{
    mtl_context *context = test_context();
    mtl_balancer *balancer = balancer_of(context, method);
    mtl_balance_result result = {.struct_size = sizeof result};
    mtl_status status = mtl_balancer_decide(balancer, tasks, losses, gram, weights, &result);
    if (status != MTL_OK) {
        fail_msg("%s: %s", mtl_balance_method_name(method), mtl_context_last_error(context));
    }
    *ended = result.status;
    mtl_balancer_destroy(balancer);
    mtl_context_release(context);
}

static void an_order_of_tasks_has_no_meaning(void **state)
{
    (void)state;
    enum { T = 5 };
    const int32_t order[T] = {3, 0, 4, 1, 2};
    double losses[T], gram[T * T], weights[T], other_losses[T], other_gram[T * T], other[T];
    uint32_t seed = 5;
    int32_t ended;
    balancer_data(&seed, T, losses, gram);
    for (int32_t i = 0; i < T; i++) {
        other_losses[i] = losses[order[i]];
        for (int32_t j = 0; j < T; j++) {
            other_gram[i * T + j] = gram[order[i] * T + order[j]];
        }
    }
    for (int32_t method = 0; method < BALANCERS_METHODS; method++) {
        bool drawn = method == MTL_BALANCE_RANDOM || method == MTL_BALANCE_PCGRAD || method == MTL_BALANCE_GRADVAC;
        if (!balancer_decides(method) || drawn) {
            continue;
        }
        decide_as(method, T, losses, gram, weights, &ended);
        decide_as(method, T, other_losses, other_gram, other, &ended);
        for (int32_t i = 0; i < T; i++) {
            /* five unrelated gradients: what the solvers amplify stays below 1e4 roundings */
            test_near(other[i], weights[order[i]], 1e-12 * (1 + fabs(weights[order[i]])),
                      mtl_balance_method_name(method), __FILE__, __LINE__);
        }
    }
}

/* G times s: the same weights, for fairgrad times s^(-1/2). */
static void scales_of_gradients(void **state)
{
    (void)state;
    enum { T = 4 };
    const double scales[] = {1e-30, 1e-10, 1e5, 1e30};
    double losses[T], gram[T * T], scaled[T * T], weights[T], other[T];
    uint32_t seed = 7;
    int32_t ended;
    balancer_data(&seed, T, losses, gram);
    for (int32_t method = 0; method < BALANCERS_METHODS; method++) {
        for (size_t k = 0; k < COUNT(scales) && balancer_decides(method); k++) {
            double factor = method == MTL_BALANCE_FAIRGRAD ? 1 / sqrt(scales[k]) : 1;
            for (int32_t i = 0; i < T * T; i++) {
                scaled[i] = scales[k] * gram[i];
            }
            decide_as(method, T, losses, gram, weights, &ended);
            decide_as(method, T, losses, scaled, other, &ended);
            for (int32_t i = 0; i < T; i++) {
                test_near(other[i] / factor, weights[i], 1e-11 * (1 + fabs(weights[i])),
                          mtl_balance_method_name(method), __FILE__, __LINE__);
            }
        }
    }
}

/* All zero; one zero; twice the same; opposite; all the same; three of them around 0; lengths 30 decades apart. */
static void gradients_that_say_nothing(void **state)
{
    (void)state;
    enum { T = 3, P = 2, KINDS = 7 };
    const double g[KINDS][T * P] = {
        {0, 0, 0, 0, 0, 0}, {1, 2, 0, 0, -1, 1},  {1, 2, 1, 2, -2, 1},           {1, 2, -1, -2, 0, 1},
        {1, 2, 1, 2, 1, 2}, {1, 0, -1, 1, 0, -1}, {1e15, 2e15, 1e-15, 0, -1, 3},
    };
    const double losses[] = {0.5, 1.5, 1};
    double gram[T * T];
    double weights[T];
    for (int kind = 0; kind < KINDS; kind++) {
        balancer_gram(T, P, g[kind], gram);
        for (int32_t method = 0; method < BALANCERS_METHODS; method++) {
            if (!balancer_decides(method)) {
                continue;
            }
            int32_t ended;
            decide_as(method, T, losses, gram, weights, &ended);
            for (int32_t i = 0; i < T; i++) {
                if (!isfinite(weights[i])) {
                    fail_msg("%s, kind %d: weight %g", mtl_balance_method_name(method), kind, weights[i]);
                }
            }
            assert_true(ended == MTL_BALANCE_OK || ended == MTL_BALANCE_STATIONARY);
        }
    }
}

static void numbers_of_tasks(void **state)
{
    (void)state;
    enum { MOST = 128, P = 200 };
    const int32_t counts[] = {2, 17, MOST};
    double *g = malloc(MOST * P * sizeof *g);
    double *gram = malloc(MOST * MOST * sizeof *gram);
    double losses[MOST], weights[MOST];
    assert_non_null(g);
    assert_non_null(gram);
    uint32_t seed = 11;
    for (int32_t i = 0; i < MOST * P; i++) {
        g[i] = balancer_noise(&seed) + (i % P == 0);
    }
    for (int32_t i = 0; i < MOST; i++) {
        losses[i] = 1.1 + balancer_noise(&seed);
    }
    for (size_t k = 0; k < COUNT(counts); k++) {
        balancer_gram(counts[k], P, g, gram);
        for (int32_t method = 0; method < BALANCERS_METHODS; method++) {
            int32_t ended;
            if (balancer_decides(method)) {
                decide_as(method, counts[k], losses, gram, weights, &ended);
                assert_int_equal(ended, MTL_BALANCE_OK);
            }
        }
    }
    free(gram);
    free(g);
}

/* Methods on losses compare nobody with anybody; G that nobody looks at is not read, so that one number will
 * do for it. */
static void very_many_tasks(void **state)
{
    (void)state;
    enum { MOST = 65536, TOO_MANY = 4097 };
    mtl_context *context = test_context();
    double *losses = malloc((MOST + 1) * sizeof *losses);
    double *weights = malloc(MOST * sizeof *weights);
    const double unread[1] = {NAN};
    assert_non_null(losses);
    assert_non_null(weights);
    for (int32_t i = 0; i <= MOST; i++) {
        losses[i] = 1;
    }
    for (int32_t method = 0; method < BALANCERS_METHODS; method++) {
        if (!balancer_decides(method)) {
            continue;
        }
        mtl_balancer *balancer = balancer_of(context, method);
        if (balancer_needs_gram(method)) {
            assert_fails(context, mtl_balancer_decide(balancer, TOO_MANY, losses, unread, weights, NULL),
                         MTL_ERROR_LIMIT, "4097 tasks");
        } else {
            assert_ok(context, mtl_balancer_decide(balancer, MOST, losses, unread, weights, NULL));
            assert_true(isfinite(weights[0]) && isfinite(weights[MOST - 1]));
            assert_fails(context, mtl_balancer_decide(balancer, MOST + 1, losses, NULL, weights, NULL),
                         MTL_ERROR_ARGUMENT, "count = 65537");
        }
        mtl_balancer_destroy(balancer);
    }
    free(weights);
    free(losses);
    mtl_context_release(context);
}

static void numbers_that_are_none(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    const double losses[] = {1, 1};
    const double good[] = {1, 0, 0, 1};
    const double bad[] = {1, NAN, 0, 1};
    const double huge[] = {1, 0, 0, INFINITY};
    const double endless[] = {1, -INFINITY};
    double weights[2] = {7, 7};
    for (int32_t method = 0; method < BALANCERS_METHODS; method++) {
        if (!balancer_decides(method)) {
            continue;
        }
        mtl_balancer *balancer = balancer_of(context, method);
        assert_fails(context, mtl_balancer_decide(balancer, 2, endless, good, weights, NULL), MTL_ERROR_NUMERIC,
                     "the loss of task 1 is -inf");
        if (balancer_needs_gram(method)) {
            assert_fails(context, mtl_balancer_decide(balancer, 2, losses, bad, weights, NULL), MTL_ERROR_NUMERIC,
                         "tasks 0 and 1 is");
            assert_fails(context, mtl_balancer_decide(balancer, 2, losses, huge, weights, NULL), MTL_ERROR_NUMERIC,
                         "tasks 1 and 1 is inf");
            assert_fails(context, mtl_balancer_decide(balancer, 2, losses, NULL, weights, NULL), MTL_ERROR_ARGUMENT,
                         "gram is NULL");
        }
        assert_near(weights[0] + weights[1], 14, 0);
        assert_int_equal(mtl_balancer_read(balancer, "steps", NULL, 0), -1); /* no step was done */
        mtl_balancer_destroy(balancer);
    }
    mtl_context_release(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_matrix),
        cmocka_unit_test(second_matrix),
        cmocka_unit_test(third_matrix),
        cmocka_unit_test(nash_is_fair),
        cmocka_unit_test(mgda_normalizes_in_four_ways),
        cmocka_unit_test(preferences_of_projections),
        cmocka_unit_test(krum_selects),
        cmocka_unit_test(gradnorm_by_hand),
        cmocka_unit_test(gradvac_remembers_cosines),
        cmocka_unit_test(one_task_is_the_plain_gradient),
        cmocka_unit_test(an_order_of_tasks_has_no_meaning),
        cmocka_unit_test(scales_of_gradients),
        cmocka_unit_test(gradients_that_say_nothing),
        cmocka_unit_test(numbers_of_tasks),
        cmocka_unit_test(very_many_tasks),
        cmocka_unit_test(numbers_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
