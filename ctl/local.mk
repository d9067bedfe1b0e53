bin_PROGRAMS += gatehousectl
gatehousectl_SOURCES = \
	ctl/key.c \
	ctl/key.h \
	ctl/main.c \
	ctl/policy.c \
	ctl/policy.h \
	ctl/token.c \
	ctl/token.h
gatehousectl_LDADD = libghspoa.a libghpolicy.a libghfilters.a $(PG_QUERY_LIBS) $(YAML_LIBS) $(JWT_LIBS) $(JANSSON_LIBS) $(CRYPTO_LIBS) -lm
dist_man_MANS += ctl/gatehousectl.1
