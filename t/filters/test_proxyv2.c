#include "filters/proxyv2.h"
#include "t/lib/guard.h"

#include <string.h>

#define SIG  "0d0a0d0a000d0a515549540a"
#define ADR4 "c0000201 0a000001 d431 1538" /* 192.0.2.1:54321 to 10.0.0.1:5432 */

struct vector {
    const char *name, *hex;
    enum gh_rc rc;
};

static const struct vector vectors[] = {
    {"tcp4", SIG "21 11 000c" ADR4, GH_OK},
    {"payload behind", SIG "21 11 000c" ADR4 "0000 0008 04d2 162f", GH_OK},
    {"tcp6", SIG "21 21 0024 20010db8000000000000000000000001 00000000000000000000000000000001 d431 1538", GH_OK},
    {"unix", SIG "21 31 0003 000000", GH_MALFORMED},
    {"local", SIG "20 00 0000", GH_OK},
    {"local, what follows is skipped", SIG "20 ff 0003 ffffff", GH_OK},
    {"unspec with an id", SIG "21 00 0005 05 0002 6162", GH_OK},
    {"udp4", SIG "21 12 000c" ADR4, GH_UNSUPPORTED},
    {"udp6", SIG "21 22 0000", GH_UNSUPPORTED},
    {"family 4", SIG "21 41 000c" ADR4, GH_MALFORMED},
    {"protocol 3", SIG "21 13 000c" ADR4, GH_MALFORMED},
    {"inet without protocol", SIG "21 10 000c" ADR4, GH_MALFORMED},
    {"command 2", SIG "22 11 000c" ADR4, GH_MALFORMED},
    {"version 1 in version 2's clothes", SIG "11 11 000c" ADR4, GH_MALFORMED},
    {"version 3", SIG "31 11 000c" ADR4, GH_MALFORMED},
    {"addresses cut off", SIG "21 11 000b c0000201 0a000001 d431 15", GH_MALFORMED},
    {"tcp6 cut off", SIG "21 21 000c" ADR4, GH_MALFORMED},
    {"version 1", "50524f58592054435034203139322e302e322e312031302e302e302e31203120320d0a", GH_MALFORMED},
    {"TLS hello", "16030100", GH_MALFORMED},
    {"signature with a wrong end", "0d0a0d0a000d0a515549540d", GH_MALFORMED},
    {"too long", SIG "21 11 0401", GH_LIMIT},
    {"as long as it goes, incomplete", SIG "21 11 0400" ADR4, GH_NEED_MORE},
    {"unique id", SIG "21 11 0013" ADR4 "05 0004 74696b74", GH_OK},
    {"empty unique id", SIG "21 11 000f" ADR4 "05 0000", GH_OK},
    {"two unique ids", SIG "21 11 0015" ADR4 "05 0001 61 05 0002 6162", GH_MALFORMED},
    {"two empty unique ids", SIG "21 11 0012" ADR4 "05 0000 05 0000", GH_MALFORMED},
    {"tlv without length", SIG "21 11 000e" ADR4 "05 00", GH_MALFORMED},
    {"tlv longer than the header", SIG "21 11 0010" ADR4 "05 0002 61 62", GH_MALFORMED},
    {"alpn, authority, noop, netns, custom", SIG "21 11 0020" ADR4 "01 0001 68 02 0002 6162 04 0000 30 0001 61 e0 0001 00", GH_OK},
    {"ssl", SIG "21 11 0022" ADR4 "20 0013 01 00000000 21 0007 544c5376312e33 22 0001 61", GH_OK},
    {"ssl, cipher and algorithms passed over", SIG "21 11 001d" ADR4 "20 000e 07 00000001 23 0000 24 0000 25 0000", GH_OK},
    {"ssl too short", SIG "21 11 0013" ADR4 "20 0004 01 000000", GH_MALFORMED},
    {"ssl field longer than ssl", SIG "21 11 0018" ADR4 "20 0009 01 00000000 22 0002 61", GH_MALFORMED},
    {"two ssl", SIG "21 11 001c" ADR4 "20 0005 01 00000000 20 0005 01 00000000", GH_MALFORMED},
    {"two common names", SIG "21 11 001c" ADR4 "20 000d 01 00000000 22 0001 61 22 0001 62", GH_MALFORMED},
    {"common name with a NUL", SIG "21 11 001a" ADR4 "20 000b 01 00000000 22 0003 610062", GH_MALFORMED},
    {"common name not UTF-8", SIG "21 11 0018" ADR4 "20 0009 01 00000000 22 0001 ff", GH_MALFORMED},
    /* The checksum comes from another implementation, one that gives the check value e3069283 for "123456789". */
    {"crc32c", SIG "21 11 0013" ADR4 "03 0004 37e2218c", GH_OK},
    {"crc32c wrong", SIG "21 11 0013" ADR4 "03 0004 00000000", GH_MALFORMED},
    {"crc32c short", SIG "21 11 0012" ADR4 "03 0003 000000", GH_MALFORMED},
};

static size_t bytes_of(const struct vector *v, uint8_t *raw, size_t max) { return unhex(v->hex, raw, max); }

START_TEST(every_vector_whole) {
    const struct vector *v = &vectors[_i];
    uint8_t raw[2048];
    size_t len = bytes_of(v, raw, sizeof raw), used;
    uint8_t *p = guard_copy(raw, len);
    struct pp2_header h;
    struct gh_err err = {0};
    ck_assert_msg(pp2_decode(p, len, &h, &used, &err) == v->rc, "%s: %s", v->name, err.reason);
    ck_assert_int_eq(err.rc, v->rc);
    ck_assert_ptr_nonnull(err.reason);
    if (v->rc != GH_OK) ck_assert_uint_eq(used, 0);
    guard_free(p, len);
}
END_TEST

/* Every prefix, at a guard page: NEED_MORE until the verdict on the whole is reached, which then does not change. */
START_TEST(every_vector_byte_by_byte) {
    const struct vector *v = &vectors[_i];
    uint8_t raw[2048];
    size_t len = bytes_of(v, raw, sizeof raw), used;
    bool decided = false;
    for (size_t n = 0; n <= len; n++) {
        uint8_t *p = guard_copy(raw, n);
        struct pp2_header h;
        enum gh_rc rc = pp2_decode(p, n, &h, &used, NULL);
        if (decided || n == len)
            ck_assert_msg(rc == v->rc, "%s at %zu", v->name, n);
        else
            ck_assert_msg(rc == GH_NEED_MORE || rc == v->rc, "%s at %zu", v->name, n);
        if (rc != GH_NEED_MORE) decided = true;
        guard_free(p, n);
    }
}
END_TEST

static struct pp2_header ok(const char *hex, size_t header) {
    uint8_t raw[2048];
    size_t len = unhex(hex, raw, sizeof raw), used;
    struct pp2_header h;
    ck_assert_int_eq(pp2_decode(raw, len, &h, &used, NULL), GH_OK);
    ck_assert_uint_eq(used, header);
    return h;
}

/* Captured from HAProxy 2.6.12: send-proxy-v2 with proxy-v2-options unique-id,ssl,cert-cn,crc32c,authority. */
static const char haproxy26[] =
    "0d0a0d0a000d0a515549540a2111006b7f0000017f000001c7ec9a5b0300040cf55d9302000a64622e6578616d706c65050029312e30313866336332"
    "61396231302d346630633162326139393838373736362e3132372e302e302e3120001c0700000000210007544c5376312e3322000a636c69656e7420"
    "6f6e65";

START_TEST(from_haproxy) {
    struct pp2_header h = ok(haproxy26, 123);
    ck_assert_str_eq(h.src, "127.0.0.1");
    ck_assert_uint_eq(h.src_port, 51180);
    ck_assert_uint_eq(h.unique_id_len, 41);
    ck_assert_mem_eq(h.unique_id, "1.018f3c2a9b10-4f0c1b2a99887766.127.0.0.1", 41);
    ck_assert_uint_eq(h.ssl.client, PP2_CLIENT_SSL | PP2_CLIENT_CERT_CONN | PP2_CLIENT_CERT_SESS);
    ck_assert_uint_eq(h.ssl.verify, 0);
    ck_assert_str_eq(h.ssl.version, "TLSv1.3");
    ck_assert_str_eq(h.ssl.cn, "client one");
    /* The checksum covers every byte of it; only the type of its own field could hide it, and the command turns it into LOCAL. */
    uint8_t raw[256];
    size_t len = unhex(haproxy26, raw, sizeof raw), used;
    for (size_t i = 0; i < len; i++) {
        if (i == 28) continue;
        raw[i] ^= 1;
        ck_assert_msg(pp2_decode(raw, len, &h, &used, NULL) != GH_OK || h.command == PP2_LOCAL, "byte %zu", i);
        raw[i] ^= 1;
    }
}
END_TEST

START_TEST(what_is_read) {
    struct pp2_header h = ok(SIG "21 11 000c" ADR4 "0000 0008", 28);
    ck_assert_int_eq(h.command, PP2_PROXY);
    ck_assert_int_eq(h.family, PP2_INET);
    ck_assert_str_eq(h.src, "192.0.2.1");
    ck_assert_str_eq(h.dst, "10.0.0.1");
    ck_assert_uint_eq(h.src_port, 54321);
    ck_assert_uint_eq(h.dst_port, 5432);
    ck_assert(!h.has_unique_id && !h.ssl.present);
    h = ok(SIG "21 21 0024 20010db8000000000000000000000001 00000000000000000000ffffc0000209 d431 1538", 52);
    ck_assert_int_eq(h.family, PP2_INET6);
    ck_assert_str_eq(h.src, "2001:db8::1");
    ck_assert_str_eq(h.dst, "192.0.2.9");
    h = ok(SIG "21 11 0013" ADR4 "05 0004 74696b74", 35);
    ck_assert(h.has_unique_id);
    ck_assert_uint_eq(h.unique_id_len, 4);
    ck_assert_mem_eq(h.unique_id, "tikt", 4);
    h = ok(SIG "21 11 0022" ADR4 "20 0013 05 00000102 21 0007 544c5376312e33 22 0001 61", 50);
    ck_assert(h.ssl.present);
    ck_assert_uint_eq(h.ssl.client, PP2_CLIENT_SSL | PP2_CLIENT_CERT_SESS);
    ck_assert_uint_eq(h.ssl.verify, 0x102);
    ck_assert_str_eq(h.ssl.version, "TLSv1.3");
    ck_assert_str_eq(h.ssl.cn, "a");
    h = ok(SIG "20 11 0013" ADR4 "05 0004 74696b74", 35);
    ck_assert_int_eq(h.command, PP2_LOCAL);
    ck_assert_str_eq(h.src, "");
    ck_assert(!h.has_unique_id);
}
END_TEST

/* A header of the given rest: TCP over IPv4 and one TLV that fills it. */
static enum gh_rc with_tlv(uint8_t type, size_t value) {
    struct buf b = BUF_INIT(4096);
    uint8_t raw[64];
    size_t n = unhex(SIG "21 11", raw, sizeof raw);
    buf_put(&b, raw, n);
    buf_be16(&b, (uint16_t)(12 + 3 + value));
    buf_put(&b, raw, unhex(ADR4, raw, sizeof raw));
    buf_u8(&b, type);
    buf_be16(&b, (uint16_t)value);
    for (size_t i = 0; i < value; i++) buf_u8(&b, 'x');
    uint8_t *p = guard_copy(buf_at(&b), buf_used(&b));
    struct pp2_header h;
    size_t used;
    enum gh_rc rc = pp2_decode(p, buf_used(&b), &h, &used, NULL);
    guard_free(p, buf_used(&b));
    buf_free(&b);
    return rc;
}

START_TEST(limits) {
    ck_assert_int_eq(with_tlv(0x05, 128), GH_OK);
    ck_assert_int_eq(with_tlv(0x05, 129), GH_MALFORMED);
    ck_assert_int_eq(with_tlv(0x02, 1024 - 15), GH_OK);
    ck_assert_int_eq(with_tlv(0x02, 1024 - 14), GH_LIMIT);
    uint8_t raw[400];
    size_t n = unhex(SIG "21 11 011d" ADR4 "20 010e 01 00000000 22 0106", raw, sizeof raw), used;
    memset(raw + n, 'x', 262);
    struct pp2_header h;
    ck_assert_int_eq(pp2_decode(raw, n + 262, &h, &used, NULL), GH_LIMIT); /* a common name of 262 bytes */
    n = unhex(SIG "21 31 00db", raw, sizeof raw);
    memset(raw + n, 0, 219);
    raw[n + 216] = 0x05; /* an empty unique id behind Unix addresses */
    ck_assert_int_eq(pp2_decode(raw, n + 219, &h, &used, NULL), GH_OK);
    ck_assert_int_eq(h.family, PP2_UNIX);
    ck_assert(h.has_unique_id);
}
END_TEST

START_TEST(addresses_as_text) {
    static const struct {
        const char *hex, *text;
    } v[] = {{"7f000001", "127.0.0.1"},
             {"ffffffff", "255.255.255.255"},
             {"00000000000000000000000000000000", "::"},
             {"00000000000000000000000000000001", "::1"},
             {"20010db8000000000000000000000000", "2001:db8::"},
             {"20010db8000000010001000100010001", "2001:db8:0:1:1:1:1:1"},
             {"20010db8000000000001000000000001", "2001:db8::1:0:0:1"},
             {"20010db8000100000000000100000001", "2001:db8:1::1:0:1"},
             {"00010002000300040005000600070000", "1:2:3:4:5:6:7:0"},
             {"ffffffffffffffffffffffffffffffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
             {"00000000000000000000ffff0a000001", "10.0.0.1"},
             {"000000000000000000000000c0000201", "::c000:201"}};
    char text[PP2_ADDR_SIZE];
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        uint8_t raw[16];
        size_t n = unhex(v[i].hex, raw, sizeof raw);
        ck_assert(pp2_addr_text(raw, n, text));
        ck_assert_str_eq(text, v[i].text);
    }
    ck_assert(!pp2_addr_text((const uint8_t *)"12345", 5, text));
    ck_assert_str_eq(text, "");
}
END_TEST

int main(void) {
    Suite *s = suite_create("proxyv2");
    TCase *t = tcase_create("all");
    tcase_add_loop_test(t, every_vector_whole, 0, sizeof vectors / sizeof *vectors);
    tcase_add_loop_test(t, every_vector_byte_by_byte, 0, sizeof vectors / sizeof *vectors);
    tcase_add_test(t, from_haproxy);
    tcase_add_test(t, what_is_read);
    tcase_add_test(t, limits);
    tcase_add_test(t, addresses_as_text);
    suite_add_tcase(s, t);
    return run_suite(s);
}
