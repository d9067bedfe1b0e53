/* SPOP: no crash; any chopping of the bytes gives the same events and the same output; a varint that is read is written back alike. */
#include "spoa/spop.h"
#include "t/lib/spop_dump.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t whole(void *arg) {
    (void)arg;
    return SIZE_MAX;
}

static size_t chop(void *arg) {
    uint32_t *state = arg;
    *state = *state * 1103515245u + 12345u;
    return 1 + (*state >> 16) % 23;
}

static void varint_round_trip(const uint8_t *data, size_t size) {
    struct cur c = cur_of(data, size);
    uint64_t v;
    if (spop_get_varint(&c, &v) != GH_OK) return;
    struct buf b = BUF_INIT(16);
    spop_put_varint(&b, v);
    if (buf_used(&b) != cur_offset(&c) || memcmp(buf_at(&b), data, buf_used(&b)) != 0) abort();
    buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct spop_agent_conf conf = {.max_pending = 3};
    struct buf a = BUF_INIT(16 << 20), b = BUF_INIT(16 << 20);
    if (size > 4096) return 0;
    varint_round_trip(data, size);
    uint32_t state = (uint32_t)size;
    for (size_t i = 0; i < size; i++) state = state * 31 + data[i];
    spop_dump(&conf, data, size, &(struct spop_pieces){whole, NULL, false}, &a);
    spop_dump(&conf, data, size, &(struct spop_pieces){chop, &state, false}, &b);
    if (a.failed || buf_used(&a) != buf_used(&b) || memcmp(buf_at(&a), buf_at(&b), buf_used(&a)) != 0) abort();
    buf_free(&a);
    buf_free(&b);
    return 0;
}
