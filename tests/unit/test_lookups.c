/* What batches look up: one query for each collection and field, lost and repeated, in parts where it is too much. */
#include "backfill_check.h"

#include "run/lookups.h"

#define CONFIG "database: shop\nunversioned: 0\n"
#define DEVICES                                                                         \
   "to: 1\nup:\n"                                                                       \
   "  - $lookup: {from: products, localField: product, foreignField: _id, as: found}\n" \
   "  - $set: {tags: {$first: $found.labels}}\n"                                        \
   "  - $unset: found\n"
#define BY_SKU "to: 1\nup: [{$lookup: {from: products, localField: sku, foreignField: sku, as: found}}]\n"
#define PRODUCTS "to: 1\nup: [{$set: {labels: $label, sku: $code}}, {$unset: [label, code]}]\n"
#define MAKERS "to: 1\nup: [{$lookup: {from: makers, localField: maker, foreignField: _id, as: maker}}]\n"

#define OK "{\"ok\": 1, \"n\": 1, \"nModified\": 1}"

typedef struct {
   ecl_project_t *project;
   ecl_upgrades_t *upgrades;
   ecl_upgrader_t *upgrader;
   ecl_lookups_t *lookups;
} bench_t;

static bench_t
bench_new (const char *devices, const char *products)
{
   const file_t files[] = {{"devices/0001_a.yaml", devices}, {"products/0001_b.yaml", products}, {0}};
   bench_t self = {.project = load_good (CONFIG, files)};
   bson_error_t error;

   self.upgrades = ecl_upgrades_new (self.project);
   self.upgrader = ecl_upgrader_new (self.upgrades, ecl_project_chain (self.project, "devices"), 1, &error);
   assert_non_null (self.upgrader);
   self.lookups = ecl_lookups_new (self.upgrades, self.upgrader);
   return self;
}

static void
bench_destroy (bench_t *self)
{
   ecl_upgrader_destroy (self->upgrader);
   ecl_lookups_destroy (self->lookups);
   ecl_upgrades_destroy (self->upgrades);
   ecl_project_destroy (self->project);
}

/* A collection of n devices with product i % products, as the items of a batch. */
static ecl_value_t *
devices (uint32_t n, uint32_t products, bson_t ***keep)
{
   ecl_value_t *items = bson_malloc (n * sizeof *items);

   *keep = bson_malloc (n * sizeof (**keep));
   for (uint32_t i = 0; i < n; i++) {
      (*keep)[i] = BCON_NEW ("_id", BCON_INT32 ((int32_t) i), "product", BCON_INT32 ((int32_t) (i % products)));
      items[i] = ecl_raw_document (bson_get_data ((*keep)[i]), (*keep)[i]->len);
   }
   return items;
}

static void
drop (uint32_t n, ecl_value_t *items, bson_t **keep)
{
   for (uint32_t i = 0; i < n; i++) {
      bson_destroy (keep[i]);
   }
   bson_free (keep);
   bson_free (items);
}

/* The command that is asked for, as text. */
static char *
command_of (ecl_lookups_t *lookups)
{
   bson_t command;
   char *text;

   ecl_lookups_command (lookups, &command);
   text = bson_as_relaxed_extended_json (&command, NULL);
   bson_destroy (&command);
   return text;
}

static void
expect (ecl_lookups_t *lookups, const char *part)
{
   char *text = command_of (lookups);

   if (!strstr (text, part)) {
      fail_msg ("%s\nis not in\n%s", part, text);
   }
   bson_free (text);
}

static void
reply (ecl_lookups_t *lookups, const char *json)
{
   bson_error_t error;
   bson_t parsed;

   assert_true (bson_init_from_json (&parsed, json, -1, &error));
   assert_true (ecl_lookups_reply (lookups, &parsed, &error));
   bson_destroy (&parsed);
}

static void
runs_to (bench_t *bench, const ecl_value_t *item, const char *expected)
{
   const uint8_t *out;
   bson_error_t error;
   char *text;
   bson_t view;
   size_t len;

   if (!ecl_upgrader_run (bench->upgrader, item->u.raw, item->len, &out, &len, NULL, &error)) {
      fail_msg ("%s", error.message);
   }
   assert_true (bson_init_static (&view, out, len));
   text = bson_as_relaxed_extended_json (&view, NULL);
   assert_string_equal (text, expected);
   bson_free (text);
}

/* ---- the queries ---- */

static void
test_a_thousand_documents_are_one_query (void **state)
{
   bench_t bench = bench_new (DEVICES, PRODUCTS);
   bson_error_t error;
   ecl_value_t *items;
   bson_t **keep;
   int queries = 0;

   (void) state;
   items = devices (1000, 3, &keep);
   ecl_lookups_batch (bench.lookups, items, 1000);
   for (uint32_t i = 0; i < 1000; i++) {
      ecl_lookups_need_t need;

      while ((need = ecl_lookups_need (bench.lookups, i, &error)) == ECL_LOOKUPS_COMMAND) {
         queries++;
         expect (bench.lookups, "{ \"find\" : \"products\", \"filter\" : { \"_id\" : { \"$in\" : [ ");
         expect (bench.lookups, "\"readConcern\" : { \"level\" : \"majority\" }");
         reply (bench.lookups, DOCS ("{\"_id\": 0, \"label\": \"old\"}, "
                                     "{\"_id\": 1, \"labels\": \"new\", \"schema_version\": 1}"));
      }
      assert_int_equal (need, ECL_LOOKUPS_READY);
      assert_int_equal (ecl_lookups_until (bench.lookups), 1000);
   }
   assert_int_equal (queries, 1);
   runs_to (&bench, &items[0], "{ \"_id\" : 0, \"product\" : 0, \"tags\" : \"old\", \"schema_version\" : 1 }");
   runs_to (&bench, &items[1], "{ \"_id\" : 1, \"product\" : 1, \"tags\" : \"new\", \"schema_version\" : 1 }");
   runs_to (&bench, &items[2], "{ \"_id\" : 2, \"product\" : 2, \"schema_version\" : 1 }");
   /* The next batch asks again; a batch that wants nothing asks nothing. */
   ecl_lookups_batch (bench.lookups, items, 10);
   assert_int_equal (ecl_lookups_need (bench.lookups, 0, &error), ECL_LOOKUPS_COMMAND);
   ecl_lookups_batch (bench.lookups, items, 0);
   drop (1000, items, keep);
   bench_destroy (&bench);
}

static void
test_batches_of_the_server_and_a_lost_one (void **state)
{
   bench_t bench = bench_new (DEVICES, PRODUCTS);
   bson_error_t error;
   ecl_value_t *items;
   bson_t **keep;

   (void) state;
   items = devices (2, 2, &keep);
   ecl_lookups_batch (bench.lookups, items, 2);
   assert_int_equal (ecl_lookups_need (bench.lookups, 0, &error), ECL_LOOKUPS_COMMAND);
   reply (bench.lookups, "{\"ok\": 1, \"cursor\": {\"id\": 7, \"firstBatch\": [{\"_id\": 0, \"labels\": \"a\"}]}}");
   assert_int_equal (ecl_lookups_need (bench.lookups, 0, &error), ECL_LOOKUPS_COMMAND);
   expect (bench.lookups, "\"getMore\" : 7");
   ecl_lookups_lost (bench.lookups);
   assert_int_equal (ecl_lookups_need (bench.lookups, 0, &error), ECL_LOOKUPS_COMMAND);
   expect (bench.lookups, "\"find\"");
   reply (bench.lookups, "{\"ok\": 1, \"cursor\": {\"id\": 8, \"firstBatch\": [{\"_id\": 0, \"label\": \"a\"}]}}");
   assert_int_equal (ecl_lookups_need (bench.lookups, 0, &error), ECL_LOOKUPS_COMMAND);
   reply (bench.lookups, "{\"ok\": 1, \"cursor\": {\"id\": 0, \"nextBatch\": [{\"_id\": 1, \"label\": \"b\"}]}}");
   assert_int_equal (ecl_lookups_need (bench.lookups, 0, &error), ECL_LOOKUPS_READY);
   /* Once each, though the first one came twice. */
   runs_to (&bench, &items[0], "{ \"_id\" : 0, \"product\" : 0, \"tags\" : \"a\", \"schema_version\" : 1 }");
   runs_to (&bench, &items[1], "{ \"_id\" : 1, \"product\" : 1, \"tags\" : \"b\", \"schema_version\" : 1 }");
   drop (2, items, keep);
   bench_destroy (&bench);
}

/* A field that old documents have under another name, and one that they have not at all. */
static void
test_filters_of_stored_documents (void **state)
{
   bench_t renamed = bench_new (BY_SKU, PRODUCTS);
   bench_t computed = bench_new (BY_SKU, "to: 1\nup: [{$set: {sku: {$toUpper: $code}}}]\n");
   bench_t same = bench_new (BY_SKU, "to: 1\nup: [{$set: {x: {$toUpper: $code}}}]\n");
   bson_t *document = BCON_NEW ("_id", BCON_INT32 (1), "sku", BCON_UTF8 ("a"));
   ecl_value_t item = ecl_raw_document (bson_get_data (document), document->len);
   bson_error_t error;

   (void) state;
   ecl_lookups_batch (renamed.lookups, &item, 1);
   assert_int_equal (ecl_lookups_need (renamed.lookups, 0, &error), ECL_LOOKUPS_COMMAND);
   expect (renamed.lookups, "\"filter\" : { \"$or\" : [ { \"sku\" : { \"$in\" : [ \"a\" ] } }, ");
   expect (renamed.lookups, "\"code\" : { \"$in\" : [ \"a\" ] }");
   ecl_lookups_batch (computed.lookups, &item, 1);
   assert_int_equal (ecl_lookups_need (computed.lookups, 0, &error), ECL_LOOKUPS_COMMAND);
   expect (computed.lookups, "{ \"aggregate\" : \"products\", \"pipeline\" : [ ");
   ecl_lookups_batch (same.lookups, &item, 1);
   assert_int_equal (ecl_lookups_need (same.lookups, 0, &error), ECL_LOOKUPS_COMMAND);
   expect (same.lookups, "\"filter\" : { \"sku\" : { \"$in\" : [ \"a\" ] } }, \"readConcern\"");
   bson_destroy (document);
   bench_destroy (&renamed);
   bench_destroy (&computed);
   bench_destroy (&same);
}

/* What is found looks up others: one more query for all of them. */
static void
test_levels (void **state)
{
   bench_t bench =
      bench_new ("to: 1\nup: [{$lookup: {from: products, localField: product, foreignField: _id, as: p}}]\n", MAKERS);
   bson_error_t error;
   ecl_value_t *items;
   bson_t **keep;

   (void) state;
   items = devices (4, 2, &keep);
   ecl_lookups_batch (bench.lookups, items, 4);
   assert_int_equal (ecl_lookups_need (bench.lookups, 0, &error), ECL_LOOKUPS_COMMAND);
   reply (bench.lookups, DOCS ("{\"_id\": 0, \"maker\": 5}, {\"_id\": 1, \"maker\": 6}"));
   assert_int_equal (ecl_lookups_need (bench.lookups, 0, &error), ECL_LOOKUPS_COMMAND);
   expect (bench.lookups, "\"find\" : \"makers\"");
   reply (bench.lookups, DOCS ("{\"_id\": 5}"));
   assert_int_equal (ecl_lookups_need (bench.lookups, 0, &error), ECL_LOOKUPS_READY);
   runs_to (&bench, &items[0],
            "{ \"_id\" : 0, \"product\" : 0, \"p\" : [ { \"_id\" : 0, \"maker\" : [ { \"_id\" : 5 } ], "
            "\"schema_version\" : 1 } ], \"schema_version\" : 1 }");
   runs_to (&bench, &items[3],
            "{ \"_id\" : 3, \"product\" : 1, \"p\" : [ { \"_id\" : 1, \"maker\" : [  ], "
            "\"schema_version\" : 1 } ], \"schema_version\" : 1 }");
   drop (4, items, keep);
   bench_destroy (&bench);
}

/* ---- too much ---- */

/* {ok: 1, cursor: {id, firstBatch | nextBatch: [{_id: product, labels: 15 MB}]}} */
static void
big_reply (ecl_lookups_t *lookups, int32_t product, bool first, bool more, const char *filling)
{
   bson_t answer = BSON_INITIALIZER, cursor, batch, one;
   bson_error_t error;

   BSON_APPEND_INT32 (&answer, "ok", 1);
   BSON_APPEND_DOCUMENT_BEGIN (&answer, "cursor", &cursor);
   BSON_APPEND_INT64 (&cursor, "id", more ? 3 : 0);
   bson_append_array_begin (&cursor, first ? "firstBatch" : "nextBatch", -1, &batch);
   BSON_APPEND_DOCUMENT_BEGIN (&batch, "0", &one);
   BSON_APPEND_INT32 (&one, "_id", product);
   BSON_APPEND_UTF8 (&one, "label", filling);
   bson_append_document_end (&batch, &one);
   bson_append_array_end (&cursor, &batch);
   bson_append_document_end (&answer, &cursor);
   assert_true (ecl_lookups_reply (lookups, &answer, &error));
   bson_destroy (&answer);
}

#define MANY 8

/* Eight devices look up products of 15 MB each, and more than 64 MB at once are not kept: by parts. */
static void
test_too_much_at_once (void **state)
{
   bench_t bench = bench_new (DEVICES, PRODUCTS);
   char *filling = bson_malloc (15u * 1024 * 1024);
   bson_error_t error;
   ecl_value_t *items;
   bson_t **keep;
   uint32_t parts = 0;

   (void) state;
   memset (filling, 'x', 15u * 1024 * 1024);
   filling[15u * 1024 * 1024 - 1] = '\0';
   items = devices (MANY, MANY, &keep);
   ecl_lookups_batch (bench.lookups, items, MANY);
   for (uint32_t i = 0; i < MANY; i++) {
      while (ecl_lookups_need (bench.lookups, i, &error) == ECL_LOOKUPS_COMMAND) {
         /* One document a batch, of those that are asked for. */
         int32_t wanted[MANY];
         uint32_t n = 0;

         bson_t command;
         bson_iter_t iter, in, list;

         ecl_lookups_command (bench.lookups, &command);
         assert_true (bson_iter_init (&iter, &command) && bson_iter_find_descendant (&iter, "filter._id.$in", &in));
         assert_true (bson_iter_recurse (&in, &list));
         while (bson_iter_next (&list)) {
            wanted[n++] = bson_iter_int32 (&list);
         }
         bson_destroy (&command);
         parts += i == ecl_lookups_until (bench.lookups);
         for (uint32_t k = 0; k < n; k++) {
            big_reply (bench.lookups, wanted[k], k == 0, k + 1 < n, filling);
         }
      }
      assert_true (ecl_lookups_until (bench.lookups) > i && ecl_lookups_until (bench.lookups) <= i + 4);
      {
         const uint8_t *out;
         size_t len;

         assert_true (ecl_upgrader_run (bench.upgrader, items[i].u.raw, items[i].len, &out, &len, NULL, &error));
         assert_true (len > 15u * 1024 * 1024);
      }
   }
   assert_true (parts >= 3);
   bson_free (filling);
   drop (MANY, items, keep);
   bench_destroy (&bench);
}

/* One that looks up too much by itself needs what it cannot get; the next one is not touched by that. */
static void
test_too_much_for_one (void **state)
{
   bench_t bench = bench_new ("to: 1\nup:\n"
                              "  - $lookup: {from: products, localField: kind, foreignField: kind, as: found}\n"
                              "  - $unset: found\n",
                              "to: 1\nup: [{$set: {a: 1}}]\n");
   bson_t *documents[2] = {BCON_NEW ("_id", BCON_INT32 (0), "kind", BCON_INT32 (0)),
                           BCON_NEW ("_id", BCON_INT32 (1), "kind", BCON_INT32 (1))};
   char *filling = bson_malloc (15u * 1024 * 1024);
   ecl_value_t items[2];
   bson_error_t error;
   const uint8_t *out;
   size_t len;

   (void) state;
   memset (filling, 'x', 15u * 1024 * 1024);
   filling[15u * 1024 * 1024 - 1] = '\0';
   for (int i = 0; i < 2; i++) {
      items[i] = ecl_raw_document (bson_get_data (documents[i]), documents[i]->len);
   }
   ecl_lookups_batch (bench.lookups, items, 2);
   for (int part = 0; part < 2; part++) {
      assert_int_equal (ecl_lookups_need (bench.lookups, 0, &error), ECL_LOOKUPS_COMMAND);
      expect (bench.lookups, part ? "\"$in\" : [ 0 ]" : "\"$in\" : [ ");
      for (int k = 0; k < 6; k++) {
         big_reply (bench.lookups, k, k == 0, k < 5, filling);
      }
   }
   assert_int_equal (ecl_lookups_need (bench.lookups, 0, &error), ECL_LOOKUPS_READY);
   assert_int_equal (ecl_lookups_until (bench.lookups), 1);
   assert_false (ecl_upgrader_run (bench.upgrader, items[0].u.raw, items[0].len, &out, &len, NULL, &error));
   assert_int_equal (error.code, ECL_ERROR_NEEDS);
   assert_int_equal (ecl_lookups_need (bench.lookups, 1, &error), ECL_LOOKUPS_COMMAND);
   expect (bench.lookups, "\"$in\" : [ 1 ]");
   reply (bench.lookups, DOCS ());
   assert_int_equal (ecl_lookups_need (bench.lookups, 1, &error), ECL_LOOKUPS_READY);
   assert_true (ecl_upgrader_run (bench.upgrader, items[1].u.raw, items[1].len, &out, &len, NULL, &error));
   bson_free (filling);
   bson_destroy (documents[0]);
   bson_destroy (documents[1]);
   bench_destroy (&bench);
}

/* ---- in the backfill ---- */

static void
run_devices (const canned_t *script, bool good, ecl_backfill_result_t *result)
{
   const file_t files[] = {{"devices/0001_a.yaml", DEVICES}, {"products/0001_b.yaml", PRODUCTS}, {0}};
   ecl_backfill_options_t options = {.mode = ECL_MODE_CLIENT, .transactions = true};
   fake_world_t world = fake_world (script);

   run_backfill (CONFIG, files, "devices", options, &world, NULL, good, result, NULL);
}

#define PASS_END                        \
   {                                    \
      "\"find\" : \"devices\"", DOCS () \
   }
#define LABEL(id, label) "{\"_id\": " #id ", \"labels\": \"" label "\", \"schema_version\": 1}"

/* Looked up again where the document had changed; the guard says what the document had. */
static void
test_backfill (void **state)
{
   const canned_t script[] = {
      {"\"find\" : \"devices\"", DOCS ("{\"_id\": 1, \"product\": 1}, {\"_id\": 2, \"product\": 2}")},
      {"\"find\" : \"products\"", "LOST"},
      {"\"find\" : \"products\"", DOCS (LABEL (1, "one") "," LABEL (2, "two"))},
      {"\"$__eclose_unchanged\", \"two\"", "{\"ok\": 1, \"n\": 2, \"nModified\": 1}"},
      {"{ \"$in\" : [ 1, 2 ] }", DOCS ("{\"_id\": 2, \"product\": 3}")},
      {"\"filter\" : { \"_id\" : { \"$in\" : [ 3 ] } }", DOCS (LABEL (3, "three"))},
      {"\"$__eclose_unchanged\", \"three\"", OK},
      PASS_END,
      {0},
   };
   const canned_t refused[] = {
      {"\"find\" : \"devices\"", DOCS ("{\"_id\": 1, \"product\": 1}")},
      {"\"find\" : \"products\"", "REFUSED 13"},
      {0},
   };
   ecl_backfill_result_t result;

   (void) state;
   run_devices (script, true, &result);
   assert_int_equal (result.counts.changed, 2);
   assert_int_equal (result.counts.conflicts, 1);
   run_devices (refused, false, &result);
   assert_false (result.wrote);
}

/* What no query takes as a value fails the document that has it: the query is of a whole batch. */
static void
test_keys_that_are_no_keys (void **state)
{
   const canned_t script[] = {
      {"\"find\" : \"devices\"",
       DOCS ("{\"_id\": 1, \"product\": {\"$undefined\": true}}, {\"_id\": 2, \"product\": "
             "{\"$regularExpression\": {\"pattern\": \"(\", \"options\": \"\"}}}, {\"_id\": 3, \"product\": 1}")},
      {"\"filter\" : { \"_id\" : { \"$in\" : [ 1 ] } }", DOCS (LABEL (1, "one"))},
      {"\"$__eclose_unchanged\", \"one\"", OK},
      {"products._id cannot be looked up by", "{\"ok\": 1, \"n\": 2}"},
      {"\"find\" : \"devices\"", DOCS ("{\"_id\": 1, \"product\": {\"$undefined\": true}}")},
      {"no query takes that value", "{\"ok\": 1, \"n\": 1}"},
      {0},
   };
   ecl_backfill_result_t result;
   bench_t bench = bench_new (DEVICES, PRODUCTS);
   bson_t *device = BCON_NEW ("_id", BCON_INT32 (1), "product", "{", "$oid", BCON_UTF8 ("x"), "}");
   ecl_value_t item = ecl_raw_document (bson_get_data (device), device->len);
   const uint8_t *out;
   bson_error_t error;
   size_t len;

   (void) state;
   ecl_lookups_batch (bench.lookups, &item, 1);
   assert_int_equal (ecl_lookups_need (bench.lookups, 0, &error), ECL_LOOKUPS_READY);
   assert_false (ecl_upgrader_run (bench.upgrader, item.u.raw, item.len, &out, &len, NULL, &error));
   assert_non_null (strstr (error.message, "products._id cannot be looked up by object: no query takes that value"));
   bson_destroy (device);
   bench_destroy (&bench);
   run_devices (script, true, &result);
   assert_int_equal (result.counts.changed, 1);
}

/* A transaction that finds another key than was looked up reads that first, outside of it. */
static void
test_transaction (void **state)
{
#define CART(product) "{\"_id\": 1, \"product\": " #product ", \"found\": [{\"n\": [{\"$numberInt\": \"1\"}]}]}"
   const canned_t script[] = {
      {"\"find\" : \"devices\"", DOCS (CART (1))},
      {"\"find\" : \"products\"", DOCS (LABEL (1, "one"))},
      {"\"singleBatch\" : true", DOCS (CART (2))},
      {"abortTransaction", "{\"ok\": 1}"},
      {"\"filter\" : { \"_id\" : { \"$in\" : [ 2 ] } }", DOCS (LABEL (2, "two"))},
      {"\"singleBatch\" : true", DOCS (CART (2))},
      {"\"u\" : { \"_id\" : 1, \"product\" : 2, \"tags\" : \"two\", \"schema_version\" : 1 }", OK},
      {"commitTransaction", "{\"ok\": 1}"},
      PASS_END,
      {0},
   };
   ecl_backfill_result_t result;

   (void) state;
   run_devices (script, true, &result);
   assert_int_equal (result.counts.changed, 1);
   assert_int_equal (result.counts.transactions, 1);
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_a_thousand_documents_are_one_query),
      cmocka_unit_test (test_batches_of_the_server_and_a_lost_one),
      cmocka_unit_test (test_filters_of_stored_documents),
      cmocka_unit_test (test_levels),
      cmocka_unit_test (test_too_much_at_once),
      cmocka_unit_test (test_too_much_for_one),
      cmocka_unit_test (test_backfill),
      cmocka_unit_test (test_keys_that_are_no_keys),
      cmocka_unit_test (test_transaction),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
