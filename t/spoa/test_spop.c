#include "spoa/spop.h"
#include "t/lib/guard.h"
#include "t/lib/spop_dump.h"

#include <stdio.h>
#include <stdlib.h>

/* --- data --- */

static const struct {
    uint64_t v;
    const char *hex;
} varints[] = {
    /* the edges of the table in section 3.1 */
    {0, "00"},
    {239, "ef"},
    {240, "f000"},
    {241, "f100"},
    {2287, "ff7f"},
    {2288, "f08000"},
    {264431, "ffff7f"},
    {264432, "f0808000"},
    {33818863, "ffffff7f"},
    {33818864, "f080808000"},
    {4328786159, "ffffffff7f"},
    {4328786160, "f08080808000"},
    /* as HAProxy 2.6 sends them */
    {16380, "fcf006"},
    {70000, "f08821"},
    {(uint64_t)-6, "faf0fefefefefefefe0e"},
    {UINT64_MAX, "fff0fefefefefefefe0e"},
};

START_TEST(varint_vectors) {
    uint8_t raw[16];
    size_t n = unhex(varints[_i].hex, raw, sizeof raw);
    struct buf b = BUF_INIT(16);
    spop_put_varint(&b, varints[_i].v);
    ck_assert_uint_eq(buf_used(&b), n);
    ck_assert_mem_eq(buf_at(&b), raw, n);
    buf_free(&b);
    for (size_t len = 0; len <= n; len++) {
        uint8_t *p = guard_copy(raw, len);
        struct cur c = cur_of(p, len);
        uint64_t v = 1;
        ck_assert_int_eq(spop_get_varint(&c, &v), len < n ? GH_NEED_MORE : GH_OK);
        ck_assert_uint_eq(cur_offset(&c), len < n ? 0 : n);
        if (len == n) ck_assert_uint_eq(v, varints[_i].v);
        guard_free(p, len);
    }
}
END_TEST

START_TEST(varint_over_64_bits) {
    static const char *const bad[] = {"fff0fefefefefefefe0f", "fff0fefefefefefefe10", "fff0fefefefefefefe8000", "ffffffffffffffffffffff00",
                                      "fffffffffffffffffff0"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint8_t raw[16];
        size_t n = unhex(bad[i], raw, sizeof raw);
        struct cur c = cur_of(raw, n);
        uint64_t v;
        ck_assert_msg(spop_get_varint(&c, &v) == GH_MALFORMED, "%s", bad[i]);
    }
}
END_TEST

static const struct {
    const char *hex;
    enum gh_rc rc;
    struct spop_value v;
    bool same_back; /* our encoder writes these very bytes */
} values[] = {
    {"00", GH_OK, {.type = SPOP_NULL}, true},
    {"01", GH_OK, {.type = SPOP_BOOL, .b = false}, true},
    {"11", GH_OK, {.type = SPOP_BOOL, .b = true}, true},
    {"21", GH_UNSUPPORTED, {0}, false},
    {"10", GH_UNSUPPORTED, {0}, false},
    {"18 00", GH_UNSUPPORTED, {0}, false},
    {"02 05", GH_OK, {.type = SPOP_INT32, .i = 5}, true},
    {"02 fff0fefefefefefefe0e", GH_OK, {.type = SPOP_INT32, .i = -1}, true},
    {"02 fff0fefe7e", GH_OK, {.type = SPOP_INT32, .i = -1}, false}, /* 2^32 - 1 */
    {"02 f0f1fefe7e", GH_MALFORMED, {0}, false},                    /* 2^32 */
    {"03 fff0fefe7e", GH_OK, {.type = SPOP_UINT32, .u = UINT32_MAX}, true},
    {"03 f0f1fefe7e", GH_MALFORMED, {0}, false},
    {"04 faf0fefefefefefefe0e", GH_OK, {.type = SPOP_INT64, .i = -6}, true},
    {"05 fff0fefefefefefefe0e", GH_OK, {.type = SPOP_UINT64, .u = UINT64_MAX}, true},
    {"06 7f000001", GH_OK, {.type = SPOP_IPV4, .data = (const uint8_t *)"\x7f\0\0\1", .len = 4}, true},
    {"07 00000000000000000000000000000001",
     GH_OK,
     {.type = SPOP_IPV6, .data = (const uint8_t *)"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", .len = 16},
     true},
    {"08 03 616263", GH_OK, {.type = SPOP_STRING, .data = (const uint8_t *)"abc", .len = 3}, true},
    {"08 00", GH_OK, {.type = SPOP_STRING, .len = 0}, true},
    {"09 02 00ff", GH_OK, {.type = SPOP_BINARY, .data = (const uint8_t *)"\0\xff", .len = 2}, true},
    {"08 fff0fefefefefefefe0e 61", GH_NEED_MORE, {0}, false},
    {"0a", GH_UNSUPPORTED, {0}, false},
    {"0f 00", GH_UNSUPPORTED, {0}, false},
};

static void assert_same_value(const struct spop_value *got, const struct spop_value *want) {
    ck_assert_int_eq(got->type, want->type);
    ck_assert_int_eq(got->b, want->b);
    ck_assert_int_eq(got->i, want->i);
    ck_assert_uint_eq(got->u, want->u);
    ck_assert_uint_eq(got->len, want->len);
    if (want->len > 0) ck_assert_mem_eq(got->data, want->data, want->len);
}

START_TEST(value_vectors) {
    uint8_t raw[32];
    size_t n = unhex(values[_i].hex, raw, sizeof raw);
    for (size_t len = 0; len <= n; len++) {
        uint8_t *p = guard_copy(raw, len);
        struct cur c = cur_of(p, len);
        struct spop_value v;
        enum gh_rc rc = spop_get_value(&c, &v);
        if (len == n)
            ck_assert_int_eq(rc, values[_i].rc);
        else
            ck_assert(rc == GH_NEED_MORE || rc == values[_i].rc);
        if (rc == GH_OK)
            assert_same_value(&v, &values[_i].v);
        else
            ck_assert_uint_eq(cur_offset(&c), 0);
        guard_free(p, len);
    }
    if (!values[_i].same_back) return;
    struct buf b = BUF_INIT(64);
    spop_put_value(&b, &values[_i].v);
    ck_assert_uint_eq(buf_used(&b), n);
    ck_assert_mem_eq(buf_at(&b), raw, n);
    buf_free(&b);
}
END_TEST

/* --- conversations --- */

/* Captured from HAProxy 2.6.12. */
#define HELLO_26                                                                                                                           \
    "000000810100000001000012737570706f727465642d76657273696f6e730803322e300e6d61782d6672616d652d73697a6503fcf0060c6361706162696c69746965" \
    "730810706970656c696e696e672c6173796e6309656e67696e652d6964082432623663343962342d366365632d343564342d386164332d6439616630366362623437" \
    "31"
#define HELLO_CHECK_26                                                                                                                     \
    "0000004e0100000001000012737570706f727465642d76657273696f6e730803322e300e6d61782d6672616d652d73697a6503fcf0060c6361706162696c69746965" \
    "7308000b6865616c7468636865636b11"
#define NOTIFY_26                                                                                                                          \
    "0000006b030000000100010773657373696f6e0903737263067f0000010573706f727404faf91303647374067f0000010373736c01036e656704faf0fefefefefefe" \
    "fe0e016e04f08821056669727374090830313233343536370474657874080568656c6c6f076e6f7468696e6700"
/* Ours: what the agent says to them. */
#define AGENT_HELLO                                                                                                                        \
    "[65 00000001 00 00 0776657273696f6e 0803322e30 0e6d61782d6672616d652d73697a65 03fcf006 0c6361706162696c6974696573 "                   \
    "080a706970656c696e696e67"
#define AGENT_HELLO_PLAIN                                                                                                                  \
    "[65 00000001 00 00 0776657273696f6e 0803322e30 0e6d61782d6672616d652d73697a65 03fcf006 0c6361706162696c6974696573 0800"
#define HELLO_LINE "hello check=0 size=16380 pipelining=1 engine=2b6c49b4-6cec-45d4-8ad3-d9af06cbb471\n"
#define NOTIFY_LINE                                                                                                                        \
    "notify 0/1 message=session src=ipv4:7f000001 sport=i64:43146 dst=ipv4:7f000001 ssl=false neg=i64:-6 n=i64:70000 "                     \
    "first=bin:3031323334353637 text=str:hello nothing=null\n"
/* Pieces of a HELLO, by hand from section 3.2.4. "[" stands for the length of the frame that follows, up to the next "[" or "]" or the end. */
#define VERSIONS "12737570706f727465642d76657273696f6e73"
#define SIZE     "0e6d61782d6672616d652d73697a65"
#define CAPS     "0c6361706162696c6974696573"
#define MINIMAL  VERSIONS "0803322e30" SIZE "03fcf006" CAPS "0800" /* 62 bytes */

struct talk {
    const char *name, *hex;
    const char *events; /* every line but that of the output */
    const char *out;    /* hex of the output; NULL: not looked at */
};

static const struct talk talks[] = {
    {"haproxy 2.6 hello", HELLO_26, HELLO_LINE, AGENT_HELLO},
    {"haproxy 2.6 health check", HELLO_CHECK_26 HELLO_26, "hello check=1 size=16380 pipelining=0 engine=\nclose 0 health check answered\n",
     AGENT_HELLO_PLAIN},
    {"haproxy 2.6 notify", HELLO_26 NOTIFY_26, HELLO_LINE NOTIFY_LINE,
     AGENT_HELLO "[67 00000001 00 01 01 03 02 07 76657264696374 08 05 616c6c6f77"},
    {"disconnect", HELLO_26 "[02 00000001 00 00 0b7374617475732d636f6465 0302 076d657373616765 080161]" NOTIFY_26,
     HELLO_LINE "disconnect 2 a\nclose 0 HAProxy disconnected\n",
     AGENT_HELLO "[66 00000001 00 00 0b7374617475732d636f6465 0300 076d657373616765 08066e6f726d616c"},
    {"disconnect without a message", "[02 00000001 00 00 0b7374617475732d636f6465 0302",
     "close 4 DISCONNECT without status-code or message\n", NULL},
    {"bare hello", "[01 00000001 00 00" MINIMAL, "hello check=0 size=16380 pipelining=0 engine=\n", AGENT_HELLO_PLAIN},
    {"unknown hello item", "[01 00000001 00 00" MINIMAL "016100", "hello check=0 size=16380 pipelining=0 engine=\n", NULL},
    {"versions as the specification's example", "[01 00000001 00 00" VERSIONS "0808322e302c20312e35" SIZE "03fcf006" CAPS "0800",
     "hello check=0 size=16380 pipelining=0 engine=\n", NULL},
    {"version 2.3 stands for 2.0", "[01 00000001 00 00" VERSIONS "0803322e33" SIZE "03fcf006" CAPS "0800",
     "hello check=0 size=16380 pipelining=0 engine=\n", NULL},
    {"version 1", "[01 00000001 00 00" VERSIONS "0803312e35" SIZE "03fcf006" CAPS "0800",
     "close 8 SPOP 2.0 is not among supported-versions\n", NULL},
    {"version 20.0", "[01 00000001 00 00" VERSIONS "080432302e30" SIZE "03fcf006" CAPS "0800",
     "close 8 SPOP 2.0 is not among supported-versions\n", NULL},
    {"version missing", "[01 00000001 00 00" SIZE "03fcf006" CAPS "0800", "close 5 supported-versions is missing\n", NULL},
    {"size missing", "[01 00000001 00 00" VERSIONS "0803322e30" CAPS "0800", "close 6 max-frame-size is missing\n", NULL},
    {"capabilities missing", "[01 00000001 00 00" VERSIONS "0803322e30" SIZE "03fcf006", "close 7 capabilities is missing\n", NULL},
    {"size 255", "[01 00000001 00 00" VERSIONS "0803322e30" SIZE "03ff00" CAPS "0800", "close 9 max-frame-size is under 256\n", NULL},
    {"size 256", "[01 00000001 00 00" VERSIONS "0803322e30" SIZE "03f001" CAPS "0800", "hello check=0 size=256 pipelining=0 engine=\n",
     NULL},
    {"size of the wrong type", "[01 00000001 00 00" VERSIONS "0803322e30" SIZE "04f001" CAPS "0800",
     "close 4 an item of HELLO comes twice or has the wrong type\n", NULL},
    {"versions twice", "[01 00000001 00 00" MINIMAL VERSIONS "0803322e30", "close 4 an item of HELLO comes twice or has the wrong type\n",
     NULL},
    {"hello with a stream id", "[01 00000001 01 00" MINIMAL, "close 4 a HELLO with identifiers\n", NULL},
    {"hello cut off inside", "[01 00000001 00 00" VERSIONS "0803322e30" SIZE "03fcf006" CAPS "08",
     "close 4 an item of HELLO cannot be read\n", NULL},
    {"second hello", HELLO_26 HELLO_26, HELLO_LINE "close 4 a second HELLO\n", NULL},
    {"notify first", NOTIFY_26, "close 4 NOTIFY before HELLO\n",
     "[66 00000001 00 00 0b7374617475732d636f6465 0304 076d657373616765 08134e4f54494659206265666f72652048454c4c4f"},
    {"without FIN", HELLO_26 "[03 00000000 00 01 01610000", HELLO_LINE "close 10 a fragmented payload\n", NULL},
    {"unset frame", HELLO_26 "[00 00000001 00 01 0000", HELLO_LINE "close 10 a fragmented payload\n", NULL},
    {"abort", HELLO_26 "[03 00000003 00 01 016100", HELLO_LINE "close 4 a frame with ABORT or reserved flags\n", NULL},
    {"agent's frame", HELLO_26 "[67 00000001 00 01", HELLO_LINE "close 4 a frame of a type that HAProxy does not send\n", NULL},
    {"unknown frame", HELLO_26 "[04 00000001 00 01", HELLO_LINE "close 4 a frame of a type that HAProxy does not send\n", NULL},
    {"too short", HELLO_26 "00000006 03 00000001 00", HELLO_LINE "close 4 a frame too short for its header\n", NULL},
    {"empty frame", "00000000", "close 4 a frame too short for its header\n", NULL},
    {"too big before hello", "00004001", "close 3 a frame over the negotiated size\n", NULL},
    {"too big after hello", HELLO_26 "00003ffd", HELLO_LINE "close 3 a frame over the negotiated size\n", NULL},
    {"HTTP", "474554202f20485454502f312e310d0a", "close 3 a frame over the negotiated size\n", NULL},
    {"identifiers that do not end", HELLO_26 "[03 00000001 f0 80", HELLO_LINE "close 4 a frame's header cannot be read\n", NULL},
    {"two messages, unnamed arguments", HELLO_26 "[03 00000001 07 f000 0161 00 0162 02 00 11 00 00",
     HELLO_LINE "notify 7/240 message=a message=b =true =null\n", NULL},
    {"no message", HELLO_26 "[03 00000001 00 01", HELLO_LINE "close 4 a NOTIFY without a message\n", NULL},
    {"message without a name", HELLO_26 "[03 00000001 00 01 0000", HELLO_LINE "close 4 a message without a name\n", NULL},
    {"message cut off", HELLO_26 "[03 00000001 00 01 0161", HELLO_LINE "close 4 a message is cut off\n", NULL},
    {"fewer arguments than said", HELLO_26 "[03 00000001 00 01 0161 02 00 00", HELLO_LINE "close 4 an argument cannot be read\n", NULL},
    {"reserved type", HELLO_26 "[03 00000001 00 01 0161 01 00 0a", HELLO_LINE "close 4 an argument cannot be read\n", NULL},
    {"65 arguments", HELLO_26 "[03 00000001 00 01 0161 41", HELLO_LINE "close 4 too many arguments in a message\n", NULL},
    {"17 messages",
     HELLO_26 "[03 00000001 00 01 016100 016100 016100 016100 016100 016100 016100 016100 016100 016100 016100 016100 "
              "016100 016100 016100 016100 016100",
     HELLO_LINE "close 4 too many messages in a NOTIFY\n", NULL},
};

/* unhex() that knows "[" and "]". */
static size_t unframe(const char *text, uint8_t *out, size_t max) {
    char piece[2048];
    size_t n = 0;
    while (*text != '\0') {
        size_t len = strcspn(text, "[]");
        ck_assert_uint_lt(len, sizeof piece);
        memcpy(piece, text, len);
        piece[len] = '\0';
        n += unhex(piece, out + n, max - n);
        text += len;
        if (*text == ']') text++;
        if (*text != '[') continue;
        len = strcspn(++text, "[]");
        memcpy(piece, text, len);
        piece[len] = '\0';
        ck_assert_uint_lt(n + 4, max);
        size_t bytes = unhex(piece, out + n + 4, max - n - 4);
        memcpy(out + n, (uint8_t[]){0, 0, (uint8_t)(bytes >> 8), (uint8_t)bytes}, 4);
        n += 4 + bytes;
        text += len;
    }
    return n;
}

static size_t whole(void *arg) {
    (void)arg;
    return SIZE_MAX;
}
static size_t single(void *arg) {
    (void)arg;
    return 1;
}
/* A small generator with a fixed seed: the same chops every time. */
static size_t chop(void *arg) {
    uint32_t *seed = arg;
    *seed = *seed * 1103515245u + 12345u;
    return 1 + (*seed >> 16) % 40;
}

static void assert_talk(const struct talk *t, const struct buf *text) {
    const char *got = (const char *)buf_at(text), *out = strstr(got, "\nout ");
    ck_assert_ptr_nonnull(out++);
    ck_assert_msg((size_t)(out - got) == strlen(t->events) && memcmp(got, t->events, strlen(t->events)) == 0, "%s:\n%s", t->name, got);
    if (t->out == NULL) return;
    uint8_t raw[512];
    size_t len = unframe(t->out, raw, sizeof raw);
    char hex[1100] = "out ";
    for (size_t i = 0; i < len; i++) sprintf(hex + 4 + 2 * i, "%02x", raw[i]);
    strcat(hex, "\n");
    ck_assert_str_eq(out, hex);
}

static void run_talk(const struct talk *t, size_t (*cut)(void *), void *arg) {
    uint8_t raw[2048];
    size_t len = unframe(t->hex, raw, sizeof raw);
    struct buf text = BUF_INIT(65536);
    spop_dump(NULL, raw, len, &(struct spop_pieces){cut, arg, true}, &text);
    buf_u8(&text, 0);
    assert_talk(t, &text);
    buf_free(&text);
}

START_TEST(talk_whole) { run_talk(&talks[_i], whole, NULL); }
END_TEST
START_TEST(talk_byte_by_byte) { run_talk(&talks[_i], single, NULL); }
END_TEST
START_TEST(talk_chopped) {
    for (uint32_t seed = 1; seed <= 30; seed++) {
        uint32_t state = seed;
        run_talk(&talks[_i], chop, &state);
    }
}
END_TEST

/* --- answers --- */

static struct spop_agent *agent_after(const char *hex, const struct spop_agent_conf *conf) {
    struct spop_agent *a = spop_agent_new(conf);
    ck_assert_ptr_nonnull(a);
    uint8_t raw[4096];
    size_t len = unframe(hex, raw, sizeof raw);
    for (size_t at = 0; at < len;) {
        struct spop_event ev;
        size_t n = spop_agent_feed(a, raw + at, len - at);
        ck_assert_uint_gt(n, 0);
        at += n;
        while (spop_agent_next(a, &ev)) ck_assert_int_ne(ev.kind, SPOP_EV_CLOSE);
    }
    buf_reset(spop_agent_out(a));
    return a;
}

static void assert_out(struct spop_agent *a, const char *hex) {
    uint8_t raw[512];
    size_t n = unframe(hex, raw, sizeof raw);
    struct buf *out = spop_agent_out(a);
    ck_assert_uint_eq(buf_used(out), n);
    ck_assert_mem_eq(buf_at(out), raw, n);
    buf_drain(out, n);
}

static void assert_closes(struct spop_agent *a, enum spop_status status) {
    struct spop_event ev;
    ck_assert(spop_agent_next(a, &ev));
    ck_assert_int_eq(ev.kind, SPOP_EV_CLOSE);
    ck_assert_int_eq(ev.close.status, status);
    ck_assert(!spop_agent_next(a, &ev));
    ck_assert_uint_eq(spop_agent_feed(a, "x", 1), 0);
    ck_assert_int_eq(spop_ack(a, 0, 1, NULL, 0), SPOP_ACK_CLOSED);
    spop_agent_free(a);
}

#define NOTIFY(stream, frame) "[03 00000001" stream frame "016100"

START_TEST(answers_in_any_order) {
    struct spop_agent *a = agent_after(HELLO_26 NOTIFY("01", "01") NOTIFY("02", "01") NOTIFY("02", "02"), NULL);
    ck_assert_uint_eq(spop_agent_pending(a), 3);
    const struct spop_action all[] = {{SPOP_SET_VAR, SPOP_SESS, "n", spop_int(-6)},
                                      {SPOP_SET_VAR, SPOP_PROC, "b", spop_bool(true)},
                                      {SPOP_SET_VAR, SPOP_RES, "d", spop_bytes("\0\1", 2)},
                                      {SPOP_UNSET_VAR, SPOP_REQ, "old", {0}}};
    ck_assert_int_eq(spop_ack(a, 2, 2, all, 4), SPOP_ACK_OK);
    assert_out(a, "[67 00000001 02 02 01 03 01 016e 04faf0fefefefefefefe0e 01 03 00 0162 11 01 03 04 0164 09020001 02 02 03 036f6c64");
    ck_assert_int_eq(spop_ack(a, 2, 2, NULL, 0), SPOP_ACK_NOT_PENDING);
    ck_assert_int_eq(spop_ack(a, 1, 1, NULL, 0), SPOP_ACK_OK);
    ck_assert_int_eq(spop_ack(a, 2, 1, NULL, 0), SPOP_ACK_OK);
    assert_out(a, "[67 00000001 01 01 [67 00000001 02 01");
    ck_assert_uint_eq(spop_agent_pending(a), 0);
    spop_agent_disconnect(a, SPOP_ST_NORMAL, "stopping");
    assert_closes(a, SPOP_ST_NORMAL);
}
END_TEST

START_TEST(same_ids_again) {
    struct spop_agent *a = agent_after(HELLO_26 NOTIFY("01", "01"), NULL);
    uint8_t raw[64];
    size_t n = unframe(NOTIFY("01", "01"), raw, sizeof raw);
    ck_assert_uint_eq(spop_agent_feed(a, raw, n), n);
    assert_closes(a, SPOP_ST_INVALID);
    a = agent_after(HELLO_26 NOTIFY("01", "01"), NULL);
    ck_assert_int_eq(spop_ack(a, 1, 1, NULL, 0), SPOP_ACK_OK);
    ck_assert_uint_eq(spop_agent_feed(a, raw, n), n); /* after the answer they may come again */
    ck_assert_uint_eq(spop_agent_pending(a), 1);
    spop_agent_free(a);
}
END_TEST

START_TEST(without_pipelining_one_at_a_time) {
    struct spop_agent *a = agent_after("[01 00000001 00 00" MINIMAL NOTIFY("01", "01"), NULL);
    uint8_t raw[64];
    size_t n = unframe(NOTIFY("02", "01"), raw, sizeof raw);
    ck_assert_uint_eq(spop_agent_feed(a, raw, n), n);
    assert_closes(a, SPOP_ST_INTERLACED);
}
END_TEST

START_TEST(bounded_pending) {
    struct spop_agent *a = agent_after(HELLO_26 NOTIFY("01", "01") NOTIFY("02", "01"), &(struct spop_agent_conf){.max_pending = 2});
    uint8_t raw[64];
    size_t n = unframe(NOTIFY("03", "01"), raw, sizeof raw);
    ck_assert_uint_eq(spop_agent_feed(a, raw, n), n);
    assert_closes(a, SPOP_ST_RESOURCES);
}
END_TEST

START_TEST(too_big_an_answer) {
    struct spop_agent *a = agent_after(HELLO_26 NOTIFY("01", "01"), &(struct spop_agent_conf){.max_frame_size = 256});
    char text[300];
    memset(text, 'x', sizeof text);
    /* 7 bytes of header, 3 and 2 of the action, 1 + 2 before the text: 241 fit. */
    struct spop_action set = {SPOP_SET_VAR, SPOP_TXN, "t", spop_bytes(text, 242)};
    ck_assert_int_eq(spop_ack(a, 1, 1, &set, 1), SPOP_ACK_TOO_BIG);
    ck_assert_uint_eq(buf_used(spop_agent_out(a)), 0);
    ck_assert_uint_eq(spop_agent_pending(a), 1);
    set.value.len = 241;
    ck_assert_int_eq(spop_ack(a, 1, 1, &set, 1), SPOP_ACK_OK);
    ck_assert_uint_eq(buf_used(spop_agent_out(a)), 260);
    spop_agent_free(a);
}
END_TEST

START_TEST(peer_that_does_not_read) {
    struct spop_agent *a =
        agent_after(HELLO_26 NOTIFY("01", "01") NOTIFY("02", "01") NOTIFY("03", "01"), &(struct spop_agent_conf){.max_out = 22});
    ck_assert_int_eq(spop_ack(a, 1, 1, NULL, 0), SPOP_ACK_OK);
    ck_assert_int_eq(spop_ack(a, 2, 1, NULL, 0), SPOP_ACK_OK);
    ck_assert_int_eq(spop_ack(a, 3, 1, NULL, 0), SPOP_ACK_CLOSED);
    assert_closes(a, SPOP_ST_RESOURCES);
}
END_TEST

START_TEST(arguments_by_name) {
    struct spop_kv args[] = {{"a", 1, spop_int(1)}, {"twice", 5, spop_int(2)}, {"twice", 5, spop_int(3)}, {"", 0, spop_int(4)}};
    struct spop_message m = {"session", 7, args, 4};
    ck_assert(spop_message_is(&m, "session"));
    ck_assert(!spop_message_is(&m, "sessions"));
    ck_assert(!spop_message_is(&m, "sessio"));
    ck_assert_int_eq(spop_arg(&m, "a")->i, 1);
    ck_assert_ptr_null(spop_arg(&m, "twice"));
    ck_assert_ptr_null(spop_arg(&m, "b"));
}
END_TEST

START_TEST(status_names) {
    ck_assert_str_eq(spop_status_text(3), "frame is too big");
    ck_assert_str_eq(spop_status_text(8), "unsupported version");
    ck_assert_str_eq(spop_status_text(99), "an unknown error occurred");
    ck_assert_str_eq(spop_status_text(14), "unknown status code");
    ck_assert_str_eq(spop_status_text(UINT64_MAX), "unknown status code");
}
END_TEST

int main(void) {
    Suite *s = suite_create("spop");
    TCase *t = tcase_create("data");
    tcase_add_loop_test(t, varint_vectors, 0, sizeof varints / sizeof *varints);
    tcase_add_test(t, varint_over_64_bits);
    tcase_add_loop_test(t, value_vectors, 0, sizeof values / sizeof *values);
    suite_add_tcase(s, t);
    t = tcase_create("conversations");
    tcase_add_loop_test(t, talk_whole, 0, sizeof talks / sizeof *talks);
    tcase_add_loop_test(t, talk_byte_by_byte, 0, sizeof talks / sizeof *talks);
    tcase_add_loop_test(t, talk_chopped, 0, sizeof talks / sizeof *talks);
    suite_add_tcase(s, t);
    t = tcase_create("answers");
    tcase_add_test(t, answers_in_any_order);
    tcase_add_test(t, same_ids_again);
    tcase_add_test(t, without_pipelining_one_at_a_time);
    tcase_add_test(t, bounded_pending);
    tcase_add_test(t, too_big_an_answer);
    tcase_add_test(t, peer_that_does_not_read);
    tcase_add_test(t, arguments_by_name);
    tcase_add_test(t, status_names);
    suite_add_tcase(s, t);
    return run_suite(s);
}
