/* Texts for people that printf() has cut to a size. */
#ifndef GH_POLICY_TEXT_H
#define GH_POLICY_TEXT_H

#include <stdarg.h>
#include <stddef.h>

/* Bytes in the one character at p, 1 to 4; 0 when it is not well-formed UTF-8 or does not end within left bytes. */
size_t pol_utf8_step(const char *p, size_t left);
/* Takes the bytes out of s that are no whole character: what "%.70s" or a full buffer leaves of one. Clients and records take UTF-8 only. */
void pol_utf8_tidy(char *s);
/* printf() into out, of size bytes, or behind the text that it holds: what does not fit is left out, and no character is cut. */
__attribute__((format(printf, 3, 4))) void pol_say(char *out, size_t size, const char *fmt, ...);
__attribute__((format(printf, 3, 4))) void pol_add(char *out, size_t size, const char *fmt, ...);
__attribute__((format(printf, 3, 0))) void pol_vadd(char *out, size_t size, const char *fmt, va_list ap);
/* The word that a misspelt one may have meant, at most two letters changed, added, left out or swapped (in a short one: one); NULL: none is near. words is NULL-terminated. */
const char *pol_nearest(const char *word, const char *const *words);

#endif
