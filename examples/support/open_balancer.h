/* SPDX-License-Identifier: Apache-2.0
 * A balancer from the command line of an example. */
#ifndef EXAMPLES_OPEN_BALANCER_H
#define EXAMPLES_OPEN_BALANCER_H

#include <mtl/mtl.h>

/** What the command line says about balancing. */
typedef struct balance_choice {
    const char *name; /* of the method; NULL: no balancer */
    int32_t method;
    int32_t measure; /* form task gradients in every n-th step also where the method does without; 0: never */
    const char *csv; /* NULL: none */
} balance_choice;

/** Takes --balance, --measure and --csv out of a command line. Ends the program when there is no such method. */
balance_choice take_balance(int *argc, char **argv);

/** Whether the method needs something: MTL_BALANCE_NEEDS_.. */
int balance_needs(const balance_choice *choice, int32_t flags);

/** Creates the balancer, with the published defaults of its method. Ends the program when that fails. */
mtl_balancer *open_balancer(mtl_context *context, const balance_choice *choice);

/** Prints the options and the methods. */
void print_balance_help(void);

#endif
