/* The changelog against a world: see history.h. */
#include "migrate/history.h"

#include "run/insist.h"
#include "store/store.h"

#define PAGE 500

/* For reads that are not under a lease. */
#define READ_MS 60000

/* For what is written again soon. */
#define MOMENT_MS 2000

void
ecl_history_init (ecl_history_t *self)
{
   memset (self, 0, sizeof *self);
   ecl_arena_init (&self->arena);
}

void
ecl_history_cleanup (ecl_history_t *self)
{
   bson_free (self->records);
   ecl_arena_cleanup (&self->arena);
}

static bool
send_until (ecl_world_t *world, ecl_holder_t *holder, const bson_t *command, int64_t deadline, bson_t *reply,
            bson_error_t *error)
{
   ecl_held_world_t held;

   return ecl_insist (ecl_held_world_init (&held, world, holder), holder->database, command, deadline, NULL, reply,
                      error) == ECL_REPLY_OK;
}

/* Sends what may be sent again for as long as the lease lasts. */
static bool
send (ecl_world_t *world, ecl_holder_t *holder, const bson_t *command, bson_t *reply, bson_error_t *error)
{
   return send_until (world, holder, command, atomic_load (&holder->until), reply, error);
}

/* ---- reading ---- */

static const char *
keep (ecl_arena_t *arena, const char *text)
{
   return text ? ecl_arena_strndup (arena, text, strlen (text)) : NULL;
}

/* Out of the reply, which goes. */
static void
keep_texts (ecl_arena_t *arena, ecl_changelog_t *record)
{
   record->name = keep (arena, record->name);
   record->checksum = keep (arena, record->checksum);
   record->origin = keep (arena, record->origin);
   record->who.host = keep (arena, record->who.host);
   record->who.user = keep (arena, record->who.user);
   record->who.release = keep (arena, record->who.release);
   record->error = keep (arena, record->error);
   record->output = keep (arena, record->output);
}

static bool
parse_at (const bson_iter_t *at, ecl_changelog_t *record, bson_error_t *error)
{
   bson_t document;

   return ecl_store_view (at, &document) && ecl_changelog_parse (&document, record, error);
}

/* Adds the records of one page; *n is how many. */
static bool
take_page (ecl_history_t *self, const bson_t *reply, size_t *n, bson_error_t *error)
{
   bson_iter_t iter, batch;

   *n = 0;
   if (!bson_iter_init (&iter, reply) || !bson_iter_find_descendant (&iter, "cursor.firstBatch", &batch) ||
       !bson_iter_recurse (&batch, &iter)) {
      return ecl_fail (error, ECL_DOMAIN_STORE, ECL_ERROR_SERVER, "%s: the server answered without a batch",
                       ECL_STORE_CHANGELOG);
   }
   while (bson_iter_next (&iter)) {
      ecl_changelog_t record;

      if (!BSON_ITER_HOLDS_DOCUMENT (&iter) || !parse_at (&iter, &record, error)) {
         return false;
      }
      keep_texts (&self->arena, &record);
      if (self->n % PAGE == 0) {
         self->records = bson_realloc (self->records, (self->n + PAGE) * sizeof *self->records);
      }
      self->records[self->n++] = record;
      (*n)++;
   }
   return true;
}

static bool
read_page (ecl_history_t *self, ecl_world_t *world, const char *database, int64_t deadline, const char *after,
           size_t *n, bson_error_t *error)
{
   bson_t command, reply;
   bool good;

   ecl_changelog_find (NULL, after, PAGE, false, &command);
   good = ecl_insist (world, database, &command, deadline, NULL, &reply, error) == ECL_REPLY_OK &&
          take_page (self, &reply, n, error);
   bson_destroy (&reply);
   bson_destroy (&command);
   return good;
}

/* Takes over what somebody else has left running. */
static bool
seal (ecl_history_t *self, ecl_world_t *world, ecl_holder_t *holder, ecl_changelog_t *record, bson_error_t *error)
{
   bson_t command, reply;
   bson_iter_t iter;
   bool good;

   ecl_changelog_seal (record->name, ecl_holder_token (holder), &command);
   good = send (world, holder, &command, &reply, error);
   if (good && bson_iter_init_find (&iter, &reply, "value") && BSON_ITER_HOLDS_DOCUMENT (&iter)) {
      good = parse_at (&iter, record, error);
      keep_texts (&self->arena, record);
   } else if (good) {
      /* It came to its end between: its last statement was on its way. */
      const ecl_changelog_t *now;

      good = ecl_history_load (self, world, holder->database, record->name, &now, error);
      *record = good && now ? *now : *record;
   }
   bson_destroy (&reply);
   bson_destroy (&command);
   return good;
}

bool
ecl_history_read (ecl_history_t *self, ecl_world_t *world, const char *database, ecl_holder_t *holder,
                  bson_error_t *error)
{
   int64_t now = world->now (world), deadline = now + (holder ? ecl_holder_left (holder, now) : READ_MS), above = 0;
   size_t n = 1;

   self->n = 0;
   ecl_arena_reset (&self->arena);
   /* A page may end early, where it is large: only one without records is the last. */
   while (n) {
      if (!read_page (self, world, database, deadline, self->n ? self->records[self->n - 1].name : NULL, &n, error)) {
         return false;
      }
   }
   for (size_t i = 0; i < self->n; i++) {
      above = self->records[i].token > above ? self->records[i].token : above;
   }
   if (holder && !ecl_holder_raise (holder, world, above, error)) {
      return false;
   }
   for (size_t i = 0; holder && i < self->n; i++) {
      if (self->records[i].state == ECL_CHANGELOG_RUNNING && self->records[i].token < ecl_holder_token (holder) &&
          !seal (self, world, holder, &self->records[i], error)) {
         return false;
      }
   }
   return true;
}

const ecl_changelog_t *
ecl_history_find (const ecl_history_t *self, const char *name)
{
   size_t low = 0, high = self->n;

   while (low < high) {
      size_t middle = low + (high - low) / 2;
      int order = strcmp (name, self->records[middle].name);

      if (order == 0) {
         return &self->records[middle];
      }
      if (order < 0) {
         high = middle;
      } else {
         low = middle + 1;
      }
   }
   return NULL;
}

bool
ecl_history_load (ecl_history_t *self, ecl_world_t *world, const char *database, const char *name,
                  const ecl_changelog_t **record, bson_error_t *error)
{
   ecl_changelog_t *found;
   bson_t command, reply, document;
   bool good;

   *record = NULL;
   ecl_changelog_find (name, NULL, 1, true, &command);
   good = ecl_insist (world, database, &command, world->now (world) + READ_MS, NULL, &reply, error) == ECL_REPLY_OK;
   if (good && ecl_store_first (&reply, &document)) {
      found = ecl_arena_new (&self->arena, ecl_changelog_t);
      good = ecl_changelog_parse (&document, found, error);
      if (good) {
         keep_texts (&self->arena, found);
         *record = found;
      }
   }
   bson_destroy (&reply);
   bson_destroy (&command);
   return good;
}

/* ---- writing ---- */

static bool
not_ours (ecl_holder_t *holder, const char *name, bson_error_t *error)
{
   ecl_holder_lose (holder);
   return ecl_fail (error, ECL_DOMAIN_STORE, ECL_ERROR_LEASE,
                    "the record of %s was changed by somebody else: the lease \"%s\" is no longer ours", name,
                    holder->name);
}

/* Writes the record where it still is as it was read. *late is set where it is not, because of a claim that an old
 * holder had on its way and that changed nothing else: then *before is the record as it is now. */
static bool
put_once (ecl_world_t *world, ecl_holder_t *holder, ecl_changelog_t *before, const ecl_changelog_t *record, bool *late,
          bson_error_t *error)
{
   ecl_changelog_t now = {0};
   bson_t command, reply;
   bson_iter_t iter;
   bool good, ours;

   *late = false;
   ecl_changelog_put (before, record, &command);
   good = send (world, holder, &command, &reply, error);
   if (good) {
      ours = bson_iter_init_find (&iter, &reply, "value") && BSON_ITER_HOLDS_DOCUMENT (&iter) &&
             parse_at (&iter, &now, NULL);
      *late = ours && now.state == ECL_CHANGELOG_RUNNING && now.token < record->token && now.steps == record->steps;
      before->state = now.state;
      before->token = now.token;
      before->steps = now.steps;
      ours = ours && now.token == record->token && now.state == record->state;
      good = ours || *late || not_ours (holder, record->name, error);
   }
   bson_destroy (&reply);
   bson_destroy (&command);
   return good;
}

static bool
put (ecl_world_t *world, ecl_holder_t *holder, const ecl_changelog_t *before, ecl_changelog_t *record,
     bson_error_t *error)
{
   ecl_changelog_t expected = {.state = ECL_CHANGELOG_ABSENT};
   bool late = true;

   if (before) {
      expected = *before;
   }
   record->token = ecl_holder_token (holder);
   if (expected.token > record->token) {
      return not_ours (holder, record->name, error);
   }
   /* Larger than that of a claim that comes late. */
   record->attempts = record->attempts > expected.attempts ? record->attempts : expected.attempts + 1;
   /* Each old holder has one claim on its way at most. */
   while (late) {
      if (!put_once (world, holder, &expected, record, &late, error)) {
         return false;
      }
   }
   return true;
}

bool
ecl_history_claim (ecl_world_t *world, ecl_holder_t *holder, const ecl_changelog_t *before, ecl_changelog_t *record,
                   bson_error_t *error)
{
   record->state = ECL_CHANGELOG_RUNNING;
   record->attempts = 1 + (before ? before->attempts : 0);
   record->started = record->ended = 0;
   record->error = record->output = NULL;
   return put (world, holder, before, record, error);
}

bool
ecl_history_mark (ecl_world_t *world, ecl_holder_t *holder, const ecl_changelog_t *before, ecl_changelog_t *record,
                  bson_error_t *error)
{
   return put (world, holder, before, record, error);
}

/* An update whose n says whether the record is still ours. */
static bool
change (ecl_world_t *world, ecl_holder_t *holder, const char *name, const bson_t *command, int64_t deadline,
        bson_error_t *error)
{
   bson_iter_t iter;
   bson_t reply;
   bool good;

   good = send_until (world, holder, command, deadline, &reply, error);
   if (good && !(bson_iter_init_find (&iter, &reply, "n") && bson_iter_as_int64 (&iter) == 1)) {
      good = not_ours (holder, name, error);
   }
   bson_destroy (&reply);
   return good;
}

bool
ecl_history_step (ecl_world_t *world, ecl_holder_t *holder, const ecl_changelog_t *record, int32_t steps,
                  bson_error_t *error)
{
   bson_t command;
   bool good;

   ecl_changelog_step (record, steps, &command);
   good = change (world, holder, record->name, &command, atomic_load (&holder->until), error);
   bson_destroy (&command);
   return good;
}

bool
ecl_history_output (ecl_world_t *world, ecl_holder_t *holder, const ecl_changelog_t *record, const char *output,
                    bson_error_t *error)
{
   int64_t now = world->now (world), left = ecl_holder_left (holder, now);
   bson_t command;
   bool good;

   ecl_changelog_output (record, output, &command);
   good = change (world, holder, record->name, &command, now + (left < MOMENT_MS ? left : MOMENT_MS), error);
   bson_destroy (&command);
   return good;
}

bool
ecl_history_end (ecl_world_t *world, ecl_holder_t *holder, const ecl_changelog_t *record, bson_error_t *error)
{
   bson_t command;
   bool good;

   ecl_changelog_end (record, &command);
   good = change (world, holder, record->name, &command, atomic_load (&holder->until), error);
   bson_destroy (&command);
   return good;
}
