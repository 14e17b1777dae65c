"""Crafts VRRP packets with scapy, one for each check of a received packet, and some that look odd and
are good. Shares nothing with viprd's own encoder.

Writes JSON: a list of {group, name, frame (hex), expect, judge}. `group` is the configuration under
which the packet is sent (see crafted.rs), `expect` what has to count it, and `judge` what tshark has to
read in it, so that the packet itself is known to be what its name says.
"""

import hashlib
import hmac
import json
import sys
from socket import AF_INET6, inet_pton

from scapy.all import Ether, IP, IPOption_Router_Alert, IPv6, IPv6ExtHdrDestOpt, Raw, conf
from scapy.layers.vrrp import VRRP, VRRPv3
from scapy.utils import checksum

conf.verb = 0
VIP = ["10.9.0.50"]
VIP6 = ["fe80::50", "2001:db8::50"]
R6, N6 = "fe80::ff:fe00:1", "fe80::ff:fe00:2"
SECRET = b"secret\0\0"
packets = []


def ether(ip, padding=b""):
    frame = bytes(Ether(src="02:00:00:00:00:02", dst="01:00:5e:00:00:12", type=0x0800) / ip)
    return frame + padding


def ip(payload, **fields):
    fields = {"src": "10.9.0.2", "dst": "224.0.0.18", "ttl": 255, "proto": 112, "id": 7, **fields}
    return IP(**fields) / Raw(bytes(payload))


def v3(rfc9568=True, cut=None, tail=b"", head=None, ipfields=None, **fields):
    """A v3 message in an IP packet; scapy's own checksum is that of RFC 5798."""
    fields = {"vrid": 51, "priority": 50, "adv": 100, "addrlist": VIP, **fields}
    given = "chksum" in fields
    carried = IP(src="10.9.0.2", dst="224.0.0.18", ttl=255, proto=112) / VRRPv3(**fields)
    message = bytes(carried[VRRPv3])
    if head is not None:
        message = bytes([head]) + message[1:]
    if (rfc9568 or head is not None) and not given:
        message = message[:6] + b"\0\0" + message[8:]
        message = message[:6] + checksum(message).to_bytes(2, "big") + message[8:]
    return ip((message if cut is None else message[:cut]) + tail, **(ipfields or {}))


def v2(cut=None, tail=b"", auth=b"\0" * 8, head=None, ipfields=None, **fields):
    message = v2_message(auth, head, **fields)
    return ip((message if cut is None else message[:cut]) + tail, **(ipfields or {}))


def v2_message(auth=b"\0" * 8, head=None, **fields):
    fields = {"vrid": 51, "priority": 50, "adv": 1, "addrlist": VIP, **fields}
    fields["auth1"] = int.from_bytes(auth[:4], "big")
    fields["auth2"] = int.from_bytes(auth[4:], "big")
    message = bytes(VRRP(version=2, **fields))
    if head is not None:
        message = bytes([head]) + message[1:]
        message = message[:6] + b"\0\0" + message[8:]
        message = message[:6] + checksum(message).to_bytes(2, "big") + message[8:]
    return message


def ah(sequence, key=SECRET, touch=None, ttl=255, **fields):
    """A v2 message behind an authentication header, by hashlib: as keepalived signs it, or with a
    ttl of 0 as in RFC 2402."""
    message = v2_message(authtype=2, **fields)
    header = bytes([112, 4, 0, 0]) + bytes([10, 9, 0, 2]) + sequence.to_bytes(4, "big")
    still = bytes(IP(src="10.9.0.2", dst="224.0.0.18", ttl=ttl, tos=0, proto=51, id=7, chksum=0,
                     len=20 + 24 + len(message)))
    digest = hmac.new(key, still + header + b"\0" * 12 + message, hashlib.md5).digest()[:12]
    payload = header + digest + message
    if touch is not None:
        payload = payload[:touch] + bytes([payload[touch] ^ 1]) + payload[touch + 1:]
    return ip(payload, proto=51)


def ether6(ip, padding=b""):
    frame = bytes(Ether(src="02:00:00:00:00:02", dst="33:33:00:00:00:12", type=0x86dd) / ip)
    return frame + padding


def v6(rfc9568=True, cut=None, tail=b"", head=None, extension=None, ipfields=None, **fields):
    """A v3 message over IPv6, whose checksum scapy makes; without `rfc9568` it covers the message
    alone."""
    fields = {"vrid": 51, "priority": 50, "adv": 100, "addrlist": VIP6, **fields}
    given = "chksum" in fields
    ipfields = {"src": N6, "dst": "ff02::12", "hlim": 255, "nh": 112, **(ipfields or {})}
    carrier = IPv6(**ipfields)
    message = bytes((carrier / VRRPv3(**fields))[VRRPv3])
    if head is not None:
        message = bytes([head]) + message[1:]
    if (not rfc9568 or head is not None) and not given:
        message = message[:6] + b"\0\0" + message[8:]
        covered = message
        if rfc9568:
            covered = inet_pton(AF_INET6, ipfields["src"]) + inet_pton(AF_INET6, ipfields["dst"]) \
                + len(message).to_bytes(4, "big") + b"\0\0\0\x70" + message
        message = message[:6] + checksum(covered).to_bytes(2, "big") + message[8:]
    payload = Raw((message if cut is None else message[:cut]) + tail)
    if extension is not None:
        return IPv6(**{**ipfields, "nh": 60}) / extension / payload
    return carrier / payload


def add(group, name, packet, *expect, padding=b"", **judge):
    wrap = ether6 if group == "v6" else ether
    packets.append({
        "group": group,
        "name": name,
        "frame": wrap(packet, padding).hex(),
        "expect": list(expect),
        "judge": {key.replace("__", "."): str(value) for key, value in judge.items()},
    })


# Version 3 (RFC 9568 section 7.1, in its order).
for ttl in (254, 64, 1, 0):
    add("v3", f"TTL {ttl}", v3(ipfields={"ttl": ttl}), "router ip_ttl_errors", ip__ttl=ttl)
add("v3", "TTL 254 for nobody", v3(vrid=9, ipfields={"ttl": 254}), "nobody ip_ttl_errors",
    ip__ttl=254, vrrp__virt_rtr_id=9)
for version in (0, 1, 4, 15):
    add("v3", f"version {version}", v3(head=version << 4 | 1), "router version_errors",
        vrrp__version=version)
add("v3", "version 2", v2(), "router version_errors", vrrp__version=2)
add("v3", "version 2 with a wrong checksum", v2(chksum=1), "router version_errors", vrrp__version=2)
for kind in (0, 2, 15):
    add("v3", f"type {kind}", v3(head=0x30 | kind), "router invalid_type_pkts_rcvd", vrrp__type=kind)
add("v3", "cut in the address", v3(cut=10), "router packet_length_errors", ip__len=30)
add("v3", "cut in the header", v3(cut=7), "router packet_length_errors", ip__len=27)
add("v3", "one byte", v3(cut=1), "nobody packet_length_errors", ip__len=21)
add("v3", "count beyond the packet", v3(ipcount=2), "router packet_length_errors", vrrp__addr_count=2)
add("v3", "wrong checksum", v3(chksum=0xbeef), "router checksum_errors", vrrp__checksum__status=0)
add("v3", "wrong checksum for nobody", v3(vrid=9, chksum=0xbeef), "nobody checksum_errors",
    vrrp__checksum__status=0, vrrp__virt_rtr_id=9)
add("v3", "unknown vrid", v3(vrid=52), "nobody vrid_errors", vrrp__virt_rtr_id=52)
add("v3", "vrid 0", v3(vrid=0), "nobody vrid_errors", vrrp__virt_rtr_id=0)
add("v3", "vrid 255", v3(vrid=255), "nobody vrid_errors", vrrp__virt_rtr_id=255)
add("v3", "our own address", v3(ipfields={"src": "10.9.0.1"}), "router own_address_rcvd",
    ip__src="10.9.0.1")
add("v3", "no address", v3(addrlist=[]), "router packet_length_errors", vrrp__addr_count=0)
add("v3", "interval 0", v3(adv=0), "router interval_errors", vrrp__short_adver_int=0)
add("v3", "interval 0 with reserved bits", v3(adv=0, res=15), "router interval_errors",
    vrrp__reserved_mbz=15, vrrp__short_adver_int=0)
GOOD = "router advertisement_rcvd"
add("v3", "good, RFC 9568", v3(), GOOD, vrrp__checksum__status=1)
add("v3", "good, RFC 5798", v3(rfc9568=False), GOOD, vrrp__prio=50)
add("v3", "another interval", v3(adv=250), "router interval_errors", GOOD, vrrp__short_adver_int=250)
add("v3", "another address", v3(addrlist=["10.9.0.51"]), "router address_list_errors", GOOD,
    vrrp__ip_addr="10.9.0.51")
add("v3", "more addresses", v3(addrlist=VIP + ["10.9.0.51"]), "router address_list_errors", GOOD,
    vrrp__addr_count=2)
add("v3", "reserved bits", v3(res=15), GOOD, vrrp__reserved_mbz=15, vrrp__short_adver_int=100)
add("v3", "IP options", v3(ipfields={"options": [IPOption_Router_Alert()]}), GOOD, ip__hdr_len=24)
add("v3", "Ethernet padding", v3(), GOOD, padding=b"\xee" * 14, frame__len=60, ip__len=32)
add("v3", "trailing bytes", v3(tail=b"\xaa" * 28), GOOD, ip__len=60)

# A message that sums to 0xffff has a checksum of zero, which is written in two ways.
LACKS = checksum(bytes(v3(chksum=0, addrlist=["10.9.0.0"]))[20:])
ZERO = [f"10.9.{LACKS >> 8}.{LACKS & 255}"]
for zero in ("0x0000", "0xffff"):
    add("v3", f"checksum {zero}", v3(chksum=int(zero, 16), addrlist=ZERO),
        "router address_list_errors", GOOD, vrrp__checksum=zero, vrrp__checksum__status=1)

# Version 3 over IPv6, in the same order.
for hops in (254, 64, 1, 0):
    add("v6", f"hop limit {hops}", v6(ipfields={"hlim": hops}), "router ip_ttl_errors",
        ipv6__hlim=hops)
add("v6", "hop limit 254 for nobody", v6(vrid=9, ipfields={"hlim": 254}), "nobody ip_ttl_errors",
    ipv6__hlim=254, vrrp__virt_rtr_id=9)
for version in (0, 1, 2, 4, 15):
    add("v6", f"version {version}", v6(head=version << 4 | 1), "router version_errors",
        vrrp__version=version)
for kind in (0, 2, 15):
    add("v6", f"type {kind}", v6(head=0x30 | kind), "router invalid_type_pkts_rcvd", vrrp__type=kind)
add("v6", "cut in an address", v6(cut=39), "router packet_length_errors", ipv6__plen=39)
add("v6", "cut in the header", v6(cut=7), "router packet_length_errors", ipv6__plen=7)
add("v6", "one byte", v6(cut=1), "nobody packet_length_errors", ipv6__plen=1)
add("v6", "count beyond the packet", v6(ipcount=3), "router packet_length_errors",
    vrrp__addr_count=3)
add("v6", "wrong checksum", v6(chksum=0xbeef), "router checksum_errors", vrrp__checksum__status=0)
add("v6", "wrong checksum for nobody", v6(vrid=9, chksum=0xbeef), "nobody checksum_errors",
    vrrp__checksum__status=0, vrrp__virt_rtr_id=9)
add("v6", "a checksum of the message alone", v6(rfc9568=False), "router checksum_errors",
    vrrp__checksum__status=0)
add("v6", "unknown vrid", v6(vrid=52), "nobody vrid_errors", vrrp__virt_rtr_id=52)
add("v6", "vrid 0", v6(vrid=0), "nobody vrid_errors", vrrp__virt_rtr_id=0)
add("v6", "our own address", v6(ipfields={"src": R6}), "router own_address_rcvd", ipv6__src=R6)
add("v6", "to us alone", v6(ipfields={"dst": R6}), "router destination_errors", ipv6__dst=R6)
add("v6", "no address", v6(addrlist=[]), "router packet_length_errors", vrrp__addr_count=0)
add("v6", "interval 0", v6(adv=0), "router interval_errors", vrrp__short_adver_int=0)
add("v6", "interval 0 with reserved bits", v6(adv=0, res=15), "router interval_errors",
    vrrp__reserved_mbz=15, vrrp__short_adver_int=0)
add("v6", "good", v6(), GOOD, vrrp__checksum__status=1)
add("v6", "another interval", v6(adv=250), "router interval_errors", GOOD, vrrp__short_adver_int=250)
add("v6", "another address", v6(addrlist=["fe80::50", "2001:db8::51"]),
    "router address_list_errors", GOOD, vrrp__addr_count=2)
add("v6", "an address that is not link-local first", v6(addrlist=VIP6[::-1]),
    "router address_list_errors", GOOD, vrrp__ipv6_addr="2001:db8::50,fe80::50")
add("v6", "fewer addresses", v6(addrlist=VIP6[:1]), "router address_list_errors", GOOD,
    vrrp__addr_count=1)
add("v6", "reserved bits", v6(res=15), GOOD, vrrp__reserved_mbz=15, vrrp__short_adver_int=100)
add("v6", "an extension header", v6(extension=IPv6ExtHdrDestOpt(nh=112)), GOOD, ipv6__nxt=60)
add("v6", "trailing bytes", v6(tail=b"\xaa" * 28), GOOD, ipv6__plen=68)
add("v6", "Ethernet padding", v6(), GOOD, padding=b"\xee" * 14, ipv6__plen=40)

# Version 2 (RFC 3768 section 7.1).
add("v2", "TTL 254", v2(ipfields={"ttl": 254}), "router ip_ttl_errors", ip__ttl=254)
add("v2", "version 3", v3(), "router version_errors", vrrp__version=3)
add("v2", "version 1", v2(head=0x11), "router version_errors", vrrp__version=1)
add("v2", "type 2", v2(head=0x22), "router invalid_type_pkts_rcvd", vrrp__type=2)
add("v2", "authentication data cut", v2(cut=19), "router packet_length_errors", ip__len=39)
add("v2", "count beyond the packet", v2(ipcount=9), "router packet_length_errors", vrrp__addr_count=9)
add("v2", "wrong checksum", v2(chksum=0xbeef), "router checksum_errors", vrrp__checksum__status=0)
add("v2", "unknown vrid", v2(vrid=52), "nobody vrid_errors", vrrp__virt_rtr_id=52)
add("v2", "our own address", v2(ipfields={"src": "10.9.0.1"}), "router own_address_rcvd",
    ip__src="10.9.0.1")
add("v2", "authentication type 3", v2(authtype=3), "router invalid_auth_type", vrrp__auth_type=3)
add("v2", "a password", v2(authtype=1, auth=SECRET), "router auth_type_mismatch", vrrp__auth_type=1)
add("v2", "type 2 without a header", v2(authtype=2), "router auth_type_mismatch", vrrp__auth_type=2)
add("v2", "no address", v2(addrlist=[]), "router packet_length_errors", vrrp__addr_count=0)
add("v2", "interval 0", v2(adv=0), "router interval_errors", vrrp__adver_int=0)
add("v2", "interval 2", v2(adv=2), "router interval_errors", vrrp__adver_int=2)
add("v2", "another address", v2(addrlist=["10.9.0.51"]), "router address_list_errors", GOOD,
    vrrp__ip_addr="10.9.0.51")
add("v2", "good", v2(), GOOD, vrrp__checksum__status=1, vrrp__auth_type=0)
add("v2", "authentication data that type 0 ignores", v2(auth=b"whatever"), GOOD, vrrp__auth_type=0)
add("v2", "IP options", v2(ipfields={"options": [IPOption_Router_Alert()]}), GOOD, ip__hdr_len=24)
add("v2", "Ethernet padding", v2(), GOOD, padding=b"\xee" * 6, frame__len=60, ip__len=40)
add("v2", "trailing bytes", v2(tail=b"\xaa" * 28), GOOD, ip__len=68)

# Strictly version 2: other addresses are refused, unless their owner sends them.
add("strict", "another address", v2(addrlist=["10.9.0.51"]), "router address_list_errors",
    vrrp__ip_addr="10.9.0.51")

# A password (RFC 2338 section 5.3.6.2).
add("pass", "the password", v2(authtype=1, auth=SECRET), GOOD, vrrp__auth_string="secret")
add("pass", "another password", v2(authtype=1, auth=b"secreT\0\0"), "router auth_failures",
    vrrp__auth_string="secreT")
add("pass", "no password", v2(), "router auth_type_mismatch", vrrp__auth_type=0)
add("pass", "a header", v2(authtype=2), "router auth_type_mismatch", vrrp__auth_type=2)
add("pass", "type 9", v2(authtype=9), "router invalid_auth_type", vrrp__auth_type=9)

# An authentication header (RFC 2338 section 5.3.6.3).
add("ah", "a signature", ah(10), GOOD, ip__proto=51, ah__sequence=10)
add("ah", "the same again", ah(10), "router auth_replays", ah__sequence=10)
add("ah", "an older one", ah(9), "router auth_replays", ah__sequence=9)
add("ah", "another key", ah(11, key=b"secreT\0\0"), "router auth_failures", ah__sequence=11)
add("ah", "a changed signature", ah(11, touch=12), "router auth_failures", ah__sequence=11)
add("ah", "a changed index", ah(11, touch=7), "router auth_failures", ah__sequence=11)
add("ah", "a changed priority", ah(11, touch=26), "router checksum_errors", ah__sequence=11)
add("ah", "no header", v2(authtype=2), "router auth_failures", vrrp__auth_type=2)
add("ah", "no authentication", v2(), "router auth_type_mismatch", vrrp__auth_type=0)
add("ah", "a password", v2(authtype=1, auth=SECRET), "router auth_type_mismatch", vrrp__auth_type=1)
add("ah", "a later signature", ah(4000), GOOD, ah__sequence=4000)
add("ah", "a signature of RFC 2402", ah(4001, ttl=0), GOOD, ah__sequence=4001)

json.dump(packets, sys.stdout)
