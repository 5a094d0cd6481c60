/* The command line of audumsd. Called by main.c and its test. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "proto/lib/log.h"

#define PROVIDERS_MAX 64

struct options {
	char address[64]; /* of --listen; "" when only a unix socket is asked for */
	uint16_t port;
	const char *listen_unix; /* NULL: none */
	const char *state;
	const char *ca;
	const char *cert;
	const char *key;
	char *providers[PROVIDERS_MAX]; /* point into providers_text */
	size_t n_providers;             /* 0: all */
	char *providers_text;
	uint64_t quarantine_ms;
	enum log_level log_level;
	bool help;
	bool version;
};

/*
 * Parse the command line. The strings point into argv. Returns 0, or -EINVAL with a sentence in
 * `error`. Free with options_free() in any case.
 */
int options_parse(struct options *options, int argc, char **argv, char *error, size_t size);
void options_free(struct options *options);

void options_help(FILE *out);
