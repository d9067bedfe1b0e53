/* A copy of the first rows that a client gets, for the record. Bounded by the answer; whole rows only. */
#include "filters/pg_impl.h"

#include <string.h>

void pg_keep(struct pg_filter *f, const struct pg_entry *e, char type, const uint8_t *body, uint32_t len) {
    f->keeping = 0;
    if (e->keep_bytes == 0) return;
    if (f->kept_id != e->id) {
        buf_reset(&f->kept);
        f->kept.max = (size_t)e->keep_bytes;
        f->kept_id = e->id;
        f->kept_rows = 0;
        f->kept_cut = false;
    }
    if (f->kept_cut) return;
    size_t used = buf_used(&f->kept), room = (size_t)e->keep_bytes - used;
    bool row = type != 'T';
    if ((row && f->kept_rows >= e->keep_rows) || room < 5 || len > room - 5) {
        f->kept_cut = true;
        return;
    }
    buf_u8(&f->kept, (uint8_t)type);
    buf_be32(&f->kept, len);
    f->kept_rows += row;
    if (body != NULL)
        buf_put(&f->kept, body, len);
    else
        f->keeping = len;
}

void pg_keep_more(struct pg_filter *f, const uint8_t *data, size_t len) {
    size_t n = len < f->keeping ? len : f->keeping;
    buf_put(&f->kept, data, n);
    f->keeping -= n;
}

void pg_kept(const struct pg_filter *f, const struct pg_entry *e, struct flt_event *ev) {
    if (e->keep_bytes == 0 || f->kept_id != e->id) return;
    ev->result.kept_cut = f->kept_cut || f->kept.failed || f->keeping > 0;
    if (f->kept.failed || f->keeping > 0) return;
    ev->result.kept = buf_used(&f->kept) == 0 ? NULL : buf_at(&f->kept);
    ev->result.kept_len = buf_used(&f->kept);
}
