/* SPDX-License-Identifier: Apache-2.0
 * Task weights that lower the losses of validation rows: Auto-Lambda, MOML, FORUM. All are first-order here: an inner
 * step of plain gradient descent is linear in the task weights, so its derivative is made of inner products of gradients
 * (what published code takes from differences of losses or a Hessian-vector product). */
#include <math.h>
#include <string.h>

#include "balance/bilevel.h"
#include "balance/loss_rules.h"
#include "multitask/balanced.h"
#include "multitask/pass.h"

/* ---- a look ahead: parameters move and come back ---- */

static int64_t model_size(const mtl_model *model)
{
    int64_t size = 0;
    for (int32_t i = 0; i < model->num_entries; i++) {
        size += (int64_t)model->entries[i].parameters->block_size;
    }
    return size;
}

static mtl_status save_parameters(mtl_objective *objective)
{
    mtl_model *model = objective->model;
    size_t size = (size_t)model_size(model);
    void *array = objective->saved;
    mtl_status status =
        mtli_reserve(objective->context, &array, &objective->saved_capacity, size, sizeof objective->saved[0]);
    objective->saved = array;
    mtli_real *to = objective->saved;
    for (int32_t i = 0; i < model->num_entries && status == MTL_OK; i++) {
        const mtli_parameters *block = model->entries[i].parameters;
        if (block->block) {
            memcpy(to, block->block, block->block_size * sizeof to[0]);
            to += block->block_size;
        }
    }
    return status;
}

static void restore_parameters(mtl_objective *objective)
{
    const mtl_model *model = objective->model;
    const mtli_real *from = objective->saved;
    for (int32_t i = 0; i < model->num_entries; i++) {
        const mtli_parameters *block = model->entries[i].parameters;
        if (block->block) {
            memcpy(block->block, from, block->block_size * sizeof from[0]);
            from += block->block_size;
        }
    }
}

static void move_values(mtli_real *w, const mtli_real *g, int64_t n, mtli_real rate)
{
    for (int64_t i = 0; i < n; i++) {
        w[i] -= rate * g[i];
    }
}

/* w ← w - rate g */
static void descend(const mtl_gradients *gradients, double rate)
{
    for (int32_t b = 0; b < gradients->num_blocks; b++) {
        for (int32_t i = 0; i < gradients->blocks[b].parameters->count; i++) {
            const mtli_gradient_entry *entry = &gradients->blocks[b].entries[i];
            mtli_real *w = entry->parameter->data;
            if (entry->state == MTLI_GRADIENT_DENSE) {
                move_values(w, entry->dense, entry->parameter->size, (mtli_real)rate);
            }
            for (int64_t k = 0; k < entry->num_rows && entry->state == MTLI_GRADIENT_ROWS; k++) {
                move_values(w + entry->rows[k] * entry->width, entry->values + k * entry->width, entry->width,
                            (mtli_real)rate);
            }
        }
    }
}

/* ---- one step ---- */

/* The tasks that both draws have are `both`; what is trained about the others rests. */
typedef struct validation_step {
    mtl_objective *objective;
    mtl_balancer *balancer;
    mtl_evaluate_fn evaluate;
    void *user;
    mtli_task_gradients *room;
    double inner_rate;
    int32_t num_train; /* tasks of draw 0; room->train */
    int32_t num_both;  /* room->members */
} validation_step;

static mtl_status look(validation_step *step, int32_t draw, mtli_balanced_pass *pass)
{
    mtl_objective *objective = step->objective;
    mtl_status status = mtli_objective_evaluate(objective, step->evaluate, step->user, draw);
    if (status == MTL_OK) {
        status = mtli_objective_check_losses(objective, objective->tape, objective->losses, objective->num_tasks);
    }
    if (status == MTL_OK) {
        status = mtli_balanced_begin(objective, objective->tape, objective->losses, objective->gradients, pass);
    }
    step->room = objective->room;
    return status;
}

/* Draw 0: every task's gradient with respect to everything. Its losses are kept in room->excess. */
static mtl_status keep_training(validation_step *step)
{
    mtli_balanced_pass pass;
    mtl_status status = look(step, 0, &pass);
    if (status == MTL_OK) {
        status = mtli_balanced_keep(&pass, 0, 0);
    }
    if (status != MTL_OK) {
        return status;
    }
    mtli_objective_note_losses(step->objective, step->objective->losses);
    step->num_train = pass.count;
    memcpy(step->room->train, pass.present, (size_t)pass.count * sizeof step->room->train[0]);
    memcpy(step->room->excess, step->room->losses, (size_t)step->room->tasks * sizeof(double));
    return MTL_OK;
}

static void join_both(validation_step *step, const mtli_balanced_pass *validation)
{
    step->num_both = 0;
    for (int32_t i = 0; i < validation->count; i++) {
        int32_t t = validation->present[i];
        if (!isnan(step->room->excess[t])) {
            step->room->members[step->num_both++] = t;
        }
    }
}

static void gather_tasks(int32_t count, const int32_t *tasks, const double *from, double *to)
{
    for (int32_t i = 0; i < count; i++) {
        to[i] = from[tasks[i]];
    }
}

static void scatter_tasks(int32_t count, const int32_t *tasks, const double *from, double *to)
{
    for (int32_t i = 0; i < count; i++) {
        to[tasks[i]] = from[i];
    }
}

/* z [num_train]: task weights of the logits as they are. */
static void present_weights(const validation_step *step, double *z)
{
    gather_tasks(step->num_train, step->room->train, mtli_balancer_memory_of(step->balancer, 0), z);
    mtli_softmax_weights(step->num_train, z, z);
}

static void list_training(const validation_step *step, int32_t at)
{
    for (int32_t i = 0; i < step->num_train; i++) {
        step->room->list[at + i] = step->room->draws[0].of_task[step->room->train[i]];
    }
}

/* target ← Σ_i weights_i g_i over the training gradients. */
static mtl_status combine_training(const validation_step *step, const double *weights)
{
    list_training(step, 0);
    return mtli_task_gradients_combine(step->room, step->num_train, step->room->list, weights,
                                       step->objective->gradients);
}

static mtl_status look_ahead(const validation_step *step)
{
    double *z = step->room->factors;
    present_weights(step, z);
    mtl_status status = combine_training(step, z);
    if (status == MTL_OK) {
        status = save_parameters(step->objective);
    }
    if (status == MTL_OK) {
        descend(step->objective->gradients, step->inner_rate);
    }
    return status;
}

/* Adam on the logits of the tasks that both draws have. */
static void train_logits(const validation_step *step, const double *gradient)
{
    const mtl_balancer *balancer = step->balancer;
    const int32_t *both = step->room->members;
    int32_t n = step->num_both;
    double *arrays = step->room->training; /* three [n] */
    for (int32_t k = 0; k < 3; k++) {
        gather_tasks(n, both, mtli_balancer_memory_of(balancer, k), arrays + (int64_t)k * n);
    }
    double *updates = mtli_balancer_memory_of(balancer, 3);
    int64_t count = (int64_t)updates[0];
    mtli_small_adam adam = {arrays + n, arrays + 2 * (int64_t)n, &count};
    mtli_small_adam_step(n, balancer->options.rate, 0, gradient, adam, arrays);
    for (int32_t k = 0; k < 3; k++) {
        scatter_tasks(n, both, arrays + (int64_t)k * n, mtli_balancer_memory_of(balancer, k));
    }
    updates[0] = (double)count;
}

static mtl_status fail_products(const validation_step *step)
{
    return mtli_fail(step->objective->context, MTL_ERROR_NUMERIC,
                     "an inner product of training and validation gradients is not finite");
}

/* ---- Auto-Lambda ---- */

static mtl_status validate_sum(validation_step *step)
{
    mtli_task_gradients *room = step->room;
    mtli_balanced_pass pass;
    mtl_status status = look(step, 1, &pass);
    if (status == MTL_OK) {
        status = mtli_sweep_run(pass.tape, pass.sweep.losses, room->seeds, pass.count, pass.target);
    }
    if (status != MTL_OK) {
        return status;
    }
    mtli_balanced_swept(&pass);
    join_both(step, &pass);
    if (step->num_both == 0) {
        return MTL_OK;
    }
    double *h = room->factors;
    double *logits = room->training + 3 * (int64_t)room->tasks; /* train_logits() takes what comes before */
    double *gradient = logits + room->tasks;
    for (int32_t i = 0; i < step->num_both; i++) {
        h[i] = mtli_gradients_inner(room->draws[0].of_task[room->members[i]], pass.target);
    }
    gather_tasks(step->num_both, room->members, mtli_balancer_memory_of(step->balancer, 0), logits);
    if (mtli_balance_auto_lambda(step->num_both, h, step->inner_rate, logits, gradient) != MTLI_BALANCE_OK) {
        return fail_products(step);
    }
    train_logits(step, gradient);
    return MTL_OK;
}

/* ---- MOML ---- */

static mtl_status validate_each(validation_step *step)
{
    mtli_task_gradients *room = step->room;
    mtli_balanced_pass pass;
    mtl_status status = look(step, 1, &pass);
    if (status == MTL_OK) {
        status = mtli_balanced_keep(&pass, 1, 0);
    }
    if (status != MTL_OK) {
        return status;
    }
    join_both(step, &pass);
    int32_t n = step->num_both;
    if (n == 0) {
        return MTL_OK;
    }
    for (int32_t s = 0; s < n; s++) {
        for (int32_t t = 0; t < n; t++) {
            room->cross[(int64_t)s * n + t] = mtli_gradients_inner(room->draws[1].of_task[room->members[s]],
                                                                   room->draws[0].of_task[room->members[t]]);
        }
    }
    double *weights = room->factors;
    double *gradient = room->factors + n;
    gather_tasks(n, room->members, mtli_balancer_memory_of(step->balancer, 0), room->part);
    mtli_balance_result result =
        mtli_balance_moml(n, room->cross, step->inner_rate, room->part, true, weights, gradient, room->bilevel);
    if (result.status == MTLI_BALANCE_NOT_FINITE || result.status == MTLI_BALANCE_DOMAIN) {
        return fail_products(step);
    }
    train_logits(step, gradient);
    return MTL_OK;
}

/* Auto-Lambda and MOML: weights after the look ahead, the training gradients weighted with them. */
static mtl_status step_with_lookahead(validation_step *step)
{
    mtl_status status = keep_training(step);
    if (status != MTL_OK || step->num_train == 0) {
        mtl_gradients_clear(step->objective->gradients);
        return status;
    }
    status = look_ahead(step);
    if (status != MTL_OK) {
        return status;
    }
    status = step->balancer->options.method == MTL_BALANCE_MOML ? validate_each(step) : validate_sum(step);
    restore_parameters(step->objective);
    if (status != MTL_OK) {
        return status;
    }
    mtli_task_gradients *room = step->room;
    mtli_balance_facts facts = {.losses = room->excess};
    status = mtli_balancer_weigh(step->balancer, &facts, room->weights, room->own);
    if (status == MTL_OK) {
        gather_tasks(step->num_train, room->train, room->weights, room->factors);
        status = combine_training(step, room->factors);
    }
    return status;
}

/* ---- FORUM ---- */

/* Σ z_t λ_t L_t of the present losses, the same tasks as in the first look; NaN when one is missing. */
static double weighted_loss(const validation_step *step, const double *z, const double *losses)
{
    double sum = 0;
    for (int32_t i = 0; i < step->num_train; i++) {
        sum += z[i] * losses[step->room->train[i]];
    }
    return sum;
}

/* Steps of gradient descent on the weighted training loss from where the parameters are, while it falls; least [T]
 * receives the losses at its least value. z [num_train]. */
static mtl_status descend_inside(validation_step *step, const double *z, double *least)
{
    mtl_objective *objective = step->objective;
    mtli_task_gradients *room = step->room;
    memcpy(least, room->excess, (size_t)room->tasks * sizeof least[0]);
    for (int32_t k = 0; k < step->balancer->options.steps; k++) {
        descend(objective->gradients, step->inner_rate);
        mtli_balanced_pass pass;
        mtl_status status = look(step, 0, &pass);
        if (status == MTL_ERROR_NUMERIC) {
            mtli_enter_function(objective->context, "mtl_objective_step");
            return MTL_OK; /* too far: the least value stands */
        }
        if (status != MTL_OK) {
            return status;
        }
        bool same_tasks = pass.count == step->num_train;
        if (!same_tasks || !(weighted_loss(step, z, room->losses) < weighted_loss(step, z, least))) {
            return MTL_OK;
        }
        memcpy(least, room->losses, (size_t)room->tasks * sizeof least[0]);
        double *seeds = room->own; /* free until the weights are decided */
        for (int32_t i = 0; i < pass.count; i++) {
            seeds[i] = z[i] * room->seeds[i];
        }
        status = mtli_sweep_run(pass.tape, pass.sweep.losses, seeds, pass.count, pass.target);
        if (status != MTL_OK) {
            return status;
        }
    }
    return MTL_OK;
}

/* gradient [num_train] in the logits of f(ω) - f(ω^T): (diag z - z zᵀ)(L(ω) - L(ω^T)). */
static double constraint_in_logits(const validation_step *step, const double *z, const double *least, double *gradient)
{
    const int32_t *train = step->room->train;
    double mean = 0;
    double square = 0;
    for (int32_t i = 0; i < step->num_train; i++) {
        gradient[i] = step->room->excess[train[i]] - least[train[i]];
        mean += z[i] * gradient[i];
    }
    for (int32_t i = 0; i < step->num_train; i++) {
        gradient[i] = z[i] * (gradient[i] - mean);
        square += gradient[i] * gradient[i];
    }
    return square;
}

/* gram [n + 1, n + 1] of the validation gradients, and of q: the weighted training gradient, which is in the target, and
 * its part in the logits. */
static void forum_gram(const validation_step *step, int32_t n, mtl_gradients *const *sets, double logits_square,
                       double *gram)
{
    const mtl_gradients *q = step->objective->gradients;
    for (int32_t i = 0; i <= n; i++) {
        for (int32_t j = 0; j <= i; j++) {
            const mtl_gradients *left = i < n ? sets[i] : q;
            const mtl_gradients *right = j < n ? sets[j] : q;
            double inner = mtli_gradients_inner(left, right) + (i == n && j == n ? logits_square : 0);
            gram[(int64_t)i * (n + 1) + j] = inner;
            gram[(int64_t)j * (n + 1) + i] = inner;
        }
    }
}

/* The averaged γ of the tasks, and with it ν: max(Σ γ_i π_i, 0). Overwrites gamma with γ_i / ‖F_i‖. */
static double follow_gamma(const validation_step *step, int32_t n, const double *gram, double *gamma)
{
    const mtl_balancer *balancer = step->balancer;
    double *average = mtli_balancer_memory_of(balancer, 4);
    double rate = pow((double)mtli_balancer_steps(balancer) + 1, -0.75);
    double square = gram[(int64_t)n * (n + 1) + n];
    double nu = 0;
    for (int32_t i = 0; i < n; i++) {
        double length = sqrt(gram[(int64_t)i * (n + 1) + i]);
        double *mine = &average[step->room->train[i]];
        *mine += rate * (gamma[i] - *mine);
        double along = length > 0 && square > 0 ? gram[(int64_t)n * (n + 1) + i] / length / square : 0;
        nu += *mine * (balancer->options.phi - along);
        gamma[i] = length > 0 ? *mine / length : 0;
    }
    return square > 0 && nu > 0 ? nu : 0;
}

/* Both draws must have the same tasks: the constraint is over all of them. */
static mtl_status validate_forum(validation_step *step, mtli_balanced_pass *pass)
{
    mtl_status status = look(step, 1, pass);
    if (status == MTL_OK) {
        join_both(step, pass);
    }
    if (status == MTL_OK && (step->num_both != step->num_train || step->num_both != pass->count)) {
        status = mtli_fail(step->objective->context, MTL_ERROR_UNSUPPORTED,
                           "'forum' wants the same tasks in both draws: draw 0 has %d, draw 1 has %d, both have %d",
                           step->num_train, pass->count, step->num_both);
    }
    return status == MTL_OK ? mtli_balanced_keep(pass, 1, 0) : status;
}

static mtl_status aggregate_forum(validation_step *step, double *z, double *logits_gradient, double logits_square)
{
    mtli_task_gradients *room = step->room;
    int32_t n = step->num_train;
    mtl_status status = combine_training(step, z); /* q over the parameters */
    if (status != MTL_OK) {
        return status;
    }
    for (int32_t i = 0; i < n; i++) {
        room->list[i] = room->draws[1].of_task[room->train[i]];
    }
    double *gamma = room->factors;
    double nu;
    forum_gram(step, n, room->list, logits_square, room->forum);
    mtli_balance_result result =
        mtli_balance_forum(n, room->forum, step->balancer->options.phi, true, gamma, &nu, room->bilevel);
    if (result.status == MTLI_BALANCE_NOT_FINITE || result.status == MTLI_BALANCE_DOMAIN) {
        return fail_products(step);
    }
    nu = follow_gamma(step, n, room->forum, gamma);
    for (int32_t i = 0; i < n; i++) {
        gamma[n + i] = nu * z[i];
        logits_gradient[i] *= nu;
    }
    list_training(step, n);
    status = mtli_task_gradients_combine(room, 2 * n, room->list, gamma, step->objective->gradients);
    if (status == MTL_OK) {
        train_logits(step, logits_gradient);
    }
    return status;
}

static mtl_status step_forum(validation_step *step)
{
    mtl_status status = keep_training(step);
    if (status != MTL_OK || step->num_train == 0) {
        mtl_gradients_clear(step->objective->gradients);
        return status;
    }
    mtli_task_gradients *room = step->room;
    double *z = room->kept_weights;
    double *least = room->kept_weights + room->tasks;
    double *gradient = room->kept_weights + 2 * (int64_t)room->tasks;
    present_weights(step, z);
    status = combine_training(step, z);
    if (status == MTL_OK) {
        status = save_parameters(step->objective);
    }
    if (status != MTL_OK) {
        return status;
    }
    status = descend_inside(step, z, least);
    restore_parameters(step->objective);
    double square = status == MTL_OK ? constraint_in_logits(step, z, least, gradient) : 0;
    mtli_balanced_pass pass;
    if (status == MTL_OK) {
        status = validate_forum(step, &pass);
    }
    if (status == MTL_OK) {
        status = aggregate_forum(step, z, gradient, square);
    }
    mtli_balance_facts facts = {.losses = room->excess};
    return status == MTL_OK ? mtli_balancer_weigh(step->balancer, &facts, room->weights, room->own) : status;
}

mtl_status mtli_balanced_validation(mtl_objective *objective, mtl_optimizer *optimizer, mtl_evaluate_fn evaluate,
                                    void *user)
{
    mtl_balancer *balancer = objective->balancer;
    double inner = balancer->options.inner_rate;
    validation_step step = {.objective = objective,
                            .balancer = balancer,
                            .evaluate = evaluate,
                            .user = user,
                            .inner_rate = inner < 0 ? mtl_optimizer_learning_rate(optimizer) : inner};
    return balancer->options.method == MTL_BALANCE_FORUM ? step_forum(&step) : step_with_lookahead(&step);
}
