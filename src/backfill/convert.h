/* Convert: what has to be sent for one stored document, in client mode.
 *
 * Runs the document to the target and builds the guarded statement; says where a transaction must do it instead, and
 * keeps what is to be said where the document cannot be carried over. Pure: nothing is sent here.
 */
#ifndef ECL_BACKFILL_CONVERT_H
#define ECL_BACKFILL_CONVERT_H

#include "run/guard.h"
#include "upgrade/upgrade.h"

typedef enum {
   ECL_CONVERT_DONE,        /* at the target, or on its other side: nothing to do */
   ECL_CONVERT_STATEMENT,   /* filter and update are ready */
   ECL_CONVERT_TRANSACTION, /* why says why; after is the new document */
   ECL_CONVERT_FAILED,      /* failure says why */
   ECL_CONVERT_NEEDS,       /* documents of other collections have to be looked up first */
} ecl_convert_kind_t;

typedef struct {
   ecl_value_t id;      /* borrowed from the document */
   ecl_value_t version; /* as stored, borrowed; missing where there is none */
   ecl_value_t found;   /* the version that the document has, stored or not; missing where it is not on the chain */
   ecl_value_t filter, update; /* raw, in the arena */
   ecl_value_t after;          /* the new document, valid until the next call */
   const char *why;
   int32_t code;                      /* of the failure */
   const char *message, *path, *file; /* never NULL where it failed; in the arena */
   uint32_t line, column;
} ecl_converted_t;

typedef struct {
   ecl_upgrades_t *upgrades;
   const ecl_chain_t *chain;
   size_t target; /* place on the chain */
   bool down;
   ecl_guard_form_t form;
   const char *always_transaction; /* the reason why no statement can be exact here; NULL where there is none */
} ecl_convert_options_t;

typedef struct ecl_converter_t ecl_converter_t;

/* NULL where there is no way to the target. */
ecl_converter_t *
ecl_converter_new (const ecl_convert_options_t *options, bson_error_t *error);

void
ecl_converter_destroy (ecl_converter_t *self);

/* What runs the documents: for lookups.h. */
ecl_upgrader_t *
ecl_converter_upgrader (ecl_converter_t *self);

ecl_convert_kind_t
ecl_convert (ecl_converter_t *self, ecl_arena_t *arena, const ecl_value_t *document, ecl_converted_t *out);

/* What wants a transaction, on a server that has none: why it fails. */
void
ecl_convert_untransacted (ecl_arena_t *arena, ecl_converted_t *out);

/* What looks up more than is kept (lookups.h): why it fails. */
void
ecl_convert_overloaded (ecl_converted_t *out);

/* The place of a document's version on the chain; false where it cannot be read or is not on it. */
bool
ecl_convert_version (ecl_converter_t *self, const ecl_value_t *document, size_t *index);

/* Whether a document at that place is to be carried. */
bool
ecl_convert_wants (const ecl_converter_t *self, size_t index);

#endif
