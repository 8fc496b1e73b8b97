/* The commands of ranges, and what their answers mean: see chunks.h. */
#include "store/chunks.h"

#include "bson/append.h"
#include "bson/cursor.h"
#include "store/store.h"

#include <math.h>

static const char *const state_names[] = {"open", "carried", "done"};

const char *
ecl_chunk_state_name (ecl_chunk_state_t state)
{
   return state_names[state];
}

/* ---- ranges ---- */

/* What $type calls each bracket. */
static const struct {
   ecl_ids_t bracket;
   const char *names[6];
} type_names[] = {
   {ECL_IDS_MINKEY, {"minKey"}},
   {ECL_IDS_NULL, {"null", "undefined"}},
   {ECL_IDS_NUMBER, {"number"}},
   {ECL_IDS_STRING, {"string", "symbol"}},
   {ECL_IDS_OBJECT, {"object"}},
   {ECL_IDS_BINARY, {"binData"}},
   {ECL_IDS_OID, {"objectId"}},
   {ECL_IDS_BOOL, {"bool"}},
   {ECL_IDS_DATE, {"date"}},
   {ECL_IDS_TIMESTAMP, {"timestamp"}},
   {ECL_IDS_OTHER, {"dbPointer", "javascript", "javascriptWithScope", "regex"}},
   {ECL_IDS_MAXKEY, {"maxKey"}},
};

#define N_TYPES (sizeof type_names / sizeof type_names[0])

ecl_ids_t
ecl_ids_of (const ecl_value_t *id)
{
   switch (id->type) {
   case BSON_TYPE_MINKEY:
      return ECL_IDS_MINKEY;
   case BSON_TYPE_NULL:
   case BSON_TYPE_UNDEFINED:
   case ECL_MISSING:
      return ECL_IDS_NULL;
   case BSON_TYPE_DOUBLE:
      return isnan (id->u.f64) ? ECL_IDS_NAN : ECL_IDS_NUMBER;
   case BSON_TYPE_DECIMAL128:
      /* NaN: the five bits behind the sign are ones. */
      return (id->u.raw[15] & 0x7C) == 0x7C ? ECL_IDS_NAN : ECL_IDS_NUMBER;
   case BSON_TYPE_INT32:
   case BSON_TYPE_INT64:
      return ECL_IDS_NUMBER;
   case BSON_TYPE_UTF8:
   case BSON_TYPE_SYMBOL:
      return ECL_IDS_STRING;
   case BSON_TYPE_DOCUMENT:
      return ECL_IDS_OBJECT;
   case BSON_TYPE_BINARY:
      return ECL_IDS_BINARY;
   case BSON_TYPE_OID:
      return ECL_IDS_OID;
   case BSON_TYPE_BOOL:
      return ECL_IDS_BOOL;
   case BSON_TYPE_DATE_TIME:
      return ECL_IDS_DATE;
   case BSON_TYPE_TIMESTAMP:
      return ECL_IDS_TIMESTAMP;
   case BSON_TYPE_MAXKEY:
      return ECL_IDS_MAXKEY;
   default:
      return ECL_IDS_OTHER;
   }
}

/* {_id: {op: value}}; and {_id: {$gt: …, $lte: …}}, of which either may be missing. */
static void
append_branch (bson_t *list, uint32_t *n, const char *op, const ecl_value_t *value, const ecl_value_t *upto)
{
   char buffer[16];
   const char *key;
   bson_t branch, id;

   bson_uint32_to_string ((*n)++, &key, buffer, sizeof buffer);
   BSON_APPEND_DOCUMENT_BEGIN (list, key, &branch);
   BSON_APPEND_DOCUMENT_BEGIN (&branch, "_id", &id);
   ecl_append_value (&id, op, value);
   ecl_append_value (&id, "$lte", upto);
   bson_append_document_end (&branch, &id);
   bson_append_document_end (list, &branch);
}

/* {_id: {$type: [names]}}. The server takes NaN for a number: where only one of the two is meant, the branches beside
 * this one tell them apart. */
static void
append_types (bson_t *list, uint32_t *n, unsigned types)
{
   char buffer[16];
   const char *key;
   bson_t branch, id, names;
   uint32_t at = 0;

   bson_uint32_to_string ((*n)++, &key, buffer, sizeof buffer);
   BSON_APPEND_DOCUMENT_BEGIN (list, key, &branch);
   BSON_APPEND_DOCUMENT_BEGIN (&branch, "_id", &id);
   BSON_APPEND_ARRAY_BEGIN (&id, "$type", &names);
   for (size_t i = 0; i < N_TYPES; i++) {
      for (size_t k = 0; (types & type_names[i].bracket) && type_names[i].names[k]; k++) {
         bson_uint32_to_string (at++, &key, buffer, sizeof buffer);
         BSON_APPEND_UTF8 (&names, key, type_names[i].names[k]);
      }
   }
   bson_append_array_end (&id, &names);
   bson_append_document_end (&branch, &id);
   bson_append_document_end (list, &branch);
}

/* Of the brackets in types those that sort behind the bracket of an _id. */
static unsigned
behind (unsigned types, ecl_ids_t bracket)
{
   return types & ~(((unsigned) bracket << 1) - 1);
}

/* The same in front of it. */
static unsigned
before (unsigned types, ecl_ids_t bracket)
{
   return types & ((unsigned) bracket - 1);
}

/* Brackets of several types, which no comparison takes together, or of one value. */
static bool
has_order (ecl_ids_t bracket)
{
   return bracket != ECL_IDS_NULL && bracket != ECL_IDS_OTHER && bracket != ECL_IDS_NAN && bracket != ECL_IDS_MINKEY &&
          bracket != ECL_IDS_MAXKEY;
}

void
ecl_chunk_filter (const ecl_chunk_range_t *range, const ecl_value_t *after, const ecl_value_t *end, bson_t *filter)
{
   bool bounded = !ecl_is_missing (&range->above) || !ecl_is_missing (&range->upto);
   unsigned types = range->types, all;
   ecl_value_t nan = ecl_double ((double) NAN), none = ecl_missing ();
   bson_t list, id;
   uint32_t n = 0;

   bson_init (filter);
   if (bounded) {
      BSON_APPEND_DOCUMENT_BEGIN (filter, "_id", &id);
      /* No comparison matches more than its own bracket. */
      ecl_append_value (&id, "$gt", ecl_is_missing (after) ? &range->above : after);
      ecl_append_value (&id, "$lte", ecl_is_missing (end) ? &range->upto : end);
      bson_append_document_end (filter, &id);
      return;
   }
   if (types == ECL_IDS_ALL && ecl_is_missing (after) && ecl_is_missing (end)) {
      return;
   }
   BSON_APPEND_ARRAY_BEGIN (filter, "$or", &list);
   if (!ecl_is_missing (after)) {
      ecl_ids_t bracket = ecl_ids_of (after);
      bool same = !ecl_is_missing (end) && ecl_ids_of (end) == bracket;

      types = behind (types, bracket);
      if (bracket == ECL_IDS_NULL || bracket == ECL_IDS_OTHER) {
         types |= range->types & bracket; /* these have several types in them: again from the beginning */
      } else if (has_order (bracket)) {
         append_branch (&list, &n, "$gt", after, same ? end : &none);
      }
   }
   if (!ecl_is_missing (end)) {
      ecl_ids_t bracket = ecl_ids_of (end);

      all = types;
      types = before (types, bracket);
      if (!has_order (bracket)) {
         types |= all & bracket;
      } else if (all & bracket) {
         append_branch (&list, &n, "$lte", end, &none);
      }
   }
   if ((types & ECL_IDS_NAN) && !(types & ECL_IDS_NUMBER)) {
      append_branch (&list, &n, "$eq", &nan, &none);
   }
   if (types & ~(unsigned) ECL_IDS_NAN) {
      append_types (&list, &n, types & ~(unsigned) ECL_IDS_NAN);
   }
   if (n == 0) {
      ecl_value_t empty = ecl_vec (NULL, 0);

      append_branch (&list, &n, "$in", &empty, &none);
   }
   bson_append_array_end (filter, &list);
}

void
ecl_chunk_find_nth (const ecl_chunk_range_t *range, const ecl_value_t *after, const char *collection, int64_t n,
                    bson_t *command)
{
   static const char *const by_id[] = {"projection", "sort", "hint"};
   size_t n_by_id = range->types & ECL_IDS_BINARY ? 3 : 2; /* else no index but that of _id is of use */
   ecl_value_t none = ecl_missing ();
   bson_t filter, child;

   ecl_chunk_filter (range, after, &none, &filter);
   bson_init (command);
   BSON_APPEND_UTF8 (command, "find", collection);
   BSON_APPEND_DOCUMENT (command, "filter", &filter);
   for (size_t i = 0; i < n_by_id; i++) {
      BSON_APPEND_DOCUMENT_BEGIN (command, by_id[i], &child);
      BSON_APPEND_INT32 (&child, "_id", 1);
      bson_append_document_end (command, &child);
   }
   BSON_APPEND_INT64 (command, "skip", n - 1);
   BSON_APPEND_INT64 (command, "limit", 1);
   BSON_APPEND_BOOL (command, "singleBatch", true);
   bson_destroy (&filter);
}

/* ---- commands ---- */

void
ecl_chunk_id (const uint8_t job[12], int32_t n, char id[ECL_CHUNK_ID])
{
   char hex[25];
   bson_oid_t oid;

   bson_oid_init_from_data (&oid, job);
   bson_oid_to_string (&oid, hex);
   bson_snprintf (id, ECL_CHUNK_ID, "%s/%07d", hex, n);
}

/* {_id: {$gte: "<job>/", $lt: "<job>0"}}: text compares byte by byte, and 0 comes behind /. */
static void
append_job (bson_t *filter, const uint8_t job[12])
{
   char hex[25], bound[32];
   bson_oid_t oid;
   bson_t id;

   bson_oid_init_from_data (&oid, job);
   bson_oid_to_string (&oid, hex);
   BSON_APPEND_DOCUMENT_BEGIN (filter, "_id", &id);
   bson_snprintf (bound, sizeof bound, "%s/", hex);
   BSON_APPEND_UTF8 (&id, "$gte", bound);
   bson_snprintf (bound, sizeof bound, "%s0", hex);
   BSON_APPEND_UTF8 (&id, "$lt", bound);
   bson_append_document_end (filter, &id);
}

static void
append_range (bson_t *to, const ecl_chunk_range_t *range)
{
   bson_t child;

   BSON_APPEND_DOCUMENT_BEGIN (to, "range", &child);
   BSON_APPEND_INT32 (&child, "types", (int32_t) range->types);
   ecl_append_value (&child, "above", &range->above);
   ecl_append_value (&child, "upto", &range->upto);
   bson_append_document_end (to, &child);
}

void
ecl_chunks_insert (const uint8_t job[12], const ecl_chunk_range_t *ranges, int32_t first, int32_t n, int64_t documents,
                   bson_t *command)
{
   bson_t updates, one, query, u, record;
   char id[ECL_CHUNK_ID], buffer[16];
   const char *key;
   bson_oid_t oid;

   bson_oid_init_from_data (&oid, job);
   bson_init (command);
   BSON_APPEND_UTF8 (command, "update", ECL_STORE_CHUNKS);
   BSON_APPEND_BOOL (command, "ordered", false);
   ecl_store_write_concern (command);
   BSON_APPEND_ARRAY_BEGIN (command, "updates", &updates);
   for (int32_t i = 0; i < n; i++) {
      ecl_chunk_id (job, first + i, id);
      bson_uint32_to_string ((uint32_t) i, &key, buffer, sizeof buffer);
      BSON_APPEND_DOCUMENT_BEGIN (&updates, key, &one);
      BSON_APPEND_DOCUMENT_BEGIN (&one, "q", &query);
      BSON_APPEND_UTF8 (&query, "_id", id);
      bson_append_document_end (&one, &query);
      BSON_APPEND_DOCUMENT_BEGIN (&one, "u", &u);
      BSON_APPEND_DOCUMENT_BEGIN (&u, "$setOnInsert", &record);
      BSON_APPEND_OID (&record, "job", &oid);
      BSON_APPEND_INT32 (&record, "n", first + i);
      append_range (&record, &ranges[i]);
      BSON_APPEND_INT64 (&record, "documents", documents);
      BSON_APPEND_UTF8 (&record, "state", state_names[ECL_CHUNK_OPEN]);
      BSON_APPEND_INT64 (&record, "token", 0);
      BSON_APPEND_NULL (&record, "holder");
      bson_append_document_end (&u, &record);
      bson_append_document_end (&one, &u);
      BSON_APPEND_BOOL (&one, "upsert", true);
      bson_append_document_end (&updates, &one);
   }
   bson_append_array_end (command, &updates);
}

void
ecl_chunks_find (const uint8_t job[12], ecl_chunk_state_t state, int32_t limit, bson_t *command)
{
   bson_t filter, sort;

   bson_init (command);
   BSON_APPEND_UTF8 (command, "find", ECL_STORE_CHUNKS);
   BSON_APPEND_DOCUMENT_BEGIN (command, "filter", &filter);
   append_job (&filter, job);
   BSON_APPEND_UTF8 (&filter, "state", state_names[state]);
   bson_append_document_end (command, &filter);
   BSON_APPEND_DOCUMENT_BEGIN (command, "sort", &sort);
   BSON_APPEND_INT32 (&sort, "holder.id", 1); /* null before any */
   BSON_APPEND_INT32 (&sort, "_id", 1);
   bson_append_document_end (command, &sort);
   ecl_store_single_batch (limit, command);
}

void
ecl_chunk_find (const char *id, bson_t *command)
{
   bson_t filter;

   bson_init (command);
   BSON_APPEND_UTF8 (command, "find", ECL_STORE_CHUNKS);
   BSON_APPEND_DOCUMENT_BEGIN (command, "filter", &filter);
   BSON_APPEND_UTF8 (&filter, "_id", id);
   bson_append_document_end (command, &filter);
   ecl_store_single_batch (1, command);
}

void
ecl_chunks_held (const uint8_t job[12], bson_t *command)
{
   bson_t pipeline, stage, match, holder, set, left, list, part;

   bson_init (command);
   BSON_APPEND_UTF8 (command, "aggregate", ECL_STORE_CHUNKS);
   BSON_APPEND_ARRAY_BEGIN (command, "pipeline", &pipeline);
   BSON_APPEND_DOCUMENT_BEGIN (&pipeline, "0", &stage);
   BSON_APPEND_DOCUMENT_BEGIN (&stage, "$match", &match);
   append_job (&match, job);
   BSON_APPEND_DOCUMENT_BEGIN (&match, "holder", &holder);
   BSON_APPEND_NULL (&holder, "$ne");
   bson_append_document_end (&match, &holder);
   bson_append_document_end (&stage, &match);
   bson_append_document_end (&pipeline, &stage);
   BSON_APPEND_DOCUMENT_BEGIN (&pipeline, "1", &stage);
   BSON_APPEND_DOCUMENT_BEGIN (&stage, "$set", &set);
   BSON_APPEND_DOCUMENT_BEGIN (&set, "left", &left);
   BSON_APPEND_ARRAY_BEGIN (&left, "$subtract", &list);
   BSON_APPEND_DOCUMENT_BEGIN (&list, "0", &part);
   BSON_APPEND_UTF8 (&part, "$toLong", "$expires");
   bson_append_document_end (&list, &part);
   BSON_APPEND_DOCUMENT_BEGIN (&list, "1", &part);
   BSON_APPEND_UTF8 (&part, "$toLong", "$$NOW");
   bson_append_document_end (&list, &part);
   bson_append_array_end (&left, &list);
   bson_append_document_end (&set, &left);
   bson_append_document_end (&stage, &set);
   bson_append_document_end (&pipeline, &stage);
   bson_append_array_end (command, &pipeline);
   ecl_store_cursor (1000, command);
   ecl_store_read_concern (command);
}

static void
append_sum (bson_t *group, const char *name, const char *path)
{
   bson_t sum;

   BSON_APPEND_DOCUMENT_BEGIN (group, name, &sum);
   if (path) {
      BSON_APPEND_UTF8 (&sum, "$sum", path);
   } else {
      BSON_APPEND_INT32 (&sum, "$sum", 1);
   }
   bson_append_document_end (group, &sum);
}

void
ecl_chunks_sum (const uint8_t job[12], bson_t *command)
{
   static const char *const counts[] = {"seen",         "changed",     "pushed", "conflicts",
                                        "transactions", "quarantined", "redone"};
   bson_t pipeline, stage, match, group;
   char path[32];

   bson_init (command);
   BSON_APPEND_UTF8 (command, "aggregate", ECL_STORE_CHUNKS);
   BSON_APPEND_ARRAY_BEGIN (command, "pipeline", &pipeline);
   BSON_APPEND_DOCUMENT_BEGIN (&pipeline, "0", &stage);
   BSON_APPEND_DOCUMENT_BEGIN (&stage, "$match", &match);
   append_job (&match, job);
   bson_append_document_end (&stage, &match);
   bson_append_document_end (&pipeline, &stage);
   BSON_APPEND_DOCUMENT_BEGIN (&pipeline, "1", &stage);
   BSON_APPEND_DOCUMENT_BEGIN (&stage, "$group", &group);
   BSON_APPEND_UTF8 (&group, "_id", "$state");
   append_sum (&group, "n", NULL);
   append_sum (&group, "documents", "$documents");
   for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
      bson_snprintf (path, sizeof path, "$counts.%s", counts[i]);
      append_sum (&group, counts[i], path);
   }
   bson_append_document_end (&stage, &group);
   bson_append_document_end (&pipeline, &stage);
   bson_append_array_end (command, &pipeline);
   ecl_store_cursor (0, command);
   ecl_store_read_concern (command);
}

void
ecl_chunks_remove (const uint8_t job[12], bson_t *command)
{
   bson_t deletes, one, query;

   bson_init (command);
   BSON_APPEND_UTF8 (command, "delete", ECL_STORE_CHUNKS);
   ecl_store_write_concern (command);
   BSON_APPEND_ARRAY_BEGIN (command, "deletes", &deletes);
   BSON_APPEND_DOCUMENT_BEGIN (&deletes, "0", &one);
   BSON_APPEND_DOCUMENT_BEGIN (&one, "q", &query);
   append_job (&query, job);
   bson_append_document_end (&one, &query);
   BSON_APPEND_INT32 (&one, "limit", 0);
   bson_append_document_end (&deletes, &one);
   bson_append_array_end (command, &deletes);
}

void
ecl_chunk_fields (const ecl_chunk_progress_t *progress, bson_t *fields)
{
   bson_t child;

   bson_init (fields);
   BSON_APPEND_UTF8 (fields, "state", state_names[progress->state]);
   BSON_APPEND_DOCUMENT_BEGIN (fields, "after", &child);
   ecl_append_value (&child, "id", &progress->after);
   bson_append_document_end (fields, &child);
   BSON_APPEND_DOCUMENT_BEGIN (fields, "counts", &child);
   ecl_job_append_counts (&child, &progress->counts);
   bson_append_document_end (fields, &child);
   BSON_APPEND_DOUBLE (fields, "rate", progress->rate);
   BSON_APPEND_UTF8 (fields, "slowed", progress->slowed ? progress->slowed : "");
}

/* ---- answers ---- */

static ecl_value_t
get (const ecl_value_t *document, const char *key)
{
   return document->type == BSON_TYPE_DOCUMENT ? ecl_document_get (document, key, strlen (key)) : ecl_missing ();
}

static int
read_state (const char *text)
{
   for (int i = 0; i < ECL_CHUNK_STATES; i++) {
      if (strcmp (text, state_names[i]) == 0) {
         return i;
      }
   }
   return -1;
}

static void
read_holder (const bson_t *document, ecl_chunk_row_t *out)
{
   bson_iter_t iter;
   bson_t holder;

   if (!bson_iter_init_find (&iter, document, "holder") || !ecl_store_view (&iter, &holder)) {
      return;
   }
   out->held = true;
   out->token = ecl_store_number (document, "token");
   out->pid = ecl_store_number (&holder, "pid");
   ecl_store_read_text (&holder, "place", out->place, sizeof out->place);
   ecl_store_read_text (&holder, "host", out->host, sizeof out->host);
}

/* Of a later version, or changed by hand. */
static bool
no_range (const char *id, const char *field, const char *expected, const ecl_value_t *value, bson_error_t *error)
{
   return ecl_fail (error, ECL_DOMAIN_STORE, ECL_ERROR_INVALID,
                    "what is stored in " ECL_STORE_CHUNKS " as \"%s\" is no range of this version of eclose: `%s` is "
                    "to be %s (found: %s)",
                    id, field, expected, ecl_type_name (value->type));
}

bool
ecl_chunk_read (const bson_t *document, ecl_chunk_row_t *out, bson_error_t *error)
{
   ecl_value_t root, id, range, after, types, name;
   bson_iter_t iter;
   int state = -1;
   bson_t counts;

   memset (out, 0, sizeof *out);
   if (!ecl_bson_validate (bson_get_data (document), document->len, error)) {
      return false;
   }
   root = ecl_raw_document (bson_get_data (document), document->len);
   id = get (&root, "_id");
   name = get (&root, "state");
   range = get (&root, "range");
   types = get (&range, "types");
   if (id.type != BSON_TYPE_UTF8) {
      return no_range ("?", "_id", "a string", &id, error);
   }
   bson_strncpy (out->id, id.u.str, sizeof out->id);
   out->n = (int32_t) ecl_store_number (document, "n");
   out->documents = ecl_store_number (document, "documents");
   out->left = ecl_store_number (document, "left");
   read_holder (document, out);
   if (bson_iter_init_find (&iter, document, "state") && BSON_ITER_HOLDS_UTF8 (&iter)) {
      state = read_state (bson_iter_utf8 (&iter, NULL));
   }
   if (state < 0) {
      return no_range (out->id, "state", "open, carried or done", &name, error);
   }
   if (range.type != BSON_TYPE_DOCUMENT) {
      return no_range (out->id, "range", "an object", &range, error);
   }
   if (types.type != BSON_TYPE_INT32 || types.u.i64 <= 0 || types.u.i64 > ECL_IDS_ALL) {
      return no_range (out->id, "range.types", "an int with the types of _id", &types, error);
   }
   out->state = (ecl_chunk_state_t) state;
   out->range.types = (unsigned) types.u.i64;
   out->range.above = get (&range, "above");
   out->range.upto = get (&range, "upto");
   after = get (&root, "after");
   out->after = get (&after, "id");
   if (bson_iter_init_find (&iter, document, "counts") && ecl_store_view (&iter, &counts)) {
      ecl_job_read_counts (&counts, &out->counts);
   }
   if (bson_iter_init_find (&iter, document, "rate") && BSON_ITER_HOLDS_NUMBER (&iter)) {
      out->rate = bson_iter_as_double (&iter);
   }
   ecl_store_read_text (document, "slowed", out->slowed, sizeof out->slowed);
   return true;
}

bool
ecl_chunks_read_sum (const bson_t *reply, ecl_chunks_sum_t *out, bson_error_t *error)
{
   bson_iter_t iter, batch, id;
   ecl_job_counts_t counts;
   bson_t row;
   int state;

   memset (out, 0, sizeof *out);
   if (!bson_iter_init (&iter, reply) || !bson_iter_find_descendant (&iter, "cursor.firstBatch", &batch) ||
       !BSON_ITER_HOLDS_ARRAY (&batch) || !bson_iter_recurse (&batch, &iter)) {
      return ecl_fail (error, ECL_DOMAIN_STORE, ECL_ERROR_SERVER, "the server's reply holds no cursor");
   }
   while (bson_iter_next (&iter)) {
      if (!ecl_store_view (&iter, &row) || !bson_iter_init_find (&id, &row, "_id") || !BSON_ITER_HOLDS_UTF8 (&id) ||
          (state = read_state (bson_iter_utf8 (&id, NULL))) < 0) {
         continue;
      }
      ecl_job_read_counts (&row, &counts);
      out->n[state] = ecl_store_number (&row, "n");
      out->documents[state] = ecl_store_number (&row, "documents");
      out->changed[state] = counts.changed;
      ecl_job_add_counts (&out->counts, &counts);
   }
   return true;
}
