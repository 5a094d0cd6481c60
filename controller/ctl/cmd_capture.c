/*
 * audumsctl node capture: frames that pass or end in a node, as a pcapng file or stream.
 *
 * Whole blocks are written, each reply's at once, so the file is valid whenever this ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controller/ctl/client.h"
#include "controller/ctl/cmd_lab.h"
#include "controller/ctl/groups.h"
#include "controller/ctl/node_ask.h"
#include "controller/ctl/pcapng.h"

#define DROPS_MAX      32
#define INTERFACES_MAX 1024
#define TIMEOUT_MS     10000
#define TIMEOUT_MAX_MS 3600000

struct capturing {
	struct pcapng file;
	int fd;
	const char *path;
	uint32_t snaplen;
	char names[INTERFACES_MAX][16]; /* of the file's interfaces */
	uint64_t frames, lost, last_ns;
};

static bool flush(struct capturing *c)
{
	size_t at = 0;

	if (c->file.failed) {
		ctl_error("out of memory");
		return false;
	}
	while (at < c->file.len) {
		const ssize_t n = write(c->fd, c->file.data + at, c->file.len - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			ctl_error("cannot write %s: %s", c->path, strerror(errno));
			return false;
		}
		at += (size_t)n;
	}
	pcapng_clear(&c->file);
	return true;
}

static uint32_t interface_add(struct capturing *c, const char *name, const char *description)
{
	if (c->file.interfaces < INTERFACES_MAX)
		snprintf(c->names[c->file.interfaces], sizeof(c->names[0]), "%s", name);
	return pcapng_interface(&c->file, name, description, c->snaplen);
}

/* The interface of a port; ports that the first reply did not have are made as they come. */
static uint32_t interface_of(struct capturing *c, const char *port)
{
	for (uint32_t i = 0; i < c->file.interfaces && i < INTERFACES_MAX; i++)
		if (!strcmp(c->names[i], port))
			return i;
	return interface_add(c, port, NULL);
}

static void frame_add(struct capturing *c, const Audums__V1__CapturedFrame *f, uint64_t lost)
{
	char comment[256] = "", segment[32] = "";
	struct pcapng_packet p = {
		.interface = interface_of(c, f->port),
		.time_ns = f->time_ns,
		.length = f->length,
		.data = f->data.data,
		.kept = (uint32_t)f->data.len,
		.lost = lost,
		.comment = comment,
	};

	if (!strcmp(f->direction, "in"))
		p.direction = PCAPNG_IN;
	else if (!strcmp(f->direction, "out"))
		p.direction = PCAPNG_OUT;
	if (f->vni)
		snprintf(segment, sizeof(segment), "segment %u", f->vni);
	if (*f->drop_reason)
		snprintf(comment, sizeof(comment), "dropped: %s in %s%s%s", f->drop_reason, f->node,
			*segment ? ", " : "", segment);
	else
		snprintf(comment, sizeof(comment), "%s", segment);
	pcapng_packet(&c->file, &p);
	c->last_ns = f->time_ns;
	c->frames++;
}

static bool capture_take(void *arg, Audums__V1__DataplaneReply *reply)
{
	const Audums__V1__CaptureReply *r = reply->capture;
	struct capturing *c = arg;
	bool ok = false;

	if (reply->answer_case != AUDUMS__V1__DATAPLANE_REPLY__ANSWER_CAPTURE) {
		ctl_error(
			"the forwarding process does not know captures: it is of another version");
		goto out;
	}
	for (size_t i = 0; i < r->n_ports; i++) {
		const Audums__V1__CapturePort *p = r->ports[i];
		char text[128];

		snprintf(text, sizeof(text), "%s port, %s, TAP %s, %s", p->role, p->backend, p->tap,
			p->mac);
		interface_add(c, p->name, text);
	}
	for (size_t i = 0; i < r->n_frames; i++)
		frame_add(c, r->frames[i], i ? 0 : r->lost - c->lost);
	if (r->n_frames)
		c->lost = r->lost;
	if (!reply->more && c->file.interfaces) {
		c->lost = r->lost;
		pcapng_end(&c->file, c->last_ns, r->lost, NULL);
	}
	ok = flush(c);
out:
	audums__v1__dataplane_reply__free_unpacked(reply, NULL);
	return ok;
}

/* VNI of the segment that is meant: a number, or a name that the controller knows. */
static int segment_vni(struct ctl *ctl, const char *word, uint32_t *vni)
{
	Audums__V1__GetRequest request = AUDUMS__V1__GET_REQUEST__INIT;
	Audums__V1__Document *document;
	ProtobufCMessage *response;
	unsigned long number;
	char *end;
	int exit_code;

	errno = 0;
	number = strtoul(word, &end, 10);
	if (*word >= '0' && *word <= '9' && !*end) {
		*vni = (uint32_t)number;
		if (!errno && number >= 1 && number <= 16777215)
			return EXIT_OK;
		ctl_error("--segment: a VNI is from 1 to 16777215");
		return EXIT_USAGE;
	}
	request.kind = AUDUMS__V1__KIND__KIND_SEGMENT;
	request.name = (char *)word;
	exit_code = client_call(
		ctl, "Get", &request.base, &audums__v1__document__descriptor, 0, NULL, &response);
	if (exit_code)
		return exit_code;
	document = (Audums__V1__Document *)response;
	*vni = 0;
	if (document->n_segments == 1) {
		const Audums__V1__Segment *s = document->segments[0];

		*vni = s->status && s->status->vni ? s->status->vni : s->vni;
	}
	protobuf_c_message_free_unpacked(response, NULL);
	return *vni ? EXIT_OK : ctl_error("segment \"%s\" has no VNI yet", word);
}

static int request_make(struct ctl *ctl, const struct args *args,
	Audums__V1__CaptureRequest *capture, const char *drops[DROPS_MAX])
{
	const char *port = args_option(args, "port"), *segment = args_option(args, "segment");
	const char *direction = args_option(args, "direction");
	unsigned long count, timeout, snaplen;

	if (!args_number(args, "count", 1, UINT32_MAX - 1, 0, &count) ||
		!args_number(args, "snaplen", 1, 16384, 16384, &snaplen) ||
		!args_duration(args, "timeout", TIMEOUT_MS, &timeout))
		return EXIT_USAGE;
	if (!timeout || timeout > TIMEOUT_MAX_MS) {
		ctl_error("--timeout: from 1ms to 1h");
		return EXIT_USAGE;
	}
	capture->port = (char *)(port ? port : "");
	capture->direction = (char *)(direction ? direction : "");
	capture->n_drops = args_values(args, "drop", drops, DROPS_MAX);
	capture->drops = (char **)drops;
	capture->count = (uint32_t)count;
	capture->timeout_ms = (uint32_t)timeout;
	capture->snaplen = (uint32_t)snaplen;
	return segment ? segment_vni(ctl, segment, &capture->vni) : EXIT_OK;
}

/* Where it goes: --write, "-" being standard output, which must not be a terminal. */
static int file_open(struct capturing *c, const struct args *args)
{
	c->path = args_option(args, "write");
	if (!c->path || !strcmp(c->path, "-")) {
		if (isatty(STDOUT_FILENO)) {
			ctl_error(
				"a terminal cannot show a capture: give --write FILE, or pipe into "
				"\"tshark -r -\"");
			return EXIT_USAGE;
		}
		c->path = "the standard output";
		c->fd = STDOUT_FILENO;
		return EXIT_OK;
	}
	c->fd = open(c->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	return c->fd < 0 ? ctl_error("cannot write %s: %s", c->path, strerror(errno)) : EXIT_OK;
}

static int capture_run(struct ctl *ctl, const struct args *args)
{
	Audums__V1__DataplaneRequest request = AUDUMS__V1__DATAPLANE_REQUEST__INIT;
	Audums__V1__CaptureRequest capture = AUDUMS__V1__CAPTURE_REQUEST__INIT;
	struct capturing *c = calloc(1, sizeof(*c));
	const char *drops[DROPS_MAX];
	int exit_code;

	if (!c)
		return ctl_error("out of memory");
	c->fd = -1;
	exit_code = request_make(ctl, args, &capture, drops);
	if (!exit_code)
		exit_code = file_open(c, args);
	if (exit_code)
		goto out;
	c->snaplen = capture.snaplen;
	request.ask_case = AUDUMS__V1__DATAPLANE_REQUEST__ASK_CAPTURE;
	request.capture = &capture;
	pcapng_section(&c->file, "audumsctl " AUDUMS_VERSION);
	if (!flush(c))
		exit_code = EXIT_FAILED;
	if (!exit_code)
		exit_code = node_ask(ctl, args, args->operands[0], &request,
			capture.timeout_ms + NODE_ASK_MS, capture_take, c);
	if (!exit_code || c->frames)
		fprintf(stderr, "%llu frames to %s, %llu lost\n", (unsigned long long)c->frames,
			c->path, (unsigned long long)c->lost);
out:
	pcapng_free(&c->file);
	if (c->fd >= 0 && c->fd != STDOUT_FILENO && close(c->fd) && !exit_code)
		exit_code = ctl_error("cannot write %s: %s", c->path, strerror(errno));
	free(c);
	return exit_code;
}

static const struct command_option capture_options[] = {
	{.name = "port", .value = "PORT", .help = "frames of this port (default: all)"},
	{.name = "segment",
		.value = "SEGMENT",
		.help = "frames of this segment: its VNI or its name (default: all)"},
	{.name = "direction",
		.value = "WHICH",
		.help = "in, out or both, seen from the node (default: both)",
		.completion = COMPLETE_WORDS,
		.words = "in out both"},
	{.name = "drop",
		.value = "REASON",
		.help = "frames that end for this reason, or \"any\"",
		.repeat = true},
	{.name = "count", .letter = 'c', .value = "NUMBER", .help = "end after so many frames"},
	{.name = "timeout", .value = "TIME", .help = "end after (default: 10s)"},
	{.name = "snaplen", .value = "OCTETS", .help = "keep so much of a frame (default: 16384)"},
	{.name = "write",
		.letter = 'w',
		.value = "FILE",
		.help = "write here (default: -, the standard output)",
		.completion = COMPLETE_FILE},
	NODE_ASK_OPTIONS,
	{0},
};

const struct command capture_commands[] = {
	{.path = "node capture",
		.operands = "NODE",
		.operands_min = 1,
		.operands_max = 1,
		.summary = "Capture frames that pass or end in a node, for Wireshark (pcapng)",
		.description =
			"Each frame has its port as interface, its direction, and a comment: its\n"
			"segment, or why it was dropped. Tenants' traffic: through the controller this\n"
			"takes an operator's certificate.",
		.example =
			"audumsctl node capture lvrtc1 --segment registri -c 100 -w registri.pcapng\n"
			"audumsctl node capture lvrtc1 --drop any --timeout 1m | tshark -r -",
		.options = capture_options,
		.completion = {COMPLETE_NODE},
		.run = capture_run},
	{0},
};
