/* Plans: stages, order of fields, barriers, and the rules of an update. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "mql/plan.h"

typedef struct {
   const char *pipeline, *in, *out;
   bool update;
} plan_case_t;

/* Runs the pipeline on the document twice (the second run uses what the first one left) and compares bytes. */
static void
check (const plan_case_t *c)
{
   bson_error_t error;
   char *json = bson_strdup_printf ("{\"p\": %s}", c->pipeline);
   bson_t *wrapped = bson_new_from_json ((const uint8_t *) json, -1, &error);
   bson_t *document = bson_new_from_json ((const uint8_t *) c->in, -1, &error);
   bson_t *wanted = bson_new_from_json ((const uint8_t *) c->out, -1, &error);
   ecl_plan_options_t options = {.update = c->update};
   ecl_plan_t *plan = ecl_plan_new (&options);
   ecl_eval_t ev;
   ecl_value_t list, root;
   const uint8_t *result;
   size_t len;

   assert_non_null (wrapped);
   assert_non_null (document);
   assert_non_null (wanted);
   root = ecl_raw_document (bson_get_data (wrapped), wrapped->len);
   list = ecl_document_get (&root, "p", 1);
   assert_true (ecl_plan_add_pipeline (plan, &list, NULL));
   ecl_plan_link (plan);
   ecl_eval_init (&ev);
   for (int i = 0; i < 2; i++) {
      if (!ecl_plan_run (plan, &ev, bson_get_data (document), document->len, &result, &len, &error)) {
         fail_msg ("%s on %s: %s", c->pipeline, c->in, error.message);
      }
      if (len != wanted->len || memcmp (result, bson_get_data (wanted), len) != 0) {
         bson_t got;
         char *text;

         assert_true (bson_init_static (&got, result, len));
         text = bson_as_canonical_extended_json (&got, NULL);
         print_error ("%s on %s\n got %s\n not %s\n", c->pipeline, c->in, text, c->out);
         bson_free (text);
         fail ();
      }
   }
   ecl_eval_cleanup (&ev);
   ecl_plan_destroy (plan);
   bson_destroy (wrapped);
   bson_destroy (document);
   bson_destroy (wanted);
   bson_free (json);
}

static const plan_case_t cases[] = {
   /* All expressions of a stage read its input. */
   {"[{\"$set\": {\"b\": \"$a\", \"a\": \"$b\"}}]", "{\"a\": 1, \"b\": 2, \"c\": 3}", "{\"a\": 2, \"b\": 1, \"c\": 3}"},
   {"[{\"$set\": {\"z\": 1, \"y\": 2}}]", "{\"a\": 1}", "{\"a\": 1, \"z\": 1, \"y\": 2}"},
   {"[{\"$set\": {\"a.b\": 1}}]", "{\"a\": [1, {}, [2]]}", "{\"a\": [{\"b\": 1}, {\"b\": 1}, [{\"b\": 1}]]}"},
   {"[{\"$set\": {\"a\": {\"b\": 1}}}]", "{\"a\": {\"x\": 1, \"b\": 5, \"y\": 2}, \"q\": 1}",
    "{\"a\": {\"x\": 1, \"b\": 1, \"y\": 2}, \"q\": 1}"},
   /* What is removed and set again goes to the end. */
   {"[{\"$unset\": \"a\"}, {\"$set\": {\"a\": 2}}]", "{\"a\": 1, \"b\": 1}", "{\"b\": 1, \"a\": 2}"},
   {"[{\"$set\": {\"longer_name_1\": \"$longer_name_2\"}}, {\"$unset\": \"longer_name_2\"}]",
    "{\"longer_name_2\": 5, \"b\": 1, \"longer_name_3\": 1}", "{\"b\": 1, \"longer_name_3\": 1, \"longer_name_1\": 5}"},
   {"[{\"$set\": {\"nope\": \"$none\"}}]", "{\"a\": 1}", "{\"a\": 1}"},
   {"[{\"$set\": {\"a\": \"$none\", \"p.q\": \"$none\"}}]", "{\"a\": 1}", "{\"p\": {}}"},
   {"[{\"$project\": {\"b\": 1, \"x\": \"$a\"}}]", "{\"_id\": 1, \"a\": 1, \"b\": 2, \"c\": 3}",
    "{\"_id\": 1, \"b\": 2, \"x\": 1}"},
   {"[{\"$project\": {\"a.b\": 0}}]", "{\"a\": [{\"b\": 1, \"c\": 2}, 3], \"d\": 1}",
    "{\"a\": [{\"c\": 2}, 3], \"d\": 1}"},
   {"[{\"$project\": {\"a.b\": 1}}]", "{\"a\": [{\"b\": 1, \"c\": 2}, 3, [{\"b\": 2}]], \"d\": 1}",
    "{\"a\": [{\"b\": 1}, [{\"b\": 2}]]}"},
   /* The rules of an update: _id comes back, first. */
   {"[{\"$project\": {\"_id\": 0, \"a\": 1}}]", "{\"_id\": 1, \"a\": 1}", "{\"_id\": 1, \"a\": 1}", true},
   {"[{\"$replaceWith\": {\"n\": \"$a\", \"m\": \"$n\"}}]", "{\"_id\": 3, \"a\": 1, \"b\": 2}",
    "{\"_id\": 3, \"n\": 1}", true},
   {"[{\"$replaceWith\": \"$a\"}, {\"$set\": {\"v\": 2}}]", "{\"a\": {\"x\": 1}, \"b\": 2}", "{\"x\": 1, \"v\": 2}"},
   /* $$ROOT after an edit: the document is made whole in between. */
   {"[{\"$set\": {\"v\": 2}}, {\"$set\": {\"w\": \"$$ROOT\"}}, {\"$unset\": \"w.a\"}]", "{\"a\": 1}",
    "{\"a\": 1, \"v\": 2, \"w\": {\"v\": 2}}"},
   {"[{\"$replaceWith\": {\"$literal\": {\"x\": \"$a\"}}}, {\"$set\": {\"y\": \"$x\"}}]", "{\"a\": 1}",
    "{\"x\": \"$a\", \"y\": \"$a\"}"},
   {"[{\"$set\": {\"r\": {\"$map\": {\"input\": \"$a\", \"in\": {\"$cond\": [{\"$gt\": [\"$$this.n\", 1]}, "
    "\"$$this.n\", \"$b\"]}}}}}]",
    "{\"a\": [{\"n\": 1}, {\"n\": 2}], \"b\": 7}", "{\"a\": [{\"n\": 1}, {\"n\": 2}], \"b\": 7, \"r\": [7, 2]}"},
   {"[{\"$set\": {\"r\": {\"$let\": {\"vars\": {\"x\": \"$a.n\"}, \"in\": {\"k\": \"$$x\", \"none\": \"$none\"}}}}}]",
    "{\"a\": [{\"n\": 1}, 5, {\"n\": 2}]}", "{\"a\": [{\"n\": 1}, 5, {\"n\": 2}], \"r\": {\"k\": [1, 2]}}"},
};

static void
test_cases (void **state)
{
   (void) state;
   for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
      check (&cases[i]);
   }
}

/* Two fields a and b of documents that are nested n deep. */
static bson_t *
new_nested (const char *a, uint32_t n)
{
   bson_t *document = bson_new ();
   uint32_t left = 5 + 8 * n;
   uint8_t *nested = bson_malloc0 (left), *p = nested;
   bson_t inner;

   for (; left > 5; left -= 8) {
      memcpy (p, &(uint32_t){BSON_UINT32_TO_LE (left)}, 4);
      memcpy (p + 4, "\x03x", 3);
      p += 7;
   }
   memcpy (p, &(uint32_t){BSON_UINT32_TO_LE (left)}, 4);
   assert_true (bson_init_static (&inner, nested, 5 + 8 * n));
   assert_true (BSON_APPEND_DOCUMENT (document, a, &inner) && BSON_APPEND_DOCUMENT (document, "b", &inner));
   bson_free (nested);
   return document;
}

/* What is only moved is not read; what looks into it afterwards finds it checked, however it came there. */
static void
test_moved_too_deep (void **state)
{
   static const struct {
      const char *pipeline, *field;
      bool ok;
   } moved[] = {
      {"[{\"$set\": {\"y\": \"$a\", \"z\": \"$b\"}}]", "a", true},
      {"[{\"$set\": {\"y\": \"$a\", \"z\": \"$b\"}}, {\"$set\": {\"r\": {\"$eq\": [\"$y\", \"$z\"]}}}]", "a", false},
      {"[{\"$set\": {\"x\": \"$a\"}}, {\"$set\": {\"y\": \"$x\"}}, {\"$set\": {\"y.v\": 1}}]", "a", false},
      {"[{\"$replaceWith\": {\"y\": \"$a\", \"z\": \"$b\"}}, {\"$set\": {\"r\": {\"$eq\": [\"$y\", \"$z\"]}}}]", "a",
       false},
      {"[{\"$project\": {\"c\": 1}}]", "_id", true},
      {"[{\"$set\": {\"_id\": \"$b\"}}]", "_id", true},
      {"[{\"$set\": {\"_id\": \"$b.x\"}}]", "_id", false},
   };

   (void) state;
   for (size_t i = 0; i < sizeof moved / sizeof moved[0]; i++) {
      bson_error_t error;
      char *json = bson_strdup_printf ("{\"p\": %s}", moved[i].pipeline);
      bson_t *wrapped = bson_new_from_json ((const uint8_t *) json, -1, &error);
      bson_t *document = new_nested (moved[i].field, 250000);
      ecl_plan_options_t options = {.update = true};
      ecl_plan_t *plan = ecl_plan_new (&options);
      ecl_value_t root = ecl_raw_document (bson_get_data (wrapped), wrapped->len);
      ecl_value_t list = ecl_document_get (&root, "p", 1);
      const uint8_t *result;
      size_t len;
      ecl_eval_t ev;

      assert_true (ecl_plan_add_pipeline (plan, &list, NULL));
      ecl_plan_link (plan);
      ecl_eval_init (&ev);
      assert_int_equal (ecl_plan_run (plan, &ev, bson_get_data (document), document->len, &result, &len, &error),
                        moved[i].ok);
      if (!moved[i].ok) {
         assert_int_equal (error.code, ECL_ERROR_TOO_DEEP);
      }
      ecl_eval_cleanup (&ev);
      ecl_plan_destroy (plan);
      bson_destroy (document);
      bson_destroy (wrapped);
      bson_free (json);
   }
}

/* No guess fits bytes of which there is no element, zeros least of all. */
static void
test_zeros (void **state)
{
   uint8_t *zeros = bson_malloc0 (64);
   ecl_plan_options_t options = {0};
   ecl_plan_t *plan = ecl_plan_new (&options);
   ecl_value_t one = ecl_int32 (1);
   bson_error_t error;
   const uint8_t *out;
   size_t len;
   ecl_eval_t ev;

   (void) state;
   zeros[0] = 64;
   assert_true (ecl_plan_add_constant (plan, "a", &one));
   ecl_plan_link (plan);
   ecl_eval_init (&ev);
   assert_false (ecl_plan_run (plan, &ev, zeros, 64, &out, &len, &error));
   assert_int_equal (error.code, ECL_ERROR_SYNTAX);
   ecl_eval_cleanup (&ev);
   ecl_plan_destroy (plan);
   bson_free (zeros);
}

/* ---- many fields ---- */

#define MANY 70000u

/* Names that differ neither in their first 8 bytes nor in their last one. */
static const char *
many_name (uint32_t i, char *name)
{
   bson_snprintf (name, 32, "customer_field_%05u_x", i % MANY);
   return name;
}

/* Appends {NAME: {each of the fields: "$" and the one `by` places before it}}, an object that a stage takes. */
static void
append_many (bson_t *stages, const char *key, const char *name, uint32_t by, const char *last)
{
   bson_t stage, fields;
   char to[32], from[34] = "$";

   assert_true (bson_append_document_begin (stages, key, -1, &stage));
   assert_true (bson_append_document_begin (&stage, name, -1, &fields));
   for (uint32_t i = 0; i < MANY; i++) {
      many_name (i + MANY - by, from + 1);
      assert_true (bson_append_utf8 (&fields, many_name (i, to), -1, from, -1));
   }
   if (last) {
      assert_true (bson_append_utf8 (&fields, last, -1, "$a", -1));
   }
   assert_true (bson_append_document_end (&stage, &fields));
   assert_true (bson_append_document_end (stages, &stage));
}

static ecl_value_t
as_pipeline (const bson_t *stages)
{
   ecl_value_t list = ecl_raw_document (bson_get_data (stages), stages->len);

   list.type = BSON_TYPE_ARRAY;
   return list;
}

/* A stage may have any number of fields: all move by one place, all expressions reading what was there before; then
 * they are named a second time, and every other one is removed. */
static void
test_many_fields (void **state)
{
   bson_t stages = BSON_INITIALIZER, document = BSON_INITIALIZER, unset, list, result;
   ecl_plan_options_t options = {0};
   ecl_plan_t *plan = ecl_plan_new (&options);
   ecl_value_t pipeline;
   bson_error_t error;
   ecl_eval_t ev;
   bson_iter_t iter;
   const uint8_t *bytes;
   size_t len, n_paths;
   bool whole_read, whole_written;
   char name[32];

   (void) state;
   append_many (&stages, "0", "$set", 1, NULL);
   append_many (&stages, "1", "$replaceWith", 0, NULL);
   assert_true (bson_append_document_begin (&stages, "2", -1, &unset));
   assert_true (bson_append_array_begin (&unset, "$unset", -1, &list));
   for (uint32_t i = 0; i < MANY; i += 2) {
      assert_true (bson_append_utf8 (&list, "0", -1, many_name (i, name), -1));
   }
   assert_true (bson_append_array_end (&unset, &list));
   assert_true (bson_append_document_end (&stages, &unset));
   for (uint32_t i = 0; i < MANY; i++) {
      assert_true (bson_append_int32 (&document, many_name (i, name), -1, (int32_t) i));
   }
   pipeline = as_pipeline (&stages);
   assert_true (ecl_plan_add_pipeline (plan, &pipeline, NULL));
   ecl_plan_link (plan);
   ecl_plan_paths (plan, &n_paths, &whole_read, &whole_written);
   assert_int_equal (n_paths, MANY);
   ecl_eval_init (&ev);
   if (!ecl_plan_run (plan, &ev, bson_get_data (&document), document.len, &bytes, &len, &error)) {
      fail_msg ("%s", error.message);
   }
   assert_true (bson_init_static (&result, bytes, len));
   assert_true (bson_iter_init (&iter, &result));
   for (uint32_t i = 1; i < MANY; i += 2) {
      assert_true (bson_iter_next (&iter));
      assert_string_equal (bson_iter_key (&iter), many_name (i, name));
      assert_int_equal (bson_iter_int32 (&iter), i - 1);
   }
   assert_false (bson_iter_next (&iter));
   ecl_eval_cleanup (&ev);
   ecl_plan_destroy (plan);
   bson_destroy (&document);
   bson_destroy (&stages);
}

static void
keep_code (void *context, const uint8_t *at, uint32_t code, const char *message)
{
   (void) at;
   (void) message;
   *(uint32_t *) context = code;
}

/* A name that comes twice is found among many, too. */
static void
test_many_fields_clash (void **state)
{
   static const struct {
      const char *stage, *last;
      uint32_t code;
   } clashes[] = {
      {"$set", "customer_field_00000_x", 40176},
      {"$set", "customer_field_69999_x.y", 40176},
      {"$replaceWith", "customer_field_66666_x", 16406},
   };

   (void) state;
   for (size_t i = 0; i < sizeof clashes / sizeof clashes[0]; i++) {
      bson_t stages = BSON_INITIALIZER;
      uint32_t code = 0;
      ecl_plan_options_t options = {.report = keep_code, .report_context = &code};
      ecl_plan_t *plan = ecl_plan_new (&options);
      ecl_value_t pipeline;

      append_many (&stages, "0", clashes[i].stage, 0, clashes[i].last);
      pipeline = as_pipeline (&stages);
      assert_false (ecl_plan_add_pipeline (plan, &pipeline, NULL));
      assert_int_equal (code, clashes[i].code);
      ecl_plan_destroy (plan);
      bson_destroy (&stages);
   }
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_cases),       cmocka_unit_test (test_moved_too_deep),    cmocka_unit_test (test_zeros),
      cmocka_unit_test (test_many_fields), cmocka_unit_test (test_many_fields_clash),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
