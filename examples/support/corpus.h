/* SPDX-License-Identifier: Apache-2.0
 * The files of the sentiment and topic example, in the forms in which people have them. */
#ifndef EXAMPLES_CORPUS_H
#define EXAMPLES_CORPUS_H

#include <mtl/mtl.h>

enum { SENTIMENT, TOPIC, TASKS };

extern const char *const sentiment_names[2];

/** Opens the texts of a task; NULL for a NULL path. Ends the program when that fails.
 *  Reviews: .tsv (label, text), .csv with the columns label and text, or the aclImdb folder. News: as AG News. */
mtl_dataset *open_task(mtl_context *context, int task, const char *path);

/** Splits the last part off a dataset; the dataset itself becomes the rest. NULL when there is nothing to split. */
mtl_dataset *hold_out(mtl_context *context, mtl_dataset **dataset, double part);

#endif
