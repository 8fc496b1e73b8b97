/* A server in memory: its documents, the oplog and the majority, transactions, and which command it is.
 *
 * What is written is current at once, and the majority's a little later, in the order of the oplog. A reader with read
 * concern majority sees the latter; a primary that steps down may lose the rest. A transaction keeps its writes until
 * it commits; who meets them waits, and another transaction that does is refused. (Unlike the real one's, its reads see
 * what was written since it began; a write there is refused all the same.)
 */
#include "sim.h"

#include "bson/append.h"

/* transactionLifetimeLimitSeconds */
#define TXN_LIFETIME 60000

enum {
   NO_SUCH_TRANSACTION = 251,
   TRANSACTION_TOO_OLD = 225,
   WRITE_CONFLICT = 112,
   DUPLICATE_KEY = 11000,
   DOCUMENT_VALIDATION_FAILURE = 121,
   UNAUTHORIZED = 13
};

void
server_init (server_t *self)
{
   memset (self, 0, sizeof *self);
}

static void
drop (blob_t **value)
{
   blob_unref (*value);
   *value = NULL;
}

static void
cursor_close (cursor_t *self)
{
   drop (&self->filter);
   drop (&self->after);
   rows_cleanup (&self->rows);
   memset (self, 0, sizeof *self);
}

void
server_cleanup (server_t *self)
{
   for (size_t i = 0; i < MAX_PROCESSES; i++) {
      server_abort (self, &self->txns[i]);
      bson_free (self->txns[i].slots);
   }
   for (size_t i = 0; i < MAX_CURSORS; i++) {
      cursor_close (&self->cursors[i]);
   }
   for (size_t i = 0; i < self->n_pending; i++) {
      drop (&self->pending[i].value);
      drop (&self->pending[i].before);
   }
   bson_free (self->pending);
   for (size_t i = 0; i < self->n; i++) {
      for (size_t j = 0; j < self->collections[i].n; j++) {
         slot_t *slot = self->collections[i].slots[j];

         drop (&slot->current);
         drop (&slot->majority);
         drop (&slot->shown);
         drop (&slot->key);
         bson_free (slot);
      }
      bson_free (self->collections[i].slots);
   }
}

/* ---- the oplog ---- */

/* What the majority has had for longer than any primary does not know of is not kept. */
static void
forget_old (server_t *self, int64_t now)
{
   size_t n = 0;

   while (n < self->first && self->pending[n].safe < now - HIDDEN_MS) {
      drop (&self->pending[n].value);
      drop (&self->pending[n++].before);
   }
   memmove (self->pending, self->pending + n, (self->n_pending - n) * sizeof *self->pending);
   self->first -= n;
   self->n_pending -= n;
}

static void
show_all (server_t *self)
{
   for (size_t i = 0; i < self->n; i++) {
      for (size_t j = 0; j < self->collections[i].n; j++) {
         drop (&self->collections[i].slots[j]->shown);
         self->collections[i].slots[j]->hidden = false;
      }
   }
   self->hides_until = 0;
}

void
server_hide (server_t *self, int64_t from, int64_t until)
{
   show_all (self);
   for (size_t i = self->first; i-- > 0 && self->pending[i].safe > from;) {
      slot_t *slot = self->pending[i].slot;

      drop (&slot->shown);
      slot->shown = blob_ref (self->pending[i].before);
      slot->hidden = true;
   }
   self->hides_from = from;
   self->hides_until = self->hid_until = self->last_safe = until;
}

void
server_settle (server_t *self, int64_t now)
{
   while (self->first < self->n_pending && self->pending[self->first].safe <= now) {
      pending_t *one = &self->pending[self->first++];

      one->before = one->slot->majority;
      one->slot->majority = blob_ref (one->value);
   }
   if (self->hides_until && now >= self->hides_until) {
      show_all (self);
   }
   if (self->first && now != INT64_MAX && self->pending[0].safe < now - 2 * HIDDEN_MS) {
      forget_old (self, now);
   }
   for (size_t i = 0; i < self->n && now == INT64_MAX; i++) {
      for (size_t j = 0; j < self->collections[i].n_unique; j++) {
         self->collections[i].unique[j].safe = 0;
      }
   }
   for (size_t i = 0; i < MAX_PROCESSES; i++) {
      if (self->txns[i].open && now != INT64_MAX && now > self->txns[i].began + TXN_LIFETIME) {
         server_abort (self, &self->txns[i]);
      }
   }
}

void
server_settle_all (server_t *self, int64_t now)
{
   for (size_t i = self->first; i < self->n_pending; i++) {
      self->pending[i].safe = BSON_MIN (self->pending[i].safe, now);
   }
   server_settle (self, INT64_MAX);
}

/* Takes the reference. */
static void
store (server_t *self, slot_t *slot, blob_t *value, int64_t safe)
{
   self->last_safe = safe > self->last_safe ? safe : self->last_safe;
   drop (&slot->current);
   slot->current = value;
   slot->version = ++self->version;
   if (self->n_pending == self->cap_pending) {
      self->cap_pending = 2 * self->cap_pending + 32;
      self->pending = bson_realloc (self->pending, self->cap_pending * sizeof *self->pending);
   }
   self->pending[self->n_pending++] = (pending_t){.slot = slot, .value = blob_ref (value), .safe = self->last_safe};
}

void
server_step_down (server_t *self)
{
   for (size_t i = 0; i < MAX_PROCESSES; i++) {
      server_abort (self, &self->txns[i]);
   }
   for (size_t i = 0; i < MAX_CURSORS; i++) {
      cursor_close (&self->cursors[i]);
   }
}

size_t
server_roll_back (server_t *self, int64_t now)
{
   size_t n = self->n_pending - self->first;

   for (size_t i = self->first; i < self->n_pending; i++) {
      slot_t *slot = self->pending[i].slot;

      drop (&self->pending[i].value);
      drop (&slot->current);
      slot->current = blob_ref (slot->majority);
      slot->version = ++self->version;
   }
   self->n_pending = self->first;
   for (size_t i = 0; i < MAX_PROCESSES; i++) {
      self->txns[i].committed = self->txns[i].safe > now ? 0 : self->txns[i].committed;
   }
   for (size_t i = 0; i < self->n; i++) {
      collection_t *collection = &self->collections[i];

      while (collection->n_unique && collection->unique[collection->n_unique - 1].safe > now) {
         collection->n_unique--;
      }
   }
   return n;
}

void
server_remove (server_t *self, const char *collection, const char *id, int64_t now)
{
   ecl_value_t key = ecl_string (id, strlen (id));
   slot_t *slot = server_slot (server_place (self, collection), &key, false);

   if (slot && slot->current && !slot->lock) {
      store (self, slot, NULL, now);
   }
}

/* ---- writing ---- */

const blob_t *
server_seen (const execution_t *self, const slot_t *slot, bool majority)
{
   if (self->txn && slot->lock == self->txn) {
      return slot->buffered;
   }
   if (majority && slot->hidden && self->sender->knows <= self->server->hides_from) {
      sim_reached (self->sim, FAULT_HIDDEN);
      return slot->shown;
   }
   return majority ? slot->majority : slot->current;
}

static bool
same_key (const unique_t *unique, const blob_t *a, const blob_t *b)
{
   for (size_t i = 0; i < unique->n; i++) {
      ecl_value_t left = blob_get (a, unique->fields[i]), right = blob_get (b, unique->fields[i]);

      if (!ecl_equal (&left, &right)) {
         return false;
      }
   }
   return true;
}

static bool
is_double (const execution_t *self, const slot_t *slot, const blob_t *value)
{
   const collection_t *collection = slot->collection;

   for (size_t i = 0; value && i < collection->n_unique; i++) {
      for (size_t j = 0; j < collection->n; j++) {
         const blob_t *other = server_seen (self, collection->slots[j], false);

         if (other && collection->slots[j] != slot && same_key (&collection->unique[i], other, value)) {
            return true;
         }
      }
   }
   return false;
}

bool
server_write (execution_t *self, slot_t *slot, blob_t *value, int32_t *code)
{
   txn_t *txn = self->txn;

   *code = 0;
   if (!server_lets_in (self, slot, value)) {
      *code = DOCUMENT_VALIDATION_FAILURE;
   } else if (is_double (self, slot, value)) {
      *code = DUPLICATE_KEY;
   } else if (txn && slot->lock != txn && (slot->lock || slot->version > txn->version)) {
      *code = WRITE_CONFLICT;
      sim_reached (self->sim, FAULT_CONFLICT);
   }
   if (*code) {
      blob_unref (value);
      return false;
   }
   if (!txn) {
      check_write (self->sim, self->sender, slot->collection->name, slot->current, value);
      store (self->server, slot, value, self->now + self->lag);
      return true;
   }
   if (!slot->lock) {
      if (txn->n == txn->cap) {
         txn->cap = 2 * txn->cap + 8;
         txn->slots = bson_realloc (txn->slots, txn->cap * sizeof *txn->slots);
      }
      txn->slots[txn->n++] = slot;
      slot->lock = txn;
   }
   drop (&slot->buffered);
   slot->buffered = value;
   return true;
}

/* ---- transactions ---- */

void
server_abort (server_t *self, txn_t *txn)
{
   (void) self;
   for (size_t i = 0; i < txn->n; i++) {
      drop (&txn->slots[i]->buffered);
      txn->slots[i]->lock = NULL;
   }
   txn->n = 0;
   txn->open = false;
}

static void
commit (execution_t *self, txn_t *txn)
{
   if (self->sender->effect) {
      check_effect (self->sim, self->sender);
   }
   for (size_t i = 0; i < txn->n; i++) {
      slot_t *slot = txn->slots[i];
      blob_t *value = slot->buffered;

      slot->buffered = NULL;
      slot->lock = NULL;
      check_write (self->sim, self->sender, slot->collection->name, slot->current, value);
      store (self->server, slot, value, self->now + self->lag);
   }
   txn->n = 0;
   txn->open = false;
   txn->committed = txn->number;
   txn->safe = self->server->last_safe;
}

/* Before a command of a transaction; a code where it cannot be. */
static int32_t
enter (execution_t *self)
{
   txn_t *txn = &self->server->txns[self->sender->process->index];
   int64_t number = self->sender->txn_number;

   if (number < txn->number) {
      return TRANSACTION_TOO_OLD;
   }
   if (self->sender->txn == ECL_TXN_BEGIN) {
      server_abort (self->server, txn);
      txn->number = number;
      txn->open = true;
      txn->began = self->now;
      txn->version = self->server->version;
   } else if (number != txn->number || (!txn->open && txn->committed != number)) {
      return NO_SUCH_TRANSACTION;
   }
   self->txn = txn;
   return 0;
}

static int32_t
run_in_transaction (execution_t *self)
{
   int32_t code = enter (self);
   txn_t *txn = self->txn;

   if (code) {
      return code;
   }
   switch (self->sender->txn) {
   case ECL_TXN_COMMIT:
      if (txn->open) {
         commit (self, txn);
      }
      return 0;
   case ECL_TXN_ABORT:
      server_abort (self->server, txn);
      return 0;
   default:
      if (!txn->open) {
         return NO_SUCH_TRANSACTION;
      }
      code = server_run_write (self);
      if (code == -1) {
         code = server_run_read (self);
      }
      if (code) {
         server_abort (self->server, txn);
      }
      return code;
   }
}

/* ---- commands ---- */

ecl_value_t
command_get (const execution_t *self, const char *field)
{
   return ecl_document_get (&self->command, field, strlen (field));
}

/* Whether a statement on this collection meets what a transaction wrote and did not commit. */
static bool
is_blocked (const execution_t *self)
{
   const collection_t *collection = self->collection;

   for (size_t i = 0; i < collection->n; i++) {
      if (collection->slots[i]->lock) {
         return true;
      }
   }
   return false;
}

/* Statements of those sessions that run now come to their end without effect. */
static void
kill_sessions (execution_t *self)
{
   ecl_value_t list = command_get (self, "killSessions"), one, id;
   sim_t *sim = self->sim;
   ecl_iter_t iter;

   if (self->sender->process) {
      self->sender->process->kill_done = self->now;
   }
   ecl_iter_init (&iter, &list);
   while (ecl_iter_item (&iter, &one)) {
      id = ecl_document_get (&one, "id", 2);
      for (size_t i = 0; i < MAX_MESSAGES; i++) {
         message_t *message = &sim->messages[i];

         if (message->stage == MSG_RUNNING && !message->sender.heart &&
             memcmp (message->sender.session, id.u.raw, 16) == 0) {
            message->refused = true;
            message->at = self->now;
            sim_reached (sim, FAULT_ENDED);
         }
      }
      for (size_t i = 0; i < sim->n_processes; i++) {
         if (memcmp (sim->processes[i].session, id.u.raw, 16) == 0) {
            server_abort (self->server, &self->server->txns[i]);
            for (size_t j = 0; j < MAX_CURSORS; j++) {
               if (self->server->cursors[j].id && self->server->cursors[j].owner == (int) i) {
                  cursor_close (&self->server->cursors[j]);
               }
            }
         }
      }
   }
}

static bool
wants_majority (const execution_t *self)
{
   ecl_value_t concern = command_get (self, "writeConcern"), w;

   if (self->sender->txn == ECL_TXN_COMMIT) {
      return true;
   }
   if (concern.type != BSON_TYPE_DOCUMENT) {
      return false;
   }
   w = ecl_document_get (&concern, "w", 1);
   return ecl_is_string (&w) && w.len == 8 && memcmp (w.u.str, "majority", 8) == 0;
}

/* What the throttle asks for: whoever runs here may not see it. */
static bool
says_how_it_fares (const execution_t *self, const ecl_field_t *first)
{
   static const char *const names[] = {"replSetGetStatus", "replSetGetConfig", "serverStatus"};

   for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
      if (strcmp (self->name, names[i]) == 0) {
         return true;
      }
   }
   return ecl_is_string (&first->value) && first->value.len == 8 && memcmp (first->value.u.str, "oplog.rs", 8) == 0;
}

bool
server_execute (server_t *self, sim_t *sim, const sender_t *sender, const bson_t *command, int64_t now, int64_t lag,
                bson_t *reply, int32_t *code, int64_t *safe)
{
   execution_t run = {.server = self,
                      .sim = sim,
                      .sender = sender,
                      .command = ecl_raw_document (bson_get_data (command), command->len),
                      .now = now,
                      .clock = now + self->offset,
                      .lag = lag,
                      .reply = reply};
   ecl_field_t first = {0};
   ecl_iter_t iter;
   bool fares;

   server_settle (self, now);
   ecl_iter_init (&iter, &run.command);
   run.name = ecl_iter_field (&iter, &first) ? first.key : "";
   fares = says_how_it_fares (&run, &first);
   if (ecl_is_string (&first.value) && !fares) {
      run.collection = server_place (self, first.value.u.str);
   }
   if (sender->txn == ECL_TXN_NONE && run.collection && command_writes (command, ECL_TXN_NONE) && is_blocked (&run)) {
      sim_reached (sim, FAULT_BLOCKED);
      return false;
   }
   bson_init (reply);
   if (sender->txn != ECL_TXN_NONE) {
      *code = run_in_transaction (&run);
   } else if (fares) {
      *code = sim->story->fares && sim->story->fares (sim, &run) ? 0 : UNAUTHORIZED;
   } else if (strcmp (run.name, "killSessions") == 0) {
      *code = 0;
      kill_sessions (&run);
   } else {
      *code = server_run_write (&run);
      if (*code == -1) {
         *code = server_run_read (&run);
      }
      if (*code == -1) {
         *code = server_run_options (&run);
      }
   }
   if (*code == -1) {
      fprintf (stderr, "sim: the server does not know the command %s\n", run.name);
      abort ();
   }
   *safe = wants_majority (&run) ? self->last_safe : now;
   if (!*code && sim->story->executed) {
      sim->story->executed (sim, &run);
   }
   if (sender->txn != ECL_TXN_NONE) {
      static const char *const what[] = {"", "begins", "goes on", "commits", "aborts"};

      sim_log (sim, "    transaction %" PRId64 " of process %d %s, %s %s: code %d", sender->txn_number,
               sender->process->index, what[sender->txn], run.name, run.collection ? run.collection->name : "", *code);
   }
   if (!*code) {
      BSON_APPEND_DOUBLE (reply, "ok", 1);
   }
   return true;
}
