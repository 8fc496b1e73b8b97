/* Ranges of _id from a sample: see partition.h. */
#include "backfill/partition.h"

#include "bson/compare.h"
#include "run/scan.h"

/* Of each range: the more, the more even they are. */
#define SAMPLES 10
#define MOST_SAMPLES 50000

/* Ranges for each worker, so that none of them waits long for the last one. */
#define EACH 4

#define MOST_RANGES 100000

int64_t
ecl_partition_count (int64_t documents, int64_t range_docs, uint32_t workers)
{
   int64_t n = (documents + range_docs - 1) / range_docs, even;

   if (workers > 1) {
      even = documents / ECL_PARTITION_FEWEST;
      even = even < EACH * (int64_t) workers ? even : EACH * (int64_t) workers;
      n = n > even ? n : even;
   }
   return n < 1 ? 1 : n > MOST_RANGES ? MOST_RANGES : n;
}

/* Brackets whose values can be bounds. */
static bool
can_bound (ecl_ids_t bracket)
{
   switch (bracket) {
   case ECL_IDS_NUMBER:
   case ECL_IDS_STRING:
   case ECL_IDS_OBJECT:
   case ECL_IDS_BINARY:
   case ECL_IDS_OID:
   case ECL_IDS_DATE:
   case ECL_IDS_TIMESTAMP:
      return true;
   default:
      return false;
   }
}

static bool
same_bytes (ecl_arena_t *arena, const ecl_value_t *a, const ecl_value_t *b)
{
   uint64_t size = ecl_value_size (a);
   uint8_t *x, *y;

   if (a->type != b->type || size != ecl_value_size (b)) {
      return false;
   }
   x = ecl_arena_alloc (arena, size);
   y = ecl_arena_alloc (arena, size);
   ecl_value_write (a, x);
   ecl_value_write (b, y);
   return size == 0 || memcmp (x, y, size) == 0;
}

const ecl_chunk_range_t *
ecl_partition_ranges (ecl_arena_t *arena, const ecl_value_t *ids, size_t n_ids, int64_t wanted, size_t *n)
{
   size_t parts = wanted > 1 && (int64_t) n_ids >= wanted ? (size_t) wanted : wanted > 1 ? n_ids + 1 : 1;
   ecl_chunk_range_t *ranges = ecl_arena_array (arena, ecl_chunk_range_t, 2 * n_ids + 2);
   ecl_value_t above = ecl_missing ();
   unsigned bounded = 0;
   size_t count = 0;

   /* One bound fewer than ranges: what is above the last one is a range, too. */
   for (size_t k = 1; k < parts; k++) {
      size_t i = k * (n_ids + 1) / parts - 1;
      ecl_ids_t bracket = ecl_ids_of (&ids[i]);

      if (!can_bound (bracket) || (!ecl_is_missing (&above) && same_bytes (arena, &above, &ids[i]))) {
         continue;
      }
      if (!ecl_is_missing (&above) && ecl_ids_of (&above) != bracket) {
         /* The end of the type before. */
         ranges[count++] = (ecl_chunk_range_t){ecl_ids_of (&above), above, ecl_missing ()};
         above = ecl_missing ();
      }
      ranges[count++] = (ecl_chunk_range_t){bracket, above, ids[i]};
      above = ids[i];
      bounded |= bracket;
   }
   if (!ecl_is_missing (&above)) {
      ranges[count++] = (ecl_chunk_range_t){ecl_ids_of (&above), above, ecl_missing ()};
   }
   ranges[count++] = (ecl_chunk_range_t){ECL_IDS_ALL & ~bounded, ecl_missing (), ecl_missing ()};
   *n = count;
   return ranges;
}

size_t
ecl_partition_split (const ecl_chunk_range_t *range, const ecl_value_t *id,
                     ecl_chunk_range_t pieces[ECL_PARTITION_PIECES])
{
   ecl_ids_t bracket = ecl_ids_of (id);
   unsigned others = range->types & ~(unsigned) bracket;

   if (!can_bound (bracket)) {
      return 0;
   }
   pieces[0] = (ecl_chunk_range_t){bracket, range->above, *id};
   pieces[1] = (ecl_chunk_range_t){bracket, *id, range->upto};
   pieces[2] = (ecl_chunk_range_t){others, ecl_missing (), ecl_missing ()};
   return others ? 3 : 2;
}

void
ecl_partition_add (ecl_partition_sample_t *sample, const ecl_value_t *document)
{
   ecl_value_t id = ecl_document_get (document, "_id", 3);

   if (sample->n == sample->cap) {
      sample->ids =
         ecl_arena_grow (sample->arena, sample->ids, sample->cap * sizeof id, (2 * sample->cap + 64) * sizeof id);
      sample->cap = 2 * sample->cap + 64;
   }
   sample->ids[sample->n++] = ecl_value_copy (sample->arena, &id);
}

static bool
take_sample (ecl_world_t *world, const char *database, const char *collection, int64_t size,
             ecl_partition_sample_t *sample, bson_error_t *error)
{
   const ecl_value_t *item;
   bson_t all = BSON_INITIALIZER;
   ecl_scan_t scan;
   bool good;

   ecl_scan_init (&scan);
   ecl_scan_start (&scan, &all, false);
   scan.sample = size;
   scan.fields[0] = "_id";
   do {
      sample->n = 0;
      while ((good = ecl_scan_next (&scan, world, database, collection, 1000, &item, error)) && item) {
         ecl_partition_add (sample, item);
      }
   } while (!good && ecl_scan_again (&scan, world));
   ecl_scan_cleanup (&scan);
   bson_destroy (&all);
   return good;
}

static int
compare (const void *a, const void *b)
{
   return ecl_compare (a, b);
}

bool
ecl_partition (ecl_world_t *world, const char *database, const char *collection, int64_t wanted,
               ecl_partition_sample_t *sample, const ecl_chunk_range_t **ranges, size_t *n, bson_error_t *error)
{
   int64_t size = wanted * SAMPLES < MOST_SAMPLES ? wanted * SAMPLES : MOST_SAMPLES;

   if (wanted > 1 && (int64_t) sample->n < size && !take_sample (world, database, collection, size, sample, error)) {
      return false;
   }
   if (sample->n) {
      qsort (sample->ids, sample->n, sizeof *sample->ids, compare);
   }
   *ranges = ecl_partition_ranges (sample->arena, sample->ids, sample->n, wanted, n);
   return true;
}

const ecl_chunk_range_t *
ecl_partition_shuffle (ecl_arena_t *arena, ecl_world_t *world, const ecl_chunk_range_t *ranges, size_t n)
{
   ecl_chunk_range_t *shuffled = ecl_arena_array (arena, ecl_chunk_range_t, n);

   memcpy (shuffled, ranges, n * sizeof *shuffled);
   for (size_t i = n; i > 1; i--) {
      size_t k = (size_t) (world->random (world) % i);
      ecl_chunk_range_t other = shuffled[k];

      shuffled[k] = shuffled[i - 1];
      shuffled[i - 1] = other;
   }
   return shuffled;
}
