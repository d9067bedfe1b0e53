/* The store in memory: what is known of which node, what counts. */
#include <config.h>

#include "spoa/json_read.h"
#include "spoa/order_int.h"

#include "spoa/log.h"
#include "spoa/starved.h"

#include <stdlib.h>
#include <string.h>

#define KEEP_MS (7u * 24u * 3600u * 1000u) /* what is over stays known so long, while there is room */

bool ord_counts(const struct ord *o, const struct ord_entry *e, uint64_t now) {
    if (e->lifted || (e->until_ms != 0 && now >= e->until_ms)) return false;
    if (e->op == ORD_BLOCK) return true;
    return e->op == ORD_GRANT && e->node->own && e->seq >= o->void_below && now >= e->time_ms;
}

/* --- nodes --- */

struct ord_node *ord_node(struct ord *o, const char *name) {
    for (size_t i = 0; i < o->nnodes; i++)
        if (strcmp(o->nodes[i]->name, name) == 0) return o->nodes[i];
    if (o->nnodes == ORD_NODES || strlen(name) >= sizeof o->nodes[0]->name) return NULL;
    struct ord_node *n = calloc(1, sizeof *n);
    if (n == NULL) {
        starved_note();
        return NULL;
    }
    memccpy(n->name, name, '\0', sizeof n->name - 1);
    n->own = strcmp(name, o->name) == 0;
    return o->nodes[o->nnodes++] = n;
}

static void gap_close(struct ord_node *n, uint64_t seq) {
    for (size_t i = 0; i < n->ngaps; i++)
        if (n->gaps[i] == seq) n->gaps[i--] = n->gaps[--n->ngaps];
}

static void gap_open(struct ord *o, struct ord_node *n, const struct ord_entry *e) {
    if (n->ngaps < ORD_GAPS) n->gaps[n->ngaps++] = e->prev;
    if (n->own && e->seq > o->void_below) o->void_below = e->seq; /* what is missing may have revoked any of them */
    log_event(LOG_ERROR, "order.missing", "node", n->name, "number", log_fmt("%llu", (unsigned long long)e->prev), "reason",
              n->own ? "an order of this node is not in its own orders.log: grants from before it are void"
                     : "an order of that node never came: somebody took it out of Redis, or this node was away for long",
              "do", n->own ? "find out who changed orders.log; see gatehousectl blocks" : "compare gatehousectl blocks on both nodes",
              NULL);
}

/* --- entries --- */

static struct ord_entry **bucket_of(const struct ord *o, uint64_t seq) {
    return (struct ord_entry **)(uintptr_t)&o->bucket[seq % ORD_BUCKETS];
}

struct ord_entry *ord_find(const struct ord *o, const char *node, uint64_t seq) {
    struct ord_entry *e = *bucket_of(o, seq);
    while (e != NULL && (e->seq != seq || strcmp(e->node->name, node) != 0)) e = e->next;
    return e;
}

struct ord_entry *ord_find_id(const struct ord *o, const char *id) {
    const char *colon = strrchr(id, ':');
    char node[65], *end;
    if (colon == NULL || (size_t)(colon - id) >= sizeof node || colon[1] < '1' || colon[1] > '9') return NULL;
    memcpy(node, id, (size_t)(colon - id));
    node[colon - id] = '\0';
    uint64_t seq = strtoull(colon + 1, &end, 10);
    return *end == '\0' ? ord_find(o, node, seq) : NULL;
}

static bool room(struct ord *o) {
    if (o->n < o->cap) return true;
    size_t cap = o->cap == 0 ? 64 : o->cap * 2;
    struct ord_entry **list = reallocarray(o->list, cap, sizeof *list);
    if (list == NULL) {
        starved_note();
        return false;
    }
    o->list = list;
    o->cap = cap;
    return true;
}

/* A block that an order from before it came here has lifted already. */
static bool was_lifted(const struct ord *o, const struct ord_entry *e) {
    char id[ORD_ID_SIZE];
    ord_id(e, id);
    for (size_t i = 0; i < o->n; i++) {
        const json_t *lifts = o->list[i]->op == ORD_UNBLOCK ? json_object_get(o->list[i]->said, "lifts") : NULL;
        for (size_t k = 0; k < json_array_size(lifts); k++)
            if (strcmp(json_string_value(json_array_get(lifts, k)), id) == 0) return true;
        if (o->list[i]->op == ORD_REVOKE && strcmp(ord_said(o->list[i], "grant"), id) == 0) return true;
    }
    return false;
}

/* Only its own node revokes a grant, and any node lifts a block. */
static void lift(struct ord *o, const char *id, enum ord_op op, const struct ord_node *by) {
    struct ord_entry *e = ord_find_id(o, id);
    if (e == NULL || e->op != op || e->lifted || (op == ORD_GRANT && e->node != by)) return;
    e->lifted = true;
    if (op == ORD_BLOCK) atomic_fetch_sub(&o->blocks, 1);
}

static void apply(struct ord *o, struct ord_entry *e) {
    const json_t *lifts = json_object_get(e->said, "lifts");
    switch (e->op) {
    case ORD_BLOCK:
        e->lifted = was_lifted(o, e);
        if (e->lifted) break;
        atomic_fetch_add(&o->blocks, 1);
        atomic_fetch_add(&o->epoch, 1);
        break;
    case ORD_UNBLOCK:
        for (size_t i = 0; i < json_array_size(lifts); i++) lift(o, json_string_value(json_array_get(lifts, i)), ORD_BLOCK, e->node);
        break;
    case ORD_GRANT: e->lifted = was_lifted(o, e); break;
    case ORD_REVOKE: lift(o, ord_said(e, "grant"), ORD_GRANT, e->node); break;
    }
}

bool ord_add(struct ord *o, struct ord_node *n, struct ord_entry *e) {
    struct ord_entry *known = ord_find(o, n->name, e->seq);
    if (known != NULL && strcmp(known->text, e->text) != 0)
        log_event(LOG_ERROR, "order.fork", "node", n->name, "number", log_fmt("%llu", (unsigned long long)e->seq), "reason",
                  "two orders of that node have one number", "do", "see that no two machines have the same node.key", NULL);
    if (known != NULL) known->in_file = true;
    if (known != NULL || e->seq <= n->floor || !room(o)) {
        ord_entry_free(e);
        return false;
    }
    e->node = n;
    bool begins = !n->own && n->last == 0; /* what was before we first heard of that node is not missing */
    if (e->prev > n->floor && !begins && ord_find(o, n->name, e->prev) == NULL) gap_open(o, n, e);
    gap_close(n, e->seq);
    if (e->seq > n->last) n->last = e->seq;
    o->list[o->n++] = e;
    struct ord_entry **bucket = bucket_of(o, e->seq);
    e->next = *bucket;
    *bucket = e;
    e->in_file = true;
    if (n->own) atomic_fetch_add(&o->own, 1);
    apply(o, e);
    return true;
}

/* --- the file's lines --- */

void ord_doubt(struct ord *o) { o->void_below = o->nodes[0]->last + 1; }

static void apply_order(struct ord *o, const json_t *line) {
    const char *text = json_string_value(json_object_get(line, "signed")),
               *signature = json_string_value(json_object_get(line, "signature")), *key = json_string_value(json_object_get(line, "key")),
               *node = "";
    struct ord_entry *e = text == NULL || signature == NULL ? NULL : ord_parse(text, strlen(text), signature, &node);
    struct ord_node *n = e == NULL ? NULL : ord_node(o, node);
    bool good = n != NULL && (n->own ? nodekey_verify(o->key, text, strlen(text), signature)
                                     : key != NULL && nodekey_verify_by(key, text, strlen(text), signature));
    if (good) {
        if (key != NULL) memccpy(e->key, key, '\0', sizeof e->key - 1);
        ord_add(o, n, e);
        return;
    }
    ord_entry_free(e);
    if (starved()) return; /* it comes again */
    ord_doubt(o);
    log_event(LOG_ERROR, "order.forged", "reason", "a line of orders.log does not have its node's signature: it does not count", "do",
              "find out who writes to the journal's folder", NULL);
}

void ord_apply_line(struct ord *o, const char *json, size_t len) {
    json_t *line = json_read(json, len, 0, NULL);
    const char *type = json_string_value(json_object_get(line, "t")), *name = json_string_value(json_object_get(line, "node"));
    json_int_t seq = json_integer_value(json_object_get(line, "seq"));
    if (type != NULL && strcmp(type, "floor") == 0 && name != NULL && seq > 0) {
        struct ord_node *n = ord_node(o, name);
        if (n != NULL && (uint64_t)seq > n->floor) n->floor = (uint64_t)seq;
        if (n != NULL && n->last < n->floor) n->last = n->floor;
    } else
        apply_order(o, line);
    json_decref(line);
}

/* --- forgetting --- */

/* Not what still has to be held against something: without the order that revoked it a grant would be alive again. */
static bool over(const struct ord *o, const struct ord_entry *e, uint64_t now) {
    const json_t *lifts = json_object_get(e->said, "lifts");
    if (e->op == ORD_REVOKE) return ord_find_id(o, ord_said(e, "grant")) == NULL;
    for (size_t i = 0; e->op == ORD_UNBLOCK && i < json_array_size(lifts); i++)
        if (ord_find_id(o, json_string_value(json_array_get(lifts, i))) != NULL) return false;
    return e->op == ORD_UNBLOCK || e->lifted || (e->until_ms != 0 && now >= e->until_ms);
}

static void drop(struct ord *o, size_t at) {
    struct ord_entry *e = o->list[at], **link = bucket_of(o, e->seq);
    while (*link != e) link = &(*link)->next;
    *link = e->next;
    memmove(o->list + at, o->list + at + 1, (o->n - at - 1) * sizeof *o->list);
    o->n--;
    if (e->seq > e->node->floor) e->node->floor = e->seq;
    if (e->op == ORD_BLOCK && !e->lifted) atomic_fetch_sub(&o->blocks, 1);
    ord_entry_free(e);
}

bool ord_let_go(struct ord *o, uint64_t now) {
    bool any = false;
    for (size_t i = 0; i < o->n;) {
        const struct ord_entry *e = o->list[i];
        uint64_t since = e->until_ms > e->time_ms ? e->until_ms : e->time_ms;
        bool old = now > since && now - since > KEEP_MS;
        if (over(o, e, now) && (old || o->n > ORD_MAX / 2)) {
            drop(o, i);
            any = true;
        } else
            i++;
    }
    return any;
}
