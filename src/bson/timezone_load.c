/* Reading tzdata: TZif files (RFC 8536), the footer's rule, one zone by name, and the table of all zones. */
#include "bson/timezone-private.h"

#include "base/ascii.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_FILE (256u * 1024u) /* the largest of tzdata has less than 4 KB */
#define MAX_NAME 64

/* ---- TZif ---- */

typedef struct {
   uint32_t isut, isstd, leap, times, types, chars;
} header_t;

static uint32_t
read32 (const uint8_t *p)
{
   return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3];
}

static int64_t
read64 (const uint8_t *p)
{
   return (int64_t) ((uint64_t) read32 (p) << 32 | read32 (p + 4));
}

#define HEADER_SIZE 44u

static bool
read_header (const uint8_t *p, size_t len, header_t *out)
{
   if (len < HEADER_SIZE || memcmp (p, "TZif", 4) != 0) {
      return false;
   }
   out->isut = read32 (p + 20);
   out->isstd = read32 (p + 24);
   out->leap = read32 (p + 28);
   out->times = read32 (p + 32);
   out->types = read32 (p + 36);
   out->chars = read32 (p + 40);
   return out->isut <= MAX_FILE && out->isstd <= MAX_FILE && out->leap <= MAX_FILE && out->times <= MAX_FILE &&
          out->types <= 256 && out->chars <= MAX_FILE;
}

static size_t
block_size (const header_t *h, size_t time_size)
{
   return h->times * (time_size + 1) + h->types * 6 + h->chars + h->leap * (time_size + 4) + h->isstd + h->isut;
}

/* ---- the footer: TZ=std offset [dst [offset] , start [/time] , end [/time]] ---- */

static bool
footer_name (const char **p)
{
   const char *begin = *p;

   if (**p == '<') {
      const char *close = strchr (*p, '>');

      if (!close) {
         return false;
      }
      *p = close + 1;
      return true;
   }
   while (ecl_is_letter (**p)) {
      ++*p;
   }
   return *p > begin;
}

static bool
footer_number (const char **p, int32_t most, int32_t *out)
{
   int32_t n = 0;

   if (!ecl_is_digit (**p)) {
      return false;
   }
   while (ecl_is_digit (**p)) {
      n = n * 10 + (**p - '0');
      if (n > most) {
         return false;
      }
      ++*p;
   }
   *out = n;
   return true;
}

/* [+-]hh[:mm[:ss]] in seconds */
static bool
footer_time (const char **p, int32_t *out)
{
   int32_t sign = **p == '-' ? -1 : 1, hours, minutes = 0, seconds = 0;

   *p += **p == '-' || **p == '+';
   if (!footer_number (p, 167, &hours)) {
      return false;
   }
   if (**p == ':') {
      ++*p;
      if (!footer_number (p, 59, &minutes)) {
         return false;
      }
      if (**p == ':') {
         ++*p;
         if (!footer_number (p, 59, &seconds)) {
            return false;
         }
      }
   }
   *out = sign * (hours * 3600 + minutes * 60 + seconds);
   return true;
}

static bool
footer_rule (const char **p, ecl_zone_rule_t *out)
{
   if (**p != ',') {
      return false;
   }
   ++*p;
   if (**p == 'M') {
      ++*p;
      out->kind = ECL_RULE_MONTH;
      if (!footer_number (p, 12, &out->month) || out->month < 1 || *(*p)++ != '.' ||
          !footer_number (p, 5, &out->week) || out->week < 1 || *(*p)++ != '.' || !footer_number (p, 6, &out->day)) {
         return false;
      }
   } else if (**p == 'J') {
      ++*p;
      out->kind = ECL_RULE_JULIAN;
      if (!footer_number (p, 365, &out->day) || out->day < 1) {
         return false;
      }
   } else {
      out->kind = ECL_RULE_DAY;
      if (!footer_number (p, 365, &out->day)) {
         return false;
      }
   }
   out->time = 7200;
   if (**p == '/') {
      ++*p;
      return footer_time (p, &out->time);
   }
   return true;
}

static bool
parse_footer (const char *text, ecl_zone_footer_t *out)
{
   const char *p = text;
   int32_t west;

   memset (out, 0, sizeof *out);
   if (!footer_name (&p) || !footer_time (&p, &west)) {
      return false;
   }
   out->std_offset = -west;
   if (*p == '\0') {
      return true;
   }
   out->has_dst = true;
   out->dst_offset = out->std_offset + 3600;
   if (!footer_name (&p)) {
      return false;
   }
   if (*p != ',') {
      if (!footer_time (&p, &west)) {
         return false;
      }
      out->dst_offset = -west;
   }
   return footer_rule (&p, &out->start) && footer_rule (&p, &out->end) && *p == '\0';
}

const ecl_zone_rules_t *
ecl_zone_rules_parse (ecl_arena_t *arena, const uint8_t *data, size_t len)
{
   const uint8_t *end = data + len, *p = data;
   size_t time_size = 4;
   header_t h;
   ecl_zone_rules_t *rules;
   int64_t *transitions;
   ecl_zone_type_t *types;

   if (len > MAX_FILE || !read_header (p, len, &h)) {
      return NULL;
   }
   if (data[4] >= '2') {
      /* The first block has 32-bit times, for readers of old; the second says it all. */
      size_t skip = HEADER_SIZE + block_size (&h, 4);

      if (skip > len || !read_header (p + skip, len - skip, &h)) {
         return NULL;
      }
      p += skip;
      time_size = 8;
   }
   p += HEADER_SIZE;
   if (h.types == 0 || block_size (&h, time_size) > (size_t) (end - p)) {
      return NULL;
   }
   rules = ecl_arena_new (arena, ecl_zone_rules_t);
   memset (rules, 0, sizeof *rules);
   transitions = ecl_arena_array (arena, int64_t, h.times);
   types = ecl_arena_array (arena, ecl_zone_type_t, h.types);
   for (uint32_t i = 0; i < h.times; i++, p += time_size) {
      transitions[i] = time_size == 8 ? read64 (p) : (int32_t) read32 (p);
      if (i && transitions[i] <= transitions[i - 1]) {
         return NULL;
      }
   }
   for (uint32_t i = 0; i < h.times; i++) {
      if (p[i] >= h.types) {
         return NULL;
      }
   }
   rules->indexes = memcpy (ecl_arena_alloc (arena, h.times), p, h.times);
   p += h.times;
   for (uint32_t i = 0; i < h.types; i++, p += 6) {
      int32_t offset = (int32_t) read32 (p);

      /* RFC 8536: within -25 and 26 hours */
      if (offset < -89999 || offset > 93599) {
         return NULL;
      }
      types[i] = (ecl_zone_type_t){.offset = offset, .dst = p[4] != 0};
   }
   p += h.chars + h.leap * (time_size + 4) + h.isstd + h.isut;
   rules->transitions = transitions;
   rules->types = types;
   rules->n_transitions = h.times;
   rules->n_types = h.types;
   if (time_size == 8 && p < end && *p == '\n') {
      const uint8_t *line = memchr (p + 1, '\n', (size_t) (end - p - 1));

      if (!line) {
         return NULL;
      }
      if (line > p + 1) {
         rules->has_footer =
            parse_footer (ecl_arena_strndup (arena, (const char *) p + 1, (size_t) (line - p - 1)), &rules->footer);
         if (!rules->has_footer) {
            return NULL;
         }
      }
   }
   return rules;
}

/* ---- files ---- */

static const char *const directories[] = {"/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/usr/share/lib/zoneinfo",
                                          "/etc/zoneinfo"};

/* Reads a regular file of bounded size; NULL where it is none or is no TZif. */
static const ecl_zone_rules_t *
read_zone (ecl_arena_t *arena, int directory, const char *name)
{
   const ecl_zone_rules_t *rules = NULL;
   uint8_t buffer[16384], *data = buffer;
   struct stat st;
   size_t size, have = 0;
   int fd = openat (directory, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

   if (fd < 0) {
      return NULL;
   }
   if (fstat (fd, &st) != 0 || !S_ISREG (st.st_mode) || st.st_size < (off_t) HEADER_SIZE ||
       st.st_size > (off_t) MAX_FILE) {
      goto done;
   }
   size = (size_t) st.st_size;
   if (size > sizeof buffer) {
      data = bson_malloc (size);
   }
   while (have < size) {
      ssize_t n = read (fd, data + have, size - have);

      if (n < 0 && errno == EINTR) {
         continue;
      }
      if (n <= 0) {
         goto done;
      }
      have += (size_t) n;
   }
   rules = ecl_zone_rules_parse (arena, data, size);

done:
   if (data != buffer) {
      bson_free (data);
   }
   close (fd);
   return rules;
}

static int
open_directory (void)
{
   for (size_t i = 0; i < sizeof directories / sizeof directories[0]; i++) {
      int fd = open (directories[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);

      if (fd >= 0) {
         return fd;
      }
   }
   return -1;
}

/* One component of a name: not hidden, not "..", nothing but letters, digits, '_', '+' and '-'. */
static bool
valid_component (const char *name, size_t len)
{
   if (len == 0 || len > MAX_NAME || !ecl_is_letter (name[0])) {
      return false;
   }
   for (size_t i = 0; i < len; i++) {
      char c = name[i];

      if (!ecl_is_letter (c) && !ecl_is_digit (c) && c != '_' && c != '+' && c != '-') {
         return false;
      }
   }
   return true;
}

/* What stands beside the zones in the same folder, and copies of them with other rules for leap seconds. */
static bool
is_other (const char *name, size_t len)
{
   static const char *const others[] = {"posix", "right", "posixrules", "localtime", "leapseconds"};

   for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
      if (strlen (others[i]) == len && memcmp (others[i], name, len) == 0) {
         return true;
      }
   }
   return false;
}

static bool
valid_name (const char *name, size_t len)
{
   const char *p = name, *end = name + len;

   if (len > MAX_NAME) {
      return false;
   }
   for (;;) {
      const char *slash = memchr (p, '/', (size_t) (end - p));
      const char *stop = slash ? slash : end;

      if (!valid_component (p, (size_t) (stop - p)) || (p == name && is_other (p, (size_t) (stop - p)))) {
         return false;
      }
      if (!slash) {
         return true;
      }
      p = slash + 1;
   }
}

/* What needs no file. */
static bool
find_simple (const char *name, size_t len, ecl_timezone_t *out)
{
   if (len == 3 && memcmp (name, "UTC", 3) == 0) {
      *out = (ecl_timezone_t){0};
      return true;
   }
   return ecl_timezone_parse_offset (name, len, out);
}

bool
ecl_timezone_load (ecl_arena_t *arena, const char *name, size_t len, ecl_timezone_t *out)
{
   char path[MAX_NAME + 1];
   int directory;

   if (find_simple (name, len, out)) {
      return true;
   }
   if (!valid_name (name, len)) {
      return false;
   }
   memcpy (path, name, len);
   path[len] = '\0';
   directory = open_directory ();
   if (directory < 0) {
      return false;
   }
   *out = (ecl_timezone_t){.rules = read_zone (arena, directory, path)};
   close (directory);
   return out->rules != NULL;
}

/* ---- the table of all zones ---- */

typedef struct {
   const char *name;
   const ecl_zone_rules_t *rules;
} entry_t;

struct ecl_zone_db_t {
   ecl_arena_t arena;
   entry_t *entries; /* sorted by name */
   size_t n, cap;
};

static ecl_zone_db_t database;
static pthread_once_t database_once = PTHREAD_ONCE_INIT;

static void
add_zone (ecl_zone_db_t *db, const char *name, const ecl_zone_rules_t *rules)
{
   if (db->n == db->cap) {
      size_t cap = db->cap ? 2 * db->cap : 512;

      db->entries = ecl_arena_grow (&db->arena, db->entries, db->n * sizeof *db->entries, cap * sizeof *db->entries);
      db->cap = cap;
   }
   db->entries[db->n++] = (entry_t){.name = ecl_arena_strndup (&db->arena, name, strlen (name)), .rules = rules};
}

/* Adds the zones of a folder; fd is taken over. prefix ends in '/' or is empty. */
static void
add_folder (ecl_zone_db_t *db, int fd, const char *prefix, int depth)
{
   DIR *folder = fdopendir (fd);
   const struct dirent *entry;

   if (!folder) {
      close (fd);
      return;
   }
   while ((entry = readdir (folder)) != NULL) {
      const char *name = entry->d_name;
      size_t len = strlen (name), prefix_len = strlen (prefix);
      char path[2 * MAX_NAME];
      const ecl_zone_rules_t *rules;

      if (!valid_component (name, len) || prefix_len + len >= MAX_NAME || (depth == 0 && is_other (name, len))) {
         continue;
      }
      memcpy (path, prefix, prefix_len);
      memcpy (path + prefix_len, name, len + 1);
      if (entry->d_type != DT_REG) {
         int sub = openat (fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

         if (sub >= 0) {
            if (depth >= 3) {
               close (sub);
               continue;
            }
            path[prefix_len + len] = '/';
            path[prefix_len + len + 1] = '\0';
            add_folder (db, sub, path, depth + 1);
            continue;
         }
      }
      rules = read_zone (&db->arena, fd, name);
      if (rules) {
         add_zone (db, path, rules);
      }
   }
   closedir (folder);
}

static int
compare_entries (const void *a, const void *b)
{
   return strcmp (((const entry_t *) a)->name, ((const entry_t *) b)->name);
}

static void
build_database (void)
{
   int fd = open_directory ();

   ecl_arena_init (&database.arena);
   if (fd >= 0) {
      add_folder (&database, fd, "", 0);
      if (database.n) {
         qsort (database.entries, database.n, sizeof *database.entries, compare_entries);
      }
   }
}

const ecl_zone_db_t *
ecl_timezone_db (void)
{
   pthread_once (&database_once, build_database);
   return &database;
}

size_t
ecl_timezone_db_size (const ecl_zone_db_t *db)
{
   return db->n;
}

bool
ecl_timezone_find (const ecl_zone_db_t *db, const char *name, size_t len, ecl_timezone_t *out)
{
   size_t low = 0, high = db->n;

   if (find_simple (name, len, out)) {
      return true;
   }
   while (low < high) {
      size_t middle = low + (high - low) / 2;
      const char *other = db->entries[middle].name;
      size_t other_len = strlen (other);
      int order = memcmp (name, other, len < other_len ? len : other_len);

      if (order == 0) {
         if (len == other_len) {
            *out = (ecl_timezone_t){.rules = db->entries[middle].rules};
            return true;
         }
         order = len < other_len ? -1 : 1;
      }
      if (order < 0) {
         high = middle;
      } else {
         low = middle + 1;
      }
   }
   return false;
}
