/* SPDX-License-Identifier: Apache-2.0
 * What a sampler shows to a checkpoint: all that the order of its rows depends on, and where it stands in that order. */
#include <inttypes.h>
#include <stdio.h>

#include "text/sampler.h"

static mtl_status describe_sampler_options(const mtl_sampler *sampler, const mtli_visitor *visitor)
{
    const mtl_sampler_options *options = &sampler->options;
    const struct {
        const char *key;
        int64_t value;
    } numbers[] = {
        {"batch_rows", options->batch_rows}, {"max_tokens", options->max_tokens},
        {"keep_tail", options->keep_tail},   {"bucket_batches", options->bucket_batches},
        {"strategy", options->strategy},     {"shuffle", options->shuffle != 0},
        {"tasks", sampler->num_tasks},       {"datasets", (int64_t)sampler->num_entries},
        {"tokens", sampler->tokens},
    };
    mtl_status status = MTL_OK;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0] && status == MTL_OK; i++) {
        status = visitor->integer(visitor->user, numbers[i].key, numbers[i].value);
    }
    return status == MTL_OK ? visitor->real(visitor->user, "temperature", options->temperature) : status;
}

static mtl_status describe_word(const mtli_visitor *visitor, const char *key, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%016" PRIx64, value);
    return visitor->text(visitor->user, key, text);
}

static mtl_status describe_datasets(const mtl_sampler *sampler, const mtli_visitor *visitor)
{
    mtl_status status = MTL_OK;
    for (size_t i = 0; i < sampler->num_entries && status == MTL_OK; i++) {
        char key[48];
        snprintf(key, sizeof key, "dataset.%zu.rows", i);
        status = visitor->integer(visitor->user, key, sampler->entries[i].rows);
    }
    return status;
}

static const char *position_fault(const void *self, const void *values, int64_t count)
{
    const mtl_sampler *sampler = self;
    const int64_t *position = values;
    (void)count;
    bool good =
        position[0] >= 0 && position[0] <= INT32_MAX && position[1] >= 0 && position[1] <= mtli_plan_batches(sampler);
    return good ? NULL : "holds an epoch or a batch that the sampler does not have";
}

static void get_position(const void *self, void *values)
{
    const mtl_sampler *sampler = self;
    ((int64_t *)values)[0] = sampler->position.epoch;
    ((int64_t *)values)[1] = sampler->position.batch;
}

/* The order of the epoch is made when the next batch is asked for. */
static void put_position(void *self, const void *values)
{
    mtl_sampler *sampler = self;
    sampler->position.epoch = ((const int64_t *)values)[0];
    sampler->position.batch = ((const int64_t *)values)[1];
    sampler->started = sampler->started || sampler->position.epoch > 0 || sampler->position.batch > 0;
}

mtl_status mtli_sampler_visit(mtl_sampler *sampler, const mtli_state_visitor *visitor)
{
    const mtli_state_array position = {
        .name = {"position"},
        .type = MTLI_STATE_INTEGER,
        .count = 2,
        .self = sampler,
        .get = get_position,
        .put = put_position,
        .fault = position_fault,
    };
    mtl_status status = describe_sampler_options(sampler, &visitor->fixed);
    if (status == MTL_OK) {
        status = describe_word(&visitor->fixed, "seed", sampler->options.seed);
    }
    if (status == MTL_OK) {
        status = describe_word(&visitor->fixed, "vocabulary", mtl_vocabulary_fingerprint(sampler->vocabulary));
    }
    if (status == MTL_OK) {
        status = describe_datasets(sampler, &visitor->fixed);
    }
    return status == MTL_OK ? visitor->array(visitor->fixed.user, &position) : status;
}
