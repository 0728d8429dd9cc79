/* SPDX-License-Identifier: Apache-2.0
 * Options that only one example has; the rest of its command line goes to read_settings(). */
#ifndef EXAMPLES_TAKE_OPTION_H
#define EXAMPLES_TAKE_OPTION_H

/** Removes "name value" from a list of such pairs. The last one counts.
 *  @return the value; `fallback` when the option is not there */
const char *take_option(int *argc, char **argv, const char *name, const char *fallback);

/** Likewise, one of `count` words. Ends the program when it is another. @return its position */
int take_choice(int *argc, char **argv, const char *name, const char *const *words, int count, int fallback);

/** Likewise, a number >= 0. Ends the program when it is something else. */
double take_number(int *argc, char **argv, const char *name, double fallback);

#endif
