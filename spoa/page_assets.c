/* The page's style sheet, script and icon, as they are in this folder. */
#include <config.h>

#include "spoa/page_int.h"

#include <string.h>

#define EMBED(name, file)                                                                                                                  \
    extern const char name##_data[], name##_end[];                                                                                         \
    __asm__(".section .rodata\n.global " #name "_data\n.global " #name "_end\n" #name "_data:\n.incbin \"" GH_TOP_SRCDIR "/spoa/" file     \
            "\"\n" #name "_end:\n.byte 0\n.previous\n")

EMBED(page_css, "page.css");
EMBED(page_js, "page.js");
EMBED(page_icon, "page.svg");

static const struct page_asset assets[] = {
    {"/page.css", "text/css; charset=utf-8", page_css_data, page_css_end},
    {"/page.js", "text/javascript; charset=utf-8", page_js_data, page_js_end},
    {"/icon.svg", "image/svg+xml", page_icon_data, page_icon_end},
};

const struct page_asset *page_asset(const char *path, size_t len) {
    for (size_t i = 0; i < sizeof assets / sizeof *assets; i++)
        if (strlen(assets[i].path) == len && memcmp(assets[i].path, path, len) == 0) return &assets[i];
    return NULL;
}
