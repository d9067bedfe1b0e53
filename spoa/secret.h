/* Passwords from files. */
#ifndef GH_SPOA_SECRET_H
#define GH_SPOA_SECRET_H

#include <stddef.h>

#define SECRET_MAX 4096 /* bytes of a secret's file */

/* The file's text without one trailing newline. NULL and a sentence in why when it cannot be read, others than its owner may read it, it is
 * empty, too long or holds a NUL. Free with secret_free(). */
char *secret_read(const char *path, char *why, size_t size);
void secret_free(char *secret); /* wipes it; NULL is fine */

#endif
