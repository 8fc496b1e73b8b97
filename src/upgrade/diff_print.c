/* Showing differences: see diff.h. */
#include "upgrade/diff.h"

#include "bson/append.h"
#include "text/text.h"

#include <stdio.h>

#define RED "\033[31m"
#define GREEN "\033[32m"
#define YELLOW "\033[33m"
#define CYAN "\033[36m"
#define PLAIN "\033[0m"

bool
ecl_diff_show_value (const ecl_value_t *value, uint32_t max, ecl_buf_t *out)
{
   uint64_t size = ecl_value_size (value);
   ecl_buf_t text;
   uint8_t *bytes;
   bool ok;

   max = max ? max : 200;
   if (size > ECL_TEXT_BSON_MAX) {
      return ecl_buf_append_str (out, "…");
   }
   bytes = bson_malloc (size + 1);
   ecl_value_write (value, bytes);
   ecl_buf_init (&text, 8u * ECL_TEXT_BSON_MAX);
   ok = ecl_extjson_write_value (value->type, bytes, size, ECL_EXTJSON_RELAXED, &text, NULL);
   if (!ok) {
      ok = ecl_buf_append_str (out, "…");
   } else if (text.len <= max) {
      ok = ecl_buf_append (out, text.data, text.len);
   } else {
      ok = ecl_buf_append (out, text.data, ecl_shown ((const char *) text.data, text.len, max)) &&
           ecl_buf_append_str (out, "…");
   }
   ecl_buf_cleanup (&text);
   bson_free (bytes);
   return ok;
}

static bool
print_one (const ecl_difference_t *item, bool colour, uint32_t max, ecl_buf_t *out)
{
   static const struct {
      const char *sign, *colour;
   } styles[] = {
      [ECL_DIFF_REMOVED] = {"-", RED},  [ECL_DIFF_ADDED] = {"+", GREEN}, [ECL_DIFF_CHANGED] = {"~", YELLOW},
      [ECL_DIFF_RENAMED] = {">", CYAN}, [ECL_DIFF_MOVED] = {">", CYAN},
   };
   const char *path = *item->path ? item->path : "(the document)";
   bool ok = ecl_buf_printf (out, "%s%s ", colour ? styles[item->kind].colour : "", styles[item->kind].sign);

   switch (item->kind) {
   case ECL_DIFF_REMOVED:
      ok = ok && ecl_buf_printf (out, "%s: ", path) && ecl_diff_show_value (&item->before, max, out);
      break;
   case ECL_DIFF_ADDED:
      ok = ok && ecl_buf_printf (out, "%s: ", path) && ecl_diff_show_value (&item->after, max, out);
      break;
   case ECL_DIFF_CHANGED: {
      bool types = item->before.type != item->after.type;

      ok = ok && ecl_buf_printf (out, "%s: ", path) && ecl_diff_show_value (&item->before, max, out) &&
           (!types || ecl_buf_printf (out, " (%s)", ecl_type_name (item->before.type))) &&
           ecl_buf_append_str (out, " -> ") && ecl_diff_show_value (&item->after, max, out) &&
           (!types || ecl_buf_printf (out, " (%s)", ecl_type_name (item->after.type)));
      break;
   }
   case ECL_DIFF_RENAMED:
      ok = ok && ecl_buf_printf (out, "%s: moved from %s: ", path, item->from_path) &&
           ecl_diff_show_value (&item->after, max, out);
      break;
   case ECL_DIFF_MOVED:
      ok = ok && ecl_buf_printf (out, "%s: moved from place %u to %u", path, item->from, item->to);
      break;
   }
   return ok && ecl_buf_append_str (out, colour ? PLAIN "\n" : "\n");
}

bool
ecl_diff_print (const ecl_differences_t *diff, const ecl_diff_style_t *style, ecl_buf_t *out)
{
   for (size_t i = 0; i < diff->n; i++) {
      if (!ecl_buf_append_str (out, style->indent ? style->indent : "") ||
          !print_one (&diff->items[i], style->colour, style->max_value, out)) {
         return false;
      }
   }
   return true;
}

void
ecl_diff_append (const ecl_differences_t *diff, bson_t *array)
{
   static const char *const names[] = {
      [ECL_DIFF_REMOVED] = "removed", [ECL_DIFF_ADDED] = "added", [ECL_DIFF_CHANGED] = "changed",
      [ECL_DIFF_RENAMED] = "renamed", [ECL_DIFF_MOVED] = "moved",
   };
   uint32_t n = bson_count_keys (array);

   for (size_t i = 0; i < diff->n; i++) {
      const ecl_difference_t *item = &diff->items[i];
      char key[16];
      bson_t entry;

      snprintf (key, sizeof key, "%u", n++);
      bson_append_document_begin (array, key, -1, &entry);
      BSON_APPEND_UTF8 (&entry, "op", names[item->kind]);
      BSON_APPEND_UTF8 (&entry, "path", item->path);
      if (item->from_path) {
         BSON_APPEND_UTF8 (&entry, "from", item->from_path);
      }
      if (item->kind == ECL_DIFF_MOVED) {
         BSON_APPEND_INT32 (&entry, "from", (int32_t) item->from);
         BSON_APPEND_INT32 (&entry, "to", (int32_t) item->to);
      } else {
         ecl_append_value (&entry, "before", &item->before);
         ecl_append_value (&entry, "after", &item->after);
      }
      bson_append_document_end (array, &entry);
   }
}
