/* SPDX-License-Identifier: Apache-2.0
 * Name patterns, beside the definition written down recursively. */
#include "support.h"

#include "optim/pattern.h"

static void matches_as_documented(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *name;
        bool expected;
    } cases[] = {
        {"", "", true},
        {"", "a", false},
        {"*", "", true},
        {"*", "encoder.lstm.weight_ih_l0", true},
        {"?", "", false},
        {"?", "a", true},
        {"?", "ab", false},
        {"encoder.*", "encoder.embedding.weight", true},
        {"encoder.*", "encoder", false},
        {"encoder.*", "encoder.", true},
        {"encoder.*", "my.encoder.x", false},
        {"*.bias", "topic.bias", true},
        {"*.bias", "topic.bias2", false},
        {"*.bias", "topic.bias.bias", true},
        {"*bias*", "encoder.lstm.bias_ih_l0", true},
        {"a*b*c", "a.b.b.c", true},
        {"a*b*c", "a.c.b", false},
        {"***", "x", true},
        {"a?c", "abc", true},
        {"a?c", "ac", false},
        {"topic.weight", "topic.weight", true},
        {"topic.weight", "topic.Weight", false},
        {"[a]", "a", false}, /* only '*' and '?' are special */
        {"a\\*", "a*", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (mtli_pattern_matches(cases[i].pattern, cases[i].name) != cases[i].expected) {
            fail_msg("'%s' and '%s'", cases[i].pattern, cases[i].name);
        }
    }
}

static bool by_definition(const char *pattern, const char *name)
{
    if (*pattern == '\0') {
        return *name == '\0';
    }
    if (*pattern == '*') {
        return by_definition(pattern + 1, name) || (*name && by_definition(pattern, name + 1));
    }
    return *name && (*pattern == '?' || *pattern == *name) && by_definition(pattern + 1, name + 1);
}

/* All words of up to `length` letters of an alphabet, in the order of counting. */
static bool next_word(char *word, size_t length, const char *alphabet)
{
    for (size_t i = 0; i < length; i++) {
        const char *letter = word[i] ? strchr(alphabet, word[i]) : NULL;
        const char *next = letter ? letter + 1 : alphabet;
        if (*next) {
            word[i] = *next;
            return true;
        }
        word[i] = alphabet[0];
    }
    return false;
}

static void agrees_with_the_definition_on_all_short_words(void **state)
{
    (void)state;
    char pattern[6] = "";
    do {
        char name[6] = "";
        do {
            if (mtli_pattern_matches(pattern, name) != by_definition(pattern, name)) {
                fail_msg("'%s' and '%s'", pattern, name);
            }
        } while (next_word(name, 5, "ab"));
    } while (next_word(pattern, 5, "ab*?"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_as_documented),
        cmocka_unit_test(agrees_with_the_definition_on_all_short_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
