/* SPDX-License-Identifier: Apache-2.0
 * A balancer's life, and the memory of what it remembers. */
#include "balance/balancer.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"

mtl_status mtl_balancer_create(mtl_context *context, const mtl_balancer_options *options, mtl_balancer **out)
{
    if (!context) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter(context);
    MTLI_REQUIRE(context, out);
    mtl_balancer *balancer = mtli_allocate_zeroed(context, sizeof *balancer);
    if (!balancer) {
        return context->status;
    }
    balancer->context = mtl_context_retain(context);
    mtli_refcount_init(&balancer->refs);
    mtl_status status = mtli_balancer_take_options(balancer, options);
    if (status != MTL_OK) {
        mtl_balancer_destroy(balancer);
        return status;
    }
    balancer->seed = context->seed;
    balancer->stream = mtli_next_stream(context);
    *out = balancer;
    return MTL_OK;
}

mtl_balancer *mtli_balancer_retain(mtl_balancer *balancer)
{
    mtli_refcount_retain(&balancer->refs);
    return balancer;
}

void mtli_balancer_release_room(mtl_context *context, mtli_balancer_room *room)
{
    size_t tasks = (size_t)room->tasks;
    mtli_release(context, room->memory, room->memory_size);
    mtli_release(context, room->tracked, tasks * (size_t)room->tracked_size * sizeof room->tracked[0]);
    mtli_release(context, room->scratch, room->scratch_size);
    mtli_release(context, room->work, room->work_size);
    mtli_release(context, room->present, tasks * sizeof room->present[0]);
    *room = (mtli_balancer_room){0};
}

void mtl_balancer_destroy(mtl_balancer *balancer)
{
    if (!balancer || !mtli_refcount_release(&balancer->refs)) {
        return;
    }
    mtl_context *context = balancer->context;
    size_t size = (size_t)balancer->options.num_tasks * sizeof(double);
    mtli_balancer_release_room(context, &balancer->room);
    mtli_release(context, (void *)(uintptr_t)balancer->options.preference, size);
    mtli_release(context, (void *)(uintptr_t)balancer->options.reference, size);
    mtli_release(context, balancer, sizeof *balancer);
    mtl_context_release(context);
}

/* ---- memory ---- */

#define ANY_NUMBER .least = -HUGE_VAL, .most = HUGE_VAL
#define COUNTER .most = MTLI_MOST_COUNTED, .counts = true
static const mtli_balance_memory common_memory[MTLI_REMEMBERS_COMMON] = {
    [MTLI_REMEMBERS_STEPS] = {"steps", MTLI_SINGLE, 0, COUNTER},
    [MTLI_REMEMBERS_EPOCH] = {"epoch-steps", MTLI_SINGLE, 0, COUNTER},
    [MTLI_REMEMBERS_WEIGHTS] = {"weights", MTLI_PER_TASK, HUGE_VAL, ANY_NUMBER},
    [MTLI_REMEMBERS_OWN] = {"own-weights", MTLI_PER_TASK, 1, ANY_NUMBER},
    [MTLI_REMEMBERS_LOSS_MEAN] = {"loss-mean", MTLI_PER_TASK, 0, ANY_NUMBER},
    [MTLI_REMEMBERS_LOSS_COUNT] = {"loss-count", MTLI_PER_TASK, 0, COUNTER},
    [MTLI_REMEMBERS_MEASURED] = {"measured-steps", MTLI_PER_PAIR, 0, COUNTER},
    [MTLI_REMEMBERS_CONFLICTS] = {"conflicts", MTLI_PER_PAIR, 0, COUNTER},
};

/* Arrays over pairs are kept where a Gram matrix may come; a method on losses works for tasks without number. */
bool mtli_balancer_sees_pairs(const mtl_balancer *balancer)
{
    enum { WITHOUT = MTL_BALANCE_NEEDS_EPOCHS | MTL_BALANCE_NEEDS_MEASURE | MTL_BALANCE_NEEDS_SECOND_EVALUATION };
    int32_t needs = balancer->rule->needs | balancer->options.needs;
    return (needs & ~WITHOUT) != 0 || balancer->options.measure_every > 0;
}

static int64_t count_of(const mtl_balancer *balancer, mtli_memory_shape shape, int32_t tasks)
{
    int64_t pairs = mtli_balancer_sees_pairs(balancer) ? (int64_t)tasks * tasks : 0;
    return shape == MTLI_SINGLE ? 1 : shape == MTLI_PER_PAIR ? pairs : tasks;
}

int64_t mtli_remembered_count(const mtl_balancer *balancer, const mtli_remembered *array)
{
    return count_of(balancer, array->is->shape, balancer->room.tasks);
}

static void add_array(mtli_balancer_room *room, const mtli_balance_memory *memory)
{
    room->remembered[room->num_remembered++] = (mtli_remembered){memory, NULL};
}

static void list_arrays(const mtli_balance_rule *rule, mtli_balancer_room *room)
{
    room->num_remembered = 0;
    for (int32_t i = 0; i < MTLI_REMEMBERS_COMMON; i++) {
        add_array(room, &common_memory[i]);
    }
    for (int32_t i = 0; i < MTLI_MAX_MEMORIES && rule->memory[i].name; i++) {
        add_array(room, &rule->memory[i]);
    }
}

enum { MOST_TASKS_IN_PAIRS = 4096 };

int64_t mtli_balancer_values(const mtl_balancer *balancer, int32_t tasks)
{
    mtli_balancer_room room;
    int64_t count = 0;
    list_arrays(balancer->rule, &room);
    for (int32_t i = 0; i < room.num_remembered; i++) {
        count += count_of(balancer, room.remembered[i].is->shape, tasks);
    }
    return mtli_balancer_sees_pairs(balancer) && tasks > MOST_TASKS_IN_PAIRS ? -1 : count;
}

static mtl_status take_arrays(const mtl_balancer *balancer, int32_t tasks, mtli_balancer_room *room)
{
    int64_t count = mtli_balancer_values(balancer, tasks);
    list_arrays(balancer->rule, room);
    room->memory = mtli_allocate_array(balancer->context, (size_t)count, sizeof room->memory[0]);
    if (!room->memory) {
        return balancer->context->status;
    }
    room->memory_size = (size_t)count * sizeof room->memory[0];
    double *next = room->memory;
    for (int32_t i = 0; i < room->num_remembered; i++) {
        room->remembered[i].values = next;
        next += count_of(balancer, room->remembered[i].is->shape, tasks);
    }
    return MTL_OK;
}

/* What a step needs besides. In matrices: the gathered G, one gathered array of the method, room for the method,
 * cosines and conflict rates. In vectors: losses, weights, own weights, excess, preference, reference, gathered arrays,
 * room for the method, norms and weights of the report. */
enum { SCRATCH_MATRICES = 5, SCRATCH_VECTORS = 6 + MTLI_MAX_MEMORIES + 8 + 4, SCRATCH_NUMBERS = MTLI_MAX_MEMORIES };

static mtl_status take_scratch(const mtl_balancer *balancer, int32_t tasks, mtli_balancer_room *room)
{
    mtl_context *context = balancer->context;
    size_t t = (size_t)tasks;
    size_t pairs = (size_t)count_of(balancer, MTLI_PER_PAIR, tasks);
    size_t count = SCRATCH_MATRICES * pairs + SCRATCH_VECTORS * t + SCRATCH_NUMBERS;
    room->scratch = mtli_allocate_array(context, count + t, sizeof room->scratch[0]);
    room->scratch_size = room->scratch ? (count + t) * sizeof room->scratch[0] : 0;
    size_t work = pairs > 0 ? mtli_balance_work(tasks) : t * sizeof(double);
    room->work = room->scratch ? mtli_allocate(context, work) : NULL;
    room->work_size = room->work ? work : 0;
    room->own_weights = room->scratch ? room->scratch + count : NULL;
    return room->work ? MTL_OK : context->status;
}

mtl_status mtli_balancer_check_tasks(const mtl_balancer *balancer, int32_t tasks)
{
    return mtli_balancer_values(balancer, tasks) >= 0
               ? MTL_OK
               : mtli_fail(balancer->context, MTL_ERROR_LIMIT, "%d tasks are more than %d, the most that '%s' compares",
                           tasks, MOST_TASKS_IN_PAIRS, balancer->rule->name);
}

static mtl_status take_room(const mtl_balancer *balancer, int32_t tasks, int64_t tracked, mtli_balancer_room *room)
{
    mtl_context *context = balancer->context;
    size_t values;
    if (!mtli_mul_size((size_t)tasks, (size_t)tracked, &values)) {
        return mtli_fail(context, MTL_ERROR_LIMIT, "%d tasks times %lld tracked values do not fit in memory", tasks,
                         (long long)tracked);
    }
    mtl_status few = mtli_balancer_check_tasks(balancer, tasks);
    if (few != MTL_OK) {
        return few;
    }
    room->present = mtli_allocate_array(context, (size_t)tasks, sizeof room->present[0]);
    if (!room->present) {
        return context->status;
    }
    room->tasks = tasks; /* from here on mtli_balancer_release_room() knows what there is */
    mtl_status status = take_arrays(balancer, tasks, room);
    if (status == MTL_OK) {
        status = take_scratch(balancer, tasks, room);
    }
    if (status == MTL_OK && tracked > 0) {
        room->tracked = mtli_allocate_array(context, values, sizeof room->tracked[0]);
        room->tracked_size = room->tracked ? tracked : 0;
        status = room->tracked ? MTL_OK : context->status;
    }
    return status;
}

mtl_status mtli_balancer_make_room(mtl_balancer *balancer, int32_t tasks, int64_t tracked)
{
    mtli_balancer_room room = {0};
    mtl_status status = take_room(balancer, tasks, tracked, &room);
    if (status != MTL_OK) {
        mtli_balancer_release_room(balancer->context, &room);
        return status;
    }
    mtli_balancer_release_room(balancer->context, &balancer->room);
    balancer->room = room;
    return MTL_OK;
}

void mtli_balancer_begin(mtl_balancer *balancer)
{
    for (int32_t i = 0; i < balancer->room.num_remembered; i++) {
        mtli_remembered *array = &balancer->room.remembered[i];
        double initial = isnan(array->is->initial) ? 1 / (double)balancer->room.tasks : array->is->initial;
        for (int64_t k = 0; k < mtli_remembered_count(balancer, array); k++) {
            array->values[k] = initial;
        }
    }
    int64_t values = balancer->room.tasks * balancer->room.tracked_size;
    for (int64_t i = 0; i < values; i++) {
        balancer->room.tracked[i] = 0;
    }
    balancer->result = (mtl_balance_result){sizeof balancer->result, MTL_BALANCE_OK, 0, 0};
}

mtl_status mtli_balancer_check_idle(const mtl_balancer *balancer)
{
    return balancer->busy ? mtli_fail(balancer->context, MTL_ERROR_STATE,
                                      "the balancer is in a step: a monitor or a decide function may not call this")
                          : MTL_OK;
}

mtl_status mtli_balancer_prepare(mtl_balancer *balancer, int32_t tasks, int64_t tracked)
{
    mtl_context *context = balancer->context;
    if (balancer->busy) {
        return mtli_balancer_check_idle(balancer);
    }
    if (balancer->room.tasks == tasks && balancer->room.tracked_size == tracked) {
        return MTL_OK;
    }
    if (balancer->room.tasks > 0 && mtli_balancer_steps(balancer) > 0) {
        return mtli_fail(context, MTL_ERROR_STATE,
                         "the balancer has learned about %d tasks and %lld tracked values, now there are %d and %lld: "
                         "mtl_balancer_reset() forgets",
                         balancer->room.tasks, (long long)balancer->room.tracked_size, tasks, (long long)tracked);
    }
    if (balancer->options.num_tasks > 0 && balancer->options.num_tasks != tasks) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT, "options->num_tasks = %d, there are %d tasks",
                         balancer->options.num_tasks, tasks);
    }
    mtl_status status = mtli_balancer_make_room(balancer, tasks, tracked);
    if (status == MTL_OK) {
        mtli_balancer_begin(balancer);
    }
    return status;
}

void mtl_balancer_reset(mtl_balancer *balancer)
{
    if (balancer && !balancer->busy) {
        mtli_balancer_release_room(balancer->context, &balancer->room);
        balancer->result = (mtl_balance_result){0};
    }
}

uint64_t mtl_balancer_memory(const mtl_balancer *balancer)
{
    if (!balancer) {
        return 0;
    }
    uint64_t tracked = (uint64_t)balancer->room.tasks * (uint64_t)balancer->room.tracked_size *
                       (uint64_t)sizeof balancer->room.tracked[0];
    return balancer->room.memory_size + balancer->room.scratch_size + balancer->room.work_size + tracked +
           balancer->gradient_bytes;
}

int64_t mtli_balancer_steps(const mtl_balancer *balancer)
{
    return balancer->room.tasks > 0 ? (int64_t)balancer->room.remembered[MTLI_REMEMBERS_STEPS].values[0] : 0;
}

double *mtli_balancer_memory_of(const mtl_balancer *balancer, int32_t index)
{
    return balancer->room.remembered[MTLI_REMEMBERS_COMMON + index].values;
}

int64_t mtl_balancer_read(const mtl_balancer *balancer, const char *name, double *values, int64_t capacity)
{
    bool begun = balancer && mtli_balancer_steps(balancer) > 0;
    for (int32_t i = 0; begun && name && i < balancer->room.num_remembered; i++) {
        const mtli_remembered *array = &balancer->room.remembered[i];
        if (strcmp(array->is->name, name) != 0) {
            continue;
        }
        int64_t count = mtli_remembered_count(balancer, array);
        int64_t fits = !values || capacity < 0 ? 0 : capacity < count ? capacity : count;
        if (fits > 0) {
            memcpy(values, array->values, (size_t)fits * sizeof values[0]);
        }
        return count;
    }
    return -1;
}
