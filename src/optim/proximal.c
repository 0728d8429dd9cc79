/* SPDX-License-Identifier: Apache-2.0
 * What an optimizer runs after its update: the proximal steps that were added to it. */
#include "optim/optimizer.h"

/* Where a block is among the optimizer's; -1: nowhere. The search begins at `first`. */
static int32_t find_optimizer_block(const mtl_optimizer *optimizer, const mtli_parameters *block, int32_t first)
{
    for (int32_t k = 0; k < optimizer->num_blocks; k++) {
        int32_t i = first < optimizer->num_blocks - k ? first + k : first + k - optimizer->num_blocks;
        if (optimizer->blocks[i] == block) {
            return i;
        }
    }
    return -1;
}

/* The entries are the parameters of all blocks in their order; firsts[] says where each block begins. */
static mtl_status find_entries_from(const mtl_optimizer *optimizer, const mtli_proximal *proximal,
                                    const int32_t *firsts, mtli_attached_proximal *attached)
{
    int32_t next = 0; /* where the block after the last one stands: the parameters come in some such order */
    mtli_proximal_parameter p;
    for (int64_t k = 0; k < attached->num_entries && proximal->parameter(proximal->self, k, &p); k++) {
        const mtli_parameters *block = p.tensor->parameters;
        bool there = p.place < optimizer->num_blocks && optimizer->blocks[p.place] == block;
        int32_t i = there ? p.place : find_optimizer_block(optimizer, block, next);
        if (i < 0) {
            return mtli_fail(optimizer->context, MTL_ERROR_ARGUMENT,
                             "the proximal step is over '%s.%.128s', which is not a parameter of the optimizer's model",
                             p.module, block->list[p.tensor->index].name);
        }
        attached->entries[k] = firsts[i] + p.tensor->index;
        next = i + 1 < optimizer->num_blocks ? i + 1 : 0;
    }
    return MTL_OK;
}

static mtl_status find_proximal_entries(const mtl_optimizer *optimizer, const mtli_proximal *proximal,
                                        mtli_attached_proximal *attached)
{
    size_t count = (size_t)optimizer->num_blocks;
    int32_t *firsts = mtli_allocate_array(optimizer->context, count, sizeof firsts[0]);
    if (!firsts) {
        return optimizer->context->status;
    }
    int32_t first = 0;
    for (size_t i = 0; i < count; i++) {
        firsts[i] = first;
        first += optimizer->blocks[i]->count;
    }
    mtl_status status = find_entries_from(optimizer, proximal, firsts, attached);
    mtli_release(optimizer->context, firsts, count * sizeof firsts[0]);
    return status;
}

mtl_status mtli_optimizer_add_proximal(mtl_optimizer *optimizer, const mtli_proximal *proximal)
{
    mtl_context *context = optimizer->context;
    mtli_attached_proximal attached = {.proximal = *proximal};
    mtli_proximal_parameter unused;
    while (proximal->parameter(proximal->self, attached.num_entries, &unused)) {
        attached.num_entries++;
    }
    void *proximals = optimizer->proximals;
    mtl_status status = mtli_reserve(context, &proximals, &optimizer->proximals_capacity,
                                     (size_t)optimizer->num_proximals + 1, sizeof optimizer->proximals[0]);
    optimizer->proximals = proximals;
    if (status != MTL_OK) {
        return status;
    }
    attached.entries = mtli_allocate_array(context, (size_t)attached.num_entries, sizeof attached.entries[0]);
    if (!attached.entries) {
        return context->status;
    }
    status = find_proximal_entries(optimizer, proximal, &attached);
    if (status != MTL_OK) {
        mtli_release(context, attached.entries, (size_t)attached.num_entries * sizeof attached.entries[0]);
        return status;
    }
    optimizer->proximals[optimizer->num_proximals++] = attached;
    return MTL_OK;
}

/* One step has one learning rate. */
static mtl_status check_one_rate(const mtl_optimizer *optimizer, const mtli_attached_proximal *attached)
{
    const mtli_slot_entry *first = &optimizer->entries[attached->entries[0]];
    for (int64_t k = 1; k < attached->num_entries; k++) {
        const mtli_slot_entry *entry = &optimizer->entries[attached->entries[k]];
        if (entry->rate_scale != first->rate_scale) {
            return mtli_fail(
                optimizer->context, MTL_ERROR_STATE,
                "the parameters of one proximal step have different learning rates: learning_rate_scale is "
                "%g for '%.128s', %g for '%.128s'",
                first->rate_scale, first->name, entry->rate_scale, entry->name);
        }
    }
    return MTL_OK;
}

mtl_status mtli_proximals_check(const mtl_optimizer *optimizer)
{
    mtl_status status = MTL_OK;
    for (int32_t i = 0; i < optimizer->num_proximals && status == MTL_OK; i++) {
        status = check_one_rate(optimizer, &optimizer->proximals[i]);
    }
    return status;
}

mtl_status mtli_proximals_run(mtl_optimizer *optimizer, double rate, const mtl_gradients *gradients)
{
    mtl_status status = MTL_OK;
    for (int32_t i = 0; i < optimizer->num_proximals && status == MTL_OK; i++) {
        const mtli_attached_proximal *attached = &optimizer->proximals[i];
        double own = rate * optimizer->entries[attached->entries[0]].rate_scale;
        status = attached->proximal.step(attached->proximal.self, own, gradients);
    }
    return status;
}

void mtli_proximals_release(mtl_optimizer *optimizer)
{
    mtl_context *context = optimizer->context;
    for (int32_t i = 0; i < optimizer->num_proximals; i++) {
        mtli_attached_proximal *attached = &optimizer->proximals[i];
        attached->proximal.release(attached->proximal.self);
        mtli_release(context, attached->entries, (size_t)attached->num_entries * sizeof attached->entries[0]);
    }
    mtli_release(context, optimizer->proximals, optimizer->proximals_capacity * sizeof optimizer->proximals[0]);
}
