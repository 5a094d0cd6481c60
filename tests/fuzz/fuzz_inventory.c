/* The port inventory's parser on arbitrary octets: no crash, and what it takes is valid. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/port/inventory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct inventory inventory;
	static char sink[65536];
	FILE *errors = fmemopen(sink, sizeof(sink), "w");
	unsigned int i;

	if (errors == NULL)
		return 0;
	if (inventory_parse("f", (const char *)data, size, &inventory, errors) == 0) {
		for (i = 0; i < inventory.n; i++) {
			struct port_spec spec = inventory.ports[i].spec;

			spec.tap_ifindex = spec.wire_ifindex = 1;
			spec.mac[5] = 1;
			spec.mtu = 1500;
			if (port_spec_check(&spec, NULL) < 0)
				abort();
		}
	}
	fclose(errors);
	return 0;
}
