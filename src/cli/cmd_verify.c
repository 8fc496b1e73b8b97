/* eclose verify: documents, read as a reader of the target would, against its schema; and hybrids. */
#include "backfill/verify.h"
#include "backfill/walk.h"
#include "bson/append.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/remote.h"

#include <pthread.h>

#define SAMPLE 1000

/* Documents after which one tells the others. */
#define TOLD 100

typedef struct verify_t verify_t;

/* What one of those who look has. */
typedef struct {
   verify_t *all;
   ecl_verifier_t *verifier;
   bool hybrid;                     /* the document at hand */
   int64_t documents, bad, hybrids; /* that were not told yet */
} looker_t;

struct verify_t {
   ecl_remote_t *remote;
   const ecl_chain_t *chain;
   size_t target;
   looker_t first;
   ecl_walk_t walk; /* that threads share */
   bool quiet;
   pthread_mutex_t lock; /* over all that follows, and over what is printed */
   int64_t documents, bad, hybrids;
   ecl_progress_t progress;
   bool failed;
   bson_error_t error;
   bool unread; /* nobody reads on what is printed, or it cannot be written */
};

static const char *const kinds[] = {"upgrade", "schema", "hybrid"};

static void
print_problem (const verify_t *self, const ecl_verify_problem_t *problem)
{
   if (self->remote->cli->json) {
      bson_t line = BSON_INITIALIZER;

      BSON_APPEND_UTF8 (&line, "collection", self->chain->collection);
      ecl_append_value (&line, "id", &problem->id);
      BSON_APPEND_UTF8 (&line, "problem", kinds[problem->kind]);
      BSON_APPEND_UTF8 (&line, "path", problem->path);
      BSON_APPEND_UTF8 (&line, "rule", problem->keyword);
      BSON_APPEND_UTF8 (&line, "expected", problem->message);
      ecl_cli_json (&line);
      bson_destroy (&line);
   } else {
      ecl_arena_t arena;

      ecl_arena_init (&arena);
      printf ("%s: _id %s: %s%s%s%s%s\n", self->chain->collection, ecl_value_text (&arena, &problem->id), problem->path,
              *problem->path ? ": " : "", problem->kind == ECL_VERIFY_SCHEMA ? problem->keyword : kinds[problem->kind],
              problem->kind == ECL_VERIFY_SCHEMA ? ": expected " : ": ", problem->message);
      ecl_arena_cleanup (&arena);
   }
}

static void
on_problem (void *context, const ecl_verify_problem_t *problem)
{
   looker_t *looker = context;
   verify_t *self = looker->all;

   looker->hybrid = looker->hybrid || problem->kind == ECL_VERIFY_HYBRID;
   if (!self->quiet) {
      pthread_mutex_lock (&self->lock);
      ecl_progress_hide (&self->progress);
      print_problem (self, problem);
      /* At once: the next one may be long in coming, and whoever has seen enough is not to be read for. */
      if (fflush (stdout) != 0) {
         self->unread = true;
         ecl_walk_stop (&self->walk);
      }
      pthread_mutex_unlock (&self->lock);
   }
}

/* What was seen since. */
static void
add_up (looker_t *looker, int64_t now)
{
   verify_t *self = looker->all;

   pthread_mutex_lock (&self->lock);
   self->documents += looker->documents;
   self->bad += looker->bad;
   self->hybrids += looker->hybrids;
   ecl_progress_update (&self->progress, (uint64_t) self->documents, now);
   pthread_mutex_unlock (&self->lock);
   looker->documents = looker->bad = looker->hybrids = 0;
}

/* All that there is to be read. */
static bool
look (looker_t *self, ecl_walk_t *walk, bson_error_t *error)
{
   const char *database = self->all->remote->database;
   const ecl_value_t *document;
   bool good;

   while ((good = ecl_walk_next (walk, &document, error) &&
                  (!document || ecl_verifier_ahead (self->verifier, &walk->scan, walk->world, database, error))) &&
          document) {
      self->hybrid = false;
      self->documents++;
      self->bad += !ecl_verifier_run (self->verifier, document);
      self->hybrids += self->hybrid;
      if (self->documents >= TOLD) {
         add_up (self, walk->world->now (walk->world));
      }
   }
   add_up (self, walk->world->now (walk->world));
   return good;
}

/* Another one who looks. */
static bool
join (verify_t *self, ecl_world_t *world, bson_error_t *error)
{
   ecl_upgrades_t *upgrades = ecl_upgrades_new (self->remote->project);
   looker_t looker = {.all = self};
   ecl_walk_t walk;
   bool good;

   looker.verifier = ecl_verifier_new (upgrades, self->chain, self->target, on_problem, &looker, error);
   ecl_walk_share (&walk, &self->walk, world);
   good = looker.verifier && look (&looker, &walk, error);
   ecl_walk_cleanup (&walk);
   ecl_verifier_destroy (looker.verifier);
   ecl_upgrades_destroy (upgrades);
   return good;
}

static void
work (void *context, uint32_t number, ecl_world_t *world, const bson_error_t *why)
{
   verify_t *self = context;
   bson_error_t error;

   (void) why; /* without a connection fewer look */
   if (!world || (number ? join (self, world, &error) : look (&self->first, &self->walk, &error))) {
      return;
   }
   pthread_mutex_lock (&self->lock);
   self->error = self->failed ? self->error : error;
   self->failed = true;
   pthread_mutex_unlock (&self->lock);
   ecl_walk_stop (&self->walk);
}

static void
print_sum (const verify_t *self, bool schema)
{
   char n[32];

   if (self->remote->cli->json) {
      bson_t line = BSON_INITIALIZER;

      BSON_APPEND_UTF8 (&line, "collection", self->chain->collection);
      BSON_APPEND_INT64 (&line, "documents", self->documents);
      BSON_APPEND_INT64 (&line, "bad", self->bad);
      BSON_APPEND_INT64 (&line, "hybrids", self->hybrids);
      BSON_APPEND_BOOL (&line, "schema", schema);
      ecl_cli_json (&line);
      bson_destroy (&line);
      return;
   }
   printf ("%s: %s document%s looked at, ", self->chain->collection, ecl_progress_count ((uint64_t) self->documents, n),
           self->documents == 1 ? "" : "s");
   printf ("%s with problems", ecl_progress_count ((uint64_t) self->bad, n));
   if (self->hybrids) {
      printf (", %s of them hybrids", ecl_progress_count ((uint64_t) self->hybrids, n));
   }
   printf ("%s\n", schema ? "" : " (the target has no schema)");
}

bool
ecl_remote_verify (ecl_remote_t *remote, const ecl_chain_t *chain, size_t target, int64_t sample, const ecl_look_t *how,
                   bool quiet, int64_t *bad)
{
   verify_t self = {.remote = remote, .chain = chain, .target = target, .quiet = quiet, .first = {.all = &self}};
   ecl_world_t *world = remote->world;
   uint32_t workers = sample ? 1 : how->workers;

   self.first.verifier = ecl_verifier_new (remote->upgrades, chain, target, on_problem, &self.first, &self.error);
   if (!self.first.verifier) {
      ecl_cli_fail (remote->cli, "%s", self.error.message);
      return false;
   }
   pthread_mutex_init (&self.lock, NULL);
   self.failed = !ecl_walk_init (&self.walk, world, remote->database, chain->collection, sample, how->range_docs,
                                 workers, &self.error);
   ecl_progress_begin (&self.progress, stderr, remote->cli->progress, chain->collection,
                       (uint64_t) (sample ? sample : self.walk.documents), world->now (world));
   if (!self.failed) {
      /* More threads than ranges have nothing to do. */
      ecl_parallel_run (world, how->connector, BSON_MIN (workers, (uint32_t) self.walk.n), work, &self);
   }
   ecl_progress_hide (&self.progress);
   if (self.failed) {
      ecl_cli_fail (remote->cli, "%s: %s", chain->collection, self.error.message);
   } else if (!quiet && !self.unread) { /* of that main tells */
      if (!self.documents) {
         ecl_remote_note_missing (remote, chain->collection);
      }
      print_sum (&self, ecl_verifier_has_schema (self.first.verifier));
   }
   *bad += self.bad;
   ecl_walk_cleanup (&self.walk);
   pthread_mutex_destroy (&self.lock);
   ecl_verifier_destroy (self.first.verifier);
   return !self.failed && !self.unread;
}

static ecl_exit_t
run (ecl_cli_t *cli)
{
   ecl_exit_t status = ECL_EXIT_FAILED;
   const ecl_chain_t *chains, *only;
   ecl_remote_t remote = {0};
   int64_t sample, bad = 0;
   ecl_look_t how;
   size_t n;

   if (!ecl_cli_number (cli, "sample", 1, INT32_MAX, SAMPLE, &sample) || !ecl_remote_look (&remote, cli, &how)) {
      return ECL_EXIT_USAGE;
   }
   if (ecl_cli_flag (cli, "all") && ecl_cli_flag (cli, "sample")) {
      return ecl_cli_usage (cli, "--all and --sample exclude each other");
   }
   if ((how.range_docs || how.workers) && !ecl_cli_flag (cli, "all")) {
      return ecl_cli_usage (cli, "--%s is about --all", how.workers ? "workers" : "range-docs");
   }
   sample = ecl_cli_flag (cli, "all") ? 0 : sample;
   if (!ecl_remote_load (&remote, cli) || !ecl_cli_chain (cli, remote.project, 0, &only) ||
       !ecl_remote_connect (&remote)) {
      goto done;
   }
   chains = ecl_project_chains (remote.project, &n);
   for (size_t i = 0; i < n; i++) {
      if ((!only || only == &chains[i]) &&
          !ecl_remote_verify (&remote, &chains[i], chains[i].n_steps, sample, &how, false, &bad)) {
         goto done;
      }
   }
   status = bad ? ECL_EXIT_FOUND : ECL_EXIT_OK;

done:
   ecl_remote_close (&remote);
   return status;
}

static const ecl_option_t options[] = {
   {"sample", 0, "N", "so many documents of each collection, at random; 1000 unless told otherwise"},
   {"all", 0, NULL, "every document"},
   ECL_REMOTE_LOOK,
   {NULL},
};

const ecl_command_t ecl_cmd_verify = {
   .name = "verify",
   .arguments = "[COLLECTION]",
   .summary = "check documents against the target's schema",
   .about = "Takes documents at random, runs each to the target as a reader would, and says\n"
            "which path breaks which rule of the target's `schema`. Finds hybrids, too: documents\n"
            "at the target in which a field is back that the migrations removed. Writes nothing.",
   .options = options,
   .max_args = 1,
   .flags = ECL_COMMAND_PROJECT | ECL_COMMAND_SERVER | ECL_COMMAND_FORMAT,
   .run = run,
};
