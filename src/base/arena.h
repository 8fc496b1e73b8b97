/* Arena: memory that is given back all at once.
 *
 *    chunk 1 (full)        chunk 2 (current)             chunk 3 (kept from before)
 *   +------------------+  +-----------+--------------+  +------------------+
 *   | used             |->| used      | free         |->| free             |-> NULL
 *   +------------------+  +-----------+--------------+  +------------------+
 *                                     ^ next         ^ end
 *
 * Chunks never move, so pointers stay valid until reset. Reset keeps the chunks and costs O(1), but for what
 * ecl_arena_own has to destroy: a worker that has seen its largest document allocates nothing any more. Out of memory
 * aborts, as bson_malloc does. Under AddressSanitizer the free part is poisoned and every allocation is followed by a
 * red zone.
 */
#ifndef ECL_BASE_ARENA_H
#define ECL_BASE_ARENA_H

#include "base/error.h"

typedef struct ecl_chunk_t ecl_chunk_t;
typedef struct ecl_owned_t ecl_owned_t;

/* A string in the arena that may go on growing where it is: see ecl_arena_extend. */
typedef struct {
   uint8_t *end;   /* of what is used */
   uint8_t *limit; /* of what is reserved */
} ecl_tail_t;

#define ECL_ARENA_TAILS 4u

typedef struct {
   ecl_chunk_t *first;
   ecl_chunk_t *current;
   uint8_t *next;
   uint8_t *end;
   size_t chunk_size;  /* of the next chunk; doubles up to 1 MiB */
   size_t used;        /* bytes of the chunks that were entered since the last reset */
   ecl_owned_t *owned; /* the latest first */
   uint32_t next_tail;
   ecl_tail_t tails[ECL_ARENA_TAILS];
} ecl_arena_t;

/* A place to return to; everything allocated after it goes. */
typedef struct {
   ecl_chunk_t *current;
   uint8_t *next;
   ecl_owned_t *owned;
   size_t used;
} ecl_arena_mark_t;

/* No memory is taken before the first allocation. */
void
ecl_arena_init (ecl_arena_t *self);

void
ecl_arena_cleanup (ecl_arena_t *self);

/* Forgets all allocations, keeps the chunks. */
void
ecl_arena_reset (ecl_arena_t *self);

ecl_arena_mark_t
ecl_arena_mark (const ecl_arena_t *self);

void
ecl_arena_release (ecl_arena_t *self, ecl_arena_mark_t mark);

/* Something outside of the arena that goes with it: destroy (object) is called, the latest first, when the arena is
 * cleaned up, reset or released to a mark before this call. For what has an allocator of its own, such as a compiled
 * regular expression. */
void
ecl_arena_own (ecl_arena_t *self, void *object, void (*destroy) (void *object));

/* The slow path of ecl_arena_alloc; not for callers. */
void *
ecl_arena_alloc_slow (ecl_arena_t *self, size_t size);

/* Grows the last allocation in place where it can, else copies; old_size bytes of old are kept. */
void *
ecl_arena_grow (ecl_arena_t *self, void *old, size_t old_size, size_t new_size);

/* len bytes as at old, followed by room for more of them, which the caller fills. What is at old stays as it is. Where
 * old was made by this function and nobody has extended it since, the new bytes are put behind the old ones and nothing
 * is copied: n extensions of one string cost O(n) in all, whatever is allocated in between. The latest few strings are
 * remembered. */
char *
ecl_arena_extend (ecl_arena_t *self, const char *old, size_t len, size_t more);

/* A copy of n bytes with a NUL behind them. */
char *
ecl_arena_strndup (ecl_arena_t *self, const char *text, size_t n);

/* A printf into the arena. */
char *
ecl_arena_printf (ecl_arena_t *self, const char *format, ...) ECL_PRINTF (2, 3);

#if defined(__SANITIZE_ADDRESS__)
#define ECL_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ECL_ASAN 1
#endif
#endif

#ifdef ECL_ASAN
#define ECL_ARENA_RED_ZONE 8u
#else
#define ECL_ARENA_RED_ZONE 0u
#endif

/* size bytes, aligned to 8, not cleared; never NULL. */
static inline void *
ecl_arena_alloc (ecl_arena_t *self, size_t size)
{
#ifndef ECL_ASAN
   size_t rounded = (size + 7u) & ~(size_t) 7u;

   if (ECL_LIKELY (rounded >= size && rounded <= (size_t) (self->end - self->next))) {
      void *p = self->next;
      self->next += rounded;
      return p;
   }
#endif
   return ecl_arena_alloc_slow (self, size);
}

#define ecl_arena_new(arena, type) ((type *) ecl_arena_alloc ((arena), sizeof (type)))

/* Aborts where n * sizeof (type) overflows. */
#define ecl_arena_array(arena, type, n) ((type *) ecl_arena_alloc_array ((arena), sizeof (type), (n)))

/* No division: it takes as long as the rest together. */
static inline void *
ecl_arena_alloc_array (ecl_arena_t *self, size_t size, size_t n)
{
   size_t bytes;

   if (ECL_UNLIKELY (__builtin_mul_overflow (size, n, &bytes))) {
      bytes = SIZE_MAX; /* which the allocation refuses */
   }
   return ecl_arena_alloc (self, bytes);
}

#endif
