/* SPDX-License-Identifier: Apache-2.0
 * Names and texts of the status codes, expanded from status.def. */
#include <mtl/status.h>

#define MTLI_STATUS(name, value, text) _Static_assert(MTL_##name == (value), "pinned value");
#include "base/status.def"
#undef MTLI_STATUS

const char *mtl_status_name(mtl_status status)
{
    switch ((int)status) {
#define MTLI_STATUS(name, value, text) \
    case value: \
        return "MTL_" #name;
#include "base/status.def"
#undef MTLI_STATUS
    default:
        return "MTL_UNKNOWN_STATUS";
    }
}

const char *mtl_status_text(mtl_status status)
{
    switch ((int)status) {
#define MTLI_STATUS(name, value, text) \
    case value: \
        return text;
#include "base/status.def"
#undef MTLI_STATUS
    default:
        return "unknown status";
    }
}
