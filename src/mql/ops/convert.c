/* Types: $convert, its short forms $toBool … $toUUID, $isNumber and $type.
 *
 * A conversion that cannot be done fails with CONVERSION_FAILURE, which is what onError catches; arguments that make no
 * sense fail with codes of their own, which it does not catch. */
#include "mql/coerce.h"
#include "mql/operators.h"
#include "mql/ops/binary_text.h"
#include "mql/regex.h"

#include "bson/date.h"
#include "bson/date_parse.h"
#include "bson/decimal.h"
#include "text/number.h"

#include <float.h>
#include <math.h>

#define CONVERSION_FAILURE 241
#define FAILED_TO_PARSE 9
#define BAD_VALUE 2

/* What to convert to. */
typedef struct {
   uint8_t type;
   ecl_value_t subtype; /* of binData; as it was given */
   ecl_binary_format_t format;
} target_t;

#define CANNOT(...) ecl_eval_fail (ev, self, CONVERSION_FAILURE, __VA_ARGS__)
#define NO_ON_ERROR "in $convert with no onError value"

static bool
unsupported (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, const target_t *to)
{
   return CANNOT ("Unsupported conversion from %s to %s " NO_ON_ERROR, ecl_type_name (v->type),
                  ecl_type_name (to->type));
}

static bool
overflow (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v)
{
   return CANNOT ("Conversion would overflow target type " NO_ON_ERROR ": %s", ecl_value_text (&ev->arena, v));
}

static bool
cannot_parse (const ecl_expr_t *self, ecl_eval_t *ev, const char *what, const ecl_value_t *v, const char *why)
{
   return CANNOT ("Failed to parse %s %s " NO_ON_ERROR ": %s", what, ecl_value_text (&ev->arena, v), why);
}

/* ---- numbers ---- */

/* An int64 from any number, towards zero. */
static bool
number_to_int64 (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, int64_t *out)
{
   bool nan, infinite, ok;

   if (v->type == BSON_TYPE_DOUBLE) {
      nan = isnan (v->u.f64);
      infinite = isinf (v->u.f64);
      ok = v->u.f64 >= -0x1p63 && v->u.f64 < 0x1p63;
      *out = ok ? (int64_t) v->u.f64 : 0;
   } else if (v->type == BSON_TYPE_DECIMAL128) {
      ecl_decimal_t d = ecl_decimal_of (v);

      nan = ecl_decimal_is_nan (d);
      infinite = ecl_decimal_is_infinite (d);
      ok = ecl_decimal_round_to_int64 (d, ECL_ROUND_TO_ZERO, out);
   } else {
      *out = v->u.i64;
      return true;
   }
   if (nan || infinite) {
      return CANNOT ("Attempt to convert %s value to integer type " NO_ON_ERROR, nan ? "NaN" : "infinity");
   }
   return ok || overflow (self, ev, v);
}

static bool
to_int64 (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, const target_t *to, int64_t *out)
{
   switch (v->type) {
   case BSON_TYPE_INT32:
   case BSON_TYPE_INT64:
   case BSON_TYPE_DOUBLE:
   case BSON_TYPE_DECIMAL128:
      return number_to_int64 (self, ev, v, out);
   case BSON_TYPE_BOOL:
      *out = v->u.i64;
      return true;
   case BSON_TYPE_UTF8:
      return ecl_text_parse_int (v->u.str, v->len, out) ||
             cannot_parse (self, ev, "number", v, "not a whole number of base 10 that fits");
   case BSON_TYPE_DATE_TIME:
      if (to->type == BSON_TYPE_INT64) {
         *out = v->u.i64;
         return true;
      }
      /* fall through */
   default:
      return unsupported (self, ev, v, to);
   }
}

static bool
to_int (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, const target_t *to, ecl_value_t *out)
{
   int64_t i = 0;

   if (!to_int64 (self, ev, v, to, &i)) {
      return false;
   }
   if (to->type == BSON_TYPE_INT64) {
      *out = ecl_int64 (i);
      return true;
   }
   if (i < INT32_MIN || i > INT32_MAX) {
      return overflow (self, ev, v);
   }
   /* The server compares the double itself with the bounds: 2147483647.5 is beyond them. */
   if (v->type == BSON_TYPE_DOUBLE && (v->u.f64 < INT32_MIN || v->u.f64 > INT32_MAX)) {
      return overflow (self, ev, v);
   }
   *out = ecl_int32 ((int32_t) i);
   return true;
}

/* nan, inf and infinity in any case, as strtod reads them. */
static bool
special_double (const char *text, size_t len, double *out)
{
   bool negative = len && text[0] == '-';

   if (len && (text[0] == '-' || text[0] == '+')) {
      text++;
      len--;
   }
   if ((len == 3 && strncasecmp (text, "inf", 3) == 0) || (len == 8 && strncasecmp (text, "infinity", 8) == 0)) {
      *out = negative ? -INFINITY : INFINITY;
      return true;
   }
   if (len == 3 && strncasecmp (text, "nan", 3) == 0) {
      *out = negative ? -NAN : NAN;
      return true;
   }
   return false;
}

static bool
has_digit_but_zero (const char *text, size_t len)
{
   for (size_t i = 0; i < len && text[i] != 'e' && text[i] != 'E'; i++) {
      if (text[i] >= '1' && text[i] <= '9') {
         return true;
      }
   }
   return false;
}

static bool
string_to_double (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, ecl_value_t *out)
{
   double d;

   if (special_double (v->u.str, v->len, &d)) {
      *out = ecl_double (d);
      return true;
   }
   if (!ecl_text_is_decimal (v->u.str, v->len)) {
      return cannot_parse (self, ev, "number", v, "Did not consume whole string.");
   }
   /* Until 8.3 the server also refuses what is nearer to zero than the smallest normal double. */
   if (!ecl_text_parse_double (v->u.str, v->len, &d) || (fabs (d) < DBL_MIN && has_digit_but_zero (v->u.str, v->len))) {
      return cannot_parse (self, ev, "number", v, "Out of range");
   }
   *out = ecl_double (d);
   return true;
}

static bool
to_double (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, const target_t *to, ecl_value_t *out)
{
   double d;

   switch (v->type) {
   case BSON_TYPE_DOUBLE:
      *out = *v;
      return true;
   case BSON_TYPE_INT32:
   case BSON_TYPE_INT64:
   case BSON_TYPE_BOOL:
   case BSON_TYPE_DATE_TIME:
      *out = ecl_double ((double) v->u.i64);
      return true;
   case BSON_TYPE_DECIMAL128: {
      ecl_decimal_t decimal = ecl_decimal_of (v);

      d = ecl_decimal_to_double (decimal);
      if ((isinf (d) && !ecl_decimal_is_infinite (decimal)) || (fabs (d) < DBL_MIN && !ecl_decimal_is_zero (decimal))) {
         return overflow (self, ev, v);
      }
      *out = ecl_double (d);
      return true;
   }
   case BSON_TYPE_UTF8:
      return string_to_double (self, ev, v, out);
   default:
      return unsupported (self, ev, v, to);
   }
}

static bool
to_decimal (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, const target_t *to, ecl_value_t *out)
{
   ecl_decimal_t d;

   switch (v->type) {
   case BSON_TYPE_DECIMAL128:
      *out = *v;
      return true;
   case BSON_TYPE_INT32:
   case BSON_TYPE_INT64:
   case BSON_TYPE_BOOL:
   case BSON_TYPE_DATE_TIME:
      d = ecl_decimal_from_int64 (v->u.i64);
      break;
   case BSON_TYPE_DOUBLE:
      d = ecl_decimal_from_double_15 (v->u.f64);
      break;
   case BSON_TYPE_UTF8:
      switch (ecl_decimal_from_string (&ev->arena, v->u.str, v->len, &d)) {
      case ECL_DECIMAL_TEXT_OK:
         break;
      case ECL_DECIMAL_TEXT_OVERFLOW:
         return cannot_parse (self, ev, "number", v, "Conversion from string to decimal would overflow");
      case ECL_DECIMAL_TEXT_UNDERFLOW:
         return cannot_parse (self, ev, "number", v, "Conversion from string to decimal would underflow");
      default:
         return cannot_parse (self, ev, "number", v, "Failed to parse string to decimal");
      }
      break;
   default:
      return unsupported (self, ev, v, to);
   }
   *out = ecl_decimal_value (&ev->arena, d);
   return true;
}

/* ---- ObjectId, date, binary data ---- */

static bool
to_oid (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, const target_t *to, ecl_value_t *out)
{
   const uint8_t *bytes;
   uint32_t len;

   if (v->type == BSON_TYPE_OID) {
      *out = *v;
      return true;
   }
   if (v->type != BSON_TYPE_UTF8) {
      return unsupported (self, ev, v, to);
   }
   if (v->len != 24) {
      return cannot_parse (self, ev, "objectId", v, "Invalid string length for parsing to OID, expected 24");
   }
   if (!ecl_binary_decode (&ev->arena, ECL_FORMAT_HEX, v, &bytes, &len)) {
      return cannot_parse (self, ev, "objectId", v, "Invalid character found in hex string");
   }
   *out = ecl_oid_at (bytes);
   return true;
}

/* Seconds since 1970: a signed number in the server. */
static int64_t
oid_seconds (const ecl_value_t *v)
{
   const uint8_t *p = v->u.raw;

   return (int32_t) ((uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3]);
}

static bool
to_date (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, const target_t *to, ecl_value_t *out)
{
   bson_error_t error;
   int64_t ms;

   switch (v->type) {
   case BSON_TYPE_DATE_TIME:
      *out = *v;
      return true;
   case BSON_TYPE_DOUBLE:
   case BSON_TYPE_DECIMAL128:
   case BSON_TYPE_INT64:
      if (!number_to_int64 (self, ev, v, &ms)) {
         return false;
      }
      break;
   case BSON_TYPE_OID:
      ms = oid_seconds (v) * ECL_MS_PER_SECOND;
      break;
   case BSON_TYPE_TIMESTAMP:
      ms = (int64_t) ((uint64_t) v->u.i64 >> 32) * ECL_MS_PER_SECOND;
      break;
   case BSON_TYPE_UTF8:
      if (!ecl_date_parse (v->u.str, v->len, NULL, &ms, &error)) {
         return CANNOT ("%s", error.message);
      }
      break;
   default:
      return unsupported (self, ev, v, to);
   }
   *out = ecl_date (ms);
   return true;
}

static bool
binary_subtype (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, uint8_t *subtype)
{
   int32_t code;

   if (!ecl_is_number (v)) {
      return ecl_eval_fail (ev, self, 4341108, "For BinData, $convert's 'subtype' argument must be a number, but is %s",
                            ecl_type_name (v->type));
   }
   if (!ecl_number_to_int32 (v, &code)) {
      return ecl_eval_fail (ev, self, 4341106, "In $convert, numeric 'subtype' argument is not an integer");
   }
   if (code < 0 || (code > 8 && code < 128) || code > 255) {
      return ecl_eval_fail (ev, self, 4341107,
                            "In $convert, numeric value for 'subtype' does not correspond to a BinData type: %d", code);
   }
   *subtype = (uint8_t) code;
   return true;
}

#define SUBTYPE_UUID 4

static bool
needs_format (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, const target_t *to)
{
   return to->format != ECL_FORMAT_NONE ||
          ecl_eval_fail (ev, self, 4341115, "Format must be specified when converting from '%s' to '%s'",
                         ecl_type_name (v->type), ecl_type_name (to->type));
}

static bool
to_binary (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, const target_t *to, ecl_value_t *out)
{
   uint8_t subtype = 0;
   const uint8_t *bytes;
   uint32_t len;

   if (v->type == BSON_TYPE_BINARY) {
      if (!binary_subtype (self, ev, &to->subtype, &subtype)) {
         return false;
      }
      if (v->subtype != subtype) {
         return CANNOT ("Conversions between different BinData subtypes are not supported");
      }
      *out = *v;
      return true;
   }
   if (v->type != BSON_TYPE_UTF8) {
      return unsupported (self, ev, v, to);
   }
   if (!needs_format (self, ev, v, to) || !binary_subtype (self, ev, &to->subtype, &subtype)) {
      return false;
   }
   if ((to->format == ECL_FORMAT_UUID) != (subtype == SUBTYPE_UUID)) {
      return cannot_parse (self, ev, "BinData", v, "Only the 'uuid' format is allowed with the UUID subtype");
   }
   if (to->format == ECL_FORMAT_AUTO || (to->format == ECL_FORMAT_UTF8 && !ecl_utf8_valid (v->u.str, v->len)) ||
       !ecl_binary_decode (&ev->arena, to->format, v, &bytes, &len)) {
      return cannot_parse (self, ev, "BinData", v, "it does not have that format");
   }
   *out = (ecl_value_t){.type = BSON_TYPE_BINARY, .rep = ECL_REP_RAW, .subtype = subtype, .len = len, .u.raw = bytes};
   if (subtype == BSON_SUBTYPE_BINARY_DEPRECATED) {
      /* The old form of binary data has its length inside. */
      uint8_t *with_length = ecl_arena_alloc (&ev->arena, (size_t) len + 4);

      ecl_store_u32 (with_length, len);
      if (len) {
         memcpy (with_length + 4, bytes, len);
      }
      out->u.raw = with_length;
      out->len = len + 4;
   }
   return true;
}

/* ---- strings ---- */

static bool
binary_to_string (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, const target_t *to, ecl_value_t *out)
{
   ecl_binary_format_t format = to->format;
   ecl_value_t data = *v;
   bool uuid = v->subtype == SUBTYPE_UUID && v->len == 16;

   if (!needs_format (self, ev, v, to)) {
      return false;
   }
   if (data.subtype == BSON_SUBTYPE_BINARY_DEPRECATED && data.len >= 4) {
      data.u.raw += 4;
      data.len -= 4;
   }
   if (format == ECL_FORMAT_AUTO) {
      format = uuid ? ECL_FORMAT_UUID : ECL_FORMAT_BASE64;
   }
   if (format == ECL_FORMAT_UUID && !uuid) {
      return CANNOT ("Failed to convert binData to string " NO_ON_ERROR ": BinData does not represent a valid UUID");
   }
   if (format == ECL_FORMAT_UTF8) {
      if (!ecl_utf8_valid ((const char *) data.u.raw, data.len)) {
         return CANNOT ("Failed to convert binData to string " NO_ON_ERROR
                        ": BinData does not represent a valid UTF-8 string");
      }
      *out = ecl_string ((const char *) data.u.raw, data.len);
      return true;
   }
   *out = ecl_binary_encode (&ev->arena, format, &data);
   return true;
}

static bool
to_string (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, const target_t *to, ecl_value_t *out)
{
   switch (v->type) {
   case BSON_TYPE_BOOL:
      *out = v->u.i64 ? ecl_string ("true", 4) : ecl_string ("false", 5);
      return true;
   case BSON_TYPE_OID: {
      char *text = ecl_arena_alloc (&ev->arena, 24);

      for (int i = 0; i < 12; i++) {
         text[2 * i] = "0123456789abcdef"[v->u.raw[i] >> 4];
         text[2 * i + 1] = "0123456789abcdef"[v->u.raw[i] & 15];
      }
      *out = ecl_string (text, 24);
      return true;
   }
   case BSON_TYPE_BINARY:
      return binary_to_string (self, ev, v, to, out);
   case BSON_TYPE_DOUBLE: {
      char text[ECL_DOUBLE_TEXT];
      size_t len = ecl_double_to_string (v->u.f64, text);

      *out = ecl_string (ecl_arena_strndup (&ev->arena, text, len), len);
      return true;
   }
   case BSON_TYPE_UTF8:
   case BSON_TYPE_INT32:
   case BSON_TYPE_INT64:
   case BSON_TYPE_DECIMAL128:
   case BSON_TYPE_DATE_TIME:
      *out = *v;
      return ecl_coerce_string (self, ev, out);
   default:
      return unsupported (self, ev, v, to);
   }
}

static bool
convert (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, const target_t *to, ecl_value_t *out)
{
   switch (to->type) {
   case BSON_TYPE_BOOL:
      *out = ecl_bool (ecl_truthy (v));
      return true;
   case BSON_TYPE_INT32:
   case BSON_TYPE_INT64:
      return to_int (self, ev, v, to, out);
   case BSON_TYPE_DOUBLE:
      return to_double (self, ev, v, to, out);
   case BSON_TYPE_DECIMAL128:
      return to_decimal (self, ev, v, to, out);
   case BSON_TYPE_UTF8:
      return to_string (self, ev, v, to, out);
   case BSON_TYPE_OID:
      return to_oid (self, ev, v, to, out);
   case BSON_TYPE_DATE_TIME:
      return to_date (self, ev, v, to, out);
   case BSON_TYPE_BINARY:
      return to_binary (self, ev, v, to, out);
   default:
      return unsupported (self, ev, v, to);
   }
}

/* ---- $convert ---- */

enum { INPUT, TO, ON_ERROR, ON_NULL, FORMAT };

ecl_expr_t *
ecl_op_convert_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   if (spec->value.type == BSON_TYPE_DOCUMENT) {
      ecl_iter_t iter;
      ecl_field_t field;

      ecl_iter_init (&iter, &spec->value);
      while (ecl_iter_field (&iter, &field)) {
         if (ecl_key_is (&field, "base") || ecl_key_is (&field, "byteOrder")) {
            return ecl_parse_fail (parse, ecl_at (&field), FAILED_TO_PARSE,
                                   "$convert: '%.*s' is not supported: MongoDB 8.0 does not have it",
                                   (int) field.key_len, field.key);
         }
      }
   }
   return ecl_parse_named (parse, op, spec);
}

/* A type by its name or its number; *none where v is null. */
static bool
read_type (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, uint8_t *type, bool *none)
{
   int32_t code;

   *none = ecl_is_nullish (v);
   if (*none) {
      return true;
   }
   if (ecl_is_string (v)) {
      for (int i = -1; i <= 127; i++) {
         const char *name = ecl_type_name ((uint8_t) i);

         if ((i <= 19 || i == 127) && strlen (name) == v->len && memcmp (name, v->u.str, v->len) == 0) {
            *type = (uint8_t) i;
            return true;
         }
      }
      return ecl_eval_fail (ev, self, BAD_VALUE, "Unknown type name: %s", ecl_value_text (&ev->arena, v));
   }
   if (!ecl_is_number (v)) {
      return ecl_eval_fail (ev, self, FAILED_TO_PARSE, "$convert's 'to' argument must be a string or number, but is %s",
                            ecl_type_name (v->type));
   }
   if (!ecl_number_to_int32 (v, &code)) {
      return ecl_eval_fail (ev, self, FAILED_TO_PARSE, "In $convert, numeric 'to' argument is not an integer");
   }
   if (code < -1 || (code > 19 && code != 127)) {
      return ecl_eval_fail (ev, self, FAILED_TO_PARSE,
                            "In $convert, numeric value for 'to' does not correspond to a BSON type: %d", code);
   }
   *type = (uint8_t) code;
   return true;
}

/* `to`: a type, or {type, subtype}. */
static bool
read_target (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, target_t *to, bool *none)
{
   ecl_value_t type = *v;

   to->subtype = ecl_int32 (0);
   if (ecl_is_document (v)) {
      ecl_iter_t iter;
      ecl_field_t field;
      bool found = false;

      ecl_iter_init (&iter, v);
      while (ecl_iter_field (&iter, &field)) {
         if (ecl_key_is (&field, "type")) {
            type = field.value;
            found = true;
         } else if (ecl_key_is (&field, "subtype")) {
            to->subtype = field.value;
         } else {
            return ecl_eval_fail (ev, self, FAILED_TO_PARSE,
                                  "$convert's 'to' argument must be a string or number, or an object with 'type' and "
                                  "'subtype'; found '%.*s'",
                                  (int) field.key_len, field.key);
         }
      }
      if (!found) {
         return ecl_eval_fail (ev, self, FAILED_TO_PARSE, "$convert's 'to' argument is an object without 'type'");
      }
   }
   return read_type (self, ev, &type, &to->type, none);
}

static bool
read_format (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, ecl_binary_format_t *format)
{
   *format = ECL_FORMAT_NONE;
   if (ecl_is_nullish (v)) {
      return true;
   }
   if (!ecl_is_string (v)) {
      return ecl_eval_fail (ev, self, 4341114, "$convert requires that 'format' be a string, found: %s with value %s",
                            ecl_type_name (v->type), ecl_value_text (&ev->arena, v));
   }
   return ecl_binary_format_find (v->u.str, v->len, format) ||
          ecl_eval_fail (ev, self, 4341125, "Invalid 'format' argument for $convert: %s",
                         ecl_value_text (&ev->arena, v));
}

bool
ecl_op_convert (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t to_value, input, format;
   target_t to;
   bool none;

   if (!ecl_expr_eval (self->args[TO], ev, &to_value) || !ecl_expr_eval (self->args[INPUT], ev, &input) ||
       !ecl_arg (self, FORMAT, ev, &format) || !read_target (self, ev, &to_value, &to, &none)) {
      return false;
   }
   if (ecl_is_nullish (&input)) {
      if (self->args[ON_NULL]) {
         return ecl_expr_eval (self->args[ON_NULL], ev, out);
      }
      *out = ecl_null ();
      return true;
   }
   if (none) {
      *out = ecl_null ();
      return true;
   }
   if (!read_format (self, ev, &format, &to.format)) {
      return false;
   }
   if (convert (self, ev, &input, &to, out)) {
      return true;
   }
   return ev->error.code == CONVERSION_FAILURE && self->args[ON_ERROR] && ecl_expr_eval (self->args[ON_ERROR], ev, out);
}

/* ---- the short forms ---- */

static bool
convert_to (const ecl_expr_t *self, ecl_eval_t *ev, uint8_t type, int32_t subtype, ecl_binary_format_t format,
            ecl_value_t *out)
{
   target_t to = {.type = type, .subtype = ecl_int32 (subtype), .format = format};
   ecl_value_t v;

   if (!ecl_expr_eval (self->args[0], ev, &v)) {
      return false;
   }
   if (ecl_is_nullish (&v)) {
      *out = ecl_null ();
      return true;
   }
   return convert (self, ev, &v, &to, out);
}

#define SHORT_FORM(name, type, subtype, format)                                  \
   bool ecl_op_##name (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out) \
   {                                                                             \
      return convert_to (self, ev, type, subtype, format, out);                  \
   }

SHORT_FORM (toBool, BSON_TYPE_BOOL, 0, ECL_FORMAT_NONE)
SHORT_FORM (toDate, BSON_TYPE_DATE_TIME, 0, ECL_FORMAT_NONE)
SHORT_FORM (toDecimal, BSON_TYPE_DECIMAL128, 0, ECL_FORMAT_NONE)
SHORT_FORM (toDouble, BSON_TYPE_DOUBLE, 0, ECL_FORMAT_NONE)
SHORT_FORM (toInt, BSON_TYPE_INT32, 0, ECL_FORMAT_NONE)
SHORT_FORM (toLong, BSON_TYPE_INT64, 0, ECL_FORMAT_NONE)
SHORT_FORM (toObjectId, BSON_TYPE_OID, 0, ECL_FORMAT_NONE)
SHORT_FORM (toString, BSON_TYPE_UTF8, 0, ECL_FORMAT_AUTO)
SHORT_FORM (toUUID, BSON_TYPE_BINARY, SUBTYPE_UUID, ECL_FORMAT_UUID)

/* ---- $type, $isNumber ---- */

bool
ecl_op_type (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t v;
   const char *name;

   if (!ecl_expr_eval (self->args[0], ev, &v)) {
      return false;
   }
   name = ecl_type_name (v.type);
   *out = ecl_string (name, strlen (name));
   return true;
}

bool
ecl_op_isNumber (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t v;

   if (!ecl_expr_eval (self->args[0], ev, &v)) {
      return false;
   }
   *out = ecl_bool (ecl_is_number (&v));
   return true;
}
