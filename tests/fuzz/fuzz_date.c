/* Fuzz target: reading dates from text, without a format and with one, and TZif files.
 *
 * The first byte says which: 0 … 63 text, 64 … 127 text NUL format, else a file. */
#include "bson/date.h"
#include "bson/date_parse.h"
#include "fuzz.h"

static void
check (bool ok, int64_t ms)
{
   char iso[ECL_DATE_ISO_SIZE];
   int64_t back;

   /* What was read prints and reads again as the same. */
   if (ok && ecl_date_to_iso (ms, iso)) {
      FUZZ_ASSERT (ecl_date_parse (iso, strlen (iso), NULL, &back, NULL) && back == ms);
   }
}

static void
use_zone (const ecl_zone_rules_t *rules)
{
   static const int64_t instants[] = {INT64_MIN / 1000, -5000000000, -1, 0, 1500000000, 4102444800, INT64_MAX / 1000};
   ecl_timezone_t zone = {.rules = rules};

   for (size_t i = 0; i < sizeof instants / sizeof instants[0]; i++) {
      ecl_zone_info_t info;

      ecl_timezone_at (&zone, instants[i], &info);
      FUZZ_ASSERT (info.since <= instants[i]);
      (void) ecl_timezone_to_utc (&zone, instants[i] / 2, i % 2);
   }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
   const ecl_timezone_t zone = {.fixed = 3600};
   bson_error_t error;
   int64_t ms = 0;

   if (size == 0) {
      return 0;
   }
   if (data[0] < 64) {
      const ecl_timezone_t *z = data[0] & 1 ? &zone : NULL;
      bool ok = ecl_date_parse ((const char *) data + 1, size - 1, z, &ms, &error);

      check (ok, ms);
   } else if (data[0] < 128) {
      const char *text = (const char *) data + 1;
      const char *format = memchr (text, 0, size - 1);
      size_t len = format ? (size_t) (format - text) : size - 1;
      size_t format_len = format ? size - 2 - len : 0;

      format = format ? format + 1 : "";
      if (ecl_date_check_format (format, format_len, ECL_DATE_FROM_STRING_SPECIFIERS, &error)) {
         bool ok = ecl_date_parse_format (text, len, format, format_len, NULL, &ms, &error);

         check (ok, ms);
      }
   } else {
      ecl_arena_t arena;
      const ecl_zone_rules_t *rules;

      ecl_arena_init (&arena);
      rules = ecl_zone_rules_parse (&arena, data + 1, size - 1);
      if (rules) {
         use_zone (rules);
      }
      ecl_arena_cleanup (&arena);
   }
   return 0;
}
