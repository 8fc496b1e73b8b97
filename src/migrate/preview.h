/* Preview: what the steps of a database migration would touch as things are now. Reads only.
 *
 *    step 2  foreach categories                 as many rows as its query gives
 *      row   {keep: 1, gone: 41}                the first of them
 *        updateMany posts {filter, update}      what that row would write, and how many documents it would touch
 *
 * A step sees what those before it did; here nothing was done, so what is said of later steps may turn out otherwise.
 * Each count gets so much time and no more: a filter without an index must not keep the server busy.
 */
#ifndef ECL_MIGRATE_PREVIEW_H
#define ECL_MIGRATE_PREVIEW_H

#include "project/project.h"
#include "run/world.h"

typedef enum {
   ECL_PREVIEW_STEP,
   ECL_PREVIEW_PART, /* of a transaction or a bulkWrite */
   ECL_PREVIEW_ROW,
   ECL_PREVIEW_WRITE, /* of that row */
} ecl_preview_kind_t;

/* In place of a number of documents. */
#define ECL_PREVIEW_NO_NUMBER (-1) /* none would say anything */
#define ECL_PREVIEW_TOO_SLOW (-2)  /* not counted in time */

/* Valid while it is told. */
typedef struct {
   ecl_preview_kind_t kind;
   size_t step;            /* from 0 */
   const char *name;       /* "updateMany"; of a row "row" */
   const char *collection; /* "" where there is none */
   int64_t documents;      /* that it would touch, or rows */
   ecl_value_t spec;       /* raw: of a row its values, of a write the statement; else missing */
   const char *says;       /* one line */
   bool fails;             /* as things are it would fail, or wait */
} ecl_preview_line_t;

typedef struct {
   ecl_world_t *world;
   const char *database;
   const ecl_project_t *project;
   bool transactions; /* the server has them */
   int64_t limit;     /* ms of one count */
   uint32_t rows;     /* of a foreach that are shown */
   void (*tell) (void *context, const ecl_preview_line_t *line);
   void *context;
} ecl_preview_options_t;

/* The steps of the way up, from `first` on. False where the server could not be asked; what it refused to count is
 * told. */
bool
ecl_preview (const ecl_preview_options_t *options, const ecl_work_t *work, size_t first,
             bson_error_t *error) ECL_MUST_CHECK;

#endif
