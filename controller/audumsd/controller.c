/* Wires the parts together. See controller.h. */
#include "controller/audumsd/controller.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "controller/audumsd/api.h"
#include "controller/audumsd/nodes.h"
#include "controller/audumsd/operations.h"
#include "controller/audumsd/show.h"
#include "controller/audumsd/status.h"
#include "controller/audumsd/watch.h"

uint64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

#define SETTLE_AGAIN_MS 2000 /* after the store had failed */

static void on_settle(void *arg)
{
	struct controller *c = arg;

	int left = intent_settle(c->intent);

	if (left)
		loop_timer_arm(c->settle, left > 0 ? 0 : SETTLE_AGAIN_MS, 0);
}

/* First the nodes: what they have to do begins while the rest is being told. */
static void on_committed(void *arg, const struct intent_commit *commit)
{
	struct controller *c = arg;

	nodes_committed(c, commit);
	operations_committed(c->operations, commit->operation);
	status_committed(c, commit);
	/* in the next turn, when what was sent is on the wire */
	loop_timer_arm(c->settle, 0, 0);
}

static void on_opened(void *arg, int status)
{
	*(int *)arg = status;
}

int controller_new(struct controller **out, struct loop *loop, struct store *store,
	const struct controller_options *options)
{
	struct controller *c = calloc(1, sizeof(*c));
	int status = -EINPROGRESS;

	if (!c)
		return -ENOMEM;
	c->loop = loop;
	c->status = status_new(c);
	c->watchers = watchers_new(c);
	c->nodes = nodes_new(c);
	c->operations = operations_new(c);
	c->shows = shows_new(c);
	c->settle = loop_timer_new(loop, on_settle, c);
	if (!c->status || !c->watchers || !c->nodes || !c->operations || !c->shows || !c->settle) {
		controller_free(c);
		return -ENOMEM;
	}
	c->intent = intent_open(store,
		&(struct intent_options){
			.quarantine_ms = options->quarantine_ms,
			.providers = options->providers,
			.n_providers = options->n_providers,
		},
		on_opened, &status);
	if (!c->intent)
		status = -ENOMEM;
	if (status < 0) {
		controller_free(c);
		return status;
	}
	/* from here on commits are heard; one while opening was before there was anybody */
	intent_listen(c->intent, on_committed, c);
	nodes_sync(c);
	operations_load(c->operations);
	*out = c;
	return 0;
}

void controller_free(struct controller *c)
{
	if (!c)
		return;
	shows_free(c->shows);
	operations_free(c->operations);
	nodes_free(c->nodes);
	watchers_free(c->watchers);
	status_free(c->status);
	intent_free(c->intent);
	loop_timer_free(c->settle);
	free(c);
}

int controller_serve(struct controller *c, struct rpc_server *server)
{
	int ret = rpc_server_add(server, api_methods, api_methods_n, c);

	return ret < 0 ? ret : rpc_server_add(server, session_methods, session_methods_n, c);
}

void controller_drain(struct controller *c)
{
	struct node *node;

	for (size_t at = 0; (node = nodes_next(c->nodes, &at));)
		session_end(node, RPC_UNAVAILABLE, "the controller is stopping");
	watchers_release(c->watchers);
	operations_release(c->operations);
}

bool controller_broken(const struct controller *c)
{
	return intent_broken(c->intent);
}
