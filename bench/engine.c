/* The engine against the same work by hand on libbson's public API: one core, medians, ratios in one run.
 *
 *    engine [--json FILE]
 */
#include "bench.h"

#include "mql/plan.h"
#include "text/text.h"
#include "upgrade/upgrade.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Documents one after another in one buffer, as a cursor's batch has them, or each somewhere else in memory. */
typedef struct {
   uint8_t **documents;
   size_t n;
   uint8_t *buffer;
   size_t next;
   ecl_plan_t *plan;
   ecl_eval_t ev;
   ecl_upgrader_t *upgrader;
   bson_t out;
   uint8_t *copy;
   ecl_text_t text;
} set_t;

#define BATCH 1000       /* fits the caches, as a batch that was just read does */
#define SCATTERED 200000 /* does not */

static uint64_t seed = 42;

static uint32_t
pick (uint32_t n)
{
   seed = seed * 6364136223846793005ull + 1442695040888963407ull;
   return (uint32_t) (seed >> 33) % n;
}

/* Example 1 at version 1: about 340 bytes, 15 fields; the version is the third field or the last. */
static void
make_user (bson_t *user, uint32_t i, bool version_last)
{
   static const char *const first[] = {"Ariel", "Kim", "Robin Jean", "Maria", "Bo", "Ida Sofie"};
   static const char *const last[] = {"Whiteaker", "Lund", "O'Neill", "Garcia", "Li", "Andersen"};
   char login[32], name[64], mail[64], phone[32];

   snprintf (login, sizeof login, "user%07u", i);
   snprintf (name, sizeof name, "%s %s", first[pick (6)], last[pick (6)]);
   snprintf (mail, sizeof mail, "user%07u@example.com", i);
   snprintf (phone, sizeof phone, "+457%07u", pick (10000000));
   bson_init (user);
   BSON_APPEND_INT32 (user, "_id", (int32_t) i);
   BSON_APPEND_UTF8 (user, "login", login);
   if (!version_last) {
      BSON_APPEND_INT32 (user, "schema_version", 1);
   }
   BSON_APPEND_UTF8 (user, "name", name);
   BSON_APPEND_UTF8 (user, "phone", phone);
   BSON_APPEND_DATE_TIME (user, "last_update", 1700000000000ll + i);
   BSON_APPEND_DATE_TIME (user, "created", 1600000000000ll + i);
   BSON_APPEND_UTF8 (user, "email", mail);
   BSON_APPEND_BOOL (user, "active", i % 3 != 0);
   BSON_APPEND_INT32 (user, "logins", (int32_t) pick (1000));
   BSON_APPEND_DOUBLE (user, "score", pick (1000) / 7.0);
   BSON_APPEND_UTF8 (user, "locale", "da-DK");
   BSON_APPEND_UTF8 (user, "timezone", "Europe/Copenhagen");
   BSON_APPEND_INT64 (user, "quota", 1ll << 33);
   if (version_last) {
      BSON_APPEND_UTF8 (user, "plan", "standard");
      BSON_APPEND_INT32 (user, "schema_version", 1);
   } else {
      BSON_APPEND_UTF8 (user, "plan", "standard");
   }
}

static set_t *
set_new (void)
{
   set_t *set = calloc (1, sizeof *set);

   ecl_eval_init (&set->ev);
   bson_init (&set->out);
   ecl_text_init (&set->text);
   return set;
}

static set_t *
users (size_t n, bool scattered, bool version_last)
{
   set_t *set = set_new ();
   size_t len = 0, cap = n * 400;

   set->documents = calloc (n, sizeof *set->documents);
   set->n = n;
   set->buffer = scattered ? NULL : malloc (cap);
   for (size_t i = 0; i < n; i++) {
      bson_t user;

      make_user (&user, (uint32_t) i, version_last);
      if (scattered) {
         set->documents[i] = malloc (user.len);
      } else {
         set->documents[i] = set->buffer + len;
         len += user.len;
      }
      memcpy (set->documents[i], bson_get_data (&user), user.len);
      bson_destroy (&user);
   }
   if (scattered) {
      for (size_t i = n; i-- > 1;) {
         size_t k = pick ((uint32_t) i + 1);
         uint8_t *swap = set->documents[i];
         set->documents[i] = set->documents[k];
         set->documents[k] = swap;
      }
   }
   return set;
}

/* One document of its own, in a set. */
static set_t *
single (const bson_t *document)
{
   set_t *set = set_new ();

   set->documents = calloc (1, sizeof *set->documents);
   set->n = 1;
   set->documents[0] = malloc (document->len);
   memcpy (set->documents[0], bson_get_data (document), document->len);
   set->copy = malloc (document->len + 1024);
   return set;
}

static void
use_plan (set_t *set, const char *pipeline, int32_t stamp)
{
   ecl_plan_options_t options = {.update = true};
   ecl_text_source_t source = {.name = "pipeline", .bytes = pipeline, .len = strlen (pipeline)};
   ecl_diags_t diags;
   ecl_value_t list, version = ecl_int32 (stamp);

   ecl_diags_init (&diags);
   if (!ecl_text_read_any (&set->text, &source, ECL_TEXT_ANY_VALUE, &diags)) {
      fprintf (stderr, "cannot read %s\n", pipeline);
      exit (1);
   }
   ecl_value_t root = ecl_raw_document (set->text.doc, set->text.len);
   list = ecl_document_get (&root, "", 0);
   set->plan = ecl_plan_new (&options);
   if (!ecl_plan_add_pipeline (set->plan, &list, NULL) ||
       (stamp && !ecl_plan_add_constant (set->plan, "schema_version", &version))) {
      fprintf (stderr, "cannot parse %s\n", pipeline);
      exit (1);
   }
   ecl_plan_link (set->plan);
   ecl_diags_cleanup (&diags);
}

static const uint8_t *
next_document (set_t *set, size_t *len)
{
   const uint8_t *document = set->documents[set->next];
   uint32_t size;

   set->next = set->next + 1 == set->n ? 0 : set->next + 1;
   memcpy (&size, document, 4);
   *len = size;
   return document;
}

/* ---- ours ---- */

static uint64_t
run_plan (void *context, size_t n)
{
   set_t *set = context;
   uint64_t sum = 0;
   bson_error_t error;

   while (n--) {
      size_t len, out_len;
      const uint8_t *out, *in = next_document (set, &len);

      if (!ecl_plan_run (set->plan, &set->ev, in, len, &out, &out_len, &error)) {
         fprintf (stderr, "%s\n", error.message);
         exit (1);
      }
      sum += out_len + out[out_len / 2];
   }
   return sum;
}

/* As a reader does with every document; here all are current. */
static uint64_t
run_upgrader (void *context, size_t n)
{
   set_t *set = context;
   uint64_t sum = 0;
   bson_error_t error;

   while (n--) {
      size_t len, out_len;
      const uint8_t *out, *in = next_document (set, &len);

      if (!ecl_upgrader_run (set->upgrader, in, len, &out, &out_len, NULL, &error)) {
         fprintf (stderr, "%s\n", error.message);
         exit (1);
      }
      sum += out == in;
   }
   return sum;
}

/* ---- by hand on libbson ---- */

static uint64_t
find_version (void *context, size_t n)
{
   set_t *set = context;
   uint64_t sum = 0;

   while (n--) {
      size_t len;
      const uint8_t *in = next_document (set, &len);
      bson_t document;
      bson_iter_t iter;

      bson_init_static (&document, in, len);
      sum += bson_iter_init_find (&iter, &document, "schema_version") && bson_iter_int32 (&iter) == 1;
   }
   return sum;
}

/* Example 1: name becomes first_name and last_name, phone becomes contacts. The buffer is reused. */
static uint64_t
users_by_hand (void *context, size_t n)
{
   set_t *set = context;
   uint64_t sum = 0;

   while (n--) {
      size_t len;
      const uint8_t *in = next_document (set, &len);
      const char *name = "", *phone = NULL;
      uint32_t name_len = 0, phone_len = 0;
      bson_t document, contacts, contact;
      bson_iter_t iter;
      const char *space, *end;

      bson_init_static (&document, in, len);
      bson_reinit (&set->out);
      bson_iter_init (&iter, &document);
      while (bson_iter_next (&iter)) {
         const char *key = bson_iter_key (&iter);

         if (strcmp (key, "name") == 0) {
            name = bson_iter_utf8 (&iter, &name_len);
         } else if (strcmp (key, "phone") == 0) {
            phone = bson_iter_utf8 (&iter, &phone_len);
         } else if (strcmp (key, "schema_version") == 0) {
            bson_append_int32 (&set->out, "schema_version", 14, 2);
         } else {
            bson_append_iter (&set->out, key, (int) bson_iter_key_len (&iter), &iter);
         }
      }
      end = name + name_len;
      while (name < end && *name == ' ') {
         name++;
      }
      while (end > name && end[-1] == ' ') {
         end--;
      }
      space = end;
      while (space > name && space[-1] != ' ') {
         space--;
      }
      bson_append_utf8 (&set->out, "last_name", 9, space, (int) (end - space));
      while (space > name && space[-1] == ' ') {
         space--;
      }
      bson_append_utf8 (&set->out, "first_name", 10, name, (int) (space - name));
      bson_append_array_begin (&set->out, "contacts", 8, &contacts);
      if (phone) {
         bson_append_document_begin (&contacts, "0", 1, &contact);
         bson_append_utf8 (&contact, "type", 4, "phone", 5);
         bson_append_utf8 (&contact, "value", 5, phone, (int) phone_len);
         bson_append_document_end (&contacts, &contact);
      }
      bson_append_array_end (&set->out, &contacts);
      sum += set->out.len + bson_get_data (&set->out)[set->out.len / 2];
   }
   return sum;
}

static uint64_t
copy_only (void *context, size_t n)
{
   set_t *set = context;
   uint64_t sum = 0;

   while (n--) {
      size_t len;
      const uint8_t *in = next_document (set, &len);

      memcpy (set->copy, in, len);
      sum += set->copy[len / 2];
   }
   return sum;
}

static uint64_t
walk_and_copy (void *context, size_t n)
{
   set_t *set = context;
   uint64_t sum = 0;

   while (n--) {
      size_t len;
      const uint8_t *in = next_document (set, &len);
      bson_t document;
      bson_iter_t iter;

      bson_init_static (&document, in, len);
      bson_iter_init (&iter, &document);
      while (bson_iter_next (&iter)) {
         sum += (uint8_t) *bson_iter_key (&iter);
      }
      memcpy (set->copy, in, len);
      sum += set->copy[len / 2];
   }
   return sum;
}

/* {$map: {input: "$items", in: {sku: "$$this.sku", total: "$$this.qty"}}} */
static uint64_t
map_by_hand (void *context, size_t n)
{
   set_t *set = context;
   uint64_t sum = 0;

   while (n--) {
      size_t len;
      const uint8_t *in = next_document (set, &len);
      bson_t document, lines;
      bson_iter_t iter, items, item;
      uint32_t i = 0;

      bson_init_static (&document, in, len);
      bson_reinit (&set->out);
      bson_iter_init (&iter, &document);
      while (bson_iter_next (&iter)) {
         bson_append_iter (&set->out, bson_iter_key (&iter), (int) bson_iter_key_len (&iter), &iter);
      }
      bson_append_array_begin (&set->out, "lines", 5, &lines);
      if (bson_iter_init_find (&iter, &document, "items") && bson_iter_recurse (&iter, &items)) {
         while (bson_iter_next (&items)) {
            char buffer[16];
            const char *key;
            size_t key_len = bson_uint32_to_string (i++, &key, buffer, sizeof buffer);
            bson_t line;

            bson_append_document_begin (&lines, key, (int) key_len, &line);
            if (bson_iter_recurse (&items, &item)) {
               while (bson_iter_next (&item)) {
                  if (strcmp (bson_iter_key (&item), "sku") == 0) {
                     bson_append_iter (&line, "sku", 3, &item);
                  } else if (strcmp (bson_iter_key (&item), "qty") == 0) {
                     bson_append_iter (&line, "total", 5, &item);
                  }
               }
            }
            bson_append_document_end (&lines, &line);
         }
      }
      bson_append_array_end (&set->out, &lines);
      sum += set->out.len + bson_get_data (&set->out)[set->out.len / 2];
   }
   return sum;
}

/* ---- documents ---- */

static void
wide (bson_t *document, unsigned fields, size_t bytes)
{
   char key[16], *filler = malloc (bytes + 1);
   size_t each = bytes / fields;

   memset (filler, 'x', bytes);
   bson_init (document);
   BSON_APPEND_INT32 (document, "_id", 1);
   BSON_APPEND_UTF8 (document, "old", "value");
   for (unsigned i = 2; i < fields; i++) {
      snprintf (key, sizeof key, "field%04u", i);
      bson_append_utf8 (document, key, -1, filler, (int) (each > 17 ? each - 17 : 1));
   }
   free (filler);
}

static void
order (bson_t *document, unsigned n)
{
   bson_t items;

   bson_init (document);
   BSON_APPEND_INT32 (document, "_id", 1);
   BSON_APPEND_ARRAY_BEGIN (document, "items", &items);
   for (unsigned i = 0; i < n; i++) {
      char buffer[16];
      const char *key;
      bson_t item;

      bson_uint32_to_string (i, &key, buffer, sizeof buffer);
      BSON_APPEND_DOCUMENT_BEGIN (&items, key, &item);
      BSON_APPEND_UTF8 (&item, "sku", "AB-1234");
      BSON_APPEND_INT32 (&item, "qty", (int32_t) i);
      BSON_APPEND_DOUBLE (&item, "price", i * 1.5);
      BSON_APPEND_BOOL (&item, "gift", false);
      bson_append_document_end (&items, &item);
   }
   bson_append_array_end (document, &items);
}

/* Both give the same bytes, or the comparison means nothing. */
static void
check_same (set_t *set, bench_fn by_hand)
{
   bson_error_t error;
   const uint8_t *out;
   size_t len, in_len;

   set->next = 0;
   by_hand (set, 1);
   set->next = 0;
   const uint8_t *in = next_document (set, &in_len);

   if (!ecl_plan_run (set->plan, &set->ev, in, in_len, &out, &len, &error)) {
      fprintf (stderr, "%s\n", error.message);
      exit (1);
   }
   if (len != set->out.len || memcmp (out, bson_get_data (&set->out), len) != 0) {
      bson_t ours;

      bson_init_static (&ours, out, len);
      fprintf (stderr, "the results differ:\n%s\n%s\n", bson_as_canonical_extended_json (&ours, NULL),
               bson_as_canonical_extended_json (&set->out, NULL));
      exit (1);
   }
}

#define USERS                                                                                                 \
   "[{$set: {name: {$trim: {input: {$ifNull: [$name, '']}}}}}, "                                              \
   "{$set: {last_name: {$last: {$split: [$name, ' ']}}}}, "                                                   \
   "{$set: {first_name: {$trim: {input: {$substrCP: [$name, 0, {$subtract: [{$strLenCP: $name}, {$strLenCP: " \
   "$last_name}]}]}}}, contacts: {$cond: [{$gt: [$phone, null]}, [{type: phone, value: $phone}], []]}}}, "    \
   "{$unset: [name, phone]}]"

static const char *
no_environment (void *context, const char *name)
{
   (void) context;
   (void) name;
   return NULL;
}

/* An upgrader of users to version 1, which is what the documents are. */
static ecl_upgrader_t *
current_upgrader (void)
{
   static const char config[] = "uri: mongodb://localhost\ndatabase: shop\ncollections: {users: {unversioned: 1}}\n";
   static const char migration[] = "to: 2\ndescription: example 1\nup:\n  - $set: {a: 1}\n";
   ecl_project_options_t options = {.getenv = no_environment};
   ecl_text_source_t config_source = {.name = "eclose.yaml", .bytes = config, .len = sizeof config - 1};
   ecl_text_source_t source = {.name = "migrations/users/0002_x.yaml", .bytes = migration, .len = sizeof migration - 1};
   ecl_project_t *project = ecl_project_new (&options);
   ecl_diags_t diags;
   bson_error_t error;

   ecl_diags_init (&diags);
   if (!ecl_project_configure (project, &config_source, &diags) ||
       !ecl_project_add (project, "users/0002_x.yaml", &source, &diags) || !ecl_project_link (project, &diags)) {
      ecl_buf_t buf;

      ecl_buf_init (&buf, 1 << 16);
      fprintf (stderr, "%s\n", ecl_diags_print (&diags, &buf) ? ecl_buf_cstr (&buf) : "");
      exit (1);
   }
   return ecl_upgrader_new (ecl_upgrades_new (project), ecl_project_chain (project, "users"), 1, &error);
}

int
main (int argc, char **argv)
{
   bson_t document;
   set_t *set, *other;

   bench_header ();
   for (int i = 0; i < 4; i++) {
      static const char *const names[] = {"is it current? version 3rd of 15 fields", "is it current? version last",
                                          "version 3rd, documents scattered", "version last, documents scattered"};
      static const char *const goals[] = {"at most 0.4 of bson_iter_init_find", "at most 0.75 of it", "(reported)",
                                          "(reported)"};

      set = users (i < 2 ? BATCH : SCATTERED, i >= 2, i % 2);
      set->upgrader = current_upgrader ();
      bench_pair (names[i], goals[i], run_upgrader, set, find_version, set);
   }
   for (int scattered = 0; scattered < 2; scattered++) {
      set = users (scattered ? SCATTERED : BATCH, scattered, false);
      use_plan (set, USERS, 2);
      check_same (set, users_by_hand);
      bench_pair (scattered ? "example 1, documents scattered in memory" : "example 1 (users v1 to v2)",
                  scattered ? "(reported)" : "at most 0.4 of libbson by hand", run_plan, set, users_by_hand, set);
   }

   set = users (BATCH, false, false);
   other = users (BATCH, false, false);
   use_plan (set,
             "[{$set: {a: 1}}, {$set: {b: $locale}}, {$set: {c: $a}}, {$set: {d: $plan}}, {$set: {e: true}}, "
             "{$set: {f: $c}}, {$set: {g: 1.5}}, {$set: {h: $quota}}, {$set: {i: null}}, {$set: {j: $d}}]",
             0);
   use_plan (other, "[{$set: {a: 1}}]", 0);
   bench_pair ("a chain of 10 small steps", "at most 2.5 of one step", run_plan, set, run_plan, other);

   wide (&document, 15, 100000);
   set = single (&document);
   use_plan (set, "[{$set: {new: $old}}, {$unset: old}]", 0);
   bench_pair ("rename, 100 KB of 15 fields", "at most 1.3 of memcpy", run_plan, set, copy_only, set);
   bson_destroy (&document);

   wide (&document, 4000, 100000);
   set = single (&document);
   use_plan (set, "[{$set: {new: $old}}, {$unset: old}]", 0);
   bench_pair ("rename, 100 KB of 4,000 fields", "at most 0.75 of bson_iter and memcpy", run_plan, set, walk_and_copy,
               set);
   bson_destroy (&document);

   order (&document, 1000);
   set = single (&document);
   use_plan (set, "[{$set: {lines: {$map: {input: $items, in: {sku: $$this.sku, total: $$this.qty}}}}}]", 0);
   check_same (set, map_by_hand);
   bench_pair ("$map over 1,000 sub-documents", "at most 0.7 of libbson by hand", run_plan, set, map_by_hand, set);
   bson_destroy (&document);

   if (argc == 3 && strcmp (argv[1], "--json") == 0) {
      bench_write_notes (argv[2]);
   }
   return 0;
}
