/*
 * Builds and sends announcements; called when a workload moves.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/icmp6.h>
#include <netinet/if_ether.h>
#include <netinet/ip6.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "controller/ctl/lab/announce.h"

static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static const uint8_t all_nodes_mac[6] = {0x33, 0x33, 0, 0, 0, 1};

static size_t put_ethernet(uint8_t *out, const uint8_t dst[6], const uint8_t src[6], uint16_t type)
{
	struct ether_header eth = {.ether_type = htons(type)};

	memcpy(eth.ether_dhost, dst, 6);
	memcpy(eth.ether_shost, src, 6);
	memcpy(out, &eth, sizeof(eth));
	return sizeof(eth);
}

size_t announce_arp(uint8_t out[ANNOUNCE_MAX], const uint8_t mac[6], struct in_addr address)
{
	struct ether_arp arp = {
		.ea_hdr = {.ar_hrd = htons(ARPHRD_ETHER),
			.ar_pro = htons(ETHERTYPE_IP),
			.ar_hln = 6,
			.ar_pln = 4,
			.ar_op = htons(ARPOP_REQUEST)},
	};
	size_t n = put_ethernet(out, broadcast, mac, ETHERTYPE_ARP);

	memcpy(arp.arp_sha, mac, 6);
	memcpy(arp.arp_spa, &address, 4);
	memcpy(arp.arp_tpa, &address, 4);
	memcpy(out + n, &arp, sizeof(arp));
	return n + sizeof(arp);
}

static uint32_t sum_words(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	return sum;
}

size_t announce_na(uint8_t out[ANNOUNCE_MAX], const uint8_t mac[6], const struct in6_addr *address)
{
	struct {
		struct nd_neighbor_advert na;
		struct nd_opt_hdr opt;
		uint8_t mac[6];
	} body = {
		.na = {.nd_na_type = ND_NEIGHBOR_ADVERT,
			.nd_na_flags_reserved = ND_NA_FLAG_OVERRIDE,
			.nd_na_target = *address},
		.opt = {.nd_opt_type = ND_OPT_TARGET_LINKADDR, .nd_opt_len = 1},
	};
	struct ip6_hdr ip = {
		.ip6_flow = htonl(6u << 28),
		.ip6_plen = htons(sizeof(body)),
		.ip6_nxt = IPPROTO_ICMPV6,
		.ip6_hlim = 255,
		.ip6_src = *address,
	};
	size_t n = put_ethernet(out, all_nodes_mac, mac, ETHERTYPE_IPV6);
	uint32_t sum;

	inet_pton(AF_INET6, "ff02::1", &ip.ip6_dst);
	memcpy(body.mac, mac, 6);
	sum = sum_words(&ip.ip6_src, 16) + sum_words(&ip.ip6_dst, 16) + (uint32_t)sizeof(body) +
	      IPPROTO_ICMPV6 + sum_words(&body, sizeof(body));
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	body.na.nd_na_cksum = htons((uint16_t)~sum);
	memcpy(out + n, &ip, sizeof(ip));
	n += sizeof(ip);
	memcpy(out + n, &body, sizeof(body));
	return n + sizeof(body);
}

static int device_mac(int fd, const char *device, uint8_t mac[6])
{
	struct ifreq ifr = {0};

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", device);
	if (ioctl(fd, SIOCGIFHWADDR, &ifr))
		return -errno;
	memcpy(mac, ifr.ifr_hwaddr.sa_data, 6);
	return 0;
}

int announce_address(const char *device, const char *cidr)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_halen = 6};
	uint8_t frame[ANNOUNCE_MAX], mac[6];
	char text[64];
	struct in6_addr a6;
	struct in_addr a4;
	size_t len;
	int fd, ret;

	snprintf(text, sizeof(text), "%.*s", (int)strcspn(cidr, "/"), cidr);
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	ret = device_mac(fd, device, mac);
	if (ret)
		goto out;
	if (inet_pton(AF_INET, text, &a4) == 1) {
		len = announce_arp(frame, mac, a4);
	} else if (inet_pton(AF_INET6, text, &a6) == 1) {
		len = announce_na(frame, mac, &a6);
	} else {
		ret = -EINVAL;
		goto out;
	}
	to.sll_ifindex = (int)if_nametoindex(device);
	memcpy(to.sll_addr, frame, 6);
	if (sendto(fd, frame, len, 0, (struct sockaddr *)&to, sizeof(to)) < 0)
		ret = -errno;
out:
	close(fd);
	return ret;
}
