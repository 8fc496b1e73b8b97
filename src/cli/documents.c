/* Documents in and out: see documents.h. */
#include "cli/documents.h"

#include "bson/cursor.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

/* ---- reading ---- */

typedef struct {
   const char *name; /* of the file, for messages */
   int fd;
   bool bson;
   ecl_json_stream_t *json;
   ecl_buf_t buf; /* of the last BSON document */
   uint64_t n;    /* documents so far */
   bool broken;   /* nothing more can be read */
} reader_t;

static ssize_t
read_some (void *ctx, void *to, size_t cap)
{
   const reader_t *self = ctx;
   ssize_t n;

   do {
      n = read (self->fd, to, cap);
   } while (n < 0 && errno == EINTR);
   return n;
}

/* path NULL or "-" is standard input. False, with a message, where the file cannot be opened. */
static bool
reader_open (reader_t *self, const ecl_cli_t *cli, const char *path)
{
   bool standard = !path || strcmp (path, "-") == 0;

   memset (self, 0, sizeof *self);
   self->name = standard ? "standard input" : path;
   self->fd = standard ? STDIN_FILENO : open (path, O_RDONLY | O_CLOEXEC);
   self->bson = ecl_cli_flag (cli, "bson");
   ecl_buf_init (&self->buf, ECL_BSON_MAX_INTERNAL_SIZE);
   if (self->fd < 0) {
      ecl_cli_fail (cli, "%s: %s", path, strerror (errno));
      return false;
   }
   if (!self->bson) {
      self->json = ecl_json_stream_new (self->name, ECL_TEXT_DUPLICATES | ECL_TEXT_NO_MAP, read_some, self);
   }
   return true;
}

static void
reader_close (reader_t *self)
{
   ecl_json_stream_destroy (self->json);
   ecl_buf_cleanup (&self->buf);
   if (self->fd > STDIN_FILENO) {
      close (self->fd);
   }
}

/* Exactly n bytes more into buf; *got is what came before the end. */
static bool
read_exactly (reader_t *self, size_t n, size_t *got, bson_error_t *error)
{
   *got = 0;
   if (!ecl_buf_reserve (&self->buf, n)) {
      return ecl_fail (error, ECL_DOMAIN_CLI, ECL_ERROR_TOO_LARGE, "larger than 16 MiB");
   }
   while (*got < n) {
      ssize_t r = read_some (self, self->buf.data + self->buf.len, n - *got);

      if (r < 0) {
         return ecl_fail (error, ECL_DOMAIN_CLI, ECL_ERROR_FILE, "%s", strerror (errno));
      }
      if (r == 0) {
         break;
      }
      *got += (size_t) r;
      self->buf.len += (size_t) r;
   }
   return true;
}

static bool
next_bson (reader_t *self, const uint8_t **doc, size_t *len, bson_error_t *error)
{
   uint32_t size;
   size_t got;

   ecl_buf_clear (&self->buf);
   self->broken = true;
   if (!read_exactly (self, 4, &got, error)) {
      return false;
   }
   if (got == 0) {
      self->broken = false;
      return true;
   }
   size = got == 4 ? ecl_load_u32 (self->buf.data) : 0;
   if (got == 4 && (size < 5 || size > ECL_BSON_MAX_INTERNAL_SIZE)) {
      return ecl_fail (error, ECL_DOMAIN_CLI, ECL_ERROR_SYNTAX, "a document cannot have %u bytes: not BSON", size);
   }
   if (got == 4 && !read_exactly (self, size - 4, &got, error)) {
      return false;
   }
   if (self->buf.len < size || !size) {
      return ecl_fail (error, ECL_DOMAIN_CLI, ECL_ERROR_SYNTAX, "the file ends in the middle of a document");
   }
   self->broken = false; /* the length held: the next one can be found */
   if (!ecl_bson_validate (self->buf.data, size, error)) {
      return false;
   }
   *doc = self->buf.data;
   *len = size;
   return true;
}

/* The next document, valid until the next call; *doc is NULL at the end. After a failure the next call goes on, unless
 * broken is set. The message says where. */
static bool
reader_next (reader_t *self, const uint8_t **doc, size_t *len, bson_error_t *error)
{
   bool ok;

   *doc = NULL;
   *len = 0;
   self->n++;
   if (self->bson) {
      ok = next_bson (self, doc, len, error);
      if (!ok) {
         ecl_error_prefix (error, "%s: document %llu", self->name, (unsigned long long) self->n);
      }
      return ok;
   }
   ok = ecl_json_stream_next (self->json, doc, len, error);
   self->broken = ecl_json_stream_broken (self->json);
   return ok;
}

/* ---- writing ---- */

void
ecl_writer_init (ecl_writer_t *self, const ecl_cli_t *cli)
{
   self->closed = false;
   self->bson = ecl_cli_flag (cli, "bson");
   self->mode = ecl_cli_flag (cli, "relaxed") ? ECL_EXTJSON_RELAXED : ECL_EXTJSON_CANONICAL;
   /* An int32 in an array takes 6 bytes and is written with 20 and more. */
   ecl_buf_init (&self->line, 16u * ECL_BSON_MAX_INTERNAL_SIZE);
}

void
ecl_writer_cleanup (ecl_writer_t *self)
{
   ecl_buf_cleanup (&self->line);
}

bool
ecl_writer_write (ecl_writer_t *self, const uint8_t *doc, size_t len, bson_error_t *error)
{
   if (!self->bson) {
      ecl_buf_clear (&self->line);
      if (!ecl_extjson_write (doc, len, self->mode, &self->line, error)) {
         return false;
      }
      if (!ecl_buf_append_str (&self->line, "\n")) {
         return ecl_fail (error, ECL_DOMAIN_CLI, ECL_ERROR_TOO_LARGE, "the line is too long");
      }
      doc = self->line.data;
      len = self->line.len;
   }
   if (fwrite (doc, 1, len, stdout) != len) {
      self->closed = errno == EPIPE;
      return ecl_fail (error, ECL_DOMAIN_CLI, ECL_ERROR_FILE, "standard output: %s", strerror (errno));
   }
   return true;
}

/* ---- arguments ---- */

bool
ecl_argument_read (const ecl_cli_t *cli, const char *argument, const char *name, ecl_text_t *text)
{
   ecl_text_source_t source = {.name = name, .bytes = argument, .len = strlen (argument)};
   uint8_t *bytes = NULL;
   bson_error_t error;
   ecl_diags_t diags;
   bool ok;

   if (*argument == '@') {
      source.name = argument + 1;
      if (!*source.name) {
         ecl_cli_fail (cli, "@ without a file: expected @file, or the %s itself", name);
         return false;
      }
      if (!ecl_file_read (source.name, &bytes, &source.len, &error)) {
         ecl_cli_fail (cli, "%s", error.message);
         return false;
      }
      source.bytes = bytes;
   }
   ecl_diags_init (&diags);
   ok = ecl_text_read_any (text, &source, ECL_TEXT_ANY_VALUE, &diags);
   ecl_cli_diags (&diags, stderr, cli->colour_err);
   ecl_diags_cleanup (&diags);
   bson_free (bytes);
   return ok;
}

void
ecl_argument_report (void *context, const uint8_t *at, uint32_t code, const char *message)
{
   ecl_argument_report_t *self = context;

   ecl_text_diag (self->text, &self->diags, ECL_DIAG_ERROR, ECL_DOMAIN_MQL, code, at ? at : self->text->doc, "%s",
                  message);
}

/* ---- one after another ---- */

/* The next document and what is done with it; *end where there is none. */
static bool
visit_next (const ecl_documents_visitor_t *visitor, ecl_eval_t *ev, reader_t *reader, ecl_writer_t *writer, bool *end,
            bson_error_t *error)
{
   bson_error_t failure;
   const uint8_t *doc;
   size_t len;
   bool read = reader_next (reader, &doc, &len, error);

   *end = read && !doc;
   if (*end || (read && visitor->document (visitor->context, ev, writer, doc, len, error))) {
      return true;
   }
   if (visitor->failed && !reader->broken && !writer->closed) {
      failure = *error;
      return visitor->failed (visitor->context, writer, &failure, error);
   }
   if (read) {
      ecl_error_prefix (error, "%s: document %llu", reader->name, (unsigned long long) reader->n);
   }
   return false;
}

ecl_exit_t
ecl_documents_visit (const ecl_cli_t *cli, const char *path, const ecl_documents_visitor_t *visitor)
{
   ecl_exit_t status = ECL_EXIT_OK;
   reader_t reader;
   ecl_writer_t writer;
   struct timespec now;
   bson_error_t error;
   bool end = false;
   ecl_eval_t ev;

   if (!reader_open (&reader, cli, path)) {
      return ECL_EXIT_FAILED;
   }
   ecl_writer_init (&writer, cli);
   ecl_eval_init (&ev);
   clock_gettime (CLOCK_REALTIME, &now);
   ev.now = (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
   while (!end && status == ECL_EXIT_OK) {
      if (!visit_next (visitor, &ev, &reader, &writer, &end, &error)) {
         /* Where whoever read has seen enough, main knows. */
         status = writer.closed ? ECL_EXIT_FAILED : ecl_cli_fail (cli, "%s", error.message);
      }
   }
   ecl_eval_cleanup (&ev);
   ecl_writer_cleanup (&writer);
   reader_close (&reader);
   return status;
}
