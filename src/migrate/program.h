/* Programs: executables of the migrations folder, run to their end, or to that of eclose or of its lease.
 *
 *    eclose ──► the program, in a process group of its own
 *       └─────► a watchdog, a process of its own: ends the group when eclose ends, however that dies, and when the
 *               lease runs out, also where eclose was stopped and cannot see it
 *
 * The program begins when its watchdog is there, and is ended where that is gone. A thread tells the watchdog how long
 * the lease lasts, whatever the one that runs this is waiting for.
 */
#ifndef ECL_MIGRATE_PROGRAM_H
#define ECL_MIGRATE_PROGRAM_H

#include "base/buf.h"
#include "run/holder.h"

typedef struct {
   const char *file;
   const char *name; /* of the migration */
   const char *uri, *database;
   bool down;
   ecl_holder_t *holder;
   bool (*cancelled) (void *context); /* asked between two looks at its output; may be NULL */
   void *context;
   void (*show) (void *context, const char *bytes, size_t n); /* its output as it comes; may be NULL */
   /* The end of its output so far, from time to time while it runs: as `output` below; may be NULL. */
   void (*keep) (void *context, const char *text);
} ecl_program_t;

/* Its environment gets ECLOSE_URI, ECLOSE_DATABASE, ECLOSE_DIRECTION (up or down), ECLOSE_MIGRATION and ECLOSE_TOKEN.
 * output, whose bound is above ECL_CHANGELOG_OUTPUT_MAX, gets the end of what it wrote, at most so many bytes, as UTF-8
 * with "?" for what is none. False where it ended otherwise than with exit status 0. */
bool
ecl_program_run (const ecl_program_t *program, ecl_buf_t *output, bson_error_t *error) ECL_MUST_CHECK;

#endif
