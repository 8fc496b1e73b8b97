/* What commands say: failures, usage, diagnostics, JSON. See cli.h. */
#include "cli/cli.h"

#include <stdarg.h>
#include <time.h>

static void
say (const ecl_cli_t *self, const char *format, va_list args)
{
   fprintf (stderr, "%seclose%s%s:%s ", self->colour_err ? ECL_CLI_RED : "", self->command ? " " : "",
            self->command ? self->command->name : "", self->colour_err ? ECL_CLI_PLAIN : "");
   vfprintf (stderr, format, args);
   fputc ('\n', stderr);
}

ecl_exit_t
ecl_cli_fail (const ecl_cli_t *self, const char *format, ...)
{
   va_list args;

   fflush (stdout);
   va_start (args, format);
   say (self, format, args);
   va_end (args);
   return ECL_EXIT_FAILED;
}

ecl_exit_t
ecl_cli_usage (const ecl_cli_t *self, const char *format, ...)
{
   va_list args;

   va_start (args, format);
   say (self, format, args);
   va_end (args);
   if (self->command) {
      fprintf (stderr, "usage: eclose %s [options]%s%s; eclose %s --help says more\n", self->command->name,
               *self->command->arguments ? " " : "", self->command->arguments, self->command->name);
   } else {
      fprintf (stderr, "usage: eclose [options] command [arguments]; eclose --help says more\n");
   }
   return ECL_EXIT_USAGE;
}

void
ecl_cli_note (const ecl_cli_t *self, const char *format, ...)
{
   va_list args;

   (void) self;
   fflush (stdout);
   va_start (args, format);
   vfprintf (stderr, format, args);
   va_end (args);
   fputc ('\n', stderr);
}

const char *
ecl_cli_time (int64_t ms, char text[32])
{
   time_t seconds = (time_t) (ms / 1000);
   struct tm parts;

   if (!ms || !gmtime_r (&seconds, &parts) || !strftime (text, 32, "%Y-%m-%d %H:%M:%SZ", &parts)) {
      snprintf (text, 32, "-");
   }
   return text;
}

void
ecl_cli_json (const bson_t *document)
{
   bson_error_t error;
   ecl_buf_t line;

   ecl_buf_init (&line, 16u * ECL_TEXT_BSON_MAX);
   if (ecl_extjson_write (bson_get_data (document), document->len, ECL_EXTJSON_RELAXED, &line, &error)) {
      fwrite (line.data, 1, line.len, stdout);
      fputc ('\n', stdout);
   } else {
      fprintf (stderr, "eclose: %s\n", error.message);
   }
   ecl_buf_cleanup (&line);
}

void
ecl_cli_diags (ecl_diags_t *diags, FILE *out, bool colour)
{
   ecl_buf_t line;

   if (!colour) {
      ecl_buf_init (&line, 64u * 1024 * 1024);
      if (ecl_diags_print (diags, &line) && line.len) {
         fwrite (line.data, 1, line.len, out);
      }
      ecl_buf_cleanup (&line);
      return;
   }
   ecl_diags_sort (diags);
   ecl_buf_init (&line, 1024u * 1024);
   for (size_t i = 0; i < diags->n; i++) {
      ecl_buf_clear (&line);
      if (ecl_diag_print (&diags->items[i], &line)) {
         fprintf (out, "%s%.*s" ECL_CLI_PLAIN "\n",
                  diags->items[i].level == ECL_DIAG_ERROR ? ECL_CLI_RED : ECL_CLI_YELLOW, (int) line.len,
                  (const char *) line.data);
      }
   }
   ecl_buf_cleanup (&line);
}
