/* SPDX-License-Identifier: Apache-2.0
 * The balancing rules on three small matrices whose answers are known in closed form or were printed with six digits by
 * other code (active sets by enumeration, damped Newton, Jacobi; the first matrix is TorchJD's documented example). */
#include "support/support_balance.h"

/* Half a unit of the last printed digit. */
static const double PRINTED = 5.1e-7;

static const double FIRST[] = {-4, 1, 1, 6, 1, 1};
static const double SECOND[] = {1, 2, 0, -1, -2, 1, 1, 0, 0, -3, 2, 1};
static const double THIRD[] = {2, -1, 0, -1, 2, -1, 0, -1, 2};

typedef struct example {
    const char *name;
    balance_rule_fn rule;
    const double *g;
    int32_t tasks;
    int32_t size;
    const double *weights; /* NULL: not known */
    const double *direction;
} example;

#define ROW(...) ((const double[]){__VA_ARGS__})

static void check_examples(const example *examples, size_t count)
{
    for (size_t k = 0; k < count; k++) {
        const example *e = &examples[k];
        balance_case c = balance_create(e->tasks, e->size);
        balance_set(&c, e->g);
        mtli_balance_result result = e->rule(c.tasks, c.gram, c.weights, c.work);
        balance_form_direction(&c);
        if (result.status != MTLI_BALANCE_OK || result.residual > 1e-14) {
            fail_msg("%s: status %d, residual %g", e->name, (int)result.status, result.residual);
        }
        for (int32_t i = 0; i < c.tasks && e->weights; i++) {
            test_near(c.weights[i], e->weights[i], PRINTED, e->name, __FILE__, __LINE__);
        }
        for (int32_t p = 0; p < c.size && e->direction; p++) {
            test_near(c.direction[p], e->direction[p], PRINTED, e->name, __FILE__, __LINE__);
        }
        balance_free(&c);
    }
}

static void first_matrix(void **state)
{
    (void)state;
    const example examples[] = {
        {"MGDA", mtli_balance_mgda, FIRST, 2, 3, ROW(.6, .4), ROW(0, 1, 1)},
        {"dual projection", rule_dual, FIRST, 2, 3, ROW(.611111, .5), ROW(.555556, 1.111111, 1.111111)},
        {"UPGrad", rule_upgrad, FIRST, 2, 3, ROW(1.111111, .789474), ROW(.292398, 1.900585, 1.900585)},
        {"PCGrad", rule_pcgrad, FIRST, 2, 3, ROW(2.222222, 1.578947), ROW(.584795, 3.801170, 3.801170)},
        {"IMTL-G", rule_imtl_g, FIRST, 2, 3, ROW(.592330, .407670), ROW(.076697, 1, 1)},
        {"FairGrad", rule_fair, FIRST, 2, 3, ROW(.591461, .407071), ROW(.076584, .998533, .998533)},
        {"Aligned", rule_aligned, FIRST, 2, 3, ROW(.559072, .408261), ROW(.213279, .967333, .967333)},
        {"CAGrad", rule_cagrad, FIRST, 2, 3, ROW(.704124, .5), ROW(.183503, 1.204124, 1.204124)},
        {"ConFIG", rule_config, FIRST, 2, 3, NULL, ROW(.158809, 2.070607, 2.070607)},
    };
    check_examples(examples, sizeof examples / sizeof examples[0]);
}

static void second_matrix(void **state)
{
    (void)state;
    const example examples[] = {
        {"MGDA", mtli_balance_mgda, SECOND, 3, 4, ROW(.5, .181818, .318182), ROW(.136364, .227273, .818182, -.181818)},
        {"dual projection", rule_dual, SECOND, 3, 4, ROW(.388889, .333333, .333333),
         ROW(-.277778, .111111, 1.0, -.055556)},
        {"UPGrad", rule_upgrad, SECOND, 3, 4, ROW(.788889, .417001, .559151),
         ROW(-.045114, .317326, 1.535303, -.229738)},
        {"IMTL-G", rule_imtl_g, SECOND, 3, 4, ROW(.5, .165952, .334048), ROW(.168095, .16381, .834048, -.165952)},
        {"FairGrad", rule_fair, SECOND, 3, 4, ROW(.882166, .460757, .594203),
         ROW(-.039348, .44248, 1.649164, -.287963)},
        {"Aligned", rule_aligned, SECOND, 3, 4, ROW(.3841, .214631, .275947),
         ROW(-.045163, .154988, .766526, -.108152)},
        {"PCGrad", rule_pcgrad, SECOND, 3, 4, ROW(2.166667, 1.166667, 1.571429),
         ROW(-.166667, .785714, 4.309524, -.595238)},
        {"CAGrad", rule_cagrad, SECOND, 3, 4, ROW(.610764, .333333, .393965),
         ROW(-.055903, .372966, 1.121263, -.216799)},
        {"ConFIG", rule_config, SECOND, 3, 4, NULL, ROW(.504124, .491272, 2.501341, -.497698)},
    };
    check_examples(examples, sizeof examples / sizeof examples[0]);
}

static void third_matrix(void **state)
{
    (void)state;
    const example examples[] = {
        {"MGDA", mtli_balance_mgda, THIRD, 3, 3, ROW(.294118, .411765, .294118), NULL},
        {"dual projection", rule_dual, THIRD, 3, 3, ROW(.333333, .444444, .333333), ROW(.222222, .222222, .222222)},
        {"UPGrad", rule_upgrad, THIRD, 3, 3, ROW(.793651, 1.095238, .793651), ROW(.492063, .603175, .492063)},
        {"FairGrad", rule_fair, THIRD, 3, 3, ROW(1.490221, 2.067571, 1.490221), ROW(.912871, 1.154701, .912871)},
        {"Aligned", rule_aligned, THIRD, 3, 3, ROW(.292893, .390524, .292893), ROW(.195262, .195262, .195262)},
    };
    check_examples(examples, sizeof examples / sizeof examples[0]);
    balance_case c = balance_create(3, 3);
    balance_set(&c, THIRD);
    rule_imtl_g(3, c.gram, c.weights, c.work);
    assert_close(c.weights, ROW(.2938, .4124, .2938), 3, 0, 5.1e-5); /* four digits were printed */
    balance_free(&c);
}

static double least_product(balance_case *c, balance_rule_fn rule)
{
    rule(c->tasks, c->gram, c->weights, c->work);
    balance_form_direction(c);
    double least = INFINITY;
    for (int32_t i = 0; i < c->tasks; i++) {
        least = fmin(least, c->products[i]);
    }
    return least;
}

/* At T >= 3, PCGrad and CAGrad are not free of conflict: that is in the formulas. */
static void two_rules_still_conflict(void **state)
{
    (void)state;
    balance_case c = balance_create(3, 3);
    balance_set(&c, THIRD);
    assert_near(least_product(&c, rule_pcgrad), -1.0933, 5.1e-5);
    assert_near(least_product(&c, rule_cagrad), -0.0893, 5.1e-5);
    balance_free(&c);
}

/* FairGrad's direction with length 1: G / ‖G‖_F only changes its length. */
static void nash_is_fair_gradient_at_another_length(void **state)
{
    (void)state;
    balance_case c = balance_create(2, 3);
    balance_set(&c, FIRST);
    mtli_balance_result result = mtli_balance_nash(2, c.gram, c.weights, c.work);
    assert_int_equal(result.status, MTLI_BALANCE_OK);
    double frobenius = sqrt(18 * 18 + 2 * 22 * 22 + 38 * 38);
    for (int i = 0; i < 2; i++) {
        double product = c.gram[2 * i] * c.weights[0] + c.gram[2 * i + 1] * c.weights[1];
        assert_near(product * c.weights[i] / frobenius, 1, 1e-14);
    }
    balance_form_direction(&c);
    double length = sqrt(c.direction[0] * c.direction[0] + 2 * c.direction[1] * c.direction[1]);
    assert_near(c.direction[0] / length, .0542, 5.1e-5);
    assert_near(c.direction[1] / length, .7061, 5.1e-5);
    balance_free(&c);
}

static void cagrad_rescales(void **state)
{
    (void)state;
    balance_case c = balance_create(2, 3);
    balance_set(&c, FIRST);
    const double divisors[] = {1, 1.25, 1.5};
    for (int mode = 0; mode < 3; mode++) {
        mtli_balance_cagrad(2, c.gram, 0.5, (mtli_cagrad_rescale)mode, c.weights, c.work);
        assert_near(c.weights[0], .704124 / divisors[mode], PRINTED);
        assert_near(c.weights[1], .5 / divisors[mode], PRINTED);
    }
    balance_free(&c);
}

/* Cosines that start at 0 make the two rules one. */
static void gradvac_begins_as_pcgrad(void **state)
{
    (void)state;
    balance_case c = balance_create(3, 4);
    balance_set(&c, SECOND);
    double rho[9] = {0};
    double pcgrad[3];
    rule_pcgrad(3, c.gram, pcgrad, c.work);
    mtli_balance_gradvac(3, c.gram, NULL, 0.5, rho, false, c.weights, c.work);
    assert_close(c.weights, pcgrad, 3, 1e-14, 0);
    assert_near(rho[2], 0.5 * -7 / sqrt(6 * 14), 1e-15); /* half of the first cosine of the pair (0, 2) */
    assert_near(rho[0], 0, 0);
    balance_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_matrix),
        cmocka_unit_test(second_matrix),
        cmocka_unit_test(third_matrix),
        cmocka_unit_test(two_rules_still_conflict),
        cmocka_unit_test(nash_is_fair_gradient_at_another_length),
        cmocka_unit_test(cagrad_rescales),
        cmocka_unit_test(gradvac_begins_as_pcgrad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
