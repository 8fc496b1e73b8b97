/* Types: $convert, its short forms $toBool … $toUUID, $isNumber and $type.
 *
 * A conversion that cannot be done fails with CONVERSION_FAILURE, which is what onError catches; arguments that make no
 * sense fail with codes of their own, which it does not catch. */
#include "mql/ops/convert.h"
#include "mql/regex.h"

#include "bson/date.h"
#include "bson/date_parse.h"
#include "bson/decimal.h"
#include "text/number.h"

/* ---- ObjectId, date, binary data ---- */

static bool
to_oid (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, const ecl_convert_target_t *to, ecl_value_t *out)
{
   const uint8_t *bytes;
   uint32_t len;

   if (v->type == BSON_TYPE_OID) {
      *out = *v;
      return true;
   }
   if (v->type != BSON_TYPE_UTF8) {
      return ecl_convert_unsupported (self, ev, v, to);
   }
   if (v->len != 24) {
      return ecl_convert_unread (self, ev, "objectId", v, "Invalid string length for parsing to OID, expected 24");
   }
   if (!ecl_binary_decode (&ev->arena, ECL_FORMAT_HEX, v, &bytes, &len)) {
      return ecl_convert_unread (self, ev, "objectId", v, "Invalid character found in hex string");
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
to_date (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, const ecl_convert_target_t *to, ecl_value_t *out)
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
      if (!ecl_convert_number_to_int64 (self, ev, v, &ms)) {
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
      return ecl_convert_unsupported (self, ev, v, to);
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
needs_format (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, const ecl_convert_target_t *to)
{
   return to->format != ECL_FORMAT_NONE ||
          ecl_eval_fail (ev, self, 4341115, "Format must be specified when converting from '%s' to '%s'",
                         ecl_type_name (v->type), ecl_type_name (to->type));
}

static bool
to_binary (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, const ecl_convert_target_t *to,
           ecl_value_t *out)
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
      return ecl_convert_unsupported (self, ev, v, to);
   }
   if (!needs_format (self, ev, v, to) || !binary_subtype (self, ev, &to->subtype, &subtype)) {
      return false;
   }
   if ((to->format == ECL_FORMAT_UUID) != (subtype == SUBTYPE_UUID)) {
      return ecl_convert_unread (self, ev, "BinData", v, "Only the 'uuid' format is allowed with the UUID subtype");
   }
   if (to->format == ECL_FORMAT_AUTO || (to->format == ECL_FORMAT_UTF8 && !ecl_utf8_valid (v->u.str, v->len)) ||
       !ecl_binary_decode (&ev->arena, to->format, v, &bytes, &len)) {
      return ecl_convert_unread (self, ev, "BinData", v, "it does not have that format");
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
binary_to_string (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, const ecl_convert_target_t *to,
                  ecl_value_t *out)
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
to_string (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, const ecl_convert_target_t *to,
           ecl_value_t *out)
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
      return ecl_convert_unsupported (self, ev, v, to);
   }
}

static bool
convert (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, const ecl_convert_target_t *to, ecl_value_t *out)
{
   switch (to->type) {
   case BSON_TYPE_BOOL:
      *out = ecl_bool (ecl_truthy (v));
      return true;
   case BSON_TYPE_INT32:
   case BSON_TYPE_INT64:
      return ecl_convert_to_int (self, ev, v, to, out);
   case BSON_TYPE_DOUBLE:
      return ecl_convert_to_double (self, ev, v, to, out);
   case BSON_TYPE_DECIMAL128:
      return ecl_convert_to_decimal (self, ev, v, to, out);
   case BSON_TYPE_UTF8:
      return to_string (self, ev, v, to, out);
   case BSON_TYPE_OID:
      return to_oid (self, ev, v, to, out);
   case BSON_TYPE_DATE_TIME:
      return to_date (self, ev, v, to, out);
   case BSON_TYPE_BINARY:
      return to_binary (self, ev, v, to, out);
   default:
      return ecl_convert_unsupported (self, ev, v, to);
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
read_target (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, ecl_convert_target_t *to, bool *none)
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
   ecl_convert_target_t to;
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
   ecl_convert_target_t to = {.type = type, .subtype = ecl_int32 (subtype), .format = format};
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
