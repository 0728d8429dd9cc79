/* SPDX-License-Identifier: Apache-2.0
 * Creation and end of the context, errors, log, random streams, parallel loops. Memory is in memory.c. */
#include "base/context.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/float_mode.h"
#include "base/isa.h"
#include "base/pool.h"

enum { MAX_THREADS = 256 };

static void *default_allocate(void *user, size_t size, size_t alignment)
{
    (void)user;
    void *pointer = NULL;
    return posix_memalign(&pointer, alignment, size) == 0 ? pointer : NULL;
}

static void default_release(void *user, void *pointer, size_t size, size_t alignment)
{
    (void)user;
    (void)size;
    (void)alignment;
    free(pointer);
}

static mtl_status import_allocator(mtl_context *reporter, const mtl_allocator *given, mtl_allocator *allocator)
{
    mtl_allocator known = {sizeof known, NULL, default_allocate, default_release};
    mtl_status status = mtli_import_options(reporter, "options->allocator", &known, sizeof known, sizeof known, given);
    if (status == MTL_OK && (!known.allocate || !known.release)) {
        status = mtli_fail(reporter, MTL_ERROR_ARGUMENT, "options->allocator lacks allocate or release");
    }
    if (status == MTL_OK) {
        *allocator = known;
    }
    return status;
}

static mtl_status check_range(mtl_context *reporter, const char *name, int32_t value, int32_t least, int32_t most)
{
    return value >= least && value <= most ? MTL_OK
                                           : mtli_fail(reporter, MTL_ERROR_ARGUMENT,
                                                       "options->%s = %d is not in [%d, %d]", name, value, least, most);
}

static mtl_status check_context_options(mtl_context *reporter, const mtl_context_options *options)
{
    mtl_status status = check_range(reporter, "threads", options->threads, 1, MAX_THREADS);
    if (status == MTL_OK) {
        status = check_range(reporter, "gemm", options->gemm, MTL_GEMM_AUTO, MTL_GEMM_CBLAS);
    }
    if (status == MTL_OK) {
        status = check_range(reporter, "isa", options->isa, MTL_ISA_BEST, MTL_ISA_AVX512);
    }
    if (status == MTL_OK && options->isa > mtli_isa_best()) {
        status = mtli_fail(reporter, MTL_ERROR_UNSUPPORTED, "options->isa = %d: this processor has level %d at most",
                           options->isa, mtli_isa_best());
    }
    if (status == MTL_OK && options->max_bytes > 0 && options->max_bytes < sizeof(mtl_context)) {
        status =
            mtli_fail(reporter, MTL_ERROR_MEMORY,
                      "options->max_bytes = %" PRIu64 " is less than the context itself takes", options->max_bytes);
    }
    return status;
}

static void fill_context(mtl_context *context, const mtl_context_options *options, const mtl_allocator *allocator)
{
    memset(context, 0, sizeof *context);
    mtli_refcount_init(&context->refs);
    context->allocator = *allocator;
    context->log = options->log;
    context->log_user = options->log_user;
    context->parallel_for = options->parallel_for;
    context->parallel_user = options->parallel_user;
    context->seed = options->seed;
    context->max_bytes = options->max_bytes;
    context->threads = options->threads;
    context->gemm = options->gemm;
    context->isa = options->isa == MTL_ISA_BEST ? mtli_isa_best() : options->isa;
    context->debug_handles = options->debug_handles;
    context->function = "libmtl";
    atomic_init(&context->bytes, sizeof *context);
    atomic_init(&context->peak_bytes, sizeof *context);
    atomic_init(&context->blocks, 1);
    atomic_init(&context->allocations, 1);
}

mtl_status mtl_context_create(const mtl_context_options *options, mtl_context **out)
{
    mtl_context_options known = MTL_CONTEXT_OPTIONS_INIT;
    mtl_allocator allocator;
    if (!out) {
        return MTL_ERROR_ARGUMENT;
    }
    /* There is no context yet to keep a message, but there may be a log to send it to. */
    mtl_context reporter = {.function = __func__};
    mtl_status status = mtli_import_options(&reporter, "options", &known, sizeof known, sizeof known, options);
    if (status == MTL_OK) {
        reporter.log = known.log;
        reporter.log_user = known.log_user;
        status = check_context_options(&reporter, &known);
    }
    if (status == MTL_OK) {
        status = import_allocator(&reporter, known.allocator, &allocator);
    }
    if (status != MTL_OK) {
        return status;
    }
    mtl_context *context = allocator.allocate(allocator.user, sizeof *context, MTLI_ALIGNMENT);
    if (!context) {
        return MTL_ERROR_MEMORY;
    }
    fill_context(context, &known, &allocator);
    if (known.threads > 1 && !known.parallel_for) {
        context->pool = mtli_pool_create(context, known.threads);
        if (!context->pool) {
            mtl_context_release(context);
            return MTL_ERROR_MEMORY;
        }
    }
    *out = context;
    return MTL_OK;
}

mtl_context *mtl_context_retain(mtl_context *context)
{
    if (context) {
        mtli_refcount_retain(&context->refs);
    }
    return context;
}

void mtl_context_release(mtl_context *context)
{
    if (!context || !mtli_refcount_release(&context->refs)) {
        return;
    }
    mtli_pool_destroy(context, context->pool);
    mtl_allocator allocator = context->allocator;
    allocator.release(allocator.user, context, sizeof *context, MTLI_ALIGNMENT);
}

const char *mtl_context_last_error(const mtl_context *context)
{
    return context ? context->message : "there is no context: mtl_context_create failed, or NULL was given";
}

mtl_status mtl_context_last_status(const mtl_context *context)
{
    return context ? context->status : MTL_ERROR_ARGUMENT;
}

mtl_status mtl_context_set_seed(mtl_context *context, uint64_t seed)
{
    if (!context) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter(context);
    context->seed = seed;
    context->stream = 0;
    return MTL_OK;
}

void mtli_enter_function(mtl_context *context, const char *function)
{
    if (context) {
        context->status = MTL_OK;
        context->function = function;
        context->message[0] = '\0';
    }
}

mtl_status mtli_fail(mtl_context *context, mtl_status status, const char *format, ...)
{
    if (!context) {
        return status;
    }
    context->status = status;
    int used = snprintf(context->message, sizeof context->message, "%s: ", context->function);
    if (used > 0 && (size_t)used < sizeof context->message) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(context->message + used, sizeof context->message - (size_t)used, format, arguments);
        va_end(arguments);
    }
    mtli_log(context, MTL_LOG_ERROR, "%s", context->message);
    return status;
}

mtl_status mtli_fail_text(mtl_context *context, mtl_status status, const char *message)
{
    if (context) {
        size_t length = strlen(message);
        length = length < sizeof context->message ? length : sizeof context->message - 1;
        context->status = status;
        memmove(context->message, message, length); /* it may be this very message */
        context->message[length] = '\0';
    }
    return status;
}

static bool is_known(mtl_status status)
{
    switch ((int)status) {
#define MTLI_STATUS(name, value, text) \
    case value: \
        return true;
#include "base/status.def"
#undef MTLI_STATUS
    default:
        return false;
    }
}

mtl_status mtli_fail_callback(mtl_context *context, const char *function, mtl_status status, const char *what)
{
    char reason[MTLI_MESSAGE_SIZE] = "";
    if (context->status == status) {
        memcpy(reason, context->message, sizeof reason);
    }
    mtli_enter_function(context, function);
    if (!is_known(status)) {
        return mtli_fail(context, MTL_ERROR_CANCELLED, "%s returned the unknown status %d", what, (int)status);
    }
    return mtli_fail(context, status, "%s returned %s%s%s", what, mtl_status_name(status), reason[0] ? ": " : "",
                     reason);
}

void mtli_log(mtl_context *context, int32_t level, const char *format, ...)
{
    if (!context->log) {
        return;
    }
    char line[MTLI_MESSAGE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    context->log(context->log_user, level, line);
}

uint64_t mtli_next_stream(mtl_context *context)
{
    return context->stream++;
}

typedef struct loop {
    mtl_parallel_body body;
    void *argument;
} loop;

static void run_in_kernel_mode(void *argument, int32_t index)
{
    const loop *task = argument;
    mtli_float_mode mode = mtli_float_mode_enter();
    task->body(task->argument, index);
    mtli_float_mode_leave(mode);
}

void mtli_parallel_for(mtl_context *context, int32_t count, mtl_parallel_body body, void *argument)
{
    loop task = {body, argument};
    if (count > 1 && context->parallel_for) {
        context->parallel_for(context->parallel_user, count, run_in_kernel_mode, &task);
    } else if (count > 1 && context->pool) {
        mtli_pool_run(context->pool, count, run_in_kernel_mode, &task);
    } else {
        for (int32_t i = 0; i < count; i++) {
            run_in_kernel_mode(&task, i);
        }
    }
}
