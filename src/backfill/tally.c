/* Counting by ranges: see tally.h. */
#include "backfill/tally.h"

#include "backfill/partition.h"
#include "run/insist.h"
#include "store/store.h"

#include <pthread.h>
#include <stdatomic.h>

/* Without an answer of the server's, before it gives up; and between two tries. */
#define PATIENCE_MS 180000
#define PAUSE_MS 300

typedef struct {
   ecl_chunk_range_t range;
   int64_t documents; /* about */
} part_t;

typedef enum { SAID, LATE, FAILED } said_t;

/* What one thread has. */
typedef struct {
   ecl_world_t *world;
   const ecl_tally_options_t *options;
   const atomic_bool *over;
   int64_t *of_part;  /* what was counted of the part at hand */
   int64_t fit;       /* as many are counted in time; 0: nothing was too much yet */
   bool ranges;       /* there are several: each is read along the index of _id */
   ecl_arena_t arena; /* of bounds: others may have taken those, so it lasts as long as any thread works */
   part_t pieces[ECL_PARTITION_PIECES];
   size_t n_pieces; /* that the part at hand was cut in */
   bson_error_t error;
} thread_t;

/* What all of them have, under the lock. */
typedef struct {
   const ecl_tally_options_t *options;
   pthread_mutex_t lock;
   pthread_cond_t news; /* a part is done, or there are more */
   thread_t *threads;
   part_t *parts; /* a stack: the next one is the last */
   size_t n, cap;
   uint32_t busy; /* threads that have a part */
   int64_t *counts, found;
   int64_t total, done; /* documents, about */
   int64_t told;        /* of them, as was said last */
   int64_t fit;         /* as a thread's, of all */
   bool ranges;
   said_t said; /* other than SAID: it is over */
   bool enough;
   atomic_bool over;   /* one of both; without the lock, for threads that wait for the server */
   bson_error_t error; /* of what it ended with */
} tally_t;

static void
push (tally_t *self, const part_t *part)
{
   if (self->n == self->cap) {
      self->cap = 2 * self->cap + 64;
      self->parts = bson_realloc (self->parts, self->cap * sizeof *self->parts);
   }
   self->parts[self->n++] = *part;
}

/* Sends it until it is answered, or its time is over, or what another thread saw ended all of it. reply is always
 * initialised. */
static said_t
ask (thread_t *self, const bson_t *command, bson_t *reply, bson_error_t *error)
{
   ecl_world_t *world = self->world;
   ecl_call_t call = {.database = self->options->database, .command = command};
   int64_t began = world->now (world), until = self->options->until;

   for (;;) {
      int64_t now = world->now (world), deadline = now + ECL_TALLY_MS;
      bson_error_t why = {0};
      ecl_reply_t answer;

      if (world->cancelled (world)) {
         bson_init (reply);
         ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CANCELLED, "ended as asked for");
         return FAILED;
      }
      if (atomic_load (self->over)) {
         bson_init (reply);
         return FAILED; /* which nobody looks at */
      }
      if (until && now >= until) {
         bson_init (reply);
         return LATE;
      }
      deadline = until && until < deadline ? until : deadline;
      answer = world->run_command (world, &call, deadline, reply, &why);
      if (answer == ECL_REPLY_OK) {
         return SAID;
      }
      now = world->now (world);
      if ((answer == ECL_REPLY_REFUSED && ecl_insist_late (why.code)) ||
          (answer == ECL_REPLY_LOST && now >= deadline)) {
         return LATE;
      }
      if ((answer == ECL_REPLY_REFUSED && !ecl_insist_passing (why.code)) || now - began > PATIENCE_MS) {
         ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_SERVER, "%s", why.message);
         return FAILED;
      }
      bson_destroy (reply);
      (void) world->wait (world, PAUSE_MS);
   }
}

/* ---- counting ---- */

/* As the index of _id has them; without a range the server may choose. */
static void
append_hint (const thread_t *self, bson_t *command)
{
   bson_t hint;

   if (self->ranges) {
      BSON_APPEND_DOCUMENT_BEGIN (command, "hint", &hint);
      BSON_APPEND_INT32 (&hint, "_id", 1);
      bson_append_document_end (command, &hint);
   }
}

static void
count_command (const thread_t *self, const bson_t *range, const bson_t *filter, bson_t *command)
{
   bson_t both = BSON_INITIALIZER, list;

   if (!bson_empty (range)) {
      BSON_APPEND_ARRAY_BEGIN (&both, "$and", &list);
      BSON_APPEND_DOCUMENT (&list, "0", range);
      BSON_APPEND_DOCUMENT (&list, "1", filter);
      bson_append_array_end (&both, &list);
      filter = &both;
   }
   ecl_store_count (self->options->collection, filter, 0, command);
   append_hint (self, command);
   ecl_store_read_concern (command);
   bson_destroy (&both);
}

/* Into of_part: nothing counts until all of the part is counted. */
static said_t
count_part (thread_t *self, const part_t *part, bson_error_t *error)
{
   ecl_value_t none = ecl_missing ();
   said_t said = SAID;
   bson_t range;

   ecl_chunk_filter (&part->range, &none, &none, &range);
   for (size_t i = 0; i < self->options->n_filters && said == SAID; i++) {
      bson_t command, reply;

      count_command (self, &range, self->options->filters[i], &command);
      said = ask (self, &command, &reply, error);
      self->of_part[i] = said == SAID ? ecl_store_number (&reply, "cursor.firstBatch.0.n") : 0;
      bson_destroy (&reply);
      bson_destroy (&command);
   }
   bson_destroy (&range);
   return said;
}

/* ---- cutting ---- */

/* The _id behind so many of the range; missing where there are not so many. Keys of an index, which are soon read. */
static said_t
find_behind (thread_t *self, const ecl_chunk_range_t *range, int64_t skip, ecl_value_t *id, bson_error_t *error)
{
   ecl_value_t none = ecl_missing ();
   bson_t command, reply, first;
   said_t said;

   *id = ecl_missing ();
   ecl_chunk_find_nth (range, &none, self->options->collection, skip + 1, &command);
   ecl_store_read_concern (&command);
   said = ask (self, &command, &reply, error);
   if (said == SAID && ecl_store_first (&reply, &first)) {
      ecl_value_t document = ecl_raw_document (bson_get_data (&first), first.len);
      ecl_value_t inner = ecl_document_get (&document, "_id", 3);

      *id = ecl_value_copy (&self->arena, &inner);
   }
   bson_destroy (&reply);
   bson_destroy (&command);
   return said;
}

/* Cuts it into pieces, the first of which fits. late: all of it was too much. */
static said_t
cut (thread_t *self, const part_t *part, bool late, bson_error_t *error)
{
   int64_t until = self->options->until;
   ecl_chunk_range_t pieces[ECL_PARTITION_PIECES];
   ecl_value_t id = ecl_missing ();
   size_t n = 0;

   self->ranges = true;
   while (ecl_is_missing (&id)) {
      said_t said = find_behind (self, &part->range, self->fit, &id, error);

      if (said == FAILED || (said == LATE && until && self->world->now (self->world) >= until)) {
         return said;
      }
      if (said == SAID && ecl_is_missing (&id) && !late) {
         self->pieces[self->n_pieces++] = (part_t){part->range, self->fit}; /* there are fewer than was thought */
         return SAID;
      }
      if (ecl_is_missing (&id) && self->fit == 1) {
         break;
      }
      self->fit = ecl_is_missing (&id) ? self->fit / 2 : self->fit;
   }
   n = ecl_is_missing (&id) ? 0 : ecl_partition_split (&part->range, &id, pieces);
   if (!n) {
      ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_SERVER,
                "the server needs more than %d s for a range of _id that cannot be made smaller", ECL_TALLY_MS / 1000);
      return FAILED;
   }
   for (size_t i = 0; i < n; i++) {
      int64_t left = part->documents - self->fit;

      self->pieces[self->n_pieces++] = (part_t){pieces[i], i == 0 ? self->fit : i == 1 && left > 0 ? left : 0};
   }
   return SAID;
}

/* As many as are counted in time, after a part that was not. */
static said_t
take_less (thread_t *self, const part_t *part, bson_error_t *error)
{
   if (self->fit == 1) {
      ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_SERVER, "the server does not count two documents in %d s",
                ECL_TALLY_MS / 1000);
      return FAILED;
   }
   /* Its own number of documents may be wrong, and the part larger than was thought. */
   self->fit = self->fit ? self->fit / 2 : BSON_MAX (part->documents, ECL_TALLY_DOCUMENTS) / 2;
   return cut (self, part, true, error);
}

/* ---- all of it ---- */

static said_t
begin (tally_t *self, thread_t *thread, bson_error_t *error)
{
   const ecl_tally_options_t *options = self->options;
   int64_t range_docs = options->look.range_docs ? options->look.range_docs : ECL_TALLY_DOCUMENTS, wanted;
   bson_t command = BSON_INITIALIZER, reply;
   ecl_partition_sample_t own = {.arena = &thread->arena};
   const ecl_chunk_range_t *ranges;
   bson_error_t ignored;
   said_t said;
   size_t n;

   /* As the server keeps the number: at once. */
   BSON_APPEND_UTF8 (&command, "count", options->collection);
   said = ask (thread, &command, &reply, error);
   self->total = said == SAID ? ecl_store_number (&reply, "n") : 0;
   bson_destroy (&reply);
   bson_destroy (&command);
   if (said != SAID) {
      return said;
   }
   wanted = ecl_partition_count (self->total, range_docs, options->look.workers);
   if (!ecl_partition (thread->world, options->database, options->collection, wanted, &own, &ranges, &n, &ignored)) {
      /* A sample of a large collection may take long, too. Then it is cut as it is gone through. */
      self->fit = range_docs;
      push (self, &(part_t){{ECL_IDS_ALL, ecl_missing (), ecl_missing ()}, self->total});
      return SAID;
   }
   if (options->look.workers > 1) {
      ranges =
         ecl_partition_shuffle (&thread->arena, thread->world, ranges, n); /* if it is sharded by _id: on all shards */
   }
   self->ranges = n > 1;
   for (int closed = 0; closed < 2; closed++) {
      for (size_t i = n; i-- > 0;) {
         if (!ecl_is_missing (&ranges[i].upto) == closed) {
            push (self, &(part_t){ranges[i], self->total / (int64_t) n});
         }
      }
   }
   return SAID;
}

/* Nothing that was said already: a part that was cut is not done, and of what lies behind the last bound nothing is
 * known. */
static void
tell (tally_t *self)
{
   const ecl_tally_options_t *options = self->options;
   int64_t done = BSON_MIN (self->done, self->total);

   if (options->progress && done != self->told) {
      self->told = done;
      options->progress (options->context, done, self->total);
   }
}

/* The next one, under the lock; false where there will be none. Others may yet cut what they have. */
static bool
take (tally_t *self, thread_t *thread, part_t *part)
{
   while (self->said == SAID && !self->enough && !self->n && self->busy) {
      pthread_cond_wait (&self->news, &self->lock);
      if (thread == self->threads) {
         tell (self);
      }
   }
   if (self->said != SAID || self->enough || !self->n) {
      return false;
   }
   *part = self->parts[--self->n];
   self->busy++;
   thread->fit = self->fit;
   thread->ranges = self->ranges;
   thread->n_pieces = 0;
   return true;
}

/* What became of it: it was counted, or cut. */
static said_t
do_part (thread_t *self, const part_t *part, bool *fast, bson_error_t *error)
{
   int64_t until = self->options->until, began;
   said_t said;

   *fast = false;
   if (self->fit && part->documents / 2 > self->fit) {
      return cut (self, part, false, error);
   }
   began = self->world->now (self->world);
   said = count_part (self, part, error);
   *fast = self->world->now (self->world) - began < ECL_TALLY_MS / 8;
   if (said == LATE && !(until && self->world->now (self->world) >= until)) {
      said = take_less (self, part, error);
   }
   return said;
}

/* Under the lock. */
static void
take_result (tally_t *self, const thread_t *thread, const part_t *part, said_t said, bool fast)
{
   const ecl_tally_options_t *options = self->options;

   self->busy--;
   if (said != SAID && self->said == SAID && !self->enough) {
      self->said = said;
      self->error = thread->error;
   }
   if (said != SAID) {
      return;
   }
   if (thread->n_pieces) {
      for (size_t i = thread->n_pieces; i-- > 0;) {
         push (self, &thread->pieces[i]);
      }
      self->fit = self->fit ? BSON_MIN (self->fit, thread->fit) : thread->fit;
      self->ranges = true;
      return;
   }
   for (size_t i = 0; i < options->n_filters; i++) {
      self->counts[i] += thread->of_part[i];
      self->found += thread->of_part[i];
   }
   if (self->fit && part->documents >= self->fit && fast) {
      self->fit *= 2; /* what was too much may have been so for a while only */
   }
   self->done += part->documents;
   self->enough = options->enough && self->found >= options->enough && (self->n || self->busy);
}

static void
work (void *context, uint32_t number, ecl_world_t *world, const bson_error_t *why)
{
   tally_t *self = context;
   thread_t *thread = &self->threads[number];
   part_t part;

   (void) why; /* fewer threads */
   if (!world) {
      return;
   }
   thread->world = world;
   pthread_mutex_lock (&self->lock);
   while (take (self, thread, &part)) {
      said_t said;
      bool fast;

      pthread_mutex_unlock (&self->lock);
      said = do_part (thread, &part, &fast, &thread->error);
      pthread_mutex_lock (&self->lock);
      take_result (self, thread, &part, said, fast);
      atomic_store (&self->over, self->said != SAID || self->enough);
      if (number == 0 && said == SAID && !thread->n_pieces) {
         tell (self);
      }
      pthread_cond_broadcast (&self->news);
   }
   pthread_mutex_unlock (&self->lock);
}

ecl_tally_t
ecl_tally (ecl_world_t *world, const ecl_tally_options_t *options, int64_t *counts, bson_error_t *error)
{
   uint32_t n = options->look.connector && options->look.workers ? options->look.workers : 1;
   tally_t self = {.options = options, .counts = counts, .told = -1};

   memset (counts, 0, options->n_filters * sizeof *counts);
   self.threads = bson_malloc0 (n * sizeof *self.threads);
   for (uint32_t i = 0; i < n; i++) {
      self.threads[i].options = options;
      self.threads[i].over = &self.over;
      ecl_arena_init (&self.threads[i].arena);
      self.threads[i].of_part = ecl_arena_array (&self.threads[i].arena, int64_t, options->n_filters + 1);
   }
   pthread_mutex_init (&self.lock, NULL);
   pthread_cond_init (&self.news, NULL);
   self.threads[0].world = world;
   self.said = begin (&self, &self.threads[0], &self.error);
   if (self.said == SAID) {
      /* A whole that is cut as it is gone through may come to any number of parts. */
      ecl_parallel_run (world, options->look.connector, self.fit ? n : BSON_MIN (n, (uint32_t) self.n), work, &self);
   }
   if (self.said == SAID) {
      tell (&self); /* what others did last */
   } else if (error) {
      *error = self.error;
   }
   pthread_cond_destroy (&self.news);
   pthread_mutex_destroy (&self.lock);
   for (uint32_t i = 0; i < n; i++) {
      ecl_arena_cleanup (&self.threads[i].arena);
   }
   bson_free (self.threads);
   bson_free (self.parts);
   return self.said == LATE     ? ECL_TALLY_LATE
          : self.said == FAILED ? ECL_TALLY_FAILED
          : self.enough         ? ECL_TALLY_ENOUGH
                                : ECL_TALLY_ALL;
}
