/* SPDX-License-Identifier: Apache-2.0
 * All kernels of one level and their table; included once by each isa_*.c file. */
#include "kernels/kernels.h"
#include "kernels/simd.h"

#include "kernels/math.inc.c"
#include "kernels/tile.inc.c"
#include "kernels/gemm.inc.c"
#include "kernels/lstm_pack.inc.c"
#include "kernels/lstm_forward.inc.c"
#include "kernels/lstm_backward.inc.c"
#include "kernels/lstm_weights.inc.c"

const mtli_kernels *MTLI_ISA_GET(void)
{
    static const mtli_kernels table = {
        .level = MTLI_ISA_LEVEL,
        .name = MTLI_ISA_NAME,
        .vexp = array_exp,
        .vtanh = array_tanh,
        .vsigmoid = array_sigmoid,
        .verf = array_erf,
        .gemm_packed_size = gemm_packed_size,
        .gemm_pack_b = gemm_pack_b,
        .gemm_packed = gemm_packed,
        .lstm_gate_width = lstm_gate_width,
        .lstm_panels = lstm_panels,
        .lstm_forward_packed_size = lstm_forward_packed_size,
        .lstm_backward_packed_size = lstm_backward_packed_size,
        .lstm_backward_work = lstm_backward_work,
        .lstm_pack_forward = lstm_pack_forward,
        .lstm_pack_backward = lstm_pack_backward,
        .lstm_project = lstm_project,
        .lstm_forward = lstm_forward,
        .lstm_backward = lstm_backward,
        .lstm_input_gradient = lstm_input_gradient,
        .lstm_sum_gates = lstm_sum_gates,
        .lstm_weight_gradient = lstm_weight_gradient,
    };
    return &table;
}
