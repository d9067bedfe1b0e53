/* What every fuzz target has. */
#ifndef GH_T_TARGET_H
#define GH_T_TARGET_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* The target's: one input; 0 is what it gives back. LLVM's libFuzzer, replay.c or sweep.c calls it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(cond)                                                                                                                        \
    do {                                                                                                                                   \
        if (!(cond)) {                                                                                                                     \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                                                                     \
            abort();                                                                                                                       \
        }                                                                                                                                  \
    } while (0)

#endif
