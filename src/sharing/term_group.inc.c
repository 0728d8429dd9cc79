/* SPDX-License-Identifier: Apache-2.0
 * Sums over groups of elements: of Euclidean norms, of largest absolute values. Included by term.c and term_double.c.
 *
 * A group is a position of parallel lines (MTL_GROUP_COORDINATE: the tasks' tensors; MTL_GROUP_COLUMN: the rows of all
 * of them), or it consists of whole runs of elements (MTL_GROUP_ROW: a row in each task; MTL_GROUP_TASK: a tensor). */

typedef struct group_pass {
    const term_stack *stack;
    const mtli_term *term;
    bool largest; /* LINF1, else L21 */
    double scale; /* of the gradient, or tau */
    term_scalar *const *g;
} group_pass;

static term_scalar magnitude(term_scalar x)
{
    return x < 0 ? -x : x;
}

static bool is_lines(const mtli_term *term)
{
    return term->options.group == MTL_GROUP_COORDINATE || term->options.group == MTL_GROUP_COLUMN;
}

static bool group_by_rows(const mtli_term *term)
{
    return term->options.group == MTL_GROUP_COORDINATE || term->options.group == MTL_GROUP_ROW;
}

/* ---- lines: blocks of positions ---- */

static int64_t num_lines(const group_pass *pass)
{
    return pass->term->options.group == MTL_GROUP_COLUMN ? pass->stack->count * pass->stack->rows : pass->stack->count;
}

static int64_t line_length(const mtli_term *term, const term_stack *stack)
{
    return term->options.group == MTL_GROUP_COLUMN ? stack->columns : stack->size;
}

static term_scalar *line_of(const group_pass *pass, term_scalar *const *arrays, int64_t line)
{
    const term_stack *stack = pass->stack;
    return pass->term->options.group == MTL_GROUP_COLUMN
               ? arrays[line / stack->rows] + line % stack->rows * stack->columns
               : arrays[line];
}

static void raise_to_magnitudes(int64_t n, const term_scalar *restrict w, term_scalar *restrict most)
{
    for (int64_t i = 0; i < n; i++) {
        term_scalar x = magnitude(w[i]);
        most[i] = x > most[i] ? x : most[i];
    }
}

static void add_squares(int64_t n, const term_scalar *restrict w, double *restrict sum)
{
    for (int64_t i = 0; i < n; i++) {
        sum[i] += (double)w[i] * (double)w[i];
    }
}

/* The largest magnitudes of the groups at begin + i. */
static void largest_of_lines(const group_pass *pass, int64_t begin, int64_t n, term_scalar *most)
{
    memset(most, 0, (size_t)n * sizeof *most);
    for (int64_t l = 0; l < num_lines(pass); l++) {
        raise_to_magnitudes(n, line_of(pass, pass->stack->w, l) + begin, most);
    }
}

/* Their norms. */
static void norms_of_lines(const group_pass *pass, int64_t begin, int64_t n, double *norm)
{
    memset(norm, 0, (size_t)n * sizeof *norm);
    for (int64_t l = 0; l < num_lines(pass); l++) {
        add_squares(n, line_of(pass, pass->stack->w, l) + begin, norm);
    }
    for (int64_t i = 0; i < n; i++) {
        norm[i] = sqrt(norm[i]);
    }
}

static double value_lines(const void *argument, int64_t begin, int64_t end)
{
    const group_pass *pass = argument;
    term_scalar most[TERM_BLOCK];
    double norm[TERM_BLOCK], total = 0;
    for (int64_t at = begin; at < end; at += TERM_BLOCK) {
        int64_t n = end - at < TERM_BLOCK ? end - at : TERM_BLOCK;
        if (!pass->largest) {
            norms_of_lines(pass, at, n, norm);
            total += sum_of(n, norm);
            continue;
        }
        largest_of_lines(pass, at, n, most);
        for (int64_t i = 0; i < n; i++) {
            total += (double)most[i];
        }
    }
    return total;
}

static void count_ties(int64_t n, const term_scalar *restrict w, const term_scalar *restrict most,
                       term_scalar *restrict ties)
{
    for (int64_t i = 0; i < n; i++) {
        ties[i] += (term_scalar)(magnitude(w[i]) == most[i]);
    }
}

/* g[i] += factor[i] * sign of w[i], where |w[i]| is the largest. */
static void add_ties(int64_t n, const term_scalar *restrict w, const term_scalar *restrict most,
                     const term_scalar *restrict factor, term_scalar *restrict g)
{
    for (int64_t i = 0; i < n; i++) {
        g[i] += factor[i] * ((term_scalar)(w[i] == most[i]) - (term_scalar)(w[i] == -most[i]));
    }
}

/* Elements that are equally large share the slope. Where all are 0 they would be ties of either sign: 0 - 0. */
static void largest_gradient_block(const group_pass *pass, int64_t at, int64_t n)
{
    term_scalar most[TERM_BLOCK], factor[TERM_BLOCK] = {0};
    largest_of_lines(pass, at, n, most);
    for (int64_t l = 0; l < num_lines(pass); l++) {
        count_ties(n, line_of(pass, pass->stack->w, l) + at, most, factor);
    }
    for (int64_t i = 0; i < n; i++) {
        factor[i] = to_scalar(pass->scale / (double)factor[i]);
    }
    for (int64_t l = 0; l < num_lines(pass); l++) {
        add_ties(n, line_of(pass, pass->stack->w, l) + at, most, factor, line_of(pass, pass->g, l) + at);
    }
}

static void add_products(int64_t n, const term_scalar *restrict w, const double *restrict factor,
                         term_scalar *restrict g)
{
    for (int64_t i = 0; i < n; i++) {
        g[i] += (term_scalar)(factor[i] * (double)w[i]);
    }
}

static void norm_gradient_block(const group_pass *pass, int64_t at, int64_t n)
{
    double factor[TERM_BLOCK];
    norms_of_lines(pass, at, n, factor);
    for (int64_t i = 0; i < n; i++) {
        factor[i] = factor[i] > 0 ? pass->scale / factor[i] : 0;
    }
    for (int64_t l = 0; l < num_lines(pass); l++) {
        add_products(n, line_of(pass, pass->stack->w, l) + at, factor, line_of(pass, pass->g, l) + at);
    }
}

static double gradient_lines(const void *argument, int64_t begin, int64_t end)
{
    const group_pass *pass = argument;
    for (int64_t at = begin; at < end; at += TERM_BLOCK) {
        int64_t n = end - at < TERM_BLOCK ? end - at : TERM_BLOCK;
        if (pass->largest) {
            largest_gradient_block(pass, at, n);
        } else {
            norm_gradient_block(pass, at, n);
        }
    }
    return 0;
}

static void add_above(int64_t n, const term_scalar *restrict w, const double *restrict level, double *restrict sum,
                      double *restrict many)
{
    for (int64_t i = 0; i < n; i++) {
        double x = (double)magnitude(w[i]);
        double above = x > level[i] ? 1 : 0;
        sum[i] += above * x;
        many[i] += above;
    }
}

/* The levels of clipping, by the rounds of Michelot (1986) for all positions of a block at once: level ←
 * (Σ_{|w|>level} |w| - tau) / their number, until no number changes. The level begins below its limit, for what is
 * clipped of the largest alone is at most tau; it grows and the numbers fall, so this ends, exactly. */
static void clip_levels(const group_pass *pass, int64_t begin, int64_t n, double *restrict level)
{
    double sum[TERM_BLOCK], many[TERM_BLOCK], before[TERM_BLOCK];
    term_scalar most[TERM_BLOCK];
    bool changed = true;
    largest_of_lines(pass, begin, n, most);
    for (int64_t i = 0; i < n; i++) {
        level[i] = (double)most[i] > pass->scale ? (double)most[i] - pass->scale : 0;
        before[i] = -1;
    }
    while (changed) {
        memset(sum, 0, sizeof sum);
        memset(many, 0, sizeof many);
        for (int64_t l = 0; l < num_lines(pass); l++) {
            add_above(n, line_of(pass, pass->stack->w, l) + begin, level, sum, many);
        }
        changed = false;
        for (int64_t i = 0; i < n; i++) {
            changed = changed || many[i] != before[i];
            before[i] = many[i];
            double next = many[i] > 0 ? (sum[i] - pass->scale) / many[i] : 0;
            level[i] = next > level[i] ? next : level[i];
        }
    }
}

static void clip_line(int64_t n, const double *restrict level, term_scalar *restrict w)
{
    for (int64_t i = 0; i < n; i++) {
        term_scalar most = (term_scalar)level[i];
        w[i] = w[i] > most ? most : w[i] < -most ? -most : w[i];
    }
}

static void scale_line(int64_t n, const double *restrict factor, term_scalar *restrict w)
{
    for (int64_t i = 0; i < n; i++) {
        w[i] = (term_scalar)((double)w[i] * factor[i]);
    }
}

static double proximal_lines(const void *argument, int64_t begin, int64_t end)
{
    const group_pass *pass = argument;
    double measure[TERM_BLOCK];
    for (int64_t at = begin; at < end; at += TERM_BLOCK) {
        int64_t n = end - at < TERM_BLOCK ? end - at : TERM_BLOCK;
        if (pass->largest) {
            clip_levels(pass, at, n, measure);
        } else {
            norms_of_lines(pass, at, n, measure);
            for (int64_t i = 0; i < n; i++) {
                measure[i] = measure[i] > pass->scale ? 1 - pass->scale / measure[i] : 0;
            }
        }
        for (int64_t l = 0; l < num_lines(pass); l++) {
            (pass->largest ? clip_line : scale_line)(n, measure, line_of(pass, pass->stack->w, l) + at);
        }
    }
    return 0;
}

/* ---- runs: groups one by one ---- */

static int64_t num_run_groups(const mtli_term *term, const term_stack *stack)
{
    return term->options.group == MTL_GROUP_TASK ? stack->count : stack->rows;
}

static int64_t runs_per_group(const group_pass *pass)
{
    return pass->term->options.group == MTL_GROUP_TASK ? 1 : pass->stack->count;
}

static int64_t run_length(const group_pass *pass)
{
    return pass->term->options.group == MTL_GROUP_TASK ? pass->stack->size : pass->stack->columns;
}

static term_scalar *run_of(const group_pass *pass, term_scalar *const *arrays, int64_t group, int64_t run)
{
    return pass->term->options.group == MTL_GROUP_TASK ? arrays[group] : arrays[run] + group * pass->stack->columns;
}

enum { RUN_LANES = 32 }; /* so many that compilers leave the loop over them a loop, and vectorize it */

static term_scalar largest_of_group(const group_pass *pass, int64_t group)
{
    term_scalar lane[RUN_LANES] = {0};
    for (int64_t r = 0; r < runs_per_group(pass); r++) {
        const term_scalar *w = run_of(pass, pass->stack->w, group, r);
        int64_t i = 0, n = run_length(pass);
        for (; i + RUN_LANES <= n; i += RUN_LANES) {
            raise_to_magnitudes(RUN_LANES, w + i, lane);
        }
        raise_to_magnitudes(n - i, w + i, lane);
    }
    for (int k = 1; k < RUN_LANES; k++) {
        lane[0] = lane[k] > lane[0] ? lane[k] : lane[0];
    }
    return lane[0];
}

/* The norm of a group, or its largest magnitude. */
static double measure_group(const group_pass *pass, int64_t group)
{
    double square = 0;
    if (pass->largest) {
        return (double)largest_of_group(pass, group);
    }
    for (int64_t r = 0; r < runs_per_group(pass); r++) {
        const term_scalar *w = run_of(pass, pass->stack->w, group, r);
        square += dot_lanes(run_length(pass), w, w);
    }
    return sqrt(square);
}

static double value_runs(const void *argument, int64_t begin, int64_t end)
{
    double total = 0;
    for (int64_t group = begin; group < end; group++) {
        total += measure_group(argument, group);
    }
    return total;
}

/* Sum and number of the magnitudes above the level. */
static double sum_above(const group_pass *pass, int64_t group, double level, double *many)
{
    double levels[RUN_LANES], sums[RUN_LANES] = {0}, numbers[RUN_LANES] = {0};
    for (int k = 0; k < RUN_LANES; k++) {
        levels[k] = level;
    }
    for (int64_t r = 0; r < runs_per_group(pass); r++) {
        const term_scalar *w = run_of(pass, pass->stack->w, group, r);
        int64_t i = 0, n = run_length(pass);
        for (; i + RUN_LANES <= n; i += RUN_LANES) {
            add_above(RUN_LANES, w + i, levels, sums, numbers);
        }
        add_above(n - i, w + i, levels, sums, numbers);
    }
    *many = sum_of(RUN_LANES, numbers);
    return sum_of(RUN_LANES, sums);
}

static int32_t ties_of_block(int32_t n, term_scalar most, const term_scalar *w)
{
    int32_t ties = 0;
    for (int32_t i = 0; i < n; i++) {
        ties += (w[i] == most) + (w[i] == -most);
    }
    return ties;
}

/* The elements of magnitude `most`, which is not 0. */
static double ties_of_group(const group_pass *pass, int64_t group, term_scalar most)
{
    double ties = 0;
    int64_t n = run_length(pass);
    for (int64_t r = 0; r < runs_per_group(pass); r++) {
        const term_scalar *w = run_of(pass, pass->stack->w, group, r);
        for (int64_t i = 0; i < n; i += TERM_CHUNK) {
            ties += ties_of_block((int32_t)(n - i < TERM_CHUNK ? n - i : TERM_CHUNK), most, w + i);
        }
    }
    return ties;
}

static void add_run(int64_t n, double factor, const term_scalar *restrict w, term_scalar *restrict g)
{
    for (int64_t i = 0; i < n; i++) {
        g[i] += (term_scalar)(factor * (double)w[i]);
    }
}

static void add_run_ties(int64_t n, term_scalar most, term_scalar factor, const term_scalar *restrict w,
                         term_scalar *restrict g)
{
    for (int64_t i = 0; i < n; i++) {
        g[i] += factor * ((term_scalar)(w[i] == most) - (term_scalar)(w[i] == -most));
    }
}

static double gradient_runs(const void *argument, int64_t begin, int64_t end)
{
    const group_pass *pass = argument;
    int64_t n = run_length(pass);
    for (int64_t group = begin; group < end; group++) {
        double measure = measure_group(pass, group);
        term_scalar most = (term_scalar)measure; /* exact where it is used */
        double slope = pass->scale / (pass->largest ? ties_of_group(pass, group, most) : measure);
        for (int64_t r = 0; r < runs_per_group(pass) && measure > 0; r++) {
            const term_scalar *w = run_of(pass, pass->stack->w, group, r);
            term_scalar *g = run_of(pass, pass->g, group, r);
            if (pass->largest) {
                add_run_ties(n, most, to_scalar(slope), w, g);
            } else {
                add_run(n, slope, w, g);
            }
        }
    }
    return 0;
}

/* As clip_levels(), for one group. */
static double clip_level(const group_pass *pass, int64_t group)
{
    double most = measure_group(pass, group), before = -1, many = 0;
    double level = most > pass->scale ? most - pass->scale : 0;
    for (;;) {
        double sum = sum_above(pass, group, level, &many);
        if (many == before || many == 0) {
            return level;
        }
        double next = (sum - pass->scale) / many;
        level = next > level ? next : level;
        before = many;
    }
}

static void clip_run(int64_t n, term_scalar level, term_scalar *restrict w)
{
    for (int64_t i = 0; i < n; i++) {
        w[i] = w[i] > level ? level : w[i] < -level ? -level : w[i];
    }
}

static void scale_run(int64_t n, double factor, term_scalar *restrict w)
{
    for (int64_t i = 0; i < n; i++) {
        w[i] = (term_scalar)((double)w[i] * factor);
    }
}

static double proximal_runs(const void *argument, int64_t begin, int64_t end)
{
    const group_pass *pass = argument;
    int64_t n = run_length(pass);
    for (int64_t group = begin; group < end; group++) {
        double measure = pass->largest ? clip_level(pass, group) : measure_group(pass, group);
        double factor = measure > pass->scale ? 1 - pass->scale / measure : 0;
        for (int64_t r = 0; r < runs_per_group(pass); r++) {
            term_scalar *w = run_of(pass, pass->stack->w, group, r);
            if (pass->largest) {
                clip_run(n, (term_scalar)measure, w);
            } else {
                scale_run(n, factor, w);
            }
        }
    }
    return 0;
}

/* ---- the kinds ---- */

static size_t sums_work_size(mtl_context *context, const mtli_term *term, const term_stack *stack)
{
    (void)context;
    (void)term;
    return sums_bytes(stack);
}

static double for_groups(mtl_context *context, const group_pass *pass, term_body lines, term_body runs, double *sums)
{
    const term_stack *stack = pass->stack;
    int64_t elements = stack->size * stack->count;
    bool by_line = is_lines(pass->term);
    int64_t groups = by_line ? line_length(pass->term, stack) : num_run_groups(pass->term, stack);
    return for_items(context, groups, groups > 0 ? elements / groups : 1, by_line ? lines : runs, pass, sums);
}

static bool group_value(mtl_context *context, group_pass *pass, double *value, void *work)
{
    if (!stack_is_finite(context, pass->stack, work)) {
        return false;
    }
    double sum = for_groups(context, pass, value_lines, value_runs, work);
    if (isfinite(sum)) {
        *value = sum;
    }
    return isfinite(sum);
}

static bool group_gradient(mtl_context *context, group_pass *pass, double *value, void *work)
{
    double sum = 0;
    if (!group_value(context, pass, &sum, work)) {
        return false;
    }
    *value = sum;
    for_groups(context, pass, gradient_lines, gradient_runs, NULL);
    return true;
}

static bool group_proximal(mtl_context *context, group_pass *pass, void *work)
{
    if (pass->scale == 0) {
        return true;
    }
    if (!stack_is_finite(context, pass->stack, work)) {
        return false;
    }
    for_groups(context, pass, proximal_lines, proximal_runs, NULL);
    return true;
}

static bool l21_value(mtl_context *context, const mtli_term *term, const term_stack *stack, double *value, void *work)
{
    group_pass pass = {stack, term, false, 0, NULL};
    return group_value(context, &pass, value, work);
}

static bool l21_gradient(mtl_context *context, const mtli_term *term, const term_stack *stack, double scale,
                         term_scalar *const *g, double *value, void *work)
{
    group_pass pass = {stack, term, false, scale, g};
    return group_gradient(context, &pass, value, work);
}

static bool l21_proximal(mtl_context *context, const mtli_term *term, const term_stack *stack, double tau, void *work)
{
    group_pass pass = {stack, term, false, tau, NULL};
    return group_proximal(context, &pass, work);
}

static bool linf1_value(mtl_context *context, const mtli_term *term, const term_stack *stack, double *value, void *work)
{
    group_pass pass = {stack, term, true, 0, NULL};
    return group_value(context, &pass, value, work);
}

static bool linf1_gradient(mtl_context *context, const mtli_term *term, const term_stack *stack, double scale,
                           term_scalar *const *g, double *value, void *work)
{
    group_pass pass = {stack, term, true, scale, g};
    return group_gradient(context, &pass, value, work);
}

static bool linf1_proximal(mtl_context *context, const mtli_term *term, const term_stack *stack, double tau, void *work)
{
    group_pass pass = {stack, term, true, tau, NULL};
    return group_proximal(context, &pass, work);
}

static const term_ops l21_kind = {
    .name = "MTL_PENALTY_L21",
    .by_rows = group_by_rows,
    .has_proximal = always_has_proximal,
    .work_size = sums_work_size,
    .value = l21_value,
    .gradient = l21_gradient,
    .proximal = l21_proximal,
};

static const term_ops linf1_kind = {
    .name = "MTL_PENALTY_LINF1",
    .by_rows = group_by_rows,
    .has_proximal = always_has_proximal,
    .work_size = sums_work_size,
    .value = linf1_value,
    .gradient = linf1_gradient,
    .proximal = linf1_proximal,
};
