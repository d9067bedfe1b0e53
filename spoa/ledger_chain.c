#include <config.h>

#include "spoa/ledger_chain.h"

#include "spoa/digest.h"
#include "spoa/json_read.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void chain_init(struct chain *c) { *c = (struct chain){{0, CHAIN_ZERO}, {0, CHAIN_ZERO}}; }

struct chain_head *chain_of(struct chain *c, enum led_stream stream) {
    return stream == LED_AUTH ? &c->auth : &c->main;
}

/* Most events are small: their pieces are gathered, so that the digest is called once or twice for each. */
struct hasher {
    EVP_MD_CTX *ctx;
    bool ok;
    size_t n;
    char piece[8192];
};

static void flush(struct hasher *h) {
    h->ok = h->ok && EVP_DigestUpdate(h->ctx, h->piece, h->n) == 1;
    h->n = 0;
}

static void put(struct hasher *h, const char *s, size_t len) {
    if (len > sizeof h->piece - h->n) flush(h);
    if (len > sizeof h->piece) {
        h->ok = h->ok && EVP_DigestUpdate(h->ctx, s, len) == 1;
        return;
    }
    memcpy(h->piece + h->n, s, len);
    h->n += len;
}

/* False when there is no digest. */
static bool finish(EVP_MD_CTX *ctx, char out[LEV_HASH_TEXT]) {
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (EVP_DigestFinal_ex(ctx, md, &n) != 1 || n != 32) return false;
    gh_hex(out, md, 32);
    out[64] = '\0';
    return true;
}

static void put_netstring(struct hasher *h, const char *s, size_t len) {
    if (sizeof h->piece - h->n < GH_U64_TEXT + 1) flush(h);
    char *at = h->piece + h->n;
    at = gh_put_len(at, len);
    *at++ = ':';
    h->n = (size_t)(at - h->piece);
    if (len < sizeof h->piece - h->n) {
        memcpy(at, s, len);
        at[len] = ',';
        h->n += len + 1;
        return;
    }
    put(h, s, len);
    put(h, ",", 1);
}

bool chain_hash(const char *key, const struct lev_part *parts, size_t nparts, char out[LEV_HASH_TEXT]) {
    struct hasher h;
    h.ctx = digest_sha256();
    h.ok = h.ctx != NULL;
    h.n = 0;
    if (!h.ok) return false;
    put_netstring(&h, key, strlen(key));
    for (size_t i = 0; i < nparts; i++) put_netstring(&h, parts[i].at, parts[i].len);
    flush(&h);
    return h.ok && finish(h.ctx, out);
}

/* The same of an event that has its netstrings. */
static bool hash_small(const struct lev *e, char out[LEV_HASH_TEXT]) {
    char head[LEV_HEAD_ROOM];
    EVP_MD_CTX *ctx = digest_sha256();
    return ctx != NULL && EVP_DigestUpdate(ctx, head, lev_hashed_head(e, head)) == 1 &&
           EVP_DigestUpdate(ctx, e->netstrings.at, e->netstrings.len) == 1 && finish(ctx, out);
}

bool chain_add(struct chain *c, struct lev *e) {
    struct chain_head *head = chain_of(c, e->stream), next = {.seq = e->seq};
    lev_set_prev(e, head->hash);
    bool ok = e->netstrings.at != NULL ? hash_small(e, next.hash) : chain_hash(e->key, e->parts, e->nparts, next.hash);
    if (!ok) return false;
    *head = next;
    return true;
}

/* --- going on where a journal ends --- */

static struct lev *read_event(struct jnl *j, uint64_t seq, char *err, size_t errsize) {
    uint64_t n;
    const char *json;
    size_t len, line;
    if (!jnl_seek(j, seq, err, errsize) || jnl_next(j, &n, &json, &len, &line, err, errsize) != JNL_LINE) return NULL;
    struct lev *e = lev_parse(json, len);
    if (e == NULL) snprintf(err, errsize, "event %" PRIu64 " in the journal is in no form that this daemon knows", seq);
    return e;
}

/* Takes the end of a chain from its last event; of the other one from an anchor. */
static bool take_head(struct jnl *j, uint64_t seq, bool anchor, struct chain_head *head, char *err, size_t errsize) {
    struct lev *e = read_event(j, seq, err, errsize);
    struct chain_anchor a;
    if (e == NULL) return false;
    const char *text = anchor ? lev_field(e, "signed") : NULL;
    bool ok = anchor ? text != NULL && chain_anchor_read(text, &a) : chain_hash(e->key, e->parts, e->nparts, head->hash);
    if (!ok) snprintf(err, errsize, "event %" PRIu64 " in the journal does not say where the hash chain ends", seq);
    if (ok && anchor)
        *head = a.ends.auth;
    else
        head->seq = e->seq;
    lev_free_all(e);
    return ok;
}

static bool holds(const char *s, size_t len, size_t within, const char *what) {
    return memmem(s, len < within ? len : within, what, strlen(what)) != NULL;
}

/* The last two files have an event of the main chain, and one of the other or an anchor behind its last one: each file begins with an anchor. */
bool chain_resume(struct jnl *j, struct chain *c, uint64_t *anchored, struct lev_id *last, char *err, size_t errsize) {
    uint64_t end = jnl_last_seq(j), seq, auth = 0, main = 0;
    const char *json;
    size_t len, line;
    chain_init(c);
    *anchored = 0;
    if (end == 0 || end < jnl_first_seq(j)) return true;
    if (!jnl_seek(j, jnl_tail_seq(j), err, errsize)) return false;
    for (enum jnl_read r; (r = jnl_next(j, &seq, &json, &len, &line, err, errsize)) != JNL_END;) {
        if (r != JNL_LINE) return false;
        bool bounded = holds(json, len, 120, "\"stream\":\"auth\"");
        *(bounded ? &auth : &main) = seq;
        if (!bounded && holds(json, len, 160, "[\"type\",\"anchor\"]")) *anchored = seq;
    }
    if (main != 0 && !take_head(j, main, false, &c->main, err, errsize)) return false;
    if (auth != 0 && !take_head(j, auth, false, &c->auth, err, errsize)) return false;
    if (auth == 0 && *anchored != 0 && !take_head(j, *anchored, true, &c->auth, err, errsize)) return false;
    struct lev *e = read_event(j, end, err, errsize);
    bool ok = e != NULL && lev_id_parse(e->id, last);
    lev_free_all(e);
    return ok;
}

/* --- anchors --- */

static json_t *end_json(const struct chain_head *h) { return json_pack("{s:I, s:s}", "seq", (json_int_t)h->seq, "hash", h->hash); }

char *chain_anchor_text(const struct chain_anchor *a) {
    json_t *o = json_pack("{s:s, s:s, s:I, s:s, s:o, s:o}", "gatehouse", "anchor", "node", a->node, "seq", (json_int_t)a->seq, "time",
                          a->time, "main", end_json(&a->ends.main), "auth", end_json(&a->ends.auth));
    char *text = o == NULL ? NULL : json_dumps(o, JSON_COMPACT);
    json_decref(o);
    return text;
}

static bool read_end(const json_t *o, struct chain_head *h) {
    const char *hash = json_string_value(json_object_get(o, "hash"));
    json_int_t seq = json_integer_value(json_object_get(o, "seq"));
    if (hash == NULL || !gh_is_sha256(hash) || seq < 0) return false;
    h->seq = (uint64_t)seq;
    memcpy(h->hash, hash, sizeof h->hash);
    return true;
}

static bool copy(char *out, size_t size, const char *s) {
    if (s == NULL || strlen(s) >= size) return false;
    memcpy(out, s, strlen(s) + 1);
    return true;
}

bool chain_anchor_read(const char *text, struct chain_anchor *a) {
    json_t *o = json_read(text, strlen(text), JSON_REJECT_DUPLICATES, NULL);
    const char *what = json_string_value(json_object_get(o, "gatehouse"));
    json_int_t seq = json_integer_value(json_object_get(o, "seq"));
    bool ok = what != NULL && strcmp(what, "anchor") == 0 && seq > 0 &&
              copy(a->node, sizeof a->node, json_string_value(json_object_get(o, "node"))) &&
              copy(a->time, sizeof a->time, json_string_value(json_object_get(o, "time"))) &&
              read_end(json_object_get(o, "main"), &a->ends.main) && read_end(json_object_get(o, "auth"), &a->ends.auth);
    a->seq = (uint64_t)seq;
    json_decref(o);
    return ok && a->ends.main.seq < a->seq && a->ends.auth.seq < a->seq;
}

char *chain_anchor_line(const char *text, const char *signature, const char *key) {
    json_t *o = json_pack("{s:s, s:s, s:s}", "anchor", text, "signature", signature, "key", key);
    char *line = o == NULL ? NULL : json_dumps(o, JSON_COMPACT), *out = NULL;
    json_decref(o);
    if (line != NULL && asprintf(&out, "%s\n", line) < 0) out = NULL;
    free(line);
    return out;
}
