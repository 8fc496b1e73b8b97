/* Shell: commands that messages tell somebody to type. */
#ifndef ECL_BASE_SHELL_H
#define ECL_BASE_SHELL_H

/* A name of 255 bytes, each of which is a quote, in quotes, with the zero. */
#define ECL_SHELL_WORD (4 * 255 + 3)

typedef struct {
   char text[ECL_SHELL_WORD];
} ecl_shell_word_t;

/* The word as a POSIX shell reads it back: in single quotes where it holds what means something to a shell, else as it
 * is. For use in place: printf ("eclose up %s", ecl_shell_word (name).text). A longer one is cut. */
ecl_shell_word_t
ecl_shell_word (const char *word);

#endif
