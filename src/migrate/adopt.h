/* Adopt: the histories of other tools, found by the shape of their documents and read as what is applied.
 *
 *    ecl_adopt_find ──► entries, each with what it would be in the changelog ──► the caller marks them
 *
 * Nothing of theirs is written. A collection is a history where each of its documents has the fields of one tool, of
 * the right types, and no others; its name only says where to look first.
 *
 *    migrate-mongo        {fileName, appliedAt: date, migrationBlock?, fileHash?}      applied, while it is there
 *    pymongo-migrate      {name, applied: date or null}                                applied where there is a date
 *    mongodb-migrations   {migration_datetime: "20200102030405", created_at: date}     applied, while it is there
 *    beanie               {ts: date, name: "x.py", is_current}                         a log, see adopt.c
 */
#ifndef ECL_MIGRATE_ADOPT_H
#define ECL_MIGRATE_ADOPT_H

#include "migrate/history.h"
#include "project/project.h"

typedef enum {
   ECL_ADOPT_NEW,         /* to be marked; work is the project's file, or NULL: recorded under the tool's own name */
   ECL_ADOPT_RECORDED,    /* the changelog has it already */
   ECL_ADOPT_NOT_APPLIED, /* known there, and not applied */
   ECL_ADOPT_UNFINISHED,  /* refused: here it began to run and did not end */
   ECL_ADOPT_AMBIGUOUS,   /* refused: several files of the project could be it */
} ecl_adopt_kind_t;

typedef struct {
   const char *tool; /* "migrate-mongo", …: static storage */
   const char *collection;
   const char *entry; /* as it stands there */
   int64_t applied;   /* when, in milliseconds; 0: not said */
   ecl_adopt_kind_t kind;
   const char *name;              /* in the changelog */
   const ecl_work_t *work;        /* NULL: the project has no file of that name */
   const ecl_changelog_t *record; /* of the changelog; NULL: none */
} ecl_adopted_t;

typedef struct {
   ecl_adopted_t *entries; /* by collection, in the order in which they were applied there */
   size_t n, cap;
   ecl_arena_t arena;
   char refused[512]; /* a collection that looks like a history and is none all through; "" */
} ecl_adopt_t;

void
ecl_adopt_init (ecl_adopt_t *self);

void
ecl_adopt_cleanup (ecl_adopt_t *self);

/* Looks through all collections, or only that one; what was in *self is gone. Pointers into project and history are
 * kept. Where a collection is named and is no history, that is an error. */
bool
ecl_adopt_find (ecl_adopt_t *self, ecl_world_t *world, const char *database, const char *collection,
                const ecl_project_t *project, const ecl_history_t *history, bson_error_t *error) ECL_MUST_CHECK;

/* What the changelog says of it: "adopted from migrate-mongo (changelog: 20200102030405-x.js)". In the arena. */
const char *
ecl_adopt_origin (ecl_adopt_t *self, const ecl_adopted_t *entry);

/* Whether a record came from another tool; such a one needs no file here. */
bool
ecl_adopt_is_origin (const char *origin);

#endif
