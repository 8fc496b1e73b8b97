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
 *    eclose_quarantine   documents that could not be carried over: {_id: {collection, id}, collection, version, to,
 *                        error: {code, message, file, line, column, path}, when, job, sweep}
 */
#ifndef ECL_STORE_STORE_H
#define ECL_STORE_STORE_H

#include "bson/value.h"
#include "project/project.h"

#define ECL_STORE_QUARANTINE "eclose_quarantine"

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

/* Likewise the first document of a cursor's first reply; false where there is none. */
bool
ecl_store_first (const bson_t *reply, bson_t *document);

/* The aggregate that counts what matches, up to a limit (0: none): the reply has it as cursor.firstBatch.0.n, and
 * nothing there for none. Initialises *command; a hint and the read concern are for the caller to append. */
void
ecl_store_count (const char *collection, const bson_t *filter, int64_t limit, bson_t *command);

/* ---- quarantine ---- */

typedef struct {
   ecl_value_t id; /* of the document */
   const char *collection;
   ecl_value_t version; /* as stored; may be missing */
   const char *to;      /* version as text */
   int32_t code;
   const char *message;
   const char *path; /* in the document, or of the expression in the file; "" where unknown */
   const char *file; /* "" where unknown */
   uint32_t line, column;
   const uint8_t *job; /* 12 bytes */
   bool sweep;         /* met by the sweep of that job */
} ecl_quarantined_t;

/* An update command over as many records as are appended; begin, append, end. */
typedef struct {
   bson_t *command;
   bson_t updates;
   uint32_t n;
   size_t size;
} ecl_quarantine_writer_t;

void
ecl_quarantine_begin (ecl_quarantine_writer_t *self, bson_t *command);

void
ecl_quarantine_append (ecl_quarantine_writer_t *self, const ecl_quarantined_t *record);

void
ecl_quarantine_end (ecl_quarantine_writer_t *self);

/* Finds one record of a collection from before a time of the server's: a pass that began then, and saw every document
 * that is not at its target, did not write it again. Records of a run that went further than this target (up or down)
 * say nothing about it, and stay. So do those that the sweep of this job (12 bytes; NULL: there is none) wrote,
 * whatever the clocks of two primaries say. */
void
ecl_quarantine_stale (const ecl_chain_t *chain, size_t target, bool down, int64_t before, const uint8_t *job,
                      bson_t *command);

/* Removes those records. */
void
ecl_quarantine_forget (const ecl_chain_t *chain, size_t target, bool down, int64_t before, const uint8_t *job,
                       bson_t *command);

/* ---- which: each initialises *filter ---- */

/* The records of a collection (NULL: of all), and where ids is given (an array), of these documents only. */
void
ecl_quarantine_filter (const char *collection, const bson_t *ids, bson_t *filter);

/* Those of documents on their way to a version, as text. */
void
ecl_quarantine_filter_to (const char *collection, const char *to, bson_t *filter);

/* Those that keep a document below a version: it was below, or at none that could be read, and was to go no further
 * than to that version. What failed on a longer way says nothing about this one, and what cannot go down is not
 * below. */
void
ecl_quarantine_filter_below (const ecl_chain_t *chain, size_t target, bson_t *filter);

/* ---- what `eclose quarantine` asks ---- */

/* An aggregate with a row per reason, the most frequent first: {_id: {collection, to, code, file, line, column}, n,
 * path, message, id, first, last}; path, message and id are those of one of them. */
void
ecl_quarantine_reasons (const bson_t *filter, bson_t *command);

/* Removes the records of a filter. */
void
ecl_quarantine_drop (const bson_t *filter, bson_t *command);

#endif
