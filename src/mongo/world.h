/* The real world: clock, chance and a server, by libmongoc. See run/world.h. */
#ifndef ECL_MONGO_WORLD_H
#define ECL_MONGO_WORLD_H

#include "run/world.h"

/* For a program of ours, before its first world and before it has threads: the driver prints nothing. In programs of
 * others that is theirs to say, and they have called mongoc_init. */
void
ecl_mongo_init (void);

/* What the driver would have said of a URI that it can read: an option that it does not know, or whose value means
 * nothing. In text, one behind the other, or "". For a program of ours, as above. */
void
ecl_mongo_uri_complaints (const char *uri, char *text, size_t size);

/* Of the first command to the server of that URI, which failed: the message says who was asked, and what for. */
void
ecl_mongo_explain (const char *uri, bson_error_t *error);

/* Connects when first used. *database is what the URI names, or NULL; it belongs to the world. cancelled is asked
 * between commands and while waiting; may be NULL. longest: so many milliseconds a single command may take, where that
 * is longer than they usually may. NULL where the URI cannot be read. */
ecl_world_t *
ecl_mongo_world_new (const char *uri, int32_t longest, bool (*cancelled) (void), const char **database,
                     bson_error_t *error);

/* The same, but a server that does not answer within so many milliseconds counts as one that lost the command: for
 * those who have to know in time, and send again. */
ecl_world_t *
ecl_mongo_world_new_hasty (const char *uri, int32_t timeout, bool (*cancelled) (void), const char **database,
                           bson_error_t *error);

void
ecl_mongo_world_destroy (ecl_world_t *self);

/* The version of libmongoc. */
const char *
ecl_mongo_version (void);

#endif
