/* The end of a version: see complete.h. */
#include "backfill/complete.h"

#include "backfill/complete_count.h"
#include "backfill/survey.h"
#include "bson/append.h"
#include "run/heartbeat.h"
#include "run/insist.h"
#include "upgrade/pushdown.h"

/* ---- asking and sending ---- */

static bool
insist (ecl_world_t *world, const char *database, const bson_t *command, bson_error_t *error)
{
   bson_t reply;
   bool good = ecl_insist_call (world, database, command, &reply, error);

   bson_destroy (&reply);
   return good;
}

/* What is counted, for complete_count.h. */
static ecl_complete_count_options_t
counting (const ecl_complete_options_t *options)
{
   return (ecl_complete_count_options_t){options->look, options->progress, options->context};
}

/* ---- floors ---- */

bool
ecl_complete_floor (ecl_world_t *world, const char *database, const ecl_chain_t *chain, ecl_arena_t *arena, bool *found,
                    size_t *index, ecl_floor_t *floor, bson_error_t *error)
{
   ecl_version_t version;
   bson_t command, reply;
   ecl_floor_t row;
   bool good;

   *found = false;
   *index = 0;
   ecl_floor_find (chain->collection, &command);
   good = ecl_insist_call (world, database, &command, &reply, error);
   if (good && ecl_floor_read (&reply, 0, &row)) {
      *found = ecl_version_parse (chain->format, row.floor, strlen (row.floor), &version) &&
               ecl_chain_index (chain, version, index);
      if (floor) {
         *floor = row;
         floor->collection = chain->collection;
         floor->floor = ecl_arena_strndup (arena, row.floor, strlen (row.floor));
         floor->host = row.host ? ecl_arena_strndup (arena, row.host, strlen (row.host)) : NULL;
         floor->user = row.user ? ecl_arena_strndup (arena, row.user, strlen (row.user)) : NULL;
      }
   }
   bson_destroy (&reply);
   bson_destroy (&command);
   return good;
}

bool
ecl_complete_undo (ecl_world_t *world, const char *database, const ecl_chain_t *chain, size_t target, bool *removed,
                   bson_error_t *error)
{
   size_t index;
   bson_t command;
   bool good, found;

   *removed = false;
   good = ecl_complete_floor (world, database, chain, NULL, &found, &index, NULL, error);
   if (good && found && index > target) {
      ecl_floor_remove (chain->collection, &command);
      *removed = good = insist (world, database, &command, error);
      bson_destroy (&command);
   }
   return good;
}

static bool
record (const ecl_site_t *site, const ecl_complete_options_t *options, ecl_completed_t *out, bson_error_t *error)
{
   const ecl_chain_t *chain = options->chain;
   char text[ECL_VERSION_TEXT];
   ecl_floor_t floor = {.collection = chain->collection,
                        .floor = ecl_version_text (chain->format, ecl_chain_version (chain, options->target), text),
                        .validated = out->strict,
                        .host = site->who.host,
                        .user = site->who.user};
   size_t index;
   bson_t command;
   bool found;

   if (!ecl_complete_floor (site->world, site->database, chain, NULL, &found, &index, NULL, error)) {
      return false;
   }
   out->higher = found && index > options->target;
   /* One that stays without our doing is there already. */
   if (!out->higher && !(out->strict && options->validator == ECL_VALIDATOR_NONE)) {
      bool good;

      ecl_floor_write (&floor, &command);
      good = insist (site->world, site->database, &command, error);
      bson_destroy (&command);
      if (!good) {
         return false;
      }
   }
   out->recorded = true;
   return true;
}

/* ---- the validator ---- */

bool
ecl_complete_validator (const ecl_chain_t *chain, size_t target, bson_t *validator, bson_error_t *error)
{
   const ecl_value_t *schema = target ? &chain->steps[target - 1].schema : NULL;
   bson_t list, one, both, rule, filter;
   char text[ECL_VERSION_TEXT];

   bson_init (validator);
   if (!schema || schema->type != BSON_TYPE_DOCUMENT) {
      return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_INVALID,
                       "%s: version %s has no `schema`%s%s: there is nothing to make a validator of", chain->collection,
                       ecl_version_text (chain->format, ecl_chain_version (chain, target), text), target ? " in " : "",
                       target ? chain->steps[target - 1].file : "");
   }
   ecl_pushdown_filter (chain, target, &filter);
   BSON_APPEND_ARRAY_BEGIN (validator, "$or", &list);
   BSON_APPEND_DOCUMENT_BEGIN (&list, "0", &one);
   BSON_APPEND_ARRAY_BEGIN (&one, "$and", &both);
   BSON_APPEND_DOCUMENT (&both, "0", &filter);
   BSON_APPEND_DOCUMENT_BEGIN (&both, "1", &rule);
   ecl_append_value (&rule, "$jsonSchema", schema);
   bson_append_document_end (&both, &rule);
   bson_append_array_end (&one, &both);
   bson_append_document_end (&list, &one);
   BSON_APPEND_DOCUMENT_BEGIN (&list, "1", &one);
   ecl_complete_append_later (&one, chain, target);
   bson_append_document_end (&list, &one);
   bson_append_array_end (validator, &list);
   bson_destroy (&filter);
   return true;
}

/* Before the validator is touched, or looked at once more: the recorded floor is no longer marked as one that a validator
 * keeps, until the documents have been counted under it. A collMod that is late, or somebody's by hand, may have lifted
 * it for a while that nobody saw. */
static bool
clear_validated (const ecl_site_t *site, const ecl_chain_t *chain, bson_error_t *error)
{
   bson_t command;
   bool good;

   ecl_floor_clear_validated (chain->collection, &command);
   good = insist (site->world, site->database, &command, error);
   bson_destroy (&command);
   return good;
}

static bool
is_same (const ecl_value_t *a, const bson_t *b)
{
   ecl_value_t other = ecl_raw_document (bson_get_data (b), b->len);

   return a->type == BSON_TYPE_DOCUMENT && ecl_compare (a, &other) == 0;
}

/* Whether the validator in force refuses what is below: the very one that --validator makes. */
static bool
is_strict (const ecl_chain_t *chain, size_t target, const ecl_facts_t *facts)
{
   bson_error_t ignored;
   bson_t validator;
   bool strict = ecl_complete_validator (chain, target, &validator, &ignored) &&
                 is_same (&facts->validator, &validator) && strcmp (facts->level, "strict") == 0 &&
                 strcmp (facts->action, "error") == 0;

   bson_destroy (&validator);
   return strict;
}

static bool
set_validator (const ecl_site_t *site, const ecl_chain_t *chain, const bson_t *validator, const char *action,
               bson_error_t *error)
{
   bson_t command = BSON_INITIALIZER;
   bool good;

   BSON_APPEND_UTF8 (&command, "collMod", chain->collection);
   BSON_APPEND_DOCUMENT (&command, "validator", validator);
   BSON_APPEND_UTF8 (&command, "validationLevel", "strict");
   BSON_APPEND_UTF8 (&command, "validationAction", action);
   /* When the majority has this, it has every write of before: the count that follows misses none. */
   ecl_store_write_concern (&command);
   good = insist (site->world, site->database, &command, error);
   bson_destroy (&command);
   if (!good) {
      ecl_error_prefix (error, "%s: the validator", chain->collection);
   }
   return good;
}

/* Whether it is one that this made for a version before, or after. */
static bool
is_ours (const ecl_chain_t *chain, const ecl_value_t *validator)
{
   bson_error_t ignored;
   bool ours = false;
   bson_t other;

   for (size_t i = 1; i <= chain->n_steps && !ours; i++) {
      ours = ecl_complete_validator (chain, i, &other, &ignored) && is_same (validator, &other);
      bson_destroy (&other);
   }
   return ours;
}

/* Has the validator warn, counts the documents that break it, and where there are none has it refuse. True with
 * out->strict false where some do, or where warning is all that is wanted. */
static bool
install (const ecl_site_t *site, const ecl_complete_options_t *options, const ecl_facts_t *facts, ecl_completed_t *out,
         bson_error_t *error)
{
   const ecl_chain_t *chain = options->chain;
   ecl_complete_count_options_t how = counting (options);
   bson_t validator, filter = BSON_INITIALIZER, list;
   ecl_complete_count_t refused;
   bool good = ecl_complete_validator (chain, options->target, &validator, error);

   if (!good) {
      goto done;
   }
   if (facts->validator.type == BSON_TYPE_DOCUMENT && !options->replace && !is_ours (chain, &facts->validator)) {
      good = ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CONFLICT,
                       "%s has another validator already: --replace puts this one in its place", chain->collection);
      goto done;
   }
   /* One that refuses is made to warn, where that is asked for: old programs still write. */
   out->strict = options->validator == ECL_VALIDATOR_STRICT && is_strict (chain, options->target, facts);
   /* One that refuses already is set once more: the majority may not have it yet, nor an old document that was written
    * just before it, which the count would miss. */
   good = clear_validated (site, chain, error) &&
          set_validator (site, chain, &validator, out->strict ? "error" : "warn", error);
   if (good) {
      BSON_APPEND_ARRAY_BEGIN (&filter, "$nor", &list);
      BSON_APPEND_DOCUMENT (&list, "0", &validator);
      bson_append_array_end (&filter, &list);
      good = ecl_complete_count (site, chain, &filter, &how, &refused, error);
      out->refused = good ? refused.n : -1;
      out->at_least = out->at_least || (good && refused.at_least);
   }
   if (good && out->refused == 0 && options->validator == ECL_VALIDATOR_STRICT && !out->strict) {
      out->strict = good = set_validator (site, chain, &validator, "error", error);
   }

done:
   bson_destroy (&filter);
   bson_destroy (&validator);
   return good;
}

/* ---- all of it ---- */

/* Counting may take hours. Whoever may do so can have lifted the validator meanwhile, and a late collMod too. Where
 * another run put it in force it is not believed by the look of it alone: see install. */
static bool
look_again (const ecl_site_t *site, const ecl_complete_options_t *options, const ecl_facts_t *before,
            ecl_arena_t *arena, ecl_completed_t *out, bson_error_t *error)
{
   const ecl_chain_t *chain = options->chain;
   ecl_facts_t facts;

   if (options->validator == ECL_VALIDATOR_NONE) {
      return !is_strict (chain, options->target, before) ||
             ecl_complete_stays (site->world, &site->server, site->database, chain, options->target, &out->strict,
                                 error);
   }
   if (!out->strict) {
      return true;
   }
   if (!ecl_facts_ask (site->world, &site->server, site->database, chain->collection, arena, &facts, error)) {
      return false;
   }
   out->strict = is_strict (chain, options->target, &facts);
   return out->strict ||
          ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CONFLICT,
                    "%s: somebody lifted or changed the validator meanwhile; nothing is recorded", chain->collection);
}

bool
ecl_complete_refuses (const ecl_chain_t *chain, size_t target, const ecl_facts_t *facts)
{
   for (size_t i = target + 1; i <= chain->n_steps; i++) {
      if (is_strict (chain, i, facts)) {
         return true;
      }
   }
   return false;
}

bool
ecl_complete_stays (ecl_world_t *world, const ecl_server_t *server, const char *database, const ecl_chain_t *chain,
                    size_t target, bool *stays, bson_error_t *error)
{
   ecl_floor_t floor = {0};
   ecl_facts_t facts;
   ecl_arena_t arena;
   bool good, found;
   size_t index;

   *stays = false;
   ecl_arena_init (&arena);
   good = ecl_complete_floor (world, database, chain, &arena, &found, &index, &floor, error);
   if (good && found && index >= target && floor.validated) {
      good = ecl_facts_ask (world, server, database, chain->collection, &arena, &facts, error);
      *stays = good && is_strict (chain, index, &facts);
   }
   ecl_arena_cleanup (&arena);
   return good;
}

static bool
complete (const ecl_site_t *site, const ecl_complete_options_t *options, ecl_completed_t *out, bson_error_t *error)
{
   const ecl_chain_t *chain = options->chain;
   ecl_complete_count_options_t how = counting (options);
   ecl_facts_t facts;
   ecl_complete_count_t below;
   ecl_arena_t arena;
   bool good;

   ecl_arena_init (&arena);
   good = ecl_facts_ask (site->world, &site->server, site->database, chain->collection, &arena, &facts, error);
   if (good && facts.kind != ECL_COLLECTION_PLAIN) {
      good = ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_INVALID, "%s %s", chain->collection,
                       facts.kind == ECL_COLLECTION_MISSING ? "does not exist" : "is no ordinary collection");
   }
   if (good && options->validator != ECL_VALIDATOR_NONE) {
      good = install (site, options, &facts, out, error);
   }
   good = good && ecl_complete_count_below (site, &facts, chain, options->target, &how, &below, error);
   if (good) {
      out->below = below.n;
      out->at_least = out->at_least || below.at_least;
   }
   if (good && out->below) {
      good =
         ecl_survey_quarantined_below (site->world, site->database, chain, options->target, &out->quarantined, error);
   }
   if (good && options->verify && !out->below) {
      good = options->verify (options->context, &out->bad) ||
             ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_INVALID, "%s could not be verified", chain->collection);
   }
   if (good && !out->below && !out->bad && out->refused <= 0) {
      good = look_again (site, options, &facts, &arena, out, error) && record (site, options, out, error);
   }
   ecl_arena_cleanup (&arena);
   return good;
}

/* Two that each set a validator would take it from one another. */
static bool
complete_alone (const ecl_site_t *site, const ecl_complete_options_t *options, ecl_completed_t *out,
                bson_error_t *error)
{
   char *name = bson_strdup_printf ("complete:%s", options->chain->collection);
   const ecl_holder_options_t lease = {
      .database = site->database, .name = name, .time = site->lease_time, .skew = site->lease_skew, .who = site->who};
   ecl_heartbeat_t *heartbeat = NULL;
   ecl_site_t under = *site;
   ecl_held_world_t held;
   ecl_holder_t holder;
   bool good = false;

   ecl_holder_init (&holder, &lease);
   if (ecl_holder_acquire (&holder, site->world, 0, NULL, NULL, error) == ECL_ACQUIRED) {
      under.world = ecl_held_world_init (&held, site->world, &holder);
      heartbeat = ecl_heartbeat_start (options->look.connector, &holder, error);
      good = heartbeat && complete (&under, options, out, error);
      if (heartbeat && !good) {
         ecl_holder_blame (&holder, site->world, error);
      }
      ecl_heartbeat_stop (heartbeat);
      ecl_holder_release (&holder, site->world);
   }
   ecl_holder_cleanup (&holder);
   bson_free (name);
   return good;
}

bool
ecl_complete (const ecl_site_t *site, const ecl_complete_options_t *options, ecl_completed_t *out, bson_error_t *error)
{
   memset (out, 0, sizeof *out);
   out->refused = -1;
   return options->validator == ECL_VALIDATOR_NONE ? complete (site, options, out, error)
                                                   : complete_alone (site, options, out, error);
}
