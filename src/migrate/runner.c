/* A release, from the changelog to the last collection: see runner.h. */
#include "migrate/runner.h"

#include "backfill/verify.h"
#include "backfill/walk.h"
#include "base/shell.h"
#include "base/suggest.h"
#include "migrate/program.h"
#include "run/pace.h"
#include "run/publish.h"
#include "store/quarantine.h"

/* ---- what a migration needs that is no command ---- */

/* The site, with the world of the one who asks. */
static ecl_site_t
site_in (const ecl_runner_t *self, ecl_world_t *world)
{
   ecl_site_t site = self->options.site;

   site.world = world;
   return site;
}

static ecl_world_t *
plain_world (const ecl_runner_t *self)
{
   return self->options.site.world;
}

/* Where the lease was lost on the way, that is what ended it. */
static void
blame_lease (const ecl_runner_t *self, bson_error_t *error)
{
   if (self->acquired) {
      ecl_holder_blame (&self->holder, plain_world (self), error);
   }
}

static bool
in_quarantine (const ecl_chain_t *chain, bson_error_t *error)
{
   return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CONFLICT,
                    "documents of %s are in quarantine: " ECL_STORE_QUARANTINE " says why", chain->collection);
}

static void
tell_carried (const ecl_runner_t *self, const ecl_carried_t *carried, const bson_error_t *error)
{
   if (self->options.listener.carried) {
      self->options.listener.carried (self->options.listener.context, carried, error);
   }
}

static void
tell_failed (const ecl_runner_t *self, const bson_error_t *error)
{
   if (self->options.listener.failed) {
      self->options.listener.failed (self->options.listener.context, error);
   }
}

static bool
carry (void *context, ecl_world_t *world, const ecl_chain_t *chain, size_t target, bool down, ecl_mode_t mode,
       bson_error_t *error)
{
   ecl_runner_t *self = context;
   ecl_effort_t effort = {0};
   const ecl_runner_listener_t *listener = &self->options.listener;
   ecl_carry_t what = {
      .chain = chain, .target = target, .down = down, .mode = mode, .effort = &effort, .note = listener->note};
   ecl_site_t site = site_in (self, world);
   ecl_carried_t carried;
   bool good;

   ecl_pace_job (site.project, 0, &effort.settings);
   good = ecl_carry (&site, &what, listener->progress, listener->context, &carried, error);
   if (!good) {
      blame_lease (self, error);
   }
   tell_carried (self, &carried, good ? NULL : error);
   return good && (!carried.counts.quarantined || in_quarantine (chain, error));
}

typedef struct {
   char first[400];
} found_t;

static void
on_problem (void *context, const ecl_verify_problem_t *problem)
{
   found_t *self = context;

   if (!*self->first) {
      snprintf (self->first, sizeof self->first, "%s: %s", problem->path, problem->message);
   }
}

/* All documents: a step that says that they are well must have seen them. */
static bool
verify (void *context, ecl_world_t *world, const ecl_chain_t *chain, bson_error_t *error)
{
   ecl_runner_t *self = context;
   const char *database = self->options.site.database;
   const ecl_value_t *document;
   int64_t bad = 0, seen = 0;
   ecl_verifier_t *verifier;
   found_t found = {""};
   ecl_walk_t walk;
   bool good;

   verifier = ecl_verifier_new (self->options.site.upgrades, chain, chain->n_steps, on_problem, &found, error);
   if (!verifier) {
      return false;
   }
   good = ecl_walk_init (&walk, world, database, chain->collection, 0, 0, 1, error);
   while (good &&
          (good = ecl_walk_next (&walk, &document, error) &&
                  (!document || ecl_verifier_ahead (verifier, &walk.scan, world, database, error))) &&
          document) {
      seen++;
      bad += !ecl_verifier_run (verifier, document);
   }
   ecl_walk_cleanup (&walk);
   ecl_verifier_destroy (verifier);
   if (!good) {
      blame_lease (self, error);
      return false;
   }
   return !bad || ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CONFLICT,
                            "%" PRId64 " of %" PRId64 " documents of %s are not as they should be; the first: %s", bad,
                            seen, chain->collection, found.first);
}

/* What a running program is told about. */
typedef struct {
   ecl_runner_t *runner;
   const ecl_migrate_program_t *program;
} told_t;

static bool
program_is_cancelled (void *context)
{
   ecl_world_t *world = plain_world (((const told_t *) context)->runner);

   return world->cancelled (world);
}

static void
show (void *context, const char *bytes, size_t n)
{
   const ecl_runner_listener_t *listener = &((const told_t *) context)->runner->options.listener;

   if (listener->output) {
      listener->output (listener->context, bytes, n);
   }
}

static void
keep (void *context, const char *text)
{
   const ecl_migrate_program_t *program = ((const told_t *) context)->program;

   program->keep (program->keeper, text);
}

static bool
program (void *context, const ecl_migrate_program_t *what, bson_error_t *error)
{
   ecl_runner_t *self = context;
   told_t told = {.runner = self, .program = what};
   ecl_program_t options = {.file = what->work->file,
                            .name = what->work->name,
                            .uri = self->options.uri,
                            .database = self->options.site.database,
                            .down = what->down,
                            .holder = what->holder,
                            .cancelled = program_is_cancelled,
                            .context = &told,
                            .show = show,
                            .keep = keep};

   if (!options.uri) {
      return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_UNSUPPORTED,
                       "%s is a program, and there is no URI of the server to give to it", what->work->file);
   }
   return ecl_program_run (&options, what->output, error);
}

static void
step (void *context, const ecl_migrate_event_t *event)
{
   const ecl_runner_listener_t *listener = &((ecl_runner_t *) context)->options.listener;

   if (listener->step) {
      listener->step (listener->context, event);
   }
}

static void
note (void *context, const char *message)
{
   const ecl_runner_listener_t *listener = &((ecl_runner_t *) context)->options.listener;

   if (listener->note) {
      listener->note (listener->context, message);
   }
}

/* ---- life ---- */

bool
ecl_runner_read (ecl_runner_t *self, bson_error_t *error)
{
   /* The first time under the lease: once it is renewed its token must not change any more. */
   ecl_holder_t *hold = self->acquired && !self->heartbeat ? &self->holder : NULL;
   const ecl_site_t *site = &self->options.site;

   if (!ecl_history_read (&self->history, site->world, site->database, hold, error)) {
      return false;
   }
   ecl_arena_reset (&self->arena);
   self->list = ecl_migrate_list (site->project, &self->history, &self->arena, &self->n);
   return true;
}

void
ecl_runner_init (ecl_runner_t *self, const ecl_runner_options_t *options)
{
   ecl_holder_options_t lease = {.database = options->site.database,
                                 .apart = true,
                                 .time = options->time,
                                 .skew = options->skew,
                                 .who = options->site.who};

   memset (self, 0, sizeof *self);
   self->options = *options;
   self->live = true;
   ecl_history_init (&self->history);
   ecl_arena_init (&self->arena);
   ecl_holder_init (&self->holder, &lease);
   self->hooks = (ecl_migrate_hooks_t){
      .context = self, .carry = carry, .verify = verify, .program = program, .tell = step, .note = note};
}

void
ecl_runner_cleanup (ecl_runner_t *self)
{
   if (!self->live) {
      return;
   }
   ecl_heartbeat_stop (self->heartbeat);
   if (self->acquired) {
      ecl_holder_release (&self->holder, plain_world (self));
   }
   ecl_holder_cleanup (&self->holder);
   ecl_history_cleanup (&self->history);
   ecl_arena_cleanup (&self->arena);
   self->live = false;
}

ecl_acquire_t
ecl_runner_acquire (ecl_runner_t *self, int64_t wait, bson_error_t *error)
{
   const ecl_runner_listener_t *listener = &self->options.listener;
   ecl_acquire_t got =
      ecl_holder_acquire (&self->holder, plain_world (self), wait, listener->waiting, listener->context, error);

   if (got != ECL_ACQUIRED) {
      return got;
   }
   self->acquired = true;
   /* Before the heartbeat: reading may change the token, see ecl_holder_raise. */
   if (!ecl_runner_read (self, error)) {
      return ECL_ACQUIRE_FAILED;
   }
   self->heartbeat = ecl_heartbeat_start (&self->options.connector, &self->holder, error);
   return self->heartbeat ? ECL_ACQUIRED : ECL_ACQUIRE_FAILED;
}

/* The world to work in: under the lease where it was taken. */
static ecl_world_t *
working_world (ecl_runner_t *self)
{
   ecl_world_t *world = plain_world (self);

   return self->acquired ? ecl_held_world_init (&self->held, world, &self->holder) : world;
}

/* ---- migrations ---- */

const ecl_placed_t *
ecl_runner_find (const ecl_runner_t *self, const char *name, bson_error_t *error)
{
   const char **names = bson_malloc0 ((self->n + 1) * sizeof (char *)), *meant;
   const ecl_placed_t *found = NULL;

   for (size_t i = 0; i < self->n && !found; i++) {
      names[i] = self->list[i].name;
      found = strcmp (names[i], name) == 0 ? &self->list[i] : NULL;
   }
   if (!found) {
      meant = ecl_suggest (name, strlen (name), names);
      ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_INVALID, "there is no database migration \"%s\"%s%s%s", name,
                meant ? "; did you mean \"" : "", meant ? meant : "", meant ? "\"?" : "");
   }
   bson_free (names);
   return found;
}

void
ecl_runner_say_changed (const ecl_placed_t *placed, bson_error_t *error)
{
   ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CONFLICT,
             "%s was applied, and the file is another by now: put the old one back, or accept this one with "
             "`eclose repair %s`",
             placed->work->file, ecl_shell_word (placed->name).text);
}

void
ecl_runner_say_down (const ecl_placed_t *placed, bson_error_t *error)
{
   ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CONFLICT, "%s is on its way down: `eclose revert %s` ends that",
             placed->name, ecl_shell_word (placed->name).text);
}

/* False with an error where the file of one that was applied is another by now. */
static bool
is_unchanged (const ecl_runner_t *self, bson_error_t *error)
{
   for (size_t i = 0; i < self->n; i++) {
      if (self->list[i].kind == ECL_PLACE_CHANGED) {
         ecl_runner_say_changed (&self->list[i], error);
         return false;
      }
   }
   return true;
}

bool
ecl_runner_run (ecl_runner_t *self, const ecl_placed_t *placed, bool down, bson_error_t *error)
{
   const ecl_site_t *site = &self->options.site;
   ecl_migrate_options_t options = {.world = site->world,
                                    .holder = &self->holder,
                                    .database = site->database,
                                    .project = site->project,
                                    .transactions = site->server.transactions,
                                    .who = site->who,
                                    .throttle = self->options.throttle,
                                    .hooks = self->hooks};
   int64_t began = site->world->now (site->world);

   if (!ecl_migrate_run (&options, placed->work, down, placed->record, error)) {
      ecl_error_prefix (error, "%s", placed->name);
      return false;
   }
   if (self->options.listener.ran) {
      self->options.listener.ran (self->options.listener.context, placed, down, site->world->now (site->world) - began);
   }
   return true;
}

/* ---- all of it ---- */

static bool
is_meant (const ecl_choice_t *choice, const ecl_placed_t *placed)
{
   return (!choice->only || strcmp (choice->only, placed->name) == 0) &&
          (!choice->last || strcmp (placed->name, choice->last) <= 0);
}

static bool
is_chosen (const ecl_choice_t *choice, const ecl_placed_t *placed)
{
   return ecl_placed_pending (placed) && is_meant (choice, placed);
}

static bool
refuse_going_down (const ecl_runner_t *self, const ecl_choice_t *choice, bson_error_t *error)
{
   for (size_t i = 0; i < self->n; i++) {
      if (is_meant (choice, &self->list[i]) && self->list[i].kind == ECL_PLACE_DOWN) {
         ecl_runner_say_down (&self->list[i], error);
         return false;
      }
   }
   return true;
}

static bool
refuse_late (const ecl_runner_t *self, const ecl_choice_t *choice, bson_error_t *error)
{
   for (size_t i = 0; i < self->n && choice->strict; i++) {
      if (is_chosen (choice, &self->list[i]) && self->list[i].kind == ECL_PLACE_LATE) {
         return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CONFLICT,
                          "%s arrived late: one behind it is applied already, and --strict-order refuses that",
                          self->list[i].name);
      }
   }
   return true;
}

static ecl_outcome_t
outcome_of (bool good, const bson_error_t *error)
{
   return good ? ECL_OUTCOME_DONE : ecl_is_lease_error (error) ? ECL_OUTCOME_BUSY : ECL_OUTCOME_FAILED;
}

/* The migrations into the catalog, before they make the first document that an older program has to read. */
static bool
publish (const ecl_runner_t *self, ecl_world_t *world, bson_error_t *error)
{
   return ecl_publish (world, self->options.site.database, self->options.site.project, NULL, error);
}

/* All that are pending, in order, under the lease. The first that fails is the last. */
static bool
run_chosen (ecl_runner_t *self, const ecl_choice_t *choice, bson_error_t *error)
{
   int64_t done = 0;

   for (size_t i = 0; i < self->n && (!choice->steps || done < choice->steps); i++) {
      const ecl_placed_t *placed = &self->list[i];

      if (!is_chosen (choice, placed)) {
         continue;
      }
      if (placed->kind == ECL_PLACE_LATE && self->options.listener.late) {
         self->options.listener.late (self->options.listener.context, placed);
      }
      if (!ecl_runner_run (self, placed, false, error)) {
         return false;
      }
      done++;
   }
   return true;
}

ecl_outcome_t
ecl_runner_works (ecl_runner_t *self, const ecl_choice_t *choice, bson_error_t *error)
{
   bool good;
   size_t n = 0;

   if (!is_unchanged (self, error) || (choice->only && !ecl_runner_find (self, choice->only, error)) ||
       (choice->last && !ecl_runner_find (self, choice->last, error))) {
      return ECL_OUTCOME_FAILED;
   }
   for (size_t i = 0; i < self->n; i++) {
      /* Somebody may be at it: then this one waits, or is busy. */
      n += is_chosen (choice, &self->list[i]) ||
           (is_meant (choice, &self->list[i]) && self->list[i].kind == ECL_PLACE_DOWN);
   }
   if (!n) {
      return ECL_OUTCOME_DONE;
   }
   switch (ecl_runner_acquire (self, choice->wait, error)) {
   case ECL_ACQUIRED:
      break;
   case ECL_ACQUIRE_BUSY:
      return ECL_OUTCOME_BUSY;
   default:
      return outcome_of (false, error);
   }
   good = is_unchanged (self, error) && refuse_going_down (self, choice, error) && refuse_late (self, choice, error) &&
          publish (self, working_world (self), error) && run_chosen (self, choice, error);
   return outcome_of (good, error);
}

ecl_outcome_t
ecl_runner_collections (ecl_runner_t *self, ecl_mode_t mode, bson_error_t *error)
{
   const ecl_runner_listener_t *listener = &self->options.listener;
   ecl_site_t site = site_in (self, working_world (self));
   ecl_outcome_t outcome = ECL_OUTCOME_DONE, one;
   ecl_effort_t effort = self->options.effort;
   const ecl_chain_t *chains;
   bson_error_t why;
   size_t n;

   if (!publish (self, site.world, error)) {
      tell_failed (self, error);
      return outcome_of (false, error);
   }
   chains = ecl_project_chains (site.project, &n);
   effort.by_records = true;
   for (size_t i = 0; i < n; i++) {
      ecl_carry_t what = {.chain = &chains[i], .mode = mode, .effort = &effort, .note = listener->note};
      ecl_carried_t carried;

      what.target = self->options.target ? self->options.target (&chains[i]) : chains[i].n_steps;
      memset (&why, 0, sizeof why);
      if (site.world->cancelled (site.world)) {
         if (outcome == ECL_OUTCOME_DONE || outcome == ECL_OUTCOME_FOUND) {
            ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CANCELLED, "ended as asked for, before %s",
                      chains[i].collection);
            blame_lease (self, error);
            tell_failed (self, error);
            outcome = outcome_of (false, error);
         }
         break;
      }
      if (ecl_carry (&site, &what, listener->progress, listener->context, &carried, &why)) {
         one = carried.counts.quarantined ? ECL_OUTCOME_FOUND : ECL_OUTCOME_DONE;
         tell_carried (self, &carried, NULL);
         if (one == ECL_OUTCOME_FOUND) {
            in_quarantine (&chains[i], &why);
         }
      } else {
         blame_lease (self, &why);
         one = outcome_of (false, &why);
         tell_carried (self, &carried, &why);
      }
      /* What failed weighs more than what is in quarantine. */
      if (outcome == ECL_OUTCOME_DONE || (outcome == ECL_OUTCOME_FOUND && one != ECL_OUTCOME_DONE && one != outcome)) {
         outcome = one;
         *error = why;
      }
   }
   return outcome;
}
