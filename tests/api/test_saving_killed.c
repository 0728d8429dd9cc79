/* SPDX-License-Identifier: Apache-2.0
 * A program that saves without pause is killed at random moments: each time the file is one whole state, the one before
 * or the one after, and what the killed save has left is gone after the next.
 *
 * 30 kills; the environment's MTL_TEST_KILLS says another number (tests/run.sh --long: 300). */
#include "support/support.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <mtl/mtl.h>

enum { USUAL_KILLS = 30, ROWS = 20000, COLUMNS = 16, LONGEST_WAIT = 20000000, PATIENCE = 60 };

static const char *program; /* argv[0] */

/* ---- the program that is killed ---- */

static mtl_status make_model(mtl_context *context, mtl_model **out)
{
    mtl_lstm_options options = MTL_LSTM_OPTIONS_INIT;
    mtl_encoder *encoder = NULL;
    mtl_model *model = NULL;
    options.vocabulary_size = ROWS;
    options.embedding_dim = COLUMNS;
    options.hidden_dim = COLUMNS;
    mtl_status status = mtl_encoder_create_lstm(context, &options, &encoder);
    if (status == MTL_OK) {
        status = mtl_model_create(context, NULL, &model);
    }
    if (status == MTL_OK) {
        status = mtl_model_add_encoder(model, "encoder", encoder);
    }
    mtl_encoder_release(encoder);
    *out = model;
    return status;
}

/* All weights are `state`, and so says the metadata. */
static mtl_status save_state(mtl_model *model, const char *path, int state)
{
    static float values[ROWS * COLUMNS];
    static const char *const keys[] = {"state"};
    static const char *const texts[][1] = {{"one"}, {"two"}};
    mtl_save_options options = MTL_SAVE_OPTIONS_INIT;
    mtl_status status = MTL_OK;
    for (size_t i = 0; i < ROWS * COLUMNS; i++) {
        values[i] = (float)state;
    }
    for (int64_t i = 0; i < mtl_model_num_parameters(model) && status == MTL_OK; i++) {
        mtl_tensor *tensor = mtl_model_parameter(model, i);
        status = mtl_tensor_write(tensor, MTL_FLOAT32, values, (size_t)mtl_tensor_size(tensor));
    }
    options.keys = keys;
    options.values = texts[state - 1];
    options.num_metadata = 1;
    return status == MTL_OK ? mtl_model_save(model, path, &options) : status;
}

/* Says so at the start of every save after the first, until it is killed; 1: something failed. */
static int save_without_pause(const char *path)
{
    mtl_context *context = NULL;
    mtl_model *model = NULL;
    mtl_status status = mtl_context_create(NULL, &context);
    if (status == MTL_OK) {
        status = make_model(context, &model);
    }
    alarm(PATIENCE); /* nobody kills it */
    for (int state = 1; status == MTL_OK; state = 3 - state) {
        status = save_state(model, path, state);
        if (status == MTL_OK && write(STDOUT_FILENO, ".", 1) < 0 && errno != EAGAIN) {
            break;
        }
    }
    mtl_model_destroy(model);
    mtl_context_release(context);
    return 1;
}

/* ---- the test ---- */

typedef struct tally {
    int states[2];
    int leftovers; /* found after a kill: it hit in the middle of a save */
} tally;

static pid_t start_program(const char *path, int *out)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execl(program, program, "--save", path, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    *out = ends[0];
    return child;
}

static void kill_program(pid_t child)
{
    int status;
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL); /* it had not ended by itself */
}

/* Loads the file, which verifies its checksums; returns its state. */
static int state_of_file(mtl_context *context, const char *path, mtl_model *model)
{
    static float values[ROWS * COLUMNS];
    mtl_checkpoint *checkpoint = NULL;
    assert_ok(context, mtl_checkpoint_open(context, path, &checkpoint));
    assert_non_null(mtl_checkpoint_metadata(checkpoint, "mtl.checksum"));
    int state = strcmp(mtl_checkpoint_metadata(checkpoint, "state"), "one") == 0 ? 1 : 2;
    assert_ok(context, mtl_checkpoint_load(checkpoint, model, NULL));
    mtl_checkpoint_close(checkpoint);
    for (int64_t i = 0; i < mtl_model_num_parameters(model); i++) {
        mtl_tensor *tensor = mtl_model_parameter(model, i);
        size_t size = (size_t)mtl_tensor_size(tensor);
        assert_ok(context, mtl_tensor_read(tensor, MTL_FLOAT32, values, size));
        for (size_t j = 0; j < size; j++) {
            assert_true(values[j] == (float)state);
        }
    }
    return state;
}

/* One to three saves, and a part of another. */
static void kill_once(const char *path, unsigned *random)
{
    char byte;
    int out;
    pid_t child = start_program(path, &out);
    *random = *random * 1664525u + 1013904223u;
    for (unsigned saves = 1 + (*random >> 8) % 3; saves > 0; saves--) {
        assert_int_equal(read(out, &byte, 1), 1);
    }
    struct timespec wait = {0, (long)((*random >> 4) % LONGEST_WAIT)};
    nanosleep(&wait, NULL);
    kill_program(child);
    close(out);
}

static int wanted_kills(void)
{
    const char *text = getenv("MTL_TEST_KILLS");
    int kills = text ? atoi(text) : USUAL_KILLS;
    return kills > 0 ? kills : USUAL_KILLS;
}

static void test_every_kill_leaves_a_whole_file(void **state)
{
    (void)state;
    test_folder folder;
    tally found = {{0, 0}, 0};
    unsigned random = (unsigned)time(NULL) ^ (unsigned)getpid() << 16;
    int kills = wanted_kills();
    mtl_context *context = test_context();
    mtl_model *model = NULL;
    test_folder_create(&folder);
    char path[TEST_PATH_SIZE];
    snprintf(path, sizeof path, "%s", test_path(&folder, "model.safetensors"));
    assert_ok(context, make_model(context, &model));
    print_message("seed %u\n", random);
    for (int i = 0; i < kills; i++) {
        kill_once(path, &random);
        int files = test_count_files(folder.path);
        assert_in_range(files, 1, 2); /* never more than the last leftover */
        found.leftovers += files - 1;
        found.states[state_of_file(context, path, model) - 1]++;
    }
    assert_ok(context, save_state(model, path, 1));
    assert_int_equal(state_of_file(context, path, model), 1);
    assert_int_equal(test_count_files(folder.path), 1);
    print_message("%d kills, %d of them within a save; %d times state one, %d times state two, 0 lost\n", kills,
                  found.leftovers, found.states[0], found.states[1]);
    mtl_model_destroy(model);
    mtl_context_release(context);
    test_folder_remove(&folder);
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc == 3 && strcmp(argv[1], "--save") == 0) {
        return save_without_pause(argv[2]);
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_kill_leaves_a_whole_file)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
