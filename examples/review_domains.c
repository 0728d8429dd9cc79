/* SPDX-License-Identifier: Apache-2.0
 * Sixteen kinds of reviews, about 1,400 rows to learn from in each: a network per task, one network for all, or
 * networks of their own that are held together by a penalty.
 *
 *   review_domains --data FOLDER [--method single|hard|shared-private|soft-l2|soft-trace] [--seed N] ...
 *   review_domains --data FOLDER --method hard --balance upgrad [--csv FILE] ...
 *
 * The second form has a balancer decide in each step how much each task counts, and ends with a map of which tasks are
 * in conflict. begin_balancing() is all there is to it.
 *
 * FOLDER holds the files <task>.task.train and <task>.task.test of Liu, Qiu & Huang (ACL 2017). The last 200 rows of
 * each training file are the development part: they are not trained on, and choose the epoch whose test error is
 * reported. */
#include <math.h>
#include <string.h>

#include "support/balance_log.h"
#include "support/check.h"
#include "support/draws.h"
#include "support/open_balancer.h"
#include "support/open_context.h"
#include "support/progress.h"
#include "support/review_scores.h"
#include "support/review_tasks.h"
#include "support/settings.h"
#include "support/take_option.h"
#include "support/words.h"

enum { TASKS = REVIEW_TASKS, MEASURED_ROWS = 50 }; /* the latter of a batch */

enum method { SINGLE, HARD, SHARED_PRIVATE, SOFT_L2, SOFT_TRACE, METHODS };

static const char *const method_names[METHODS] = {"single", "hard", "shared-private", "soft-l2", "soft-trace"};

typedef struct experiment {
    settings s;
    enum method method;
    double coefficient;           /* of the penalties on LSTMs and heads */
    double embedding_coefficient; /* of the one on embeddings */
    bool term;                    /* penalties are terms of the objective, not proximal steps */
    int64_t private_hidden;
    bool validation; /* the test rows are not looked at */
    balance_choice balance;
    const char *baseline; /* output of another run, to compare with; NULL: none */

    mtl_context *context;
    review_task data[TASKS];
    mtl_vocabulary *vocabulary;
    mtl_model *model;
    mtl_encoder *shared;     /* one for all tasks, or NULL */
    mtl_encoder *own[TASKS]; /* one per task, or NULL */
    mtl_head *heads[TASKS];
    mtl_tape *tape;
    mtl_objective *objective;
    mtl_optimizer *optimizer;
    mtl_gradients *gradients;
    mtl_balancer *balancer; /* NULL: every task counts the same */
    balance_log log;        /* of its steps */

    mtl_sampler *mixed;        /* rows of all tasks, for one encoder */
    draws draws;               /* likewise, of a step with a balancer */
    mtl_sampler *train[TASKS]; /* rows of one task each, for encoders of their own */
    mtl_sampler *development[TASKS], *test[TASKS];
    int64_t steps; /* of an epoch */
} experiment;

/* Data ------------------------------------------------------------------------------------------------------------ */

static void build_vocabulary(experiment *e)
{
    mtl_dataset *datasets[TASKS];
    for (int t = 0; t < TASKS; t++) {
        datasets[t] = e->data[t].train;
    }
    e->vocabulary = collect_words(e->context, &e->s, datasets, TASKS);
}

static mtl_sampler *make_sampler(experiment *e, int64_t rows, int32_t shuffle, int64_t seed)
{
    mtl_sampler *sampler = NULL;
    mtl_sampler_options options = MTL_SAMPLER_OPTIONS_INIT;
    options.batch_rows = rows;
    options.bucket_batches = shuffle ? e->s.bucket : 1;
    options.max_tokens = e->s.max_tokens;
    options.keep_tail = (int32_t)e->s.keep_tail;
    options.seed = (uint64_t)seed;
    options.shuffle = shuffle;
    CHECK(e->context, mtl_sampler_create(e->context, e->vocabulary, TASKS, &options, &sampler));
    return sampler;
}

static mtl_sampler *make_task_sampler(experiment *e, int32_t task, mtl_dataset *dataset, int64_t rows, int32_t shuffle)
{
    mtl_sampler *sampler = make_sampler(e, rows, shuffle, e->s.seed);
    CHECK(e->context, mtl_sampler_add_dataset(sampler, dataset, &task, 1));
    return sampler;
}

/* Rows of all tasks. Methods that lower validation losses have a tenth of the training rows for these, and train on the
 * rest: the development part stays what chooses the epoch. */
static mtl_sampler *make_mixed_sampler(experiment *e, bool validation, int64_t seed)
{
    bool divided = balance_needs(&e->balance, MTL_BALANCE_NEEDS_VALIDATION);
    mtl_sampler *sampler = make_sampler(e, e->s.batch, 1, seed);
    for (int32_t t = 0; t < TASKS; t++) {
        mtl_dataset *part = NULL;
        int64_t rows = mtl_dataset_rows(e->data[t].train);
        int64_t cut = divided ? rows - rows / 10 : rows;
        CHECK(e->context, mtl_dataset_slice(e->data[t].train, validation ? cut : 0, validation ? rows : cut, &part));
        CHECK(e->context, mtl_sampler_add_dataset(sampler, part, &t, 1));
        mtl_dataset_release(part); /* the sampler holds it */
    }
    return sampler;
}

/* Draw 0 are the rows of the step, draw 1 validation rows or, as draw 2, further training rows. */
static void make_draws(experiment *e)
{
    bool validation = balance_needs(&e->balance, MTL_BALANCE_NEEDS_VALIDATION);
    e->draws = (draws){.context = e->context, .tasks = TASKS, .samplers = {e->mixed}};
    if (validation || balance_needs(&e->balance, MTL_BALANCE_NEEDS_DRAWS)) {
        e->draws.samplers[1] = make_mixed_sampler(e, validation, e->s.seed + 1000);
        e->draws.samplers[2] = validation ? NULL : make_mixed_sampler(e, false, e->s.seed + 2000);
    }
}

static void make_samplers(experiment *e)
{
    e->mixed = e->method == HARD ? make_mixed_sampler(e, false, e->s.seed) : NULL;
    make_draws(e);
    for (int32_t t = 0; t < TASKS; t++) {
        if (!e->mixed) {
            e->train[t] = make_task_sampler(e, t, e->data[t].train, e->s.batch, 1);
            int64_t batches = mtl_sampler_batches(e->train[t]);
            e->steps = e->steps > batches ? e->steps : batches;
        }
        e->development[t] = make_task_sampler(e, t, e->data[t].development, MEASURED_ROWS, 0);
        e->test[t] = make_task_sampler(e, t, e->data[t].test, MEASURED_ROWS, 0);
    }
    e->steps = e->mixed ? mtl_sampler_batches(e->mixed) : e->steps;
}

/* Networks -------------------------------------------------------------------------------------------------------- */

/* What is drawn from the same seed is the same. So every task's own network begins with the weights of the others:
 * units of one place then mean the same, which is what a penalty on differences takes for granted. */
static void set_seed(experiment *e, uint64_t offset)
{
    CHECK(e->context, mtl_context_set_seed(e->context, 3 * (uint64_t)e->s.seed + offset));
}

static mtl_encoder *make_encoder(experiment *e, int64_t hidden, const char *name)
{
    mtl_encoder *encoder = NULL;
    mtl_lstm_options options = MTL_LSTM_OPTIONS_INIT;
    options.vocabulary_size = mtl_vocabulary_size(e->vocabulary);
    options.embedding_dim = e->s.embedding;
    options.hidden_dim = hidden;
    options.num_layers = (int32_t)e->s.layers;
    options.bidirectional = (int32_t)e->s.bidirectional;
    options.pooling = e->s.pooling;
    options.embedding_dropout = e->s.embedding_dropout;
    options.layer_dropout = e->s.layer_dropout;
    options.output_dropout = e->s.output_dropout;
    CHECK(e->context, mtl_encoder_create_lstm(e->context, &options, &encoder));
    CHECK(e->context, mtl_model_add_encoder(e->model, name, encoder));
    mtl_encoder_release(encoder); /* the model holds it */
    return encoder;
}

/* The names of a task's modules. */
static const char *encoder_name(int task)
{
    static char names[TASKS][64];
    snprintf(names[task], sizeof names[task], "%s_encoder", review_task_names[task]);
    return names[task];
}

static void build_networks(experiment *e)
{
    CHECK(e->context, mtl_model_create(e->context, NULL, &e->model));
    if (e->method == HARD || e->method == SHARED_PRIVATE) {
        set_seed(e, 0);
        e->shared = make_encoder(e, e->s.hidden, "shared");
    }
    for (int t = 0; t < TASKS; t++) {
        set_seed(e, 1);
        if (e->method != HARD) {
            int64_t hidden = e->method == SHARED_PRIVATE ? e->private_hidden : e->s.hidden;
            e->own[t] = make_encoder(e, hidden, encoder_name(t));
        }
        int64_t features =
            (e->shared ? mtl_encoder_output_dim(e->shared) : 0) + (e->own[t] ? mtl_encoder_output_dim(e->own[t]) : 0);
        CHECK(e->context, mtl_head_create_classifier(e->context, features, 2, NULL, &e->heads[t]));
        CHECK(e->context, mtl_model_add_head(e->model, review_task_names[t], e->heads[t]));
        mtl_head_release(e->heads[t]);
    }
    set_seed(e, 2); /* of dropout */
    CHECK(e->context, mtl_tape_create(e->context, NULL, &e->tape));
}

static mtl_tensor *forward(experiment *e, int task, mtl_tensor *inputs)
{
    mtl_tensor *parts[2];
    int32_t count = 0;
    if (e->shared) {
        parts[count++] = mtl_encoder_forward(e->shared, e->tape, inputs);
    }
    if (e->own[task]) {
        parts[count++] = mtl_encoder_forward(e->own[task], e->tape, inputs);
    }
    mtl_tensor *features = count == 1 ? parts[0] : mtl_concat(e->tape, parts, count);
    return mtl_head_forward(e->heads[task], e->tape, features);
}

/* Sharing --------------------------------------------------------------------------------------------------------- */

/* Puts a penalty on parameters of all encoders, or of all heads. */
static void add_penalty(experiment *e, mtl_penalty_options options, bool heads, const char *parameters)
{
    const char *names[TASKS];
    mtl_penalty *penalty = NULL;
    options.parameters = parameters;
    for (int t = 0; t < TASKS; t++) {
        names[t] = heads ? review_task_names[t] : encoder_name(t);
    }
    CHECK(e->context, mtl_penalty_create(e->model, names, TASKS, &options, &penalty));
    CHECK(e->context, e->term ? mtl_objective_add_penalty(e->objective, penalty)
                              : mtl_optimizer_add_proximal(e->optimizer, penalty));
    mtl_penalty_destroy(penalty); /* the objective or the optimizer holds it */
}

/* A trace norm grows with the root of a parameter's size, and so does what an update adds to it. So each gets a
 * coefficient in proportion to that root, as groups of different sizes do in the group lasso (Yuan & Lin 2006). */
static void add_trace_norm(experiment *e, const mtl_tensor *parameter, bool heads, const char *parameters)
{
    mtl_penalty_options options = MTL_PENALTY_OPTIONS_INIT;
    options.kind = MTL_PENALTY_TRACE_NORM;
    options.coefficient = e->coefficient * sqrt((double)mtl_tensor_size(parameter));
    add_penalty(e, options, heads, parameters);
}

/* Distances or trace norms of the stack for LSTMs and heads. Embeddings are held by distances, which need to look only
 * at the words of the step. */
static void add_sharing(experiment *e)
{
    mtl_penalty_options options = MTL_PENALTY_OPTIONS_INIT;
    options.kind = MTL_PENALTY_L2;
    options.coefficient = e->embedding_coefficient;
    add_penalty(e, options, false, "embedding.weight");
    if (e->method == SOFT_L2) {
        options.coefficient = e->coefficient;
        add_penalty(e, options, false, NULL);
        add_penalty(e, options, true, NULL);
        return;
    }
    add_trace_norm(e, mtl_encoder_parameter(e->own[0], "lstm.weight_ih_l0"), false, "lstm.weight_ih_*");
    add_trace_norm(e, mtl_encoder_parameter(e->own[0], "lstm.weight_hh_l0"), false, "lstm.weight_hh_*");
    add_trace_norm(e, mtl_encoder_parameter(e->own[0], "lstm.bias_ih_l0"), false, "lstm.bias_*");
    add_trace_norm(e, mtl_head_parameter(e->heads[0], "weight"), true, "weight");
    add_trace_norm(e, mtl_head_parameter(e->heads[0], "bias"), true, "bias");
}

/* Measuring ------------------------------------------------------------------------------------------------------- */

static void measure_batch(experiment *e, int32_t task, mtl_batch *batch, const bool *repeated, score *out)
{
    float logits[MEASURED_ROWS][2];
    int32_t labels[MEASURED_ROWS];
    int64_t rows = mtl_batch_rows(batch);
    double loss;
    mtl_tape_reset(e->tape, MTL_TAPE_INFER);
    mtl_tensor *result = forward(e, task, mtl_batch_inputs(batch));
    CHECK(e->context, mtl_tensor_item(mtl_cross_entropy(e->tape, result, mtl_batch_labels(batch, task), NULL), &loss));
    CHECK(e->context, mtl_tensor_read(result, MTL_FLOAT32, logits, (size_t)rows * 2));
    CHECK(e->context, mtl_tensor_read(mtl_batch_labels(batch, task), MTL_INT32, labels, (size_t)rows));
    out->loss += loss * (double)rows;
    for (int64_t i = 0; i < rows; i++) {
        int wrong = (logits[i][1] > logits[i][0]) != labels[i];
        bool seen = repeated && repeated[mtl_batch_source(batch, i, NULL)];
        out->rows++;
        out->wrong += wrong;
        out->new_rows += !seen;
        out->new_wrong += wrong && !seen;
    }
}

static score measure(experiment *e, int32_t task, mtl_sampler *sampler, const bool *repeated)
{
    score result = {0};
    for (;;) {
        mtl_batch *batch = NULL;
        CHECK(e->context, mtl_sampler_next(sampler, &batch));
        if (!batch) {
            return result;
        }
        measure_batch(e, task, batch, repeated, &result);
    }
}

/* Training -------------------------------------------------------------------------------------------------------- */

static void begin_training(experiment *e)
{
    mtl_adam_options adam = MTL_ADAM_OPTIONS_INIT;
    adam.learning_rate = e->s.learning_rate;
    adam.weight_decay = e->s.weight_decay;
    adam.clip_norm = e->s.clip;
    mtl_schedule_options schedule = MTL_SCHEDULE_OPTIONS_INIT;
    schedule.kind = MTL_SCHEDULE_COSINE;
    schedule.total_steps = e->s.epochs * e->steps;
    schedule.warmup_steps = e->s.warmup < schedule.total_steps ? e->s.warmup : 0;
    schedule.final_factor = 0.02;
    CHECK(e->context, mtl_objective_create(e->model, NULL, &e->objective));
    if (e->shared) {
        CHECK(e->context, mtl_objective_share_encoder(e->objective, e->shared));
    }
    for (int t = 0; t < TASKS; t++) {
        CHECK(e->context, mtl_objective_add_task(e->objective, review_task_names[t], 1.0));
    }
    CHECK(e->context, mtl_optimizer_create_adamw(e->model, &adam, &e->optimizer));
    CHECK(e->context, mtl_optimizer_set_schedule(e->optimizer, &schedule));
    CHECK(e->context, mtl_gradients_create(e->model, &e->gradients));
}

static void begin_balancing(experiment *e)
{
    if (e->balance.name) {
        balance_log_open(&e->log, review_task_names, TASKS, e->balance.csv);
        e->balancer = open_balancer(e->context, &e->balance);
        CHECK(e->context, mtl_balancer_set_monitor(e->balancer, balance_log_add, &e->log));
        CHECK(e->context, mtl_objective_set_balancer(e->objective, e->balancer));
    }
}

static mtl_batch *next_batch(experiment *e, mtl_sampler *sampler)
{
    mtl_batch *batch = NULL;
    while (!batch) { /* NULL is the end of an epoch */
        CHECK(e->context, mtl_sampler_next(sampler, &batch));
    }
    return batch;
}

static mtl_tensor *task_loss(experiment *e, mtl_tape *tape, mtl_tensor *logits, mtl_batch *batch, int32_t task)
{
    mtl_cross_entropy_options options = MTL_CROSS_ENTROPY_OPTIONS_INIT;
    options.label_smoothing = e->s.smoothing;
    return mtl_cross_entropy(tape, logits, mtl_batch_labels(batch, task), &options);
}

/* One encoder: the rows of all tasks go through it together, and each counts the same. */
static int64_t mixed_losses(experiment *e, mtl_tensor *losses[TASKS])
{
    mtl_batch *batch = next_batch(e, e->mixed);
    double rows = (double)mtl_batch_rows(batch);
    mtl_tensor *features = mtl_encoder_forward(e->shared, e->tape, mtl_batch_inputs(batch));
    for (int32_t t = 0; t < TASKS; t++) {
        double part = (double)mtl_batch_labelled(batch, t) / rows;
        mtl_tensor *logits = mtl_head_forward(e->heads[t], e->tape, features);
        losses[t] = part > 0 ? mtl_scale(e->tape, task_loss(e, e->tape, logits, batch, t), part) : NULL;
    }
    return mtl_batch_tokens(batch);
}

/* Encoders of their own: a batch for each. */
static int64_t separate_losses(experiment *e, mtl_tensor *losses[TASKS])
{
    int64_t tokens = 0;
    for (int32_t t = 0; t < TASKS; t++) {
        mtl_batch *batch = next_batch(e, e->train[t]);
        losses[t] = task_loss(e, e->tape, forward(e, t, mtl_batch_inputs(batch)), batch, t);
        tokens += mtl_batch_tokens(batch);
    }
    return tokens;
}

/* One encoder and a balancer: each task's loss is the mean over its own rows. A mtl_evaluate_fn. */
static mtl_status evaluate_draw(void *user, mtl_tape *tape, int32_t draw, mtl_tensor **losses)
{
    experiment *e = user;
    mtl_batch *batch = draws_batch(&e->draws, draw);
    mtl_tensor *features = mtl_encoder_forward(e->shared, tape, mtl_batch_inputs(batch));
    for (int32_t t = 0; t < TASKS; t++) {
        losses[t] = task_loss(e, tape, mtl_head_forward(e->heads[t], tape, features), batch, t);
    }
    return MTL_OK;
}

/* Returns the tokens of the step's rows. */
static int64_t train_step(experiment *e)
{
    if (e->balancer) {
        draws_begin_step(&e->draws);
        CHECK(e->context, mtl_objective_step(e->objective, e->optimizer, evaluate_draw, e));
        return mtl_batch_tokens(draws_batch(&e->draws, 0));
    }
    mtl_tensor *losses[TASKS];
    mtl_tape_reset(e->tape, MTL_TAPE_TRAIN);
    int64_t tokens = e->mixed ? mixed_losses(e, losses) : separate_losses(e, losses);
    CHECK(e->context, mtl_objective_backward(e->objective, e->tape, losses, TASKS, e->gradients));
    CHECK(e->context, mtl_optimizer_step(e->optimizer, e->gradients));
    return tokens;
}

static void train_epoch(experiment *e, int64_t epoch)
{
    double loss = 0, start = seconds_now();
    int64_t tokens = 0;
    for (int64_t step = 0; step < e->steps; step++) {
        tokens += train_step(e);
        loss += mtl_objective_value(e->objective);
    }
    double time = seconds_now() - start;
    printf("epoch %2lld/%lld  %5.1f s  %6.0f tokens/s  loss %7.4f", (long long)epoch, (long long)e->s.epochs, time,
           (double)tokens / time, loss / (double)e->steps);
    if (e->balancer) {
        mtl_balancer_next_epoch(e->balancer);
        double conflicts = balance_log_end_epoch(&e->log, epoch);
        if (!isnan(conflicts)) {
            printf("  in conflict %2.0f %% of the pairs", 100 * conflicts);
        }
    }
}

static void choose(experiment *e, int task, int64_t epoch, const score *development, choice *out)
{
    out->epoch = epoch;
    out->development = *development;
    if (!e->validation) {
        out->test = measure(e, task, e->test[task], e->data[task].repeated);
    }
}

/* Measures the development part. Networks that know nothing of each other choose each its epoch; networks that are
 * trained together choose one for all. */
static void look(experiment *e, int64_t epoch, choice best[TASKS])
{
    score now[TASKS], sum = {0}, best_sum = {0};
    for (int t = 0; t < TASKS; t++) {
        now[t] = measure(e, t, e->development[t], NULL);
        if (balance_needs(&e->balance, MTL_BALANCE_NEEDS_MEASURE)) {
            double accuracy = 1 - (double)now[t].wrong / (double)now[t].rows;
            CHECK(e->context, mtl_balancer_set_measure(e->balancer, t, accuracy));
        }
        sum.rows += now[t].rows;
        sum.wrong += now[t].wrong;
        sum.loss += now[t].loss;
        best_sum.wrong += best[t].development.wrong;
        best_sum.loss += best[t].development.loss;
    }
    printf("  development error %.2f %%  loss %.4f\n", percent(sum.wrong, sum.rows), sum.loss / (double)sum.rows);
    fflush(stdout);
    for (int t = 0; t < TASKS; t++) {
        bool alone = e->method == SINGLE && better(&now[t], &best[t].development);
        if (epoch == 1 || alone || (e->method != SINGLE && better(&sum, &best_sum))) {
            choose(e, t, epoch, &now[t], &best[t]);
        }
    }
}

/* Program --------------------------------------------------------------------------------------------------------- */

static void print_results(const experiment *e, const choice best[TASKS], double seconds)
{
    mean_errors mean = print_scores(best);
    if (e->baseline) {
        print_change(e->context, best, e->baseline);
    }
    printf("RESULT\tmethod=%s\tbalance=%s\tseed=%lld\tcoefficient=%g\tdevelopment=%.3f\ttest=%.3f\tfresh=%.3f\t"
           "parameters=%lld\tseconds=%.0f\n",
           method_names[e->method], e->balance.name ? e->balance.name : "none", (long long)e->s.seed, e->coefficient,
           mean.development, mean.test, mean.fresh, (long long)mtl_model_num_values(e->model), seconds);
}

static void release(experiment *e)
{
    mtl_sampler_destroy(e->mixed);
    mtl_sampler_destroy(e->draws.samplers[1]);
    mtl_sampler_destroy(e->draws.samplers[2]);
    for (int t = 0; t < TASKS; t++) {
        mtl_sampler_destroy(e->train[t]);
        mtl_sampler_destroy(e->development[t]);
        mtl_sampler_destroy(e->test[t]);
        release_review_task(&e->data[t]);
    }
    mtl_gradients_destroy(e->gradients);
    mtl_optimizer_destroy(e->optimizer);
    mtl_objective_destroy(e->objective);
    mtl_balancer_destroy(e->balancer);
    mtl_tape_destroy(e->tape);
    mtl_model_destroy(e->model);
    mtl_vocabulary_release(e->vocabulary);
    mtl_context_release(e->context);
}

static void run(experiment *e, const char *folder)
{
    choice best[TASKS] = {{0}};
    int64_t rows = 0;
    double start = seconds_now();
    e->context = open_context(&e->s);
    for (int t = 0; t < TASKS; t++) {
        open_review_task(e->context, folder, t, &e->data[t]);
        rows += mtl_dataset_rows(e->data[t].train);
    }
    build_vocabulary(e);
    make_samplers(e);
    build_networks(e);
    begin_training(e);
    begin_balancing(e);
    if (e->method == SOFT_L2 || e->method == SOFT_TRACE) {
        add_sharing(e);
    }
    printf("%s: %lld rows to train on, vocabulary %lld, %lld parameters, %lld steps an epoch; read in %.1f s\n",
           method_names[e->method], (long long)rows, (long long)mtl_vocabulary_size(e->vocabulary),
           (long long)mtl_model_num_values(e->model), (long long)e->steps, seconds_now() - start);
    for (int64_t epoch = 1; epoch <= e->s.epochs; epoch++) {
        train_epoch(e, epoch);
        look(e, epoch, best);
    }
    if (e->balancer) {
        balance_log_print_map(&e->log);
        balance_log_close(&e->log);
    }
    print_results(e, best, seconds_now() - start);
    release(e);
}

/* Settings found on the development parts. They come before those of the command line, so that the latter count. */
enum { COMMON_PRESETS = 15, METHOD_PRESETS = 3, WORD = 24 };

static char common_presets[COMMON_PRESETS][2][WORD] = {
    {"--vocabulary", "40000"},  {"--min-count", "2"},           {"--max-tokens", "256"},
    {"--keep-tail", "128"},     {"--embedding", "200"},         {"--hidden", "64"},
    {"--bidirectional", "1"},   {"--pooling", "max"},           {"--bucket", "1"},
    {"--warmup", "100"},        {"--embedding-dropout", "0.6"}, {"--output-dropout", "0.5"},
    {"--weight-decay", "0.01"}, {"--smoothing", "0.1"},         {"--clip", "0"},
};

/* With sorted rows each batch has about as many of each task: a balancer wants to see all of them. */
static char balance_preset[2][WORD] = {"--bucket", "32"};

/* Rows of a batch: of all tasks together in hard sharing, else of each task. */
static char method_presets[METHODS][METHOD_PRESETS][2][WORD] = {
    [SINGLE] = {{"--batch", "8"}, {"--epochs", "10"}, {"--learning-rate", "0.003"}},
    [HARD] = {{"--batch", "64"}, {"--epochs", "6"}, {"--learning-rate", "0.003"}},
    [SHARED_PRIVATE] = {{"--batch", "4"}, {"--epochs", "6"}, {"--learning-rate", "0.003"}},
    [SOFT_L2] = {{"--batch", "8"}, {"--epochs", "6"}, {"--learning-rate", "0.02"}},
    [SOFT_TRACE] = {{"--batch", "8"}, {"--epochs", "8"}, {"--learning-rate", "0.02"}},
};

static int add_presets(char **list, int count, char (*presets)[2][WORD], int length)
{
    for (int i = 0; i < length; i++) {
        list[count++] = presets[i][0];
        list[count++] = presets[i][1];
    }
    return count;
}

static void read_all_settings(experiment *e, int argc, char **argv)
{
    size_t most = 2 * ((size_t)COMMON_PRESETS + METHOD_PRESETS + 1) + (size_t)argc;
    char **list = malloc(most * sizeof list[0]);
    if (!list) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    int count = add_presets(list, 0, common_presets, COMMON_PRESETS);
    count = add_presets(list, count, &balance_preset, e->balance.name ? 1 : 0);
    count = add_presets(list, count, method_presets[e->method], METHOD_PRESETS);
    for (int i = 0; i < argc; i++) {
        list[count++] = argv[i];
    }
    read_settings(&e->s, count, list);
    free(list);
}

static void usage(void)
{
    puts("usage: review_domains --data FOLDER [options]\n"
         "  --data               folder with books.task.train and its like\n"
         "  --method             single, hard, shared-private, soft-l2 or soft-trace (hard)\n"
         "  --coefficient        soft methods: of the penalty on LSTMs and heads (soft-l2: 1, soft-trace: 0.15)\n"
         "  --embedding-coefficient  soft methods: of the L2 penalty on embeddings (1)\n"
         "  --use                penalties as proximal steps or as terms of the objective: proximal, term (proximal)\n"
         "  --private-hidden     features of a private state, per direction (16)\n"
         "  --report             test, or development: the test rows are not looked at (test)\n"
         "  --baseline           output of another run: how its test errors compare (delta m)");
    print_balance_help();
    print_settings_help();
    puts("Here other defaults are:");
    for (int i = 0; i < COMMON_PRESETS; i++) {
        printf("  %s %s", common_presets[i][0], common_presets[i][1]);
    }
    printf("\n  %-16s  %s %s", "--balance", balance_preset[0], balance_preset[1]);
    for (int m = 0; m < METHODS; m++) {
        printf("\n  %-16s", method_names[m]);
        for (int i = 0; i < METHOD_PRESETS; i++) {
            printf("  %s %s", method_presets[m][i][0], method_presets[m][i][1]);
        }
    }
    putchar('\n');
}

int main(int argc, char **argv)
{
    static const char *const parts[] = {"test", "development"}, *const uses[] = {"proximal", "term"};
    experiment e = {0};
    int count = argc - 1;
    char **options = argv + 1;
    if (count > 0 && strcmp(options[0], "--help") == 0) {
        usage();
        return 0;
    }
    const char *folder = take_option(&count, options, "--data", NULL);
    e.method = (enum method)take_choice(&count, options, "--method", method_names, METHODS, HARD);
    e.coefficient = take_number(&count, options, "--coefficient", e.method == SOFT_TRACE ? 0.15 : 1);
    e.embedding_coefficient = take_number(&count, options, "--embedding-coefficient", 1);
    e.term = take_choice(&count, options, "--use", uses, 2, 0) == 1;
    e.private_hidden = (int64_t)take_number(&count, options, "--private-hidden", 16);
    e.validation = take_choice(&count, options, "--report", parts, 2, 0) == 1;
    e.baseline = take_option(&count, options, "--baseline", NULL);
    e.balance = take_balance(&count, options);
    read_all_settings(&e, count, options);
    if (e.balance.name && e.method != HARD) {
        fprintf(stderr, "--balance is for --method hard: tasks that share an encoder\n");
        return 2;
    }
    if (e.baseline && e.validation) {
        fprintf(stderr, "--baseline compares test errors: not with --report development\n");
        return 2;
    }
    if (!folder) {
        fprintf(stderr, "--data FOLDER is needed: the folder with books.task.train and its like\n");
        return 2;
    }
    run(&e, folder);
    return 0;
}
