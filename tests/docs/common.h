/* SPDX-License-Identifier: Apache-2.0
 * What examples in the documents take for granted: the names that README.md and most of docs/ use. */
#ifndef TESTS_DOCS_COMMON_H
#define TESTS_DOCS_COMMON_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mtl/mtl.h>

#define CHECK(call) \
    do { \
        if ((call) != MTL_OK) { \
            abort(); \
        } \
    } while (0)

#ifndef CODE_BEGIN
#define CODE_BEGIN \
    void body(void); \
    void body(void) \
    {
#define CODE_END }
#endif

extern mtl_context *ctx;
extern mtl_model *model;
extern mtl_encoder *encoder;
extern mtl_objective *objective;
extern mtl_optimizer *adam;
extern mtl_gradients *gradients;
extern mtl_tape *tape;
extern mtl_tensor *losses[2];

#endif
