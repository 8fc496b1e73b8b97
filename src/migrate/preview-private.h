/* What the files of the preview share. */
#ifndef ECL_MIGRATE_PREVIEW_PRIVATE_H
#define ECL_MIGRATE_PREVIEW_PRIVATE_H

#include "migrate/migrate-private.h"
#include "migrate/preview.h"

/* What came of a question. */
typedef enum {
   ECL_COUNTED,
   ECL_SLOW,
   ECL_REFUSED, /* by the server, for good */
   ECL_GONE,    /* no server, or the run was cancelled: the error says so */
} ecl_counted_t;

typedef struct {
   const ecl_preview_options_t *options;
   ecl_migrate_options_t plain;
   ecl_migrate_t run; /* for what the runner knows, too: nothing is sent by it */
   size_t step;
   ecl_arena_t *arena; /* of the step */
   bson_error_t *error;
} ecl_previewer_t;

static inline const ecl_value_t *
ecl_preview_said (const ecl_act_t *act, ecl_arg_t arg)
{
   return act->args[arg].key ? ecl_act_arg (act, arg) : NULL;
}

/* ---- preview.c ---- */

void
ecl_preview_tell (ecl_previewer_t *self, ecl_preview_kind_t kind, const char *name, const char *collection,
                  int64_t documents, const ecl_value_t *spec, bool fails, const char *says);

/* "12 documents", "no row", "documents not counted within 5.0 s" */
const char *
ecl_preview_number (ecl_previewer_t *self, int64_t n, const char *thing);

/* Sends a command that is given so much time and no more. *why is set where it was refused. */
ecl_counted_t
ecl_preview_ask (ecl_previewer_t *self, const bson_t *command, bson_t *reply, const char **why);

/* How many a pipeline gives: its own stages, but for the last `without`, then $match, then $count; collation
 * and let are missing or NULL where there is none. *n may be ECL_PREVIEW_TOO_SLOW. */
ecl_counted_t
ecl_preview_count_pipeline (ecl_previewer_t *self, const char *collection, const ecl_value_t *pipeline,
                            uint32_t without, const ecl_value_t *match, const ecl_value_t *collation,
                            const ecl_value_t *let, int64_t *n, const char **why);

/* How many documents match (NULL: all); of all of them the server knows the number without looking. */
ecl_counted_t
ecl_preview_count (ecl_previewer_t *self, const char *collection, const ecl_value_t *filter,
                   const ecl_value_t *collation, int64_t *n, const char **why);

/* ---- preview_admin.c: each tells its line; false where the server is gone ---- */

bool
ecl_preview_index (ecl_previewer_t *self, const ecl_act_t *act, const char *collection);

bool
ecl_preview_collection (ecl_previewer_t *self, const ecl_act_t *act, const char *collection);

/* Documents that the rule would not let be written any more as they are. */
bool
ecl_preview_validator (ecl_previewer_t *self, const ecl_act_t *act, const char *collection);

bool
ecl_preview_backfill (ecl_previewer_t *self, const ecl_act_t *act, const char *collection);

/* wait and assert, which look. */
bool
ecl_preview_look (ecl_previewer_t *self, ecl_preview_kind_t kind, const ecl_act_t *act, const char *collection);

/* aggregate and verify, which go through all of a collection. */
bool
ecl_preview_whole (ecl_previewer_t *self, const ecl_act_t *act, const char *collection);

#endif
