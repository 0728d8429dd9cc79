/* SPDX-License-Identifier: Apache-2.0 */
/** @file mtl.h
 *  @brief libmtl, the multi-task learning library that a program can link: all of its headers.
 */
#ifndef MTL_MTL_H
#define MTL_MTL_H

#include <mtl/balance.h>
#include <mtl/checkpoint.h>
#include <mtl/context.h>
#include <mtl/custom.h>
#include <mtl/data.h>
#include <mtl/encoder.h>
#include <mtl/export.h>
#include <mtl/factorized.h>
#include <mtl/gradients.h>
#include <mtl/head.h>
#include <mtl/linear.h>
#include <mtl/loss.h>
#include <mtl/metrics.h>
#include <mtl/model.h>
#include <mtl/objective.h>
#include <mtl/ops.h>
#include <mtl/optimizer.h>
#include <mtl/sharing.h>
#include <mtl/status.h>
#include <mtl/tape.h>
#include <mtl/tensor.h>
#include <mtl/text.h>
#include <mtl/version.h>

#endif
