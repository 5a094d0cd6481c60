/* Replies of a capture: what the workers' rings hold; see answer.h and making.h. */
#include "dataplane/dpdk_compat.h"

#include "dataplane/api/making.h"

#include <errno.h>

#include "dataplane/nodes/capture.h"

static void *make_frame(struct making *mk, const struct capture *c, const struct capture_frame *f,
	unsigned int worker)
{
	Audums__V1__CapturedFrame *e = NEW(&mk->arena, Audums__V1__CapturedFrame, captured_frame);

	if (e == NULL)
		return NULL;
	e->port = port_name(mk, f->port);
	e->time_ns = capture_time(c, f->tsc);
	e->direction = (char *)(uintptr_t)(f->where == CAPTURE_IN    ? "in"
					   : f->where == CAPTURE_OUT ? "out"
								     : "drop");
	e->length = f->length;
	e->vni = f->vni;
	e->worker = worker;
	if (f->where == CAPTURE_DROP) {
		e->drop_reason = (char *)(uintptr_t)drop_name(f->drop);
		e->node = (char *)(uintptr_t)f->node;
	}
	/* the ring may be written again once the frame is taken out */
	e->data.data = arena_alloc(&mk->arena, f->kept);
	if (e->data.data == NULL)
		return NULL;
	memcpy(e->data.data, f + 1, f->kept);
	e->data.len = f->kept;
	return e;
}

/* The ports, for the first reply: what frames can name. */
static void make_capture_ports(struct making *mk, Audums__V1__CaptureReply *reply)
{
	const struct dataplane *dp = mk->dp;

	reply->ports = arena_alloc(&mk->arena, dp->port_count * sizeof(*reply->ports));
	for (unsigned int i = 0; i < PORT_MAX && reply->ports != NULL; i++) {
		const struct port *port = dp->ports[i];
		Audums__V1__CapturePort *p;

		if (port == NULL)
			continue;
		p = NEW(&mk->arena, Audums__V1__CapturePort, capture_port);
		if (p == NULL)
			return;
		p->name = (char *)(uintptr_t)port->spec.name;
		p->role = (char *)(uintptr_t)port_role_name(port->spec.role);
		p->backend = (char *)(uintptr_t)port_backend_name(port->spec.backend);
		p->tap = (char *)(uintptr_t)port->spec.tap;
		p->mac = arena_printf(&mk->arena, "%02x:%02x:%02x:%02x:%02x:%02x", port->mac[0],
			port->mac[1], port->mac[2], port->mac[3], port->mac[4], port->mac[5]);
		reply->ports[reply->n_ports++] = p;
	}
}

int answer_capture(
	struct dataplane *dp, struct capture *c, bool first, bool *last, uint8_t **out, size_t *len)
{
	struct making mk = {.dp = dp};
	Audums__V1__CaptureReply *list;
	int ret;

	audums__v1__dataplane_reply__init(&mk.reply);
	list = NEW(&mk.arena, Audums__V1__CaptureReply, capture_reply);
	mk.entries = arena_alloc(&mk.arena, ENTRIES_A_REPLY * sizeof(*mk.entries));
	if (list != NULL && mk.entries != NULL) {
		if (first)
			make_capture_ports(&mk, list);
		/* one of each ring in turn, so that none waits for the others */
		for (bool found = true; found && !mk.full && !mk.arena.failed;) {
			found = false;
			for (unsigned int i = 0; i < c->workers && !mk.full; i++) {
				const struct capture_frame *f = capture_peek(c, i);

				if (f == NULL)
					continue;
				found = making_put(&mk, make_frame(&mk, c, f, i)) || found;
				capture_next(c, i);
			}
		}
		*last = capture_closed(c) && !mk.full;
		list->n_frames = mk.n;
		list->frames = (Audums__V1__CapturedFrame **)mk.entries;
		list->lost = capture_lost(c);
		mk.reply.answer_case = AUDUMS__V1__DATAPLANE_REPLY__ANSWER_CAPTURE;
		mk.reply.capture = list;
		mk.reply.more = !*last;
	}
	ret = mk.arena.failed ? -ENOMEM : frame_encode(&mk.reply.base, FRAME_MAX_BYTES, out, len);
	arena_reset(&mk.arena);
	return ret;
}

bool answer_capture_waits(struct capture *c)
{
	for (unsigned int i = 0; i < c->workers; i++)
		if (capture_peek(c, i) != NULL)
			return true;
	return false;
}
