/* SPDX-License-Identifier: Apache-2.0
 * The sizes of all structs that programs fill in: a program that was compiled with an older header must go on working.
 * A struct grows at its end, within a new minor version only; then its row changes with it. */
#include <mtl/mtl.h>

#include <limits.h>

#if defined(__GNUC__) && !defined(__clang__) && ULONG_MAX > 0xffffffffu
#pragma GCC diagnostic error "-Wpadded"
#endif

/* 64 bit; 32 bit where 8-byte numbers are aligned to 4 (i386); 32 bit where they are aligned to 8 (arm). */
struct alignment {
    char first;
    char reserved[7];
    int64_t number;
};
enum {
    IS_64 = sizeof(void *) == 8,
    IS_32_ALIGNED_4 = sizeof(void *) == 4 && _Alignof(struct alignment) == 4,
    IS_32_ALIGNED_8 = sizeof(void *) == 4 && _Alignof(struct alignment) == 8
};
_Static_assert(IS_64 || IS_32_ALIGNED_4 || IS_32_ALIGNED_8, "a machine whose sizes are not pinned yet");

/* The size, and no padding behind the last member: it would be a hole that a newer member could fall into unseen. */
#define PIN(type, last, size_64, size_32_aligned_4, size_32_aligned_8) \
    _Static_assert(sizeof(type) == (IS_64             ? (size_64) \
                                    : IS_32_ALIGNED_4 ? (size_32_aligned_4) \
                                                      : (size_32_aligned_8)), \
                   "sizeof(" #type ")"); \
    _Static_assert(offsetof(type, last) + sizeof(((type *)0)->last) == sizeof(type), "padding behind " #type "." #last);

PIN(mtl_save_options, reserved0, 56, 32, 32)
PIN(mtl_training_state, reserved0, 80, 52, 56)
PIN(mtl_load_options, reserved0, 32, 24, 24)
PIN(mtl_allocator, release, 32, 16, 16)
PIN(mtl_context_options, debug_handles, 80, 56, 56)
PIN(mtl_memory_info, allocations, 32, 32, 32)
PIN(mtl_custom_op_options, reserved0, 56, 32, 32)
PIN(mtl_parameter_spec, scale, 56, 52, 56)
PIN(mtl_custom_encoder_options, output_dim, 56, 36, 40)
PIN(mtl_label_column, num_classes, 24, 20, 24)
PIN(mtl_table_options, max_line_bytes, 64, 52, 56)
PIN(mtl_sampler_options, reserved0, 72, 68, 72)
PIN(mtl_sampler_position, batch, 16, 16, 16)
PIN(mtl_lstm_options, output_dropout, 72, 68, 72)
PIN(mtl_head_options, reserved0, 32, 28, 32)
PIN(mtl_factorized_options, shared, 48, 36, 40)
PIN(mtl_linear_options, reserved0, 48, 40, 40)
PIN(mtl_linear_report, step, 72, 68, 72)
PIN(mtl_cross_entropy_options, label_smoothing, 24, 16, 16)
PIN(mtl_binary_cross_entropy_options, positive_weights, 16, 8, 8)
PIN(mtl_orthogonality_options, reserved0, 24, 20, 20)
PIN(mtl_cosine_similarity_options, reserved0, 16, 12, 12)
PIN(mtl_model_options, struct_size, 8, 4, 4)
PIN(mtl_objective_options, reserved0, 16, 12, 12)
PIN(mtl_lstm_weights, bias_hh, 32, 16, 16)
PIN(mtl_sgd_options, sparse, 48, 44, 48)
PIN(mtl_adam_options, reserved0, 64, 60, 64)
PIN(mtl_group_options, weight_decay, 24, 20, 24)
PIN(mtl_schedule_options, final_factor, 56, 52, 56)
PIN(mtl_penalty_options, graph, 64, 52, 56)
PIN(mtl_tape_options, initial_bytes, 16, 12, 16)
PIN(mtl_tokenizer_options, max_token_bytes, 24, 20, 20)
PIN(mtl_vocabulary_options, max_size, 24, 20, 24)
PIN(mtl_balancer_options, user, 256, 236, 240)
PIN(mtl_balance_result, residual, 24, 20, 24)
PIN(mtl_balance_report, conflict_rates, 96, 68, 72)

/* Options begin with their size, at offset 0, and the initializer fills it in. */
#define OPTIONS(type, initializer) \
    do { \
        type options = initializer; \
        if (offsetof(type, struct_size) != 0 || options.struct_size != sizeof options) { \
            return 1; \
        } \
    } while (0)

int main(void)
{
    OPTIONS(mtl_save_options, MTL_SAVE_OPTIONS_INIT);
    OPTIONS(mtl_training_state, MTL_TRAINING_STATE_INIT);
    OPTIONS(mtl_load_options, MTL_LOAD_OPTIONS_INIT);
    OPTIONS(mtl_allocator, MTL_ALLOCATOR_INIT);
    OPTIONS(mtl_context_options, MTL_CONTEXT_OPTIONS_INIT);
    OPTIONS(mtl_custom_op_options, MTL_CUSTOM_OP_OPTIONS_INIT);
    OPTIONS(mtl_custom_encoder_options, MTL_CUSTOM_ENCODER_OPTIONS_INIT);
    OPTIONS(mtl_table_options, MTL_TABLE_OPTIONS_INIT);
    OPTIONS(mtl_sampler_options, MTL_SAMPLER_OPTIONS_INIT);
    OPTIONS(mtl_lstm_options, MTL_LSTM_OPTIONS_INIT);
    OPTIONS(mtl_head_options, MTL_HEAD_OPTIONS_INIT);
    OPTIONS(mtl_factorized_options, MTL_FACTORIZED_OPTIONS_INIT);
    OPTIONS(mtl_linear_options, MTL_LINEAR_OPTIONS_INIT);
    OPTIONS(mtl_linear_report, MTL_LINEAR_REPORT_INIT);
    OPTIONS(mtl_cross_entropy_options, MTL_CROSS_ENTROPY_OPTIONS_INIT);
    OPTIONS(mtl_binary_cross_entropy_options, MTL_BINARY_CROSS_ENTROPY_OPTIONS_INIT);
    OPTIONS(mtl_orthogonality_options, MTL_ORTHOGONALITY_OPTIONS_INIT);
    OPTIONS(mtl_cosine_similarity_options, MTL_COSINE_SIMILARITY_OPTIONS_INIT);
    OPTIONS(mtl_model_options, MTL_MODEL_OPTIONS_INIT);
    OPTIONS(mtl_objective_options, MTL_OBJECTIVE_OPTIONS_INIT);
    OPTIONS(mtl_sgd_options, MTL_SGD_OPTIONS_INIT);
    OPTIONS(mtl_adam_options, MTL_ADAM_OPTIONS_INIT);
    OPTIONS(mtl_group_options, MTL_GROUP_OPTIONS_INIT);
    OPTIONS(mtl_schedule_options, MTL_SCHEDULE_OPTIONS_INIT);
    OPTIONS(mtl_penalty_options, MTL_PENALTY_OPTIONS_INIT);
    OPTIONS(mtl_tape_options, MTL_TAPE_OPTIONS_INIT);
    OPTIONS(mtl_tokenizer_options, MTL_TOKENIZER_OPTIONS_INIT);
    OPTIONS(mtl_vocabulary_options, MTL_VOCABULARY_OPTIONS_INIT);
    return 0;
}
