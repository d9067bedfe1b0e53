/* A line for syslog. Apart, because <syslog.h> has other ideas of what LOG_INFO is. */
#ifndef GH_SPOA_SYSLOG_LINE_H
#define GH_SPOA_SYSLOG_LINE_H

/* Facility authpriv, priority notice (RFC 5424). Any thread. */
void syslog_line(const char *text);

#endif
