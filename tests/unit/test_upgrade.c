/* Upgrades: versions of documents, the way up and down, failures, and the filters and pipelines for the server. */
#include "project_check.h"

#include "mql/match.h"
#include "upgrade/pushdown.h"
#include "upgrade/upgrade.h"

#define FILES(...)  \
   (const file_t[]) \
   {                \
      __VA_ARGS__,  \
      {             \
         0          \
      }             \
   }

static char *
show (const uint8_t *doc, size_t len)
{
   bson_error_t error;
   ecl_buf_t out;
   char *text;

   ecl_buf_init (&out, 1u << 20);
   assert_true (ecl_extjson_write (doc, len, ECL_EXTJSON_RELAXED, &out, &error));
   text = strdup (ecl_buf_cstr (&out));
   ecl_buf_cleanup (&out);
   return text;
}

/* Runs a document and compares; expected is the result, or the message where what is -1. */
static void
check_run (ecl_upgrader_t *upgrader, const char *json, int what, const char *expected)
{
   ecl_text_t text = document (json);
   ecl_upgrade_t got;
   bson_error_t error;
   const uint8_t *out;
   size_t len;

   if (ecl_upgrader_run (upgrader, text.doc, text.len, &out, &len, &got, &error)) {
      char *shown = show (out, len);

      assert_string_equal (shown, expected);
      assert_int_equal (got, what);
      assert_int_equal (out == text.doc, got == ECL_UPGRADE_CURRENT);
      free (shown);
   } else {
      assert_string_equal (error.message, expected);
      assert_int_equal (what, -1);
   }
   ecl_text_cleanup (&text);
}

static const file_t users[] = {
   {"users/0002_a.yaml", "to: 2\nup:\n  - $set: {full: {$concat: [$name, '!']}}\n  - $unset: name\n"
                         "down:\n  - $set: {name: {$substrCP: [$full, 0, {$subtract: [{$strLenCP: $full}, 1]}]}}\n"
                         "  - $unset: full\n"},
   {"users/0003_b.yaml", "to: 3\nup:\n  - $set: {n: {$strLenCP: $full}}\ndown:\n  - $unset: n\n"},
   {"users/0004_c.yaml", "to: 4\nup:\n  - $set: {last: true}\ndown: irreversible\n"},
   {0},
};

static void
test_runs (void **state)
{
   ecl_project_t *project = load_good ("collections: {users: {unversioned: 1}}\n", users);
   const ecl_chain_t *chain = ecl_project_chain (project, "users");
   ecl_upgrades_t *shared = ecl_upgrades_new (project);
   bson_error_t error;
   ecl_upgrader_t *to3 = ecl_upgrader_new (shared, chain, 3, &error),
                  *to1 = ecl_upgrader_new (shared, chain, 1, &error);
   const uint8_t zeros[64] = {64};
   ecl_version_t version;

   (void) state;
   /* Nothing has been seen yet that could be guessed: no guess fits bytes of which there is no element. */
   assert_false (ecl_upgrader_version (to3, zeros, sizeof zeros, &version, &error));
   assert_non_null (strstr (error.message, "corrupt"));
   assert_null (ecl_upgrader_new (shared, chain, 5, &error));
   assert_string_equal (error.message, "version 5 is not on the chain of users");
   /* current, in every numeric type */
   check_run (to3, "{_id: 1, schema_version: 3}", ECL_UPGRADE_CURRENT, "{\"_id\": 1, \"schema_version\": 3}");
   check_run (to3, "{_id: 1, schema_version: 3.0}", ECL_UPGRADE_CURRENT, "{\"_id\": 1, \"schema_version\": 3.0}");
   check_run (to3, "{schema_version: {$numberDecimal: '3.00'}}", ECL_UPGRADE_CURRENT,
              "{\"schema_version\": {\"$numberDecimal\": \"3.00\"}}");
   /* up, the stamp in place or at the end */
   check_run (to3, "{_id: 1, schema_version: 2, full: 'ab!'}", ECL_UPGRADE_UP,
              "{\"_id\": 1, \"schema_version\": 3, \"full\": \"ab!\", \"n\": 3}");
   check_run (to3, "{_id: 1, name: x}", ECL_UPGRADE_UP,
              "{\"_id\": 1, \"full\": \"x!\", \"n\": 2, \"schema_version\": 3}");
   check_run (to3, "{_id: 1, schema_version: null, name: x}", ECL_UPGRADE_UP,
              "{\"_id\": 1, \"schema_version\": 3, \"full\": \"x!\", \"n\": 2}");
   /* down */
   check_run (to1, "{_id: 1, schema_version: {$numberLong: '3'}, full: 'ab!', n: 3}", ECL_UPGRADE_DOWN,
              "{\"_id\": 1, \"schema_version\": 1, \"name\": \"ab\"}");
   /* no way */
   check_run (to1, "{_id: 7, schema_version: 4}", -1,
              "users, _id 7, version 4 to 1: users: users/0004_c.yaml: no way back from version 4: it is irreversible");
   check_run (to3, "{_id: 7, schema_version: 9}", -1,
              "users, _id 7, version 9 to 3: its version is not on the chain, which goes from 1 to 4");
   check_run (to3, "{_id: 7, schema_version: '3'}", -1,
              "users, _id 7: the version field schema_version holds no version: expected a whole number, found string");
   check_run (to3, "{_id: 7, schema_version: 2.5}", -1,
              "users, _id 7: the version field schema_version holds no version: expected a whole number, found double");
   /* an expression fails */
   check_run (to3, "{_id: {a: 1}, name: 5}", -1,
              "users, _id {\"a\": 1}, version 1 to 2: $concat only supports strings, not int"
              " (users/0002_a.yaml:3:19)");
   ecl_upgrader_destroy (to3);
   ecl_upgrader_destroy (to1);
   ecl_upgrades_destroy (shared);
   ecl_project_destroy (project);
}

/* ---- what was before does not count ---- */

static uint32_t
pick (uint64_t *seed, uint32_t n)
{
   *seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
   return (uint32_t) (*seed >> 33) % n;
}

static void
append_field (bson_t *out, uint32_t which, uint64_t *seed)
{
   static const char *const words[] = {
      "", "a", "ab", "Ariel", "Ariel Whiteaker", "a longer text that fills some words"};
   const char *word = words[pick (seed, 6)], *long_name = &"a_name_of_thirteen"[pick (seed, 6)];
   bson_t child;

   switch (which) {
   case 0:
      BSON_APPEND_INT32 (out, "_id", (int32_t) pick (seed, 1000));
      break;
   case 1:
      BSON_APPEND_UTF8 (out, "name", word);
      break;
   case 2:
      BSON_APPEND_UTF8 (out, "full", word);
      break;
   case 3:
      BSON_APPEND_INT32 (out, "schema_version", 1 + (int32_t) pick (seed, 3)); /* 14 characters */
      break;
   case 4:
      BSON_APPEND_INT64 (out, "n", 1ll << 40);
      break;
   case 5:
      BSON_APPEND_UTF8 (out, long_name, word);
      break;
   case 6:
      BSON_APPEND_DOCUMENT_BEGIN (out, "child", &child);
      BSON_APPEND_UTF8 (&child, "name", word);
      bson_append_document_end (out, &child);
      break;
   case 7:
      BSON_APPEND_DOUBLE (out, "schema_versions", 1.5);
      break;
   case 8:
      BSON_APPEND_NULL (out, "");
      break;
   default:
      BSON_APPEND_BOOL (out, "last", true);
      break;
   }
}

/* Mostly the same fields in the same order, as the documents of a collection have them; then some bytes may change. In
 * memory of its own size, so that a sanitizer sees every byte that is read beyond. */
static uint8_t *
any_document (uint64_t *seed, size_t *len)
{
   bson_t made = BSON_INITIALIZER;
   bool alike = pick (seed, 3) != 0;
   uint8_t *bytes;

   for (uint32_t i = 0; i < 10; i++) {
      if (pick (seed, 8)) {
         append_field (&made, alike ? i : pick (seed, 10), seed);
      }
   }
   *len = made.len;
   bytes = malloc (made.len);
   memcpy (bytes, bson_get_data (&made), made.len);
   for (uint32_t n = pick (seed, 3) ? 0 : 1 + pick (seed, 3); n; n--) {
      bytes[4 + pick (seed, made.len - 4)] = (uint8_t) pick (seed, pick (seed, 2) ? 4 : 256);
   }
   bson_destroy (&made);
   return bytes;
}

/* An upgrader remembers what documents looked like, and keeps their memory; one that has seen nothing says the same of
 * each of them. */
static void
test_what_was_before_does_not_count (void **state)
{
   ecl_project_t *project = load_good ("collections: {users: {unversioned: 1}}\n", users);
   const ecl_chain_t *chain = ecl_project_chain (project, "users");
   ecl_upgrades_t *shared = ecl_upgrades_new (project);
   uint64_t seed = 20261122;
   bson_error_t error, fresh_error;
   ecl_upgrader_t *warm[2] = {ecl_upgrader_new (shared, chain, 3, &error), ecl_upgrader_new (shared, chain, 1, &error)};
   uint32_t good = 0;

   (void) state;
   for (int i = 0; i < 10000; i++) {
      int to = i % 5 == 0;
      ecl_upgrader_t *fresh = ecl_upgrader_new (shared, chain, to ? 1 : 3, &error);
      const uint8_t *out = NULL, *fresh_out = NULL;
      size_t in_len, len = 0, fresh_len = 0;
      uint8_t *in = any_document (&seed, &in_len);
      bool ok = ecl_upgrader_run (warm[to], in, in_len, &out, &len, NULL, &error);

      assert_int_equal (ok, ecl_upgrader_run (fresh, in, in_len, &fresh_out, &fresh_len, NULL, &fresh_error));
      if (ok) {
         good++;
         assert_int_equal (len, fresh_len);
         assert_memory_equal (out, fresh_out, len);
      } else {
         assert_string_equal (error.message, fresh_error.message);
      }
      ecl_upgrader_destroy (fresh);
      free (in);
   }
   assert_true (good > 3000 && good < 9500);
   ecl_upgrader_destroy (warm[0]);
   ecl_upgrader_destroy (warm[1]);
   ecl_upgrades_destroy (shared);
   ecl_project_destroy (project);
}

static void
test_failure (void **state)
{
   ecl_project_t *project = load_good ("collections: {users: {unversioned: 1}}\n", users);
   ecl_upgrades_t *shared = ecl_upgrades_new (project);
   bson_error_t error;
   ecl_upgrader_t *upgrader = ecl_upgrader_new (shared, ecl_project_chain (project, "users"), 4, &error);
   ecl_text_t text = document ("{_id: 5, name: 1}");
   const ecl_failure_t *failure;
   const uint8_t *out;
   size_t len;

   (void) state;
   assert_false (ecl_upgrader_run (upgrader, text.doc, text.len, &out, &len, NULL, &error));
   failure = ecl_upgrader_failure (upgrader);
   assert_int_equal (failure->domain, ECL_DOMAIN_MQL);
   assert_int_equal (failure->code, 16702);
   assert_string_equal (failure->collection, "users");
   assert_true (failure->has_version && failure->version == 1 && failure->to == 2);
   assert_string_equal (failure->file, "users/0002_a.yaml");
   assert_int_equal (failure->line, 3);
   assert_string_equal (failure->path, "up.0.$set.full.$concat");
   assert_int_equal (failure->id.u.i64, 5);
   assert_string_equal (failure->message, "$concat only supports strings, not int");
   /* hostile bytes: every cut of a document, and a length that lies */
   for (size_t n = 0; n < text.len; n++) {
      uint8_t *cut = memcpy (malloc (n + 1), text.doc, n);

      assert_false (ecl_upgrader_run (upgrader, cut, n, &out, &len, NULL, &error));
      free (cut);
   }
   ecl_text_cleanup (&text);
   ecl_upgrader_destroy (upgrader);
   ecl_upgrades_destroy (shared);
   ecl_project_destroy (project);
}

/* ---- what the server is told ---- */

/* What documents may hold where the version is, in every shape. */
static const char *const values[] = {
   "1",
   "2",
   "3",
   "0",
   "2.0",
   "2.5",
   "{$numberLong: '2'}",
   "{$numberDecimal: '2.0'}",
   "null",
   "'1'",
   "'1.2'",
   "'1.2.0'",
   "'1.2.0.0'",
   "'1.3'",
   "'01.2'",
   "'1.2.0.0.0'",
   "''",
   "true",
   "[]",
   "[2]",
   "[1, null]",
   "[[2]]",
   "{}",
   "{v: 2}",
   "{v: null}",
   "{v: [2]}",
   "[{v: 2}]",
   "{v: '1.2'}",
   "5",
   "-1",
   "{$numberDouble: 'NaN'}",
   "{$undefined: true}",
   "{$numberLong: '281483566645248'}",
   "{$date: 2}",
};

static bool
matches (const bson_t *filter, const ecl_text_t *text)
{
   ecl_value_t raw = ecl_raw_document (bson_get_data (filter), filter->len);
   ecl_value_t doc = ecl_raw_document (text->doc, text->len);
   ecl_match_t *match = ecl_match_new (&raw, NULL);
   bson_error_t error;
   bool matched;
   ecl_eval_t ev;

   if (!match) {
      char *shown = show (bson_get_data (filter), filter->len);

      fail_msg ("refused: %s", shown);
   }
   ecl_eval_init (&ev);
   assert_true (ecl_match_run (match, &ev, &doc, &matched, &error));
   ecl_eval_cleanup (&ev);
   ecl_match_destroy (match);
   return matched;
}

/* For one document: the filter of a version matches exactly where the reader says that version. */
static size_t
check_filters (ecl_upgrader_t *upgrader, const ecl_chain_t *chain, const char *json)
{
   ecl_text_t text = document (json);
   ecl_version_t version;
   bson_error_t error;
   size_t index = SIZE_MAX;
   bool on_chain =
      ecl_upgrader_version (upgrader, text.doc, text.len, &version, &error) && ecl_chain_index (chain, version, &index);
   bson_t filter;

   for (size_t i = 0; i <= chain->n_steps; i++) {
      ecl_pushdown_filter (chain, i, &filter);
      if (matches (&filter, &text) != (on_chain && i == index)) {
         char *shown = show (bson_get_data (&filter), filter.len);

         fail_msg ("%s of %s: the filter of place %zu disagrees with the reader: %s", json, chain->collection, i,
                   shown);
      }
      bson_destroy (&filter);
   }
   ecl_pushdown_filter_outside (chain, &filter);
   assert_int_equal (matches (&filter, &text), !on_chain);
   bson_destroy (&filter);
   ecl_text_cleanup (&text);
   return on_chain;
}

static void
test_filters (void **state)
{
   ecl_project_t *project = load_good (
      "collections:\n"
      "  plain: {}\n"
      "  later: {unversioned: 1}\n"
      "  deep: {version_field: m.v}\n"
      "  deeper: {version_field: m.n.v, unversioned: 1}\n"
      "  dotted: {version_format: dotted, unversioned: '1.0'}\n"
      "  packed: {version_format: packed, unversioned: '1.0'}\n"
      "  devices:\n"
      "    detect: [{version: 2, filter: {tags: {$exists: true}}}, {version: 1, filter: {old: true}}]\n"
      "  both:\n"
      "    unversioned: 0\n"
      "    detect: [{version: 1, filter: {a: 1}}, {version: 2, filter: {b: 1}}, {version: 1, filter: {c: 1}}]\n",
      FILES ({"plain/0001_a.yaml", "to: 1\nup: []\nschema: {}\n"}, {"plain/0002_a.yaml", "to: 2\nup: []\nschema: {}\n"},
             {"later/0002_a.yaml", "to: 2\nup: []\nschema: {}\n"}, {"deep/0001_a.yaml", "to: 1\nup: []\nschema: {}\n"},
             {"deep/0002_a.yaml", "to: 2\nup: []\nschema: {}\n"}, {"deeper/0002_a.yaml", "to: 2\nup: []\nschema: {}\n"},
             {"dotted/a.yaml", "to: '1.2'\nup: []\nschema: {}\n"}, {"dotted/b.yaml", "to: 1.3.0\nup: []\nschema: {}\n"},
             {"packed/a.yaml", "to: '1.2'\nup: []\nschema: {}\n"},
             {"devices/0002_a.yaml", "to: 2\nup: []\nschema: {}\n"},
             {"both/0001_a.yaml", "to: 1\nup: []\nschema: {}\n"}, {"both/0002_a.yaml", "to: 2\nup: []\nschema: {}\n"}));
   ecl_upgrades_t *shared = ecl_upgrades_new (project);
   const ecl_chain_t *chains;
   size_t n, on_chain = 0, off_chain = 0;

   (void) state;
   chains = ecl_project_chains (project, &n);
   for (size_t i = 0; i < n; i++) {
      bson_error_t error;
      ecl_upgrader_t *upgrader = ecl_upgrader_new (shared, &chains[i], chains[i].target, &error);
      static const char *const shapes[] = {"{schema_version: %s}",    "{m: %s}",
                                           "{m: {v: %s, n: {v: 2}}}", "{m: {n: %s}}",
                                           "{m: {n: {v: %s}}}",       "{a: 1, b: 1, tags: [], schema_version: %s}"};
      static const char *const others[] = {
         "{}",           "{tags: []}", "{old: true}", "{tags: 1, old: true}", "{a: 1, b: 1}",
         "{b: 1, c: 1}", "{c: 1}",     "{m: 5}",      "{schema_versio: 2}"};

      for (size_t k = 0; k < sizeof values / sizeof values[0]; k++) {
         for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
            const char *hole = strstr (shapes[s], "%s");
            char *json = bson_strdup_printf ("%.*s%s%s", (int) (hole - shapes[s]), shapes[s], values[k], hole + 2);

            check_filters (upgrader, &chains[i], json) ? on_chain++ : off_chain++;
            bson_free (json);
         }
      }
      for (size_t k = 0; k < sizeof others / sizeof others[0]; k++) {
         check_filters (upgrader, &chains[i], others[k]) ? on_chain++ : off_chain++;
      }
      ecl_upgrader_destroy (upgrader);
   }
   /* Both sides were met, and often. */
   assert_true (on_chain > 300 && off_chain > 300);
   ecl_upgrades_destroy (shared);
   ecl_project_destroy (project);
}

static void
test_pipelines (void **state)
{
   ecl_project_t *project = load_good ("collections: {users: {unversioned: 1}}\n", users);
   const ecl_chain_t *chain = ecl_project_chain (project, "users");
   bson_error_t error;
   bson_t pipeline;
   char *shown;

   (void) state;
   assert_true (ecl_pushdown_pipeline (chain, 0, 2, &pipeline, &error));
   shown = show (bson_get_data (&pipeline), pipeline.len);
   assert_string_equal (shown, "{\"0\": {\"$set\": {\"full\": {\"$concat\": [\"$name\", \"!\"]}}},"
                               " \"1\": {\"$unset\": \"name\"}, \"2\": {\"$set\": {\"n\": {\"$strLenCP\": \"$full\"}}},"
                               " \"3\": {\"$set\": {\"schema_version\": 3}}}");
   free (shown);
   bson_destroy (&pipeline);
   assert_true (ecl_pushdown_pipeline (chain, 2, 1, &pipeline, &error));
   shown = show (bson_get_data (&pipeline), pipeline.len);
   assert_string_equal (shown, "{\"0\": {\"$unset\": \"n\"}, \"1\": {\"$set\": {\"schema_version\": 2}}}");
   free (shown);
   bson_destroy (&pipeline);
   assert_false (ecl_pushdown_pipeline (chain, 3, 2, &pipeline, &error));
   assert_string_equal (error.message, "users: users/0004_c.yaml: no way back from version 4: it is irreversible");
   bson_destroy (&pipeline);
   ecl_project_destroy (project);
}

/* ---- other forms of versions ---- */

static void
test_forms (void **state)
{
   ecl_project_t *project = load_good ("collections:\n"
                                       "  d: {version_format: dotted, unversioned: '1.0', version_field: meta.v}\n"
                                       "  p: {version_format: packed, version_field: _v, unversioned: '1.0'}\n"
                                       "  v: {version_field: a_rather_long_name_of_a_field}\n",
                                       FILES ({"d/a.yaml", "to: '1.10'\nup: [{$set: {x: 1}}]\ndown: [{$unset: x}]\n"},
                                              {"p/a.yaml", "to: '1.2'\nup: [{$set: {x: 1}}]\ndown: [{$unset: x}]\n"},
                                              {"v/0001_a.yaml", "to: 1\nup: [{$set: {x: 1}}]\n"}));
   ecl_upgrades_t *shared = ecl_upgrades_new (project);
   const ecl_chain_t *d = ecl_project_chain (project, "d"), *p = ecl_project_chain (project, "p");
   const ecl_chain_t *v = ecl_project_chain (project, "v");
   bson_error_t error;
   ecl_upgrader_t *up = ecl_upgrader_new (shared, d, d->target, &error);

   (void) state;
   check_run (up, "{meta: {v: 1.10.0}}", ECL_UPGRADE_CURRENT, "{\"meta\": {\"v\": \"1.10.0\"}}");
   check_run (up, "{meta: {v: '1.0', w: 2}}", ECL_UPGRADE_UP, "{\"meta\": {\"v\": \"1.10\", \"w\": 2}, \"x\": 1}");
   check_run (up, "{meta: {w: 2}}", ECL_UPGRADE_UP, "{\"meta\": {\"w\": 2, \"v\": \"1.10\"}, \"x\": 1}");
   check_run (up, "{}", ECL_UPGRADE_UP, "{\"x\": 1, \"meta\": {\"v\": \"1.10\"}}");
   /* A stamp would replace what is there. */
   check_run (
      up, "{meta: 5}", -1,
      "d, _id none: the version field meta.v holds no version: expected a string such as \"1.2.0\", of one to four"
      " numbers up to 65535 (the first one up to 32767), found int");
   ecl_upgrader_destroy (up);
   up = ecl_upgrader_new (shared, p, p->target, &error);
   check_run (up, "{_v: {$numberLong: '281483566645248'}}", ECL_UPGRADE_CURRENT, "{\"_v\": 281483566645248}");
   check_run (up, "{_v: {$numberLong: '281474976710656'}}", ECL_UPGRADE_UP, "{\"_v\": 281483566645248, \"x\": 1}");
   ecl_upgrader_destroy (up);
   up = ecl_upgrader_new (shared, v, v->target, &error);
   check_run (up, "{a_rather_long_name_of_a_fiel: 1, a_rather_long_name_of_a_field: 1}", ECL_UPGRADE_CURRENT,
              "{\"a_rather_long_name_of_a_fiel\": 1, \"a_rather_long_name_of_a_field\": 1}");
   check_run (up, "{a_rather_long_name_of_a_fielt: 1}", ECL_UPGRADE_UP,
              "{\"a_rather_long_name_of_a_fielt\": 1, \"x\": 1, \"a_rather_long_name_of_a_field\": 1}");
   ecl_upgrader_destroy (up);
   ecl_upgrades_destroy (shared);
   ecl_project_destroy (project);
}

/* Names are compared by their first eight bytes, and then the rest: of each length, as a field and as what a path begins
 * with. */
static void
test_lengths (void **state)
{
   static const char name[] = "abcdefghijklmnopqrst";

   (void) state;
   for (int i = 2; i < 2 * (int) sizeof name; i++) {
      const char *version = i % 2 ? "{\"v\": 1}" : "1";
      char *config = bson_strdup_printf ("collections: {c: {version_field: %.*s%s}}\n", i / 2, name, i % 2 ? ".v" : "");
      char *stamped = bson_strdup_printf ("{\"and\": \"more\", \"%.*s\": %s, \"x\": 2}", i / 2, name, version);
      char *other = bson_strdup_printf ("{\"%.*s_\": %s, \"y\": 2, \"z\": 3}", i / 2, name, version);
      char *after = bson_strdup_printf ("{\"%.*s_\": %s, \"y\": 2, \"z\": 3, \"x\": 1, \"%.*s\": %s}", i / 2, name,
                                        version, i / 2, name, version);
      ecl_project_t *project = load_good (config, FILES ({"c/0001_a.yaml", "to: 1\nup: [{$set: {x: 1}}]\n"}));
      ecl_upgrades_t *shared = ecl_upgrades_new (project);
      const ecl_chain_t *chain = ecl_project_chain (project, "c");
      bson_error_t error;
      ecl_upgrader_t *up = ecl_upgrader_new (shared, chain, chain->target, &error);

      check_run (up, stamped, ECL_UPGRADE_CURRENT, stamped);
      check_run (up, stamped, ECL_UPGRADE_CURRENT, stamped); /* guessed from the one before */
      check_run (up, other, ECL_UPGRADE_UP, after);
      ecl_upgrader_destroy (up);
      ecl_upgrades_destroy (shared);
      ecl_project_destroy (project);
      bson_free (after);
      bson_free (other);
      bson_free (stamped);
      bson_free (config);
   }
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_what_was_before_does_not_count),
      cmocka_unit_test (test_runs),
      cmocka_unit_test (test_failure),
      cmocka_unit_test (test_forms),
      cmocka_unit_test (test_lengths),
      cmocka_unit_test (test_filters),
      cmocka_unit_test (test_pipelines),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
