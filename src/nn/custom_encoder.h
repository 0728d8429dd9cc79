/* SPDX-License-Identifier: Apache-2.0
 * The kind of encoder whose forward pass is a function of the host. */
#ifndef MTLI_NN_CUSTOM_ENCODER_H
#define MTLI_NN_CUSTOM_ENCODER_H

#define MTLI_CUSTOM_KIND "custom"

#endif
