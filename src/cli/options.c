/* Options and help: one table says what is parsed and what is shown. */
#include "cli/commands.h"

#include "base/suggest.h"
#include "cli/hooks.h"
#include "mongo/world.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <unistd.h>

/* Which commands an option of the program is for: what it is about. */
typedef enum {
   FOR_ALL = 0,
   FOR_PROJECT = ECL_COMMAND_PROJECT,
   FOR_SERVER = ECL_COMMAND_SERVER,
   FOR_FORMAT = ECL_COMMAND_FORMAT,
} scope_t;

static const struct {
   ecl_option_t option;
   scope_t scope;
   bool alone; /* the program's only, not a command's */
} program_options[] = {
   {{"project", 'C', "FOLDER", "the project's folder"}, FOR_PROJECT},
   {{"config", 0, "FILE", "the project file, if it is not eclose.yaml here or above"}, FOR_PROJECT},
   {{"uri", 0, "URI", "the server, as a MongoDB connection string"}, FOR_SERVER},
   {{"database", 0, "NAME", "the database"}, FOR_SERVER},
   {{"migrations", 0, "FOLDER", "where the migration files are"}, FOR_PROJECT},
   {{"format", 0, "text|json", "how data is printed"}, FOR_FORMAT},
   {{"log-format", 0, "text|json", "how all else is said, on standard error; json: a line each"}, FOR_SERVER},
   {{"color", 0, "auto|always|never", "colours; auto: on a terminal, unless NO_COLOR is set"}, FOR_ALL},
   {{"help", 'h', NULL, "what it does and takes"}, FOR_ALL},
   {{"version", 'V', NULL, "the version of eclose and of the libraries under it"}, FOR_ALL, true},
};

#define N_PROGRAM (sizeof program_options / sizeof program_options[0])

static bool
applies (size_t i, const ecl_command_t *command)
{
   if (!command) {
      return true;
   }
   return !program_options[i].alone &&
          (program_options[i].scope == FOR_ALL || ((unsigned) program_options[i].scope & (unsigned) command->flags));
}

/* The program's option beside a command: one whose long name the command has itself goes by another. */
static const ecl_option_t *
beside (size_t i, const ecl_command_t *command)
{
   static const ecl_option_t project = {"project-folder", 'C', "FOLDER", "the project's folder", "project"};

   for (const ecl_option_t *own = command ? command->options : NULL; own && own->name; own++) {
      if (strcmp (own->name, program_options[i].option.name) == 0) {
         BSON_ASSERT (i == 0);
         return &project;
      }
   }
   return &program_options[i].option;
}

/* ---- help ---- */

static void
print_option (const ecl_option_t *option)
{
   char text[64];

   snprintf (text, sizeof text, "--%s%s%s", option->name, option->arg && *option->arg != '[' ? " " : "",
             option->arg ? option->arg : "");
   if (option->letter) {
      printf ("  -%c, %-27s %s\n", option->letter, text, option->help);
   } else {
      printf ("      %-27s %s\n", text, option->help);
   }
}

static void
print_command_help (const ecl_command_t *command)
{
   printf ("usage: eclose %s [options]%s%s\n\n%s\n", command->name, *command->arguments ? " " : "", command->arguments,
           command->summary);
   if (command->about) {
      printf ("\n%s\n", command->about);
   }
   printf ("\noptions:\n");
   for (const ecl_option_t *option = command->options; option && option->name; option++) {
      print_option (option);
   }
   for (size_t i = 0; i < N_PROGRAM; i++) {
      if (applies (i, command)) {
         print_option (beside (i, command));
      }
   }
   printf ("\nmore: man eclose-%s\n", command->name);
}

static void
print_group (const ecl_command_t *const *commands, const char *heading, bool server)
{
   bool any = false;

   for (; *commands; commands++) {
      if ((((*commands)->flags & ECL_COMMAND_SERVER) != 0) == server) {
         if (!any) {
            printf ("\n%s:\n", heading);
            any = true;
         }
         printf ("  %-10s %s\n", (*commands)->name, (*commands)->summary);
      }
   }
}

static void
print_help (const ecl_command_t *const *commands)
{
   printf ("usage: eclose [options] command [arguments]\n\n"
           "Changes the shape of the documents in a MongoDB database while its applications run.\n");
   print_group (commands, "without a server", false);
   print_group (commands, "with a server", true);
   printf ("\noptions:\n");
   for (size_t i = 0; i < N_PROGRAM; i++) {
      print_option (&program_options[i].option);
   }
   printf ("\nmore: eclose command --help, man eclose\n");
}

/* ---- parsing ---- */

static void
note (ecl_cli_t *self, const char *name, const char *value, bool many)
{
   for (size_t i = 0; i < self->n_given && !many; i++) {
      if (strcmp (self->given[i].name, name) == 0) {
         self->given[i].value = value;
         return;
      }
   }
   BSON_ASSERT (self->n_given < ECL_CLI_OPTIONS);
   self->given[self->n_given].name = name;
   self->given[self->n_given++].value = value;
}

const char *
ecl_cli_option (const ecl_cli_t *self, const char *name)
{
   for (size_t i = 0; i < self->n_given; i++) {
      if (strcmp (self->given[i].name, name) == 0) {
         return self->given[i].value;
      }
   }
   return NULL;
}

const char *
ecl_cli_option_nth (const ecl_cli_t *self, const char *name, size_t i)
{
   for (size_t k = 0; k < self->n_given; k++) {
      if (strcmp (self->given[k].name, name) == 0 && i-- == 0) {
         return self->given[k].value;
      }
   }
   return NULL;
}

bool
ecl_cli_number (const ecl_cli_t *self, const char *name, int64_t min, int64_t max, int64_t otherwise, int64_t *number)
{
   const char *text = ecl_cli_option (self, name);
   long long value;
   char *end;

   *number = otherwise;
   if (!text) {
      return true;
   }
   errno = 0;
   value = strtoll (text, &end, 10);
   if (!*text || *end || errno || value < min || value > max) {
      ecl_cli_usage (self, "--%s takes a number from %lld to %lld, not \"%s\"", name, (long long) min, (long long) max,
                     text);
      return false;
   }
   *number = value;
   return true;
}

/* A table for getopt: the val of an option is 256 + its place in `known`. */
typedef struct {
   const ecl_option_t *known[ECL_CLI_OPTIONS];
   struct option longs[ECL_CLI_OPTIONS + 1];
   char shorts[3 + 2 * ECL_CLI_OPTIONS];
   size_t n;
} parser_t;

static void
add_option (parser_t *parser, const ecl_option_t *option)
{
   size_t len = strlen (parser->shorts);

   BSON_ASSERT (parser->n < ECL_CLI_OPTIONS);
   parser->longs[parser->n] = (struct option){option->name,
                                              !option->arg          ? no_argument
                                              : *option->arg == '[' ? optional_argument
                                                                    : required_argument,
                                              NULL, 256 + (int) parser->n};
   parser->known[parser->n++] = option;
   if (option->letter) {
      parser->shorts[len++] = option->letter;
      parser->shorts[len++] = option->arg ? ':' : '\0';
      parser->shorts[len] = '\0';
   }
}

/* The word that getopt took for this long option where it is only its beginning, else NULL: `up --for 2h` is not about
 * --format, and what is short for one option today may be so for two tomorrow. */
static const char *
shortened (const ecl_option_t *option, char **argv)
{
   const char *word = argv[optarg && optarg == argv[optind - 1] ? optind - 2 : optind - 1];

   return strcspn (word + 2, "=") < strlen (option->name) ? word : NULL;
}

static ecl_exit_t
not_short (const ecl_cli_t *self, const char *word, const ecl_option_t *option)
{
   return ecl_cli_usage (self, "unknown option %s; did you mean --%s?", word, option->name);
}

/* What getopt did not take, in our words. */
static ecl_exit_t
bad_option (const ecl_cli_t *self, const parser_t *parser, int c, char **argv)
{
   const char *names[ECL_CLI_OPTIONS + 1] = {NULL}, *meant, *word = argv[optind - 1];

   if (optopt >= 256 && shortened (parser->known[optopt - 256], argv)) {
      return not_short (self, word, parser->known[optopt - 256]);
   }
   if (c == ':') {
      return ecl_cli_usage (self, "%s takes an argument", word);
   }
   if (optopt >= 256) {
      return ecl_cli_usage (self, "--%s takes no argument", parser->known[optopt - 256]->name);
   }
   if (optopt) {
      return ecl_cli_usage (self, "unknown option -%c", optopt);
   }
   for (size_t i = 0; i < parser->n; i++) {
      names[i] = parser->known[i]->name;
   }
   if (strcmp (word, "--dry-run") == 0) {
      return ecl_cli_usage (self, "unknown option %s; `eclose plan` says what `eclose up` would do", word);
   }
   meant = ecl_suggest (word + 2, strcspn (word + 2, "="), names);
   if (meant) {
      return ecl_cli_usage (self, "unknown option %s; did you mean --%s?", word, meant);
   }
   return ecl_cli_usage (self, "unknown option %s", word);
}

/* One run of getopt; leaves optind at the first argument. */
static bool
parse_options (ecl_cli_t *self, const parser_t *parser, int argc, char **argv, ecl_exit_t *status)
{
   int c;

   opterr = 0;
   optind = 0; /* begins anew */
   while (optopt = 0, (c = getopt_long (argc, argv, parser->shorts, parser->longs, NULL)) != -1) {
      const ecl_option_t *option = NULL;
      const char *word;

      if (c == '?' || c == ':') {
         *status = bad_option (self, parser, c, argv);
         return false;
      }
      for (size_t i = 0; i < parser->n && !option; i++) {
         option = c == 256 + (int) i || (c < 256 && parser->known[i]->letter == c) ? parser->known[i] : NULL;
      }
      word = c >= 256 ? shortened (option, argv) : NULL;
      if (word) {
         *status = not_short (self, word, option);
         return false;
      }
      if (self->n_given == ECL_CLI_OPTIONS) {
         *status = ecl_cli_usage (self, "too many options");
         return false;
      }
      note (self, option->as ? option->as : option->name, option->arg && optarg ? optarg : "", option->many);
   }
   return true;
}

static bool
choose (const ecl_cli_t *self, const char *name, const char *const *choices, int *choice, ecl_exit_t *status)
{
   const char *value = ecl_cli_option (self, name);

   *choice = 0;
   if (!value) {
      return true;
   }
   for (int i = 0; choices[i]; i++) {
      if (strcmp (choices[i], value) == 0) {
         *choice = i;
         return true;
      }
   }
   *status = ecl_cli_usage (self, "--%s takes %s%s%s%s%s, not \"%s\"", name, choices[0], choices[2] ? ", " : " or ",
                            choices[1], choices[2] ? " or " : "", choices[2] ? choices[2] : "", value);
   return false;
}

static bool
common_options (ecl_cli_t *self, ecl_exit_t *status)
{
   static const char *const colours[] = {"auto", "always", "never", NULL}, *const formats[] = {"text", "json", NULL};
   const char *no_color = getenv ("NO_COLOR"), *term = getenv ("TERM");
   bool plain = (no_color && *no_color) || !term || strcmp (term, "dumb") == 0;
   int colour, format, log;

   for (size_t i = 0; i < N_PROGRAM; i++) {
      const ecl_option_t *option = &program_options[i].option;
      const char *value = option->arg ? ecl_cli_option (self, option->name) : NULL;

      /* A variable of a script that was not set. */
      if (value && !*value) {
         *status = ecl_cli_usage (self, "--%s is empty", option->name);
         return false;
      }
   }
   if (!choose (self, "color", colours, &colour, status) || !choose (self, "format", formats, &format, status) ||
       !choose (self, "log-format", formats, &log, status)) {
      return false;
   }
   self->json = format == 1;
   self->log_json = log == 1;
   self->colour = colour == 1 || (colour == 0 && !plain && isatty (STDOUT_FILENO));
   self->progress = self->log_json                                                          ? ECL_PROGRESS_NONE
                    : isatty (STDERR_FILENO) && term && *term && strcmp (term, "dumb") != 0 ? ECL_PROGRESS_TERMINAL
                                                                                            : ECL_PROGRESS_LINES;
   self->colour_err = colour == 1 || (colour == 0 && !plain && isatty (STDERR_FILENO));
   return true;
}

/* What other tools call it; NULL where none does. */
static const char *
called_elsewhere (const char *name)
{
   static const char *const names[][2] = {{"migrate", "up"},    {"apply", "up"},   {"deploy", "up"},
                                          {"rollback", "down"}, {"undo", "down"},  {"info", "status"},
                                          {"validate", "lint"}, {"create", "new"}, {"dry-run", "plan"}};

   for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
      if (strcmp (name, names[i][0]) == 0) {
         return names[i][1];
      }
   }
   return NULL;
}

static const ecl_command_t *
find_command (ecl_cli_t *self, const char *name, const ecl_command_t *const *commands, ecl_exit_t *status)
{
   const char **names, *meant;
   size_t n = 0;

   for (; commands[n]; n++) {
      if (strcmp (commands[n]->name, name) == 0) {
         return commands[n];
      }
   }
   names = bson_malloc0 ((n + 1) * sizeof (char *));
   for (size_t i = 0; i < n; i++) {
      names[i] = commands[i]->name;
   }
   meant = called_elsewhere (name);
   meant = meant ? meant : ecl_suggest (name, strlen (name), names);
   bson_free (names);
   *status = meant ? ecl_cli_usage (self, "unknown command \"%s\"; did you mean \"%s\"?", name, meant)
                   : ecl_cli_usage (self, "unknown command \"%s\"", name);
   return NULL;
}

/* One argument too many: that of an option which takes it with "=" only, as --validator=warn? */
static ecl_exit_t
unexpected (const ecl_cli_t *self)
{
   const char *extra = self->args[self->command->max_args];

   for (const ecl_option_t *option = self->command->options; option && option->name; option++) {
      const char *given = option->arg && *option->arg == '[' ? ecl_cli_option (self, option->name) : NULL;

      if (given && !*given) {
         return ecl_cli_usage (self, "unexpected argument \"%s\"; that of --%s is given with \"=\": --%s=%s", extra,
                               option->name, option->name, extra);
      }
   }
   return ecl_cli_usage (self, "unexpected argument \"%s\"", extra);
}

static void
print_version (void)
{
   printf ("eclose %s\nlibbson %s\nlibmongoc %s\n", ECL_VERSION, bson_get_version (), ecl_mongo_version ());
}

bool
ecl_cli_parse (ecl_cli_t *self, int argc, char **argv, const ecl_command_t *const *commands, ecl_exit_t *status)
{
   parser_t program = {.shorts = "+:"}, own = {.shorts = ":"};
   int first;

   *status = ECL_EXIT_OK;
   for (size_t i = 0; i < N_PROGRAM; i++) {
      add_option (&program, &program_options[i].option);
   }
   if (!parse_options (self, &program, argc, argv, status)) {
      return false;
   }
   first = optind;
   if (ecl_cli_flag (self, "version")) {
      print_version ();
      return false;
   }
   if (first < argc && strcmp (argv[first], "help") == 0) {
      /* `eclose help lint` is what people type. */
      note (self, "help", "", false);
      first++;
   }
   if (first >= argc) {
      bool asked = ecl_cli_flag (self, "help");

      if (asked) {
         print_help (commands);
      } else {
         *status = ecl_cli_usage (self, "no command");
      }
      return false;
   }
   self->command = find_command (self, argv[first], commands, status);
   if (!self->command) {
      return false;
   }
   for (const ecl_option_t *option = self->command->options; option && option->name; option++) {
      add_option (&own, option);
   }
   for (size_t i = 0; i < N_PROGRAM; i++) {
      if (applies (i, self->command)) {
         add_option (&own, beside (i, self->command));
      }
   }
   if (!parse_options (self, &own, argc - first, argv + first, status)) {
      return false;
   }
   self->args = argv + first + optind;
   self->n_args = argc - first - optind;
   if (ecl_cli_flag (self, "help")) {
      print_command_help (self->command);
      return false;
   }
   if (!common_options (self, status)) {
      return false;
   }
   if (!ecl_hooks_check (self)) {
      *status = ECL_EXIT_USAGE;
      return false;
   }
   if (self->n_args < self->command->min_args) {
      *status = ecl_cli_usage (self, "expected %s", self->command->arguments);
      return false;
   }
   if (self->n_args > self->command->max_args) {
      *status = unexpected (self);
      return false;
   }
   return true;
}
