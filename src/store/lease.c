/* The commands of a lease, and what their answers mean: see lease.h.
 *
 * Dates are compared as numbers ($toLong of both): there are servers that compare a stored date with $$NOW wrongly, and
 * some that refuse to add milliseconds to a date.
 */
#include "store/lease.h"

#include "bson/append.h"
#include "store/store.h"

#define NOW "{", "$toLong", BCON_UTF8 ("$$NOW"), "}"
#define EXPIRES "{", "$toLong", "{", "$ifNull", "[", BCON_UTF8 ("$expires"), BCON_DATE_TIME (0), "]", "}", "}"
#define EXPIRED "{", "$lte", "[", "{", "$add", "[", EXPIRES, BCON_INT64 (key->skew), "]", "}", NOW, "]", "}"
#define IN_TIME "{", "$toDate", "{", "$add", "[", NOW, BCON_INT64 (key->time), "]", "}", "}"

/* The sessions that are to be ended, with the present ones or without. What is too old to be in it has long ended. */
#define DOOMED(with)                                                                                                   \
   "{", "$slice", "[", "{", "$concatArrays", "[", "{", "$ifNull", "[", BCON_UTF8 ("$doomed"), "[", "]", "]", "}", "{", \
      "$ifNull", "[", BCON_UTF8 ((with) ? "$sessions" : "$$REMOVE"), "[", "]", "]", "}", "]", "}",                     \
      BCON_INT32 (-ECL_LEASE_DOOMED), "]", "}"

/* findAndModify by _id, and by token where there is one, with one stage that makes the new document. */
static void
begin (const ecl_lease_key_t *key, int64_t token, bool upsert, const bson_t *replacement, bson_t *command)
{
   bson_t query, update, stage;

   bson_init (command);
   BSON_APPEND_UTF8 (command, "findAndModify", key->collection);
   BSON_APPEND_DOCUMENT_BEGIN (command, "query", &query);
   ecl_append_value (&query, "_id", &key->id);
   if (token) {
      BSON_APPEND_INT64 (&query, "token", token);
   }
   bson_append_document_end (command, &query);
   BSON_APPEND_ARRAY_BEGIN (command, "update", &update);
   BSON_APPEND_DOCUMENT_BEGIN (&update, "0", &stage);
   bson_concat (&stage, replacement);
   bson_append_document_end (&update, &stage);
   bson_append_array_end (command, &update);
   BSON_APPEND_BOOL (command, "new", true);
   if (upsert) {
      BSON_APPEND_BOOL (command, "upsert", true);
   }
   ecl_store_write_concern (command);
}

static void
append_who (bson_t *out, const ecl_lease_holder_t *holder)
{
   bson_oid_t id;

   bson_oid_init_from_data (&id, holder->id);
   BSON_APPEND_OID (out, "id", &id);
   if (holder->who.host) {
      BSON_APPEND_UTF8 (out, "host", holder->who.host);
   }
   BSON_APPEND_INT64 (out, "pid", holder->who.pid);
   if (holder->who.place) {
      BSON_APPEND_UTF8 (out, "place", holder->who.place);
   }
   if (holder->who.user) {
      BSON_APPEND_UTF8 (out, "user", holder->who.user);
   }
   if (holder->who.release) {
      BSON_APPEND_UTF8 (out, "release", holder->who.release);
   }
}

static void
append_sessions (bson_t *out, const uint8_t (*ids)[16], size_t n, bool wrapped)
{
   char buffer[16];
   const char *name;

   for (size_t i = 0; i < n; i++) {
      bson_uint32_to_string ((uint32_t) i, &name, buffer, sizeof buffer);
      if (wrapped) {
         bson_t one;

         BSON_APPEND_DOCUMENT_BEGIN (out, name, &one);
         BSON_APPEND_BINARY (&one, "id", BSON_SUBTYPE_UUID, ids[i], 16);
         bson_append_document_end (out, &one);
      } else {
         BSON_APPEND_BINARY (out, name, BSON_SUBTYPE_UUID, ids[i], 16);
      }
   }
}

void
ecl_lease_ask (const ecl_lease_key_t *key, const ecl_lease_holder_t *holder, int64_t beat, bson_t *command)
{
   bson_t who = BSON_INITIALIZER, sessions = BSON_INITIALIZER, *stage;
   bson_oid_t id;

   bson_oid_init_from_data (&id, holder->id);
   append_who (&who, holder);
   append_sessions (&sessions, holder->sessions, holder->n_sessions, false);
   /* clang-format off */
   stage = BCON_NEW (
      "$replaceWith", "{", "$switch", "{", "branches", "[",
         "{", "case", "{", "$or", "[",
               "{", "$eq", "[", "{", "$ifNull", "[", BCON_UTF8 ("$holder"), BCON_NULL, "]", "}", BCON_NULL, "]", "}",
               EXPIRED,
            "]", "}",
            "then", "{", "$mergeObjects", "[", BCON_UTF8 ("$$ROOT"), "{",
               "token", "{", "$add", "[", "{", "$ifNull", "[", BCON_UTF8 ("$token"), BCON_INT64 (holder->first),
                  "]", "}", BCON_INT64 (1), "]", "}",
               "holder", "{", "$literal", BCON_DOCUMENT (&who), "}",
               "granted", BCON_UTF8 ("$$NOW"),
               "renewed", BCON_UTF8 ("$$NOW"),
               "expires", IN_TIME,
               "beat", "{", "$literal", BCON_INT64 (beat), "}",
               "sessions", "{", "$literal", BCON_ARRAY (&sessions), "}",
               "doomed", DOOMED (true),
            "}", "]", "}", "}",
         /* An answer was lost and this is asked again: the grant stands. */
         "{", "case", "{", "$and", "[",
               "{", "$eq", "[", BCON_UTF8 ("$holder.id"), BCON_OID (&id), "]", "}",
               "{", "$gt", "[", EXPIRES, NOW, "]", "}",
            "]", "}",
            "then", "{", "$mergeObjects", "[", BCON_UTF8 ("$$ROOT"), "{",
               "renewed", BCON_UTF8 ("$$NOW"),
               "expires", IN_TIME,
               "beat", "{", "$literal", BCON_INT64 (beat), "}",
            "}", "]", "}", "}",
         /* Likewise, but it has expired since: the beat is cleared, or the answer would look like the grant of then. */
         "{", "case", "{", "$eq", "[", BCON_UTF8 ("$holder.id"), BCON_OID (&id), "]", "}",
            "then", "{", "$mergeObjects", "[", BCON_UTF8 ("$$ROOT"), "{", "beat", "{", "$literal", BCON_INT64 (0), "}",
            "}", "]", "}", "}",
      "]", "default", BCON_UTF8 ("$$ROOT"), "}", "}");
   /* clang-format on */
   begin (key, 0, !key->existing, stage, command);
   bson_destroy (stage);
   bson_destroy (&who);
   bson_destroy (&sessions);
}

/* What is set along with the lease's own fields: literals, so that no text is read as a path. */
static void
literals (const bson_t *fields, bson_t *out)
{
   bson_iter_t iter;
   bson_t literal;

   bson_init (out);
   if (!fields || !bson_iter_init (&iter, fields)) {
      return;
   }
   while (bson_iter_next (&iter)) {
      BSON_APPEND_DOCUMENT_BEGIN (out, bson_iter_key (&iter), &literal);
      bson_append_iter (&literal, "$literal", -1, &iter);
      bson_append_document_end (out, &literal);
   }
}

void
ecl_lease_renew (const ecl_lease_key_t *key, int64_t token, int64_t beat, const bson_t *fields, bson_t *command)
{
   bson_t more;

   literals (fields, &more);
   /* clang-format off */
   bson_t *stage = BCON_NEW (
      "$replaceWith", "{", "$cond", "[",
         "{", "$gt", "[", EXPIRES, NOW, "]", "}",
         "{", "$mergeObjects", "[", BCON_UTF8 ("$$ROOT"), "{",
            "renewed", BCON_UTF8 ("$$NOW"),
            "expires", IN_TIME,
            "beat", "{", "$literal", BCON_INT64 (beat), "}",
         "}", BCON_DOCUMENT (&more), "]", "}",
         /* Too late. The same renewal may have been taken before, and its answer lost: this one must not look like
          * it. */
         "{", "$mergeObjects", "[", BCON_UTF8 ("$$ROOT"), "{", "beat", "{", "$literal", BCON_INT64 (0), "}", "}", "]", "}",
      "]", "}");
   /* clang-format on */

   begin (key, token, false, stage, command);
   bson_destroy (stage);
   bson_destroy (&more);
}

void
ecl_lease_free (const ecl_lease_key_t *key, int64_t token, bool doom, const bson_t *fields, bson_t *command)
{
   bson_t *lease =
      BCON_NEW ("holder", BCON_NULL, "sessions", "[", "]", "expires", BCON_UTF8 ("$$NOW"), "doomed", DOOMED (doom));
   bson_t more, set, stage = BSON_INITIALIZER;

   literals (fields, &more);
   BSON_APPEND_DOCUMENT_BEGIN (&stage, "$set", &set);
   bson_concat (&set, lease);
   bson_concat (&set, &more);
   bson_append_document_end (&stage, &set);
   begin (key, token, false, &stage, command);
   bson_destroy (&stage);
   bson_destroy (&more);
   bson_destroy (lease);
}

void
ecl_lease_raise (const ecl_lease_key_t *key, int64_t token, int64_t to, bson_t *command)
{
   bson_t *stage = BCON_NEW ("$set", "{", "token", "{", "$literal", BCON_INT64 (to), "}", "}");

   begin (key, token, false, stage, command);
   bson_destroy (stage);
}

void
ecl_lease_buried (const ecl_lease_key_t *key, int64_t token, bson_t *command)
{
   bson_t *stage = BCON_NEW ("$set", "{", "doomed", "[", "]", "}");

   begin (key, token, false, stage, command);
   bson_destroy (stage);
}

void
ecl_lease_break (const ecl_lease_key_t *key, int64_t token, bson_t *command)
{
   /* clang-format off */
   bson_t *stage = BCON_NEW (
      "$set", "{",
         "holder", BCON_NULL,
         "token", "{", "$add", "[", BCON_UTF8 ("$token"), BCON_INT64 (1), "]", "}",
         "sessions", "[", "]",
         "doomed", DOOMED (true),
      "}");
   /* clang-format on */

   begin (key, token, false, stage, command);
   bson_destroy (stage);
}

void
ecl_lease_find (const ecl_lease_key_t *key, bson_t *command)
{
   bson_t filter;

   bson_init (command);
   BSON_APPEND_UTF8 (command, "find", key->collection);
   BSON_APPEND_DOCUMENT_BEGIN (command, "filter", &filter);
   ecl_append_value (&filter, "_id", &key->id);
   bson_append_document_end (command, &filter);
   ecl_store_single_batch (1, command);
}

void
ecl_lease_find_expired (const ecl_lease_key_t *key, bson_t *command)
{
   bson_t match, pipeline, stage;
   bson_t *expr = BCON_NEW ("$expr", EXPIRED), *doomed = BCON_NEW ("$set", "{", "doomed", DOOMED (true), "}");

   bson_init (command);
   BSON_APPEND_UTF8 (command, "aggregate", key->collection);
   BSON_APPEND_ARRAY_BEGIN (command, "pipeline", &pipeline);
   BSON_APPEND_DOCUMENT_BEGIN (&pipeline, "0", &stage);
   BSON_APPEND_DOCUMENT_BEGIN (&stage, "$match", &match);
   ecl_append_value (&match, "_id", &key->id);
   bson_concat (&match, expr);
   bson_append_document_end (&stage, &match);
   bson_append_document_end (&pipeline, &stage);
   BSON_APPEND_DOCUMENT (&pipeline, "1", doomed);
   bson_append_array_end (command, &pipeline);
   ecl_store_cursor (0, command);
   ecl_store_read_concern (command);
   bson_destroy (expr);
   bson_destroy (doomed);
}

void
ecl_lease_kill (const ecl_lease_t *lease, bson_t *command)
{
   bson_t list;

   bson_init (command);
   BSON_APPEND_ARRAY_BEGIN (command, "killSessions", &list);
   append_sessions (&list, lease->doomed, lease->n_doomed, true);
   bson_append_array_end (command, &list);
}

/* ---- answers ---- */

static void
read_holder (const bson_iter_t *at, ecl_lease_t *out)
{
   bson_iter_t iter;
   bson_t holder;

   if (!ecl_store_view (at, &holder)) {
      return;
   }
   out->held = true;
   if (bson_iter_init_find (&iter, &holder, "id") && BSON_ITER_HOLDS_OID (&iter)) {
      memcpy (out->id, bson_iter_oid (&iter)->bytes, sizeof out->id);
   }
   ecl_store_read_text (&holder, "host", out->host, sizeof out->host);
   ecl_store_read_text (&holder, "user", out->user, sizeof out->user);
   ecl_store_read_text (&holder, "release", out->release, sizeof out->release);
   ecl_store_read_text (&holder, "place", out->place, sizeof out->place);
   out->pid = ecl_store_number (&holder, "pid");
}

static void
read_doomed (const bson_iter_t *at, ecl_lease_t *out)
{
   bson_subtype_t subtype;
   const uint8_t *data;
   bson_iter_t iter;
   uint32_t len;

   if (!bson_iter_recurse (at, &iter)) {
      return;
   }
   while (bson_iter_next (&iter) && out->n_doomed < ECL_LEASE_DOOMED) {
      if (BSON_ITER_HOLDS_BINARY (&iter)) {
         bson_iter_binary (&iter, &subtype, &len, &data);
         if (len == 16) {
            memcpy (out->doomed[out->n_doomed++], data, 16);
         }
      }
   }
}

static bool
find_document (const bson_t *reply, bson_t *document)
{
   bson_iter_t iter;

   return bson_iter_init_find (&iter, reply, "value") ? ecl_store_view (&iter, document)
                                                      : ecl_store_first (reply, document);
}

bool
ecl_lease_read (const bson_t *reply, bool *found, ecl_lease_t *out, bson_error_t *error)
{
   bson_t document;
   bson_iter_t iter;

   memset (out, 0, sizeof *out);
   *found = find_document (reply, &document);
   if (!*found) {
      return true;
   }
   if (!bson_iter_init_find (&iter, &document, "token") || !BSON_ITER_HOLDS_NUMBER (&iter)) {
      return ecl_fail (error, ECL_DOMAIN_STORE, ECL_ERROR_INVALID, "what is stored is no lease: it has no token");
   }
   out->token = bson_iter_as_int64 (&iter);
   if (bson_iter_init_find (&iter, &document, "holder")) {
      read_holder (&iter, out);
   }
   out->granted = ecl_store_number (&document, "granted");
   out->renewed = ecl_store_number (&document, "renewed");
   out->expires = ecl_store_number (&document, "expires");
   out->beat = ecl_store_number (&document, "beat");
   if (bson_iter_init_find (&iter, &document, "doomed") && BSON_ITER_HOLDS_ARRAY (&iter)) {
      read_doomed (&iter, out);
   }
   return true;
}
