/* SPDX-License-Identifier: Apache-2.0
 * How option structs cross the ABI: the caller's bytes are laid over the library's own defaults. */
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "base/context.h"

static bool all_zero(const unsigned char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return true;
}

mtl_status mtli_import_options(mtl_context *context, const char *name, void *known, size_t known_size,
                               size_t least_size, const void *given)
{
    if (!given) {
        return MTL_OK;
    }
    size_t size;
    memcpy(&size, given, sizeof size);
    if (size < least_size) {
        return mtli_fail(context, MTL_ERROR_ARGUMENT,
                         "%s->struct_size = %zu is less than %zu: begin with the _INIT macro", name, size, least_size);
    }
    if (size > known_size) {
        if (!all_zero((const unsigned char *)given + known_size, size - known_size)) {
            return mtli_fail(context, MTL_ERROR_UNSUPPORTED,
                             "%s->struct_size = %zu: a field beyond the %zu bytes that this library knows is set", name,
                             size, known_size);
        }
        size = known_size;
    }
    memcpy(known, given, size);
    memcpy(known, &known_size, sizeof known_size);
    return MTL_OK;
}

mtl_status mtli_check_reserved(mtl_context *context, int32_t reserved0)
{
    return reserved0 == 0
               ? MTL_OK
               : mtli_fail(context, MTL_ERROR_UNSUPPORTED, "options->reserved0 = %" PRId32 " is not 0", reserved0);
}
