/* Projects: settings, precedence, migrations, chains, and the place of every problem. */
#include "project_check.h"

#include "base/suggest.h"

/* ---- problems ---- */

static void
check_problems (const char *config, const file_t *files, const char *expected)
{
   ecl_project_t *project;
   ecl_diags_t diags;
   ecl_buf_t out;

   ecl_diags_init (&diags);
   ecl_buf_init (&out, 1u << 20);
   project = load (NULL, config, files, &diags);
   assert_true (ecl_diags_print (&diags, &out));
   assert_string_equal (ecl_buf_cstr (&out), expected);
   ecl_buf_cleanup (&out);
   ecl_diags_cleanup (&diags);
   ecl_project_destroy (project);
}

/* clang-format off */
#define FILES(...) (const file_t[]) {__VA_ARGS__, {0}}
/* clang-format on */

static void
test_config_problems (void **state)
{
   (void) state;
   check_problems ("databse: shop\n", NULL,
                   "eclose.yaml:1:1: unknown key \"databse\"; did you mean \"database\"? (at databse)\n");
   check_problems ("database: [a]\n", NULL, "eclose.yaml:1:1: database must be a string, found array (at database)\n");
   check_problems ("database: ''\n", NULL, "eclose.yaml:1:1: database is empty (at database)\n");
   check_problems ("uri: ${NOPE}\n", NULL,
                   "eclose.yaml:1:1: the environment has no NOPE; ${NOPE:-default} would give it a default (at uri)\n");
   check_problems ("uri: ${NOPE\n", NULL,
                   "eclose.yaml:1:1: ${ without }; a dollar that is only a dollar is written $$ (at uri)\n");
   check_problems ("uri: ${A-b}\n", NULL,
                   "eclose.yaml:1:1: expected ${NAME} or ${NAME:-default}, found ${A-b} (at uri)\n");
   check_problems ("database: ${A:-${B:-c}}\n", NULL,
                   "eclose.yaml:1:1: a default ends at the first }: no ${ may stand in it (at database)\n");
   check_problems ("unversioned: -1\nversion_format: roman\n", NULL,
                   "eclose.yaml:1:1: unversioned must be a whole number from 0 to 2147483647 (at unversioned)\n"
                   "eclose.yaml:2:1: unknown version_format \"roman\": expected integer, dotted or packed"
                   " (at version_format)\n");
   check_problems ("hooks: {end: '', finish: x}\n", NULL,
                   "eclose.yaml:1:9: end is empty (at hooks.end)\n"
                   "eclose.yaml:1:18: unknown key \"finish\" (at hooks.finish)\n");
   check_problems (
      "throttle: {max_rate: 5 MB, batch_time: 0, max_latency: fast, max_lag: [1], min_windw: 1}\n", NULL,
      "eclose.yaml:1:12: \"5 MB\" is no rate: expected documents per second (1000), bytes per second (5MB,"
      " 512kB, 1MiB) or none (at throttle.max_rate)\n"
      "eclose.yaml:1:28: batch_time must be a number from 1 to 60000 (at throttle.batch_time)\n"
      "eclose.yaml:1:43: max_latency must be a number from 1.1 to 1000 (at throttle.max_latency)\n"
      "eclose.yaml:1:62: max_lag must be a number, found array (at throttle.max_lag)\n"
      "eclose.yaml:1:76: unknown key \"min_windw\"; did you mean \"min_window\"? (at throttle.min_windw)\n");
   check_problems ("throttle: {max_rate: 0}\n", NULL,
                   "eclose.yaml:1:12: \"0\" is no rate: expected documents per second (1000), bytes per second (5MB,"
                   " 512kB, 1MiB) or none (at throttle.max_rate)\n");
   check_problems ("throttle: 5MB\n", NULL,
                   "eclose.yaml:1:1: throttle must be a mapping, found string (at throttle)\n");
   check_problems ("version_field: a..b\n", NULL,
                   "eclose.yaml:1:1: \"a..b\" cannot be the version field: expected a dotted name without $, not _id"
                   " (at version_field)\n");
   check_problems ("collections:\n  eclose_jobs: {}\n  users: {unversiond: 1}\n", NULL,
                   "eclose.yaml:2:3: \"eclose_jobs\" cannot be a collection's name: collections whose names begin with"
                   " eclose_ are eclose's own (at collections.eclose_jobs)\n"
                   "eclose.yaml:3:11: unknown key \"unversiond\"; did you mean \"unversioned\"?"
                   " (at collections.users.unversiond)\n");
   check_problems ("collections:\n  d:\n    detect:\n      - {version: 1}\n      - {version: x, filter: {}}\n", NULL,
                   "eclose.yaml:4:9: filter is missing: expected {version, filter} (at collections.d.detect.0)\n"
                   "eclose.yaml:5:10: version must be a whole number from 0 to 2147483647"
                   " (at collections.d.detect.1.version)\n");
}

static void
test_migration_problems (void **state)
{
   (void) state;
   check_problems (
      NULL, FILES ({"users/0001_a.yaml", "to: 1\nup:\n  - $sett: {a: 1}\nschem: {}\n"}),
      "users/0001_a.yaml:3:5: Unrecognized pipeline stage name: '$sett'; did you mean $set? (at up.0.$sett)\n"
      "users/0001_a.yaml:4:1: unknown key \"schem\"; did you mean \"schema\"? (at schem)\n");
   check_problems (NULL, FILES ({"users/0001_a.yaml", "to: 1\nup:\n  - $set: {a: $$NOW}\n"}),
                   "users/0001_a.yaml:3:12: $$NOW is refused here: a document migration must give the same result"
                   " on any day (at up.0.$set.a)\n");
   check_problems (NULL, FILES ({"users/0001_a.yaml", "to: 2\nup: []\nschema: {}\n"}),
                   "users/0001_a.yaml:1:1: to is 2, but the file's name says 0001 (at to)\n"
                   "users/0001_a.yaml:1:1: a gap in the chain of users: no migration leads from version 0 to 1"
                   " (documents without a version are at the first one: see `unversioned`) (at to)\n");
   check_problems (NULL, FILES ({"users/0001_a.yaml", "description: x\n"}),
                   "users/0001_a.yaml:1:1: to and up are missing\n");
   check_problems (NULL, FILES ({"users/0001_a.yaml", "to: 1\nup: {}\ndown: never\nschema: 3\nexamples: [{in: {}}]\n"}),
                   "users/0001_a.yaml:2:1: up must be a list of stages, found object (at up)\n"
                   "users/0001_a.yaml:3:1: down must be a list of stages, or irreversible, found string (at down)\n"
                   "users/0001_a.yaml:4:1: schema must be a $jsonSchema (a mapping), found int (at schema)\n"
                   "users/0001_a.yaml:5:12: out is missing: an example is {in, out} (at examples.0)\n");
   check_problems (NULL, FILES ({"users/first.yaml", "to: 1\n"}, {"users/0001_a.yml", ""}, {"users/notes.txt", ""}),
                   "users/0001_a.yml: end the name in .yaml, not .yml\n"
                   "users/first.yaml: the name must begin with the version: expected NNNN_name.yaml, such as"
                   " 0002_split_name.yaml\n"
                   "users/notes.txt: not a document migration: expected NNNN_name.yaml or NNNN_name.json\n");
   check_problems (NULL, FILES ({"20261121T0900_merge.yaml", "up: {}\n"}),
                   "20261121T0900_merge.yaml:1:1: up must be a list of steps, found object (at up)\n");
   /* A file that cannot be read makes no gap. */
   check_problems (NULL,
                   FILES ({"users/0001_a.json", "{\"to\": 1"}, {"users/0002_b.yaml", "to: 2\nup: []\nschema: {}\n"}),
                   "users/0001_a.json:1:9: expected ',' or '}', found the end of the text (at to)\n");
   /* Nor does what is wrong with the project file: where chains begin is not known then. */
   check_problems ("colections: {users: {unversioned: 4}}\n",
                   FILES ({"users/0005_a.yaml", "to: 5\nup: []\nschema: {}\n"}),
                   "eclose.yaml:1:1: unknown key \"colections\"; did you mean \"collections\"? (at colections)\n");
   check_problems ("collections: {users: {unversioned: four}}\n",
                   FILES ({"users/0005_a.yaml", "to: 5\nup: []\nschema: {}\n"},
                          {"users/0005_b.yaml", "to: 5\nup: []\nschema: {}\n"}),
                   "eclose.yaml:1:23: unversioned must be a whole number from 0 to 2147483647"
                   " (at collections.users.unversioned)\n"
                   "users/0005_b.yaml:1:1: a double in the chain of users: users/0005_a.yaml leads to version 5, too"
                   " (at to)\n");
}

static void
test_chain_problems (void **state)
{
   (void) state;
   check_problems (NULL,
                   FILES ({"u/0001_a.yaml", "to: 1\nup: []\nschema: {}\n"},
                          {"u/0003_b.yaml", "to: 3\nup: []\nschema: {}\n"},
                          {"u/0003_c.yaml", "to: 3\nup: []\nschema: {}\n"}),
                   "u/0003_b.yaml:1:1: a gap in the chain of u: no migration leads from version 1 to 2 (at to)\n"
                   "u/0003_c.yaml:1:1: a double in the chain of u: u/0003_b.yaml leads to version 3, too (at to)\n");
   check_problems ("unversioned: 5\n", FILES ({"u/0003_b.yaml", "to: 3\nup: []\nschema: {}\n"}),
                   "u/0003_b.yaml:1:1: the chain of u begins at version 5: no migration can lead to 3 (at to)\n");
   check_problems ("version_format: dotted\n",
                   FILES ({"u/a.yaml", "to: 1.2\nup: []\nschema: {}\n"},
                          {"u/b.yaml", "to: '1.2'\nup: []\nschema: {}\n"},
                          {"u/c.yaml", "to: 1.2.0\nup: []\nschema: {}\n"}),
                   "u/a.yaml:1:1: to must be a string such as \"1.2.0\", of one to four numbers up to 65535 (the first"
                   " one up to 32767) (at to)\n"
                   "u/c.yaml:1:1: a double in the chain of u: u/b.yaml leads to version 1.2, too (at to)\n");
   check_problems ("collections: {d: {detect: [{version: 4, filter: {}}, {version: 1, filter: {}}]}}\n",
                   FILES ({"d/0002_a.yaml", "to: 2\nup: []\nschema: {}\n"}),
                   "eclose.yaml:1:28: version 4 is not on the chain of d (at collections.d.detect.0)\n");
}

static bool
no_function (void *context, ecl_eval_t *ev, const bson_t *in, bson_t *out, bson_error_t *error)
{
   (void) context, (void) ev, (void) in, (void) out, (void) error;
   return false;
}

/* A file that nobody filled in is warned of; one with a schema, or a way of the program, has said something. */
static void
test_nothing_to_do (void **state)
{
   static const char text[] = "to: 1\nup: []\n";
   const ecl_function_t function = {.run = no_function};
   ecl_text_source_t source = {.name = "u/0001_a.yaml", .bytes = text, .len = sizeof text - 1};
   ecl_project_options_t options = {.getenv = no_environment};
   ecl_project_t *project = ecl_project_new (&options);
   ecl_diags_t diags;

   (void) state;
   check_problems (NULL,
                   FILES ({"u/0001_a.yaml", text}, {"u/0002_b.yaml", "to: 2\nup: []\nschema: {}\n"},
                          {"u/0003_c.yaml", "to: 3\nup: [{$unset: a}]\n"}),
                   "u/0001_a.yaml:2:1: warning: nothing is changed: documents only get version 1 (at up)\n");
   ecl_diags_init (&diags);
   assert_true (ecl_project_add (project, source.name, &source, &diags));
   assert_true (ecl_project_add_function (project, "u", "1", false, &function, &diags));
   assert_true (ecl_project_add_function (project, "u", "2", true, &function, &diags));
   assert_true (ecl_project_link (project, &diags));
   assert_int_equal (diags.n, 0);
   ecl_diags_cleanup (&diags);
   ecl_project_destroy (project);
}

/* ---- what is right ---- */

static void
test_pace (void **state)
{
   ecl_project_t *project = load_good (
      "throttle: {max_rate: 1.5MB, batch_time: 20, max_latency: 1.5, max_lag: 2.5, min_window: '60'}\n", NULL);
   const ecl_pace_t *pace = ecl_project_pace (project);

   (void) state;
   assert_true (pace->max_documents == 0 && pace->max_bytes == 1.5e6 && pace->max_latency == 1.5);
   assert_int_equal (pace->batch_time, 20);
   assert_int_equal (pace->max_lag, 2500);
   assert_int_equal (pace->min_window, 3600000);
   ecl_project_destroy (project);
   project = load_good ("throttle: {max_rate: 1000}\n", NULL);
   pace = ecl_project_pace (project);
   assert_true (pace->max_documents == 1000 && pace->max_bytes == 0 && pace->max_latency == 0);
   ecl_project_destroy (project);
   project = load_good (NULL, NULL);
   assert_true (ecl_project_pace (project)->max_documents == 0);
   ecl_project_destroy (project);
}

static void
test_chains (void **state)
{
   ecl_project_t *project =
      load_good ("collections:\n"
                 "  users: {unversioned: 1}\n"
                 "  devices:\n"
                 "    version_field: meta.v\n"
                 "    detect: [{version: 2, filter: {tags: {$exists: true}}},"
                 " {version: 1, filter: {}}]\n",
                 FILES ({"users/0003_b.json", "{\"to\": 3, \"up\": [], \"schema\": {}}"},
                        {"users/0002_a.yaml", "to: 2\nup: [{$set: {a: 1}}]\ndown: irreversible\n"},
                        {"devices/0002_x.yaml", "to: 2\nup: []\nschema: {}\ndown: []\n"}));
   const ecl_chain_t *users = ecl_project_chain (project, "users"), *devices = ecl_project_chain (project, "devices");
   size_t n, index;

   (void) state;
   assert_string_equal (ecl_project_chains (project, &n)[0].collection, "devices");
   assert_int_equal (n, 2);
   assert_int_equal (users->floor, 1);
   assert_int_equal (users->target, 3);
   assert_int_equal (users->steps[0].from, 1);
   assert_string_equal (users->steps[0].name, "0002_a");
   assert_int_equal (users->steps[0].down.kind, ECL_WAY_IRREVERSIBLE);
   assert_int_equal (users->steps[1].down.kind, ECL_WAY_NONE);
   assert_true (ecl_chain_index (users, 3, &index));
   assert_int_equal (index, 2);
   assert_int_equal (ecl_chain_version (users, 1), 2);
   assert_false (ecl_chain_index (users, 0, &index));
   assert_false (ecl_chain_index (users, 4, &index));
   assert_int_equal (devices->floor, 1);
   assert_false (devices->has_unversioned);
   assert_string_equal (devices->version_field, "meta.v");
   assert_null (ecl_project_chain (project, "posts"));
   ecl_project_destroy (project);
}

/* Migrations up to the floor may be there or not; documents below it belong to no version of the chain. */
static void
test_floor (void **state)
{
   static const char config[] = "collections: {users: {unversioned: 1, floor: 3}}\n";
   ecl_project_t *project;
   const ecl_chain_t *chain;
   ecl_diags_t diags;
   size_t index;

   (void) state;
   ecl_diags_init (&diags);
   project = load (NULL, config, FILES ({"users/0004_d.yaml", "to: 4\nup: [{$set: {d: 1}}]\n"}), &diags);
   assert_int_equal (diags.n, 0);
   chain = ecl_project_chain (project, "users");
   assert_int_equal (chain->floor, 3);
   assert_int_equal (chain->n_steps, 1);
   assert_int_equal (chain->target, 4);
   assert_false (ecl_chain_index (chain, 1, &index));
   assert_true (ecl_chain_index (chain, 3, &index) && index == 0);
   ecl_project_destroy (project);
   ecl_diags_cleanup (&diags);
   /* All of them gone. */
   ecl_diags_init (&diags);
   project = load (NULL, config, NULL, &diags);
   assert_int_equal (diags.n, 0);
   assert_int_equal (ecl_project_chain (project, "users")->target, 3);
   ecl_project_destroy (project);
   ecl_diags_cleanup (&diags);
   check_problems (
      config,
      FILES ({"users/0003_c.yaml", "to: 3\nup: [{$set: {c: 1}}]\n"},
             {"users/0004_d.yaml", "to: 4\nup: [{$set: {d: 1}}]\n"}),
      "users/0003_c.yaml:1:1: warning: not used, and may be deleted: the chain of users begins at its `floor`, "
      "version 3 (at to)\n");
   check_problems (
      config, FILES ({"users/0005_e.yaml", "to: 5\nup: [{$set: {e: 1}}]\n"}),
      "users/0005_e.yaml:1:1: a gap in the chain of users: no migration leads from version 3 to 4 (it begins "
      "at its `floor`) (at to)\n");
   check_problems (
      "collections: {users: {floor: x}}\n", NULL,
      "eclose.yaml:1:23: floor must be a whole number from 0 to 2147483647 (at collections.users.floor)\n");
   check_problems (
      "collections: {users: {detect: [{version: 1, filter: {a: 1}}, {version: 5, filter: {}}], floor: 3}}\n", NULL,
      "eclose.yaml:1:62: version 5 is not on the chain of users (at collections.users.detect.1)\n");
}

static void
test_dotted_chain (void **state)
{
   ecl_project_t *project = load_good (
      "version_format: dotted\nunversioned: '1.0'\n",
      FILES ({"u/b.yaml", "to: 1.10.0\nup: []\nschema: {}\n"}, {"u/a.yaml", "to: 1.9.0\nup: []\nschema: {}\n"}));
   const ecl_chain_t *chain = ecl_project_chain (project, "u");
   char text[ECL_VERSION_TEXT];

   (void) state;
   assert_string_equal (chain->steps[0].name, "a");
   assert_string_equal (ecl_version_text (chain->format, chain->steps[1].from, text), "1.9");
   assert_int_equal (chain->steps[1].stamp.len, 6);
   assert_memory_equal (chain->steps[1].stamp.u.str, "1.10.0", 6);
   assert_memory_equal (chain->floor_stamp.u.str, "1.0", 4);
   ecl_project_destroy (project);
}

/* ---- precedence ---- */

static const char *
some_environment (void *ctx, const char *name)
{
   static const char *const values[][2] = {
      {"MONGODB_URI", "mongodb://env"}, {"ECLOSE_DATABASE", "envdb"}, {"WHERE", "here"}, {"EMPTY", ""}, {NULL, NULL}};

   (void) ctx;
   for (size_t i = 0; values[i][0]; i++) {
      if (strcmp (values[i][0], name) == 0) {
         return values[i][1];
      }
   }
   return NULL;
}

static void
test_precedence (void **state)
{
   static const char config[] = "uri: mongodb://file\ndatabase: filedb\nmigrations: ${WHERE}/${EMPTY:-x}/$${a}$b\n";
   ecl_project_options_t options = {.getenv = some_environment};
   ecl_project_t *project;
   ecl_diags_t diags;
   bool from_file;

   (void) state;
   ecl_diags_init (&diags);
   project = load (&options, config, NULL, &diags);
   assert_string_equal (ecl_project_uri (project), "mongodb://env");
   assert_string_equal (ecl_project_database (project), "envdb");
   assert_string_equal (ecl_project_migrations (project, &from_file), "here/x/${a}$b");
   assert_true (from_file);
   ecl_project_destroy (project);

   options = (ecl_project_options_t){.getenv = some_environment, .uri = "mongodb://flag", .migrations = "/m"};
   project = load (&options, config, NULL, &diags);
   assert_string_equal (ecl_project_uri (project), "mongodb://flag");
   assert_string_equal (ecl_project_migrations (project, &from_file), "/m");
   assert_false (from_file);
   ecl_project_destroy (project);

   options = (ecl_project_options_t){0};
   project = load (&options, "database: filedb\n", NULL, &diags);
   assert_null (ecl_project_uri (project));
   assert_string_equal (ecl_project_database (project), "filedb");
   assert_string_equal (ecl_project_migrations (project, &from_file), "migrations");
   ecl_project_destroy (project);
   assert_int_equal (diags.n, 0);
   ecl_diags_cleanup (&diags);
}

/* ---- suggestions ---- */

static void
test_suggestions (void **state)
{
   static const char *const known[] = {"database", "migrations", "uri", "version_field", "version_format", "up", NULL};

   (void) state;
   assert_string_equal (ecl_suggest ("databse", 7, known), "database");
   assert_string_equal (ecl_suggest ("version_fromat", 14, known), "version_format");
   assert_string_equal (ecl_suggest ("urix", 3, known), "uri");
   assert_null (ecl_suggest ("xx", 2, known));
   assert_null (ecl_suggest ("", 0, known));
   assert_null (ecl_suggest ("collection_names_that_are_far_too_long_to_be_compared", 53, known));
   assert_null (ecl_suggest ("schema", 6, known));
}

/* ---- versions ---- */

static void
test_versions (void **state)
{
   static const struct {
      ecl_version_format_t format;
      const char *text, *shown; /* shown: NULL where it is no version */
   } cases[] = {
      {ECL_VERSION_INTEGER, "3", "3"},
      {ECL_VERSION_INTEGER, "03", NULL},
      {ECL_VERSION_INTEGER, "2147483648", NULL},
      {ECL_VERSION_INTEGER, "1.0", NULL},
      {ECL_VERSION_INTEGER, "", NULL},
      {ECL_VERSION_DOTTED, "1.2.0", "1.2"},
      {ECL_VERSION_DOTTED, "1", "1.0"},
      {ECL_VERSION_DOTTED, "1.2.3.4", "1.2.3.4"},
      {ECL_VERSION_DOTTED, "1.0.0.1", "1.0.0.1"},
      {ECL_VERSION_DOTTED, "1.2.3.4.5", NULL},
      {ECL_VERSION_DOTTED, "1..2", NULL},
      {ECL_VERSION_DOTTED, "1.", NULL},
      {ECL_VERSION_DOTTED, "1.65536", NULL},
      {ECL_VERSION_PACKED, "32767.65535", "32767.65535"},
      {ECL_VERSION_PACKED, "32768", NULL},
   };
   ecl_version_t a, b;

   (void) state;
   for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
      char text[ECL_VERSION_TEXT];
      bool ok = ecl_version_parse (cases[i].format, cases[i].text, strlen (cases[i].text), &a);

      assert_int_equal (ok, cases[i].shown != NULL);
      if (ok) {
         assert_string_equal (ecl_version_text (cases[i].format, a, text), cases[i].shown);
      }
   }
   assert_true (ecl_version_parse (ECL_VERSION_DOTTED, "1.9", 3, &a));
   assert_true (ecl_version_parse (ECL_VERSION_DOTTED, "1.10", 4, &b));
   assert_true (a < b);
   assert_true (ecl_version_parse (ECL_VERSION_PACKED, "1.2", 3, &a));
   assert_true (a == 0x0001000200000000);
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_config_problems),
      cmocka_unit_test (test_migration_problems),
      cmocka_unit_test (test_chain_problems),
      cmocka_unit_test (test_nothing_to_do),
      cmocka_unit_test (test_pace),
      cmocka_unit_test (test_chains),
      cmocka_unit_test (test_floor),
      cmocka_unit_test (test_dotted_chain),
      cmocka_unit_test (test_precedence),
      cmocka_unit_test (test_versions),
      cmocka_unit_test (test_suggestions),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
