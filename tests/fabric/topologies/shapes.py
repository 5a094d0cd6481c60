"""Topologies as text, for what no file of topology/ shows."""
import json

LETTERS = "āčēģīķļņšūž ĀČĒĢĪĶĻŅŠŪŽ"
TEXT_MAX = 255  # octets

PROVIDER = {"name": "visi", "asns": {"first": 64512, "last": 64611},
            "vnis": {"first": 1000, "last": 1999},
            "vteps": "10.254.1.0/24", "links": "10.253.1.0/24"}


def text(document):
    """A document as a file: JSON is YAML. One line an object, so that places can be named."""
    out = ""
    for kind, objects in document.items():
        out += f"{kind}:\n" + "".join("- %s\n" % json.dumps(o, ensure_ascii=False)
                                      for o in objects)
    return out


def link(name, a, b, provider="visi", **more):
    (a_node, a_port), (b_node, b_port) = a, b
    return {"name": name, "provider": provider, "a": {"node": a_node, "port": a_port},
            "b": {"node": b_node, "port": b_port}, **more}


def ring(count, chords=()):
    """Nodes n1..nCOUNT in a ring, one a site, and chords [(1, 5), ...]."""
    used = {}

    def port(node):
        used[node] = used.get(node, 0) + 1
        return f"n{node}", f"up{used[node] - 1}"

    pairs = [(i, i % count + 1) for i in range(1, count + 1)] if count > 1 else []
    return {
        "providers": [PROVIDER],
        "sites": [{"name": f"s{i}", "provider": "visi"} for i in range(1, count + 1)],
        "nodes": [{"name": f"n{i}", "provider": "visi", "site": f"s{i}", "access_ports": ["p1"]}
                  for i in range(1, count + 1)],
        "links": [link(f"l{a}-{b}", port(a), port(b)) for a, b in [*pairs, *chords]],
    }


def longest(what, length, last=""):
    """The longest name allowed: `length` characters, told apart by the end."""
    return (what + "-" + "x" * length)[:length - len(last)] + last


def everything_long():
    r"""Each name as long as it may be, letters of Latvia wherever text is free.

            a1 === b1      two parallel links; a1 and a2 are at one site
             \     |
              \    |
               a2--+
    """
    provider, labels = longest("provider", 31), [
        {"key": longest("key", 63), "value": LETTERS + "ž" * ((TEXT_MAX - 45) // 2)}]
    free = {"display_name": LETTERS + "ū" * ((TEXT_MAX - 45) // 2), "labels": labels,
            "provider": provider}
    a1, a2, b1 = (longest("node", 31, e) for e in ("a1", "a2", "b1"))
    site_a, site_b = longest("site", 31, "a"), longest("site", 31, "b")
    access, up = [longest("access", 14, str(i)) for i in (1, 2)], [longest("up", 14, str(i))
                                                                  for i in range(3)]
    risk = longest("risk", 31)

    def long_link(end, a, b):
        return link(longest("link", 31, end), a, b, **free, capacity_mbps=10000000,
                    latency_us=1000000, shared_risk_groups=[risk])

    return {
        "providers": [{**PROVIDER, "name": provider, "display_name": free["display_name"],
                       "labels": labels}],
        "sites": [{"name": s, "location": LETTERS + "ķ" * ((TEXT_MAX - 45) // 2), **free}
                  for s in (site_a, site_b)],
        "nodes": [{"name": n, "site": s, "access_ports": access, **free}
                  for n, s in ((a1, site_a), (a2, site_a), (b1, site_b))],
        "links": [long_link("1", (a1, up[0]), (b1, up[0])),
                  long_link("2", (a1, up[1]), (b1, up[1])),
                  long_link("3", (a1, up[2]), (a2, up[0])),
                  long_link("4", (a2, up[1]), (b1, up[2]))],
    }


def several_mtus():
    """wide1 ==9216== wide2 --1550-- narrow: 9,000 octets pass where they fit, 1,500 everywhere."""
    document = {
        "providers": [PROVIDER],
        "sites": [{"name": n, "provider": "visi"} for n in ("wide", "hub", "narrow", "far")],
        "nodes": [{"name": n + "1", "provider": "visi", "site": n, "access_ports": ["p1", "p2"]}
                  for n in ("wide", "hub", "narrow", "far")],
        "links": [link("wide-hub", ("wide1", "up0"), ("hub1", "up0"), mtu=9216),
                  link("far-hub", ("far1", "up0"), ("hub1", "up1"), mtu=9050),
                  link("far-narrow", ("far1", "up1"), ("narrow1", "up0"), mtu=1550)],
    }
    return document
