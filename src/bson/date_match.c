/* Tokens of a date's text: each the longest that one of the forms below matches; of forms that match as much, the first
 * in the list wins. A form is a line of a little language, one character an element (match_element says what each
 * stands for); '~' makes the next element optional. This is how timelib's scanner, which the server uses, decides, so
 * that a text means the same here: "2017-07-04T11:56:02.813Z" is one token and a zone, "July 4th, 2017 11am" a date
 * and a time. */
#include "bson/date_match-private.h"

#include "base/ascii.h"
#include "bson/date_text-private.h"

#include <string.h>

static const struct {
   ecl_text_form_t form;
   const char *pattern;
} forms[] = {
   {FORM_TIMESTAMP, "@~-n"},
   {FORM_TIMESTAMP, "@~-n.u"},
   {FORM_TIME_12, "a~_P"},
   {FORM_TIME_12, "a;I~_P"},
   {FORM_TIME_12, "a;i;S~_P"},
   {FORM_TIME_12_FRACTION, "a:I:S;nP"},
   {FORM_TIME_24, "~th;i"},
   {FORM_TIME_24, "~th;i;s"},
   {FORM_TIME_24, "~th;i;sf"},
   {FORM_TIME_OR_YEAR, "~tHI"},
   {FORM_TIME_24, "~tHIS"},
   {FORM_MONTH_DAY_YEAR, "m/d"},
   {FORM_MONTH_DAY_YEAR, "m/d/y"},
   {FORM_YEAR_MONTH_DAY, "~?Y-M-D"},
   {FORM_YEAR_MONTH_DAY, "Y/M/D~/"},
   {FORM_YEAR_MONTH_DAY, "Y/m/d"},
   {FORM_SHORT_YEAR_MONTH_DAY, "2-M-D"},
   {FORM_YEAR_MONTH_DAY, "~?X-M-D"},
   {FORM_YEAR_MONTH, "Y-m"},
   {FORM_SHORT_YEAR_MONTH_DAY, "y-m-d"},
   {FORM_DAY_NAME_YEAR, "d^B^y"},
   {FORM_DAY_MONTH_YEAR, "d|m!Y"},
   {FORM_DAY_MONTH_YEAR, "d=m.2"},
   {FORM_NAME_YEAR, "B^Y"},
   {FORM_YEAR_NAME, "Y^B"},
   {FORM_NAME_DAY_YEAR, "B^d&y"},
   {FORM_NAME_DAY_YEAR, "B^d%"},
   {FORM_DAY_NAME, "d^B"},
   {FORM_YEAR_MONTH_DAY, "YMD"},
   {FORM_DATE_TIME, "YMDTh:I:S"},
   {FORM_DATE_TIME, "YMDthIS"},
   {FORM_DATE_TIME, "Y-M-DTH:I:Sf~z"},
   {FORM_DATE_TIME, "Y-m-dTh:i:s"},
   {FORM_DATE_TIME, "Y:M:D H:I:S"},
   {FORM_YEAR_DAY, "Y~.j"},
   {FORM_ISO_WEEK, "Y~-Ww~-7"},
   {FORM_ISO_WEEK, "Y~-Ww"},
   {FORM_NAME_DAY_YEAR, "b-D-y"},
   {FORM_YEAR_NAME_DAY, "y-b-D"},
   {FORM_LOG, "d/b/Y:H:I:S_z"},
   {FORM_YEAR, "Y"},
   {FORM_WEEKDAY, "k"},
   {FORM_UNSUPPORTED, "R_Q"},
   {FORM_UNSUPPORTED, "r_k_O"},
   {FORM_UNSUPPORTED, "R_k_O"},
   {FORM_RELATIVE_TEXT, "r_U"},
   {FORM_RELATIVE_TEXT, "R_U"},
   {FORM_NAME, "F"},
   {FORM_ZONE, "z"},
   {FORM_ZONE, "Z"},
   {FORM_NAME_DAY_TIME_12, "B^d%a;I~_P"},
   {FORM_NAME_DAY_TIME_12, "B^d%a;i;S~_P"},
   {FORM_NAME_DAY_TIME, "B^d%~th;i"},
   {FORM_NAME_DAY_TIME, "B^d%~th;i;s"},
   {FORM_NAME_DAY_TIME, "B^d%~th;i;S~_z"},
   {FORM_NAME_DAY_TIME, "B^d%~th;i;S~_Z"},
   {FORM_RELATIVE, "N~_U"},
   {FORM_RELATIVE, "N~_Q"},
};

/* Whole words and phrases, in any case; they come before the forms of the same length. */
static const struct {
   ecl_text_form_t form;
   const char *word;
} phrases[] = {
   {FORM_WORD_YESTERDAY, "yesterday"},
   {FORM_WORD_NOW, "now"},
   {FORM_WORD_NOON, "noon"},
   {FORM_WORD_TODAY, "midnight"},
   {FORM_WORD_TODAY, "today"},
   {FORM_WORD_TOMORROW, "tomorrow"},
   {FORM_MONTH_EDGE, "first day of"},
   {FORM_MONTH_EDGE, "last day of"},
   {FORM_UNSUPPORTED, "back of "},
   {FORM_UNSUPPORTED, "front of "},
   {FORM_AGO, "ago"},
};

static const struct {
   const char *word;
   ecl_text_unit_t unit;
   int32_t factor;
} units[] = {
   {"ms", UNIT_MICROS, 1000},       {"msec", UNIT_MICROS, 1000},  {"millisecond", UNIT_MICROS, 1000},
   {"\302\265s", UNIT_MICROS, 1},   {"usec", UNIT_MICROS, 1},     {"\302\265sec", UNIT_MICROS, 1},
   {"microsecond", UNIT_MICROS, 1}, {"sec", UNIT_SECONDS, 1},     {"second", UNIT_SECONDS, 1},
   {"min", UNIT_SECONDS, 60},       {"minute", UNIT_SECONDS, 60}, {"hour", UNIT_SECONDS, 3600},
   {"day", UNIT_DAYS, 1},           {"week", UNIT_DAYS, 7},       {"fortnight", UNIT_DAYS, 14},
   {"forthnight", UNIT_DAYS, 14},   {"month", UNIT_MONTHS, 1},    {"year", UNIT_YEARS, 1},
   {"sunday", UNIT_WEEKDAY, 0},     {"sun", UNIT_WEEKDAY, 0},     {"monday", UNIT_WEEKDAY, 1},
   {"mon", UNIT_WEEKDAY, 1},        {"tuesday", UNIT_WEEKDAY, 2}, {"tue", UNIT_WEEKDAY, 2},
   {"wednesday", UNIT_WEEKDAY, 3},  {"wed", UNIT_WEEKDAY, 3},     {"thursday", UNIT_WEEKDAY, 4},
   {"thu", UNIT_WEEKDAY, 4},        {"friday", UNIT_WEEKDAY, 5},  {"fri", UNIT_WEEKDAY, 5},
   {"saturday", UNIT_WEEKDAY, 6},   {"sat", UNIT_WEEKDAY, 6},     {"weekday", UNIT_WORKDAYS, 0},
};
#define N_UNITS (sizeof units / sizeof units[0])

static const char *const ordinals[] = {"first",  "second", "third", "fourth",   "fifth",   "sixth", "seventh",
                                       "eighth", "ninth",  "tenth", "eleventh", "twelfth", "eight"};
static const char *const directions[] = {"next", "last", "previous", "this"};

/* ---- matching ---- */

/* Behind the end there is a NUL, as far as the forms are concerned. */
static char
at (const ecl_span_t *text, const char *p)
{
   return p < text->end ? *p : '\0';
}

static bool
between (char c, char low, char high)
{
   return c >= low && c <= high;
}

size_t
ecl_date_match_word (const ecl_span_t *text, const char *p, const char *word)
{
   size_t n = 0;

   while (word[n]) {
      char c = at (text, p + n);

      if ((c >= 'A' && c <= 'Z' ? (char) (c + 32) : c) != word[n]) {
         return 0;
      }
      n++;
   }
   return n;
}

static size_t
longest_word (const ecl_span_t *text, const char *p, const char *const *words, size_t n)
{
   size_t best = 0;

   for (size_t i = 0; i < n; i++) {
      size_t len = ecl_date_match_word (text, p, words[i]);

      best = len > best ? len : best;
   }
   return best;
}

/* The unit whose name, with or without an 's', is here. */
static size_t
unit_here (const ecl_span_t *text, const char *p, size_t *which)
{
   size_t best = 0;

   for (size_t i = 0; i < N_UNITS; i++) {
      size_t len = ecl_date_match_word (text, p, units[i].word);

      if (len && (units[i].unit != UNIT_WEEKDAY || units[i].factor < 0)) {
         char last = at (text, p + len);

         len += (last == 's' || last == 'S') && units[i].word[len - 1] != 's';
      }
      if (len > best) {
         best = len;
         *which = i;
      }
   }
   return best;
}

/* The longest name of a month here. Roman numbers are taken in capitals only. */
static size_t
month_here (const ecl_span_t *text, const char *p, bool full, bool roman)
{
   size_t n = 0, best = 0;
   bool capitals = true, is_roman = true;

   while (n < 10 && ecl_is_letter (at (text, p + n))) {
      capitals &= strchr ("IVX", p[n]) != NULL;
      is_roman &= strchr ("IVXivx", p[n]) != NULL;
      n++;
      if (ecl_date_text_month (p, n) && (is_roman ? roman && capitals : full || n <= 4)) {
         best = n;
      }
   }
   return best;
}

static size_t
digits_here (const ecl_span_t *text, const char *p, size_t most)
{
   size_t n = 0;

   while (n < most && ecl_is_digit (at (text, p + n))) {
      n++;
   }
   return n;
}

static size_t
set_here (const ecl_span_t *text, const char *p, const char *set)
{
   size_t n = 0;

   while (p + n < text->end && p[n] && strchr (set, p[n])) {
      n++;
   }
   return n;
}

static size_t
correction_here (const ecl_span_t *text, const char *p)
{
   const char *q = p;
   size_t best = 0;

   if (at (text, q) == 'G' && at (text, q + 1) == 'M' && at (text, q + 2) == 'T') {
      q += 3;
   }
   if (at (text, q) != '+' && at (text, q) != '-') {
      return 0;
   }
   q++;
   for (size_t n = 1; n <= 2; n++) {
      const char *r = q + n;

      if (!ecl_is_digit (at (text, q)) || (n == 2 && !((between (*q, '0', '1') && ecl_is_digit (at (text, q + 1))) ||
                                                       (*q == '2' && between (at (text, q + 1), '0', '4'))))) {
         break;
      }
      r += at (text, r) == ':';
      if (ecl_is_digit (at (text, r))) {
         r += between (*r, '0', '5') && ecl_is_digit (at (text, r + 1)) ? 2 : 1;
      }
      best = (size_t) (r - p) > best ? (size_t) (r - p) : best;
   }
   return best;
}

static size_t
zone_here (const ecl_span_t *text, const char *p)
{
   const char *q = p + (at (text, p) == '(');
   size_t n = 0, best = 0;

   while (n < 6 && ecl_is_letter (at (text, q + n))) {
      n++;
   }
   if (n) {
      best = (size_t) (q + n - p);
      best += at (text, q + n) == ')';
   }
   /* Continent/City */
   if (between (at (text, p), 'A', 'Z') && between (at (text, p + 1), 'a', 'z')) {
      q = p + 1;
      while (between (at (text, q), 'a', 'z')) {
         q++;
      }
      while ((at (text, q) == '_' || at (text, q) == '/' || at (text, q) == '-') && ecl_is_letter (at (text, q + 1))) {
         q++;
         while (ecl_is_letter (at (text, q))) {
            q++;
         }
         best = (size_t) (q - p) > best ? (size_t) (q - p) : best;
      }
   }
   return best;
}

/* am, pm, a.m., p.m. and what must follow them: the end, a space or a tab */
static size_t
meridian_here (const ecl_span_t *text, const char *p)
{
   const char *q = p;

   if (!strchr ("aApP", at (text, q)) || q >= text->end) {
      return 0;
   }
   q++;
   q += at (text, q) == '.';
   if (at (text, q) != 'm' && at (text, q) != 'M') {
      return 0;
   }
   q++;
   q += at (text, q) == '.';
   return at (text, q) == '\0' || at (text, q) == ' ' || at (text, q) == '\t' ? (size_t) (q + 1 - p) : 0;
}

/* The lengths that one element may have here; at most two, NONE for none. */
#define NONE SIZE_MAX

static void
match_element (const ecl_span_t *text, char element, const char *p, size_t length[2])
{
   char c = at (text, p), d = at (text, p + 1);
   size_t n, which;

   length[0] = length[1] = NONE;
#define SET(condition, value) \
   do {                       \
      if (condition) {        \
         length[0] = (value); \
      }                       \
   } while (0)
#define FOUND(value) \
   do {              \
      n = (value);   \
      SET (n, n);    \
   } while (0)
   switch (element) {
   case 'Y': /* year, four digits */
      SET (digits_here (text, p, 4) == 4, 4);
      break;
   case 'y': /* year, one to four */
      FOUND (digits_here (text, p, 4));
      break;
   case '2':
      SET (ecl_is_digit (c) && ecl_is_digit (d), 2);
      break;
   case 'X': /* year, five digits and more */
      n = digits_here (text, p, 19);
      SET (n >= 5, n);
      break;
   case 'M': /* month, two digits */
      SET ((c == '0' && ecl_is_digit (d)) || (c == '1' && between (d, '0', '2')), 2);
      break;
   case 'm':
      SET (ecl_is_digit (c), (c == '0' && ecl_is_digit (d)) || (c == '1' && between (d, '0', '2')) ? 2 : 1);
      break;
   case 'D': /* day, two digits */
      SET ((between (c, '0', '2') && ecl_is_digit (d)) || (c == '3' && between (d, '0', '1')), 2);
      break;
   case 'd': /* day, with or without st, nd, rd, th */
      SET (ecl_is_digit (c),
           (between (c, '0', '2') && ecl_is_digit (d)) || (c == '3' && between (d, '0', '1')) ? 2 : 1);
      if (length[0] != NONE) {
         static const char *const suffixes[] = {"st", "nd", "rd", "th"};

         for (size_t i = 0; i < 4; i++) {
            if (at (text, p + length[0]) == suffixes[i][0] && at (text, p + length[0] + 1) == suffixes[i][1]) {
               length[1] = length[0] + 2;
            }
         }
      }
      break;
   case 'H': /* hour of 24, two digits */
      SET ((between (c, '0', '1') && ecl_is_digit (d)) || (c == '2' && between (d, '0', '4')), 2);
      break;
   case 'h': /* hour of 24 */
      SET (ecl_is_digit (c), 1);
      if ((between (c, '0', '1') && ecl_is_digit (d)) || (c == '2' && between (d, '0', '4'))) {
         length[1] = 2;
      }
      break;
   case 'a': /* hour of 12 */
      if ((c == '0' && between (d, '1', '9')) || (c == '1' && between (d, '0', '2'))) {
         length[0] = 2;
      } else {
         SET (between (c, '1', '9'), 1);
      }
      break;
   case 'I': /* minute, two digits */
      SET (between (c, '0', '5') && ecl_is_digit (d), 2);
      break;
   case 'i':
      SET (ecl_is_digit (c), between (c, '0', '5') && ecl_is_digit (d) ? 2 : 1);
      break;
   case 'S': /* second, two digits; 60 too */
      SET ((between (c, '0', '5') && ecl_is_digit (d)) || (c == '6' && d == '0'), 2);
      break;
   case 's':
      SET (ecl_is_digit (c), (between (c, '0', '5') && ecl_is_digit (d)) || (c == '6' && d == '0') ? 2 : 1);
      break;
   case 'f': /* fraction of a second */
      SET (c == '.' && ecl_is_digit (d), 1 + digits_here (text, p + 1, SIZE_MAX));
      break;
   case 'n': /* digits */
      FOUND (digits_here (text, p, SIZE_MAX));
      break;
   case 'u': /* six digits */
      SET (digits_here (text, p, 7) == 6, 6);
      break;
   case 'j': /* day of year */
      if (digits_here (text, p, 3) == 3) {
         int32_t day = (c - '0') * 100 + (d - '0') * 10 + (p[2] - '0');

         SET (day >= 1 && day <= 366, 3);
      }
      break;
   case 'w': /* week of year */
      SET ((c == '0' && between (d, '1', '9')) || (between (c, '1', '4') && ecl_is_digit (d)) ||
              (c == '5' && between (d, '0', '3')),
           2);
      break;
   case '7': /* day of week */
      SET (between (c, '0', '7'), 1);
      break;
   case 'z':
      FOUND (correction_here (text, p));
      break;
   case 'Z':
      FOUND (zone_here (text, p));
      break;
   case 'P':
      FOUND (meridian_here (text, p));
      break;
   case 'b': /* month, three letters */
      FOUND (month_here (text, p, false, false));
      break;
   case 'B': /* month by any name */
      FOUND (month_here (text, p, true, true));
      break;
   case 'F':
      FOUND (month_here (text, p, true, false));
      break;
   case 'k': /* day of the week, or weekday */
      n = unit_here (text, p, &which);
      SET (n && (units[which].unit == UNIT_WEEKDAY || units[which].unit == UNIT_WORKDAYS), n);
      break;
   case 'U': /* unit, but not 'week' alone */
      n = unit_here (text, p, &which);
      SET (n && n != 4 ? true : n && !ecl_date_match_word (text, p, "week"), n);
      break;
   case 'Q':
      FOUND (ecl_date_match_word (text, p, "week"));
      break;
   case 'O':
      FOUND (ecl_date_match_word (text, p, "of"));
      break;
   case 'r':
      FOUND (longest_word (text, p, ordinals, sizeof ordinals / sizeof ordinals[0]));
      break;
   case 'R':
      FOUND (longest_word (text, p, directions, sizeof directions / sizeof directions[0]));
      break;
   case 'N': /* number with signs and spaces before it */
      n = set_here (text, p, "+-");
      n += set_here (text, p + n, " \t");
      which = digits_here (text, p + n, SIZE_MAX);
      SET (which, n + which);
      break;
   case 't':
      SET (c == 't' || c == 'T', 1);
      break;
   case '_': /* space */
      FOUND (set_here (text, p, " \t"));
      break;
   case '^':                                   /* what may stand between the parts of a date with a name */
      length[0] = set_here (text, p, " \t.-"); /* may be nothing */
      break;
   case '&': /* what must stand behind a day */
      FOUND (set_here (text, p, ",.stndrh\t "));
      break;
   case '%': /* the same, or the end */
      n = set_here (text, p, ",.stndrh\t ");
      SET (n || c == '\0', n ? n : 1);
      break;
   case ';':
      SET (c == ':' || c == '.', 1);
      break;
   case '|':
      SET (c == '.' || c == '\t' || c == '-', 1);
      break;
   case '!':
      SET (c == '.' || c == '-', 1);
      break;
   case '=':
      SET (c == '.' || c == '\t', 1);
      break;
   case '?':
      SET (c == '+' || c == '-', 1);
      break;
   default: /* itself */
      SET (c == element, 1);
   }
#undef SET
#undef FOUND
}

/* The longest match of a pattern; NULL for none. Recursion is as deep as the pattern is long. */
static const char *
match_form (const ecl_span_t *text, const char *pattern, const char *p)
{
   const char *best = NULL;
   bool optional = *pattern == '~';
   size_t length[2];

   if (*pattern == '\0') {
      return p;
   }
   if (p > text->end) {
      return NULL;
   }
   match_element (text, pattern[optional], p, length);
   for (int i = 0; i < 2; i++) {
      if (length[i] != NONE) {
         const char *end = match_form (text, pattern + 1 + optional, p + length[i]);

         best = end && (!best || end > best) ? end : best;
      }
   }
   if (optional) {
      const char *end = match_form (text, pattern + 2, p);

      best = end && (!best || end > best) ? end : best;
   }
   return best;
}

const char *
ecl_date_match (const ecl_span_t *text, const char *p, ecl_text_form_t *form)
{
   const char *best = NULL;

   for (size_t i = 0; i < sizeof phrases / sizeof phrases[0]; i++) {
      size_t n = ecl_date_match_word (text, p, phrases[i].word);

      if (n && (!best || p + n > best)) {
         best = p + n;
         *form = phrases[i].form;
      }
   }
   for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
      const char *end = match_form (text, forms[i].pattern, p);

      if (end && (!best || end > best)) {
         best = end;
         *form = forms[i].form;
      }
   }
   return best;
}

size_t
ecl_date_match_unit (const ecl_span_t *text, const char *p, ecl_text_unit_t *unit, int32_t *factor)
{
   size_t which = 0, n = unit_here (text, p, &which);

   *unit = units[which].unit;
   *factor = units[which].factor;
   return n;
}

int32_t
ecl_date_match_ordinal (const ecl_span_t *text, const char *p)
{
   for (int32_t i = 0; i < 12; i++) {
      if (ecl_date_match_word (text, p, ordinals[i])) {
         return i + 1;
      }
   }
   /* "eight" is taken for "eighth" */
   return ecl_date_match_word (text, p, "eight") ? 8 : 0;
}
