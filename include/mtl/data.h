/* SPDX-License-Identifier: Apache-2.0 */
/** @file data.h
 *  @brief From files to batches: datasets of labelled texts, and the sampler that mixes tasks.
 *
 *  A dataset keeps an index (where each text begins, its labels), not the texts: files larger than memory stay on disk
 *  and must not change while the dataset lives. A sampler keeps token ids in memory up to a budget and reads again
 *  beyond it.
 */
#ifndef MTL_DATA_H
#define MTL_DATA_H

#include <stddef.h>
#include <stdint.h>

#include <mtl/loss.h>
#include <mtl/tensor.h>
#include <mtl/text.h>

MTL_BEGIN_DECLS

/** A dataset; reference-counted, immutable. Each row has a text and one label per label column. */
typedef struct mtl_dataset mtl_dataset;

/** Kinds of label columns. */
enum {
    MTL_LABELS_CLASS = 0, /**< the field is one of the class names; empty: MTL_LABEL_NONE */
    MTL_LABELS_REAL = 1   /**< the field is a decimal number of float32's range; empty: NaN */
};

/** A label column of a table. */
typedef struct mtl_label_column {
    int32_t column;             /**< position in the line, from 0 */
    int32_t kind;               /**< MTL_LABELS_CLASS or MTL_LABELS_REAL */
    const char *const *classes; /**< names of the classes, in the order of their numbers; read during the call */
    int64_t num_classes;        /**< MTL_LABELS_CLASS: 2 to 65536 */
} mtl_label_column;

/** Options of mtl_dataset_open_table(). */
typedef struct mtl_table_options {
    size_t struct_size;             /**< sizeof(mtl_table_options), set by MTL_TABLE_OPTIONS_INIT */
    const int32_t *text_columns;    /**< positions, from 0; the fields are joined by a space; required */
    int64_t num_text_columns;       /**< 1 to 16 */
    const mtl_label_column *labels; /**< required unless num_labels is 0 */
    int64_t num_labels;             /**< 0 (texts only) to 64 */
    int32_t delimiter;              /**< ',' (default) or '\t' or another ASCII character */
    int32_t quotes;                 /**< not 0 (default): fields may be quoted with '"', doubled inside (RFC 4180); such
                                         fields may hold line breaks. 0: '"' is a character like any other */
    int32_t header;                 /**< not 0: the first line has names and is skipped; default 0 */
    int32_t columns;                /**< fields in every line; 0 (default): as many as the first line has */
    int64_t max_line_bytes;         /**< longer lines are MTL_ERROR_LIMIT; default 16 MiB */
} mtl_table_options;

/** Initializer of mtl_table_options. */
#define MTL_TABLE_OPTIONS_INIT { sizeof(mtl_table_options), NULL, 0, NULL, 0, ',', 1, 0, 0, 16777216 }

/** Opens a CSV or TSV file with chosen columns and reads its index.
 *
 *  @param[in]  context  not NULL
 *  @param[in]  path     file name
 *  @param[in]  options  not NULL
 *  @param[out] out      receives the dataset; untouched on failure
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_UNSUPPORTED, MTL_ERROR_IO, MTL_ERROR_FORMAT (file, line and reason in
 *          the message: wrong number of fields, unknown label, quote that does not end, zero byte, no line),
 *          MTL_ERROR_LIMIT, MTL_ERROR_MEMORY
 *  @ownership the caller owns one reference: mtl_dataset_release()
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_dataset_open_table(mtl_context *context, const char *path,
                                                        const mtl_table_options *options, mtl_dataset **out);

/** Opens a file in the form of AG News: "class","title","description" with classes 1 to 4 (World, Sports, Business,
 *  Sci/Tech). Zhang, Zhao & LeCun 2015. "class","text" is accepted as well.
 *  @param[in] context not NULL @param[in] path file name @param[out] out receives the dataset
 *  @return as mtl_dataset_open_table() @ownership the caller's @since 0.1 */
MTL_API MTL_NODISCARD mtl_status mtl_dataset_open_ag_news(mtl_context *context, const char *path, mtl_dataset **out);

/** Opens one split of the aclImdb folder ("train" or "test"): one *.txt file per review in neg/ (class 0) and pos/
 *  (class 1), at most 16 MiB each. Rows are ordered by the number that begins the name, then by class, so that any part
 *  holds both classes. Maas et al. 2011.
 *  @param[in] context not NULL @param[in] path folder that holds neg/ and pos/ @param[out] out receives the dataset
 *  @return as mtl_dataset_open_table() @ownership the caller's @since 0.1 */
MTL_API MTL_NODISCARD mtl_status mtl_dataset_open_imdb(mtl_context *context, const char *path, mtl_dataset **out);

/** Makes a dataset of texts in memory, with one column of class labels.
 *
 *  @param[in]  context      not NULL
 *  @param[in]  texts        rows zero-terminated texts; copied
 *  @param[in]  labels       rows numbers in [0, num_classes) or MTL_LABEL_NONE; copied; NULL: no label column
 *  @param[in]  rows         >= 0
 *  @param[in]  num_classes  >= 2; not read when labels is NULL
 *  @param[out] out          receives the dataset; untouched on failure
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_LIMIT, MTL_ERROR_MEMORY
 *  @ownership the caller owns one reference: mtl_dataset_release()
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_dataset_create(mtl_context *context, const char *const *texts,
                                                    const int32_t *labels, int64_t rows, int64_t num_classes,
                                                    mtl_dataset **out);

/** The rows [begin, end) of a dataset as a dataset of its own: a validation part, for instance.
 *  @param[in] dataset not NULL @param[in] begin 0 to rows @param[in] end begin to rows @param[out] out receives it
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_MEMORY @ownership the caller's @since 0.1 */
MTL_API MTL_NODISCARD mtl_status mtl_dataset_slice(mtl_dataset *dataset, int64_t begin, int64_t end, mtl_dataset **out);

/** Takes one more reference. @param[in] dataset may be NULL @return dataset @since 0.1 */
MTL_API mtl_dataset *mtl_dataset_retain(mtl_dataset *dataset);

/** Gives a reference back. @param[in] dataset may be NULL @since 0.1 */
MTL_API void mtl_dataset_release(mtl_dataset *dataset);

/** The number of rows. @param[in] dataset not NULL @return 0 for NULL @since 0.1 */
MTL_API int64_t mtl_dataset_rows(const mtl_dataset *dataset);

/** The number of label columns. @param[in] dataset not NULL @return 0 for NULL @since 0.1 */
MTL_API int64_t mtl_dataset_num_labels(const mtl_dataset *dataset);

/** The number of classes of a label column. @param[in] dataset not NULL @param[in] label column from 0
 *  @return 0 for a real column or none @since 0.1 */
MTL_API int64_t mtl_dataset_num_classes(const mtl_dataset *dataset, int64_t label);

/** A label. @param[in] dataset not NULL @param[in] row from 0 @param[in] label column from 0
 *  @return the class number (MTL_LABEL_NONE: none) or the real value (NaN: none); NaN when row or label is out of range
 *  @since 0.1 */
MTL_API double mtl_dataset_label(const mtl_dataset *dataset, int64_t row, int64_t label);

/** Reads a row's text.
 *
 *  @param[in]  dataset   not NULL
 *  @param[in]  row       from 0
 *  @param[out] text      room for capacity bytes, not terminated; may be NULL when capacity is 0
 *  @param[in]  capacity  bytes
 *  @param[out] size      receives the whole size, also when it is more than capacity
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_IO (the file changed or is gone), MTL_ERROR_MEMORY
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_dataset_text(mtl_dataset *dataset, int64_t row, char *text, size_t capacity,
                                                  size_t *size);

/** Counts the tokens of all rows; after a failure the rows before it stay counted.
 *  @param[in] builder not NULL @param[in] dataset not NULL
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_IO, MTL_ERROR_LIMIT, MTL_ERROR_MEMORY @since 0.1 */
MTL_API MTL_NODISCARD mtl_status mtl_vocabulary_builder_add_dataset(mtl_vocabulary_builder *builder,
                                                                    mtl_dataset *dataset);

/** Makes batches from the datasets of several tasks. */
typedef struct mtl_sampler mtl_sampler;

/** One batch: ragged inputs and the labels of every task. */
typedef struct mtl_batch mtl_batch;

/** How many rows of each dataset come. */
enum {
    MTL_SAMPLING_PROPORTIONAL = 0, /**< by size: an epoch is every row once */
    MTL_SAMPLING_UNIFORM = 1,      /**< equally; an epoch has as many rows as all datasets; small ones repeat */
    MTL_SAMPLING_TEMPERATURE = 2,  /**< by size ^ (1 / temperature) (Devlin's exponent for multilingual BERT; Arivazhagan
                                        et al. 2019); an epoch as in UNIFORM */
    MTL_SAMPLING_ROUND_ROBIN = 3   /**< each batch from one dataset, in turn; an epoch ends when every dataset has been
                                        through at least once */
};

/** Options of mtl_sampler_create(). */
typedef struct mtl_sampler_options {
    size_t struct_size;   /**< sizeof(mtl_sampler_options), set by MTL_SAMPLER_OPTIONS_INIT */
    uint64_t seed;        /**< order of the rows; default 0 */
    uint64_t cache_bytes; /**< token ids kept in memory; beyond it rows are read again; default 1 GiB */
    int64_t batch_rows;   /**< rows of a batch, >= 1; default 64 */
    int64_t max_tokens;   /**< longer texts are cut, keeping their first tokens; >= 1; default 256 */
    int64_t bucket_batches; /**< rows of this many batches are sorted by length, each dataset by itself, and dealt out so
                                 that tasks stay mixed; batches come in random order; 1: no bucketing; default 32 */
    double temperature;   /**< MTL_SAMPLING_TEMPERATURE: >= 1; default 5 */
    int32_t strategy;     /**< MTL_SAMPLING_PROPORTIONAL (default), .. */
    int32_t shuffle;      /**< not 0 (default): random order; 0: the datasets in order, for evaluation */
    int32_t keep_tail;    /**< where a text is cut, this many of max_tokens come from its end; default 0 */
    int32_t reserved0;    /**< 0 */
} mtl_sampler_options;

/** Initializer of mtl_sampler_options. */
#define MTL_SAMPLER_OPTIONS_INIT \
    { sizeof(mtl_sampler_options), 0, 1073741824, 64, 256, 32, 5.0, MTL_SAMPLING_PROPORTIONAL, 1, 0, 0 }

/** Creates a sampler for tasks 0 to num_tasks - 1, without datasets.
 *
 *  @param[in]  context     not NULL
 *  @param[in]  vocabulary  retained
 *  @param[in]  num_tasks   1 to 1024
 *  @param[in]  options     NULL for every default
 *  @param[out] out         receives the sampler; untouched on failure
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_UNSUPPORTED, MTL_ERROR_MEMORY
 *  @ownership the caller owns it: mtl_sampler_destroy()
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_sampler_create(mtl_context *context, mtl_vocabulary *vocabulary, int32_t num_tasks,
                                                    const mtl_sampler_options *options, mtl_sampler **out);

/** Ends a sampler and its batch. @param[in] sampler may be NULL @since 0.1 */
MTL_API void mtl_sampler_destroy(mtl_sampler *sampler);

/** Adds a dataset: reads and tokenizes it once.
 *
 *  @param[in] sampler  not NULL, before the first batch
 *  @param[in] dataset  retained; at least one row
 *  @param[in] tasks    for each label column the task that it labels, or -1 for none; different columns, different tasks.
 *                      All columns of one task are of one kind and number of classes
 *  @param[in] count    must equal mtl_dataset_num_labels()
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_STATE, MTL_ERROR_IO, MTL_ERROR_LIMIT (2^32 rows), MTL_ERROR_MEMORY
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_sampler_add_dataset(mtl_sampler *sampler, mtl_dataset *dataset,
                                                         const int32_t *tasks, int64_t count);

/** Makes the next batch.
 *
 *  A row whose text has no token becomes the single token MTL_TOKEN_UNKNOWN.
 *
 *  @param[in]  sampler  not NULL
 *  @param[out] batch    receives a borrowed batch, valid until the next call; NULL at the end of an epoch, and the
 *                       following call begins the next epoch
 *  @return MTL_OK (also at the end of an epoch), MTL_ERROR_ARGUMENT, MTL_ERROR_STATE (no dataset), MTL_ERROR_IO,
 *          MTL_ERROR_LIMIT (2^32 rows in an epoch), MTL_ERROR_MEMORY. After an error the same batch can be asked for again
 *  @since 0.1
 */
MTL_API MTL_NODISCARD mtl_status mtl_sampler_next(mtl_sampler *sampler, mtl_batch **batch);

/** The batches of an epoch. @param[in] sampler not NULL @return 0 without datasets @since 0.1 */
MTL_API int64_t mtl_sampler_batches(const mtl_sampler *sampler);

/** All tokens of all datasets, after cutting. @param[in] sampler not NULL @return 0 without datasets @since 0.1 */
MTL_API int64_t mtl_sampler_tokens(const mtl_sampler *sampler);

/** Where a sampler stands. With the same datasets, options and seed it is all that is needed to go on. */
typedef struct mtl_sampler_position {
    int64_t epoch; /**< from 0 */
    int64_t batch; /**< the next batch of that epoch, from 0 */
} mtl_sampler_position;

/** Tells where a sampler stands. @param[in] sampler not NULL @param[out] position receives it
 *  @return MTL_OK or MTL_ERROR_ARGUMENT @since 0.1 */
MTL_API MTL_NODISCARD mtl_status mtl_sampler_tell(const mtl_sampler *sampler, mtl_sampler_position *position);

/** Continues at a position: the batches that follow are, bit for bit, those that would have followed there.
 *  @param[in] sampler not NULL, with its datasets @param[in] position not NULL
 *  @return MTL_OK, MTL_ERROR_ARGUMENT, MTL_ERROR_STATE (no dataset), MTL_ERROR_LIMIT, MTL_ERROR_MEMORY @since 0.1 */
MTL_API MTL_NODISCARD mtl_status mtl_sampler_seek(mtl_sampler *sampler, const mtl_sampler_position *position);

/** The token ids: ragged int32, one sequence per row. @param[in] batch not NULL @return borrowed @since 0.1 */
MTL_API mtl_tensor *mtl_batch_inputs(mtl_batch *batch);

/** The labels of a task: int32 [rows] with MTL_LABEL_NONE, or real [rows, 1] with NaN, where a row has none.
 *  @param[in] batch not NULL @param[in] task its number @return borrowed; NULL when there is no such task @since 0.1 */
MTL_API mtl_tensor *mtl_batch_labels(mtl_batch *batch, int32_t task);

/** The number of rows. @param[in] batch not NULL @return 0 for NULL @since 0.1 */
MTL_API int64_t mtl_batch_rows(const mtl_batch *batch);

/** The number of tokens of all rows. @param[in] batch not NULL @return 0 for NULL @since 0.1 */
MTL_API int64_t mtl_batch_tokens(const mtl_batch *batch);

/** How many rows have a label for a task. @param[in] batch not NULL @param[in] task its number @return 0 for none
 *  @since 0.1 */
MTL_API int64_t mtl_batch_labelled(const mtl_batch *batch, int32_t task);

/** Which dataset and row a row of the batch came from. @param[in] batch not NULL @param[in] row from 0
 *  @param[out] dataset receives the dataset's number in the order of addition; may be NULL
 *  @return the row in that dataset; -1 when out of range @since 0.1 */
MTL_API int64_t mtl_batch_source(const mtl_batch *batch, int64_t row, int64_t *dataset);

MTL_END_DECLS

#endif
