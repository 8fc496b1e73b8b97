/* $lookup and functions of the host language: what is asked of the loader, PENDING, pipelines, variables. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "case.h"
#include "mql/lookup.h"

typedef struct {
   ecl_text_t text;
   ecl_value_t root;
} json_t;

static void
read_json (json_t *self, const char *json)
{
   ecl_text_source_t source = {.name = "test", .bytes = json, .len = strlen (json)};
   ecl_diags_t diags;

   ecl_diags_init (&diags);
   ecl_text_init (&self->text);
   assert_true (ecl_text_read_any (&self->text, &source, ECL_TEXT_ANY_VALUE, &diags));
   ecl_diags_cleanup (&diags);
   self->root = ecl_raw_document (self->text.doc, self->text.len);
   self->root = ecl_document_get (&self->root, "", 0);
}

/* A collection in memory: linear search is all that a test needs. */
typedef struct {
   json_t documents;
   ecl_arena_t arena;
   bool ready;
   unsigned asked;
   char last[200];
} shop_t;

static ecl_load_t
find (void *context, const char *collection, const char *field, const ecl_value_t *key, const ecl_value_t **documents,
      uint32_t *n, bson_error_t *error)
{
   shop_t *shop = context;
   uint32_t all;
   const ecl_value_t *items = ecl_array_items (&shop->arena, &shop->documents.root, &all);
   ecl_value_t *found = ecl_arena_array (&shop->arena, ecl_value_t, all);

   shop->asked++;
   snprintf (shop->last, sizeof shop->last, "%s.%s=%s", collection, field, ecl_case_text (key));
   if (strcmp (collection, "broken") == 0) {
      ecl_fail (error, ECL_DOMAIN_STORE, 7, "no such collection");
      return ECL_LOAD_FAILED;
   }
   if (!shop->ready) {
      return ECL_LOAD_PENDING;
   }
   *n = 0;
   for (uint32_t i = 0; i < all; i++) {
      ecl_value_t v = ecl_document_get (&items[i], field, strlen (field));

      v = ecl_present (v);
      if (ecl_equal (&v, key)) {
         found[(*n)++] = items[i];
      }
   }
   *documents = found;
   return ECL_LOAD_READY;
}

static const char products[] =
   "[{_id: p1, tags: [a, b], price: 5}, {_id: p2, tags: [c], price: 7}, {_id: p3, price: 9}]";

static void
expect (const char *pipeline, const char *document, const char *result, const char *last)
{
   shop_t shop = {.ready = false};
   ecl_loader_t loader = {.find = find, .context = &shop};
   json_t p, d, r;
   ecl_plan_options_t options = {.update = true, .allow_lookup = true};
   ecl_plan_t *plan = ecl_plan_new (&options);
   ecl_eval_t ev;
   const uint8_t *out;
   size_t len;
   bson_error_t error;
   ecl_value_t got;

   ecl_arena_init (&shop.arena);
   read_json (&shop.documents, products);
   read_json (&p, pipeline);
   read_json (&d, document);
   read_json (&r, result);
   assert_true (ecl_plan_add_pipeline (plan, &p.root, NULL));
   ecl_plan_link (plan);
   ecl_eval_init (&ev);
   ev.loader = &loader;
   /* First nothing is there: the run says so, and only so. */
   assert_false (ecl_plan_run (plan, &ev, d.root.u.raw, d.root.len, &out, &len, &error));
   assert_int_equal (error.code, ECL_ERROR_NEEDS);
   assert_int_equal (error.domain, ECL_DOMAIN_UPGRADE);
   assert_string_equal (shop.last, last);
   shop.ready = true;
   if (!ecl_plan_run (plan, &ev, d.root.u.raw, d.root.len, &out, &len, &error)) {
      fail_msg ("%s: %s", pipeline, error.message);
   }
   got = ecl_raw_document (out, len);
   if (!ecl_identical (&got, &r.root)) {
      fail_msg ("%s: got %s", pipeline, ecl_case_text (&got));
   }
   ecl_eval_cleanup (&ev);
   ecl_plan_destroy (plan);
   ecl_arena_cleanup (&shop.arena);
   ecl_text_cleanup (&shop.documents.text);
   ecl_text_cleanup (&p.text);
   ecl_text_cleanup (&d.text);
   ecl_text_cleanup (&r.text);
}

static void
test_by_field (void **state)
{
   (void) state;
   expect ("[{$lookup: {from: products, localField: product, foreignField: _id, as: found}}, "
           "{$set: {tags: {$first: $found.tags}}}, {$unset: found}]",
           "{_id: 1, product: p1}", "{_id: 1, product: p1, tags: [a, b]}", "products._id=\"p1\"");
   /* An array stands for its elements; a document that two of them lead to comes once. */
   expect ("[{$lookup: {from: products, localField: ps, foreignField: _id, as: ps}}]", "{_id: 1, ps: [p3, p2, p3]}",
           "{_id: 1, ps: [{_id: p3, price: 9}, {_id: p2, tags: [c], price: 7}]}", "products._id=\"p3\"");
   /* What is missing here is null there, and null there is found by it. */
   expect ("[{$lookup: {from: products, localField: none, foreignField: tags, as: r.s}}]", "{_id: 1}",
           "{_id: 1, r: {s: [{_id: p3, price: 9}]}}", "products.tags=null");
   expect ("[{$lookup: {from: products, localField: product, foreignField: _id, as: found}}]", "{product: zz}",
           "{product: zz, found: []}", "products._id=\"zz\"");
   /* So is an array without elements (jstests/aggregation/sources/lookup/lookup_array_semantics.js), */
   expect ("[{$lookup: {from: products, localField: ps, foreignField: tags, as: r}}]", "{ps: []}",
           "{ps: [], r: [{_id: p3, price: 9}]}", "products.tags=null");
   expect ("[{$lookup: {from: products, localField: ps.x, foreignField: tags, as: r}}]",
           "{ps: [1, {x: []}, [{x: p1}]]}", "{ps: [1, {x: []}, [{x: p1}]], r: [{_id: p3, price: 9}]}",
           "products.tags=null");
   /* and arrays at the end of a path are gone through wherever they are; what is in them stands for itself. */
   expect ("[{$lookup: {from: products, localField: a.x, foreignField: _id, as: r}}]",
           "{a: [{x: [p3]}, {y: 1}, {x: p2}, {x: [p3, p3]}]}",
           "{a: [{x: [p3]}, {y: 1}, {x: p2}, {x: [p3, p3]}], r: [{_id: p3, price: 9}, {_id: p2, tags: [c], price: 7}]}",
           "products._id=\"p3\"");
   expect ("[{$lookup: {from: products, localField: a.x, foreignField: tags, as: r}}]", "{a: {x: [[c]]}}",
           "{a: {x: [[c]]}, r: [{_id: p2, tags: [c], price: 7}]}", "products.tags=[\"c\"]");
   /* On the way to `as`, what is no document is replaced by one, arrays too (MutableDocument::getNestedFieldHelper,
    * mongo/src/mongo/db/exec/document_value/document.cpp). */
   expect ("[{$lookup: {from: products, localField: product, foreignField: _id, as: a.r}}]",
           "{product: p3, a: [{x: 1}, 2], b: 1}", "{product: p3, a: {r: [{_id: p3, price: 9}]}, b: 1}",
           "products._id=\"p3\"");
   expect ("[{$lookup: {from: products, localField: product, foreignField: _id, as: a.b.r}}]",
           "{product: p3, a: {x: 1, b: [1]}}", "{product: p3, a: {x: 1, b: {r: [{_id: p3, price: 9}]}}}",
           "products._id=\"p3\"");
   /* A DBRef's names may stand in a path. */
   expect ("[{$lookup: {from: products, localField: product.$id, foreignField: _id, as: r}}]",
           "{product: {'$ref': products, '$id': p3}}",
           "{product: {'$ref': products, '$id': p3}, r: [{_id: p3, price: 9}]}", "products._id=\"p3\"");
   /* A number in it is a place in an array, and a name elsewhere. */
   expect ("[{$lookup: {from: products, localField: a.1.x, foreignField: _id, as: r}}]", "{a: [{x: p1}, {x: p2}]}",
           "{a: [{x: p1}, {x: p2}], r: [{_id: p2, tags: [c], price: 7}]}", "products._id=\"p2\"");
   expect ("[{$lookup: {from: products, localField: a.0.1, foreignField: _id, as: r}}]", "{a: [{'1': p2}]}",
           "{a: [{'1': p2}], r: [{_id: p2, tags: [c], price: 7}]}", "products._id=\"p2\"");
}

static void
test_pipeline (void **state)
{
   (void) state;
   expect ("[{$lookup: {from: products, let: {p: $product, least: $least}, pipeline: [{$match: {$expr: {$and: [{$gt: "
           "[$price, $$least]}, {$eq: [$$p, $_id]}]}}}, {$set: {over: {$eq: [$price, {$literal: 7}]}, l: $$least}}, "
           "{$unset: "
           "tags}], as: r}}]",
           "{product: p2, least: 6}", "{product: p2, least: 6, r: [{_id: p2, price: 7, over: true, l: 6}]}",
           "products._id=\"p2\"");
   expect (
      "[{$lookup: {from: products, let: {p: $product}, pipeline: [{$match: {$expr: {$eq: [$_id, $$p]}, price: {$gt: "
      "100}}}], as: r}}]",
      "{product: p2}", "{product: p2, r: []}", "products._id=\"p2\"");
   /* Variables around the stage's own are seen too; both forms may be joined. */
   expect (
      "[{$lookup: {from: products, localField: product, foreignField: _id, let: {x: 3}, pipeline: [{$project: {_id: "
      "0, x: $$x}}], as: r}}]",
      "{product: p2}", "{product: p2, r: [{x: 3}]}", "products._id=\"p2\"");
}

/* "$tags.t" is an array where it leads through one: no query by that array finds such documents. */
static void
test_array_as_key (void **state)
{
   static const char pipeline[] = "[{$lookup: {from: products, let: {t: $t}, pipeline: [{$match: {$expr: {$eq: "
                                  "[$tags.t, $$t]}}}], as: r}}]";
   shop_t shop = {.ready = false};
   ecl_loader_t loader = {.find = find, .context = &shop};
   ecl_plan_options_t options = {.update = true, .allow_lookup = true};
   ecl_plan_t *plan = ecl_plan_new (&options);
   json_t p, d;
   ecl_eval_t ev;
   const uint8_t *out;
   size_t len;
   bson_error_t error;

   (void) state;
   read_json (&p, pipeline);
   read_json (&d, "{t: [a, b]}");
   assert_true (ecl_plan_add_pipeline (plan, &p.root, NULL));
   ecl_plan_link (plan);
   ecl_eval_init (&ev);
   ev.loader = &loader;
   assert_false (ecl_plan_run (plan, &ev, d.root.u.raw, d.root.len, &out, &len, &error));
   assert_string_equal (error.message,
                        "$lookup: documents are not found by an array where \"$tags.t\" is compared with it");
   ecl_eval_cleanup (&ev);
   ecl_plan_destroy (plan);
   ecl_text_cleanup (&p.text);
   ecl_text_cleanup (&d.text);
}

static void
test_refused (void **state)
{
   static const struct {
      const char *pipeline;
      const char *message;
   } cases[] = {
      {"[{$lookup: {from: a, as: b}}]", "$lookup requires 'localField' and 'foreignField', or a 'pipeline'"},
      {"[{$lookup: {from: a, localField: x, as: b}}]",
       "$lookup requires both or neither of 'localField' and 'foreignField'"},
      {"[{$lookup: {from: a, localField: x, foreignField: y}}]", "$lookup requires 'from' and 'as'"},
      {"[{$lookup: {from: 1, localField: x, foreignField: y, as: z}}]",
       "$lookup argument 'from' must be of type string, found int"},
      {"[{$lookup: {from: a, let: {v: $x}, pipeline: [{$match: {y: 1}}], as: b}}]",
       "the pipeline of a $lookup without localField must begin with a $match that compares a field with a variable "
       "for "
       "equality ({$expr: {$eq: [\"$field\", \"$$variable\"]}}): documents are fetched by key"},
      {"[{$lookup: {from: a, pipeline: [{$match: {$expr: {$eq: [$y, $$ROOT.z]}}}], as: b}}]",
       "the pipeline of a $lookup without localField must begin with a $match that compares a field with a variable "
       "for "
       "equality ({$expr: {$eq: [\"$field\", \"$$variable\"]}}): documents are fetched by key"},
      {"[{$lookup: {from: a, localField: x, foreignField: y, as: b, pipeline: [{$group: {_id: 1}}]}}]",
       "Unrecognized pipeline stage name: '$group'; known are $set, $addFields, $unset, $project, $replaceWith, "
       "$replaceRoot and $lookup"},
   };

   (void) state;
   for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
      ecl_case_problem_t problem = {0};
      ecl_plan_options_t options = {.report = ecl_case_report, .report_context = &problem, .allow_lookup = true};
      ecl_plan_t *plan = ecl_plan_new (&options);
      json_t p;

      read_json (&p, cases[i].pipeline);
      assert_false (ecl_plan_add_pipeline (plan, &p.root, NULL));
      assert_string_equal (problem.message, cases[i].message);
      ecl_plan_destroy (plan);
      ecl_text_cleanup (&p.text);
   }
}

/* ---- functions ---- */

/* Takes n of the product that the document names, and says how often it was called. */
static bool
take_price (void *context, ecl_eval_t *ev, const bson_t *in, bson_t *out, bson_error_t *error)
{
   unsigned *calls = context;
   const ecl_value_t *documents;
   ecl_value_t key = ecl_string ("p2", 2);
   uint32_t n = 0;

   ++*calls;
   switch (ecl_eval_load (ev, "products", "_id", &key, &documents, &n, error)) {
   case ECL_LOAD_READY:
      break;
   default:
      return false;
   }
   bson_concat (out, in);
   BSON_APPEND_INT32 (out, "n", (int32_t) n);
   return true;
}

static bool
refuse (void *context, ecl_eval_t *ev, const bson_t *in, bson_t *out, bson_error_t *error)
{
   (void) context;
   (void) ev;
   (void) in;
   (void) out;
   return ecl_fail (error, ECL_DOMAIN_UPGRADE, 5, "not today");
}

static void
test_function (void **state)
{
   shop_t shop = {.ready = false};
   ecl_loader_t loader = {.find = find, .context = &shop};
   unsigned calls = 0;
   ecl_function_t function = {.run = take_price, .context = &calls}, no = {.run = refuse};
   ecl_plan_options_t options = {.update = true, .allow_lookup = true};
   ecl_plan_t *plan = ecl_plan_new (&options), *refusing = ecl_plan_new (&options);
   json_t before, after, d, r;
   ecl_eval_t ev;
   const uint8_t *out;
   size_t len;
   bson_error_t error;
   ecl_value_t got;

   (void) state;
   ecl_arena_init (&shop.arena);
   read_json (&shop.documents, products);
   read_json (&before, "[{$set: {a: 1}}]");
   read_json (&after, "[{$set: {m: $n, a: 2}}]");
   read_json (&d, "{_id: 7}");
   read_json (&r, "{_id: 7, a: 2, n: 1, m: 1}");
   assert_true (ecl_plan_add_pipeline (plan, &before.root, NULL));
   ecl_plan_add_function (plan, &function);
   assert_true (ecl_plan_add_pipeline (plan, &after.root, NULL));
   ecl_plan_link (plan);
   assert_true (ecl_plan_has_functions (plan));
   ecl_eval_init (&ev);
   ev.loader = &loader;
   assert_false (ecl_plan_run (plan, &ev, d.root.u.raw, d.root.len, &out, &len, &error));
   assert_int_equal (error.code, ECL_ERROR_NEEDS);
   shop.ready = true;
   assert_true (ecl_plan_run (plan, &ev, d.root.u.raw, d.root.len, &out, &len, &error));
   got = ecl_raw_document (out, len);
   assert_true (ecl_identical (&got, &r.root));
   assert_int_equal (calls, 2);

   ecl_plan_add_function (refusing, &no);
   ecl_plan_link (refusing);
   assert_false (ecl_plan_run (refusing, &ev, d.root.u.raw, d.root.len, &out, &len, &error));
   assert_string_equal (error.message, "not today");

   ecl_eval_cleanup (&ev);
   ecl_plan_destroy (plan);
   ecl_plan_destroy (refusing);
   ecl_arena_cleanup (&shop.arena);
   ecl_text_cleanup (&shop.documents.text);
   ecl_text_cleanup (&before.text);
   ecl_text_cleanup (&after.text);
   ecl_text_cleanup (&d.text);
   ecl_text_cleanup (&r.text);
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_by_field), cmocka_unit_test (test_pipeline), cmocka_unit_test (test_array_as_key),
      cmocka_unit_test (test_refused),  cmocka_unit_test (test_function),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
