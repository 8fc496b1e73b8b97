/* Quarantine: documents that could not be carried over, with the reason, in eclose_quarantine.
 *
 *    {_id: {collection, id}, collection, version, to, error: {code, message, file, line, column, path}, when, job, sweep}
 *
 *   version  of the document, as it is stored; absent where it has none
 *   to       the version to which it was to go, as text
 *   job      that met it last; sweep: while it looked at its ranges again
 */
#ifndef ECL_STORE_QUARANTINE_H
#define ECL_STORE_QUARANTINE_H

#include "project/project.h"

#define ECL_STORE_QUARANTINE "eclose_quarantine"

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
