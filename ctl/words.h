/* What is said of a command line that is wrong: the word that nobody knows and the one that was meant, or what is missing. */
#ifndef GH_CTL_WORDS_H
#define GH_CTL_WORDS_H

#include <stddef.h>
#include <stdio.h>

/* On standard error: "gatehousectl OF: unknown WHAT "word": did you mean NAME?", or with all names; of may be "". */
void words_unknown(const char *of, const char *what, const char *word, const char *const *names);
/* "gatehousectl OF: WHAT is missing". */
void words_missing(const char *of, const char *what);
/* "gatehousectl OF: "word" is one word too many". */
void words_too_many(const char *of, const char *word);
/* The lines of a usage that are about one command, "gatehousectl COMMAND ...", with those that go on below it; all of them when it is NULL or none is. Ends with an
 * empty line. */
void words_usage(FILE *to, const char *const *lines, const char *command);

#endif
