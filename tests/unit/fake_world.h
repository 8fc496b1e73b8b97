/* A world of canned replies: each command must hold a text, and gets a reply. Time goes by in waits, and
 * where a reply says so. */
#ifndef FAKE_WORLD_H
#define FAKE_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "run/world.h"
#include "text/text.h"

/* The reply that holds all that there is. */
#define DOCS(...) "{\"ok\": 1, \"cursor\": {\"id\": 0, \"firstBatch\": [" __VA_ARGS__ "]}}"

typedef struct {
   const char *expect; /* a part of the command, as relaxed Extended JSON */
   const char *reply;  /* JSON; "LOST"; or "REFUSED <code>", and a label behind it */
   int64_t ms;         /* that it takes */
} canned_t;

typedef struct {
   ecl_world_t world;
   const canned_t *script; /* up to one without expect */
   size_t at;
   int64_t now, waited;
   bool transactions; /* statements on eclose's records come in one: the concern is its own */
   size_t writes;     /* to eclose's own collections; all of them with their concern */
} fake_world_t;

static inline int64_t
fake_now (ecl_world_t *self)
{
   return ((fake_world_t *) self)->now;
}

static inline uint64_t
fake_random (ecl_world_t *self)
{
   (void) self;
   return 4;
}

static inline bool
fake_wait (ecl_world_t *self, int64_t ms)
{
   ((fake_world_t *) self)->now += ms;
   ((fake_world_t *) self)->waited += ms;
   return true;
}

static inline bool
fake_cancelled (ecl_world_t *self)
{
   (void) self;
   return false;
}

/* By eclose's own reader: libbson's takes no filter with $type. */
static inline void
fake_reply (const char *json, bson_t *reply)
{
   const ecl_text_source_t source = {.name = "reply", .bytes = json, .len = strlen (json)};
   ecl_diags_t diags;
   ecl_text_t text;
   bson_t read;

   ecl_text_init (&text);
   ecl_diags_init (&diags);
   if (!ecl_text_read_any (&text, &source, ECL_TEXT_DUPLICATES, &diags)) {
      fail_msg ("%s: %s", json, diags.items[0].message);
   }
   assert_true (bson_init_static (&read, text.doc, text.len));
   bson_copy_to (&read, reply);
   ecl_diags_cleanup (&diags);
   ecl_text_cleanup (&text);
}

static inline ecl_reply_t
fake_run_command (ecl_world_t *self, const ecl_call_t *call, int64_t deadline, bson_t *reply, bson_error_t *error)
{
   fake_world_t *world = (fake_world_t *) self;
   const canned_t *canned = &world->script[world->at++];
   char *text = bson_as_relaxed_extended_json (call->command, NULL);
   ecl_reply_t answer = ECL_REPLY_OK;

   assert_true (deadline > world->now);
   if (!canned->expect || !strstr (text, canned->expect)) {
      print_error ("step %zu\n sent %s\n not  %s\n", world->at - 1, text, canned->expect ? canned->expect : "the end");
      fail ();
   }
   if (strstr (text, " : \"eclose_") && !world->transactions && strstr (text, "{ \"getMore\"") != text) {
      bool write = strstr (text, "{ \"update\"") == text || strstr (text, "{ \"delete\"") == text ||
                   strstr (text, "{ \"findAndModify\"") == text;

      assert_non_null (strstr (text, write ? "\"writeConcern\" : { \"w\" : \"majority\", \"j\" : true"
                                           : "\"readConcern\" : { \"level\" : \"majority\" }"));
      world->writes += write;
   }
   bson_free (text);
   world->now += canned->ms;
   memset (error, 0, sizeof *error);
   if (strcmp (canned->reply, "LOST") == 0) {
      ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_SERVER, "the connection was cut");
      bson_init (reply);
      answer = ECL_REPLY_LOST;
   } else if (strncmp (canned->reply, "REFUSED ", 8) == 0) {
      char *label;
      bson_t labels;

      ecl_fail (error, 17, (uint32_t) strtol (canned->reply + 8, &label, 10), "refused as told");
      bson_init (reply);
      if (*label == ' ') {
         BSON_APPEND_ARRAY_BEGIN (reply, "errorLabels", &labels);
         BSON_APPEND_UTF8 (&labels, "0", label + 1);
         bson_append_array_end (reply, &labels);
      }
      answer = ECL_REPLY_REFUSED;
   } else {
      fake_reply (canned->reply, reply);
   }
   return answer;
}

static inline fake_world_t
fake_world (const canned_t *script)
{
   return (fake_world_t){.world = {.now = fake_now,
                                   .random = fake_random,
                                   .wait = fake_wait,
                                   .cancelled = fake_cancelled,
                                   .run_command = fake_run_command},
                         .script = script,
                         .now = 1000};
}

/* All of the script was used. */
static inline void
fake_done (const fake_world_t *world)
{
   if (world->script[world->at].expect) {
      print_error ("not sent: %s\n", world->script[world->at].expect);
      fail ();
   }
}

#endif
