#include "config.h"

#include "ctl/door_int.h"

#include "ctl/fold.h"
#include "ctl/words.h"
#include "filters/bytes.h"
#include "spoa/visible.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define TOKEN_MAX (60u << 10)
#define WAIT_S    30

const char *door_socket(const char *option) {
    const char *env = getenv("GATEHOUSE_ADMIN");
    return option != NULL ? option : env != NULL && env[0] != '\0' ? env : DOOR_DEFAULT;
}

bool door_seconds(const char *text, long long *out) {
    static const struct {
        char unit;
        long long seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    char *end;
    long long n = text[0] >= '1' && text[0] <= '9' ? strtoll(text, &end, 10) : 0;
    for (size_t i = 0; n > 0 && n <= 31536000 && i < sizeof units / sizeof *units; i++)
        if (end[0] == units[i].unit && end[1] == '\0' && n <= 31536000 / units[i].seconds) {
            *out = n * units[i].seconds;
            return true;
        }
    fprintf(stderr, "gatehousectl: \"%.40s\" is no time as 30s, 15m, 2h or 1d, of a year at most\n", text);
    return false;
}

/* --- the token --- */

void door_token_free(char *token) {
    if (token == NULL) return;
    gh_wipe(token, strlen(token));
    free(token);
}

char *door_token(const char *path) {
    static const char chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
    int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    char *token = calloc(1, TOKEN_MAX + 1);
    if (fd < 0 || token == NULL) {
        fprintf(stderr, "gatehousectl: cannot read the token's file %s: %s\n", path, strerror(errno));
        free(token);
        return NULL;
    }
    size_t len = 0;
    for (ssize_t n; len < TOKEN_MAX && (n = read(fd, token + len, TOKEN_MAX - len)) > 0;) len += (size_t)n;
    if (fd != STDIN_FILENO) close(fd);
    while (len > 0 && strchr(" \t\r\n", token[len - 1]) != NULL) token[--len] = '\0';
    if (len > 0 && len < TOKEN_MAX && strspn(token, chars) == len) return token;
    fprintf(stderr, "gatehousectl: %s does not hold one token and nothing else\n", path);
    gh_wipe(token, TOKEN_MAX);
    free(token);
    return NULL;
}

/* --- the request --- */

static int dial(const char *path) {
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct timeval wait = {WAIT_S, 0};
    if (strlen(path) >= sizeof un.sun_path) {
        fprintf(stderr, "gatehousectl: the path %s is too long for a Unix socket\n", path);
        return -1;
    }
    memcpy(un.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) == 0 && connect(fd, (const struct sockaddr *)&un, sizeof un) == 0)
        return fd;
    fprintf(stderr,
            "gatehousectl: cannot reach the daemon's admin door at %s: %s\n"
            "    do: see that gatehouse runs with \"admin\" in its configuration, and name its socket with --socket or GATEHOUSE_ADMIN\n",
            path, strerror(errno));
    if (fd >= 0) close(fd);
    return -1;
}

static bool send_all(int fd, const struct buf *b) {
    const uint8_t *p = buf_at(b);
    for (size_t left = buf_used(b); left > 0;) {
        ssize_t n = send(fd, p, left, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        p += n;
        left -= (size_t)n;
    }
    return true;
}

static bool exchange(int fd, const char *path, const json_t *body, const char *token, struct buf *answer) {
    struct buf b = BUF_INIT((size_t)1 << 20);
    char length[96], *text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT);
    buf_str(&b, body == NULL ? "GET " : "POST ");
    buf_str(&b, path);
    buf_str(&b, " HTTP/1.1\r\nHost: gatehouse\r\n");
    if (token != NULL) {
        buf_str(&b, "Authorization: Bearer ");
        buf_str(&b, token);
        buf_str(&b, "\r\n");
    }
    if (body != NULL) {
        snprintf(length, sizeof length, "Content-Type: application/json\r\nContent-Length: %zu\r\n", text == NULL ? 0 : strlen(text));
        buf_str(&b, length);
    }
    buf_str(&b, "\r\n");
    buf_str(&b, text);
    bool ok = !b.failed && (body == NULL || text != NULL) && send_all(fd, &b);
    if (b.data != NULL) gh_wipe(b.data, b.cap);
    buf_free(&b);
    free(text);
    while (ok) {
        uint8_t *room = buf_reserve(answer, 65536);
        ssize_t n = room == NULL ? -1 : recv(fd, room, 65536, 0);
        if (n < 0 && room != NULL && errno == EINTR) continue;
        if (n < 0) ok = false;
        if (n <= 0) break;
        buf_commit(answer, (size_t)n);
    }
    return ok;
}

/* The status and the body; 0 when it is no answer. */
static int read_answer(const struct buf *b, json_t **out) {
    const char *p = (const char *)buf_at(b), *head = memmem(p, buf_used(b), "\r\n\r\n", 4);
    if (head == NULL || buf_used(b) < 12 || memcmp(p, "HTTP/1.1 ", 9) != 0) return 0;
    int status = (p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0');
    *out = json_loadb(head + 4, buf_used(b) - (size_t)(head + 4 - p), 0, NULL);
    return *out == NULL ? 0 : status;
}

static int exit_status(int http) {
    switch (http) {
    case 200: return DOOR_OK;
    case 400: return DOOR_USAGE;
    case 401:
    case 403: return DOOR_REFUSED;
    case 404: return DOOR_UNKNOWN;
    case 409: return DOOR_OVER;
    default: return DOOR_FAILED;
    }
}

static int ask_socket(const char *socket, const char *path, const json_t *body, const char *token, json_t **out) {
    struct buf answer = BUF_INIT(DOOR_ANSWER_MAX);
    int fd = dial(socket);
    if (fd < 0) return -1;
    int http = exchange(fd, path, body, token, &answer) ? read_answer(&answer, out) : 0;
    close(fd);
    buf_free(&answer);
    return http;
}

/* A sentence may name what others wrote: a principal, a reason. */
static void complain(const char *before, const char *text) {
    struct buf b = BUF_INIT(65536);
    visible_line(&b, text, strlen(text), b.max);
    fprintf(stderr, "%s%.*s\n", before, (int)buf_used(&b), (const char *)buf_at(&b));
    buf_free(&b);
}

int door_ask(const char *socket, const char *path, const json_t *body, const char *token, json_t **out) {
    *out = NULL;
    int http = door_url.base[0] != '\0' ? door_url_exchange(path, body, token, out) : ask_socket(socket, path, body, token, out);
    if (http < 0) return DOOR_FAILED;
    int rc = *out == NULL ? DOOR_FAILED : exit_status(http);
    if (rc == DOOR_OK) return rc;
    const char *error = json_string_value(json_object_get(*out, "error")), *todo = json_string_value(json_object_get(*out, "do"));
    complain("gatehousectl: ", error != NULL ? error : "the daemon's answer cannot be read");
    if (todo != NULL) complain("    do: ", todo);
    json_decref(*out);
    *out = NULL;
    return rc;
}

/* --- the command line --- */

bool door_options(int argc, char **argv, bool url, struct door_options *o) {
    static const struct option longs[] = {{"url", required_argument, NULL, 'u'},
                                          {"ca-file", required_argument, NULL, 'C'},
                                          {"scope", required_argument, NULL, 'c'},
                                          {"socket", required_argument, NULL, 's'},
                                          {"token-file", required_argument, NULL, 't'},
                                          {"reason", required_argument, NULL, 'r'},
                                          {"for", required_argument, NULL, 'f'},
                                          {"json", no_argument, NULL, 'j'},
                                          {"all", no_argument, NULL, 'a'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    *o = (struct door_options){0};
    const struct {
        int c;
        const char **at;
    } texts[] = {{'s', &o->socket}, {'t', &o->token_file}, {'r', &o->reason}, {'u', &o->url}, {'C', &o->ca}, {'c', &o->scope}};
    optind = 1;
    for (int c; (c = getopt_long(argc, argv, "h", url ? longs : longs + 3, NULL)) != -1;) {
        size_t i = 0;
        while (i < sizeof texts / sizeof *texts && texts[i].c != c) i++;
        if (i < sizeof texts / sizeof *texts)
            *texts[i].at = optarg;
        else if (c == 'j')
            o->json = true;
        else if (c == 'a')
            o->all = true;
        else if (c == 'h')
            return o->help = true;
        else if (c != 'f' || !door_seconds(optarg, &o->seconds))
            return false;
    }
    if (argc - optind > 3) {
        words_too_many(argv[0], argv[optind + 3]);
        return false;
    }
    while (optind < argc) o->words[o->nwords++] = argv[optind++];
    return true;
}

/* --- usage --- */

int door_help(const struct door_commands *c, const char *command) {
    words_usage(stdout, c->forms, command);
    fputs("All take --socket PATH, the daemon's admin door; else GATEHOUSE_ADMIN names it, else it is " DOOR_DEFAULT ".\n", stdout);
    fputs(c->more, stdout);
    return DOOR_OK;
}

int door_usage(const struct door_commands *c, const char *command) {
    words_usage(stderr, c->forms, command);
    return DOOR_USAGE;
}

int door_missing(const struct door_commands *c, const char *command, const char *of, const char *what) {
    words_missing(of, what);
    return door_usage(c, command);
}

int door_too_many(const struct door_commands *c, const char *command, const char *word) {
    words_too_many(command, word);
    return door_usage(c, command);
}

/* --- output --- */

const char *door_text(const json_t *o, const char *key) {
    const char *s = json_string_value(json_object_get(o, key));
    return s != NULL ? s : "";
}

static void put_line(void *arg, const char *before, const char *line, size_t len) {
    (void)arg;
    fputs(before, stdout);
    fwrite(line, 1, len, stdout);
    putchar('\n');
}

static size_t printed;
size_t door_printed(void) { return printed; }

void door_fold(struct fold f, const char *text) {
    printed++;
    fold_locale();
    f.columns = fold_columns();
    if (!fold_text(&f, text, put_line, NULL)) puts("(The rest is too long, or memory is out: see --json.)");
}

void door_field(const char *name, const char *value) {
    char label[64], blank[64];
    if (value[0] == '\0') return;
    snprintf(label, sizeof label, "%-12.40s ", name);
    snprintf(blank, sizeof blank, "%*s", (int)strlen(label), "");
    door_fold((struct fold){.first = label, .line = blank, .more = blank}, value);
}

void door_line(const char *text) { door_fold((struct fold){.first = "", .line = "    ", .more = "    "}, text); }

void door_sql(const char *text) {
    door_fold((struct fold){.first = FOLD_SQL, .line = FOLD_SQL, .more = FOLD_SQL_MORE, .lines = true}, text);
}

void door_print_json(const json_t *o) {
    json_dumpf(o, stdout, JSON_INDENT(2));
    putchar('\n');
}
