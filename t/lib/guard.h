/* Test inputs that end at an unreadable page, so that reading one byte too far is a crash and not luck. */
#ifndef GH_T_GUARD_H
#define GH_T_GUARD_H

#include <check.h>
#include <stddef.h>
#include <stdint.h>

/* A copy of data whose last byte is the last readable one. Free with guard_free(). len may be 0. */
uint8_t *guard_copy(const void *data, size_t len);
void guard_free(uint8_t *p, size_t len);
/* "00 01 0a" or "00010a" to bytes; returns the count, fails the test on anything else or more than max. */
size_t unhex(const char *hex, uint8_t *out, size_t max);
/* Runs the suite and returns main()'s exit code. CK_FORK etc. apply. */
int run_suite(Suite *s);

#endif
