/* What ASCII characters are, whatever the locale says. Any other character, and the end of a text as -1, is nothing. */
#ifndef ECL_BASE_ASCII_H
#define ECL_BASE_ASCII_H

#include <stdbool.h>

static inline bool
ecl_is_digit (int c)
{
   return c >= '0' && c <= '9';
}

static inline bool
ecl_is_letter (int c)
{
   return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* What a hexadecimal digit stands for; -1 where it is none. */
static inline int
ecl_hex_digit (int c)
{
   return c >= '0' && c <= '9'   ? c - '0'
          : c >= 'a' && c <= 'f' ? c - 'a' + 10
          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                 : -1;
}

/* The same of base64, or base64url. */
static inline int
ecl_base64_digit (int c, bool url)
{
   return c >= 'A' && c <= 'Z'     ? c - 'A'
          : c >= 'a' && c <= 'z'   ? c - 'a' + 26
          : c >= '0' && c <= '9'   ? c - '0' + 52
          : c == (url ? '-' : '+') ? 62
          : c == (url ? '_' : '/') ? 63
                                   : -1;
}

#endif
