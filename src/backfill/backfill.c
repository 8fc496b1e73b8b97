/* The backfill's life, what its states share, and drive: see backfill.h and backfill-private.h. */
#include "backfill/backfill-private.h"

#include "backfill/survey.h"
#include "bson/append.h"
#include "bson/value.h"
#include "upgrade/loads.h"

const char *
ecl_mode_name (ecl_mode_t mode)
{
   static const char *const names[] = {"auto", "pushdown", "client"};

   return names[mode];
}

/* ---- life ---- */

/* The filter for what is not at the target; where options name one document (`only`), for that one alone. */
static void
make_candidates (const ecl_backfill_options_t *options, bson_t *candidates)
{
   bson_t all, both, one;

   if (ecl_is_missing (&options->only)) {
      ecl_survey_candidates (options->chain, options->target, options->down, candidates);
      return;
   }
   ecl_survey_candidates (options->chain, options->target, options->down, &all);
   bson_init (candidates);
   BSON_APPEND_ARRAY_BEGIN (candidates, "$and", &both);
   BSON_APPEND_DOCUMENT_BEGIN (&both, "0", &one);
   ecl_append_value (&one, "_id", &options->only);
   bson_append_document_end (&both, &one);
   BSON_APPEND_DOCUMENT (&both, "1", &all);
   bson_append_array_end (candidates, &both);
   bson_destroy (&all);
}

ecl_backfill_t *
ecl_backfill_new (const ecl_backfill_options_t *options, bson_error_t *error)
{
   ecl_convert_options_t convert = {.upgrades = options->upgrades,
                                    .chain = options->chain,
                                    .target = options->target,
                                    .down = options->down,
                                    .form = options->form,
                                    .always_transaction = options->always_transaction};
   ecl_converter_t *converter = ecl_converter_new (&convert, error);
   ecl_backfill_t *self;

   if (!converter) {
      return NULL;
   }
   self = BSON_ALIGNED_ALLOC0 (ecl_backfill_t);
   self->options = *options;
   self->options.batch = options->batch ? options->batch : DEFAULT_BATCH;
   self->converter = converter;
   if (ecl_chain_looks_up (options->chain, options->target, options->down)) {
      self->lookups = ecl_lookups_new (options->upgrades, ecl_converter_upgrader (converter));
   }
   self->collection = options->chain->collection;
   self->result.mode = options->mode == ECL_MODE_PUSHDOWN ? ECL_MODE_PUSHDOWN : ECL_MODE_CLIENT;
   self->state = ST_PASS;
   ecl_arena_init (&self->range_arena);
   self->options.range.above = ecl_value_copy (&self->range_arena, &options->range.above);
   self->options.range.upto = ecl_value_copy (&self->range_arena, &options->range.upto);
   if (!options->range.types) {
      self->options.range.types = ECL_IDS_ALL;
   }
   bson_init (&self->after);
   bson_init (&self->ahead);
   bson_init (&self->end);
   self->result.window = options->window;
   ecl_append_value (&self->after, "id", &options->after);
   self->options.after = ecl_missing ();
   make_candidates (options, &self->candidates);
   for (int i = 0; i < N_READERS; i++) {
      ecl_scan_init (&self->readers[i]);
   }
   ecl_scan_init (&self->txn_reader);
   ecl_arena_init (&self->arena);
   ecl_arena_init (&self->push_arena);
   self->pushed = bson_malloc0 ((options->chain->n_steps + 1) * sizeof *self->pushed);
   for (int i = 0; i < 2; i++) {
      bson_init (&self->computed[i].command);
   }
   self->made = self->answered = &self->computed[0];
   bson_init (&self->again);
   ecl_backfill_reserve (self, self->options.batch);
   return self;
}

void
ecl_backfill_destroy (ecl_backfill_t *self)
{
   if (!self) {
      return;
   }
   for (size_t i = 0; i <= self->options.chain->n_steps; i++) {
      if (self->pushed[i].ready) {
         bson_destroy (&self->pushed[i].filter);
         bson_destroy (&self->pushed[i].pipeline);
      }
   }
   bson_free (self->pushed);
   for (int i = 0; i < N_READERS; i++) {
      ecl_scan_cleanup (&self->readers[i]);
   }
   if (self->has_command) {
      bson_destroy (&self->command);
   }
   ecl_scan_cleanup (&self->txn_reader);
   if (self->quarantining) {
      if (!self->quarantine_closed) {
         ecl_quarantine_end (&self->quarantine);
      }
      bson_destroy (&self->quarantine_command);
   }
   bson_destroy (&self->after);
   bson_destroy (&self->ahead);
   bson_destroy (&self->end);
   ecl_arena_cleanup (&self->range_arena);
   for (int i = 0; i < 2; i++) {
      bson_destroy (&self->computed[i].command);
      bson_free (self->computed[i].starts);
      bson_free (self->computed[i].versions);
      bson_free (self->computed[i].failed);
   }
   bson_destroy (&self->again);
   bson_destroy (&self->candidates);
   bson_free (self->txn);
   ecl_arena_cleanup (&self->arena);
   ecl_arena_cleanup (&self->push_arena);
   ecl_converter_destroy (self->converter);
   ecl_lookups_destroy (self->lookups);
   bson_free (self);
}

void
ecl_backfill_cancel (ecl_backfill_t *self)
{
   self->cancel = true;
}

void
ecl_backfill_resize (ecl_backfill_t *self, uint32_t batch)
{
   self->options.batch = batch ? batch : DEFAULT_BATCH;
}

bool
ecl_backfill_settle (ecl_backfill_t *self)
{
   self->settle = self->flying != NULL;
   return self->settle;
}

const ecl_backfill_batch_t *
ecl_backfill_last (const ecl_backfill_t *self)
{
   return &self->last;
}

void
ecl_backfill_promote (ecl_backfill_t *self)
{
   if (!self->flying && !self->n_again && !bson_empty (&self->ahead)) {
      bson_reinit (&self->after);
      bson_concat (&self->after, &self->ahead);
      bson_reinit (&self->ahead);
   }
}

void
ecl_backfill_await (ecl_backfill_t *self, state_t then)
{
   self->after_answer = then;
   self->state = ST_AWAIT;
}

ecl_value_t
ecl_backfill_after (const ecl_backfill_t *self)
{
   ecl_value_t root = ecl_raw_document (bson_get_data (&self->after), self->after.len);

   return ecl_document_get (&root, "id", 2);
}

uint32_t
ecl_backfill_narrower (uint32_t window)
{
   return !window ? WINDOW_FIRST : window > WINDOW_LESS ? window / WINDOW_LESS : 1;
}

const ecl_backfill_result_t *
ecl_backfill_result (const ecl_backfill_t *self)
{
   return &self->result;
}

/* ---- helpers ---- */

void
ecl_backfill_reserve (ecl_backfill_t *self, uint32_t n)
{
   if (n <= self->cap_items) {
      return;
   }
   self->cap_items = n;
   self->txn = bson_realloc (self->txn, n * sizeof *self->txn);
   for (int i = 0; i < 2; i++) {
      statements_t *statements = &self->computed[i];

      statements->starts = bson_realloc (statements->starts, n * sizeof *statements->starts);
      statements->versions = bson_realloc (statements->versions, n * sizeof *statements->versions);
      statements->failed = bson_realloc (statements->failed, n * sizeof *statements->failed);
   }
}

void
ecl_backfill_fail (ecl_backfill_t *self, const bson_error_t *error)
{
   if (!self->result.failed) {
      self->result.failed = true;
      self->result.error = *error;
   }
   self->state = ST_KILL;
}

bool
ecl_backfill_hopeless (int32_t code)
{
   /* Unauthorized, AuthenticationFailed, CommandNotFound, InvalidNamespace, CommandNotSupportedOnView, AtlasError */
   return code == 13 || code == 18 || code == 59 || code == 73 || code == 166 || code == 8000;
}

bool
ecl_backfill_errors (const bson_t *reply, bson_iter_t *errors)
{
   bson_iter_t iter;

   return bson_iter_init_find (&iter, reply, "writeErrors") && BSON_ITER_HOLDS_ARRAY (&iter) &&
          bson_iter_recurse (&iter, errors);
}

bool
ecl_backfill_next_error (bson_iter_t *errors, int32_t *index, int32_t *code, const char **message)
{
   bson_iter_t error;

   *index = -1;
   *code = 0;
   *message = "";
   if (!bson_iter_next (errors)) {
      return false;
   }
   if (BSON_ITER_HOLDS_DOCUMENT (errors) && bson_iter_recurse (errors, &error)) {
      while (bson_iter_next (&error)) {
         if (BSON_ITER_IS_KEY (&error, "index") && BSON_ITER_HOLDS_NUMBER (&error)) {
            *index = (int32_t) bson_iter_as_int64 (&error);
         } else if (BSON_ITER_IS_KEY (&error, "code") && BSON_ITER_HOLDS_NUMBER (&error)) {
            *code = (int32_t) bson_iter_as_int64 (&error);
         } else if (BSON_ITER_IS_KEY (&error, "errmsg") && BSON_ITER_HOLDS_UTF8 (&error)) {
            *message = bson_iter_utf8 (&error, NULL);
         }
      }
   }
   return true;
}

void
ecl_backfill_again (ecl_backfill_t *self, const ecl_value_t *id)
{
   char buffer[16];
   const char *key;

   bson_uint32_to_string (self->n_again++, &key, buffer, sizeof buffer);
   ecl_append_value (&self->again, key, id);
}

void
ecl_backfill_among (ecl_backfill_t *self, const ecl_value_t *ids, bson_t *filter)
{
   bson_t and;

   bson_init (filter);
   BSON_APPEND_ARRAY_BEGIN (filter, "$and", &and);
   ecl_append_value (&and, "0", ids);
   BSON_APPEND_DOCUMENT (&and, "1", &self->candidates);
   bson_append_array_end (filter, &and);
}

void
ecl_backfill_update_open (const ecl_backfill_t *self, bool concern, bson_t *command, bson_t *statements)
{
   bson_t child;

   BSON_APPEND_UTF8 (command, "update", self->collection);
   BSON_APPEND_BOOL (command, "ordered", false);
   if (concern) {
      BSON_APPEND_DOCUMENT_BEGIN (command, "writeConcern", &child);
      BSON_APPEND_UTF8 (&child, "w", "majority");
      BSON_APPEND_INT32 (&child, "wtimeout", ECL_STORE_WTIMEOUT);
      bson_append_document_end (command, &child);
   }
   BSON_APPEND_ARRAY_BEGIN (command, "updates", statements);
}

void
ecl_backfill_update_begin (ecl_backfill_t *self, bool concern, bson_t *statements)
{
   bson_init (&self->command);
   self->has_command = true;
   ecl_backfill_update_open (self, concern, &self->command, statements);
}

void
ecl_backfill_update_end (ecl_backfill_t *self, bson_t *statements)
{
   bson_append_array_end (&self->command, statements);
}

/* ---- drive ---- */

bool
ecl_backfill_drive (ecl_backfill_t *self, ecl_world_t *world, const ecl_backfill_hooks_t *hooks, bson_error_t *error)
{
   ecl_event_t event = {.kind = ECL_EVENT_START};
   bson_error_t failure;
   ecl_action_t action;
   bson_t reply;

   bson_init (&reply);
   for (;;) {
      if (world->cancelled (world)) {
         ecl_backfill_cancel (self);
      }
      ecl_backfill_step (self, &event, world->now (world), &action);
      bson_destroy (&reply);
      bson_init (&reply);
      if (hooks && hooks->progress) {
         hooks->progress (hooks->context, self);
      }
      if (action.kind == ECL_ACTION_DONE) {
         break;
      }
      if (action.kind == ECL_ACTION_WAIT || action.kind == ECL_ACTION_BETWEEN) {
         event = (ecl_event_t){.kind = ECL_EVENT_WOKE};
         if (action.kind == ECL_ACTION_WAIT) {
            (void) world->wait (world, action.timeout);
         } else if (hooks && hooks->between && !hooks->between (hooks->context, self, &failure)) {
            ecl_backfill_fail (self, &failure);
         }
         continue;
      }
      if (action.kind == ECL_ACTION_BEGIN) {
         ecl_sender_begin (hooks->sender, &action.command, world->now (world) + action.timeout);
         event = (ecl_event_t){.kind = ECL_EVENT_WOKE};
         continue;
      }
      bson_destroy (&reply);
      switch (action.kind == ECL_ACTION_AWAIT
                 ? ecl_sender_await (hooks->sender, &event.answered, &reply, &failure)
                 : world->run_command (world, &action.command, world->now (world) + action.timeout, &reply, &failure)) {
      case ECL_REPLY_OK:
         event.kind = ECL_EVENT_REPLY;
         break;
      case ECL_REPLY_REFUSED:
         event.kind = ECL_EVENT_REFUSED;
         break;
      default:
         event.kind = ECL_EVENT_LOST;
      }
      event.reply = &reply;
      event.error = &failure;
   }
   bson_destroy (&reply);
   if (self->result.failed && error) {
      *error = self->result.error;
   }
   return !self->result.failed;
}
