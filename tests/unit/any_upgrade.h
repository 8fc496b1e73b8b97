/* Any settings of a collection, and documents that nearly fit them: names share their beginnings and their ends, also
 * over the eighth byte and below other names, and stand beside what is nearly alike. By chance, of one seed. */
#ifndef ANY_UPGRADE_H
#define ANY_UPGRADE_H

#include "project_check.h"

#include <math.h>
#include <stdlib.h>

#define PARTS_MAX 4
#define STEPS_MAX 4
#define DETECT_MAX 3

/* The settings of a collection, and its chain. */
typedef struct {
   ecl_version_format_t format;
   char field[128]; /* dotted */
   char parts[PARTS_MAX][32];
   uint32_t n_parts;
   int64_t versions[STEPS_MAX + 1];
   char written[STEPS_MAX + 1][24]; /* as the files say them; the first: as eclose writes them */
   uint32_t n;                      /* steps */
   bool has_unversioned, has_floor;
   uint32_t unversioned;                          /* its place */
   uint32_t detect[DETECT_MAX], kind[DETECT_MAX]; /* places; 0: t0 is there, 1: t0 is 1, 2: all */
   uint32_t n_detect;
} setting_t;

static uint64_t any_seed;

static inline uint32_t
pick (uint32_t n)
{
   any_seed = any_seed * 6364136223846793005ull + 1442695040888963407ull;
   return (uint32_t) (any_seed >> 33) % n;
}

/* ---- settings ---- */

static inline void
any_name (char *out, uint32_t len)
{
   static const char *const letters[] = {"a", "b", "é", "0", "_", "a", "a"};
   size_t n = 0;

   /* Mostly the same letter: names that differ do so somewhere. */
   while (n < len) {
      const char *letter = letters[pick (3) ? 0 : pick (7)];

      memcpy (out + n, letter, strlen (letter));
      n += strlen (letter);
   }
   out[n] = '\0';
}

static inline int64_t
packed (uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
   return (int64_t) ((uint64_t) a << 48 | (uint64_t) b << 32 | (uint64_t) c << 16 | d);
}

/* The number and the text of the version at a place; larger ones come later. */
static inline void
make_version (setting_t *self, uint32_t i)
{
   static const uint32_t parts[][4] = {
      {0, 9, 0, 0}, {1, 9, 0, 0}, {1, 10, 0, 0}, {1, 10, 0, 1}, {32767, 65535, 65535, 65535}};
   const uint32_t *p = parts[i];
   int n = p[3] ? 4 : 2;

   if (self->format == ECL_VERSION_INTEGER) {
      self->versions[i] = i ? self->versions[0] + i : pick (3) ? pick (3) : INT32_MAX - STEPS_MAX;
      snprintf (self->written[i], sizeof self->written[i], "%lld", (long long) self->versions[i]);
      return;
   }
   self->versions[i] = packed (p[0], p[1], p[2], p[3]);
   n = i && n == 2 ? 2 + (int) pick (3) : n;
   snprintf (self->written[i], sizeof self->written[i],
             n == 2   ? "%u.%u"
             : n == 3 ? "%u.%u.%u"
                      : "%u.%u.%u.%u",
             p[0], p[1], p[2], p[3]);
}

static inline void
any_setting (setting_t *self)
{
   memset (self, 0, sizeof *self);
   self->format = (ecl_version_format_t) pick (3);
   self->n_parts = pick (2) ? 1 : 1 + pick (PARTS_MAX);
   for (uint32_t i = 0; i < self->n_parts; i++) {
      any_name (self->parts[i], pick (2) ? 6 + pick (5) : 1 + pick (20));
      strcat (self->field, i ? "." : "");
      strcat (self->field, self->parts[i]);
   }
   self->n = pick (STEPS_MAX + 1);
   for (uint32_t i = 0; i <= self->n; i++) {
      make_version (self, i);
   }
   self->has_floor = pick (4) == 0;
   self->n_detect = pick (2) ? 0 : 1 + pick (DETECT_MAX);
   self->has_unversioned = !self->n_detect || pick (2);
   self->unversioned = self->has_floor ? pick (self->n + 1) : 0;
   for (uint32_t i = 0; i < self->n_detect; i++) {
      /* One of them, or `unversioned`, is the lowest: there the chain begins. */
      self->detect[i] = i || self->has_unversioned || self->has_floor ? pick (self->n + 1) : 0;
      self->kind[i] = pick (8) ? pick (2) : 2;
   }
}

static inline const char *
quotes (const setting_t *self)
{
   return self->format == ECL_VERSION_INTEGER && pick (2) ? "" : "\"";
}

/* stages writes what a step says behind its `to`: ", \"up\": […], \"down\": […]". */
static inline ecl_project_t *
load_setting (const setting_t *self, char *(*stages) (uint32_t step))
{
   static const char *const formats[] = {"integer", "dotted", "packed"};
   static const char *const filters[] = {"{\"t0\": {\"$exists\": true}}", "{\"t0\": 1}", "{}"};
   file_t files[STEPS_MAX + 1] = {{0}};
   bson_string_t *config = bson_string_new ("{\"collections\": {\"c\": {");
   const char *q = quotes (self);
   ecl_project_t *project;
   char *more;

   bson_string_append_printf (config, "\"version_field\": \"%s\", \"version_format\": \"%s\"", self->field,
                              formats[self->format]);
   if (self->has_unversioned) {
      bson_string_append_printf (config, ", \"unversioned\": %s%s%s", q, self->written[self->unversioned], q);
   }
   if (self->has_floor) {
      bson_string_append_printf (config, ", \"floor\": %s%s%s", q, self->written[0], q);
   }
   for (uint32_t i = 0; i < self->n_detect; i++) {
      bson_string_append_printf (config, "%s{\"version\": %s%s%s, \"filter\": %s}%s", i ? ", " : ", \"detect\": [", q,
                                 self->written[self->detect[i]], q, filters[self->kind[i]],
                                 i + 1 == self->n_detect ? "]" : "");
   }
   bson_string_append (config, "}}}");
   for (uint32_t i = 1; i <= self->n; i++) {
      files[i - 1].path = self->format == ECL_VERSION_INTEGER ? bson_strdup_printf ("c/%s_m.yaml", self->written[i])
                                                              : bson_strdup_printf ("c/m%u.yaml", i);
      more = stages (i);
      files[i - 1].text = bson_strdup_printf ("{\"to\": %s%s%s%s}", q, self->written[i], q, more);
      bson_free (more);
   }
   project = load_good (config->str, files);
   for (uint32_t i = 0; i < self->n; i++) {
      bson_free ((char *) files[i].path);
      bson_free ((char *) files[i].text);
   }
   bson_string_free (config, true);
   return project;
}

/* ---- documents ---- */

/* A name that is nearly the one. */
static inline void
near_name (const setting_t *self, const char *name, char *out)
{
   size_t len = strlen (name);

   strcpy (out, name);
   switch (pick (8)) {
   case 0:
      out[len - 1] = '\0';
      break;
   case 1:
      strcat (out, "a");
      break;
   case 2:
      out[len - 1] = '.';
      break;
   case 3:
      out[0] = out[0] == 'b' ? 'c' : 'b';
      break;
   case 4:
      strcpy (out, self->field); /* a dot in a name is no path */
      break;
   case 5:
      out[len > 8 ? 8 : len / 2] = 'c';
      break;
   case 6:
      out[len > 8 ? 8 : len / 2] = '\0';
      break;
   default:
      strcat (out, ".v");
   }
}

static inline void
append_decimal (bson_t *out, const char *name, const char *text)
{
   bson_decimal128_t decimal;

   assert_true (bson_decimal128_from_string (text, &decimal));
   BSON_APPEND_DECIMAL128 (out, name, &decimal);
}

static inline void
append_version (bson_t *out, const char *name, const setting_t *self, int64_t version)
{
   char text[64];

   switch (self->format == ECL_VERSION_DOTTED ? 4 + pick (3) : pick (4)) {
   case 0:
      if (version <= INT32_MAX) {
         BSON_APPEND_INT32 (out, name, (int32_t) version);
         break;
      }
      /* fallthrough */
   case 1:
      BSON_APPEND_INT64 (out, name, version);
      break;
   case 2:
      BSON_APPEND_DOUBLE (out, name, (double) version); /* where that is exact */
      break;
   case 3:
      snprintf (text, sizeof text, pick (2) ? "%lld" : "%lld.00", (long long) version);
      append_decimal (out, name, text);
      break;
   default: {
      uint64_t v = (uint64_t) version;
      unsigned p[4] = {(unsigned) (v >> 48), (unsigned) (v >> 32 & 0xFFFF), (unsigned) (v >> 16 & 0xFFFF),
                       (unsigned) (v & 0xFFFF)};
      int n = 1 + (int) pick (4);

      while (n < 4 && (p[n] || (n < 3 && p[n + 1]) || (n < 2 && p[3]))) {
         n++;
      }
      snprintf (text, sizeof text,
                n == 1   ? "%u"
                : n == 2 ? "%u.%u"
                : n == 3 ? "%u.%u.%u"
                         : "%u.%u.%u.%u",
                p[0], p[1], p[2], p[3]);
      BSON_APPEND_UTF8 (out, name, text);
   }
   }
}

static inline void
append_other (bson_t *out, const char *name, const setting_t *self, uint32_t part)
{
   static const char *const texts[] = {"",     "01.9",    "1.9.0.0.0", "1.",   ".9",
                                       "1..9", "1.65536", "32768.0",   "1.9 ", "-1.9"};
   const char *text;
   bson_t child, inner;

   switch (pick (20)) {
   case 0:
      BSON_APPEND_NULL (out, name);
      break;
   case 1:
      BSON_APPEND_UNDEFINED (out, name);
      break;
   case 2:
      BSON_APPEND_BOOL (out, name, pick (2));
      break;
   case 3:
      BSON_APPEND_INT32 (out, name, -(int32_t) pick (3));
      break;
   case 4:
      BSON_APPEND_DOUBLE (out, name, pick (2) ? 1.5 : pick (2) ? (double) NAN : -0.0);
      break;
   case 5:
      append_decimal (out, name, pick (2) ? "1.5" : pick (2) ? "Infinity" : "1E+40");
      break;
   case 6:
      BSON_APPEND_DATE_TIME (out, name, 1);
      break;
   case 7:
      BSON_APPEND_INT64 (out, name, pick (2) ? INT64_MAX : INT64_MIN);
      break;
   case 8:
   case 9:
      text = texts[pick (sizeof texts / sizeof texts[0])];
      BSON_APPEND_UTF8 (out, name, text);
      break;
   case 10:
      BSON_APPEND_UTF8 (out, name, "a text that is longer than what one compares at once");
      break;
   case 11:
      BSON_APPEND_DOCUMENT_BEGIN (out, name, &child);
      bson_append_document_end (out, &child);
      break;
   case 12:
   case 13:
      /* A query would look into it. */
      BSON_APPEND_ARRAY_BEGIN (out, name, &child);
      if (part + 1 < self->n_parts) {
         BSON_APPEND_DOCUMENT_BEGIN (&child, "0", &inner);
         append_version (&inner, self->parts[part + 1], self, self->versions[pick (self->n + 1)]);
         bson_append_document_end (&child, &inner);
      } else if (pick (3)) {
         append_version (&child, "0", self, self->versions[pick (self->n + 1)]);
      }
      bson_append_array_end (out, &child);
      break;
   default:
      append_version (out, name, self, self->versions[pick (self->n + 1)]);
   }
}

static inline void
append_near (bson_t *out, const setting_t *self, uint32_t part, uint32_t most)
{
   for (uint32_t n = pick (most + 1); n; n--) {
      char name[256];

      near_name (self, self->parts[part], name);
      append_other (out, name, self, part);
   }
}

static inline void
append_level (bson_t *out, const setting_t *self, uint32_t part)
{
   append_near (out, self, part, 3);
   for (uint32_t n = pick (8) ? 1 : pick (2) ? 0 : 2; n; n--) {
      bson_t child;

      if (part + 1 < self->n_parts && pick (6)) {
         BSON_APPEND_DOCUMENT_BEGIN (out, self->parts[part], &child);
         append_level (&child, self, part + 1);
         bson_append_document_end (out, &child);
      } else if (pick (4)) {
         append_version (out, self->parts[part], self, self->versions[pick (self->n + 1)]);
      } else {
         append_other (out, self->parts[part], self, part);
      }
   }
   append_near (out, self, part, 2);
}

static inline void
any_document (bson_t *out, const setting_t *self)
{
   bson_init (out);
   if (pick (4)) {
      BSON_APPEND_INT32 (out, "_id", (int32_t) pick (1000));
   }
   if (pick (3) == 0) {
      BSON_APPEND_INT32 (out, "t0", (int32_t) pick (2));
   }
   append_level (out, self, 0);
   if (pick (4) == 0) {
      BSON_APPEND_UTF8 (out, "mark", "what was there");
   }
}

#endif
