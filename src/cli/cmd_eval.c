/* eclose eval: a pipeline on documents. */
#include "cli/commands.h"
#include "cli/documents.h"

#include "mql/plan.h"

#include <time.h>

/* Parse problems, with their place in the pipeline. */
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

static ecl_plan_t *
make_plan (const ecl_cli_t *cli, const ecl_text_t *text)
{
   report_t context = {.text = text};
   ecl_plan_options_t options = {.report = report, .report_context = &context, .allow_now = true};
   ecl_value_t root = ecl_raw_document (text->doc, text->len), pipeline = ecl_document_get (&root, "", 0);
   ecl_plan_t *plan = ecl_plan_new (&options);

   ecl_diags_init (&context.diags);
   if (ecl_plan_add_pipeline (plan, &pipeline, text->doc + 4)) {
      ecl_plan_link (plan);
   } else {
      ecl_cli_diags (&context.diags, stderr, cli->colour_err);
      ecl_plan_destroy (plan);
      plan = NULL;
   }
   ecl_diags_cleanup (&context.diags);
   return plan;
}

static bool
write_error (ecl_writer_t *writer, const bson_error_t *failure, bson_error_t *error)
{
   bson_t line = BSON_INITIALIZER, inner;
   bool ok;

   BSON_APPEND_DOCUMENT_BEGIN (&line, "error", &inner);
   BSON_APPEND_INT32 (&inner, "code", (int32_t) failure->code);
   BSON_APPEND_UTF8 (&inner, "message", failure->message);
   bson_append_document_end (&line, &inner);
   ok = ecl_writer_write (writer, bson_get_data (&line), line.len, error);
   bson_destroy (&line);
   return ok;
}

static ecl_exit_t
run_documents (const ecl_cli_t *cli, const ecl_plan_t *plan, ecl_reader_t *reader, ecl_writer_t *writer)
{
   bool keep_going = ecl_cli_flag (cli, "keep-going");
   ecl_exit_t status = ECL_EXIT_OK;
   struct timespec now;
   bson_error_t error;
   ecl_eval_t ev;

   ecl_eval_init (&ev);
   clock_gettime (CLOCK_REALTIME, &now);
   ev.now = (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
   for (;;) {
      const uint8_t *doc, *out;
      size_t len, out_len;
      bool ok = ecl_reader_next (reader, &doc, &len, &error), at_document = ok && doc;

      if (ok && !doc) {
         break;
      }
      ok = ok && ecl_plan_run (plan, &ev, doc, len, &out, &out_len, &error);
      if (ok) {
         ok = ecl_writer_write (writer, out, out_len, &error);
      } else if (keep_going && !reader->broken) {
         ok = write_error (writer, &error, &error);
      } else if (at_document) {
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
   ecl_eval_cleanup (&ev);
   return status;
}

static ecl_exit_t
run (ecl_cli_t *cli)
{
   ecl_exit_t status = ECL_EXIT_FAILED;
   ecl_plan_t *plan = NULL;
   ecl_reader_t reader;
   ecl_writer_t writer;
   ecl_text_t text;

   ecl_text_init (&text);
   if (ecl_argument_read (cli, cli->args[0], "PIPELINE", &text)) {
      plan = make_plan (cli, &text);
   }
   if (plan && ecl_reader_open (&reader, cli, cli->n_args > 1 ? cli->args[1] : NULL)) {
      ecl_writer_init (&writer, cli);
      status = run_documents (cli, plan, &reader, &writer);
      ecl_writer_cleanup (&writer);
      ecl_reader_close (&reader);
   }
   ecl_plan_destroy (plan);
   ecl_text_cleanup (&text);
   return status;
}

static const ecl_option_t options[] = {
   ECL_DOCUMENTS_OPTIONS,
   {"keep-going", 'k', NULL, "print {error: {code, message}} for a document that fails, and go on"},
   {NULL},
};

const ecl_command_t ecl_cmd_eval = {
   .name = "eval",
   .arguments = "PIPELINE [FILE]",
   .summary = "apply a pipeline to documents",
   .about = "PIPELINE is an array of stages as Extended JSON, inline or @file. Documents come\n"
            "from FILE or standard input as Extended JSON, one after another, and are\n"
            "printed as canonical Extended JSON, one a line.",
   .options = options,
   .min_args = 1,
   .max_args = 2,
   .run = run,
};
