#include "t/fuzz/files.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX (1024 * 1024)

typedef void one_fn(const uint8_t *data, size_t size, const char *path);

static int read_file(const char *path, one_fn *one) {
    FILE *f = fopen(path, "rb");
    uint8_t *data = malloc(FILE_MAX), *exact;
    if (f == NULL || data == NULL) {
        perror(path);
        free(data);
        if (f != NULL) fclose(f);
        return 1;
    }
    size_t n = fread(data, 1, FILE_MAX, f);
    fclose(f);
    exact = realloc(data, n == 0 ? 1 : n); /* an input that ends where its memory ends */
    if (exact == NULL) exact = data;
    printf("%s: %zu bytes\n", path, n);
    fflush(stdout);
    one(exact, n, path);
    free(exact);
    return 0;
}

static int read_folder(const char *folder, one_fn *one) {
    DIR *d = opendir(folder);
    int failed = 0, files = 0;
    if (d == NULL) {
        perror(folder);
        return 1;
    }
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char path[4096];
        if (e->d_name[0] == '.') continue;
        if (snprintf(path, sizeof path, "%s/%s", folder, e->d_name) >= (int)sizeof path)
            failed = 1;
        else
            failed |= read_file(path, one);
        files++;
    }
    closedir(d);
    if (files == 0) fprintf(stderr, "%s: no files to replay\n", folder);
    return failed || files == 0;
}

/* "pg" of "t/fuzz/replay_pg". */
static const char *target_of(const char *program) {
    const char *base = strrchr(program, '/'), *name = strchr(base != NULL ? base : program, '_');
    return name != NULL ? name + 1 : "";
}

int fuzz_files(int argc, char **argv, one_fn *one) {
    char folder[4096];
    int failed = 0;
    if (argc == 1) {
        snprintf(folder, sizeof folder, "%s/t/fuzz/corpus/%s", GH_TOP_SRCDIR, target_of(argv[0]));
        return read_folder(folder, one);
    }
    for (int i = 1; i < argc; i++) failed |= read_folder(argv[i], one);
    return failed;
}
