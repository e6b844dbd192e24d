# featul_integrations: webhook delivery inside PostgreSQL
#
#   make                 build
#   make install         install (PG_CONFIG=... picks the server)
#   make installcheck    pg_regress and TAP tests
#   make format          apply .clang-format

EXTENSION = featul_integrations
MODULE_big = featul_integrations
DATA = sql/featul_integrations--1.0.sql

OBJS = \
	src/access.o \
	src/address.o \
	src/append.o \
	src/attach.o \
	src/binding.o \
	src/capture.o \
	src/channel.o \
	src/databases.o \
	src/discord.o \
	src/dispatch.o \
	src/event.o \
	src/featul_integrations.o \
	src/fetch.o \
	src/filter.o \
	src/http.o \
	src/import.o \
	src/integration.o \
	src/launcher.o \
	src/lookup.o \
	src/message.o \
	src/owner.o \
	src/payload.o \
	src/query.o \
	src/queue.o \
	src/record.o \
	src/replay.o \
	src/row.o \
	src/settings.o \
	src/shared.o \
	src/slack.o \
	src/subscription.o \
	src/text.o \
	src/url.o \
	src/webhook.o \
	src/worker.o

CURL_CONFIG ?= curl-config
# Only what the server looks up by name leaves the library; PostgreSQL 16 and later
# define PGDLLEXPORT like this themselves.
PG_CPPFLAGS = $(shell $(CURL_CONFIG) --cflags) '-DPGDLLEXPORT=__attribute__((visibility("default")))'
PG_CFLAGS = -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers -fvisibility=hidden -fno-plt
SHLIB_LINK = $(shell $(CURL_CONFIG) --libs) -lcrypto

REGRESS = $(patsubst sql/%.sql,%,$(filter-out sql/featul_integrations--%,$(sort $(wildcard sql/*.sql))))
ISOLATION = $(patsubst test/isolation/specs/%.spec,%,$(sort $(wildcard test/isolation/specs/*.spec)))
ISOLATION_OPTS = --inputdir=$(srcdir)/test/isolation
TAP_TESTS = 1
PROVE_TESTS = test/t/*.pl

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

$(OBJS): $(wildcard src/*.h)

.PHONY: format
format:
	clang-format -i src/*.c src/*.h
