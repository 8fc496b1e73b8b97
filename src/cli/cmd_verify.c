/* eclose verify: documents, read as a reader of the target would, against its schema; and hybrids. */
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/remote.h"
#include "run/tour.h"
#include "run/verify.h"
#include "upgrade/append.h"

#include <unistd.h>

#define SAMPLE 1000

typedef struct {
   ecl_remote_t *remote;
   const ecl_chain_t *chain;
   int64_t documents, bad, hybrids;
   bool hybrid; /* the document at hand */
   bool quiet;
   ecl_progress_t progress;
} verify_t;

static const char *const kinds[] = {"upgrade", "schema", "hybrid"};

static void
on_problem (void *context, const ecl_verify_problem_t *problem)
{
   verify_t *self = context;

   self->hybrid = self->hybrid || problem->kind == ECL_VERIFY_HYBRID;
   if (self->quiet) {
      return;
   }
   ecl_progress_hide (&self->progress);
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

/* All that there is to be read. */
static bool
look (verify_t *self, ecl_tour_t *tour, ecl_verifier_t *verifier, bson_error_t *error)
{
   ecl_world_t *world = self->remote->world;
   const ecl_value_t *document;
   bool good;

   while ((good = ecl_tour_next (tour, &document, error) &&
                  (!document || ecl_verifier_ahead (verifier, &tour->scan, world, self->remote->database, error))) &&
          document) {
      self->hybrid = false;
      self->documents++;
      self->bad += !ecl_verifier_run (verifier, document);
      self->hybrids += self->hybrid;
      ecl_progress_update (&self->progress, (uint64_t) self->documents, world->now (world));
   }
   return good;
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
ecl_remote_verify (ecl_remote_t *remote, const ecl_chain_t *chain, size_t target, int64_t sample, int64_t range_docs,
                   bool quiet, int64_t *bad)
{
   verify_t self = {.remote = remote, .chain = chain, .quiet = quiet};
   ecl_verifier_t *verifier;
   ecl_tour_t tour;
   bson_error_t error;
   bool good;

   verifier = ecl_verifier_new (remote->upgrades, chain, target, on_problem, &self, &error);
   if (!verifier) {
      ecl_cli_fail (remote->cli, "%s", error.message);
      return false;
   }
   good = ecl_tour_init (&tour, remote->world, remote->database, chain->collection, sample, range_docs, &error);
   ecl_progress_begin (&self.progress, stderr, isatty (STDERR_FILENO) != 0, chain->collection,
                       (uint64_t) (sample ? sample : tour.documents), remote->world->now (remote->world));
   good = good && look (&self, &tour, verifier, &error);
   ecl_progress_hide (&self.progress);
   if (good && !quiet) {
      print_sum (&self, ecl_verifier_has_schema (verifier));
   } else if (!good) {
      ecl_cli_fail (remote->cli, "%s: %s", chain->collection, error.message);
   }
   *bad += self.bad;
   ecl_tour_cleanup (&tour);
   ecl_verifier_destroy (verifier);
   return good;
}

static ecl_exit_t
run (ecl_cli_t *cli)
{
   ecl_exit_t status = ECL_EXIT_FAILED;
   const ecl_chain_t *chains, *only;
   ecl_remote_t remote = {0};
   int64_t sample, range_docs, bad = 0;
   size_t n;

   if (!ecl_cli_number (cli, "sample", 1, INT32_MAX, SAMPLE, &sample) ||
       !ecl_remote_range_docs (cli, &range_docs)) {
      return ECL_EXIT_USAGE;
   }
   if (ecl_cli_flag (cli, "all") && ecl_cli_flag (cli, "sample")) {
      return ecl_cli_usage (cli, "--all and --sample exclude each other");
   }
   if (range_docs && !ecl_cli_flag (cli, "all")) {
      return ecl_cli_usage (cli, "--range-docs is about --all");
   }
   sample = ecl_cli_flag (cli, "all") ? 0 : sample;
   if (!ecl_remote_load (&remote, cli) || !ecl_cli_chain (cli, remote.project, 0, &only) ||
       !ecl_remote_connect (&remote)) {
      goto done;
   }
   chains = ecl_project_chains (remote.project, &n);
   for (size_t i = 0; i < n; i++) {
      if ((!only || only == &chains[i]) &&
          !ecl_remote_verify (&remote, &chains[i], chains[i].n_steps, sample, range_docs, false, &bad)) {
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
   ECL_REMOTE_RANGE_DOCS,
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
