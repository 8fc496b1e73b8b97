/* Searching in strings: $indexOfBytes $indexOfCP $split $replaceOne $replaceAll. All take time linear in the input. */
#include "mql/coerce.h"
#include "mql/operators.h"

/* ---- $indexOfBytes, $indexOfCP ---- */

/* The optional bound of args[i]; *bound stays as it is where there is none. */
static bool
index_bound (const ecl_expr_t *self, ecl_eval_t *ev, uint32_t i, const char *what, size_t *bound)
{
   ecl_value_t v;
   int32_t index;
   int64_t wide;

   if (i >= self->n) {
      return true;
   }
   if (!ecl_expr_eval (self->args[i], ev, &v)) {
      return false;
   }
   if (!ecl_number_to_int32 (&v, &index)) {
      /* The server gives an integral number beyond 32 bits the code of a negative one. */
      return ecl_eval_fail (ev, self, ecl_number_to_int64 (&v, &wide) ? 40097 : 40096,
                            "%s requires an integral %s, found a value of type: %s, with value: %s", self->op->name,
                            what, ecl_type_name (v.type), ecl_value_text (&ev->arena, &v));
   }
   if (index < 0) {
      return ecl_eval_fail (ev, self, 40097, "%s requires a nonnegative %s, found: %d", self->op->name, what, index);
   }
   *bound = (size_t) index;
   return true;
}

/* The first two arguments and the bounds; *null where the result is null. Codes: of the first, of the second. */
static bool
index_args (const ecl_expr_t *self, ecl_eval_t *ev, uint32_t code, ecl_value_t *text, ecl_value_t *token, size_t *start,
            size_t *end, bool *null)
{
   *null = false;
   if (!ecl_expr_eval (self->args[0], ev, text)) {
      return false;
   }
   if (ecl_is_nullish (text)) {
      *null = true;
      return true;
   }
   if (!ecl_is_string (text)) {
      return ecl_eval_fail (ev, self, code, "%s requires a string as the first argument, found: %s", self->op->name,
                            ecl_type_name (text->type));
   }
   if (!ecl_expr_eval (self->args[1], ev, token)) {
      return false;
   }
   if (!ecl_is_string (token)) {
      return ecl_eval_fail (ev, self, code + 1, "%s requires a string as the second argument, found: %s",
                            self->op->name, ecl_type_name (token->type));
   }
   return index_bound (self, ev, 2, "starting index", start) && index_bound (self, ev, 3, "ending index", end);
}

bool
ecl_op_indexOfBytes (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t text, token;
   size_t start = 0, end = SIZE_MAX, at;
   bool null;

   if (!index_args (self, ev, 40091, &text, &token, &start, &end, &null)) {
      return false;
   }
   if (null) {
      *out = ecl_null ();
      return true;
   }
   if (end > text.len) {
      end = text.len;
   }
   at = start > text.len || end < start ? SIZE_MAX : ecl_find_bytes (text.u.str, end, start, token.u.str, token.len);
   *out = ecl_int32 (at == SIZE_MAX ? -1 : (int32_t) at);
   return true;
}

/* Bytes of the character at `at`, or 0 where the bytes are not one. */
static uint32_t
character_at (const ecl_value_t *v, size_t at)
{
   uint32_t n = ecl_utf8_length (v->u.str[at]);

   if (ecl_is_continuation (v->u.str[at]) || (uint8_t) v->u.str[at] >= 0xF8 || n > v->len - at) {
      return 0;
   }
   for (uint32_t i = 1; i < n; i++) {
      if (!ecl_is_continuation (v->u.str[at + i])) {
         return 0;
      }
   }
   return n;
}

/* The server compares the token at each character from start up to end: a match begins before end and may reach past
 * it, and the empty token is not found at the very end. */
bool
ecl_op_indexOfCP (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t text, token;
   size_t start = 0, end = SIZE_MAX, count = 0, start_byte = 0, at, index;
   bool null;

   if (!index_args (self, ev, 40093, &text, &token, &start, &end, &null)) {
      return false;
   }
   if (null) {
      *out = ecl_null ();
      return true;
   }
   for (size_t byte = 0; byte < text.len; count++) {
      uint32_t n = character_at (&text, byte);

      if (count == start) {
         start_byte = byte;
      }
      if (!n) {
         return ecl_eval_fail (ev, self, 40095, "$indexOfCP found bad UTF-8 in the input");
      }
      byte += n;
   }
   *out = ecl_int32 (-1);
   if (end > count) {
      end = count;
   }
   if (end < start) {
      return true;
   }
   if (start == 0 && text.len == 0 && token.len == 0) {
      *out = ecl_int32 (0);
      return true;
   }
   if (start == end || (token.len && ecl_is_continuation (token.u.str[0]))) {
      return true;
   }
   at = ecl_find_bytes (text.u.str, text.len, start_byte, token.u.str, token.len);
   if (at == SIZE_MAX) {
      return true;
   }
   /* The text is UTF-8 and the token does not begin inside a character, so neither does the match. */
   index = start + ecl_utf8_count (text.u.str + start_byte, at - start_byte);
   if (index < end) {
      *out = ecl_int32 ((int32_t) index);
   }
   return true;
}

/* ---- $split ---- */

bool
ecl_op_split (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t text, separator;
   ecl_value_t *pieces;
   size_t cap = 8, n = 0, from = 0, at;

   if (!ecl_expr_eval (self->args[0], ev, &text) || !ecl_expr_eval (self->args[1], ev, &separator)) {
      return false;
   }
   if (ecl_is_nullish (&text) || ecl_is_nullish (&separator)) {
      *out = ecl_null ();
      return true;
   }
   if (!ecl_is_string (&text)) {
      return ecl_eval_fail (ev, self, 40085,
                            "$split requires an expression that evaluates to a string as a first argument, found: %s",
                            ecl_type_name (text.type));
   }
   if (!ecl_is_string (&separator)) {
      return ecl_eval_fail (ev, self, 40086,
                            "$split requires an expression that evaluates to a string as a second argument, found: %s",
                            ecl_type_name (separator.type));
   }
   if (separator.len == 0) {
      return ecl_eval_fail (ev, self, 40087, "$split requires a non-empty separator");
   }
   pieces = ecl_arena_array (&ev->arena, ecl_value_t, cap);
   do {
      if (n == cap) {
         pieces = ecl_arena_grow (&ev->arena, pieces, cap * sizeof *pieces, 2 * cap * sizeof *pieces);
         cap *= 2;
      }
      if (separator.len == 1) {
         const char *found = memchr (text.u.str + from, *separator.u.str, text.len - from);

         at = found ? (size_t) (found - text.u.str) : SIZE_MAX;
      } else {
         at = ecl_find_bytes (text.u.str, text.len, from, separator.u.str, separator.len);
      }
      pieces[n++] = ecl_string (text.u.str + from, (at == SIZE_MAX ? text.len : at) - from);
      from = at + separator.len;
   } while (at != SIZE_MAX);
   *out = ecl_vec (pieces, n);
   return true;
}

/* ---- $replaceOne, $replaceAll ---- */

enum { INPUT, FIND, REPLACEMENT };

static ecl_expr_t *
replace_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   static const char *const names[] = {"input", "find", "replacement"};
   ecl_expr_t *e;

   if (spec->value.type != BSON_TYPE_DOCUMENT) {
      return ecl_parse_fail (parse, ecl_at (spec), 51751, "%s requires an object as an argument, found: %s", op->name,
                             ecl_type_name (spec->value.type));
   }
   e = ecl_parse_node (parse, op, spec, 3);
   if (!ecl_parse_arguments (parse, e, spec, names, 51750)) {
      return NULL;
   }
   for (uint32_t k = 0; k < 3; k++) {
      if (!e->args[k]) {
         return ecl_parse_fail (parse, ecl_at (spec), 51749 - k, "%s requires '%s' to be specified", op->name,
                                names[k]);
      }
   }
   return ecl_parse_fold (parse, e);
}

ecl_expr_t *
ecl_op_replaceOne_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   return replace_parse (parse, op, spec);
}

ecl_expr_t *
ecl_op_replaceAll_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   return replace_parse (parse, op, spec);
}

/* The three strings; *null where one of them is null. */
static bool
replace_args (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t v[3], bool *null)
{
   static const char *const names[] = {"input", "find", "replacement"};

   *null = false;
   for (uint32_t k = 0; k < 3; k++) {
      if (!ecl_expr_eval (self->args[k], ev, &v[k])) {
         return false;
      }
   }
   for (uint32_t k = 0; k < 3; k++) {
      if (ecl_is_nullish (&v[k])) {
         *null = true;
      } else if (!ecl_is_string (&v[k])) {
         return ecl_eval_fail (ev, self, 51746 - k, "%s requires that '%s' be a string, found: %s", self->op->name,
                               names[k], ecl_value_text (&ev->arena, &v[k]));
      }
   }
   return true;
}

static char *
put (char *p, const ecl_value_t *v)
{
   if (v->len) {
      memcpy (p, v->u.str, v->len);
   }
   return p + v->len;
}

bool
ecl_op_replaceOne (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t v[3];
   bool null;
   size_t at;
   uint64_t len;
   char *text, *p;

   if (!replace_args (self, ev, v, &null)) {
      return false;
   }
   if (null) {
      *out = ecl_null ();
      return true;
   }
   at = ecl_find_bytes (v[INPUT].u.str, v[INPUT].len, 0, v[FIND].u.str, v[FIND].len);
   if (at == SIZE_MAX) {
      *out = v[INPUT];
      return true;
   }
   len = (uint64_t) v[INPUT].len - v[FIND].len + v[REPLACEMENT].len;
   if (!ecl_check_string_size (self, ev, len)) {
      return false;
   }
   text = ecl_arena_alloc (&ev->arena, (size_t) len);
   if (at) {
      memcpy (text, v[INPUT].u.str, at);
   }
   p = put (text + at, &v[REPLACEMENT]);
   at += v[FIND].len;
   if (at < v[INPUT].len) {
      memcpy (p, v[INPUT].u.str + at, v[INPUT].len - at);
   }
   *out = ecl_string (text, (size_t) len);
   return true;
}

/* An empty string is found before every byte and at the end. */
static bool
replace_everywhere (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t v[3], ecl_value_t *out)
{
   uint64_t len = v[INPUT].len + (v[INPUT].len + (uint64_t) 1) * v[REPLACEMENT].len;
   char *text, *p;

   if (!ecl_check_string_size (self, ev, len)) {
      return false;
   }
   p = text = ecl_arena_alloc (&ev->arena, (size_t) len);
   for (uint32_t i = 0; i < v[INPUT].len; i++) {
      p = put (p, &v[REPLACEMENT]);
      *p++ = v[INPUT].u.str[i];
   }
   put (p, &v[REPLACEMENT]);
   *out = ecl_string (text, (size_t) len);
   return true;
}

bool
ecl_op_replaceAll (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t v[3];
   bool null;
   size_t at, from = 0;
   uint64_t n = 0, len;
   char *text, *p;

   if (!replace_args (self, ev, v, &null)) {
      return false;
   }
   if (null) {
      *out = ecl_null ();
      return true;
   }
   if (v[FIND].len == 0) {
      return replace_everywhere (self, ev, v, out);
   }
   while ((at = ecl_find_bytes (v[INPUT].u.str, v[INPUT].len, from, v[FIND].u.str, v[FIND].len)) != SIZE_MAX) {
      n++;
      from = at + v[FIND].len;
   }
   if (n == 0) {
      *out = v[INPUT];
      return true;
   }
   len = v[INPUT].len - n * v[FIND].len + n * v[REPLACEMENT].len;
   if (!ecl_check_string_size (self, ev, len)) {
      return false;
   }
   p = text = ecl_arena_alloc (&ev->arena, (size_t) len);
   for (from = 0; n--; from = at + v[FIND].len) {
      at = ecl_find_bytes (v[INPUT].u.str, v[INPUT].len, from, v[FIND].u.str, v[FIND].len);
      memcpy (p, v[INPUT].u.str + from, at - from);
      p = put (p + (at - from), &v[REPLACEMENT]);
   }
   if (from < v[INPUT].len) {
      memcpy (p, v[INPUT].u.str + from, v[INPUT].len - from);
   }
   *out = ecl_string (text, (size_t) len);
   return true;
}
