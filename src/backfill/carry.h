/* Carry: one collection, from where its documents are to a target: finds the strategy, starts a job or joins one
 * (job.h), and works (worker_pool.h). That is all that `up`, `down`, the step `backfill` of a database migration and
 * eclose_migrate() know of it.
 */
#ifndef ECL_BACKFILL_CARRY_H
#define ECL_BACKFILL_CARRY_H

#include "backfill/job.h"
#include "backfill/strategy.h"

/* How much is put into it; all zeros are the defaults. */
typedef struct {
   const ecl_connector_t *connector; /* makes the worlds of other workers than the first; NULL: there is one, here */
   uint32_t workers;                 /* of this process; 0: one */
   ecl_job_settings_t settings;      /* of the throttle */
   unsigned set;                     /* which of them were asked for: they are set in a job that is joined, too */
   int64_t range_docs;
   double max_errors;            /* share of a sample that may fail, as in trial.h */
   int64_t lasts;                /* ms after which it ends, resumable; 0: without end */
   const char *throttle_command; /* says whether to wait; may be NULL */
   bool only_start;              /* makes the job, and leaves the work to others */
   bool only_join;               /* works on the live job there is, whatever its target */
   bool by_records;              /* up: a collection that records call finished is not gone through again, and one
                                  * that a later release has migrations of is that one's */
} ecl_effort_t;

/* What is to be known of a collection and stops nothing: one line. */
typedef void (*ecl_carry_note_fn) (void *context, const char *message);

/* What is to be done. */
typedef struct {
   const ecl_chain_t *chain;
   size_t target;
   bool down;
   ecl_mode_t mode;            /* wanted */
   const ecl_effort_t *effort; /* may be NULL */
   ecl_carry_note_fn note;     /* with the context of progress; may be NULL */
} ecl_carry_t;

/* Told from time to time, in the thread of the caller. */
typedef void (*ecl_carry_fn) (void *context, const ecl_carry_t *what, const ecl_job_progress_t *progress);

/* What was done. */
typedef struct {
   ecl_carry_t what;
   bool missing;   /* there is no such collection (yet) */
   bool began;     /* otherwise nothing below says anything */
   bool joined;    /* a job that was there already */
   bool unfloored; /* the floor that `complete` recorded above was taken back */
   char to[ECL_VERSION_TEXT];
   ecl_mode_t mode;
   char mode_why[256];
   ecl_job_t job;   /* at the end; none where `nothing` */
   bool nothing;    /* every document was at the target, or in quarantine: there is no job */
   bool by_records; /* then: the records say so, and a short look found nothing else; nobody looked at all */
   char later[ECL_VERSION_TEXT]; /* nothing was looked at: a later release has published migrations up to there */
   ecl_job_counts_t counts;      /* of the whole job, when it is done; else of what was done here */
   ecl_job_counts_t own;         /* of what was done here */
   int64_t total;                /* documents that there were to go through, about */
   int32_t passes;
   uint32_t workers;
   bool wrote;
   bool cancelled; /* somebody ended the job */
   bool stopped;   /* this process was asked to end; the job goes on */
   bool time_up;   /* then: because the time that it was to last was over */
   int64_t ms;
} ecl_carried_t;

/* Brings a collection to its target; progress may be NULL. True where all documents are there but for those in
 * quarantine, of which out->counts says how many. out is filled in any case. */
bool
ecl_carry (const ecl_site_t *site, const ecl_carry_t *what, ecl_carry_fn progress, void *context, ecl_carried_t *out,
           bson_error_t *error) ECL_MUST_CHECK;

#endif
