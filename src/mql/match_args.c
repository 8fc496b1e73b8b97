/* Arguments of the query operators that are constants: types, bit masks, divisors, sizes, regexes, the values of $in.
 * Codes are the server's: 2 BadValue, 9 FailedToParse, 14 TypeMismatch. */
#include "mql/match_node.h"
#include "mql/match_types.h"

#include "bson/decimal.h"

#include <math.h>
#include <stdlib.h>

/* ---- types ---- */

static const uint8_t all_types[] = {
   BSON_TYPE_DOUBLE,    BSON_TYPE_UTF8,      BSON_TYPE_DOCUMENT, BSON_TYPE_ARRAY,      BSON_TYPE_BINARY,
   BSON_TYPE_UNDEFINED, BSON_TYPE_OID,       BSON_TYPE_BOOL,     BSON_TYPE_DATE_TIME,  BSON_TYPE_NULL,
   BSON_TYPE_REGEX,     BSON_TYPE_DBPOINTER, BSON_TYPE_CODE,     BSON_TYPE_SYMBOL,     BSON_TYPE_CODEWSCOPE,
   BSON_TYPE_INT32,     BSON_TYPE_TIMESTAMP, BSON_TYPE_INT64,    BSON_TYPE_DECIMAL128, BSON_TYPE_MINKEY,
   BSON_TYPE_MAXKEY,
};
#define N_TYPES (sizeof all_types / sizeof all_types[0])

uint32_t
ecl_type_alias (const char *name, size_t len)
{
   if (len == 6 && memcmp (name, "number", 6) == 0) {
      return ECL_TYPES_NUMBER;
   }
   for (size_t i = 0; i < N_TYPES; i++) {
      const char *alias = ecl_type_name (all_types[i]);

      if (strlen (alias) == len && memcmp (alias, name, len) == 0) {
         return ecl_type_bit (all_types[i]);
      }
   }
   return 0;
}

const char *
ecl_types_text (ecl_arena_t *arena, uint32_t types)
{
   const char *text = "";

   if ((types & ECL_TYPES_NUMBER) == ECL_TYPES_NUMBER) {
      text = "number";
      types &= ~ECL_TYPES_NUMBER;
   }
   for (size_t i = 0; i < N_TYPES; i++) {
      if (types & ecl_type_bit (all_types[i])) {
         text = ecl_arena_printf (arena, "%s%s%s", text, *text ? " or " : "", ecl_type_name (all_types[i]));
      }
   }
   return text;
}

bool
ecl_is_nan (const ecl_value_t *v)
{
   return v->type == BSON_TYPE_DOUBLE ? isnan (v->u.f64)
                                      : v->type == BSON_TYPE_DECIMAL128 && ecl_decimal_is_nan (ecl_decimal_of (v));
}

static bool
parse_type (ecl_parse_t *parse, const ecl_field_t *spec, uint32_t *out)
{
   const ecl_value_t *v = &spec->value;
   uint32_t types;
   int32_t code;

   if (v->type == BSON_TYPE_UTF8) {
      types = ecl_type_alias (v->u.str, v->len);
      if (types) {
         *out |= types;
         return true;
      }
      if (v->len == 7 && memcmp (v->u.str, "missing", 7) == 0) {
         ecl_parse_fail (parse, ecl_at (spec), 2,
                         "'missing' is not a legal type name; to ask whether a field is there, use {$exists: false}");
      } else {
         ecl_parse_fail (parse, ecl_at (spec), 2, "Unknown type name alias: %.*s", (int) v->len, v->u.str);
      }
      return false;
   }
   if (!ecl_is_number (v)) {
      ecl_parse_fail (parse, ecl_at (spec), 14, "type must be represented as a number or a string, found %s",
                      ecl_type_name (v->type));
      return false;
   }
   if (ecl_number_to_int32 (v, &code)) {
      if (code == -1 || code == 127 || (code >= 1 && code <= 19)) {
         *out |= ecl_type_bit ((uint8_t) code);
         return true;
      }
      if (code == 0) {
         ecl_parse_fail (parse, ecl_at (spec), 2, "Invalid numerical type code: 0; use {$exists: false}");
         return false;
      }
   }
   ecl_parse_fail (parse, ecl_at (spec), 2, "Invalid numerical type code: %s", ecl_value_text (parse->arena, v));
   return false;
}

bool
ecl_match_parse_types (ecl_parse_t *parse, const ecl_field_t *spec, uint32_t *out)
{
   ecl_iter_t iter;
   ecl_field_t field;
   bool ok = true;

   *out = 0;
   if (spec->value.type != BSON_TYPE_ARRAY) {
      return parse_type (parse, spec, out);
   }
   ecl_iter_init (&iter, &spec->value);
   while (ecl_iter_field (&iter, &field)) {
      ok &= parse_type (parse, &field, out);
   }
   if (ok && !*out) {
      ecl_parse_fail (parse, ecl_at (spec), 9, "%.*s must match at least one type", (int) spec->key_len, spec->key);
      return false;
   }
   return ok;
}

/* ---- numbers ---- */

/* Any number without what is behind its point; false for what no int64 can hold. */
static bool
truncated (const ecl_value_t *v, int64_t *out)
{
   if (v->type == BSON_TYPE_DOUBLE) {
      ecl_value_t whole = ecl_double (trunc (v->u.f64));
      return ecl_number_to_int64 (&whole, out);
   }
   if (v->type == BSON_TYPE_DECIMAL128) {
      return ecl_decimal_round_to_int64 (ecl_decimal_of (v), ECL_ROUND_TO_ZERO, out);
   }
   return ecl_number_to_int64 (v, out);
}

bool
ecl_match_parse_mod (ecl_parse_t *parse, const ecl_field_t *spec, int64_t *divisor, int64_t *remainder)
{
   static const char *const names[] = {"divisor", "remainder"};
   int64_t *const targets[] = {divisor, remainder};
   ecl_iter_t iter;
   ecl_field_t field;
   uint32_t n = 0;

   if (spec->value.type != BSON_TYPE_ARRAY) {
      ecl_parse_fail (parse, ecl_at (spec), 2, "malformed mod, needs to be an array [divisor, remainder]");
      return false;
   }
   ecl_iter_init (&iter, &spec->value);
   while (ecl_iter_field (&iter, &field)) {
      if (n == 2) {
         ecl_parse_fail (parse, ecl_at (&field), 2,
                         "malformed mod, too many elements: it takes a divisor and a remainder");
         return false;
      }
      if (!ecl_is_number (&field.value)) {
         ecl_parse_fail (parse, ecl_at (&field), 2, "malformed mod, %s not a number", names[n]);
         return false;
      }
      if (!truncated (&field.value, targets[n])) {
         ecl_parse_fail (parse, ecl_at (&field), 2, "malformed mod, %s value is invalid: no 64-bit integer holds %s",
                         names[n], ecl_value_text (parse->arena, &field.value));
         return false;
      }
      n++;
   }
   if (n < 2) {
      ecl_parse_fail (parse, ecl_at (spec), 2,
                      "malformed mod, not enough elements: it takes a divisor and a remainder");
      return false;
   }
   if (*divisor == 0) {
      ecl_parse_fail (parse, ecl_at (spec), 2, "divisor cannot be 0");
      return false;
   }
   return true;
}

bool
ecl_match_parse_size (ecl_parse_t *parse, const ecl_field_t *spec, int64_t *out)
{
   int32_t size;

   if (!ecl_is_number (&spec->value)) {
      ecl_parse_fail (parse, ecl_at (spec), 2, "Failed to parse $size. Expected a number, found %s",
                      ecl_type_name (spec->value.type));
      return false;
   }
   if (!ecl_number_to_int32 (&spec->value, &size)) {
      ecl_parse_fail (parse, ecl_at (spec), 2, "Failed to parse $size. Expected a 32-bit integer, found %s",
                      ecl_value_text (parse->arena, &spec->value));
      return false;
   }
   if (size < 0) {
      ecl_parse_fail (parse, ecl_at (spec), 2, "Failed to parse $size. Expected a non-negative number, found %d", size);
      return false;
   }
   *out = size;
   return true;
}

/* ---- bits ---- */

static bool
parse_positions (ecl_parse_t *parse, const ecl_field_t *spec, ecl_match_bits_t *out)
{
   uint32_t n = ecl_array_count (&spec->value), i = 0;
   uint32_t *positions = ecl_arena_array (parse->arena, uint32_t, n);
   ecl_iter_t iter;
   ecl_field_t field;

   ecl_iter_init (&iter, &spec->value);
   while (ecl_iter_field (&iter, &field)) {
      int32_t position;

      if (!ecl_is_number (&field.value)) {
         ecl_parse_fail (parse, ecl_at (&field), 2, "bit positions must be an integer but got: %s",
                         ecl_value_text (parse->arena, &field.value));
         return false;
      }
      if (!ecl_number_to_int32 (&field.value, &position)) {
         ecl_parse_fail (parse, ecl_at (&field), 2,
                         "bit positions must be representable as a 32-bit signed integer but got: %s",
                         ecl_value_text (parse->arena, &field.value));
         return false;
      }
      if (position < 0) {
         ecl_parse_fail (parse, ecl_at (&field), 2, "bit positions must be >= 0 but got: %d", position);
         return false;
      }
      positions[i++] = (uint32_t) position;
      out->number |= 1ull << (position < 63 ? position : 63);
   }
   out->positions = positions;
   out->n_positions = i;
   return true;
}

bool
ecl_match_parse_bits (ecl_parse_t *parse, const ecl_field_t *spec, ecl_match_bits_t *out)
{
   const ecl_value_t *v = &spec->value;
   int64_t mask;

   memset (out, 0, sizeof *out);
   if (v->type == BSON_TYPE_ARRAY) {
      return parse_positions (parse, spec, out);
   }
   if (v->type == BSON_TYPE_BINARY) {
      out->bytes = v->u.raw;
      out->n_bytes = v->len;
      for (uint32_t i = 0; i < v->len; i++) {
         if (i < 8) {
            out->number |= (uint64_t) v->u.raw[i] << (8 * i);
         } else if (v->u.raw[i]) {
            out->number |= 1ull << 63;
         }
      }
      return true;
   }
   if (ecl_is_number (v)) {
      uint8_t *bytes;

      if (!ecl_number_to_int64 (v, &mask)) {
         ecl_parse_fail (parse, ecl_at (spec), 9, "Expected an integer: %.*s: %s", (int) spec->key_len, spec->key,
                         ecl_value_text (parse->arena, v));
         return false;
      }
      if (mask < 0) {
         ecl_parse_fail (parse, ecl_at (spec), 9, "Expected a non-negative number in: %.*s: %lld", (int) spec->key_len,
                         spec->key, (long long) mask);
         return false;
      }
      out->number = (uint64_t) mask;
      bytes = ecl_arena_alloc (parse->arena, 8);
      ecl_store_u64 (bytes, out->number);
      out->bytes = bytes;
      out->n_bytes = 8;
      return true;
   }
   ecl_parse_fail (parse, ecl_at (spec), 2, "%.*s takes an Array, a number, or a BinData but received: %s",
                   (int) spec->key_len, spec->key, ecl_type_name (v->type));
   return false;
}

/* ---- regexes ---- */

void
ecl_match_split_regex (const ecl_value_t *v, ecl_match_regex_t *out)
{
   out->pattern = (const char *) v->u.raw;
   out->pattern_len = (uint32_t) strnlen (out->pattern, v->len);
   out->options = out->pattern + out->pattern_len + 1;
   out->options_len = v->len - out->pattern_len - 2;
}

bool
ecl_match_parse_regex (ecl_parse_t *parse, const uint8_t *at, const char *pattern, size_t pattern_len,
                       const char *options, size_t options_len, ecl_match_regex_t *out)
{
   ecl_regex_error_t error;

   out->pattern = pattern;
   out->pattern_len = (uint32_t) pattern_len;
   out->options = options;
   out->options_len = (uint32_t) options_len;
   if (memchr (pattern, 0, pattern_len)) {
      ecl_parse_fail (parse, at, 2, "Regular expression cannot contain an embedded null byte");
      return false;
   }
   out->compiled = ecl_regex_compile (parse->arena, pattern, pattern_len, options, options_len, &error);
   if (!out->compiled) {
      if (error.problem == ECL_REGEX_BAD_FLAG) {
         ecl_parse_fail (parse, at, 51108, "invalid flag in regex options: %s", error.message);
      } else {
         ecl_parse_fail (parse, at, 51091, "Regular expression is invalid: %s", error.message);
      }
      return false;
   }
   return true;
}

/* ---- $in ---- */

static int
compare_values (const void *a, const void *b)
{
   return ecl_compare (a, b);
}

void
ecl_match_prepare_set (ecl_match_set_t *set)
{
   uint32_t kept = 0;

   qsort (set->values, set->n, sizeof *set->values, compare_values);
   for (uint32_t i = 0; i < set->n; i++) {
      if (kept == 0 || !ecl_equal (&set->values[kept - 1], &set->values[i])) {
         set->values[kept++] = set->values[i];
      }
      set->classes |= ecl_match_class_bit (set->values[i].type);
      set->has_null |= set->values[i].type == BSON_TYPE_NULL;
   }
   set->n = kept;
}
