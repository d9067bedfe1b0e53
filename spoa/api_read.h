/* The body of an HTTP request that carries SQL: plain text, a JSON object, or an MCP message (JSON-RPC 2.0, Model Context Protocol,
 * "Streamable HTTP"). Finds the one text that the application will run, or says why nobody can be sure which one that is.
 *
 * The application reads the same bytes with another program. Whatever two JSON readers may read differently is refused: a key twice, keys that are
 * not listed (so neither can one differ from a listed one in case only, which Go takes for the same), NUL, a BOM, invalid UTF-8, lone surrogates,
 * bytes behind the value, several messages in an array. No socket, clock or log. */
#ifndef GH_SPOA_API_READ_H
#define GH_SPOA_API_READ_H

#include <stdbool.h>
#include <stddef.h>

enum api_form { API_TEXT, API_JSON, API_MCP };

/* Where the SQL is. Paths are member names joined with dots: "sql", "query.text". */
struct api_place {
    const char *tool;        /* API_MCP: the tool's name; paths begin in its arguments. Else NULL */
    const char *sql;         /* the path */
    const char *const *also; /* paths of the other members that there may be */
    size_t nalso;
};

struct api_shape {
    enum api_form form;
    const struct api_place *places; /* API_JSON: one; API_MCP: one for each tool whose SQL is judged */
    size_t nplaces;
    const char *const *pass; /* API_MCP: methods that carry no SQL */
    size_t npass;
    const char *const *pass_tools; /* API_MCP: tools that carry no SQL */
    size_t npass_tools;
};

enum api_read_rc {
    API_READ_SQL = 1,   /* sql, len */
    API_READ_PASS,      /* a method or tool that is listed as carrying none */
    API_READ_MALFORMED, /* cannot be read in one way only; why */
    API_READ_UNKNOWN,   /* reads well, but is a method, tool or member that is not listed; why */
};

#define API_ID_MAX   128 /* bytes of a JSON-RPC id as JSON */
#define API_NAME_MAX 128 /* bytes of a method's or tool's name */

struct api_call {
    enum api_read_rc rc;
    const char *sql; /* not empty; NUL-terminated only for JSON. In the body, or in what api_call_free() frees */
    size_t len;
    char method[API_NAME_MAX + 1], tool[API_NAME_MAX + 1]; /* API_MCP; "" when there is none */
    char id[API_ID_MAX + 1];                               /* API_MCP: the request's id as ASCII JSON text; "" when it has none */
    char *more;                                            /* the other members, as compact ASCII JSON for the record; NULL: none */
    char why[256];
    void *root; /* its own */
};

/* True when a body with this Content-Type (len 0: none was sent) is what the shape says, in UTF-8. */
bool api_content_type(const struct api_shape *shape, const char *type, size_t len, const void *body, size_t body_len, const char **why);
/* True when the headers Mcp-Method and Mcp-Name (NULL: not sent) say what the body says: servers and proxies may go by either (MCP, "Streamable HTTP",
 * standard request headers). */
bool api_headers_agree(const struct api_call *call, const char *method, size_t method_len, const char *name, size_t name_len);
/* Always fills *call; free with api_call_free(). body must outlive it. */
void api_read(const struct api_shape *shape, const char *body, size_t len, struct api_call *call);
void api_call_free(struct api_call *call);

#endif
