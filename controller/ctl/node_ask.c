/* Asking a node's forwarding process; see node_ask.h. */
#include "controller/ctl/node_ask.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "controller/ctl/client.h"
#include "controller/ctl/cmd_lab.h"
#include "proto/lib/frame.h"

#define REPLIES_MAX 65536

struct asking {
	node_reply_fn *fn;
	void *arg;
	bool failed; /* and said */
};

/* Hand a reply on (taken over in any case); false when that ends everything. */
static bool reply_take(struct asking *a, Audums__V1__DataplaneReply *reply)
{
	if (reply && !*reply->error) {
		a->failed = !a->fn(a->arg, reply);
		return !a->failed;
	}
	if (!reply) {
		ctl_error("out of memory");
	} else {
		ctl_error("the forwarding process says: %s", reply->error);
		audums__v1__dataplane_reply__free_unpacked(reply, NULL);
	}
	a->failed = true;
	return false;
}

static enum stream_step reply_came(void *arg, const ProtobufCMessage *message)
{
	size_t len = protobuf_c_message_get_packed_size(message);
	uint8_t *octets = malloc(len + 1);
	Audums__V1__DataplaneReply *copy = NULL;

	if (octets) {
		protobuf_c_message_pack(message, octets);
		copy = audums__v1__dataplane_reply__unpack(NULL, len, octets);
		free(octets);
	}
	return reply_take(arg, copy) ? STREAM_GO_ON : STREAM_DONE;
}

static int controller_ask(struct ctl *ctl, const char *node, Audums__V1__DataplaneRequest *ask,
	unsigned long timeout_ms, struct asking *a)
{
	Audums__V1__NodeShowRequest request = AUDUMS__V1__NODE_SHOW_REQUEST__INIT;

	request.node = (char *)node;
	request.dataplane = ask;
	switch (client_stream(ctl, "NodeShow", &request.base,
		&audums__v1__dataplane_reply__descriptor, timeout_ms, false, reply_came, a)) {
	case STREAM_ENDED:
		return EXIT_OK;
	case STREAM_TIMEOUT:
		return ctl_error("node %s did not answer in %lu s", node, timeout_ms / 1000);
	default:
		return EXIT_FAILED;
	}
}

static int socket_ask(const char *path, Audums__V1__DataplaneRequest *ask, unsigned long timeout_ms,
	struct asking *a)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int64_t deadline = frame_deadline((int)timeout_ms);
	ProtobufCMessage *message;
	bool more = true;
	int fd, ret;

	if (snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path) >= (int)sizeof(sa.sun_path))
		return ctl_error("%s is too long for a socket", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return ctl_error("cannot make a socket: %s", strerror(errno));
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		ctl_error("no forwarding process answers at %s: %s", path, strerror(errno));
		close(fd);
		return EXIT_FAILED;
	}
	ret = frame_send(fd, &ask->base, deadline);
	while (!ret && more) {
		ret = frame_recv(fd, &audums__v1__dataplane_reply__descriptor, deadline, &message);
		if (ret)
			break;
		more = ((Audums__V1__DataplaneReply *)message)->more;
		if (!reply_take(a, (Audums__V1__DataplaneReply *)message))
			break;
	}
	close(fd);
	if (ret)
		return ctl_error("the forwarding process at %s: %s", path, strerror(-ret));
	return a->failed ? EXIT_FAILED : EXIT_OK;
}

int node_ask(struct ctl *ctl, const struct args *args, const char *node,
	Audums__V1__DataplaneRequest *ask, unsigned long timeout_ms, node_reply_fn *fn, void *arg)
{
	const char *socket_path = args_option(args, "socket");
	struct asking a = {.fn = fn, .arg = arg};
	struct lab *lab;
	char path[LAB_PATH_LEN];
	int index, exit_code;

	if (socket_path)
		return socket_ask(socket_path, ask, timeout_ms, &a);
	if (!args_flag(args, "direct"))
		return controller_ask(ctl, node, ask, timeout_ms, &a);
	lab = calloc(1, sizeof(*lab));
	exit_code = lab ? lab_choose(args, lab) : ctl_error("out of memory");
	if (!exit_code) {
		index = lab_node_find(lab, node);
		if (index < 0) {
			exit_code = ctl_error("lab %s has no node \"%s\"", lab->name, node);
		} else {
			lab_node_path(lab, (unsigned int)index, "dataplane.sock", path);
			exit_code = socket_ask(path, ask, timeout_ms, &a);
		}
	}
	free(lab);
	return exit_code;
}

bool node_replies_take(void *replies, Audums__V1__DataplaneReply *reply)
{
	struct node_replies *r = replies;
	Audums__V1__DataplaneReply **items = NULL;

	if (r->count < REPLIES_MAX)
		items = realloc(r->items, (r->count + 1) * sizeof(*items));
	if (!items) {
		if (r->count < REPLIES_MAX)
			ctl_error("out of memory");
		else
			ctl_error("the answer has more than %d parts", REPLIES_MAX);
		audums__v1__dataplane_reply__free_unpacked(reply, NULL);
		return false;
	}
	r->items = items;
	r->items[r->count++] = reply;
	return true;
}

void node_replies_free(struct node_replies *r)
{
	for (size_t i = 0; i < r->count; i++)
		audums__v1__dataplane_reply__free_unpacked(r->items[i], NULL);
	free(r->items);
	*r = (struct node_replies){0};
}
