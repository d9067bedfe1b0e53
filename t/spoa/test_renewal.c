/* Which texts give a fresh token, which only name it, and which have nothing to do with it. */
#include "spoa/renewal.h"
#include "t/lib/guard.h"

#include <string.h>

static const struct {
    const char *text;
    enum renewal want;
    const char *token;
} texts[] = {
    {"SET gatehouse.token = 'a.b-_9'", RENEWAL_SET, "a.b-_9"},
    {"set session Gatehouse.TOKEN to 'a'", RENEWAL_SET, "a"},
    {"SET gatehouse.token='a';", RENEWAL_SET, "a"},
    {"SET gatehouse.token TO'a' ;\n", RENEWAL_SET, "a"},
    {" \t\r\n\f\vSET\ngatehouse.token\t=\n''", RENEWAL_SET, ""},
    /* Anything else that names it. */
    {"SET gatehouse.token = 'a'; SELECT 1", RENEWAL_OTHER, NULL},
    {"SET gatehouse.token = 'a';;", RENEWAL_OTHER, NULL},
    {"SELECT 1; SET gatehouse.token = 'a'", RENEWAL_OTHER, NULL},
    {"SET LOCAL gatehouse.token = 'a'", RENEWAL_OTHER, NULL},
    {"SET SESSION SESSION gatehouse.token = 'a'", RENEWAL_OTHER, NULL},
    {"SET gatehouse.token = 'a''b'", RENEWAL_OTHER, NULL},
    {"SET gatehouse.token = 'a\\b'", RENEWAL_OTHER, NULL},
    {"SET gatehouse.token = E'a'", RENEWAL_OTHER, NULL},
    {"SET gatehouse.token = 'a' 'b'", RENEWAL_OTHER, NULL},
    {"SET gatehouse.token = 'a', 'b'", RENEWAL_OTHER, NULL},
    {"SET gatehouse.token = $$a$$", RENEWAL_OTHER, NULL},
    {"SET gatehouse.token = a", RENEWAL_OTHER, NULL},
    {"SET gatehouse.token = DEFAULT", RENEWAL_OTHER, NULL},
    {"SET gatehouse.token", RENEWAL_OTHER, NULL},
    {"SET gatehouse.token = ", RENEWAL_OTHER, NULL},
    {"SET gatehouse.token = '", RENEWAL_OTHER, NULL},
    {"SET gatehouse.token = 'a", RENEWAL_OTHER, NULL},
    {"SET gatehouse.tokenTO 'a'", RENEWAL_NONE, NULL}, /* another setting */
    {"SET gatehouse.token TOO 'a'", RENEWAL_OTHER, NULL},
    {"/* x */ SET gatehouse.token = 'a'", RENEWAL_OTHER, NULL},
    {"SET gatehouse.token = 'a' -- x", RENEWAL_OTHER, NULL},
    {"SET \"gatehouse\".\"token\" = 'a'", RENEWAL_OTHER, NULL},
    {"SET \"gatehouse.token\" = 'a'", RENEWAL_OTHER, NULL},
    {"SET gatehouse . token = 'a'", RENEWAL_OTHER, NULL},
    {"SHOW gatehouse.token", RENEWAL_OTHER, NULL},
    {"RESET gatehouse.token", RENEWAL_OTHER, NULL},
    {"SELECT set_config('gatehouse.token', 'a', false)", RENEWAL_OTHER, NULL},
    {"SELECT current_setting('GateHouse.Token')", RENEWAL_OTHER, NULL},
    {"DO $$ BEGIN PERFORM set_config('gatehouse.token', 'a', false); END $$", RENEWAL_OTHER, NULL},
    {"ALTER ROLE x SET gatehouse.token = 'a'", RENEWAL_OTHER, NULL},
    {"PREPARE p AS SELECT current_setting('gatehouse.token')", RENEWAL_OTHER, NULL},
    {"SELECT a.b, . . 'x'.y, gatehouse.\"token\"", RENEWAL_OTHER, NULL},
    {"gatehouse.tokens gatehouse.token", RENEWAL_OTHER, NULL},
    {"..xgatehouse\"' .\n' token.", RENEWAL_OTHER, NULL},
    {"GATEHOUSE.tOKEN", RENEWAL_OTHER, NULL},
    /* Others. */
    {"gatehous.token atehouse.token gatehouse..token", RENEWAL_NONE, NULL},
    {".token", RENEWAL_NONE, NULL},
    {"....", RENEWAL_NONE, NULL},
    {"", RENEWAL_NONE, NULL},
    {"SET gatehouse.tokens = 'a'", RENEWAL_NONE, NULL},
    {"SELECT * FROM gatehouse.token_uses", RENEWAL_NONE, NULL},
    {"SELECT token FROM gatehouse", RENEWAL_NONE, NULL},
    {"SELECT 'gatehouse', 'token'", RENEWAL_NONE, NULL},
    {"gatehouse.toke", RENEWAL_NONE, NULL},
    {"gatehouse.", RENEWAL_NONE, NULL},
    {"gatehouse", RENEWAL_NONE, NULL},
    {"gggatehous", RENEWAL_NONE, NULL},
};

START_TEST(scan) {
    size_t len = strlen(texts[_i].text), n = 0;
    const char *token = NULL;
    uint8_t *copy = guard_copy(texts[_i].text, len);
    ck_assert_msg(renewal_scan((char *)copy, len, &token, &n) == texts[_i].want, "%s", texts[_i].text);
    if (texts[_i].token != NULL) ck_assert(n == strlen(texts[_i].token) && memcmp(token, texts[_i].token, n) == 0);
    guard_free(copy, len);
}
END_TEST

START_TEST(names) {
    ck_assert(renewal_is_name("gatehouse.token") && renewal_is_name("Gatehouse.Token"));
    ck_assert(!renewal_is_name("gatehouse.tokens") && !renewal_is_name("token"));
}
END_TEST

int main(void) {
    Suite *s = suite_create("renewal");
    TCase *c = tcase_create("renewal");
    tcase_add_loop_test(c, scan, 0, sizeof texts / sizeof *texts);
    tcase_add_test(c, names);
    suite_add_tcase(s, c);
    return run_suite(s);
}
