/* SPOP: no crash; any chopping of the bytes gives the same events and the same output; a varint that is read is written back alike. */
#include "spoa/spop.h"
#include "t/fuzz/sweep.h"
#include "t/fuzz/target.h"
#include "t/lib/spop_dump.h"

#include <stdlib.h>

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

#ifdef FUZZ_SWEEP
struct sweeping {
    const uint8_t *data;
    size_t size, events;
    struct buf full; /* what went to HAProxy */
};

/* Every NOTIFY is answered. Gives the number of events. */
static size_t talk(const uint8_t *data, size_t size, struct buf *said) {
    static const struct spop_agent_conf conf = {.max_pending = 3};
    struct spop_agent *a = spop_agent_new(&conf);
    struct spop_event ev;
    size_t events = 0;
    for (size_t at = 0, n = 1; a != NULL && at < size && n > 0; at += n) {
        n = spop_agent_feed(a, data + at, size - at);
        while (spop_agent_next(a, &ev)) {
            events++;
            const struct spop_action set = {SPOP_SET_VAR, SPOP_TXN, "verdict", spop_str("allow")};
            if (ev.kind == SPOP_EV_NOTIFY) spop_ack(a, ev.notify.stream_id, ev.notify.frame_id, &set, 1);
        }
    }
    nomem_pause();
    if (a != NULL) buf_put(said, buf_at(spop_agent_out(a)), buf_used(spop_agent_out(a)));
    spop_agent_free(a);
    nomem_resume();
    return events;
}

/* What is said is the beginning of what is said with all memory, and then perhaps an AGENT-DISCONNECT. */
static void faulty(void *arg) {
    struct sweeping *s = arg;
    struct buf said = BUF_INIT(16 << 20);
    size_t events = talk(s->data, s->size, &said), n = buf_used(&said), same = 0;
    const uint8_t *now = buf_at(&said), *then = buf_at(&s->full);
    nomem_pause();
    while (same < n && same < buf_used(&s->full) && now[same] == then[same]) same++;
    size_t frame = 0, next = 0; /* where the frame begins in which they part */
    while (next <= same && next < n) {
        frame = next;
        next += n - frame < 4 ? n - frame
                              : 4 + (size_t)((uint32_t)now[frame] << 24 | (uint32_t)now[frame + 1] << 16 | (uint32_t)now[frame + 2] << 8 |
                                             now[frame + 3]);
    }
    bool fine = same == n || (nomem_hit() && n - frame > 4 && now[frame + 4] == SPOP_FRM_AGENT_DISCONNECT);
    if (!fine) sweep_show("now", now, n);
    if (!fine) sweep_show("with all memory", then, buf_used(&s->full));
    if (!fine || events > s->events + 1) abort();
    buf_free(&said);
    nomem_resume();
}

void fuzz_sweep(const uint8_t *data, size_t size) {
    struct sweeping s = {.data = data, .size = size, .full = BUF_INIT(16 << 20)};
    if (size > 4096) return;
    s.events = talk(data, size, &s.full);
    sweep(faulty, &s);
    buf_free(&s.full);
}
#endif
