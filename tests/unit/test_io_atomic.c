/* SPDX-License-Identifier: Apache-2.0
 * Atomic files: every system call fails once, and each time the old file stays and nothing else is left. */
#include "support/support.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/atomic_file.h"

typedef struct fixture {
    mtl_context *context;
    test_folder folder;
} fixture;

static int set_up(void **state)
{
    static fixture f;
    f.context = test_context();
    test_folder_create(&f.folder);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    mtl_memory_info info;
    assert_ok(f->context, mtl_context_memory(f->context, &info));
    assert_int_equal(info.blocks, 1); /* the context itself */
    mtl_context_release(f->context);
    test_folder_remove(&f->folder);
    return 0;
}

static mtl_status write_file(mtl_context *context, const mtli_system *system, const char *path, const void *data,
                             size_t size)
{
    mtli_atomic_file *file = NULL;
    mtl_status status = mtli_atomic_file_open_with(context, system, path, &file);
    if (status != MTL_OK) {
        return status;
    }
    status = mtli_atomic_file_write(file, data, size);
    if (status != MTL_OK) {
        mtli_atomic_file_abort(file);
        return status;
    }
    return mtli_atomic_file_commit(file);
}

static void expect_contents(const char *path, const char *expected)
{
    size_t size;
    char *text = test_read_file(path, &size);
    assert_int_equal(size, strlen(expected));
    assert_memory_equal(text, expected, size);
    free(text);
}

static int mode_of(const char *path)
{
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    return (int)(info.st_mode & 07777);
}

static void test_creates_and_replaces(void **state)
{
    fixture *f = *state;
    const char *path = test_path(&f->folder, "new");
    mode_t mask = umask(027);
    assert_ok(f->context, write_file(f->context, &mtli_real_system, path, "one", 3));
    umask(mask);
    expect_contents(path, "one");
    assert_int_equal(mode_of(path), 0640);
    assert_int_equal(chmod(path, 0604), 0);
    assert_ok(f->context, write_file(f->context, &mtli_real_system, path, "other", 5));
    expect_contents(path, "other");
    assert_int_equal(mode_of(path), 0604); /* the umask would have taken the 4 away */
    assert_int_equal(test_count_files(f->folder.path), 1);
}

static void test_nothing_before_commit(void **state)
{
    fixture *f = *state;
    const char *path = test_write_text(&f->folder, "file", "old");
    mtli_atomic_file *file = NULL;
    assert_ok(f->context, mtli_atomic_file_open(f->context, path, &file));
    assert_ok(f->context, mtli_atomic_file_write(file, "new", 3));
    expect_contents(path, "old");
    mtli_atomic_file_abort(file);
    mtli_atomic_file_abort(NULL);
    expect_contents(path, "old");
    assert_int_equal(test_count_files(f->folder.path), 1);
}

static void test_bare_name(void **state)
{
    fixture *f = *state;
    char before[4096];
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(f->folder.path), 0);
    mtl_status status = write_file(f->context, &mtli_real_system, "bare", "x", 1);
    assert_int_equal(chdir(before), 0);
    assert_ok(f->context, status);
    expect_contents(test_path(&f->folder, "bare"), "x");
}

static void test_long_name(void **state)
{
    fixture *f = *state;
    char name[256];
    memset(name, 'n', 255); /* NAME_MAX: the temporary must not be longer than its target */
    name[255] = '\0';
    const char *path = test_path(&f->folder, name);
    assert_ok(f->context, write_file(f->context, &mtli_real_system, path, "x", 1));
    expect_contents(path, "x");
}

static void test_sizes_around_the_buffer(void **state)
{
    fixture *f = *state;
    const size_t sizes[] = {0, 1, 65535, 65536, 65537, 200000};
    unsigned char *data = malloc(200000);
    for (size_t i = 0; i < 200000; i++) {
        data[i] = (unsigned char)(i * 31 + i / 256);
    }
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (size_t piece = 1000; piece <= 200000; piece *= 10) {
            const char *path = test_path(&f->folder, "sizes");
            mtli_atomic_file *file = NULL;
            assert_ok(f->context, mtli_atomic_file_open(f->context, path, &file));
            for (size_t done = 0; done < sizes[i]; done += piece) {
                size_t left = sizes[i] - done;
                assert_ok(f->context, mtli_atomic_file_write(file, data + done, left < piece ? left : piece));
            }
            assert_ok(f->context, mtli_atomic_file_commit(file));
            size_t size;
            char *back = test_read_file(path, &size);
            assert_int_equal(size, sizes[i]);
            assert_memory_equal(back, data, size);
            free(back);
        }
    }
    free(data);
}

static void test_follows_links(void **state)
{
    fixture *f = *state;
    const char *inner = test_make_folder(&f->folder, "inner");
    const char *target = test_write_text(&f->folder, "inner/target", "old");
    const char *link = test_path(&f->folder, "link");
    const char *second = test_path(&f->folder, "inner/second");
    assert_int_equal(symlink("inner/second", link), 0); /* relative to the folder of the link */
    assert_int_equal(symlink("target", second), 0);
    assert_ok(f->context, write_file(f->context, &mtli_real_system, link, "new", 3));
    expect_contents(target, "new");
    struct stat info;
    assert_int_equal(lstat(link, &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    assert_int_equal(unlink(target), 0); /* now the chain of links ends nowhere */
    assert_ok(f->context, write_file(f->context, &mtli_real_system, link, "again", 5));
    expect_contents(target, "again");
    assert_int_equal(test_count_files(inner), 2);
    const char *absolute = test_path(&f->folder, "absolute");
    assert_int_equal(symlink(target, absolute), 0);
    assert_ok(f->context, write_file(f->context, &mtli_real_system, absolute, "third", 5));
    expect_contents(target, "third");
    const char *loop = test_path(&f->folder, "loop");
    assert_int_equal(symlink("loop", loop), 0);
    assert_fails(f->context, write_file(f->context, &mtli_real_system, loop, "x", 1), MTL_ERROR_IO, "loop");
}

static void test_refuses_what_is_no_file(void **state)
{
    fixture *f = *state;
    const char *folder = test_make_folder(&f->folder, "folder");
    assert_fails(f->context, write_file(f->context, &mtli_real_system, folder, "x", 1), MTL_ERROR_IO, "it is a folder");
    const char *pipe = test_path(&f->folder, "pipe");
    assert_int_equal(mkfifo(pipe, 0600), 0);
    assert_fails(f->context, write_file(f->context, &mtli_real_system, pipe, "x", 1), MTL_ERROR_IO,
                 "not a regular file");
    assert_fails(f->context, write_file(f->context, &mtli_real_system, "/dev/null", "x", 1), MTL_ERROR_IO, "/dev/null");
    const char *nowhere = test_path(&f->folder, "none/file");
    assert_fails(f->context, write_file(f->context, &mtli_real_system, nowhere, "x", 1), MTL_ERROR_IO,
                 strerror(ENOENT));
    const char *below = test_write_text(&f->folder, "plain", "");
    char path[TEST_PATH_SIZE + 8];
    snprintf(path, sizeof path, "%s/x", below);
    assert_fails(f->context, write_file(f->context, &mtli_real_system, path, "x", 1), MTL_ERROR_IO, strerror(ENOTDIR));
    snprintf(path, sizeof path, "%s/", f->folder.path);
    assert_fails(f->context, write_file(f->context, &mtli_real_system, path, "x", 1), MTL_ERROR_IO, "a folder");
    assert_fails(f->context, write_file(f->context, &mtli_real_system, "", "x", 1), MTL_ERROR_ARGUMENT, "empty");
}

static void test_keeps_read_only_files(void **state)
{
    fixture *f = *state;
    const char *path = test_write_text(&f->folder, "file", "old");
    bool root = geteuid() == 0; /* who may write everywhere: be nobody for a moment */
    assert_int_equal(chmod(path, 0444), 0);
    assert_int_equal(chmod(f->folder.path, 0777), 0);
    if (root) {
        assert_int_equal(seteuid(65534), 0);
    }
    mtl_status status = write_file(f->context, &mtli_real_system, path, "x", 1);
    if (root) {
        assert_int_equal(seteuid(0), 0);
    }
    assert_fails(f->context, status, MTL_ERROR_IO, strerror(EACCES));
    expect_contents(path, "old");
}

/* ---- faults ---- */

enum { CALL_OPEN, CALL_WRITE, CALL_FCHMOD, CALL_FSYNC, CALL_CLOSE, CALL_RENAME, CALL_LOCK, NUM_CALLS };

/* Fails the `fail_at`-th call of a kind with `error`. */
typedef struct faults {
    int kind;
    int fail_at;
    int error;
    int calls[NUM_CALLS];
    size_t most;     /* bytes of one write; 0: all */
    int interrupted; /* every other write and sync says EINTR */
} faults;

static bool fails_now(faults *f, int kind)
{
    if (f->calls[kind]++ != f->fail_at || f->kind != kind) {
        return false;
    }
    errno = f->error;
    return true;
}

static int fault_open(void *user, const char *path, int flags, mode_t mode)
{
    return fails_now(user, CALL_OPEN) ? -1 : open(path, flags, mode);
}

static ssize_t fault_write(void *user, int descriptor, const void *data, size_t size)
{
    faults *f = user;
    if (fails_now(f, CALL_WRITE)) {
        return -1;
    }
    if (f->interrupted && f->calls[CALL_WRITE] % 2) {
        errno = EINTR;
        return -1;
    }
    return write(descriptor, data, f->most && size > f->most ? f->most : size);
}

static int fault_fchmod(void *user, int descriptor, mode_t mode)
{
    return fails_now(user, CALL_FCHMOD) ? -1 : fchmod(descriptor, mode);
}

static int fault_fsync(void *user, int descriptor)
{
    faults *f = user;
    if (fails_now(f, CALL_FSYNC)) {
        return -1;
    }
    if (f->interrupted && f->calls[CALL_FSYNC] % 2) {
        errno = EINTR;
        return -1;
    }
    return fsync(descriptor);
}

static int fault_close(void *user, int descriptor)
{
    int result = close(descriptor);
    return fails_now(user, CALL_CLOSE) ? -1 : result;
}

static int fault_rename(void *user, const char *from, const char *to)
{
    return fails_now(user, CALL_RENAME) ? -1 : rename(from, to);
}

static int fault_unlink(void *user, const char *path)
{
    (void)user;
    return unlink(path);
}

static int fault_lock(void *user, int descriptor)
{
    return fails_now(user, CALL_LOCK) ? -1 : mtli_real_system.lock(NULL, descriptor);
}

static mtli_system faulty_system(faults *f)
{
    mtli_system system = {f,           fault_open,   fault_write,  fault_fchmod, fault_fsync,
                          fault_close, fault_rename, fault_unlink, fault_lock};
    return system;
}

static void test_every_call_failing(void **state)
{
    fixture *f = *state;
    /* The first open is the folder's (its failure only means that it is not synced); so is the second fsync. */
    const struct {
        int kind, fail_at, error;
        const char *says;
    } cases[] = {
        {CALL_OPEN, 1, ENOSPC, "cannot be created"},  {CALL_OPEN, 1, EMFILE, "cannot be created"},
        {CALL_WRITE, 0, ENOSPC, "cannot be written"}, {CALL_WRITE, 0, EIO, "cannot be written"},
        {CALL_FCHMOD, 0, EPERM, "permissions"},       {CALL_FSYNC, 0, EIO, "cannot be synced"},
        {CALL_FSYNC, 0, ENOSPC, "cannot be synced"},  {CALL_CLOSE, 0, EIO, "cannot be closed"},
        {CALL_RENAME, 0, EXDEV, "cannot be renamed"}, {CALL_RENAME, 0, EACCES, "cannot be renamed"},
        {CALL_WRITE, 1, EDQUOT, "cannot be written"},
    };
    char *data = calloc(1, 100000); /* more than the buffer: two writes with the short one before */
    const char *path = test_write_text(&f->folder, "file", "old");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        faults plan = {.kind = cases[i].kind, .fail_at = cases[i].fail_at, .error = cases[i].error, .most = 70000};
        mtli_system system = faulty_system(&plan);
        assert_fails(f->context, write_file(f->context, &system, path, data, 100000), MTL_ERROR_IO, cases[i].says);
        assert_non_null(strstr(mtl_context_last_error(f->context), path));
        assert_non_null(strstr(mtl_context_last_error(f->context), strerror(cases[i].error)));
        assert_true(plan.calls[cases[i].kind] > cases[i].fail_at);
        expect_contents(path, "old");
        assert_int_equal(test_count_files(f->folder.path), 1);
    }
    free(data);
}

static void test_folder_that_cannot_be_synced(void **state)
{
    fixture *f = *state;
    const char *path = test_write_text(&f->folder, "file", "old");
    faults failing = {.kind = CALL_FSYNC, .fail_at = 1, .error = EIO};
    mtli_system system = faulty_system(&failing);
    assert_fails(f->context, write_file(f->context, &system, path, "new", 3), MTL_ERROR_IO, "it is in place, but");
    expect_contents(path, "new");
    faults unsupported = {.kind = CALL_FSYNC, .fail_at = 1, .error = EINVAL};
    system = faulty_system(&unsupported);
    assert_ok(f->context, write_file(f->context, &system, path, "newer", 5));
    faults unreadable = {.kind = CALL_OPEN, .fail_at = 0, .error = EACCES};
    system = faulty_system(&unreadable);
    assert_ok(f->context, write_file(f->context, &system, path, "newest", 6));
    assert_int_equal(unreadable.calls[CALL_FSYNC], 1);
    expect_contents(path, "newest");
    assert_int_equal(test_count_files(f->folder.path), 1);
}

static void test_short_and_interrupted_writes(void **state)
{
    fixture *f = *state;
    char data[1000];
    const char *path = test_path(&f->folder, "file");
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (char)('a' + i % 26);
    }
    faults plan = {.kind = NUM_CALLS, .most = 7, .interrupted = 1};
    mtli_system system = faulty_system(&plan);
    assert_ok(f->context, write_file(f->context, &system, path, data, sizeof data));
    assert_int_equal(plan.calls[CALL_WRITE], 2 * ((1000 + 6) / 7));
    assert_int_equal(plan.calls[CALL_FSYNC], 4);
    size_t size;
    char *back = test_read_file(path, &size);
    assert_int_equal(size, sizeof data);
    assert_memory_equal(back, data, size);
    free(back);
}

static void test_names_that_are_taken(void **state)
{
    fixture *f = *state;
    const char *path = test_path(&f->folder, "file");
    faults plan = {.kind = CALL_OPEN, .fail_at = 1, .error = EEXIST};
    mtli_system system = faulty_system(&plan);
    assert_ok(f->context, write_file(f->context, &system, path, "x", 1));
    assert_int_equal(plan.calls[CALL_OPEN], 4); /* the folder, the first name, what might lie there, the second */
}

static void test_a_failure_stays(void **state)
{
    fixture *f = *state;
    const char *path = test_write_text(&f->folder, "file", "old");
    faults plan = {.kind = CALL_WRITE, .fail_at = 0, .error = ENOSPC};
    mtli_system system = faulty_system(&plan);
    char *data = calloc(1, 100000);
    mtli_atomic_file *file = NULL;
    assert_ok(f->context, mtli_atomic_file_open_with(f->context, &system, path, &file));
    assert_fails(f->context, mtli_atomic_file_write(file, data, 100000), MTL_ERROR_IO, strerror(ENOSPC));
    assert_fails(f->context, mtli_atomic_file_write(file, data, 1), MTL_ERROR_IO, strerror(ENOSPC));
    assert_fails(f->context, mtli_atomic_file_commit(file), MTL_ERROR_IO, strerror(ENOSPC));
    assert_int_equal(plan.calls[CALL_WRITE], 1);
    free(data);
    expect_contents(path, "old");
    assert_int_equal(test_count_files(f->folder.path), 1);
}

static void test_file_size_limit(void **state)
{
    fixture *f = *state;
    const char *path = test_write_text(&f->folder, "file", "old");
    char *data = calloc(1, 200000);
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit small = {100000, before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    mtl_status status = write_file(f->context, &mtli_real_system, path, data, 200000);
    setrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, SIG_DFL);
    free(data);
    assert_fails(f->context, status, MTL_ERROR_IO, strerror(EFBIG));
    expect_contents(path, "old");
    assert_int_equal(test_count_files(f->folder.path), 1);
}

static mtl_status write_scenario(mtl_context *context, void *user)
{
    return write_file(context, &mtli_real_system, user, "new", 3);
}

static void test_allocation_failures(void **state)
{
    fixture *f = *state;
    char path[TEST_PATH_SIZE];
    test_write_text(&f->folder, "file", "old");
    snprintf(path, sizeof path, "%s", test_path(&f->folder, "link"));
    assert_int_equal(symlink("file", path), 0);
    test_each_allocation_failing(write_scenario, path);
    assert_int_equal(test_count_files(f->folder.path), 2);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_creates_and_replaces),
        CASE(test_nothing_before_commit),
        CASE(test_bare_name),
        CASE(test_long_name),
        CASE(test_sizes_around_the_buffer),
        CASE(test_follows_links),
        CASE(test_refuses_what_is_no_file),
        CASE(test_keeps_read_only_files),
        CASE(test_every_call_failing),
        CASE(test_folder_that_cannot_be_synced),
        CASE(test_short_and_interrupted_writes),
        CASE(test_names_that_are_taken),
        CASE(test_a_failure_stays),
        CASE(test_file_size_limit),
        CASE(test_allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
