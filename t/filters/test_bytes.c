#include "filters/bytes.h"
#include "t/lib/guard.h"

#include <stdio.h>
#include <string.h>

START_TEST(getters_stay_inside) {
    const uint8_t raw[] = {1, 2, 3, 4, 5, 6, 7, 8, 'a', 'b', 0};
    for (size_t len = 0; len <= sizeof raw; len++) {
        uint8_t *p = guard_copy(raw, len);
        struct cur c = cur_of(p, len);
        uint64_t v64;
        ck_assert_int_eq(cur_be64(&c, &v64), len >= 8);
        if (len >= 8)
            ck_assert_uint_eq(v64, 0x0102030405060708u);
        else
            ck_assert_uint_eq(cur_left(&c), len);
        const char *s;
        size_t n;
        bool whole = cur_cstr(&c, &s, &n);
        ck_assert_int_eq(whole, len == sizeof raw);
        if (whole) ck_assert_str_eq(s, "ab");
        const uint8_t *at;
        ck_assert(!cur_take(&c, SIZE_MAX, &at));
        guard_free(p, len);
    }
}
END_TEST

START_TEST(little_and_big) {
    const uint8_t raw[] = {1, 2, 3, 4, 5, 6, 7, 8};
    uint16_t a;
    uint32_t b;
    uint64_t d;
    struct cur c = cur_of(raw, 8);
    ck_assert(cur_le16(&c, &a) && a == 0x0201);
    ck_assert(cur_le24(&c, &b) && b == 0x050403);
    ck_assert(!cur_le32(&c, &b) && cur_left(&c) == 3);
    c = cur_of(raw, 8);
    ck_assert(cur_le64(&c, &d) && d == 0x0807060504030201u);
    struct cur sub;
    c = cur_of(raw, 8);
    ck_assert(cur_sub(&c, 3, &sub) && cur_left(&sub) == 3 && cur_left(&c) == 5);
    ck_assert(!cur_be32(&sub, &b));
    ck_assert(cur_be32(&c, &b) && b == 0x04050607);
}
END_TEST

START_TEST(buffer_gives_its_memory_back) {
    struct buf b = BUF_INIT(8);
    buf_put(&b, "1234", 4);
    buf_drain(&b, 3);
    buf_spare(&b);
    ck_assert(b.data != NULL && *(const char *)buf_at(&b) == '4');
    buf_drain(&b, 1);
    buf_spare(&b);
    ck_assert_ptr_null(b.data);
    buf_put(&b, "12345678", 8);
    ck_assert_uint_eq(buf_used(&b), 8);
    buf_put(&b, "9", 1);
    buf_drain(&b, buf_used(&b));
    buf_spare(&b);
    ck_assert(b.failed); /* still: whoever asks later must hear of it */
    buf_free(&b);
}
END_TEST

START_TEST(buffer_has_a_ceiling) {
    struct buf b = BUF_INIT(1000);
    for (int i = 0; i < 100; i++) buf_put(&b, "0123456789", 10);
    ck_assert(!b.failed);
    ck_assert_uint_eq(buf_used(&b), 1000);
    buf_u8(&b, 1);
    ck_assert(b.failed);
    buf_drain(&b, 500);
    buf_u8(&b, 1);
    ck_assert_uint_eq(buf_used(&b), 500); /* sticky */
    b.failed = false;
    buf_be32(&b, 0x01020304);
    ck_assert_mem_eq(buf_at(&b) + 500, "\1\2\3\4", 4);
    buf_patch_be32(&b, 500, 0x05060708);
    ck_assert_mem_eq(buf_at(&b) + 500, "\5\6\7\10", 4);
    buf_free(&b);
}
END_TEST

START_TEST(utf8) {
    static const struct {
        const char *s;
        bool ok;
    } v[] = {
        {"plain", true},        {"\xc3\xa9", true},         {"\xc0\x80", false},         {"\xe0\x80\x80", false}, {"\xed\xa0\x80", false},
        {"\xef\xbf\xbf", true}, {"\xf0\x9f\x98\x80", true}, {"\xf4\x90\x80\x80", false}, {"\x80", false},         {"a\xe2\x82", false},
        {"\xff", false}};
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        size_t len = strlen(v[i].s);
        uint8_t *p = guard_copy(v[i].s, len);
        ck_assert_msg(gh_utf8_valid(p, len) == v[i].ok, "vector %zu", i);
        guard_free(p, len);
    }
    ck_assert(!gh_utf8_valid("a\0b", 3));
}
END_TEST

/* Eight bytes are looked at together: what is wrong is found at every place among good ones. */
START_TEST(utf8_everywhere) {
    static const char *const bad[] = {"\x80", "\xff", "\xc0\x80", "\xed\xa0\x80", ""}; /* the last: a NUL */
    char text[40];
    for (size_t len = 1; len <= 24; len++)
        for (size_t at = 0; at < len; at++) {
            memset(text, 'a' + (int)(len % 20), sizeof text);
            text[at] = 0x7f; /* one below the high bit, 0x01 one above NUL: both are good */
            text[len - 1] = 1;
            ck_assert(gh_utf8_valid(text, len));
            memcpy(text + at, "\xc3\xa9", 2);
            ck_assert(gh_utf8_valid(text, len + 1 > at + 2 ? len + 1 : at + 2));
            for (size_t b = 0; b < sizeof bad / sizeof *bad; b++) {
                memset(text, 'a', sizeof text);
                memcpy(text + at, bad[b], strlen(bad[b]) + (bad[b][0] == '\0'));
                uint8_t *p = guard_copy(text, len);
                ck_assert_msg(!gh_utf8_valid(p, len), "vector %zu at %zu of %zu", b, at, len);
                guard_free(p, len);
            }
        }
}
END_TEST

START_TEST(decimals) {
    char text[GH_U64_TEXT], want[32];
    uint64_t v = 1;
    for (int i = 0; i < 64; i++, v *= 2)
        for (uint64_t k = v - 1; k <= v + 1; k++) {
            size_t n = (size_t)snprintf(want, sizeof want, "%llu", (unsigned long long)k);
            ck_assert_uint_eq(gh_u64_text(text, k), n);
            ck_assert_str_eq(text, want);
        }
    ck_assert_uint_eq(gh_u64_text(text, UINT64_MAX), 20);
    ck_assert_str_eq(text, "18446744073709551615");
}
END_TEST

/* Every length: neither a byte too many read, nor one written. */
START_TEST(copies_and_hex) {
    uint8_t in[100], out[256], want[3];
    for (size_t i = 0; i < sizeof in; i++) in[i] = (uint8_t)(i * 37 + 11);
    for (size_t n = 0; n <= sizeof in; n++) {
        uint8_t *p = guard_copy(in, n);
        memset(out, 0xee, sizeof out);
        ck_assert_ptr_eq(gh_put((char *)out + 1, p, n), (char *)out + 1 + n);
        ck_assert(out[0] == 0xee && out[n + 1] == 0xee && memcmp(out + 1, in, n) == 0);
        memset(out, 0xee, sizeof out);
        gh_hex((char *)out, p, n);
        ck_assert(out[2 * n] == 0xee);
        for (size_t i = 0; i < n; i++) {
            snprintf((char *)want, sizeof want, "%02x", in[i]);
            ck_assert(memcmp(out + 2 * i, want, 2) == 0);
        }
        struct buf b = BUF_INIT(100), more = BUF_INIT(100);
        buf_hex(&b, p, n);
        ck_assert(b.failed == (n > 50) && !b.no_memory && buf_used(&b) == (n > 50 ? 0 : 2 * n) &&
                  memcmp(buf_at(&b), out, buf_used(&b)) == 0);
        buf_hex(&more, p, SIZE_MAX / 2 + 1);
        ck_assert(more.failed && buf_used(&more) == 0);
        buf_free(&b);
        guard_free(p, n);
    }
    char digest[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0";
    ck_assert(!gh_is_sha256(digest));
    digest[64] = '\0';
    ck_assert(gh_is_sha256(digest));
    for (unsigned c = 0; c < 256; c++) { /* the last one counts as much as the first; behind one that is none nothing is read */
        bool is = c != '\0' && strchr("0123456789abcdef", (int)c) != NULL;
        digest[63] = (char)c;
        ck_assert(gh_is_sha256(digest) == is && gh_is_hex(digest, 63) && gh_is_hex(digest, 64) == is);
        uint8_t *p = guard_copy(&(uint8_t){(uint8_t)c}, 1);
        const char *s = (const char *)p;
        ck_assert(gh_is_hex(s, 1) == is && (is || !gh_is_hex(s, 2)) && gh_is_hex(s, 0));
        guard_free(p, 1);
    }
    for (unsigned v = 0; v < 256; v++) {
        gh_hex((char *)out, &(uint8_t){(uint8_t)v}, 1);
        snprintf((char *)want, sizeof want, "%02x", v);
        ck_assert(memcmp(out, want, 2) == 0);
    }
}
END_TEST

int main(void) {
    Suite *s = suite_create("bytes");
    TCase *t = tcase_create("all");
    tcase_add_test(t, getters_stay_inside);
    tcase_add_test(t, little_and_big);
    tcase_add_test(t, buffer_has_a_ceiling);
    tcase_add_test(t, buffer_gives_its_memory_back);
    tcase_add_test(t, utf8);
    tcase_add_test(t, utf8_everywhere);
    tcase_add_test(t, decimals);
    tcase_add_test(t, copies_and_hex);
    suite_add_tcase(s, t);
    return run_suite(s);
}
