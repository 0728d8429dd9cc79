/* SPDX-License-Identifier: Apache-2.0
 * The k-th allocation fails while factorized modules are made, run, read, saved and restored: the status is
 * MTL_ERROR_MEMORY, and everything is given back. */
#include "factored_tasks.h"
#include "support.h"

enum { TASKS = 3 };

static const int32_t kinds[] = {MTL_FACTORIZATION_LAF, MTL_FACTORIZATION_TUCKER, MTL_FACTORIZATION_TENSOR_TRAIN};

typedef struct modules {
    factored_tasks tasks;
    mtl_encoder *encoder;
    mtl_head *head;
    mtl_model *model;
    mtl_gradients *gradients;
    mtl_tape *tape;
    mtl_checkpoint *checkpoint;
    mtl_model *restored;
} modules;

static mtl_status make(modules *m, mtl_context *context, int32_t kind)
{
    mtl_factorized_options options = MTL_FACTORIZED_OPTIONS_INIT;
    options.kind = kind;
    mtl_status status = factored_tasks_create(context, TASKS, 2, &m->tasks);
    if (status == MTL_OK) {
        status = mtl_head_create_factorized(m->tasks.heads, TASKS, &options, &m->head);
    }
    options.shared = "embedding.*";
    return status == MTL_OK ? mtl_encoder_create_factorized(m->tasks.encoders, TASKS, &options, &m->encoder) : status;
}

static mtl_status run(modules *m, mtl_context *context)
{
    mtl_status status = mtl_model_create(context, NULL, &m->model);
    if (status == MTL_OK) {
        status = mtl_model_add_encoder(m->model, "encoder", m->encoder);
    }
    if (status == MTL_OK) {
        status = mtl_model_add_head(m->model, "head", m->head);
    }
    if (status == MTL_OK) {
        status = mtl_gradients_create(m->model, &m->gradients);
    }
    if (status == MTL_OK) {
        status = mtl_tape_create(context, NULL, &m->tape);
    }
    if (status != MTL_OK) {
        return status;
    }
    mtl_tape_reset(m->tape, MTL_TAPE_TRAIN);
    mtl_tensor *h = mtl_encoder_forward_task(m->encoder, m->tape, 1, m->tasks.inputs);
    mtl_tensor *y = mtl_head_forward_task(m->head, m->tape, 1, h);
    mtl_tensor *loss = mtl_cross_entropy(m->tape, y, m->tasks.labels, NULL);
    return mtl_tape_backward(m->tape, loss, 1, m->gradients);
}

static mtl_status read(const modules *m)
{
    double weights[4 * FACTORED_HIDDEN * FACTORED_HIDDEN];
    double cosines[TASKS * TASKS];
    const mtl_factorized *factorized = mtl_encoder_factorized(m->encoder);
    mtl_status status =
        mtl_factorized_read(factorized, "lstm.weight_hh_l0", 2, weights, sizeof weights / sizeof weights[0]);
    return status == MTL_OK ? mtl_factorized_sharing(factorized, "lstm.weight_hh_l0", cosines, TASKS * TASKS, NULL)
                            : status;
}

static mtl_status save(modules *m, mtl_context *context, test_folder *folder)
{
    const char *path = test_path(folder, "factors.safetensors");
    mtl_status status = mtl_model_save(m->model, path, NULL);
    if (status == MTL_OK) {
        status = mtl_checkpoint_open(context, path, &m->checkpoint);
    }
    return status == MTL_OK ? mtl_checkpoint_restore(m->checkpoint, &m->restored) : status;
}

typedef struct scenario_input {
    int32_t kind;
    test_folder folder;
} scenario_input;

static mtl_status everything(mtl_context *context, void *user)
{
    scenario_input *input = user;
    modules m;
    memset(&m, 0, sizeof m);
    mtl_status status = make(&m, context, input->kind);
    if (status == MTL_OK) {
        status = run(&m, context);
    }
    if (status == MTL_OK) {
        status = read(&m);
    }
    if (status == MTL_OK) {
        status = save(&m, context, &input->folder);
    }
    mtl_model_destroy(m.restored);
    mtl_checkpoint_close(m.checkpoint);
    mtl_tape_destroy(m.tape);
    mtl_gradients_destroy(m.gradients);
    mtl_model_destroy(m.model);
    mtl_encoder_release(m.encoder);
    mtl_head_release(m.head);
    factored_tasks_destroy(&m.tasks);
    return status;
}

static void each_allocation_fails(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        scenario_input input = {.kind = kinds[k]};
        test_folder_create(&input.folder);
        test_each_allocation_failing(everything, &input);
        test_folder_remove(&input.folder);
    }
}

static mtl_tensor *forward(void *user, mtl_encoder_call *call)
{
    (void)user;
    mtl_tape *tape = mtl_encoder_call_tape(call);
    return mtl_linear(tape, mtl_encoder_call_inputs(call), mtl_encoder_call_parameter(call, 0), NULL);
}

static mtl_status custom_networks(mtl_context *context, void *user)
{
    (void)user;
    const mtl_parameter_spec spec = {"weight", {3, 4}, 2, MTL_INIT_UNIFORM, 0.5};
    mtl_custom_encoder_options options = MTL_CUSTOM_ENCODER_OPTIONS_INIT;
    mtl_encoder *networks[2] = {NULL, NULL};
    mtl_encoder *encoder = NULL;
    options.forward = forward;
    options.parameters = &spec;
    options.num_parameters = 1;
    options.output_dim = 3;
    mtl_status status = mtl_encoder_create_custom(context, &options, &networks[0]);
    if (status == MTL_OK) {
        status = mtl_encoder_create_custom(context, &options, &networks[1]);
    }
    if (status == MTL_OK) {
        status = mtl_encoder_create_factorized(networks, 2, NULL, &encoder);
    }
    mtl_encoder_release(networks[0]);
    mtl_encoder_release(networks[1]);
    mtl_encoder_release(encoder);
    return status;
}

static void each_allocation_of_custom_networks_fails(void **state)
{
    (void)state;
    test_each_allocation_failing(custom_networks, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_allocation_fails),
        cmocka_unit_test(each_allocation_of_custom_networks_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
