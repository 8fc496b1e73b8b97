/* Words of a shell: see shell.h. */
#include "base/shell.h"

#include "base/ascii.h"

#include <stdio.h>
#include <string.h>

/* Bytes of other characters than ASCII mean nothing to a shell. */
static bool
is_plain (char c)
{
   return ecl_is_letter (c) || ecl_is_digit (c) || (unsigned char) c >= 0x80 || (c && strchr ("_-./:,+@%=", c));
}

ecl_shell_word_t
ecl_shell_word (const char *word)
{
   ecl_shell_word_t out;
   size_t n = 0, plain = 0;

   while (is_plain (word[plain])) {
      plain++;
   }
   if (plain && !word[plain]) {
      snprintf (out.text, sizeof out.text, "%s", word);
      return out;
   }
   out.text[n++] = '\'';
   for (; *word && n + 6 <= sizeof out.text; word++) {
      if (*word == '\'') {
         memcpy (out.text + n, "'\\''", 4);
         n += 4;
      } else {
         out.text[n++] = *word;
      }
   }
   out.text[n++] = '\'';
   out.text[n] = '\0';
   return out;
}
