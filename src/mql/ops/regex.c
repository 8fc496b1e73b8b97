/* Regular expressions in expressions: $regexMatch $regexFind $regexFindAll. */
#include "mql/regex.h"

#include "mql/coerce.h"
#include "mql/operators.h"

#include <stdio.h>

enum { INPUT, REGEX, OPTIONS };

/* What is known of a pattern and options that are constant. */
typedef struct {
   const ecl_regex_t *regex; /* NULL where the pattern is null */
} prepared_t;

typedef struct {
   const char *pattern, *options; /* pattern is NULL where it is null */
   size_t len, options_len;
} pattern_t;

#define MESSAGE 300

/* Takes the pattern and its options from the two arguments: 0, or the code of what is wrong. */
static uint32_t
read_pattern (const char *name, const ecl_value_t *regex, const ecl_value_t *options, pattern_t *out,
              char message[MESSAGE])
{
   ecl_regex_error_t error;

   memset (out, 0, sizeof *out);
   out->options = "";
   if (!ecl_is_nullish (regex) && !ecl_is_string (regex) && regex->type != BSON_TYPE_REGEX) {
      snprintf (message, MESSAGE, "%s needs 'regex' to be of type string or regex", name);
      return 51105;
   }
   if (!ecl_is_nullish (options) && !ecl_is_string (options)) {
      snprintf (message, MESSAGE, "%s needs 'options' to be of type string", name);
      return 51106;
   }
   if (regex->type == BSON_TYPE_REGEX) {
      /* pattern \0 options \0 */
      out->pattern = regex->u.str;
      out->len = strlen (out->pattern);
      out->options = out->pattern + out->len + 1;
      out->options_len = strlen (out->options);
      if (!ecl_is_nullish (options) && out->options_len) {
         snprintf (message, MESSAGE, "%s: found regex option(s) specified in both 'regex' and 'option' fields", name);
         return 51107;
      }
   } else if (ecl_is_string (regex)) {
      out->pattern = regex->len ? regex->u.str : "";
      out->len = regex->len;
   }
   if (!ecl_is_nullish (options)) {
      out->options = options->len ? options->u.str : "";
      out->options_len = options->len;
   }
   if (out->len && memchr (out->pattern, 0, out->len)) {
      snprintf (message, MESSAGE, "%s: regular expression cannot contain an embedded null byte", name);
      return 51109;
   }
   if (out->options_len && memchr (out->options, 0, out->options_len)) {
      snprintf (message, MESSAGE, "%s: regular expression options cannot contain an embedded null byte", name);
      return 51110;
   }
   /* With a pattern the options are checked when it is compiled. */
   if (!out->pattern && !ecl_regex_check_options (out->options, out->options_len, &error)) {
      snprintf (message, MESSAGE, "%s: %s", name, error.message);
      return 51108;
   }
   return 0;
}

static uint32_t
problem_code (const ecl_regex_error_t *error)
{
   return error->problem == ECL_REGEX_BAD_FLAG ? 51108 : 51111;
}

static ecl_expr_t *
regex_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   static const char *const names[] = {"input", "regex", "options"};
   ecl_expr_t *e;

   if (spec->value.type != BSON_TYPE_DOCUMENT) {
      return ecl_parse_fail (parse, ecl_at (spec), 51103, "%s expects an object of named arguments but found: %s",
                             op->name, ecl_type_name (spec->value.type));
   }
   e = ecl_parse_node (parse, op, spec, 3);
   if (!ecl_parse_arguments (parse, e, spec, names, 31024)) {
      return NULL;
   }
   for (uint32_t k = 0; k < 2; k++) {
      if (!e->args[k]) {
         return ecl_parse_fail (parse, ecl_at (spec), 31022 + k, "%s requires '%s' parameter", op->name, names[k]);
      }
   }
   if (ecl_is_constant (e->args[REGEX]) && (!e->args[OPTIONS] || ecl_is_constant (e->args[OPTIONS]))) {
      ecl_value_t none = ecl_missing ();
      prepared_t *prepared = ecl_arena_new (parse->arena, prepared_t);
      pattern_t pattern;
      char message[MESSAGE];
      uint32_t code = read_pattern (op->name, &e->args[REGEX]->constant,
                                    e->args[OPTIONS] ? &e->args[OPTIONS]->constant : &none, &pattern, message);

      /* The server too compiles constants when it parses. */
      if (code) {
         return ecl_parse_fail (parse, ecl_at (spec), code, "%s", message);
      }
      prepared->regex = NULL;
      if (pattern.pattern) {
         ecl_regex_error_t error;

         prepared->regex = ecl_regex_compile (parse->arena, pattern.pattern, pattern.len, pattern.options,
                                              pattern.options_len, &error);
         if (!prepared->regex) {
            return ecl_parse_fail (parse, ecl_at (spec), problem_code (&error), "%s: %s", op->name, error.message);
         }
      }
      e->data = prepared;
   }
   return ecl_parse_fold (parse, e);
}

/* The expression and the text to search; *regex is NULL where one of both is null. The text has been checked. */
static bool
regex_args (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_regex_t **regex, ecl_value_t *text)
{
   const prepared_t *prepared = self->data;

   if (!ecl_expr_eval (self->args[INPUT], ev, text)) {
      return false;
   }
   if (prepared) {
      *regex = prepared->regex;
   } else {
      ecl_value_t pattern_value, options;
      pattern_t pattern;
      char message[MESSAGE];
      uint32_t code;

      if (!ecl_expr_eval (self->args[REGEX], ev, &pattern_value) || !ecl_arg (self, OPTIONS, ev, &options)) {
         return false;
      }
      code = read_pattern (self->op->name, &pattern_value, &options, &pattern, message);
      if (code) {
         return ecl_eval_fail (ev, self, code, "%s", message);
      }
      *regex = NULL;
      if (pattern.pattern) {
         ecl_regex_error_t error;

         *regex = ecl_regex_cached (ev, pattern.pattern, pattern.len, pattern.options, pattern.options_len, &error);
         if (!*regex) {
            return ecl_eval_fail (ev, self, problem_code (&error), "%s: %s", self->op->name, error.message);
         }
      }
   }
   if (ecl_is_nullish (text)) {
      *regex = NULL;
      return true;
   }
   if (!ecl_is_string (text)) {
      return ecl_eval_fail (ev, self, 51104, "%s needs 'input' to be of type string", self->op->name);
   }
   if (*regex && !ecl_utf8_valid (text->u.str, text->len)) {
      return ecl_eval_fail (ev, self, 51156,
                            "Error occurred while executing the regular expression in %s: the input is not UTF-8",
                            self->op->name);
   }
   return true;
}

static bool
search (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_regex_t *regex, const ecl_value_t *text, size_t start,
        const size_t **groups, bool *found)
{
   ecl_regex_result_t result = ecl_regex_search (regex, ev, text->u.str, text->len, start, groups);

   *found = result == ECL_REGEX_MATCH;
   return *found || result == ECL_REGEX_NO_MATCH ||
          ecl_eval_fail (ev, self, 51156,
                         "Error occurred while executing the regular expression in %s: it takes too many steps or too "
                         "much memory",
                         self->op->name);
}

/* {match, idx, captures} of the match that groups tells. */
static ecl_value_t
match_value (ecl_eval_t *ev, const ecl_regex_t *regex, const ecl_value_t *text, const size_t *groups, size_t index)
{
   uint32_t n = ecl_regex_groups (regex);
   ecl_value_t *captures = ecl_arena_array (&ev->arena, ecl_value_t, n);
   ecl_field_t *fields = ecl_arena_array (&ev->arena, ecl_field_t, 3);

   for (uint32_t i = 0; i < n; i++) {
      size_t begin = groups[2 * i + 2], end = groups[2 * i + 3];

      captures[i] = begin == ECL_REGEX_UNSET ? ecl_null () : ecl_string (text->u.str + begin, end - begin);
   }
   fields[0] = ecl_field ("match", 5, ecl_string (text->u.str + groups[0], groups[1] - groups[0]));
   fields[1] = ecl_field ("idx", 3, ecl_int32 ((int32_t) index));
   fields[2] = ecl_field ("captures", 8, ecl_vec (captures, n));
   return ecl_fields (fields, 3);
}

#define REGEX_PARSE(name)                                                                                    \
   ecl_expr_t *ecl_op_##name##_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec) \
   {                                                                                                         \
      return regex_parse (parse, op, spec);                                                                  \
   }

REGEX_PARSE (regexMatch)
REGEX_PARSE (regexFind)
REGEX_PARSE (regexFindAll)

bool
ecl_op_regexMatch (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   const ecl_regex_t *regex;
   ecl_value_t text;
   bool found = false;

   if (!regex_args (self, ev, &regex, &text) || (regex && !search (self, ev, regex, &text, 0, NULL, &found))) {
      return false;
   }
   *out = ecl_bool (found);
   return true;
}

bool
ecl_op_regexFind (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   const ecl_regex_t *regex;
   const size_t *groups;
   ecl_value_t text;
   bool found = false;

   if (!regex_args (self, ev, &regex, &text) || (regex && !search (self, ev, regex, &text, 0, &groups, &found))) {
      return false;
   }
   *out = found ? match_value (ev, regex, &text, groups, ecl_utf8_count (text.u.str, groups[0])) : ecl_null ();
   return true;
}

/* The server's bound on what it collects (BufferMaxSize). */
#define MOST_FOUND ((uint64_t) 64 * 1024 * 1024)

bool
ecl_op_regexFindAll (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   const ecl_regex_t *regex;
   const size_t *groups;
   ecl_value_t text;
   ecl_value_t *found = NULL;
   size_t n = 0, cap = 0, at = 0, index = 0;
   uint64_t size = 0;

   if (!regex_args (self, ev, &regex, &text)) {
      return false;
   }
   if (!regex) {
      *out = ecl_vec (NULL, 0);
      return true;
   }
   do {
      bool more;
      size_t begin, end;

      if (!search (self, ev, regex, &text, at, &groups, &more)) {
         return false;
      }
      if (!more) {
         break;
      }
      begin = groups[0];
      end = groups[1];
      size += 128 + 16 * (uint64_t) ecl_regex_groups (regex) + (end - begin);
      if (size > MOST_FOUND) {
         return ecl_eval_fail (ev, self, 51151, "%s: the size of buffer to store output exceeded the 64MB limit",
                               self->op->name);
      }
      if (n == cap) {
         found = ecl_arena_grow (&ev->arena, found, cap * sizeof *found, (cap ? 2 * cap : 8) * sizeof *found);
         cap = cap ? 2 * cap : 8;
      }
      index += ecl_utf8_count (text.u.str + at, begin - at);
      found[n++] = match_value (ev, regex, &text, groups, index);
      if (end == begin) {
         /* An empty match: the character behind it is passed over, or the same would be found again. */
         if (begin >= text.len) {
            break;
         }
         at = begin + ecl_utf8_length (text.u.str[begin]);
         index++;
      } else {
         at = end;
         index += ecl_utf8_count (text.u.str + begin, end - begin);
      }
   } while (at < text.len);
   *out = ecl_vec (found, n);
   return true;
}
