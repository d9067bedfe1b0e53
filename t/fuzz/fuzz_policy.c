/* A policy file. Checked besides memory errors: a refused file has an error with a text and a place inside the file; one that is taken judges
 * some statements, and whatever a client is told is UTF-8. Input: the file. */
#include "filters/bytes.h"
#include "policy/policy.h"
#include "t/fuzz/sweep.h"
#include "t/fuzz/target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first is harmless for everybody, the last one changes what is pinned: nobody may. */
static const char *const texts[] = {
    "SET work_mem = '1MB'",
    "SELECT * FROM orders",
    "UPDATE archive.orders SET x = f(1) WHERE y",
    "DROP TABLE public.staff",
    "SELECT * FROM pg_stats, \"Odd Name\"",
    "DO 'x'",
    "SELECT set_config('role', 'x', false)",
};
#define TEXTS (sizeof texts / sizeof *texts)

static bool text_is_fine(const char *s, size_t size) {
    size_t len = strnlen(s, size);
    return len < size && gh_utf8_valid(s, len);
}

static void check_error(const struct pol_error *e, const uint8_t *data, size_t size) {
    unsigned lines = 2; /* a file without an end of line has one; its end may count as another */
    char all[1024];
    for (size_t i = 0; i < size; i++) lines += data[i] == '\n' || data[i] == '\r' || data[i] == 0x85 || data[i] == 0xa8 || data[i] == 0xa9;
    CHECK(e->line <= lines && e->column <= size + 1);
    CHECK(e->text[0] != '\0' && text_is_fine(e->text, sizeof e->text) && text_is_fine(e->key, sizeof e->key));
    CHECK(strcmp(e->file, "policy.yaml") == 0);
    pol_error_format(e, all, sizeof all);
    CHECK(strlen(all) > 0);
}

static void judge_all(struct pol_policy *p, struct pol_facts *const *facts) {
    static const char *const path[] = {"public", "archive"};
    static const char *const groups[] = {"agents", "dbas"};
    struct pol_subject who = {.principal = "agent@shop.example", .groups = groups, .ngroups = 2};
    struct pol_pins pins = {.search_path = path, .nsearch_path = 2};
    struct pol_role *r = pol_role_new(p, &who, "shop", &pins);
    CHECK(r != NULL);
    if (!pol_policy_has_database(p, "shop")) CHECK(!pol_role_any(r));
    for (size_t i = 0; i < TEXTS; i++) {
        struct pol_verdict v;
        pol_judge(r, facts[i], &v);
        CHECK(v.rule != NULL && (v.effect == POL_ALLOW || v.effect == POL_DENY));
        if (v.effect == POL_ALLOW) {
            CHECK((i == 0 || pol_role_any(r)) && i + 1 != TEXTS);
            continue;
        }
        CHECK(strlen(v.sqlstate) == 5 && v.message[0] != '\0' && text_is_fine(v.message, sizeof v.message));
        CHECK(text_is_fine(v.detail, sizeof v.detail) && text_is_fine(v.hint, sizeof v.hint));
    }
    pol_role_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct pol_facts *facts[TEXTS];
    struct pol_error err;
    struct pol_parse_error parse;
    for (size_t i = 0; i < TEXTS && facts[i] == NULL; i++)
        CHECK((facts[i] = pol_facts_pg(texts[i], strlen(texts[i]), NULL, &parse)) != NULL);
    if (size > 8192) return 0;
    memset(&err, 'x', sizeof err);
    struct pol_policy *p = pol_policy_load_text("policy.yaml", (const char *)data, size, &err);
    if (p == NULL) {
        check_error(&err, data, size);
        return 0;
    }
    CHECK(strlen(pol_policy_hash(p)) == 64);
    judge_all(p, facts);
    pol_policy_unref(p);
    return 0;
}

#ifdef FUZZ_SWEEP
struct sweeping {
    const char *text;
    size_t size;
    struct pol_facts *facts[TEXTS];
    bool loaded, allowed[TEXTS];
};

/* The file and a role of it, and what they say of each text: true when the file was loaded. */
static bool verdicts(struct sweeping *s, bool allowed[TEXTS]) {
    static const char *const path[] = {"public", "archive"};
    static const char *const groups[] = {"agents", "dbas"}, *const settings[] = {"work_mem", "1MB", NULL};
    static const struct pol_claim claims[] = {{"region", "eu"}};
    struct pol_subject who = {.principal = "agent@shop.example", .groups = groups, .ngroups = 2, .claims = claims, .nclaims = 1};
    struct pol_pins pins = {.search_path = path, .nsearch_path = 2, .time_zone = "UTC", .date_style = "ISO", .settings = settings};
    struct pol_error err = {0};
    struct pol_policy *p = pol_policy_load_text("policy.yaml", s->text, s->size, &err);
    bool loaded = p != NULL;
    if (p == NULL && s->loaded) CHECK(strstr(err.text, "memory") != NULL);
    for (size_t i = 0; i < TEXTS; i++) allowed[i] = false;
    struct pol_role *r = p == NULL ? NULL : pol_role_new(p, &who, "shop", &pins);
    for (size_t i = 0; r != NULL && i < TEXTS; i++) {
        struct pol_verdict v;
        pol_judge(r, s->facts[i], &v);
        allowed[i] = v.effect == POL_ALLOW;
    }
    pol_role_free(r);
    pol_policy_unref(p);
    return loaded;
}

static void faulty(void *arg) {
    struct sweeping *s = arg;
    bool allowed[TEXTS];
    bool loaded = verdicts(s, allowed);
    CHECK(s->loaded || !loaded);
    for (size_t i = 0; i < TEXTS; i++) CHECK(s->allowed[i] || !allowed[i]);
}

void fuzz_sweep(const uint8_t *data, size_t size) {
    struct sweeping s = {.text = (const char *)data, .size = size};
    struct pol_parse_error parse;
    for (size_t i = 0; i < TEXTS; i++) CHECK((s.facts[i] = pol_facts_pg(texts[i], strlen(texts[i]), NULL, &parse)) != NULL);
    s.loaded = verdicts(&s, s.allowed);
    sweep(faulty, &s);
    for (size_t i = 0; i < TEXTS; i++) pol_facts_free(s.facts[i]);
}
#endif
