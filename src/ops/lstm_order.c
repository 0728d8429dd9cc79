/* SPDX-License-Identifier: Apache-2.0
 * Sorts sequences by length (a counting sort: linear, stable, no allocation) and moves rows between the ragged order and
 * the packed one. */
#include "ops/lstm_order.h"

#include <string.h>

static int64_t length_of(const mtli_ragged *ragged, int64_t row)
{
    return ragged->offsets[row + 1] - ragged->offsets[row];
}

static int64_t longest(const mtli_ragged *ragged)
{
    int64_t most = 0;
    for (int64_t r = 0; r < ragged->rows; r++) {
        most = length_of(ragged, r) > most ? length_of(ragged, r) : most;
    }
    return most;
}

/* place[l] = sequences longer than l = where sequences of length l begin = batch size of step l; l in [0, steps]. */
static void count_longer(const mtli_ragged *ragged, int64_t steps, int64_t *place)
{
    memset(place, 0, (size_t)(steps + 1) * sizeof place[0]);
    for (int64_t r = 0; r < ragged->rows; r++) {
        if (length_of(ragged, r) > 0) {
            place[length_of(ragged, r) - 1]++;
        }
    }
    for (int64_t l = steps - 1; l >= 0; l--) {
        place[l] += place[l + 1];
    }
}

mtl_status mtli_lstm_order_make(const mtli_call *call, const mtli_ragged *ragged, mtli_lstm_order *order)
{
    int64_t steps = longest(ragged);
    int64_t *place = mtli_tape_scratch(call, (size_t)steps + 1, sizeof place[0]);
    int64_t *step_offsets = place ? mtli_tape_memory(call, (size_t)steps + 1, sizeof step_offsets[0]) : NULL;
    if (!step_offsets) {
        return mtli_call_context(call)->status;
    }
    count_longer(ragged, steps, place);
    int64_t sequences = place[0];
    int64_t *row = mtli_tape_memory(call, (size_t)sequences, sizeof row[0]);
    if (!row) {
        return mtli_call_context(call)->status;
    }
    step_offsets[0] = 0;
    for (int64_t t = 0; t < steps; t++) {
        step_offsets[t + 1] = step_offsets[t] + place[t];
    }
    for (int64_t r = 0; r < ragged->rows; r++) {
        if (length_of(ragged, r) > 0) {
            row[place[length_of(ragged, r)]++] = r;
        }
    }
    order->tokens = step_offsets[steps];
    order->sequences = sequences;
    order->steps = steps;
    order->step_offsets = step_offsets;
    order->row = row;
    order->offsets = ragged->offsets;
    return MTL_OK;
}

static int64_t active_at(const mtli_lstm_order *order, int64_t step)
{
    return order->step_offsets[step + 1] - order->step_offsets[step];
}

/* The row of the ragged tensor that the sequence `s` reads at a step. */
static int64_t source_row(const mtli_lstm_view *view, int64_t s, int64_t step)
{
    const int64_t *offsets = view->order->offsets + view->order->row[s];
    return view->reverse ? offsets[1] - 1 - step : offsets[0] + step;
}

void mtli_lstm_pack(mtli_lstm_view view, int64_t width, const mtli_real *from, int64_t stride, mtli_real *to)
{
    for (int64_t t = 0; t < view.order->steps; t++) {
        int64_t active = active_at(view.order, t);
        for (int64_t s = view.part.index; s < active; s += view.part.count) {
            memcpy(to + (view.order->step_offsets[t] + s) * width, from + source_row(&view, s, t) * stride,
                   (size_t)width * sizeof to[0]);
        }
    }
}

void mtli_lstm_unpack(mtli_lstm_view view, int64_t width, const mtli_real *from, mtli_real *to, int64_t stride,
                      bool add)
{
    for (int64_t t = 0; t < view.order->steps; t++) {
        int64_t active = active_at(view.order, t);
        for (int64_t s = view.part.index; s < active; s += view.part.count) {
            const mtli_real *source = from + (view.order->step_offsets[t] + s) * width;
            mtli_real *target = to + source_row(&view, s, t) * stride;
            if (!add) {
                memcpy(target, source, (size_t)width * sizeof target[0]);
                continue;
            }
            for (int64_t j = 0; j < width; j++) {
                target[j] += source[j];
            }
        }
    }
}

void mtli_lstm_pack_int32(mtli_lstm_view view, const int32_t *from, int32_t *to)
{
    for (int64_t t = 0; t < view.order->steps; t++) {
        int64_t active = active_at(view.order, t);
        for (int64_t s = view.part.index; s < active; s += view.part.count) {
            to[view.order->step_offsets[t] + s] = from[source_row(&view, s, t)];
        }
    }
}

void mtli_lstm_pack_table(mtli_lstm_view view, int64_t width, const mtli_real *table, const int32_t *id, mtli_real *to)
{
    for (int64_t t = 0; t < view.order->steps; t++) {
        int64_t end = view.order->step_offsets[t + 1];
        for (int64_t n = view.order->step_offsets[t] + view.part.index; n < end; n += view.part.count) {
            memcpy(to + n * width, table + id[n] * width, (size_t)width * sizeof to[0]);
        }
    }
}
