/* SPDX-License-Identifier: Apache-2.0
 * The weight gradients of an LSTM layer for each task, where tasks label disjoint sequences. The gate gradients are those of
 * the ordinary pass; only the sums over tokens are taken per segment. */
#include <string.h>

#include "ops/lstm_pass.h"

enum { UNCLAIMED = -1 };

/** The packed tokens by segment and, with distinct tokens, the distinct tokens of each segment: *pairs*. */
typedef struct segment_tokens {
    int32_t *tokens; /* packed tokens, by segment */
    int64_t *offsets;
    int64_t num_pairs; /* in the order of the segments */
    int64_t *pair_offsets;
    int32_t *pair_of_token; /* [packed tokens] */
    int32_t *distinct;      /* [pairs] which distinct token */
    int32_t *ids;           /* [pairs] row of the table */
    int32_t *numbers;       /* [pairs] 0, 1, .. */
    mtli_real *sums;        /* gate gradients of pairs */
    mtli_real *x;           /* [pairs, input] */
    mtli_real *dx;          /* [pairs, input] */
} segment_tokens;

typedef struct segment_pass {
    mtli_lstm_pass *pass;
    const mtli_segments *segments;
    segment_tokens by;
    mtli_lstm_weights *weights;       /* of each segment */
    mtli_lstm_weights *input_weights; /* likewise */
    mtli_real *db;                    /* [segments, 4H] */
} segment_pass;

static void *segment_ints(const mtli_lstm_pass *pass, int64_t count)
{
    return mtli_tape_scratch(pass->layer->call, (size_t)count, sizeof(int32_t));
}

/* These last until a second sweep. */
static void *segment_offsets(const mtli_lstm_pass *pass, int64_t count)
{
    return mtli_sweep_memory(pass->layer->call, pass->sweep, (size_t)count + 1, sizeof(int64_t));
}

/* The segment of each sequence, in the order of the LSTM. */
static int32_t *sequence_segments(const segment_pass *job)
{
    const mtli_lstm_order *order = &job->pass->layer->order;
    int64_t rows = 0;
    for (int64_t s = 0; s < order->sequences; s++) {
        rows = order->row[s] >= rows ? order->row[s] + 1 : rows;
    }
    int32_t *of_row = segment_ints(job->pass, rows);
    int32_t *of_sequence = of_row ? segment_ints(job->pass, order->sequences) : NULL;
    if (!of_sequence) {
        return NULL;
    }
    for (int64_t row = 0; row < rows; row++) {
        of_row[row] = UNCLAIMED;
    }
    for (int32_t t = 0; t < job->segments->count; t++) {
        for (int64_t i = job->segments->offsets[t]; i < job->segments->offsets[t + 1]; i++) {
            if (job->segments->rows[i] < rows) { /* behind it there are empty sequences only */
                of_row[job->segments->rows[i]] = t;
            }
        }
    }
    for (int64_t s = 0; s < order->sequences; s++) {
        of_sequence[s] = of_row[order->row[s]];
    }
    return of_sequence;
}

/* One pass over the sequences counts, one over the packed tokens writes: ascending within a segment. */
static bool sort_tokens(segment_pass *job, const int32_t *of_sequence)
{
    const mtli_lstm_order *order = &job->pass->layer->order;
    int32_t count = job->segments->count;
    int64_t *offsets = segment_offsets(job->pass, count);
    int32_t *tokens = offsets ? segment_ints(job->pass, order->tokens) : NULL;
    if (!tokens) {
        return false;
    }
    memset(offsets, 0, ((size_t)count + 1) * sizeof offsets[0]);
    for (int64_t s = 0; s < order->sequences; s++) {
        const int64_t *ends = order->offsets + order->row[s];
        if (of_sequence[s] != UNCLAIMED) {
            offsets[of_sequence[s] + 1] += ends[1] - ends[0];
        }
    }
    for (int32_t t = 0; t < count; t++) {
        offsets[t + 1] += offsets[t];
    }
    for (int64_t step = 0; step < order->steps; step++) {
        for (int64_t n = order->step_offsets[step]; n < order->step_offsets[step + 1]; n++) {
            int32_t segment = of_sequence[n - order->step_offsets[step]];
            if (segment != UNCLAIMED) {
                tokens[offsets[segment]++] = (int32_t)n;
            }
        }
    }
    memmove(offsets + 1, offsets, (size_t)count * sizeof offsets[0]);
    offsets[0] = 0;
    job->by.offsets = offsets;
    job->by.tokens = tokens;
    return true;
}

/* Distinct tokens of one segment after the other. pair_at [distinct] is the pair of a distinct token in this segment. */
static void find_pairs(segment_pass *job, int32_t *pair_at)
{
    const mtli_lstm_layer *layer = job->pass->layer;
    const int32_t *distinct_of = layer->direction[job->pass->direction].token;
    segment_tokens *by = &job->by;
    memset(by->pair_of_token, 0, (size_t)layer->order.tokens * sizeof by->pair_of_token[0]);
    for (int64_t u = 0; u < layer->distinct.count; u++) {
        pair_at[u] = UNCLAIMED;
    }
    by->num_pairs = 0;
    for (int32_t t = 0; t < job->segments->count; t++) {
        by->pair_offsets[t] = by->num_pairs;
        for (int64_t i = by->offsets[t]; i < by->offsets[t + 1]; i++) {
            int32_t u = distinct_of[by->tokens[i]];
            if (pair_at[u] < by->pair_offsets[t]) {
                pair_at[u] = (int32_t)by->num_pairs;
                by->numbers[by->num_pairs] = (int32_t)by->num_pairs;
                by->ids[by->num_pairs] = layer->distinct.ids[u];
                by->distinct[by->num_pairs++] = u;
            }
            by->pair_of_token[by->tokens[i]] = pair_at[u];
        }
    }
    by->pair_offsets[job->segments->count] = by->num_pairs;
}

static bool make_pairs(segment_pass *job)
{
    const mtli_lstm_pass *pass = job->pass;
    const mtli_lstm_layer *layer = pass->layer;
    int64_t tokens = layer->order.tokens;
    segment_tokens *by = &job->by;
    int32_t *pair_at = segment_ints(pass, layer->distinct.count);
    by->pair_offsets = segment_offsets(pass, job->segments->count);
    by->pair_of_token = segment_ints(pass, tokens);
    by->distinct = mtli_sweep_memory(layer->call, pass->sweep, (size_t)tokens, sizeof by->distinct[0]);
    by->ids = segment_ints(pass, tokens);
    by->numbers = segment_ints(pass, tokens);
    if (!pair_at || !by->pair_offsets || !by->pair_of_token || !by->distinct || !by->ids || !by->numbers) {
        return false;
    }
    find_pairs(job, pair_at);
    by->sums = mtli_lstm_memory(pass, by->num_pairs, layer->kernels->lstm_gate_width(layer->hidden));
    by->x = mtli_lstm_scratch(pass, by->num_pairs, layer->input);
    by->dx = mtli_lstm_scratch(pass, by->num_pairs, layer->input);
    if (!by->sums || !by->x || !by->dx) {
        return false;
    }
    mtli_segment_gather(by->num_pairs, by->distinct, layer->input, layer->direction[pass->direction].x, by->x);
    return true;
}

static bool segments_are_distinct(const segment_pass *job)
{
    return job->pass->layer->distinct.count >= 0;
}

/* The arguments of one segment's sums. */
static void fill_segment(segment_pass *job, mtli_sweep *sweep, int32_t segment, const int64_t *pair_shape)
{
    const segment_tokens *by = &job->by;
    mtli_lstm_pass *pass = job->pass;
    mtli_sweep_select(sweep, segment);
    mtli_lstm_fill_weights(pass, sweep, job->db + segment * 4 * pass->layer->hidden, pair_shape);
    job->weights[segment] = pass->weights;
    job->weights[segment].tokens = by->tokens + by->offsets[segment];
    job->weights[segment].token_count = by->offsets[segment + 1] - by->offsets[segment];
    job->input_weights[segment] = pass->input_weights;
    if (segments_are_distinct(job)) {
        job->input_weights[segment].dgates = by->sums;
        job->input_weights[segment].x = by->x;
        job->input_weights[segment].tokens = by->numbers + by->pair_offsets[segment];
        job->input_weights[segment].token_count = by->pair_offsets[segment + 1] - by->pair_offsets[segment];
    }
}

static void segment_weight_piece(void *argument, int32_t index)
{
    const segment_pass *job = argument;
    const mtli_lstm_pass *pass = job->pass;
    const mtli_lstm_layer *layer = pass->layer;
    int64_t panels = layer->kernels->lstm_panels(layer->hidden);
    int64_t begin = panels * index / pass->weight_pieces;
    int64_t end = panels * (index + 1) / pass->weight_pieces;
    if (segments_are_distinct(job)) {
        layer->kernels->lstm_sum_gates(layer->order.tokens, job->by.num_pairs, job->by.pair_of_token,
                                       pass->args[pass->direction].dgates, job->by.sums, begin, end);
    }
    for (int32_t t = 0; t < job->segments->count; t++) {
        if (job->weights[t].token_count == 0) {
            continue;
        }
        if (job->input_weights[t].dw_ih) {
            layer->kernels->lstm_weight_gradient(&job->input_weights[t], begin, end);
        }
        layer->kernels->lstm_weight_gradient(&job->weights[t], begin, end);
    }
}

static void pair_gradient_piece(void *argument, int32_t index)
{
    const segment_pass *job = argument;
    const mtli_lstm_pass *pass = job->pass;
    const mtli_lstm_layer *layer = pass->layer;
    int64_t begin = (int64_t)index * MTLI_LSTM_GRADIENT_ROWS;
    int64_t rest = job->by.num_pairs - begin;
    layer->kernels->lstm_input_gradient(layer->input, layer->hidden, pass->packed[pass->direction], begin,
                                        begin + (rest < MTLI_LSTM_GRADIENT_ROWS ? rest : MTLI_LSTM_GRADIENT_ROWS),
                                        job->by.num_pairs, job->by.sums, job->by.dx);
}

/* Rows of the table: of the segment's distinct tokens, or of each of its tokens. */
static mtl_status add_segment_table(const segment_pass *job, mtli_sweep *sweep, int32_t segment)
{
    const mtli_lstm_pass *pass = job->pass;
    const mtli_lstm_layer *layer = pass->layer;
    const segment_tokens *by = &job->by;
    if (segments_are_distinct(job)) {
        int64_t begin = by->pair_offsets[segment];
        return mtli_gradient_rows(layer->call, sweep, MTLI_LSTM_TABLE, by->ids + begin,
                                  by->pair_offsets[segment + 1] - begin, by->dx + begin * layer->input);
    }
    const int32_t *tokens = by->tokens + by->offsets[segment];
    int64_t count = by->offsets[segment + 1] - by->offsets[segment];
    int32_t *ids = segment_ints(pass, count);
    mtli_real *dx = ids ? mtli_lstm_scratch(pass, count, layer->input) : NULL;
    if (!dx) {
        return mtli_call_context(layer->call)->status;
    }
    mtli_segment_gather(count, tokens, layer->input, pass->args[pass->direction].dx, dx);
    for (int64_t i = 0; i < count; i++) {
        ids[i] = layer->direction[pass->direction].token[tokens[i]];
    }
    return mtli_gradient_rows(layer->call, sweep, MTLI_LSTM_TABLE, ids, count, dx);
}

static bool take_segments(segment_pass *job)
{
    const mtli_lstm_pass *pass = job->pass;
    size_t count = (size_t)job->segments->count;
    int32_t *of_sequence = sequence_segments(job);
    job->weights = mtli_tape_scratch(pass->layer->call, count, sizeof job->weights[0]);
    job->input_weights = mtli_tape_scratch(pass->layer->call, count, sizeof job->input_weights[0]);
    job->db = mtli_lstm_memory(pass, (int64_t)count, 4 * pass->layer->hidden);
    return of_sequence && job->weights && job->input_weights && job->db && sort_tokens(job, of_sequence) &&
           (!segments_are_distinct(job) || make_pairs(job));
}

static mtl_status finish_segment(segment_pass *job, mtli_sweep *sweep, int32_t segment)
{
    const mtli_lstm_pass *pass = job->pass;
    if (job->weights[segment].token_count == 0) {
        return MTL_OK;
    }
    const mtli_real *db = job->db + segment * 4 * pass->layer->hidden;
    mtli_sweep_select(sweep, segment);
    mtli_lstm_add_bias(pass, sweep, MTLI_LSTM_BIAS_IH, db);
    mtli_lstm_add_bias(pass, sweep, MTLI_LSTM_BIAS_HH, db);
    bool table = pass->input_wanted && mtli_lstm_reads_tokens(pass->layer);
    return table ? add_segment_table(job, sweep, segment) : MTL_OK;
}

static void keep_direction(const segment_pass *job)
{
    const mtli_lstm_pass *pass = job->pass;
    if (pass->kept) {
        pass->kept[pass->direction] = (mtli_lstm_kept){.dgates = pass->args[pass->direction].dgates,
                                                       .offsets = job->by.offsets,
                                                       .db = job->db,
                                                       .pair_offsets = job->by.pair_offsets,
                                                       .distinct = job->by.distinct,
                                                       .sums = job->by.sums};
    }
}

mtl_status mtli_lstm_finish_segments(mtli_lstm_pass *pass, mtli_sweep *sweep, int32_t direction)
{
    mtl_context *context = mtli_call_context(pass->layer->call);
    segment_pass job = {.pass = pass, .segments = mtli_sweep_segments(sweep)};
    pass->direction = direction;
    pass->weight_pieces = mtli_lstm_weight_pieces(pass->layer);
    if (!take_segments(&job)) {
        return context->status;
    }
    keep_direction(&job);
    if (job.by.offsets[job.segments->count] == 0) {
        return MTL_OK; /* no token is anybody's */
    }
    int64_t pair_shape[] = {0, job.by.num_pairs};
    for (int32_t t = 0; t < job.segments->count; t++) {
        job.weights[t].token_count = job.by.offsets[t + 1] - job.by.offsets[t];
        if (job.weights[t].token_count > 0) {
            fill_segment(&job, sweep, t, pair_shape);
        }
    }
    mtli_parallel_for(context, pass->weight_pieces, segment_weight_piece, &job);
    if (segments_are_distinct(&job) && pass->input_wanted) {
        int32_t pieces = (int32_t)((job.by.num_pairs + MTLI_LSTM_GRADIENT_ROWS - 1) / MTLI_LSTM_GRADIENT_ROWS);
        mtli_parallel_for(context, pieces, pair_gradient_piece, &job);
    }
    mtl_status status = MTL_OK;
    for (int32_t t = 0; t < job.segments->count && status == MTL_OK; t++) {
        status = finish_segment(&job, sweep, t);
    }
    return status;
}
