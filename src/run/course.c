/* One collection to its target: see course.h. */
#include "run/course.h"

#include "upgrade/loads.h"

/* ---- who computes ---- */

/* Why the server cannot run the chain; NULL where it can. */
static const char *
server_cannot (const ecl_site_t *site, const ecl_course_t *course, const ecl_plan_t *const *plans, size_t n_plans)
{
   if (!site->server.pipelines) {
      return "this server takes no pipelines in updates (MongoDB 4.2 does)";
   }
   for (size_t i = 0; i < n_plans; i++) {
      if (ecl_plan_has_functions (plans[i])) {
         return "a migration is a function of the program";
      }
   }
   if (ecl_chain_looks_up (course->chain, course->target, course->down)) {
      return "it looks up documents of other collections, which no update can";
   }
   return ecl_facts_transaction (&course->facts);
}

static bool
choose_mode (const ecl_site_t *site, ecl_mode_t wanted, const ecl_plan_t *const *plans, size_t n_plans,
             ecl_course_t *course, bson_error_t *error)
{
   const char *cannot = server_cannot (site, course, plans, n_plans);

   if (wanted == ECL_MODE_PUSHDOWN && cannot) {
      return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_UNSUPPORTED, "%s cannot be pushed down: %s",
                       course->chain->collection, cannot);
   }
   course->mode = wanted == ECL_MODE_CLIENT || cannot ? ECL_MODE_CLIENT : ECL_MODE_PUSHDOWN;
   course->mode_why = wanted != ECL_MODE_AUTO ? "as asked for"
                      : cannot                ? cannot
                                              : "the server runs all stages of the chain";
   return true;
}

/* ---- the course ---- */

bool
ecl_course_find (const ecl_site_t *site, const ecl_chain_t *chain, size_t target, bool down, ecl_mode_t wanted,
                 ecl_arena_t *arena, ecl_course_t *out, bson_error_t *error)
{
   const ecl_plan_t **plans = ecl_arena_array (arena, const ecl_plan_t *, chain->n_steps + 1);
   size_t n_plans = 0;

   memset (out, 0, sizeof *out);
   out->chain = chain;
   out->target = target;
   out->down = down;
   for (size_t i = down ? target + 1 : 0; down ? i <= chain->n_steps : i < target; i++) {
      if (!ecl_upgrades_plan (site->upgrades, chain, i, target, &plans[n_plans++], error)) {
         return false;
      }
   }
   if (!ecl_facts_ask (site->world, &site->server, site->database, chain->collection, arena, &out->facts, error) ||
       !choose_mode (site, wanted, plans, n_plans, out, error)) {
      return false;
   }
   out->obstacles = ecl_facts_obstacles (&out->facts, plans, n_plans, arena, &out->n_obstacles);
   return true;
}

/* ---- going it ---- */

typedef struct {
   ecl_carry_fn progress;
   void *context;
   const ecl_carry_t *what;
} told_t;

static void
tell (void *context, const ecl_backfill_result_t *result)
{
   told_t *self = context;

   if (self->progress) {
      self->progress (self->context, self->what, result);
   }
}

static void
make_job_id (ecl_world_t *world, uint8_t id[12])
{
   for (int i = 0; i < 12; i += 4) {
      uint32_t bits = (uint32_t) world->random (world);

      memcpy (id + i, &bits, sizeof bits);
   }
}

static bool
go (const ecl_site_t *site, const ecl_course_t *course, told_t *told, ecl_carried_t *out, bson_error_t *error)
{
   const char *collection = course->chain->collection;
   ecl_backfill_options_t options = {.database = site->database,
                                     .chain = course->chain,
                                     .upgrades = site->upgrades,
                                     .target = course->target,
                                     .down = course->down,
                                     .mode = course->mode,
                                     .always_transaction = ecl_facts_transaction (&course->facts),
                                     .transactions = site->server.transactions,
                                     .host = site->who.host,
                                     .pid = site->who.pid};
   int64_t began = site->world->now (site->world);
   ecl_backfill_t *backfill;
   bool good;

   if (!ecl_server_guard_form (site->world, &site->server, site->database, collection, &options.form, error)) {
      return false;
   }
   make_job_id (site->world, options.job);
   backfill = ecl_backfill_new (&options, error);
   if (!backfill) {
      return false;
   }
   good = ecl_backfill_drive (backfill, site->world, tell, told, error);
   out->began = true;
   out->result = *ecl_backfill_result (backfill);
   out->ms = site->world->now (site->world) - began;
   out->mode = out->result.mode;
   snprintf (out->mode_why, sizeof out->mode_why, "%s", out->result.mode_why ? out->result.mode_why : course->mode_why);
   out->result.mode_why = NULL;
   ecl_backfill_destroy (backfill);
   if (good && out->result.cancelled) {
      good = ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CANCELLED,
                       "%s: ended as asked for; the same command goes on where this one stopped", collection);
   }
   return good;
}

bool
ecl_carry (const ecl_site_t *site, const ecl_carry_t *what, ecl_carry_fn progress, void *context, ecl_carried_t *out,
           bson_error_t *error)
{
   const ecl_chain_t *chain = what->chain;
   told_t told = {.progress = progress, .context = context, .what = what};
   ecl_course_t course;
   ecl_arena_t arena;
   bool good;

   memset (out, 0, sizeof *out);
   out->what = *what;
   ecl_version_text (chain->format, ecl_chain_version (chain, what->target), out->to);
   ecl_arena_init (&arena);
   good = ecl_course_find (site, chain, what->target, what->down, what->mode, &arena, &course, error);
   for (size_t i = 0; good && i < course.n_obstacles; i++) {
      if (course.obstacles[i].level == ECL_OBSTACLE_BLOCKS) {
         good = ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_UNSUPPORTED, "%s: %s", chain->collection,
                          course.obstacles[i].message);
      }
   }
   if (good) {
      out->missing = course.facts.kind == ECL_COLLECTION_MISSING;
      good = out->missing || go (site, &course, &told, out, error);
   }
   ecl_arena_cleanup (&arena);
   return good;
}
