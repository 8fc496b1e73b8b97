/* Documents in and out: Extended JSON or BSON, one after another. Memory is bounded by the largest document. */
#ifndef ECL_CLI_DOCUMENTS_H
#define ECL_CLI_DOCUMENTS_H

#include "cli/cli.h"

#include "mql/expr.h"

/* What --bson and --relaxed mean, for the tables of options. */
#define ECL_DOCUMENTS_OPTIONS                                   \
   {"bson", 0, NULL, "read and write BSON, as mongodump does"}, \
   {                                                            \
      "relaxed", 0, NULL, "print relaxed Extended JSON"         \
   }

typedef struct {
   bool bson;
   ecl_extjson_mode_t mode;
   ecl_buf_t line;
   bool closed; /* nobody reads any more */
} ecl_writer_t;

void
ecl_writer_init (ecl_writer_t *self, const ecl_cli_t *cli);

void
ecl_writer_cleanup (ecl_writer_t *self);

bool
ecl_writer_write (ecl_writer_t *self, const uint8_t *doc, size_t len, bson_error_t *error) ECL_MUST_CHECK;

/* A pipeline or filter as an argument: inline, or @file. text is initialised by the caller; its document is
 * {"": value}. False after diagnostics on standard error. */
bool
ecl_argument_read (const ecl_cli_t *cli, const char *argument, const char *name, ecl_text_t *text) ECL_MUST_CHECK;

/* Problems in the language of an argument, with their place in it: for the report of plans and matchers. */
typedef struct {
   const ecl_text_t *text;
   ecl_diags_t diags;
} ecl_argument_report_t;

void
ecl_argument_report (void *context, const uint8_t *at, uint32_t code, const char *message);

/* What is done with each document. */
typedef struct {
   /* False: the run ends, with the place of the document before the message. */
   bool (*document) (void *context, ecl_eval_t *ev, ecl_writer_t *writer, const uint8_t *doc, size_t len,
                     bson_error_t *error);
   /* Told instead of that, where it is given: the run goes on if it is true. */
   bool (*failed) (void *context, ecl_writer_t *writer, const bson_error_t *failure, bson_error_t *error);
   void *context;
} ecl_documents_visitor_t;

/* Every document of the file (NULL or "-": standard input), with the clock read once. */
ecl_exit_t
ecl_documents_visit (const ecl_cli_t *cli, const char *path, const ecl_documents_visitor_t *visitor);

#endif
