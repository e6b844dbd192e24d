# featul_integrations: webhook delivery inside PostgreSQL
#
#   make                 build
#   make install         install (PG_CONFIG=... picks the server)
#   make installcheck    pg_regress and TAP tests
#   make format          apply .clang-format

EXTENSION = featul_integrations
MODULE_big = featul_integrations
DATA = sql/featul_integrations--1.0.sql

# One concern, one .c, in eight folders (docs/architecture.md).
sources = $(wildcard $(srcdir)/src/*.c $(srcdir)/src/*/*.c)
OBJS = $(patsubst $(srcdir)/%.c,%.o,$(sort $(sources)))

CURL_CONFIG ?= curl-config
# Only what the server looks up by name leaves the library; PostgreSQL 16 and later
# define PGDLLEXPORT like this themselves.
PG_CPPFLAGS = -I$(srcdir)/src $(shell $(CURL_CONFIG) --cflags) '-DPGDLLEXPORT=__attribute__((visibility("default")))'
PG_CFLAGS = -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers -fvisibility=hidden -fno-plt
SHLIB_LINK = $(shell $(CURL_CONFIG) --libs) -lssl -lcrypto

REGRESS = $(patsubst sql/%.sql,%,$(filter-out sql/featul_integrations--%,$(sort $(wildcard sql/*.sql))))
ISOLATION = $(patsubst test/isolation/specs/%.spec,%,$(sort $(wildcard test/isolation/specs/*.spec)))
ISOLATION_OPTS = --inputdir=$(srcdir)/test/isolation
TAP_TESTS = 1
PROVE_TESTS = test/t/*.pl

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

$(OBJS): $(wildcard src/*/*.h)

.PHONY: format
format:
	clang-format -i src/*.c src/*/*.[ch]
