#include "config.h"

#include "ctl/watch.h"

#include "ctl/door.h"
#include "ctl/request.h"
#include "ctl/screen.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EVERY_MS   1000
#define REASON_MAX 500u
#define ID_SIZE    65

enum view { LIST, ONE, REASON };

struct watch {
    const struct watch_conf *conf;
    struct screen *s;
    enum view view;
    json_t *all;               /* the list */
    char selected[ID_SIZE];    /* "" when there is none */
    json_t *one;               /* what is shown */
    struct screen_lines lines; /* of it */
    size_t top;                /* the first line, or row of the list, on the screen */
    bool read;                 /* its last line was on the screen */
    bool approve;              /* what the reason is for */
    char reason[REASON_MAX + 1], note[1024];
    bool bad; /* the note is of trouble */
    bool stale;
};

static unsigned room(const struct watch *w) { return screen_rows(w->s) > 3 ? screen_rows(w->s) - 3 : 1; }

static void say(struct watch *w, bool bad, const char *note) {
    snprintf(w->note, sizeof w->note, "%s", note);
    w->bad = bad;
}

/* --- what there is --- */

static size_t index_of(const struct watch *w, const char *id) {
    for (size_t i = 0; i < json_array_size(w->all); i++)
        if (strcmp(door_text(json_array_get(w->all, i), "id"), id) == 0) return i;
    return SIZE_MAX;
}

static void look(struct watch *w) {
    int rc;
    size_t before = index_of(w, w->selected);
    json_t *all = w->conf->fetch(w->conf->arg, &rc);
    const char *said = screen_said(w->s);
    w->stale = all == NULL;
    if (all == NULL) {
        say(w, true, said[0] != '\0' ? said : "the requests cannot be read");
        return;
    }
    json_decref(w->all);
    w->all = all;
    size_t n = json_array_size(all), at = index_of(w, w->selected);
    if (at != SIZE_MAX) return;
    at = before == SIZE_MAX || n == 0 ? 0 : before < n ? before : n - 1; /* the next one takes its place */
    snprintf(w->selected, sizeof w->selected, "%s", n == 0 ? "" : door_text(json_array_get(all, at), "id"));
}

static void move(struct watch *w, int by) {
    size_t n = json_array_size(w->all), at = index_of(w, w->selected);
    if (n == 0) return;
    if (at == SIZE_MAX) at = 0;
    if (by < 0)
        at = (size_t)-by > at ? 0 : at - (size_t)-by;
    else
        at = at + (size_t)by >= n ? n - 1 : at + (size_t)by;
    snprintf(w->selected, sizeof w->selected, "%s", door_text(json_array_get(w->all, at), "id"));
}

/* --- one request as lines --- */

static void add_line(void *arg, enum request_line kind, const char *name, const char *text) {
    static const struct fold plain = {.first = "", .line = "", .more = ""},
                             sql = {.first = FOLD_SQL, .line = FOLD_SQL, .more = FOLD_SQL_MORE, .lines = true};
    struct watch *w = arg;
    char label[64], blank[64];
    if (kind == REQUEST_FIELD) {
        snprintf(label, sizeof label, "%-12.40s ", name);
        snprintf(blank, sizeof blank, "%*s", (int)strlen(label), "");
        screen_add(w->s, &w->lines, SCREEN_PLAIN, (struct fold){.first = label, .line = blank, .more = blank}, text);
        return;
    }
    if (kind == REQUEST_SQL) screen_add(w->s, &w->lines, SCREEN_PLAIN, plain, " ");
    screen_add(w->s, &w->lines, kind == REQUEST_WARNING ? SCREEN_WARN : SCREEN_BOLD, kind == REQUEST_SQL ? sql : plain, text);
    if (kind == REQUEST_SQL) screen_add(w->s, &w->lines, SCREEN_PLAIN, plain, " ");
}

static void layout(struct watch *w) {
    screen_lines_free(&w->lines);
    if (!request_lines(w->one, true, add_line, w)) w->lines.failed = true;
}

/* Reads the request that is selected. */
static bool load(struct watch *w) {
    char path[100];
    json_t *one;
    snprintf(path, sizeof path, "/approvals/%s", w->selected);
    int rc = door_ask(w->conf->socket, path, NULL, w->conf->token, &one);
    const char *said = screen_said(w->s);
    if (rc != DOOR_OK) {
        say(w, true, said[0] != '\0' ? said : "the request cannot be read");
        return false;
    }
    json_decref(w->one);
    w->one = one;
    layout(w);
    return true;
}

static void open_one(struct watch *w) {
    if (w->selected[0] == '\0') return;
    w->note[0] = '\0';
    if (!load(w)) return;
    w->view = ONE;
    w->top = 0;
    w->read = false;
}

/* --- deciding --- */

static void decide(struct watch *w) {
    char path[100];
    json_t *answer,
        *body = json_pack("{s:s, s:s*}", "verdict", w->approve ? "approve" : "deny", "reason", w->reason[0] != '\0' ? w->reason : NULL);
    w->view = ONE;
    if (body == NULL) {
        say(w, true, "the reason is not UTF-8");
        return;
    }
    snprintf(path, sizeof path, "/approvals/%s", door_text(w->one, "id"));
    int rc = door_ask(w->conf->socket, path, body, w->conf->token, &answer);
    const char *said = screen_said(w->s);
    json_decref(body);
    if (rc == DOOR_OK) {
        say(w, false, door_text(answer, "message"));
        json_decref(answer);
    } else
        say(w, true, said);
    char kept[sizeof w->note];
    bool bad = w->bad;
    memcpy(kept, w->note, sizeof kept);
    if (load(w)) say(w, bad, kept);
}

static void ask_reason(struct watch *w, bool approve) {
    if (w->conf->token == NULL)
        say(w, true, "to decide, start it with --token-file FILE");
    else if (strcmp(door_text(w->one, "status"), "pending") != 0 && approve)
        say(w, true, "nothing is left to approve");
    else if (approve && !w->read)
        say(w, true, "read it to its end first: End");
    else {
        w->view = REASON;
        w->approve = approve;
        w->reason[0] = '\0';
        w->note[0] = '\0';
    }
}

/* --- the picture --- */

static void bar(struct watch *w, const char *title, const char *keys) {
    char line[512];
    struct tm tm;
    time_t now = time(NULL);
    gmtime_r(&now, &tm);
    snprintf(line, sizeof line, " %s   %02d:%02d:%02d UTC%s", title, tm.tm_hour, tm.tm_min, tm.tm_sec,
             w->stale ? "   (old: no answer)" : "");
    screen_row(w->s, 1, SCREEN_INVERSE, line);
    screen_row(w->s, screen_rows(w->s) - 1, w->bad ? SCREEN_WARN : SCREEN_BOLD, w->note);
    screen_row(w->s, screen_rows(w->s), SCREEN_DIM, keys);
}

static void draw_list(struct watch *w) {
    char title[64];
    size_t n = json_array_size(w->all), at = index_of(w, w->selected), shown = room(w);
    snprintf(title, sizeof title, "Gatehouse: %zu waiting", n);
    if (at != SIZE_MAX && at < w->top) w->top = at;
    if (at != SIZE_MAX && at >= w->top + shown) w->top = at - shown + 1;
    if (w->top >= n) w->top = 0;
    for (unsigned i = 0; i < shown; i++) {
        size_t k = w->top + i;
        const json_t *o = json_array_get(w->all, k);
        char *line = NULL;
        if (o != NULL && asprintf(&line, "%c %-8.8s %.5s %-20.64s %-6.32s %s", k == at ? '>' : ' ', door_text(o, "status"),
                                  strlen(door_text(o, "expires")) > 16 ? door_text(o, "expires") + 11 : "", door_text(o, "principal"),
                                  door_text(o, "database"), door_text(o, "sql")) < 0)
            line = NULL;
        screen_row(w->s, 2 + i, k == at ? SCREEN_BOLD : SCREEN_PLAIN, line != NULL ? line : i == 0 && n == 0 ? "  Nothing waits." : "");
        free(line);
    }
    bar(w, title, " j k move   Enter open   q quit");
    screen_show(w->s, 0, 0);
}

static void draw_one(struct watch *w) {
    char title[128];
    unsigned shown = room(w);
    size_t last = w->lines.n > shown ? w->lines.n - shown : 0;
    if (w->top > last) w->top = last;
    if (w->top == last && !w->lines.failed) w->read = true;
    for (unsigned i = 0; i < shown; i++) {
        size_t k = w->top + i;
        if (k < w->lines.n)
            screen_row(w->s, 2 + i, w->lines.list[k].style, w->lines.list[k].text);
        else
            screen_row(w->s, 2 + i, SCREEN_PLAIN, "");
    }
    snprintf(title, sizeof title, "Request %.40s, %.20s   lines %zu to %zu of %zu", door_text(w->one, "id"), door_text(w->one, "status"),
             w->top + 1, w->top + shown < w->lines.n ? w->top + shown : w->lines.n, w->lines.n);
    bar(w, title, " j k space PgUp PgDn Home End scroll   a approve   d deny   q back");
    if (w->view == REASON) {
        char line[REASON_MAX + 64];
        const char *what = w->approve ? " Approve. Reason, if any: " : " Deny. Reason: ";
        size_t skip = 0, len = strlen(w->reason);
        unsigned before = fold_width(what, strlen(what)), width = screen_columns(w->s);
        while (skip < len && before + fold_width(w->reason + skip, len - skip) + 1 > width) do
                skip++;
            while (skip < len && ((unsigned char)w->reason[skip] & 0xc0) == 0x80);
        snprintf(line, sizeof line, "%s%s", what, w->reason + skip);
        screen_row(w->s, screen_rows(w->s) - 1, SCREEN_BOLD, line);
        screen_row(w->s, screen_rows(w->s), SCREEN_DIM, w->approve ? " Enter approve   Esc go back" : " Enter deny   Esc go back");
        screen_show(w->s, screen_rows(w->s) - 1, before + fold_width(w->reason + skip, len - skip) + 1);
    } else
        screen_show(w->s, 0, 0);
}

/* --- keys --- */

/* False: the end. */
static bool key_list(struct watch *w, int key) {
    int page = (int)room(w);
    switch (key) {
    case 'q':
    case KEY_ESC: return false;
    case 'j':
    case KEY_DOWN: move(w, 1); break;
    case 'k':
    case KEY_UP: move(w, -1); break;
    case KEY_PAGE_DOWN: move(w, page); break;
    case KEY_PAGE_UP: move(w, -page); break;
    case KEY_HOME: move(w, -1000000); break;
    case KEY_END: move(w, 1000000); break;
    case KEY_ENTER: open_one(w); break;
    default: break;
    }
    return true;
}

static void scroll(struct watch *w, long by) {
    if (by < 0)
        w->top = (size_t)-by > w->top ? 0 : w->top - (size_t)-by;
    else
        w->top += (size_t)by;
}

static void key_one(struct watch *w, int key) {
    long page = (long)room(w);
    switch (key) {
    case 'q':
    case KEY_ESC:
        w->view = LIST;
        w->top = 0;
        w->note[0] = '\0';
        break;
    case 'j':
    case KEY_DOWN: scroll(w, 1); break;
    case 'k':
    case KEY_UP: scroll(w, -1); break;
    case ' ':
    case KEY_PAGE_DOWN: scroll(w, page); break;
    case KEY_PAGE_UP: scroll(w, -page); break;
    case KEY_HOME: w->top = 0; break;
    case KEY_END: scroll(w, 1000000000); break;
    case 'a': ask_reason(w, true); break;
    case 'd': ask_reason(w, false); break;
    default: break;
    }
}

/* Without its last character. */
static void cut_last(char *text) {
    size_t n = strlen(text);
    while (n > 0 && ((unsigned char)text[--n] & 0xc0) == 0x80) continue;
    text[n] = '\0';
}

static void key_reason(struct watch *w, const struct screen_key *k) {
    size_t n = strlen(w->reason);
    char one[2] = {(char)k->key, '\0'};
    const char *more = k->key == KEY_TEXT ? k->text : k->key >= 32 && k->key < 127 ? one : "";
    if (k->key == KEY_ESC)
        w->view = ONE;
    else if (k->key == KEY_ENTER && !w->approve && n == 0)
        say(w, true, "a denial needs a reason");
    else if (k->key == KEY_ENTER)
        decide(w);
    else if (k->key == KEY_BACK)
        cut_last(w->reason);
    else if (strlen(more) <= REASON_MAX - n)
        memcpy(w->reason + n, more, strlen(more) + 1);
}

static bool on_key(struct watch *w, const struct screen_key *k) {
    if (k->key == KEY_RESIZE && w->one != NULL) {
        layout(w);
        w->read = false;
    }
    if (w->view == LIST) return key_list(w, k->key);
    if (w->view == ONE)
        key_one(w, k->key);
    else
        key_reason(w, k);
    return true;
}

/* What is shown follows what others decide; the text that it is about cannot change. */
static void follow(struct watch *w) {
    size_t at = w->one == NULL ? SIZE_MAX : index_of(w, door_text(w->one, "id"));
    const json_t *now = at == SIZE_MAX ? NULL : json_array_get(w->all, at);
    if (w->view != ONE || w->stale) return;
    if (now != NULL && strcmp(door_text(now, "status"), door_text(w->one, "status")) == 0 &&
        json_array_size(json_object_get(now, "decisions")) == json_array_size(json_object_get(w->one, "decisions")))
        return;
    if (now == NULL && strcmp(door_text(w->one, "status"), "pending") != 0 && strcmp(door_text(w->one, "status"), "approved") != 0) return;
    char kept[ID_SIZE];
    memcpy(kept, w->selected, sizeof kept);
    snprintf(w->selected, sizeof w->selected, "%s", door_text(w->one, "id"));
    if (!load(w)) w->view = LIST;
    memcpy(w->selected, kept, sizeof kept);
}

bool watch_screen(const struct watch_conf *conf, int *rc) {
    struct watch w = {.conf = conf, .s = screen_open()};
    struct timespec last = {0}, now;
    struct screen_key k = {0};
    if (w.s == NULL) return false;
    for (bool go = true; go && k.key != KEY_QUIT;) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (last.tv_sec == 0 || (now.tv_sec - last.tv_sec) * 1000 + (now.tv_nsec - last.tv_nsec) / 1000000 >= EVERY_MS) {
            look(&w);
            follow(&w);
            clock_gettime(CLOCK_MONOTONIC, &last);
        }
        if (w.view == LIST)
            draw_list(&w);
        else
            draw_one(&w);
        screen_key(w.s, EVERY_MS / 4, &k);
        go = k.key == KEY_QUIT || on_key(&w, &k);
    }
    screen_close(w.s);
    screen_lines_free(&w.lines);
    *rc = w.stale ? DOOR_FAILED : DOOR_OK;
    json_decref(w.one);
    json_decref(w.all);
    return true;
}
