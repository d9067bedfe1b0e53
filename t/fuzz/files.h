/* The files that a fuzz target's tests go through. */
#ifndef GH_T_FUZZ_FILES_H
#define GH_T_FUZZ_FILES_H

#include <stddef.h>
#include <stdint.h>

/* Calls one() for every file of the folders that the command line names, or of the corpus of the target that the program's name ends with: each in memory that ends where it does. Gives main()'s
 * exit code: not 0 when a file cannot be read or there is none. */
int fuzz_files(int argc, char **argv, void (*one)(const uint8_t *data, size_t size, const char *path));

#endif
