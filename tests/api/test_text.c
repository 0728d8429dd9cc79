/* SPDX-License-Identifier: Apache-2.0
 * Tokenizer and vocabulary through the public headers: what texts become, what files are refused, and why. */
#include "support/support.h"

#include <mtl/text.h>

typedef struct joined {
    char text[4096];
    size_t size;
    int count;
    int stop_at; /* the call that returns MTL_ERROR_CANCELLED; 0: none */
} joined;

static mtl_status join(void *user, const char *token, size_t size)
{
    joined *out = user;
    if (out->size + size + 1 < sizeof out->text) {
        if (out->count > 0) {
            out->text[out->size++] = '|';
        }
        memcpy(out->text + out->size, token, size);
        out->size += size;
        out->text[out->size] = '\0';
    }
    out->count++;
    return out->count == out->stop_at ? MTL_ERROR_CANCELLED : MTL_OK;
}

static mtl_tokenizer *make_tokenizer(mtl_context *context, int fold, int strip, int punctuation, int bytes)
{
    mtl_tokenizer_options options = MTL_TOKENIZER_OPTIONS_INIT;
    options.fold_case = fold;
    options.strip_markup = strip;
    options.punctuation = punctuation;
    options.max_token_bytes = bytes;
    mtl_tokenizer *tokenizer = NULL;
    assert_ok(context, mtl_tokenizer_create(context, &options, &tokenizer));
    return tokenizer;
}

typedef struct golden {
    const char *text;
    size_t size;
    const char *tokens;
} golden;

#define CASE(text, tokens) {text, sizeof text - 1, tokens}

static void check_cases(mtl_tokenizer *tokenizer, mtl_context *context, const golden *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        joined out = {"", 0, 0, 0};
        /* In a block of its own size, so that a checker sees reads beyond it. */
        char *copy = malloc(cases[i].size ? cases[i].size : 1);
        assert_non_null(copy);
        memcpy(copy, cases[i].text, cases[i].size);
        mtl_status status = mtl_tokenizer_run(tokenizer, copy, cases[i].size, join, &out);
        free(copy);
        assert_ok(context, status);
        if (strcmp(out.text, cases[i].tokens) != 0) {
            fail_msg("case %zu: \"%s\" became \"%s\", not \"%s\"", i, cases[i].text, out.text, cases[i].tokens);
        }
    }
}

#define RUN_CASES(fold, strip, punctuation, bytes, cases) \
    do { \
        mtl_context *context = test_context(); \
        mtl_tokenizer *tokenizer = make_tokenizer(context, fold, strip, punctuation, bytes); \
        check_cases(tokenizer, context, cases, sizeof cases / sizeof cases[0]); \
        mtl_tokenizer_release(tokenizer); \
        mtl_context_release(context); \
    } while (0)

static void test_ascii(void **state)
{
    (void)state;
    static const golden cases[] = {
        CASE("", ""),
        CASE(" \t\r\n\x7f\x01", ""),
        CASE("Hello, World!", "hello|,|world|!"),
        CASE("Don't stop-me 3.14", "don't|stop|-|me|3|.|14"),
        CASE("'tis the dogs' rock'n'roll a''b '", "'|tis|the|dogs|'|rock'n'roll|a|'|'|b|'"),
        CASE("snake_case #39;s $5", "snake|_|case|#|39|;|s|$|5"),
        CASE("a\0b\0", "a|b"),
        CASE("A1b2C3", "a1b2c3"),
    };
    RUN_CASES(1, 1, 1, 64, cases);
}

static void test_case_folding(void **state)
{
    (void)state;
    static const golden cases[] = {
        CASE("Stra\u00DFe STRASSE", "strasse|strasse"),
        CASE("\u0130stanbul", "i\u0307stanbul"),
        CASE("\u0391\u03A3 \u03B1\u03C2", "\u03B1\u03C3|\u03B1\u03C3"),
        CASE("\uFB01sh \u212Aelvin \u212B", "fish|kelvin|\u00E5"),
        CASE("\u041C\u043E\u0441\u043A\u0432\u0410", "\u043C\u043E\u0441\u043A\u0432\u0430"),
        CASE("na\u00CFve \u00C9t\u00C9", "na\u00EFve|\u00E9t\u00E9"),
        CASE("Don\u2019t \u2018quoted\u2019", "don't|\u2018|quoted|\u2019"),
    };
    RUN_CASES(1, 1, 1, 64, cases);
}

static void test_normalization(void **state)
{
    (void)state;
    static const golden cases[] = {
        CASE("cafe\u0301 caf\u00E9", "caf\u00E9|caf\u00E9"),
        CASE("q\u0307\u0323 q\u0323\u0307", "q\u0323\u0307|q\u0323\u0307"), /* canonical order */
        CASE("\u1112\u1161\u11AB", "\uD55C"),                                     /* Hangul */
        CASE("\u0958", "\u0915\u093C"),                                             /* composition exclusion */
        CASE("=\u0338 \u2260", "\u2260|\u2260"),                                   /* a symbol with its mark */
        CASE("\u0301a", "\u0301a"),                                                 /* a mark without a base */
        CASE("co\u00ADop\u200Derate", "cooperate"), /* soft hyphen, joiner: as if not there */
        CASE("a\u200Bb\u00A0c\u3000d\u2028e", "a|b|c|d|e"), /* spaces of many kinds */
        CASE("\uFEFFbom", "bom"),
        CASE("a\u00B2 \u0661\u0662", "a\u00B2|\u0661\u0662"),
    };
    RUN_CASES(1, 1, 1, 64, cases);
}

static void test_other_scripts(void **state)
{
    (void)state;
    static const golden cases[] = {
        CASE("\u6211\u7231 \u5317\u4EAC\u3002", "\u6211\u7231|\u5317\u4EAC|\u3002"),
        CASE("I \u2764\uFE0F \U0001F468\u200D\U0001F469\u200D\U0001F467!",
             "i|\u2764|\U0001F468|\U0001F469|\U0001F467|!"),
        CASE("wow\U0001F600wow", "wow|\U0001F600|wow"),
        CASE("\u00BFQu\u00E9? \u20AC5 \u2014x", "\u00BF|qu\u00E9|?|\u20AC|5|\u2014|x"),
        CASE("\u0928\u092E\u0938\u094D\u0924\u0947", "\u0928\u092E\u0938\u094D\u0924\u0947"),
    };
    RUN_CASES(1, 1, 1, 64, cases);
}

#define BAD "\xEF\xBF\xBD"

static void test_invalid_utf8(void **state)
{
    (void)state;
    static const golden cases[] = {
        CASE("a\xFF" "b", "a|" BAD "|b"),
        CASE("\x80", BAD),
        CASE("\xE2\x82", BAD),                                 /* cut at the end: one subpart */
        CASE("\xE2\x82z", BAD "|z"),
        CASE("\xC0\xAF", BAD "|" BAD),                         /* overlong */
        CASE("\xE0\x80\x80", BAD "|" BAD "|" BAD),             /* overlong */
        CASE("\xED\xA0\x80", BAD "|" BAD "|" BAD),             /* surrogate */
        CASE("\xF4\x90\x80\x80", BAD "|" BAD "|" BAD "|" BAD), /* above 10FFFF */
        CASE("\xF0\x9F\x98", BAD),
        CASE("\xF5\xFE", BAD "|" BAD),
        /* Unicode 15, table 3-11 */
        CASE("\x61\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64",
             "a|" BAD "|" BAD "|" BAD "|b|" BAD "|c|" BAD "|" BAD "|d"),
        CASE("don'\xFF", "don|'|" BAD),
        CASE("\xEF\xBF\xBDx", BAD "|x"),
    };
    RUN_CASES(1, 1, 1, 64, cases);
    static const golden separated[] = {
        CASE("a\xFF" "b\xE2\x82", "a|b"),
    };
    RUN_CASES(1, 1, 0, 64, separated);
}

static void test_markup(void **state)
{
    (void)state;
    static const golden cases[] = {
        CASE("good<br /><br />bad", "good|bad"),
        CASE("<b>Bold</b>", "bold"),
        CASE("<a href=\"x y\">link</a>.", "link|."),
        CASE("a < b > c <3 1<2 x<y", "a|<|b|>|c|<|3|1|<|2|x|<|y"),
        CASE("<p", "<|p"),
        CASE("<", "<"),
        CASE("</", "<|/"),
        CASE("<a <b>x", "<|a|x"),
        CASE("AT&amp;T &#39;q&#x27; &lt;b&gt;", "at|t|q|b"),
        CASE("R&D &; &#; &amp", "r|&|d|&|;|&|#|;|&|amp"),
        CASE("&", "&"),
    };
    RUN_CASES(1, 1, 1, 64, cases);
    static const golden kept[] = {
        CASE("a<br>b &amp;", "a|<|br|>|b|&|amp|;"),
    };
    RUN_CASES(1, 0, 1, 64, kept);
}

static void test_options(void **state)
{
    (void)state;
    static const golden silent[] = {
        CASE("Hi, you! \u20AC \U0001F600 it's", "hi|you|it's"),
    };
    RUN_CASES(1, 1, 0, 64, silent);
    static const golden exact[] = {
        CASE("Stra\u00DFe Cafe\u0301 Don\u2019t", "Stra\u00DFe|Cafe\u0301|Don\u2019t"),
    };
    RUN_CASES(0, 1, 1, 64, exact);
    static const golden cut[] = {
        CASE("abcdefghijk x", "abcdefgh|x"),
        CASE("\u00E9\u00E9\u00E9\u00E9\u00E9 x", "\u00E9\u00E9\u00E9\u00E9|x"),
        CASE("a\u00E9\u00E9\u00E9\u00E9 x", "a\u00E9\u00E9\u00E9|x"), /* at a character's boundary */
    };
    RUN_CASES(1, 1, 1, 8, cut);
}

static void test_long_words(void **state)
{
    (void)state;
    enum { SIZE = 100001 };
    mtl_context *context = test_context();
    mtl_tokenizer *tokenizer = make_tokenizer(context, 1, 1, 1, 1024);
    char *text = malloc(SIZE);
    assert_non_null(text);
    memset(text, 'A', SIZE);
    joined out = {"", 0, 0, 0};
    assert_ok(context, mtl_tokenizer_run(tokenizer, text, SIZE, join, &out));
    assert_int_equal(out.count, 1);
    assert_int_equal(out.size, 1024);
    for (size_t i = 1; i + 1 < SIZE; i += 2) { /* a letter under 50,000 acute accents */
        memcpy(text + i, "\xCC\x81", 2);
    }
    joined marks = {"", 0, 0, 0};
    assert_ok(context, mtl_tokenizer_run(tokenizer, text, SIZE, join, &marks));
    assert_int_equal(marks.count, 1);
    assert_true(marks.size <= 1024 && marks.size > 1000);
    assert_memory_equal(marks.text, "\xC3\xA1\xCC\x81", 4); /* composed, then marks */
    free(text);
    mtl_tokenizer_release(tokenizer);
    mtl_context_release(context);
}

static void test_tokenizer_errors(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtl_tokenizer *tokenizer = NULL;
    mtl_tokenizer_options options = MTL_TOKENIZER_OPTIONS_INIT;
    options.max_token_bytes = 7;
    assert_fails(context, mtl_tokenizer_create(context, &options, &tokenizer), MTL_ERROR_ARGUMENT,
                 "max_token_bytes = 7");
    options.max_token_bytes = 1025;
    assert_fails(context, mtl_tokenizer_create(context, &options, &tokenizer), MTL_ERROR_ARGUMENT, "1025");
    options.max_token_bytes = 64;
    options.struct_size = 4;
    assert_fails(context, mtl_tokenizer_create(context, &options, &tokenizer), MTL_ERROR_ARGUMENT, "struct_size");
    assert_fails(context, mtl_tokenizer_create(context, NULL, NULL), MTL_ERROR_ARGUMENT, "out");
    assert_int_equal(mtl_tokenizer_create(NULL, NULL, &tokenizer), MTL_ERROR_ARGUMENT);
    assert_null(tokenizer);
    assert_ok(context, mtl_tokenizer_create(context, NULL, &tokenizer));
    joined out = {"", 0, 0, 2};
    assert_int_equal(mtl_tokenizer_run(tokenizer, "a b c", 5, join, &out), MTL_ERROR_CANCELLED);
    assert_string_equal(out.text, "a|b");
    assert_fails(context, mtl_tokenizer_run(tokenizer, NULL, 1, join, &out), MTL_ERROR_ARGUMENT, "text");
    assert_fails(context, mtl_tokenizer_run(tokenizer, "a", 1, NULL, &out), MTL_ERROR_ARGUMENT, "receive");
    assert_int_equal(mtl_tokenizer_run(NULL, "a", 1, join, &out), MTL_ERROR_ARGUMENT);
    assert_ok(context, mtl_tokenizer_run(tokenizer, NULL, 0, join, &out));
    uint64_t before = test_allocations(context);
    assert_ok(context, mtl_tokenizer_run(tokenizer, "Caf\u00C9 x", 7, join, &out));
    assert_int_equal(test_allocations(context), before);
    mtl_context_release(context); /* the tokenizer keeps it */
    mtl_tokenizer_release(mtl_tokenizer_retain(tokenizer));
    mtl_tokenizer_release(tokenizer);
    mtl_tokenizer_release(NULL);
    assert_null(mtl_tokenizer_retain(NULL));
}

/* ---- vocabulary ---- */

static mtl_vocabulary_builder *make_builder(mtl_context *context, const char *text)
{
    mtl_tokenizer *tokenizer = make_tokenizer(context, 1, 1, 1, 64);
    mtl_vocabulary_builder *builder = NULL;
    assert_ok(context, mtl_vocabulary_builder_create(context, tokenizer, &builder));
    mtl_tokenizer_release(tokenizer);
    assert_ok(context, mtl_vocabulary_builder_add(builder, text, strlen(text)));
    return builder;
}

static mtl_vocabulary *make_vocabulary(mtl_context *context, const char *text)
{
    mtl_vocabulary_builder *builder = make_builder(context, text);
    mtl_vocabulary *vocabulary = NULL;
    assert_ok(context, mtl_vocabulary_builder_finish(builder, NULL, &vocabulary));
    mtl_vocabulary_builder_destroy(builder);
    return vocabulary;
}

static void test_vocabulary_order(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtl_vocabulary_builder *builder = make_builder(context, "b a b c A b zebra apple ab");
    mtl_vocabulary *all = NULL;
    assert_ok(context, mtl_vocabulary_builder_finish(builder, NULL, &all));
    static const char *const tokens[] = {"<pad>", "<unk>", "b", "a", "ab", "apple", "c", "zebra"};
    static const int counts[] = {0, 0, 3, 2, 1, 1, 1, 1};
    assert_int_equal(mtl_vocabulary_size(all), 8);
    for (int32_t id = 0; id < 8; id++) {
        assert_string_equal(mtl_vocabulary_token(all, id), tokens[id]);
        assert_int_equal(mtl_vocabulary_count(all, id), counts[id]);
        int32_t expected = id == 0 ? MTL_TOKEN_UNKNOWN : id;
        assert_int_equal(mtl_vocabulary_find(all, tokens[id], strlen(tokens[id])), expected);
    }
    assert_null(mtl_vocabulary_token(all, -1));
    assert_null(mtl_vocabulary_token(all, 8));
    assert_int_equal(mtl_vocabulary_count(all, 8), 0);
    assert_int_equal(mtl_vocabulary_find(all, "nothing", 7), MTL_TOKEN_UNKNOWN);
    mtl_vocabulary_options options = MTL_VOCABULARY_OPTIONS_INIT;
    options.min_count = 2;
    mtl_vocabulary *frequent = NULL;
    assert_ok(context, mtl_vocabulary_builder_finish(builder, &options, &frequent));
    assert_int_equal(mtl_vocabulary_size(frequent), 4);
    options.min_count = 1;
    options.max_size = 5;
    mtl_vocabulary *small = NULL;
    assert_ok(context, mtl_vocabulary_builder_finish(builder, &options, &small));
    assert_int_equal(mtl_vocabulary_size(small), 5);
    assert_string_equal(mtl_vocabulary_token(small, 4), "ab");
    assert_true(mtl_vocabulary_fingerprint(all) != mtl_vocabulary_fingerprint(small));
    mtl_vocabulary *again = NULL;
    assert_ok(context, mtl_vocabulary_builder_finish(builder, NULL, &again));
    assert_true(mtl_vocabulary_fingerprint(all) == mtl_vocabulary_fingerprint(again));
    mtl_vocabulary_builder_destroy(builder);
    mtl_vocabulary_release(again);
    mtl_vocabulary_release(small);
    mtl_vocabulary_release(frequent);
    mtl_vocabulary_release(all);
    mtl_context_release(context);
}

static void test_vocabulary_encode(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtl_vocabulary *vocabulary = make_vocabulary(context, "x x x y y z");
    int32_t ids[4] = {-9, -9, -9, -9};
    size_t count = 0;
    const char *text = "Z y nothing <pad>x";
    assert_ok(context, mtl_vocabulary_encode(vocabulary, text, strlen(text), ids, 3, &count));
    assert_int_equal(count, 4); /* <pad> is a tag: it separates */
    assert_int_equal(ids[0], 4);
    assert_int_equal(ids[1], 3);
    assert_int_equal(ids[2], MTL_TOKEN_UNKNOWN);
    assert_int_equal(ids[3], -9);
    assert_ok(context, mtl_vocabulary_encode(vocabulary, NULL, 0, NULL, 0, &count));
    assert_int_equal(count, 0);
    assert_fails(context, mtl_vocabulary_encode(vocabulary, text, 3, NULL, 1, &count), MTL_ERROR_ARGUMENT, "ids");
    assert_fails(context, mtl_vocabulary_encode(vocabulary, text, 3, ids, 1, NULL), MTL_ERROR_ARGUMENT, "count");
    assert_fails(context, mtl_vocabulary_encode(vocabulary, NULL, 3, ids, 1, &count), MTL_ERROR_ARGUMENT, "text");
    assert_int_equal(mtl_vocabulary_encode(NULL, text, 3, ids, 1, &count), MTL_ERROR_ARGUMENT);
    mtl_vocabulary_release(vocabulary);
    mtl_context_release(context);
}

static void test_vocabulary_errors(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    mtl_vocabulary_builder *builder = make_builder(context, "a");
    mtl_vocabulary *vocabulary = NULL;
    mtl_vocabulary_options options = MTL_VOCABULARY_OPTIONS_INIT;
    options.max_size = 1;
    assert_fails(context, mtl_vocabulary_builder_finish(builder, &options, &vocabulary), MTL_ERROR_ARGUMENT,
                 "max_size = 1");
    assert_fails(context, mtl_vocabulary_builder_finish(builder, NULL, NULL), MTL_ERROR_ARGUMENT, "out");
    assert_fails(context, mtl_vocabulary_builder_add(builder, NULL, 5), MTL_ERROR_ARGUMENT, "text");
    assert_fails(context, mtl_vocabulary_builder_create(context, NULL, &builder), MTL_ERROR_ARGUMENT, "tokenizer");
    assert_fails(context, mtl_vocabulary_load(context, NULL, &vocabulary), MTL_ERROR_ARGUMENT, "path");
    assert_fails(context, mtl_vocabulary_load(context, "x", NULL), MTL_ERROR_ARGUMENT, "out");
    assert_int_equal(mtl_vocabulary_builder_add(NULL, "a", 1), MTL_ERROR_ARGUMENT);
    assert_int_equal(mtl_vocabulary_builder_finish(NULL, NULL, &vocabulary), MTL_ERROR_ARGUMENT);
    assert_int_equal(mtl_vocabulary_load(NULL, "x", &vocabulary), MTL_ERROR_ARGUMENT);
    assert_int_equal(mtl_vocabulary_save(NULL, "x"), MTL_ERROR_ARGUMENT);
    assert_int_equal(mtl_vocabulary_size(NULL), 0);
    assert_int_equal(mtl_vocabulary_find(NULL, "a", 1), MTL_TOKEN_UNKNOWN);
    assert_int_equal(mtl_vocabulary_fingerprint(NULL), 0);
    assert_null(mtl_vocabulary_token(NULL, 0));
    mtl_vocabulary_release(NULL);
    mtl_vocabulary_builder_destroy(NULL);
    mtl_vocabulary_builder_destroy(builder);
    mtl_context_release(context);
}

static void test_vocabulary_round_trip(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    test_folder folder;
    test_folder_create(&folder);
    mtl_vocabulary *saved = make_vocabulary(context, "caf\u00E9 caf\u00E9 \U0001F600 it's < > & <unk> \xFF naive");
    const char *path = test_path(&folder, "words.txt");
    assert_ok(context, mtl_vocabulary_save(saved, path));
    mtl_vocabulary *loaded = NULL;
    assert_ok(context, mtl_vocabulary_load(context, path, &loaded));
    assert_int_equal(mtl_vocabulary_size(loaded), mtl_vocabulary_size(saved));
    for (int32_t id = 0; id < mtl_vocabulary_size(saved); id++) {
        assert_string_equal(mtl_vocabulary_token(loaded, id), mtl_vocabulary_token(saved, id));
        assert_int_equal(mtl_vocabulary_count(loaded, id), mtl_vocabulary_count(saved, id));
    }
    assert_true(mtl_vocabulary_fingerprint(loaded) == mtl_vocabulary_fingerprint(saved));
    assert_ok(context, mtl_vocabulary_save(loaded, path)); /* over the old one */
    assert_int_equal(test_count_files(folder.path), 1);    /* no temporary is left */
    assert_fails(context, mtl_vocabulary_save(saved, test_path(&folder, "no/such/folder")), MTL_ERROR_IO, "no/such");
    assert_fails(context, mtl_vocabulary_save(saved, NULL), MTL_ERROR_ARGUMENT, "path");
    mtl_vocabulary_release(loaded);
    mtl_vocabulary_release(saved);
    test_folder_remove(&folder);
    mtl_context_release(context);
}

#define HEAD(size) \
    "libmtl-vocabulary 1 fold_case=1 strip_markup=1 punctuation=1 max_token_bytes=64 size=" size "\n"
#define BODY "<pad>\t0\n<unk>\t0\n"

typedef struct malformed_file {
    const char *text;
    size_t size;
    mtl_status status;
    const char *message;
} malformed_file;

#define FILE_CASE(text, status, message) {text, sizeof text - 1, status, message}

static const malformed_file malformed_files[] = {
    FILE_CASE("", MTL_ERROR_FORMAT, "words.txt:1: "),
    FILE_CASE("hello\nworld\n", MTL_ERROR_FORMAT, "words.txt:1: does not begin"),
    FILE_CASE("libmtl-vocabulary 2 fold_case=1\n", MTL_ERROR_FORMAT, "words.txt:1: does not begin"),
    FILE_CASE("libmtl-vocabulary 1 ", MTL_ERROR_FORMAT, "words.txt:1: "),
    FILE_CASE("libmtl-vocabulary 1 \n", MTL_ERROR_FORMAT, "words.txt:1: the header"),
    FILE_CASE("libmtl-vocabulary 1 fold_case=2 strip_markup=1 punctuation=1 max_token_bytes=64 size=2\n" BODY,
              MTL_ERROR_FORMAT, "words.txt:1: the header"),
    FILE_CASE("libmtl-vocabulary 1 fold_case=1 strip_markup=1 punctuation=1 max_token_bytes=7 size=2\n" BODY,
              MTL_ERROR_FORMAT, "words.txt:1: the header"),
    FILE_CASE("libmtl-vocabulary 1 fold_case=1 strip_markup=1 punctuation=1 max_token_bytes=64 size=2 \n" BODY,
              MTL_ERROR_FORMAT, "words.txt:1: the header"),
    FILE_CASE("libmtl-vocabulary 1 fold_case=1 strip_markup=1 punctuation=1 max_token_bytes=64 size=2 x=1\n" BODY,
              MTL_ERROR_FORMAT, "words.txt:1: the header"),
    FILE_CASE(HEAD("1") BODY, MTL_ERROR_FORMAT, "words.txt:1: the header"),
    FILE_CASE(HEAD("-2") BODY, MTL_ERROR_FORMAT, "words.txt:1: the header"),
    FILE_CASE(HEAD("02") BODY, MTL_ERROR_FORMAT, "words.txt:1: the header"),
    FILE_CASE(HEAD("99999999999999999999") BODY, MTL_ERROR_FORMAT, "words.txt:1: the header"),
    FILE_CASE(HEAD("99999999999") BODY, MTL_ERROR_LIMIT, "words.txt:1: size = 99999999999"),
    FILE_CASE(HEAD("2000000000") BODY, MTL_ERROR_FORMAT, "words.txt:1: size = 2000000000"),
    FILE_CASE(HEAD("4") BODY "a\t1\n", MTL_ERROR_FORMAT, "words.txt:5: the file ends too early"),
    FILE_CASE(HEAD("3") BODY "a\t1", MTL_ERROR_FORMAT, "words.txt:4: the last line does not end"),
    FILE_CASE(HEAD("3") BODY "a\t1\nb\t1\n", MTL_ERROR_FORMAT, "words.txt:5: there are more lines"),
    FILE_CASE(HEAD("3") BODY "a\t1\n\n", MTL_ERROR_FORMAT, "words.txt:5: there are more lines"),
    FILE_CASE(HEAD("3") "<unk>\t0\n<pad>\t0\na\t1\n", MTL_ERROR_FORMAT, "words.txt:2: "),
    FILE_CASE(HEAD("4") BODY "a\t1\na\t1\n", MTL_ERROR_FORMAT, "words.txt:5: the token stands in line 4 already"),
    FILE_CASE(HEAD("3") BODY "<pad>\t1\n", MTL_ERROR_FORMAT, "words.txt:4: the token stands in line 2 already"),
    FILE_CASE(HEAD("3") BODY "\t1\n\n\n", MTL_ERROR_FORMAT, "words.txt:4: the token is empty"),
    FILE_CASE(HEAD("3") BODY "abc\n", MTL_ERROR_FORMAT, "words.txt:4: there is no tab"),
    FILE_CASE(HEAD("3") BODY "abc\t\n", MTL_ERROR_FORMAT, "words.txt:4: what follows the tab"),
    FILE_CASE(HEAD("3") BODY "abc\t0\n", MTL_ERROR_FORMAT, "words.txt:4: what follows the tab"),
    FILE_CASE(HEAD("3") BODY "abc\t1x\n", MTL_ERROR_FORMAT, "words.txt:4: what follows the tab"),
    FILE_CASE(HEAD("3") BODY "abc\t1\t2\n", MTL_ERROR_FORMAT, "words.txt:4: what follows the tab"),
    FILE_CASE(HEAD("3") BODY "abc\t-1\n", MTL_ERROR_FORMAT, "words.txt:4: what follows the tab"),
    FILE_CASE(HEAD("3") BODY "abc\t9223372036854775808\n", MTL_ERROR_FORMAT, "words.txt:4: what follows the tab"),
    FILE_CASE(HEAD("3") BODY "abc\t1\r\n", MTL_ERROR_FORMAT, "words.txt:4: what follows the tab"),
    FILE_CASE(HEAD("3") BODY "a\xFF\t1\n", MTL_ERROR_FORMAT, "words.txt:4: the token is not UTF-8"),
    FILE_CASE(HEAD("3") BODY "a\xED\xA0\x80\t1\n", MTL_ERROR_FORMAT, "words.txt:4: the token is not UTF-8"),
    FILE_CASE(HEAD("3") BODY "a\0b\t1\n", MTL_ERROR_FORMAT, "words.txt:4: the token has a zero byte"),
    FILE_CASE(HEAD("3") BODY "a b\t1\n", MTL_ERROR_FORMAT, "words.txt:4: the token has a space"),
    FILE_CASE(HEAD("3") BODY "0123456789012345678901234567890123456789012345678901234567890123x\t1\n",
              MTL_ERROR_FORMAT, "words.txt:4: the token is longer"),
};

static void test_malformed_files(void **state)
{
    (void)state;
    mtl_test_allocator allocator;
    test_allocator_init(&allocator);
    mtl_context *context = test_context_on(&allocator);
    test_folder folder;
    test_folder_create(&folder);
    long blocks = allocator.live_blocks;
    for (size_t i = 0; i < sizeof malformed_files / sizeof malformed_files[0]; i++) {
        const malformed_file *file = &malformed_files[i];
        const char *path = test_write(&folder, "words.txt", file->text, file->size);
        mtl_vocabulary *vocabulary = NULL;
        assert_fails(context, mtl_vocabulary_load(context, path, &vocabulary), file->status, file->message);
        assert_null(vocabulary);
        assert_int_equal(allocator.live_blocks, blocks);
    }
    test_folder_remove(&folder);
    mtl_context_release(context);
    test_allocator_check(&allocator);
}

/* Every prefix of a good file is refused; nothing but the whole is a vocabulary. */
static void test_truncated_files(void **state)
{
    (void)state;
    mtl_context *context = test_context();
    test_folder folder;
    test_folder_create(&folder);
    static const char good[] = HEAD("5") BODY "the\t30\ncaf\u00E9\t2\nz\t1\n";
    mtl_vocabulary *vocabulary = NULL;
    for (size_t size = 0; size < sizeof good - 1; size++) {
        const char *path = test_write(&folder, "words.txt", good, size);
        assert_fails(context, mtl_vocabulary_load(context, path, &vocabulary), MTL_ERROR_FORMAT, "words.txt:");
    }
    assert_ok(context, mtl_vocabulary_load(context, test_write_text(&folder, "words.txt", good), &vocabulary));
    assert_int_equal(mtl_vocabulary_size(vocabulary), 5);
    mtl_vocabulary_release(vocabulary);
    vocabulary = NULL;
    assert_fails(context, mtl_vocabulary_load(context, folder.path, &vocabulary), MTL_ERROR_IO, folder.path);
    const char *missing = test_path(&folder, "missing");
    assert_fails(context, mtl_vocabulary_load(context, missing, &vocabulary), MTL_ERROR_IO, "missing");
    test_folder_remove(&folder);
    mtl_context_release(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ascii),
        cmocka_unit_test(test_case_folding),
        cmocka_unit_test(test_normalization),
        cmocka_unit_test(test_other_scripts),
        cmocka_unit_test(test_invalid_utf8),
        cmocka_unit_test(test_markup),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_long_words),
        cmocka_unit_test(test_tokenizer_errors),
        cmocka_unit_test(test_vocabulary_order),
        cmocka_unit_test(test_vocabulary_encode),
        cmocka_unit_test(test_vocabulary_errors),
        cmocka_unit_test(test_vocabulary_round_trip),
        cmocka_unit_test(test_malformed_files),
        cmocka_unit_test(test_truncated_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
