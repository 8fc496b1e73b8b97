/* Mutations: what eclose must not leave out, left out between it and the server, in the commands that it sends and in
 * the answers that it gets. */
#include "sim.h"

#include "store/floors.h"

/* {query: {_id, token}} or {updates: [{q: {_id, token}, …}]} without its token. */
static void
strip_token (const bson_t *command, bson_t *out)
{
   bson_iter_t iter, one, child;

   BSON_ASSERT (bson_iter_init (&iter, command));
   while (bson_iter_next (&iter)) {
      const char *key = bson_iter_key (&iter);
      bson_t query, updates, update;

      if (strcmp (key, "query") == 0) {
         BSON_APPEND_DOCUMENT_BEGIN (out, "query", &query);
         BSON_ASSERT (bson_iter_recurse (&iter, &one) && bson_iter_find (&one, "_id"));
         bson_append_iter (&query, NULL, 0, &one);
         bson_append_document_end (out, &query);
      } else if (strcmp (key, "updates") == 0) {
         BSON_APPEND_ARRAY_BEGIN (out, "updates", &updates);
         BSON_APPEND_DOCUMENT_BEGIN (&updates, "0", &update);
         BSON_APPEND_DOCUMENT_BEGIN (&update, "q", &query);
         BSON_ASSERT (bson_iter_init (&one, command) && bson_iter_find_descendant (&one, "updates.0.q._id", &child));
         bson_append_iter (&query, NULL, 0, &child);
         bson_append_document_end (&update, &query);
         BSON_ASSERT (bson_iter_init (&one, command) && bson_iter_find_descendant (&one, "updates.0.u", &child));
         bson_append_iter (&update, NULL, 0, &child);
         bson_append_document_end (&updates, &update);
         bson_append_array_end (out, &updates);
      } else {
         bson_append_iter (out, NULL, 0, &iter);
      }
   }
}

/* A transaction's note {steps: n} becomes one of something else. */
static void
strip_note (const bson_t *command, bson_t *out)
{
   bson_iter_t iter, id, token;
   bson_t *other;

   BSON_ASSERT (bson_iter_init (&iter, command) && bson_iter_find_descendant (&iter, "updates.0.q._id", &id) &&
                bson_iter_init (&iter, command) && bson_iter_find_descendant (&iter, "updates.0.q.token", &token));
   other =
      BCON_NEW ("update", BCON_UTF8 (ECL_STORE_CHANGELOG), "updates", "[", "{", "q", "{", "_id", BCON_ITER (&id),
                "token", BCON_ITER (&token), "}", "u", "{", "$set", "{", "noted", BCON_BOOL (true), "}", "}", "}", "]");
   bson_concat (out, other);
   bson_destroy (other);
}

static void
strip_field (const bson_t *command, const char *field, bson_t *out)
{
   bson_iter_t iter;

   BSON_ASSERT (bson_iter_init (&iter, command));
   while (bson_iter_next (&iter)) {
      if (strcmp (bson_iter_key (&iter), field) != 0) {
         bson_append_iter (out, NULL, 0, &iter);
      }
   }
}

/* ---- what stands somewhere in a command or an answer ---- */

/* Writes something else for an element; false where it stays as it is. */
typedef bool (*rewrite_t) (const process_t *process, const char *parent, const bson_iter_t *element, bson_t *out);

static void
rewrite_all (const process_t *process, const char *parent, bson_iter_t *iter, rewrite_t rewrite, bson_t *out)
{
   while (bson_iter_next (iter)) {
      const char *key = bson_iter_key (iter);
      bson_iter_t inner;
      bson_t child;

      if (rewrite (process, parent, iter, out)) {
         continue;
      }
      if (BSON_ITER_HOLDS_DOCUMENT (iter)) {
         BSON_ASSERT (bson_iter_recurse (iter, &inner));
         BSON_APPEND_DOCUMENT_BEGIN (out, key, &child);
         rewrite_all (process, key, &inner, rewrite, &child);
         bson_append_document_end (out, &child);
      } else if (BSON_ITER_HOLDS_ARRAY (iter)) {
         BSON_ASSERT (bson_iter_recurse (iter, &inner));
         BSON_APPEND_ARRAY_BEGIN (out, key, &child);
         rewrite_all (process, key, &inner, rewrite, &child);
         bson_append_array_end (out, &child);
      } else {
         bson_append_iter (out, NULL, 0, iter);
      }
   }
}

static void
rewrite_document (const process_t *process, const bson_t *document, rewrite_t rewrite, bson_t *out)
{
   bson_iter_t iter;

   BSON_ASSERT (bson_iter_init (&iter, document));
   rewrite_all (process, "", &iter, rewrite, out);
}

static bool
is_text (const bson_iter_t *element, const char *key, const char *text)
{
   return strcmp (bson_iter_key (element), key) == 0 && BSON_ITER_HOLDS_UTF8 (element) &&
          strcmp (bson_iter_utf8 (element, NULL), text) == 0;
}

/* A range that was gone through once counts as done. */
static bool
without_sweep (const process_t *process, const char *parent, const bson_iter_t *element, bson_t *out)
{
   (void) process;
   if (strcmp (parent, "state") != 0 || !is_text (element, "$literal", "carried")) {
      return false;
   }
   return BSON_APPEND_UTF8 (out, "$literal", "done");
}

/* Nothing is compared. */
static bool
without_guard (const process_t *process, const char *parent, const bson_iter_t *element, bson_t *out)
{
   bson_t none = BSON_INITIALIZER;

   (void) process;
   if (strcmp (bson_iter_key (element), "$eq") != 0 ||
       (strcmp (parent, "$expr") != 0 && strcmp (parent, "__eclose_unchanged") != 0)) {
      return false;
   }
   return BSON_APPEND_ARRAY (out, "$and", &none);
}

/* Each has a lease of its own. */
static bool
with_own_lease (const process_t *process, const char *parent, const bson_iter_t *element, bson_t *out)
{
   char name[40];

   if ((strcmp (parent, "query") != 0 && strcmp (parent, "filter") != 0) ||
       (!is_text (element, "_id", "backfill:things") && !is_text (element, "_id", "complete:things"))) {
      return false;
   }
   snprintf (name, sizeof name, "%s:%d", bson_iter_utf8 (element, NULL), process->index);
   return BSON_APPEND_UTF8 (out, "_id", name);
}

static bool
without_wanted (const process_t *process, const char *parent, const bson_iter_t *element, bson_t *out)
{
   (void) process;
   (void) parent;
   return strcmp (bson_iter_key (element), "wanted") == 0 && BSON_APPEND_UTF8 (out, "wanted", "running");
}

static bool
without_checkpoint (const process_t *process, const char *parent, const bson_iter_t *element, bson_t *out)
{
   bson_t none = BSON_INITIALIZER;

   (void) process;
   (void) parent;
   return strcmp (bson_iter_key (element), "after") == 0 && BSON_APPEND_DOCUMENT (out, "after", &none);
}

static bool
without_warning (const process_t *process, const char *parent, const bson_iter_t *element, bson_t *out)
{
   (void) process;
   (void) parent;
   return strcmp (bson_iter_key (element), "validationAction") == 0 &&
          BSON_APPEND_UTF8 (out, "validationAction", "error");
}

/* None was found. */
static bool
without_rows (const process_t *process, const char *parent, const bson_iter_t *element, bson_t *out)
{
   bson_t none = BSON_INITIALIZER;

   (void) process;
   (void) parent;
   return strcmp (bson_iter_key (element), "firstBatch") == 0 && BSON_APPEND_ARRAY (out, "firstBatch", &none);
}

static bool
without_lag (const process_t *process, const char *parent, const bson_iter_t *element, bson_t *out)
{
   (void) process;
   (void) parent;
   return strcmp (bson_iter_key (element), "members") == 0 && BSON_APPEND_NULL (out, "members");
}

/* It stands still. */
static bool
without_growth (const process_t *process, const char *parent, const bson_iter_t *element, bson_t *out)
{
   (void) process;
   (void) parent;
   return strcmp (bson_iter_key (element), "ts") == 0 && BSON_APPEND_TIMESTAMP (out, "ts", 1, 1);
}

/* ---- which command, and which answer ---- */

static bool
has (const bson_t *command, const char *path)
{
   bson_iter_t iter, child;

   return bson_iter_init (&iter, command) && bson_iter_find_descendant (&iter, path, &child);
}

static bool
loses_token (mutation_t mutation, const bson_t *command)
{
   const char *name = command_name (command), *collection = command_target (command);

   if (strcmp (collection, ECL_STORE_LEASE) == 0 && strcmp (name, "findAndModify") == 0) {
      return (mutation == MUTATE_RENEW && has (command, "update.0.$replaceWith") && !has (command, "upsert")) ||
             (mutation == MUTATE_FREE && has (command, "update.0.$set.expires"));
   }
   if (strcmp (collection, ECL_STORE_CHUNKS) == 0 && strcmp (name, "findAndModify") == 0) {
      return (mutation == MUTATE_CLAIM && has (command, "update.0.$replaceWith.$cond")) ||
             (mutation == MUTATE_RELEASE && has (command, "update.0.$set.expires"));
   }
   if (strcmp (collection, ECL_STORE_CHANGELOG) == 0 && strcmp (name, "update") == 0 &&
       has (command, "updates.0.u.0.$set")) {
      return mutation == (has (command, "updates.0.u.0.$set.state") ? MUTATE_END : MUTATE_STEP);
   }
   return false;
}

static rewrite_t
rewrite_of (mutation_t mutation, const bson_t *command, bool own)
{
   switch (mutation) {
   case MUTATE_SWEEP:
      return strcmp (command_target (command), ECL_STORE_CHUNKS) == 0 ? without_sweep : NULL;
   case MUTATE_GUARD:
      return !own && strcmp (command_name (command), "update") == 0 ? without_guard : NULL;
   case MUTATE_WARN:
      return strcmp (command_name (command), "collMod") == 0 ? without_warning : NULL;
   case MUTATE_PLAN:
      return strcmp (command_target (command), ECL_STORE_LEASE) == 0 ? with_own_lease : NULL;
   default:
      return NULL;
   }
}

void
mutate (const process_t *process, const bson_t *command, bson_t *out)
{
   mutation_t mutation = process->sim->mutation;
   bool own = strncmp (command_target (command), "eclose_", 7) == 0;
   rewrite_t rewrite;

   bson_init (out);
   if (process->app || mutation == MUTATE_NONE) {
      bson_concat (out, command);
   } else if (loses_token (mutation, command)) {
      strip_token (command, out);
   } else if (mutation == MUTATE_NOTE && has (command, "updates.0.u.$set.steps")) {
      strip_note (command, out);
   } else if (mutation == (own ? MUTATE_MAJORITY : MUTATE_EFFECT)) {
      strip_field (command, "writeConcern", out);
   } else if (mutation == MUTATE_LOCAL && strcmp (command_name (command), "aggregate") == 0) {
      strip_field (command, "readConcern", out);
   } else if ((rewrite = rewrite_of (mutation, command, own)) != NULL) {
      rewrite_document (process, command, rewrite, out);
   } else {
      bson_concat (out, command);
   }
}

/* The claim is lost, and the answer says that it was renewed. */
static void
as_if_renewed (const bson_t *command, bson_t *reply)
{
   bson_iter_t iter, token, beat, value;
   bson_t *answer;

   BSON_ASSERT (
      bson_iter_init (&iter, command) && bson_iter_find_descendant (&iter, "query.token", &token) &&
      bson_iter_init (&iter, command) &&
      bson_iter_find_descendant (&iter, "update.0.$replaceWith.$cond.1.$mergeObjects.1.beat.$literal", &beat));
   if (bson_iter_init (&iter, reply) && bson_iter_find_descendant (&iter, "value.beat", &value) &&
       bson_iter_as_int64 (&value) == bson_iter_as_int64 (&beat)) {
      return;
   }
   answer = BCON_NEW ("value", "{", "token", BCON_ITER (&token), "beat", BCON_ITER (&beat), "}", "ok", BCON_DOUBLE (1));
   bson_destroy (reply);
   bson_copy_to (answer, reply);
   bson_destroy (answer);
}

void
mutate_reply (const process_t *process, const bson_t *command, bson_t *reply)
{
   const char *collection = command_target (command), *name = command_name (command);
   mutation_t mutation = process->sim->mutation;
   rewrite_t rewrite = NULL;
   bson_t out;

   if (process->app) {
      return;
   }
   if (mutation == MUTATE_WANTED && strcmp (collection, ECL_STORE_JOBS) == 0) {
      rewrite = without_wanted;
   } else if (mutation == MUTATE_AFTER && strcmp (collection, ECL_STORE_CHUNKS) == 0 && strcmp (name, "find") == 0) {
      rewrite = without_checkpoint;
   } else if (mutation == MUTATE_SHARE && strcmp (name, "aggregate") == 0 &&
              has (command, "pipeline.0.$match.holder")) {
      rewrite = without_rows;
   } else if (mutation == MUTATE_COUNT && strcmp (name, "aggregate") == 0 && has (command, "hint")) {
      rewrite = without_rows; /* of a count; what cuts ranges has none */
   } else if (mutation == MUTATE_LAG && strcmp (name, "replSetGetStatus") == 0) {
      rewrite = without_lag;
   } else if (mutation == MUTATE_OPLOG && strcmp (collection, "oplog.rs") == 0) {
      rewrite = without_growth;
   } else if (mutation == MUTATE_HELD && strcmp (collection, ECL_STORE_CHUNKS) == 0 &&
              has (command, "update.0.$replaceWith.$cond")) {
      as_if_renewed (command, reply);
   }
   if (rewrite) {
      bson_init (&out);
      rewrite_document (process, reply, rewrite, &out);
      bson_destroy (reply);
      bson_steal (reply, &out);
   }
}

bool
mutate_answer (task_t *task, const ecl_call_t *call, bson_t *reply)
{
   process_t *process = task->process;
   sim_t *sim = process->sim;
   const char *name = command_name (call->command), *collection = command_target (call->command);
   bson_t *answer = NULL;

   if (sim->mutation == MUTATE_REREAD && process->before && strcmp (name, "find") == 0 &&
       strcmp (collection, ECL_STORE_CHANGELOG) == 0) {
      if (has (call->command, "filter._id.$gte")) {
         answer = bson_copy (process->before);
      } else if (has (call->command, "filter._id.$gt")) {
         answer = BCON_NEW ("cursor", "{", "firstBatch", "[", "]", "}");
      }
   } else if (sim->mutation == MUTATE_KILL && strcmp (name, "killSessions") == 0) {
      process->kill_done = sim->now;
      answer = bson_new ();
   } else if (sim->mutation == MUTATE_TOUCH && call->txn == ECL_TXN_CONTINUE &&
              strcmp (collection, ECL_STORE_LEASE) == 0) {
      answer = BCON_NEW ("n", BCON_INT32 (1));
   } else if (sim->mutation == MUTATE_MARK && strcmp (collection, ECL_STORE_FLOORS) == 0 &&
              has (call->command, "updates.0.u.$set.validated")) {
      answer = BCON_NEW ("n", BCON_INT32 (1));
   } else if (sim->mutation == MUTATE_UNLESS && strcmp (name, "find") == 0 && strcmp (collection, "posts") == 0 &&
              !process->app) {
      answer = BCON_NEW ("cursor", "{", "firstBatch", "[", "]", "id", BCON_INT64 (0), "}");
   }
   if (!answer) {
      return false;
   }
   bson_copy_to (answer, reply);
   bson_destroy (answer);
   return true;
}
