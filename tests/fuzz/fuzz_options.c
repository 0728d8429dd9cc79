/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: option structs of any size and content through the public functions that take them. Each must answer
 * with a status, say why when it refuses, and give back all memory. The input: which struct, what its pointers point to,
 * its struct_size, then bytes that are XORed over the defaults (so zeros are the defaults). */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <mtl/mtl.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Small enough that what is made is made in no time. */
enum { MAX_BYTES = 1 << 18, STRUCT_MOST = 255, HEAD_BYTES = 3, ROWS = 2, FEATURES = 3, CLASSES = 3 };

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static mtl_context *limited_context(void)
{
    mtl_context_options options = MTL_CONTEXT_OPTIONS_INIT;
    options.max_bytes = MAX_BYTES;
    mtl_context *context = NULL;
    require(mtl_context_create(&options, &context) == MTL_OK);
    return context;
}

/* What the functions need besides options. */
typedef struct scene {
    mtl_context *context;
    uint8_t pointers; /* bits: which pointers of the struct are not NULL */
} scene;

/* Looks at what a create function answered and left in `object`, the address of a handle that was NULL: the handle is read
 * here because arguments are evaluated in any order. */
static mtl_status finish(const scene *s, mtl_status status, const void *object)
{
    const void *handle;
    memcpy(&handle, object, sizeof handle);
    require((status == MTL_OK) == (handle != NULL));
    require(status == MTL_OK || mtl_context_last_error(s->context)[0] != '\0');
    require(status == MTL_OK || mtl_context_last_status(s->context) == status);
    return status;
}

static const void *pick(const scene *s, int bit, const void *pointer)
{
    return s->pointers >> bit & 1 ? pointer : NULL;
}

/* ---- context ---- */

static void *plain_allocate(void *user, size_t size, size_t alignment)
{
    (void)user;
    void *pointer = NULL;
    return posix_memalign(&pointer, alignment, size) == 0 ? pointer : NULL;
}

static void plain_release(void *user, void *pointer, size_t size, size_t alignment)
{
    (void)user;
    (void)size;
    (void)alignment;
    free(pointer);
}

static void ignore_line(void *user, int32_t level, const char *message)
{
    (void)user;
    (void)level;
    require(message != NULL);
}

static void loop(void *user, int32_t count, mtl_parallel_body body, void *argument)
{
    (void)user;
    for (int32_t i = 0; i < count; i++) {
        body(argument, i);
    }
}

static mtl_status try_context(const scene *s, void *given, size_t size)
{
    mtl_allocator allocator = {sizeof allocator, NULL, plain_allocate, plain_release};
    if (size >= sizeof(mtl_context_options)) {
        mtl_context_options *options = given;
        options->allocator = pick(s, 0, &allocator);
        options->log = s->pointers & 2 ? ignore_line : NULL;
        options->parallel_for = s->pointers & 4 ? loop : NULL;
        if (options->threads > 2 && options->threads <= 256 && !options->parallel_for) {
            options->threads = 2; /* threads are slow to make */
        }
    }
    mtl_context *context = NULL;
    mtl_status status = mtl_context_create(given, &context);
    require((status == MTL_OK) == (context != NULL));
    mtl_context_release(context);
    return status;
}

static mtl_status try_allocator(const scene *s, void *given, size_t size)
{
    if (size >= sizeof(mtl_allocator)) {
        mtl_allocator *allocator = given;
        allocator->allocate = s->pointers & 1 ? plain_allocate : NULL;
        allocator->release = s->pointers & 2 ? plain_release : NULL;
    }
    mtl_context_options options = MTL_CONTEXT_OPTIONS_INIT;
    options.allocator = given;
    return try_context(s, &options, 0);
}

/* ---- text ---- */

static mtl_status try_tokenizer(const scene *s, void *given, size_t size)
{
    (void)size;
    mtl_tokenizer *tokenizer = NULL;
    mtl_status status = finish(s, mtl_tokenizer_create(s->context, given, &tokenizer), &tokenizer);
    mtl_tokenizer_release(tokenizer);
    return status;
}

static mtl_status make_vocabulary(const scene *s, const mtl_vocabulary_options *options, mtl_vocabulary **out)
{
    mtl_tokenizer *tokenizer = NULL;
    mtl_vocabulary_builder *builder = NULL;
    require(mtl_tokenizer_create(s->context, NULL, &tokenizer) == MTL_OK);
    require(mtl_vocabulary_builder_create(s->context, tokenizer, &builder) == MTL_OK);
    require(mtl_vocabulary_builder_add(builder, "a b b c", 7) == MTL_OK);
    mtl_status status = finish(s, mtl_vocabulary_builder_finish(builder, options, out), out);
    mtl_vocabulary_builder_destroy(builder);
    mtl_tokenizer_release(tokenizer);
    return status;
}

static mtl_status try_vocabulary(const scene *s, void *given, size_t size)
{
    (void)size;
    mtl_vocabulary *vocabulary = NULL;
    mtl_status status = make_vocabulary(s, given, &vocabulary);
    mtl_vocabulary_release(vocabulary);
    return status;
}

static mtl_status try_table(const scene *s, void *given, size_t size)
{
    static const int32_t columns[16] = {0, 1, 70000, -1, INT32_MAX, INT32_MIN};
    static const char *const classes[4] = {"x", "y", "x", ""};
    mtl_label_column labels[64] = {{0, MTL_LABELS_CLASS, classes, 2}, {1, MTL_LABELS_REAL, NULL, 0}};
    if (size >= sizeof(mtl_table_options)) {
        mtl_table_options *options = given;
        labels[0].classes = s->pointers & 4 ? classes : NULL;
        labels[0].num_classes = s->pointers >> 3 & 7; /* 5 to 7: beyond what is there, so only with NULL */
        if (labels[0].num_classes > 4) {
            labels[0].classes = NULL;
        }
        options->text_columns = pick(s, 0, columns);
        options->labels = pick(s, 1, labels);
    }
    mtl_dataset *dataset = NULL;
    mtl_status status = finish(s, mtl_dataset_open_table(s->context, "/dev/null", given, &dataset), &dataset);
    mtl_dataset_release(dataset);
    return status;
}

static mtl_status try_sampler(const scene *s, void *given, size_t size)
{
    (void)size;
    static const char *const texts[4] = {"a b", "", "c", "b b b b b b"};
    static const int32_t labels[4] = {0, 1, MTL_LABEL_NONE, 1};
    static const int32_t tasks[1] = {0};
    mtl_vocabulary *vocabulary = NULL;
    mtl_dataset *dataset = NULL;
    mtl_sampler *sampler = NULL;
    require(make_vocabulary(s, NULL, &vocabulary) == MTL_OK);
    require(mtl_dataset_create(s->context, texts, labels, 4, 2, &dataset) == MTL_OK);
    mtl_status status = finish(s, mtl_sampler_create(s->context, vocabulary, 1, given, &sampler), &sampler);
    if (status == MTL_OK && mtl_sampler_add_dataset(sampler, dataset, tasks, 1) == MTL_OK) {
        mtl_batch *batch = NULL;
        int64_t rows = 0;
        for (int i = 0; i < 8 && mtl_sampler_next(sampler, &batch) == MTL_OK && batch; i++) {
            require(mtl_batch_rows(batch) >= 1 && mtl_batch_tokens(batch) >= mtl_batch_rows(batch));
            rows += mtl_batch_rows(batch);
        }
        require(rows <= 4);
    }
    mtl_sampler_destroy(sampler);
    mtl_dataset_release(dataset);
    mtl_vocabulary_release(vocabulary);
    return status;
}

/* ---- modules ---- */

static void run_encoder(const scene *s, mtl_encoder *encoder)
{
    static const int64_t offsets[ROWS + 1] = {0, 2, 3};
    static const int32_t ids[3] = {1, 0, 1};
    mtl_tensor *inputs = NULL;
    mtl_tape *tape = NULL;
    if (mtl_tensor_create_ragged(s->context, ROWS, offsets, ids, &inputs) == MTL_OK &&
        mtl_tape_create(s->context, NULL, &tape) == MTL_OK) {
        mtl_tape_reset(tape, s->pointers & 128 ? MTL_TAPE_TRAIN : MTL_TAPE_INFER);
        mtl_tensor *features = mtl_encoder_forward(encoder, tape, inputs);
        require(features != NULL);
        if (mtl_tape_status(tape) == MTL_OK) {
            require(mtl_tensor_dim(features, 0) == ROWS);
            require(mtl_tensor_dim(features, 1) == mtl_encoder_output_dim(encoder));
        }
    }
    mtl_tape_destroy(tape);
    mtl_tensor_release(inputs);
}

static mtl_status try_lstm(const scene *s, void *given, size_t size)
{
    if (size >= sizeof(mtl_lstm_options)) {
        mtl_lstm_options *options = given;
        options->vocabulary_size ^= s->pointers & 3; /* the default is none */
        options->embedding_dim ^= 128 ^ 4;           /* and these are large */
        options->hidden_dim ^= 256 ^ 8;
    }
    mtl_encoder *encoder = NULL;
    mtl_status status = finish(s, mtl_encoder_create_lstm(s->context, given, &encoder), &encoder);
    if (encoder) {
        run_encoder(s, encoder);
    }
    mtl_encoder_release(encoder);
    return status;
}

static mtl_tensor *no_features(void *user, mtl_encoder_call *call)
{
    (void)user;
    return mtl_encoder_call_parameter(call, 0);
}

static void count_end(void *user)
{
    ++*(int *)user;
}

static mtl_status try_custom_encoder(const scene *s, void *given, size_t size)
{
    static const mtl_parameter_spec parameters[4] = {
        {"a", {2, 3, 0, 0}, 2, MTL_INIT_NORMAL, 0.5},
        {"b", {4, 0, 0, 0}, 1, MTL_INIT_ONES, 0},
        {"a", {1, 0, 0, 0}, 1, MTL_INIT_ZEROS, 0},
        {NULL, {0, 0, 0, 0}, 9, 7, -1},
    };
    int ended = 0;
    bool counted = false;
    if (size >= sizeof(mtl_custom_encoder_options)) {
        mtl_custom_encoder_options *options = given;
        counted = (s->pointers & 2) != 0;
        options->user = &ended;
        options->forward = s->pointers & 1 ? no_features : NULL;
        options->destroy = counted ? count_end : NULL;
        options->parameters = pick(s, 2, parameters);
        if (options->parameters && options->num_parameters > 4 && options->num_parameters <= 4096) {
            options->num_parameters = 4;
        }
        options->output_dim ^= s->pointers >> 3 & 3;
    }
    mtl_encoder *encoder = NULL;
    mtl_status status = finish(s, mtl_encoder_create_custom(s->context, given, &encoder), &encoder);
    if (encoder) {
        run_encoder(s, encoder);
    }
    mtl_encoder_release(encoder);
    require(ended == (status == MTL_OK && counted));
    return status;
}

static mtl_status try_head(const scene *s, void *given, size_t size)
{
    (void)size;
    mtl_head *head = NULL;
    mtl_status status;
    switch (s->pointers & 3) {
    case 0:
        status = mtl_head_create_multilabel(s->context, FEATURES, CLASSES, given, &head);
        break;
    case 1:
        status = mtl_head_create_regressor(s->context, FEATURES, CLASSES, given, &head);
        break;
    default:
        status = mtl_head_create_classifier(s->context, FEATURES, CLASSES, given, &head);
        break;
    }
    finish(s, status, &head);
    mtl_head_release(head);
    return status;
}

/* A model of one head. */
static mtl_model *make_model(const scene *s)
{
    mtl_head *head = NULL;
    mtl_model *model = NULL;
    require(mtl_head_create_classifier(s->context, FEATURES, CLASSES, NULL, &head) == MTL_OK);
    require(mtl_model_create(s->context, NULL, &model) == MTL_OK);
    require(mtl_model_add_head(model, "head", head) == MTL_OK);
    mtl_head_release(head);
    return model;
}

static mtl_status try_model(const scene *s, void *given, size_t size)
{
    (void)size;
    mtl_model *model = NULL;
    mtl_status status = finish(s, mtl_model_create(s->context, given, &model), &model);
    mtl_model_destroy(model);
    return status;
}

static mtl_status try_save(const scene *s, void *given, size_t size)
{
    static const char *const keys[3] = {"a", "b", "mtl.x"};
    static const char *const values[3] = {"1", "\xFF", "3"};
    mtl_vocabulary *vocabulary = NULL;
    require(make_vocabulary(s, NULL, &vocabulary) == MTL_OK);
    static const mtl_training_state nothing_to_train = MTL_TRAINING_STATE_INIT;
    const size_t first = offsetof(mtl_save_options, training); /* its first version */
    if (size >= first) {
        mtl_save_options *options = given;
        const mtl_training_state *training = s->pointers & 8 ? &nothing_to_train : NULL;
        size_t rest = size - first < sizeof training ? size - first : sizeof training;
        memset((char *)given + first, 0, rest); /* half a pointer is none */
        if (rest == sizeof training) {
            memcpy((char *)given + first, &training, rest);
        }
        options->vocabulary = s->pointers & 1 ? vocabulary : NULL;
        options->keys = pick(s, 1, keys);
        options->values = pick(s, 2, values);
        if (options->num_metadata > 3) {
            options->num_metadata = 3;
        }
    }
    mtl_model *model = make_model(s);
    mtl_status status = mtl_model_save(model, "/dev/null/nothing", given);
    const void *nothing = NULL;
    finish(s, status, &nothing); /* that path cannot exist */
    mtl_model_destroy(model);
    mtl_vocabulary_release(vocabulary);
    return status;
}

/* ---- training ---- */

static mtl_status try_objective(const scene *s, void *given, size_t size)
{
    (void)size;
    mtl_model *model = make_model(s);
    mtl_objective *objective = NULL;
    mtl_status status = finish(s, mtl_objective_create(model, given, &objective), &objective);
    mtl_objective_destroy(objective);
    mtl_model_destroy(model);
    return status;
}

/* `make`: which of the create functions takes the options; the others get NULL. */
static mtl_status try_optimizer(const scene *s, const void *given, char make)
{
    mtl_model *model = make_model(s);
    mtl_optimizer *optimizer = NULL;
    mtl_gradients *gradients = NULL;
    mtl_status status = make == 's'   ? mtl_optimizer_create_sgd(model, given, &optimizer)
                        : make == 'a' ? mtl_optimizer_create_adam(model, given, &optimizer)
                        : make == 'w' ? mtl_optimizer_create_adamw(model, given, &optimizer)
                                      : mtl_optimizer_create_adam(model, NULL, &optimizer);
    finish(s, status, &optimizer);
    int64_t matched = -1;
    if (make == 'g') {
        status = mtl_optimizer_add_group(optimizer, "head.*", given, &matched);
        require((status == MTL_OK) == (matched == 2));
    } else if (make == 'p') {
        status = mtl_optimizer_set_schedule(optimizer, given);
    }
    if (optimizer) {
        require(mtl_gradients_create(model, &gradients) == MTL_OK);
        for (int i = 0; i < 3 && mtl_optimizer_step(optimizer, gradients) == MTL_OK; i++) {
            require(mtl_optimizer_steps(optimizer) == i + 1);
        }
        require(mtl_optimizer_learning_rate(optimizer) >= 0);
    }
    mtl_gradients_destroy(gradients);
    mtl_optimizer_destroy(optimizer);
    mtl_model_destroy(model);
    return status;
}

static mtl_status try_sgd(const scene *s, void *given, size_t size)
{
    (void)size;
    return try_optimizer(s, given, 's');
}

static mtl_status try_adam(const scene *s, void *given, size_t size)
{
    (void)size;
    return try_optimizer(s, given, s->pointers & 1 ? 'a' : 'w');
}

static mtl_status try_group(const scene *s, void *given, size_t size)
{
    (void)size;
    return try_optimizer(s, given, 'g');
}

static mtl_status try_schedule(const scene *s, void *given, size_t size)
{
    (void)size;
    return try_optimizer(s, given, 'p');
}

/* Three heads of one shape; what a penalty can be asked and done must end with a status too. */
static mtl_model *make_three_heads(const scene *s, const char *const *names)
{
    mtl_model *model = NULL;
    require(mtl_model_create(s->context, NULL, &model) == MTL_OK);
    for (int t = 0; t < 3; t++) {
        mtl_head *head = NULL;
        require(mtl_head_create_classifier(s->context, FEATURES, CLASSES, NULL, &head) == MTL_OK);
        require(mtl_model_add_head(model, names[t], head) == MTL_OK);
        mtl_head_release(head);
    }
    return model;
}

static void use_penalty(const scene *s, mtl_model *model, mtl_penalty *penalty)
{
    mtl_optimizer *optimizer = NULL;
    mtl_gradients *gradients = NULL;
    double value = -1;
    int64_t rank = -1;
    mtl_status status = mtl_penalty_value(penalty, &value);
    require(status == MTL_OK ? value >= 0 : status == MTL_ERROR_NUMERIC);
    status = mtl_penalty_rank(penalty, 0, 0, 1e-6, &rank);
    require(status == MTL_OK ? rank >= 0 && rank <= 3 : status == MTL_ERROR_NUMERIC || status == MTL_ERROR_MEMORY);
    require(mtl_optimizer_create_sgd(model, NULL, &optimizer) == MTL_OK);
    require(mtl_gradients_create(model, &gradients) == MTL_OK);
    status = mtl_optimizer_add_proximal(optimizer, penalty);
    require(status == MTL_OK || status == MTL_ERROR_UNSUPPORTED);
    status = mtl_optimizer_step(optimizer, gradients);
    require(status == MTL_OK || (status == MTL_ERROR_NUMERIC && mtl_context_last_error(s->context)[0] != '\0'));
    mtl_gradients_destroy(gradients);
    mtl_optimizer_destroy(optimizer);
}

static mtl_status try_penalty(const scene *s, void *given, size_t size)
{
    static const char *const names[3] = {"x", "y", "z"};
    static const char *const patterns[4] = {"*", "weight", "bias,w*", "nothing"};
    static const double graph[9] = {0, 1, 2, 0.5, 0, 1, 0, 0, 0};
    if (size >= sizeof(mtl_penalty_options)) {
        mtl_penalty_options *options = given;
        options->parameters = pick(s, 0, patterns[s->pointers >> 2 & 3]);
        options->graph = pick(s, 1, graph);
    }
    mtl_model *model = make_three_heads(s, names);
    mtl_penalty *penalty = NULL;
    int32_t count = 3 - (s->pointers >> 4 & 3);
    mtl_status status = finish(s, mtl_penalty_create(model, names, count, given, &penalty), &penalty);
    if (penalty) {
        use_penalty(s, model, penalty);
    }
    mtl_penalty_destroy(penalty);
    mtl_model_destroy(model);
    return status;
}

/* ---- operations ---- */

static mtl_status try_tape(const scene *s, void *given, size_t size)
{
    (void)size;
    mtl_tape *tape = NULL;
    mtl_status status = finish(s, mtl_tape_create(s->context, given, &tape), &tape);
    mtl_tape_destroy(tape);
    return status;
}

static mtl_tensor *make_tensor(const scene *s, mtl_dtype dtype, int32_t ndim, int64_t rows, int64_t columns)
{
    const int64_t shape[2] = {rows, columns};
    mtl_tensor *tensor = NULL;
    require(mtl_tensor_create(s->context, dtype, ndim, shape, &tensor) == MTL_OK);
    return tensor;
}

static mtl_status write_ones(void *user, mtl_op_call *call)
{
    (void)user;
    float *values = mtl_op_call_output_data(call);
    for (int64_t i = 0; i < mtl_tensor_size(mtl_op_call_output(call)); i++) {
        values[i] = 1.0f;
    }
    return MTL_OK;
}

static mtl_status set_small_shape(void *user, mtl_op_call *call)
{
    (void)user;
    const int64_t shape[1] = {ROWS};
    return mtl_op_call_set_shape(call, 1, shape);
}

static mtl_status try_operation(const scene *s, void *given, size_t size, char which)
{
    mtl_tape *tape = NULL;
    require(mtl_tape_create(s->context, NULL, &tape) == MTL_OK);
    mtl_tape_reset(tape, MTL_TAPE_TRAIN);
    mtl_tensor *logits = make_tensor(s, MTL_FLOAT32, 2, ROWS, CLASSES);
    mtl_tensor *labels = make_tensor(s, MTL_INT32, 1, ROWS, 0);
    mtl_tensor *weights = make_tensor(s, MTL_FLOAT32, 1, CLASSES - (s->pointers >> 1 & 1), 0);
    mtl_tensor *result;
    if (which == 'x') {
        if (size >= sizeof(mtl_cross_entropy_options)) {
            ((mtl_cross_entropy_options *)given)->class_weights = s->pointers & 1 ? weights : NULL;
        }
        result = mtl_cross_entropy(tape, logits, labels, given);
    } else if (which == 'b') {
        if (size >= sizeof(mtl_binary_cross_entropy_options)) {
            ((mtl_binary_cross_entropy_options *)given)->positive_weights = s->pointers & 1 ? weights : NULL;
        }
        result = mtl_binary_cross_entropy(tape, logits, logits, given);
    } else if (which == 'r') {
        result = mtl_orthogonality(tape, logits, logits, given);
    } else if (which == 'c') {
        result = mtl_cosine_similarity(tape, logits, logits, given);
    } else {
        if (size >= sizeof(mtl_custom_op_options)) {
            mtl_custom_op_options *options = given;
            options->name = pick(s, 0, "a name");
            options->forward = s->pointers & 2 ? write_ones : NULL;
            options->shape = s->pointers & 4 ? set_small_shape : NULL;
            options->backward = s->pointers & 8 ? write_ones : NULL;
        }
        result = mtl_custom_op(tape, given, &logits, s->pointers >> 4 & 1);
    }
    require(result != NULL);
    mtl_status status = mtl_tape_status(tape);
    require((status == MTL_OK) == (mtl_tape_error(tape)[0] == '\0'));
    mtl_tape_destroy(tape);
    mtl_tensor_release(logits);
    mtl_tensor_release(labels);
    mtl_tensor_release(weights);
    return status;
}

static mtl_status try_cross_entropy(const scene *s, void *given, size_t size)
{
    return try_operation(s, given, size, 'x');
}

static mtl_status try_binary(const scene *s, void *given, size_t size)
{
    return try_operation(s, given, size, 'b');
}

static mtl_status try_orthogonality(const scene *s, void *given, size_t size)
{
    return try_operation(s, given, size, 'r');
}

static mtl_status try_cosine(const scene *s, void *given, size_t size)
{
    return try_operation(s, given, size, 'c');
}

static mtl_status try_custom_op(const scene *s, void *given, size_t size)
{
    return try_operation(s, given, size, 'o');
}

/* ---- all of them ---- */

static const mtl_allocator default_allocator = MTL_ALLOCATOR_INIT;
static const mtl_context_options default_context = MTL_CONTEXT_OPTIONS_INIT;
static const mtl_tokenizer_options default_tokenizer = MTL_TOKENIZER_OPTIONS_INIT;
static const mtl_vocabulary_options default_vocabulary = MTL_VOCABULARY_OPTIONS_INIT;
static const mtl_table_options default_table = MTL_TABLE_OPTIONS_INIT;
static const mtl_sampler_options default_sampler = MTL_SAMPLER_OPTIONS_INIT;
static const mtl_lstm_options default_lstm = MTL_LSTM_OPTIONS_INIT;
static const mtl_custom_encoder_options default_custom_encoder = MTL_CUSTOM_ENCODER_OPTIONS_INIT;
static const mtl_head_options default_head = MTL_HEAD_OPTIONS_INIT;
static const mtl_model_options default_model = MTL_MODEL_OPTIONS_INIT;
static const mtl_save_options default_save = MTL_SAVE_OPTIONS_INIT;
static const mtl_objective_options default_objective = MTL_OBJECTIVE_OPTIONS_INIT;
static const mtl_sgd_options default_sgd = MTL_SGD_OPTIONS_INIT;
static const mtl_adam_options default_adam = MTL_ADAM_OPTIONS_INIT;
static const mtl_group_options default_group = MTL_GROUP_OPTIONS_INIT;
static const mtl_schedule_options default_schedule = MTL_SCHEDULE_OPTIONS_INIT;
static const mtl_tape_options default_tape = MTL_TAPE_OPTIONS_INIT;
static const mtl_cross_entropy_options default_cross_entropy = MTL_CROSS_ENTROPY_OPTIONS_INIT;
static const mtl_binary_cross_entropy_options default_binary = MTL_BINARY_CROSS_ENTROPY_OPTIONS_INIT;
static const mtl_orthogonality_options default_orthogonality = MTL_ORTHOGONALITY_OPTIONS_INIT;
static const mtl_cosine_similarity_options default_cosine = MTL_COSINE_SIMILARITY_OPTIONS_INIT;
static const mtl_penalty_options default_penalty = MTL_PENALTY_OPTIONS_INIT;
static const mtl_custom_op_options default_custom_op = MTL_CUSTOM_OP_OPTIONS_INIT;

static const struct option_case {
    const void *defaults;
    size_t size;
    mtl_status (*try)(const scene *s, void *given, size_t size);
    size_t first; /* the size of its first version, when it has grown */
} cases[] = {
    {&default_allocator, sizeof default_allocator, try_allocator, 0},
    {&default_context, sizeof default_context, try_context, 0},
    {&default_tokenizer, sizeof default_tokenizer, try_tokenizer, 0},
    {&default_vocabulary, sizeof default_vocabulary, try_vocabulary, 0},
    {&default_table, sizeof default_table, try_table, 0},
    {&default_sampler, sizeof default_sampler, try_sampler, 0},
    {&default_lstm, sizeof default_lstm, try_lstm, 0},
    {&default_custom_encoder, sizeof default_custom_encoder, try_custom_encoder, 0},
    {&default_head, sizeof default_head, try_head, 0},
    {&default_model, sizeof default_model, try_model, 0},
    {&default_save, sizeof default_save, try_save, offsetof(mtl_save_options, training)},
    {&default_objective, sizeof default_objective, try_objective, 0},
    {&default_sgd, sizeof default_sgd, try_sgd, 0},
    {&default_adam, sizeof default_adam, try_adam, 0},
    {&default_group, sizeof default_group, try_group, 0},
    {&default_schedule, sizeof default_schedule, try_schedule, 0},
    {&default_tape, sizeof default_tape, try_tape, 0},
    {&default_cross_entropy, sizeof default_cross_entropy, try_cross_entropy, 0},
    {&default_binary, sizeof default_binary, try_binary, 0},
    {&default_custom_op, sizeof default_custom_op, try_custom_op, 0},
    {&default_orthogonality, sizeof default_orthogonality, try_orthogonality, 0},
    {&default_cosine, sizeof default_cosine, try_cosine, 0},
    {&default_penalty, sizeof default_penalty, try_penalty, 0},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD_BYTES) {
        return 0;
    }
    const struct option_case *chosen = &cases[data[0] % (sizeof cases / sizeof cases[0])];
    size_t struct_size = data[2] ? data[2] - 1u : chosen->size;
    /* Memory of that size and not more, so that a checker sees what is read beyond; the size itself is always read. */
    size_t room = struct_size < sizeof struct_size ? sizeof struct_size : struct_size;
    uint8_t *given = calloc(1, room);
    require(given != NULL);
    memcpy(given, chosen->defaults, chosen->size < room ? chosen->size : room);
    for (size_t i = sizeof struct_size; i < room && i - sizeof struct_size < size - HEAD_BYTES; i++) {
        given[i] ^= data[HEAD_BYTES + i - sizeof struct_size];
    }
    memcpy(given, &struct_size, sizeof struct_size);
    scene s = {limited_context(), data[1]};
    mtl_status status = chosen->try(&s, given, struct_size);
    require(struct_size >= (chosen->first ? chosen->first : chosen->size) || status == MTL_ERROR_ARGUMENT);
    require(memcmp(given, &struct_size, sizeof struct_size) == 0);
    free(given);
    mtl_memory_info info;
    require(mtl_context_memory(s.context, &info) == MTL_OK && info.blocks == 1);
    mtl_context_release(s.context);
    return 0;
}
