/* Time zones: what holds at an instant, and which instant a local time is.
 *
 * A zone's rules are a table of transitions and, for what comes after the last of them, a rule in the form of POSIX's
 * TZ variable. timezone_load.c makes them. */
#include "bson/timezone-private.h"

#include "bson/date.h"

#define SECONDS_PER_DAY INT64_C (86400)

static bool
two_digits (const char *p, int32_t *out)
{
   if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9') {
      return false;
   }
   *out = (p[0] - '0') * 10 + (p[1] - '0');
   return true;
}

bool
ecl_timezone_parse_offset (const char *text, size_t len, ecl_timezone_t *out)
{
   int32_t hours, minutes = 0;

   if ((len != 3 && len != 5 && len != 6) || (text[0] != '+' && text[0] != '-') || !two_digits (text + 1, &hours) ||
       (len == 6 && text[3] != ':') || (len > 3 && !two_digits (text + len - 2, &minutes))) {
      return false;
   }
   out->rules = NULL;
   out->fixed = (hours * 60 + minutes) * (text[0] == '-' ? -60 : 60);
   return true;
}

/* Seconds since 1970 of the rule's day and time in a year, by the local clock. */
static int64_t
rule_time (const ecl_zone_rule_t *rule, int64_t year)
{
   int64_t day;

   switch (rule->kind) {
   case ECL_RULE_JULIAN: /* 1 … 365, the leap day is never counted */
      day = ecl_date_days (year, 1, rule->day) + (rule->day >= 60 && ecl_is_leap_year (year));
      break;
   case ECL_RULE_DAY: /* 0 … 365 */
      day = ecl_date_days (year, 1, rule->day + 1);
      break;
   default: { /* the week-th weekday of the month; 5 is the last */
      int64_t first = ecl_date_days (year, rule->month, 1);
      int32_t ahead = (rule->day - ecl_day_of_week (first) + 7) % 7 + (rule->week - 1) * 7;

      if (ahead >= ecl_days_in_month (year, rule->month)) {
         ahead -= 7;
      }
      day = first + ahead;
   }
   }
   return day * SECONDS_PER_DAY + rule->time;
}

/* What the footer says of an instant. */
static void
footer_at (const ecl_zone_footer_t *footer, int64_t seconds, ecl_zone_info_t *out)
{
   ecl_civil_t civil;

   out->offset = footer->std_offset;
   out->dst = false;
   out->since = INT64_MIN;
   if (!footer->has_dst) {
      return;
   }
   ecl_date_from_days (ecl_floor_div (seconds, SECONDS_PER_DAY), &civil);
   /* The last change before the instant is in this year or, with zones and rules at its edges, in one beside it. */
   for (int64_t year = civil.year - 1; year <= civil.year + 1; year++) {
      int64_t begin = rule_time (&footer->start, year) - footer->std_offset;
      int64_t end = rule_time (&footer->end, year) - footer->dst_offset;

      if (end <= seconds && end > out->since) {
         *out = (ecl_zone_info_t){.offset = footer->std_offset, .since = end};
      }
      /* Where summer time ends and begins again at once, it never ends. */
      if (begin <= seconds && begin >= out->since) {
         *out = (ecl_zone_info_t){.offset = footer->dst_offset, .dst = true, .since = begin};
      }
   }
}

void
ecl_timezone_at (const ecl_timezone_t *zone, int64_t seconds, ecl_zone_info_t *out)
{
   const ecl_zone_rules_t *rules = zone->rules;
   uint32_t low = 0, high;

   if (!rules) {
      *out = (ecl_zone_info_t){.offset = zone->fixed, .since = INT64_MIN};
      return;
   }
   high = rules->n_transitions;
   if (high == 0 || seconds >= rules->transitions[high - 1]) {
      if (rules->has_footer) {
         footer_at (&rules->footer, seconds, out);
         if (high && out->since < rules->transitions[high - 1]) {
            out->since = rules->transitions[high - 1];
         }
         return;
      }
   }
   /* the number of transitions that are not after the instant */
   while (low < high) {
      uint32_t middle = low + (high - low) / 2;

      if (rules->transitions[middle] <= seconds) {
         low = middle + 1;
      } else {
         high = middle;
      }
   }
   if (low == 0) {
      *out = (ecl_zone_info_t){.offset = rules->types[0].offset, .dst = rules->types[0].dst, .since = INT64_MIN};
   } else {
      const ecl_zone_type_t *type = &rules->types[rules->indexes[low - 1]];

      *out = (ecl_zone_info_t){.offset = type->offset, .dst = type->dst, .since = rules->transitions[low - 1]};
   }
}

/* The local time is first taken for UTC, to find an offset that is right or that of the other side of a change nearby;
 * a second look from there settles it, except within two hours of a change, where dst decides. */
int64_t
ecl_timezone_to_utc (const ecl_timezone_t *zone, int64_t local, bool dst)
{
   ecl_zone_info_t current, after, other;
   int32_t offset;
   int64_t since;
   bool in_gap;

   if (!zone->rules) {
      return local - zone->fixed;
   }
   ecl_timezone_at (zone, local, &current);
   ecl_timezone_at (zone, local - current.offset, &after);
   offset = after.offset;
   since = after.since;
   if (current.offset == after.offset) {
      if (current.offset >= 0 && dst && !current.dst) {
         ecl_timezone_at (zone, local - current.offset - 7200, &other);
         if (other.offset != after.offset && local - other.offset < after.since) {
            offset = other.offset;
            since = other.since;
         }
      } else if (current.offset <= 0 && current.dst && !dst) {
         ecl_timezone_at (zone, local - current.offset + 7200, &other);
         if (other.offset != after.offset && local - other.offset >= other.since) {
            offset = other.offset;
         }
      }
   }
   in_gap = since != INT64_MIN && local - offset >= since + (current.offset - offset) && local - offset < since;
   return current.offset != offset && !in_gap ? local - offset : local - current.offset;
}
