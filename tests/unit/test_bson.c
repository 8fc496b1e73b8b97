/* The core of src/bson: the cursor on bytes that are cut or lie, values there and back, order over all types. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "bson/compare.h"
#include "bson/cursor.h"
#include "bson/decimal.h"

#include <math.h>
#include <stdlib.h>

/* One value of each type that BSON has, documents and arrays with something in them. */
static void
make_all_types (bson_t *doc)
{
   static const bson_decimal128_t decimal = {.high = 0x3040000000000000ull, .low = 15};
   bson_oid_t oid;
   bson_t inner, scope;

   bson_oid_init_from_string (&oid, "56e1fc72e0c917e9c4714161");
   bson_init (doc);
   BSON_APPEND_DOUBLE (doc, "double", 1.5);
   bson_append_utf8 (doc, "string", -1, "a\0b", 3);
   BSON_APPEND_DOCUMENT_BEGIN (doc, "document", &inner);
   BSON_APPEND_INT32 (&inner, "x", 1);
   bson_append_document_end (doc, &inner);
   BSON_APPEND_ARRAY_BEGIN (doc, "array", &inner);
   BSON_APPEND_INT32 (&inner, "0", 1);
   BSON_APPEND_UTF8 (&inner, "1", "y");
   bson_append_array_end (doc, &inner);
   BSON_APPEND_BINARY (doc, "binary", BSON_SUBTYPE_UUID, (const uint8_t *) "0123456789abcdef", 16);
   BSON_APPEND_BINARY (doc, "old binary", BSON_SUBTYPE_BINARY_DEPRECATED, (const uint8_t *) "abc", 3);
   BSON_APPEND_UNDEFINED (doc, "undefined");
   BSON_APPEND_OID (doc, "oid", &oid);
   BSON_APPEND_BOOL (doc, "bool", true);
   BSON_APPEND_DATE_TIME (doc, "date", -1);
   BSON_APPEND_NULL (doc, "null");
   BSON_APPEND_REGEX (doc, "regex", "a.", "i");
   BSON_APPEND_DBPOINTER (doc, "pointer", "c", &oid);
   BSON_APPEND_CODE (doc, "code", "f()");
   BSON_APPEND_SYMBOL (doc, "symbol", "s");
   bson_init (&scope);
   BSON_APPEND_INT32 (&scope, "x", 1);
   BSON_APPEND_CODE_WITH_SCOPE (doc, "scope", "f()", &scope);
   bson_destroy (&scope);
   BSON_APPEND_INT32 (doc, "int", -7);
   BSON_APPEND_TIMESTAMP (doc, "timestamp", 0xFFFFFFFF, 1);
   BSON_APPEND_INT64 (doc, "long", INT64_MIN);
   BSON_APPEND_DECIMAL128 (doc, "decimal", &decimal);
   BSON_APPEND_MINKEY (doc, "min");
   BSON_APPEND_MAXKEY (doc, "max");
}

/* Walks all that is there; returns the number of elements. Bytes outside would be seen by a sanitizer: the copy has the
 * exact length. */
static unsigned
walk (const uint8_t *data, size_t len)
{
   ecl_cursor_t cursor;
   unsigned n = 0;

   if (!ecl_cursor_init (&cursor, data, len)) {
      assert_true (cursor.corrupt);
      assert_false (ecl_cursor_next (&cursor));
      return 0;
   }
   while (ecl_cursor_next (&cursor)) {
      assert_true (cursor.value >= data && cursor.value + cursor.value_len < data + len);
      assert_int_equal (strlen (cursor.key), cursor.key_len);
      n++;
      if (cursor.type == BSON_TYPE_DOCUMENT || cursor.type == BSON_TYPE_ARRAY) {
         n += walk (cursor.value, cursor.value_len);
      }
   }
   assert_false (ecl_cursor_next (&cursor));
   return n;
}

static void
test_cursor_on_cut_bytes (void **state)
{
   bson_t doc;

   (void) state;
   make_all_types (&doc);
   assert_true (ecl_bson_validate (bson_get_data (&doc), doc.len, NULL));
   for (size_t n = 0; n < doc.len; n++) {
      uint8_t *copy = malloc (n ? n : 1);
      bson_error_t error = {0};

      memcpy (copy, bson_get_data (&doc), n);
      assert_int_equal (walk (copy, n), 0);
      assert_false (ecl_bson_validate (copy, n, &error));
      assert_true (error.domain == ECL_DOMAIN_BSON && error.message[0]);
      if (n >= 5) {
         /* The length agrees, the elements do not. */
         ecl_store_u32 (copy, (uint32_t) n);
         copy[n - 1] = 0;
         walk (copy, n);
         if (ecl_bson_validate (copy, n, &error)) {
            assert_true (walk (copy, n) > 0 || n == 5);
         }
      }
      free (copy);
   }
   bson_destroy (&doc);
}

/* Each byte in turn is made something else: whatever that means, nothing outside is read. */
static void
test_cursor_on_lying_bytes (void **state)
{
   static const uint8_t lies[] = {0, 1, 0x7F, 0x80, 0xFF};
   bson_t doc;

   (void) state;
   make_all_types (&doc);
   for (size_t i = 0; i < doc.len; i++) {
      for (size_t k = 0; k < sizeof lies; k++) {
         uint8_t *copy = malloc (doc.len);

         memcpy (copy, bson_get_data (&doc), doc.len);
         copy[i] = lies[k];
         walk (copy, doc.len);
         if (ecl_bson_validate (copy, doc.len, NULL)) {
            assert_true (walk (copy, doc.len) > 0);
         }
         free (copy);
      }
   }
   bson_destroy (&doc);
}

/* n documents, one in the other. */
static uint8_t *
nest (unsigned n, size_t *len)
{
   uint8_t *data = calloc (1, (size_t) n * 8);
   size_t total = (size_t) n * 8 - 3;

   for (unsigned i = 0; i < n; i++) {
      ecl_store_u32 (data + (size_t) i * 7, (uint32_t) (total - (size_t) i * 8));
      if (i + 1 < n) {
         data[(size_t) i * 7 + 4] = BSON_TYPE_DOCUMENT;
         data[(size_t) i * 7 + 5] = 'a';
      }
   }
   *len = total;
   return data;
}

static void
test_depth (void **state)
{
   static const unsigned depths[] = {1, 2, ECL_BSON_MAX_DEPTH, ECL_BSON_MAX_DEPTH + 1, 1000, 1000000};

   (void) state;
   for (size_t i = 0; i < sizeof depths / sizeof depths[0]; i++) {
      bson_error_t error = {0};
      size_t len;
      uint8_t *data = nest (depths[i], &len);
      bool ok = ecl_bson_validate (data, len, &error);

      assert_int_equal (ok, depths[i] <= ECL_BSON_MAX_DEPTH);
      assert_true (ok || error.code == ECL_ERROR_TOO_DEEP);
      free (data);
   }
}

/* ---- values ---- */

/* The document's fields as a FIELDS document, arrays in it as VEC: nothing that is written is copied whole. */
static ecl_value_t
taken_apart (ecl_arena_t *arena, const ecl_value_t *v)
{
   ecl_iter_t iter;
   ecl_field_t *fields;
   ecl_value_t *items;
   uint32_t n;

   if (v->type == BSON_TYPE_DOCUMENT) {
      const ecl_field_t *all = ecl_document_fields (arena, v, &n);

      fields = ecl_arena_array (arena, ecl_field_t, n);
      for (uint32_t i = 0; i < n; i++) {
         fields[i] = ecl_field (all[i].key, all[i].key_len, taken_apart (arena, &all[i].value));
      }
      return ecl_fields (fields, n);
   }
   if (v->type == BSON_TYPE_ARRAY) {
      items = ecl_arena_array (arena, ecl_value_t, ecl_array_count (v));
      ecl_iter_init (&iter, v);
      for (n = 0; ecl_iter_item (&iter, &items[n]); n++) {
         items[n] = taken_apart (arena, &items[n]);
      }
      return ecl_vec (items, n);
   }
   return *v;
}

static void
test_round_trip (void **state)
{
   ecl_arena_t arena;
   ecl_value_t raw, apart, copy, again;
   bson_error_t error;
   bson_t doc;

   (void) state;
   make_all_types (&doc);
   ecl_arena_init (&arena);
   raw = ecl_raw_document (bson_get_data (&doc), doc.len);
   apart = taken_apart (&arena, &raw);
   assert_int_equal (ecl_value_size (&apart), doc.len);
   assert_true (ecl_value_to_raw (&arena, &apart, &again, &error));
   assert_int_equal (again.len, doc.len);
   assert_memory_equal (again.u.raw, bson_get_data (&doc), doc.len);
   copy = ecl_value_copy (&arena, &apart);
   assert_true (ecl_identical (&copy, &raw) && ecl_identical (&raw, &copy) && ecl_equal (&copy, &raw));
   assert_true (ecl_hash (&copy) == ecl_hash (&raw));
   ecl_arena_cleanup (&arena);
   bson_destroy (&doc);
}

/* Indexes of arrays grow by a digit: sizes are exact around each power of ten. */
static void
test_size_of_arrays (void **state)
{
   static const uint32_t counts[] = {0, 1, 9, 10, 11, 99, 100, 101, 999, 1000, 1001, 10001};

   (void) state;
   for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
      ecl_value_t *items = calloc (counts[i] + 1, sizeof *items); /* missing: written as null */
      ecl_value_t array = ecl_vec (items, counts[i]);
      uint64_t size = ecl_value_size (&array);
      uint8_t *out = malloc (size);

      assert_ptr_equal (ecl_value_write (&array, out), out + size);
      assert_true (ecl_bson_validate (out, size, NULL));
      assert_int_equal (walk (out, size), counts[i]);
      free (out);
      free (items);
   }
}

static void
test_too_large_and_too_deep (void **state)
{
   ecl_arena_t arena;
   ecl_value_t v = ecl_int32 (1), raw;
   bson_error_t error;
   char *long_text = calloc (1, ECL_BSON_MAX_SIZE);
   ecl_value_t texts[2] = {ecl_string (long_text, ECL_BSON_MAX_SIZE), ecl_string (long_text, ECL_BSON_MAX_SIZE)};
   ecl_value_t both = ecl_vec (texts, 2);

   (void) state;
   ecl_arena_init (&arena);
   assert_false (ecl_value_to_raw (&arena, &both, &raw, &error));
   assert_int_equal (error.code, ECL_ERROR_TOO_LARGE);
   for (int i = 0; i < 1000; i++) {
      ecl_value_t *one = ecl_arena_new (&arena, ecl_value_t);

      *one = v;
      v = ecl_vec (one, 1);
   }
   assert_false (ecl_value_to_raw (&arena, &v, &raw, &error));
   ecl_arena_cleanup (&arena);
   free (long_text);
}

/* ---- order ---- */

static ecl_value_t
decimal (ecl_arena_t *arena, const char *text)
{
   ecl_decimal_t d;

   assert_int_equal (ecl_decimal_from_string (arena, text, strlen (text), &d), ECL_DECIMAL_TEXT_OK);
   return ecl_decimal_value (arena, d);
}

/* Each is less than the next, and so than all behind it. */
static void
test_order (void **state)
{
   ecl_value_t one = ecl_int32 (1), list[64], lists[4], bytes[2];
   ecl_field_t fields[3][2];
   ecl_arena_t arena;
   unsigned n = 0;

   (void) state;
   ecl_arena_init (&arena);
   list[n++] = (ecl_value_t){.type = BSON_TYPE_MINKEY};
   list[n++] = ecl_missing ();
   list[n++] = ecl_null ();
   list[n++] = ecl_double (NAN);
   list[n++] = decimal (&arena, "-Infinity");
   list[n++] = decimal (&arena, "-9.3E18");
   list[n++] = ecl_int64 (INT64_MIN);
   list[n++] = ecl_int32 (-1);
   list[n++] = ecl_double (-0.0);
   list[n++] = ecl_double (5e-324);
   list[n++] = decimal (&arena, "0.1");
   list[n++] = ecl_double (0.1); /* a little more than a tenth */
   list[n++] = ecl_int32 (1);
   list[n++] = decimal (&arena, "1.000000000000000000000000000000001");
   list[n++] = ecl_double (9007199254740992.0);
   list[n++] = ecl_int64 (9007199254740993);
   list[n++] = decimal (&arena, "9007199254740993.5");
   list[n++] = ecl_double (9007199254740994.0);
   list[n++] = ecl_int64 (INT64_MAX);
   list[n++] = ecl_double (0x1p63);
   list[n++] = decimal (&arena, "9223372036854775808.5");
   list[n++] = ecl_double (INFINITY);
   list[n++] = ecl_string ("", 0);
   list[n++] = ecl_string ("\0", 1);
   list[n++] = ecl_string ("a", 1);
   list[n++] = ecl_string ("a\0", 2);
   list[n++] = ecl_string ("b", 1);
   list[n++] = ecl_string ("\xFF", 1);
   list[n++] = ecl_fields (NULL, 0);
   fields[0][0] = ecl_field ("b", 1, ecl_int32 (1));
   fields[1][0] = ecl_field ("b", 1, ecl_double (1));
   fields[1][1] = ecl_field ("a", 1, ecl_null ());
   fields[2][0] = ecl_field ("a", 1, ecl_string ("", 0));
   list[n++] = ecl_fields (fields[0], 1);
   list[n++] = ecl_fields (fields[1], 2);
   list[n++] = ecl_fields (fields[2], 1); /* the type of the value goes before the name */
   list[n++] = ecl_vec (NULL, 0);
   lists[0] = one;
   lists[1] = ecl_int32 (0);
   lists[2] = ecl_int32 (2);
   list[n++] = ecl_vec (lists, 1);
   list[n++] = ecl_vec (lists, 2);
   list[n++] = ecl_vec (lists + 2, 1);
   bytes[0] = (ecl_value_t){
      .type = BSON_TYPE_BINARY, .rep = ECL_REP_RAW, .len = 1, .subtype = 0, .u.raw = (const uint8_t *) "z"};
   bytes[1] = (ecl_value_t){
      .type = BSON_TYPE_BINARY, .rep = ECL_REP_RAW, .len = 1, .subtype = 5, .u.raw = (const uint8_t *) "a"};
   list[n++] = bytes[0];
   list[n++] = bytes[1];
   list[n++] = ecl_oid_at ((const uint8_t *) "aaaaaaaaaaaa");
   list[n++] = ecl_bool (false);
   list[n++] = ecl_bool (true);
   list[n++] = ecl_date (-1);
   list[n++] = ecl_date (1);
   list[n++] = (ecl_value_t){.type = BSON_TYPE_TIMESTAMP, .u.i64 = 1};
   list[n++] = (ecl_value_t){.type = BSON_TYPE_TIMESTAMP, .u.i64 = INT64_MIN};
   list[n++] = (ecl_value_t){.type = BSON_TYPE_MAXKEY};
   for (unsigned i = 0; i < n; i++) {
      for (unsigned k = 0; k < n; k++) {
         int c = ecl_compare (&list[i], &list[k]);

         if ((c > 0) != (i > k) || (c < 0) != (i < k)) {
            fail_msg ("%u and %u compare as %d", i, k, c);
         }
         assert_int_equal (ecl_equal (&list[i], &list[k]), i == k);
         assert_int_equal (ecl_identical (&list[i], &list[k]), i == k);
      }
   }
   ecl_arena_cleanup (&arena);
}

static void
test_identical (void **state)
{
   ecl_arena_t arena;

   (void) state;
   ecl_arena_init (&arena);
   ecl_value_t equal[][2] = {
      {ecl_int32 (1), ecl_double (1)},
      {ecl_double (0.0), ecl_double (-0.0)},
      {ecl_int64 (1), ecl_int32 (1)},
      {decimal (&arena, "1.0"), decimal (&arena, "1.00")},
      {decimal (&arena, "-0"), decimal (&arena, "0")},
      {ecl_string ("s", 1), {.type = BSON_TYPE_SYMBOL, .rep = ECL_REP_RAW, .len = 1, .u.str = "s"}},
      {ecl_missing (), {.type = BSON_TYPE_UNDEFINED}},
   };

   for (size_t i = 0; i < sizeof equal / sizeof equal[0]; i++) {
      ecl_value_t a = ecl_vec (&equal[i][0], 1), b = ecl_vec (&equal[i][1], 1);

      assert_true (ecl_equal (&equal[i][0], &equal[i][1]));
      assert_false (ecl_identical (&equal[i][0], &equal[i][1]));
      assert_true (ecl_hash (&equal[i][0]) == ecl_hash (&equal[i][1]));
      if (equal[i][0].type != ECL_MISSING) {
         assert_true (ecl_equal (&a, &b) && !ecl_identical (&a, &b) && ecl_hash (&a) == ecl_hash (&b));
      }
   }
   ecl_arena_cleanup (&arena);
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_cursor_on_cut_bytes),
      cmocka_unit_test (test_cursor_on_lying_bytes),
      cmocka_unit_test (test_depth),
      cmocka_unit_test (test_round_trip),
      cmocka_unit_test (test_size_of_arrays),
      cmocka_unit_test (test_too_large_and_too_deep),
      cmocka_unit_test (test_order),
      cmocka_unit_test (test_identical),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
