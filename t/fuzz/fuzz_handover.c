/* The handover's messages: no crash; what is read is written back alike; no beginning of a message is one, but where its rest is free text. */
#include "spoa/handover_msg.h"
#include "t/fuzz/target.h"

#include <stdlib.h>
#include <string.h>

static bool ends_in_free_text(enum ho_type type) { return type == HO_REFUSE || type == HO_SPOP || type == HO_CANCEL; }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct ho_msg m, part;
    const char *why = NULL;
    if (size > HO_PACKET_MAX) return 0;
    enum gh_rc rc = ho_get(data, size, &m, &why);
    if ((rc == GH_OK) != (why == NULL)) abort();
    if (rc != GH_OK) return 0;
    if (m.type == HO_HELLO && m.hello.version != HO_VERSION) return 0; /* its rest is another version's */
    struct buf b = BUF_INIT(HO_PACKET_MAX);
    ho_put(&b, &m);
    if (b.failed || buf_used(&b) != size || memcmp(buf_at(&b), data, size) != 0) abort();
    buf_free(&b);
    if (ends_in_free_text(m.type)) return 0;
    size_t step = 1 + size / 64;
    for (size_t n = 0; n < size; n += step)
        if (ho_get(data, n, &part, &why) == GH_OK) abort();
    return 0;
}
