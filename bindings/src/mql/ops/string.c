/* Strings: $concat $strLenBytes $strLenCP $strcasecmp $substr $substrBytes $substrCP $toLower $toUpper. */
#include "mql/coerce.h"
#include "mql/operators.h"

/* Operands that are kept on the stack; more of them go to the arena. */
#define FEW 8

bool
ecl_op_concat (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t few[FEW];
   ecl_value_t *parts = self->n <= FEW ? few : ecl_arena_array (&ev->arena, ecl_value_t, self->n);
   uint32_t n = 0;
   uint64_t len = 0;
   char *text, *p;

   for (uint32_t i = 0; i < self->n; i++) {
      if (!ecl_expr_eval (self->args[i], ev, &parts[n])) {
         return false;
      }
      /* What is behind the first null is not looked at, so it cannot fail. */
      if (ecl_is_nullish (&parts[n])) {
         *out = ecl_null ();
         return true;
      }
      if (!ecl_is_string (&parts[n])) {
         return ecl_eval_fail (ev, self, 16702, "$concat only supports strings, not %s", ecl_type_name (parts[n].type));
      }
      len += parts[n].len;
      n += parts[n].len != 0;
   }
   if (n == 0) {
      *out = ecl_string ("", 0);
      return true;
   }
   if (n == 1) {
      *out = parts[0];
      return true;
   }
   if (!ecl_check_string_size (self, ev, len)) {
      return false;
   }
   /* In a $reduce the first operand is what the last round made: it grows in place. */
   text = ecl_arena_extend (&ev->arena, parts[0].u.str, parts[0].len, (size_t) len - parts[0].len);
   p = text + parts[0].len;
   for (uint32_t i = 1; i < n; i++) {
      memcpy (p, parts[i].u.str, parts[i].len);
      p += parts[i].len;
   }
   *out = ecl_string (text, (size_t) len);
   return true;
}

/* ---- lengths ---- */

bool
ecl_op_strLenBytes (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t v;

   if (!ecl_expr_eval (self->args[0], ev, &v)) {
      return false;
   }
   if (!ecl_is_string (&v)) {
      return ecl_eval_fail (ev, self, 34473, "$strLenBytes requires a string argument, found: %s",
                            ecl_type_name (v.type));
   }
   *out = ecl_int32 ((int32_t) v.len);
   return true;
}

bool
ecl_op_strLenCP (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t v;

   if (!ecl_expr_eval (self->args[0], ev, &v)) {
      return false;
   }
   if (!ecl_is_string (&v)) {
      return ecl_eval_fail (ev, self, 34471, "$strLenCP requires a string argument, found: %s", ecl_type_name (v.type));
   }
   *out = ecl_int32 ((int32_t) ecl_utf8_count (v.u.str, v.len));
   return true;
}

/* ---- case: ASCII letters only ---- */

static inline char
upper (char c)
{
   return c >= 'a' && c <= 'z' ? (char) (c - 32) : c;
}

static inline char
lower (char c)
{
   return c >= 'A' && c <= 'Z' ? (char) (c + 32) : c;
}

static bool
change_case (const ecl_expr_t *self, ecl_eval_t *ev, char (*change) (char), ecl_value_t *out)
{
   ecl_value_t v;
   uint32_t i = 0;
   char *text;

   if (!ecl_expr_eval (self->args[0], ev, &v) || !ecl_coerce_string (self, ev, &v)) {
      return false;
   }
   while (i < v.len && change (v.u.str[i]) == v.u.str[i]) {
      i++;
   }
   if (i == v.len) {
      *out = v;
      return true;
   }
   text = ecl_arena_alloc (&ev->arena, v.len);
   memcpy (text, v.u.str, i);
   for (; i < v.len; i++) {
      text[i] = change (v.u.str[i]);
   }
   *out = ecl_string (text, v.len);
   return true;
}

bool
ecl_op_toLower (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   return change_case (self, ev, lower, out);
}

bool
ecl_op_toUpper (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   return change_case (self, ev, upper, out);
}

bool
ecl_op_strcasecmp (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t a, b;
   uint32_t i = 0;
   int order;

   if (!ecl_expr_eval (self->args[0], ev, &a) || !ecl_expr_eval (self->args[1], ev, &b) ||
       !ecl_coerce_string (self, ev, &a) || !ecl_coerce_string (self, ev, &b)) {
      return false;
   }
   while (i < a.len && i < b.len && upper (a.u.str[i]) == upper (b.u.str[i])) {
      i++;
   }
   if (i < a.len && i < b.len) {
      order = (uint8_t) upper (a.u.str[i]) < (uint8_t) upper (b.u.str[i]) ? -1 : 1;
   } else {
      order = (a.len > b.len) - (a.len < b.len);
   }
   *out = ecl_int32 (order);
   return true;
}

/* ---- parts ---- */

/* A number as the server's coerceToLong: towards zero, at the ends where it does not fit. */
static int64_t
to_long (const ecl_value_t *v)
{
   int64_t i;
   double d;

   if (ecl_number_to_int64 (v, &i)) {
      return i;
   }
   d = ecl_number_to_double (v);
   if (d != d) {
      return 0;
   }
   return d >= 0x1p63 ? INT64_MAX : d < -0x1p63 ? INT64_MIN : (int64_t) d;
}

static bool
substr_bytes (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t v, from, count;
   int64_t start, wanted;
   uint64_t end;
   const char *name = self->op->name;

   if (!ecl_expr_eval (self->args[0], ev, &v) || !ecl_expr_eval (self->args[1], ev, &from) ||
       !ecl_expr_eval (self->args[2], ev, &count) || !ecl_coerce_string (self, ev, &v)) {
      return false;
   }
   if (!ecl_is_number (&from)) {
      return ecl_eval_fail (ev, self, 16034, "%s: starting index must be a numeric type (is BSON type %s)", name,
                            ecl_type_name (from.type));
   }
   if (!ecl_is_number (&count)) {
      return ecl_eval_fail (ev, self, 16035, "%s: length must be a numeric type (is BSON type %s)", name,
                            ecl_type_name (count.type));
   }
   start = to_long (&from);
   if (start < 0) {
      return ecl_eval_fail (ev, self, 50752, "%s: starting index must be non-negative (got: %lld)", name,
                            (long long) start);
   }
   wanted = to_long (&count);
   end = wanted < 0 ? v.len : (uint64_t) start + (uint64_t) wanted;
   if (start < v.len && ecl_is_continuation (v.u.str[start])) {
      return ecl_eval_fail (ev, self, 28656, "%s: Invalid range, starting index is a UTF-8 continuation byte.", name);
   }
   if (end < v.len && ecl_is_continuation (v.u.str[end])) {
      return ecl_eval_fail (ev, self, 28657, "%s: Invalid range, ending index is in the middle of a UTF-8 character.",
                            name);
   }
   if (start >= v.len) {
      *out = ecl_string ("", 0);
      return true;
   }
   end = end > v.len ? v.len : end;
   *out = ecl_string (v.u.str + start, (size_t) end - (size_t) start);
   return true;
}

bool
ecl_op_substr (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   return substr_bytes (self, ev, out);
}

bool
ecl_op_substrBytes (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   return substr_bytes (self, ev, out);
}

/* Goes count characters on from byte *at, or to the end; false where that is not UTF-8. */
static bool
skip_characters (const ecl_value_t *v, int32_t count, uint32_t *at)
{
   uint64_t word;

   /* Where the next eight bytes are ASCII, so are the characters of that many bytes. */
   while (count > 0 && v->len >= 8 && *at <= v->len - 8) {
      uint32_t n = count < 8 ? (uint32_t) count : 8;

      memcpy (&word, v->u.str + *at, 8);
      if (word & 0x8080808080808080ull) {
         break;
      }
      *at += n;
      count -= (int32_t) n;
   }
   for (; count > 0 && *at < v->len; count--) {
      if (ecl_is_continuation (v->u.str[*at]) || (uint8_t) v->u.str[*at] >= 0xF8) {
         return false;
      }
      *at += ecl_utf8_length (v->u.str[*at]);
   }
   if (*at > v->len) {
      *at = v->len; /* the last character is cut */
   }
   return true;
}

bool
ecl_op_substrCP (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t v, from, count;
   int32_t start, wanted;
   uint32_t begin = 0, end;

   if (!ecl_expr_eval (self->args[0], ev, &v) || !ecl_expr_eval (self->args[1], ev, &from) ||
       !ecl_expr_eval (self->args[2], ev, &count) || !ecl_coerce_string (self, ev, &v)) {
      return false;
   }
   if (!ecl_is_number (&from)) {
      return ecl_eval_fail (ev, self, 34450, "$substrCP: starting index must be a numeric type (is BSON type %s)",
                            ecl_type_name (from.type));
   }
   if (!ecl_number_to_int32 (&from, &start)) {
      return ecl_eval_fail (ev, self, 34451,
                            "$substrCP: starting index cannot be represented as a 32-bit integral value: %s",
                            ecl_value_text (&ev->arena, &from));
   }
   if (!ecl_is_number (&count)) {
      return ecl_eval_fail (ev, self, 34452, "$substrCP: length must be a numeric type (is BSON type %s)",
                            ecl_type_name (count.type));
   }
   if (!ecl_number_to_int32 (&count, &wanted)) {
      return ecl_eval_fail (ev, self, 34453, "$substrCP: length cannot be represented as a 32-bit integral value: %s",
                            ecl_value_text (&ev->arena, &count));
   }
   if (wanted < 0) {
      return ecl_eval_fail (ev, self, 34454, "$substrCP: length must be a nonnegative integer.");
   }
   if (start < 0) {
      return ecl_eval_fail (ev, self, 34455, "$substrCP: the starting index must be nonnegative integer.");
   }
   if (!skip_characters (&v, start, &begin)) {
      return ecl_eval_fail (ev, self, 34456, "$substrCP: invalid UTF-8 string");
   }
   end = begin;
   if (!skip_characters (&v, wanted, &end)) {
      return ecl_eval_fail (ev, self, 34458, "$substrCP: invalid UTF-8 string");
   }
   *out = ecl_string (v.u.str + begin, end - begin);
   return true;
}
