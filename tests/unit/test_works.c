/* Rows into statements, checksums, what is pending, previews: migrate/migrate*.c, migrate/preview.c and base/sha256.c. */
#include "project_check.h"

#include "fake_world.h"
#include "migrate/migrate-private.h"
#include "migrate/preview.h"

static void
test_checksums (void **state)
{
   static const struct {
      const char *text, *sum;
   } known[] = {
      {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
      {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
      {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
       "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
   };
   char text[ECL_SHA256_TEXT];

   (void) state;
   for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
      ecl_sha256_text (known[i].text, strlen (known[i].text), text);
      assert_string_equal (text, known[i].sum);
   }
}

/* The checksum of a file is that of its text, whatever the line ends. */
static void
test_line_ends (void **state)
{
   ecl_project_t *unix_like = load_good (NULL, (file_t[]){{"20260101_a.yaml", "description: x\nup: []\n"}, {0}});
   ecl_project_t *other = load_good (NULL, (file_t[]){{"20260101_a.yaml", "description: x\r\nup: []\r\n"}, {0}});
   size_t n;

   (void) state;
   assert_string_equal (ecl_project_works (unix_like, &n)->checksum, ecl_project_works (other, &n)->checksum);
   assert_int_equal (n, 1);
   ecl_project_destroy (unix_like);
   ecl_project_destroy (other);
}

static const ecl_act_t *
first_act (const ecl_project_t *project)
{
   size_t n;

   return ecl_project_works (project, &n)->up.acts;
}

/* What was filled in, as relaxed Extended JSON. */
static void
check_filled (const ecl_row_t *row, const ecl_value_t *value, bool filter, const char *expected)
{
   ecl_value_t filled, raw;
   ecl_field_t field;
   bson_error_t error;
   ecl_arena_t arena;
   ecl_buf_t out;

   ecl_arena_init (&arena);
   ecl_buf_init (&out, 1u << 20);
   if (!ecl_migrate_fill (&arena, row, value, filter, &filled, &error)) {
      assert_string_equal (error.message, expected);
   } else {
      field = ecl_field ("v", 1, filled);
      filled = ecl_fields (&field, 1);
      assert_true (ecl_value_to_raw (&arena, &filled, &raw, &error));
      assert_true (ecl_extjson_write (raw.u.raw, raw.len, ECL_EXTJSON_RELAXED, &out, &error));
      assert_string_equal (ecl_buf_cstr (&out), expected);
   }
   ecl_buf_cleanup (&out);
   ecl_arena_cleanup (&arena);
}

static void
test_let (void **state)
{
   ecl_project_t *project = load_good (
      NULL,
      (file_t[]){{"20260101_a.yaml",
                  "up:\n"
                  "  - foreach: {find: a}\n"
                  "    let: {keep: $k, gone: $g}\n"
                  "    do:\n"
                  "      - updateMany:\n"
                  "          collection: b\n"
                  "          filter: {x: {$in: [$$keep, y]}, $expr: {$eq: [$z, $$keep]}}\n"
                  "          update: {$set: {a: $$keep, b: {c: [$$gone, $$keep]}, d: $$gone}}\n"
                  "      - updateMany: {collection: b, filter: {x: $$gone}, update: [{$set: {a: $$keep, t: $$NOW}}]}\n"
                  "      - deleteMany: {collection: b, filter: {x: $$keep}}\n"},
                 {0}});
   const ecl_act_t *foreach = first_act (project), *line = foreach->acts;
   ecl_value_t values[] = {ecl_string ("$name", 5), ecl_missing ()};
   ecl_row_t row = {.foreach = foreach, .values = values}, none = {0};

   (void) state;
   assert_int_equal (foreach->n_acts, 3);
   check_filled (
      &row, ecl_act_arg (&line[0], ECL_ARG_FILTER), true,
      "{\"v\": {\"x\": {\"$in\": [\"$name\", \"y\"]}, \"$expr\": {\"$eq\": [\"$z\", {\"$literal\": \"$name\"}]}}}");
   /* Missing stays missing, in a list it is null. */
   check_filled (&row, ecl_act_arg (&line[0], ECL_ARG_UPDATE), false,
                 "{\"v\": {\"$set\": {\"a\": \"$name\", \"b\": {\"c\": [null, \"$name\"]}}}}");
   /* In a filter it would match more than was meant. */
   check_filled (
      &row, ecl_act_arg (&line[1], ECL_ARG_FILTER), true,
      "a row has no value for \"$$gone\", and the filter without it would match more than was meant: use $ifNull, or "
      "leave such rows out of the query");
   check_filled (&row, ecl_act_arg (&line[1], ECL_ARG_UPDATE), false,
                 "{\"v\": [{\"$set\": {\"a\": {\"$literal\": \"$name\"}, \"t\": \"$$NOW\"}}]}");
   check_filled (&none, ecl_act_arg (&line[2], ECL_ARG_FILTER), true, "{\"v\": {\"x\": \"$$keep\"}}");
   ecl_project_destroy (project);
}

/* What a row holds is compared with, never read as a condition: one could match all documents. */
static void
test_let_in_filters (void **state)
{
   ecl_project_t *project = load_good (
      NULL, (file_t[]){{"20260101_a.yaml",
                        "up:\n"
                        "  - foreach: {find: a}\n"
                        "    let: {v: $v}\n"
                        "    do:\n"
                        "      - deleteMany: {collection: b, filter: {x: $$v}}\n"
                        "      - deleteMany: {collection: b, filter: {$or: [{x: $$v}, {y: {$elemMatch: {z: $$v}}}],\n"
                        "          y: {$elemMatch: {$ne: $$v}}, z: {$not: {$gt: $$v}}, u: {w: $$v}}}\n"
                        "      - deleteMany: {collection: b, filter: $$v}\n"
                        "      - updateMany: {collection: b, filter: {}, update: {$set: {'l.$[e]': 1}},\n"
                        "          arrayFilters: [{e: $$v}]}\n"},
                       {0}});
   const ecl_act_t *foreach = first_act (project), *line = foreach->acts;
   ecl_text_t data = document ("{v: {$gt: ''}}"),
              regex = document ("{v: {$regularExpression: {pattern: a, options: i}}}");
   ecl_value_t whole = ecl_raw_document (data.doc, data.len), other = ecl_raw_document (regex.doc, regex.len), value;
   ecl_row_t row = {.foreach = foreach, .values = &value};

   (void) state;
   value = ecl_document_get (&whole, "v", 1);
   check_filled (&row, ecl_act_arg (&line[0], ECL_ARG_FILTER), true, "{\"v\": {\"x\": {\"$eq\": {\"$gt\": \"\"}}}}");
   check_filled (&row, ecl_act_arg (&line[1], ECL_ARG_FILTER), true,
                 "{\"v\": {\"$or\": [{\"x\": {\"$eq\": {\"$gt\": \"\"}}}, "
                 "{\"y\": {\"$elemMatch\": {\"z\": {\"$eq\": {\"$gt\": \"\"}}}}}], "
                 "\"y\": {\"$elemMatch\": {\"$ne\": {\"$gt\": \"\"}}}, \"z\": {\"$not\": {\"$gt\": {\"$gt\": \"\"}}}, "
                 "\"u\": {\"w\": {\"$gt\": \"\"}}}}");
   /* Where all of a filter is a row's, that is meant. */
   check_filled (&row, ecl_act_arg (&line[2], ECL_ARG_FILTER), true, "{\"v\": {\"$gt\": \"\"}}");
   check_filled (&row, ecl_act_arg (&line[3], ECL_ARG_ARRAY_FILTERS), true,
                 "{\"v\": [{\"e\": {\"$eq\": {\"$gt\": \"\"}}}]}");
   value = ecl_document_get (&other, "v", 1);
   check_filled (&row, ecl_act_arg (&line[0], ECL_ARG_FILTER), true,
                 "{\"v\": {\"x\": {\"$eq\": {\"$regularExpression\": {\"pattern\": \"a\", \"options\": \"i\"}}}}}");
   ecl_text_cleanup (&regex);
   ecl_text_cleanup (&data);
   ecl_project_destroy (project);
}

/* Which are pending, which came late, which changed, and which nobody knows any more. */
static void
test_list (void **state)
{
   static const file_t files[] = {{"20260101_a.yaml", "up: []\n"},
                                  {"20260102_b.yaml", "up: []\n"},
                                  {"20260103_c.yaml", "up: []\n"},
                                  {"20260104_d.yaml", "up: []\n"},
                                  {0}};
   ecl_project_t *project = load_good (NULL, files);
   /* Another tool's names, in whatever order, make nothing late. */
   ecl_changelog_t records[] = {
      {.name = "20250101_old", .state = ECL_CHANGELOG_APPLIED},
      {.name = "20260101_a", .state = ECL_CHANGELOG_FAILED, .down = true},
      {.name = "20260102_b", .state = ECL_CHANGELOG_FAILED},
      {.name = "20260103_c", .state = ECL_CHANGELOG_APPLIED, .checksum = "another"},
      {.name = "zz.py", .state = ECL_CHANGELOG_APPLIED, .origin = "adopted from x (y: zz.py)"}};
   static const ecl_place_kind_t expected[] = {ECL_PLACE_GONE,    ECL_PLACE_DOWN,    ECL_PLACE_LATE,
                                               ECL_PLACE_CHANGED, ECL_PLACE_PENDING, ECL_PLACE_ADOPTED};
   ecl_history_t history;
   const ecl_placed_t *list;
   ecl_arena_t arena;
   size_t n;

   (void) state;
   ecl_arena_init (&arena);
   ecl_history_init (&history);
   history.records = records;
   history.n = 5;
   list = ecl_migrate_list (project, &history, &arena, &n);
   assert_int_equal (n, 6);
   for (size_t i = 0; i < n; i++) {
      assert_int_equal (list[i].kind, expected[i]);
   }
   history.records = NULL;
   ecl_history_cleanup (&history);
   ecl_arena_cleanup (&arena);
   ecl_project_destroy (project);
}

/* ---- validators ---- */

static void
check_validator (const ecl_project_t *project, const ecl_act_t *act, const char *expected)
{
   ecl_migrate_options_t options = {.project = project};
   ecl_migrate_t run = {.options = &options};
   bson_t command = BSON_INITIALIZER;
   char *text;

   ecl_arena_init (&run.arena);
   ecl_migrate_validator (&run, act, &command);
   text = bson_as_relaxed_extended_json (&command, NULL);
   assert_string_equal (text, expected);
   bson_free (text);
   bson_destroy (&command);
   ecl_arena_cleanup (&run.arena);
}

/* Where there is a chain each document goes by the schema of its own version, unless the step says otherwise. */
static void
test_validators (void **state)
{
#define NOT(type) "{ \"v\" : { \"$not\" : { \"$type\" : " type " } } }"
#define AT(n) "{ \"$and\" : [ { \"v\" : " n " }, " NOT ("\"array\"") " ] }"
#define BY(n, field) "{ \"$and\" : [ " AT (n) ", { \"$jsonSchema\" : { \"required\" : [ \"" field "\" ] } } ] }"
#define MIXED(field)                                                                                     \
   "{ \"validator\" : { \"$or\" : [ { \"$or\" : [ " AT ("0") ", { \"$and\" : [ { \"v\" : null }, " NOT ( \
      "6") ", " NOT ("\"array\"") " ] } ] }, " BY ("1", "m") ", " BY ("2", field) " ] } }"
   static const file_t files[] = {{"20260101_a.yaml",
                                   "up:\n"
                                   "  - validator: {collection: users}\n"
                                   "  - validator: {collection: users, schema: {required: [x]}}\n"
                                   "  - validator: {collection: users, mixed: false}\n"
                                   "  - validator: {collection: users, schema: {required: [x]}, mixed: false}\n"
                                   "  - validator: {collection: users, filter: {x: 1}}\n"
                                   "  - validator: {collection: users, level: off}\n"
                                   "  - validator: {collection: posts, schema: {required: [x]}}\n"},
                                  {"users/0001_a.yaml", "to: 1\nup: []\nschema: {required: [m]}\n"},
                                  {"users/0002_b.yaml", "to: 2\nup: []\nschema: {required: [n]}\n"},
                                  {0}};
   ecl_project_t *project = load_good ("version_field: v\n", files);
   const ecl_act_t *act = first_act (project);

   (void) state;
   check_validator (project, &act[0], MIXED ("n"));
   check_validator (project, &act[1], MIXED ("x"));
   check_validator (project, &act[2], "{ \"validator\" : { \"$jsonSchema\" : { \"required\" : [ \"n\" ] } } }");
   check_validator (project, &act[3], "{ \"validator\" : { \"$jsonSchema\" : { \"required\" : [ \"x\" ] } } }");
   check_validator (project, &act[4], "{ \"validator\" : { \"x\" : 1 } }");
   check_validator (project, &act[5], "{ \"validationLevel\" : \"off\" }");
   check_validator (project, &act[6], "{ \"validator\" : { \"$jsonSchema\" : { \"required\" : [ \"x\" ] } } }");
   ecl_project_destroy (project);
}

/* ---- previews ---- */

typedef struct {
   char text[2000];
} told_t;

static void
on_line (void *context, const ecl_preview_line_t *line)
{
   told_t *told = context;
   size_t len = strlen (told->text);

   snprintf (told->text + len, sizeof told->text - len, "%zu %s %s %lld%s %s\n", line->step, line->name,
             line->collection, (long long) line->documents, line->fails ? " fails" : "", line->says);
}

/* What the server does not count in time is said, and the rest goes on; a server that is gone ends it. */
static void
test_preview (void **state)
{
   static const canned_t script[] = {
      {"{ \"aggregate\" : \"a\"", "REFUSED 50"},
      {"{ \"aggregate\" : \"a\"", "{\"ok\": 1, \"cursor\": {\"id\": 0, \"firstBatch\": [{\"n\": 7}]}}"},
      {"{ \"aggregate\" : \"a\"", "REFUSED 2"},
      {"{ \"aggregate\" : \"b\"", "REFUSED 50"},
      {"{ \"find\" : \"b\"", "REFUSED 50"},
      {"{ \"count\" : \"a\"", "LOST"},
      {0}};
   ecl_project_t *project = load_good (
      NULL, (file_t[]){{"20260101_a.yaml", "up:\n"
                                           "  - updateMany: {collection: a, filter: {x: 1}, update: {$set: {x: 2}}}\n"
                                           "  - assert: {collection: a, filter: {x: 1}, max: 6}\n"
                                           "  - deleteMany: {collection: a, filter: {x: 3}}\n"
                                           "  - foreach: {find: b, filter: {x: 1}}\n"
                                           "    do: [{deleteOne: {collection: c, filter: {_id: 1}}}]\n"
                                           "  - verify: {collection: a}\n"
                                           "  - dropCollection: {collection: a}\n"},
                       {"a/0001_x.yaml", "to: 1\nup: []\nschema: {}\n"},
                       {0}});
   fake_world_t world = fake_world (script);
   told_t told = {""};
   ecl_preview_options_t options = {.world = &world.world,
                                    .database = "d",
                                    .project = project,
                                    .limit = 2500,
                                    .rows = 3,
                                    .tell = on_line,
                                    .context = &told};
   bson_error_t error;
   size_t n;

   (void) state;
   assert_false (ecl_preview (&options, ecl_project_works (project, &n), 0, &error));
   assert_string_equal (error.message, "the connection was cut");
   assert_string_equal (told.text, "0 updateMany a -2 changes documents not counted within 2.5 s, by ranges of _id\n"
                                   "1 assert a 7 fails would fail as things are: 7 documents match\n"
                                   "2 deleteMany a -1 fails the server refuses its filter: refused as told\n"
                                   "3 foreach b -2 rows not counted within 2.5 s\n"
                                   "3 row  -1 the first rows did not come in time\n");
   fake_done (&world);
   ecl_project_destroy (project);
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_checksums),      cmocka_unit_test (test_line_ends), cmocka_unit_test (test_let),
      cmocka_unit_test (test_let_in_filters), cmocka_unit_test (test_list),      cmocka_unit_test (test_preview),
      cmocka_unit_test (test_validators),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
