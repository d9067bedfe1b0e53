/* How an application's connection to MySQL or MariaDB reads a text. The connection is not ours: what it stands on is the server, which Gatehouse asks, and
 * sql_mode, which the configuration says and the application sets. A pool that resets its connections (COM_RESET_CONNECTION) gets the server's own defaults
 * back, and an application that sets nothing never has others; so where these would read a text otherwise than the configuration says, nothing is judged. */
#include <config.h>

#include "spoa/api_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *declared(const struct conf_database *db) {
    for (size_t i = 0; i < db->nsettings; i++)
        if (strcasecmp(db->settings[i].name, "sql_mode") == 0) return db->settings[i].value;
    return "";
}

static enum api_reads wrong(const struct conf_database *db, const char *what, const char *is, const char *todo) {
    unsigned more;
    if (log_due(log_fmt("api.server %s %s", db->name, what), &more))
        log_event(LOG_ERROR, "api.server", "database", db->name, "reason", what, "is", is, "do", todo, "repeated", log_fmt("%u", more),
                  NULL);
    return API_READS_OTHERWISE;
}

/* What is declared must be what new connections have, and a text beyond ASCII needs UTF-8 there. */
static enum api_reads compare(const struct conf_database *db, const struct pol_cat_defaults *d, struct api_reading *r) {
    unsigned global, own;
    if (!my_mode_of(declared(db), strlen(declared(db)), &r->mode))
        return wrong(db, "settings.sql_mode has a word that is not known", declared(db), "correct it in gatehouse.yaml");
    if (!my_mode_of(d->mode, strlen(d->mode), &global) || !my_mode_of(d->own_mode, strlen(d->own_mode), &own))
        return wrong(db, "the server's sql_mode has a word that is not known", d->mode, "this server cannot be used over HTTP");
    if (global != r->mode || own != r->mode)
        return wrong(db, "the server's sql_mode reads texts otherwise than settings.sql_mode of this database",
                     global != r->mode ? d->mode : d->own_mode,
                     "set the server's global sql_mode (and init_connect) to what gatehouse.yaml says, or the other way round");
    bool utf8 = strcasecmp(d->charset, "utf8mb4") == 0 || strcasecmp(d->charset, "utf8mb3") == 0 || strcasecmp(d->charset, "utf8") == 0;
    if (!utf8 && strcasecmp(d->charset, "latin1") != 0)
        return wrong(db, "the server's character_set_client is neither UTF-8 nor latin1", d->charset,
                     "set it to utf8mb4 in the server's configuration");
    r->ascii = !utf8;
    return API_READS;
}

static enum api_reads look(const struct conf_database *db, const struct pol_catalog *c, struct api_reading *r) {
    struct pol_cat_defaults d = pol_catalog_defaults(c);
    enum pol_engine engine = pol_catalog_engine(c);
    /* Another one may still be at hand behind a reload. */
    if (engine == POL_CAT_POSTGRESQL || d.mode == NULL || d.own_mode == NULL || d.charset == NULL) return API_READS_UNKNOWN;
    if (strcmp(pol_catalog_database(c), db->database) != 0 || strlen(db->database) >= sizeof r->database) return API_READS_UNKNOWN;
    r->server = engine == POL_CAT_MYSQL ? MY_MYSQL : MY_MARIADB;
    r->version = pol_catalog_server(c);
    r->fold = pol_catalog_fold(c);
    strcpy(r->database, db->database);
    return compare(db, &d, r);
}

enum api_reads api_my_look(struct api_session *s, struct api_reading *out) {
    memset(out, 0, sizeof *out);
    out->is = API_READS_UNKNOWN;
    if (s->server == NULL) s->server = catalogs_find(s->ws->d->catalogs, s->database);
    if (s->server == NULL || s->db == NULL) return out->is;
    if (s->looked_generation != catalog_generation(s->server) || s->looked_snap != s->snap->generation) {
        uint64_t generation;
        struct pol_catalog *c = catalog_get(s->server, &generation);
        if (c == NULL) return out->is;
        memset(&s->reading, 0, sizeof s->reading);
        s->reading.is = look(s->db, c, &s->reading);
        s->looked_generation = generation;
        s->looked_snap = s->snap->generation;
        pol_catalog_unref(c);
    }
    *out = s->reading;
    return out->is;
}

bool api_reads_same(struct api_ask *a) {
    struct api_reading now;
    const struct api_reading *r = &a->reading;
    bool mysql = a->session->db != NULL && a->session->db->engine == CONF_MYSQL;
    if (!mysql || r->is == API_READS_NOT_ASKED) return mysql == (r->is != API_READS_NOT_ASKED);
    return api_my_look(a->session, &now) == r->is && now.server == r->server && now.version == r->version && now.mode == r->mode &&
           now.fold == r->fold && now.ascii == r->ascii && strcmp(now.database, r->database) == 0;
}

struct my_options api_my_options(const struct api_reading *r) {
    return (struct my_options){
        .server = r->server, .version = r->version, .mode = r->mode, .default_db = r->database, .fold_names = r->fold};
}

void api_my_key(const struct api_reading *r, char out[API_MY_KEY]) {
    snprintf(out, API_MY_KEY, "over http\n%s %u %u %d\n%s\n", r->server == MY_MARIADB ? "mariadb" : "mysql", (unsigned)r->version, r->mode,
             r->fold, r->database);
}

bool api_my_text(const struct api_reading *r, const char *text, size_t len, struct pol_parse_error *err) {
    for (size_t i = 0; r->ascii && i < len; i++)
        if ((unsigned char)text[i] >= 0x80) {
            *err = (struct pol_parse_error){
                .rc = POL_NOT_UNDERSTOOD, .text = "text beyond ASCII is not taken here: the server's character_set_client is not utf8mb4"};
            return false;
        }
    return true;
}
