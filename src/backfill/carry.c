/* One collection to its target: see carry.h. */
#include "backfill/carry.h"

#include "backfill/complete.h"
#include "backfill/quarantine_set.h"
#include "backfill/survey.h"
#include "backfill/trial.h"
#include "backfill/worker_pool.h"
#include "base/shell.h"
#include "run/publish.h"

typedef struct {
   ecl_carry_fn progress;
   void *context;
   const ecl_carry_t *what;
} told_t;

static void
say (void *context, const char *message)
{
   const told_t *self = context;

   if (self->what->note) {
      self->what->note (self->context, message);
   }
}

static void
say_waiting (void *context, const ecl_lease_t *lease)
{
   const told_t *self = context;
   char text[896], who[512];

   ecl_holder_describe (lease, who, sizeof who);
   bson_snprintf (text, sizeof text,
                  "%s: waits for the plan of a job, which %s makes, or until that one's lease is over",
                  self->what->chain->collection, who);
   say (context, text);
}

/* What a job that begins needs to know. */
typedef struct {
   ecl_trial_t trial;
   told_t *told;
   ecl_carried_t *out;
} beginning_t;

static bool
try_first (void *context, ecl_partition_sample_t *sample, bson_error_t *error)
{
   return ecl_trial (&((const beginning_t *) context)->trial, sample, error);
}

/* Before the first document goes down, and not before it is certain that it will: what `complete` recorded for the
 * versions above is over. */
static bool
lower_floor (void *context, bson_error_t *error)
{
   const beginning_t *self = context;
   const ecl_strategy_t *strategy = self->trial.strategy;
   const ecl_site_t *site = self->trial.site;

   return !strategy->down || ecl_complete_undo (site->world, site->database, strategy->chain, strategy->target,
                                                &self->out->unfloored, error);
}

static void
say_planned (void *context, const ecl_lease_t *lease)
{
   say_waiting (((const beginning_t *) context)->told, lease);
}

static void
say_ending (void *context, const ecl_job_t *job)
{
   char text[512];

   bson_snprintf (
      text, sizeof text,
      "%s: waits until the workers of the job up to version %s, which %s, have seen that, or their claims are "
      "over",
      job->collection, job->to, job->state == ECL_JOB_CANCELLED ? "was cancelled" : "failed");
   say (((const beginning_t *) context)->told, text);
}

static const ecl_effort_t no_effort = {0};

static const ecl_effort_t *
effort_of (const ecl_carry_t *what)
{
   return what->effort ? what->effort : &no_effort;
}

static bool
join (const ecl_site_t *site, const ecl_strategy_t *strategy, told_t *told, int64_t until, ecl_carried_t *out,
      bson_error_t *error)
{
   const ecl_job_lease_t lease = {site->who, site->lease_time, site->lease_skew, say_waiting, told, until};
   const char *collection = strategy->chain->collection;
   bool found;

   out->joined = true;
   if (!ecl_job_await (site->world, site->database, collection, &lease, &out->job, &found, error) ||
       /* Others may have brought it to its end meanwhile: then the result is that of this job. */
       (!found && !ecl_job_latest (site->world, site->database, collection, false, &out->job, &found, error))) {
      return false;
   }
   return found || ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_INVALID, "%s: there is no job to work on", collection);
}

/* Nothing says that it was a former collection of the same name. */
static bool
is_same_collection (const ecl_job_t *job, const ecl_facts_t *facts)
{
   return !*job->uuid || !*facts->uuid || strcmp (job->uuid, facts->uuid) == 0;
}

/* Whether the records say that no document is below: the last job went to this very target and is done, or `complete`
 * recorded a floor that a validator keeps. */
static bool
is_finished (const ecl_site_t *site, const ecl_strategy_t *strategy, told_t *told, const char *to, bool *finished,
             bson_error_t *error)
{
   const ecl_chain_t *chain = strategy->chain;
   char text[512];
   bool has_job;
   ecl_job_t job;

   *finished = false;
   if (!ecl_job_latest (site->world, site->database, chain->collection, false, &job, &has_job, error)) {
      return false;
   }
   *finished = has_job && job.state == ECL_JOB_DONE && !job.down && strcmp (job.to, to) == 0 &&
               is_same_collection (&job, &strategy->facts);
   if (*finished && ecl_job_differs (&job, chain)) {
      bson_snprintf (text, sizeof text, "%s: the last job to version %s%s is done: what it carried stays as it left it",
                     chain->collection, to, ECL_JOB_OTHERS);
      say (told, text);
   }
   return *finished ||
          ecl_complete_stays (site->world, &site->server, site->database, chain, strategy->target, finished, error);
}

static void
say_gave_up (told_t *told, const ecl_job_t *job, const ecl_carried_t *out)
{
   bool same = job->down == told->what->down && strcmp (job->to, out->to) == 0;
   char text[768];

   bson_snprintf (text, sizeof text,
                  "%s: a job %s to version %s%s begun by process %" PRId64 " on %s, on which nobody works, is given up",
                  job->collection, job->down ? "down" : "up", job->to, same ? ECL_JOB_OTHERS : ",", job->pid,
                  *job->host ? job->host : "an unknown machine");
   say (told, text);
}

/* Where they are asked: *finished, or out->nothing, for a later release was here. */
static bool
ask_records (const ecl_site_t *site, const ecl_strategy_t *strategy, told_t *told, ecl_carried_t *out, bool *finished,
             bson_error_t *error)
{
   *finished = false;
   if (!effort_of (told->what)->by_records || strategy->down) {
      return true;
   }
   if (!ecl_publish_later (site->world, site->database, strategy->chain, out->later, error)) {
      return false;
   }
   out->nothing = *out->later; /* whose documents this project cannot read, and whose job it is not to end */
   return out->nothing || is_finished (site, strategy, told, out->to, finished, error);
}

/* Those in quarantine, where there is no job that meets them. */
static bool
see_to_quarantined (const ecl_site_t *site, const ecl_strategy_t *strategy, const ecl_quarantine_set_t *quarantined,
                    const bson_t *candidates, ecl_carried_t *out, bson_error_t *error)
{
   bool good = true;

   if (out->by_records && quarantined->more) {
      good = ecl_survey_quarantined (site->world, site->database, strategy->chain->collection, out->to,
                                     &out->counts.quarantined, error);
   } else if (out->nothing && quarantined->n) {
      good = ecl_quarantine_set_retry (quarantined, site, strategy, out->to, candidates, &out->counts, error);
      out->own = out->counts;
      out->wrote = out->counts.changed > 0;
   }
   return good;
}

/* The job: made, or joined. */
static bool
start (const ecl_site_t *site, const ecl_strategy_t *strategy, told_t *told, int64_t until, ecl_carried_t *out,
       bson_error_t *error)
{
   const ecl_effort_t *effort = effort_of (told->what);
   beginning_t beginning = {{site, strategy, effort->max_errors, told->what->note, told->context}, told, out};
   ecl_quarantine_set_t quarantined;
   bson_t candidates, others;
   ecl_job_t gave_up = {0};
   ecl_job_start_t options = {.world = site->world,
                              .chain = strategy->chain,
                              .target = strategy->target,
                              .database = site->database,
                              .collection = strategy->chain->collection,
                              .uuid = strategy->facts.uuid,
                              .down = strategy->down,
                              .to = out->to,
                              .mode = ecl_mode_name (strategy->mode),
                              .why = strategy->mode_why,
                              .candidates = &others,
                              .settings = effort->settings,
                              .range_docs = effort->range_docs,
                              .workers = out->workers,
                              .who = site->who,
                              .lease_time = site->lease_time,
                              .lease_skew = site->lease_skew,
                              .before = try_first,
                              .clear = lower_floor,
                              .waiting = say_planned,
                              .ending = say_ending,
                              .context = &beginning,
                              .until = until,
                              .gave_up = &gave_up};
   ecl_start_t started;
   bool good;

   if (!ask_records (site, strategy, told, out, &options.finished, error)) {
      return false;
   }
   if (out->nothing) {
      return true;
   }
   if (!ecl_quarantine_set_find (site, strategy->chain->collection, out->to, &quarantined, error)) {
      ecl_quarantine_set_cleanup (&quarantined);
      return false;
   }
   options.quarantined = quarantined.n;
   ecl_survey_candidates (strategy->chain, strategy->target, strategy->down, &candidates);
   ecl_quarantine_set_exclude (&quarantined, &candidates, &others);
   started = ecl_job_start (&options, &out->job, error);
   if (*gave_up.collection) {
      say_gave_up (told, &gave_up, out);
   }
   bson_destroy (&others);
   out->joined = started == ECL_START_JOINED;
   out->by_records = started == ECL_START_FINISHED;
   out->nothing = started == ECL_START_NOTHING || out->by_records;
   good = started == ECL_START_NEW || (started != ECL_START_FAILED && lower_floor (&beginning, error));
   good = good && see_to_quarantined (site, strategy, &quarantined, &candidates, out, error);
   bson_destroy (&candidates);
   ecl_quarantine_set_cleanup (&quarantined);
   return good;
}

/* How the job ended, and what it came to. */
static void
take_result (const ecl_site_t *site, const ecl_worker_state_t *state, ecl_carried_t *out)
{
   bson_error_t ignored;
   ecl_job_t job;
   bool found;

   out->wrote = true;
   out->passes = state->passes;
   out->counts = out->own = state->counts;
   out->cancelled = state->end == ECL_WORKER_CANCELLED;
   out->stopped = state->end == ECL_WORKER_STOPPED;
   if (*state->why) {
      out->mode = state->mode;
      bson_strncpy (out->mode_why, state->why, sizeof out->mode_why);
   }
   if (ecl_job_look (site->world, site->database, out->job.id, &job, &found, &ignored) && found) {
      out->job = job;
      if (job.state == ECL_JOB_DONE) {
         out->counts = job.counts;
      }
   }
}

/* Takes target and mode from a job that somebody else made: they may have had reasons for them. False where the project
 * cannot do it; then nothing of the job is changed, either. */
static bool
take_over (ecl_carried_t *out, ecl_task_t *task, bson_error_t *error)
{
   ecl_version_t version;

   if (!ecl_chain_parse_version (task->chain, out->job.to, &version, error) ||
       !ecl_chain_index (task->chain, version, &task->target)) {
      return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_VERSION,
                       "%s: the job is to version %s, which is not on the chain of this project", out->job.collection,
                       out->job.to);
   }
   if (!ecl_job_is_of (&out->job, task->chain, task->target)) {
      return ecl_fail (
         error, ECL_DOMAIN_RUN, ECL_ERROR_VERSION,
         "%s: the job to version %s was begun with other migrations or settings of the collection than this "
         "project has: it is for those who have the same; `eclose backfill cancel %s` ends it",
         out->job.collection, out->job.to, ecl_shell_word (out->job.collection).text);
   }
   task->down = out->job.down;
   bson_strncpy (out->to, out->job.to, sizeof out->to);
   if (strcmp (out->job.mode, ecl_mode_name (ECL_MODE_CLIENT)) == 0) {
      task->mode = out->mode = ECL_MODE_CLIENT;
      bson_strncpy (out->mode_why, out->job.why, sizeof out->mode_why);
   }
   return true;
}

static void
tell (void *context, const ecl_job_progress_t *progress)
{
   told_t *self = context;

   if (self->progress) {
      self->progress (self->context, self->what, progress);
   }
}

static void
say_joined (told_t *told, const ecl_carried_t *out, const char *what)
{
   char text[768];

   bson_snprintf (text, sizeof text, "%s: %s", out->job.collection, what);
   say (told, text);
}

/* A job that is there takes over the settings that were asked for, for all who work on it. It was made with the rest,
 * and keeps that: then it is said. */
static bool
settle (const ecl_site_t *site, told_t *told, const ecl_carried_t *out, bson_error_t *error)
{
   const ecl_effort_t *effort = effort_of (told->what);
   const char *mode = ecl_mode_name (told->what->mode);
   const ecl_job_t *job = &out->job;
   char text[640];
   bool took; /* a job that ended meanwhile is one whose end is seen soon */

   if (!effort->only_join) {
      bson_snprintf (text, sizeof text, "there is a job to version %s already, begun by process %" PRId64 " on %s%s",
                     job->to, job->pid, *job->host ? job->host : "an unknown machine",
                     effort->only_start ? "" : "; it is joined");
      say_joined (told, out, text);
   }
   if (effort->range_docs || effort->max_errors != 0) {
      say_joined (told, out,
                  "--range-docs and --max-errors are of a new job; the one that is there stays as it was made");
   }
   if (told->what->mode != ECL_MODE_AUTO && strcmp (job->mode, mode) != 0 &&
       (effort->only_start || told->what->mode == ECL_MODE_PUSHDOWN)) {
      bson_snprintf (text, sizeof text, "--mode %s is of a new job; the one that is there is in %s mode: %s", mode,
                     job->mode, job->why);
      say_joined (told, out, text);
   }
   if (!effort->set) {
      return true;
   }
   if (!ecl_job_change (site->world, site->database, job->id, &effort->settings, effort->set, &took, error)) {
      return false;
   }
   if (took) {
      say_joined (told, out, "the job's settings are changed as asked for, for all who work on it");
   }
   return true;
}

/* More workers than ranges have nothing to do. */
static void
say_idle (told_t *told, const ecl_carried_t *out)
{
   char text[256];

   if (out->job.chunks > 0 && out->workers > (uint32_t) out->job.chunks) {
      bson_snprintf (text, sizeof text, "%s: the job has %d range%s, so %d worker%s of %" PRIu32 " %s at work",
                     out->job.collection, out->job.chunks, out->job.chunks == 1 ? "" : "s", out->job.chunks,
                     out->job.chunks == 1 ? "" : "s", out->workers, out->job.chunks == 1 ? "is" : "are");
      say (told, text);
   }
}

static bool
go (const ecl_site_t *site, const ecl_strategy_t *strategy, told_t *told, ecl_carried_t *out, bson_error_t *error)
{
   const ecl_effort_t *effort = effort_of (told->what);
   ecl_task_t task = {.chain = strategy->chain,
                      .target = strategy->target,
                      .down = strategy->down,
                      .mode = strategy->mode,
                      .always_transaction = ecl_facts_transaction (&strategy->facts),
                      /* Servers there are that go along all of an index that is named, whatever the range. */
                      .unhinted = strategy->facts.n_indexes == 1,
                      .lease_time = site->lease_time,
                      .lease_skew = site->lease_skew,
                      .connector = effort->connector};
   int64_t began = site->world->now (site->world), until = effort->lasts ? began + effort->lasts : 0;
   ecl_worker_pool_listener_t listener = {.context = told, .progress = tell, .note = say};
   ecl_worker_state_t state = {0};
   bool good;

   out->mode = strategy->mode;
   bson_strncpy (out->mode_why, strategy->mode_why, sizeof out->mode_why);
   out->workers = effort->workers ? effort->workers : 1;
   if (!ecl_server_guard_form (site->world, &site->server, site->database, strategy->chain->collection, &task.form,
                               error)) {
      return false;
   }
   if (!(effort->only_join ? join (site, strategy, told, until, out, error)
                           : start (site, strategy, told, until, out, error))) {
      out->time_up = out->stopped = until && error->domain == ECL_DOMAIN_RUN && error->code == ECL_ERROR_CANCELLED &&
                                    !site->world->cancelled (site->world);
      return false;
   }
   if (out->joined && ((!effort->only_start && !take_over (out, &task, error)) || !settle (site, told, out, error))) {
      return false;
   }
   out->began = true;
   if (out->nothing) {
      return true;
   }
   out->total = out->job.documents;
   if (effort->only_start) {
      out->wrote = !out->joined;
      return true;
   }
   memcpy (task.job, out->job.id, sizeof task.job);
   task.until = until;
   say_idle (told, out);
   good =
      ecl_worker_pool_run (site, &task, effort->throttle_command, out->workers, &out->job, &listener, &state, error);
   take_result (site, &state, out);
   out->time_up = !good && state.end == ECL_WORKER_STOPPED && task.until && !site->world->cancelled (site->world);
   out->ms = site->world->now (site->world) - began;
   return good;
}

/* Whether a collection may go down: not against the validator that `complete` made for the versions above. */
static bool
may_go_down (const ecl_strategy_t *strategy, const char *to, bson_error_t *error)
{
   const ecl_chain_t *chain = strategy->chain;

   return !strategy->down || strategy->facts.kind == ECL_COLLECTION_MISSING ||
          !ecl_complete_refuses (chain, strategy->target, &strategy->facts) ||
          ecl_fail (
             error, ECL_DOMAIN_RUN, ECL_ERROR_CONFLICT,
             "%s: the validator that `eclose complete` made refuses documents of version %s, so every one would go "
             "to quarantine; lift it first: db.runCommand({collMod: '%s', validationAction: 'warn'})",
             chain->collection, to, chain->collection);
}

bool
ecl_carry (const ecl_site_t *site, const ecl_carry_t *what, ecl_carry_fn progress, void *context, ecl_carried_t *out,
           bson_error_t *error)
{
   const ecl_chain_t *chain = what->chain;
   told_t told = {.progress = progress, .context = context, .what = what};
   ecl_strategy_t strategy;
   ecl_arena_t arena;
   bool good;

   memset (out, 0, sizeof *out);
   out->what = *what;
   ecl_version_text (chain->format, ecl_chain_version (chain, what->target), out->to);
   ecl_arena_init (&arena);
   good = ecl_strategy_find (site, chain, what->target, what->down, what->mode, &arena, &strategy, error) &&
          ecl_strategy_allowed (&strategy, error) && may_go_down (&strategy, out->to, error);
   if (good) {
      out->missing = strategy.facts.kind == ECL_COLLECTION_MISSING;
      good = out->missing || go (site, &strategy, &told, out, error);
   }
   ecl_arena_cleanup (&arena);
   return good;
}
