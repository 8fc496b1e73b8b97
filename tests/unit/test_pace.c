/* Writes by ranges under the throttle, in virtual time: migrate/migrate_pace.c and migrate/migrate_write.c. */
#include "project_check.h"

#include "migrate/migrate-private.h"

#define DOCUMENTS 20000

/* A server whose updates take a time for each document, and whose secondaries lag until some moment. */
typedef struct {
   ecl_world_t world;
   int64_t now;
   int32_t next; /* _id of the next one that a cursor gives */
   int64_t written;
   int64_t us; /* of each document */
   int64_t lags_until;
   int64_t first_write; /* when; 0: there was none */
   int64_t largest;     /* range, as documents */
   uint32_t writes;
   int64_t cancel_at; /* 0: never */
   char notes[1000];
} server_t;

static int64_t
server_now (ecl_world_t *self)
{
   return ((server_t *) self)->now;
}

static bool
server_cancelled (ecl_world_t *self)
{
   const server_t *server = (const server_t *) self;

   return server->cancel_at && server->now >= server->cancel_at;
}

static bool
server_wait (ecl_world_t *self, int64_t ms)
{
   ((server_t *) self)->now += ms;
   return !server_cancelled (self);
}

static void
append_batch (server_t *self, bson_t *reply, int32_t n)
{
   bson_t cursor, list, one;
   char buffer[16];
   const char *key;

   BSON_APPEND_INT32 (reply, "ok", 1);
   BSON_APPEND_DOCUMENT_BEGIN (reply, "cursor", &cursor);
   BSON_APPEND_ARRAY_BEGIN (&cursor, self->next ? "nextBatch" : "firstBatch", &list);
   for (int32_t i = 0; i < n && self->next < DOCUMENTS; i++, self->next++) {
      bson_uint32_to_string ((uint32_t) i, &key, buffer, sizeof buffer);
      BSON_APPEND_DOCUMENT_BEGIN (&list, key, &one);
      BSON_APPEND_INT32 (&one, "_id", self->next);
      bson_append_document_end (&list, &one);
   }
   bson_append_array_end (&cursor, &list);
   BSON_APPEND_INT64 (&cursor, "id", self->next < DOCUMENTS ? 7 : 0);
   bson_append_document_end (reply, &cursor);
}

/* {update, updates: [{q: {$and: [{_id: {$gte, $lte}}, …]}}]}: every document between is there and matches. */
static int64_t
count_range (const bson_t *command)
{
   bson_iter_t iter, low, high;
   const char *const path = "updates.0.q.$and.0._id";

   assert_true (bson_iter_init (&iter, command) && bson_iter_find_descendant (&iter, path, &low));
   if (BSON_ITER_HOLDS_INT32 (&low)) {
      return 1;
   }
   assert_true (bson_iter_init (&iter, command) &&
                bson_iter_find_descendant (&iter, "updates.0.q.$and.0._id.$gte", &low));
   assert_true (bson_iter_init (&iter, command) &&
                bson_iter_find_descendant (&iter, "updates.0.q.$and.0._id.$lte", &high));
   return bson_iter_int32 (&high) - bson_iter_int32 (&low) + 1;
}

static void
append_status (const server_t *self, bson_t *reply)
{
   int64_t lag = self->now < self->lags_until ? 60000 : 0;
   bson_t *status = BCON_NEW ("ok", BCON_INT32 (1), "members", "[", "{", "_id", BCON_INT32 (0), "state", BCON_INT32 (1),
                              "optimeDate", BCON_DATE_TIME (1000000000), "}", "{", "_id", BCON_INT32 (1), "state",
                              BCON_INT32 (2), "optimeDate", BCON_DATE_TIME (1000000000 - lag), "}", "]");

   bson_concat (reply, status);
   bson_destroy (status);
}

static ecl_reply_t
server_run (ecl_world_t *world, const ecl_call_t *call, int64_t deadline, bson_t *reply, bson_error_t *error)
{
   server_t *self = (server_t *) world;
   bson_iter_t iter;
   const char *name;
   int64_t n;

   (void) deadline;
   assert_true (bson_iter_init (&iter, call->command) && bson_iter_next (&iter));
   name = bson_iter_key (&iter);
   bson_init (reply);
   if (strcmp (name, "find") == 0 && strcmp (call->database, "d") == 0) {
      append_batch (self, reply, 1000);
   } else if (strcmp (name, "getMore") == 0) {
      append_batch (self, reply, 1000);
   } else if (strcmp (name, "update") == 0) {
      n = count_range (call->command);
      self->first_write = self->first_write ? self->first_write : self->now;
      self->largest = n > self->largest ? n : self->largest;
      self->writes++;
      self->written += n;
      self->now += 2 + n * self->us / 1000;
      BSON_APPEND_INT32 (reply, "ok", 1);
      BSON_APPEND_INT32 (reply, "n", (int32_t) n);
   } else if (strcmp (name, "collStats") == 0) {
      BSON_APPEND_INT32 (reply, "ok", 1);
      BSON_APPEND_INT32 (reply, "avgObjSize", 500);
   } else if (strcmp (name, "replSetGetStatus") == 0 && self->lags_until) {
      append_status (self, reply);
   } else {
      ecl_fail (error, 17, 59, "no such command");
      return ECL_REPLY_REFUSED;
   }
   return ECL_REPLY_OK;
}

static void
on_note (void *context, const char *message)
{
   server_t *self = context;

   strncat (self->notes, message, sizeof self->notes - strlen (self->notes) - 2);
   strcat (self->notes, "\n");
}

static server_t
new_server (void)
{
   return (server_t){
      .world = {.now = server_now, .wait = server_wait, .cancelled = server_cancelled, .run_command = server_run},
      .now = 1000,
      .us = 100};
}

static bool
run (server_t *server, const ecl_throttle_settings_t *throttle, bson_error_t *error)
{
   ecl_project_t *project = load_good (
      NULL, (file_t[]){{"20260101_a.yaml", "up: [{updateMany: {collection: a, filter: {}, update: {$set: {x: 1}}}}]\n"},
                       {0}});
   ecl_migrate_options_t options = {.world = &server->world,
                                    .database = "d",
                                    .project = project,
                                    .throttle = throttle ? *throttle : (ecl_throttle_settings_t){0},
                                    .hooks = {.context = server, .note = on_note}};
   ecl_migrate_t self = {.options = &options, .world = &server->world};
   size_t n;
   bool good;

   ecl_arena_init (&self.arena);
   good = ecl_migrate_ranges (&self, ecl_project_works (project, &n)->up.acts, error);
   ecl_arena_cleanup (&self.arena);
   ecl_project_destroy (project);
   return good;
}

/* Ranges aim at 50 ms. */
static void
test_size (void **state)
{
   server_t server = new_server ();
   bson_error_t error;

   (void) state;
   assert_true (run (&server, NULL, &error));
   assert_int_equal (server.written, DOCUMENTS);
   assert_in_range (server.largest, 300, 1000);
   assert_in_range (server.writes, 20, 100);
   assert_string_equal (server.notes, "");
}

/* 1,000 documents a second; 250 kB of documents of 500 bytes are 500. */
static void
test_rate (void **state)
{
   static const struct {
      const char *text;
      int64_t ms;
   } rates[] = {{"1000", 20000}, {"250kB", 40000}};
   ecl_throttle_settings_t settings;
   bson_error_t error;

   (void) state;
   for (size_t i = 0; i < 2; i++) {
      server_t server = new_server ();

      memset (&settings, 0, sizeof settings);
      assert_true (ecl_throttle_parse_rate (rates[i].text, &settings, &error));
      assert_true (run (&server, &settings, &error));
      assert_int_equal (server.written, DOCUMENTS);
      /* It took long enough to say what is not looked at, once. */
      assert_non_null (strstr (server.notes, "  throttle: replSetGetStatus cannot be read"));
      assert_null (strstr (strstr (server.notes, "replSetGetStatus") + 1, "replSetGetStatus"));
      assert_in_range (server.now, rates[i].ms * 9 / 10, rates[i].ms * 12 / 10);
   }
}

/* Nothing is written while the secondaries are behind, and why is said. */
static void
test_lag (void **state)
{
   server_t server = new_server ();
   bson_error_t error;

   (void) state;
   server.lags_until = 30000;
   assert_true (run (&server, NULL, &error));
   assert_int_equal (server.written, DOCUMENTS);
   assert_true (server.first_write >= 30000 && server.first_write < 40000);
   assert_non_null (strstr (server.notes, "waits: replication lag 60.0 s"));
}

/* Whoever ends it does not wait for the throttle. */
static void
test_cancel (void **state)
{
   server_t server = new_server ();
   bson_error_t error;

   (void) state;
   server.lags_until = 3600000;
   server.cancel_at = 5000;
   assert_false (run (&server, NULL, &error));
   assert_string_equal (error.message, "ended as asked for");
   assert_int_equal (server.written, 0);
   assert_true (server.now < 5500);
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_size),
      cmocka_unit_test (test_rate),
      cmocka_unit_test (test_lag),
      cmocka_unit_test (test_cancel),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
