/* Lookups: what the documents of a batch look up in other collections, fetched with one query for each collection and
 * field before the documents are run.
 *
 *    ecl_lookups_batch   a batch of documents
 *    ecl_lookups_need    READY: the document at a place can be run. COMMAND: send ecl_lookups_command first, bring the
 *                        reply to ecl_lookups_reply, and ask again
 *
 * Memory is bounded: where what a batch looks up is more than ECL_LOOKUPS_MAX, smaller and smaller parts of it are
 * taken at once, and a single document that looks up more than that cannot be run at all (its run ends as one that
 * "needs").
 */
#ifndef ECL_RUN_LOOKUPS_H
#define ECL_RUN_LOOKUPS_H

#include "run/scan.h"
#include "upgrade/upgrade.h"

#define ECL_LOOKUPS_MAX (64u * 1024 * 1024)

typedef struct ecl_lookups_t ecl_lookups_t;

typedef enum { ECL_LOOKUPS_READY, ECL_LOOKUPS_COMMAND, ECL_LOOKUPS_FAILED } ecl_lookups_need_t;

/* The upgrader looks up through it from now on, and goes before it. */
ecl_lookups_t *
ecl_lookups_new (ecl_upgrades_t *upgrades, ecl_upgrader_t *upgrader);

void
ecl_lookups_destroy (ecl_lookups_t *self);

/* Forgets what the batch before looked up. The items stay valid until the next batch. */
void
ecl_lookups_batch (ecl_lookups_t *self, const ecl_value_t *items, uint32_t n);

/* A document beside the batch, valid until it is ready; what the batch looked up stays. */
void
ecl_lookups_also (ecl_lookups_t *self, const ecl_value_t *item);

/* Whether such a document is not ready yet; ecl_lookups_need is then about it, whatever the place. */
bool
ecl_lookups_waits (const ecl_lookups_t *self);

ecl_lookups_need_t
ecl_lookups_need (ecl_lookups_t *self, uint32_t at, bson_error_t *error) ECL_MUST_CHECK;

/* The places below this one can be run, too. */
uint32_t
ecl_lookups_until (const ecl_lookups_t *self);

/* Initialises *command. */
void
ecl_lookups_command (ecl_lookups_t *self, bson_t *command);

/* Takes it over, as ecl_scan_take. False where it is no reply to it. */
bool
ecl_lookups_reply (ecl_lookups_t *self, bson_t *reply, bson_error_t *error) ECL_MUST_CHECK;

/* There was no reply: the query begins again. */
void
ecl_lookups_lost (ecl_lookups_t *self);

/* For those who may wait for the server: before the document that ecl_scan_next gave is run. self may be NULL. */
bool
ecl_lookups_ahead (ecl_lookups_t *self, const ecl_scan_t *scan, ecl_world_t *world, const char *database,
                   bson_error_t *error) ECL_MUST_CHECK;

#endif
