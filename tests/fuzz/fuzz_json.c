/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: the JSON reader. It must end, keep its levels in balance, and decode strings to what writes back and
 * reads the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "io/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void check_string(mtl_context *context, const mtli_json *json)
{
    char *text = malloc(json->length + 1);
    require(text != NULL);
    size_t size = mtli_json_string(json, text);
    require(size <= json->length && mtli_utf8_check(text, size));
    mtli_buffer buffer = {context, NULL, 0, 0, MTL_OK};
    mtli_json_write_string(&buffer, text, size);
    mtli_json again;
    mtli_json_begin(&again, buffer.data, buffer.size);
    require(mtli_json_next(&again) == MTLI_JSON_STRING);
    char *back = malloc(again.length + 1);
    require(back != NULL && mtli_json_string(&again, back) == size && memcmp(back, text, size) == 0);
    require(mtli_json_next(&again) == MTLI_JSON_END);
    mtli_buffer_release(&buffer);
    free(back);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mtl_context *context = NULL;
    require(mtl_context_create(NULL, &context) == MTL_OK);
    mtli_json json;
    mtli_json_begin(&json, (const char *)data, size);
    int depth = 0;
    for (size_t steps = 0;; steps++) {
        require(steps <= 2 * size + 2);
        mtli_json_event event = mtli_json_next(&json);
        depth += (event == MTLI_JSON_OBJECT || event == MTLI_JSON_ARRAY);
        depth -= (event == MTLI_JSON_OBJECT_END || event == MTLI_JSON_ARRAY_END);
        require(depth >= 0 && depth <= MTLI_JSON_DEPTH && json.position <= size);
        if (event == MTLI_JSON_KEY || event == MTLI_JSON_STRING) {
            check_string(context, &json);
        }
        if (event == MTLI_JSON_END) {
            require(depth == 0 && json.position == size);
            break;
        }
        if (event == MTLI_JSON_ERROR) {
            require(json.error != NULL);
            break;
        }
    }
    mtl_context_release(context);
    return 0;
}
