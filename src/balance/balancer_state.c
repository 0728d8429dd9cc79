/* SPDX-License-Identifier: Apache-2.0
 * What a balancer remembers as bytes: a header, the arrays as little-endian doubles, tracked gradients as they
 * are kept. */
#include <math.h>
#include <string.h>

#include "balance/balancer.h"
#include "base/checked.h"

/* ---- layout: u32 and u64 are little-endian ----
 *  0  "mtlbalan"
 *  8  u32 version
 * 12  u32 method
 * 16  u32 form
 * 20  u32 tasks; 0: no step was done, nothing follows the header
 * 24  u64 seed of the random numbers
 * 32  u64 stream
 * 40  u64 tracked values of each task
 * 48  u32 bytes of one of them
 * 52  u32 number of doubles that follow */
enum { STATE_VERSION = 1, HEADER_BYTES = 56 };
static const char magic[8] = {'m', 't', 'l', 'b', 'a', 'l', 'a', 'n'};

static void put_bytes(unsigned char *to, uint64_t value, int32_t bytes)
{
    for (int32_t i = 0; i < bytes; i++) {
        to[i] = (unsigned char)(value >> (8 * i));
    }
}

static uint64_t get_bytes(const unsigned char *from, int32_t bytes)
{
    uint64_t value = 0;
    for (int32_t i = 0; i < bytes; i++) {
        value |= (uint64_t)from[i] << (8 * i);
    }
    return value;
}

static void put_double(unsigned char *to, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_bytes(to, bits, sizeof bits);
}

static double get_double(const unsigned char *from)
{
    uint64_t bits = get_bytes(from, sizeof bits);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* mtli_real has 4 or 8 bytes. */
static void put_real(unsigned char *to, mtli_real value)
{
    uint32_t narrow;
    uint64_t wide;
    if (sizeof value == sizeof narrow) {
        memcpy(&narrow, &value, sizeof narrow);
        put_bytes(to, narrow, sizeof narrow);
    } else {
        memcpy(&wide, &value, sizeof value);
        put_bytes(to, wide, sizeof wide);
    }
}

static mtli_real get_real(const unsigned char *from)
{
    uint64_t wide = get_bytes(from, sizeof(mtli_real));
    uint32_t narrow = (uint32_t)wide;
    mtli_real value;
    if (sizeof value == sizeof narrow) {
        memcpy(&value, &narrow, sizeof narrow);
    } else {
        memcpy(&value, &wide, sizeof value);
    }
    return value;
}

static int64_t count_doubles(const mtl_balancer *balancer)
{
    return (int64_t)(balancer->room.memory_size / sizeof balancer->room.memory[0]);
}

uint64_t mtl_balancer_state_size(const mtl_balancer *balancer)
{
    if (!balancer) {
        return 0;
    }
    uint64_t tracked = (uint64_t)balancer->room.tasks * (uint64_t)balancer->room.tracked_size;
    return HEADER_BYTES + (uint64_t)count_doubles(balancer) * sizeof(double) + tracked * sizeof(mtli_real);
}

mtl_status mtl_balancer_save_state(const mtl_balancer *balancer, void *buffer, uint64_t size)
{
    if (!balancer) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter(balancer->context);
    MTLI_REQUIRE(balancer->context, buffer);
    if (size != mtl_balancer_state_size(balancer)) {
        return mtli_fail(balancer->context, MTL_ERROR_ARGUMENT, "size = %llu, the state has %llu bytes",
                         (unsigned long long)size, (unsigned long long)mtl_balancer_state_size(balancer));
    }
    const mtli_balancer_room *room = &balancer->room;
    unsigned char *to = buffer;
    memcpy(to, magic, sizeof magic);
    put_bytes(to + 8, STATE_VERSION, 4);
    put_bytes(to + 12, (uint64_t)balancer->options.method, 4);
    put_bytes(to + 16, (uint64_t)balancer->options.form, 4);
    put_bytes(to + 20, (uint64_t)room->tasks, 4);
    put_bytes(to + 24, balancer->seed, 8);
    put_bytes(to + 32, balancer->stream, 8);
    put_bytes(to + 40, (uint64_t)room->tracked_size, 8);
    put_bytes(to + 48, sizeof(mtli_real), 4);
    put_bytes(to + 52, (uint64_t)count_doubles(balancer), 4);
    to += HEADER_BYTES;
    for (int64_t i = 0; i < count_doubles(balancer); i++, to += sizeof(double)) {
        put_double(to, room->memory[i]);
    }
    for (int64_t i = 0; i < room->tasks * room->tracked_size; i++, to += sizeof(mtli_real)) {
        put_real(to, room->tracked[i]);
    }
    return MTL_OK;
}

/* ---- loading ---- */

typedef struct saved_state {
    const unsigned char *bytes;
    uint64_t size;
    int32_t tasks;
    int64_t tracked;
    uint64_t doubles;
} saved_state;

static mtl_status fail_state(const mtl_balancer *balancer, const char *why)
{
    return mtli_fail(balancer->context, MTL_ERROR_FORMAT, "buffer is not a state of this balancer: %s", why);
}

static mtl_status read_state_header(const mtl_balancer *balancer, saved_state *state)
{
    const unsigned char *from = state->bytes;
    if (state->size < HEADER_BYTES || memcmp(from, magic, sizeof magic) != 0) {
        return fail_state(balancer, "it does not begin like one");
    }
    if (get_bytes(from + 8, 4) != STATE_VERSION) {
        return fail_state(balancer, "it is of another version");
    }
    if (get_bytes(from + 12, 4) != (uint64_t)balancer->options.method ||
        get_bytes(from + 16, 4) != (uint64_t)balancer->options.form) {
        return fail_state(balancer, "it is of another method or form");
    }
    uint64_t tasks = get_bytes(from + 20, 4);
    uint64_t tracked = get_bytes(from + 40, 8);
    state->doubles = get_bytes(from + 52, 4);
    if (tasks > 65536 || get_bytes(from + 48, 4) != sizeof(mtli_real)) {
        return fail_state(balancer, "its sizes are wrong");
    }
    if (balancer->options.num_tasks > 0 && tasks > 0 && tasks != (uint64_t)balancer->options.num_tasks) {
        return fail_state(balancer, "options->num_tasks is another number of tasks");
    }
    if (tracked > 0 && (balancer->rule->needs & MTL_BALANCE_NEEDS_STATE) == 0) {
        return fail_state(balancer, "its method tracks no gradients");
    }
    int64_t values = tasks > 0 ? mtli_balancer_values(balancer, (int32_t)tasks) : 0;
    if (values < 0 || state->doubles != (uint64_t)values) { /* before there is memory for them */
        return fail_state(balancer, "its arrays are those of other options");
    }
    uint64_t rest = state->size - HEADER_BYTES;
    uint64_t doubles = state->doubles * sizeof(double);
    if (doubles > rest) {
        return fail_state(balancer, "it is cut off");
    }
    rest -= doubles; /* for the tracked values, which no file can make us allocate beyond its own size */
    if (tasks == 0 ? rest != 0 || tracked != 0 : tracked > rest || rest != tasks * tracked * sizeof(mtli_real)) {
        return fail_state(balancer, "its length is wrong");
    }
    state->tasks = (int32_t)tasks;
    state->tracked = (int64_t)tracked;
    return MTL_OK;
}

static bool is_in_memory(const mtli_balance_memory *memory, double value)
{
    bool whole = !memory->counts || value == floor(value);
    bool never = value == memory->initial && isinf(value); /* no weights yet */
    return (isfinite(value) && value >= memory->least && value <= memory->most && whole) || never;
}

/* No pair was more often in conflict than it was measured. */
static bool conflicts_are_shares(const mtl_balancer *balancer)
{
    const mtli_remembered *measured = &balancer->room.remembered[MTLI_REMEMBERS_MEASURED];
    const mtli_remembered *conflicts = &balancer->room.remembered[MTLI_REMEMBERS_CONFLICTS];
    for (int64_t i = 0; i < mtli_remembered_count(balancer, measured); i++) {
        if (conflicts->values[i] > measured->values[i]) {
            return false;
        }
    }
    return true;
}

static mtl_status read_arrays(mtl_balancer *balancer, const saved_state *state)
{
    const unsigned char *from = state->bytes + HEADER_BYTES;
    for (int32_t k = 0; k < balancer->room.num_remembered; k++) {
        mtli_remembered *array = &balancer->room.remembered[k];
        int64_t count = mtli_remembered_count(balancer, array);
        for (int64_t i = 0; i < count; i++, from += sizeof(double)) {
            double value = get_double(from);
            if (!is_in_memory(array->is, value)) {
                return mtli_fail(balancer->context, MTL_ERROR_FORMAT,
                                 "buffer is not a state of this balancer: %s[%lld] = %g is out of range",
                                 array->is->name, (long long)i, value);
            }
            array->values[i] = value;
        }
    }
    if (!conflicts_are_shares(balancer)) {
        return fail_state(balancer, "more conflicts than pairs");
    }
    for (int64_t i = 0; i < state->tasks * state->tracked; i++, from += sizeof(mtli_real)) {
        balancer->room.tracked[i] = get_real(from);
        if (!isfinite(balancer->room.tracked[i])) {
            return fail_state(balancer, "a tracked value is not finite");
        }
    }
    return MTL_OK;
}

/* Into the room of a copy: the balancer changes when all was read. */
static mtl_status read_into(mtl_balancer *balancer, const saved_state *state)
{
    mtli_balancer_room before = balancer->room;
    balancer->room = (mtli_balancer_room){0};
    mtl_status status = mtli_balancer_make_room(balancer, state->tasks, state->tracked);
    if (status == MTL_OK) {
        status = read_arrays(balancer, state);
    }
    mtli_balancer_room unwanted = status == MTL_OK ? before : balancer->room;
    if (status != MTL_OK) {
        balancer->room = before;
    }
    mtli_balancer_release_room(balancer->context, &unwanted);
    return status;
}

mtl_status mtl_balancer_load_state(mtl_balancer *balancer, const void *buffer, uint64_t size)
{
    if (!balancer) {
        return MTL_ERROR_ARGUMENT;
    }
    mtli_enter(balancer->context);
    MTLI_REQUIRE(balancer->context, buffer);
    saved_state state = {.bytes = buffer, .size = size};
    mtl_status status = mtli_balancer_check_idle(balancer);
    if (status == MTL_OK) {
        status = read_state_header(balancer, &state);
    }
    if (status == MTL_OK && state.tasks > 0) {
        status = read_into(balancer, &state);
    } else if (status == MTL_OK) {
        mtl_balancer_reset(balancer);
    }
    if (status == MTL_OK) {
        balancer->seed = get_bytes(state.bytes + 24, 8);
        balancer->stream = get_bytes(state.bytes + 32, 8);
    }
    return status;
}

int32_t mtli_balancer_state_tasks(const void *buffer, uint64_t size)
{
    const unsigned char *bytes = buffer;
    if (size < HEADER_BYTES || memcmp(bytes, magic, sizeof magic) != 0) {
        return -1;
    }
    uint64_t tasks = get_bytes(bytes + 20, 4);
    return tasks <= INT32_MAX ? (int32_t)tasks : -1;
}
