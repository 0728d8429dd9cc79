/* SPDX-License-Identifier: Apache-2.0
 * One LSTM encoder learns the sentiment of reviews and the topic of news together, from raw text.
 *
 *   sentiment_topic train --reviews FILE --news FILE [--reviews-test FILE --news-test FILE] [--model FILE] ...
 *   sentiment_topic train --reviews FILE --news FILE --balance METHOD [--csv FILE] ...
 *   sentiment_topic train --reviews FILE --news FILE --checkpoint STATE ..., and after an interruption again with
 *       --resume STATE: the model is the one that would have been, bit for bit
 *   sentiment_topic evaluate --model FILE --reviews-test FILE --news-test FILE
 *   sentiment_topic predict --model FILE < lines
 *
 * Leave out --news or --reviews to train one task alone with the same encoder. */
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "support/balance_log.h"
#include "support/check.h"
#include "support/corpus.h"
#include "support/draws.h"
#include "support/open_balancer.h"
#include "support/open_context.h"
#include "support/progress.h"
#include "support/settings.h"
#include "support/words.h"

static const char *const task_names[TASKS] = {"sentiment", "topic"};
static const int32_t task_classes[TASKS] = {2, 4};
static const char *const topic_names[] = {"World", "Sports", "Business", "Sci/Tech"};

/** Everything that is made from a model file or for a training run. */
typedef struct network {
    mtl_context *context;
    mtl_vocabulary *vocabulary;
    mtl_model *model;
    mtl_encoder *encoder;   /* borrowed from the model */
    mtl_head *heads[TASKS]; /* likewise; NULL: the model does not have the task */
    mtl_tape *tape;
} network;

/* Data ------------------------------------------------------------------------------------------------------------ */

static mtl_sampler *make_sampler(network *net, const settings *s, bool training, mtl_dataset *const datasets[TASKS],
                                 int64_t seed)
{
    mtl_sampler *sampler = NULL;
    mtl_sampler_options options = MTL_SAMPLER_OPTIONS_INIT;
    options.batch_rows = s->batch;
    options.bucket_batches = s->bucket;
    options.max_tokens = s->max_tokens;
    options.keep_tail = (int32_t)s->keep_tail;
    options.seed = (uint64_t)seed;
    options.shuffle = training;
    CHECK(net->context, mtl_sampler_create(net->context, net->vocabulary, TASKS, &options, &sampler));
    for (int32_t t = 0; t < TASKS; t++) {
        if (datasets[t]) {
            CHECK(net->context, mtl_sampler_add_dataset(sampler, datasets[t], &t, 1));
        }
    }
    return sampler;
}

/* Network --------------------------------------------------------------------------------------------------------- */

static void build_network(network *net, const settings *s, mtl_dataset *const datasets[TASKS])
{
    mtl_context *context = net->context;
    mtl_lstm_options options = MTL_LSTM_OPTIONS_INIT;
    options.vocabulary_size = mtl_vocabulary_size(net->vocabulary);
    options.embedding_dim = s->embedding;
    options.hidden_dim = s->hidden;
    options.num_layers = (int32_t)s->layers;
    options.bidirectional = (int32_t)s->bidirectional;
    options.pooling = s->pooling;
    options.embedding_dropout = s->embedding_dropout;
    options.layer_dropout = s->layer_dropout;
    options.output_dropout = s->output_dropout;
    CHECK(context, mtl_encoder_create_lstm(context, &options, &net->encoder));
    CHECK(context, mtl_model_create(context, NULL, &net->model));
    CHECK(context, mtl_model_add_encoder(net->model, "encoder", net->encoder));
    for (int t = 0; t < TASKS; t++) {
        if (datasets[t]) {
            int64_t features = mtl_encoder_output_dim(net->encoder);
            CHECK(context, mtl_head_create_classifier(context, features, task_classes[t], NULL, &net->heads[t]));
            CHECK(context, mtl_model_add_head(net->model, task_names[t], net->heads[t]));
            mtl_head_release(net->heads[t]); /* the model holds it */
        }
    }
    mtl_encoder_release(net->encoder);
    CHECK(context, mtl_tape_create(context, NULL, &net->tape));
}

/* training: NULL, or what is saved with it. */
static void save_network(const network *net, const settings *s, const char *path, const mtl_training_state *training)
{
    char max_tokens[32], keep_tail[32];
    const char *keys[] = {"max_tokens", "keep_tail"}, *values[] = {max_tokens, keep_tail};
    snprintf(max_tokens, sizeof max_tokens, "%lld", (long long)s->max_tokens);
    snprintf(keep_tail, sizeof keep_tail, "%lld", (long long)s->keep_tail);
    mtl_save_options options = MTL_SAVE_OPTIONS_INIT;
    options.vocabulary = net->vocabulary;
    options.keys = keys;
    options.values = values;
    options.num_metadata = 2;
    options.training = training;
    CHECK(net->context, mtl_model_save(net->model, path, &options));
}

/* A number that save_network() left in a model file. */
static int64_t read_number(const mtl_checkpoint *checkpoint, const settings *s, const char *key, int64_t least,
                           int64_t most)
{
    const char *text = mtl_checkpoint_metadata(checkpoint, key);
    char *end = NULL;
    errno = 0;
    long long value = text ? strtoll(text, &end, 10) : 0;
    if (!text || end == text || *end != '\0' || errno != 0 || value < least || value > most) {
        fprintf(stderr, "%s: metadata %s = %s is not in [%lld, %lld]\n", s->model, key, text ? text : "(missing)",
                (long long)least, (long long)most);
        exit(1);
    }
    return value;
}

/* Reads a model file; the number of tokens of a text is part of what was learned. */
static void load_network(network *net, settings *s)
{
    mtl_checkpoint *checkpoint = NULL;
    CHECK(net->context, mtl_checkpoint_open(net->context, s->model, &checkpoint));
    CHECK(net->context, mtl_checkpoint_vocabulary(checkpoint, &net->vocabulary));
    CHECK(net->context, mtl_checkpoint_restore(checkpoint, &net->model));
    s->max_tokens = read_number(checkpoint, s, "max_tokens", 1, MOST_TOKENS);
    s->keep_tail = read_number(checkpoint, s, "keep_tail", 0, s->max_tokens);
    mtl_checkpoint_close(checkpoint);
    net->encoder = mtl_model_encoder(net->model, "encoder");
    for (int t = 0; t < TASKS; t++) {
        net->heads[t] = mtl_model_head(net->model, task_names[t]);
    }
    if (!net->encoder || (!net->heads[SENTIMENT] && !net->heads[TOPIC])) {
        fprintf(stderr, "%s is not a model of this program\n", s->model);
        exit(1);
    }
    CHECK(net->context, mtl_tape_create(net->context, NULL, &net->tape));
}

static void release_network(network *net)
{
    mtl_tape_destroy(net->tape);
    mtl_model_destroy(net->model);
    mtl_vocabulary_release(net->vocabulary);
    mtl_context_release(net->context);
}

/* Measuring ------------------------------------------------------------------------------------------------------- */

static void measure_batch(network *net, mtl_batch *batch, mtl_metrics *const metrics[TASKS])
{
    mtl_tape_reset(net->tape, MTL_TAPE_INFER);
    mtl_tensor *features = mtl_encoder_forward(net->encoder, net->tape, mtl_batch_inputs(batch));
    for (int32_t t = 0; t < TASKS; t++) {
        int64_t rows = net->heads[t] ? mtl_batch_labelled(batch, t) : 0;
        if (rows > 0) {
            mtl_tensor *logits = mtl_head_forward(net->heads[t], net->tape, features);
            mtl_tensor *labels = mtl_batch_labels(batch, t);
            double loss;
            CHECK(net->context, mtl_tensor_item(mtl_cross_entropy(net->tape, logits, labels, NULL), &loss));
            CHECK(net->context, mtl_metrics_add(metrics[t], logits, labels));
            CHECK(net->context, mtl_metrics_add_loss(metrics[t], loss, rows));
        }
    }
}

static void print_metrics(const char *title, const mtl_metrics *metrics, int task, bool confusion)
{
    printf("%-10s %-9s  accuracy %.4f  macro F1 %.4f  loss %.4f  rows %lld\n", title, task_names[task],
           mtl_metrics_accuracy(metrics), mtl_metrics_macro_f1(metrics), mtl_metrics_mean_loss(metrics),
           (long long)mtl_metrics_rows(metrics));
    for (int32_t i = 0; confusion && i < task_classes[task]; i++) {
        printf("  %-9s", task == SENTIMENT ? sentiment_names[i] : topic_names[i]);
        for (int32_t k = 0; k < task_classes[task]; k++) {
            printf(" %7lld", (long long)mtl_metrics_confusion(metrics, i, k));
        }
        putchar('\n');
    }
}

/* accuracy: NULL, or receives each task's accuracy; NaN without rows. */
static void measure(network *net, const settings *s, const char *title, mtl_dataset *const datasets[TASKS],
                    bool confusion, double accuracy[TASKS])
{
    for (int t = 0; accuracy && t < TASKS; t++) {
        accuracy[t] = (double)NAN;
    }
    if (!datasets[SENTIMENT] && !datasets[TOPIC]) {
        return;
    }
    mtl_metrics *metrics[TASKS] = {NULL, NULL};
    for (int t = 0; t < TASKS; t++) {
        CHECK(net->context, mtl_metrics_create(net->context, task_classes[t], &metrics[t]));
    }
    mtl_sampler *sampler = make_sampler(net, s, false, datasets, s->seed);
    for (;;) {
        mtl_batch *batch = NULL;
        CHECK(net->context, mtl_sampler_next(sampler, &batch));
        if (!batch) {
            break;
        }
        measure_batch(net, batch, metrics);
    }
    for (int t = 0; t < TASKS; t++) {
        if (mtl_metrics_rows(metrics[t]) > 0) {
            print_metrics(title, metrics[t], t, confusion);
        }
        if (accuracy) {
            accuracy[t] = mtl_metrics_accuracy(metrics[t]);
        }
        mtl_metrics_destroy(metrics[t]);
    }
    fflush(stdout);
    mtl_sampler_destroy(sampler);
}

static void open_tests(mtl_context *context, const settings *s, mtl_dataset *tests[TASKS])
{
    tests[SENTIMENT] = open_task(context, SENTIMENT, s->reviews_test);
    tests[TOPIC] = open_task(context, TOPIC, s->news_test);
}

/* Measures the tasks that the model has. */
static void measure_tests(network *net, const settings *s, mtl_dataset *tests[TASKS])
{
    for (int t = 0; t < TASKS; t++) {
        if (!net->heads[t]) {
            mtl_dataset_release(tests[t]);
            tests[t] = NULL;
        }
    }
    measure(net, s, "test", tests, true, NULL);
    for (int t = 0; t < TASKS; t++) {
        mtl_dataset_release(tests[t]);
    }
}

/* Training -------------------------------------------------------------------------------------------------------- */

typedef struct training {
    mtl_objective *objective;
    mtl_optimizer *optimizer;
    mtl_gradients *gradients;
    mtl_sampler *sampler;
    int32_t number[TASKS]; /* of each task in the objective; -1: not there */
    double smoothing;
    const network *net;
    balance_choice balance;
    mtl_balancer *balancer; /* NULL: each task counts with its weight */
    balance_log log;
    draws draws; /* batches of a step with a balancer */
} training;

static void begin_training(training *run, network *net, const settings *s, int64_t batches)
{
    mtl_context *context = net->context;
    const double weights[TASKS] = {s->sentiment_weight, s->topic_weight};
    mtl_adam_options adam = MTL_ADAM_OPTIONS_INIT;
    adam.learning_rate = s->learning_rate;
    adam.weight_decay = s->weight_decay;
    adam.clip_norm = s->clip;
    mtl_schedule_options schedule = MTL_SCHEDULE_OPTIONS_INIT;
    schedule.kind = MTL_SCHEDULE_COSINE;
    schedule.total_steps = s->epochs * batches;
    schedule.warmup_steps = s->warmup < schedule.total_steps ? s->warmup : 0;
    schedule.final_factor = 0.02;
    CHECK(context, mtl_objective_create(net->model, NULL, &run->objective));
    CHECK(context, mtl_objective_share_encoder(run->objective, net->encoder));
    for (int t = 0; t < TASKS; t++) {
        run->number[t] = net->heads[t] ? mtl_objective_num_tasks(run->objective) : -1;
        if (net->heads[t]) {
            CHECK(context, mtl_objective_add_task(run->objective, task_names[t], weights[t]));
        }
    }
    CHECK(context, mtl_optimizer_create_adamw(net->model, &adam, &run->optimizer));
    CHECK(context, mtl_optimizer_set_schedule(run->optimizer, &schedule));
    CHECK(context, mtl_gradients_create(net->model, &run->gradients));
    run->smoothing = s->smoothing;
    run->net = net;
}

/* Draw 0 are the rows of the step. Methods with several draws get further training rows, methods that lower validation
 * losses rows that were held out. */
static void begin_balancing(training *run, network *net, const settings *s, mtl_dataset *const datasets[TASKS],
                            mtl_dataset *const held[TASKS])
{
    if (!run->balance.name) {
        return;
    }
    bool validation = balance_needs(&run->balance, MTL_BALANCE_NEEDS_VALIDATION);
    run->draws = (draws){.context = net->context, .tasks = TASKS, .samplers = {run->sampler}};
    if (validation || balance_needs(&run->balance, MTL_BALANCE_NEEDS_DRAWS)) {
        run->draws.samplers[1] = make_sampler(net, s, true, validation ? held : datasets, s->seed + 1000);
        run->draws.samplers[2] = validation ? NULL : make_sampler(net, s, true, datasets, s->seed + 2000);
    }
    balance_log_open(&run->log, task_names, TASKS, run->balance.csv);
    run->balancer = open_balancer(net->context, &run->balance);
    CHECK(net->context, mtl_balancer_set_monitor(run->balancer, balance_log_add, &run->log));
    CHECK(net->context, mtl_objective_set_balancer(run->objective, run->balancer));
}

/* Computes the losses of the tasks that there are; returns their number. */
static int32_t compute_losses(const training *run, mtl_tape *tape, mtl_batch *batch, mtl_tensor **losses)
{
    const network *net = run->net;
    mtl_cross_entropy_options options = MTL_CROSS_ENTROPY_OPTIONS_INIT;
    int32_t count = 0;
    options.label_smoothing = run->smoothing;
    mtl_tensor *features = mtl_encoder_forward(net->encoder, tape, mtl_batch_inputs(batch));
    for (int32_t t = 0; t < TASKS; t++) {
        if (net->heads[t]) {
            mtl_tensor *logits = mtl_head_forward(net->heads[t], tape, features);
            losses[count++] = mtl_cross_entropy(tape, logits, mtl_batch_labels(batch, t), &options);
        }
    }
    return count;
}

/* A mtl_evaluate_fn. */
static mtl_status evaluate_draw(void *user, mtl_tape *tape, int32_t draw, mtl_tensor **losses)
{
    training *run = user;
    compute_losses(run, tape, draws_batch(&run->draws, draw), losses);
    return MTL_OK;
}

static void train_batch(training *run, network *net, mtl_batch *batch)
{
    if (run->balancer) {
        draws_begin_step(&run->draws);
        run->draws.batches[0] = batch;
        CHECK(net->context, mtl_objective_step(run->objective, run->optimizer, evaluate_draw, run));
        return;
    }
    mtl_tensor *losses[TASKS];
    mtl_tape_reset(net->tape, MTL_TAPE_TRAIN);
    int32_t count = compute_losses(run, net->tape, batch, losses);
    CHECK(net->context, mtl_objective_backward(run->objective, net->tape, losses, count, run->gradients));
    CHECK(net->context, mtl_optimizer_step(run->optimizer, run->gradients));
}

static void train_epoch(training *run, network *net, progress *p)
{
    for (;;) {
        mtl_batch *batch = NULL;
        CHECK(net->context, mtl_sampler_next(run->sampler, &batch));
        if (!batch) {
            return;
        }
        train_batch(run, net, batch);
        double loss[TASKS] = {0, 0};
        int64_t rows[TASKS] = {0, 0};
        for (int32_t t = 0; t < TASKS; t++) {
            rows[t] = run->number[t] < 0 ? 0 : mtl_batch_labelled(batch, t);
            loss[t] = rows[t] > 0 ? mtl_objective_task_loss(run->objective, run->number[t]) : 0;
        }
        progress_batch(p, mtl_batch_tokens(batch), loss, rows);
    }
}

/* After an epoch: what a balancer wants to know of it, and what its log shows. */
static void close_epoch(training *run, network *net, int64_t epoch, const double accuracy[TASKS])
{
    if (!run->balancer) {
        return;
    }
    mtl_balancer_next_epoch(run->balancer);
    for (int32_t t = 0; t < TASKS && balance_needs(&run->balance, MTL_BALANCE_NEEDS_MEASURE); t++) {
        CHECK(net->context, mtl_balancer_set_measure(run->balancer, t, accuracy[t]));
    }
    double conflicts = balance_log_end_epoch(&run->log, epoch);
    if (!isnan(conflicts)) {
        printf("           in conflict in %.0f %% of the steps that were measured\n", 100 * conflicts);
    }
}

/* All that steps depend on, beside the model; it points into `run`, whose other samplers are those of the balancer. */
static mtl_training_state state_of(training *run)
{
    static const char *const names[MOST_DRAWS] = {"training", "draw 1", "draw 2"};
    mtl_training_state state = MTL_TRAINING_STATE_INIT;
    state.objective = run->objective;
    state.optimizer = run->optimizer;
    run->draws.samplers[0] = run->sampler;
    state.samplers = run->draws.samplers;
    state.sampler_names = names;
    while (state.num_samplers < MOST_DRAWS && run->draws.samplers[state.num_samplers]) {
        state.num_samplers++;
    }
    return state;
}

/* Takes up a training that was interrupted; returns the epochs that are done. */
static int64_t resume_training(training *run, network *net, const settings *s)
{
    mtl_training_state state = state_of(run);
    mtl_load_options options = MTL_LOAD_OPTIONS_INIT;
    mtl_checkpoint *checkpoint = NULL;
    mtl_sampler_position position = {0, 0};
    if (s->resume) {
        options.vocabulary = net->vocabulary;
        CHECK(net->context, mtl_checkpoint_open(net->context, s->resume, &checkpoint));
        CHECK(net->context, mtl_checkpoint_resume(checkpoint, net->model, &state, &options));
        CHECK(net->context, mtl_sampler_tell(run->sampler, &position));
        mtl_checkpoint_close(checkpoint);
        printf("resumed after epoch %lld\n", (long long)position.epoch);
    }
    return position.epoch;
}

static void end_training(training *run)
{
    if (run->balancer) {
        balance_log_print_map(&run->log);
        balance_log_close(&run->log);
        mtl_sampler_destroy(run->draws.samplers[1]);
        mtl_sampler_destroy(run->draws.samplers[2]);
        mtl_balancer_destroy(run->balancer);
    }
    mtl_gradients_destroy(run->gradients);
    mtl_optimizer_destroy(run->optimizer);
    mtl_objective_destroy(run->objective);
    mtl_sampler_destroy(run->sampler);
}

/* Whether the command line makes sense; says what does not. */
static bool can_train(const settings *s, const balance_choice *balance)
{
    const int32_t held = MTL_BALANCE_NEEDS_VALIDATION | MTL_BALANCE_NEEDS_MEASURE;
    if (!s->reviews && !s->news) {
        fprintf(stderr, "train needs --reviews, --news or both\n");
        return false;
    }
    if (balance->name && (!s->reviews || !s->news)) {
        fprintf(stderr, "--balance needs --reviews and --news: with one task there is nothing to balance\n");
        return false;
    }
    if (balance_needs(balance, held) && s->validation <= 0) {
        fprintf(stderr, "--balance %s needs --validation: it looks at rows that are held out\n", balance->name);
        return false;
    }
    return true;
}

/* Ends the program now, not after the training, when the model cannot be written. */
static void check_writable(const char *path)
{
    bool existed = access(path, F_OK) == 0;
    FILE *file = fopen(path, "ab");
    if (!file) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        exit(1);
    }
    fclose(file);
    if (!existed) {
        remove(path);
    }
}

static int train(const settings *s, const balance_choice *balance)
{
    training run = {.balance = *balance};
    progress p;
    const char *paths[TASKS] = {s->reviews, s->news};
    mtl_dataset *datasets[TASKS], *held[TASKS], *tests[TASKS];
    double start = seconds_now();
    check_writable(s->model);
    network net = {.context = open_context(s)};
    open_tests(net.context, s, tests);
    for (int t = 0; t < TASKS; t++) {
        datasets[t] = open_task(net.context, t, paths[t]);
        held[t] = hold_out(net.context, &datasets[t], s->validation);
    }
    net.vocabulary = collect_words(net.context, s, datasets, TASKS);
    run.sampler = make_sampler(&net, s, true, datasets, s->seed);
    build_network(&net, s, datasets);
    begin_training(&run, &net, s, mtl_sampler_batches(run.sampler));
    begin_balancing(&run, &net, s, datasets, held);
    printf("%lld reviews, %lld news, %lld tokens; vocabulary %lld; %lld parameters; read in %.1f s\n",
           (long long)mtl_dataset_rows(datasets[SENTIMENT]), (long long)mtl_dataset_rows(datasets[TOPIC]),
           (long long)mtl_sampler_tokens(run.sampler), (long long)mtl_vocabulary_size(net.vocabulary),
           (long long)mtl_model_num_values(net.model), seconds_now() - start);
    progress_begin(&p, s->epochs, mtl_sampler_batches(run.sampler));
    for (int64_t epoch = resume_training(&run, &net, s) + 1; epoch <= s->epochs; epoch++) {
        progress_begin_epoch(&p, epoch);
        train_epoch(&run, &net, &p);
        progress_end_epoch(&p);
        double accuracy[TASKS];
        measure(&net, s, "validation", held, false, accuracy);
        close_epoch(&run, &net, epoch, accuracy);
        if (s->checkpoint) {
            mtl_training_state state = state_of(&run);
            save_network(&net, s, s->checkpoint, &state);
        }
    }
    save_network(&net, s, s->model, NULL);
    printf("trained in %.1f s, saved as %s\n", seconds_now() - start, s->model);
    measure_tests(&net, s, tests);
    for (int t = 0; t < TASKS; t++) {
        mtl_dataset_release(datasets[t]);
        mtl_dataset_release(held[t]);
    }
    end_training(&run);
    release_network(&net);
    return 0;
}

static int command_train(int argc, char **argv)
{
    settings s;
    balance_choice balance = take_balance(&argc, argv);
    read_settings(&s, argc, argv);
    return can_train(&s, &balance) ? train(&s, &balance) : 2;
}

/* Using a model --------------------------------------------------------------------------------------------------- */

static int command_evaluate(int argc, char **argv)
{
    settings own, *s = &own;
    mtl_dataset *tests[TASKS];
    read_settings(s, argc, argv);
    if (!s->reviews_test && !s->news_test) {
        fprintf(stderr, "evaluate needs --reviews-test, --news-test or both\n");
        return 2;
    }
    network net = {.context = open_context(s)};
    load_network(&net, s);
    open_tests(net.context, s, tests);
    measure_tests(&net, s, tests);
    release_network(&net);
    return 0;
}

/* The ids of a line, cut as in training; at least one. There is room for an id per byte, and one. */
static size_t encode_line(const network *net, const settings *s, const char *line, size_t size, int32_t *ids)
{
    size_t count = 0, most = (size_t)s->max_tokens, tail = (size_t)s->keep_tail;
    CHECK(net->context, mtl_vocabulary_encode(net->vocabulary, line, size, ids, size, &count));
    if (count > most) {
        memmove(ids + most - tail, ids + count - tail, tail * sizeof ids[0]);
        count = most;
    }
    if (count == 0) {
        ids[0] = MTL_TOKEN_UNKNOWN;
        count = 1;
    }
    return count;
}

/* Prints each task's likeliest class and its probability. */
static void judge(network *net, const int32_t *ids, size_t count)
{
    int64_t offsets[2] = {0, (int64_t)count};
    mtl_tensor *inputs = NULL;
    CHECK(net->context, mtl_tensor_create_ragged(net->context, 1, offsets, ids, &inputs));
    mtl_tape_reset(net->tape, MTL_TAPE_INFER);
    mtl_tensor *features = mtl_encoder_forward(net->encoder, net->tape, inputs);
    for (int t = 0; t < TASKS; t++) {
        if (!net->heads[t]) {
            continue;
        }
        double p[4];
        mtl_tensor *probabilities = mtl_softmax(net->tape, mtl_head_forward(net->heads[t], net->tape, features));
        CHECK(net->context, mtl_tensor_read(probabilities, MTL_FLOAT64, p, (size_t)task_classes[t]));
        int best = 0;
        for (int c = 1; c < task_classes[t]; c++) {
            best = p[c] > p[best] ? c : best;
        }
        printf("%s %.3f\t", t == SENTIMENT ? sentiment_names[best] : topic_names[best], p[best]);
    }
    mtl_tensor_release(inputs);
}

static void predict_line(network *net, const settings *s, const char *line, size_t size)
{
    int32_t *ids = malloc((size + 1) * sizeof ids[0]); /* a token has at least one byte */
    if (!ids) {
        fprintf(stderr, "a line of %zu bytes is too long for this machine\n", size);
        exit(1);
    }
    judge(net, ids, encode_line(net, s, line, size, ids));
    free(ids);
    fwrite(line, 1, size, stdout);
    putchar('\n');
}

static int command_predict(int argc, char **argv)
{
    settings own, *s = &own;
    read_settings(s, argc, argv);
    network net = {.context = open_context(s)};
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size;
    load_network(&net, s);
    while ((size = getline(&line, &capacity, stdin)) >= 0) {
        while (size > 0 && (line[size - 1] == '\n' || line[size - 1] == '\r')) {
            size--;
        }
        predict_line(&net, s, line, (size_t)size);
    }
    bool failed = ferror(stdin) != 0;
    free(line);
    release_network(&net);
    if (failed || fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "%s: %s\n", failed ? "standard input" : "standard output", strerror(errno));
        return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int, char **);
    } commands[] = {{"train", command_train}, {"evaluate", command_evaluate}, {"predict", command_predict}};
    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            return commands[i].run(argc - 2, argv + 2);
        }
    }
    bool help = argc > 1 && strcmp(argv[1], "--help") == 0;
    puts("usage: sentiment_topic train|evaluate|predict [options]");
    print_settings_help();
    puts("train takes these too:");
    print_balance_help();
    return help ? 0 : 2;
}
