/* SPDX-License-Identifier: Apache-2.0
 * What a linear fit reads and writes: heads, rows and weights. Everything is checked before anything is written. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "sharing/linear.h"

/* Heads ----------------------------------------------------------------------------------------------------------- */

static mtl_status find_linear_head(mtli_linear_call *call, int32_t t, bool *used)
{
    const mtl_model *model = call->model;
    const char *name = call->names[t];
    if (!name) {
        return mtli_fail(call->context, MTL_ERROR_ARGUMENT, "heads[%" PRId32 "] is NULL", t);
    }
    for (int32_t i = 0; i < model->num_entries; i++) {
        if (model->entries[i].head && strcmp(model->entries[i].name, name) == 0) {
            if (used[i]) {
                return mtli_fail(call->context, MTL_ERROR_ARGUMENT, "heads[%" PRId32 "] = '%.80s' stands there twice",
                                 t, name);
            }
            used[i] = true;
            call->heads[t] = model->entries[i].head;
            return MTL_OK;
        }
    }
    return mtli_fail(call->context, MTL_ERROR_ARGUMENT, "heads[%" PRId32 "] = '%.80s' is not a head of the model", t,
                     name);
}

static mtl_status check_linear_head(const mtli_linear_call *call, int32_t t)
{
    const mtl_head *head = call->heads[t];
    const char *name = call->names[t];
    if (head->kind == MTL_HEAD_CLASSIFIER || head->output_dim != 1) {
        return mtli_fail(call->context, MTL_ERROR_ARGUMENT,
                         "head '%s' is a %s with %" PRId64
                         " outputs: it must be a regressor with one output or a multilabel head with one label",
                         name, mtli_head_kind_names[head->kind], head->output_dim);
    }
    if (head->options.hidden_dim > 0) {
        return mtli_fail(call->context, MTL_ERROR_ARGUMENT, "head '%s' has a hidden layer: it is not linear", name);
    }
    if (head->in_dim != call->heads[0]->in_dim) {
        return mtli_fail(call->context, MTL_ERROR_SHAPE,
                         "head '%s' takes %" PRId64 " features, head '%s' takes %" PRId64, name, head->in_dim,
                         call->names[0], call->heads[0]->in_dim);
    }
    return MTL_OK;
}

static double row_scale(const mtli_linear_call *call, int32_t t, int64_t rows)
{
    const mtl_linear_options *options = &call->options;
    bool squares = call->heads[t]->kind == MTL_HEAD_REGRESSOR;
    double scale = options->task_weights ? options->task_weights[t] : 1;
    scale *= squares && options->squares == MTL_SQUARES_WHOLE ? 2 : 1;
    return options->reduction == MTL_REDUCTION_MEAN && rows > 0 ? scale / (double)rows : scale;
}

mtl_status mtli_linear_find_heads(mtli_linear_call *call, int32_t count)
{
    mtli_linear_problem *problem = &call->problem;
    size_t entries = (size_t)call->model->num_entries;
    call->heads = mtli_arena_take_array(&call->arena, (size_t)count, sizeof call->heads[0]);
    problem->tasks = mtli_arena_take_array(&call->arena, (size_t)count, sizeof problem->tasks[0]);
    bool *used = mtli_arena_take_array(&call->arena, entries, sizeof used[0]);
    if (!call->heads || !problem->tasks || !used) {
        return call->context->status;
    }
    memset(problem->tasks, 0, (size_t)count * sizeof problem->tasks[0]);
    memset(used, 0, entries * sizeof used[0]);
    mtl_status status = MTL_OK;
    problem->count = count;
    problem->all_squares = true;
    for (int32_t t = 0; t < count && status == MTL_OK; t++) {
        status = find_linear_head(call, t, used);
        if (status == MTL_OK) {
            status = check_linear_head(call, t);
        }
        if (status == MTL_OK) {
            problem->features = call->heads[0]->in_dim;
            problem->tasks[t].logistic = call->heads[t]->kind == MTL_HEAD_MULTILABEL;
            problem->all_squares = problem->all_squares && !problem->tasks[t].logistic;
        }
    }
    return status;
}

/* Rows ------------------------------------------------------------------------------------------------------------ */

static mtl_status check_data_tensor(const mtli_linear_call *call, const char *name, int32_t t, const mtl_tensor *tensor)
{
    if (!tensor) {
        return mtli_fail(call->context, MTL_ERROR_ARGUMENT, "%s[%" PRId32 "] is NULL", name, t);
    }
    if (tensor->kind == MTLI_TENSOR_ERROR) {
        return mtli_fail(call->context, MTL_ERROR_STATE,
                         "%s[%" PRId32 "] is the error tensor of a tape: mtl_tape_error() says what failed", name, t);
    }
    if (tensor->shape.dtype != MTLI_DTYPE_REAL) {
        return mtli_fail(call->context, MTL_ERROR_DTYPE, "%s[%" PRId32 "] is %s, not real", name, t,
                         mtli_dtype_name(tensor->shape.dtype));
    }
    return MTL_OK;
}

static mtl_status check_task_shapes(const mtli_linear_call *call, int32_t t)
{
    const mtl_tensor *features = call->features[t];
    const mtl_tensor *targets = call->targets[t];
    char text[MTLI_SHAPE_TEXT];
    char other[MTLI_SHAPE_TEXT];
    mtl_status status = check_data_tensor(call, "features", t, features);
    if (status == MTL_OK) {
        status = check_data_tensor(call, "targets", t, targets);
    }
    if (status != MTL_OK) {
        return status;
    }
    const int64_t *dims = features->shape.dims;
    if (features->shape.ndim != 2 || dims[1] != call->problem.features) {
        return mtli_fail(call->context, MTL_ERROR_SHAPE, "features[%" PRId32 "] is %s, not [rows, %" PRId64 "]", t,
                         mtli_shape_text(&features->shape, text), call->problem.features);
    }
    bool column = targets->shape.ndim == 1 || (targets->shape.ndim == 2 && targets->shape.dims[1] == 1);
    if (!column || targets->shape.dims[0] != dims[0]) {
        return mtli_fail(call->context, MTL_ERROR_SHAPE,
                         "targets[%" PRId32 "] is %s, features[%" PRId32 "] is %s: there must be a target per row", t,
                         mtli_shape_text(&targets->shape, text), t, mtli_shape_text(&features->shape, other));
    }
    return MTL_OK;
}

/* How many rows have a target. */
static mtl_status count_targets(const mtli_linear_call *call, int32_t t, int64_t *rows)
{
    const mtl_tensor *targets = call->targets[t];
    const mtli_real *y = targets->data;
    *rows = 0;
    for (int64_t i = 0; i < targets->size; i++) {
        double value = (double)y[i];
        if (isinf(value)) {
            return mtli_fail(call->context, MTL_ERROR_NUMERIC, "targets[%" PRId32 "] of row %" PRId64 " is infinite", t,
                             i);
        }
        if (call->problem.tasks[t].logistic && (value < 0 || value > 1)) {
            return mtli_fail(call->context, MTL_ERROR_ARGUMENT,
                             "targets[%" PRId32 "] of row %" PRId64 " = %g is not in [0, 1]", t, i, value);
        }
        *rows += !isnan(value);
    }
    return MTL_OK;
}

static mtl_status take_task(mtli_linear_call *call, mtli_linear_task *task)
{
    mtli_arena *arena = &call->arena;
    size_t rows = (size_t)task->rows;
    size_t d = (size_t)task->features;
    task->x = mtli_arena_take_array(arena, rows * d, sizeof task->x[0]); /* as many as the tensor has, or fewer */
    task->y = mtli_arena_take_array(arena, rows, sizeof task->y[0]);
    task->z = mtli_arena_take_array(arena, rows, sizeof task->z[0]);
    task->u = mtli_arena_take_array(arena, rows, sizeof task->u[0]);
    task->means = mtli_arena_take_array(arena, d, sizeof task->means[0]);
    bool done = task->x && task->y && task->z && task->u && task->means;
    if (done && mtli_linear_task_wants_gram(task)) {
        task->gram = mtli_arena_take_array(arena, d * d, sizeof task->gram[0]);
        task->moment = mtli_arena_take_array(arena, d, sizeof task->moment[0]);
        done = task->gram && task->moment;
    }
    return done ? MTL_OK : call->context->status;
}

/* Rows without a target are left out, whatever stands in them. */
static mtl_status copy_rows(const mtli_linear_call *call, int32_t t)
{
    mtli_linear_task *task = &call->problem.tasks[t];
    const mtli_real *x = call->features[t]->data;
    const mtli_real *y = call->targets[t]->data;
    int64_t d = task->features;
    int64_t row = 0;
    for (int64_t i = 0; i < call->targets[t]->size; i++) {
        if (isnan((double)y[i])) {
            continue;
        }
        task->y[row] = (double)y[i];
        for (int64_t j = 0; j < d; j++) {
            double value = (double)x[i * d + j];
            if (!isfinite(value)) {
                return mtli_fail(call->context, MTL_ERROR_NUMERIC,
                                 "features[%" PRId32 "] at [%" PRId64 ", %" PRId64 "] is not finite", t, i, j);
            }
            task->x[row * d + j] = value;
        }
        row++;
    }
    return MTL_OK;
}

static mtl_status read_task(mtli_linear_call *call, int32_t t)
{
    mtli_linear_task *task = &call->problem.tasks[t];
    task->features = call->problem.features;
    task->fit_bias = call->options.fit_bias != 0;
    mtl_status status = check_task_shapes(call, t);
    if (status == MTL_OK) {
        status = count_targets(call, t, &task->rows);
    }
    task->scale = row_scale(call, t, task->rows);
    if (status == MTL_OK) {
        status = take_task(call, task);
    }
    return status == MTL_OK ? copy_rows(call, t) : status;
}

mtl_status mtli_linear_read_data(mtli_linear_call *call)
{
    mtl_status status = MTL_OK;
    for (int32_t t = 0; t < call->problem.count && status == MTL_OK; t++) {
        status = read_task(call, t);
    }
    return status;
}

/* Weights --------------------------------------------------------------------------------------------------------- */

static mtli_real *head_values(const mtli_linear_call *call, int32_t t, const char *name)
{
    return mtli_parameters_find(call->heads[t]->parameters, name)->data;
}

mtl_status mtli_linear_read_weights(mtli_linear_call *call)
{
    mtli_linear_problem *problem = &call->problem;
    for (int32_t t = 0; t < problem->count; t++) {
        const mtli_real *w = head_values(call, t, "weight");
        for (int64_t j = 0; j < problem->features; j++) {
            double rest = problem->num_parts > 1 ? (double)call->split->parts[1]->w[t][j] : 0;
            double value = (double)w[j] - rest;
            if (!isfinite(value)) {
                return mtli_fail(call->context, MTL_ERROR_NUMERIC, "'%s.weight' at %" PRId64 " is not finite",
                                 call->names[t], j);
            }
            problem->at.parts[0].columns[t][j] = value;
            if (problem->num_parts > 1) {
                problem->at.parts[1].columns[t][j] = rest;
            }
        }
    }
    return MTL_OK;
}

/* The bias that goes to a head: 0 without a bias; without rows what it was. */
static mtli_real solved_bias(const mtli_linear_call *call, int32_t t)
{
    const mtli_linear_task *task = &call->problem.tasks[t];
    if (!task->fit_bias) {
        return 0;
    }
    return task->rows > 0 ? (mtli_real)mtli_linear_task_bias(task, call->problem.weights.columns[t])
                          : head_values(call, t, "bias")[0];
}

static mtl_status check_solution(const mtli_linear_call *call, int32_t t)
{
    const mtli_linear_problem *problem = &call->problem;
    bool finite = isfinite(solved_bias(call, t)) || problem->tasks[t].rows == 0;
    for (int64_t j = 0; j < problem->features && finite; j++) {
        finite = isfinite((mtli_real)problem->weights.columns[t][j]);
        for (int32_t k = 0; k < problem->num_parts && finite; k++) {
            finite = isfinite((mtli_real)problem->at.parts[k].columns[t][j]);
        }
    }
    return finite
               ? MTL_OK
               : mtli_fail(call->context, MTL_ERROR_NUMERIC, "the solution of head '%s' is not finite", call->names[t]);
}

static void write_parts(const mtli_linear_call *call, int32_t t)
{
    const mtli_linear_problem *problem = &call->problem;
    mtli_real *first = call->split->parts[0]->w[t];
    mtli_real *second = call->split->parts[1]->w[t];
    for (int64_t j = 0; j < problem->features; j++) {
        if (problem->num_parts > 1) {
            first[j] = (mtli_real)problem->at.parts[0].columns[t][j];
            second[j] = (mtli_real)problem->at.parts[1].columns[t][j];
        } else { /* without coefficients the first part follows the sum */
            first[j] = (mtli_real)(problem->weights.columns[t][j] - (double)second[j]);
        }
    }
}

mtl_status mtli_linear_write_weights(mtli_linear_call *call)
{
    mtli_linear_problem *problem = &call->problem;
    mtl_status status = MTL_OK;
    mtli_linear_sum(problem, &problem->at, &problem->weights);
    for (int32_t t = 0; t < problem->count && status == MTL_OK; t++) {
        status = check_solution(call, t);
    }
    for (int32_t t = 0; t < problem->count && status == MTL_OK; t++) {
        mtli_real *w = head_values(call, t, "weight");
        head_values(call, t, "bias")[0] = solved_bias(call, t);
        for (int64_t j = 0; j < problem->features; j++) {
            w[j] = (mtli_real)problem->weights.columns[t][j];
        }
        if (call->split) {
            write_parts(call, t);
        }
    }
    return status;
}
