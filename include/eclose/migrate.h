/* Migrate: what is pending, run from inside an application at its start.
 *
 *    eclose_driver_t *driver = eclose_driver_new (uri, &error);           // <eclose/mongoc.h>
 *
 *    if (eclose_migrate (project, driver, "shop", opts, NULL, NULL, &error) != ECLOSE_MIGRATED) { … }
 *
 * As `eclose up`: the database migrations that are pending, in order, once, by the one process that gets the lease;
 * then every collection to the version that the program knows last. Applications go on reading and writing. It may be
 * killed at any time and run again. Nothing is printed, and no signal is handled.
 *
 * Since 0.1.0.
 */
#ifndef ECLOSE_MIGRATE_H
#define ECLOSE_MIGRATE_H

#include <eclose/driver.h>
#include <eclose/error.h>
#include <eclose/project.h>

ECLOSE_BEGIN_DECLS

/* What came of it; the numbers are the exit states of the command. */
typedef enum {
   ECLOSE_MIGRATED = 0,           /* nothing is pending any more, of what was asked for */
   ECLOSE_MIGRATE_FAILED = 1,     /* the error says what; it may be run again */
   ECLOSE_MIGRATE_USAGE = 2,      /* an option is wrong */
   ECLOSE_MIGRATE_BUSY = 4,       /* somebody else holds the lease, or took it from this one */
   ECLOSE_MIGRATE_QUARANTINED = 5 /* all is done but for documents that eclose_quarantine has, with the reason */
} eclose_migrated_t;

typedef enum {
   ECLOSE_MIGRATE_WAITING = 1, /* for another's lease; text says whose */
   ECLOSE_MIGRATE_LATE,        /* name: a migration that one behind it has overtaken; it runs */
   ECLOSE_MIGRATE_BEGINS,      /* name: a migration; text: its description */
   ECLOSE_MIGRATE_STEP,        /* step of n_steps begins, or goes on: done rows so far; text: what kind of step */
   ECLOSE_MIGRATE_OUTPUT,      /* text: of a migration that is a program, text_len bytes of what it writes */
   ECLOSE_MIGRATE_ENDS,        /* name: a migration that was applied, in ms */
   ECLOSE_MIGRATE_COLLECTION,  /* name: a collection; done of total documents so far */
   ECLOSE_MIGRATE_CARRIED      /* name: a collection that is done, or (text: why) failed; done of total, in ms */
} eclose_migrate_event_t;

/* Members that an event does not name are 0 or "". Texts are valid until the function returns. Later versions may add
 * members at the end, and events: pass over those that you do not know. */
typedef struct {
   eclose_migrate_event_t event;
   const char *name, *text;
   size_t text_len;
   size_t step, n_steps; /* from 1 */
   int64_t done, total;
   int64_t ms; /* milliseconds that it took */
} eclose_migrate_progress_t;

/* Functions may be NULL. They are called by the thread that called eclose_migrate(). */
typedef struct {
   void *user_data;
   void (*progress) (void *user_data, const eclose_migrate_progress_t *progress);
   /* True: it ends soon, with ECLOSE_CODE_CANCELLED. Asked between commands, and ten times a second while waiting. */
   bool (*cancelled) (void *user_data);
   void *reserved[4]; /* NULL */
} eclose_migrate_watch_t;

/* Migrates a database with a loaded project. opts may be NULL; of
 *
 *    wait             for somebody else's run to end: true, without end; or milliseconds; else it is BUSY at once
 *    mode             "auto", "pushdown", "client": who computes; see eclose-up(1)
 *    collections      false: database migrations only
 *    only             the name of a database migration: this one alone, and no collections
 *    to_migration     the name of a database migration: up to this one, and no collections
 *    steps            at most so many database migrations, and no collections
 *    strict_order     true: refuses a migration that one behind it has overtaken
 *    lease_time       milliseconds: see eclose/lease.h; of the leases of jobs, too
 *    max_clock_skew   likewise
 *    release          text: what of the program it is, for the changelog
 *
 * watch may be NULL. result may be NULL; else it is initialised in any case, and the caller destroys it:
 *
 *    {migrations:  [{name, ms}],
 *     collections: [{collection, to, mode, why, total, changed, pushed, conflicts, transactions, quarantined, ms,
 *                    error}]}
 *
 * with what was done up to the end, or up to the error; collections that had nothing to do are there with zeros.
 *
 * Functions of the project run here, too; such collections are computed here, and so are those whose migrations have
 * $lookup. A function that calls eclose_context_find() fails, so that its documents go to quarantine. Migrations that
 * are programs of their own need driver->uri, and a process that waits for its own children (SIGCHLD is not
 * ignored). */
ECLOSE_EXPORT (eclose_migrated_t)
eclose_migrate (const eclose_project_t *project, const eclose_driver_t *driver, const char *database,
                const bson_t *opts, const eclose_migrate_watch_t *watch, bson_t *result,
                bson_error_t *error) ECLOSE_MUST_CHECK;

ECLOSE_END_DECLS

#endif
