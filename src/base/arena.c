/* Arena: see arena.h. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef ECL_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(p, n) __asan_poison_memory_region ((p), (n))
#define UNPOISON(p, n) __asan_unpoison_memory_region ((p), (n))
#else
#define POISON(p, n) ((void) (p), (void) (n))
#define UNPOISON(p, n) ((void) (p), (void) (n))
#endif

#define FIRST_CHUNK ((size_t) 4096)
#define LARGEST_CHUNK ((size_t) 1 << 20)

struct ecl_chunk_t {
   ecl_chunk_t *next;
   size_t size; /* of data */
   uint8_t data[];
};

/* Lives in the arena itself. */
struct ecl_owned_t {
   ecl_owned_t *before;
   void *object;
   void (*destroy) (void *object);
};

void
ecl_arena_init (ecl_arena_t *self)
{
   memset (self, 0, sizeof *self);
   self->chunk_size = FIRST_CHUNK;
}

void
ecl_arena_own (ecl_arena_t *self, void *object, void (*destroy) (void *object))
{
   ecl_owned_t *owned = ecl_arena_new (self, ecl_owned_t);

   *owned = (ecl_owned_t){.before = self->owned, .object = object, .destroy = destroy};
   self->owned = owned;
}

static void
disown (ecl_arena_t *self, ecl_owned_t *until)
{
   while (self->owned != until) {
      ecl_owned_t *owned = self->owned;

      self->owned = owned->before;
      owned->destroy (owned->object);
   }
}

void
ecl_arena_cleanup (ecl_arena_t *self)
{
   ecl_chunk_t *chunk = self->first;

   disown (self, NULL);
   while (chunk) {
      ecl_chunk_t *next = chunk->next;
      UNPOISON (chunk->data, chunk->size);
      bson_free (chunk);
      chunk = next;
   }
   ecl_arena_init (self);
}

static void
enter (ecl_arena_t *self, ecl_chunk_t *chunk)
{
   self->current = chunk;
   self->next = chunk->data;
   self->end = chunk->data + chunk->size;
   self->used += chunk->size;
}

void
ecl_arena_reset (ecl_arena_t *self)
{
   if (ECL_UNLIKELY (self->owned)) {
      disown (self, NULL);
   }
   memset (self->tails, 0, sizeof self->tails);
   self->used = 0;
   if (self->first) {
      enter (self, self->first);
      POISON (self->first->data, self->first->size);
   }
}

ecl_arena_mark_t
ecl_arena_mark (const ecl_arena_t *self)
{
   return (ecl_arena_mark_t){.current = self->current, .next = self->next, .owned = self->owned, .used = self->used};
}

void
ecl_arena_release (ecl_arena_t *self, ecl_arena_mark_t mark)
{
   if (!mark.current) {
      ecl_arena_reset (self);
      return;
   }
   disown (self, mark.owned);
   memset (self->tails, 0, sizeof self->tails);
   self->current = mark.current;
   self->used = mark.used;
   self->next = mark.next;
   self->end = mark.current->data + mark.current->size;
   POISON (self->next, (size_t) (self->end - self->next));
}

void *
ecl_arena_alloc_slow (ecl_arena_t *self, size_t size)
{
   size_t need;
   void *p;

   if (size > SIZE_MAX - 64) {
      abort (); /* as bson_malloc does: nothing of that size can be had */
   }
   need = ((size + 7u) & ~(size_t) 7u) + ECL_ARENA_RED_ZONE;
   if (need > (size_t) (self->end - self->next)) {
      ecl_chunk_t *next = self->current ? self->current->next : self->first;

      if (!next || next->size < need) {
         size_t n = need > self->chunk_size ? need : self->chunk_size;
         ecl_chunk_t *chunk = bson_malloc (sizeof *chunk + n);

         chunk->size = n;
         chunk->next = next;
         if (next) {
            /* It is too small for what is wanted here: the larger one takes its place, or chunks would pile up. */
            chunk->next = next->next;
            UNPOISON (next->data, next->size);
            bson_free (next);
         }
         if (self->current) {
            self->current->next = chunk;
         } else {
            self->first = chunk;
         }
         if (self->chunk_size < LARGEST_CHUNK) {
            self->chunk_size *= 2;
         }
         next = chunk;
      }
      enter (self, next);
      POISON (next->data, next->size);
   }
   p = self->next;
   self->next += need;
   UNPOISON (p, size);
   return p;
}

void *
ecl_arena_grow (ecl_arena_t *self, void *old, size_t old_size, size_t new_size)
{
   void *p;

#ifndef ECL_ASAN
   size_t rounded = (old_size + 7u) & ~(size_t) 7u;
   size_t wanted = (new_size + 7u) & ~(size_t) 7u;

   if (old && (uint8_t *) old + rounded == self->next && wanted >= rounded &&
       wanted - rounded <= (size_t) (self->end - self->next)) {
      self->next += wanted - rounded;
      return old;
   }
#endif
   p = ecl_arena_alloc (self, new_size);
   if (old_size) {
      memcpy (p, old, old_size < new_size ? old_size : new_size);
   }
   return p;
}

char *
ecl_arena_extend (ecl_arena_t *self, const char *old, size_t len, size_t more)
{
   const uint8_t *end = (const uint8_t *) old + len;
   ecl_tail_t *tail = NULL;
   size_t reserve = 0;
   char *p;

   if (more > SIZE_MAX / 4 || len > SIZE_MAX / 4) {
      abort ();
   }
   for (uint32_t i = 0; i < ECL_ARENA_TAILS && len; i++) {
      if (self->tails[i].end == end) {
         tail = &self->tails[i];
         if (more <= (size_t) (tail->limit - tail->end)) {
            tail->end += more;
            return (char *) end - len;
         }
         /* It grows: the next extensions shall find room. */
         reserve = len + more;
         break;
      }
   }
   p = ecl_arena_alloc (self, len + more + reserve);
   if (len) {
      memcpy (p, old, len);
   }
   if (!tail) {
      tail = &self->tails[self->next_tail++ % ECL_ARENA_TAILS];
   }
   tail->end = (uint8_t *) p + len + more;
   tail->limit = tail->end + reserve;
   return p;
}

char *
ecl_arena_strndup (ecl_arena_t *self, const char *text, size_t n)
{
   char *copy = ecl_arena_alloc (self, n + 1);

   if (n) {
      memcpy (copy, text, n);
   }
   copy[n] = '\0';
   return copy;
}

char *
ecl_arena_printf (ecl_arena_t *self, const char *format, ...)
{
   va_list args;
   int n;
   char *text;

   va_start (args, format);
   n = vsnprintf (NULL, 0, format, args);
   va_end (args);
   if (n < 0) {
      return ecl_arena_strndup (self, "", 0);
   }
   text = ecl_arena_alloc (self, (size_t) n + 1);
   va_start (args, format);
   vsnprintf (text, (size_t) n + 1, format, args);
   va_end (args);
   return text;
}
