/* Memory for libbson and all that allocates through it: what is freed is kept by its size, for the next one of that
 * size. One thread, and never given back. Under ASan it stays as it is, so that nothing hides what it looks for. */
#include "sim.h"

#ifndef HAVE_ASAN

/* Sizes are powers of two, from 32 bytes; above, it is malloc's. */
#define SMALLEST 5
#define LARGEST 16
#define PAGE ((size_t) 1 << 20)

enum { MALLOCS = LARGEST + 1, ALIGNED };

/* Before each piece. */
typedef struct {
   uint64_t power; /* its size with this, as a power of two; or MALLOCS, or ALIGNED */
   uint64_t room;  /* bytes behind this; ALIGNED: where the piece begins that it lies in */
} head_t;

typedef struct unused_t unused_t;
struct unused_t {
   unused_t *next;
};

static unused_t *unused[LARGEST + 1];
static uint8_t *page;
static size_t left;

static void *
take (size_t size)
{
   size_t whole = size + sizeof (head_t);
   unsigned power = SMALLEST;
   head_t *head;

   if (whole > (size_t) 1 << LARGEST) {
      head = malloc (whole);
      if (!head) {
         return NULL;
      }
      *head = (head_t){MALLOCS, size};
      return head + 1;
   }
   if (whole > (size_t) 1 << SMALLEST) {
      power = 64 - (unsigned) __builtin_clzll (whole - 1);
   }
   if (unused[power]) {
      head = (head_t *) unused[power] - 1;
      unused[power] = unused[power]->next;
      return head + 1;
   }
   if (left < (size_t) 1 << power) {
      page = malloc (PAGE);
      left = PAGE;
      if (!page) {
         return NULL;
      }
   }
   head = (head_t *) page;
   page += (size_t) 1 << power;
   left -= (size_t) 1 << power;
   *head = (head_t){power, ((size_t) 1 << power) - sizeof *head};
   return head + 1;
}

static void *
take_cleared (size_t n, size_t size)
{
   void *memory = take (n * size);

   if (memory) {
      memset (memory, 0, n * size);
   }
   return memory;
}

static void
give_back (void *memory)
{
   head_t *head = (head_t *) memory - 1;
   unused_t *piece = memory;

   if (!memory) {
      return;
   }
   if (head->power == ALIGNED) {
      give_back ((void *) (uintptr_t) head->room);
      return;
   }
   if (head->power == MALLOCS) {
      free (head);
      return;
   }
   piece->next = unused[head->power];
   unused[head->power] = piece;
}

static void *
take_more (void *memory, size_t size)
{
   head_t *head = (head_t *) memory - 1;
   void *more;

   if (memory && head->room >= size) {
      return memory;
   }
   more = take (size);
   if (memory && more) {
      memcpy (more, memory, head->room);
      give_back (memory);
   }
   return more;
}

/* A second head right before it says where the first one is. Nobody asks for more of it. */
static void *
take_aligned (size_t alignment, size_t size)
{
   uintptr_t whole = (uintptr_t) take (size + alignment + sizeof (head_t)), at;

   if (!whole) {
      return NULL;
   }
   at = (whole + sizeof (head_t) + alignment - 1) / alignment * alignment;
   ((head_t *) at)[-1] = (head_t){ALIGNED, whole};
   return (void *) at;
}

void
memory_init (void)
{
   static const bson_mem_vtable_t table = {
      .malloc = take, .calloc = take_cleared, .realloc = take_more, .free = give_back, .aligned_alloc = take_aligned};

   bson_mem_set_vtable (&table);
}

#else

void
memory_init (void)
{
}

#endif
