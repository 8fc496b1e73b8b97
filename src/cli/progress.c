/* Progress: see progress.h. */
#include "cli/progress.h"

#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>

#define TERMINAL_MS 100
#define PLAIN_MS 5000

const char *
ecl_progress_count (uint64_t n, char text[32])
{
   char digits[32];
   int len = snprintf (digits, sizeof digits, "%" PRIu64, n), k = 0;

   for (int i = 0; i < len; i++) {
      if (i && (len - i) % 3 == 0) {
         text[k++] = ',';
      }
      text[k++] = digits[i];
   }
   text[k] = '\0';
   return text;
}

const char *
ecl_progress_time (int64_t ms, char text[32])
{
   int64_t s = ms / 1000;

   if (s < 60) {
      snprintf (text, 32, "%" PRId64 "s", s);
   } else if (s < 3600) {
      snprintf (text, 32, "%" PRId64 "m%02ds", s / 60, (int) (s % 60));
   } else {
      snprintf (text, 32, "%" PRId64 "h%02dm", s / 3600, (int) (s / 60 % 60));
   }
   return text;
}

void
ecl_progress_begin (ecl_progress_t *self, FILE *out, ecl_progress_way_t way, const char *label, uint64_t total,
                    int64_t now)
{
   memset (self, 0, sizeof *self);
   self->out = out;
   self->way = way;
   snprintf (self->label, sizeof self->label, "%s", label);
   self->total = total;
   self->began = now;
}

/* Bytes of the line that fit into the terminal's, each character as wide as one. */
static size_t
fitting (const ecl_progress_t *self, const char *line, size_t len)
{
   struct winsize size;
   size_t columns = 0;

   if (self->way != ECL_PROGRESS_TERMINAL || ioctl (fileno (self->out), TIOCGWINSZ, &size) != 0 || !size.ws_col) {
      return len;
   }
   for (size_t i = 0; i < len; i++) {
      columns += ((unsigned char) line[i] & 0xc0) != 0x80;
      if (columns == size.ws_col) {
         return i;
      }
   }
   return len;
}

/* Documents a second. */
static uint64_t
rate_of (const ecl_progress_t *self, uint64_t done, int64_t now)
{
   int64_t elapsed = now > self->began ? now - self->began : 1;

   if (self->rate != 0) {
      return self->rate > 0 ? (uint64_t) self->rate : 0;
   }
   return done > self->before ? (done - self->before) * 1000 / (uint64_t) elapsed : 0;
}

static void
show (ecl_progress_t *self, uint64_t done, bool over, int64_t now)
{
   uint64_t rate = rate_of (self, done, now);
   bool terminal = self->way == ECL_PROGRESS_TERMINAL;
   char a[32], b[32], c[32], d[32], line[640];
   char share[64] = "", pace[48] = "", left[48] = "";
   int len;

   if (self->way == ECL_PROGRESS_NONE) {
      return;
   }
   if (self->total) {
      /* More may be done than was counted before: documents come while the job runs. */
      uint64_t percent = done >= self->total ? 100 : 100 * done / self->total;

      snprintf (share, sizeof share, " of %s (%d%%)", ecl_progress_count (self->total, b), (int) percent);
   }
   if (self->rate >= 0) {
      snprintf (pace, sizeof pace, ", %s/s", ecl_progress_count (rate, c));
   }
   if (rate && self->total > done && !over) {
      snprintf (left, sizeof left, ", %s left", ecl_progress_time ((int64_t) ((self->total - done) * 1000 / rate), d));
   }
   /* All of it has room. */
   len = snprintf (line, sizeof line, "%s: %s%s%s%s%s%s", self->label, ecl_progress_count (done, a), share, pace, left,
                   *self->note ? "; " : "", self->note);
   fprintf (self->out, "%s%.*s%s", terminal ? "\r\033[K" : "", (int) fitting (self, line, (size_t) len), line,
            terminal ? "" : "\n");
   fflush (self->out);
   self->dirty = terminal;
   self->shown = now;
}

void
ecl_progress_update (ecl_progress_t *self, uint64_t done, int64_t now)
{
   int64_t since = self->shown ? self->shown : self->began;

   if (now - since >= (self->way == ECL_PROGRESS_TERMINAL ? TERMINAL_MS : PLAIN_MS)) {
      show (self, done, false, now);
   }
}

void
ecl_progress_end (ecl_progress_t *self, uint64_t done, int64_t now)
{
   show (self, done, true, now);
   if (self->way == ECL_PROGRESS_TERMINAL) {
      fputc ('\n', self->out);
   }
   self->dirty = false;
}

void
ecl_progress_hide (ecl_progress_t *self)
{
   if (self->dirty) {
      fputs ("\r\033[K", self->out);
      self->dirty = false;
   }
}
