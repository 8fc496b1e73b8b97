/* What publishing writes, and what sending again and again makes of answers. */
#include "fake_world.h"
#include "project_check.h"

#include "run/insist.h"
#include "run/publish.h"

#define CONFIG "database: shop\ncollections: {users: {unversioned: 1}}\n"
#define OK "{\"ok\": 1, \"n\": 1}"
#define READ "\"find\" : \"eclose_catalog\""

/* Publishes a project with a step to 2 and returns how many were written; -1 where it failed. */
static int
publish (const canned_t *script)
{
   const file_t files[] = {{"users/0002_x.yaml", "to: 2\nup: [{$set: {x: 1}}]\ndown: [{$unset: x}]\n"}, {0}};
   ecl_project_t *project = load_good (CONFIG, files);
   fake_world_t world = fake_world (script);
   bson_error_t error;
   size_t written;
   bool good = ecl_publish (&world.world, "shop", project, &written, &error);

   fake_done (&world);
   ecl_project_destroy (project);
   return good ? (int) written : -1;
}

/* All that the catalog would hold of that project. */
static char *
all_published (void)
{
   const file_t files[] = {{"users/0002_x.yaml", "to: 2\nup: [{$set: {x: 1}}]\ndown: [{$unset: x}]\n"}, {0}};
   ecl_project_t *project = load_good (CONFIG, files);
   bson_t reply = BSON_INITIALIZER, cursor, batch, one;
   char *text;

   BSON_APPEND_INT32 (&reply, "ok", 1);
   BSON_APPEND_DOCUMENT_BEGIN (&reply, "cursor", &cursor);
   BSON_APPEND_INT64 (&cursor, "id", 0);
   BSON_APPEND_ARRAY_BEGIN (&cursor, "firstBatch", &batch);
   for (size_t i = 0;; i++) {
      char key[8];
      bool more;

      bson_init (&one);
      more = ecl_catalog_write (project, i, &one);
      snprintf (key, sizeof key, "%zu", i);
      if (more) {
         BSON_APPEND_DOCUMENT (&batch, key, &one);
      }
      bson_destroy (&one);
      if (!more) {
         break;
      }
   }
   bson_append_array_end (&cursor, &batch);
   bson_append_document_end (&reply, &cursor);
   text = bson_as_canonical_extended_json (&reply, NULL);
   bson_destroy (&reply);
   ecl_project_destroy (project);
   return text;
}

static void
test_publish (void **state)
{
   char *all = all_published ();
   const canned_t first[] = {
      {READ, DOCS ()},
      {"{ \"update\" : \"eclose_catalog\"", "LOST"}, /* sent again */
      {"\"q\" : { \"_id\" : \"users/0002_x.json\" }", OK},
      {0},
   };
   /* The catalog in two parts, the second of which is lost: it is read anew. */
   const canned_t lost[] = {
      {READ, "{\"ok\": 1, \"cursor\": {\"id\": 5, \"firstBatch\": [{\"_id\": \"users/0002_y.json\", "
             "\"collection\": \"users\", \"to\": \"2\", \"text\": \"{}\"}]}}"},
      {"\"getMore\" : 5", "LOST"},
      {READ, all},
      {0},
   };
   const canned_t idle[] = {{READ, all}, {0}};
   const canned_t renamed[] = {
      {READ, DOCS ("{\"_id\": \"users/0002_y.json\", \"collection\": \"users\", \"to\": \"2\", \"text\": \"{}\"}")},
      {"{ \"delete\" : \"eclose_catalog\"", OK},
      {"{ \"update\" : \"eclose_catalog\"", OK},
      {0},
   };
   const canned_t later[] = {
      {READ, DOCS ("{\"_id\": \"users/0003_y.json\", \"collection\": \"users\", \"to\": \"3\", \"text\": \"{}\"},"
                   "{\"_id\": \"eclose.json\", \"kind\": \"project\", \"text\": \"{\\\"collections\\\": "
                   "{\\\"posts\\\": {\\\"a\\\": 1}, \\\"users\\\": {\\\"b\\\": 2}}}\"}")},
      /* Written as eclose writes, with what the later release said. */
      {"\\\"posts\\\": {\\\"a\\\": {\\\"$numberInt\\\": \\\"1\\\"}}, \\\"users\\\": {\\\"b\\\": ", OK},
      {0},
   };
   const canned_t refused[] = {{READ, "REFUSED 13"}, {0}};

   (void) state;
   assert_int_equal (publish (first), 2);
   assert_int_equal (publish (lost), 0);
   assert_int_equal (publish (idle), 0);
   assert_int_equal (publish (renamed), 3);
   assert_int_equal (publish (later), 1);
   assert_int_equal (publish (refused), -1);
   bson_free (all);
}

static ecl_reply_t
insist (const canned_t *script, const char *command, bson_error_t *error)
{
   bson_t *sent = bson_new_from_json ((const uint8_t *) command, -1, NULL), reply;
   fake_world_t world = fake_world (script);
   ecl_reply_t answer;

   answer = ecl_insist (&world.world, "shop", sent, 61000, NULL, &reply, error);
   fake_done (&world);
   bson_destroy (&reply);
   bson_destroy (sent);
   return answer;
}

#define DOUBLE "{\"ok\": 1, \"writeErrors\": [{\"index\": 0, \"code\": 11000, \"errmsg\": \"E11000 twice\"}]}"

/* A unique index of the user's is an answer, at once; two that make one of eclose's records are not. */
static void
test_duplicate_keys (void **state)
{
   const canned_t theirs[] = {{"users", DOUBLE}, {0}};
   const canned_t refused[] = {{"findAndModify", "REFUSED 11000"}, {0}};
   const canned_t ours[] = {{"eclose_x", DOUBLE}, {"eclose_x", OK}, {0}};
   bson_error_t error;

   (void) state;
   assert_int_equal (insist (theirs, "{\"update\": \"users\", \"updates\": []}", &error), ECL_REPLY_REFUSED);
   assert_string_equal (error.message, "E11000 twice");
   assert_int_equal (insist (refused, "{\"findAndModify\": \"users\"}", &error), ECL_REPLY_REFUSED);
   assert_int_equal (insist (ours,
                             "{\"update\": \"eclose_x\", \"updates\": [], \"writeConcern\": {\"w\": \"majority\", "
                             "\"j\": true}}",
                             &error),
                     ECL_REPLY_OK);
}

static void
test_unknown_is_asked_again (void **state)
{
   const canned_t script[] = {
      {"users", "LOST"},
      {"users", "REFUSED 189"},
      {"users", "{\"ok\": 1, \"writeConcernError\": {\"code\": 64, \"errmsg\": \"late\"}}"},
      {"users", "{\"ok\": 1, \"writeErrors\": [{\"index\": 0, \"code\": 112, \"errmsg\": \"conflict\"}]}"},
      {"users", OK},
      {0},
   };
   const canned_t final[] = {{"users", "REFUSED 13"}, {0}};
   const canned_t concern[] = {
      {"users", "{\"ok\": 1, \"writeConcernError\": {\"code\": 100, \"errmsg\": \"no such tag\"}}"}, {0}};
   bson_error_t error;

   (void) state;
   assert_int_equal (insist (script, "{\"update\": \"users\"}", &error), ECL_REPLY_OK);
   assert_int_equal (insist (final, "{\"update\": \"users\"}", &error), ECL_REPLY_REFUSED);
   assert_int_equal (insist (concern, "{\"update\": \"users\"}", &error), ECL_REPLY_REFUSED);
   assert_string_equal (error.message, "no such tag");
}

/* The deadline ends it, with nothing known. */
static void
test_deadline (void **state)
{
   enum { MOST = 200 };
   canned_t script[MOST + 1];
   bson_t command = BSON_INITIALIZER, reply;
   fake_world_t world;
   bson_error_t error;

   (void) state;
   for (int i = 0; i < MOST; i++) {
      script[i] = (canned_t){"ping", "LOST"};
   }
   script[MOST] = (canned_t){0};
   BSON_APPEND_INT32 (&command, "ping", 1);
   world = fake_world (script);
   assert_int_equal (ecl_insist (&world.world, "shop", &command, 31000, NULL, &reply, &error), ECL_REPLY_LOST);
   assert_true (world.now >= 31000 && world.now < 32000);
   assert_true (world.at > 30 && world.at < 100);
   bson_destroy (&reply);
   bson_destroy (&command);
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_publish),
      cmocka_unit_test (test_duplicate_keys),
      cmocka_unit_test (test_unknown_is_asked_again),
      cmocka_unit_test (test_deadline),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
