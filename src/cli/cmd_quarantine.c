/* eclose quarantine: documents that could not be carried over; why, trying again, forgetting them. */
#include "backfill/retry.h"
#include "bson/append.h"
#include "cli/commands.h"
#include "cli/remote.h"
#include "run/insist.h"
#include "run/scan.h"
#include "store/quarantine.h"
#include "text/text.h"

#define BATCH 200u

/* Which records are meant. */
typedef struct {
   ecl_remote_t *remote;
   const char *collection; /* NULL: all */
   bson_t ids;             /* an array; each may be meant, where the text may be more than one value */
   bool one;               /* --id was given */
   bson_t filter;
} choice_t;

/* Whether a collection of which nothing was found may be meant. Records of one that is in the project no more are
 * found; where there are none the name is mistyped. False after a message. */
static bool
may_be_meant (const choice_t *choice)
{
   const ecl_chain_t *ignored;

   return ecl_cli_chain (choice->remote->cli, choice->remote->project, 1, &ignored);
}

/* ---- --id ---- */

static void
add_id (bson_t *ids, const bson_value_t *value)
{
   char buffer[16];
   const char *key;

   bson_uint32_to_string (bson_count_keys (ids), &key, buffer, sizeof buffer);
   bson_append_value (ids, key, -1, value);
}

/* Extended JSON; what is none is a string, unless it begins as if it were meant to be; 24 hex digits may be an ObjectId
 * as well. ids is initialised in any case. False after a message. */
static bool
parse_id (const ecl_cli_t *cli, const char *text, bson_t *ids)
{
   ecl_text_source_t source = {.bytes = text, .len = strlen (text)};
   bool hex = bson_oid_is_valid (text, source.len), read, meant;
   bson_value_t value = {.value_type = BSON_TYPE_UTF8};
   char begin = text[strspn (text, " \t\r\n")];
   bson_iter_t iter;
   ecl_diags_t diags;
   ecl_text_t json;
   bson_t document;

   bson_init (ids);
   ecl_text_init (&json);
   ecl_diags_init (&diags);
   read = ecl_text_read_json (&json, &source, ECL_TEXT_ANY_VALUE | ECL_TEXT_NO_MAP, &diags);
   meant = !read && begin && strchr ("{[\"", begin);
   if (read && bson_init_static (&document, json.doc, json.len) && bson_iter_init_find (&iter, &document, "")) {
      add_id (ids, bson_iter_value (&iter));
   }
   if (hex) {
      value.value_type = BSON_TYPE_OID;
      bson_oid_init_from_string (&value.value.v_oid, text);
      add_id (ids, &value);
   }
   if (!read || hex) {
      value.value_type = BSON_TYPE_UTF8;
      value.value.v_utf8.str = (char *) (uintptr_t) text;
      value.value.v_utf8.len = (uint32_t) source.len;
      add_id (ids, &value);
   }
   if (meant) {
      ecl_cli_usage (cli, "--id: what begins with {, [ or \" is Extended JSON (a string: in quotes); at %u:%u: %s",
                     diags.items[0].line, diags.items[0].column, diags.items[0].message);
   }
   ecl_diags_cleanup (&diags);
   ecl_text_cleanup (&json);
   return !meant;
}

/* ---- list ---- */

static const char *
text_of (const ecl_value_t *row, const char *name, ecl_arena_t *arena)
{
   ecl_value_t value = ecl_document_get (row, name, strlen (name));

   if (ecl_is_nullish (&value)) {
      return "";
   }
   return ecl_is_string (&value) ? ecl_arena_strndup (arena, value.u.str, value.len) : ecl_value_text (arena, &value);
}

static void
append_field (bson_t *line, const ecl_value_t *from, const char *name, const char *as)
{
   ecl_value_t value = ecl_document_get (from, name, strlen (name));

   if (!ecl_is_nullish (&value)) {
      ecl_append_value (line, as, &value);
   }
}

/* In the words of `show`. */
static void
print_reason_json (const ecl_value_t *row)
{
   static const char *const whose[] = {"message", "path"}, *const errors[] = {"code", "file", "line", "column"};
   ecl_value_t key = ecl_document_get (row, "_id", 3);
   bson_t line = BSON_INITIALIZER, error;

   append_field (&line, &key, "collection", "collection");
   append_field (&line, &key, "to", "to");
   append_field (&line, row, "n", "documents");
   BSON_APPEND_DOCUMENT_BEGIN (&line, "error", &error);
   for (size_t i = 0; i < sizeof whose / sizeof whose[0]; i++) {
      append_field (&error, row, whose[i], whose[i]);
   }
   for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
      append_field (&error, &key, errors[i], errors[i]);
   }
   bson_append_document_end (&line, &error);
   append_field (&line, row, "id", "id");
   append_field (&line, row, "first", "first");
   append_field (&line, row, "last", "last");
   ecl_cli_json (&line);
   bson_destroy (&line);
}

static void
print_reason (const ecl_cli_t *cli, const ecl_value_t *row)
{
   ecl_value_t key = ecl_document_get (row, "_id", 3), n = ecl_document_get (row, "n", 1), last;
   const char *path, *file;
   ecl_arena_t arena;
   char count[32], at[32];

   if (cli->json) {
      print_reason_json (row);
      return;
   }
   ecl_arena_init (&arena);
   last = ecl_document_get (row, "last", 4);
   path = text_of (row, "path", &arena);
   file = text_of (&key, "file", &arena);
   printf ("%s%s%s to %s: %s document%s, code %s, last %s\n", ecl_cli_colour (cli, ECL_CLI_BOLD),
           text_of (&key, "collection", &arena), ecl_cli_colour (cli, ECL_CLI_PLAIN), text_of (&key, "to", &arena),
           ecl_progress_count ((uint64_t) n.u.i64, count), n.u.i64 == 1 ? "" : "s", text_of (&key, "code", &arena),
           ecl_cli_time (last.type == BSON_TYPE_DATE_TIME ? last.u.i64 : 0, at));
   if (*file) {
      printf ("  %s:%s:%s%s%s\n", file, text_of (&key, "line", &arena), text_of (&key, "column", &arena),
              *path ? ": " : "", path);
   } else if (*path) {
      printf ("  %s\n", path);
   }
   /* Others of the same code and place may say other values in theirs. */
   printf ("  for example _id %s: %s\n", text_of (row, "id", &arena), text_of (row, "message", &arena));
   ecl_arena_cleanup (&arena);
}

static ecl_exit_t
list (choice_t *choice)
{
   ecl_remote_t *remote = choice->remote;
   ecl_value_t *rows = NULL;
   const ecl_value_t *row;
   bson_t command, reply;
   bson_error_t error;
   ecl_arena_t arena;
   ecl_scan_t scan;
   size_t n, cap = 0;
   bool good;

   ecl_arena_init (&arena);
   ecl_scan_init (&scan);
   ecl_quarantine_reasons (&choice->filter, &command);
   do {
      n = 0;
      good = ecl_insist_call (remote->world, remote->database, &command, &reply, &error) &&
             ecl_scan_take (&scan, &reply, &error);
      bson_destroy (&reply);
      while (
         good &&
         (good = ecl_scan_next (&scan, remote->world, remote->database, ECL_STORE_QUARANTINE, BATCH, &row, &error)) &&
         row) {
         if (n == cap) {
            cap = cap ? 2 * cap : 64;
            rows = bson_realloc (rows, cap * sizeof *rows);
         }
         rows[n++] = ecl_value_copy (&arena, row);
      }
   } while (!good && ecl_scan_again (&scan, remote->world));
   bson_destroy (&command);
   for (size_t i = 0; good && i < n; i++) {
      print_reason (remote->cli, &rows[i]);
   }
   bson_free (rows);
   ecl_arena_cleanup (&arena);
   ecl_scan_cleanup (&scan);
   if (!good) {
      return ecl_cli_fail (remote->cli, "%s", error.message);
   }
   if (!n && !may_be_meant (choice)) {
      return ECL_EXIT_FAILED;
   }
   if (!n && !remote->cli->json) {
      printf ("nothing is in quarantine\n");
   }
   return ECL_EXIT_OK;
}

/* ---- show ---- */

static void
print_record (const ecl_cli_t *cli, const ecl_value_t *record, const ecl_value_t *document, ecl_arena_t *arena)
{
   static const char *const names[] = {"collection", "version", "to", "when"};
   static const char *const errors[] = {"code", "message", "path", "file", "line", "column"};
   ecl_value_t key = ecl_document_get (record, "_id", 3), error = ecl_document_get (record, "error", 5), value;

   if (cli->json) {
      bson_t line;

      bson_init (&line);
      value = ecl_document_get (&key, "id", 2);
      ecl_append_value (&line, "id", &value);
      for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
         value = ecl_document_get (record, names[i], strlen (names[i]));
         if (!ecl_is_missing (&value)) {
            ecl_append_value (&line, names[i], &value);
         }
      }
      ecl_append_value (&line, "error", &error);
      if (ecl_is_missing (document)) {
         BSON_APPEND_NULL (&line, "document");
      } else {
         ecl_append_value (&line, "document", document);
      }
      ecl_cli_json (&line);
      bson_destroy (&line);
      return;
   }
   printf ("_id:        %s\n", text_of (&key, "id", arena));
   for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
      char at[32];

      value = ecl_document_get (record, names[i], strlen (names[i]));
      printf ("%-11s %s\n", ecl_arena_printf (arena, "%s:", names[i]),
              value.type == BSON_TYPE_DATE_TIME ? ecl_cli_time (value.u.i64, at) : text_of (record, names[i], arena));
   }
   for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
      const char *text = text_of (&error, errors[i], arena);

      if (*text && strcmp (text, "0") != 0) {
         printf ("%-11s %s\n", ecl_arena_printf (arena, "%s:", errors[i]), text);
      }
   }
   if (ecl_is_missing (document)) {
      printf ("it is gone: nobody needs this record any more\n");
      return;
   }
   printf ("as it is now:\n");
   bson_t line;

   if (bson_init_static (&line, document->u.raw, document->len)) {
      ecl_cli_json (&line);
   }
}

/* Each record of the filter; *n is how many. Where the cursor is lost all that are left are told from the first on: what
 * stays and was counted in *again (may be NULL) is counted anew. False where reading them failed or one of them did. */
static bool
each_record (choice_t *choice, bool (*visit) (void *context, const ecl_value_t *record, bson_error_t *error),
             void *context, int64_t *n, int64_t *again, bson_error_t *error)
{
   ecl_world_t *world = choice->remote->world;
   const ecl_value_t *record;
   bool good = true, visited = true;
   ecl_scan_t scan;

   *n = 0;
   ecl_scan_init (&scan);
   ecl_scan_start (&scan, &choice->filter, true);
   do {
      if (again) {
         *again = 0;
      }
      while (
         visited &&
         (good = ecl_scan_next (&scan, world, choice->remote->database, ECL_STORE_QUARANTINE, BATCH, &record, error)) &&
         record) {
         ++*n;
         visited = visit (context, record, error);
      }
   } while (!good && ecl_scan_again (&scan, world));
   ecl_scan_cleanup (&scan);
   return good && visited;
}

static bool
show_record (void *context, const ecl_value_t *record, bson_error_t *error)
{
   choice_t *choice = context;
   ecl_value_t key = ecl_document_get (record, "_id", 3), id = ecl_document_get (&key, "id", 2), document;
   ecl_arena_t arena;
   bool good;

   ecl_arena_init (&arena);
   /* As it is now. */
   good = ecl_scan_one (choice->remote->world, choice->remote->database, choice->collection, &id, NULL, &arena,
                        &document, error);
   if (good) {
      print_record (choice->remote->cli, record, &document, &arena);
   }
   ecl_arena_cleanup (&arena);
   return good;
}

static ecl_exit_t
show (choice_t *choice)
{
   bson_error_t error;
   int64_t n;

   if (!each_record (choice, show_record, choice, &n, NULL, &error)) {
      return ecl_cli_fail (choice->remote->cli, "%s", error.message);
   }
   if (!n && !may_be_meant (choice)) {
      return ECL_EXIT_FAILED;
   }
   return n ? ECL_EXIT_OK
            : ecl_cli_fail (choice->remote->cli, "%s: no document with the _id %s is in quarantine", choice->collection,
                            ecl_cli_option (choice->remote->cli, "id"));
}

/* ---- drop ---- */

static ecl_exit_t
drop (choice_t *choice)
{
   ecl_remote_t *remote = choice->remote;
   bson_t command, reply;
   bson_error_t error;
   int64_t n = 0;
   bson_iter_t iter;
   bool good;

   ecl_quarantine_drop (&choice->filter, &command);
   good = ecl_insist (remote->world, remote->database, &command, remote->world->now (remote->world) + ECL_WORLD_TIMEOUT,
                      NULL, &reply, &error) == ECL_REPLY_OK;
   if (good && bson_iter_init_find (&iter, &reply, "n") && BSON_ITER_HOLDS_NUMBER (&iter)) {
      n = bson_iter_as_int64 (&iter);
   }
   bson_destroy (&reply);
   bson_destroy (&command);
   if (!good) {
      return ecl_cli_fail (remote->cli, "%s", error.message);
   }
   if (!n && !may_be_meant (choice)) {
      return ECL_EXIT_FAILED;
   }
   if (remote->cli->json) {
      bson_t line = BSON_INITIALIZER;

      BSON_APPEND_INT64 (&line, "dropped", n);
      ecl_cli_json (&line);
      bson_destroy (&line);
   } else {
      printf ("%" PRId64 " record%s dropped; the documents are as they were, and a job tries them again\n", n,
              n == 1 ? "" : "s");
   }
   return ECL_EXIT_OK;
}

/* ---- retry ---- */

typedef struct {
   ecl_remote_t *remote;
   ecl_retry_t *retry;
   int64_t done, gone, left;
} retry_t;

static bool
retry_record (void *context, const ecl_value_t *record, bson_error_t *error)
{
   retry_t *self = context;
   ecl_world_t *world = self->remote->world;

   if (world->cancelled (world)) {
      return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CANCELLED, "ended as asked for");
   }
   switch (ecl_retry_record (self->retry, record, error)) {
   case ECL_RETRY_DONE:
      self->done++;
      return true;
   case ECL_RETRY_GONE:
      self->gone++;
      return true;
   case ECL_RETRY_LEFT:
      if (error->code) {
         ecl_cli_note (self->remote->cli, "%s", error->message);
      }
      self->left++;
      return true;
   default:
      return false;
   }
}

static ecl_exit_t
retry (choice_t *choice)
{
   ecl_remote_t *remote = choice->remote;
   const ecl_cli_t *cli = remote->cli;
   ecl_site_t site = ecl_remote_site (remote);
   retry_t self = {.remote = remote};
   bson_error_t error;
   int64_t n;
   bool good;

   self.retry = ecl_retry_new (&site);
   good = each_record (choice, retry_record, &self, &n, &self.left, &error);
   ecl_retry_destroy (self.retry);
   if (good && !n && !may_be_meant (choice)) {
      return ECL_EXIT_FAILED;
   }
   if (cli->json) {
      bson_t line = BSON_INITIALIZER;

      BSON_APPEND_INT64 (&line, "carried", self.done);
      BSON_APPEND_INT64 (&line, "gone", self.gone);
      BSON_APPEND_INT64 (&line, "left", self.left);
      ecl_cli_json (&line);
      bson_destroy (&line);
   } else if (!n && good) {
      printf ("nothing is in quarantine\n");
   } else {
      const char *collection = choice->collection ? choice->collection : "";

      printf ("%" PRId64 " carried over, %" PRId64 " gone meanwhile, %" PRId64 " still in quarantine%s", self.done,
              self.gone, self.left, good ? "" : " of those that were tried");
      if (self.left) {
         printf ("; `eclose quarantine list%s%s` says why", *collection ? " " : "",
                 *collection ? ecl_shell_word (collection).text : "");
      }
      printf ("\n");
   }
   if (!good) {
      return ecl_cli_fail (cli, "%s; the same command goes on with the rest", error.message);
   }
   return self.left ? ECL_EXIT_FOUND : ECL_EXIT_OK;
}

/* ---- the command ---- */

static const struct {
   const char *name;
   ecl_exit_t (*run) (choice_t *choice);
   bool needs_collection, needs_id, needs_migrations;
} actions[] = {
   {"list", list, false, false, false},
   {"show", show, true, true, false},
   {"retry", retry, false, false, true},
   {"drop", drop, true, false, false},
};

static ecl_exit_t
run (ecl_cli_t *cli)
{
   ecl_exit_t status = ECL_EXIT_FAILED;
   ecl_remote_t remote = {0};
   const char *id = ecl_cli_option (cli, "id");
   choice_t choice = {.remote = &remote, .collection = cli->n_args > 1 ? cli->args[1] : NULL, .one = id != NULL};
   size_t i;

   for (i = 0; i < sizeof actions / sizeof actions[0]; i++) {
      if (strcmp (actions[i].name, cli->args[0]) == 0) {
         break;
      }
   }
   if (i == sizeof actions / sizeof actions[0]) {
      return ecl_cli_usage (cli, "expected list, show, retry or drop, not \"%s\"", cli->args[0]);
   }
   if (!choice.collection && (actions[i].needs_collection || id)) {
      return ecl_cli_usage (cli, "say of which COLLECTION");
   }
   if (actions[i].needs_id && !id) {
      return ecl_cli_usage (cli, "say which document, with --id");
   }
   if (!parse_id (cli, id ? id : "null", &choice.ids)) {
      bson_destroy (&choice.ids);
      return ECL_EXIT_USAGE;
   }
   ecl_quarantine_filter (choice.collection, id ? &choice.ids : NULL, &choice.filter);
   if (actions[i].needs_migrations ? ecl_remote_open (&remote, cli) : ecl_remote_open_settings (&remote, cli)) {
      status = actions[i].run (&choice);
   }
   ecl_remote_close (&remote);
   bson_destroy (&choice.filter);
   bson_destroy (&choice.ids);
   return status;
}

static const ecl_option_t options[] = {
   {"id", 0, "ID", "one document: its _id as Extended JSON; what is none is a string"},
   {NULL},
};

const ecl_command_t ecl_cmd_quarantine = {
   .name = "quarantine",
   .arguments = "list|show|retry|drop [COLLECTION]",
   .summary = "documents that could not be carried over: why, again, forget",
   .about = "list   the reasons, each with the number of documents and one of them\n"
            "show   one document: why it is here, and how it is now\n"
            "retry  carries them over again, each to the version it was on its way to: what\n"
            "       succeeds leaves; ends with status 5 where some stay\n"
            "drop   removes the records; the documents are left as they are",
   .options = options,
   .min_args = 1,
   .max_args = 2,
   .flags = ECL_COMMAND_PROJECT | ECL_COMMAND_SERVER | ECL_COMMAND_FORMAT,
   .run = run,
};
