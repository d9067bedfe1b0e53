/* A whole regular file in memory. */
#ifndef GH_POLICY_FILE_H
#define GH_POLICY_FILE_H

#include "policy/yaml.h"

/* The file's bytes (free() them) and their count, at most max; NULL and *err when it cannot be read, is too large, or is no regular file. */
char *pol_read_file(const char *path, size_t max, size_t *len, struct pol_error *err);

#endif
