/* What the two readers of dates share: zones in a text, and from fields to an instant. */
#include "bson/date_text-private.h"

#include "base/ascii.h"

#include <string.h>

#define CONVERSION_FAILURE 241

void
ecl_date_text_init (ecl_date_text_t *self)
{
   memset (self, 0, sizeof *self);
   self->year = self->month = self->day = ECL_UNSET;
   self->hour = self->minute = self->second = self->micros = ECL_UNSET;
}

static char
lower (char c)
{
   return c >= 'A' && c <= 'Z' ? (char) (c + 32) : c;
}

int64_t
ecl_date_text_number (const char **p, const char *end, uint32_t max, uint32_t *digits)
{
   int64_t n = 0;
   uint32_t count = 0;

   while (*p < end && !ecl_is_digit (**p)) {
      ++*p;
   }
   while (*p < end && ecl_is_digit (**p) && count < max) {
      if (__builtin_mul_overflow (n, 10, &n) || __builtin_add_overflow (n, **p - '0', &n)) {
         n = INT64_MAX;
      }
      ++*p;
      count++;
   }
   if (digits) {
      *digits = count;
   }
   return count ? n : ECL_UNSET;
}

int32_t
ecl_date_text_month (const char *name, size_t len)
{
   static const char *const names[] = {"january", "february", "march",     "april",   "may",      "june",
                                       "july",    "august",   "september", "october", "november", "december"};
   static const char *const roman[] = {"i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii"};
   char word[10];

   if (len == 0 || len >= sizeof word) {
      return 0;
   }
   for (size_t i = 0; i < len; i++) {
      word[i] = lower (name[i]);
   }
   word[len] = '\0';
   for (int32_t i = 0; i < 12; i++) {
      if (strcmp (word, names[i]) == 0 || (len == 3 && memcmp (word, names[i], 3) == 0) ||
          strcmp (word, roman[i]) == 0) {
         return i + 1;
      }
   }
   return strcmp (word, "sept") == 0 ? 9 : 0;
}

/* ---- zones ---- */

/* Abbreviations in minutes east of UTC, summer time included. Many stand for several zones; each has here the one that
 * timelib, and so the server, takes. */
static const struct {
   char name[6];
   int16_t minutes;
} abbreviations[] = {
   {"acdt", 630},  {"acst", -240}, {"act", -300},  {"acwst", 525}, {"adt", -180},  {"aedt", 660},   {"aest", 600},
   {"aft", 270},   {"akdt", -480}, {"akst", -540}, {"almt", 360},  {"amst", 300},  {"amt", 240},    {"anat", 780},
   {"art", -180},  {"ast", 180},   {"awdt", 540},  {"awst", 480},  {"azost", 0},   {"azot", -60},   {"azt", 240},
   {"bdst", 120},  {"bdt", -600},  {"bnt", 480},   {"bot", -240},  {"brst", -120}, {"brt", -180},   {"bst", 60},
   {"btt", 360},   {"cast", 570},  {"cat", -600},  {"cct", 390},   {"cdt", -300},  {"cest", 120},   {"cet", 60},
   {"chadt", 825}, {"chast", 765}, {"chst", 600},  {"ckt", -600},  {"clst", -180}, {"clt", -240},   {"cot", -300},
   {"cst", -360},  {"cvt", -120},  {"cxt", 420},   {"davt", 420},  {"ddut", 600},  {"easst", -360}, {"east", -360},
   {"eat", 180},   {"ect", -300},  {"edt", -240},  {"eest", 180},  {"eet", 120},   {"egst", 0},     {"egt", -60},
   {"est", -300},  {"fet", 180},   {"fjst", 780},  {"fjt", 720},   {"fkst", -120}, {"fkt", -240},   {"fnt", -120},
   {"galt", -360}, {"gamt", -540}, {"get", 240},   {"gft", -240},  {"gilt", 720},  {"gmt", 0},      {"gst", 240},
   {"gyt", -240},  {"hadt", -540}, {"hast", -600}, {"hdt", -570},  {"hkst", 540},  {"hkt", 480},    {"hovt", 420},
   {"hst", -600},  {"ict", 420},   {"idt", 180},   {"iot", 360},   {"irdt", 270},  {"irkt", 480},   {"irst", 210},
   {"ist", 120},   {"jst", 540},   {"kdt", 600},   {"kgt", 300},   {"kost", 720},  {"krat", 420},   {"kst", 510},
   {"lhdt", 660},  {"lhst", 630},  {"lint", 840},  {"magt", 660},  {"mart", -570}, {"mawt", 360},   {"mdt", -360},
   {"mest", 120},  {"met", 60},    {"mht", 720},   {"msd", 240},   {"msk", 180},   {"mst", -420},   {"mut", 240},
   {"mvt", 300},   {"myt", 480},   {"ncst", 720},  {"nct", 660},   {"ndt", -150},  {"nft", 690},    {"novt", 360},
   {"npt", 345},   {"nst", -210},  {"nut", -660},  {"nzdt", 780},  {"nzst", 720},  {"omst", 420},   {"orat", 300},
   {"pdt", -420},  {"pet", -300},  {"pett", 720},  {"pgt", 600},   {"phot", 780},  {"pht", 480},    {"pkst", 360},
   {"pkt", 300},   {"pmdt", -120}, {"pmst", -180}, {"pont", 660},  {"pst", -480},  {"pwt", 540},    {"pyst", -180},
   {"pyt", -240},  {"ret", 240},   {"rott", -180}, {"sakt", 660},  {"samt", 240},  {"sast", 120},   {"sbt", 660},
   {"sct", 240},   {"sgt", 480},   {"srt", -180},  {"sst", -660},  {"syot", 180},  {"taht", -600},  {"tft", 300},
   {"tjt", 300},   {"tkt", 780},   {"tlt", 540},   {"tmt", 300},   {"tot", 780},   {"tvt", 720},    {"ulat", 480},
   {"utc", 0},     {"uyst", -120}, {"uyt", -180},  {"uzt", 300},   {"vet", -240},  {"vlat", 600},   {"vost", 360},
   {"vut", 660},   {"wakt", 720},  {"wast", 120},  {"wat", 60},    {"west", 60},   {"wet", 0},      {"wft", 720},
   {"wgst", -120}, {"wgt", -180},  {"wib", 420},   {"wit", 540},   {"wita", 480},  {"yakt", 540},   {"yekt", 300},
   {"a", 60},      {"b", 120},     {"c", 180},     {"d", 240},     {"e", 300},     {"f", 360},      {"g", 420},
   {"h", 480},     {"i", 540},     {"k", 600},     {"l", 660},     {"m", 720},     {"n", -60},      {"o", -120},
   {"p", -180},    {"q", -240},    {"r", -300},    {"s", -360},    {"t", -420},    {"u", -480},     {"v", -540},
   {"w", -600},    {"x", -660},    {"y", -720},    {"z", 0},
};

/* h, hh, hmm, hhmm, h:mm, hh:mm, in seconds */
static bool
zone_offset (const char **p, const char *end, int32_t *out)
{
   const char *begin = *p, *colon;
   size_t n;
   int64_t hours, minutes = 0;

   while (*p < end && (ecl_is_digit (**p) || **p == ':')) {
      ++*p;
   }
   n = (size_t) (*p - begin);
   colon = memchr (begin, ':', n);
   if (n == 0 || n > 5 || (n == 5 && !colon) || (colon && (colon == begin || colon - begin > 2))) {
      return false;
   }
   if (colon) {
      const char *h = begin, *m = colon + 1;

      hours = ecl_date_text_number (&h, colon, 2, NULL);
      if (m < *p) {
         minutes = ecl_date_text_number (&m, *p, 2, NULL);
      }
      if (m != *p || minutes == ECL_UNSET) {
         return false;
      }
   } else {
      const char *h = begin, *m = n > 2 ? *p - 2 : *p;

      hours = ecl_date_text_number (&h, m, 2, NULL);
      if (n > 2) {
         minutes = ecl_date_text_number (&m, *p, 2, NULL);
      }
   }
   *out = (int32_t) (hours * 3600 + minutes * 60);
   return true;
}

bool
ecl_date_text_zone (ecl_date_text_t *self, const char **p, const char *end)
{
   const char *word;
   size_t n;
   bool found = false;

   while (*p < end && (**p == ' ' || **p == '\t' || **p == '(')) {
      ++*p;
   }
   if (end - *p > 3 && memcmp (*p, "GMT", 3) == 0 && ((*p)[3] == '+' || (*p)[3] == '-')) {
      *p += 3;
   }
   self->has_zone = true;
   if (*p < end && (**p == '+' || **p == '-')) {
      bool west = **p == '-';

      ++*p;
      found = zone_offset (p, end, &self->offset);
      if (west) {
         self->offset = -self->offset;
      }
   } else {
      word = *p;
      while (*p < end && **p != '\0' && **p != ')' && **p != ' ') {
         ++*p;
      }
      n = (size_t) (*p - word);
      for (size_t i = 0; n && n < 6 && !found && i < sizeof abbreviations / sizeof abbreviations[0]; i++) {
         size_t k = 0;

         while (k < n && lower (word[k]) == abbreviations[i].name[k]) {
            k++;
         }
         if (k == n && abbreviations[i].name[n] == '\0') {
            self->offset = abbreviations[i].minutes * 60;
            found = true;
         }
      }
   }
   while (*p < end && **p == ')') {
      ++*p;
   }
   return found;
}

/* ---- from fields to an instant ---- */

bool
ecl_date_text_valid_date (const ecl_date_text_t *self)
{
   return self->year >= 0 && self->year <= 300000000 && self->month >= 1 && self->month <= 12 && self->day >= 1 &&
          self->day <= ecl_days_in_month (self->year, (int32_t) self->month);
}

bool
ecl_date_text_valid_time (const ecl_date_text_t *self)
{
   return self->hour >= 0 && self->hour <= 23 && self->minute >= 0 && self->minute <= 59 && self->second >= 0 &&
          self->second <= 59;
}

static bool
within (int64_t n, int64_t most)
{
   return n >= -most && n <= most;
}

/* Moves on to the weekday that was named. */
static int64_t
weekday_shift (const ecl_date_text_t *self, int64_t days)
{
   int32_t current = ecl_day_of_week (days), difference = self->weekday - current;

   if (self->weekday_behavior == 2) {
      /* the day of this week, which begins on Monday */
      return (self->weekday == 0 ? 7 : self->weekday) - (current == 0 ? 7 : current);
   }
   if ((self->add_days < 0 && difference < 0) || (self->add_days >= 0 && difference <= -self->weekday_behavior)) {
      difference += 7;
   }
   return difference;
}

bool
ecl_date_text_finish (ecl_date_text_t *self, const ecl_timezone_t *zone, const char *text, size_t len, int64_t *ms,
                      bson_error_t *error)
{
   int shown = (int) ecl_shown (text, len, 100);
   int64_t days, seconds, month, milliseconds;
   bool utc = !zone || ecl_timezone_is_utc (zone);

   if (self->hour == ECL_UNSET && self->minute == ECL_UNSET && self->second == ECL_UNSET) {
      self->hour = self->minute = self->second = self->micros = 0;
   }
   if (self->year == ECL_UNSET || self->month == ECL_UNSET || self->day == ECL_UNSET || self->hour == ECL_UNSET ||
       self->minute == ECL_UNSET || self->second == ECL_UNSET) {
      return ecl_fail (error, ECL_DOMAIN_MQL, CONVERSION_FAILURE,
                       "an incomplete date/time string has been found, with elements missing: \"%.*s\"", shown, text);
   }
   if (!utc && self->has_zone) {
      return ecl_fail (error, ECL_DOMAIN_MQL, CONVERSION_FAILURE,
                       "you cannot pass in a date/time string with time zone information together with a timezone "
                       "argument: \"%.*s\"",
                       shown, text);
   }
   if (!within (self->year, 300000000) || !within (self->month, 1000000) || !within (self->day, 1000000) ||
       !within (self->add_years, 300000000) || !within (self->add_months, 4000000000) ||
       !within (self->add_days, INT64_C (200000000000)) || !within (self->add_seconds, INT64_C (10000000000000000)) ||
       !within (self->add_micros, INT64_C (1000000000000000000))) {
      goto too_large;
   }
   month = self->month - 1 + self->add_months;
   self->year += self->add_years + ecl_floor_div (month, 12);
   month = ecl_floor_mod (month, 12) + 1;
   days = ecl_date_days (self->year, (int32_t) month, self->day) + self->add_days;
   if (self->month_edge) {
      ecl_civil_t civil;

      ecl_date_from_days (days, &civil);
      days = ecl_date_days (civil.year, civil.month,
                            self->month_edge == 1 ? 1 : ecl_days_in_month (civil.year, civil.month));
   }
   if (self->has_weekday) {
      days += weekday_shift (self, days);
   }
   seconds = days * 86400 + self->hour * 3600 + self->minute * 60 + self->second;
   if (self->has_zone) {
      seconds -= self->offset;
   } else if (!utc) {
      ecl_zone_info_t epoch;

      /* Of a local time that comes twice the server takes the one that 1970 would suggest. */
      ecl_timezone_at (zone, 0, &epoch);
      seconds = ecl_timezone_to_utc (zone, seconds, epoch.dst);
   }
   seconds += self->add_seconds;
   milliseconds = ecl_floor_div ((self->micros == ECL_UNSET ? 0 : self->micros) + self->add_micros, 1000);
   if (__builtin_mul_overflow (seconds, 1000, ms) || __builtin_add_overflow (*ms, milliseconds, ms)) {
      goto too_large;
   }
   return true;

too_large:
   return ecl_fail (error, ECL_DOMAIN_MQL, CONVERSION_FAILURE, "the date is out of range: \"%.*s\"", shown, text);
}
