/* The command line: what all commands share.
 *
 * A command is one file that defines a const ecl_command_t, and one line in the table of main.c. Everything that --help
 * says and everything that is parsed comes from its options.
 *
 *    main ──► options of the program ──► command ──► its options ──► run (cli) ──► exit status
 *
 * Results go to standard output, everything else to standard error. A command that prints data prints it as text or,
 * with --format json, as one JSON document a line.
 */
#ifndef ECL_CLI_CLI_H
#define ECL_CLI_CLI_H

#include "base/shell.h"
#include "cli/progress.h"
#include "project/folder.h"

#include <stdio.h>

/* What the process ends with; nothing else is ever returned by a command. */
typedef enum {
   ECL_EXIT_OK = 0,
   ECL_EXIT_FAILED = 1,
   ECL_EXIT_USAGE = 2,
   ECL_EXIT_PENDING = 3, /* status --check */
   ECL_EXIT_LEASE = 4,   /* somebody else holds it */
   ECL_EXIT_FOUND = 5,   /* verification failed, or documents are in quarantine */
   ECL_EXIT_JOB = 6,     /* backfill work: the job failed, and who comes again finds it so */
} ecl_exit_t;

typedef struct ecl_cli_t ecl_cli_t;

/* An option of the program or of a command. The list ends with an entry without a name. */
typedef struct {
   const char *name; /* "to" for --to */
   char letter;      /* 'C' for -C; 0: none */
   const char *arg;  /* what its argument is called; NULL: it takes none; "[=N]": it may have one */
   const char *help; /* what it does, as a phrase */
   const char *as;   /* what ecl_cli_option knows it by; NULL: its name. A command may so have a --project of its own */
   bool many;        /* it may be given more than once: see ecl_cli_option_nth */
} ecl_option_t;

typedef enum {
   ECL_COMMAND_PROJECT = 1 << 0, /* works on a project: takes --project, --config, --database, --migrations */
   ECL_COMMAND_SERVER = 1 << 1,  /* talks to the server: takes --uri as well */
   ECL_COMMAND_FORMAT = 1 << 2,  /* prints data: takes --format */
} ecl_command_flags_t;

typedef struct {
   const char *name;
   const char *arguments; /* "COLLECTION NAME", "[COLLECTION]"; "" for none */
   const char *summary;   /* one line, for the list of commands */
   const char *about;     /* what --help says more, lines of at most 80 characters; may be NULL */
   const ecl_option_t *options;
   int min_args, max_args;
   ecl_command_flags_t flags;
   ecl_exit_t (*run) (ecl_cli_t *cli);
} ecl_command_t;

/* Room for the options of the program and of one command. */
#define ECL_CLI_OPTIONS 48

struct ecl_cli_t {
   const ecl_command_t *command;
   char **args; /* of the command, without options */
   int n_args;
   bool json;       /* --format json */
   bool log_json;   /* --log-format json: what is said on standard error */
   bool colour;     /* on standard output */
   bool colour_err; /* on standard error */
   ecl_progress_way_t progress;
   struct {
      const char *name;
      const char *value; /* "" for one that takes no argument */
   } given[ECL_CLI_OPTIONS];
   size_t n_given;
};

/* ---- options ---- */

/* The argument of an option of the command or the program; NULL where it was not given. */
const char *
ecl_cli_option (const ecl_cli_t *self, const char *name);

/* The i-th argument of one that may be given more than once, in the order of the command line; NULL behind the last. */
const char *
ecl_cli_option_nth (const ecl_cli_t *self, const char *name, size_t i);

static inline bool
ecl_cli_flag (const ecl_cli_t *self, const char *name)
{
   return ecl_cli_option (self, name) != NULL;
}

/* A number as an option's argument, or otherwise where it was not given. False, with a message, for what is none. */
bool
ecl_cli_number (const ecl_cli_t *self, const char *name, int64_t min, int64_t max, int64_t otherwise,
                int64_t *number) ECL_MUST_CHECK;

/* ---- saying things ---- */

/* "eclose COMMAND: message" on standard error, or a line of the log. Returns ECL_EXIT_FAILED. */
ecl_exit_t
ecl_cli_fail (const ecl_cli_t *self, const char *format, ...) ECL_PRINTF (2, 3);

/* The same for wrong usage, with a line about --help. Returns ECL_EXIT_USAGE. */
ecl_exit_t
ecl_cli_usage (const ecl_cli_t *self, const char *format, ...) ECL_PRINTF (2, 3);

/* A note on standard error, without the program's name in front. */
void
ecl_cli_note (const ecl_cli_t *self, const char *format, ...) ECL_PRINTF (2, 3);

/* A time in milliseconds since 1970, in UTC; "-" for 0. */
const char *
ecl_cli_time (int64_t ms, char text[32]);

/* A line of JSON on standard error, with --log-format json: time, level, command, message, then the fields (nullable).
 * As text it is the message alone. level: "error", "warning" or "info". */
void
ecl_cli_log (const ecl_cli_t *self, const char *level, const char *message, const bson_t *fields);

/* One line of relaxed Extended JSON on standard output. */
void
ecl_cli_json (const bson_t *document);

/* Diagnostics, one a line, sorted; errors red and warnings yellow where out is coloured. */
void
ecl_cli_diags (ecl_diags_t *diags, FILE *out, bool colour);

/* The escape that begins a colour, or "" where there is none. */
#define ECL_CLI_RED "\033[31m"
#define ECL_CLI_GREEN "\033[32m"
#define ECL_CLI_YELLOW "\033[33m"
#define ECL_CLI_BOLD "\033[1m"
#define ECL_CLI_PLAIN "\033[0m"

static inline const char *
ecl_cli_colour (const ecl_cli_t *self, const char *escape)
{
   return self->colour ? escape : "";
}

/* ---- the project ---- */

/* Where the project is: --project, --config, ECLOSE_CONFIG, else eclose.yaml here or in the nearest folder above.
 * folder's texts are the caller's to free with ecl_cli_folder_free. False, with a message, where there is none. */
bool
ecl_cli_find_project (const ecl_cli_t *self, ecl_folder_t *folder) ECL_MUST_CHECK;

void
ecl_cli_folder_free (ecl_folder_t *folder);

/* Loads the project and says on standard error what is wrong with it. NULL where there is an error. */
ecl_project_t *
ecl_cli_load (const ecl_cli_t *self);

/* The same for what acts on eclose's own records: where only migrations are wrong, which is said in a line, *broken is
 * set, and of the project there are its settings and the names of its collections. */
ecl_project_t *
ecl_cli_load_settings (const ecl_cli_t *self, bool *broken);

/* The chain of the collection that the i-th argument names; *chain is NULL where there is no such argument. False, with
 * a message (and the name that was likely meant), where the project does not know it. */
bool
ecl_cli_chain (const ecl_cli_t *self, const ecl_project_t *project, int i, const ecl_chain_t **chain) ECL_MUST_CHECK;

#endif
