/* SPDX-License-Identifier: Apache-2.0
 * States of training that are damaged, hostile or another run's: the right status, a message that names what is wrong, and
 * nothing changed: what is saved after the failure is what was saved before it. */
#include "checksums.h"
#include "resumed_run.h"
#include "support/support.h"

#include <math.h>

typedef struct fixture {
    test_folder folder;
    mtl_context *context;
    resumed_plan plan;
    resumed_run run; /* six steps on */
    char *good;      /* a file of the same run after three steps */
    size_t good_size;
    char *before; /* of the run as it is */
    size_t before_size;
    char work[TEST_PATH_SIZE]; /* the damaged file */
    char now[TEST_PATH_SIZE];
} fixture;

static size_t header_size(const char *bytes)
{
    size_t size = 0;
    for (int i = 7; i >= 0; i--) {
        size = size << 8 | (unsigned char)bytes[i];
    }
    return size;
}

static int set_up(void **state)
{
    static fixture f;
    memset(&f, 0, sizeof f);
    test_folder_create(&f.folder);
    snprintf(f.work, sizeof f.work, "%s", test_path(&f.folder, "work"));
    snprintf(f.now, sizeof f.now, "%s", test_path(&f.folder, "now"));
    f.context = test_context();
    f.plan = resumed_plan_usual();
    f.plan.method = MTL_BALANCE_MOCO;
    f.plan.split = 1;
    assert_ok(f.context, resumed_run_create(f.context, &f.plan, &f.run));
    assert_ok(f.context, resumed_run_steps(&f.run, 0, 3));
    assert_ok(f.context, resumed_run_save(&f.run, f.work));
    f.good = test_read_file(f.work, &f.good_size);
    forget_checksums(f.good + 8, header_size(f.good)); /* what else is checked is to show */
    assert_ok(f.context, resumed_run_steps(&f.run, 3, 6));
    assert_ok(f.context, resumed_run_save(&f.run, f.now));
    f.before = test_read_file(f.now, &f.before_size);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    mtl_memory_info info;
    resumed_run_destroy(&f->run);
    assert_ok(f->context, mtl_context_memory(f->context, &info));
    assert_int_equal(info.blocks, 1);
    mtl_context_release(f->context);
    test_folder_remove(&f->folder);
    free(f->good);
    free(f->before);
    return 0;
}

static void expect_unchanged(fixture *f)
{
    size_t size;
    assert_ok(f->context, resumed_run_save(&f->run, f->now));
    char *now = test_read_file(f->now, &size);
    assert_int_equal(size, f->before_size);
    assert_memory_equal(now, f->before, size);
    free(now);
}

static void expect_refused(fixture *f, mtl_status status, const char *message)
{
    assert_fails(f->context, resumed_run_load(&f->run, f->work), status, message);
    expect_unchanged(f);
}

/* ---- edited files ---- */

static void write_work(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    fclose(file);
}

/* The good file with `from` in its header replaced by `to`, once. */
static void edit_header(fixture *f, const char *from, const char *to)
{
    size_t length = header_size(f->good);
    char *header = malloc(length + 1);
    memcpy(header, f->good + 8, length);
    header[length] = '\0';
    char *at = strstr(header, from);
    if (!at) {
        fail_msg("the header has no %s", from);
    }
    size_t new_length = length - strlen(from) + strlen(to);
    size_t data = f->good_size - 8 - length;
    char *bytes = malloc(8 + new_length + data);
    for (int i = 0; i < 8; i++) {
        bytes[i] = (char)((uint64_t)new_length >> (8 * i));
    }
    size_t front = (size_t)(at - header);
    memcpy(bytes + 8, header, front);
    memcpy(bytes + 8 + front, to, strlen(to));
    memcpy(bytes + 8 + front + strlen(to), at + strlen(from), length - front - strlen(from));
    memcpy(bytes + 8 + new_length, f->good + 8 + length, data);
    write_work(f->work, bytes, 8 + new_length + data);
    free(bytes);
    free(header);
}

/* Where a tensor's bytes begin in the file; *size of them. */
static size_t place_of(const fixture *f, const char *name, size_t *size)
{
    size_t length = header_size(f->good);
    char *header = malloc(length + 1);
    char key[160];
    memcpy(header, f->good + 8, length);
    header[length] = '\0';
    snprintf(key, sizeof key, "\"%s\":{", name);
    const char *at = strstr(header, key);
    if (!at) {
        fail_msg("there is no tensor %s", name);
    }
    unsigned long begin, end;
    at = strstr(at, "\"data_offsets\":[");
    assert_int_equal(sscanf(at, "\"data_offsets\":[%lu,%lu]", &begin, &end), 2);
    free(header);
    *size = end - begin;
    return 8 + length + begin;
}

/* The good file with some bytes of a tensor replaced, from byte `offset` of it on. */
static void edit_tensor(fixture *f, const char *name, size_t offset, const void *data, size_t size)
{
    size_t room;
    size_t at = place_of(f, name, &room);
    assert_true(offset + size <= room);
    char *bytes = malloc(f->good_size);
    memcpy(bytes, f->good, f->good_size);
    memcpy(bytes + at + offset, data, size);
    write_work(f->work, bytes, f->good_size);
    free(bytes);
}

#define TRAINING "mtl.training."

/* ---- files ---- */

static void the_good_file_loads(void **state)
{
    fixture *f = *state;
    edit_header(f, "mtl.training.random", "mtl.training.random"); /* the tools above */
    assert_ok(f->context, resumed_run_load(&f->run, f->work));
    assert_int_equal(mtl_optimizer_steps(f->run.optimizer), 3);
    assert_ok(f->context, resumed_run_steps(&f->run, 3, 6));
    expect_unchanged(f); /* the same three steps */
}

static void cut_off(void **state)
{
    fixture *f = *state;
    const size_t lengths[] = {0, 7, 8, 100, header_size(f->good) + 8, f->good_size / 2, f->good_size - 1};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        write_work(f->work, f->good, lengths[i]);
        expect_refused(f, MTL_ERROR_FORMAT, NULL);
    }
}

static void tensors_that_are_missing_or_others(void **state)
{
    fixture *f = *state;
    static const struct {
        const char *from, *to;
        mtl_status status;
        const char *says;
    } cases[] = {
        {TRAINING "optimizer.steps", TRAINING "optimizer.stepz", MTL_ERROR_FORMAT,
         "no tensor 'mtl.training.optimizer.s"},
        {TRAINING "random", TRAINING "rondom", MTL_ERROR_FORMAT, "no tensor 'mtl.training.random'"},
        {TRAINING "objective.balancer\":{\"dtype", TRAINING "objective.balancex\":{\"dtype", MTL_ERROR_FORMAT,
         "balancer"},
        {TRAINING "sampler.train.position", TRAINING "sampler.other.position", MTL_ERROR_FORMAT,
         "sampler.train.position"},
        {TRAINING "optimizer.proximal.0.first.encoder.lstm.bias_ih_l0\":{\"dtype\":\"F32\",\"shape\":[20]",
         TRAINING "optimizer.proximal.0.first.encoder.lstm.bias_ih_l0\":{\"dtype\":\"F32\",\"shape\":[4,5]",
         MTL_ERROR_SHAPE, "first.encoder.lstm.bias_ih_l0"},
        {TRAINING "optimizer.first_moment.second.bias\":{\"dtype\":\"F32\",\"shape\":[3]",
         TRAINING "optimizer.first_moment.second.bias\":{\"dtype\":\"F16\",\"shape\":[6]", MTL_ERROR_DTYPE,
         "is F16, not F32"},
        {TRAINING "objective.weights\":{\"dtype\":\"F64\"", TRAINING "objective.weights\":{\"dtype\":\"I64\"",
         MTL_ERROR_DTYPE, "is I64, not F64"},
        {TRAINING "objective.weights\":{\"dtype\":\"F64\",\"shape\":[2]",
         TRAINING "objective.weights\":{\"dtype\":\"F64\",\"shape\":[2,1]", MTL_ERROR_SHAPE, "objective.weights"},
        {TRAINING "optimizer.steps\":",
         TRAINING "extra\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},\"" TRAINING "optimizer.steps\":",
         MTL_ERROR_FORMAT, "'mtl.training.extra' is the state of nothing"},
        {"\"mtl.training\":\"1\"", "\"mtl.training\":\"2\"", MTL_ERROR_UNSUPPORTED, "format '2'"},
        {"\"mtl.training\":\"1\"", "\"mtl.trainink\":\"1\"", MTL_ERROR_STATE, "no state of training"},
        {"optimizer.kind\":\"adam\"", "optimizer.kind\":\"adamw\"", MTL_ERROR_FORMAT,
         "optimizer.kind = 'adamw', here it is 'adam'"},
        {"optimizer.beta2\"", "optimizer.beta3\"", MTL_ERROR_FORMAT, "no metadata 'mtl.training.optimizer.beta2'"},
        {"sampler.train.dataset.1.rows\":\"30\"", "sampler.train.dataset.1.rows\":\"31\"", MTL_ERROR_FORMAT,
         "sampler.train.dataset.1.rows = '31', here it is '30'"},
        {"objective.task.0\":\"first\"", "objective.task.0\":\"fist\"", MTL_ERROR_FORMAT, "objective.task.0"},
        {"metrics.second.classes\":\"3\"", "metrics.second.classes\":\"9\"", MTL_ERROR_FORMAT,
         "metrics.second.classes"},
        {"balancer.beta\":\"0.5\"", "balancer.beta\":\"0.4\"", MTL_ERROR_FORMAT, "balancer.beta = '0.4'"},
        {"proximal.0.first.group\":\"1\"", "proximal.0.first.group\":\"2\"", MTL_ERROR_FORMAT, "first.group"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        edit_header(f, cases[i].from, cases[i].to);
        expect_refused(f, cases[i].status, cases[i].says);
    }
}

static void numbers_out_of_range(void **state)
{
    fixture *f = *state;
    static const int64_t minus[2] = {-1, -1};
    static const int64_t far[2] = {0, 10};
    static const int64_t kind[1] = {9};
    static const int64_t period[4] = {MTL_SCHEDULE_STEP, 0, 0, 0};
    static const int64_t most[1] = {INT64_MAX};
    static const float nan[1] = {NAN};
    static const float infinite[1] = {INFINITY};
    static const float negative[1] = {-1e-20f};
    static const double zero[1] = {0};
    static const double below[1] = {-0.5};
    static const double large[1] = {1e300};
    static const double infinite_double[1] = {INFINITY};
    static const uint32_t tasks[1] = {3};
    const struct {
        const char *name;
        size_t offset;
        const void *data;
        size_t size;
        mtl_status status;
        const char *says;
    } cases[] = {
        {"optimizer.first_moment.encoder.lstm.weight_ih_l0", 8, nan, 4, MTL_ERROR_NUMERIC, "value 2 of tensor"},
        {"optimizer.second_moment.first.bias", 4, infinite, 4, MTL_ERROR_NUMERIC, "second_moment.first.bias' is inf"},
        {"optimizer.second_moment.first.bias", 0, negative, 4, MTL_ERROR_FORMAT, "negative"},
        {"optimizer.proximal.0.second.encoder.lstm.bias_hh_l0", 0, nan, 4, MTL_ERROR_NUMERIC,
         "second.encoder.lstm.bias_hh"},
        {"optimizer.proximal.0.first.coefficient", 0, below, 8, MTL_ERROR_FORMAT, "coefficient"},
        {"optimizer.steps", 0, minus, 8, MTL_ERROR_FORMAT, "no number of steps"},
        {"optimizer.steps", 0, most, 8, MTL_ERROR_FORMAT, "no number of steps"},
        {"optimizer.learning_rate", 0, zero, 8, MTL_ERROR_FORMAT, "no learning rate"},
        {"optimizer.learning_rate", 0, large, 8, MTL_ERROR_FORMAT, "no learning rate"},
        {"optimizer.learning_rate", 0, infinite_double, 8, MTL_ERROR_NUMERIC, "is inf"},
        {"optimizer.learning_rate_scales", 8, below, 8, MTL_ERROR_FORMAT, "scale"},
        {"optimizer.schedule", 0, kind, 8, MTL_ERROR_FORMAT, "no schedule"},
        {"optimizer.schedule", 0, period, 32, MTL_ERROR_FORMAT, "no schedule"},
        {"optimizer.schedule", 8, most, 8, MTL_ERROR_FORMAT, "no schedule"},
        {"objective.weights", 8, below, 8, MTL_ERROR_FORMAT, "objective.weights"},
        {"objective.penalty.0.coefficient", 0, below, 8, MTL_ERROR_FORMAT, "penalty.0.coefficient"},
        {"sampler.train.position", 0, minus, 16, MTL_ERROR_FORMAT, "does not have"},
        {"sampler.train.position", 0, far, 16, MTL_ERROR_FORMAT, "does not have"},
        {"metrics.first.confusion", 8, minus, 8, MTL_ERROR_FORMAT, "metrics.first.confusion"},
        {"metrics.first.confusion", 0, most, 8, MTL_ERROR_FORMAT, "metrics.first.confusion"},
        {"metrics.first.loss_rows", 0, minus, 8, MTL_ERROR_FORMAT, "metrics.first.loss_rows"},
        {"objective.balancer", 0, "x", 1, MTL_ERROR_FORMAT, "objective.balancer"},
        {"objective.balancer", 8, "\xff", 1, MTL_ERROR_FORMAT, "another version"},
        {"objective.balancer", 20, tasks, 4, MTL_ERROR_FORMAT, "no state of 2 tasks"},
        {"objective.balancer", 52, "\xff", 1, MTL_ERROR_FORMAT, "objective.balancer"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char name[128];
        snprintf(name, sizeof name, TRAINING "%s", cases[i].name);
        edit_tensor(f, name, cases[i].offset, cases[i].data, cases[i].size);
        expect_refused(f, cases[i].status, cases[i].says);
    }
}

static void not_finite_on_request(void **state)
{
    fixture *f = *state;
    const float infinite = INFINITY;
    mtl_load_options options = MTL_LOAD_OPTIONS_INIT;
    mtl_training_state training = resumed_run_state(&f->run);
    mtl_checkpoint *checkpoint = NULL;
    edit_tensor(f, TRAINING "optimizer.second_moment.first.bias", 0, &infinite, sizeof infinite);
    assert_ok(f->context, mtl_checkpoint_open(f->context, f->work, &checkpoint));
    options.allow_nonfinite = 1;
    assert_ok(f->context, mtl_checkpoint_resume(checkpoint, f->run.model, &training, &options));
    assert_int_equal(mtl_optimizer_steps(f->run.optimizer), 3);
    mtl_checkpoint_close(checkpoint);
}

/* ---- another run ---- */

static void states_of_other_runs(void **state)
{
    fixture *f = *state;
    resumed_plan plans[6];
    const char *const says[6] = {
        "optimizer.kind = 'sgd', here it is 'adam'",      "optimizer.kind = 'adamw', here it is 'adam'",
        "optimizer.sparse = '1', here it is '0'",         "objective.balancer = 'famo', here it is 'moco'",
        "objective.balancer = 'none', here it is 'moco'", "optimizer.proximal_steps = '0', here it is '1'"};
    for (int i = 0; i < 6; i++) {
        plans[i] = f->plan;
    }
    plans[0].optimizer = RESUMED_SGD;
    plans[1].optimizer = RESUMED_ADAMW;
    plans[2].sparse = MTL_SPARSE_DENSE;
    plans[3].method = MTL_BALANCE_FAMO;
    plans[4].method = -1;
    plans[5].split = 0;
    for (int i = 0; i < 6; i++) {
        static resumed_run other;
        mtl_context *context = test_context();
        assert_ok(context, resumed_run_create(context, &plans[i], &other));
        assert_ok(context, resumed_run_steps(&other, 0, 2));
        assert_ok(context, resumed_run_save(&other, f->work));
        resumed_run_destroy(&other);
        mtl_context_release(context);
        expect_refused(f, MTL_ERROR_FORMAT, says[i]);
    }
}

/* ---- what the host gives ---- */

static void resume_with(fixture *f, const mtl_training_state *training, mtl_status status, const char *says)
{
    mtl_checkpoint *checkpoint = NULL;
    write_work(f->work, f->good, f->good_size);
    assert_ok(f->context, mtl_checkpoint_open(f->context, f->work, &checkpoint));
    if (status == MTL_OK) {
        assert_ok(f->context, mtl_checkpoint_resume(checkpoint, f->run.model, training, NULL));
    } else {
        assert_fails(f->context, mtl_checkpoint_resume(checkpoint, f->run.model, training, NULL), status, says);
        assert_memory_equal(mtl_context_last_error(f->context), "mtl_checkpoint_resume: ", 23);
        expect_unchanged(f);
    }
    mtl_checkpoint_close(checkpoint);
}

static void objects_that_do_not_fit(void **state)
{
    fixture *f = *state;
    static resumed_run other;
    mtl_context *context = test_context();
    assert_ok(context, resumed_run_create(context, &f->plan, &other));
    const mtl_training_state good = resumed_run_state(&f->run);
    mtl_training_state bad = good;
    bad.objective = other.objective;
    resume_with(f, &bad, MTL_ERROR_ARGUMENT, "training->objective is over another model");
    bad = good;
    bad.optimizer = other.optimizer;
    resume_with(f, &bad, MTL_ERROR_ARGUMENT, "training->optimizer is over another model");
    bad = good;
    bad.samplers = &other.sampler;
    resume_with(f, &bad, MTL_ERROR_ARGUMENT, "training->samplers[0] belongs to another context");
    bad = good;
    bad.metrics = other.metrics;
    resume_with(f, &bad, MTL_ERROR_ARGUMENT, "training->metrics[0] belongs to another context");
    bad = good;
    bad.samplers = NULL;
    resume_with(f, &bad, MTL_ERROR_ARGUMENT, "training->samplers is NULL");
    bad = good;
    bad.num_metrics = -1;
    resume_with(f, &bad, MTL_ERROR_ARGUMENT, "training->num_metrics = -1");
    bad = good;
    const char *const twice[2] = {"a", "a"};
    bad.metrics_names = twice;
    resume_with(f, &bad, MTL_ERROR_ARGUMENT, "are both 'a'");
    const char *const empty[2] = {"a", ""};
    bad.metrics_names = empty;
    resume_with(f, &bad, MTL_ERROR_ARGUMENT, "training->metrics_names[1]");
    const char *const others[2] = {"a", "b"};
    bad.metrics_names = others;
    resume_with(f, &bad, MTL_ERROR_FORMAT, "no metadata 'mtl.training.metrics.a.classes'");
    bad = good;
    bad.reserved0 = 1;
    resume_with(f, &bad, MTL_ERROR_UNSUPPORTED, "reserved0");
    bad = good;
    bad.struct_size--;
    resume_with(f, &bad, MTL_ERROR_ARGUMENT, "training->struct_size");
    resumed_run_destroy(&other);
    mtl_context_release(context);
}

static void parts_of_a_state(void **state)
{
    fixture *f = *state;
    mtl_training_state some = resumed_run_state(&f->run);
    some.objective = NULL;
    some.num_samplers = 0;
    resume_with(f, &some, MTL_ERROR_FORMAT, "is the state of nothing in training");
    some.leave_out = 1;
    resume_with(f, &some, MTL_OK, NULL);
    mtl_sampler_position position;
    assert_ok(f->context, mtl_sampler_tell(f->run.sampler, &position));
    assert_int_equal(mtl_optimizer_steps(f->run.optimizer), 3);
    assert_int_equal(position.batch, 6); /* where it was */
}

static mtl_status save_inside(void *user, mtl_tape *tape, int32_t draw, mtl_tensor **losses)
{
    fixture *f = user;
    (void)tape;
    (void)draw;
    (void)losses;
    mtl_status status = resumed_run_save(&f->run, f->work);
    return status == MTL_ERROR_STATE ? resumed_run_load(&f->run, f->now) : MTL_ERROR_FORMAT;
}

static void inside_of_a_step(void **state)
{
    fixture *f = *state;
    assert_fails(f->context, mtl_objective_step(f->run.objective, f->run.optimizer, save_inside, f), MTL_ERROR_STATE,
                 "is running");
    expect_unchanged(f);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_good_file_loads),     CASE(cut_off),
        CASE(numbers_out_of_range),    CASE(tensors_that_are_missing_or_others),
        CASE(not_finite_on_request),   CASE(states_of_other_runs),
        CASE(objects_that_do_not_fit), CASE(parts_of_a_state),
        CASE(inside_of_a_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
