/* SPDX-License-Identifier: Apache-2.0
 * Every system call of a save fails in turn, with every error that it may have, while writes are short and interrupted:
 * the file is the old one or the new one, as the status says; nothing is left, neither files nor descriptors nor
 * memory. */
#include "support/support.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/safetensors.h"

enum { CALL_OPEN, CALL_WRITE, CALL_FCHMOD, CALL_FSYNC, CALL_CLOSE, CALL_RENAME, CALL_UNLINK, CALL_LOCK, NUM_KINDS };
enum { VALUES = 40000, SHORT_WRITE = 9973 };

/* Fails the `fail_at`-th call, whatever it is; counts what is open. */
typedef struct turn {
    long fail_at; /* -1: none */
    int error;
    bool short_writes;
    long calls;
    int failed_kind; /* -1: none */
    int writes;
    int open_descriptors;
} turn;

static bool its_turn(turn *t, int kind)
{
    if (t->calls++ != t->fail_at) {
        return false;
    }
    t->failed_kind = kind;
    errno = t->error;
    return true;
}

static int turn_open(void *user, const char *path, int flags, mode_t mode)
{
    turn *t = user;
    int descriptor = its_turn(t, CALL_OPEN) ? -1 : open(path, flags, mode);
    t->open_descriptors += descriptor >= 0;
    return descriptor;
}

static ssize_t turn_write(void *user, int descriptor, const void *data, size_t size)
{
    turn *t = user;
    if (its_turn(t, CALL_WRITE)) {
        return -1;
    }
    if (t->short_writes && ++t->writes % 3 == 0) {
        errno = EINTR;
        return -1;
    }
    return write(descriptor, data, t->short_writes && size > SHORT_WRITE ? SHORT_WRITE : size);
}

static int turn_fchmod(void *user, int descriptor, mode_t mode)
{
    return its_turn(user, CALL_FCHMOD) ? -1 : fchmod(descriptor, mode);
}

static int turn_fsync(void *user, int descriptor)
{
    (void)descriptor; /* nothing is cut off here */
    return its_turn(user, CALL_FSYNC) ? -1 : 0;
}

static int turn_close(void *user, int descriptor)
{
    turn *t = user;
    t->open_descriptors--;
    int result = close(descriptor);
    return its_turn(t, CALL_CLOSE) ? -1 : result;
}

static int turn_rename(void *user, const char *from, const char *to)
{
    return its_turn(user, CALL_RENAME) ? -1 : rename(from, to);
}

static int turn_unlink(void *user, const char *path)
{
    return its_turn(user, CALL_UNLINK) ? -1 : unlink(path);
}

static int turn_lock(void *user, int descriptor)
{
    turn *t = user;
    int lock = its_turn(t, CALL_LOCK) ? -1 : mtli_real_system.lock(NULL, descriptor);
    t->open_descriptors += lock >= 0;
    return lock;
}

static mtli_system turning_system(turn *t)
{
    mtli_system system = {t,          turn_open,   turn_write,  turn_fchmod, turn_fsync,
                          turn_close, turn_rename, turn_unlink, turn_lock};
    return system;
}

/* ---- what is saved ---- */

typedef struct fixture {
    mtl_context *context;
    test_folder folder;
    char path[TEST_PATH_SIZE];
    mtli_real *values;
} fixture;

static int set_up(void **state)
{
    static fixture f;
    f.context = test_context();
    test_folder_create(&f.folder);
    snprintf(f.path, sizeof f.path, "%s", test_path(&f.folder, "model"));
    f.values = malloc(VALUES * sizeof f.values[0]);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    mtl_memory_info info;
    assert_ok(f->context, mtl_context_memory(f->context, &info));
    assert_int_equal(info.blocks, 1);
    mtl_context_release(f->context);
    test_folder_remove(&f->folder);
    free(f->values);
    return 0;
}

static mtl_status save_values(fixture *f, const mtli_system *system, mtli_real value)
{
    static const int64_t dims[] = {VALUES};
    mtli_safetensors_tensor tensor = {"values", MTLI_SAFETENSORS_REAL, 1, dims, f->values};
    char text[MTLI_CHECKSUM_TEXT];
    const mtli_safetensors_pair pair = {MTLI_CHECKSUM_OF_TENSOR "values", text};
    mtli_atomic_file *file = NULL;
    for (size_t i = 0; i < VALUES; i++) {
        f->values[i] = value;
    }
    mtli_safetensors_checksum_text(mtli_safetensors_checksum(&tensor), text);
    mtl_status status = mtli_atomic_file_open_with(f->context, system, f->path, &file);
    if (status != MTL_OK) {
        return status;
    }
    status = mtli_safetensors_write(f->context, file, &tensor, 1, &pair, 1);
    if (status != MTL_OK) {
        mtli_atomic_file_abort(file);
        return status;
    }
    return mtli_atomic_file_commit(file);
}

static void expect_saved(fixture *f, mtli_real value)
{
    mtli_safetensors *file = NULL;
    assert_ok(f->context, mtli_safetensors_open(f->context, f->path, &file));
    assert_ok(f->context, mtli_safetensors_read_real(file, mtli_safetensors_find(file, "values"), f->values));
    mtli_safetensors_close(file);
    for (size_t i = 0; i < VALUES; i++) {
        assert_true(f->values[i] == value);
    }
}

/* ---- tests ---- */

/* What the failure of a call means. EINTR is no failure but of fchmod, rename and unlink, which do not say it. */
static bool may_succeed(const turn *t)
{
    int kind = t->failed_kind;
    bool interrupted = t->error == EINTR && kind != CALL_FCHMOD && kind != CALL_RENAME;
    return interrupted || kind == CALL_OPEN || kind == CALL_CLOSE || kind == CALL_LOCK || kind == CALL_UNLINK;
}

static void check_outcome(fixture *f, const turn *t, mtl_status status, mtli_real old, mtli_real new)
{
    if (status == MTL_OK) {
        assert_true(t->failed_kind < 0 || may_succeed(t));
        expect_saved(f, new);
    } else {
        const char *message = mtl_context_last_error(f->context);
        assert_int_equal(status, MTL_ERROR_IO);
        assert_non_null(strstr(message, f->path));
        assert_non_null(strstr(message, strerror(t->error)));
        expect_saved(f, strstr(message, "it is in place") ? new : old);
    }
    assert_int_equal(t->open_descriptors, 0);
    assert_int_equal(test_count_files(f->folder.path), 1);
}

/* Fails each call of a save in turn until one is beyond the last. Returns how many there are. */
static long fail_each_call(fixture *f, int error, bool short_writes, int *failures)
{
    mtli_real kept = 1;
    assert_ok(f->context, save_values(f, &mtli_real_system, kept));
    for (long k = 0;; k++) {
        turn t = {.fail_at = k, .error = error, .short_writes = short_writes, .failed_kind = -1};
        mtli_system system = turning_system(&t);
        mtl_status status = save_values(f, &system, kept + 1);
        check_outcome(f, &t, status, kept, kept + 1);
        if (t.failed_kind < 0) {
            assert_int_equal(status, MTL_OK);
            return t.calls;
        }
        *failures += status != MTL_OK;
        kept += 2;
        assert_ok(f->context, save_values(f, &mtli_real_system, kept));
    }
}

static void test_each_call_in_turn(void **state)
{
    fixture *f = *state;
    static const int errors[] = {EIO, ENOSPC, EDQUOT, EINTR, EACCES, EMFILE, EEXIST, EROFS, EWOULDBLOCK};
    long calls = 0;
    int failures = 0;
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        calls += fail_each_call(f, errors[i], false, &failures);
        calls += fail_each_call(f, errors[i], true, &failures);
    }
    print_message("%ld calls failed in turn, %d saves failed\n", calls, failures);
    assert_true(failures > 100);
}

/* A crash may leave the temporary where removing it fails; the next save removes it. */
static void test_leftovers_do_not_pile_up(void **state)
{
    fixture *f = *state;
    assert_ok(f->context, save_values(f, &mtli_real_system, 1));
    for (int i = 0; i < 5; i++) {
        turn t = {.fail_at = -1, .failed_kind = -1};
        mtli_system system = turning_system(&t);
        mtli_atomic_file *file = NULL;
        assert_ok(f->context, mtli_atomic_file_open_with(f->context, &system, f->path, &file));
        assert_ok(f->context, mtli_atomic_file_write(file, "half", 4));
        t.fail_at = t.calls; /* the unlink of mtli_atomic_file_abort() */
        mtli_atomic_file_abort(file);
        assert_int_equal(t.failed_kind, CALL_UNLINK);
        assert_int_equal(test_count_files(f->folder.path), 2);
    }
    assert_ok(f->context, save_values(f, &mtli_real_system, 2));
    expect_saved(f, 2);
    assert_int_equal(test_count_files(f->folder.path), 1);
}

/* Saves of one file at the same time each have a name of their own; the last to be finished stays. */
static void test_saves_at_the_same_time(void **state)
{
    fixture *f = *state;
    enum { SAVES = 20 }; /* more than there are names that the saves of a file share */
    mtli_atomic_file *files[SAVES];
    for (int i = 0; i < SAVES; i++) {
        char text = (char)('a' + i);
        assert_ok(f->context, mtli_atomic_file_open(f->context, f->path, &files[i]));
        assert_ok(f->context, mtli_atomic_file_write(files[i], &text, 1));
    }
    assert_int_equal(test_count_files(f->folder.path), SAVES);
    for (int i = 0; i < SAVES; i++) {
        size_t size;
        assert_ok(f->context, mtli_atomic_file_commit(files[i]));
        char *text = test_read_file(f->path, &size);
        assert_int_equal(size, 1);
        assert_int_equal(text[0], 'a' + i);
        free(text);
    }
    assert_int_equal(test_count_files(f->folder.path), 1);
}

/* Files of other kinds under the temporary's name are neither followed nor removed. */
static void test_foreign_things_under_its_name(void **state)
{
    fixture *f = *state;
    assert_ok(f->context, save_values(f, &mtli_real_system, 1));
    const char *victim = test_write_text(&f->folder, "victim", "whole");
    /* The names: CRC-32 of "model", and a number. */
    for (int i = 0; i < 2; i++) {
        char name[64];
        snprintf(name, sizeof name, ".mtl-%08x%08x.tmp", 0xd79572d9u, (unsigned)i);
        assert_int_equal(i ? mkfifo(test_path(&f->folder, name), 0600) : symlink(victim, test_path(&f->folder, name)),
                         0);
    }
    assert_ok(f->context, save_values(f, &mtli_real_system, 2));
    expect_saved(f, 2);
    assert_int_equal(test_count_files(f->folder.path), 4);
    char *text = test_read_file(victim, NULL);
    assert_string_equal(text, "whole");
    free(text);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_each_call_in_turn),
        CASE(test_leftovers_do_not_pile_up),
        CASE(test_saves_at_the_same_time),
        CASE(test_foreign_things_under_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
