/* Where packets end that no port or TAP takes; the reason was counted by who sent them here. */
#include "dataplane/nodes/node.h"

static uint16_t drop(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
	rte_pktmbuf_free_bulk((struct rte_mbuf **)objs, n);
	return n;
}

static struct rte_node_register drop_node = {
	.name = "drop",
	.process = drop,
};
RTE_NODE_REGISTER(drop_node)
