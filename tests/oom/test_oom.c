/* SPDX-License-Identifier: Apache-2.0
 * The k-th allocation fails, k = 0, 1, ... until none does: every object, training steps, inference, batches. The status is
 * MTL_ERROR_MEMORY with a message, everything is given back, and after a single failure the same call succeeds. */
#include "support.h"
#include "two_tasks.h"

/* ---- the loop ---- */

typedef enum failure_mode {
    ONCE,      /* one allocation fails; the scenario gives up */
    FOR_EVER,  /* that one and all after it */
    AND_RETRY, /* one fails; the call is made again and the scenario goes on */
    MODES
} failure_mode;

typedef struct oom_run {
    mtl_context *context;
    bool retry;
    int failures;
    bool silent;         /* a failure came without a message */
    double result[2048]; /* what the scenario computed, to be compared with a run without failures */
    size_t size;
} oom_run;

typedef mtl_status (*oom_scenario)(oom_run *run);

static bool again(oom_run *run, mtl_status status)
{
    if (status != MTL_ERROR_MEMORY) {
        return false;
    }
    run->failures++;
    run->silent = run->silent || mtl_context_last_error(run->context)[0] == '\0' ||
                  mtl_context_last_status(run->context) != MTL_ERROR_MEMORY;
    return run->retry && run->failures == 1;
}

/* Makes the call unless an earlier one failed; makes it once more after the first failure where the mode says so. */
#define ATTEMPT(run, status, call) \
    do { \
        if ((status) == MTL_OK) { \
            (status) = (call); \
            if (again((run), (status))) { \
                (status) = (call); \
            } \
        } \
    } while (0)

static bool run_once(oom_scenario scenario, long k, failure_mode mode, oom_run *run)
{
    mtl_test_allocator allocator;
    test_allocator_init(&allocator);
    memset(run, 0, sizeof *run);
    run->retry = mode == AND_RETRY;
    run->context = test_context_on(&allocator);
    assert_non_null(run->context);
    allocator.fail_at = k < 0 ? -1 : allocator.calls + k;
    allocator.fail_forever = mode == FOR_EVER;
    mtl_status status = scenario(run);
    bool reached = k >= 0 && allocator.calls > allocator.fail_at;
    mtl_context_release(run->context);
    test_allocator_check(&allocator);
    mtl_status expected = reached && mode != AND_RETRY ? MTL_ERROR_MEMORY : MTL_OK;
    if (status != expected || run->silent || (reached && run->failures == 0)) {
        fail_msg("allocation %ld, mode %d: %s after %d failures%s", k, (int)mode, mtl_status_name(status),
                 run->failures, run->silent ? ", one without a message" : "");
    }
    return reached;
}

static void fail_each_allocation(oom_scenario scenario)
{
    static oom_run reference;
    static oom_run run;
    run_once(scenario, -1, ONCE, &reference);
    for (int mode = 0; mode < MODES; mode++) {
        long k = 0;
        while (run_once(scenario, k, (failure_mode)mode, &run)) {
            k++;
            if (mode == AND_RETRY && (run.size != reference.size ||
                                      memcmp(run.result, reference.result, run.size * sizeof run.result[0]) != 0)) {
                fail_msg("after a failure of allocation %ld the result is another", k - 1);
            }
        }
        assert_true(k > 0);
    }
}

/* ---- contexts ---- */

static void contexts_with_threads(void **state)
{
    (void)state;
    for (int fail_forever = 0; fail_forever <= 1; fail_forever++) {
        mtl_status status = MTL_ERROR_MEMORY;
        for (long k = 0; status != MTL_OK; k++) {
            mtl_test_allocator allocator;
            test_allocator_init(&allocator);
            allocator.fail_at = k;
            allocator.fail_forever = fail_forever;
            mtl_context_options options = MTL_CONTEXT_OPTIONS_INIT;
            options.allocator = &allocator.hook;
            options.threads = 3;
            mtl_context *context = NULL;
            status = mtl_context_create(&options, &context);
            assert_true(status == MTL_OK ? context != NULL && k == 2 : status == MTL_ERROR_MEMORY && !context);
            mtl_context_release(context);
            test_allocator_check(&allocator);
        }
    }
}

/* ---- single objects ---- */

static mtl_status tensors_scenario(oom_run *run)
{
    mtl_status status = MTL_OK;
    mtl_tensor *plain = NULL;
    mtl_tensor *ragged = NULL;
    const int64_t shape[] = {3, 4};
    ATTEMPT(run, status, mtl_tensor_create(run->context, MTL_FLOAT32, 2, shape, &plain));
    ATTEMPT(run, status,
            mtl_tensor_create_ragged(run->context, TWO_TASKS_ROWS, two_tasks_offsets, two_tasks_tokens, &ragged));
    mtl_tensor_release(plain);
    mtl_tensor_release(ragged);
    return status;
}

static void tensors(void **state)
{
    (void)state;
    fail_each_allocation(tensors_scenario);
}

static mtl_tensor *forward_custom(void *user, mtl_encoder_call *call)
{
    (void)user;
    mtl_tape *tape = mtl_encoder_call_tape(call);
    return mtl_linear(tape, mtl_encoder_call_inputs(call), mtl_encoder_call_parameter(call, 0), NULL);
}

static mtl_status create_custom(mtl_context *context, mtl_encoder **out)
{
    const mtl_parameter_spec specs[] = {{"weight", {3, 4}, 2, MTL_INIT_UNIFORM, 0.5},
                                        {"unused", {7}, 1, MTL_INIT_NORMAL, 1}};
    mtl_custom_encoder_options options = MTL_CUSTOM_ENCODER_OPTIONS_INIT;
    options.forward = forward_custom;
    options.parameters = specs;
    options.num_parameters = 2;
    options.output_dim = 3;
    return mtl_encoder_create_custom(context, &options, out);
}

static mtl_status modules_scenario(oom_run *run)
{
    mtl_status status = MTL_OK;
    mtl_encoder *lstm = NULL;
    mtl_encoder *custom = NULL;
    mtl_head *heads[3] = {NULL, NULL, NULL};
    mtl_lstm_options options = two_tasks_lstm();
    options.num_layers = 2;
    options.bidirectional = 1;
    mtl_head_options hidden = MTL_HEAD_OPTIONS_INIT;
    hidden.hidden_dim = 4;
    ATTEMPT(run, status, mtl_encoder_create_lstm(run->context, &options, &lstm));
    ATTEMPT(run, status, create_custom(run->context, &custom));
    ATTEMPT(run, status, mtl_head_create_classifier(run->context, 3, 2, NULL, &heads[0]));
    ATTEMPT(run, status, mtl_head_create_multilabel(run->context, 3, 2, &hidden, &heads[1]));
    ATTEMPT(run, status, mtl_head_create_regressor(run->context, 3, 2, &hidden, &heads[2]));
    if (status == MTL_OK) {
        run->size = 6;
        status = mtl_tensor_read(mtl_head_parameter(heads[0], "weight"), MTL_FLOAT64, run->result, 6);
    }
    mtl_encoder_release(lstm);
    mtl_encoder_release(custom);
    for (int i = 0; i < 3; i++) {
        mtl_head_release(heads[i]);
    }
    return status;
}

static void modules(void **state)
{
    (void)state;
    fail_each_allocation(modules_scenario);
}

typedef struct training_objects {
    mtl_encoder *encoder;
    mtl_head *head;
    mtl_model *model;
    mtl_objective *objective;
    mtl_optimizer *optimizers[3];
    mtl_gradients *gradients[2];
    mtl_metrics *metrics;
    mtl_tape *tape;
} training_objects;

static void release_objects(training_objects *o)
{
    mtl_encoder_release(o->encoder);
    mtl_head_release(o->head);
    mtl_objective_destroy(o->objective);
    mtl_model_destroy(o->model);
    for (int i = 0; i < 3; i++) {
        mtl_optimizer_destroy(o->optimizers[i]);
    }
    mtl_gradients_destroy(o->gradients[0]);
    mtl_gradients_destroy(o->gradients[1]);
    mtl_metrics_destroy(o->metrics);
    mtl_tape_destroy(o->tape);
}

static mtl_status objects_scenario(oom_run *run)
{
    mtl_status status = MTL_OK;
    training_objects o;
    memset(&o, 0, sizeof o);
    mtl_lstm_options lstm = two_tasks_lstm();
    mtl_sgd_options sgd = MTL_SGD_OPTIONS_INIT;
    sgd.momentum = 0.5;
    mtl_tape_options tape = MTL_TAPE_OPTIONS_INIT;
    tape.initial_bytes = 100000;
    ATTEMPT(run, status, mtl_encoder_create_lstm(run->context, &lstm, &o.encoder));
    ATTEMPT(run, status, mtl_head_create_classifier(run->context, TWO_TASKS_HIDDEN, 2, NULL, &o.head));
    ATTEMPT(run, status, mtl_model_create(run->context, NULL, &o.model));
    ATTEMPT(run, status, mtl_model_add_encoder(o.model, "encoder", o.encoder));
    ATTEMPT(run, status, mtl_model_add_head(o.model, "head", o.head));
    ATTEMPT(run, status, mtl_objective_create(o.model, NULL, &o.objective));
    ATTEMPT(run, status, mtl_objective_share_encoder(o.objective, o.encoder));
    for (int i = 0; i < 5; i++) {
        const char name[] = {(char)('a' + i), '\0'};
        ATTEMPT(run, status, mtl_objective_add_task(o.objective, name, i));
    }
    ATTEMPT(run, status, mtl_optimizer_create_sgd(o.model, &sgd, &o.optimizers[0]));
    ATTEMPT(run, status, mtl_optimizer_create_adam(o.model, NULL, &o.optimizers[1]));
    ATTEMPT(run, status, mtl_optimizer_create_adamw(o.model, NULL, &o.optimizers[2]));
    ATTEMPT(run, status, mtl_gradients_create(o.model, &o.gradients[0]));
    ATTEMPT(run, status, mtl_gradients_create(o.model, &o.gradients[1]));
    ATTEMPT(run, status, mtl_gradients_add(o.gradients[0], 1, o.gradients[1]));
    ATTEMPT(run, status, mtl_metrics_create(run->context, 10, &o.metrics));
    ATTEMPT(run, status, mtl_tape_create(run->context, &tape, &o.tape));
    if (status == MTL_OK) {
        run->result[0] = mtl_objective_num_tasks(o.objective);
        run->result[1] = (double)mtl_model_num_parameters(o.model);
        run->size = 2;
    }
    release_objects(&o);
    return status;
}

static void objects_of_training(void **state)
{
    (void)state;
    fail_each_allocation(objects_scenario);
}

/* ---- whole steps ---- */

static mtl_status keep_weights(oom_run *run, two_tasks *tasks, mtl_status status)
{
    if (status == MTL_OK) {
        run->size = (size_t)two_tasks_size(tasks);
        assert_true(run->size <= sizeof run->result / sizeof run->result[0]);
        status = two_tasks_weights(tasks, run->result);
    }
    return status;
}

/* In parts that were made the weights are drawn: a second attempt begins where the generator began. */
static mtl_status create_tasks(oom_run *run, const mtl_lstm_options *lstm, int optimizer, two_tasks *tasks)
{
    mtl_status status = two_tasks_create(run->context, lstm, optimizer, tasks);
    if (again(run, status)) {
        two_tasks_destroy(tasks);
        status = mtl_context_set_seed(run->context, 0);
        status = status == MTL_OK ? two_tasks_create(run->context, lstm, optimizer, tasks) : status;
    }
    return status;
}

static mtl_status train_scenario(oom_run *run, const mtl_lstm_options *lstm, int optimizer)
{
    two_tasks tasks;
    mtl_status status = create_tasks(run, lstm, optimizer, &tasks);
    for (int step = 0; step < 3; step++) {
        ATTEMPT(run, status, two_tasks_step(&tasks));
    }
    status = keep_weights(run, &tasks, status);
    two_tasks_destroy(&tasks);
    return status;
}

static mtl_status train_small(oom_run *run)
{
    return train_scenario(run, NULL, TWO_TASKS_ADAM);
}

static mtl_status train_large(oom_run *run)
{
    mtl_lstm_options lstm = two_tasks_lstm();
    lstm.num_layers = 2;
    lstm.bidirectional = 1;
    lstm.pooling = MTL_POOLING_MAX;
    return train_scenario(run, &lstm, TWO_TASKS_SGD);
}

static void training_steps(void **state)
{
    (void)state;
    fail_each_allocation(train_small);
    fail_each_allocation(train_large);
}

static mtl_status evaluate(void *user, mtl_tape *tape, int32_t draw, mtl_tensor **losses)
{
    (void)draw;
    two_tasks *t = user;
    mtl_tensor *features = mtl_encoder_forward(t->encoder, tape, t->inputs);
    for (int k = 0; k < 2; k++) {
        losses[k] = mtl_cross_entropy(tape, mtl_head_forward(t->heads[k], tape, features), t->labels[k], NULL);
    }
    return MTL_OK;
}

static mtl_status step_scenario(oom_run *run)
{
    two_tasks tasks;
    mtl_status status = create_tasks(run, NULL, TWO_TASKS_ADAMW, &tasks);
    for (int step = 0; step < 2; step++) {
        ATTEMPT(run, status, mtl_objective_step(tasks.objective, tasks.optimizer, evaluate, &tasks));
    }
    status = keep_weights(run, &tasks, status);
    two_tasks_destroy(&tasks);
    return status;
}

static void steps_by_callback(void **state)
{
    (void)state;
    fail_each_allocation(step_scenario);
}

/* Weights with a formula, so that a second attempt at everything gives the same. */
static mtl_status set_weights(mtl_model *model)
{
    mtl_status status = MTL_OK;
    for (int64_t i = 0; i < mtl_model_num_parameters(model) && status == MTL_OK; i++) {
        mtl_tensor *parameter = mtl_model_parameter(model, i);
        double values[256];
        for (int64_t k = 0; k < mtl_tensor_size(parameter); k++) {
            values[k] = (double)((i + 3 * k) % 7 - 3) / 8;
        }
        status = mtl_tensor_write(parameter, MTL_FLOAT64, values, (size_t)mtl_tensor_size(parameter));
    }
    return status;
}

static mtl_status infer(two_tasks *tasks, mtl_metrics *metrics)
{
    mtl_tape_reset(tasks->tape, MTL_TAPE_INFER);
    mtl_tensor *h = mtl_encoder_forward(tasks->encoder, tasks->tape, tasks->inputs);
    mtl_tensor *logits = mtl_head_forward(tasks->heads[0], tasks->tape, h);
    mtl_tensor *probabilities = mtl_softmax(tasks->tape, logits);
    mtl_status status = mtl_tape_status(tasks->tape);
    return status == MTL_OK ? mtl_metrics_add(metrics, probabilities, tasks->labels[0]) : status;
}

static mtl_status inference_scenario(oom_run *run)
{
    two_tasks tasks;
    mtl_metrics *metrics = NULL;
    mtl_status status = create_tasks(run, NULL, TWO_TASKS_SGD, &tasks);
    if (status == MTL_OK) {
        status = set_weights(tasks.model);
    }
    ATTEMPT(run, status, mtl_metrics_create(run->context, 2, &metrics));
    ATTEMPT(run, status, infer(&tasks, metrics));
    if (status == MTL_OK) {
        run->result[0] = mtl_metrics_accuracy(metrics);
        run->result[1] = (double)mtl_metrics_rows(metrics);
        run->size = 2;
    }
    mtl_metrics_destroy(metrics);
    two_tasks_destroy(&tasks);
    return status;
}

static void inference_and_metrics(void **state)
{
    (void)state;
    fail_each_allocation(inference_scenario);
}

/* ---- host functions, watched and bound tensors ---- */

static mtl_status square_forward(void *user, mtl_op_call *call)
{
    (void)user;
    const float *x = mtl_op_call_input_data(call, 0);
    float *y = mtl_op_call_output_data(call);
    for (int64_t i = 0; i < mtl_tensor_size(mtl_op_call_output(call)); i++) {
        y[i] = x[i] * x[i];
    }
    return MTL_OK;
}

static mtl_status square_backward(void *user, mtl_op_call *call)
{
    (void)user;
    const float *x = mtl_op_call_input_data(call, 0);
    const float *dy = mtl_op_call_output_gradient(call);
    float *dx = mtl_op_call_input_gradient(call, 0);
    if (!dx) {
        return MTL_ERROR_MEMORY;
    }
    for (int64_t i = 0; i < mtl_tensor_size(mtl_op_call_output(call)); i++) {
        dx[i] += 2 * x[i] * dy[i];
    }
    return MTL_OK;
}

typedef struct host_functions {
    mtl_encoder *encoder;
    mtl_model *model;
    mtl_gradients *gradients;
    mtl_tape *tape;
    mtl_tensor *x;
    mtl_tensor *fast;
} host_functions;

static mtl_status custom_pass(host_functions *h, double *result)
{
    mtl_custom_op_options square = MTL_CUSTOM_OP_OPTIONS_INIT;
    square.name = "square";
    square.forward = square_forward;
    square.backward = square_backward;
    mtl_tape_reset(h->tape, MTL_TAPE_TRAIN);
    mtl_status status = mtl_tape_watch(h->tape, h->x);
    if (status == MTL_OK) {
        status = mtl_tape_watch(h->tape, h->fast);
    }
    if (status == MTL_OK) {
        status = mtl_tape_bind(h->tape, mtl_encoder_parameter(h->encoder, "weight"), h->fast);
    }
    if (status != MTL_OK) {
        return status;
    }
    mtl_tensor *y = mtl_encoder_forward(h->encoder, h->tape, h->x);
    mtl_tensor *loss = mtl_sum(h->tape, mtl_custom_op(h->tape, &square, &y, 1));
    status = mtl_tape_backward(h->tape, loss, 1, h->gradients);
    if (status != MTL_OK) {
        return status;
    }
    mtl_tensor *dx = mtl_tape_gradient(h->tape, h->x);
    mtl_tensor *dw = dx ? mtl_tape_gradient(h->tape, h->fast) : NULL;
    if (!dx || !dw) {
        return MTL_ERROR_MEMORY;
    }
    status = mtl_tensor_read(dx, MTL_FLOAT64, result, 8);
    return status == MTL_OK ? mtl_tensor_read(dw, MTL_FLOAT64, result + 8, 12) : status;
}

static mtl_status host_functions_scenario(oom_run *run)
{
    mtl_status status = MTL_OK;
    host_functions h;
    memset(&h, 0, sizeof h);
    const int64_t shape[] = {2, 4};
    const int64_t weight[] = {3, 4};
    const double values[] = {1, 2, 3, 4, -1, 0.5, 0.25, 2, 1, 1, -1, 3};
    ATTEMPT(run, status, create_custom(run->context, &h.encoder));
    ATTEMPT(run, status, mtl_model_create(run->context, NULL, &h.model));
    ATTEMPT(run, status, mtl_model_add_encoder(h.model, "mine", h.encoder));
    ATTEMPT(run, status, mtl_gradients_create(h.model, &h.gradients));
    ATTEMPT(run, status, mtl_tape_create(run->context, NULL, &h.tape));
    ATTEMPT(run, status, mtl_tensor_create(run->context, MTL_FLOAT32, 2, shape, &h.x));
    ATTEMPT(run, status, mtl_tensor_create(run->context, MTL_FLOAT32, 2, weight, &h.fast));
    if (status == MTL_OK) {
        status = mtl_tensor_write(h.x, MTL_FLOAT64, values, 8);
    }
    if (status == MTL_OK) {
        status = mtl_tensor_write(h.fast, MTL_FLOAT64, values, 12);
    }
    ATTEMPT(run, status, custom_pass(&h, run->result));
    run->size = status == MTL_OK ? 20 : 0;
    mtl_tensor_release(h.x);
    mtl_tensor_release(h.fast);
    mtl_tape_destroy(h.tape);
    mtl_gradients_destroy(h.gradients);
    mtl_model_destroy(h.model);
    mtl_encoder_release(h.encoder);
    return status;
}

static void functions_of_the_host(void **state)
{
    (void)state;
    fail_each_allocation(host_functions_scenario);
}

/* ---- batches ---- */

enum { TEXTS = 12 };

typedef struct batches {
    mtl_tokenizer *tokenizer;
    mtl_vocabulary_builder *builder;
    mtl_vocabulary *vocabulary;
    mtl_dataset *dataset;
    mtl_sampler *sampler;
} batches;

static mtl_status draw_epoch(oom_run *run, mtl_sampler *sampler)
{
    for (;;) {
        mtl_status status = MTL_OK;
        mtl_batch *batch = NULL;
        ATTEMPT(run, status, mtl_sampler_next(sampler, &batch));
        if (status != MTL_OK || !batch) {
            return status;
        }
        size_t tokens = (size_t)mtl_batch_tokens(batch);
        int32_t ids[512];
        assert_true(tokens <= 512);
        status = mtl_tensor_read(mtl_batch_inputs(batch), MTL_INT32, ids, tokens);
        for (size_t i = 0; i < tokens && status == MTL_OK; i++) {
            run->result[run->size++] = ids[i];
        }
    }
}

static mtl_status batches_scenario(oom_run *run)
{
    static const char *const texts[TEXTS] = {"a good day", "bad",        "so it is",  "and so on and on",
                                             "good",       "",           "a bad day", "very good",
                                             "not so bad", "day by day", "what",      "is it"};
    const int32_t labels[TEXTS] = {1, 0, 1, 0, 1, 0, 0, 1, 1, 1, 0, 0};
    const int32_t task = 0;
    mtl_status status = MTL_OK;
    batches b;
    memset(&b, 0, sizeof b);
    mtl_sampler_options options = MTL_SAMPLER_OPTIONS_INIT;
    options.batch_rows = 5;
    ATTEMPT(run, status, mtl_tokenizer_create(run->context, NULL, &b.tokenizer));
    ATTEMPT(run, status, mtl_vocabulary_builder_create(run->context, b.tokenizer, &b.builder));
    ATTEMPT(run, status, mtl_dataset_create(run->context, texts, labels, TEXTS, 2, &b.dataset));
    if (status == MTL_OK) { /* counting may have counted a part: no second attempt on the same builder */
        status = mtl_vocabulary_builder_add_dataset(b.builder, b.dataset);
        if (again(run, status)) {
            mtl_vocabulary_builder_destroy(b.builder);
            b.builder = NULL;
            status = mtl_vocabulary_builder_create(run->context, b.tokenizer, &b.builder);
            status = status == MTL_OK ? mtl_vocabulary_builder_add_dataset(b.builder, b.dataset) : status;
        }
    }
    ATTEMPT(run, status, mtl_vocabulary_builder_finish(b.builder, NULL, &b.vocabulary));
    ATTEMPT(run, status, mtl_sampler_create(run->context, b.vocabulary, 1, &options, &b.sampler));
    ATTEMPT(run, status, mtl_sampler_add_dataset(b.sampler, b.dataset, &task, 1));
    for (int epoch = 0; epoch < 2 && status == MTL_OK; epoch++) {
        status = draw_epoch(run, b.sampler);
    }
    mtl_sampler_destroy(b.sampler);
    mtl_dataset_release(b.dataset);
    mtl_vocabulary_release(b.vocabulary);
    mtl_vocabulary_builder_destroy(b.builder);
    mtl_tokenizer_release(b.tokenizer);
    return status;
}

static void batches_of_a_sampler(void **state)
{
    (void)state;
    fail_each_allocation(batches_scenario);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contexts_with_threads),
        cmocka_unit_test(tensors),
        cmocka_unit_test(modules),
        cmocka_unit_test(objects_of_training),
        cmocka_unit_test(training_steps),
        cmocka_unit_test(steps_by_callback),
        cmocka_unit_test(inference_and_metrics),
        cmocka_unit_test(functions_of_the_host),
        cmocka_unit_test(batches_of_a_sampler),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
