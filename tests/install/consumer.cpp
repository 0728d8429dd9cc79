/* SPDX-License-Identifier: Apache-2.0
 * A program outside of the project, in C++: handles owned by unique_ptr, one linear head trained on a custom encoder. */
#include <mtl/mtl.h>

#include <cstdio>
#include <memory>
#include <stdexcept>

template <auto release> struct releaser {
    template <typename T> void operator()(T *object) const
    {
        release(object);
    }
};
template <typename T, auto release> using handle = std::unique_ptr<T, releaser<release>>;

static void check(mtl_context *context, mtl_status status)
{
    if (status != MTL_OK) {
        throw std::runtime_error(mtl_context_last_error(context));
    }
}

static mtl_tensor *halve(void *, mtl_encoder_call *call)
{
    return mtl_scale(mtl_encoder_call_tape(call), mtl_encoder_call_inputs(call), 0.5);
}

/* Learns y = 2 x[0] - 3 x[1] by least squares, and returns the last loss. */
static double learn()
{
    mtl_context *made = nullptr;
    if (mtl_context_create(nullptr, &made) != MTL_OK) {
        throw std::runtime_error("no context");
    }
    handle<mtl_context, mtl_context_release> context(made);

    mtl_custom_encoder_options options = MTL_CUSTOM_ENCODER_OPTIONS_INIT;
    options.forward = halve;
    options.output_dim = 2;
    mtl_encoder *new_encoder = nullptr;
    check(made, mtl_encoder_create_custom(made, &options, &new_encoder));
    handle<mtl_encoder, mtl_encoder_release> encoder(new_encoder);
    mtl_head *new_head = nullptr;
    check(made, mtl_head_create_regressor(made, 2, 1, nullptr, &new_head));
    handle<mtl_head, mtl_head_release> head(new_head);
    mtl_model *new_model = nullptr;
    check(made, mtl_model_create(made, nullptr, &new_model));
    handle<mtl_model, mtl_model_destroy> model(new_model);
    check(made, mtl_model_add_encoder(new_model, "half", new_encoder));
    check(made, mtl_model_add_head(new_model, "line", new_head));

    mtl_sgd_options sgd = MTL_SGD_OPTIONS_INIT;
    sgd.learning_rate = 0.5;
    mtl_optimizer *new_optimizer = nullptr;
    check(made, mtl_optimizer_create_sgd(new_model, &sgd, &new_optimizer));
    handle<mtl_optimizer, mtl_optimizer_destroy> optimizer(new_optimizer);
    mtl_gradients *new_gradients = nullptr;
    check(made, mtl_gradients_create(new_model, &new_gradients));
    handle<mtl_gradients, mtl_gradients_destroy> gradients(new_gradients);
    mtl_tape *tape = nullptr;
    check(made, mtl_tape_create(made, nullptr, &tape));
    handle<mtl_tape, mtl_tape_destroy> tape_owner(tape);

    const int64_t shapes[2][2] = {{4, 2}, {4, 1}};
    const double x[] = {0, 0, 0, 1, 1, 0, 1, 1};
    const double y[] = {0, -3, 2, -1};
    mtl_tensor *inputs = nullptr, *targets = nullptr;
    check(made, mtl_tensor_create(made, MTL_FLOAT32, 2, shapes[0], &inputs));
    handle<mtl_tensor, mtl_tensor_release> inputs_owner(inputs);
    check(made, mtl_tensor_create(made, MTL_FLOAT32, 2, shapes[1], &targets));
    handle<mtl_tensor, mtl_tensor_release> targets_owner(targets);
    check(made, mtl_tensor_write(inputs, MTL_FLOAT64, x, 8));
    check(made, mtl_tensor_write(targets, MTL_FLOAT64, y, 4));

    double loss = 0.0;
    for (int step = 0; step < 400; step++) {
        mtl_tape_reset(tape, MTL_TAPE_TRAIN);
        mtl_tensor *features = mtl_encoder_forward(new_encoder, tape, inputs);
        mtl_tensor *error = mtl_mean_squared_error(tape, mtl_head_forward(new_head, tape, features), targets);
        check(made, mtl_tape_backward(tape, error, 1.0, new_gradients));
        check(made, mtl_optimizer_step(new_optimizer, new_gradients));
        check(made, mtl_tensor_item(error, &loss));
    }
    return loss;
}

int main()
{
    try {
        double loss = learn();
        std::printf("%s: loss %.2g\n", mtl_version(), loss);
        return loss < 1e-3 ? 0 : 1;
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
