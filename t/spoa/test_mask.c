/* Tokens are masked wherever they stand, and nothing else is. */
#include "spoa/mask.h"
#include "t/lib/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD "eyJhbGciOiJFUzI1NiIsImtpZCI6ImEifQ"      /* {"alg":"ES256","kid":"a"} */
#define ENC  "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0" /* {"alg":"dir","enc":"A256GCM"} */
#define BODY "eyJzdWIiOiJhQHgifQ"
#define SIG  "MEUCIQDabcdefghijklmnopqrstuvwxyz0123456789-_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmn"
#define JWT  HEAD "." BODY "." SIG

static void check(const char *in, const char *want, bool cut) {
    size_t len = strlen(in);
    uint8_t *copy = guard_copy(in, len);
    ck_assert_int_eq(mask_needed((char *)copy, len, cut), strcmp(in, want) != 0);
    size_t n = mask_tokens((char *)copy, len, cut);
    ck_assert_msg(n == strlen(want) && memcmp(copy, want, n) == 0, "%s\n  gave %.*s\n  not  %s", in, (int)n, copy, want);
    guard_free(copy, len);
}

static const struct {
    const char *in, *want;
} whole[] = {
    {"", ""},
    {JWT, "***"},
    {"SET x = '" JWT "'", "SET x = '***'"},
    {"Bearer " JWT " and " JWT, "Bearer *** and ***"},
    {"Bearer%20" JWT, "Bearer%20***"},
    {"token_" JWT ";", "token_***;"}, /* what goes before is of the same alphabet */
    {"a.b." JWT, "a.b.***"},
    {ENC ".AAAAAAAAAAAAAAAA.AxY8DCtDaGlsbGljb3RoZQ." SIG ".AAAAAAAA", "***"}, /* encrypted: five parts */
    {ENC "..AxY8DCtDaGlsbGljb3RoZQ.a.AAAAAAAA", "***"},                       /* by a key that both have */
    {HEAD ".ewogInN1YiI6ImEiCn0." SIG, "***"},                                /* claims with line breaks, and blanks around */
    {HEAD ".IHsic3ViIjoiYSJ9Cg." SIG, "***"},
    {HEAD ".e30." SIG, "***"},
    {HEAD ".ZXlKaGJHY2lPaUpG." SIG, "***"},                        /* a token within */
    {"eyJhbGciOiJFUzI1NiIsInppcCI6IkRFRiJ9.3ZJNb9sw." SIG, "***"}, /* compressed */
    {"ewogICJhbGciOiAiUlMyNTYiCn0." BODY "." SIG, "***"},          /* a header with line breaks */
    {"eyAiYWxnIjoiUlMyNTYifQ." BODY "." SIG, "***"},               /* and with a blank */
    {HEAD "..." SIG, HEAD "..." SIG},
    {HEAD ".." SIG, "***"}, /* detached */
    /* Not tokens. */
    {HEAD ".7b352c362c372c382c397d." SIG, HEAD ".7b352c362c372c382c397d." SIG},         /* '{5,6,7,8,9}' in hex */
    {HEAD ".ezUsNiw3fQ." SIG, HEAD ".ezUsNiw3fQ." SIG},                                 /* {5,6,7} */
    {HEAD ".eyJzdWIiOiJhIn0gT1IgdHJ1ZQ." SIG, HEAD ".eyJzdWIiOiJhIn0gT1IgdHJ1ZQ." SIG}, /* an object with more behind it */
    {HEAD ".AAAAAAAAAAAAAAAA.AxY8DCtDaGlsbGljb3RoZQ." SIG ".AAAAAAAA", HEAD ".AAAAAAAAAAAAAAAA.AxY8DCtDaGlsbGljb3RoZQ." SIG ".AAAAAAAA"},
    {ENC ".AAAAAAAAAAAAAAAA.AxY8DCtDaGlsbGljb3RoZQ." SIG, ENC ".AAAAAAAAAAAAAAAA.AxY8DCtDaGlsbGljb3RoZQ." SIG},
    {HEAD "." BODY, HEAD "." BODY},
    {HEAD "." BODY ".short", HEAD "." BODY ".short"},
    {"eyJub3RoaW5nIjoiaGVyZSJ9." BODY "." SIG, "eyJub3RoaW5nIjoiaGVyZSJ9." BODY "." SIG},
    {"DELETE FROM eyes.eyebrows_and_eyelashes_of_everybody_who_was_ever_here",
     "DELETE FROM eyes.eyebrows_and_eyelashes_of_everybody_who_was_ever_here"},
    {"SELECT e.y FROM e", "SELECT e.y FROM e"},
};

START_TEST(texts) { check(whole[_i].in, whole[_i].want, false); }
END_TEST

START_TEST(cut_off) {
    /* From its header on, wherever it ends, nothing of it is left. */
    for (size_t n = sizeof HEAD; n <= sizeof JWT - 1; n++) {
        char in[sizeof JWT + 16];
        snprintf(in, sizeof in, "at or near \"%.*s", (int)n, JWT);
        check(in, "at or near \"***", true);
    }
    for (size_t n = sizeof ENC; n <= sizeof ENC + 50; n++) {
        char in[256];
        snprintf(in, sizeof in, "at or near \"%.*s", (int)n, ENC ".AAAAAAAA.AxY8DCtDaGls.AAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAA");
        check(in, "at or near \"***", true);
    }
    check("x " HEAD "." BODY ".abc def", "x " HEAD "." BODY ".abc def", true); /* it does not end there */
}
END_TEST

START_TEST(strings) {
    char text[] = "a " JWT " b";
    mask_string(text, false);
    ck_assert_str_eq(text, "a *** b");
}
END_TEST

/* Whatever the pieces are put together to: what a reader from left to right finds, who looks at every run of the alphabet. */
static bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_'; }

static size_t run(const char *p) {
    size_t n = 0;
    while (letter(p[n])) n++;
    return n;
}

/* Where the only whole token that the pieces have, JWT, begins as one: behind whatever else is in its run. */
static void expected(const char *in, char *out) {
    for (const char *p = in; *p != '\0';) {
        size_t n = run(p);
        const char *at = n >= sizeof HEAD - 1 && p[n] == '.' ? p + n - (sizeof HEAD - 1) : NULL;
        if (at != NULL && strncmp(at, JWT, sizeof JWT - 1) == 0 && run(at + sizeof JWT - 1 - (sizeof SIG - 1)) >= sizeof SIG - 1) {
            out += sprintf(out, "%.*s***", (int)(at - p), p);
            p = at + sizeof JWT - 1;
            p += run(p);
            while (*p == '.' && letter(p[1])) p += 1 + run(p + 1);
        } else if (n > 0) {
            out += sprintf(out, "%.*s", (int)n, p);
            p += n;
        } else
            *out++ = *p++;
    }
    *out = '\0';
}

START_TEST(every_composition) {
    static const char *const pieces[] = {JWT, ".", "..", " ", "a", "e", "y", "abcdefghijkl", "a.b", "'", JWT "."};
    enum { N = sizeof pieces / sizeof *pieces };
    char in[5 * sizeof JWT], want[5 * sizeof JWT];
    for (unsigned i = 0; i < N * N * N * N; i++) {
        snprintf(in, sizeof in, "%s%s%s%s", pieces[i % N], pieces[i / N % N], pieces[i / N / N % N], pieces[i / N / N / N]);
        expected(in, want);
        check(in, want, false);
    }
}
END_TEST

START_TEST(long_texts) {
    /* No text makes it slow: these take no time, or the test's limit of it. */
    static const char *const parts[] = {"e",        "ey",     "eyJ", "eyJhbGciOi", HEAD ".",
                                        HEAD ".a.", "." HEAD, "ew.", ENC "....",   HEAD "." BODY "."};
    const char *part = parts[_i];
    size_t n = 4u << 20, one = strlen(part);
    char *text = malloc(n + one);
    ck_assert_ptr_nonnull(text);
    for (size_t i = 0; i < n; i += one) memcpy(text + i, part, one);
    ck_assert(!mask_needed(text, n, false));
    ck_assert_uint_eq(mask_tokens(text, n, false), n);
    free(text);
}
END_TEST

int main(void) {
    Suite *s = suite_create("mask");
    TCase *c = tcase_create("mask");
    tcase_add_loop_test(c, texts, 0, sizeof whole / sizeof *whole);
    tcase_add_test(c, cut_off);
    tcase_add_test(c, every_composition);
    tcase_add_test(c, strings);
    tcase_add_loop_test(c, long_texts, 0, 10);
    suite_add_tcase(s, c);
    return run_suite(s);
}
