/* JSON: RFC 8259 and no more; no comments, no trailing commas, UTF-8 only. Strings are unescaped straight into the
 * BSON, so no token but a number is ever held. */
#include "base/ascii.h"
#include "text/json.h"
#include "text/number.h"

/* The longest number: far more digits than a double has, and exponents are short. */
#define NUMBER_MAX 4096u

#define END (-1)

void
ecl_json_init (ecl_json_t *self, ecl_build_t *build, const void *bytes, size_t n)
{
   memset (self, 0, sizeof *self);
   self->p = bytes;
   self->end = n ? self->p + n : self->p;
   self->line = 1;
   self->column = 1;
   self->build = build;
   ecl_buf_init (&self->token, NUMBER_MAX);
}

void
ecl_json_cleanup (ecl_json_t *self)
{
   ecl_buf_cleanup (&self->token);
}

static ECL_NOINLINE int
refill (ecl_json_t *self)
{
   if (!self->refill || !self->refill (self->ctx, &self->p, &self->end) || self->p == self->end) {
      return END;
   }
   return *self->p;
}

/* The next byte, which stays, or END. */
static inline int
peek (ecl_json_t *self)
{
   return ECL_LIKELY (self->p < self->end) ? *self->p : refill (self);
}

/* Past the byte that peek gave; columns count code points, so bytes that continue one do not. */
static inline void
advance (ecl_json_t *self)
{
   self->column += (*self->p & 0xc0) != 0x80;
   self->p++;
}

bool
ecl_json_expected (ecl_json_t *self, const char *what)
{
   ecl_place_t place = ecl_json_place (self);
   int c = peek (self);

   if (c == END) {
      return ecl_build_diag (self->build, ECL_DIAG_ERROR, ECL_ERROR_SYNTAX, place,
                             "expected %s, found the end of the text", what);
   }
   if (c < 0x20 || c >= 0x7f) {
      return ecl_build_diag (self->build, ECL_DIAG_ERROR, ECL_ERROR_SYNTAX, place, "expected %s, found the byte 0x%02x",
                             what, (unsigned) c);
   }
   return ecl_build_diag (self->build, ECL_DIAG_ERROR, ECL_ERROR_SYNTAX, place, "expected %s, found '%c'", what, c);
}

bool
ecl_json_skip (ecl_json_t *self)
{
   for (;;) {
      int c = peek (self);

      if (c == '\n') {
         self->p++;
         self->line++;
         self->column = 1;
      } else if (c == ' ' || c == '\t' || c == '\r') {
         advance (self);
      } else {
         return c != END;
      }
   }
}

static bool
word (ecl_json_t *self, const char *text)
{
   for (const char *c = text; *c; c++) {
      if (peek (self) != *c) {
         return ecl_json_expected (self, text);
      }
      advance (self);
   }
   return true;
}

static bool
hex4 (ecl_json_t *self, uint32_t *out)
{
   *out = 0;
   for (int i = 0; i < 4; i++) {
      int digit = ecl_hex_digit (peek (self));

      if (digit < 0) {
         return ecl_json_expected (self, "four hexadecimal digits after \\u");
      }
      *out = *out << 4 | (uint32_t) digit;
      advance (self);
   }
   return true;
}

static void
put_code_point (ecl_json_t *self, uint32_t c)
{
   uint8_t bytes[4];
   size_t n;

   if (c < 0x80) {
      bytes[0] = (uint8_t) c;
      n = 1;
   } else if (c < 0x800) {
      bytes[0] = (uint8_t) (0xc0 | c >> 6);
      bytes[1] = (uint8_t) (0x80 | (c & 0x3f));
      n = 2;
   } else if (c < 0x10000) {
      bytes[0] = (uint8_t) (0xe0 | c >> 12);
      bytes[1] = (uint8_t) (0x80 | (c >> 6 & 0x3f));
      bytes[2] = (uint8_t) (0x80 | (c & 0x3f));
      n = 3;
   } else {
      bytes[0] = (uint8_t) (0xf0 | c >> 18);
      bytes[1] = (uint8_t) (0x80 | (c >> 12 & 0x3f));
      bytes[2] = (uint8_t) (0x80 | (c >> 6 & 0x3f));
      bytes[3] = (uint8_t) (0x80 | (c & 0x3f));
      n = 4;
   }
   ecl_build_bytes (self->build, bytes, n);
}

static bool
surrogate (ecl_json_t *self, ecl_place_t place)
{
   return ecl_build_diag (self->build, ECL_DIAG_ERROR, ECL_ERROR_SYNTAX, place,
                          "\\ud800 to \\udfff are halves: a high one must stand before a low one");
}

/* Behind the backslash. */
static bool
escape (ecl_json_t *self, ecl_place_t place)
{
   static const char names[] = "\"\\/bfnrt";
   static const char values[] = "\"\\/\b\f\n\r\t";
   int c = peek (self);
   const char *name = c > 0 ? strchr (names, c) : NULL;
   uint32_t unit, low;

   if (name) {
      advance (self);
      ecl_build_bytes (self->build, &values[name - names], 1);
      return true;
   }
   if (c != 'u') {
      return ecl_json_expected (self, "one of \" \\ / b f n r t u after a backslash");
   }
   advance (self);
   if (!hex4 (self, &unit)) {
      return false;
   }
   if (unit >= 0xdc00 && unit <= 0xdfff) {
      return surrogate (self, place);
   }
   if (unit >= 0xd800 && unit <= 0xdbff) {
      if (peek (self) != '\\') {
         return surrogate (self, place);
      }
      advance (self);
      if (peek (self) != 'u') {
         return surrogate (self, place);
      }
      advance (self);
      if (!hex4 (self, &low)) {
         return false;
      }
      if (low < 0xdc00 || low > 0xdfff) {
         return surrogate (self, place);
      }
      unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
   }
   put_code_point (self, unit);
   return true;
}

/* A sequence of more than one byte, which may lie across two pieces of input. */
static bool
multibyte (ecl_json_t *self)
{
   ecl_place_t place = ecl_json_place (self);
   uint8_t bytes[4];
   int lead = peek (self);
   size_t n = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
   size_t got = 0;

   while (got < n) {
      int c = peek (self);

      if (c == END || (got && (c & 0xc0) != 0x80)) {
         break;
      }
      bytes[got++] = (uint8_t) c;
      advance (self);
   }
   if (ecl_text_utf8 (bytes, got) != n || n == 1) {
      return ecl_build_diag (self->build, ECL_DIAG_ERROR, ECL_ERROR_SYNTAX, place, "not valid UTF-8 (byte 0x%02x)",
                             (unsigned) lead);
   }
   ecl_build_bytes (self->build, bytes, n);
   return true;
}

/* From the opening quote to the closing one, into the builder. */
static bool
string (ecl_json_t *self)
{
   advance (self);
   for (;;) {
      const uint8_t *run = self->p;
      int c;

      while (self->p < self->end && *self->p >= 0x20 && *self->p < 0x80 && *self->p != '"' && *self->p != '\\') {
         self->p++;
      }
      if (self->p > run) {
         self->column += (uint32_t) (self->p - run);
         ecl_build_bytes (self->build, run, (size_t) (self->p - run));
      }
      if (self->build->stopped) {
         return false;
      }
      c = peek (self);
      if (c == '"') {
         advance (self);
         return true;
      }
      if (c == '\\') {
         ecl_place_t place = ecl_json_place (self);

         advance (self);
         if (!escape (self, place)) {
            return false;
         }
      } else if (c == END) {
         return ecl_json_expected (self, "a closing quote");
      } else if (c < 0x20) {
         return ecl_json_expected (self, "an escape such as \\n in place of a control character");
      } else if (c >= 0x80 && !multibyte (self)) {
         return false;
      }
   }
}

static bool
take (ecl_json_t *self)
{
   if (!ecl_buf_append (&self->token, self->p, 1)) {
      return ecl_build_diag (self->build, ECL_DIAG_ERROR, ECL_ERROR_TOO_LARGE, ecl_json_place (self),
                             "a number of more than %u characters", NUMBER_MAX);
   }
   advance (self);
   return true;
}

static bool
digits (ecl_json_t *self)
{
   if (!ecl_is_digit (peek (self))) {
      return ecl_json_expected (self, "a digit");
   }
   while (ecl_is_digit (peek (self))) {
      if (!take (self)) {
         return false;
      }
   }
   return true;
}

static bool
number (ecl_json_t *self)
{
   ecl_place_t place = ecl_json_place (self);
   bool integer = true;
   const char *text;
   int64_t whole;
   double value;
   size_t n;

   ecl_buf_clear (&self->token);
   if (peek (self) == '-' && !take (self)) {
      return false;
   }
   if (peek (self) == '0') {
      if (!take (self)) {
         return false;
      }
      if (ecl_is_digit (peek (self))) {
         return ecl_json_expected (self, "no digit behind a leading zero");
      }
   } else if (!digits (self)) {
      return false;
   }
   if (peek (self) == '.') {
      integer = false;
      if (!take (self) || !digits (self)) {
         return false;
      }
   }
   if (peek (self) == 'e' || peek (self) == 'E') {
      integer = false;
      if (!take (self) || ((peek (self) == '+' || peek (self) == '-') && !take (self)) || !digits (self)) {
         return false;
      }
   }
   text = ecl_buf_cstr (&self->token);
   n = self->token.len;
   if (integer && strcmp (text, "-0") != 0) {
      if (ecl_text_parse_int (text, n, &whole)) {
         ecl_build_int (self->build, whole);
         return true;
      }
      if (!(self->build->flags & ECL_TEXT_WIDE_INTS)) {
         ecl_build_diag (
            self->build, ECL_DIAG_ERROR, ECL_ERROR_INVALID, place,
            "the integer %.40s%s does not fit 64 bits: write a double, {\"$numberDecimal\": \"…\"} or a string", text,
            n > 40 ? "…" : "");
         ecl_build_null (self->build);
         return true;
      }
   }
   if (!ecl_text_parse_double (text, n, &value)) {
      ecl_build_diag (self->build, ECL_DIAG_ERROR, ECL_ERROR_INVALID, place,
                      "the number %.40s%s is too large for a double", text, n > 40 ? "…" : "");
      ecl_build_null (self->build);
      return true;
   }
   ecl_build_double (self->build, value);
   return true;
}

/* Behind the opening bracket or brace; recursion is bounded by the builder's depth. */
static bool
members (ecl_json_t *self, bool array)
{
   char close = array ? ']' : '}';
   const char *what = array ? "',' or ']'" : "',' or '}'";

   advance (self);
   if (!ecl_build_open (self->build, array)) {
      return false;
   }
   ecl_json_skip (self);
   if (peek (self) == close) {
      advance (self);
      ecl_build_close (self->build);
      return true;
   }
   for (;;) {
      if (!array) {
         ecl_json_skip (self);
         if (peek (self) != '"') {
            return ecl_json_expected (self, "a key in double quotes");
         }
         ecl_build_key_begin (self->build, ecl_json_place (self));
         if (!string (self)) {
            return false;
         }
         ecl_build_key_end (self->build);
         ecl_json_skip (self);
         if (peek (self) != ':') {
            return ecl_json_expected (self, "':'");
         }
         advance (self);
      }
      if (!ecl_json_value (self)) {
         return false;
      }
      ecl_json_skip (self);
      if (peek (self) == close) {
         advance (self);
         ecl_build_close (self->build);
         return !self->build->stopped;
      }
      if (peek (self) != ',') {
         return ecl_json_expected (self, what);
      }
      advance (self);
   }
}

bool
ecl_json_value (ecl_json_t *self)
{
   size_t begun;
   int c;

   ecl_json_skip (self);
   c = peek (self);
   ecl_build_value (self->build, ecl_json_place (self));
   switch (c) {
   case '{':
      return members (self, false);
   case '[':
      return members (self, true);
   case '"':
      begun = ecl_build_string_begin (self->build);
      if (!string (self)) {
         return false;
      }
      ecl_build_string_end (self->build, begun);
      break;
   case 't':
   case 'f':
      if (!word (self, c == 't' ? "true" : "false")) {
         return false;
      }
      ecl_build_bool (self->build, c == 't');
      break;
   case 'n':
      if (!word (self, "null")) {
         return false;
      }
      ecl_build_null (self->build);
      break;
   default:
      if (c != '-' && (c < '0' || c > '9')) {
         return ecl_json_expected (self, "a value");
      }
      if (!number (self)) {
         return false;
      }
   }
   return !self->build->stopped;
}

bool
ecl_text_read_json (ecl_text_t *self, const ecl_text_source_t *source, ecl_text_flags_t flags, ecl_diags_t *diags)
{
   static const uint8_t bom[] = {0xef, 0xbb, 0xbf};
   size_t errors = diags->errors;
   ecl_build_t build;
   ecl_json_t json;

   if (!ecl_build_start (self, source, diags)) {
      return false;
   }
   ecl_build_init (&build, self, flags, diags);
   ecl_json_init (&json, &build, source->bytes, source->len);
   if (source->len >= sizeof bom && memcmp (source->bytes, bom, sizeof bom) == 0) {
      json.p += sizeof bom;
   }
   if (ecl_json_value (&json)) {
      if (ecl_json_skip (&json)) {
         ecl_json_expected (&json, "nothing behind the value");
      } else {
         ecl_build_finish (&build);
      }
   }
   ecl_json_cleanup (&json);
   ecl_build_cleanup (&build);
   if (diags->errors != errors) {
      ecl_text_cleanup (self);
      return false;
   }
   return true;
}
