/* SPDX-License-Identifier: Apache-2.0
 * The small training run of resumed_run.h. */
#include "resumed_run.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MOST_ROWS = 40, TEXT_BYTES = 160, STEPS_OF_SCHEDULE = 20 };

static const int64_t rows_of[RESUMED_TASKS] = {40, 30};
static const int32_t classes_of[RESUMED_TASKS] = {2, 3};
static const char *const names_of[RESUMED_TASKS] = {"first", "second"};
static const char *const sampler_name[1] = {"train"};

resumed_plan resumed_plan_usual(void)
{
    return (resumed_plan){RESUMED_ADAM, MTL_SPARSE_LAZY, -1, MTL_SCHEDULE_COSINE, 0, MTL_SAMPLING_PROPORTIONAL, 0.3};
}

/* ---- text ---- */

static mtl_status make_dataset(resumed_run *r, int task)
{
    char texts[MOST_ROWS][TEXT_BYTES];
    const char *pointers[MOST_ROWS];
    int32_t labels[MOST_ROWS];
    for (int row = 0; row < rows_of[task]; row++) {
        int words = (row * 7 + task * 3) % 11 + 1;
        int used = 0;
        labels[row] = (row * 5 + task) % classes_of[task];
        for (int w = 0; w < words; w++) {
            used += snprintf(texts[row] + used, (size_t)(TEXT_BYTES - used), " w%d",
                             (row * 3 + w * (5 + labels[row])) % 29);
        }
        pointers[row] = texts[row];
    }
    return mtl_dataset_create(r->context, pointers, labels, rows_of[task], classes_of[task], &r->datasets[task]);
}

static mtl_status make_vocabulary(resumed_run *r)
{
    mtl_tokenizer *tokenizer = NULL;
    mtl_vocabulary_builder *builder = NULL;
    mtl_status status = mtl_tokenizer_create(r->context, NULL, &tokenizer);
    if (status == MTL_OK) {
        status = mtl_vocabulary_builder_create(r->context, tokenizer, &builder);
    }
    for (int t = 0; t < RESUMED_TASKS && status == MTL_OK; t++) {
        status = mtl_vocabulary_builder_add_dataset(builder, r->datasets[t]);
    }
    if (status == MTL_OK) {
        status = mtl_vocabulary_builder_finish(builder, NULL, &r->vocabulary);
    }
    mtl_vocabulary_builder_destroy(builder);
    mtl_tokenizer_release(tokenizer);
    return status;
}

static mtl_status make_sampler(resumed_run *r)
{
    mtl_sampler_options options = MTL_SAMPLER_OPTIONS_INIT;
    options.batch_rows = 8;
    options.bucket_batches = 3;
    options.seed = 77;
    options.strategy = r->plan.sampling;
    mtl_status status = mtl_sampler_create(r->context, r->vocabulary, RESUMED_TASKS, &options, &r->sampler);
    for (int32_t t = 0; t < RESUMED_TASKS && status == MTL_OK; t++) {
        status = mtl_sampler_add_dataset(r->sampler, r->datasets[t], &t, 1);
    }
    return status;
}

static mtl_status make_text(resumed_run *r)
{
    mtl_status status = MTL_OK;
    for (int t = 0; t < RESUMED_TASKS && status == MTL_OK; t++) {
        status = make_dataset(r, t);
    }
    if (status == MTL_OK) {
        status = make_vocabulary(r);
    }
    return status == MTL_OK ? make_sampler(r) : status;
}

/* ---- model ---- */

static mtl_status make_modules(resumed_run *r)
{
    mtl_lstm_options lstm = MTL_LSTM_OPTIONS_INIT;
    lstm.vocabulary_size = mtl_vocabulary_size(r->vocabulary);
    lstm.embedding_dim = 4;
    lstm.hidden_dim = 5;
    lstm.embedding_dropout = 0.2;
    lstm.output_dropout = r->plan.output_rate;
    mtl_status status = mtl_model_create(r->context, NULL, &r->model);
    if (status == MTL_OK) {
        status = mtl_encoder_create_lstm(r->context, &lstm, &r->encoder);
    }
    if (status == MTL_OK) {
        status = mtl_model_add_encoder(r->model, "encoder", r->encoder);
    }
    for (int t = 0; t < RESUMED_TASKS && status == MTL_OK; t++) {
        status = mtl_head_create_classifier(r->context, 5, classes_of[t], NULL, &r->heads[t]);
        if (status == MTL_OK) {
            status = mtl_model_add_head(r->model, names_of[t], r->heads[t]);
        }
    }
    return status;
}

static mtl_status make_optimizer(resumed_run *r)
{
    mtl_sgd_options sgd = MTL_SGD_OPTIONS_INIT;
    mtl_adam_options adam = MTL_ADAM_OPTIONS_INIT;
    mtl_schedule_options schedule = MTL_SCHEDULE_OPTIONS_INIT;
    sgd.learning_rate = 0.05;
    sgd.momentum = 0.9;
    sgd.weight_decay = adam.weight_decay = 0.01;
    sgd.clip_norm = adam.clip_norm = 1;
    sgd.sparse = adam.sparse = r->plan.sparse;
    adam.learning_rate = 0.02;
    schedule.kind = r->plan.schedule;
    schedule.warmup_steps = 3;
    schedule.total_steps = STEPS_OF_SCHEDULE;
    schedule.period = 4;
    schedule.gamma = 0.5;
    mtl_status status = r->plan.optimizer == RESUMED_SGD ? mtl_optimizer_create_sgd(r->model, &sgd, &r->optimizer)
                        : r->plan.optimizer == RESUMED_ADAM
                            ? mtl_optimizer_create_adam(r->model, &adam, &r->optimizer)
                            : mtl_optimizer_create_adamw(r->model, &adam, &r->optimizer);
    return status == MTL_OK ? mtl_optimizer_set_schedule(r->optimizer, &schedule) : status;
}

static mtl_status make_split(resumed_run *r)
{
    const char *const networks[1] = {"encoder"};
    mtl_penalty_options options = MTL_PENALTY_OPTIONS_INIT;
    options.kind = MTL_PENALTY_L21;
    options.group = MTL_GROUP_ROW;
    options.coefficient = 0.05;
    mtl_status status = mtl_penalty_create(r->model, networks, 1, &options, &r->parts[0]);
    options.kind = MTL_PENALTY_L1;
    options.coefficient = 0.02;
    if (status == MTL_OK) {
        status = mtl_penalty_create(r->model, networks, 1, &options, &r->parts[1]);
    }
    if (status == MTL_OK) {
        status = mtl_penalty_create_split(r->parts[0], r->parts[1], &r->split);
    }
    return status == MTL_OK ? mtl_optimizer_add_proximal(r->optimizer, r->split) : status;
}

static mtl_status make_penalties(resumed_run *r)
{
    mtl_penalty_options options = MTL_PENALTY_OPTIONS_INIT;
    options.form = MTL_L2_RIDGE;
    options.coefficient = 0.001;
    mtl_status status = mtl_penalty_create(r->model, names_of, 1, &options, &r->ridge);
    if (status == MTL_OK) {
        status = mtl_objective_add_penalty(r->objective, r->ridge);
    }
    return status == MTL_OK && r->plan.split ? make_split(r) : status;
}

static mtl_status make_balancer(resumed_run *r)
{
    mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
    options.method = r->plan.method;
    mtl_status status = mtl_balancer_create(r->context, &options, &r->balancer);
    return status == MTL_OK ? mtl_objective_set_balancer(r->objective, r->balancer) : status;
}

static mtl_status make_objective(resumed_run *r)
{
    mtl_status status = mtl_objective_create(r->model, NULL, &r->objective);
    if (status == MTL_OK) {
        status = mtl_objective_share_encoder(r->objective, r->encoder);
    }
    for (int t = 0; t < RESUMED_TASKS && status == MTL_OK; t++) {
        status = mtl_objective_add_task(r->objective, names_of[t], 1 - 0.25 * t);
    }
    return status == MTL_OK && r->plan.method >= 0 ? make_balancer(r) : status;
}

mtl_status resumed_run_create(mtl_context *context, const resumed_plan *plan, resumed_run *out)
{
    memset(out, 0, sizeof *out);
    out->context = context;
    out->plan = *plan;
    mtl_status status = make_text(out);
    if (status == MTL_OK) {
        status = make_modules(out);
    }
    if (status == MTL_OK) {
        status = make_objective(out);
    }
    if (status == MTL_OK) {
        status = make_optimizer(out);
    }
    if (status == MTL_OK) {
        status = make_penalties(out);
    }
    for (int t = 0; t < RESUMED_TASKS && status == MTL_OK; t++) {
        status = mtl_metrics_create(context, classes_of[t], &out->metrics[t]);
    }
    return status;
}

void resumed_run_destroy(resumed_run *r)
{
    for (int t = 0; t < RESUMED_TASKS; t++) {
        mtl_metrics_destroy(r->metrics[t]);
        mtl_head_release(r->heads[t]);
        mtl_dataset_release(r->datasets[t]);
        mtl_penalty_destroy(r->parts[t]);
    }
    mtl_penalty_destroy(r->split);
    mtl_penalty_destroy(r->ridge);
    mtl_balancer_destroy(r->balancer);
    mtl_optimizer_destroy(r->optimizer);
    mtl_objective_destroy(r->objective);
    mtl_encoder_release(r->encoder);
    mtl_model_destroy(r->model);
    mtl_sampler_destroy(r->sampler);
    mtl_vocabulary_release(r->vocabulary);
}

/* ---- training ---- */

static mtl_status evaluate(void *user, mtl_tape *tape, int32_t draw, mtl_tensor **losses)
{
    resumed_run *r = user;
    (void)draw; /* the same rows for every look */
    mtl_tensor *features = mtl_encoder_forward(r->encoder, tape, mtl_batch_inputs(r->batch));
    for (int32_t t = 0; t < RESUMED_TASKS; t++) {
        r->logits[t] = mtl_head_forward(r->heads[t], tape, features);
        losses[t] = mtl_cross_entropy(tape, r->logits[t], mtl_batch_labels(r->batch, t), NULL);
    }
    return MTL_OK;
}

static mtl_status end_epoch(resumed_run *r)
{
    mtl_balancer_next_epoch(r->balancer);
    for (int t = 0; t < RESUMED_TASKS; t++) {
        mtl_metrics_clear(r->metrics[t]);
    }
    return mtl_sampler_next(r->sampler, &r->batch);
}

/* What a host may change between steps. */
static mtl_status change_settings(resumed_run *r, int step)
{
    mtl_group_options group = MTL_GROUP_OPTIONS_INIT;
    mtl_status status = MTL_OK;
    group.learning_rate_scale = 0.5;
    group.weight_decay = 0;
    if (step == 3) {
        status = mtl_objective_set_weight(r->objective, 0, 1.5);
        if (status == MTL_OK) {
            status = mtl_optimizer_set_learning_rate(r->optimizer, 0.03);
        }
        if (status == MTL_OK) {
            status = mtl_optimizer_add_group(r->optimizer, "second.*", &group, NULL);
        }
        if (status == MTL_OK) {
            status = mtl_penalty_set_coefficient(r->ridge, 0.002);
        }
        if (status == MTL_OK && r->split) {
            status = mtl_penalty_set_coefficient(r->parts[1], 0.03);
        }
    }
    return status;
}

static mtl_status gather(resumed_run *r, int step)
{
    mtl_status status = MTL_OK;
    for (int32_t t = 0; t < RESUMED_TASKS && status == MTL_OK; t++) {
        double loss = mtl_objective_task_loss(r->objective, t);
        r->losses[step][t] = loss;
        if (mtl_batch_labelled(r->batch, t) > 0) {
            status = mtl_metrics_add(r->metrics[t], r->logits[t], mtl_batch_labels(r->batch, t));
            if (status == MTL_OK) {
                status = mtl_metrics_add_loss(r->metrics[t], loss, mtl_batch_labelled(r->batch, t));
            }
        }
    }
    r->losses[step][RESUMED_TASKS] = mtl_objective_value(r->objective);
    return status;
}

static mtl_status take_step(resumed_run *r, int step)
{
    mtl_status status = change_settings(r, step);
    if (status == MTL_OK) {
        status = mtl_sampler_next(r->sampler, &r->batch);
    }
    if (status == MTL_OK && !r->batch) {
        status = end_epoch(r);
    }
    if (status == MTL_OK) {
        status = mtl_objective_step(r->objective, r->optimizer, evaluate, r);
    }
    if (status == MTL_OK) {
        status = gather(r, step);
    }
    if (status == MTL_OK && r->plan.method == MTL_BALANCE_PRIORITIZATION) {
        status = mtl_balancer_set_measure(r->balancer, 0, 0.1 + 0.02 * step);
    }
    return status;
}

mtl_status resumed_run_steps(resumed_run *r, int from, int to)
{
    mtl_status status = MTL_OK;
    for (int step = from; step < to && status == MTL_OK; step++) {
        status = take_step(r, step);
    }
    return status;
}

/* ---- files ---- */

mtl_training_state resumed_run_state(resumed_run *r)
{
    mtl_training_state state = MTL_TRAINING_STATE_INIT;
    state.objective = r->objective;
    state.optimizer = r->optimizer;
    state.samplers = &r->sampler;
    state.sampler_names = sampler_name;
    state.num_samplers = 1;
    state.metrics = r->metrics;
    state.metrics_names = names_of;
    state.num_metrics = RESUMED_TASKS;
    return state;
}

mtl_status resumed_run_save(resumed_run *r, const char *path)
{
    mtl_training_state state = resumed_run_state(r);
    mtl_save_options options = MTL_SAVE_OPTIONS_INIT;
    options.vocabulary = r->vocabulary;
    options.training = &state;
    return mtl_model_save(r->model, path, &options);
}

mtl_status resumed_run_load(resumed_run *r, const char *path)
{
    mtl_training_state state = resumed_run_state(r);
    mtl_load_options options = MTL_LOAD_OPTIONS_INIT;
    mtl_checkpoint *checkpoint = NULL;
    options.vocabulary = r->vocabulary;
    mtl_status status = mtl_checkpoint_open(r->context, path, &checkpoint);
    if (status == MTL_OK) {
        status = mtl_checkpoint_resume(checkpoint, r->model, &state, &options);
    }
    mtl_checkpoint_close(checkpoint);
    return status;
}
