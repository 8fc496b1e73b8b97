/* Errors: see error.h. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

size_t
ecl_shown (const char *text, size_t len, size_t max)
{
   if (len <= max) {
      return len;
   }
   while (max && ((uint8_t) text[max] & 0xC0) == 0x80) {
      max--;
   }
   return max;
}

/* libbson 2 keeps the last byte of the message for itself. */
static void
set (bson_error_t *error, uint32_t domain, uint32_t code, const char *message)
{
   int shown = (int) ecl_shown (message, strlen (message), sizeof error->message - 2);

   bson_set_error (error, domain, code, "%.*s", shown, message);
}

bool
ecl_fail (bson_error_t *error, uint32_t domain, uint32_t code, const char *format, ...)
{
   char message[sizeof error->message + 8]; /* with what shows whether its last character is whole */
   va_list args;

   if (!error) {
      return false;
   }
   va_start (args, format);
   vsnprintf (message, sizeof message, format, args);
   va_end (args);
   set (error, domain, code, message);
   return false;
}

void
ecl_error_prefix (bson_error_t *error, const char *format, ...)
{
   char prefix[sizeof error->message];
   char message[2 * sizeof error->message + 2];
   va_list args;

   if (!error) {
      return;
   }
   va_start (args, format);
   vsnprintf (prefix, sizeof prefix, format, args);
   va_end (args);
   snprintf (message, sizeof message, "%s: %s", prefix, error->message);
   set (error, error->domain, error->code, message);
}

const char *
ecl_domain_name (uint32_t domain)
{
   switch (domain) {
   case ECL_DOMAIN_BASE:
      return "eclose";
   case ECL_DOMAIN_BSON:
      return "BSON";
   case ECL_DOMAIN_TEXT:
      return "text";
   case ECL_DOMAIN_MQL:
      return "MQL";
   case ECL_DOMAIN_PROJECT:
      return "project";
   case ECL_DOMAIN_UPGRADE:
      return "upgrade";
   case ECL_DOMAIN_STORE:
      return "store";
   case ECL_DOMAIN_RUN:
      return "run";
   case ECL_DOMAIN_CLI:
      return "usage";
   default:
      return "error";
   }
}
