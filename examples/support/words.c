/* SPDX-License-Identifier: Apache-2.0
 * The vocabulary of the examples that read settings. */
#include "words.h"

#include "check.h"

mtl_vocabulary *collect_words(mtl_context *context, const settings *s, mtl_dataset *const *datasets, int count)
{
    mtl_tokenizer *tokenizer;
    mtl_vocabulary_builder *builder;
    mtl_vocabulary *vocabulary = NULL;
    mtl_vocabulary_options options = MTL_VOCABULARY_OPTIONS_INIT;
    options.max_size = s->vocabulary;
    options.min_count = s->min_count;
    CHECK(context, mtl_tokenizer_create(context, NULL, &tokenizer));
    CHECK(context, mtl_vocabulary_builder_create(context, tokenizer, &builder));
    for (int t = 0; t < count; t++) {
        if (datasets[t]) {
            CHECK(context, mtl_vocabulary_builder_add_dataset(builder, datasets[t]));
        }
    }
    CHECK(context, mtl_vocabulary_builder_finish(builder, &options, &vocabulary));
    mtl_vocabulary_builder_destroy(builder);
    mtl_tokenizer_release(tokenizer);
    return vocabulary;
}
