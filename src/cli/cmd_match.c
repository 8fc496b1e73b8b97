/* eclose match: the documents that a filter matches. */
#include "cli/commands.h"
#include "cli/documents.h"

#include "mql/match.h"

#include <inttypes.h>
#include <time.h>

#include "bson/cursor.h"

typedef struct {
   const ecl_text_t *text;
   ecl_diags_t diags;
} report_t;

static void
report (void *context, const uint8_t *at, uint32_t code, const char *message)
{
   report_t *self = context;

   ecl_text_diag (self->text, &self->diags, ECL_DIAG_ERROR, ECL_DOMAIN_MQL, code, at ? at : self->text->doc, "%s",
                  message);
}

static ecl_match_t *
make_match (const ecl_cli_t *cli, const ecl_text_t *text)
{
   report_t context = {.text = text};
   ecl_match_options_t options = {.report = report, .report_context = &context, .allow_now = true};
   ecl_value_t root = ecl_raw_document (text->doc, text->len), filter = ecl_document_get (&root, "", 0);
   ecl_match_t *match;

   if (!ecl_is_document (&filter)) {
      ecl_cli_fail (cli, "a filter must be a document, found %s", ecl_type_name (filter.type));
      return NULL;
   }
   ecl_diags_init (&context.diags);
   match = ecl_match_new (&filter, &options);
   ecl_cli_diags (&context.diags, stderr, cli->colour_err);
   ecl_diags_cleanup (&context.diags);
   return match;
}

static ecl_exit_t
run_documents (const ecl_cli_t *cli, const ecl_match_t *match, ecl_reader_t *reader, ecl_writer_t *writer)
{
   bool count = ecl_cli_flag (cli, "count"), invert = ecl_cli_flag (cli, "invert");
   ecl_exit_t status = ECL_EXIT_OK;
   uint64_t matches = 0;
   struct timespec now;
   bson_error_t error;
   ecl_eval_t ev;

   ecl_eval_init (&ev);
   clock_gettime (CLOCK_REALTIME, &now);
   ev.now = (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
   for (;;) {
      bool matched = false, ok, at_document;
      const uint8_t *doc;
      size_t len;

      ok = ecl_reader_next (reader, &doc, &len, &error);
      at_document = ok && doc;
      if (ok && !doc) {
         break;
      }
      if (ok) {
         ecl_value_t document = ecl_raw_document (doc, len);

         ecl_arena_reset (&ev.arena);
         ok = ecl_match_run (match, &ev, &document, &matched, &error);
      }
      if (ok && matched != invert) {
         matches++;
         ok = count || ecl_writer_write (writer, doc, len, &error);
      } else if (!ok && at_document) {
         ecl_error_prefix (&error, "%s: document %llu", reader->name, (unsigned long long) reader->n);
      }
      if (!ok && writer->closed) {
         status = ECL_EXIT_FAILED; /* whoever read has seen enough: main knows */
         break;
      }
      if (!ok) {
         status = ecl_cli_fail (cli, "%s", error.message);
         break;
      }
   }
   if (count && status == ECL_EXIT_OK) {
      printf ("%" PRIu64 "\n", matches);
   }
   ecl_eval_cleanup (&ev);
   return status;
}

static ecl_exit_t
run (ecl_cli_t *cli)
{
   ecl_exit_t status = ECL_EXIT_FAILED;
   ecl_match_t *match = NULL;
   ecl_reader_t reader;
   ecl_writer_t writer;
   ecl_text_t text;

   ecl_text_init (&text);
   if (ecl_argument_read (cli, cli->args[0], "FILTER", &text)) {
      match = make_match (cli, &text);
   }
   if (match && ecl_reader_open (&reader, cli, cli->n_args > 1 ? cli->args[1] : NULL)) {
      ecl_writer_init (&writer, cli);
      status = run_documents (cli, match, &reader, &writer);
      ecl_writer_cleanup (&writer);
      ecl_reader_close (&reader);
   }
   ecl_match_destroy (match);
   ecl_text_cleanup (&text);
   return status;
}

static const ecl_option_t options[] = {
   {"count", 'c', NULL, "print only how many match"},
   {"invert", 'v', NULL, "the documents that do not match"},
   ECL_DOCUMENTS_OPTIONS,
   {NULL},
};

const ecl_command_t ecl_cmd_match = {
   .name = "match",
   .arguments = "FILTER [FILE]",
   .summary = "print the documents that match a filter",
   .about = "FILTER is Extended JSON, inline or @file; it may be {\"$jsonSchema\": ...}. Documents\n"
            "are read and printed as by `eclose eval`.",
   .options = options,
   .min_args = 1,
   .max_args = 2,
   .run = run,
};
