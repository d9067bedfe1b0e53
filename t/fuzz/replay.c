/* Runs a fuzz target over every file of the folders given, or of its own corpus: what a fuzzer found once stays fixed. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FILE_MAX (1024 * 1024)

static int replay_file(const char *path) {
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
    LLVMFuzzerTestOneInput(exact, n);
    free(exact);
    return 0;
}

static int replay_folder(const char *folder) {
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
            failed |= replay_file(path);
        files++;
    }
    closedir(d);
    if (files == 0) fprintf(stderr, "%s: no files to replay\n", folder);
    return failed || files == 0;
}

int main(int argc, char **argv) {
    int failed = 0;
    if (argc == 1) return replay_folder(GH_TOP_SRCDIR "/t/fuzz/corpus/" FUZZ_TARGET);
    for (int i = 1; i < argc; i++) failed |= replay_folder(argv[i]);
    return failed;
}
