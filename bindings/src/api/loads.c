/* Loads: see loads.h. */
#include "api/loads.h"

#include "mql/match.h"
#include "upgrade/append.h"

/* One value that was asked for. */
typedef struct entry_t entry_t;
struct entry_t {
   entry_t *next;     /* of the same bucket */
   entry_t *next_all; /* of the group, the last one first */
   uint64_t hash;
   ecl_value_t key;
   bool ready;
   ecl_value_t *documents;
   uint32_t n, cap;
};

#define BUCKETS 256u

/* The values of one field of one collection. */
typedef struct group_t group_t;
struct group_t {
   group_t *next;
   const char *collection, *field;
   entry_t *buckets[BUCKETS];
   entry_t *entries;
   uint32_t n_wanted;
};

/* The upgrader of a collection that was looked up, and what it looks up itself. */
typedef struct below_t below_t;
struct below_t {
   below_t *next;
   const ecl_chain_t *chain;
   ecl_upgrader_t *upgrader;
   ecl_loads_t *loads;
};

struct ecl_loads_t {
   const eclose_project_t *project;
   eclose_loader_t public;
   ecl_loader_t loader;
   unsigned depth;
   ecl_arena_t arena; /* of groups, keys and documents; goes with the batch */
   group_t *groups;
   below_t *below;
};

/* What a loader found: raw documents in the arena. */
struct _eclose_found_t {
   ecl_arena_t *arena;
   ecl_value_t *documents;
   uint32_t n, cap;
};

static ecl_load_t
find (void *context, const char *collection, const char *field, const ecl_value_t *key, const ecl_value_t **documents,
      uint32_t *n, bson_error_t *error);

ecl_loads_t *
ecl_loads_new (const eclose_project_t *project, const eclose_loader_t *loader, unsigned depth)
{
   ecl_loads_t *self = bson_malloc0 (sizeof *self);

   self->project = project;
   self->public = *loader;
   self->loader = (ecl_loader_t){.find = find, .context = self};
   self->depth = depth;
   ecl_arena_init (&self->arena);
   return self;
}

void
ecl_loads_destroy (ecl_loads_t *self)
{
   if (self) {
      while (self->below) {
         below_t *next = self->below->next;

         ecl_upgrader_destroy (self->below->upgrader);
         ecl_loads_destroy (self->below->loads);
         bson_free (self->below);
         self->below = next;
      }
      ecl_arena_cleanup (&self->arena);
      bson_free (self);
   }
}

const ecl_loader_t *
ecl_loads_loader (const ecl_loads_t *self)
{
   return &self->loader;
}

const eclose_loader_t *
ecl_loads_public (const ecl_loads_t *self)
{
   return &self->public;
}

void
ecl_loads_clear (ecl_loads_t *self)
{
   if (self->groups) {
      ecl_arena_reset (&self->arena);
      self->groups = NULL;
      for (below_t *below = self->below; below; below = below->next) {
         ecl_loads_clear (below->loads);
      }
   }
}

/* ---- asking ---- */

static void
push (ecl_arena_t *arena, ecl_value_t **items, uint32_t *n, uint32_t *cap, const ecl_value_t *value)
{
   if (*n == *cap) {
      uint32_t more = *cap ? 2 * *cap : 4;

      *items = ecl_arena_grow (arena, *items, *cap * sizeof **items, more * sizeof **items);
      *cap = more;
   }
   (*items)[(*n)++] = *value;
}

static entry_t *
entry_of (const group_t *group, const ecl_value_t *key, uint64_t hash)
{
   entry_t *entry = group->buckets[hash % BUCKETS];

   while (entry && !(entry->hash == hash && ecl_equal (&entry->key, key))) {
      entry = entry->next;
   }
   return entry;
}

static group_t *
group_of (ecl_loads_t *self, const char *collection, const char *field)
{
   group_t *group = self->groups;

   while (group && (strcmp (group->collection, collection) != 0 || strcmp (group->field, field) != 0)) {
      group = group->next;
   }
   if (!group) {
      group = ecl_arena_new (&self->arena, group_t);
      memset (group, 0, sizeof *group);
      group->collection = ecl_arena_strndup (&self->arena, collection, strlen (collection));
      group->field = ecl_arena_strndup (&self->arena, field, strlen (field));
      group->next = self->groups;
      self->groups = group;
   }
   return group;
}

static ecl_load_t
find (void *context, const char *collection, const char *field, const ecl_value_t *key, const ecl_value_t **documents,
      uint32_t *n, bson_error_t *error)
{
   ecl_loads_t *self = context;
   ecl_value_t present = ecl_present (*key);
   uint64_t hash = ecl_hash (&present);
   group_t *group;
   entry_t *entry;

   *documents = NULL;
   *n = 0;
   if (self->depth >= ECL_LOADS_DEPTH) {
      ecl_fail (
         error, ECL_DOMAIN_UPGRADE, ECL_ERROR_CHAIN,
         "documents of %s are looked up for documents that are looked up, %u deep: functions that look each other "
         "up in a circle",
         collection, self->depth);
      return ECL_LOAD_FAILED;
   }
   group = group_of (self, collection, field);
   entry = entry_of (group, &present, hash);
   if (!entry) {
      entry = ecl_arena_new (&self->arena, entry_t);
      *entry = (entry_t){.next = group->buckets[hash % BUCKETS],
                         .next_all = group->entries,
                         .hash = hash,
                         .key = ecl_value_copy (&self->arena, &present)};
      group->buckets[hash % BUCKETS] = entry;
      group->entries = entry;
      group->n_wanted++;
   }
   if (!entry->ready) {
      return ECL_LOAD_PENDING;
   }
   *documents = entry->documents;
   *n = entry->n;
   return ECL_LOAD_READY;
}

/* ---- loading ---- */

void
eclose_found_add (eclose_found_t *found, const bson_t *document)
{
   ecl_value_t raw;
   uint8_t *bytes = ecl_arena_alloc (found->arena, document->len);

   memcpy (bytes, bson_get_data (document), document->len);
   raw = ecl_raw_document (bytes, document->len);
   push (found->arena, &found->documents, &found->n, &found->cap, &raw);
}

static bool
below_of (ecl_loads_t *self, const ecl_chain_t *chain, below_t **out, bson_error_t *error)
{
   below_t *below = self->below;

   while (below && below->chain != chain) {
      below = below->next;
   }
   if (!below) {
      ecl_upgrader_t *upgrader = ecl_upgrader_new (self->project->upgrades, chain, ecl_api_own_target (chain), error);

      if (!upgrader) {
         return false;
      }
      below = bson_malloc0 (sizeof *below);
      below->chain = chain;
      below->upgrader = upgrader;
      below->loads = ecl_loads_new (self->project, &self->public, self->depth + 1);
      ecl_upgrader_set_loader (below->upgrader, &below->loads->loader);
      below->next = self->below;
      self->below = below;
   }
   *out = below;
   return true;
}

/* One document, moved to the arena where it had to be carried over. *again: it needs others first. */
static bool
upgrade_one (ecl_loads_t *self, below_t *below, ecl_value_t *document, bool *again, bson_error_t *error)
{
   const uint8_t *out;
   size_t len;
   bson_error_t cause = {0};

   *again = false;
   if (!ecl_upgrader_run (below->upgrader, document->u.raw, document->len, &out, &len, NULL, &cause)) {
      *again = cause.domain == ECL_DOMAIN_UPGRADE && cause.code == ECL_ERROR_NEEDS;
      return *again || ecl_fail (error, cause.domain, cause.code, "%s", cause.message);
   }
   if (out != document->u.raw) {
      uint8_t *bytes = ecl_arena_alloc (&self->arena, len);

      memcpy (bytes, out, len);
      *document = ecl_raw_document (bytes, len);
   }
   return true;
}

/* Carries what was found to the newest shape, all of it with as few loads as one document takes. */
static bool
upgrade (ecl_loads_t *self, const char *collection, eclose_found_t *found, bson_error_t *error)
{
   const ecl_chain_t *chain = ecl_project_chain (self->project->project, collection);
   uint32_t left = found->n;
   bool *waits;
   below_t *below;
   bool ok = true;

   if (!chain || !chain->n_steps || !found->n) {
      return true;
   }
   if (!below_of (self, chain, &below, error)) {
      return false;
   }
   waits = bson_malloc (found->n * sizeof *waits);
   memset (waits, true, found->n * sizeof *waits);
   while (ok && left) {
      left = 0;
      for (uint32_t i = 0; ok && i < found->n; i++) {
         if (waits[i]) {
            ok = upgrade_one (self, below, &found->documents[i], &waits[i], error);
            left += waits[i];
         }
      }
      ok = ok && (!left || ecl_loads_fetch (below->loads, error));
   }
   bson_free (waits);
   return ok;
}

/* Gives a value the documents of a list that {field: {$eq: value}} finds. */
static bool
match_entry (const group_t *group, entry_t *entry, ecl_eval_t *ev, const ecl_value_t *documents, uint32_t n,
             eclose_found_t *found, bson_error_t *error)
{
   bson_t filter = BSON_INITIALIZER, equals;
   ecl_match_t *match;
   ecl_value_t raw;
   bool ok = true;

   bson_append_document_begin (&filter, group->field, -1, &equals);
   ecl_append_value (&equals, "$eq", &entry->key);
   bson_append_document_end (&filter, &equals);
   raw = ecl_raw_document (bson_get_data (&filter), filter.len);
   match = ecl_match_new (&raw, NULL);
   if (!match) {
      ok = ecl_fail (error, ECL_DOMAIN_UPGRADE, ECL_ERROR_UNSUPPORTED, "%s.%s cannot be looked up by %s",
                     group->collection, group->field, ecl_value_text (&ev->arena, &entry->key));
   }
   for (uint32_t i = 0; ok && i < n; i++) {
      bool matched = false;

      ok = ecl_match_run (match, ev, &documents[i], &matched, error);
      if (ok && matched) {
         push (found->arena, &entry->documents, &entry->n, &entry->cap, &documents[i]);
      }
   }
   ecl_match_destroy (match);
   bson_destroy (&filter);
   return ok;
}

/* Gives each wanted value the documents that match it. Mostly the field is one value at the top level, which the table
 * finds; what is deeper, missing or an array is matched as MongoDB does. */
static bool
distribute (group_t *group, eclose_found_t *found, bson_error_t *error)
{
   ecl_value_t *general = NULL;
   uint32_t n_general = 0, cap_general = 0;
   bool deep = strchr (group->field, '.') != NULL, ok = true;
   ecl_eval_t ev;

   for (uint32_t i = 0; i < found->n; i++) {
      ecl_value_t value =
         deep ? ecl_missing () : ecl_document_get (&found->documents[i], group->field, strlen (group->field));

      if (ecl_is_array (&value) || ecl_is_nullish (&value)) {
         push (found->arena, &general, &n_general, &cap_general, &found->documents[i]);
      } else {
         entry_t *entry = entry_of (group, &value, ecl_hash (&value));

         if (entry && !entry->ready) {
            push (found->arena, &entry->documents, &entry->n, &entry->cap, &found->documents[i]);
         }
      }
   }
   if (n_general) {
      ecl_eval_init (&ev);
      for (entry_t *entry = group->entries; ok && entry; entry = entry->next_all) {
         ok = entry->ready || match_entry (group, entry, &ev, general, n_general, found, error);
      }
      ecl_eval_cleanup (&ev);
   }
   return ok;
}

/* The documents that the public loader finds. */
static bool
load (ecl_loads_t *self, const group_t *group, eclose_found_t *found, bson_error_t *error)
{
   bson_t values = BSON_INITIALIZER;
   bson_error_t cause = {0};
   uint32_t i = 0;
   bool ok;

   for (const entry_t *entry = group->entries; entry; entry = entry->next_all) {
      if (!entry->ready) {
         char buffer[16];
         const char *key;

         bson_uint32_to_string (i++, &key, buffer, sizeof buffer);
         ecl_append_value (&values, key, &entry->key);
      }
   }
   ok = self->public.load (self->public.user_data, group->collection, group->field, &values, found, &cause);
   if (!ok && !cause.code) {
      ecl_fail (&cause, ECL_DOMAIN_UPGRADE, ECL_ERROR_SERVER, "the loader failed and does not say why");
   }
   for (uint32_t k = 0; ok && k < found->n; k++) {
      ok = ecl_bson_validate (found->documents[k].u.raw, found->documents[k].len, &cause);
   }
   if (!ok) {
      ecl_error_prefix (&cause, "loading from %s by %s", group->collection, group->field);
      ecl_fail (error, cause.domain, cause.code, "%s", cause.message);
   }
   bson_destroy (&values);
   return ok;
}

bool
ecl_loads_fetch (ecl_loads_t *self, bson_error_t *error)
{
   for (group_t *group = self->groups; group; group = group->next) {
      eclose_found_t found = {.arena = &self->arena};

      if (!group->n_wanted) {
         continue;
      }
      /* Matched in the shape in which they are given out. */
      if (!load (self, group, &found, error) || !upgrade (self, group->collection, &found, error) ||
          !distribute (group, &found, error)) {
         return false;
      }
      for (entry_t *entry = group->entries; entry; entry = entry->next_all) {
         entry->ready = true;
      }
      group->n_wanted = 0;
   }
   return true;
}
