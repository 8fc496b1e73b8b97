/* Programs: executables of the migrations folder, run to their end, or to that of eclose or of its lease.
 *
 *    eclose ──► the program, in a process group of its own
 *       └─────► a watchdog, a process of its own: ends the group when eclose ends, however that dies, and when the lease
 *               runs out, also where eclose was stopped and cannot see it
 */
#ifndef ECL_RUN_PROGRAM_H
#define ECL_RUN_PROGRAM_H

#include "base/buf.h"
#include "run/holder.h"

typedef struct {
   const char *file;
   const char *name;      /* of the migration */
   const char *uri, *database;
   bool down;
   ecl_holder_t *holder;
   bool (*cancelled) (void *context); /* asked between two looks at its output; may be NULL */
   void *context;
   void (*show) (void *context, const char *bytes, size_t n); /* its output as it comes; may be NULL */
} ecl_program_t;

/* Its environment gets ECLOSE_URI, ECLOSE_DATABASE, ECLOSE_DIRECTION (up or down), ECLOSE_MIGRATION and ECLOSE_TOKEN.
 * output gets the end of what it wrote, at most ECL_CHANGELOG_OUTPUT_MAX bytes. False where it ended otherwise than with
 * exit status 0. */
bool
ecl_program_run (const ecl_program_t *self, ecl_buf_t *output, bson_error_t *error) ECL_MUST_CHECK;

#endif
