"""Ethernet, IPv4, UDP and VXLAN by hand, so that each field can be wrong; and a sender of them.

As a program, in the namespace where the device is:  frames.py DEVICE < lines of hex
"""
import socket
import struct
import sys


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total >> 16) + (total & 0xffff)
    return ~total & 0xffff


def ethernet(destination, source, payload, kind=0x0800):
    return mac(destination) + mac(source) + struct.pack("!H", kind) + payload


def ipv4(source, destination, payload, protocol=17, length=None, first=0x45, fragment=0, bad=0):
    """length: what the header says; bad: added to the right checksum."""
    header = struct.pack("!BBHHHBBH4s4s", first, 0, 20 + len(payload) if length is None else length,
                         1, fragment, 64, protocol, 0, socket.inet_aton(source),
                         socket.inet_aton(destination))
    value = (checksum(header) + bad) & 0xffff
    return header[:10] + struct.pack("!H", value) + header[12:] + payload


def udp(payload, length=None, port=4789):
    return struct.pack("!HHHH", 50000, port, 8 + len(payload) if length is None else length,
                       0) + payload


def vxlan(vni, payload, flags=0x08):
    return struct.pack("!BxxxI", flags, vni << 8) + payload


def send(device, frames):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    s.bind((device, 0))
    for frame in frames:
        s.send(frame)


if __name__ == "__main__":
    send(sys.argv[1], [bytes.fromhex(line) for line in sys.stdin.read().split()])
