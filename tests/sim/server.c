/* A server in memory: the commands that eclose sends, on a few documents. Filters and pipelines by eclose's own engine.
 *
 * What is written is current at once, and the majority's a little later, in the order of the oplog. A reader with read
 * concern majority sees the latter; a primary that steps down may lose the rest.
 */
#include "sim.h"

#include "mql/match.h"
#include "mql/plan.h"

typedef struct {
   server_t *server;
   sim_t *sim;
   const sender_t *sender;
   const bson_t *command;
   int64_t now, lag;
} call_t;

void
server_init (server_t *self)
{
   memset (self, 0, sizeof *self);
   self->ev = bson_malloc0 (sizeof *self->ev);
   ecl_eval_init (self->ev);
}

static void
drop (bson_t **value)
{
   if (*value) {
      bson_destroy (*value);
      *value = NULL;
   }
}

void
server_cleanup (server_t *self)
{
   for (size_t i = 0; i < self->n; i++) {
      drop (&self->documents[i].current);
      drop (&self->documents[i].majority);
   }
   for (size_t i = 0; i < self->n_pending; i++) {
      drop (&self->pending[i].value);
   }
   ecl_eval_cleanup (self->ev);
   bson_free (self->ev);
}

static bson_t *
copy (const bson_t *value)
{
   return value ? bson_copy (value) : NULL;
}

void
server_settle (server_t *self, int64_t now)
{
   size_t n = 0;

   while (n < self->n_pending && self->pending[n].safe <= now) {
      document_t *document = &self->documents[self->pending[n].document];

      drop (&document->majority);
      document->majority = self->pending[n++].value;
   }
   memmove (self->pending, self->pending + n, (self->n_pending - n) * sizeof self->pending[0]);
   self->n_pending -= n;
}

size_t
server_roll_back (server_t *self)
{
   size_t n = self->n_pending;

   for (size_t i = 0; i < n; i++) {
      drop (&self->pending[i].value);
   }
   self->n_pending = 0;
   for (size_t i = 0; i < self->n; i++) {
      drop (&self->documents[i].current);
      self->documents[i].current = copy (self->documents[i].majority);
   }
   return n;
}

static document_t *
place (server_t *self, const char *collection, const char *id, bool make)
{
   for (size_t i = 0; i < self->n; i++) {
      if (strcmp (self->documents[i].id, id) == 0 && strcmp (self->documents[i].collection, collection) == 0) {
         return &self->documents[i];
      }
   }
   if (!make) {
      return NULL;
   }
   BSON_ASSERT (self->n < MAX_DOCUMENTS);
   bson_strncpy (self->documents[self->n].collection, collection, sizeof self->documents[0].collection);
   bson_strncpy (self->documents[self->n].id, id, sizeof self->documents[0].id);
   return &self->documents[self->n++];
}

const bson_t *
server_get (const server_t *self, const char *collection, const char *id, bool majority)
{
   for (size_t i = 0; i < self->n; i++) {
      const document_t *document = &self->documents[i];

      if (strcmp (document->id, id) == 0 && strcmp (document->collection, collection) == 0) {
         return majority ? document->majority : document->current;
      }
   }
   return NULL;
}

static void
store (server_t *self, document_t *document, const bson_t *value, int64_t safe)
{
   BSON_ASSERT (self->n_pending < MAX_PENDING);
   drop (&document->current);
   document->current = copy (value);
   self->last_safe = safe > self->last_safe ? safe : self->last_safe;
   self->pending[self->n_pending].document = (size_t) (document - self->documents);
   self->pending[self->n_pending].value = copy (value);
   self->pending[self->n_pending++].safe = self->last_safe;
}

void
server_remove (server_t *self, const char *collection, const char *id)
{
   document_t *document = place (self, collection, id, false);

   if (document && document->current) {
      store (self, document, NULL, self->last_safe);
   }
}

/* ---- reading commands ---- */

static bool
get_document (const bson_t *from, const char *field, bson_t *out)
{
   const uint8_t *data;
   bson_iter_t iter;
   uint32_t len;

   if (!bson_iter_init_find (&iter, from, field)) {
      return false;
   }
   if (BSON_ITER_HOLDS_DOCUMENT (&iter)) {
      bson_iter_document (&iter, &len, &data);
   } else if (BSON_ITER_HOLDS_ARRAY (&iter)) {
      bson_iter_array (&iter, &len, &data);
   } else {
      return false;
   }
   return bson_init_static (out, data, len);
}

static bool
flag (const bson_t *from, const char *field)
{
   bson_iter_t iter;

   return bson_iter_init_find (&iter, from, field) && bson_iter_as_bool (&iter);
}

static bool
matches (call_t *call, const bson_t *filter, const bson_t *document)
{
   ecl_value_t f = ecl_raw_document (bson_get_data (filter), filter->len);
   ecl_value_t d = ecl_raw_document (bson_get_data (document), document->len);
   ecl_match_options_t options = {.allow_now = true};
   ecl_match_t *match = ecl_match_new (&f, &options);
   bson_error_t error;
   bool matched;

   BSON_ASSERT (match);
   ecl_arena_reset (&call->server->ev->arena);
   BSON_ASSERT (ecl_match_run (match, call->server->ev, &d, &matched, &error));
   ecl_match_destroy (match);
   return matched;
}

/* The document after an update's pipeline. */
static bson_t *
apply (call_t *call, const bson_t *pipeline, const bson_t *document)
{
   ecl_value_t stages = ecl_raw_document (bson_get_data (pipeline), pipeline->len);
   ecl_plan_options_t options = {.allow_now = true, .update = true};
   ecl_plan_t *plan = ecl_plan_new (&options);
   const uint8_t *out;
   bson_error_t error;
   size_t len;

   stages.type = BSON_TYPE_ARRAY;
   BSON_ASSERT (ecl_plan_add_pipeline (plan, &stages, NULL));
   ecl_plan_link (plan);
   call->server->ev->now = call->now + call->server->offset;
   if (!ecl_plan_run (plan, call->server->ev, bson_get_data (document), document->len, &out, &len, &error)) {
      fprintf (stderr, "sim: an update failed: %s\n", error.message);
      abort ();
   }
   ecl_plan_destroy (plan);
   return bson_new_from_data (out, len);
}

/* ---- commands ---- */

/* The one document that a filter by _id names. Filters of eclose's own records all do. */
static void
target (const bson_t *filter, char id[48])
{
   bson_iter_t iter;

   BSON_ASSERT (bson_iter_init_find (&iter, filter, "_id") && BSON_ITER_HOLDS_UTF8 (&iter));
   bson_strncpy (id, bson_iter_utf8 (&iter, NULL), 48);
}

/* Returns whether a document was matched or inserted; *document is it. */
static bool
update_one (call_t *call, const char *collection, const bson_t *filter, const bson_t *pipeline, bool upsert,
            document_t **document)
{
   bson_t empty = BSON_INITIALIZER, *after;
   const bson_t *before;
   char id[48];

   target (filter, id);
   *document = place (call->server, collection, id, upsert);
   before = *document ? (*document)->current : NULL;
   if (before ? !matches (call, filter, before) : !upsert) {
      bson_destroy (&empty);
      return false;
   }
   if (!before) {
      BSON_APPEND_UTF8 (&empty, "_id", id);
   }
   after = apply (call, pipeline, before ? before : &empty);
   if (!before || !bson_equal (before, after)) {
      check_write (call->sim, call->sender, collection, before, after);
      store (call->server, *document, after, call->now + call->lag);
   }
   bson_destroy (after);
   bson_destroy (&empty);
   return true;
}

static void
run_find_and_modify (call_t *call, const char *collection, bson_t *reply)
{
   document_t *document;
   bson_t query, update;

   BSON_ASSERT (get_document (call->command, "query", &query) && get_document (call->command, "update", &update));
   if (update_one (call, collection, &query, &update, flag (call->command, "upsert"), &document)) {
      BSON_APPEND_DOCUMENT (reply, "value", document->current);
   } else {
      BSON_APPEND_NULL (reply, "value");
   }
}

static void
run_update (call_t *call, const char *collection, bson_t *reply)
{
   bson_t updates, one, query, pipeline;
   bson_iter_t iter;
   int32_t n = 0;

   BSON_ASSERT (get_document (call->command, "updates", &updates) && bson_iter_init (&iter, &updates));
   while (bson_iter_next (&iter)) {
      const uint8_t *data;
      document_t *document;
      uint32_t len;

      bson_iter_document (&iter, &len, &data);
      BSON_ASSERT (bson_init_static (&one, data, len) && get_document (&one, "q", &query) &&
                   get_document (&one, "u", &pipeline));
      n += update_one (call, collection, &query, &pipeline, flag (&one, "upsert"), &document);
   }
   BSON_APPEND_INT32 (reply, "n", n);
}

static int
by_id (const void *a, const void *b)
{
   return strcmp ((*(const document_t *const *) a)->id, (*(const document_t *const *) b)->id);
}

static void
run_find (call_t *call, const char *collection, bson_t *reply)
{
   const document_t *found[MAX_DOCUMENTS];
   bson_t filter, cursor, batch;
   size_t n = 0;

   BSON_ASSERT (get_document (call->command, "filter", &filter));
   for (size_t i = 0; i < call->server->n; i++) {
      const document_t *document = &call->server->documents[i];

      if (document->majority && strcmp (document->collection, collection) == 0 &&
          matches (call, &filter, document->majority)) {
         found[n++] = document;
      }
   }
   qsort (found, n, sizeof found[0], by_id);
   BSON_APPEND_DOCUMENT_BEGIN (reply, "cursor", &cursor);
   BSON_APPEND_ARRAY_BEGIN (&cursor, "firstBatch", &batch);
   for (size_t i = 0; i < n; i++) {
      char buffer[16];
      const char *key;

      bson_uint32_to_string ((uint32_t) i, &key, buffer, sizeof buffer);
      BSON_APPEND_DOCUMENT (&batch, key, found[i]->majority);
   }
   bson_append_array_end (&cursor, &batch);
   BSON_APPEND_INT64 (&cursor, "id", 0);
   bson_append_document_end (reply, &cursor);
}

/* Statements of those sessions that run now come to their end without effect. */
static void
run_kill (call_t *call)
{
   bson_iter_t iter, one;

   call->sender->process->kill_done = call->now;
   BSON_ASSERT (bson_iter_init_find (&iter, call->command, "killSessions") && bson_iter_recurse (&iter, &one));
   while (bson_iter_next (&one)) {
      const uint8_t *data;
      bson_iter_t id;
      uint32_t len;

      BSON_ASSERT (bson_iter_recurse (&one, &id) && bson_iter_find (&id, "id"));
      bson_iter_binary (&id, NULL, &len, &data);
      for (size_t i = 0; i < MAX_MESSAGES; i++) {
         message_t *message = &call->sim->messages[i];

         if (message->stage == MSG_RUNNING && memcmp (message->sender.session, data, 16) == 0) {
            message->refused = true;
            message->at = call->now;
            sim_reached (call->sim, FAULT_ENDED);
         }
      }
   }
}

void
server_execute (server_t *self, sim_t *sim, const sender_t *sender, const bson_t *command, int64_t now, int64_t lag,
                bson_t *reply, int64_t *safe)
{
   call_t call = {.server = self, .sim = sim, .sender = sender, .command = command, .now = now, .lag = lag};
   const char *name, *collection;
   bson_iter_t iter;

   server_settle (self, now);
   bson_init (reply);
   BSON_ASSERT (bson_iter_init (&iter, command) && bson_iter_next (&iter));
   name = bson_iter_key (&iter);
   collection = BSON_ITER_HOLDS_UTF8 (&iter) ? bson_iter_utf8 (&iter, NULL) : "";
   *safe = now;
   if (strcmp (name, "findAndModify") == 0) {
      run_find_and_modify (&call, collection, reply);
      *safe = self->last_safe;
   } else if (strcmp (name, "update") == 0) {
      run_update (&call, collection, reply);
      *safe = self->last_safe;
   } else if (strcmp (name, "find") == 0) {
      run_find (&call, collection, reply);
   } else if (strcmp (name, "killSessions") == 0) {
      run_kill (&call);
   } else {
      fprintf (stderr, "sim: the server does not know the command %s\n", name);
      abort ();
   }
   BSON_APPEND_DOUBLE (reply, "ok", 1);
}
