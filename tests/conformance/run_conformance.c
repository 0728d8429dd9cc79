/* SPDX-License-Identifier: Apache-2.0
 * Puts the cases of the conformance kit to the library, through its public functions only. Usage: run_conformance FILE...
 * Prints a table; exit status 1 when a case failed. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mtl/balance.h>
#include <mtl/context.h>

#include "conformance.h"

/* What the library says of itself may not be more: the bound of its solvers. */
static const double MOST_RESIDUAL = 1e-10;

enum { MOST_METHODS = 64, ABSENT = -1 };

typedef struct method_summary {
    char name[KIT_NAME];
    int cases;
    int decisions;
    int failures;
    double deviation; /* from expected weights and directions */
    double ratio;     /* that over its tolerance */
    double violation; /* of conditions */
    double residual;  /* that the library reported */
} method_summary;

typedef struct conformance_run {
    mtl_context *context;
    const kit_case *c;
    method_summary *method; /* of the case */
    int num_methods;
    method_summary methods[MOST_METHODS];
} conformance_run;

/* The problem that is put: tasks in another order, with factors, with absent ones. */
typedef struct put_case {
    int count;            /* tasks, absent ones included */
    const int *order;     /* [count] the case's task, or ABSENT */
    const double *factor; /* [T] of each gradient; NULL: 1 */
    double scale;
    const char *method;
    const double *preference; /* [T]; NULL: none */
    double *before; /* [T] NULL, or receives the weights before a reset, after which the steps are made again */
} put_case;

static void fail(conformance_run *run, const char *what, double value, double limit, double scale)
{
    run->method->failures++;
    printf("FAILED %s at scale %g: %s %.3g, at most %.3g\n", run->c->name, scale, what, value, limit);
}

static int tasks_of(const kit_case *c)
{
    if (c->gradients) {
        return c->gradients->tasks;
    }
    return c->num_steps > 0 ? c->steps[0].values.count : 1;
}

/* ---- options ---- */

static int32_t form_of(const char *name)
{
    static const char *const forms[] = {
        "",        "half",   "full", "linear", "logarithm", "rescale-square", "rescale-none", "rescale-linear",
        "minimum", "median", "rmse", "plain",  "unit",      "loss",           "loss-unit"};
    for (int32_t k = 0; k < (int32_t)(sizeof forms / sizeof forms[0]); k++) {
        if (strcmp(forms[k], name) == 0) {
            return k; /* MTL_BALANCE_FORM_DEFAULT is 0, the others follow in this order */
        }
    }
    return 1000;
}

static void take_setting(mtl_balancer_options *o, const kit_setting *setting)
{
    const struct {
        const char *name;
        double *number;
        int32_t *count;
    } places[] = {
        {"alpha", &o->alpha, NULL},       {"beta", &o->beta, NULL},         {"c", &o->c, NULL},
        {"gamma", &o->gamma, NULL},       {"lambda", &o->lambda, NULL},     {"mu", &o->mu, NULL},
        {"rate", &o->rate, NULL},         {"tau", &o->tau, NULL},           {"theta", &o->theta, NULL},
        {"outliers", NULL, &o->outliers}, {"selected", NULL, &o->selected}, {"warmup_steps", NULL, &o->warmup_steps},
    };
    for (size_t k = 0; k < sizeof places / sizeof places[0]; k++) {
        if (strcmp(places[k].name, setting->name) == 0) {
            if (places[k].number) {
                *places[k].number = setting->value;
            } else {
                *places[k].count = (int32_t)setting->value;
            }
            return;
        }
    }
    o->num_tasks = -1; /* not known: creation fails */
}

/* Values of the case's tasks as those of the problem; `absent` for the others. */
static double *in_order(const put_case *put, const double *values, double absent)
{
    double *ordered = values ? calloc((size_t)put->count, sizeof *ordered) : NULL;
    for (int k = 0; k < put->count && values; k++) {
        ordered[k] = put->order[k] == ABSENT ? absent : values[put->order[k]];
    }
    return ordered;
}

static mtl_balancer *create(conformance_run *run, const put_case *put)
{
    const kit_case *c = run->c;
    mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
    bool same = strcmp(put->method, c->method) == 0;
    double *preference = in_order(put, put->preference, 1);
    double *reference = same ? in_order(put, c->reference.at, 0) : NULL;
    options.method = mtl_balance_method_find(put->method);
    options.form = same ? form_of(c->form) : 0;
    options.preference = preference;
    options.reference = reference;
    options.num_tasks = preference || reference ? put->count : 0;
    for (int k = 0; k < c->num_settings && same; k++) {
        take_setting(&options, &c->settings[k]);
    }
    mtl_balancer *balancer = NULL;
    if (mtl_balancer_create(run->context, &options, &balancer) != MTL_OK) {
        printf("FAILED %s: %s\n", c->name, mtl_context_last_error(run->context));
        run->method->failures++;
    }
    free(preference);
    free(reference);
    return balancer;
}

/* ---- one problem ---- */

/* [count, size]; absent ones have a gradient that may not matter. */
static double *put_gradients(const kit_case *c, const put_case *put)
{
    int size = c->gradients ? c->gradients->size : 1;
    double *g = calloc((size_t)put->count * size, sizeof *g);
    for (int k = 0; k < put->count && c->gradients; k++) {
        int task = put->order[k];
        double factor = put->scale * (put->factor && task != ABSENT ? put->factor[task] : 1);
        for (int p = 0; p < size; p++) {
            g[k * size + p] = factor * (task == ABSENT ? 7 - p : c->gradients->rows[task * size + p]);
        }
    }
    return g;
}

static double *gram_of(int tasks, int size, const double *g)
{
    double *gram = calloc((size_t)tasks * tasks, sizeof *gram);
    for (int i = 0; i < tasks; i++) {
        for (int j = 0; j <= i; j++) {
            double sum = 0;
            for (int p = 0; p < size; p++) {
                sum += g[i * size + p] * g[j * size + p];
            }
            gram[i * tasks + j] = gram[j * tasks + i] = sum;
        }
    }
    return gram;
}

static mtl_status take_measure(mtl_balancer *balancer, const put_case *put, const double *measure)
{
    for (int k = 0; k < put->count; k++) {
        if (put->order[k] == (int)measure[0]) {
            return mtl_balancer_set_measure(balancer, k, measure[1]);
        }
    }
    return MTL_ERROR_ARGUMENT;
}

static mtl_status take_steps(conformance_run *run, mtl_balancer *balancer, const put_case *put, const double *gram,
                             double *weights, mtl_balance_result *result)
{
    const kit_case *c = run->c;
    double *ones = calloc((size_t)tasks_of(c), sizeof *ones);
    for (int i = 0; i < tasks_of(c); i++) {
        ones[i] = 1;
    }
    kit_step one = {KIT_LOSSES, {tasks_of(c), ones}};
    mtl_status status = MTL_OK;
    for (int k = 0; k < (c->num_steps > 0 ? c->num_steps : 1) && status == MTL_OK; k++) {
        const kit_step *step = c->num_steps > 0 ? &c->steps[k] : &one;
        if (step->kind == KIT_EPOCH) {
            mtl_balancer_next_epoch(balancer);
        } else if (step->kind == KIT_MEASURE) {
            status = take_measure(balancer, put, step->values.at);
        } else {
            double *losses = in_order(put, step->values.at, NAN);
            status = mtl_balancer_decide(balancer, put->count, losses, gram, weights, result);
            run->method->decisions++;
            free(losses);
        }
    }
    free(ones);
    return status;
}

/* weights [T] in the order of the case. */
static mtl_status decide(conformance_run *run, const put_case *put, double *weights, mtl_balance_result *result)
{
    int size = run->c->gradients ? run->c->gradients->size : 1;
    mtl_balancer *balancer = create(run, put);
    if (!balancer) {
        return MTL_ERROR_ARGUMENT;
    }
    double *g = put_gradients(run->c, put);
    double *gram = gram_of(put->count, size, g);
    double *answer = calloc((size_t)put->count, sizeof *answer);
    mtl_status status = take_steps(run, balancer, put, gram, answer, result);
    if (status == MTL_OK && put->before) {
        memcpy(put->before, answer, (size_t)put->count * sizeof *answer);
        mtl_balancer_reset(balancer);
        status = take_steps(run, balancer, put, gram, answer, result);
    }
    for (int k = 0; k < put->count && status == MTL_OK; k++) {
        if (put->order[k] != ABSENT) {
            weights[put->order[k]] = answer[k];
        } else if (answer[k] != 0) {
            status = MTL_ERROR_STATE; /* an absent task has no weight */
        }
    }
    free(answer);
    free(gram);
    free(g);
    mtl_balancer_destroy(balancer);
    return status;
}

static mtl_status decide_quietly(conformance_run *run, const put_case *put, double *weights)
{
    mtl_balance_result result = {.struct_size = sizeof result};
    return decide(run, put, weights, &result);
}

/* ---- the problem put in several ways: by how much the answers differ ---- */

typedef struct several_ways {
    conformance_run *run;
    put_case put;          /* as it is */
    const double *g;       /* scaled */
    const double *weights; /* the answer */
    double *other;         /* [T] for another one */
} several_ways;

static double direction_gap(const several_ways *w, const double *weights)
{
    const kit_matrix *m = w->run->c->gradients;
    return m ? kit_direction_deviation(m->tasks, m->size, w->g, weights, w->weights)
             : kit_weight_deviation(tasks_of(w->run->c), NULL, weights, w->weights);
}

static double gap_of(const several_ways *w, const put_case *put)
{
    return decide_quietly(w->run, put, w->other) == MTL_OK ? direction_gap(w, w->other) : HUGE_VAL;
}

static double permutation_gap(several_ways *w)
{
    int tasks = w->put.count;
    int *order = calloc((size_t)tasks, sizeof *order);
    put_case put = w->put;
    put.order = order;
    for (int k = 0; k < tasks; k++) {
        order[k] = tasks - 1 - k;
    }
    double backwards = gap_of(w, &put);
    for (int k = 0; k < tasks; k++) {
        order[k] = (k + 1) % tasks;
    }
    double around = gap_of(w, &put);
    free(order);
    return fmax(backwards, around);
}

static double absent_gap(several_ways *w)
{
    int tasks = w->put.count;
    int *order = calloc((size_t)tasks + 1, sizeof *order);
    put_case put = w->put;
    put.order = order;
    put.count = tasks + 1;
    for (int k = 0; k <= tasks; k++) {
        order[k] = k == tasks / 2 ? ABSENT : k - (k > tasks / 2);
    }
    double gap = gap_of(w, &put);
    free(order);
    return gap;
}

static double degree_of(const kit_case *c)
{
    double alpha = kit_setting_of(c, "alpha", 1);
    return strcmp(c->method, "fairgrad") == 0 ? -2 * alpha / (1 + alpha) : 0;
}

static double scale_gap(several_ways *w)
{
    double worst = 0;
    for (int sign = -1; sign <= 1; sign += 2) {
        put_case put = w->put;
        put.scale *= exp2(30 * sign);
        if (decide_quietly(w->run, &put, w->other) != MTL_OK) {
            return HUGE_VAL;
        }
        for (int i = 0; i < w->put.count; i++) {
            w->other[i] /= pow(exp2(30 * sign), degree_of(w->run->c));
        }
        worst = fmax(worst, direction_gap(w, w->other));
    }
    return worst;
}

/* Factors a, b and a + b of the gradients: directions add up. */
static double linear_gap(several_ways *w)
{
    int tasks = w->put.count;
    const kit_matrix *m = w->run->c->gradients;
    double *factor = calloc((size_t)tasks, sizeof *factor);
    double *sum = calloc((size_t)tasks * 2, sizeof *sum);
    double gap = 0;
    for (int which = 0; which < 3; which++) {
        put_case put = w->put;
        put.factor = factor;
        for (int i = 0; i < tasks; i++) {
            double a = 1 + i % 3;
            double b = 2 + 2 * i % 5;
            factor[i] = which == 0 ? a : which == 1 ? b : a + b;
        }
        gap = decide_quietly(w->run, &put, w->other) == MTL_OK ? gap : HUGE_VAL;
        for (int i = 0; i < tasks; i++) {
            sum[which < 2 ? i : tasks + i] += factor[i] * w->other[i];
        }
    }
    gap = fmax(gap, kit_direction_deviation(tasks, m->size, w->g, sum, sum + tasks));
    free(factor);
    free(sum);
    return gap;
}

/* UPGrad is the sum of dual projections with the preference of one task each. */
static double dual_sum_gap(several_ways *w)
{
    int tasks = w->put.count;
    const kit_values *preference = &w->run->c->preference;
    double *u = calloc((size_t)tasks, sizeof *u);
    double *sum = calloc((size_t)tasks, sizeof *sum);
    double gap = 0;
    for (int i = 0; i < tasks; i++) {
        put_case put = w->put;
        put.method = "dualproj";
        put.preference = u;
        u[i] = preference->count > 0 ? preference->at[i] : 1.0 / tasks;
        gap = decide_quietly(w->run, &put, w->other) == MTL_OK ? gap : HUGE_VAL;
        for (int k = 0; k < tasks; k++) {
            sum[k] += w->other[k];
        }
        u[i] = 0;
    }
    gap = fmax(gap, direction_gap(w, sum));
    free(u);
    free(sum);
    return gap;
}

/* B [T, T]: row i the weights for the preference of task i alone. B G Bᵀ = σ² I, and B is symmetric. */
static double system_gap_of(const several_ways *w, const double *b)
{
    int tasks = w->put.count;
    int size = w->run->c->gradients->size;
    double *y = calloc((size_t)tasks * size, sizeof *y);
    double square = 0;
    double most = 0;
    double longest = 0;
    double worst = 0;
    for (int i = 0; i < tasks; i++) {
        for (int k = 0; k < tasks; k++) {
            for (int p = 0; p < size; p++) {
                y[i * size + p] += b[i * tasks + k] * w->g[k * size + p];
            }
            most = fmax(most, fabs(b[i * tasks + k]));
        }
    }
    double *form = gram_of(tasks, size, y);
    double *gram = gram_of(tasks, size, w->g);
    for (int i = 0; i < tasks; i++) {
        square += form[i * tasks + i] / tasks;
        longest += gram[i * tasks + i];
    }
    for (int i = 0; i < tasks; i++) {
        for (int k = 0; k < tasks; k++) {
            double gap = fabs(form[i * tasks + k] - (i == k ? square : 0));
            worst = fmax(worst, gap / (longest * most * most));
            worst = fmax(worst, fabs(b[i * tasks + k] - b[k * tasks + i]) / most);
        }
    }
    free(gram);
    free(form);
    free(y);
    return worst;
}

static double system_gap(several_ways *w)
{
    int tasks = w->put.count;
    double *b = calloc((size_t)tasks * tasks, sizeof *b);
    double *u = calloc((size_t)tasks, sizeof *u);
    double gap = 0;
    for (int i = 0; i < tasks; i++) {
        put_case put = w->put;
        put.preference = u;
        u[i] = 1;
        gap = decide_quietly(w->run, &put, b + (ptrdiff_t)i * tasks) == MTL_OK ? gap : HUGE_VAL;
        u[i] = 0;
    }
    gap = fmax(gap, system_gap_of(w, b));
    free(b);
    free(u);
    return gap;
}

static double reset_gap(several_ways *w)
{
    int tasks = w->put.count;
    double *before = calloc((size_t)tasks, sizeof *before);
    put_case put = w->put;
    put.before = before;
    mtl_status status = decide_quietly(w->run, &put, w->other);
    double gap = status == MTL_OK ? kit_weight_deviation(tasks, NULL, w->other, before) : HUGE_VAL;
    free(before);
    return gap;
}

static double several_ways_gap(several_ways *w, const char *name)
{
    static const struct {
        const char *name;
        double (*gap)(several_ways *w);
    } ways[] = {
        {"permutation", permutation_gap},
        {"absent", absent_gap},
        {"scale-free", scale_gap},
        {"scale-linear", linear_gap},
        {"dual-sum", dual_sum_gap},
        {"aligned-system", system_gap},
        {"reset", reset_gap},
    };
    for (size_t k = 0; k < sizeof ways / sizeof ways[0]; k++) {
        if (strcmp(ways[k].name, name) == 0) {
            return ways[k].gap(w);
        }
    }
    return HUGE_VAL; /* no such check */
}

/* ---- one case ---- */

static void compare(conformance_run *run, const several_ways *w, const kit_answer *answer)
{
    const kit_case *c = run->c;
    double best = HUGE_VAL;
    double limit = 0;
    double *expected = calloc((size_t)w->put.count, sizeof *expected);
    for (int k = 0; k < c->num_expected; k++) {
        const kit_expected *e = &c->expected[k];
        for (int i = 0; i < w->put.count; i++) {
            expected[i] = e->weights.at[i] * pow(w->put.scale, degree_of(c));
        }
        double deviation =
            e->kind == KIT_DIRECTION
                ? kit_direction_deviation(answer->tasks, answer->size, answer->g, w->weights, expected)
                : kit_weight_deviation(answer->tasks, c->gradients ? answer->norms : NULL, w->weights, expected);
        best = fmin(best, deviation);
        limit = e->tolerance;
    }
    free(expected);
    if (c->num_expected > 0) {
        run->method->deviation = fmax(run->method->deviation, best);
        run->method->ratio = fmax(run->method->ratio, best / limit);
        if (!(best <= limit)) {
            fail(run, "deviation", best, limit, w->put.scale);
        }
    }
}

static void check(conformance_run *run, several_ways *w, const kit_answer *answer)
{
    for (int k = 0; k < run->c->num_checks; k++) {
        const kit_setting *condition = &run->c->checks[k];
        double violation = kit_violation(run->c, condition->name, answer);
        violation = isnan(violation) ? several_ways_gap(w, condition->name) : violation;
        run->method->violation = fmax(run->method->violation, violation);
        if (!(violation <= condition->value)) {
            fail(run, condition->name, violation, condition->value, w->put.scale);
        }
    }
}

static void check_result(conformance_run *run, const mtl_balance_result *result, double scale)
{
    const char *wanted = run->c->status;
    run->method->residual = fmax(run->method->residual, result->residual);
    if (!(result->residual <= MOST_RESIDUAL)) {
        fail(run, "reported residual", result->residual, MOST_RESIDUAL, scale);
    }
    bool stationary = result->status == MTL_BALANCE_STATIONARY;
    if (result->status == MTL_BALANCE_NOT_CONVERGED || (strcmp(wanted, "stationary") == 0 && !stationary) ||
        (strcmp(wanted, "ok") == 0 && stationary)) {
        fail(run, "status", result->status, strcmp(wanted, "stationary") == 0, scale);
    }
}

static bool is_refusal(mtl_status status)
{
    return status == MTL_ERROR_NUMERIC || status == MTL_ERROR_ARGUMENT;
}

static void run_at(conformance_run *run, double scale)
{
    const kit_case *c = run->c;
    int tasks = tasks_of(c);
    int size = c->gradients ? c->gradients->size : 1;
    int *order = calloc((size_t)tasks, sizeof *order);
    double *weights = calloc((size_t)tasks * 2, sizeof *weights);
    for (int i = 0; i < tasks; i++) {
        order[i] = i;
    }
    put_case put = {tasks, order, NULL, scale, c->method, c->preference.at, NULL};
    mtl_balance_result result = {.struct_size = sizeof result};
    mtl_status status = decide(run, &put, weights, &result);
    if (c->refused || status != MTL_OK) {
        if (!c->refused || !is_refusal(status)) {
            fail(run, c->refused ? "not refused: status" : mtl_context_last_error(run->context), status, 0, scale);
        }
    } else {
        double *g = put_gradients(c, &put);
        kit_answer answer = kit_answer_create(tasks, size, g, weights);
        several_ways ways = {run, put, g, weights, weights + tasks};
        check_result(run, &result, scale);
        compare(run, &ways, &answer);
        check(run, &ways, &answer);
        kit_answer_free(&answer);
        free(g);
    }
    free(weights);
    free(order);
}

static method_summary *summary_of(conformance_run *run, const char *method)
{
    for (int k = 0; k < run->num_methods; k++) {
        if (strcmp(run->methods[k].name, method) == 0) {
            return &run->methods[k];
        }
    }
    method_summary *summary =
        &run->methods[run->num_methods < MOST_METHODS - 1 ? run->num_methods++ : MOST_METHODS - 1];
    snprintf(summary->name, sizeof summary->name, "%s", method);
    return summary;
}

/* Arrays of the case have a number for each task. */
static bool fits(const kit_case *c)
{
    int tasks = tasks_of(c);
    bool good = (c->preference.count == 0 || c->preference.count == tasks) &&
                (c->reference.count == 0 || c->reference.count == tasks);
    for (int k = 0; k < c->num_steps; k++) {
        good = good && (c->steps[k].kind != KIT_LOSSES || c->steps[k].values.count == tasks);
    }
    for (int k = 0; k < c->num_expected; k++) {
        good = good && c->expected[k].weights.count == tasks;
    }
    return good && (c->refused || c->num_expected + c->num_checks > 0) && mtl_balance_method_find(c->method) >= 0;
}

static void run_case(void *user, const kit_case *c)
{
    conformance_run *run = user;
    run->c = c;
    run->method = summary_of(run, c->method);
    run->method->cases++;
    if (!fits(c)) {
        fail(run, "a case that asks nothing, or of another number of tasks", 1, 0, 1);
        return;
    }
    for (int k = 0; k < c->num_scales; k++) {
        run_at(run, c->scales[k]);
    }
}

static int print_summary(const conformance_run *run)
{
    int cases = 0;
    int failures = 0;
    printf("%-12s %6s %10s %10s %10s %10s %10s %8s\n", "method", "cases", "decisions", "deviation", "/tolerance",
           "violation", "residual", "failures");
    for (int k = 0; k < run->num_methods; k++) {
        const method_summary *m = &run->methods[k];
        printf("%-12s %6d %10d %10.1e %10.1e %10.1e %10.1e %8d\n", m->name, m->cases, m->decisions, m->deviation,
               m->ratio, m->violation, m->residual, m->failures);
        cases += m->cases;
        failures += m->failures;
    }
    printf("%d cases, %d failures\n", cases, failures);
    return cases > 0 && failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int count, char **files)
{
    static conformance_run run;
    mtl_context_options options = MTL_CONTEXT_OPTIONS_INIT;
    if (mtl_context_create(&options, &run.context) != MTL_OK) {
        fprintf(stderr, "no context: %s\n", mtl_context_last_error(NULL));
        return EXIT_FAILURE;
    }
    bool read = count > 1;
    for (int k = 1; k < count; k++) {
        read = kit_read(files[k], run_case, &run) && read;
    }
    int status = print_summary(&run);
    mtl_context_release(run.context);
    return read ? status : EXIT_FAILURE;
}
