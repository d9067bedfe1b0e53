/* What the parts of "gatehousectl doctor" share. */
#ifndef GH_CTL_DOCTOR_INT_H
#define GH_CTL_DOCTOR_INT_H

#include "spoa/config.h"

/* A finding on stdout; todo says what to do about it. */
__attribute__((format(printf, 2, 3))) void ok(const char *subject, const char *fmt, ...);
__attribute__((format(printf, 3, 4))) void problem(const char *subject, const char *todo, const char *fmt, ...);
unsigned doctor_problems(void); /* so far */

/* HAProxy's configuration in the file path, as far as Gatehouse's lines go. */
void doctor_haproxy(const struct conf *c, const char *path);

#endif
