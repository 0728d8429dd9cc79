/* SPDX-License-Identifier: Apache-2.0
 * NULL for every pointer argument of every public function: a status with a message that names the argument, or the
 * documented value. A last test reads the headers and finds each function's name in this file. */
#include "support.h"
#include "two_tasks.h"

#include <ctype.h>
#include <glob.h>
#include <math.h>

/* ---- the object itself is NULL: nothing can keep a message ---- */

#define ARGUMENT(call) assert_int_equal((call), MTL_ERROR_ARGUMENT)

static mtl_status no_evaluation(void *user, mtl_tape *tape, int32_t draw, mtl_tensor **losses)
{
    (void)user;
    (void)tape;
    (void)draw;
    (void)losses;
    return MTL_OK;
}

static mtl_status no_token(void *user, const char *token, size_t size)
{
    (void)user;
    (void)token;
    (void)size;
    return MTL_OK;
}

static void constructors_without_a_context(void **state)
{
    (void)state;
    void *out = NULL;
    const int64_t zero = 0;
    mtl_lstm_options lstm = two_tasks_lstm();
    mtl_custom_encoder_options custom = MTL_CUSTOM_ENCODER_OPTIONS_INIT;
    mtl_table_options table = MTL_TABLE_OPTIONS_INIT;
    ARGUMENT(mtl_context_create(NULL, NULL));
    ARGUMENT(mtl_tensor_create(NULL, MTL_FLOAT32, 0, NULL, (mtl_tensor **)&out));
    ARGUMENT(mtl_tensor_create_ragged(NULL, 0, &zero, NULL, (mtl_tensor **)&out));
    ARGUMENT(mtl_tape_create(NULL, NULL, (mtl_tape **)&out));
    ARGUMENT(mtl_encoder_create_lstm(NULL, &lstm, (mtl_encoder **)&out));
    ARGUMENT(mtl_encoder_create_custom(NULL, &custom, (mtl_encoder **)&out));
    ARGUMENT(mtl_head_create_classifier(NULL, 1, 2, NULL, (mtl_head **)&out));
    ARGUMENT(mtl_head_create_multilabel(NULL, 1, 2, NULL, (mtl_head **)&out));
    ARGUMENT(mtl_head_create_regressor(NULL, 1, 2, NULL, (mtl_head **)&out));
    ARGUMENT(mtl_model_create(NULL, NULL, (mtl_model **)&out));
    ARGUMENT(mtl_metrics_create(NULL, 2, (mtl_metrics **)&out));
    ARGUMENT(mtl_tokenizer_create(NULL, NULL, (mtl_tokenizer **)&out));
    ARGUMENT(mtl_vocabulary_builder_create(NULL, NULL, (mtl_vocabulary_builder **)&out));
    ARGUMENT(mtl_vocabulary_load(NULL, "x", (mtl_vocabulary **)&out));
    ARGUMENT(mtl_dataset_open_table(NULL, "x", &table, (mtl_dataset **)&out));
    ARGUMENT(mtl_dataset_open_ag_news(NULL, "x", (mtl_dataset **)&out));
    ARGUMENT(mtl_dataset_open_imdb(NULL, "x", (mtl_dataset **)&out));
    ARGUMENT(mtl_dataset_create(NULL, NULL, NULL, 0, 2, (mtl_dataset **)&out));
    ARGUMENT(mtl_sampler_create(NULL, NULL, 1, NULL, (mtl_sampler **)&out));
    ARGUMENT(mtl_checkpoint_open(NULL, "x", (mtl_checkpoint **)&out));
    ARGUMENT(mtl_gradients_create(NULL, (mtl_gradients **)&out));
    ARGUMENT(mtl_objective_create(NULL, NULL, (mtl_objective **)&out));
    ARGUMENT(mtl_optimizer_create_sgd(NULL, NULL, (mtl_optimizer **)&out));
    ARGUMENT(mtl_optimizer_create_adam(NULL, NULL, (mtl_optimizer **)&out));
    ARGUMENT(mtl_optimizer_create_adamw(NULL, NULL, (mtl_optimizer **)&out));
    ARGUMENT(mtl_encoder_create_factorized(NULL, 1, NULL, (mtl_encoder **)&out));
    ARGUMENT(mtl_head_create_factorized(NULL, 1, NULL, (mtl_head **)&out));
    ARGUMENT(mtl_penalty_create(NULL, NULL, 2, NULL, (mtl_penalty **)&out));
    ARGUMENT(mtl_penalty_create_split(NULL, NULL, (mtl_penalty **)&out));
    ARGUMENT(mtl_balancer_create(NULL, NULL, (mtl_balancer **)&out));
    assert_null(out);
}

static void methods_without_an_object(void **state)
{
    (void)state;
    double value = 0;
    size_t size = 0;
    mtl_memory_info info;
    mtl_sampler_position position = {0, 0};
    mtl_batch *batch = NULL;
    ARGUMENT(mtl_context_last_status(NULL));
    assert_true(strlen(mtl_context_last_error(NULL)) > 0);
    ARGUMENT(mtl_context_memory(NULL, &info));
    ARGUMENT(mtl_context_set_seed(NULL, 0));
    ARGUMENT(mtl_tensor_read(NULL, MTL_FLOAT64, &value, 1));
    ARGUMENT(mtl_tensor_write(NULL, MTL_FLOAT64, &value, 1));
    ARGUMENT(mtl_tensor_map(NULL, MTL_FLOAT32, NULL));
    ARGUMENT(mtl_tensor_item(NULL, &value));
    ARGUMENT(mtl_tape_status(NULL));
    assert_true(strlen(mtl_tape_error(NULL)) > 0);
    ARGUMENT(mtl_tape_watch(NULL, NULL));
    ARGUMENT(mtl_tape_bind(NULL, NULL, NULL));
    ARGUMENT(mtl_tape_backward(NULL, NULL, 1, NULL));
    ARGUMENT(mtl_model_add_encoder(NULL, "x", NULL));
    ARGUMENT(mtl_model_add_head(NULL, "x", NULL));
    ARGUMENT(mtl_model_save(NULL, "x", NULL));
    ARGUMENT(mtl_gradients_read(NULL, NULL, MTL_FLOAT64, &value, 1));
    ARGUMENT(mtl_gradients_dot(NULL, NULL, &value));
    ARGUMENT(mtl_gradients_add(NULL, 1, NULL));
    ARGUMENT(mtl_gradients_clip(NULL, 1, NULL));
    ARGUMENT(mtl_objective_share_encoder(NULL, NULL));
    ARGUMENT(mtl_objective_add_task(NULL, "x", 1));
    ARGUMENT(mtl_objective_set_weight(NULL, 0, 1));
    ARGUMENT(mtl_objective_add_penalty(NULL, NULL));
    ARGUMENT(mtl_linear_fit(NULL, NULL, 1, NULL, NULL, NULL, 0, NULL, NULL));
    ARGUMENT(mtl_objective_backward(NULL, NULL, NULL, 0, NULL));
    ARGUMENT(mtl_objective_step(NULL, NULL, no_evaluation, NULL));
    ARGUMENT(mtl_optimizer_step(NULL, NULL));
    ARGUMENT(mtl_optimizer_set_learning_rate(NULL, 1));
    ARGUMENT(mtl_optimizer_add_group(NULL, "*", NULL, NULL));
    ARGUMENT(mtl_optimizer_set_schedule(NULL, NULL));
    ARGUMENT(mtl_optimizer_add_proximal(NULL, NULL));
    ARGUMENT(mtl_factorized_ranks(NULL, "weight", NULL, 0, NULL));
    ARGUMENT(mtl_factorized_sharing(NULL, "weight", NULL, 0, &value));
    ARGUMENT(mtl_factorized_read(NULL, "weight", 0, &value, 1));
    ARGUMENT(mtl_penalty_set_coefficient(NULL, 1));
    ARGUMENT(mtl_penalty_value(NULL, &value));
    ARGUMENT(mtl_penalty_singular_values(NULL, 0, 0, &value, 1, NULL));
    ARGUMENT(mtl_penalty_rank(NULL, 0, 0, 0, NULL));
    ARGUMENT(mtl_penalty_read(NULL, 0, 0, &value, 1));
    ARGUMENT(mtl_metrics_add(NULL, NULL, NULL));
    ARGUMENT(mtl_metrics_add_loss(NULL, 1, 1));
    ARGUMENT(mtl_tokenizer_run(NULL, "x", 1, no_token, NULL));
    ARGUMENT(mtl_vocabulary_builder_add(NULL, "x", 1));
    ARGUMENT(mtl_vocabulary_builder_add_dataset(NULL, NULL));
    ARGUMENT(mtl_vocabulary_builder_finish(NULL, NULL, NULL));
    ARGUMENT(mtl_vocabulary_encode(NULL, "x", 1, NULL, 0, &size));
    ARGUMENT(mtl_vocabulary_save(NULL, "x"));
    ARGUMENT(mtl_dataset_slice(NULL, 0, 0, NULL));
    ARGUMENT(mtl_dataset_text(NULL, 0, NULL, 0, &size));
    ARGUMENT(mtl_sampler_add_dataset(NULL, NULL, NULL, 0));
    ARGUMENT(mtl_sampler_next(NULL, &batch));
    ARGUMENT(mtl_sampler_tell(NULL, &position));
    ARGUMENT(mtl_sampler_seek(NULL, &position));
    ARGUMENT(mtl_checkpoint_vocabulary(NULL, NULL));
    ARGUMENT(mtl_checkpoint_load(NULL, NULL, NULL));
    ARGUMENT(mtl_checkpoint_restore(NULL, NULL));
    ARGUMENT(mtl_checkpoint_resume(NULL, NULL, NULL, NULL));
    ARGUMENT(mtl_op_call_set_shape(NULL, 0, NULL));
    ARGUMENT(mtl_balancer_set_measure(NULL, 0, 0));
    ARGUMENT(mtl_balancer_decide(NULL, 1, &value, &value, &value, NULL));
    ARGUMENT(mtl_balancer_set_monitor(NULL, NULL, NULL));
    ARGUMENT(mtl_balancer_save_state(NULL, &value, 0));
    ARGUMENT(mtl_balancer_load_state(NULL, &value, 0));
    ARGUMENT(mtl_objective_set_balancer(NULL, NULL));
    ARGUMENT(mtl_delta_m(NULL, 1, &value, &value, NULL, &value));
}

static void accessors_give_the_documented_values(void **state)
{
    (void)state;
    assert_int_equal(mtl_tensor_dtype(NULL), MTL_FLOAT32);
    assert_int_equal(mtl_tensor_ndim(NULL), 0);
    assert_int_equal(mtl_tensor_dim(NULL, 0), 0);
    assert_int_equal(mtl_tensor_size(NULL), 0);
    assert_int_equal(mtl_tensor_rows(NULL), -1);
    assert_null(mtl_tensor_offsets(NULL));
    assert_null(mtl_tape_gradient(NULL, NULL));
    assert_int_equal(mtl_encoder_output_dim(NULL), 0);
    assert_int_equal(mtl_encoder_num_parameters(NULL), 0);
    assert_null(mtl_encoder_parameter(NULL, NULL));
    assert_null(mtl_encoder_call_tape(NULL));
    assert_null(mtl_encoder_call_inputs(NULL));
    assert_null(mtl_encoder_call_parameter(NULL, 0));
    assert_int_equal(mtl_head_kind(NULL), MTL_HEAD_CLASSIFIER);
    assert_int_equal(mtl_head_output_dim(NULL), 0);
    assert_int_equal(mtl_head_num_parameters(NULL), 0);
    assert_null(mtl_head_parameter(NULL, NULL));
    assert_null(mtl_model_encoder(NULL, NULL));
    assert_null(mtl_model_head(NULL, NULL));
    assert_int_equal(mtl_model_num_parameters(NULL), 0);
    assert_int_equal(mtl_model_num_values(NULL), 0);
    assert_null(mtl_model_parameter(NULL, 0));
    assert_null(mtl_model_parameter_name(NULL, 0));
    assert_null(mtl_model_find_parameter(NULL, NULL));
    assert_int_equal(mtl_gradients_touched(NULL, NULL), 0);
    assert_int_equal(mtl_gradients_rows(NULL, NULL, NULL), -1);
    assert_near(mtl_gradients_norm(NULL), 0, 0);
    assert_int_equal(mtl_objective_num_tasks(NULL), 0);
    assert_null(mtl_objective_task_name(NULL, 0));
    assert_near(mtl_objective_weight(NULL, 0), 0, 0);
    assert_true(isnan(mtl_objective_task_loss(NULL, 0)));
    assert_true(isnan(mtl_objective_value(NULL)));
    assert_int_equal(mtl_optimizer_steps(NULL), 0);
    assert_near(mtl_optimizer_learning_rate(NULL), 0, 0);
    assert_null(mtl_encoder_factorized(NULL));
    assert_null(mtl_head_factorized(NULL));
    assert_int_equal(mtl_factorized_num_tasks(NULL), 0);
    assert_non_null(mtl_encoder_forward_task(NULL, NULL, 0, NULL));
    assert_non_null(mtl_head_forward_task(NULL, NULL, 0, NULL));
    assert_near(mtl_penalty_coefficient(NULL), 0, 0);
    assert_int_equal(mtl_penalty_num_networks(NULL), 0);
    assert_int_equal(mtl_penalty_num_parameters(NULL), 0);
    assert_null(mtl_penalty_parameter_name(NULL, 0));
    assert_int_equal(mtl_penalty_num_unmatched(NULL), 0);
    assert_null(mtl_penalty_unmatched_name(NULL, 0));
    assert_int_equal(mtl_penalty_num_matrices(NULL, 0), 0);
    assert_null(mtl_penalty_component(NULL, 0));
    assert_int_equal(mtl_metrics_rows(NULL), 0);
    assert_true(isnan(mtl_metrics_accuracy(NULL)));
    assert_true(isnan(mtl_metrics_macro_f1(NULL)));
    assert_int_equal(mtl_metrics_confusion(NULL, 0, 0), 0);
    assert_true(isnan(mtl_metrics_mean_loss(NULL)));
    assert_int_equal(mtl_vocabulary_size(NULL), 0);
    assert_int_equal(mtl_vocabulary_find(NULL, NULL, 0), MTL_TOKEN_UNKNOWN);
    assert_null(mtl_vocabulary_token(NULL, 0));
    assert_int_equal(mtl_vocabulary_count(NULL, 0), 0);
    assert_int_equal(mtl_vocabulary_fingerprint(NULL), 0);
    assert_int_equal(mtl_dataset_rows(NULL), 0);
    assert_int_equal(mtl_dataset_num_labels(NULL), 0);
    assert_int_equal(mtl_dataset_num_classes(NULL, 0), 0);
    assert_true(isnan(mtl_dataset_label(NULL, 0, 0)));
    assert_int_equal(mtl_sampler_batches(NULL), 0);
    assert_int_equal(mtl_sampler_tokens(NULL), 0);
    assert_null(mtl_batch_inputs(NULL));
    assert_null(mtl_batch_labels(NULL, 0));
    assert_int_equal(mtl_batch_rows(NULL), 0);
    assert_int_equal(mtl_batch_tokens(NULL), 0);
    assert_int_equal(mtl_batch_labelled(NULL, 0), 0);
    assert_int_equal(mtl_batch_source(NULL, 0, NULL), -1);
    assert_null(mtl_checkpoint_metadata(NULL, NULL));
    assert_int_equal(mtl_checkpoint_num_tensors(NULL), 0);
    assert_null(mtl_checkpoint_tensor_name(NULL, 0));
    assert_int_equal(mtl_op_call_num_inputs(NULL), 0);
    assert_null(mtl_op_call_input(NULL, 0));
    assert_null(mtl_op_call_input_data(NULL, 0));
    assert_null(mtl_op_call_output(NULL));
    assert_null(mtl_op_call_output_data(NULL));
    assert_null(mtl_op_call_output_gradient(NULL));
    assert_null(mtl_op_call_input_gradient(NULL, 0));
    assert_int_equal(mtl_balance_method_find(NULL), -1);
    assert_int_equal(mtl_balancer_memory(NULL), 0);
    assert_int_equal(mtl_balancer_state_size(NULL), 0);
    assert_int_equal(mtl_balancer_read(NULL, "weights", NULL, 0), -1);
    assert_near(mtl_objective_balance_weight(NULL, 0), 0, 0);
}

static void ends_and_references_take_null(void **state)
{
    (void)state;
    assert_null(mtl_context_retain(NULL));
    assert_null(mtl_tensor_retain(NULL));
    assert_null(mtl_encoder_retain(NULL));
    assert_null(mtl_head_retain(NULL));
    assert_null(mtl_tokenizer_retain(NULL));
    assert_null(mtl_vocabulary_retain(NULL));
    assert_null(mtl_dataset_retain(NULL));
    mtl_context_release(NULL);
    mtl_tensor_release(NULL);
    mtl_tensor_unmap(NULL);
    mtl_tape_destroy(NULL);
    mtl_tape_reset(NULL, MTL_TAPE_TRAIN);
    mtl_encoder_release(NULL);
    mtl_head_release(NULL);
    mtl_model_destroy(NULL);
    mtl_gradients_destroy(NULL);
    mtl_gradients_clear(NULL);
    mtl_gradients_scale(NULL, 2);
    mtl_objective_destroy(NULL);
    mtl_optimizer_destroy(NULL);
    mtl_penalty_destroy(NULL);
    mtl_balancer_destroy(NULL);
    mtl_balancer_reset(NULL);
    mtl_balancer_next_epoch(NULL);
    mtl_metrics_destroy(NULL);
    mtl_metrics_clear(NULL);
    mtl_tokenizer_release(NULL);
    mtl_vocabulary_release(NULL);
    mtl_vocabulary_builder_destroy(NULL);
    mtl_dataset_release(NULL);
    mtl_sampler_destroy(NULL);
    mtl_checkpoint_close(NULL);
}

/* ---- another argument is NULL: the message names it ---- */

typedef struct fixture {
    mtl_context *context;
    two_tasks tasks;
    mtl_tokenizer *tokenizer;
    mtl_vocabulary_builder *builder;
    mtl_vocabulary *vocabulary;
    mtl_dataset *dataset;
    mtl_sampler *sampler;
    mtl_metrics *metrics;
} fixture;

static void open_fixture(fixture *f)
{
    memset(f, 0, sizeof *f);
    const char *texts[] = {"good", "bad"};
    const int32_t labels[] = {1, 0};
    f->context = test_context();
    assert_ok(f->context, two_tasks_create(f->context, NULL, TWO_TASKS_ADAM, &f->tasks));
    assert_ok(f->context, mtl_tokenizer_create(f->context, NULL, &f->tokenizer));
    assert_ok(f->context, mtl_vocabulary_builder_create(f->context, f->tokenizer, &f->builder));
    assert_ok(f->context, mtl_vocabulary_builder_add(f->builder, "good bad", 8));
    assert_ok(f->context, mtl_vocabulary_builder_finish(f->builder, NULL, &f->vocabulary));
    assert_ok(f->context, mtl_dataset_create(f->context, texts, labels, 2, 2, &f->dataset));
    assert_ok(f->context, mtl_sampler_create(f->context, f->vocabulary, 1, NULL, &f->sampler));
    assert_ok(f->context, mtl_metrics_create(f->context, 2, &f->metrics));
}

static void close_fixture(fixture *f)
{
    mtl_metrics_destroy(f->metrics);
    mtl_sampler_destroy(f->sampler);
    mtl_dataset_release(f->dataset);
    mtl_vocabulary_release(f->vocabulary);
    mtl_vocabulary_builder_destroy(f->builder);
    mtl_tokenizer_release(f->tokenizer);
    two_tasks_destroy(&f->tasks);
    mtl_context_release(f->context);
}

#define NAMED(call, argument) assert_fails(f.context, (call), MTL_ERROR_ARGUMENT, argument)

static void constructors_name_what_is_null(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    mtl_context *c = f.context;
    mtl_model *m = f.tasks.model;
    mtl_lstm_options lstm = two_tasks_lstm();
    mtl_custom_encoder_options custom = MTL_CUSTOM_ENCODER_OPTIONS_INIT;
    const int32_t column = 0;
    mtl_table_options table = MTL_TABLE_OPTIONS_INIT;
    table.text_columns = &column;
    table.num_text_columns = 1;
    const int64_t zero = 0;
    void *out = NULL;
    NAMED(mtl_tensor_create(c, MTL_FLOAT32, 1, NULL, (mtl_tensor **)&out), "shape");
    NAMED(mtl_tensor_create(c, MTL_FLOAT32, 0, NULL, NULL), "out");
    NAMED(mtl_tensor_create_ragged(c, 0, NULL, NULL, (mtl_tensor **)&out), "offsets");
    NAMED(mtl_tensor_create_ragged(c, 0, &zero, NULL, NULL), "out");
    NAMED(mtl_tape_create(c, NULL, NULL), "out");
    NAMED(mtl_encoder_create_lstm(c, NULL, (mtl_encoder **)&out), "options");
    NAMED(mtl_encoder_create_lstm(c, &lstm, NULL), "out");
    NAMED(mtl_encoder_create_custom(c, NULL, (mtl_encoder **)&out), "options");
    NAMED(mtl_encoder_create_custom(c, &custom, NULL), "out");
    NAMED(mtl_encoder_create_custom(c, &custom, (mtl_encoder **)&out), "forward");
    NAMED(mtl_head_create_classifier(c, 1, 2, NULL, NULL), "out");
    NAMED(mtl_head_create_multilabel(c, 1, 2, NULL, NULL), "out");
    NAMED(mtl_head_create_regressor(c, 1, 2, NULL, NULL), "out");
    NAMED(mtl_model_create(c, NULL, NULL), "out");
    NAMED(mtl_metrics_create(c, 2, NULL), "out");
    NAMED(mtl_gradients_create(m, NULL), "out");
    NAMED(mtl_objective_create(m, NULL, NULL), "out");
    NAMED(mtl_optimizer_create_sgd(m, NULL, NULL), "out");
    NAMED(mtl_optimizer_create_adam(m, NULL, NULL), "out");
    NAMED(mtl_optimizer_create_adamw(m, NULL, NULL), "out");
    NAMED(mtl_tokenizer_create(c, NULL, NULL), "out");
    NAMED(mtl_vocabulary_builder_create(c, NULL, (mtl_vocabulary_builder **)&out), "tokenizer");
    NAMED(mtl_vocabulary_builder_create(c, f.tokenizer, NULL), "out");
    NAMED(mtl_vocabulary_builder_finish(f.builder, NULL, NULL), "out");
    NAMED(mtl_vocabulary_load(c, NULL, (mtl_vocabulary **)&out), "path");
    NAMED(mtl_vocabulary_load(c, "x", NULL), "out");
    NAMED(mtl_dataset_open_table(c, NULL, &table, (mtl_dataset **)&out), "path");
    NAMED(mtl_dataset_open_table(c, "x", NULL, (mtl_dataset **)&out), "options");
    NAMED(mtl_dataset_open_table(c, "x", &table, NULL), "out");
    table.text_columns = NULL;
    NAMED(mtl_dataset_open_table(c, "x", &table, (mtl_dataset **)&out), "text_columns");
    table.text_columns = &column;
    table.num_labels = 1;
    NAMED(mtl_dataset_open_table(c, "x", &table, (mtl_dataset **)&out), "labels");
    const mtl_label_column no_names = {0, MTL_LABELS_CLASS, NULL, 2};
    table.labels = &no_names;
    NAMED(mtl_dataset_open_table(c, "x", &table, (mtl_dataset **)&out), "classes");
    const char *const null_name[] = {NULL, NULL};
    const mtl_label_column null_names = {0, MTL_LABELS_CLASS, null_name, 2};
    table.labels = &null_names;
    NAMED(mtl_dataset_open_table(c, "x", &table, (mtl_dataset **)&out), NULL);
    NAMED(mtl_dataset_open_ag_news(c, NULL, (mtl_dataset **)&out), "path");
    NAMED(mtl_dataset_open_ag_news(c, "x", NULL), "out");
    NAMED(mtl_dataset_open_imdb(c, NULL, (mtl_dataset **)&out), "path");
    NAMED(mtl_dataset_open_imdb(c, "x", NULL), "out");
    NAMED(mtl_dataset_create(c, NULL, NULL, 1, 2, (mtl_dataset **)&out), "texts");
    NAMED(mtl_dataset_create(c, null_name, NULL, 2, 2, (mtl_dataset **)&out), "texts");
    NAMED(mtl_dataset_create(c, NULL, NULL, 0, 2, NULL), "out");
    NAMED(mtl_dataset_slice(f.dataset, 0, 1, NULL), "out");
    NAMED(mtl_sampler_create(c, NULL, 1, NULL, (mtl_sampler **)&out), "vocabulary");
    NAMED(mtl_sampler_create(c, f.vocabulary, 1, NULL, NULL), "out");
    NAMED(mtl_checkpoint_open(c, NULL, (mtl_checkpoint **)&out), "path");
    NAMED(mtl_checkpoint_open(c, "x", NULL), "out");
    assert_null(out);
    close_fixture(&f);
}

static void methods_name_what_is_null(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    two_tasks *t = &f.tasks;
    mtl_tensor *losses[2];
    double value = 0;
    two_tasks_losses(t, MTL_TAPE_TRAIN, losses);
    mtl_tensor *bias = mtl_head_parameter(t->heads[0], "bias");
    NAMED(mtl_context_memory(f.context, NULL), "out");
    NAMED(mtl_tensor_read(bias, MTL_FLOAT64, NULL, 2), "values");
    NAMED(mtl_tensor_write(bias, MTL_FLOAT64, NULL, 2), "values");
    NAMED(mtl_tensor_map(bias, MTL_FLOAT32, NULL), "data");
    NAMED(mtl_tensor_item(losses[0], NULL), "value");
    NAMED(mtl_tape_watch(t->tape, NULL), "tensor");
    NAMED(mtl_tape_bind(t->tape, NULL, bias), "parameter");
    NAMED(mtl_tape_bind(t->tape, bias, NULL), "tensor");
    assert_null(mtl_tape_gradient(t->tape, NULL));
    NAMED(mtl_tape_backward(t->tape, NULL, 1, t->gradients), "loss");
    NAMED(mtl_tape_backward(t->tape, losses[0], 1, NULL), "gradients");
    NAMED(mtl_model_add_encoder(t->model, NULL, t->encoder), "name");
    NAMED(mtl_model_add_encoder(t->model, "x", NULL), "encoder");
    NAMED(mtl_model_add_head(t->model, NULL, t->heads[0]), "name");
    NAMED(mtl_model_add_head(t->model, "x", NULL), "head");
    NAMED(mtl_model_save(t->model, NULL, NULL), "path");
    assert_null(mtl_model_encoder(t->model, NULL));
    assert_null(mtl_model_head(t->model, NULL));
    assert_null(mtl_model_find_parameter(t->model, NULL));
    assert_null(mtl_encoder_parameter(t->encoder, NULL));
    assert_null(mtl_head_parameter(t->heads[0], NULL));
    assert_int_equal(mtl_gradients_touched(t->gradients, NULL), 0);
    assert_int_equal(mtl_gradients_rows(t->gradients, NULL, NULL), -1);
    NAMED(mtl_gradients_read(t->gradients, NULL, MTL_FLOAT64, &value, 1), "parameter");
    NAMED(mtl_gradients_read(t->gradients, bias, MTL_FLOAT64, NULL, 2), "values");
    NAMED(mtl_gradients_dot(t->gradients, NULL, &value), "b");
    NAMED(mtl_gradients_dot(t->gradients, t->gradients, NULL), "out");
    NAMED(mtl_gradients_add(t->gradients, 1, NULL), "other");
    assert_ok(f.context, mtl_gradients_clip(t->gradients, 1, NULL)); /* allowed */
    NAMED(mtl_objective_share_encoder(t->objective, NULL), "encoder");
    NAMED(mtl_objective_add_task(t->objective, NULL, 1), "name");
    NAMED(mtl_objective_backward(t->objective, NULL, losses, 2, t->gradients), "tape");
    NAMED(mtl_objective_backward(t->objective, t->tape, NULL, 2, t->gradients), "losses");
    NAMED(mtl_objective_backward(t->objective, t->tape, losses, 2, NULL), "gradients");
    NAMED(mtl_objective_step(t->objective, NULL, no_evaluation, NULL), "optimizer");
    NAMED(mtl_objective_step(t->objective, t->optimizer, NULL, NULL), "evaluate");
    NAMED(mtl_optimizer_step(t->optimizer, NULL), "gradients");
    NAMED(mtl_optimizer_add_group(t->optimizer, NULL, NULL, NULL), "pattern");
    NAMED(mtl_optimizer_add_group(t->optimizer, "*", NULL, NULL), "options");
    assert_ok(f.context, mtl_optimizer_set_schedule(t->optimizer, NULL)); /* constant */
    NAMED(mtl_metrics_add(f.metrics, NULL, t->labels[0]), "logits");
    NAMED(mtl_metrics_add(f.metrics, losses[0], NULL), "labels");
    close_fixture(&f);
}

static void factorized_modules_name_what_is_null(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    mtl_encoder *encoder = NULL;
    mtl_head *head = NULL;
    mtl_encoder *no_encoder = NULL;
    mtl_head *no_head = NULL;
    int64_t count = 0;
    ARGUMENT(mtl_encoder_create_factorized(&no_encoder, 1, NULL, &encoder));
    ARGUMENT(mtl_head_create_factorized(&no_head, 1, NULL, &head));
    NAMED(mtl_encoder_create_factorized(&f.tasks.encoder, 1, NULL, NULL), "out");
    NAMED(mtl_head_create_factorized(&f.tasks.heads[0], 1, NULL, NULL), "out");
    assert_ok(f.context, mtl_encoder_create_factorized(&f.tasks.encoder, 1, NULL, &encoder));
    const mtl_factorized *factorized = mtl_encoder_factorized(encoder);
    NAMED(mtl_factorized_ranks(factorized, NULL, NULL, 0, &count), "name");
    NAMED(mtl_factorized_ranks(factorized, "lstm.weight_hh_l0", NULL, 0, NULL), "count");
    NAMED(mtl_factorized_sharing(factorized, NULL, NULL, 0, NULL), "name");
    NAMED(mtl_factorized_read(factorized, NULL, 0, NULL, 0), "name");
    NAMED(mtl_factorized_read(factorized, "lstm.weight_hh_l0", 0, NULL, 0), "values");
    mtl_encoder_release(encoder);
    close_fixture(&f);
}

static void penalties_name_what_is_null(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    const char *const modules[] = {"encoder", NULL};
    double value = 0;
    int64_t count = 0;
    mtl_penalty *penalty = NULL;
    mtl_penalty_options options = MTL_PENALTY_OPTIONS_INIT;
    options.kind = MTL_PENALTY_L1;
    NAMED(mtl_penalty_create(f.tasks.model, NULL, 1, &options, &penalty), "modules");
    NAMED(mtl_penalty_create(f.tasks.model, modules, 2, &options, &penalty), "modules[1]");
    NAMED(mtl_penalty_create(f.tasks.model, modules, 1, &options, NULL), "out");
    assert_null(penalty);
    assert_ok(f.context, mtl_penalty_create(f.tasks.model, modules, 1, &options, &penalty));
    NAMED(mtl_penalty_create_split(penalty, NULL, &penalty), "second");
    NAMED(mtl_penalty_create_split(penalty, penalty, NULL), "out");
    NAMED(mtl_penalty_value(penalty, NULL), "value");
    NAMED(mtl_penalty_singular_values(penalty, 0, 0, NULL, 1, &count), "values");
    NAMED(mtl_penalty_singular_values(penalty, 0, 0, &value, 1, NULL), "count");
    NAMED(mtl_penalty_rank(penalty, 0, 0, 0, NULL), "rank");
    NAMED(mtl_penalty_read(penalty, 0, 0, NULL, 1), "values");
    NAMED(mtl_objective_add_penalty(f.tasks.objective, NULL), "penalty");
    NAMED(mtl_optimizer_add_proximal(f.tasks.optimizer, NULL), "penalty");
    mtl_penalty_destroy(penalty);
    close_fixture(&f);
}

static void balancers_and_delta_name_what_is_null(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    double value = 1;
    mtl_balancer *balancer = NULL;
    mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
    options.method = MTL_BALANCE_MGDA;
    NAMED(mtl_balancer_create(f.context, &options, NULL), "out");
    assert_ok(f.context, mtl_balancer_create(f.context, &options, &balancer));
    NAMED(mtl_balancer_decide(balancer, 1, NULL, &value, &value, NULL), "losses");
    NAMED(mtl_balancer_decide(balancer, 1, &value, NULL, &value, NULL), "gram");
    NAMED(mtl_balancer_decide(balancer, 1, &value, &value, NULL, NULL), "weights");
    double weight;
    assert_ok(f.context, mtl_balancer_decide(balancer, 1, &value, &value, &weight, NULL));
    NAMED(mtl_balancer_save_state(balancer, NULL, mtl_balancer_state_size(balancer)), "buffer");
    NAMED(mtl_balancer_load_state(balancer, NULL, 0), "buffer");
    assert_ok(f.context, mtl_balancer_set_monitor(balancer, NULL, NULL));
    assert_int_equal(mtl_balancer_read(balancer, NULL, &value, 1), -1);
    assert_int_equal(mtl_balancer_read(balancer, "weights", NULL, 1), 1);
    assert_ok(f.context, mtl_objective_set_balancer(f.tasks.objective, NULL));
    mtl_balancer_destroy(balancer);
    NAMED(mtl_delta_m(f.context, 1, NULL, &value, NULL, &value), "measures");
    NAMED(mtl_delta_m(f.context, 1, &value, NULL, NULL, &value), "baselines");
    NAMED(mtl_delta_m(f.context, 1, &value, &value, NULL, NULL), "out");
    close_fixture(&f);
}

static void text_and_data_name_what_is_null(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    size_t size = 0;
    const int32_t task = 0;
    NAMED(mtl_tokenizer_run(f.tokenizer, NULL, 1, no_token, NULL), "text");
    NAMED(mtl_tokenizer_run(f.tokenizer, "x", 1, NULL, NULL), "receive");
    assert_ok(f.context, mtl_tokenizer_run(f.tokenizer, NULL, 0, no_token, NULL));
    NAMED(mtl_vocabulary_builder_add(f.builder, NULL, 1), "text");
    NAMED(mtl_vocabulary_builder_add_dataset(f.builder, NULL), "dataset");
    NAMED(mtl_vocabulary_encode(f.vocabulary, NULL, 1, NULL, 0, &size), "text");
    NAMED(mtl_vocabulary_encode(f.vocabulary, "x", 1, NULL, 1, &size), "ids");
    NAMED(mtl_vocabulary_encode(f.vocabulary, "x", 1, NULL, 0, NULL), "count");
    assert_ok(f.context, mtl_vocabulary_encode(f.vocabulary, NULL, 0, NULL, 0, &size));
    NAMED(mtl_vocabulary_save(f.vocabulary, NULL), "path");
    assert_int_equal(mtl_vocabulary_find(f.vocabulary, NULL, 0), MTL_TOKEN_UNKNOWN);
    assert_int_equal(mtl_vocabulary_find(f.vocabulary, NULL, 5), MTL_TOKEN_UNKNOWN);
    NAMED(mtl_dataset_text(f.dataset, 0, NULL, 5, &size), "text");
    NAMED(mtl_dataset_text(f.dataset, 0, NULL, 0, NULL), "size");
    NAMED(mtl_sampler_add_dataset(f.sampler, NULL, &task, 1), "dataset");
    NAMED(mtl_sampler_add_dataset(f.sampler, f.dataset, NULL, 1), "tasks");
    assert_ok(f.context, mtl_sampler_add_dataset(f.sampler, f.dataset, &task, 1));
    NAMED(mtl_sampler_next(f.sampler, NULL), "batch");
    NAMED(mtl_sampler_tell(f.sampler, NULL), "position");
    NAMED(mtl_sampler_seek(f.sampler, NULL), "position");
    mtl_batch *batch = NULL;
    assert_ok(f.context, mtl_sampler_next(f.sampler, &batch));
    assert_non_null(batch);
    assert_true(mtl_batch_source(batch, 0, NULL) >= 0);
    close_fixture(&f);
}

static void checkpoints_name_what_is_null(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f);
    test_folder folder;
    test_folder_create(&folder);
    const char *path = test_path(&folder, "model");
    mtl_checkpoint *checkpoint;
    assert_ok(f.context, mtl_model_save(f.tasks.model, path, NULL));
    mtl_save_options save = MTL_SAVE_OPTIONS_INIT;
    save.num_metadata = 1;
    NAMED(mtl_model_save(f.tasks.model, path, &save), NULL);
    assert_ok(f.context, mtl_checkpoint_open(f.context, path, &checkpoint));
    assert_null(mtl_checkpoint_metadata(checkpoint, NULL));
    NAMED(mtl_checkpoint_vocabulary(checkpoint, NULL), "out");
    NAMED(mtl_checkpoint_load(checkpoint, NULL, NULL), "model");
    NAMED(mtl_checkpoint_restore(checkpoint, NULL), "out");
    NAMED(mtl_checkpoint_resume(checkpoint, NULL, NULL, NULL), "model");
    NAMED(mtl_checkpoint_resume(checkpoint, f.tasks.model, NULL, NULL), "training");
    mtl_checkpoint_close(checkpoint);
    test_folder_remove(&folder);
    close_fixture(&f);
}

/* ---- operations: no tape, then no inputs ---- */

static mtl_tensor *call_operation(int which, mtl_tape *tape, mtl_tensor *x)
{
    mtl_tensor *const none[] = {NULL};
    const mtl_lstm_weights weights = {NULL, NULL, NULL, NULL};
    mtl_custom_op_options custom = MTL_CUSTOM_OP_OPTIONS_INIT;
    /* clang-format off */
    switch (which) {
    case 0: return mtl_linear(tape, x, NULL, NULL);
    case 1: return mtl_add(tape, x, NULL);
    case 2: return mtl_mul(tape, x, NULL);
    case 3: return mtl_embedding(tape, x, NULL);
    case 4: return mtl_lstm(tape, x, NULL, 1, 0, 0);
    case 5: return mtl_lstm(tape, x, &weights, 1, 0, 0);
    case 6: return mtl_concat(tape, NULL, 1);
    case 7: return mtl_concat(tape, none, 1);
    case 8: return mtl_rows(tape, x, NULL);
    case 9: return mtl_cross_entropy(tape, x, NULL, NULL);
    case 10: return mtl_binary_cross_entropy(tape, x, NULL, NULL);
    case 11: return mtl_mean_squared_error(tape, x, NULL);
    case 12: return mtl_huber(tape, x, NULL, 1);
    case 13: return mtl_custom_op(tape, NULL, none, 1);
    case 14: return mtl_custom_op(tape, &custom, NULL, 1);
    case 15: return mtl_scale(tape, NULL, 1);
    case 16: return mtl_tanh(tape, NULL);
    case 17: return mtl_sigmoid(tape, NULL);
    case 18: return mtl_relu(tape, NULL);
    case 19: return mtl_gelu(tape, NULL);
    case 20: return mtl_dropout(tape, NULL, 0.5);
    case 21: return mtl_softmax(tape, NULL);
    case 22: return mtl_log_softmax(tape, NULL);
    case 23: return mtl_layer_norm(tape, NULL, NULL, NULL, 1e-5);
    case 24: return mtl_sequence_last(tape, NULL, 0);
    case 25: return mtl_sequence_mean(tape, NULL);
    case 26: return mtl_sequence_max(tape, NULL);
    case 27: return mtl_sum(tape, NULL);
    case 28: return mtl_mean(tape, NULL);
    case 29: return mtl_encoder_forward(NULL, tape, x);
    case 30: return mtl_head_forward(NULL, tape, x);
    case 31: return mtl_orthogonality(tape, x, NULL, NULL);
    case 32: return mtl_cosine_similarity(tape, x, NULL, NULL);
    default: return NULL;
    }
    /* clang-format on */
}

static void operations_without_tape_or_inputs(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtl_tape *tape;
    mtl_tensor *x;
    const int64_t shape[] = {2, 2};
    assert_ok(context, mtl_tape_create(context, NULL, &tape));
    assert_ok(context, mtl_tensor_create(context, MTL_FLOAT32, 2, shape, &x));
    for (int which = 0; call_operation(which, NULL, NULL); which++) {
        for (int given = 0; given <= 1; given++) {
            assert_non_null(call_operation(which, NULL, given ? x : NULL));
            mtl_tape_reset(tape, given ? MTL_TAPE_TRAIN : MTL_TAPE_INFER);
            mtl_tensor *result = call_operation(which, tape, given ? x : NULL);
            assert_non_null(result);
            double value;
            assert_fails(context, mtl_tensor_item(result, &value), MTL_ERROR_STATE, "error tensor");
            /* A float x where ids are wanted may be found first. */
            mtl_status status = mtl_tape_status(tape);
            if (status != MTL_ERROR_ARGUMENT && !(given && (status == MTL_ERROR_DTYPE || status == MTL_ERROR_SHAPE))) {
                fail_msg("operation %d: %s: %s", which, mtl_status_name(status), mtl_tape_error(tape));
            }
            assert_true(strlen(mtl_tape_error(tape)) > 0);
        }
    }
    mtl_tensor_release(x);
    mtl_tape_destroy(tape);
    mtl_context_release(context);
}

/* ---- completeness ---- */

/* Without a pointer argument. */
static const char *const exempt[] = {"mtl_version",     "mtl_build_info",          "mtl_status_name",
                                     "mtl_status_text", "mtl_balance_method_name", "mtl_balance_method_needs"};

static bool is_exempt(const char *name)
{
    for (size_t i = 0; i < sizeof exempt / sizeof exempt[0]; i++) {
        if (strcmp(name, exempt[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* Every "MTL_API ... mtl_name(" of a header. Returns how many there are. */
static int check_header(const char *header, const char *source)
{
    int functions = 0;
    for (const char *at = strstr(header, "\nMTL_API "); at; at = strstr(at + 1, "\nMTL_API ")) {
        const char *end = strchr(at, '(');
        assert_non_null(end);
        const char *begin = end;
        while (begin > at && (begin[-1] == '_' || isalnum((unsigned char)begin[-1]))) {
            begin--;
        }
        char call[128];
        snprintf(call, sizeof call, "%.*s", (int)(end - begin), begin);
        if (!is_exempt(call)) {
            snprintf(call, sizeof call, "%.*s(", (int)(end - begin), begin);
            if (!strstr(source, call)) {
                fail_msg("%s...) is not called with NULL in this file", call);
            }
        }
        functions++;
    }
    return functions;
}

static void every_public_function_is_here(void **state)
{
    (void)state;
    char *source = test_read_file(MTL_TEST_SOURCE_DIR "/api/test_null.c", NULL);
    glob_t headers;
    assert_int_equal(glob(MTL_TEST_SOURCE_DIR "/../include/mtl/*.h", 0, NULL, &headers), 0);
    int functions = 0;
    for (size_t i = 0; i < headers.gl_pathc; i++) {
        char *header = test_read_file(headers.gl_pathv[i], NULL);
        functions += check_header(header, source);
        free(header);
    }
    assert_true(functions > 150);
    globfree(&headers);
    free(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(constructors_without_a_context),       cmocka_unit_test(methods_without_an_object),
        cmocka_unit_test(accessors_give_the_documented_values), cmocka_unit_test(ends_and_references_take_null),
        cmocka_unit_test(constructors_name_what_is_null),       cmocka_unit_test(methods_name_what_is_null),
        cmocka_unit_test(factorized_modules_name_what_is_null), cmocka_unit_test(balancers_and_delta_name_what_is_null),
        cmocka_unit_test(penalties_name_what_is_null),          cmocka_unit_test(text_and_data_name_what_is_null),
        cmocka_unit_test(checkpoints_name_what_is_null),        cmocka_unit_test(operations_without_tape_or_inputs),
        cmocka_unit_test(every_public_function_is_here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
