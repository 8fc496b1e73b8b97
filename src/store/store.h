/* Store: what eclose keeps in the database that it migrates, in collections whose names start with "eclose_".
 *
 * Here are the commands that write and read those records, and what their replies mean; nothing is sent. All of them
 * carry their own concerns, so that nothing in a URI can weaken them: read with majority, written with w: majority and
 * j: true. Times are the server's ($$NOW), never a client's.
 *
 *    eclose_jobs         jobs.h
 *    eclose_chunks       chunks.h
 *    eclose_changelog    changelog.h
 *    eclose_lease        lease.h
 *    eclose_floors       floors.h
 *    eclose_catalog      catalog.h: the documents alone, whoever writes them brings the command
 *    eclose_quarantine   quarantine.h
 */
#ifndef ECL_STORE_STORE_H
#define ECL_STORE_STORE_H

#include "bson/value.h"

/* Milliseconds for the majority to have it. */
#define ECL_STORE_WTIMEOUT 30000

/* Appends writeConcern: {w: majority, j: true, wtimeout}. */
void
ecl_store_write_concern (bson_t *command);

/* Appends readConcern: {level: majority}. */
void
ecl_store_read_concern (bson_t *command);

/* Ends a find all of whose documents come in one reply: limit, batchSize, singleBatch and the read concern. */
void
ecl_store_single_batch (int32_t limit, bson_t *command);

/* Appends cursor: {batchSize}; 0: {}, which leaves it to the server. */
void
ecl_store_cursor (int32_t batch, bson_t *command);

/* Text that a pipeline shall not read as a path: {key: {$literal: text}}. */
void
ecl_store_append_text (bson_t *to, const char *key, const char *text);

/* The document at an iterator, as a view; false where something else is there. */
bool
ecl_store_view (const bson_iter_t *at, bson_t *document) ECL_MUST_CHECK;

/* A whole number of a record or a reply, or a time in milliseconds, by its path with dots; 0 where there is none. */
int64_t
ecl_store_number (const bson_t *document, const char *path);

/* A text of a document, cut to what fits; what is there already stays where there is none. */
void
ecl_store_read_text (const bson_t *document, const char *key, char *out, size_t size);

/* The first document of a cursor's first reply, as a view; false where there is none. */
bool
ecl_store_first (const bson_t *reply, bson_t *document);

/* The aggregate that counts what matches, up to a limit (0: none): the reply has it as cursor.firstBatch.0.n, and
 * nothing there for none. Initialises *command; a hint and the read concern are for the caller to append. */
void
ecl_store_count (const char *collection, const bson_t *filter, int64_t limit, bson_t *command);

#endif
