/* SPDX-License-Identifier: Apache-2.0
 * A balancer from the command line of an example. */
#include "open_balancer.h"

#include "check.h"
#include "take_option.h"

static void print_methods(FILE *out)
{
    for (int32_t m = MTL_BALANCE_EQUAL; m < MTL_BALANCE_CUSTOM; m++) {
        fprintf(out, "%s%s",
                m == MTL_BALANCE_EQUAL ? "    "
                : m % 10 == 0          ? ",\n    "
                                       : ", ",
                mtl_balance_method_name(m));
    }
    fputc('\n', out);
}

balance_choice take_balance(int *argc, char **argv)
{
    balance_choice choice = {0};
    choice.name = take_option(argc, argv, "--balance", NULL);
    choice.measure = (int32_t)take_number(argc, argv, "--measure", 10);
    choice.csv = take_option(argc, argv, "--csv", NULL);
    choice.method = choice.name ? mtl_balance_method_find(choice.name) : MTL_BALANCE_EQUAL;
    if (choice.method < 0 || choice.method == MTL_BALANCE_CUSTOM) {
        fprintf(stderr, "--balance %s: expected one of\n", choice.name);
        print_methods(stderr);
        exit(2);
    }
    if (choice.csv && !choice.name) {
        fprintf(stderr, "--csv needs --balance; with equal weights it is --balance equal\n");
        exit(2);
    }
    return choice;
}

int balance_needs(const balance_choice *choice, int32_t flags)
{
    return choice->name && (mtl_balance_method_needs(choice->method) & flags) != 0;
}

mtl_balancer *open_balancer(mtl_context *context, const balance_choice *choice)
{
    mtl_balancer *balancer = NULL;
    mtl_balancer_options options = MTL_BALANCER_OPTIONS_INIT;
    options.method = choice->method;
    options.measure_every = choice->measure;
    CHECK(context, mtl_balancer_create(context, &options, &balancer));
    return balancer;
}

void print_balance_help(void)
{
    puts("  --balance            how tasks are balanced; the method's published defaults. One of:");
    print_methods(stdout);
    puts("  --measure            with --balance: form task gradients in every n-th step, for --csv and the map of "
         "conflicts,\n"
         "                       also where the method does without them; 0: never (10)\n"
         "  --csv                with --balance: file for means of each epoch: losses, weights, norms, conflicts, "
         "cosines");
}
