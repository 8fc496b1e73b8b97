/* Reading a date from text without a format.
 *
 * The text is cut into tokens, each the longest that one of the forms below matches; of forms that match as much, the
 * first in the list wins. A form is a line of a little language, one character an element (match_element says what each
 * stands for); '~' makes the next element optional. This is how timelib's scanner, which the server uses, decides, so
 * that a text means the same here: "2017-07-04T11:56:02.813Z" is one token and a zone, "July 4th, 2017 11am" a date
 * and a time. The common ISO forms take a short way before any of it. */
#include "bson/date_text-private.h"

#include <string.h>

typedef enum {
   FORM_WORD_YESTERDAY,
   FORM_WORD_NOW,
   FORM_WORD_NOON,
   FORM_WORD_TODAY,
   FORM_WORD_TOMORROW,
   FORM_TIMESTAMP,
   FORM_MONTH_EDGE,
   FORM_UNSUPPORTED,
   FORM_TIME_12,
   FORM_TIME_12_FRACTION,
   FORM_TIME_24,
   FORM_TIME_OR_YEAR, /* four digits: hours and minutes, or a year where the time is known */
   FORM_MONTH_DAY_YEAR,
   FORM_YEAR_MONTH_DAY,
   FORM_SHORT_YEAR_MONTH_DAY,
   FORM_YEAR_MONTH,
   FORM_DAY_MONTH_YEAR,
   FORM_DAY_NAME_YEAR,
   FORM_NAME_YEAR,
   FORM_YEAR_NAME,
   FORM_NAME_DAY_YEAR,
   FORM_DAY_NAME,
   FORM_DATE_TIME,
   FORM_YEAR_DAY,
   FORM_ISO_WEEK,
   FORM_YEAR_NAME_DAY,
   FORM_LOG,
   FORM_YEAR,
   FORM_AGO,
   FORM_WEEKDAY,
   FORM_RELATIVE_TEXT,
   FORM_NAME,
   FORM_ZONE,
   FORM_NAME_DAY_TIME_12,
   FORM_NAME_DAY_TIME,
   FORM_RELATIVE,
} form_t;

static const struct {
   form_t form;
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
   form_t form;
   const char *word;
} phrases[] = {
   {FORM_WORD_YESTERDAY, "yesterday"}, {FORM_WORD_NOW, "now"},
   {FORM_WORD_NOON, "noon"},           {FORM_WORD_TODAY, "midnight"},
   {FORM_WORD_TODAY, "today"},         {FORM_WORD_TOMORROW, "tomorrow"},
   {FORM_MONTH_EDGE, "first day of"},  {FORM_MONTH_EDGE, "last day of"},
   {FORM_UNSUPPORTED, "back of "},     {FORM_UNSUPPORTED, "front of "},
   {FORM_AGO, "ago"},
};

typedef enum { UNIT_MICROS, UNIT_SECONDS, UNIT_DAYS, UNIT_MONTHS, UNIT_YEARS, UNIT_WEEKDAY, UNIT_WORKDAYS } unit_t;

static const struct {
   const char *word;
   unit_t unit;
   int32_t factor;
} units[] = {
   {"ms", UNIT_MICROS, 1000},       {"msec", UNIT_MICROS, 1000}, {"millisecond", UNIT_MICROS, 1000},
   {"\302\265s", UNIT_MICROS, 1},   {"usec", UNIT_MICROS, 1},    {"\302\265sec", UNIT_MICROS, 1},
   {"microsecond", UNIT_MICROS, 1}, {"sec", UNIT_SECONDS, 1},    {"second", UNIT_SECONDS, 1},
   {"min", UNIT_SECONDS, 60},       {"minute", UNIT_SECONDS, 60}, {"hour", UNIT_SECONDS, 3600},
   {"day", UNIT_DAYS, 1},           {"week", UNIT_DAYS, 7},      {"fortnight", UNIT_DAYS, 14},
   {"forthnight", UNIT_DAYS, 14},   {"month", UNIT_MONTHS, 1},   {"year", UNIT_YEARS, 1},
   {"sunday", UNIT_WEEKDAY, 0},     {"sun", UNIT_WEEKDAY, 0},    {"monday", UNIT_WEEKDAY, 1},
   {"mon", UNIT_WEEKDAY, 1},        {"tuesday", UNIT_WEEKDAY, 2}, {"tue", UNIT_WEEKDAY, 2},
   {"wednesday", UNIT_WEEKDAY, 3},  {"wed", UNIT_WEEKDAY, 3},    {"thursday", UNIT_WEEKDAY, 4},
   {"thu", UNIT_WEEKDAY, 4},        {"friday", UNIT_WEEKDAY, 5}, {"fri", UNIT_WEEKDAY, 5},
   {"saturday", UNIT_WEEKDAY, 6},   {"sat", UNIT_WEEKDAY, 6},    {"weekday", UNIT_WORKDAYS, 0},
};
#define N_UNITS (sizeof units / sizeof units[0])

static const char *const ordinals[] = {"first",   "second", "third", "fourth", "fifth",    "sixth",  "seventh",
                                       "eighth",  "ninth",  "tenth", "eleventh", "twelfth", "eight"};
static const char *const directions[] = {"next", "last", "previous", "this"};

/* ---- matching ---- */

typedef struct {
   const char *begin;
   const char *end;
} text_t;

/* Behind the end there is a NUL, as far as the forms are concerned. */
static char
at (const text_t *text, const char *p)
{
   return p < text->end ? *p : '\0';
}

static bool
is_digit (char c)
{
   return c >= '0' && c <= '9';
}

static bool
is_letter (char c)
{
   return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
between (char c, char low, char high)
{
   return c >= low && c <= high;
}

/* Length of word where the text goes on with it, in any case; else 0. */
static size_t
word_here (const text_t *text, const char *p, const char *word)
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
longest_word (const text_t *text, const char *p, const char *const *words, size_t n)
{
   size_t best = 0;

   for (size_t i = 0; i < n; i++) {
      size_t len = word_here (text, p, words[i]);

      best = len > best ? len : best;
   }
   return best;
}

/* The unit whose name, with or without an 's', is here. */
static size_t
unit_here (const text_t *text, const char *p, size_t *which)
{
   size_t best = 0;

   for (size_t i = 0; i < N_UNITS; i++) {
      size_t len = word_here (text, p, units[i].word);

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
month_here (const text_t *text, const char *p, bool full, bool roman)
{
   size_t n = 0, best = 0;
   bool capitals = true, is_roman = true;

   while (n < 10 && is_letter (at (text, p + n))) {
      capitals &= strchr ("IVX", p[n]) != NULL;
      is_roman &= strchr ("IVXivx", p[n]) != NULL;
      n++;
      if (ecl_month_from_name (p, n) && (is_roman ? roman && capitals : full || n <= 4)) {
         best = n;
      }
   }
   return best;
}

static size_t
digits_here (const text_t *text, const char *p, size_t most)
{
   size_t n = 0;

   while (n < most && is_digit (at (text, p + n))) {
      n++;
   }
   return n;
}

static size_t
set_here (const text_t *text, const char *p, const char *set)
{
   size_t n = 0;

   while (p + n < text->end && p[n] && strchr (set, p[n])) {
      n++;
   }
   return n;
}

static size_t
correction_here (const text_t *text, const char *p)
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

      if (!is_digit (at (text, q)) ||
          (n == 2 && !((between (*q, '0', '1') && is_digit (at (text, q + 1))) ||
                       (*q == '2' && between (at (text, q + 1), '0', '4'))))) {
         break;
      }
      r += at (text, r) == ':';
      if (is_digit (at (text, r))) {
         r += between (*r, '0', '5') && is_digit (at (text, r + 1)) ? 2 : 1;
      }
      best = (size_t) (r - p) > best ? (size_t) (r - p) : best;
   }
   return best;
}

static size_t
zone_here (const text_t *text, const char *p)
{
   const char *q = p + (at (text, p) == '(');
   size_t n = 0, best = 0;

   while (n < 6 && is_letter (at (text, q + n))) {
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
      while ((at (text, q) == '_' || at (text, q) == '/' || at (text, q) == '-') && is_letter (at (text, q + 1))) {
         q++;
         while (is_letter (at (text, q))) {
            q++;
         }
         best = (size_t) (q - p) > best ? (size_t) (q - p) : best;
      }
   }
   return best;
}

/* am, pm, a.m., p.m. and what must follow them: the end, a space or a tab */
static size_t
meridian_here (const text_t *text, const char *p)
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
match_element (const text_t *text, char element, const char *p, size_t length[2])
{
   char c = at (text, p), d = at (text, p + 1);
   size_t n, which;

   length[0] = length[1] = NONE;
#define SET(condition, value)   \
   do {                         \
      if (condition) {          \
         length[0] = (value);   \
      }                         \
   } while (0)
#define FOUND(value)            \
   do {                         \
      n = (value);              \
      SET (n, n);               \
   } while (0)
   switch (element) {
   case 'Y': /* year, four digits */
      SET (digits_here (text, p, 4) == 4, 4);
      break;
   case 'y': /* year, one to four */
      FOUND (digits_here (text, p, 4));
      break;
   case '2':
      SET (is_digit (c) && is_digit (d), 2);
      break;
   case 'X': /* year, five digits and more */
      n = digits_here (text, p, 19);
      SET (n >= 5, n);
      break;
   case 'M': /* month, two digits */
      SET ((c == '0' && is_digit (d)) || (c == '1' && between (d, '0', '2')), 2);
      break;
   case 'm':
      SET (is_digit (c), (c == '0' && is_digit (d)) || (c == '1' && between (d, '0', '2')) ? 2 : 1);
      break;
   case 'D': /* day, two digits */
      SET ((between (c, '0', '2') && is_digit (d)) || (c == '3' && between (d, '0', '1')), 2);
      break;
   case 'd': /* day, with or without st, nd, rd, th */
      SET (is_digit (c), (between (c, '0', '2') && is_digit (d)) || (c == '3' && between (d, '0', '1')) ? 2 : 1);
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
      SET ((between (c, '0', '1') && is_digit (d)) || (c == '2' && between (d, '0', '4')), 2);
      break;
   case 'h': /* hour of 24 */
      SET (is_digit (c), 1);
      if ((between (c, '0', '1') && is_digit (d)) || (c == '2' && between (d, '0', '4'))) {
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
      SET (between (c, '0', '5') && is_digit (d), 2);
      break;
   case 'i':
      SET (is_digit (c), between (c, '0', '5') && is_digit (d) ? 2 : 1);
      break;
   case 'S': /* second, two digits; 60 too */
      SET ((between (c, '0', '5') && is_digit (d)) || (c == '6' && d == '0'), 2);
      break;
   case 's':
      SET (is_digit (c), (between (c, '0', '5') && is_digit (d)) || (c == '6' && d == '0') ? 2 : 1);
      break;
   case 'f': /* fraction of a second */
      SET (c == '.' && is_digit (d), 1 + digits_here (text, p + 1, SIZE_MAX));
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
      SET ((c == '0' && between (d, '1', '9')) || (between (c, '1', '4') && is_digit (d)) ||
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
      SET (n && n != 4 ? true : n && !word_here (text, p, "week"), n);
      break;
   case 'Q':
      FOUND (word_here (text, p, "week"));
      break;
   case 'O':
      FOUND (word_here (text, p, "of"));
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
   case '^': /* what may stand between the parts of a date with a name */
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
match_form (const text_t *text, const char *pattern, const char *p)
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

/* ---- what a token says ---- */

typedef struct {
   ecl_date_text_t date;
   bool has_date, has_time;
   const char *problem;
} reader_t;

static bool
problem (reader_t *self, const char *text)
{
   self->problem = text;
   return false;
}

static bool
have_date (reader_t *self)
{
   if (self->has_date) {
      return problem (self, "Double date specification");
   }
   self->has_date = true;
   return true;
}

static bool
have_time (reader_t *self)
{
   if (self->has_time) {
      return problem (self, "Double time specification");
   }
   self->has_time = true;
   self->date.hour = self->date.minute = self->date.second = self->date.micros = 0;
   return true;
}

static void
drop_time (reader_t *self)
{
   self->has_time = false;
   self->date.hour = self->date.minute = self->date.second = self->date.micros = 0;
}

static bool
have_zone (reader_t *self, const char **p, const char *end)
{
   if (self->date.has_zone) {
      return problem (self, "Double timezone specification");
   }
   return ecl_date_text_zone (&self->date, p, end) ||
          problem (self, "passing a time zone identifier as part of the string is not allowed");
}

static int64_t
number (const char **p, const char *end, uint32_t max)
{
   return ecl_date_text_number (p, end, max, NULL);
}

/* A year of two digits is one between 1970 and 2069. */
static int64_t
short_year (const char **p, const char *end, uint32_t max)
{
   uint32_t digits;
   int64_t year = ecl_date_text_number (p, end, max, &digits);

   if (year == ECL_UNSET || digits >= 4 || year >= 100) {
      return year;
   }
   return year + (year < 70 ? 2000 : 1900);
}

static int64_t
month_name (const char **p, const char *end)
{
   const char *word;

   while (*p < end && !is_letter (**p)) {
      ++*p;
   }
   word = *p;
   while (*p < end && is_letter (**p)) {
      ++*p;
   }
   return ecl_month_from_name (word, (size_t) (*p - word));
}

/* A number with signs before it; each '-' turns it round. */
static int64_t
signed_number (const char **p, const char *end, uint32_t max)
{
   bool negative = false;
   int64_t n;

   while (*p < end && !is_digit (**p)) {
      negative ^= **p == '-';
      ++*p;
   }
   n = number (p, end, max);
   return negative && n != ECL_UNSET ? -n : n;
}

/* Digits behind the point; finer than microseconds is cut. */
static int64_t
fraction (const char **p, const char *end)
{
   int64_t n = 0, scale = 100000;

   ++*p;
   while (*p < end && is_digit (**p)) {
      n += (**p - '0') * scale;
      scale /= 10;
      ++*p;
   }
   return n;
}

/* [tT]? h [:.]? m ([:.]? s fraction?)? */
static void
read_time (reader_t *self, const char **p, const char *end)
{
   self->date.hour = number (p, end, 2);
   self->date.minute = number (p, end, 2);
   if (*p < end && (**p == ':' || **p == '.' || is_digit (**p))) {
      self->date.second = number (p, end, 2);
      if (*p < end && **p == '.') {
         self->date.micros = fraction (p, end);
      }
   }
}

static void
read_meridian (reader_t *self, const char *p, const char *end)
{
   while (p < end && !strchr ("aApP", *p)) {
      p++;
   }
   if (p < end && (*p == 'a' || *p == 'A')) {
      self->date.hour -= self->date.hour == 12 ? 12 : 0;
   } else {
      self->date.hour += self->date.hour == 12 ? 0 : 12;
   }
}

static bool
add_unit (reader_t *self, int64_t amount, const char *p, const char *end, int32_t behavior)
{
   ecl_date_text_t *date = &self->date;
   text_t text = {p, end};
   size_t which = 0;
   int64_t *sum = NULL, factor;

   if (!unit_here (&text, p, &which)) {
      return problem (self, "Unexpected unit");
   }
   factor = units[which].factor;
   switch (units[which].unit) {
   case UNIT_MICROS:
      sum = &date->add_micros;
      break;
   case UNIT_SECONDS:
      sum = &date->add_seconds;
      break;
   case UNIT_DAYS:
      sum = &date->add_days;
      break;
   case UNIT_MONTHS:
      sum = &date->add_months;
      break;
   case UNIT_YEARS:
      sum = &date->add_years;
      break;
   case UNIT_WEEKDAY:
      drop_time (self);
      date->has_weekday = true;
      date->weekday = (int32_t) factor;
      date->weekday_behavior = behavior;
      amount = amount > 0 ? amount - 1 : amount;
      factor = 7;
      sum = &date->add_days;
      break;
   default:
      return problem (self, "counting weekdays is not supported");
   }
   if (__builtin_mul_overflow (amount, factor, &amount) || __builtin_add_overflow (*sum, amount, sum)) {
      return problem (self, "Number out of range");
   }
   return true;
}

static bool
relative_text (reader_t *self, const char *p, const char *end)
{
   text_t text = {p, end};
   const char *unit = p;
   int64_t amount = 0;
   int32_t behavior = 0;

   if (word_here (&text, p, "next")) {
      amount = 1;
   } else if (word_here (&text, p, "last") || word_here (&text, p, "previous")) {
      amount = -1;
   } else if (word_here (&text, p, "this")) {
      behavior = 1;
   } else {
      for (int64_t i = 0; i < 12; i++) {
         if (word_here (&text, p, ordinals[i])) {
            amount = i + 1;
         }
      }
      amount = amount ? amount : 8;
   }
   while (unit < end && is_letter (*unit)) {
      unit++;
   }
   while (unit < end && !is_letter (*unit) && !(*unit & 0x80)) {
      unit++;
   }
   return add_unit (self, amount, unit, end, behavior);
}

static bool
timestamp (reader_t *self, const char *p, const char *end)
{
   ecl_date_text_t *date = &self->date;
   int64_t seconds;

   if (date->has_zone) {
      return problem (self, "Double timezone specification");
   }
   drop_time (self);
   self->has_date = false;
   seconds = signed_number (&p, end, 24);
   if (__builtin_add_overflow (date->add_seconds, seconds, &date->add_seconds)) {
      return problem (self, "Number out of range");
   }
   if (p < end && *p == '.') {
      date->add_micros = fraction (&p, end);
   }
   date->year = 1970;
   date->month = date->day = 1;
   date->has_zone = true;
   date->offset = 0;
   return true;
}

static bool
iso_week (reader_t *self, const char *p, const char *end)
{
   ecl_date_text_t *date = &self->date;
   int64_t year, week, day;

   if (!have_date (self)) {
      return false;
   }
   year = number (&p, end, 4);
   week = number (&p, end, 2);
   day = number (&p, end, 1);
   date->year = year;
   date->month = date->day = 1;
   date->add_days = ecl_iso_days (year, week, day == ECL_UNSET ? 1 : day) - ecl_date_days (year, 1, 1);
   return true;
}

static bool
read_token (reader_t *self, form_t form, const char *p, const char *end)
{
   ecl_date_text_t *date = &self->date;

   switch (form) {
   case FORM_WORD_NOW:
      return true;
   case FORM_WORD_YESTERDAY:
   case FORM_WORD_TOMORROW:
      drop_time (self);
      date->add_days = form == FORM_WORD_TOMORROW ? 1 : -1;
      return true;
   case FORM_WORD_TODAY:
      drop_time (self);
      return true;
   case FORM_WORD_NOON:
      drop_time (self);
      self->has_time = true;
      date->hour = 12;
      return true;
   case FORM_TIMESTAMP:
      return timestamp (self, p, end);
   case FORM_MONTH_EDGE:
      date->month_edge = *p == 'l' || *p == 'L' ? 2 : 1;
      return true;
   case FORM_UNSUPPORTED:
      return problem (self, "this relative form is not supported");
   case FORM_TIME_12:
   case FORM_TIME_12_FRACTION:
      if (!have_time (self)) {
         return false;
      }
      date->hour = number (&p, end, 2);
      if (*p == ':' || *p == '.') {
         date->minute = number (&p, end, 2);
         if (*p == ':' || *p == '.') {
            date->second = number (&p, end, 2);
            if (form == FORM_TIME_12_FRACTION) {
               date->micros = fraction (&p, end);
            }
         }
      }
      read_meridian (self, p, end);
      return true;
   case FORM_TIME_24:
      if (!have_time (self)) {
         return false;
      }
      read_time (self, &p, end);
      return true;
   case FORM_TIME_OR_YEAR:
      if (self->has_time) {
         if (date->year != ECL_UNSET) {
            return problem (self, "Double time specification");
         }
         date->year = number (&p, end, 4);
         return true;
      }
      self->has_time = true;
      date->hour = number (&p, end, 2);
      date->minute = number (&p, end, 2);
      date->second = date->micros = 0;
      return true;
   case FORM_DATE_TIME:
      if (!have_time (self) || !have_date (self)) {
         return false;
      }
      date->year = number (&p, end, 4);
      date->month = number (&p, end, 2);
      date->day = number (&p, end, 2);
      date->hour = number (&p, end, 2);
      date->minute = number (&p, end, 2);
      date->second = number (&p, end, 2);
      if (p < end && *p == '.') {
         date->micros = fraction (&p, end);
      }
      return p >= end || have_zone (self, &p, end);
   case FORM_ISO_WEEK:
      return iso_week (self, p, end);
   case FORM_YEAR:
      date->year = number (&p, end, 4);
      return true;
   case FORM_AGO:
      date->add_years = -date->add_years;
      date->add_months = -date->add_months;
      date->add_days = -date->add_days;
      date->add_seconds = -date->add_seconds;
      date->add_micros = -date->add_micros;
      return true;
   case FORM_WEEKDAY:
      return add_unit (self, 0, p, end, 1);
   case FORM_RELATIVE_TEXT:
      return relative_text (self, p, end);
   case FORM_RELATIVE: {
      int64_t amount = signed_number (&p, end, 24);

      while (p < end && (*p == ' ' || *p == '\t')) {
         p++;
      }
      return add_unit (self, amount, p, end, 1);
   }
   case FORM_ZONE:
      return have_zone (self, &p, end);
   default:
      break;
   }
   /* What is left has a date. */
   if (!have_date (self)) {
      return false;
   }
   switch (form) {
   case FORM_MONTH_DAY_YEAR:
      date->month = number (&p, end, 2);
      date->day = number (&p, end, 2);
      if (p < end) {
         date->year = short_year (&p, end, 4);
      }
      break;
   case FORM_YEAR_MONTH_DAY:
      date->year = *p == '+' || *p == '-' ? signed_number (&p, end, 19)
                                          : number (&p, end, memchr (p, '-', (size_t) (end - p)) ? 19 : 4);
      date->month = number (&p, end, 2);
      date->day = number (&p, end, 2);
      break;
   case FORM_SHORT_YEAR_MONTH_DAY:
      date->year = short_year (&p, end, 4);
      date->month = number (&p, end, 2);
      date->day = number (&p, end, 2);
      break;
   case FORM_YEAR_MONTH:
      date->year = number (&p, end, 4);
      date->month = number (&p, end, 2);
      date->day = 1;
      break;
   case FORM_DAY_MONTH_YEAR:
      date->day = number (&p, end, 2);
      date->month = number (&p, end, 2);
      date->year = short_year (&p, end, 4);
      break;
   case FORM_DAY_NAME_YEAR:
   case FORM_DAY_NAME:
   case FORM_LOG:
      date->day = number (&p, end, 2);
      /* st, nd, rd, th belong to the day; no month begins with them but with a space before it they would not */
      if (end - p > 2 && strchr ("snrt", *p) && !ecl_month_from_name (p, 3) && strchr ("tdh", p[1])) {
         p += 2;
      }
      date->month = month_name (&p, end);
      if (form == FORM_DAY_NAME_YEAR) {
         date->year = short_year (&p, end, 4);
      } else if (form == FORM_LOG) {
         if (!have_time (self)) {
            return false;
         }
         date->year = number (&p, end, 4);
         date->hour = number (&p, end, 2);
         date->minute = number (&p, end, 2);
         date->second = number (&p, end, 2);
         return have_zone (self, &p, end);
      }
      break;
   case FORM_NAME_YEAR:
      date->month = month_name (&p, end);
      date->year = short_year (&p, end, 4);
      date->day = 1;
      break;
   case FORM_YEAR_NAME:
      date->year = short_year (&p, end, 4);
      date->month = month_name (&p, end);
      date->day = 1;
      break;
   case FORM_NAME_DAY_YEAR:
      date->month = month_name (&p, end);
      date->day = number (&p, end, 2);
      if (number (&(const char *) {p}, end, 1) != ECL_UNSET) {
         date->year = short_year (&p, end, 4);
      }
      break;
   case FORM_YEAR_DAY:
      date->year = number (&p, end, 4);
      date->day = number (&p, end, 3);
      date->month = 1;
      if (date->day > ecl_days_in_month (date->year, 1)) {
         ecl_civil_t civil;

         ecl_date_from_days (ecl_date_days (date->year, 1, date->day), &civil);
         date->month = civil.month;
         date->day = civil.day;
         date->year = civil.year;
      }
      break;
   case FORM_YEAR_NAME_DAY:
      date->year = short_year (&p, end, 4);
      date->month = month_name (&p, end);
      date->day = number (&p, end, 2);
      break;
   case FORM_NAME:
      date->month = month_name (&p, end);
      break;
   case FORM_NAME_DAY_TIME_12:
   case FORM_NAME_DAY_TIME:
      date->month = month_name (&p, end);
      date->day = number (&p, end, 2);
      if (!have_time (self)) {
         return false;
      }
      read_time (self, &p, end);
      if (form == FORM_NAME_DAY_TIME_12) {
         read_meridian (self, p, end);
      } else {
         return p >= end || have_zone (self, &p, end);
      }
      break;
   default:
      break;
   }
   return true;
}

/* ---- the whole text ---- */

static bool
two (const char *p, int32_t most, int32_t *out)
{
   *out = (p[0] - '0') * 10 + (p[1] - '0');
   return is_digit (p[0]) && is_digit (p[1]) && *out <= most;
}

/* YYYY-MM-DD, with [T ]hh:mm:ss, a fraction and Z or nothing: what nearly all texts are. */
static bool
read_iso (const char *p, size_t len, bool utc, int64_t *ms)
{
   ecl_civil_t civil = {0};
   int32_t century, year;
   const char *end = p + len;

   if (len < 10 || !two (p, 99, &century) || !two (p + 2, 99, &year) || p[4] != '-' || !two (p + 5, 12, &civil.month) ||
       p[7] != '-' || !two (p + 8, 31, &civil.day) || civil.month == 0 || civil.day == 0) {
      return false;
   }
   civil.year = century * 100 + year;
   if (civil.day > ecl_days_in_month (civil.year, civil.month)) {
      return false;
   }
   p += 10;
   if (p < end) {
      if (end - p < 9 || (*p != 'T' && *p != ' ') || !two (p + 1, 23, &civil.hour) || p[3] != ':' ||
          !two (p + 4, 59, &civil.minute) || p[6] != ':' || !two (p + 7, 59, &civil.second)) {
         return false;
      }
      p += 9;
      if (end - p > 1 && *p == '.' && is_digit (p[1])) {
         int32_t scale = 100;

         for (p++; p < end && is_digit (*p); p++, scale /= 10) {
            civil.millisecond += (*p - '0') * scale;
         }
      }
      if (p < end && *p == 'Z' && utc) {
         p++;
      }
   }
   return p == end && utc && ecl_date_join (&civil, ms);
}

static bool
is_space (char c)
{
   return c == ' ' || (c >= '\t' && c <= '\r');
}

bool
ecl_date_parse (const char *string, size_t len, const ecl_timezone_t *zone, int64_t *ms, bson_error_t *error)
{
   text_t text = {string, string + len};
   reader_t reader = {0};
   const char *p;

   if (read_iso (string, len, !zone || ecl_timezone_is_utc (zone), ms)) {
      return true;
   }
   while (text.begin < text.end && is_space (*text.begin)) {
      text.begin++;
   }
   while (text.begin < text.end && is_space (text.end[-1])) {
      text.end--;
   }
   ecl_date_text_init (&reader.date);
   p = text.begin;
   if (p == text.end) {
      reader.problem = "Empty string";
   }
   while (p < text.end && !reader.problem) {
      const char *best = NULL;
      form_t form = FORM_UNSUPPORTED;

      if (strchr (" .,\t\n", *p)) { /* and NUL */
         /* ".5" and the like begin nothing */
         p++;
         continue;
      }
      for (size_t i = 0; i < sizeof phrases / sizeof phrases[0]; i++) {
         size_t n = word_here (&text, p, phrases[i].word);

         if (n && (!best || p + n > best)) {
            best = p + n;
            form = phrases[i].form;
         }
      }
      for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
         const char *end = match_form (&text, forms[i].pattern, p);

         if (end && (!best || end > best)) {
            best = end;
            form = forms[i].form;
         }
      }
      if (!best) {
         reader.problem = "Unexpected character";
         break;
      }
      if (!read_token (&reader, form, p, best < text.end ? best : text.end)) {
         break;
      }
      p = best;
   }
   if (!reader.problem && ((reader.has_time && !ecl_date_text_valid_time (&reader.date)) ||
                           (reader.has_date && !ecl_date_text_valid_date (&reader.date)))) {
      reader.problem = "The parsed date or time was invalid or incomplete";
   }
   if (reader.problem) {
      return ecl_fail (error, ECL_DOMAIN_MQL, 241, "Error parsing date string '%.*s'; %d: %s",
                       len > 100 ? 100 : (int) len, string, (int) (p - string), reader.problem);
   }
   return ecl_date_text_finish (&reader.date, zone, string, len, ms, error);
}
