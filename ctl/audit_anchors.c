/* Anchors: signed, some of them from outside of Redis, and what they say of the record. */
#include <config.h>

#include "ctl/audit_verify.h"

#include "spoa/base64url.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool av_key(struct av *v, const char *path) {
    FILE *f = fopen(path, "re");
    EVP_PKEY *pkey = f == NULL ? NULL : PEM_read_PUBKEY(f, NULL, NULL, NULL);
    uint8_t raw[32];
    size_t n = sizeof raw;
    bool ok = pkey != NULL && EVP_PKEY_is_a(pkey, "ED25519") && EVP_PKEY_get_raw_public_key(pkey, raw, &n) == 1 && n == sizeof raw &&
              v->nkeys < AV_KEYS;
    if (!ok)
        fprintf(stderr, "gatehousectl: %s: %s\n", path, f == NULL ? strerror(errno) : "is no Ed25519 public key in PEM, as node.pub is");
    if (ok) base64url_encode(raw, sizeof raw, v->keys[v->nkeys++]);
    EVP_PKEY_free(pkey);
    if (f != NULL) fclose(f);
    return ok;
}

static bool counts(const struct av *v, const char *key) {
    for (size_t i = 0; i < v->nkeys; i++)
        if (strcmp(v->keys[i], key) == 0) return true;
    return false;
}

static bool signed_by(const char *text, const char *signature, const char *key) {
    uint8_t raw[BASE64URL_DECODED(NODEKEY_SIGNATURE_SIZE)], pub[BASE64URL_DECODED(NODEKEY_PUBLIC_SIZE)];
    size_t n = 0, m = 0;
    if (strlen(signature) != NODEKEY_SIGNATURE_SIZE - 1 || strlen(key) != NODEKEY_PUBLIC_SIZE - 1 ||
        !base64url_decode(signature, NODEKEY_SIGNATURE_SIZE - 1, raw, &n) || !base64url_decode(key, NODEKEY_PUBLIC_SIZE - 1, pub, &m) ||
        n != 64 || m != 32)
        return false;
    EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, pub, m);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = pkey != NULL && ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
              EVP_DigestVerify(ctx, raw, n, (const uint8_t *)text, strlen(text)) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    return ok;
}

/* In the file: everything counts that is signed by a key that counts; when none was named the file itself says which. In Redis, which anybody may
 * have written, a key that is not known is one more thing to report. */
bool av_trust(struct av *v, const char *what, const char *text, const char *signature, const char *key, uint64_t seq, const char *node) {
    bool outside = seq == 0;
    if (signature == NULL || key == NULL || !signed_by(text, signature, key)) {
        av_find(v, "forged", node, seq, 0, "%s%s has no good signature", what, outside ? " in the file" : "");
        return false;
    }
    if (counts(v, key)) return true;
    if (v->any_key && v->nkeys < AV_KEYS && (outside || !v->have_file)) {
        snprintf(v->keys[v->nkeys++], NODEKEY_PUBLIC_SIZE, "%s", key);
        av_note(v, "key %s is taken from the anchors%s themselves: compare it with node.pub, or name that with --key", key,
                outside ? "" : " in Redis");
        return true;
    }
    av_find(v, "forged", node, seq, 0, "%s is signed with the key %s, which is none of those that count", what, key);
    return false;
}

void av_anchor(struct av *v, const char *text, const char *signature, const char *key, uint64_t seq, const char *node) {
    struct av_anchor x = {.outside = seq == 0};
    if (!chain_anchor_read(text, &x.a)) {
        av_find(v, "forged", node, seq, 0, "an anchor%s says nothing that can be read", seq == 0 ? " in the file" : "");
        return;
    }
    if (!av_trust(v, "an anchor", text, signature, key, seq, seq == 0 ? x.a.node : node)) return;
    if (seq != 0 && (seq != x.a.seq || strcmp(node, x.a.node) != 0)) {
        av_find(v, "forged", node, seq, 0, "event %" PRIu64 " holds the anchor of event %" PRIu64 " of %s", seq, x.a.seq, x.a.node);
        return;
    }
    struct av_writer *w = av_writer(v, x.a.node);
    struct av_anchor *keep = malloc(sizeof *keep);
    x.text = strdup(text);
    if (keep == NULL || x.text == NULL) {
        fputs("gatehousectl: out of memory\n", stderr);
        exit(AUDIT_FAILED);
    }
    x.next = w->anchors;
    *keep = x;
    w->anchors = keep;
}

bool av_anchors_read(struct av *v, const char *path) {
    FILE *f = fopen(path, "re");
    char *line = NULL;
    size_t room = 0, number = 0;
    if (f == NULL) {
        fprintf(stderr, "gatehousectl: %s: %s\n", path, strerror(errno));
        return false;
    }
    v->have_file = true;
    while (getline(&line, &room, f) > 0) {
        number++;
        const char *json = strchr(line, '{'); /* syslog puts words before it */
        json_t *o = json == NULL ? NULL : json_loads(json, 0, NULL);
        const char *text = json_string_value(json_object_get(o, "anchor"));
        if (text == NULL)
            av_note(v, "%s, line %zu, is no anchor (a write that was cut off leaves such a line)", path, number);
        else
            av_anchor(v, text, json_string_value(json_object_get(o, "signature")), json_string_value(json_object_get(o, "key")), 0, NULL);
        json_decref(o);
    }
    free(line);
    fclose(f);
    return true;
}

/* --- what they say --- */

static bool is_hash(const struct av_seen *e, const char *hex) {
    char mine[65] = "";
    gh_hex(mine, e->hash, sizeof e->hash);
    return strcmp(mine, hex) == 0;
}

static uint64_t first_of(const struct av_writer *w, bool auth) {
    for (size_t i = 0; i < w->n; i++)
        if (w->list[i].auth == auth) return w->list[i].seq;
    return 0;
}

/* One end of a chain that an anchor gives. What is not there at all is reported by its caller or by the chain. */
static void check_end(struct av *v, const struct av_writer *w, const struct av_anchor *x, const struct chain_head *end) {
    const struct av_seen *e = av_event(w, end->seq);
    if (e != NULL && !is_hash(e, end->hash))
        av_find(v, "rewritten", w->node, end->seq, 0,
                "event %" PRIu64
                " of %s, and with it what is before it, is not what the anchor of %s says: it was changed, and the chain made to fit",
                end->seq, w->node, x->a.time);
}

static const struct av_anchor *newest(const struct av_writer *w, bool outside_only) {
    const struct av_anchor *best = NULL;
    for (const struct av_anchor *x = w->anchors; x != NULL; x = x->next)
        if ((!outside_only || x->outside) && (best == NULL || x->a.seq > best->a.seq)) best = x;
    return best;
}

/* The record ends before an anchor that is outside of it. */
static void check_tail(struct av *v, const struct av_writer *w, uint64_t last) {
    const struct av_anchor *x = newest(w, true);
    if (x == NULL || x->a.seq <= last) return;
    if (v->source_is_journal)
        av_find(v, "cut", w->node, last + 1, x->a.seq,
                "the journal of %s ends at event %" PRIu64 ", but the anchor of %s is event %" PRIu64, w->node, last, x->a.time, x->a.seq);
    else if (w->counter <= last)
        av_find(v, "rolled back", w->node, last + 1, x->a.seq,
                "Redis is in the state of event %" PRIu64 " of %s, but the anchor of %s is event %" PRIu64
                ": an older state was brought back, or the daemon has not shipped these yet (gatehousectl status)",
                last, w->node, x->a.time, x->a.seq);
    else
        av_find(v, "cut", w->node, last + 1, x->a.seq,
                "what is in Redis of %s ends at event %" PRIu64 ", but the anchor of %s is event %" PRIu64, w->node, last, x->a.time,
                x->a.seq);
}

/* Anchors outside name their own event too. */
static void check_event(struct av *v, const struct av_writer *w, const struct av_anchor *x) {
    if (av_event(w, x->a.seq) == NULL) return; /* the chain says that it is missing */
    for (const struct av_anchor *y = w->anchors; y != NULL; y = y->next)
        if (!y->outside && y->a.seq == x->a.seq) {
            if (strcmp(x->text, y->text) != 0)
                av_find(v, "rewritten", w->node, x->a.seq, 0, "event %" PRIu64 " of %s is another anchor than the one outside", x->a.seq,
                        w->node);
            return;
        }
    av_find(v, "rewritten", w->node, x->a.seq, 0, "event %" PRIu64 " of %s should be the anchor of %s", x->a.seq, w->node, x->a.time);
}

void av_anchors_check(struct av *v, struct av_writer *w) {
    uint64_t last = av_last(w), first_auth = first_of(w, true);
    for (const struct av_anchor *x = w->anchors; x != NULL; x = x->next) {
        check_end(v, w, x, &x->a.ends.main);
        check_end(v, w, x, &x->a.ends.auth);
        if (x->outside) check_event(v, w, x);
        if (x->a.ends.auth.seq != 0 && x->a.ends.auth.seq <= last && first_auth == 0 && !v->source_is_journal) {
            av_find(v, "deleted", w->node, x->a.ends.auth.seq, 0,
                    "the refused logins of %s are missing, of which the newest should be there", w->node);
            break;
        }
    }
    check_tail(v, w, last);
    const struct av_anchor *x = newest(w, false);
    if (x == NULL)
        av_find(v, "unvouched", w->node, w->n > 0 ? w->list[0].seq : 0, last, "no anchor says that there was a writer %s", w->node);
    else if (x->a.seq < last)
        av_note(v,
                "%" PRIu64
                " events of %s are behind its last anchor (%s): their chain is whole, but one that was cut behind it would not be noticed",
                last - x->a.seq, w->node, x->a.time);
}

void av_anchors_free(struct av_writer *w) {
    while (w->anchors != NULL) {
        struct av_anchor *next = w->anchors->next;
        free(w->anchors->text);
        free(w->anchors);
        w->anchors = next;
    }
}
