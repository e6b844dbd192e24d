# featul_integrations: webhook delivery inside PostgreSQL
#
#   make                 build (in this folder or, with -f, from any other)
#   make install         install (PG_CONFIG=... picks the server)
#   make installcheck    pg_regress and TAP tests
#   make dist            the release as a .zip (PGXN) and a .tar.gz, of what is committed
#   make format          apply .clang-format

EXTENSION = featul_integrations
MODULE_big = featul_integrations

# This folder, from where make was started.
top := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
DATA = $(patsubst $(top)/%,%,$(sort $(wildcard $(top)/sql/$(EXTENSION)--*.sql)))

# The version stands in the control file, and nowhere else.
control = $(top)/$(EXTENSION).control
version := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(control))

# One concern, one .c, in eight folders (docs/architecture.md).
sources := $(sort $(wildcard $(top)/src/*.c $(top)/src/*/*.c))
OBJS = $(sources:$(top)/%.c=%.o)
BITCODE = $(OBJS:.o=.bc)

CURL_CONFIG ?= curl-config
# Only what the server looks up by name leaves the library; PostgreSQL 16 and later
# define PGDLLEXPORT like this themselves.
PG_CPPFLAGS = -I$(top)/src $(shell $(CURL_CONFIG) --cflags) -DFEATUL_VERSION='"$(version)"' \
	'-DPGDLLEXPORT=__attribute__((visibility("default")))'
# -MMD: what each file includes is written beside its object, and read below.
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers \
	-fvisibility=hidden -fno-plt -MMD -MP
SHLIB_LINK = $(shell $(CURL_CONFIG) --libs) -lssl -lcrypto

REGRESS = $(patsubst $(top)/sql/%.sql,%,$(sort $(filter-out $(addprefix $(top)/,$(DATA)),$(wildcard $(top)/sql/*.sql))))
ISOLATION = $(patsubst $(top)/test/isolation/specs/%.spec,%,$(sort $(wildcard $(top)/test/isolation/specs/*.spec)))
ISOLATION_OPTS = --inputdir=$(top)/test/isolation
TAP_TESTS = 1
PROVE_TESTS = test/t/*.pl
EXTRA_CLEAN = $(OBJS:.o=.d)

# What a build needs.  $(call need,CONDITION,SENTENCE,DEBIAN'S PACKAGE) stops where the
# condition is empty.
need = $(if $(strip $(1)),,$(error $(2) (Debian: $(3))))

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
$(call need,$(PGXS),$(PG_CONFIG) is no program of a PostgreSQL server; name one with PG_CONFIG=,postgresql-server-dev-NN)
$(call need,$(wildcard $(PGXS)),$(PG_CONFIG) says that the server headers are where they are not: $(PGXS),postgresql-server-dev-NN)
include $(PGXS)

can_include = $(shell echo '\#include <$(1)>' | $(CC) $(CPPFLAGS) -E - >/dev/null 2>&1 && echo yes)
ifneq ($(filter-out %clean dist format,$(or $(MAKECMDGOALS),all)),)
$(call need,$(shell $(CURL_CONFIG) --version 2>/dev/null),$(CURL_CONFIG) is missing,libcurl4-openssl-dev)
$(call need,$(findstring OpenSSL,$(shell $(CURL_CONFIG) --ssl-backends)),libcurl is needed with OpenSSL and is here with $(shell $(CURL_CONFIG) --ssl-backends),libcurl4-openssl-dev)
$(call need,$(call can_include,curl/curl.h),libcurl's headers are missing,libcurl4-openssl-dev)
$(call need,$(call can_include,openssl/ssl.h),OpenSSL's headers are missing,libssl-dev)
endif

# Absolute, because VPATH would find those of the sources.
folders = $(addprefix $(CURDIR)/,$(sort $(dir $(OBJS))))
$(OBJS) $(BITCODE): | $(folders)
$(folders):
	$(MKDIR_P) $@

-include $(OBJS:.o=.d)
$(OBJS): $(control)
$(BITCODE): %.bc: %.o

release = $(EXTENSION)-$(version)

.PHONY: dist format
dist:
	git -C $(top) archive --prefix=$(release)/ -o $(CURDIR)/$(release).zip HEAD
	git -C $(top) archive --prefix=$(release)/ -o $(CURDIR)/$(release).tar.gz HEAD

format:
	cd $(top) && clang-format -i src/*.c src/*/*.[ch]
