/* Saving what was read, if it is still what is stored. See eclose/mongoc.h. */
#include "client/client-private.h"

#include <string.h>

#define COMMIT_TRIES 5

static bool
conflict (const eclose_collection_t *self, bson_error_t *error)
{
   return ecl_client_fail (error, ECLOSE_ERROR_UPGRADE, ECLOSE_CODE_CONFLICT,
                           "%s: the stored document is not the one that was read", self->name);
}

/* Whether strings are compared by a collation, for which equal is not the same. Asked once. */
static bool
ask_collation (eclose_collection_t *self, bson_error_t *error)
{
   mongoc_database_t *database;
   mongoc_cursor_t *cursor;
   const bson_t *info;
   bson_t opts = BSON_INITIALIZER, filter;
   bson_iter_t iter, found;

   if (self->asked_collation) {
      bson_destroy (&opts);
      return true;
   }
   database = mongoc_client_get_database (self->client, self->database);
   BSON_APPEND_DOCUMENT_BEGIN (&opts, "filter", &filter);
   BSON_APPEND_UTF8 (&filter, "name", self->name);
   bson_append_document_end (&opts, &filter);
   cursor = mongoc_database_find_collections_with_opts (database, &opts);
   while (mongoc_cursor_next (cursor, &info)) {
      self->has_collation =
         bson_iter_init (&iter, info) && bson_iter_find_descendant (&iter, "options.collation", &found);
   }
   self->asked_collation = !mongoc_cursor_error (cursor, error);
   mongoc_cursor_destroy (cursor);
   mongoc_database_destroy (database);
   bson_destroy (&opts);
   return self->asked_collation;
}

static int64_t
count_of (const bson_t *reply, const char *name)
{
   bson_iter_t iter;

   return bson_iter_init_find (&iter, reply, name) ? bson_iter_as_int64 (&iter) : 0;
}

/* Whether the server says what it did. */
static bool
is_acknowledged (const eclose_collection_t *self, const bson_t *opts)
{
   bson_iter_t iter, w;

   if (opts && bson_iter_init (&iter, opts) && bson_iter_find_descendant (&iter, "writeConcern.w", &w)) {
      return !BSON_ITER_HOLDS_NUMBER (&w) || bson_iter_as_int64 (&w) > 0;
   }
   return mongoc_write_concern_is_acknowledged (mongoc_collection_get_write_concern (self->collection));
}

/* Whether the options leave a save what it is: what is gone is not made anew, of a part, and equal is equal. */
static bool
are_of_a_save (const eclose_collection_t *self, const bson_t *opts, bson_error_t *error)
{
   static const char *const refused[] = {"upsert", "collation"};
   bson_iter_t iter;

   if (!is_acknowledged (self, opts)) {
      return ecl_client_fail (error, ECLOSE_ERROR_USAGE, ECLOSE_CODE_UNSUPPORTED,
                              "a save that nobody acknowledges: whether it met what was read would not be known");
   }
   for (size_t i = 0; opts && i < sizeof refused / sizeof *refused; i++) {
      if (bson_iter_init_find (&iter, opts, refused[i]) && bson_iter_as_bool (&iter)) {
         return ecl_client_fail (error, ECLOSE_ERROR_USAGE, ECLOSE_CODE_UNSUPPORTED, "a save takes no option \"%s\"",
                                 refused[i]);
      }
   }
   return true;
}

/* One update whose pipeline compares and writes. */
static bool
save_statement (eclose_collection_t *self, const bson_t *filter, const bson_t *update, const bson_t *opts,
                bson_error_t *error)
{
   bson_t reply;
   bool ok = mongoc_collection_update_one (self->collection, filter, update, opts, &reply, error);

   if (ok && count_of (&reply, "modifiedCount") == 0) {
      ok = conflict (self, error);
   }
   bson_destroy (&reply);
   return ok;
}

/* Reads, compares and replaces, with the caller's options; the transaction is open. */
static bool
replace_in_transaction (eclose_collection_t *self, mongoc_client_session_t *session, const bson_t *stored,
                        const bson_t *replacement, const bson_t *given, bson_error_t *error)
{
   bson_t by_id, opts = BSON_INITIALIZER, finding = BSON_INITIALIZER;
   mongoc_cursor_t *cursor = NULL;
   const bson_t *now;
   bool ok;

   if (given) {
      bson_copy_to_excluding_noinit (given, &opts, "writeConcern", NULL); /* which is the transaction's */
   }
   ok = ecl_client_by_id (stored, &by_id) && mongoc_client_session_append (session, &opts, error) &&
        mongoc_client_session_append (session, &finding, error);
   if (ok) {
      cursor = mongoc_collection_find_with_opts (self->collection, &by_id, &finding, NULL);
      if (!mongoc_cursor_next (cursor, &now)) {
         ok = !mongoc_cursor_error (cursor, error) && conflict (self, error);
      } else if (!bson_equal (now, stored)) {
         ok = conflict (self, error);
      }
   }
   ok = ok && mongoc_collection_replace_one (self->collection, &by_id, replacement, &opts, NULL, error);
   if (cursor) {
      mongoc_cursor_destroy (cursor);
   }
   bson_destroy (&finding);
   bson_destroy (&opts);
   bson_destroy (&by_id);
   return ok;
}

/* The write concern of the options, or else of the collection; and the primary, whatever the client reads from. */
static mongoc_transaction_opt_t *
transaction_options (const eclose_collection_t *self, const bson_t *opts)
{
   mongoc_write_concern_t *concern = mongoc_write_concern_copy (mongoc_collection_get_write_concern (self->collection));
   mongoc_read_prefs_t *primary = mongoc_read_prefs_new (MONGOC_READ_PRIMARY);
   mongoc_transaction_opt_t *options = mongoc_transaction_opts_new ();
   bson_iter_t iter, part;

   if (opts && bson_iter_init_find (&iter, opts, "writeConcern") && bson_iter_recurse (&iter, &part)) {
      mongoc_write_concern_destroy (concern);
      concern = mongoc_write_concern_new ();
      while (bson_iter_next (&part)) {
         const char *name = bson_iter_key (&part);

         if (strcmp (name, "w") == 0 && BSON_ITER_HOLDS_NUMBER (&part)) {
            mongoc_write_concern_set_w (concern, (int32_t) bson_iter_as_int64 (&part));
         } else if (strcmp (name, "w") == 0 && BSON_ITER_HOLDS_UTF8 (&part)) {
            mongoc_write_concern_set_wtag (concern, bson_iter_utf8 (&part, NULL));
         } else if (strcmp (name, "j") == 0) {
            mongoc_write_concern_set_journal (concern, bson_iter_as_bool (&part));
         } else if (strcmp (name, "wtimeout") == 0) {
            mongoc_write_concern_set_wtimeout_int64 (concern, bson_iter_as_int64 (&part));
         }
      }
   }
   mongoc_transaction_opts_set_write_concern (options, concern);
   mongoc_transaction_opts_set_read_prefs (options, primary);
   mongoc_read_prefs_destroy (primary);
   mongoc_write_concern_destroy (concern);
   return options;
}

static bool
commit (mongoc_client_session_t *session, bson_error_t *error)
{
   for (int i = 0; i < COMMIT_TRIES; i++) {
      bson_t reply;
      bool ok = mongoc_client_session_commit_transaction (session, &reply, error);
      bool unknown = !ok && mongoc_error_has_label (&reply, "UnknownTransactionCommitResult");

      bson_destroy (&reply);
      if (!unknown) {
         return ok;
      }
   }
   return false;
}

static bool
save_transaction (eclose_collection_t *self, const bson_t *stored, const bson_t *replacement, const bson_t *opts,
                  bson_error_t *error)
{
   mongoc_transaction_opt_t *options;
   mongoc_client_session_t *session;
   bson_error_t cause = {0};
   bool ok;

   if (opts && bson_has_field (opts, "sessionId")) {
      return ecl_client_fail (error, ECLOSE_ERROR_UPGRADE, ECLOSE_CODE_UNSUPPORTED,
                              "%s: this document can only be compared in a transaction of its own, not in a session",
                              self->name);
   }
   session = mongoc_client_start_session (self->client, NULL, error);
   if (!session) {
      return false;
   }
   options = transaction_options (self, opts);
   ok = mongoc_client_session_start_transaction (session, options, &cause);
   mongoc_transaction_opts_destroy (options);
   if (ok) {
      ok = replace_in_transaction (self, session, stored, replacement, opts, &cause);
      if (ok) {
         ok = commit (session, &cause);
      } else {
         (void) mongoc_client_session_abort_transaction (session, NULL);
      }
   }
   mongoc_client_session_destroy (session);
   if (!ok && cause.code == 20) {
      /* "Transaction numbers are only allowed on a replica set member or mongos" */
      return ecl_client_fail (
         error, ECLOSE_ERROR_UPGRADE, ECLOSE_CODE_UNSUPPORTED,
         "%s: this document cannot be compared in one statement, and the server has no transactions", self->name);
   }
   if (!ok && cause.code == 112) {
      return conflict (self, error); /* a write of somebody else's, at the same time */
   }
   return ok || ecl_client_fail (error, cause.domain, cause.code, "%s", cause.message);
}

bool
ecl_client_save (eclose_collection_t *self, const bson_t *stored, const bson_t *changed, const bson_t *opts,
                 bson_t **written, bson_error_t *error)
{
   const bson_t *filter, *update, *replacement;
   eclose_save_t how;
   bool ok = false;

   *written = NULL;
   if (!are_of_a_save (self, opts, error) ||
       !eclose_upgrader_save (self->own, stored, changed, &how, &filter, &update, &replacement, error)) {
      return false;
   }
   if (how == ECLOSE_SAVE_STATEMENT) {
      if (!ask_collation (self, error)) {
         return false;
      }
      how = self->has_collation ? ECLOSE_SAVE_TRANSACTION : how;
   }
   switch (how) {
   case ECLOSE_SAVE_NOTHING:
      ok = true;
      break;
   case ECLOSE_SAVE_STATEMENT:
      ok = save_statement (self, filter, update, opts, error);
      break;
   case ECLOSE_SAVE_TRANSACTION:
      ok = save_transaction (self, stored, replacement, opts, error);
      break;
   }
   if (ok) {
      *written = bson_copy (replacement);
   }
   return ok;
}

/* Puts what is stored now, as the session sees it, into the caller's document. */
static bool
take_current (eclose_collection_t *self, eclose_document_t *document, bson_error_t *error)
{
   eclose_document_t *now = NULL;
   bson_t by_id;
   bool ok = ecl_client_by_id (document->stored, &by_id) && ecl_client_read (self, &by_id, self->session, &now, error);

   bson_destroy (&by_id);
   if (ok) {
      bson_destroy (document->stored);
      bson_destroy (document->current);
      document->stored = now ? now->stored : NULL;
      document->current = now ? now->current : NULL;
      bson_free (now);
   }
   return ok;
}

bool
eclose_collection_save (eclose_collection_t *self, eclose_document_t *document, const bson_t *changed,
                        const bson_t *opts, bson_error_t *error)
{
   bson_error_t cause = {0};
   bson_t *written;

   if (!document->stored) {
      return conflict (self, error);
   }
   ecl_client_look_up_in (self, opts);
   if (ecl_client_save (self, document->stored, changed, opts, &written, &cause)) {
      bson_destroy (document->stored);
      bson_destroy (document->current);
      document->stored = written;
      document->current = NULL;
      return true;
   }
   if (cause.domain == ECLOSE_ERROR_UPGRADE && cause.code == ECLOSE_CODE_CONFLICT &&
       !take_current (self, document, error)) {
      return false;
   }
   return ecl_client_fail (error, cause.domain, cause.code, "%s", cause.message);
}
