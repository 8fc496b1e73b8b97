/* find_and_modify on documents in the target's shape. See eclose/mongoc.h.
 *
 * The command itself only meets documents that are at the target: its filter says so. Where it meets none, the filter
 * is asked of all versions; what it finds is saved in the target's shape, and then modified by its _id. Whoever comes
 * between makes it start again.
 */
#include "client/client-private.h"

#include <string.h>

#define TRIES 20
#define DUPLICATE_KEY 11000

/* {$and: [a, b]} */
static void
both (const bson_t *a, const bson_t *b, bson_t *out)
{
   bson_t list;

   bson_init (out);
   BSON_APPEND_ARRAY_BEGIN (out, "$and", &list);
   BSON_APPEND_DOCUMENT (&list, "0", a);
   BSON_APPEND_DOCUMENT (&list, "1", b);
   bson_append_array_end (out, &list);
}

/* A copy of the caller's options in which a replacement is stamped. */
static mongoc_find_and_modify_opts_t *
copy_options (eclose_collection_t *self, const mongoc_find_and_modify_opts_t *opts, bool *sorted, bson_error_t *error)
{
   mongoc_find_and_modify_opts_t *copy = mongoc_find_and_modify_opts_new ();
   bson_t update, sort, extra, fields;
   const bson_t *stamped = &update;
   bson_iter_t iter;
   bool ok = true;

   mongoc_find_and_modify_opts_get_update (opts, &update);
   mongoc_find_and_modify_opts_get_sort (opts, &sort);
   mongoc_find_and_modify_opts_get_fields (opts, &fields);
   mongoc_find_and_modify_opts_get_extra (opts, &extra);
   *sorted = !bson_empty (&sort);
   if (!bson_empty (&fields) || bson_has_field (&extra, "fields")) {
      ok = ecl_client_fail (error, ECLOSE_ERROR_USAGE, ECLOSE_CODE_UNSUPPORTED,
                            "fields: a document that lacks fields cannot be upgraded");
   } else if (!(mongoc_find_and_modify_opts_get_flags (opts) & MONGOC_FIND_AND_MODIFY_REMOVE) &&
              bson_iter_init (&iter, &update) && bson_iter_next (&iter) && bson_iter_key (&iter)[0] != '$' &&
              !(strcmp (bson_iter_key (&iter), "0") == 0 && BSON_ITER_HOLDS_DOCUMENT (&iter))) {
      ok = eclose_upgrader_stamp (self->own, &update, &stamped, error);
   }
   if (ok) {
      mongoc_find_and_modify_opts_set_flags (copy, mongoc_find_and_modify_opts_get_flags (opts));
      mongoc_find_and_modify_opts_set_bypass_document_validation (
         copy, mongoc_find_and_modify_opts_get_bypass_document_validation (opts));
      if (mongoc_find_and_modify_opts_get_max_time_ms (opts)) {
         mongoc_find_and_modify_opts_set_max_time_ms (copy, mongoc_find_and_modify_opts_get_max_time_ms (opts));
      }
      if (!bson_empty (stamped)) {
         mongoc_find_and_modify_opts_set_update (copy, stamped);
      }
      if (*sorted) {
         mongoc_find_and_modify_opts_set_sort (copy, &sort);
      }
      if (!bson_empty (&extra)) {
         mongoc_find_and_modify_opts_append (copy, &extra);
      }
   } else {
      mongoc_find_and_modify_opts_destroy (copy);
      copy = NULL;
   }
   bson_destroy (&update);
   bson_destroy (&sort);
   bson_destroy (&extra);
   bson_destroy (&fields);
   return copy;
}

/* Those of the caller's further options that say how to find what is meant, now, and in which session. */
static void
copy_asking (const mongoc_find_and_modify_opts_t *opts, bson_t *asking, bson_t *session)
{
   bson_iter_t iter;
   bson_t extra;

   bson_init (asking);
   bson_init (session);
   mongoc_find_and_modify_opts_get_extra (opts, &extra);
   bson_iter_init (&iter, &extra);
   while (bson_iter_next (&iter)) {
      const char *name = bson_iter_key (&iter);
      bool is_session = strcmp (name, "sessionId") == 0;

      if (is_session || strcmp (name, "collation") == 0 || strcmp (name, "let") == 0 || strcmp (name, "comment") == 0) {
         bson_append_iter (asking, name, -1, &iter);
      }
      if (is_session) {
         bson_append_iter (session, name, -1, &iter);
      }
   }
   ecl_client_read_now (asking);
   bson_destroy (&extra);
}

/* Runs the command. *met: it found (or inserted) something, and *document is its value, upgraded. */
static bool
modify (eclose_collection_t *self, const bson_t *filter, const mongoc_find_and_modify_opts_t *opts, bool *met,
        bson_t *document, bson_error_t *error)
{
   bson_iter_t iter, sub;
   const uint8_t *bytes;
   const bson_t *current;
   bson_t reply, value;
   uint32_t len;
   bool ok;

   *met = false;
   ok = mongoc_collection_find_and_modify_with_opts (self->collection, filter, opts, &reply, error);
   if (ok && bson_iter_init (&iter, &reply) && bson_iter_find_descendant (&iter, "lastErrorObject.n", &sub)) {
      *met = bson_iter_as_int64 (&sub) > 0;
   }
   if (ok && bson_iter_init_find (&iter, &reply, "value") && BSON_ITER_HOLDS_DOCUMENT (&iter)) {
      bson_iter_document (&iter, &len, &bytes);
      *met = true;
      ok = bson_init_static (&value, bytes, len) && eclose_upgrader_run (self->own, &value, &current, error);
      if (ok) {
         bson_concat (document, current);
      }
   }
   bson_destroy (&reply);
   return ok;
}

/* What the filter finds first, in whatever version: {_id}. *found is false where there is nothing. */
static bool
look (eclose_collection_t *self, const bson_t *filter, const mongoc_find_and_modify_opts_t *opts, bool sorted,
      const bson_t *asking, bson_t *by_id, bool *found, bson_error_t *error)
{
   mongoc_read_prefs_t *primary = mongoc_read_prefs_new (MONGOC_READ_PRIMARY);
   bson_t options = BSON_INITIALIZER, sort;
   eclose_cursor_t *cursor;
   const bson_t *document;

   if (sorted) {
      mongoc_find_and_modify_opts_get_sort (opts, &sort);
      BSON_APPEND_DOCUMENT (&options, "sort", &sort);
      bson_destroy (&sort);
   }
   BSON_APPEND_INT64 (&options, "limit", 1);
   if (bson_count_keys (filter) == 1 && bson_has_field (filter, "_id")) {
      bson_concat (&options, asking);
      cursor = eclose_collection_find (self, filter, &options, primary); /* no version has another */
   } else {
      cursor = eclose_collection_query (self, filter, &options, asking, primary);
   }
   bson_init (by_id);
   *found = eclose_cursor_next (cursor, &document);
   if (*found) {
      bson_destroy (by_id);
      *found = ecl_client_by_id (document, by_id);
   }
   bool ok = !eclose_cursor_error (cursor, error);
   eclose_cursor_destroy (cursor);
   bson_destroy (&options);
   mongoc_read_prefs_destroy (primary);
   return ok;
}

/* Saves the document in the target's shape, where it is not in it. A conflict is no failure here: the caller looks
 * again. */
static bool
bring (eclose_collection_t *self, const bson_t *by_id, const bson_t *session, bson_error_t *error)
{
   eclose_document_t *document = NULL;
   bson_error_t cause = {0};
   bson_t *written = NULL;
   bool ok = ecl_client_read (self, by_id, session, &document, error);

   if (ok && document && document->current) {
      ok = ecl_client_save (self, document->stored, document->current, session, &written, &cause) ||
           cause.code == ECLOSE_CODE_CONFLICT;
      if (!ok) {
         ecl_client_fail (error, cause.domain, cause.code, "%s", cause.message);
      }
   }
   bson_destroy (written);
   eclose_document_destroy (document);
   return ok;
}

/* The upsert, when nothing was found: an equality with the target's version makes the new document say it. Where the
 * field is dotted so is the equality, beside others of the same parent. */
static bool
insert (eclose_collection_t *self, const bson_t *filter, const mongoc_find_and_modify_opts_t *opts, bson_t *document,
        bson_error_t *error)
{
   const char *field = eclose_project_version_field (self->project, self->name);
   bson_t nothing = BSON_INITIALIZER, equals = BSON_INITIALIZER, versioned;
   bson_iter_t iter, version;
   const bson_t *stamp;
   bool met, ok;

   ok = eclose_upgrader_stamp (self->own, &nothing, &stamp, error);
   if (ok) {
      if (bson_iter_init (&iter, stamp) && bson_iter_find_descendant (&iter, field, &version)) {
         bson_append_iter (&equals, field, -1, &version);
      }
      both (filter, &equals, &versioned);
      ok = modify (self, &versioned, opts, &met, document, error);
      bson_destroy (&versioned);
   }
   bson_destroy (&equals);
   bson_destroy (&nothing);
   return ok;
}

bool
eclose_collection_find_and_modify (eclose_collection_t *self, const bson_t *filter,
                                   const mongoc_find_and_modify_opts_t *opts, bson_t *document, bson_error_t *error)
{
   mongoc_find_and_modify_opts_t *mine, *quiet = NULL;
   bson_t current, here, by_id, both_ids, asking, session;
   bool sorted, met = false, found = true, ok, upsert, again;
   bson_error_t ignored;

   error = error ? error : &ignored;
   bson_init (document);
   mine = copy_options (self, opts, &sorted, error);
   if (!mine) {
      return false;
   }
   upsert = mongoc_find_and_modify_opts_get_flags (mine) & MONGOC_FIND_AND_MODIFY_UPSERT;
   quiet = copy_options (self, opts, &sorted, error);
   mongoc_find_and_modify_opts_set_flags (quiet, mongoc_find_and_modify_opts_get_flags (mine) &
                                                    ~(unsigned) MONGOC_FIND_AND_MODIFY_UPSERT);
   eclose_upgrader_current_filter (self->own, &current);
   both (filter, &current, &here);
   copy_asking (opts, &asking, &session);
   ecl_client_look_up_in (self, &session);
   /* What is inserted may have come meanwhile; for filters without a version the server would look again. An error ends
    * a transaction, though. */
   again = bson_empty (&session);
   /* With a sort the first one may be of any version: it has to be looked for. */
   ok = sorted || modify (self, &here, quiet, &met, document, error);
   for (int i = 0; ok && !met && (found || upsert); i++) {
      if (i == TRIES) {
         ok = ecl_client_fail (error, ECLOSE_ERROR_UPGRADE, ECLOSE_CODE_CONFLICT,
                               "%s: the document was changed by others each time it was to be modified", self->name);
         break;
      }
      ok = look (self, filter, opts, sorted, &asking, &by_id, &found, error);
      if (ok && found) {
         both (&by_id, &here, &both_ids);
         ok = bring (self, &by_id, &session, error) && modify (self, &both_ids, quiet, &met, document, error);
         bson_destroy (&both_ids);
      } else if (ok && upsert) {
         ok = met = insert (self, filter, mine, document, error);
         if (!ok && again && error->code == DUPLICATE_KEY) {
            ok = true;
            again = false;
         }
      }
      bson_destroy (&by_id);
   }
   bson_destroy (&asking);
   bson_destroy (&session);
   bson_destroy (&here);
   bson_destroy (&current);
   mongoc_find_and_modify_opts_destroy (quiet);
   mongoc_find_and_modify_opts_destroy (mine);
   return ok;
}
