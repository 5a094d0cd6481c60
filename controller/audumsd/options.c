/* See options.h. */
#include "controller/audumsd/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "proto/lib/rules.h"

#define DEFAULT_LISTEN     "0.0.0.0:7443"
#define DEFAULT_STATE      "/var/lib/audums"
#define DEFAULT_QUARANTINE 60
#define QUARANTINE_MAX     (30 * 24 * 3600)

enum {
	OPT_LISTEN = 256,
	OPT_LISTEN_UNIX,
	OPT_STATE,
	OPT_CA,
	OPT_CERT,
	OPT_KEY,
	OPT_PROVIDERS,
	OPT_QUARANTINE,
	OPT_LOG_LEVEL,
	OPT_VERSION,
};

static const struct option long_options[] = {
	{"listen", required_argument, NULL, OPT_LISTEN},
	{"listen-unix", required_argument, NULL, OPT_LISTEN_UNIX},
	{"state", required_argument, NULL, OPT_STATE},
	{"ca", required_argument, NULL, OPT_CA},
	{"cert", required_argument, NULL, OPT_CERT},
	{"key", required_argument, NULL, OPT_KEY},
	{"providers", required_argument, NULL, OPT_PROVIDERS},
	{"quarantine", required_argument, NULL, OPT_QUARANTINE},
	{"log-level", required_argument, NULL, OPT_LOG_LEVEL},
	{"version", no_argument, NULL, OPT_VERSION},
	{"help", no_argument, NULL, 'h'},
	{0},
};

void options_help(FILE *out)
{
	fprintf(out,
		"Usage: audumsd --ca FILE --cert FILE --key FILE [OPTION]...\n"
		"The controller of an Audums fabric: takes intent, tells the nodes' agents what to "
		"do.\n"
		"\n"
		"  --listen ADDR:PORT    address for clients and agents, \"none\" for none (default "
		"%s)\n"
		"  --listen-unix PATH    listen on a unix socket, too, with the same TLS\n"
		"  --state DIR           where audums.db lies (default %s)\n"
		"  --ca FILE             certificates of the authority that clients and agents have "
		"theirs from\n"
		"  --cert FILE           own certificate chain (SIGHUP reads all three again)\n"
		"  --key FILE            its private key\n"
		"  --providers LIST      providers to act for, e.g. lvrtc,lnb (default all)\n"
		"  --quarantine SECONDS  how long a freed VNI or route distinguisher rests (default "
		"%d)\n"
		"  --log-level LEVEL     error, warn, info or debug (default info)\n"
		"  --version             print the version\n"
		"  --help                print this\n"
		"\n"
		"Example:\n"
		"  audumsd --ca ca.pem --cert audumsd.pem --key audumsd.key --state "
		"/var/lib/audums\n",
		DEFAULT_LISTEN, DEFAULT_STATE, DEFAULT_QUARANTINE);
}

/* "ADDR:PORT" or "[ADDR]:PORT"; "none". */
static int listen_parse(struct options *o, const char *text)
{
	const char *colon = strrchr(text, ':');
	unsigned long port;
	size_t len;
	char *end;

	o->address[0] = '\0';
	if (!strcmp(text, "none"))
		return 0;
	if (!colon)
		return -EINVAL;
	port = strtoul(colon + 1, &end, 10);
	len = (size_t)(colon - text);
	if (!colon[1] || *end || port > 65535)
		return -EINVAL;
	if (len > 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	if (!len || len >= sizeof(o->address))
		return -EINVAL;
	memcpy(o->address, text, len);
	o->address[len] = '\0';
	o->port = (uint16_t)port;
	return 0;
}

static int providers_parse(struct options *o, const char *text)
{
	char *at, *name;

	free(o->providers_text);
	o->providers_text = strdup(text);
	o->n_providers = 0;
	if (!o->providers_text)
		return -ENOMEM;
	at = o->providers_text;
	while ((name = strsep(&at, ","))) {
		if (rules_format_check(AUDUMS__V1__FORMAT__FORMAT_NAME, name) ||
			o->n_providers == PROVIDERS_MAX)
			return -EINVAL;
		o->providers[o->n_providers++] = name;
	}
	return 0;
}

static int option_take(struct options *o, int option, const char *value, char *error, size_t size)
{
	char *end;
	long n;

	switch (option) {
	case OPT_LISTEN:
		if (!listen_parse(o, value))
			return 0;
		snprintf(error, size, "--listen %s: expected ADDR:PORT, e.g. %s", value,
			DEFAULT_LISTEN);
		return -EINVAL;
	case OPT_LISTEN_UNIX:
		o->listen_unix = value;
		return 0;
	case OPT_STATE:
		o->state = value;
		return 0;
	case OPT_CA:
		o->ca = value;
		return 0;
	case OPT_CERT:
		o->cert = value;
		return 0;
	case OPT_KEY:
		o->key = value;
		return 0;
	case OPT_PROVIDERS:
		if (!providers_parse(o, value))
			return 0;
		snprintf(error, size,
			"--providers %s: expected names with commas between, at most %d", value,
			PROVIDERS_MAX);
		return -EINVAL;
	case OPT_QUARANTINE:
		n = strtol(value, &end, 10);
		if (*value && !*end && n >= 0 && n <= QUARANTINE_MAX) {
			o->quarantine_ms = (uint64_t)n * 1000;
			return 0;
		}
		snprintf(error, size, "--quarantine %s: expected seconds, 0 to %d", value,
			QUARANTINE_MAX);
		return -EINVAL;
	case OPT_LOG_LEVEL:
		n = log_level_parse(value);
		if (n >= 0) {
			o->log_level = (enum log_level)n;
			return 0;
		}
		snprintf(error, size, "--log-level %s: expected error, warn, info or debug", value);
		return -EINVAL;
	case OPT_VERSION:
		o->version = true;
		return 0;
	case 'h':
		o->help = true;
		return 0;
	default:
		return -EINVAL;
	}
}

int options_parse(struct options *o, int argc, char **argv, char *error, size_t size)
{
	int option;

	*o = (struct options){
		.state = DEFAULT_STATE,
		.quarantine_ms = DEFAULT_QUARANTINE * 1000,
		.log_level = LOG_LEVEL_INFO,
	};
	listen_parse(o, DEFAULT_LISTEN);
	optind = 0; /* begin anew, for the test */
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", long_options, NULL)) != -1) {
		if (option == ':') {
			snprintf(error, size, "%s needs a value", argv[optind - 1]);
			return -EINVAL;
		}
		if (option == '?') {
			snprintf(error, size, "unknown option %s", argv[optind - 1]);
			return -EINVAL;
		}
		if (option_take(o, option, optarg, error, size) < 0)
			return -EINVAL;
	}
	if (o->help || o->version)
		return 0;
	if (optind < argc) {
		snprintf(error, size, "unexpected argument %s", argv[optind]);
		return -EINVAL;
	}
	if (!o->ca || !o->cert || !o->key) {
		snprintf(error, size, "--ca, --cert and --key are needed");
		return -EINVAL;
	}
	if (!o->address[0] && !o->listen_unix) {
		snprintf(error, size, "--listen none needs --listen-unix");
		return -EINVAL;
	}
	return 0;
}

void options_free(struct options *options)
{
	free(options->providers_text);
	options->providers_text = NULL;
}
