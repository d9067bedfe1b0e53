#include <config.h>

#include "spoa/syslog_line.h"

#include <syslog.h>

void syslog_line(const char *text) { syslog(LOG_AUTHPRIV | LOG_NOTICE, "%s", text); }
