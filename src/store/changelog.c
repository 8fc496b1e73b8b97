/* The commands of the changelog, and what their answers mean: see changelog.h. */
#include "store/changelog.h"

#include "store/store.h"

static const char *const state_names[] = {
   [ECL_CHANGELOG_ABSENT] = "pending", [ECL_CHANGELOG_RUNNING] = "running",   [ECL_CHANGELOG_APPLIED] = "applied",
   [ECL_CHANGELOG_FAILED] = "failed",  [ECL_CHANGELOG_REVERTED] = "reverted",
};

const char *
ecl_changelog_state_name (ecl_changelog_state_t state)
{
   return state_names[state];
}

void
ecl_changelog_find (const char *name, const char *after, int32_t limit, bool output, bson_t *command)
{
   bson_t filter, part;

   bson_init (command);
   BSON_APPEND_UTF8 (command, "find", ECL_STORE_CHANGELOG);
   BSON_APPEND_DOCUMENT_BEGIN (command, "filter", &filter);
   if (name) {
      BSON_APPEND_UTF8 (&filter, "_id", name);
   } else {
      /* Names are text; what else somebody put there is not ours. */
      BSON_APPEND_DOCUMENT_BEGIN (&filter, "_id", &part);
      BSON_APPEND_UTF8 (&part, after ? "$gt" : "$gte", after ? after : "");
      bson_append_document_end (&filter, &part);
   }
   bson_append_document_end (command, &filter);
   BSON_APPEND_DOCUMENT_BEGIN (command, "sort", &part);
   BSON_APPEND_INT32 (&part, "_id", 1);
   bson_append_document_end (command, &part);
   if (!output) {
      BSON_APPEND_DOCUMENT_BEGIN (command, "projection", &part);
      BSON_APPEND_INT32 (&part, "output", 0);
      bson_append_document_end (command, &part);
   }
   ecl_store_single_batch (limit, command);
}

/* Text of at most max bytes, not cut through a character; keeps the end of it where that is what matters. */
static void
append_cut (bson_t *out, const char *key, const char *text, size_t max, bool keep_end)
{
   size_t len = strlen (text), skip = 0;

   if (len > max && keep_end) {
      for (skip = len - max; skip < len && ((uint8_t) text[skip] & 0xC0) == 0x80; skip++) {
      }
   } else if (len > max) {
      for (len = max; len > 0 && ((uint8_t) text[len] & 0xC0) == 0x80; len--) {
      }
   }
   bson_append_utf8 (out, key, -1, text + skip, (int) (len - skip));
}

static void
append_maybe (bson_t *out, const char *key, const char *text)
{
   if (text) {
      BSON_APPEND_UTF8 (out, key, text);
   }
}

static void
append_record (const ecl_changelog_t *record, bson_t *out)
{
   BSON_APPEND_UTF8 (out, "_id", record->name);
   append_maybe (out, "checksum", record->checksum);
   BSON_APPEND_UTF8 (out, "state", state_names[record->state]);
   BSON_APPEND_UTF8 (out, "direction", record->down ? "down" : "up");
   BSON_APPEND_INT32 (out, "steps", record->steps);
   BSON_APPEND_INT32 (out, "attempts", record->attempts);
   BSON_APPEND_INT64 (out, "token", record->token);
   append_maybe (out, "origin", record->origin);
   append_maybe (out, "host", record->who.host);
   BSON_APPEND_INT64 (out, "pid", record->who.pid);
   append_maybe (out, "user", record->who.user);
   append_maybe (out, "release", record->who.release);
   if (record->started) {
      BSON_APPEND_DATE_TIME (out, "started", record->started);
   }
   if (record->ended) {
      BSON_APPEND_DATE_TIME (out, "ended", record->ended);
   }
   if (record->ended && record->duration >= 0) {
      BSON_APPEND_INT64 (out, "duration", record->duration);
   }
   if (record->error) {
      append_cut (out, "error", record->error, ECL_CHANGELOG_ERROR_MAX, false);
   }
   if (record->output) {
      append_cut (out, "output", record->output, ECL_CHANGELOG_OUTPUT_MAX, true);
   }
}

/* The expression that holds where the stored record still is as `record`: token, state, steps. */
static bson_t *
stands_as (const ecl_changelog_t *record)
{
   return BCON_NEW ("$and", "[", "{", "$eq", "[", BCON_UTF8 ("$token"), BCON_INT64 (record->token), "]", "}", "{",
                    "$eq", "[", BCON_UTF8 ("$state"), BCON_UTF8 (state_names[record->state]), "]", "}", "{", "$eq", "[",
                    BCON_UTF8 ("$steps"), BCON_INT32 (record->steps), "]", "}", "]");
}

void
ecl_changelog_put (const ecl_changelog_t *before, const ecl_changelog_t *record, bson_t *command)
{
   bson_t whole = BSON_INITIALIZER, times = BSON_INITIALIZER, *left = stands_as (record), *read, *all;

   append_record (record, &whole);
   BSON_APPEND_UTF8 (&times, "seen", "$$NOW");
   if (record->state == ECL_CHANGELOG_RUNNING && !record->started) {
      BSON_APPEND_UTF8 (&times, "started", "$$NOW");
   }
   if (record->state != ECL_CHANGELOG_RUNNING && !record->ended) {
      BSON_APPEND_UTF8 (&times, "ended", "$$NOW");
   }
   read = before && before->state != ECL_CHANGELOG_ABSENT
             ? stands_as (before)
             : BCON_NEW ("$eq", "[", "{", "$type", BCON_UTF8 ("$token"), "}", BCON_UTF8 ("missing"), "]");
   /* clang-format off */
   all = BCON_NEW (
      "findAndModify", BCON_UTF8 (ECL_STORE_CHANGELOG),
      "query", "{", "_id", BCON_UTF8 (record->name), "}",
      "update", "[", "{", "$replaceWith", "{", "$cond", "[",
         "{", "$or", "[", BCON_DOCUMENT (read), BCON_DOCUMENT (left), "]", "}",
         "{", "$mergeObjects", "[", "{", "$literal", BCON_DOCUMENT (&whole), "}", BCON_DOCUMENT (&times), "]", "}",
         BCON_UTF8 ("$$ROOT"),
      "]", "}", "}", "]",
      "fields", "{", "output", BCON_INT32 (0), "}",
      "new", BCON_BOOL (true),
      "upsert", BCON_BOOL (true));
   /* clang-format on */
   bson_init (command);
   bson_concat (command, all);
   ecl_store_write_concern (command);
   bson_destroy (all);
   bson_destroy (read);
   bson_destroy (left);
   bson_destroy (&times);
   bson_destroy (&whole);
}

void
ecl_changelog_seal (const char *name, int64_t token, bson_t *command)
{
   /* clang-format off */
   bson_t *all = BCON_NEW (
      "findAndModify", BCON_UTF8 (ECL_STORE_CHANGELOG),
      "query", "{", "_id", BCON_UTF8 (name), "state", BCON_UTF8 (state_names[ECL_CHANGELOG_RUNNING]),
         "token", "{", "$lte", BCON_INT64 (token), "}", "}",
      "update", "[", "{", "$set", "{", "token", "{", "$literal", BCON_INT64 (token), "}", "}", "}", "]",
      "fields", "{", "output", BCON_INT32 (0), "}",
      "new", BCON_BOOL (true));
   /* clang-format on */

   bson_init (command);
   bson_concat (command, all);
   ecl_store_write_concern (command);
   bson_destroy (all);
}

/* An update of one record under its token, in that claim of it. */
static void
update (const ecl_changelog_t *record, const bson_t *more, const bson_t *set, const bson_t *unset, bson_t *command)
{
   bson_t updates, one, query, pipeline, stage;

   bson_init (command);
   BSON_APPEND_UTF8 (command, "update", ECL_STORE_CHANGELOG);
   BSON_APPEND_ARRAY_BEGIN (command, "updates", &updates);
   BSON_APPEND_DOCUMENT_BEGIN (&updates, "0", &one);
   BSON_APPEND_DOCUMENT_BEGIN (&one, "q", &query);
   BSON_APPEND_UTF8 (&query, "_id", record->name);
   BSON_APPEND_INT64 (&query, "token", record->token);
   BSON_APPEND_INT32 (&query, "attempts", record->attempts);
   if (more) {
      bson_concat (&query, more);
   }
   bson_append_document_end (&one, &query);
   BSON_APPEND_ARRAY_BEGIN (&one, "u", &pipeline);
   BSON_APPEND_DOCUMENT_BEGIN (&pipeline, "0", &stage);
   BSON_APPEND_DOCUMENT (&stage, "$set", set);
   bson_append_document_end (&pipeline, &stage);
   if (unset) {
      BSON_APPEND_DOCUMENT_BEGIN (&pipeline, "1", &stage);
      BSON_APPEND_ARRAY (&stage, "$unset", unset);
      bson_append_document_end (&pipeline, &stage);
   }
   bson_append_array_end (&one, &pipeline);
   bson_append_document_end (&updates, &one);
   bson_append_array_end (command, &updates);
   ecl_store_write_concern (command);
}

void
ecl_changelog_step (const ecl_changelog_t *record, int32_t steps, bson_t *command)
{
   /* One that was sent twice and comes late must not turn it back. */
   bson_t *forward =
      BCON_NEW ("state", BCON_UTF8 (state_names[ECL_CHANGELOG_RUNNING]), "steps", "{", "$lte", BCON_INT32 (steps), "}");
   bson_t *set = BCON_NEW ("steps", "{", "$literal", BCON_INT32 (steps), "}", "seen", BCON_UTF8 ("$$NOW"));

   update (record, forward, set, NULL, command);
   bson_destroy (forward);
   bson_destroy (set);
}

void
ecl_changelog_output (const ecl_changelog_t *record, const char *output, bson_t *command)
{
   /* One that comes late must not take the place of what was kept at the end. */
   bson_t *runs = BCON_NEW ("state", BCON_UTF8 (state_names[ECL_CHANGELOG_RUNNING]));
   bson_t set = BSON_INITIALIZER, text;

   BSON_APPEND_DOCUMENT_BEGIN (&set, "output", &text);
   append_cut (&text, "$literal", output, ECL_CHANGELOG_OUTPUT_MAX, true);
   bson_append_document_end (&set, &text);
   BSON_APPEND_UTF8 (&set, "seen", "$$NOW");
   update (record, runs, &set, NULL, command);
   bson_destroy (&set);
   bson_destroy (runs);
}

void
ecl_changelog_end (const ecl_changelog_t *record, bson_t *command)
{
   bson_t text, unset = BSON_INITIALIZER, *set;

   /* clang-format off */
   set = BCON_NEW (
      "state", BCON_UTF8 (state_names[record->state]),
      /* A note that took effect and whose answer was lost stays. */
      "steps", "{", "$max", "[", BCON_UTF8 ("$steps"), BCON_INT32 (record->steps), "]", "}",
      "seen", BCON_UTF8 ("$$NOW"),
      "ended", BCON_UTF8 ("$$NOW"),
      "duration", "{", "$subtract", "[", "{", "$toLong", BCON_UTF8 ("$$NOW"), "}",
         "{", "$toLong", "{", "$ifNull", "[", BCON_UTF8 ("$started"), BCON_UTF8 ("$$NOW"), "]", "}", "}", "]", "}");
   /* clang-format on */
   if (record->error) {
      BSON_APPEND_DOCUMENT_BEGIN (set, "error", &text);
      append_cut (&text, "$literal", record->error, ECL_CHANGELOG_ERROR_MAX, false);
      bson_append_document_end (set, &text);
   } else {
      BSON_APPEND_UTF8 (&unset, "0", "error");
   }
   if (record->output) {
      BSON_APPEND_DOCUMENT_BEGIN (set, "output", &text);
      append_cut (&text, "$literal", record->output, ECL_CHANGELOG_OUTPUT_MAX, true);
      bson_append_document_end (set, &text);
   }
   update (record, NULL, set, record->error ? NULL : &unset, command);
   bson_destroy (&unset);
   bson_destroy (set);
}

/* ---- answers ---- */

static const char *
text_of (const bson_t *from, const char *field)
{
   bson_iter_t iter;

   return bson_iter_init_find (&iter, from, field) && BSON_ITER_HOLDS_UTF8 (&iter) ? bson_iter_utf8 (&iter, NULL)
                                                                                   : NULL;
}

static int64_t
number_of (const bson_t *from, const char *field, int64_t otherwise)
{
   bson_iter_t iter;

   if (!bson_iter_init_find (&iter, from, field)) {
      return otherwise;
   }
   return BSON_ITER_HOLDS_DATE_TIME (&iter) ? bson_iter_date_time (&iter)
          : BSON_ITER_HOLDS_NUMBER (&iter)  ? bson_iter_as_int64 (&iter)
                                            : otherwise;
}

bool
ecl_changelog_parse (const bson_t *document, ecl_changelog_t *out, bson_error_t *error)
{
   const char *state = text_of (document, "state"), *direction = text_of (document, "direction");

   memset (out, 0, sizeof *out);
   out->name = text_of (document, "_id");
   for (size_t i = ECL_CHANGELOG_RUNNING; state && i <= ECL_CHANGELOG_REVERTED; i++) {
      if (strcmp (state, state_names[i]) == 0) {
         out->state = (ecl_changelog_state_t) i;
      }
   }
   if (!out->name || out->state == ECL_CHANGELOG_ABSENT) {
      return ecl_fail (error, ECL_DOMAIN_STORE, ECL_ERROR_INVALID,
                       "%s: the record of \"%s\" has no state that is known", ECL_STORE_CHANGELOG,
                       out->name ? out->name : "?");
   }
   out->checksum = text_of (document, "checksum");
   out->down = direction && strcmp (direction, "down") == 0;
   out->steps = (int32_t) number_of (document, "steps", 0);
   out->attempts = (int32_t) number_of (document, "attempts", 0);
   out->token = number_of (document, "token", 0);
   out->origin = text_of (document, "origin");
   out->who.host = text_of (document, "host");
   out->who.user = text_of (document, "user");
   out->who.release = text_of (document, "release");
   out->who.pid = number_of (document, "pid", 0);
   out->started = number_of (document, "started", 0);
   out->ended = number_of (document, "ended", 0);
   out->duration = number_of (document, "duration", -1);
   out->error = text_of (document, "error");
   out->output = text_of (document, "output");
   return true;
}
