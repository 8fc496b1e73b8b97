/* Objects field by field: a list of fields under construction, and a walk that decodes no values.
 *
 * A raw document that changes in a few places is not taken apart: what stays is borrowed as runs of its bytes. Private
 * to the operators on objects.
 */
#ifndef ECL_MQL_OPS_OBJECT_H
#define ECL_MQL_OPS_OBJECT_H

#include "bson/cursor.h"
#include "mql/operators.h"

/* ---- a list of fields under construction ---- */

typedef struct {
   ecl_arena_t *arena;
   ecl_field_t *fields;
   uint32_t n, cap;
   const uint8_t *run, *run_end; /* raw elements that come next and are not in the list yet */
} ecl_list_t;

static inline void
list_init (ecl_list_t *self, ecl_arena_t *arena, uint32_t cap)
{
   *self = (ecl_list_t){.arena = arena, .cap = cap ? cap : 1};
   self->fields = ecl_arena_array (arena, ecl_field_t, self->cap);
}

static inline void
list_push (ecl_list_t *self, const ecl_field_t *field)
{
   if (self->n == self->cap) {
      self->fields = ecl_arena_grow (self->arena, self->fields, self->cap * sizeof *self->fields,
                                     2 * (size_t) self->cap * sizeof *self->fields);
      self->cap *= 2;
   }
   self->fields[self->n++] = *field;
}

static inline void
list_flush (ecl_list_t *self)
{
   if (self->run) {
      ecl_field_t run = {0};

      run.value.rep = ECL_REP_RUN;
      run.value.len = (uint32_t) (self->run_end - self->run);
      run.value.u.raw = self->run;
      self->run = NULL;
      list_push (self, &run);
   }
}

/* One field behind what is there; missing ones are left out. */
static inline void
list_add (ecl_list_t *self, const char *key, uint32_t len, const ecl_value_t *value)
{
   if (value->type != ECL_MISSING) {
      ecl_field_t field = ecl_field (key, len, *value);

      list_flush (self);
      list_push (self, &field);
   }
}

static inline ecl_value_t
list_end (ecl_list_t *self)
{
   list_flush (self);
   return ecl_fields (self->fields, self->n);
}

/* ---- walking a document field by field without decoding values ---- */

typedef struct {
   const ecl_field_t *field, *fields_end;
   ecl_cursor_t cursor;
   bool raw; /* the current field is cursor's element */
} ecl_walk_t;

static inline void
walk_init (ecl_walk_t *self, const ecl_value_t *document)
{
   memset (self, 0, sizeof *self);
   if (document->rep == ECL_REP_RAW) {
      self->cursor.next = document->u.raw + 4;
      self->cursor.end = document->u.raw + document->len - 1;
   } else {
      self->field = document->u.fields;
      self->fields_end = document->u.fields + document->len;
   }
}

static inline bool
walk_next (ecl_walk_t *self, const char **key, uint32_t *len)
{
   for (;;) {
      if (self->cursor.next < self->cursor.end) {
         if (!ecl_cursor_next (&self->cursor)) {
            return false;
         }
         self->raw = true;
         *key = self->cursor.key;
         *len = self->cursor.key_len;
         return true;
      }
      if (self->field == self->fields_end) {
         return false;
      }
      if (self->field->value.rep == ECL_REP_RUN) {
         self->cursor.next = self->field->value.u.raw;
         self->cursor.end = self->field->value.u.raw + self->field->value.len;
         self->field++;
      } else if (self->field->value.type == ECL_MISSING) {
         self->field++;
      } else {
         self->raw = false;
         *key = self->field->key;
         *len = self->field->key_len;
         self->field++;
         return true;
      }
   }
}

/* The current field, as it is, to the list. */
static inline void
walk_keep (const ecl_walk_t *self, ecl_list_t *list)
{
   if (!self->raw) {
      list_flush (list);
      list_push (list, self->field - 1);
   } else {
      if (!list->run || list->run_end != self->cursor.element) {
         list_flush (list);
         list->run = self->cursor.element;
      }
      list->run_end = self->cursor.next;
   }
}

static inline ecl_value_t
walk_value (const ecl_walk_t *self)
{
   ecl_value_t v;

   if (!self->raw) {
      return self->field[-1].value;
   }
   ecl_cursor_value (&self->cursor, &v);
   return v;
}

#endif
