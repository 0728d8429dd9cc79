/* SPDX-License-Identifier: Apache-2.0
 * The balancing rules beside TorchJD's answers, and FORUM beside an enumeration, at lengths from 1e-15 to 1e15. */
#include "support/support_balance.h"

#include "balance/bilevel.h"
#include "balance/coordinates.h"
#include "balance/loss_rules.h"
#include "golden/balance_golden.h"

/* The formula of dump_balance.py. */
static double pattern(int i, int j, int seed)
{
    return ((i * 37 + j * 101 + i * i * j * 13 + i * j * j * 7 + seed * 59 + seed * i * 31) % 257 - 128) / 64.0;
}

static void pattern_gradients(balance_case *c, int rank, int seed)
{
    for (int i = 0; i < c->tasks; i++) {
        for (int k = 0; k < c->size; k++) {
            double sum = 0;
            for (int r = 0; r < rank; r++) {
                sum += pattern(i, r, seed) * pattern(r, k, seed + 3);
            }
            c->g[i * c->size + k] = sum;
        }
    }
    balance_form_gram(c);
}

static mtli_balance_result gradvac_twice(balance_case *c)
{
    double rho[400] = {0};
    mtli_balance_gradvac(c->tasks, c->gram, NULL, 0.5, rho, false, c->weights, c->work);
    return mtli_balance_gradvac(c->tasks, c->gram, NULL, 0.5, rho, false, c->weights, c->work);
}

static mtli_balance_result decide(enum golden_rule rule, balance_case *c)
{
    static const balance_rule_fn rules[] = {
        [GOLDEN_DUAL] = rule_dual,
        [GOLDEN_UPGRAD] = rule_upgrad,
        [GOLDEN_ALIGNED_MIN] = rule_aligned,
        [GOLDEN_ALIGNED_MEDIAN] = rule_aligned_median,
        [GOLDEN_ALIGNED_RMSE] = rule_aligned_rmse,
        [GOLDEN_CONFIG] = rule_config,
        [GOLDEN_PCGRAD] = rule_pcgrad,
        [GOLDEN_IMTL_G] = rule_imtl_g,
    };
    if (rule == GOLDEN_GRADVAC) {
        return gradvac_twice(c);
    }
    if (rule == GOLDEN_CAGRAD) {
        return mtli_balance_cagrad(c->tasks, c->gram, 0.4, MTLI_CAGRAD_NONE, c->weights, c->work);
    }
    return rules[rule](c->tasks, c->gram, c->weights, c->work);
}

/* What G w is measured by: <g_i, d> is at most max n · ‖d‖, and most rules have ‖d‖ of the order of max n. */
static double largest_of(const balance_case *c)
{
    double largest = 0;
    for (int i = 0; i < c->tasks; i++) {
        largest = fmax(largest, c->gram[i * c->tasks + i]);
    }
    return largest;
}

static double check_direction(const struct golden_direction *golden, double scale)
{
    balance_case c = balance_create(golden->tasks, golden->size);
    pattern_gradients(&c, golden->rank, 0);
    balance_scale(&c, scale);
    mtli_balance_result result = decide(golden->rule, &c);
    assert_in_range(result.status, MTLI_BALANCE_OK, MTLI_BALANCE_STATIONARY);
    balance_form_direction(&c);
    double worst = 0;
    for (int i = 0; i < c.tasks; i++) {
        double difference = fabs(c.products[i] - golden->products[i] * scale * scale) / largest_of(&c);
        if (difference > golden->tolerance) {
            fail_msg("rule %d, %d x %d of rank %d, scale %g: product %d is %.17g, TorchJD has %.17g", (int)golden->rule,
                     golden->tasks, golden->size, golden->rank, scale, i, c.products[i] / (scale * scale),
                     golden->products[i]);
        }
        worst = fmax(worst, difference);
    }
    balance_free(&c);
    return worst;
}

static void directions_equal_torchjd(void **state)
{
    (void)state;
    const double scales[] = {1e-15, 1e-10, 1, 1e5, 1e15};
    double worst[GOLDEN_IMTL_G + 1] = {0};
    for (size_t k = 0; k < sizeof golden_directions / sizeof golden_directions[0]; k++) {
        for (size_t s = 0; s < sizeof scales / sizeof scales[0]; s++) {
            enum golden_rule rule = golden_directions[k].rule;
            worst[rule] = fmax(worst[rule], check_direction(&golden_directions[k], scales[s]));
        }
    }
    for (int rule = 0; rule <= GOLDEN_IMTL_G; rule++) {
        print_message("rule %d: largest relative difference %.1e\n", rule, worst[rule]);
    }
}

static void followed_weights_equal_torchjd(void **state)
{
    (void)state;
    const mtli_sdmgrad_options options = {.lambda = 0.3, .rate = 0.002, .momentum = 0.5, .steps = 5};
    for (size_t k = 0; k < sizeof golden_followed / sizeof golden_followed[0]; k++) {
        const struct golden_followed *golden = &golden_followed[k];
        int n = golden->tasks;
        balance_case a = balance_create(n, 12);
        balance_case b = balance_create(n, 12);
        pattern_gradients(&a, n, 0);
        pattern_gradients(&b, n, 1);
        double cross[36];
        double sdmgrad[6];
        double modo[6];
        for (int i = 0; i < n; i++) {
            sdmgrad[i] = modo[i] = 1.0 / n;
            for (int j = 0; j < n; j++) {
                cross[i * n + j] = 0;
                for (int p = 0; p < 12; p++) {
                    cross[i * n + j] += a.g[i * 12 + p] * b.g[j * 12 + p];
                }
            }
        }
        for (int step = 0; step < 2; step++) {
            /* TorchJD adds 1e-8 to the square of the scale, which is above 1 here. */
            mtli_balance_sdmgrad(n, cross, &options, sdmgrad, a.weights, a.work);
            assert_close(a.weights, golden->sdmgrad[step], (size_t)n, 0, 1e-7);
            mtli_balance_modo(n, cross, 0.001, 0.1, modo, a.weights, a.work);
            assert_close(a.weights, golden->modo[step], (size_t)n, 0, 1e-13);
        }
        balance_free(&a);
        balance_free(&b);
    }
}

static void coordinates_equal_torchjd(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof golden_runs / sizeof golden_runs[0]; k++) {
        const struct golden_run *golden = &golden_runs[k];
        mtli_real g[20][12];
        const mtli_real *rows[20];
        mtli_real work[20 * MTLI_COORDINATES_BLOCK];
        mtli_real u[12];
        mtli_real out[12];
        for (int p = 0; p < golden->size; p++) {
            u[p] = (mtli_real)((p * 37 % 101 + 0.5) / 101);
            for (int i = 0; i < golden->tasks; i++) {
                g[i][p] = (mtli_real)pattern(i, p, 2);
                rows[i] = g[i];
            }
        }
        mtli_coordinates_trimmed_mean(golden->tasks, golden->trim, golden->size, rows, out, work);
        for (int p = 0; p < golden->size; p++) { /* sums of 64ths are exact: one quotient */
            assert_near(out[p], golden->trimmed[p], MTLI_REAL_EPSILON * 2);
        }
        mtli_coordinates_sign_drop(golden->tasks, golden->size, rows, u, 0.25, out);
        for (int p = 0; p < golden->size; p++) { /* of 256ths too */
            assert_near(out[p], golden->dropped[p], 0);
        }
    }
}

static void check_golden_forum(const struct golden_forum *golden, double scale)
{
    int tasks = golden->tasks;
    balance_case f = balance_create(tasks, golden->size);
    balance_case c = balance_create(tasks + 1, golden->size);
    void *work = balance_allocate(mtli_bilevel_work(tasks));
    pattern_gradients(&f, golden->rank, 0);
    memcpy(c.g, f.g, (size_t)(tasks * c.size) * sizeof(double));
    for (int k = 0; k < c.size; k++) {
        c.g[tasks * c.size + k] = pattern(0, k, 5);
    }
    balance_scale(&c, scale);
    mtli_balance_result result =
        mtli_balance_forum(tasks, c.gram, golden->phi, false, c.weights, &c.weights[tasks], work);
    assert_int_equal(result.status, MTLI_BALANCE_OK);
    double magnitude = balance_form_direction(&c) + golden->phi * c.norms[tasks];
    for (int i = 0; i <= tasks; i++) {
        assert_near(c.products[i], golden->products[i] * scale * scale, 1e-12 * magnitude * c.norms[i]);
    }
    free(work);
    balance_free(&f);
    balance_free(&c);
}

static void forum_equals_the_enumeration(void **state)
{
    (void)state;
    const double scales[] = {1e-15, 1, 1e15};
    for (size_t k = 0; k < sizeof golden_forums / sizeof golden_forums[0]; k++) {
        for (int s = 0; s < 3; s++) {
            check_golden_forum(&golden_forums[k], scales[s]);
        }
    }
}

static const double preference[] = {1.0, 0.5, 2.0, 0.25};
static const double reference[] = {0.0625, -0.5, 0.25, 0.03125};
static const double scales_of_losses[] = {-0.5, 0.25, 1.0, -1.5};
static const double losses_of[3][4] = {{0.75}, {0.5, 2.0}, {0.125, 3.0, 1.5, 0.0625}};

static mtli_balance_status weigh(const struct golden_loss *golden, double *value, double *weights, double *gradient)
{
    int n = golden->tasks;
    const double *losses = losses_of[n == 4 ? 2 : n - 1];
    switch (golden->rule) {
    case GOLDEN_GEOMETRIC:
        return mtli_loss_geometric(n, losses, value, weights);
    case GOLDEN_TCHEBYCHEFF:
        return mtli_loss_tchebycheff(n, losses, preference, reference, 0.5, value, weights);
    case GOLDEN_TCHEBYCHEFF_PLAIN:
        return mtli_loss_tchebycheff(n, losses, NULL, NULL, 0.125, value, weights);
    case GOLDEN_BOUNDARY:
        return mtli_loss_boundary(n, losses, preference, reference, 5, value, weights);
    case GOLDEN_COSMOS:
        return mtli_loss_cosmos(n, losses, preference, 2, value, weights);
    case GOLDEN_UNCERTAINTY:
        return mtli_loss_uncertainty(n, losses, scales_of_losses, NULL, value, weights, gradient);
    default:
        return mtli_loss_imtl_l(n, losses, scales_of_losses, value, weights, gradient);
    }
}

static void losses_equal_torchjd(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof golden_losses / sizeof golden_losses[0]; k++) {
        const struct golden_loss *golden = &golden_losses[k];
        double value;
        double weights[4];
        double gradient[4] = {0};
        assert_int_equal(weigh(golden, &value, weights, gradient), MTLI_BALANCE_OK);
        /* PBI: TorchJD adds a small number below the root, which is worth 1e-12 here. */
        double tolerance = golden->rule == GOLDEN_BOUNDARY ? 1e-11 : 1e-14;
        assert_near(value, golden->value, tolerance * 20);
        assert_close(weights, golden->weights, (size_t)golden->tasks, tolerance, tolerance);
        assert_close(gradient, golden->gradient, (size_t)golden->tasks, 1e-14, 1e-14);
    }
}

static void famo_equals_torchjd(void **state)
{
    (void)state;
    const double lower[] = {0.0, 0.1, 0.2};
    const double factor[] = {0.9, 0.8, 0.97};
    double losses[] = {1.0, 2.0, 0.5};
    double xi[3] = {0};
    double m[3] = {0};
    double v[3] = {0};
    int64_t steps = 0;
    for (int k = 0; k < 5; k++) {
        double weights[3];
        double after[3];
        double work[6];
        assert_int_equal(mtli_loss_famo(3, losses, lower, xi, NULL, weights), MTLI_BALANCE_OK);
        assert_close(weights, golden_famo_weights[k], 3, 1e-9, 0); /* TorchJD's offset may be another tiny number */
        for (int i = 0; i < 3; i++) {
            after[i] = losses[i] * factor[i];
        }
        mtli_small_adam adam = {m, v, &steps};
        assert_int_equal(mtli_loss_famo_update(3, losses, after, lower, 0.025, 1e-3, adam, xi, work), MTLI_BALANCE_OK);
        memcpy(losses, after, sizeof losses);
    }
    assert_close(xi, golden_famo_logits, 3, 1e-9, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(directions_equal_torchjd),
        cmocka_unit_test(followed_weights_equal_torchjd),
        cmocka_unit_test(coordinates_equal_torchjd),
        cmocka_unit_test(forum_equals_the_enumeration),
        cmocka_unit_test(losses_equal_torchjd),
        cmocka_unit_test(famo_equals_torchjd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
