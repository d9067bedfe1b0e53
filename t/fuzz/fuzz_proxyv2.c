/* PROXY v2: no crash; what was said of a prefix holds for the whole; a header that is taken is as long as it says. */
#include "filters/proxyv2.h"
#include "t/fuzz/target.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct pp2_header h, again;
    struct gh_err err;
    size_t used, used_again;
    enum gh_rc rc = pp2_decode(data, size, &h, &used, &err);
    if (err.rc != rc || err.reason == NULL || used > size || (rc == GH_OK) != (used > 0)) abort();
    if (rc == GH_OK && (strnlen(h.ssl.cn, sizeof h.ssl.cn) == sizeof h.ssl.cn || h.unique_id_len > PP2_UNIQUE_ID_MAX)) abort();
    for (size_t n = 0; n < size && n <= PP2_HEADER_MAX; n++) {
        enum gh_rc early = pp2_decode(data, n, &again, &used_again, NULL);
        if (early != GH_NEED_MORE && (early != rc || used_again != used || memcmp(&again, &h, sizeof h) != 0)) abort();
    }
    return 0;
}
