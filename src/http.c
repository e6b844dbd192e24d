/*
 * http.c
 *		Stub.
 */
#include "postgres.h"

#include "fmgr.h"

#include "http.h"
void http_global_init(void) {}
HttpClient *http_create(void) { return NULL; }
void http_destroy(HttpClient *client) {}
void http_reconfigure(HttpClient *client) {}
int http_descriptor(HttpClient *client) { return -1; }
long http_timeout(HttpClient *client) { return -1; }
void http_start(HttpClient *client, const HttpRequest *request) {}
void http_work(HttpClient *client) {}
void http_abort(HttpClient *client, void *tag) {}
bool http_next_result(HttpClient *client, HttpResult *result) { return false; }
void http_release(HttpResult *result) {}
int http_running(HttpClient *client) { return 0; }
int http_connections(HttpClient *client) { return 0; }
void http_perform(const HttpRequest *request, HttpResult *result) { elog(ERROR, "stub"); }
