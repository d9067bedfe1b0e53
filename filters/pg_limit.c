/* Results that are larger, or take longer, than the owner allows. What fits reaches the client, then an error. It is an error for the server too: when it
 * had finished by then, a refusal's poison undoes what it did in this pipeline and transaction, so that the state that ReadyForQuery tells is true. To
 * be able to, nothing is sent behind a limited statement before it has ended. A Query outside of a transaction block has committed by then: what changes data and
 * returns rows is not let through so (stays_undoable()), and nobody is told that such a one was undone. */
#include "filters/pg_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void over(struct pg_filter *f, struct pg_entry *e, enum pg_over why) {
    e->over = why;
    f->over_hold = true;
    flt_post(&f->base, &(struct flt_event){.kind = FLT_EV_OVER, .over = {.id = e->id}});
}

bool pg_limit_fits(struct pg_filter *f, struct pg_entry *e, uint32_t body) {
    if (e->over != PG_OVER_NOT) {
        e->dropped = true;
        return false;
    }
    if (e->max_rows != 0 && e->passed >= e->max_rows)
        over(f, e, PG_OVER_ROWS);
    else if (e->max_bytes != 0 && (e->bytes > e->max_bytes || body > e->max_bytes - e->bytes))
        over(f, e, PG_OVER_BYTES);
    if (e->over != PG_OVER_NOT) return false;
    e->passed++;
    return true;
}

bool pg_limit_overrun(struct pg_filter *f) {
    struct pg_entry *e = f->q_len == 0 ? NULL : &f->queue[(f->q_head + f->q_len - 1) % f->q_cap];
    if (e == NULL || !e->limited || e->over != PG_OVER_NOT) return false;
    over(f, e, PG_OVER_TIME);
    return true;
}

/* undone: the server had not finished, or what it did is about to be undone. */
static void put_text(const struct pg_entry *e, bool undone, struct buf *out) {
    char message[120], detail[120];
    const char *hint = "Ask for less: fewer rows (WHERE, LIMIT, an aggregate) or fewer columns.";
    snprintf(detail, sizeof detail, "%" PRIu64 " rows were sent; %s.", e->passed,
             undone ? "the statement was undone" : "the statement had finished, and what it changed, if anything, stays");
    if (e->over == PG_OVER_ROWS)
        snprintf(message, sizeof message, "the result has more rows than the policy allows: %" PRIu64, e->max_rows);
    else if (e->over == PG_OVER_BYTES)
        snprintf(message, sizeof message, "the result is larger than the policy allows: %" PRIu64 " bytes", e->max_bytes);
    else {
        snprintf(message, sizeof message, "the statement takes longer than the policy allows");
        hint = "Ask for less, or for something that an index finds.";
    }
    pg_put_error(out, &(struct pg_error_text){.sqlstate = PG_OVER_STATE, .message = message, .detail = detail, .hint = hint});
}

void pg_limit_error(struct pg_filter *f, const struct pg_entry *e) { put_text(e, true, &f->base.out[FLT_CLIENT]); }

void pg_limit_undo(struct pg_filter *f, const struct pg_entry *was) {
    struct buf text = BUF_INIT(4096), *server = &f->base.out[FLT_SERVER];
    bool query = was->what == PG_S_QUERY;
    put_text(was, !query || f->status != 'I', &text);
    uint8_t *copy = text.failed ? NULL : malloc(buf_used(&text));
    size_t len = buf_used(&text);
    if (copy != NULL) memcpy(copy, buf_at(&text), len);
    buf_free(&text);
    struct pg_entry *e = copy == NULL ? NULL : pg_queue_push(f, PG_S_POISON);
    if (e == NULL) {
        free(copy);
        pg_no_memory(f);
        return;
    }
    e->error = copy;
    e->error_len = len;
    pg_put_named(server, 'D', 'P', f->poison);
    if (!query) {
        f->skip = true; /* the client's messages up to Sync, as after any error */
        pg_put_simple(server, 'H');
        return;
    }
    if (pg_queue_push(f, PG_S_SYNC) == NULL) return;
    pg_put_simple(server, 'S');
    f->unit++;
}
