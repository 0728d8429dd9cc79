/* SPDX-License-Identifier: Apache-2.0 */
/** @file balance.h
 *  @brief Balancing: how much each task's loss counts in a step, and how gradients that disagree are put together.
 *
 *  A balancer is created with a method and given to an objective by mtl_objective_set_balancer(): from then on the
 *  objective's backward pass asks it. With λ_t the task's weight in the objective, L_t is λ_t times the loss in
 *  everything below, and g_t its gradient with respect to what the tasks share: the encoders that were named with
 *  mtl_objective_share_encoder(), or all encoders of the model when none was named. A task that is absent from a step
 *  (or has λ_t = 0) is left out of it; what the method remembers about it stays.
 *
 *  | method | name | needs | weights or direction | source |
 *  |---|---|---|---|---|
 *  | MTL_BALANCE_EQUAL | equal | losses | w = 1 | |
 *  | MTL_BALANCE_FIXED | fixed | losses | w = preference | |
 *  | MTL_BALANCE_RANDOM | random | losses | w = softmax(N(0, I)) | Lin et al., TMLR 2022 (RLW) |
 *  | MTL_BALANCE_UNCERTAINTY | uncertainty | losses | Σ e^-s L (/2) + s/2, s trained | Kendall et al., CVPR 2018 |
 *  | MTL_BALANCE_DWA | dwa | losses, epochs | T softmax((L(e-1)/L(e-2))/τ) | Liu et al., CVPR 2019 |
 *  | MTL_BALANCE_GEOMETRIC | gls | losses | (Π L)^(1/T) | Chennupati et al., CVPR-W 2019 |
 *  | MTL_BALANCE_SCALE_INVARIANT | si | losses | Σ log L | Navon et al., ICML 2022 |
 *  | MTL_BALANCE_IMTL_L | imtl-l | losses | Σ e^s L - s, s trained | Liu et al., ICLR 2021 |
 *  | MTL_BALANCE_TCHEBYCHEFF | stch | losses | smooth maximum | Lin et al., ICML 2024 |
 *  | MTL_BALANCE_FAMO | famo | losses, second evaluation | equal decrease of log L | Liu et al., NeurIPS 2023 |
 *  | MTL_BALANCE_BOUNDARY | pbi | losses | d1 + θ d2 | Zhang & Li, IEEE TEVC 2007 |
 *  | MTL_BALANCE_COSMOS | cosmos | losses | Σ a L - λ cos(a, L) | Ruchte & Grabocka, ICDM 2021 |
 *  | MTL_BALANCE_PRIORITIZATION | dtp | losses, measure | -(1-κ)^γ log κ | Guo et al., ECCV 2018 |
 *  | MTL_BALANCE_GRADNORM | gradnorm | Gram | w = T softmax(s), s trained on ‖w g‖ | Chen et al., ICML 2018 |
 *  | MTL_BALANCE_MGDA | mgda | Gram | min over the simplex of ‖Σ w g‖ | Désidéri 2012; Sener & Koltun, NeurIPS 2018 |
 *  | MTL_BALANCE_PCGRAD | pcgrad | Gram | conflicting components taken out | Yu et al., NeurIPS 2020 |
 *  | MTL_BALANCE_GRADVAC | gradvac | Gram | cosines raised to their average | Wang et al., ICLR 2021 |
 *  | MTL_BALANCE_CAGRAD | cagrad | Gram | best worst task near the mean | Liu et al., NeurIPS 2021 |
 *  | MTL_BALANCE_IMTL_G | imtl-g | Gram | equal projections on all g/‖g‖ | Liu et al., ICLR 2021 |
 *  | MTL_BALANCE_IMTL | imtl | Gram | imtl-l and imtl-g | Liu et al., ICLR 2021 |
 *  | MTL_BALANCE_NASH | nash | Gram | G w = 1/w | Navon et al., ICML 2022 |
 *  | MTL_BALANCE_FAIRGRAD | fairgrad | Gram | G w = w^(-1/α) | Ban & Ji, ICML 2024 |
 *  | MTL_BALANCE_ALIGNED | aligned | Gram | σ V Λ^(-1/2) Vᵀ u | Senushkin et al., CVPR 2023 |
 *  | MTL_BALANCE_UPGRAD | upgrad | Gram | sum of projections on the dual cone | Quinton & Rey, arXiv 2406.16232 |
 *  | MTL_BALANCE_DUAL_PROJECTION | dualproj | Gram | projection on the dual cone | Lopez-Paz & Ranzato, NeurIPS 2017 |
 *  | MTL_BALANCE_CONFIG | config | Gram | equal cosines, length Σ<g, x> | Liu, Chu & Thuerey, arXiv 2408.11104 |
 *  | MTL_BALANCE_KRUM | krum | Gram | mean of the gradients nearest to others | Blanchard et al., NeurIPS 2017 |
 *  | MTL_BALANCE_SDMGRAD | sdmgrad | Gram, 3 draws | descent on the simplex | Xiao, Ban & Ji, NeurIPS 2023 |
 *  | MTL_BALANCE_MODO | modo | Gram, 3 draws | λ ← Π(λ - γ (J₁ J₂ᵀ λ + ρ λ)) | Chen et al., NeurIPS 2023 |
 *  | MTL_BALANCE_MOCO | moco | Gram, T×P state | λ ← softmax(λ - γ Y Yᵀ λ), Y tracked | Fernando et al., ICLR 2023 |
 *  | MTL_BALANCE_DB_MTL | db-mtl | T×P state | tracked ∇ log L, equal lengths | Lin et al., arXiv 2308.12029 |
 *  | MTL_BALANCE_EXCESS_MTL | excess-mtl | T×P state | w ← w exp(η excess) | He et al., ICML 2024 |
 *  | MTL_BALANCE_TRIMMED_MEAN | trimmed-mean | coordinates | mean without the extremes | Yin et al., ICML 2018 |
 *  | MTL_BALANCE_GRADDROP | graddrop | coordinates | one sign at random | Chen et al., NeurIPS 2020 |
 *  | MTL_BALANCE_AUTO_LAMBDA | auto-lambda | validation | weights that help validation | Liu et al., TMLR 2022 |
 *  | MTL_BALANCE_MOML | moml | validation | MGDA over validation losses | Ye et al., NeurIPS 2021 |
 *  | MTL_BALANCE_FORUM | forum | validation | first-order bilevel | Ye et al., ECAI 2024 |
 *  | MTL_BALANCE_CUSTOM | custom | losses or Gram | the host's function | |
 *
 *  Guarantees, costs and what each remembers: docs/balancing.md.
 *
 *  **What is needed** (mtl_balance_method_needs()) decides the work of a step. Losses: nothing beside the ordinary pass.
 *  Gram matrix G = J Jᵀ of the task gradients, in double: where tasks label disjoint rows, one sweep yields all task
 *  gradients; else there is one sweep for each task. Methods with several draws, a second evaluation or validation rows
 *  work through mtl_objective_step(); mtl_objective_backward() is MTL_ERROR_UNSUPPORTED for them.
 *
 *  **Draws** of mtl_objective_step(). Methods with 3 draws: rows 0 and 1 decide the weights, rows 2 give the gradient; so each
 *  should be a batch of its own. Validation: draw 0 are training rows, draw 1 validation rows.
 *
 *  **One task.** The direction is then its gradient, for every method, times a factor that is not 1 for all: cagrad has
 *  (1 + c)/(1 + c²), nash and fairgrad a length of their own, uncertainty e^-s/2.
 *
 *  **Random numbers.** Each balancer has a stream of its own, by its context's seed and the order of creation.
 *
 *  **Threads.** As the context.
 */
#ifndef MTL_BALANCE_H
#define MTL_BALANCE_H

#include <stddef.h>
#include <stdint.h>

#include <mtl/context.h>

MTL_BEGIN_DECLS

/** A balancer: a method, its options, and what it remembers. */
typedef struct mtl_balancer mtl_balancer;

/** The methods of the table above. */
enum {
    MTL_BALANCE_EQUAL = 0,            /**< equal */
    MTL_BALANCE_FIXED = 1,            /**< fixed */
    MTL_BALANCE_RANDOM = 2,           /**< random */
    MTL_BALANCE_UNCERTAINTY = 3,      /**< uncertainty */
    MTL_BALANCE_DWA = 4,              /**< dwa */
    MTL_BALANCE_GEOMETRIC = 5,        /**< gls */
    MTL_BALANCE_SCALE_INVARIANT = 6,  /**< si */
    MTL_BALANCE_IMTL_L = 7,           /**< imtl-l */
    MTL_BALANCE_TCHEBYCHEFF = 8,      /**< stch */
    MTL_BALANCE_FAMO = 9,             /**< famo */
    MTL_BALANCE_BOUNDARY = 10,        /**< pbi */
    MTL_BALANCE_COSMOS = 11,          /**< cosmos */
    MTL_BALANCE_PRIORITIZATION = 12,  /**< dtp */
    MTL_BALANCE_GRADNORM = 13,        /**< gradnorm */
    MTL_BALANCE_MGDA = 14,            /**< mgda */
    MTL_BALANCE_PCGRAD = 15,          /**< pcgrad */
    MTL_BALANCE_GRADVAC = 16,         /**< gradvac */
    MTL_BALANCE_CAGRAD = 17,          /**< cagrad */
    MTL_BALANCE_IMTL_G = 18,          /**< imtl-g */
    MTL_BALANCE_IMTL = 19,            /**< imtl */
    MTL_BALANCE_NASH = 20,            /**< nash */
    MTL_BALANCE_FAIRGRAD = 21,        /**< fairgrad */
    MTL_BALANCE_ALIGNED = 22,         /**< aligned */
    MTL_BALANCE_UPGRAD = 23,          /**< upgrad */
    MTL_BALANCE_DUAL_PROJECTION = 24, /**< dualproj */
    MTL_BALANCE_CONFIG = 25,          /**< config */
    MTL_BALANCE_KRUM = 26,            /**< krum */
    MTL_BALANCE_SDMGRAD = 27,         /**< sdmgrad */
    MTL_BALANCE_MODO = 28,            /**< modo */
    MTL_BALANCE_MOCO = 29,            /**< moco */
    MTL_BALANCE_DB_MTL = 30,          /**< db-mtl */
    MTL_BALANCE_EXCESS_MTL = 31,      /**< excess-mtl */
    MTL_BALANCE_TRIMMED_MEAN = 32,    /**< trimmed-mean */
    MTL_BALANCE_GRADDROP = 33,        /**< graddrop */
    MTL_BALANCE_AUTO_LAMBDA = 34,     /**< auto-lambda */
    MTL_BALANCE_MOML = 35,            /**< moml */
    MTL_BALANCE_FORUM = 36,           /**< forum */
    MTL_BALANCE_CUSTOM = 37           /**< custom: `decide` */
};

/** What a method needs: flags of mtl_balance_method_needs(). */
enum {
    MTL_BALANCE_NEEDS_GRAM = 1,              /**< the Gram matrix of the task gradients */
    MTL_BALANCE_NEEDS_COORDINATES = 2,       /**< the task gradients themselves, all kept */
    MTL_BALANCE_NEEDS_STATE = 4,             /**< T×P numbers that are remembered, P the shared parameters */
    MTL_BALANCE_NEEDS_SECOND_EVALUATION = 8, /**< the losses of the same rows after the update: mtl_objective_step() */
    MTL_BALANCE_NEEDS_DRAWS = 16,            /**< three draws of rows: mtl_objective_step() */
    MTL_BALANCE_NEEDS_VALIDATION = 32,       /**< validation rows: mtl_objective_step() */
    MTL_BALANCE_NEEDS_EPOCHS = 64,           /**< mtl_balancer_next_epoch(), or `epoch_steps` */
    MTL_BALANCE_NEEDS_MEASURE = 128          /**< mtl_balancer_set_measure() */
};

/** What weights act on. */
enum {
    MTL_BALANCE_SCOPE_DEFAULT = 0, /**< as published: methods that need losses only, fairgrad, nash and excess-mtl weight
                                        everything, the others what is shared */
    MTL_BALANCE_SCOPE_ALL = 1,     /**< the shared parameters and the tasks' own (heads): a weighted loss */
    MTL_BALANCE_SCOPE_SHARED = 2   /**< the shared parameters; a task's own follow its L_t (db-mtl: log L_t; imtl:
                                        e^s L_t) */
};

/** The scale of the weights. */
enum {
    MTL_BALANCE_REDUCE_DEFAULT = 0, /**< as published, see docs/balancing.md */
    MTL_BALANCE_REDUCE_SUM = 1,     /**< as of a sum of losses: T times the mean */
    MTL_BALANCE_REDUCE_MEAN = 2     /**< as of a mean of losses */
};

/** Which gradients meet in G. */
enum {
    MTL_BALANCE_OF_PARAMETERS = 0,        /**< with respect to the shared parameters */
    MTL_BALANCE_OF_REPRESENTATION = 1,    /**< with respect to what the shared encoders return, over rows and features
                                               (Sener & Koltun 2018: MGDA-UB). One sweep through the encoders. Tasks that label
                                               disjoint rows have no inner products there */
    MTL_BALANCE_OF_REPRESENTATION_SUM = 2 /**< that, summed over rows first (LibMTL) */
};

/** Forms of methods that have several. */
enum {
    MTL_BALANCE_FORM_DEFAULT = 0,        /**< the first one of the method below */
    MTL_BALANCE_FORM_HALF = 1,           /**< uncertainty: Σ e^-s L / 2 + s / 2, of regression */
    MTL_BALANCE_FORM_FULL = 2,           /**< uncertainty: Σ e^-s L + s / 2, of classification */
    MTL_BALANCE_FORM_LINEAR = 3,         /**< stch: μ log Σ exp(a (L - z) / μ), a = preference, z = reference */
    MTL_BALANCE_FORM_LOGARITHM = 4,      /**< stch: T μ log Σ exp((log(L / nadir) - max) / μ), nadir the mean losses of the
                                              warm-up (before its end Σ log L), as in LibMTL */
    MTL_BALANCE_FORM_RESCALE_SQUARE = 5, /**< cagrad: d / (1 + c²) */
    MTL_BALANCE_FORM_RESCALE_NONE = 6,   /**< cagrad: d */
    MTL_BALANCE_FORM_RESCALE_LINEAR = 7, /**< cagrad: d / (1 + c) */
    MTL_BALANCE_FORM_MINIMUM = 8,        /**< aligned: σ² the least eigenvalue */
    MTL_BALANCE_FORM_MEDIAN = 9,         /**< aligned: the median */
    MTL_BALANCE_FORM_RMSE = 10,          /**< aligned: root mean square of the singular values */
    MTL_BALANCE_FORM_PLAIN = 11,         /**< mgda: the gradients as they are */
    MTL_BALANCE_FORM_UNIT = 12,          /**< mgda: of unit length (Sener & Koltun: l2) */
    MTL_BALANCE_FORM_LOSS = 13,          /**< mgda: divided by their losses */
    MTL_BALANCE_FORM_LOSS_UNIT = 14      /**< mgda: both (loss+) */
};

/** How a decision ended. */
enum {
    MTL_BALANCE_OK = 0,           /**< the weights are the method's to rounding */
    MTL_BALANCE_STATIONARY = 1,   /**< a convex combination of the gradients is 0 to rounding and the method has no
                                       direction there: the weights are those said in docs/balancing.md */
    MTL_BALANCE_NOT_CONVERGED = 2 /**< the iteration limit was reached: `residual` says how good the weights are */
};

/** A host's own rule (MTL_BALANCE_CUSTOM).
 *
 *  @param[in]  user     `user` of the options
 *  @param[in]  count    tasks that are present
 *  @param[in]  tasks    [count] their numbers, ascending
 *  @param[in]  losses   [count] L_t
 *  @param[in]  gram     [count, count] G; NULL without MTL_BALANCE_NEEDS_GRAM
 *  @param[out] weights  [count]; must be finite
 *  @return MTL_OK, or a status that ends the step
 */
typedef mtl_status (*mtl_balance_decide_fn)(void *user, int32_t count, const int32_t *tasks, const double *losses,
                                            const double *gram, double *weights);

/** Options of mtl_balancer_create(). Numbers below 0 stand for the method's published default, which is given first;
 *  setting one that the method does not have is MTL_ERROR_ARGUMENT. */
typedef struct mtl_balancer_options {
    size_t struct_size;    /**< sizeof(mtl_balancer_options), set by MTL_BALANCER_OPTIONS_INIT */
    int32_t method;        /**< MTL_BALANCE_EQUAL (default), .. */
    int32_t form;          /**< MTL_BALANCE_FORM_DEFAULT (default), or a form of the method */
    int32_t scope;         /**< MTL_BALANCE_SCOPE_DEFAULT (default), .. */
    int32_t reduction;     /**< MTL_BALANCE_REDUCE_DEFAULT (default), .. */
    int32_t gradient;      /**< MTL_BALANCE_OF_PARAMETERS (default), .. */
    int32_t update_every;  /**< >= 1: decide in every n-th step, keep the weights between (default 1) */
    int32_t measure_every; /**< >= 0: form G in every n-th step for the report, also where the method does not need it;
                                0 (default): never for its sake */
    int32_t warmup_steps;  /**< >= 0: so many steps with equal weights first; default 0. gradnorm and stch take the mean
                                losses of these steps (or of the first one) as the losses of the beginning */
    int32_t epoch_steps;   /**< >= 0: close an epoch after so many steps; 0 (default): mtl_balancer_next_epoch() does */
    int32_t steps;         /**< sdmgrad: 20 descents; forum: 5 inner steps */
    int32_t outliers;      /**< krum, trimmed-mean: 1; how many gradients may be wild */
    int32_t selected;      /**< krum: 1; how many gradients are averaged */
    int32_t needs;         /**< custom: 0 (default) or MTL_BALANCE_NEEDS_GRAM */
    int32_t num_tasks;     /**< length of preference and reference */
    double alpha;          /**< gradnorm: 1.5; fairgrad: 1 */
    double beta;           /**< gradvac: .5; db-mtl: .9; moco: .5 */
    double c;              /**< cagrad: .5 */
    double eta;            /**< excess-mtl: .01 */
    double gamma;          /**< dtp: 2; modo: .001; moco: .1 */
    double lambda;         /**< cosmos: 1; sdmgrad: .3 */
    double leak;           /**< graddrop: 0 */
    double mu;             /**< stch: 1 */
    double phi;            /**< forum: .1 */
    double rho;            /**< modo: .1; moco: 0 */
    double sigma;          /**< db-mtl: 0; moco: .5; the exponent of the step number that β is divided by (moco: γ too) */
    double tau;            /**< dwa: 2 */
    double theta;          /**< pbi: 5 */
    double rate;           /**< what the method trains or follows itself: uncertainty, imtl-l, imtl: .001; gradnorm, famo:
                                .025; sdmgrad: 5; auto-lambda, moml, forum: .001; dtp: .1 (weight of the newest measure).
                                Except for sdmgrad and dtp: learning rate of an Adam of its own, without decay (famo:
                                `decay`); the optimizer's weight decay never touches it */
    double decay;          /**< famo: .001 */
    double momentum;       /**< sdmgrad: .5 */
    double tolerance;      /**< aligned, config, imtl-g, imtl: 0 (T times the rounding of double); eigenvalues below this
                                share of the largest count as 0 */
    double inner_rate;     /**< moml, forum: .1; auto-lambda: the optimizer's learning rate */
    double smoothing;      /**< 0 <= α < 1: the weights become a moving average, w ← α w_before + (1 - α) w (Zhou et al.,
                                NeurIPS 2022: CR-MOGM, .9); default 0. Not for methods without weights */
    uint64_t max_bytes;    /**< memory for task gradients that are kept between the sweep and the decision; more than
                                that, and they are formed again; default 1 GiB. Methods that need coordinates keep them always */
    const double *preference; /**< [num_tasks], >= 0. fixed: w; pbi, stch, cosmos: a; aligned, config, upgrad, dualproj: u.
                                   NULL (default): 1 each for fixed, pbi, aligned, config; 1/T for the others. Copied */
    const double *reference;  /**< [num_tasks]; NULL (default): 0 each. stch, pbi: z; famo: the losses' lower bounds.
                                   Copied */
    mtl_balance_decide_fn decide; /**< custom: not NULL */
    void *user;                   /**< handed to decide */
} mtl_balancer_options;

/** Initializer of mtl_balancer_options. */
#define MTL_BALANCER_OPTIONS_INIT \
    { sizeof(mtl_balancer_options), MTL_BALANCE_EQUAL, MTL_BALANCE_FORM_DEFAULT, MTL_BALANCE_SCOPE_DEFAULT, \
      MTL_BALANCE_REDUCE_DEFAULT, MTL_BALANCE_OF_PARAMETERS, 1, 0, 0, 0, -1, -1, -1, 0, 0, -1.0, -1.0, -1.0, -1.0, -1.0, \
      -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, 0.0, UINT64_C(1) << 30, NULL, NULL, \
      NULL, NULL }

/** Creates a balancer.
 *
 *  @param[in]  context  not NULL
 *  @param[in]  options  NULL for every default
 *  @param[out] out      receives the balancer; untouched on failure
 *  @return MTL_OK; MTL_ERROR_ARGUMENT (a value out of range, or one that the method does not have); MTL_ERROR_UNSUPPORTED
 *          (a method, form or scope that this version does not know, options of a newer header, or a combination that has no
 *          meaning: representation gradients for a method with several draws, for instance); MTL_ERROR_MEMORY
 *  @ownership the caller owns it: mtl_balancer_destroy()
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_balancer_create(mtl_context *context, const mtl_balancer_options *options,
                                                     mtl_balancer **out);

/** Gives a balancer back; an objective that has it keeps it alive. @param[in] balancer may be NULL @since 0.1 */
MTL_API void mtl_balancer_destroy(mtl_balancer *balancer);

/** Forgets everything that was learned: as after creation. Without effect inside of a step (from a monitor, or a custom
 *  rule). @param[in] balancer may be NULL @since 0.1 */
MTL_API void mtl_balancer_reset(mtl_balancer *balancer);

/** The name of a method, as in the table. @param[in] method MTL_BALANCE_EQUAL, ..
 *  @return a fixed string; NULL when there is no such method @since 0.1 */
MTL_API const char *mtl_balance_method_name(int32_t method);

/** The method of a name. @param[in] name not NULL @return the method; -1 when there is none of that name @since 0.1 */
MTL_API int32_t mtl_balance_method_find(const char *name);

/** What a method needs. @param[in] method MTL_BALANCE_EQUAL, ..
 *  @return flags MTL_BALANCE_NEEDS_..; 0 when it needs losses only, and when there is no such method @since 0.1 */
MTL_API int32_t mtl_balance_method_needs(int32_t method);

/** Closes an epoch: dwa compares the mean losses of the last two. Without effect inside of a step, as
 *  mtl_balancer_reset(). @param[in] balancer may be NULL @since 0.1 */
MTL_API void mtl_balancer_next_epoch(mtl_balancer *balancer);

/** Tells dtp how well a task does: accuracy on validation rows, for instance. A task without a measure has weight 1.
 *
 *  @param[in] balancer  not NULL
 *  @param[in] task      its number
 *  @param[in] value     0 (does nothing right) to 1
 *  @return MTL_OK; MTL_ERROR_ARGUMENT; MTL_ERROR_STATE (no step was done, so the tasks are not known); MTL_ERROR_UNSUPPORTED
 *          (another method)
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_balancer_set_measure(mtl_balancer *balancer, int32_t task, double value);

/** How a decision ended, for mtl_balancer_decide(). */
typedef struct mtl_balance_result {
    size_t struct_size; /**< sizeof(mtl_balance_result), set by the caller */
    int32_t status;     /**< MTL_BALANCE_OK, .. */
    int32_t iterations; /**< of the solver; 0 when the method has none */
    double residual;    /**< largest violation of the optimality conditions, relative to the terms that meet in them */
} mtl_balance_result;

/** One decision without an objective, for hosts that have gradients of their own. As a step does: it changes what the
 *  method remembers, and the monitor is called.
 *
 *  @param[in]  balancer  not NULL, of a method whose needs are none, MTL_BALANCE_NEEDS_GRAM, _EPOCHS or _MEASURE
 *  @param[in]  count     T, 1 to 65536; the same in every call
 *  @param[in]  losses    [count] L_t; NaN: the task is absent
 *  @param[in]  gram      [count, count] G, symmetric; rows of absent tasks are not read. May be NULL when it is not needed:
 *                        in the warm-up, and in steps that keep their weights, too
 *  @param[out] weights   [count]; 0 for absent tasks. Not the array of losses or gram
 *  @param[out] result    may be NULL; struct_size must be set
 *  @return MTL_OK; MTL_ERROR_ARGUMENT; MTL_ERROR_STATE (another number of tasks than before, or a call from inside of a
 *          step); MTL_ERROR_NUMERIC (an infinite loss, G is not finite, a value that the method is not defined for);
 *          MTL_ERROR_UNSUPPORTED (the method needs more); MTL_ERROR_LIMIT (more than 4096 tasks where pairs are compared);
 *          MTL_ERROR_MEMORY; what a custom rule returned. After an error the balancer is as before
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_balancer_decide(mtl_balancer *balancer, int32_t count, const double *losses,
                                                     const double *gram, double *weights, mtl_balance_result *result);

/** What a monitor is told after a step. Arrays are borrowed until it returns. */
typedef struct mtl_balance_report {
    size_t struct_size;           /**< bytes that this library filled */
    int64_t step;                 /**< from 1 */
    int32_t num_tasks;            /**< T */
    int32_t measured;             /**< not 0: norms and cosines are of this step; else NaN */
    int32_t status;               /**< MTL_BALANCE_OK, .. of the last decision */
    int32_t iterations;           /**< of its solver */
    double residual;              /**< of its solver */
    double conflict_rate;         /**< share of pairs of tasks with G_ij < 0 among the pairs measured so far; NaN when none */
    const double *losses;         /**< [T] L_t, with λ_t; NaN: absent */
    const double *weights;        /**< [T] w_t; NaN: absent, or the method has no weights */
    const double *own_weights;    /**< [T] weights of what belongs to a task alone, by the scope; NaN: absent */
    const double *norms;          /**< [T] ‖g_t‖ */
    const double *cosines;        /**< [T, T]; NULL when the balancer never measures */
    const double *conflict_rates; /**< [T, T] share of the measured steps in which the pair was in conflict; NaN when none;
                                       NULL as above */
} mtl_balance_report;

/** Receives a report. A step of the same balancer, and loading its state, are MTL_ERROR_STATE from here;
 *  mtl_balancer_reset() and mtl_balancer_next_epoch() have no effect. It may read the balancer and save its state.
 *  @param[in] user the pointer of mtl_balancer_set_monitor() @param[in] report of the step */
typedef void (*mtl_balance_monitor_fn)(void *user, const mtl_balance_report *report);

/** Sets who is told about each step: after the weights are decided, before the optimizer moves.
 *  @param[in] balancer not NULL @param[in] monitor NULL: nobody @param[in] user handed to it
 *  @return MTL_OK or MTL_ERROR_ARGUMENT @since 0.1 */
MTL_API MTL_NODISCARD mtl_status mtl_balancer_set_monitor(mtl_balancer *balancer, mtl_balance_monitor_fn monitor,
                                                          void *user);

/** Bytes that the balancer holds: what it remembers and the task gradients of its objective.
 *  @param[in] balancer not NULL @return 0 for NULL @since 0.1 */
MTL_API uint64_t mtl_balancer_memory(const mtl_balancer *balancer);

/** Bytes that mtl_balancer_save_state() writes. @param[in] balancer not NULL @return 0 for NULL @since 0.1 */
MTL_API uint64_t mtl_balancer_state_size(const mtl_balancer *balancer);

/** Writes what the balancer remembers; the same on every machine.
 *
 *  @param[in]  balancer  not NULL
 *  @param[out] buffer    room for size bytes
 *  @param[in]  size      must equal mtl_balancer_state_size()
 *  @return MTL_OK, MTL_ERROR_ARGUMENT
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_balancer_save_state(const mtl_balancer *balancer, void *buffer, uint64_t size);

/** Takes up what mtl_balancer_save_state() wrote: the next step decides as if it had come before. The options must be
 *  those of the balancer that was saved.
 *
 *  @param[in] balancer  not NULL
 *  @param[in] buffer    size bytes
 *  @param[in] size      their number
 *  @return MTL_OK; MTL_ERROR_ARGUMENT; MTL_ERROR_FORMAT (not such a state, cut off, of another method or number of tasks);
 *          MTL_ERROR_STATE (called from inside of a step); MTL_ERROR_MEMORY. The balancer is as before then
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_balancer_load_state(mtl_balancer *balancer, const void *buffer, uint64_t size);

/** Reads one array of what the balancer remembers, by the name in docs/balancing.md: "s" of uncertainty, "xi" of famo.
 *
 *  @param[in]  balancer  not NULL
 *  @param[in]  name      not NULL
 *  @param[out] values    room for capacity; may be NULL when that is 0
 *  @param[in]  capacity  number of values that fit
 *  @return the number of values that there are (what fits was written); -1 when there is no such array, or no step was done
 *  @since 0.1
 */
MTL_API int64_t mtl_balancer_read(const mtl_balancer *balancer, const char *name, double *values, int64_t capacity);

MTL_END_DECLS

#endif
