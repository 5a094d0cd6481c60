/*
 * The ethdev back end: any DPDK device, one queue each way for now.
 *
 * Invariant: what the device cannot do (interrupts, link events) is found out once, at opening, and
 * shows as rx_fd or link_fd -1; the calls then need no further checks.
 */
#include "dataplane/port/port.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_dev.h>
#include <rte_ethdev.h>

#include "proto/lib/log.h"

#define DESC_DEFAULT 512

struct ethdev {
	uint16_t id;
	bool lsc;          /* the callback is registered */
	bool probed;       /* we attached it */
	bool intr;         /* configured with rx interrupts */
	bool rmv;          /* the callback for removal is registered */
	bool gone;         /* the device was taken away; set in EAL's interrupt thread */
	uint16_t segs_max; /* pieces that a frame may have for the device */
};

static uint16_t ethdev_rx_burst(
	struct port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	const struct ethdev *dev = port->priv;
	const uint16_t got = rte_eth_rx_burst(dev->id, queue, pkts, n);
	uint64_t octets = 0;
	uint16_t i;

	for (i = 0; i < got; i++) {
		pkts[i]->port = port->id;
		octets += pkts[i]->pkt_len;
	}
	port->stats.rx_packets += got;
	port->stats.rx_bytes += octets;
	return got;
}

/* What the device would not take in so many pieces, in one; in its place in `pkts`. Frames for
 * which there is no room end here. Returns how many are left. */
static uint16_t frames_join(
	struct port *port, const struct ethdev *dev, struct rte_mbuf **pkts, uint16_t n)
{
	uint16_t left = 0;

	for (uint16_t i = 0; i < n; i++) {
		struct rte_mbuf *m = pkts[i];

		if (m->nb_segs > dev->segs_max) {
			struct rte_mbuf *one = rte_pktmbuf_copy(m, port->pool, 0, UINT32_MAX);

			rte_pktmbuf_free(m);
			if (one == NULL || one->nb_segs > dev->segs_max) {
				rte_pktmbuf_free(one);
				port->stats.tx_drops++;
				continue;
			}
			m = one;
		}
		pkts[left++] = m;
	}
	return left;
}

static uint16_t ethdev_tx_burst(
	struct port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	const struct ethdev *dev = port->priv;
	uint64_t octets = 0;
	uint16_t i, sent, segs = 1;

	for (i = 0; i < n; i++)
		if (pkts[i]->nb_segs > segs)
			segs = pkts[i]->nb_segs;
	if (unlikely(segs > dev->segs_max))
		n = frames_join(port, dev, pkts, n);
	/* counted before, as the device may free them at once */
	for (i = 0; i < n; i++)
		octets += pkts[i]->pkt_len;
	sent = rte_eth_tx_burst(dev->id, queue, pkts, n);
	for (i = sent; i < n; i++)
		octets -= pkts[i]->pkt_len;
	if (sent < n) {
		rte_pktmbuf_free_bulk(pkts + sent, (unsigned int)(n - sent));
		port->stats.tx_drops += (uint64_t)n - sent;
	}
	port->stats.tx_packets += sent;
	port->stats.tx_bytes += octets;
	return sent;
}

static int ethdev_link_update(struct port *port, bool *changed)
{
	const struct ethdev *dev = port->priv;
	struct rte_eth_link link = {0};
	uint64_t events;
	bool up;
	int rc;

	if (port->link_fd >= 0 && read(port->link_fd, &events, sizeof(events)) < 0 &&
		errno != EAGAIN)
		return -errno;
	if (__atomic_load_n(&dev->gone, __ATOMIC_ACQUIRE))
		rc = 0; /* and link says down */
	else
		rc = rte_eth_link_get_nowait(dev->id, &link);
	up = rc == 0 && link.link_status == RTE_ETH_LINK_UP;
	if (changed != NULL)
		*changed = up != port->link_up;
	port->link_up = up;
	return rc;
}

/* Runs in EAL's interrupt thread. */
static int ethdev_link_event(uint16_t id, enum rte_eth_event_type event, void *arg, void *ret)
{
	const struct port *port = arg;
	const uint64_t one = 1;

	RTE_SET_USED(id);
	RTE_SET_USED(event);
	RTE_SET_USED(ret);
	if (write(port->link_fd, &one, sizeof(one)) < 0)
		return -errno;
	return 0;
}

/* The device is being taken away (RTE_ETH_EVENT_INTR_RMV); in EAL's interrupt thread. Its link is
 * down from now on; the port opens again with the next forwarding process. */
static int ethdev_removed(uint16_t id, enum rte_eth_event_type event, void *arg, void *ret)
{
	struct port *port = arg;
	struct ethdev *dev = port->priv;

	__atomic_store_n(&dev->gone, true, __ATOMIC_RELEASE);
	log_error("port_removed", "port=%s device=%s", port->spec.name, port->spec.device);
	return port->link_fd >= 0 ? ethdev_link_event(id, event, arg, ret) : 0;
}

static int ethdev_sleep_arm(struct port *port, uint16_t queue)
{
	const struct ethdev *dev = port->priv;

	return rte_eth_dev_rx_intr_enable(dev->id, queue) < 0 ? -ENOTSUP : 0;
}

static void ethdev_sleep_disarm(struct port *port, uint16_t queue)
{
	const struct ethdev *dev = port->priv;
	struct pollfd pfd = {.fd = port->rx_fd, .events = POLLIN};
	uint64_t events;

	rte_eth_dev_rx_intr_disable(dev->id, queue);
	/* an eventfd in VFIO's way: clear what was signalled, else the next sleep ends at once */
	if (poll(&pfd, 1, 0) == 1 && read(port->rx_fd, &events, sizeof(events)) < 0)
		log_debug("ethdev_interrupt_read", "port=%s errno=%d", port->spec.name, errno);
}

static void ethdev_stats_refresh(struct port *port)
{
	const struct ethdev *dev = port->priv;
	struct rte_eth_stats stats;

	if (rte_eth_stats_get(dev->id, &stats) == 0)
		port->stats.rx_kernel_drops = stats.imissed + stats.rx_nombuf;
}

static void ethdev_close(struct port *port)
{
	struct ethdev *dev = port->priv;

	if (dev->lsc)
		rte_eth_dev_callback_unregister(
			dev->id, RTE_ETH_EVENT_INTR_LSC, ethdev_link_event, port);
	if (dev->rmv)
		rte_eth_dev_callback_unregister(
			dev->id, RTE_ETH_EVENT_INTR_RMV, ethdev_removed, port);
	(void)rte_eth_dev_stop(dev->id);
	if (dev->probed)
		(void)rte_eth_dev_close(dev->id);
	if (port->link_fd >= 0)
		close(port->link_fd);
	port->link_fd = -1;
	free(dev);
	port->priv = NULL;
}

static const struct port_ops ethdev_ops = {
	.name = "ethdev",
	.rx_burst = ethdev_rx_burst,
	.tx_burst = ethdev_tx_burst,
	.link_update = ethdev_link_update,
	.sleep_arm = ethdev_sleep_arm,
	.sleep_disarm = ethdev_sleep_disarm,
	.stats_refresh = ethdev_stats_refresh,
	.close = ethdev_close,
};

/* Find the device that `name` (PCI address, device name or vdev arguments) means; probe it if
 * absent. */
static int ethdev_find(const char *name, uint16_t *id, bool *probed)
{
	char plain[PORT_DEVICE_SIZE];
	struct rte_dev_iterator iterator;
	uint16_t found, match = RTE_MAX_ETHPORTS;
	int rc;

	snprintf(plain, sizeof(plain), "%s", name);
	plain[strcspn(plain, ",")] = '\0';
	if (rte_eth_dev_get_port_by_name(plain, id) == 0)
		return 0;
	rc = rte_dev_probe(name);
	if (rc < 0)
		return rc;
	*probed = true;
	if (rte_eth_dev_get_port_by_name(plain, id) == 0)
		return 0;
	RTE_ETH_FOREACH_MATCHING_DEV(found, name, &iterator)
	{
		match = found;
		rte_eth_iterator_cleanup(&iterator);
		break;
	}
	if (match == RTE_MAX_ETHPORTS)
		return -ENODEV;
	*id = match;
	return 0;
}

/* The largest MTU that the device takes: its own word, or what its largest frame leaves. */
static uint32_t mtu_max(const struct rte_eth_dev_info *info)
{
	if (info->max_mtu != 0 && info->max_mtu != UINT16_MAX)
		return info->max_mtu;
	if (info->max_rx_pktlen > RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN + RTE_ETHER_MIN_MTU)
		return info->max_rx_pktlen - RTE_ETHER_HDR_LEN - RTE_ETHER_CRC_LEN;
	return UINT32_MAX;
}

/* `intr`: with rx interrupts if it can; dev->intr says whether. */
static int ethdev_configure(
	struct port *port, const struct port_options *options, struct ethdev *dev, bool intr)
{
	struct rte_eth_conf conf = {0};
	struct rte_eth_dev_info info;
	const uint16_t room =
		(uint16_t)(rte_pktmbuf_data_room_size(port->pool) - RTE_PKTMBUF_HEADROOM);
	uint16_t rx_desc = options->rx_desc != 0 ? options->rx_desc : DESC_DEFAULT;
	uint16_t tx_desc = options->tx_desc != 0 ? options->tx_desc : DESC_DEFAULT;
	int socket, rc;

	rc = rte_eth_dev_info_get(dev->id, &info);
	if (rc < 0)
		return rc;
	if (port->mtu > mtu_max(&info)) {
		log_warn("port_mtu_reduced", "port=%s mtu=%u device_max=%u", port->spec.name,
			port->mtu, mtu_max(&info));
		port->mtu = mtu_max(&info);
	}
	conf.rxmode.mtu = port->mtu;
	if (port->mtu + RTE_ETHER_HDR_LEN + 2 * RTE_VLAN_HLEN > room) {
		if ((info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER) != 0)
			conf.rxmode.offloads |= RTE_ETH_RX_OFFLOAD_SCATTER;
		else
			log_warn("port_no_scatter", "port=%s mtu=%u mbuf_room=%u", port->spec.name,
				port->mtu, room);
	}
	/* some devices stop their queue for good when a frame has more pieces than they take */
	dev->segs_max = 1;
	if ((info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0) {
		conf.txmode.offloads |= RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
		dev->segs_max = info.tx_desc_lim.nb_mtu_seg_max;
		if (dev->segs_max == 0)
			dev->segs_max = UINT16_MAX;
	}
	dev->lsc = info.dev_flags != NULL && (*info.dev_flags & RTE_ETH_DEV_INTR_LSC) != 0;
	conf.intr_conf.lsc = dev->lsc;
	conf.intr_conf.rxq = intr;
	rc = rte_eth_dev_configure(dev->id, 1, 1, &conf);
	if (rc < 0 && intr) { /* no rx interrupts, or it does not know the MTU: take what it has */
		conf.intr_conf.rxq = 0;
		rc = rte_eth_dev_configure(dev->id, 1, 1, &conf);
	}
	if (rc < 0)
		return rc;
	socket = rte_eth_dev_socket_id(dev->id);
	rc = rte_eth_dev_adjust_nb_rx_tx_desc(dev->id, &rx_desc, &tx_desc);
	if (rc < 0)
		return rc;
	rc = rte_eth_rx_queue_setup(dev->id, 0, rx_desc, (unsigned int)socket, NULL, port->pool);
	if (rc < 0)
		return rc;
	rc = rte_eth_tx_queue_setup(dev->id, 0, tx_desc, (unsigned int)socket, NULL);
	if (rc < 0)
		return rc;
	dev->intr = conf.intr_conf.rxq != 0;
	return 0;
}

int ethdev_port_open(struct port *port, const struct port_options *options)
{
	struct ethdev *dev = calloc(1, sizeof(*dev));
	struct rte_ether_addr mac;
	int rc;

	if (dev == NULL)
		return -ENOMEM;
	port->priv = dev;
	port->ops = &ethdev_ops;
	if (options->ethdev_id >= 0) {
		dev->id = (uint16_t)options->ethdev_id;
		rc = rte_eth_dev_is_valid_port(dev->id) ? 0 : -ENODEV;
	} else {
		rc = ethdev_find(port->spec.device, &dev->id, &dev->probed);
	}
	if (rc < 0)
		goto fail;
	rc = ethdev_configure(port, options, dev, true);
	if (rc < 0)
		goto fail;
	dev->rmv = rte_eth_dev_callback_register(
			   dev->id, RTE_ETH_EVENT_INTR_RMV, ethdev_removed, port) == 0;
	if (dev->lsc) {
		port->link_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (port->link_fd < 0 ||
			rte_eth_dev_callback_register(
				dev->id, RTE_ETH_EVENT_INTR_LSC, ethdev_link_event, port) < 0) {
			dev->lsc = false;
			/* it would never be readable: be asked instead */
			if (port->link_fd >= 0)
				close(port->link_fd);
			port->link_fd = -1;
		}
	}
	rc = rte_eth_dev_start(dev->id);
	if (rc < 0 && dev->intr) { /* several drivers want their interrupts only now */
		(void)rte_eth_dev_stop(dev->id);
		rc = ethdev_configure(port, options, dev, false);
		if (rc == 0)
			rc = rte_eth_dev_start(dev->id);
	}
	if (rc < 0)
		goto fail;
	if (dev->intr) {
		port->rx_fd = rte_eth_dev_rx_intr_ctl_q_get_fd(dev->id, 0);
		if (port->rx_fd >= 0 && rte_eth_dev_rx_intr_enable(dev->id, 0) < 0)
			port->rx_fd = -1;
		if (port->rx_fd >= 0)
			rte_eth_dev_rx_intr_disable(dev->id, 0);
	}
	rc = rte_eth_promiscuous_enable(dev->id);
	if (rc < 0)
		log_warn("port_not_promiscuous", "port=%s error=\"%s\"", port->spec.name,
			rte_strerror(-rc));
	rc = rte_eth_macaddr_get(dev->id, &mac);
	if (rc < 0)
		goto stop;
	memcpy(port->mac, mac.addr_bytes, sizeof(port->mac));
	(void)ethdev_link_update(port, NULL);
	return 0;
stop:
	(void)rte_eth_dev_stop(dev->id);
fail:
	if (dev->lsc && port->link_fd >= 0)
		rte_eth_dev_callback_unregister(
			dev->id, RTE_ETH_EVENT_INTR_LSC, ethdev_link_event, port);
	if (dev->rmv)
		rte_eth_dev_callback_unregister(
			dev->id, RTE_ETH_EVENT_INTR_RMV, ethdev_removed, port);
	if (port->link_fd >= 0)
		close(port->link_fd);
	port->link_fd = -1;
	port->rx_fd = -1;
	if (dev->probed)
		(void)rte_eth_dev_close(dev->id);
	free(dev);
	port->priv = NULL;
	return rc;
}
