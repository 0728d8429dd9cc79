/* SPDX-License-Identifier: Apache-2.0
 * Saving where there is no room: with a limit to the size of files, which is moved through the whole file, and on a
 * disk that is full. The old file stays, nothing is left beside it, and the next save with room succeeds. */
#define _GNU_SOURCE /* unshare() */
#include "support/support.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mtl/mtl.h>

enum { STEPS = 64, UNAVAILABLE = 77 };

typedef struct fixture {
    mtl_context *context;
    mtl_model *model;
    test_folder folder;
    char path[TEST_PATH_SIZE];
} fixture;

static mtl_status make_model(mtl_context *context, int64_t rows, mtl_model **out)
{
    mtl_lstm_options options = MTL_LSTM_OPTIONS_INIT;
    mtl_encoder *encoder = NULL;
    options.vocabulary_size = rows;
    options.embedding_dim = 16;
    options.hidden_dim = 4;
    mtl_status status = mtl_encoder_create_lstm(context, &options, &encoder);
    if (status == MTL_OK) {
        status = mtl_model_create(context, NULL, out);
    }
    if (status == MTL_OK) {
        status = mtl_model_add_encoder(*out, "encoder", encoder);
    }
    mtl_encoder_release(encoder);
    return status;
}

static int set_up(void **state)
{
    static fixture f;
    f.context = test_context();
    test_folder_create(&f.folder);
    snprintf(f.path, sizeof f.path, "%s", test_path(&f.folder, "model"));
    assert_ok(f.context, make_model(f.context, 3000, &f.model)); /* 192 kB */
    assert_ok(f.context, mtl_model_save(f.model, f.path, NULL));
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    mtl_memory_info info;
    mtl_model_destroy(f->model);
    assert_ok(f->context, mtl_context_memory(f->context, &info));
    assert_int_equal(info.blocks, 1);
    mtl_context_release(f->context);
    test_folder_remove(&f->folder);
    return 0;
}

static int next_descriptor(void)
{
    int descriptor = dup(0);
    close(descriptor);
    return descriptor;
}

static mtl_status save_limited(const fixture *f, rlim_t limit)
{
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit small = {limit, before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    mtl_status status = mtl_model_save(f->model, f->path, NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_DFL);
    return status;
}

static void test_limited_size(void **state)
{
    fixture *f = *state;
    size_t size, now_size;
    char *old = test_read_file(f->path, &size);
    float zero[16] = {0};
    int descriptor = next_descriptor();
    /* Another state than that of the file. */
    mtl_tensor *bias = mtl_model_parameter(f->model, mtl_model_num_parameters(f->model) - 1);
    assert_ok(f->context, mtl_tensor_write(bias, MTL_FLOAT32, zero, (size_t)mtl_tensor_size(bias)));
    for (size_t i = 0; i <= STEPS; i++) {
        size_t limit = i < STEPS ? size * i / STEPS : size - 1;
        assert_fails(f->context, save_limited(f, limit), MTL_ERROR_IO, strerror(EFBIG));
        assert_non_null(strstr(mtl_context_last_error(f->context), f->path));
        char *now = test_read_file(f->path, &now_size);
        assert_int_equal(now_size, size);
        assert_memory_equal(now, old, size);
        free(now);
        assert_int_equal(test_count_files(f->folder.path), 1);
    }
    assert_int_equal(next_descriptor(), descriptor);
    assert_ok(f->context, save_limited(f, size));
    assert_int_equal(test_count_files(f->folder.path), 1);
    free(old);
}

/* ---- a disk of 256 kB, in a process with mounts of its own; asserts would leave it the wrong way ---- */

static int load_from(mtl_context *context, const char *path)
{
    mtl_checkpoint *checkpoint = NULL;
    mtl_model *model = NULL;
    mtl_status status = mtl_checkpoint_open(context, path, &checkpoint);
    if (status == MTL_OK) {
        status = mtl_checkpoint_restore(checkpoint, &model);
    }
    mtl_model_destroy(model);
    mtl_checkpoint_close(checkpoint);
    return status == MTL_OK;
}

static int save_on_full_disk(fixture *f)
{
    char path[TEST_PATH_SIZE + 16];
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", f->folder.path, "tmpfs", 0, "size=256k") != 0) {
        return UNAVAILABLE;
    }
    snprintf(path, sizeof path, "%s/disk", f->folder.path);
    if (mtl_model_save(f->model, path, NULL) != MTL_OK) {
        return 1;
    }
    if (mtl_model_save(f->model, path, NULL) != MTL_ERROR_IO || /* there is no room for two */
        !strstr(mtl_context_last_error(f->context), strerror(ENOSPC))) {
        return 2;
    }
    if (!load_from(f->context, path)) {
        return 3;
    }
    if (test_count_files(f->folder.path) != 1) {
        return 4;
    }
    if (unlink(path) != 0 || mtl_model_save(f->model, path, NULL) != MTL_OK || !load_from(f->context, path)) {
        return 5;
    }
    return 0;
}

static void test_full_disk(void **state)
{
    fixture *f = *state;
    int status;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(save_on_full_disk(f));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == UNAVAILABLE) {
        print_message("no small disk can be mounted here\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {CASE(test_limited_size), CASE(test_full_disk)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
