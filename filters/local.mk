noinst_LIBRARIES += libghfilters.a
libghfilters_a_SOURCES = \
	filters/bytes.c \
	filters/bytes.h \
	filters/filter.h \
	filters/proxyv2.c \
	filters/proxyv2.h
