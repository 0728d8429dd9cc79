/* SPDX-License-Identifier: Apache-2.0
 * The 16 review tasks of Liu, Qiu & Huang (ACL 2017): what their files hold, and which test texts they give away. */
#ifndef EXAMPLES_REVIEW_TASKS_H
#define EXAMPLES_REVIEW_TASKS_H

#include <stdbool.h>

#include <mtl/mtl.h>

enum { REVIEW_TASKS = 16, REVIEW_DEVELOPMENT_ROWS = 200 };

extern const char *const review_task_names[REVIEW_TASKS];

typedef struct review_task {
    mtl_dataset *train;       /* <task>.task.train without its last 200 rows */
    mtl_dataset *development; /* those 200 */
    mtl_dataset *test;        /* <task>.task.test */
    bool *repeated;           /* for each test row: its letters and digits also occur in <task>.task.train */
} review_task;

/** Reads a task from a folder; bytes that are not UTF-8 are taken for Latin-1. Ends the program when that fails. */
void open_review_task(mtl_context *context, const char *folder, int task, review_task *out);

void release_review_task(review_task *task);

#endif
