/* What commands say: failures, usage, diagnostics, JSON. See cli.h. */
#include "cli/cli.h"
#include "text/number.h"

#include <stdarg.h>
#include <time.h>

static void
print_json (FILE *out, const bson_t *document)
{
   bson_error_t error;
   ecl_buf_t line;

   ecl_buf_init (&line, 16u * ECL_TEXT_BSON_MAX);
   if (ecl_extjson_write (bson_get_data (document), document->len, ECL_EXTJSON_RELAXED, &line, &error)) {
      /* A line at once: several processes may write to the same log. */
      (void) !(ecl_buf_append_str (&line, "\n") && fwrite (line.data, 1, line.len, out));
   } else {
      fprintf (stderr, "eclose: %s\n", error.message);
   }
   ecl_buf_cleanup (&line);
}

void
ecl_cli_log (const ecl_cli_t *self, const char *level, const char *message, const bson_t *fields)
{
   bson_t line = BSON_INITIALIZER;
   struct timespec now;
   struct tm parts;
   char day[40] = "", text[48];

   if (!self->log_json) {
      fprintf (stderr, "%s\n", message);
      bson_destroy (&line);
      return;
   }
   clock_gettime (CLOCK_REALTIME, &now);
   if (gmtime_r (&now.tv_sec, &parts)) {
      strftime (day, sizeof day, "%Y-%m-%dT%H:%M:%S", &parts);
   }
   snprintf (text, sizeof text, "%s.%03dZ", day, (int) (now.tv_nsec / 1000000));
   BSON_APPEND_UTF8 (&line, "time", text);
   BSON_APPEND_UTF8 (&line, "level", level);
   if (self->command) {
      BSON_APPEND_UTF8 (&line, "command", self->command->name);
   }
   BSON_APPEND_UTF8 (&line, "message", message);
   if (fields) {
      bson_concat (&line, fields);
   }
   print_json (stderr, &line);
   bson_destroy (&line);
}

static void
log_text (const ecl_cli_t *self, const char *level, const char *format, va_list args)
{
   char text[2048];

   vsnprintf (text, sizeof text, format, args);
   /* Bytes of a file's name or of a value, or a character that was cut. */
   ecl_text_clean (text, strlen (text), text, sizeof text);
   ecl_cli_log (self, level, text, NULL);
}

static void
say (const ecl_cli_t *self, const char *format, va_list args)
{
   if (self->log_json) {
      log_text (self, "error", format, args);
      return;
   }
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
   if (self->log_json) {
      return ECL_EXIT_USAGE; /* each line is one of JSON */
   }
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

   fflush (stdout);
   va_start (args, format);
   if (self->log_json) {
      log_text (self, "info", format, args);
   } else {
      vfprintf (stderr, format, args);
      fputc ('\n', stderr);
   }
   va_end (args);
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
   print_json (stdout, document);
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
