/* eclose match: the documents that a filter matches. */
#include "cli/commands.h"
#include "cli/documents.h"

#include "mql/match.h"

#include <inttypes.h>

typedef struct {
   ecl_match_t *match;
   bool count, invert;
   uint64_t matches;
} choice_t;

static ecl_match_t *
make_match (const ecl_cli_t *cli, const ecl_text_t *text)
{
   ecl_argument_report_t context = {.text = text};
   ecl_match_options_t options = {.report = ecl_argument_report, .report_context = &context, .allow_now = true};
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

static bool
choose (void *context, ecl_eval_t *ev, ecl_writer_t *writer, const uint8_t *doc, size_t len, bson_error_t *error)
{
   ecl_value_t document = ecl_raw_document (doc, len);
   choice_t *self = context;
   bool matched;

   ecl_arena_reset (&ev->arena);
   if (!ecl_match_run (self->match, ev, &document, &matched, error)) {
      return false;
   }
   if (matched == self->invert) {
      return true;
   }
   self->matches++;
   return self->count || ecl_writer_write (writer, doc, len, error);
}

static ecl_exit_t
run (ecl_cli_t *cli)
{
   choice_t choice = {.count = ecl_cli_flag (cli, "count"), .invert = ecl_cli_flag (cli, "invert")};
   ecl_documents_visitor_t visitor = {.document = choose, .context = &choice};
   ecl_exit_t status = ECL_EXIT_FAILED;
   ecl_text_t text;

   ecl_text_init (&text);
   if (ecl_argument_read (cli, cli->args[0], "FILTER", &text)) {
      choice.match = make_match (cli, &text);
   }
   if (choice.match) {
      status = ecl_documents_visit (cli, cli->n_args > 1 ? cli->args[1] : NULL, &visitor);
   }
   if (choice.count && status == ECL_EXIT_OK) {
      printf ("%" PRIu64 "\n", choice.matches);
   }
   ecl_match_destroy (choice.match);
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
