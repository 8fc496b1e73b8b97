/* YAML 1.2, from libyaml's events; every scalar arrives as text, and what it means is decided here.
 *
 * libyaml reads more than is wanted: anchors, aliases, tags, directives, several documents, mappings as keys. All of
 * these are refused. It also reads some of what people write as another thing than they meant, and says nothing:
 *
 *    a: #fff        an empty value and a comment             error
 *    a: x #y        x and a comment                          warning: "# y" is a comment for sure, "#y" may be text
 *    {a:1}          the key "a:1" without a value            error
 *    {b}            the key "b" without a value              error
 *    [$a $b]        one string of two words                  error; without a $ a warning
 *    [a:1]          a string                                 warning
 *    a: |           a block text without text                error
 *    a: 0123        the number 123                           warning
 *
 * Quotes say what is meant in each of these.
 */
#include "text/yaml_scalar.h"

#include "base/ascii.h"

#include <stddef.h>
#include <stdio.h>

typedef struct {
   bool array;
   bool flow;
   bool in_value;  /* of a mapping: the key was read */
   bool plain_key; /* how the last key was written */
   bool key_has_colon;
   size_t key_end; /* behind the last key, as a byte offset */
   char key[48];   /* its beginning, for messages */
} level_t;

typedef struct {
   yaml_parser_t parser;
   ecl_build_t *build;
   ecl_yaml_source_t source;
   size_t depth;
   level_t levels[ECL_TEXT_DEPTH + 1];
} yaml_t;

static ecl_place_t
place_of (yaml_mark_t mark)
{
   return (ecl_place_t){(uint32_t) mark.line + 1, (uint32_t) mark.column + 1};
}

static void
wrong (yaml_t *self, yaml_mark_t mark, const char *message)
{
   ecl_build_diag (self->build, ECL_DIAG_ERROR, ECL_ERROR_INVALID, place_of (mark), "%s", message);
}

static bool
stop (yaml_t *self, yaml_mark_t mark, const char *message)
{
   return ecl_build_diag (self->build, ECL_DIAG_ERROR, ECL_ERROR_SYNTAX, place_of (mark), "%s", message);
}

/* libyaml's own words, with what they mean where they mislead. */
static bool
failed (yaml_t *self)
{
   const yaml_parser_t *parser = &self->parser;
   const char *problem = parser->problem ? parser->problem : "cannot be read";
   const char *hint = "";
   ecl_place_t place = place_of (parser->problem_mark);
   size_t at = ecl_yaml_offset (&self->source, parser->problem_mark);

   if (strstr (problem, "invalid Unicode character escape")) {
      hint = " (YAML has no surrogate pairs: write \\U0001F600 or the character itself)";
   } else if (strstr (problem, "could not find expected ':'") ||
              (strstr (problem, "mapping values are not allowed") && parser->problem_mark.column > 1024)) {
      hint = " (a key stands on one line and has at most 1024 characters)";
   } else if (strstr (problem, "unknown escape character")) {
      hint = " (in single quotes a backslash is just a backslash)";
   } else if (strstr (problem, "cannot start any token") && at < self->source.len && self->source.bytes[at] == '\t') {
      hint = " (a tab: YAML is indented with spaces)";
   } else if (strstr (problem, "cannot start any token")) {
      hint = " (quote text that starts with % @ or `)";
   } else if (strstr (problem, "mapping values are not allowed")) {
      hint = " (quote text that has ': ' in it)";
   }
   return ecl_build_diag (self->build, ECL_DIAG_ERROR, ECL_ERROR_SYNTAX, place, "%s%s%s%s", problem,
                          parser->context ? " " : "", parser->context ? parser->context : "", hint);
}

static level_t *
top (yaml_t *self)
{
   return &self->levels[self->depth - 1];
}

static bool
at_key (yaml_t *self)
{
   return self->depth && !top (self)->array && !top (self)->in_value;
}

/* A value is complete: the next is a key again. */
static void
value_done (yaml_t *self)
{
   if (self->depth) {
      top (self)->in_value = false;
   }
}

/* Anchors and tags are refused, also the lone "!" that libyaml does not report. */
static void
check_properties (yaml_t *self, const yaml_event_t *event, const yaml_char_t *anchor, const yaml_char_t *tag)
{
   size_t at = ecl_yaml_offset (&self->source, event->start_mark);
   bool wide = event->start_mark.index != event->end_mark.index;
   uint8_t c = wide && at < self->source.len ? self->source.bytes[at] : 0;

   if (anchor || c == '&') {
      wrong (self, event->start_mark, "an anchor (&) is not supported: quote it if it is text");
   } else if (tag || c == '!') {
      wrong (self, event->start_mark, "a tag (!) is not supported: quote it if it is text");
   }
}

/* A value that is not there. */
static void
empty_value (yaml_t *self, const yaml_event_t *event)
{
   size_t behind = ecl_yaml_offset (&self->source, event->start_mark);
   level_t *level = self->depth ? top (self) : NULL;

   if (level && level->flow && !level->array) {
      if (!ecl_yaml_colon_follows (&self->source, level->key_end, &behind)) {
         ecl_build_diag (self->build, ECL_DIAG_ERROR, ECL_ERROR_INVALID, place_of (event->start_mark),
                         level->plain_key && level->key_has_colon
                            ? "\"%s\" is a key without a value: put a space behind the ':', or quotes around it"
                            : "the key \"%s\" has no value: write \"%s: null\" if null is meant",
                         level->key, level->key);
         return;
      }
   }
   switch (ecl_yaml_rest_of_line (&self->source, behind)) {
   case ECL_YAML_CUT:
      wrong (self, event->start_mark, "'#' starts a comment here and leaves the value empty: quote it if it is text");
      break;
   case ECL_YAML_COMMENT:
      ecl_build_diag (self->build, ECL_DIAG_WARNING, ECL_ERROR_INVALID, place_of (event->start_mark),
                      "the value is empty before the comment: write null if that is meant");
      break;
   case ECL_YAML_NOTHING:
      break;
   }
}

static bool
looks_like_pair (const char *text, size_t n)
{
   const char *colon = memchr (text, ':', n);

   return colon && colon > text && (size_t) (colon - text) + 1 < n && colon[1] != '/' && !ecl_is_digit (*text);
}

/* What a plain scalar in the source says about what was meant. */
static void
check_plain (yaml_t *self, const yaml_event_t *event, const char *text, size_t n)
{
   const level_t *level = self->depth ? top (self) : NULL;
   size_t end = ecl_yaml_offset (&self->source, event->end_mark);
   ecl_place_t place = place_of (event->start_mark);

   if (ecl_yaml_rest_of_line (&self->source, end) == ECL_YAML_CUT) {
      ecl_build_diag (self->build, ECL_DIAG_WARNING, ECL_ERROR_INVALID, place,
                      "what follows \"%.40s\" from '#' on is a comment: quote it if it is text", text);
   }
   if (!level || !level->flow) {
      return;
   }
   if (memchr (text, ' ', n)) {
      if (text[0] == '$') {
         ecl_build_diag (self->build, ECL_DIAG_ERROR, ECL_ERROR_INVALID, place,
                         "\"%.40s\" is one string: put a comma between its words, or quotes around it", text);
      } else if (level->array) {
         ecl_build_diag (self->build, ECL_DIAG_WARNING, ECL_ERROR_INVALID, place,
                         "\"%.40s\" is one string: put a comma between its words, or quotes around it", text);
      }
   } else if (level->array && looks_like_pair (text, n)) {
      ecl_build_diag (self->build, ECL_DIAG_WARNING, ECL_ERROR_INVALID, place,
                      "\"%.40s\" is a string: put a space behind the ':' for a pair, or quotes around it", text);
   }
}

static bool
key (yaml_t *self, const yaml_event_t *event)
{
   const char *text = (const char *) event->data.scalar.value;
   size_t n = event->data.scalar.length;
   bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
   level_t *level = top (self);

   ecl_build_key_begin (self->build, place_of (event->start_mark));
   ecl_build_bytes (self->build, text, n);
   ecl_build_key_end (self->build);
   check_properties (self, event, event->data.scalar.anchor, event->data.scalar.tag);
   if (plain && !n) {
      wrong (self, event->start_mark, "a key is missing: write \"\" if the empty key is meant");
   } else if (plain && strcmp (text, "<<") == 0) {
      wrong (self, event->start_mark, "merge keys (<<) are not supported: quote it if it is a name");
   } else if (!plain && event->data.scalar.style != YAML_SINGLE_QUOTED_SCALAR_STYLE &&
              event->data.scalar.style != YAML_DOUBLE_QUOTED_SCALAR_STYLE) {
      wrong (self, event->start_mark, "a block text cannot be a key");
   }
   level->in_value = true;
   level->plain_key = plain;
   level->key_has_colon = memchr (text, ':', n) != NULL;
   level->key_end = ecl_yaml_offset (&self->source, event->end_mark);
   snprintf (level->key, sizeof level->key, "%s", text);
   return !self->build->stopped;
}

static bool
scalar (yaml_t *self, const yaml_event_t *event)
{
   const char *text = (const char *) event->data.scalar.value;
   size_t n = event->data.scalar.length;
   yaml_scalar_style_t style = event->data.scalar.style;
   ecl_place_t place = place_of (event->start_mark);
   size_t begun;

   if (at_key (self)) {
      return key (self, event);
   }
   ecl_build_value (self->build, place);
   check_properties (self, event, event->data.scalar.anchor, event->data.scalar.tag);
   if (style == YAML_PLAIN_SCALAR_STYLE && !n) {
      if (event->start_mark.index == event->end_mark.index) {
         empty_value (self, event);
      }
      ecl_build_null (self->build);
   } else if (style == YAML_PLAIN_SCALAR_STYLE) {
      check_plain (self, event, text, n);
      ecl_yaml_resolve (self->build, place, text, n);
   } else {
      if (!n && (style == YAML_LITERAL_SCALAR_STYLE || style == YAML_FOLDED_SCALAR_STYLE)) {
         wrong (self, event->start_mark, "a block text (| or >) without text: quote it, or write \"\"");
      }
      begun = ecl_build_string_begin (self->build);
      ecl_build_bytes (self->build, text, n);
      ecl_build_string_end (self->build, begun);
   }
   value_done (self);
   return !self->build->stopped;
}

static bool
open_level (yaml_t *self, const yaml_event_t *event, bool array)
{
   bool flow = array ? event->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE
                     : event->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE;
   level_t *level;

   if (at_key (self)) {
      return stop (self, event->start_mark, "a key must be text, not a mapping or a list");
   }
   ecl_build_value (self->build, place_of (event->start_mark));
   if (array) {
      check_properties (self, event, event->data.sequence_start.anchor, event->data.sequence_start.tag);
   } else {
      check_properties (self, event, event->data.mapping_start.anchor, event->data.mapping_start.tag);
   }
   if (!ecl_build_open (self->build, array)) {
      return false;
   }
   level = &self->levels[self->depth++];
   memset (level, 0, sizeof *level);
   level->array = array;
   level->flow = flow;
   return true;
}

static bool
close_level (yaml_t *self)
{
   ecl_build_close (self->build);
   self->depth--;
   value_done (self);
   return !self->build->stopped;
}

static bool
alias (yaml_t *self, const yaml_event_t *event)
{
   static const char message[] = "an alias (*) is not supported: quote it if it is text";

   if (at_key (self)) {
      return stop (self, event->start_mark, message);
   }
   ecl_build_value (self->build, place_of (event->start_mark));
   wrong (self, event->start_mark, message);
   ecl_build_null (self->build);
   value_done (self);
   return !self->build->stopped;
}

static bool
document (yaml_t *self, const yaml_event_t *event, size_t *documents)
{
   if (++*documents > 1) {
      return stop (self, event->start_mark, "a second document: only one is read");
   }
   if (event->data.document_start.version_directive ||
       event->data.document_start.tag_directives.start != event->data.document_start.tag_directives.end) {
      wrong (self, event->start_mark, "directives (%) are not supported");
   }
   return true;
}

/* False where the rest cannot be read. */
static bool
read_events (yaml_t *self)
{
   size_t documents = 0;
   bool ok = true;
   bool end = false;

   while (ok && !end) {
      yaml_event_t event;

      if (!yaml_parser_parse (&self->parser, &event)) {
         return failed (self);
      }
      switch (event.type) {
      case YAML_DOCUMENT_START_EVENT:
         ok = document (self, &event, &documents);
         break;
      case YAML_SCALAR_EVENT:
         ok = scalar (self, &event);
         break;
      case YAML_SEQUENCE_START_EVENT:
         ok = open_level (self, &event, true);
         break;
      case YAML_MAPPING_START_EVENT:
         ok = open_level (self, &event, false);
         break;
      case YAML_SEQUENCE_END_EVENT:
      case YAML_MAPPING_END_EVENT:
         ok = close_level (self);
         break;
      case YAML_ALIAS_EVENT:
         ok = alias (self, &event);
         break;
      case YAML_STREAM_END_EVENT:
         end = true;
         if (!documents) {
            ok = stop (self, (yaml_mark_t){0}, "nothing in it: a document was expected");
         }
         break;
      default:
         break;
      }
      yaml_event_delete (&event);
   }
   return ok;
}

bool
ecl_text_read_yaml (ecl_text_t *self, const ecl_text_source_t *source, ecl_text_flags_t flags, ecl_diags_t *diags)
{
   static const uint8_t bom[] = {0xef, 0xbb, 0xbf};
   size_t errors = diags->errors;
   ecl_build_t build;
   yaml_t yaml;

   if (!ecl_build_start (self, source, diags)) {
      return false;
   }
   ecl_build_init (&build, self, flags & ~(unsigned) ECL_TEXT_DUPLICATES, diags);
   memset (&yaml, 0, offsetof (yaml_t, levels));
   yaml.build = &build;
   yaml.source.bytes = source->len ? source->bytes : (const uint8_t *) "";
   yaml.source.len = source->len;
   if (source->len >= sizeof bom && memcmp (source->bytes, bom, sizeof bom) == 0) {
      yaml.source.bytes += sizeof bom;
      yaml.source.len -= sizeof bom;
   }
   if (ecl_yaml_check_bytes (&build, yaml.source.bytes, yaml.source.len)) {
      BSON_ASSERT (yaml_parser_initialize (&yaml.parser));
      yaml_parser_set_encoding (&yaml.parser, YAML_UTF8_ENCODING);
      yaml_parser_set_input_string (&yaml.parser, yaml.source.bytes, yaml.source.len);
      if (read_events (&yaml)) {
         ecl_build_finish (&build);
      }
      yaml_parser_delete (&yaml.parser);
   }
   ecl_build_cleanup (&build);
   if (diags->errors != errors) {
      ecl_text_cleanup (self);
      return false;
   }
   return true;
}
