/* eclose eval: a pipeline on documents. */
#include "cli/commands.h"
#include "cli/documents.h"

#include "mql/plan.h"

static ecl_plan_t *
make_plan (const ecl_cli_t *cli, const ecl_text_t *text)
{
   ecl_argument_report_t context = {.text = text};
   ecl_plan_options_t options = {.report = ecl_argument_report, .report_context = &context, .allow_now = true};
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
write_result (void *context, ecl_eval_t *ev, ecl_writer_t *writer, const uint8_t *doc, size_t len, bson_error_t *error)
{
   const ecl_plan_t *plan = context;
   const uint8_t *out;
   size_t out_len;

   return ecl_plan_run (plan, ev, doc, len, &out, &out_len, error) && ecl_writer_write (writer, out, out_len, error);
}

static bool
write_error (void *context, ecl_writer_t *writer, const bson_error_t *failure, bson_error_t *error)
{
   bson_t line = BSON_INITIALIZER, inner;
   bool ok;

   (void) context;
   BSON_APPEND_DOCUMENT_BEGIN (&line, "error", &inner);
   BSON_APPEND_INT32 (&inner, "code", (int32_t) failure->code);
   BSON_APPEND_UTF8 (&inner, "message", failure->message);
   bson_append_document_end (&line, &inner);
   ok = ecl_writer_write (writer, bson_get_data (&line), line.len, error);
   bson_destroy (&line);
   return ok;
}

static ecl_exit_t
run (ecl_cli_t *cli)
{
   ecl_exit_t status = ECL_EXIT_FAILED;
   ecl_plan_t *plan = NULL;
   ecl_text_t text;

   ecl_text_init (&text);
   if (ecl_argument_read (cli, cli->args[0], "PIPELINE", &text)) {
      plan = make_plan (cli, &text);
   }
   if (plan) {
      ecl_documents_visitor_t visitor = {write_result, ecl_cli_flag (cli, "keep-going") ? write_error : NULL, plan};

      status = ecl_documents_visit (cli, cli->n_args > 1 ? cli->args[1] : NULL, &visitor);
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
