/* SHA-256 (FIPS 180-4): checksums of files. Not for secrets: it takes no care of timing. */
#ifndef ECL_BASE_SHA256_H
#define ECL_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

/* 64 digits and the NUL. */
#define ECL_SHA256_TEXT 65

/* The digest as lower-case hexadecimal digits. */
void
ecl_sha256_text (const void *bytes, size_t len, char text[ECL_SHA256_TEXT]);

#endif
