/* SPDX-License-Identifier: Apache-2.0
 * Products in double at the level every machine of the architecture has; compiled without machine flags. */
#define MTLI_VECTOR_BYTES 16
#define MTLI_PRODUCTS_GET mtli_products_baseline
#include "kernels/products.inc.c"
