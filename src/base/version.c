/* SPDX-License-Identifier: Apache-2.0
 * Which libmtl this is. */
#include <mtl/version.h>

const char *mtl_version(void)
{
    return MTL_VERSION_STRING;
}

const char *mtl_build_info(void)
{
#ifdef MTLI_DOUBLE
#define COMPUTE "float64"
#else
#define COMPUTE "float32"
#endif
    return "libmtl " MTL_VERSION_STRING ", compute " COMPUTE ", blas " MTLI_BLAS_NAME ", compiler " __VERSION__;
}
