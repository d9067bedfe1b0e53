/* A fuzz target whose input is run again and again, each time with another allocation that fails: built with FUZZ_SWEEP, together with sweep.c, as
 * t/fuzz/sweep_NAME. make check sweeps the target's corpus. */
#ifndef GH_T_SWEEP_H
#define GH_T_SWEEP_H

#include "t/lib/nomem.h"

#include <stddef.h>
#include <stdint.h>

#ifndef FUZZ_SWEEP /* nothing fails */
#define nomem_pause()  ((void)0)
#define nomem_resume() ((void)0)
#endif

/* The target's: runs the input once as it is, and then by sweep(), holding every result against that one: what is refused stays so. */
void fuzz_sweep(const uint8_t *data, size_t size);

/* Calls run(arg) with the first allocation failing, the second, ... until it has none left to fail; and then once more with all behind that one failing too.
 * What run() does for itself stands between nomem_pause() and nomem_resume(). */
void sweep(void (*run)(void *arg), void *arg);

/* Prints bytes, for who looks for what went wrong. */
void sweep_show(const char *what, const void *data, size_t len);

#endif
