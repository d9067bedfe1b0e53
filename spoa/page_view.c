/* The approvers' page as HTML. Works without scripts; page.js keeps it up to date and shows how much time is left. */
#include <config.h>

#include "spoa/html.h"
#include "spoa/page_int.h"

#include <stdio.h>
#include <string.h>

#define PREVIEW     300u /* bytes of a statement in the list */
#define REFRESH_S   10   /* without a script */
#define EARLIER_MAX 20u

/* --- pieces --- */

static const char *text(const json_t *o, const char *key) {
    const char *s = json_string_value(json_object_get(o, key));
    return s != NULL ? s : "";
}

static void put(struct page_ask *k, const char *html) { buf_str(&k->a->body, html); }
static void esc(struct page_ask *k, const char *s) { html_str(&k->a->body, s); }

static void put_number(struct page_ask *k, long long n) {
    char t[24];
    snprintf(t, sizeof t, "%lld", n);
    put(k, t);
}

void page_harden(struct httpd_answer *a) {
    buf_str(&a->fields,
            "Content-Security-Policy: default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
            "form-action 'self'; frame-ancestors 'none'; base-uri 'none'\r\n"
            "X-Frame-Options: DENY\r\n"
            "X-Content-Type-Options: nosniff\r\n"
            "Referrer-Policy: same-origin\r\n"
            "Cross-Origin-Opener-Policy: same-origin\r\n"
            "Cross-Origin-Resource-Policy: same-origin\r\n"
            "Permissions-Policy: camera=(), geolocation=(), microphone=(), payment=(), usb=()\r\n");
}

void page_redirect(struct httpd_answer *a, const char *to) {
    a->status = 303;
    buf_str(&a->fields, "Location: ");
    buf_str(&a->fields, to);
    buf_str(&a->fields, "\r\n");
}

void page_set_cookie(struct httpd_answer *a, const char *name, const char *value, unsigned seconds) {
    char age[96];
    snprintf(age, sizeof age, "; Path=/; Max-Age=%u; Secure; HttpOnly; SameSite=Lax\r\n", value == NULL ? 0 : seconds);
    buf_str(&a->fields, "Set-Cookie: ");
    buf_str(&a->fields, name);
    buf_str(&a->fields, "=");
    buf_str(&a->fields, value);
    buf_str(&a->fields, age);
}

static void put_list(struct page_ask *k, const json_t *list) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (i > 0) put(k, ", ");
        esc(k, json_string_value(json_array_get(list, i)));
    }
}

static void put_time(struct page_ask *k, const char *utc) {
    put(k, "<time datetime=\"");
    esc(k, utc);
    put(k, "\">");
    char shown[32] = "";
    snprintf(shown, sizeof shown, "%.10s %.8s UTC", utc, strlen(utc) > 11 ? utc + 11 : "");
    esc(k, shown);
    put(k, "</time>");
}

static void put_state(struct page_ask *k, const json_t *o) {
    put(k, "<b class=\"state ");
    esc(k, text(o, "status"));
    put(k, "\">");
    esc(k, text(o, "status"));
    put(k, "</b>");
}

/* --- the frame --- */

static void begin(struct page_ask *k, const char *title, const char *view, bool refresh) {
    char meta[96];
    page_harden(k->a);
    k->a->type = "text/html; charset=utf-8";
    put(k, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>");
    esc(k, title);
    put(k, " - Gatehouse</title><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"color-scheme\" "
           "content=\"light dark\"><link rel=\"icon\" href=\"/icon.svg\"><link rel=\"stylesheet\" href=\"/page.css\">");
    if (refresh) {
        snprintf(meta, sizeof meta, "<noscript><meta http-equiv=\"refresh\" content=\"%d\"></noscript>", REFRESH_S);
        put(k, meta);
    }
    put(k, "<script src=\"/page.js\" defer></script></head>\n<body data-view=\"");
    put(k, view);
    put(k, "\"><header><a class=\"brand\" href=\"/\">Gatehouse</a><span class=\"node\">");
    esc(k, k->p->d->boot->conf->node);
    put(k, "</span>");
    if (k->signed_in) {
        put(k, strcmp(view, "list") == 0 ? "<nav><a href=\"/\" aria-current=\"page\">Waiting</a>" : "<nav><a href=\"/\">Waiting</a>");
        put(k, strcmp(view, "all") == 0 ? "<a href=\"/?all=1\" aria-current=\"page\">All of late</a></nav>"
                                        : "<a href=\"/?all=1\">All of late</a></nav>");
        put(k, "<form class=\"who\" method=\"post\" action=\"/logout\"><span id=\"who\">");
        esc(k, k->s.who->principal);
        put(k, "</span><input type=\"hidden\" name=\"csrf\" value=\"");
        esc(k, k->s.csrf);
        put(k, "\"><button class=\"quiet\">Sign out</button></form>");
    }
    put(k, "</header>\n");
}

static void end(struct page_ask *k) { put(k, "</main><p id=\"offline\" role=\"status\" hidden></p></body></html>\n"); }

static void put_note(struct page_ask *k, const struct page_note *n) {
    if (n == NULL || n->title == NULL) return;
    if (n->status != 0) k->a->status = n->status;
    put(k, k->a->status == 200 ? "<div class=\"note\" role=\"status\"><h2>" : "<div class=\"note bad\" role=\"alert\"><h2>");
    esc(k, n->title);
    put(k, "</h2><p>");
    esc(k, n->text);
    put(k, "</p></div>\n");
}

void page_view_note(struct page_ask *k, const struct page_note *n) {
    k->a->status = 200;
    begin(k, n->title, "note", false);
    put(k, "<main class=\"narrow\">");
    put_note(k, n);
    put(k, k->signed_in || k->c->client_id == NULL ? "<p><a class=\"button\" href=\"/\">Back</a></p>"
                                                   : "<p><a class=\"button\" href=\"/\">Start again</a></p>");
    end(k);
}

void page_view_door(struct page_ask *k, const char *next) {
    k->a->status = 200;
    begin(k, "Sign in", "door", false);
    put(k, "<main class=\"narrow\"><h1>Approvals</h1>");
    if (k->c->client_id == NULL)
        put(k, "<p>Nobody can sign in here: the configuration of this gate has no <code>page.sign_in</code>. Use "
               "<code>gatehousectl approvals</code>.</p>");
    else {
        put(k,
            "<p>Statements wait here for somebody who agrees or refuses. Sign in to see those that wait for you.</p><p><a class=\"button "
            "primary\" id=\"sign-in\" href=\"/login");
        if (next[0] != '\0') put(k, "?next=");
        esc(k, next);
        put(k, "\">Sign in</a></p>");
    }
    end(k);
}

/* --- the list --- */

static void put_card(struct page_ask *k, const json_t *o) {
    const char *sql = text(o, "sql");
    size_t len = strlen(sql), shown = len < PREVIEW ? len : PREVIEW;
    while (shown < len && shown > 0 && ((unsigned char)sql[shown] & 0xc0) == 0x80) shown--;
    put(k, "<li><a class=\"card\" id=\"r-");
    esc(k, text(o, "id"));
    put(k, "\" href=\"/requests/");
    esc(k, text(o, "id"));
    put(k, "\"><span class=\"top\"><strong>");
    esc(k, text(o, "principal"));
    put(k, "</strong> on ");
    esc(k, text(o, "database"));
    put_state(k, o);
    put(k, "</span><code>");
    html_text(&k->a->body, sql, shown);
    if (shown < len || json_integer_value(json_object_get(o, "sql_cut")) > 0) put(k, " \xe2\x80\xa6");
    put(k, "</code>");
    if (text(o, "reason")[0] != '\0') {
        put(k, "<span class=\"why\">");
        esc(k, text(o, "reason"));
        put(k, "</span>");
    }
    put(k, "<span class=\"bottom\"><span>");
    esc(k, text(o, "relations"));
    put(k, "</span><span class=\"left\">");
    if (strcmp(text(o, "status"), "pending") == 0) {
        put(k, "decide by ");
        put_time(k, text(o, "expires"));
    } else {
        put(k, "asked ");
        put_time(k, text(o, "created"));
    }
    put(k, "</span></span></a></li>\n");
}

void page_view_list(struct page_ask *k, const json_t *list, bool more, bool all, const char *after) {
    char title[64];
    size_t n = json_array_size(list), pending = 0;
    for (size_t i = 0; i < n; i++) pending += strcmp(text(json_array_get(list, i), "status"), "pending") == 0;
    snprintf(title, sizeof title, "%s%zu%s waiting", pending > 0 ? "(" : "", pending, pending > 0 ? ")" : "");
    k->a->status = 200;
    begin(k, title, all ? "all" : "list", true);
    put(k, "<main><h1>");
    put(k, all ? "All requests of late" : "Waiting for a decision");
    put(k, "</h1>\n");
    if (n == 0) {
        put(k, "<p class=\"empty\">Nothing waits");
        if (after[0] != '\0') put(k, " from here on");
        put(k, ". You see your own requests, and those on which one of your groups may decide. Your groups: ");
        for (size_t i = 0; i < k->s.who->ngroups; i++) {
            if (i > 0) put(k, ", ");
            esc(k, k->s.who->groups[i]);
        }
        put(k, k->s.who->ngroups == 0 ? "none.</p>" : ".</p>");
    } else {
        put(k, "<ul class=\"cards\">\n");
        for (size_t i = 0; i < n; i++) put_card(k, json_array_get(list, i));
        put(k, "</ul>\n");
    }
    if (more) {
        put(k, all ? "<p><a class=\"button\" href=\"/?all=1&amp;after=" : "<p><a class=\"button\" href=\"/?after=");
        esc(k, text(json_array_get(list, n - 1), "id"));
        put(k, "\">More</a></p>");
    }
    end(k);
}

/* --- one request --- */

static void row(struct page_ask *k, const char *name, const char *value) {
    if (value[0] == '\0') return;
    put(k, "<dt>");
    put(k, name);
    put(k, "</dt><dd>");
    esc(k, value);
    put(k, "</dd>");
}

static void row_list(struct page_ask *k, const char *name, const json_t *list) {
    if (json_array_size(list) == 0) return;
    put(k, "<dt>");
    put(k, name);
    put(k, "</dt><dd>");
    put_list(k, list);
    put(k, "</dd>");
}

/* A time in its greatest whole unit. */
static void put_span(struct page_ask *k, uint64_t seconds) {
    static const struct {
        uint64_t seconds;
        const char *name;
    } units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
    size_t i = 0;
    while (i < 3 && (seconds < units[i].seconds || seconds % units[i].seconds != 0)) i++;
    put_number(k, (long long)(seconds / units[i].seconds));
    put(k, " ");
    put(k, units[i].name);
}

static void put_asks(struct page_ask *k, const json_t *asks) {
    for (size_t i = 0; i < json_array_size(asks); i++) {
        const json_t *a = json_array_get(asks, i);
        put(k, "<dt>needs</dt><dd>");
        put_number(k, (long long)json_integer_value(json_object_get(a, "quorum")));
        put(k, " of ");
        put_list(k, json_object_get(a, "approvers"));
        put(k, " <span class=\"dim\">rule ");
        esc(k, text(a, "rule"));
        put(k, "</span></dd>");
        const json_t *g = json_object_get(a, "grant");
        if (g == NULL) continue;
        put(k, "<dt>may be given</dt><dd>for at most ");
        put_span(k, (uint64_t)json_integer_value(json_object_get(g, "max")) / 1000);
        put(k, ", scope ");
        esc(k, text(g, "scope"));
        put(k, "</dd>");
    }
}

static void put_facts(struct page_ask *k, const json_t *o) {
    put(k, "<dl class=\"facts\">");
    put(k, "<dt>by</dt><dd><strong id=\"by\">");
    esc(k, text(o, "principal"));
    put(k, "</strong> <span class=\"dim\">");
    put_list(k, json_object_get(o, "groups"));
    put(k, "</span></dd>");
    row(k, "database", text(o, "database"));
    row(k, "over HTTP", text(o, "api"));
    row(k, "tool", text(o, "tool"));
    row(k, "beside it", text(o, "arguments"));
    row(k, "why", text(o, "reason"));
    row(k, "does", text(o, "statements"));
    row(k, "touches", text(o, "relations"));
    row_list(k, "functions", json_object_get(o, "functions"));
    put_asks(k, json_object_get(o, "asks"));
    put(k, "<dt>asked</dt><dd>");
    put_time(k, text(o, "created"));
    put(k, "</dd><dt>");
    put(k, text(o, "use_by")[0] != '\0' ? "to be used by" : "decide by");
    put(k, "</dt><dd>");
    put_time(k, text(o, "use_by")[0] != '\0' ? text(o, "use_by") : text(o, "expires"));
    put(k, "</dd></dl>");
}

static void put_more_facts(struct page_ask *k, const json_t *o) {
    put(k, "<details><summary>Session and digests</summary><dl class=\"facts\">");
    row(k, "request", text(o, "id"));
    row(k, "session", text(o, "session"));
    row(k, "from", text(o, "src"));
    row(k, "issuer", text(o, "issuer"));
    row(k, "policy", text(o, "policy"));
    row(k, "sha256", text(o, "sha256"));
    row(k, "fingerprint", text(o, "fingerprint"));
    put(k, "</dl></details>\n");
}

static void put_statement(struct page_ask *k, const json_t *o) {
    const json_t *exact = json_object_get(o, "sql_exact");
    if (json_is_true(json_object_get(o, "opaque")))
        put(k, "<p class=\"warn\">What it does cannot be seen from its text: it runs code that is somewhere else.</p>");
    if (json_is_true(json_object_get(o, "sql_not_ascii")))
        put(k, "<p class=\"warn\">It has letters that may look like others; they are underlined. Compare with what it touches.</p>");
    put(k, "<pre class=\"sql\" id=\"sql\" tabindex=\"0\" aria-label=\"The statement\">");
    html_statement(&k->a->body, json_string_value(exact), json_string_length(exact));
    put(k, "</pre>\n");
}

static void put_params(struct page_ask *k, const json_t *params) {
    size_t n = json_array_size(params);
    if (n == 0) return;
    put(k, "<h2>Parameters</h2><table class=\"params\">");
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(params, i);
        put(k, "<tr><th>$");
        put_number(k, (long long)i + 1);
        put(k, "</th><td>");
        if (json_is_string(v)) {
            put(k, "<code>");
            html_text(&k->a->body, json_string_value(v), json_string_length(v));
            put(k, "</code>");
        } else if (json_is_null(v))
            put(k, "NULL");
        else if (json_is_string(json_object_get(v, "hex"))) {
            put(k, "binary <code>");
            esc(k, text(v, "hex"));
            put(k, "</code>");
        } else
            put(k, "<mark>not kept whole: it was too long</mark>");
        put(k, "</td></tr>");
    }
    put(k, "</table>");
}

static void put_decisions(struct page_ask *k, const json_t *list) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *d = json_array_get(list, i);
        bool yes = strcmp(text(d, "verdict"), "approve") == 0;
        put(k, yes ? "<li class=\"yes\">approved by <strong>" : "<li class=\"no\">denied by <strong>");
        esc(k, text(d, "approver"));
        put(k, "</strong> ");
        put_time(k, text(d, "time"));
        if (json_object_get(d, "for") != NULL) {
            put(k, ", for ");
            put_span(k, (uint64_t)json_integer_value(json_object_get(d, "for")));
            put(k, " (");
            esc(k, text(d, "scope"));
            put(k, ")");
        }
        if (text(d, "reason")[0] != '\0') {
            put(k, "<q>");
            esc(k, text(d, "reason"));
            put(k, "</q>");
        }
        put(k, "</li>");
    }
}

static void put_history(struct page_ask *k, const json_t *o) {
    const json_t *decisions = json_object_get(o, "decisions"), *earlier = json_object_get(o, "earlier");
    if (json_array_size(decisions) > 0) {
        put(k, "<h2>Decisions</h2><ul class=\"history\" id=\"decisions\">");
        put_decisions(k, decisions);
        put(k, "</ul>\n");
    }
    if (json_array_size(earlier) == 0) return;
    put(k, "<h2>The same statement, earlier</h2><ul class=\"history\">");
    for (size_t i = 0; i < json_array_size(earlier) && i < EARLIER_MAX; i++) {
        const json_t *e = json_array_get(earlier, i);
        put(k, "<li>");
        put_state(k, e);
        put_time(k, text(e, "created"));
        put(k, "<ul>");
        put_decisions(k, json_object_get(e, "decisions"));
        put(k, "</ul></li>");
    }
    put(k, "</ul>\n");
}

static void put_option(struct page_ask *k, const char *value, const char *label) {
    put(k, "<option value=\"");
    put(k, value);
    put(k, "\">");
    put(k, label);
    put(k, "</option>");
}

/* For how long, and how much, as far as the rule allows it. */
static void put_grant(struct page_ask *k, const struct appr_may *may) {
    static const uint64_t spans[] = {60, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400};
    char value[24];
    uint64_t most = may->grant_ms / 1000;
    if (!may->approve || most == 0) return;
    put(k, "<div class=\"grant\"><label for=\"for\">Approve</label><select id=\"for\" name=\"for\"><option value=\"0\">once</option>");
    for (size_t i = 0; i <= sizeof spans / sizeof *spans; i++) {
        bool last = i == sizeof spans / sizeof *spans;
        uint64_t span = last ? most : spans[i];
        if (!last && span >= most) continue;
        snprintf(value, sizeof value, "%llu", (unsigned long long)span);
        put(k, "<option value=\"");
        put(k, value);
        put(k, "\">for ");
        put_span(k, span);
        put(k, "</option>");
    }
    put(k, "</select><label for=\"scope\">and</label><select id=\"scope\" name=\"scope\">");
    put_option(k, "statement", "exactly this statement");
    if (may->kind && may->scope >= POL_SCOPE_KIND) put_option(k, "kind", "also with other values, which can mean all rows");
    if (may->scope >= POL_SCOPE_RULE) put_option(k, "rule", "whatever the rule asks about");
    put(k, "</select></div>");
}

static void put_form(struct page_ask *k, const json_t *o, const struct appr_may *may) {
    char max[16];
    snprintf(max, sizeof max, "%u", APPR_REASON);
    put(k, "<form class=\"decide\" id=\"decide\" method=\"post\" action=\"/requests/");
    esc(k, text(o, "id"));
    put(k, "\"><input type=\"hidden\" name=\"csrf\" value=\"");
    esc(k, k->s.csrf);
    put(k, "\"><label for=\"reason\">Reason <span class=\"dim\">who asked is told; a denial needs one</span></label>"
           "<textarea id=\"reason\" name=\"reason\" rows=\"2\" maxlength=\"");
    put(k, max);
    put(k, "\"></textarea>");
    put_grant(k, may);
    put(k, "<div class=\"buttons\">");
    if (may->approve) put(k, "<button class=\"primary\" id=\"approve\" name=\"verdict\" value=\"approve\">Approve</button>");
    if (may->deny) put(k, "<button class=\"danger\" id=\"deny\" name=\"verdict\" value=\"deny\">Deny</button>");
    put(k, "</div></form>\n");
}

void page_view_request(struct page_ask *k, const json_t *o, const struct appr_may *may, const struct page_note *note) {
    char title[64];
    snprintf(title, sizeof title, "%s: request %.16s", text(o, "status"), text(o, "id"));
    k->a->status = 200;
    begin(k, title, "request", false);
    put(k, "<main data-version=\"");
    esc(k, text(o, "status"));
    put_number(k, (long long)json_array_size(json_object_get(o, "decisions")));
    put(k, "\"><h1>");
    put(k, "Request <span class=\"id\">");
    esc(k, text(o, "id"));
    put(k, "</span>");
    put_state(k, o);
    put(k, "</h1>\n");
    put_note(k, note);
    put_facts(k, o);
    put_statement(k, o);
    put_params(k, json_object_get(o, "params"));
    put_history(k, o);
    if (may->approve || may->deny)
        put_form(k, o, may);
    else if (strcmp(text(o, "status"), "pending") == 0 && may->own)
        put(k, "<p class=\"warn\" id=\"own\">This is a request of your own: somebody else must decide.</p>");
    put_more_facts(k, o);
    end(k);
}
