/* Loads: see loads.h. */
#include "upgrade/loads.h"

#include "bson/append.h"
#include "mql/match.h"

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
   uint32_t failed; /* code of a document of it that cannot be upgraded; 0 where there is none */
   const char *message;
};

/* Upgraders below each other: chains are checked when they are loaded, so only functions that look each other up get
 * there. */
#define DEPTH 16u

#define BUCKETS 256u

/* A document that a query found. */
typedef struct {
   ecl_value_t document;
   bool waits;      /* it is not at its target yet */
   uint32_t failed; /* code; it cannot be */
   const char *message;
} found_t;

/* The values of one field of one collection. */
typedef struct group_t group_t;
struct group_t {
   group_t *next;
   const char *collection, *field;
   entry_t *buckets[BUCKETS];
   entry_t *entries;
   uint32_t n_wanted;
   bool answered; /* the query's documents are here */
   found_t *found;
   uint32_t n_found, cap_found;
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
   ecl_loads_options_t options;
   ecl_loader_t loader;
   unsigned depth;
   ecl_arena_t arena; /* of groups, keys and documents; goes with the batch */
   size_t size;
   group_t *groups;
   below_t *below;
   ecl_loads_query_t query;
};

static ecl_load_t
find (void *context, const char *collection, const char *field, const ecl_value_t *key, const ecl_value_t **documents,
      uint32_t *n, bson_error_t *error);

static ecl_loads_t *
loads_new (const ecl_loads_options_t *options, unsigned depth)
{
   ecl_loads_t *self = BSON_ALIGNED_ALLOC0 (ecl_loads_t);

   self->options = *options;
   self->loader = (ecl_loader_t){.find = find, .context = self};
   self->depth = depth;
   ecl_arena_init (&self->arena);
   bson_init (&self->query.values);
   return self;
}

ecl_loads_t *
ecl_loads_new (const ecl_loads_options_t *options)
{
   return loads_new (options, 0);
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
      bson_destroy (&self->query.values);
      bson_free (self);
   }
}

const ecl_loader_t *
ecl_loads_loader (const ecl_loads_t *self)
{
   return &self->loader;
}

void *
ecl_loads_owner (const ecl_loads_t *self)
{
   return self->options.owner;
}

size_t
ecl_loads_size (const ecl_loads_t *self)
{
   size_t size = self->size;

   for (const below_t *below = self->below; below; below = below->next) {
      size += ecl_loads_size (below->loads);
   }
   return size;
}

void
ecl_loads_clear (ecl_loads_t *self)
{
   if (self->groups) {
      ecl_arena_reset (&self->arena);
      self->groups = NULL;
      self->size = 0;
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

/* Whether {$in: [key]} is a query: not of a document whose first name has a $ in front, of undefined, or of a regular
 * expression that is none. Of one such value the query of the whole batch would be refused. */
static bool
is_askable (const ecl_value_t *key)
{
   bson_t filter = BSON_INITIALIZER, in, list;
   ecl_match_t *match;
   ecl_value_t raw;

   if (key->type != BSON_TYPE_DOCUMENT && key->type != BSON_TYPE_REGEX && key->type != BSON_TYPE_UNDEFINED) {
      return true;
   }
   BSON_APPEND_DOCUMENT_BEGIN (&filter, "v", &in);
   BSON_APPEND_ARRAY_BEGIN (&in, "$in", &list);
   ecl_append_value (&list, "0", key);
   bson_append_array_end (&in, &list);
   bson_append_document_end (&filter, &in);
   raw = ecl_raw_document (bson_get_data (&filter), filter.len);
   match = ecl_match_new (&raw, NULL);
   ecl_match_destroy (match);
   bson_destroy (&filter);
   return match != NULL;
}

/* One that waits for its documents. */
static entry_t *
want (ecl_loads_t *self, group_t *group, const ecl_value_t *key, uint64_t hash)
{
   entry_t *entry = ecl_arena_new (&self->arena, entry_t);

   *entry = (entry_t){.next = group->buckets[hash % BUCKETS],
                      .next_all = group->entries,
                      .hash = hash,
                      .key = ecl_value_copy (&self->arena, key)};
   group->buckets[hash % BUCKETS] = entry;
   group->entries = entry;
   if (is_askable (key)) {
      group->n_wanted++;
   } else {
      entry->ready = true;
      entry->failed = ECL_ERROR_UNSUPPORTED;
      entry->message = ecl_arena_printf (&self->arena, "%s.%s cannot be looked up by %s: no query takes that value",
                                         group->collection, group->field, ecl_value_text (&self->arena, key));
   }
   return entry;
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
   if (self->depth >= DEPTH) {
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
      entry = want (self, group, &present, hash);
   }
   if (!entry->ready) {
      return ECL_LOAD_PENDING;
   }
   if (entry->failed) {
      ecl_fail (error, ECL_DOMAIN_UPGRADE, entry->failed, "%s", entry->message);
      return ECL_LOAD_FAILED;
   }
   *documents = entry->documents;
   *n = entry->n;
   return ECL_LOAD_READY;
}

/* ---- what was found, to its target ---- */

static bool
below_of (ecl_loads_t *self, const ecl_chain_t *chain, below_t **out, bson_error_t *error)
{
   below_t *below = self->below;

   while (below && below->chain != chain) {
      below = below->next;
   }
   if (!below) {
      ecl_version_t target = self->options.target ? self->options.target (chain) : chain->target;
      ecl_upgrader_t *upgrader = ecl_upgrader_new (self->options.upgrades, chain, target, error);

      if (!upgrader) {
         return false;
      }
      below = bson_malloc0 (sizeof *below);
      below->chain = chain;
      below->upgrader = upgrader;
      below->loads = loads_new (&self->options, self->depth + 1);
      ecl_upgrader_set_loader (below->upgrader, &below->loads->loader);
      below->next = self->below;
      self->below = below;
   }
   *out = below;
   return true;
}

#define LOOKED_UP "what is looked up cannot be upgraded: "

/* One document, moved to the arena where it had to be carried over. */
static void
upgrade_one (ecl_loads_t *self, below_t *below, found_t *found)
{
   bson_error_t cause = {0};
   const uint8_t *out;
   size_t len;

   if (!ecl_upgrader_run (below->upgrader, found->document.u.raw, found->document.len, &out, &len, NULL, &cause)) {
      found->waits = cause.domain == ECL_DOMAIN_UPGRADE && cause.code == ECL_ERROR_NEEDS;
      if (!found->waits) {
         /* The innermost says it: what led there would only bury that. */
         const char *inner = strstr (cause.message, LOOKED_UP);

         found->failed = cause.code ? cause.code : ECL_ERROR_INVALID;
         found->message =
            ecl_arena_printf (&self->arena, "%s%s", inner ? "" : LOOKED_UP, inner ? inner : cause.message);
      }
      return;
   }
   found->waits = false;
   if (out != found->document.u.raw) {
      uint8_t *bytes = ecl_arena_alloc (&self->arena, len);

      memcpy (bytes, out, len);
      self->size += len;
      found->document = ecl_raw_document (bytes, len);
   }
}

/* Carries what was found to its target, all of it with as few queries as one document takes. */
static ecl_loads_next_t
upgrade (ecl_loads_t *self, group_t *group, const ecl_loads_query_t **query, bson_error_t *error)
{
   const ecl_chain_t *chain = ecl_project_chain (self->options.project, group->collection);
   ecl_loads_next_t next;
   below_t *below;

   if (!chain || !chain->n_steps || !group->n_found) {
      return ECL_LOADS_READY;
   }
   if (!below_of (self, chain, &below, error)) {
      return ECL_LOADS_FAILED;
   }
   for (;;) {
      bool waits = false;

      for (uint32_t i = 0; i < group->n_found; i++) {
         if (group->found[i].waits) {
            upgrade_one (self, below, &group->found[i]);
            waits |= group->found[i].waits;
         }
      }
      if (!waits) {
         return ECL_LOADS_READY;
      }
      next = ecl_loads_next (below->loads, query, error);
      if (next != ECL_LOADS_READY) {
         return next;
      }
   }
}

/* ---- what was found, to those who want it ---- */

static void
give (ecl_loads_t *self, entry_t *entry, const found_t *found)
{
   if (found->failed) {
      entry->failed = found->failed;
      entry->message = found->message;
   } else {
      push (&self->arena, &entry->documents, &entry->n, &entry->cap, &found->document);
   }
}

/* Gives a value the documents of a list that {field: {$eq: value}} finds. */
static bool
match_entry (ecl_loads_t *self, const group_t *group, entry_t *entry, ecl_eval_t *ev, found_t *const *list, uint32_t n,
             bson_error_t *error)
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

      ok = ecl_match_run (match, ev, &list[i]->document, &matched, error);
      if (ok && matched) {
         give (self, entry, list[i]);
      }
   }
   ecl_match_destroy (match);
   bson_destroy (&filter);
   return ok;
}

/* Gives each wanted value the documents that match it: in the shape in which they are given out, or, where that failed,
 * as they are stored. Mostly the field is one value at the top level, which the table finds; what is deeper, missing or
 * an array is matched as MongoDB does. */
static bool
distribute (ecl_loads_t *self, group_t *group, bson_error_t *error)
{
   found_t **general = ecl_arena_array (&self->arena, found_t *, group->n_found + 1);
   bool deep = strchr (group->field, '.') != NULL, ok = true;
   uint32_t n_general = 0;
   ecl_eval_t ev;

   for (uint32_t i = 0; i < group->n_found; i++) {
      const ecl_value_t *document = &group->found[i].document;
      ecl_value_t value = deep ? ecl_missing () : ecl_document_get (document, group->field, strlen (group->field));

      if (ecl_is_array (&value) || ecl_is_nullish (&value)) {
         general[n_general++] = &group->found[i];
      } else {
         entry_t *entry = entry_of (group, &value, ecl_hash (&value));

         if (entry && !entry->ready) {
            give (self, entry, &group->found[i]);
         }
      }
   }
   if (n_general) {
      ecl_eval_init (&ev);
      for (entry_t *entry = group->entries; ok && entry; entry = entry->next_all) {
         ok = entry->ready || match_entry (self, group, entry, &ev, general, n_general, error);
      }
      ecl_eval_cleanup (&ev);
   }
   for (entry_t *entry = group->entries; entry; entry = entry->next_all) {
      entry->ready = true;
   }
   group->answered = false;
   group->n_wanted = group->n_found = group->cap_found = 0;
   group->found = NULL;
   return ok;
}

/* ---- queries ---- */

static void
ask (ecl_loads_t *self, group_t *group)
{
   ecl_loads_query_t *query = &self->query;
   uint32_t i = 0;

   query->collection = group->collection;
   query->field = group->field;
   query->loads = self;
   query->group = group;
   bson_reinit (&query->values);
   for (const entry_t *entry = group->entries; entry; entry = entry->next_all) {
      if (!entry->ready) {
         char buffer[16];
         const char *key;

         bson_uint32_to_string (i++, &key, buffer, sizeof buffer);
         ecl_append_value (&query->values, key, &entry->key);
      }
   }
   group->n_found = 0;
}

ecl_loads_next_t
ecl_loads_next (ecl_loads_t *self, const ecl_loads_query_t **query, bson_error_t *error)
{
   for (group_t *group = self->groups; group; group = group->next) {
      if (group->answered) {
         ecl_loads_next_t next = upgrade (self, group, query, error);

         if (next != ECL_LOADS_READY) {
            return next;
         }
         if (!distribute (self, group, error)) {
            return ECL_LOADS_FAILED;
         }
      } else if (group->n_wanted) {
         ask (self, group);
         *query = &self->query;
         return ECL_LOADS_QUERY;
      }
   }
   return ECL_LOADS_READY;
}

bool
ecl_loads_add (const ecl_loads_query_t *query, const uint8_t *document, size_t len, bson_error_t *error)
{
   ecl_loads_t *self = query->loads;
   group_t *group = query->group;
   uint8_t *bytes;

   if (!ecl_bson_validate (document, len, error)) {
      return false;
   }
   bytes = ecl_arena_alloc (&self->arena, len);
   memcpy (bytes, document, len);
   self->size += len;
   if (group->n_found == group->cap_found) {
      uint32_t cap = group->cap_found ? 2 * group->cap_found : 16;

      group->found = ecl_arena_grow (&self->arena, group->found, group->cap_found * sizeof *group->found,
                                     cap * sizeof *group->found);
      group->cap_found = cap;
   }
   group->found[group->n_found++] = (found_t){.document = ecl_raw_document (bytes, len), .waits = true};
   return true;
}

void
ecl_loads_answered (const ecl_loads_query_t *query)
{
   group_t *group = query->group;

   group->answered = true;
}

/* ---- chains ---- */

static bool
way_looks_up (const ecl_way_t *way)
{
   ecl_iter_t items;
   ecl_value_t stage;

   if (way->kind != ECL_WAY_PIPELINE) {
      return way->kind == ECL_WAY_FUNCTION;
   }
   ecl_iter_init (&items, &way->stages);
   while (ecl_iter_item (&items, &stage)) {
      ecl_value_t lookup = ecl_is_document (&stage) ? ecl_document_get (&stage, "$lookup", 7) : ecl_missing ();

      if (!ecl_is_missing (&lookup)) {
         return true;
      }
   }
   return false;
}

bool
ecl_chain_looks_up (const ecl_chain_t *chain, size_t target, bool down)
{
   for (size_t i = down ? target : 0; i < (down ? chain->n_steps : target); i++) {
      if (way_looks_up (down ? &chain->steps[i].down : &chain->steps[i].up)) {
         return true;
      }
   }
   return false;
}
