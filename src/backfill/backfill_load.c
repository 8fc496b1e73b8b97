/* What a batch looks up in other collections, before it is computed here. See backfill.h and lookups.h. */
#include "backfill/backfill-private.h"

void
ecl_load_batch (ecl_backfill_t *self)
{
   const ecl_scan_t *reader = &self->readers[self->level];

   if (self->lookups) {
      ecl_lookups_batch (self->lookups, reader->items, reader->n);
   }
}

void
ecl_load_enter (ecl_backfill_t *self)
{
   bool also = ecl_lookups_waits (self->lookups);
   bson_error_t error;

   switch (ecl_lookups_need (self->lookups, self->readers[self->level].at, &error)) {
   case ECL_LOOKUPS_READY:
      self->state = also ? ST_NEXT : ST_WORK;
      break;
   case ECL_LOOKUPS_COMMAND:
      ecl_lookups_command (self->lookups, &self->command);
      self->has_command = true;
      break;
   case ECL_LOOKUPS_FAILED:
      ecl_error_prefix (&error, "%s", self->collection);
      ecl_backfill_fail (self, &error);
      break;
   }
}

void
ecl_load_reply (ecl_backfill_t *self, const ecl_event_t *event)
{
   bson_error_t error;

   if (event->kind != ECL_EVENT_REPLY) {
      ecl_lookups_lost (self->lookups);
   } else if (!ecl_lookups_reply (self->lookups, event->reply, &error)) {
      ecl_error_prefix (&error, "%s, looking up in other collections", self->collection);
      ecl_backfill_fail (self, &error);
   }
}
