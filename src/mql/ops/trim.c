/* Trimming: $trim $ltrim $rtrim.
 *
 * The characters to trim are a set: a bitmap for ASCII and a sorted list of what is longer, so that trimming takes time
 * linear in the input however many there are. Constant sets are made while parsing. */
#include "mql/coerce.h"
#include "mql/operators.h"

#include <stdlib.h>

typedef struct {
   uint64_t ascii[2];
   uint32_t n;             /* of the longer ones */
   const uint32_t *longer; /* their bytes, the first one highest; sorted */
} trim_set_t;

/* What is trimmed where no characters are given: NUL, ASCII and Unicode space. */
static const uint32_t blanks_longer[] = {
   0xC2A0,   /* U+00A0 no-break space */
   0xE19A80, /* U+1680 ogham space mark */
   0xE28080, 0xE28081, 0xE28082, 0xE28083, 0xE28084, 0xE28085, 0xE28086, 0xE28087, 0xE28088, 0xE28089, 0xE2808A,
};
static const trim_set_t blanks = {
   .ascii = {(uint64_t) 1 << 0 | (uint64_t) 1 << '\t' | (uint64_t) 1 << '\n' | (uint64_t) 1 << '\v' |
             (uint64_t) 1 << '\f' | (uint64_t) 1 << '\r' | (uint64_t) 1 << ' '},
   .n = sizeof blanks_longer / sizeof blanks_longer[0],
   .longer = blanks_longer,
};

static uint32_t
pack (const char *p, uint32_t n)
{
   uint32_t packed = 0;

   for (uint32_t i = 0; i < n; i++) {
      packed = packed << 8 | (uint8_t) p[i];
   }
   return packed;
}

static int
by_value (const void *a, const void *b)
{
   uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;

   return (x > y) - (x < y);
}

/* 0, or the code of what is wrong with the characters. */
static uint32_t
make_set (ecl_arena_t *arena, const ecl_value_t *chars, trim_set_t *set)
{
   uint32_t *longer = NULL;

   memset (set, 0, sizeof *set);
   for (uint32_t i = 0; i < chars->len;) {
      char c = chars->u.str[i];
      uint32_t n = ecl_utf8_length (c);

      if (ecl_is_continuation (c) || (uint8_t) c >= 0xF8) {
         return 50697;
      }
      if (n > chars->len - i) {
         return 50698;
      }
      if (n == 1) {
         set->ascii[(uint8_t) c >> 6] |= (uint64_t) 1 << (c & 63);
      } else {
         if (!longer) {
            longer = ecl_arena_array (arena, uint32_t, (chars->len - i) / 2);
         }
         longer[set->n++] = pack (chars->u.str + i, n);
      }
      i += n;
   }
   if (set->n > 1) {
      qsort (longer, set->n, sizeof *longer, by_value);
   }
   set->longer = longer;
   return 0;
}

static bool
holds_longer (const trim_set_t *set, uint32_t packed)
{
   uint32_t low = 0, high = set->n;

   while (low < high) {
      uint32_t middle = low + (high - low) / 2;

      if (set->longer[middle] < packed) {
         low = middle + 1;
      } else {
         high = middle;
      }
   }
   return low < set->n && set->longer[low] == packed;
}

static inline bool
holds_ascii (const trim_set_t *set, char c)
{
   return (uint8_t) c < 0x80 && (set->ascii[(uint8_t) c >> 6] >> (c & 63) & 1);
}

static void
trim (const trim_set_t *set, bool left, bool right, ecl_value_t *v)
{
   const char *p = v->u.str, *end = p + v->len;

   while (left && p < end) {
      uint32_t n = ecl_utf8_length (*p);

      if (n == 1 ? !holds_ascii (set, *p) : n > (size_t) (end - p) || !holds_longer (set, pack (p, n))) {
         break;
      }
      p += n;
   }
   while (right && p < end) {
      uint32_t n = 1;

      while (n < 4 && n < (size_t) (end - p) && ecl_is_continuation (end[-(int) n])) {
         n++;
      }
      if (n == 1 ? !holds_ascii (set, end[-1])
                 : ecl_utf8_length (end[-(int) n]) != n || !holds_longer (set, pack (end - n, n))) {
         break;
      }
      end -= n;
   }
   *v = ecl_string (p, (size_t) (end - p));
}

/* True where a string begins and ends with ASCII that is not in the set: it stays as it is. */
static inline bool
is_trimmed (const trim_set_t *set, const ecl_value_t *v)
{
   uint8_t first, last;

   if (v->len == 0) {
      return true;
   }
   first = (uint8_t) v->u.str[0];
   last = (uint8_t) v->u.str[v->len - 1];
   return (first | last) < 0x80 && !holds_ascii (set, (char) first) && !holds_ascii (set, (char) last);
}

static ecl_expr_t *
trim_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   static const char *const names[] = {"input", "chars"};
   ecl_expr_t *e;

   if (spec->value.type != BSON_TYPE_DOCUMENT) {
      return ecl_parse_fail (parse, ecl_at (spec), 50696, "%s only supports an object as an argument, found %s",
                             op->name, ecl_type_name (spec->value.type));
   }
   e = ecl_parse_node (parse, op, spec, 2);
   if (!ecl_parse_arguments (parse, e, spec, names, 50694)) {
      return NULL;
   }
   if (!e->args[0]) {
      return ecl_parse_fail (parse, ecl_at (spec), 50695, "%s requires an 'input' field", op->name);
   }
   if (!e->args[1]) {
      e->data = &blanks;
   } else if (ecl_is_constant (e->args[1]) && ecl_is_string (&e->args[1]->constant)) {
      trim_set_t *set = ecl_arena_new (parse->arena, trim_set_t);

      /* Characters that are wrong fail when they are used. */
      e->data = make_set (parse->arena, &e->args[1]->constant, set) == 0 ? set : NULL;
   }
   return ecl_parse_fold (parse, e);
}

/* What does not stay as it is: *v holds the input. */
static ECL_NOINLINE bool
trim_value (const ecl_expr_t *self, ecl_eval_t *ev, bool left, bool right, ecl_value_t *v)
{
   ecl_value_t chars;
   trim_set_t made;
   const trim_set_t *set = self->data;
   uint32_t code;

   if (ecl_is_nullish (v)) {
      *v = ecl_null ();
      return true;
   }
   if (!ecl_is_string (v)) {
      return ecl_eval_fail (ev, self, 50699, "%s requires its input to be a string, got %s (of type %s) instead.",
                            self->op->name, ecl_value_text (&ev->arena, v), ecl_type_name (v->type));
   }
   if (!set) {
      if (!ecl_expr_eval (self->args[1], ev, &chars)) {
         return false;
      }
      if (ecl_is_nullish (&chars)) {
         *v = ecl_null ();
         return true;
      }
      if (!ecl_is_string (&chars)) {
         return ecl_eval_fail (ev, self, 50700, "%s requires 'chars' to be a string, got %s (of type %s) instead.",
                               self->op->name, ecl_value_text (&ev->arena, &chars), ecl_type_name (chars.type));
      }
      code = make_set (&ev->arena, &chars, &made);
      if (code) {
         return ecl_eval_fail (ev, self, code, "%s: 'chars' is not valid UTF-8", self->op->name);
      }
      set = &made;
   }
   trim (set, left, right, v);
   return true;
}

static inline bool
trim_eval (const ecl_expr_t *self, ecl_eval_t *ev, bool left, bool right, ecl_value_t *out)
{
   if (ECL_UNLIKELY (!ecl_expr_eval (self->args[0], ev, out))) {
      return false;
   }
   return (ECL_LIKELY (self->data && ecl_is_string (out)) && is_trimmed (self->data, out)) ||
          trim_value (self, ev, left, right, out);
}

#define TRIM(name, left, right)                                                                              \
   ecl_expr_t *ecl_op_##name##_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec) \
   {                                                                                                         \
      return trim_parse (parse, op, spec);                                                                   \
   }                                                                                                         \
   bool ecl_op_##name (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)                             \
   {                                                                                                         \
      return trim_eval (self, ev, left, right, out);                                                         \
   }

TRIM (trim, true, true)
TRIM (ltrim, true, false)
TRIM (rtrim, false, true)
