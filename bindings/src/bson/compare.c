/* Comparison in BSON order: see compare.h. */
#include "bson/compare.h"

#include "bson/cursor.h"
#include "bson/decimal.h"

#include <math.h>

int
ecl_canonical_type (uint8_t type)
{
   switch (type) {
   case BSON_TYPE_MINKEY:
      return -1;
   case ECL_MISSING:
   case BSON_TYPE_UNDEFINED:
      return 0;
   case BSON_TYPE_NULL:
      return 5;
   case BSON_TYPE_DOUBLE:
   case BSON_TYPE_INT32:
   case BSON_TYPE_INT64:
   case BSON_TYPE_DECIMAL128:
      return 10;
   case BSON_TYPE_UTF8:
   case BSON_TYPE_SYMBOL:
      return 15;
   case BSON_TYPE_DOCUMENT:
      return 20;
   case BSON_TYPE_ARRAY:
      return 25;
   case BSON_TYPE_BINARY:
      return 30;
   case BSON_TYPE_OID:
      return 35;
   case BSON_TYPE_BOOL:
      return 40;
   case BSON_TYPE_DATE_TIME:
      return 45;
   case BSON_TYPE_TIMESTAMP:
      return 47;
   case BSON_TYPE_REGEX:
      return 50;
   case BSON_TYPE_DBPOINTER:
      return 55;
   case BSON_TYPE_CODE:
      return 60;
   case BSON_TYPE_CODEWSCOPE:
      return 65;
   default:
      return 127; /* MaxKey */
   }
}

#define CMP(a, b) (((a) > (b)) - ((a) < (b)))

static int
compare_bytes (const void *a, size_t a_len, const void *b, size_t b_len)
{
   size_t n = a_len < b_len ? a_len : b_len;
   int c = n ? memcmp (a, b, n) : 0;

   return c ? c : CMP (a_len, b_len);
}

static int
compare_doubles (double a, double b)
{
   if (a < b) {
      return -1;
   }
   if (a > b) {
      return 1;
   }
   if (a == b) {
      return 0;
   }
   return (isnan (b) != 0) - (isnan (a) != 0);
}

/* Exactly, although neither type holds all values of the other. */
static int
compare_int64_double (int64_t i, double d)
{
   int64_t truncated;

   if (isnan (d)) {
      return 1;
   }
   if (d >= 0x1p63) {
      return -1;
   }
   if (d < -0x1p63) {
      return 1;
   }
   truncated = (int64_t) d;
   if (i != truncated) {
      return CMP (i, truncated);
   }
   return compare_doubles (0, d - (double) truncated);
}

static ecl_decimal_t
to_decimal (const ecl_value_t *v)
{
   switch (v->type) {
   case BSON_TYPE_DECIMAL128:
      return ecl_decimal_of (v);
   case BSON_TYPE_DOUBLE:
      return ecl_decimal_from_double (v->u.f64);
   default:
      return ecl_decimal_from_int64 (v->u.i64);
   }
}

static int
compare_numbers (const ecl_value_t *a, const ecl_value_t *b)
{
   if (a->type == BSON_TYPE_DECIMAL128 || b->type == BSON_TYPE_DECIMAL128) {
      return ecl_decimal_compare (to_decimal (a), to_decimal (b));
   }
   if (a->type == BSON_TYPE_DOUBLE) {
      return b->type == BSON_TYPE_DOUBLE ? compare_doubles (a->u.f64, b->u.f64)
                                         : -compare_int64_double (b->u.i64, a->u.f64);
   }
   return b->type == BSON_TYPE_DOUBLE ? compare_int64_double (a->u.i64, b->u.f64) : CMP (a->u.i64, b->u.i64);
}

static int
compare_documents (const ecl_value_t *a, const ecl_value_t *b)
{
   ecl_iter_t ia, ib;
   ecl_field_t fa, fb;

   ecl_iter_init (&ia, a);
   ecl_iter_init (&ib, b);
   for (;;) {
      bool more_a = ecl_iter_field (&ia, &fa);
      bool more_b = ecl_iter_field (&ib, &fb);
      int c;

      if (!more_a || !more_b) {
         return (int) more_a - (int) more_b;
      }
      c = CMP (ecl_canonical_type (fa.value.type), ecl_canonical_type (fb.value.type));
      if (!c) {
         c = compare_bytes (fa.key, fa.key_len, fb.key, fb.key_len);
      }
      if (!c) {
         c = ecl_compare (&fa.value, &fb.value);
      }
      if (c) {
         return c;
      }
   }
}

static int
compare_arrays (const ecl_value_t *a, const ecl_value_t *b)
{
   ecl_iter_t ia, ib;
   ecl_value_t va, vb;

   ecl_iter_init (&ia, a);
   ecl_iter_init (&ib, b);
   for (;;) {
      bool more_a = ecl_iter_item (&ia, &va);
      bool more_b = ecl_iter_item (&ib, &vb);
      int c;

      if (!more_a || !more_b) {
         return (int) more_a - (int) more_b;
      }
      c = ecl_compare (&va, &vb);
      if (c) {
         return c;
      }
   }
}

/* The code and the scope of a "code with scope". */
static void
split_code (const ecl_value_t *v, ecl_value_t *code, ecl_value_t *scope)
{
   uint32_t n = ecl_load_u32 (v->u.raw + 4);

   *code = ecl_string ((const char *) v->u.raw + 8, n - 1);
   *scope = ecl_raw_document (v->u.raw + 8 + n, v->len - 8 - n);
}

int
ecl_compare (const ecl_value_t *a, const ecl_value_t *b)
{
   int class = ecl_canonical_type (a->type);
   int c = CMP (class, ecl_canonical_type (b->type));

   if (c) {
      return c;
   }
   switch (class) {
   case 10:
      return compare_numbers (a, b);
   case 15:
   case 60:
      return compare_bytes (a->u.str, a->len, b->u.str, b->len);
   case 20:
      return compare_documents (a, b);
   case 25:
      return compare_arrays (a, b);
   case 30:
      c = CMP (a->len, b->len);
      if (!c) {
         c = CMP (a->subtype, b->subtype);
      }
      return c ? c : compare_bytes (a->u.raw, a->len, b->u.raw, b->len);
   case 35:
   case 50:
      return compare_bytes (a->u.raw, a->len, b->u.raw, b->len);
   case 40:
   case 45:
      return CMP (a->u.i64, b->u.i64);
   case 47:
      return CMP ((uint64_t) a->u.i64, (uint64_t) b->u.i64);
   case 55:
      c = CMP (a->len, b->len);
      return c ? c : compare_bytes (a->u.raw, a->len, b->u.raw, b->len);
   case 65: {
      ecl_value_t code_a, code_b, scope_a, scope_b;

      split_code (a, &code_a, &scope_a);
      split_code (b, &code_b, &scope_b);
      c = ecl_compare (&code_a, &code_b);
      return c ? c : ecl_compare (&scope_a, &scope_b);
   }
   default:
      return 0;
   }
}

bool
ecl_equal (const ecl_value_t *a, const ecl_value_t *b)
{
   if (a->type == b->type) {
      switch (a->type) {
      case BSON_TYPE_UTF8:
         return a->len == b->len && memcmp (a->u.str, b->u.str, a->len) == 0;
      case BSON_TYPE_INT32:
      case BSON_TYPE_INT64:
      case BSON_TYPE_BOOL:
      case BSON_TYPE_DATE_TIME:
         return a->u.i64 == b->u.i64;
      default:
         break;
      }
   }
   return ecl_compare (a, b) == 0;
}

__extension__ typedef unsigned __int128 u128_t;

/* Both halves of the product: the doubles of small integers differ in their high bits only, which a product of 64 bits
 * never carries down to the low ones that a table looks at. */
static uint64_t
mix (uint64_t h, uint64_t x)
{
   u128_t product = (u128_t) (h ^ x) * 0x9E3779B97F4A7C15ull;

   return (uint64_t) product ^ (uint64_t) (product >> 64);
}

static uint64_t
hash_bytes (uint64_t h, const void *data, size_t n)
{
   const uint8_t *p = data;

   h = mix (h, n);
   while (n >= 8) {
      h = mix (h, ecl_load_u64 (p));
      p += 8;
      n -= 8;
   }
   if (n) {
      uint64_t rest = 0;

      memcpy (&rest, p, n);
      h = mix (h, rest);
   }
   return h;
}

static uint64_t
double_bits (double d)
{
   uint64_t bits;

   d += 0.0; /* -0.0 becomes 0.0 */
   memcpy (&bits, &d, sizeof bits);
   return bits;
}

/* The nearest double and, where that is not exact, what it leaves: integers above 2^53 that share a double are told
 * apart, as identifiers made of a time and a counter are. */
static uint64_t
hash_int64 (int64_t i)
{
   double d = (double) i;
   int64_t rest = d >= 0x1p63 ? i - INT64_MAX - 1 : i - (int64_t) d;

   return rest ? mix (double_bits (d), (uint64_t) rest) : double_bits (d);
}

/* As that of the integer or double which it equals, if it does; else from its first and its last 17 digits. (Beyond the
 * range of doubles all have one hash.) */
static uint64_t
hash_decimal (ecl_decimal_t x)
{
   int64_t i;
   double d;
   ecl_decimal_t rest;

   if (ecl_decimal_to_int64 (x, &i)) {
      return hash_int64 (i);
   }
   d = ecl_decimal_to_double (x);
   if (isnan (d)) {
      return 1;
   }
   if (isinf (d)) {
      return double_bits (d);
   }
   rest = ecl_decimal_sub (x, ecl_decimal_from_double (d));
   return ecl_decimal_is_zero (rest) ? double_bits (d)
                                     : mix (double_bits (d), double_bits (ecl_decimal_to_double (rest)));
}

static uint64_t
hash_number (const ecl_value_t *v)
{
   switch (v->type) {
   case BSON_TYPE_DOUBLE:
      return isnan (v->u.f64) ? 1 : double_bits (v->u.f64);
   case BSON_TYPE_DECIMAL128:
      return hash_decimal (ecl_decimal_of (v));
   default:
      return hash_int64 (v->u.i64);
   }
}

uint64_t
ecl_hash (const ecl_value_t *v)
{
   int class = ecl_canonical_type (v->type);
   uint64_t h = mix (0x45434c4fu, (uint64_t) class);

   switch (class) {
   case 10:
      return mix (h, hash_number (v));
   case 15:
   case 60:
      return hash_bytes (h, v->u.str, v->len);
   case 20: {
      ecl_iter_t iter;
      ecl_field_t field;

      ecl_iter_init (&iter, v);
      while (ecl_iter_field (&iter, &field)) {
         h = hash_bytes (h, field.key, field.key_len);
         h = mix (h, ecl_hash (&field.value));
      }
      return h;
   }
   case 25: {
      ecl_iter_t iter;
      ecl_value_t item;

      ecl_iter_init (&iter, v);
      while (ecl_iter_item (&iter, &item)) {
         h = mix (h, ecl_hash (&item));
      }
      return h;
   }
   case 30:
      return hash_bytes (mix (h, v->subtype), v->u.raw, v->len);
   case 35:
   case 50:
   case 55:
      return hash_bytes (h, v->u.raw, v->len);
   case 40:
   case 45:
   case 47:
      return mix (h, (uint64_t) v->u.i64);
   case 65: {
      ecl_value_t code, scope;

      split_code (v, &code, &scope);
      return mix (ecl_hash (&code), ecl_hash (&scope));
   }
   default:
      return h;
   }
}

static bool
identical_children (const ecl_value_t *a, const ecl_value_t *b)
{
   ecl_iter_t ia, ib;

   ecl_iter_init (&ia, a);
   ecl_iter_init (&ib, b);
   for (;;) {
      ecl_field_t fa = {0}, fb = {0};
      bool array = a->type == BSON_TYPE_ARRAY;
      bool more_a = array ? ecl_iter_item (&ia, &fa.value) : ecl_iter_field (&ia, &fa);
      bool more_b = array ? ecl_iter_item (&ib, &fb.value) : ecl_iter_field (&ib, &fb);

      if (!more_a || !more_b) {
         return more_a == more_b;
      }
      if (!array && (fa.key_len != fb.key_len || memcmp (fa.key, fb.key, fa.key_len) != 0)) {
         return false;
      }
      if (!ecl_identical (&fa.value, &fb.value)) {
         return false;
      }
   }
}

bool
ecl_identical (const ecl_value_t *a, const ecl_value_t *b)
{
   if (a->type != b->type) {
      return false;
   }
   switch (a->type) {
   case BSON_TYPE_DOCUMENT:
   case BSON_TYPE_ARRAY:
      if (a->rep == ECL_REP_RAW && b->rep == ECL_REP_RAW) {
         return a->len == b->len && memcmp (a->u.raw, b->u.raw, a->len) == 0;
      }
      return identical_children (a, b);
   case BSON_TYPE_DOUBLE:
      return memcmp (&a->u.f64, &b->u.f64, sizeof (double)) == 0;
   case BSON_TYPE_BINARY:
      return a->subtype == b->subtype && a->len == b->len && memcmp (a->u.raw, b->u.raw, a->len) == 0;
   default:
      if (a->rep == ECL_REP_INLINE) {
         return a->u.i64 == b->u.i64;
      }
      return a->len == b->len && memcmp (a->u.raw, b->u.raw, a->len) == 0;
   }
}
