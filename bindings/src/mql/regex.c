/* Regular expressions: see regex.h. The only file that includes pcre2.h. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "mql/regex.h"

#include <pcre2.h>
#include <stdio.h>

/* What one match may cost. The steps are PCRE2's default, which the server leaves as it is; the memory is less than
 * PCRE2's default of 20 GB, because it is taken per thread. */
#define MATCH_STEPS 10000000u
#define MATCH_HEAP_KIB (64u * 1024u)
#define JIT_STACK_FIRST ((size_t) 32 * 1024)
#define JIT_STACK_MOST ((size_t) 1024 * 1024)

/* Of the patterns that came from documents. Looked through one by one: a comparison of hashes each. */
#define CACHE_SIZE 32u

struct ecl_regex_t {
   pcre2_code *code;
   uint32_t groups;
};

typedef struct {
   ecl_regex_t regex;
   char *key; /* pattern, NUL, options */
   size_t key_len;
   uint64_t hash;
   uint64_t used; /* the state's clock when it was last asked for */
} cached_t;

struct ecl_regex_state_t {
   pcre2_match_context *context;
   pcre2_jit_stack *jit_stack;
   pcre2_match_data *data;
   uint32_t data_pairs;
   uint32_t n_cached;
   uint64_t clock;
   cached_t cached[CACHE_SIZE];
};

/* ---- compiling ---- */

static bool
read_options (const char *options, size_t len, uint32_t *flags, ecl_regex_error_t *error)
{
   /* \C would end a match inside a character, and the search behind it would begin there. */
   *flags = PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C;
   for (size_t i = 0; i < len; i++) {
      switch (options[i]) {
      case 'i':
         *flags |= PCRE2_CASELESS;
         break;
      case 'm':
         *flags |= PCRE2_MULTILINE;
         break;
      case 's':
         *flags |= PCRE2_DOTALL;
         break;
      case 'x':
         *flags |= PCRE2_EXTENDED;
         break;
      case 'u':
         break;
      default:
         error->problem = ECL_REGEX_BAD_FLAG;
         snprintf (error->message, sizeof error->message, "invalid flag in regex options: %c",
                   options[i] >= ' ' && options[i] < 127 ? options[i] : '?');
         return false;
      }
   }
   return true;
}

bool
ecl_regex_check_options (const char *options, size_t len, ecl_regex_error_t *error)
{
   uint32_t flags;

   return read_options (options, len, &flags, error);
}

static bool
compile (ecl_regex_t *self, const char *pattern, size_t len, const char *options, size_t options_len,
         ecl_regex_error_t *error)
{
   uint32_t flags;
   int code;
   size_t offset;

   if (!read_options (options, options_len, &flags, error)) {
      return false;
   }
   error->problem = ECL_REGEX_BAD_PATTERN;
   if (len > ECL_REGEX_MAX_PATTERN) {
      snprintf (error->message, sizeof error->message, "Regular expression is too long: %zu bytes, at most %u", len,
                ECL_REGEX_MAX_PATTERN);
      return false;
   }
   self->code = pcre2_compile ((PCRE2_SPTR) pattern, len, flags, &code, &offset, NULL);
   if (!self->code) {
      char text[120] = "";

      pcre2_get_error_message (code, (PCRE2_UCHAR *) text, sizeof text);
      snprintf (error->message, sizeof error->message, "Regular expression is invalid: %s (at %zu)", text, offset);
      return false;
   }
   /* Where there is no JIT for the machine or the pattern, matching interprets. */
   pcre2_jit_compile (self->code, PCRE2_JIT_COMPLETE);
   pcre2_pattern_info (self->code, PCRE2_INFO_CAPTURECOUNT, &self->groups);
   return true;
}

static void
destroy_code (void *code)
{
   pcre2_code_free (code);
}

const ecl_regex_t *
ecl_regex_compile (ecl_arena_t *arena, const char *pattern, size_t len, const char *options, size_t options_len,
                   ecl_regex_error_t *error)
{
   ecl_regex_t regex = {0}, *self;

   if (!compile (&regex, pattern, len, options, options_len, error)) {
      return NULL;
   }
   self = ecl_arena_new (arena, ecl_regex_t);
   *self = regex;
   ecl_arena_own (arena, regex.code, destroy_code);
   return self;
}

uint32_t
ecl_regex_groups (const ecl_regex_t *self)
{
   return self->groups;
}

/* ---- the evaluator's part ---- */

static ecl_regex_state_t *
state_of (ecl_eval_t *ev)
{
   ecl_regex_state_t *state = ev->regex;

   if (!state) {
      ev->regex = state = bson_malloc0 (sizeof *state);
      state->context = pcre2_match_context_create (NULL);
      BSON_ASSERT (state->context);
      pcre2_set_match_limit (state->context, MATCH_STEPS);
      pcre2_set_heap_limit (state->context, MATCH_HEAP_KIB);
      /* NULL where there is no JIT: then none is assigned. */
      state->jit_stack = pcre2_jit_stack_create (JIT_STACK_FIRST, JIT_STACK_MOST, NULL);
      if (state->jit_stack) {
         pcre2_jit_stack_assign (state->context, NULL, state->jit_stack);
      }
   }
   return state;
}

void
ecl_regex_state_destroy (ecl_regex_state_t *self)
{
   if (self) {
      for (uint32_t i = 0; i < self->n_cached; i++) {
         pcre2_code_free (self->cached[i].regex.code);
         bson_free (self->cached[i].key);
      }
      pcre2_match_data_free (self->data);
      if (self->jit_stack) {
         pcre2_jit_stack_free (self->jit_stack);
      }
      pcre2_match_context_free (self->context);
      bson_free (self);
   }
}

/* FNV-1a: patterns are short and the cache is small. */
static uint64_t
hash_bytes (uint64_t hash, const char *p, size_t len)
{
   for (size_t i = 0; i < len; i++) {
      hash = (hash ^ (uint8_t) p[i]) * 0x100000001B3ull;
   }
   return hash;
}

static bool
is_cached (const cached_t *entry, uint64_t hash, const char *pattern, size_t len, const char *options,
           size_t options_len)
{
   return entry->hash == hash && entry->key_len == len + 1 + options_len && memcmp (entry->key, pattern, len) == 0 &&
          entry->key[len] == '\0' && (options_len == 0 || memcmp (entry->key + len + 1, options, options_len) == 0);
}

const ecl_regex_t *
ecl_regex_cached (ecl_eval_t *ev, const char *pattern, size_t len, const char *options, size_t options_len,
                  ecl_regex_error_t *error)
{
   ecl_regex_state_t *state = state_of (ev);
   uint64_t hash = hash_bytes (hash_bytes (0xCBF29CE484222325ull, pattern, len) ^ 0xFF, options, options_len);
   ecl_regex_t regex = {0};
   cached_t *entry;

   state->clock++;
   for (uint32_t i = 0; i < state->n_cached; i++) {
      entry = &state->cached[i];
      if (is_cached (entry, hash, pattern, len, options, options_len)) {
         entry->used = state->clock;
         return &entry->regex;
      }
   }
   if (!compile (&regex, pattern, len, options, options_len, error)) {
      return NULL;
   }
   if (state->n_cached < CACHE_SIZE) {
      entry = &state->cached[state->n_cached++];
   } else {
      entry = &state->cached[0];
      for (uint32_t i = 1; i < CACHE_SIZE; i++) {
         if (state->cached[i].used < entry->used) {
            entry = &state->cached[i];
         }
      }
      pcre2_code_free (entry->regex.code);
      bson_free (entry->key);
   }
   entry->regex = regex;
   entry->hash = hash;
   entry->used = state->clock;
   entry->key_len = len + 1 + options_len;
   entry->key = bson_malloc (entry->key_len);
   memcpy (entry->key, pattern, len);
   entry->key[len] = '\0';
   if (options_len) {
      memcpy (entry->key + len + 1, options, options_len);
   }
   return &entry->regex;
}

/* ---- matching ---- */

static void
reserve_pairs (ecl_regex_state_t *state, uint32_t pairs)
{
   if (pairs > state->data_pairs) {
      pcre2_match_data_free (state->data);
      state->data_pairs = pairs < 8 ? 8 : pairs;
      state->data = pcre2_match_data_create (state->data_pairs, NULL);
      BSON_ASSERT (state->data);
   }
}

ecl_regex_result_t
ecl_regex_search (const ecl_regex_t *self, ecl_eval_t *ev, const char *subject, size_t len, size_t start,
                  const size_t **groups)
{
   ecl_regex_state_t *state = state_of (ev);
   int rc;

   reserve_pairs (state, self->groups + 1);
   subject = len ? subject : "";
   /* The subject was checked once; PCRE2 would do it again in each search of a $regexFindAll. */
   rc = pcre2_match (self->code, (PCRE2_SPTR) subject, len, start, PCRE2_NO_UTF_CHECK, state->data, state->context);
   if (rc == PCRE2_ERROR_JIT_STACKLIMIT) {
      rc = pcre2_match (self->code, (PCRE2_SPTR) subject, len, start, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, state->data,
                        state->context);
   }
   if (rc == PCRE2_ERROR_NOMATCH) {
      return ECL_REGEX_NO_MATCH;
   }
   if (rc < 0) {
      return ECL_REGEX_LIMIT;
   }
   if (groups) {
      size_t *pairs = pcre2_get_ovector_pointer (state->data);

      /* Groups behind the last that took part are left as they were by the matcher, not set: the count says so. */
      for (uint32_t i = 2 * (uint32_t) rc; rc > 0 && i < 2 * (self->groups + 1); i++) {
         pairs[i] = ECL_REGEX_UNSET;
      }
      *groups = pairs;
   }
   return ECL_REGEX_MATCH;
}

ecl_regex_result_t
ecl_regex_match (const ecl_regex_t *self, ecl_eval_t *ev, const char *subject, size_t len)
{
   if (!ecl_utf8_valid (subject, len)) {
      return ECL_REGEX_INVALID_UTF8;
   }
   return ecl_regex_search (self, ev, subject, len, 0, NULL);
}

bool
ecl_utf8_valid (const char *text, size_t len)
{
   const uint8_t *p = (const uint8_t *) text, *end = p + len;

   while (p < end) {
      uint8_t c = *p;

      if (c < 0x80) {
         uint64_t word;

         while (end - p >= 8) {
            memcpy (&word, p, 8);
            if (word & 0x8080808080808080ull) {
               break;
            }
            p += 8;
         }
         while (p < end && *p < 0x80) {
            p++;
         }
         continue;
      }
      if (c < 0xC2) {
         return false; /* a continuation byte, or the overlong form of an ASCII character */
      }
      if (c < 0xE0) {
         if (end - p < 2 || (p[1] & 0xC0) != 0x80) {
            return false;
         }
         p += 2;
      } else if (c < 0xF0) {
         if (end - p < 3 || (p[1] & 0xC0) != 0x80 || (p[2] & 0xC0) != 0x80 || (c == 0xE0 && p[1] < 0xA0) ||
             (c == 0xED && p[1] >= 0xA0)) {
            return false;
         }
         p += 3;
      } else if (c < 0xF5) {
         if (end - p < 4 || (p[1] & 0xC0) != 0x80 || (p[2] & 0xC0) != 0x80 || (p[3] & 0xC0) != 0x80 ||
             (c == 0xF0 && p[1] < 0x90) || (c == 0xF4 && p[1] >= 0x90)) {
            return false;
         }
         p += 4;
      } else {
         return false;
      }
   }
   return true;
}
