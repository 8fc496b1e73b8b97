/* Functions of the program, called by the engine, and what they may ask for. See eclose/function.h. */
#include "api/api-private.h"
#include "upgrade/loads.h"

/* Lives on the stack for one call. */
struct _eclose_context_t {
   const ecl_api_function_t *function;
   ecl_eval_t *ev;
};

bool
ecl_api_call (void *context, ecl_eval_t *ev, const bson_t *in, bson_t *out, bson_error_t *error)
{
   eclose_context_t call = {.function = context, .ev = ev};
   bson_error_t cause = {0};

   if (call.function->function (in, out, &call, &cause)) {
      return true;
   }
   if (!cause.code) {
      ecl_fail (&cause, ECL_DOMAIN_UPGRADE, ECL_ERROR_INVALID, "the function to version %s failed and does not say why",
                call.function->leads_to);
   } else if (cause.domain == ECL_DOMAIN_UPGRADE && cause.code == ECL_ERROR_NEEDS && !ev->pending) {
      cause.code = ECL_ERROR_INVALID; /* it asked for nothing: called again it would say the same, without end */
   }
   return ecl_fail (error, cause.domain, cause.code, "%s", cause.message);
}

void *
eclose_context_user_data (const eclose_context_t *context)
{
   return context->function->user_data;
}

const char *
eclose_context_collection (const eclose_context_t *context)
{
   return context->function->collection;
}

const char *
eclose_context_version (const eclose_context_t *context)
{
   return context->function->leads_to;
}

const eclose_loader_t *
eclose_context_loader (const eclose_context_t *context)
{
   return context->ev->loader ? ecl_loads_owner (context->ev->loader->context) : NULL;
}

/* Room for n documents; the arena's own alignment is less than they want. */
static bson_t *
aligned_views (ecl_arena_t *arena, uint32_t n)
{
   size_t align = BSON_ALIGNOF (bson_t);
   uintptr_t start = (uintptr_t) ecl_arena_alloc (arena, ((size_t) n + 1) * sizeof (bson_t) + align);

   return (bson_t *) ((start + align - 1) / align * align);
}

bool
eclose_context_find (eclose_context_t *context, const char *collection, const char *field, const bson_value_t *value,
                     const bson_t **documents, size_t *n, bson_error_t *error)
{
   ecl_eval_t *ev = context->ev;
   const ecl_value_t *found;
   ecl_cursor_t cursor;
   ecl_value_t key;
   uint32_t count;
   bson_t holder = BSON_INITIALIZER, *views;
   bool ready = false;

   *documents = NULL;
   *n = 0;
   bson_append_value (&holder, "", 0, value);
   BSON_ASSERT (ecl_cursor_init (&cursor, bson_get_data (&holder), holder.len) && ecl_cursor_next (&cursor));
   ecl_cursor_value (&cursor, &key);
   switch (ecl_eval_load (ev, collection, field, &key, &found, &count, error)) {
   case ECL_LOAD_READY:
      views = aligned_views (&ev->arena, count);
      for (uint32_t i = 0; i < count; i++) {
         BSON_ASSERT (bson_init_static (&views[i], found[i].u.raw, found[i].len));
      }
      *documents = views;
      *n = count;
      ready = true;
      break;
   case ECL_LOAD_PENDING:
      ecl_fail (error, ECL_DOMAIN_UPGRADE, ECL_ERROR_NEEDS, "documents of %s are needed first", collection);
      break;
   case ECL_LOAD_FAILED:
      break;
   }
   bson_destroy (&holder);
   return ready;
}
