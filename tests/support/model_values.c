/* SPDX-License-Identifier: Apache-2.0
 * Weights and labels of the tests' small models. */
#include "model_values.h"

mtl_status model_weights(mtl_model *model, double *values)
{
    mtl_status status = MTL_OK;
    for (int64_t i = 0; i < mtl_model_num_parameters(model) && status == MTL_OK; i++) {
        mtl_tensor *parameter = mtl_model_parameter(model, i);
        status = mtl_tensor_read(parameter, MTL_FLOAT64, values, (size_t)mtl_tensor_size(parameter));
        values += mtl_tensor_size(parameter);
    }
    return status;
}

mtl_status model_labels(mtl_context *context, int64_t rows, const int32_t *labels, mtl_tensor **out)
{
    mtl_status status = mtl_tensor_create(context, MTL_INT32, 1, &rows, out);
    return status == MTL_OK ? mtl_tensor_write(*out, MTL_INT32, labels, (size_t)rows) : status;
}
