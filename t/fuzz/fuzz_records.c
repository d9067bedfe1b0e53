/* Lines that a daemon reads back from its own files. Input: a letter, and
 *   j: a line of the journal, without its newline; J: an event, which becomes such a line;
 *   o: the text of an order (what its node has signed); n: an address or a network of a block.
 * Checked besides memory errors: what is written is read back alike, and a line of which a bit is changed is none; an order that is read is written as it was; a network
 * has itself and its own address, and nothing of the other family. */
#include "spoa/journal.h"
#include "spoa/order_int.h"
#include "t/fuzz/sweep.h"
#include "t/fuzz/target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static void check_line(const char *line, size_t len) {
    uint64_t seq;
    const char *json;
    size_t n;
    if (!jnl_line_parse(line, len, &seq, &json, &n)) return;
    CHECK(seq > 0 && json >= line && n <= len - (size_t)(json - line));
}

static void write_line(const char *event, size_t len) {
    struct buf b = BUF_INIT(1 << 20);
    uint64_t seq, number = 1 + len * 7919;
    const char *json;
    size_t n;
    if (memchr(event, '\n', len) != NULL) return;
    size_t at = jnl_line_begin(&b, number);
    buf_put(&b, event, len);
    jnl_line_end(&b, at);
    char *line = (char *)b.data;
    size_t used = buf_used(&b);
    CHECK(!b.failed && used > 0 && line[used - 1] == '\n');
    bool read = jnl_line_parse(line, used - 1, &seq, &json, &n);
    CHECK(!read || (seq == number && n == len && memcmp(json, event, len) == 0));
    CHECK(read || len == 0);
    size_t step = 1 + used / 97;
    for (size_t i = 0; i + 1 < used; i += step) {
        line[i] = (char)(line[i] ^ 1 << len % 8);
        CHECK(!jnl_line_parse(line, used - 1, &seq, &json, &n));
        line[i] = (char)(line[i] ^ 1 << len % 8);
    }
    buf_free(&b);
}

static void check_order(const char *text, size_t len) {
    const char *node = NULL, *again_node = NULL;
    struct ord_entry *e = ord_parse(text, len, "signature", &node);
    if (e == NULL) return;
    CHECK(node != NULL && e->seq > e->prev && e->time_ms > 0 && strncmp(e->text, text, len) == 0);
    json_t *line;
    char *written = ord_line(e);
    CHECK(written != NULL && (line = json_loads(written, 0, NULL)) != NULL);
    const char *said = json_string_value(json_object_get(line, "signed"));
    CHECK(said != NULL);
    struct ord_entry *again = ord_parse(said, strlen(said), "signature", &again_node);
    CHECK(again != NULL && again->seq == e->seq && again->op == e->op && again->until_ms == e->until_ms && strcmp(node, again_node) == 0);
    if (e->op == ORD_BLOCK && e->what == ORD_ADDRESS) CHECK(ord_net_has(&e->net, &again->net));
    ord_entry_free(again);
    ord_entry_free(e);
    json_decref(line);
    free(written);
}

static void check_net(const char *text, size_t len) {
    char copy[100];
    struct ord_net net, loop4, loop6;
    if (len >= sizeof copy) return;
    memcpy(copy, text, len);
    copy[len] = '\0';
    if (!ord_net_parse(copy, &net)) return;
    CHECK(net.bits <= (net.family == AF_INET ? 32 : 128) && ord_net_has(&net, &net));
    CHECK(ord_net_parse("127.0.0.1", &loop4) && ord_net_parse("::1", &loop6));
    CHECK(!ord_net_has(&net, net.family == AF_INET ? &loop6 : &loop4));
    if (net.bits == 0) CHECK(ord_net_has(&net, net.family == AF_INET ? &loop4 : &loop6));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0 || size > 70000) return 0;
    const char *rest = (const char *)data + 1;
    switch (data[0]) {
    case 'j': check_line(rest, size - 1); break;
    case 'J': write_line(rest, size - 1); break;
    case 'o': check_order(rest, size - 1); break;
    case 'n': check_net(rest, size - 1); break;
    default: break;
    }
    return 0;
}

#ifdef FUZZ_SWEEP
struct sweeping {
    const char *text;
    size_t len;
    bool good;
};

static void faulty(void *arg) {
    const struct sweeping *s = arg;
    const char *node;
    struct ord_entry *e = ord_parse(s->text, s->len, "signature", &node);
    CHECK(e == NULL || s->good);
    ord_entry_free(e);
}

void fuzz_sweep(const uint8_t *data, size_t size) {
    const char *node;
    if (size == 0 || size > 70000 || data[0] != 'o') return;
    struct sweeping s = {.text = (const char *)data + 1, .len = size - 1};
    struct ord_entry *e = ord_parse(s.text, s.len, "signature", &node);
    s.good = e != NULL;
    ord_entry_free(e);
    sweep(faulty, &s);
}
#endif
