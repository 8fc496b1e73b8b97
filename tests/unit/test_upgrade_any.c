/* Upgrades of any documents by any settings, against a rule that is written down here in the plainest way, with
 * libbson's iterators: where the version is, what it is, what a document becomes, and which filter of the server's finds
 * it. */
#include "any_upgrade.h"

#include "mql/match.h"
#include "upgrade/pushdown.h"
#include "upgrade/upgrade.h"

#define PROJECTS 400
#define DOCUMENTS 60

/* ---- the rule ---- */

typedef enum { THERE, NONE, NO_VERSION } found_t;

static found_t
find_field (const setting_t *self, const bson_t *document, bson_iter_t *iter)
{
   bson_iter_t below;

   assert_true (bson_iter_init (iter, document));
   for (uint32_t i = 0;; i++) {
      bool found = false;

      while (!found && bson_iter_next (iter)) {
         found = strcmp (bson_iter_key (iter), self->parts[i]) == 0;
      }
      if (!found) {
         return NONE;
      }
      if (i + 1 == self->n_parts) {
         return BSON_ITER_HOLDS_NULL (iter) ? NONE : THERE;
      }
      if (!BSON_ITER_HOLDS_DOCUMENT (iter)) {
         return NO_VERSION;
      }
      assert_true (bson_iter_recurse (iter, &below));
      *iter = below;
   }
}

static bool
read_text (const char *text, int64_t *version)
{
   unsigned long parts[4] = {0};
   int n = 0;

   for (;; n++) {
      char *end;

      if (n == 4 || *text < '0' || *text > '9' || (*text == '0' && text[1] >= '0' && text[1] <= '9')) {
         return false;
      }
      parts[n] = strtoul (text, &end, 10);
      if (parts[n] > (n ? 65535u : 32767u)) {
         return false;
      }
      if (!*end) {
         *version = packed ((uint32_t) parts[0], (uint32_t) parts[1], (uint32_t) parts[2], (uint32_t) parts[3]);
         return true;
      }
      if (*end != '.') {
         return false;
      }
      text = end + 1;
   }
}

static bool
read_field (const setting_t *self, const bson_iter_t *iter, int64_t *version)
{
   bson_decimal128_t decimal;
   char text[BSON_DECIMAL128_STRING], *end;
   double number;

   if (self->format == ECL_VERSION_DOTTED) {
      return BSON_ITER_HOLDS_UTF8 (iter) && read_text (bson_iter_utf8 (iter, NULL), version);
   }
   switch (bson_iter_type (iter)) {
   case BSON_TYPE_INT32:
   case BSON_TYPE_INT64:
      *version = bson_iter_as_int64 (iter);
      return *version >= 0;
   case BSON_TYPE_DOUBLE:
      number = bson_iter_double (iter);
      if (!(number >= 0 && number < 0x1p63)) {
         return false;
      }
      *version = (int64_t) number;
      return (double) *version == number;
   case BSON_TYPE_DECIMAL128:
      /* Those that are made here: digits, and with a point ".00" where they are whole. */
      bson_iter_decimal128 (iter, &decimal);
      bson_decimal128_to_string (&decimal, text);
      *version = strtoll (text, &end, 10);
      return end > text && *version >= 0 && (!*end || strcmp (end, ".00") == 0);
   default:
      return false;
   }
}

/* The place of a document's version on the chain; -1: it is on none. *version is set where it has one. */
static int
place_of (const setting_t *self, const bson_t *document, bool *has, int64_t *version)
{
   bson_iter_t iter, t;
   found_t found = find_field (self, document, &iter);

   *has = false;
   if (found == THERE) {
      *has = read_field (self, &iter, version);
   } else if (found == NONE) {
      for (uint32_t i = 0; i < self->n_detect && !*has; i++) {
         bool there = bson_iter_init_find (&t, document, "t0");

         if (self->kind[i] == 2 || (there && (self->kind[i] == 0 || bson_iter_int32 (&t) == 1))) {
            *has = true;
            *version = self->versions[self->detect[i]];
         }
      }
      if (!*has && self->has_unversioned) {
         *has = true;
         *version = self->versions[self->unversioned];
      }
   }
   for (uint32_t i = 0; *has && i <= self->n; i++) {
      if (self->versions[i] == *version) {
         return (int) i;
      }
   }
   return -1;
}

static void
append_new (bson_t *out, const char *const *parts, uint32_t n, const bson_iter_t *value)
{
   bson_t child;

   if (n == 1) {
      bson_append_iter (out, parts[0], -1, value);
      return;
   }
   BSON_APPEND_DOCUMENT_BEGIN (out, parts[0], &child);
   append_new (&child, parts + 1, n - 1, value);
   bson_append_document_end (out, &child);
}

/* The document with the value at the path: in place where it is, else at the end. */
static void
put (bson_t *out, bson_iter_t *iter, const char *const *parts, uint32_t n, const bson_iter_t *value)
{
   bool done = false;
   bson_iter_t below;
   bson_t child;

   while (bson_iter_next (iter)) {
      if (done || strcmp (bson_iter_key (iter), parts[0]) != 0) {
         bson_append_iter (out, NULL, 0, iter);
         continue;
      }
      done = true;
      if (n == 1) {
         bson_append_iter (out, parts[0], -1, value);
      } else {
         assert_true (BSON_ITER_HOLDS_DOCUMENT (iter) && bson_iter_recurse (iter, &below));
         BSON_APPEND_DOCUMENT_BEGIN (out, parts[0], &child);
         put (&child, &below, parts + 1, n - 1, value);
         bson_append_document_end (out, &child);
      }
   }
   if (!done) {
      append_new (out, parts, n, value);
   }
}

static void
put_at (bson_t *document, const char *const *parts, uint32_t n, const bson_t *value)
{
   bson_t out = BSON_INITIALIZER;
   bson_iter_t iter, one;

   assert_true (bson_iter_init (&iter, document) && bson_iter_init (&one, value) && bson_iter_next (&one));
   put (&out, &iter, parts, n, &one);
   bson_destroy (document);
   bson_steal (document, &out);
}

/* What becomes of a document between two places of the chain. */
static void
carry (const setting_t *self, const bson_t *in, int from, int to, bson_t *out)
{
   const char *const mark[] = {"mark"};
   const char *parts[PARTS_MAX];
   bson_t stamp = BSON_INITIALIZER;

   for (uint32_t i = 0; i < self->n_parts; i++) {
      parts[i] = self->parts[i];
   }
   bson_copy_to (in, out);
   if (from == to) {
      return;
   }
   for (int i = from; i != to; i += from < to ? 1 : -1) {
      bson_t value = BSON_INITIALIZER;

      BSON_APPEND_INT32 (&value, "", from < to ? i + 1 : -i);
      put_at (out, mark, 1, &value);
      bson_destroy (&value);
   }
   switch (self->format) {
   case ECL_VERSION_INTEGER:
      BSON_APPEND_INT32 (&stamp, "", (int32_t) self->versions[to]);
      break;
   case ECL_VERSION_PACKED:
      BSON_APPEND_INT64 (&stamp, "", self->versions[to]);
      break;
   case ECL_VERSION_DOTTED:
      BSON_APPEND_UTF8 (&stamp, "", self->written[to]);
      break;
   }
   put_at (out, parts, self->n_parts, &stamp);
   bson_destroy (&stamp);
}

/* ---- the test ---- */

typedef struct {
   setting_t setting;
   ecl_project_t *project;
   ecl_upgrades_t *shared;
   const ecl_chain_t *chain;
   ecl_upgrader_t *to[STEPS_MAX + 1];
   bson_t filters[STEPS_MAX + 2];
   ecl_match_t *matches[STEPS_MAX + 2]; /* the last one: outside */
   ecl_eval_t ev;
} trial_t;

static void
explain (const trial_t *self, const bson_t *document, const char *what)
{
   char *json = bson_as_canonical_extended_json (document, NULL), *all = NULL;

   for (size_t i = 0; i < self->chain->n_detect; i++) {
      all = bson_strdup_printf ("detect %u kind %u", self->setting.detect[i], self->setting.kind[i]);
   }
   fail_msg ("%s: field %s, format %d, from %s, %u steps, floor %d, unversioned %d; %s: %s", what, self->setting.field,
             (int) self->setting.format, self->setting.written[0], self->setting.n, self->setting.has_floor,
             self->setting.has_unversioned ? (int) self->setting.unversioned : -1, all ? all : "no detect", json);
}

static char *
mark (uint32_t step)
{
   return bson_strdup_printf (", \"up\": [{\"$set\": {\"mark\": %u}}], \"down\": [{\"$set\": {\"mark\": -%u}}]", step,
                              step);
}

static void
begin (trial_t *self)
{
   bson_error_t error;

   any_setting (&self->setting);
   self->project = load_setting (&self->setting, mark);
   self->shared = ecl_upgrades_new (self->project);
   self->chain = ecl_project_chain (self->project, "c");
   assert_int_equal (self->chain->n_steps, self->setting.n);
   ecl_eval_init (&self->ev);
   for (uint32_t i = 0; i <= self->setting.n; i++) {
      self->to[i] = ecl_upgrader_new (self->shared, self->chain, self->setting.versions[i], &error);
      assert_non_null (self->to[i]);
      ecl_pushdown_filter (self->chain, i, &self->filters[i]);
   }
   ecl_pushdown_filter_outside (self->chain, &self->filters[self->setting.n + 1]);
   for (uint32_t i = 0; i <= self->setting.n + 1; i++) {
      ecl_value_t raw = ecl_raw_document (bson_get_data (&self->filters[i]), self->filters[i].len);

      self->matches[i] = ecl_match_new (&raw, NULL);
      assert_non_null (self->matches[i]);
   }
}

static void
end (trial_t *self)
{
   for (uint32_t i = 0; i <= self->setting.n + 1; i++) {
      ecl_match_destroy (self->matches[i]);
      bson_destroy (&self->filters[i]);
   }
   for (uint32_t i = 0; i <= self->setting.n; i++) {
      ecl_upgrader_destroy (self->to[i]);
   }
   ecl_eval_cleanup (&self->ev);
   ecl_upgrades_destroy (self->shared);
   ecl_project_destroy (self->project);
}

/* The filter of each version finds exactly the documents of which the reader says it. */
static void
check_found (trial_t *self, const bson_t *in, int place)
{
   ecl_value_t document = ecl_raw_document (bson_get_data (in), in->len);
   bson_error_t error;
   bool matched;

   for (int i = 0; i <= (int) self->setting.n + 1; i++) {
      ecl_arena_reset (&self->ev.arena);
      assert_true (ecl_match_run (self->matches[i], &self->ev, &document, &matched, &error));
      if (matched != (place < 0 ? i == (int) self->setting.n + 1 : i == place)) {
         char *shown = bson_as_canonical_extended_json (&self->filters[i], NULL);

         explain (self, in, shown);
      }
   }
}

static void
check_carried (trial_t *self, const bson_t *in, int from, int to)
{
   const ecl_plan_options_t options = {.update = true};
   ecl_plan_t *plan = ecl_plan_new (&options);
   const uint8_t *out;
   ecl_value_t stages;
   bson_error_t error;
   bson_t expected, pipeline, copy;
   ecl_upgrade_t what;
   size_t len;
   int64_t version;
   bool has;

   carry (&self->setting, in, from, to, &expected);
   if (!ecl_upgrader_run (self->to[to], bson_get_data (in), in->len, &out, &len, &what, &error)) {
      explain (self, in, error.message);
   }
   if (len != expected.len || memcmp (out, bson_get_data (&expected), len) != 0) {
      explain (self, in, bson_as_canonical_extended_json (bson_new_from_data (out, len), NULL));
   }
   assert_int_equal (what, from == to ? ECL_UPGRADE_CURRENT : from < to ? ECL_UPGRADE_UP : ECL_UPGRADE_DOWN);
   assert_int_equal (from == to, out == bson_get_data (in));
   /* Pushed down the same comes of it. */
   assert_true (ecl_pushdown_pipeline (self->chain, (size_t) from, (size_t) to, &pipeline, &error));
   stages = ecl_raw_document (bson_get_data (&pipeline), pipeline.len);
   stages.type = BSON_TYPE_ARRAY;
   assert_true (ecl_plan_add_pipeline (plan, &stages, NULL));
   ecl_plan_link (plan);
   if (from != to) {
      assert_true (ecl_plan_run (plan, &self->ev, bson_get_data (in), in->len, &out, &len, &error));
      assert_int_equal (len, expected.len);
      assert_memory_equal (out, bson_get_data (&expected), len);
      /* And it is where it was brought, whoever looks. */
      assert_int_equal (place_of (&self->setting, &expected, &has, &version), to);
      check_found (self, &expected, to);
   }
   ecl_plan_destroy (plan);
   bson_destroy (&pipeline);
   /* There and back. */
   assert_true (ecl_upgrader_run (self->to[from], bson_get_data (&expected), expected.len, &out, &len, NULL, &error));
   assert_true (bson_init_static (&copy, out, len));
   assert_int_equal (place_of (&self->setting, &copy, &has, &version), from);
   bson_destroy (&expected);
}

static void
check_document (trial_t *self, const bson_t *in, uint32_t *on, uint32_t *off)
{
   int64_t version = -1;
   ecl_version_t got = -1;
   const uint8_t *out;
   bson_error_t error;
   bool has;
   size_t len;
   int place = place_of (&self->setting, in, &has, &version), to = (int) pick (self->setting.n + 1);

   for (int again = 0; again < 2; again++) { /* the second time it looks like the one before */
      if (ecl_upgrader_version (self->to[to], bson_get_data (in), in->len, &got, &error) != has ||
          (has && got != version)) {
         explain (self, in, has ? "it has a version" : "it has none");
      }
   }
   check_found (self, in, place);
   if (place >= 0) {
      check_carried (self, in, place, to);
      (*on)++;
   } else {
      if (ecl_upgrader_run (self->to[to], bson_get_data (in), in->len, &out, &len, NULL, &error)) {
         explain (self, in, "it was carried");
      }
      (*off)++;
   }
}

static void
test_any (void **state)
{
   uint32_t on = 0, off = 0;

   (void) state;
   any_seed = 20261123;
   for (int i = 0; i < PROJECTS; i++) {
      trial_t trial;

      begin (&trial);
      for (int k = 0; k < DOCUMENTS; k++) {
         bson_t in;

         any_document (&in, &trial.setting);
         check_document (&trial, &in, &on, &off);
         bson_destroy (&in);
      }
      end (&trial);
   }
   assert_true (on > PROJECTS * DOCUMENTS / 4 && off > PROJECTS * DOCUMENTS / 20);
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_any),
   };

   return cmocka_run_group_tests_name ("upgrade any", tests, NULL, NULL);
}
