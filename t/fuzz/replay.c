/* Runs a fuzz target over every file of the folders given, or of its own corpus: what a fuzzer found once stays fixed. */
#include "t/fuzz/files.h"
#include "t/fuzz/target.h"

static void one(const uint8_t *data, size_t size, const char *path) {
    (void)path;
    LLVMFuzzerTestOneInput(data, size);
}

int main(int argc, char **argv) { return fuzz_files(argc, argv, one); }
