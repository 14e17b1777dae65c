//! Addresses that take no traffic (`no_accept`, `vrrp_strict`): one nftables table of ours.
//!
//! ```text
//! table inet viprd {            # flags owner: it goes with our socket, also after a crash
//!   set addresses4 { type ipv4_addr; }
//!   set addresses6 { type ipv6_addr; }
//!   chain input {
//!     type filter hook input priority -1; policy accept;
//!     ip daddr @addresses4 drop
//!     icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
//!     ip6 daddr @addresses6 drop
//!   }
//! }
//! ```
//!
//! All such addresses are in the sets all the time, not only while their router is Active: what is
//! addressed to them reaches the input hook only where they are local. So nothing is asked of
//! netfilter on a change of state, and no address is there before its rule. ARP doesn't pass these
//! hooks, and neighbour discovery is let through (RFC 9568 section 6.4.3: it is answered in either
//! Accept_Mode).
//!
//! Messages are those of `linux/netfilter/nf_tables.h`, in batches that the kernel takes as a whole
//! or not at all. Numbers in them are big-endian.

use std::collections::BTreeSet;
use std::net::IpAddr;

use zerocopy::IntoBytes;

use super::reader::{self, AttributeHeader, Content, MessageHeader, aligned};

/// Most addresses in a batch: 14 kB if they are of IPv6.
const BATCH: usize = 500;
/// A buffer of this many bytes has room for any batch.
const LONGEST: usize = 16 * 1024;

const REQUEST: u16 = libc::NLM_F_REQUEST as u16;
const ACK: u16 = libc::NLM_F_ACK as u16;
const CREATE: u16 = (libc::NLM_F_CREATE | libc::NLM_F_APPEND) as u16;
/// `NFNL_MSG_BATCH_BEGIN` and `NFNL_MSG_BATCH_END`.
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
/// `NLA_F_NESTED`.
const NESTED: u16 = 1 << 15;
/// `NFT_TABLE_F_OWNER`, Linux 5.12.
const OWNER: u32 = 2;
/// `NFPROTO_INET`, for IPv4 and IPv6 alike.
const INET: u8 = 1;

const CHAIN: &str = "input";
const IPV4: Set = Set { name: "addresses4", id: 1, kind: 7, len: 4, protocol: 2, destination: 16 };
const IPV6: Set =
    Set { name: "addresses6", id: 2, kind: 8, len: 16, protocol: 10, destination: 24 };

/// Which addresses are to be blocked, which are, and what has been asked for.
#[derive(Debug)]
pub struct Firewall {
    options: FirewallOptions,
    wanted: BTreeSet<IpAddr>,
    blocked: BTreeSet<IpAddr>,
    /// Whether the two differ.
    differs: bool,
    made: bool,
    asked: Option<Asked>,
    seq: u32,
    refused: bool,
}

/// How the table looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirewallOptions {
    /// Its name.
    pub table: String,
    /// The priority of its chain among those of the input hook.
    pub priority: i32,
    /// Whether its rules count what they match.
    pub counters: bool,
}

#[derive(Debug)]
struct Asked {
    /// The number of the request whose answer tells that all have been granted.
    last: u32,
    added: Vec<IpAddr>,
    removed: Vec<IpAddr>,
}

/// One of the two sets.
#[derive(Debug)]
struct Set {
    name: &'static str,
    id: u32,
    /// nft's number of the type of its elements, and their length in bytes.
    kind: u32,
    len: u32,
    /// `NFPROTO_IPV4` or `NFPROTO_IPV6`, and where the destination is in such a header.
    protocol: u8,
    destination: u32,
}

impl Default for FirewallOptions {
    fn default() -> Self {
        FirewallOptions { table: "viprd".into(), priority: -1, counters: false }
    }
}

impl Firewall {
    /// A buffer of this many bytes has room for any request.
    pub const REQUEST_BUFFER: usize = 2 * LONGEST;

    /// Nothing is blocked, and there is no table.
    pub fn new(options: FirewallOptions) -> Self {
        Firewall {
            options,
            wanted: BTreeSet::new(),
            blocked: BTreeSet::new(),
            differs: false,
            made: false,
            asked: None,
            seq: 0,
            refused: false,
        }
    }

    /// Blocks these addresses, and none else.
    pub fn block(&mut self, addresses: impl IntoIterator<Item = IpAddr>) {
        self.wanted = addresses.into_iter().collect();
        self.differs = self.wanted != self.blocked;
    }

    /// Whether a request is to be sent.
    pub fn has_work(&self) -> bool {
        self.differs && !self.refused && self.asked.is_none()
    }

    /// Writes the next batch, if there is one; an answer has to be read before the next.
    pub fn next_request(&mut self, buffer: &mut [u8]) -> Option<usize> {
        if !self.has_work() || buffer.len() < Self::REQUEST_BUFFER {
            return None;
        }
        let added: Vec<IpAddr> =
            self.wanted.difference(&self.blocked).copied().take(BATCH).collect();
        let removed: Vec<IpAddr> =
            self.blocked.difference(&self.wanted).copied().take(BATCH).collect();
        let mut batch = Batch { buffer, len: 0, last: 0, seq: self.seq };
        batch.delimit(BATCH_BEGIN);
        if !self.made {
            batch.table(&self.options);
        }
        let table = &*self.options.table;
        for (kind, addresses) in [(msg::DEL_SET_ELEM, &removed), (msg::NEW_SET_ELEM, &added)] {
            for set in [&IPV4, &IPV6] {
                batch.elements(kind, table, set, addresses);
            }
        }
        batch.ask_for_answer();
        let last = batch.seq;
        batch.delimit(BATCH_END);
        self.seq = batch.seq;
        let len = batch.len;
        self.asked = Some(Asked { last, added, removed });
        Some(len)
    }

    /// Reads answers. Gives why the kernel refuses, once: from then on nothing more is asked.
    pub fn on_answer(&mut self, datagram: &[u8]) -> Option<i32> {
        for message in reader::messages(datagram) {
            let Content::Answer(error) = message.content else { continue };
            if error != 0 {
                return self.fail(error);
            }
            if self.asked.as_ref().is_some_and(|asked| asked.last == message.seq)
                && let Some(asked) = self.asked.take()
            {
                self.made = true;
                self.blocked.extend(asked.added);
                for address in asked.removed {
                    self.blocked.remove(&address);
                }
                self.differs = self.wanted != self.blocked;
            }
        }
        None
    }

    /// It can't work: there is no socket, or an answer has been lost. Gives that error if nobody
    /// has been told yet.
    pub fn fail(&mut self, error: i32) -> Option<i32> {
        (!std::mem::replace(&mut self.refused, true)).then_some(error)
    }
}

/// Numbers of messages and attributes (`linux/netfilter/nf_tables.h`).
mod msg {
    /// `NFNL_SUBSYS_NFTABLES`.
    const SUBSYSTEM: u16 = 10 << 8;
    pub(super) const NEW_TABLE: u16 = SUBSYSTEM;
    pub(super) const NEW_CHAIN: u16 = SUBSYSTEM | 3;
    pub(super) const NEW_RULE: u16 = SUBSYSTEM | 6;
    pub(super) const NEW_SET: u16 = SUBSYSTEM | 9;
    pub(super) const NEW_SET_ELEM: u16 = SUBSYSTEM | 12;
    pub(super) const DEL_SET_ELEM: u16 = SUBSYSTEM | 14;
}

/// Messages one behind the other, each made of attributes.
struct Batch<'a> {
    buffer: &'a mut [u8],
    len: usize,
    /// Where the last message begins.
    last: usize,
    seq: u32,
}

impl Batch<'_> {
    fn table(&mut self, options: &FirewallOptions) {
        let table = &*options.table;
        self.message(msg::NEW_TABLE, CREATE, |batch| {
            batch.text(1, table);
            batch.number(2, OWNER);
        });
        self.message(msg::NEW_CHAIN, CREATE, |batch| {
            batch.text(1, table);
            batch.text(3, CHAIN);
            batch.nested(4, |batch| {
                // `NF_INET_LOCAL_IN`.
                batch.number(1, 1);
                batch.number(2, options.priority as u32);
            });
            batch.number(5, Verdict::Accept as u32);
            batch.text(7, "filter");
        });
        for set in [&IPV4, &IPV6] {
            self.message(msg::NEW_SET, CREATE, |batch| {
                batch.text(1, table);
                batch.text(2, set.name);
                batch.number(3, 0);
                batch.number(4, set.kind);
                batch.number(5, set.len);
                batch.number(10, set.id);
            });
        }
        self.rule(options, |batch| batch.goes_to(&IPV4), Verdict::Drop);
        self.rule(options, Self::neighbour_discovery, Verdict::Accept);
        self.rule(options, |batch| batch.goes_to(&IPV6), Verdict::Drop);
    }

    fn rule(
        &mut self,
        options: &FirewallOptions,
        matches: impl FnOnce(&mut Self),
        verdict: Verdict,
    ) {
        self.message(msg::NEW_RULE, CREATE, |batch| {
            batch.text(1, &options.table);
            batch.text(2, CHAIN);
            batch.nested(4, |batch| {
                matches(batch);
                if options.counters {
                    batch.expression("counter", |_| {});
                }
                batch.expression("immediate", |batch| {
                    batch.number(1, 0);
                    batch.nested(2, |batch| {
                        batch.nested(2, |batch| batch.number(1, verdict as u32));
                    });
                });
            });
        });
    }

    /// Matches packets to an address of the set.
    fn goes_to(&mut self, set: &Set) {
        self.meta(META_NFPROTO);
        self.compare(Compare::Equal, &[set.protocol]);
        self.payload(NETWORK_HEADER, set.destination, set.len);
        self.expression("lookup", |batch| {
            batch.text(1, set.name);
            batch.number(2, REGISTER);
            batch.number(4, set.id);
        });
    }

    /// Matches neighbour solicitations and advertisements (RFC 4861).
    fn neighbour_discovery(&mut self) {
        self.meta(META_NFPROTO);
        self.compare(Compare::Equal, &[IPV6.protocol]);
        self.meta(META_L4PROTO);
        self.compare(Compare::Equal, &[libc::IPPROTO_ICMPV6 as u8]);
        self.payload(TRANSPORT_HEADER, 0, 1);
        self.compare(Compare::NotBelow, &[135]);
        self.compare(Compare::NotAbove, &[136]);
    }

    fn meta(&mut self, key: u32) {
        self.expression("meta", |batch| {
            batch.number(1, REGISTER);
            batch.number(2, key);
        });
    }

    fn compare(&mut self, how: Compare, with: &[u8]) {
        self.expression("cmp", |batch| {
            batch.number(1, REGISTER);
            batch.number(2, how as u32);
            batch.nested(3, |batch| batch.bytes(1, &[with]));
        });
    }

    fn payload(&mut self, base: u32, offset: u32, len: u32) {
        self.expression("payload", |batch| {
            batch.number(1, REGISTER);
            batch.number(2, base);
            batch.number(3, offset);
            batch.number(4, len);
        });
    }

    fn expression(&mut self, name: &str, data: impl FnOnce(&mut Self)) {
        self.nested(1, |batch| {
            batch.text(1, name);
            batch.nested(2, data);
        });
    }

    /// Puts those of the addresses that belong there into a set, or takes them out of it.
    fn elements(&mut self, kind: u16, table: &str, set: &Set, addresses: &[IpAddr]) {
        let is_v6 = set.len == 16;
        if !addresses.iter().any(|address| address.is_ipv6() == is_v6) {
            return;
        }
        let flags = if kind == msg::NEW_SET_ELEM { CREATE } else { 0 };
        self.message(kind, flags, |batch| {
            batch.text(1, table);
            batch.text(2, set.name);
            batch.nested(3, |batch| {
                for address in addresses.iter().filter(|address| address.is_ipv6() == is_v6) {
                    batch.nested(1, |batch| {
                        batch.nested(1, |batch| match address {
                            IpAddr::V4(ip) => batch.bytes(1, &[&ip.octets()]),
                            IpAddr::V6(ip) => batch.bytes(1, &[&ip.octets()]),
                        });
                    });
                }
            });
        });
    }

    fn delimit(&mut self, kind: u16) {
        // `struct nfgenmsg`, which names the subsystem here.
        self.plain(kind, REQUEST, [0, 0, 0, 10]);
    }

    fn message(&mut self, kind: u16, flags: u16, content: impl FnOnce(&mut Self)) {
        let start = self.plain(kind, REQUEST | flags, [INET, 0, 0, 0]);
        content(self);
        self.set_len(start);
    }

    fn plain(&mut self, kind: u16, flags: u16, family: [u8; 4]) -> usize {
        let start = self.len;
        self.last = start;
        self.seq = self.seq.wrapping_add(1).max(1);
        let header = MessageHeader { len: 0, kind, flags, seq: self.seq, port: 0 };
        self.put(header.as_bytes());
        self.put(&family);
        self.set_len(start);
        start
    }

    fn set_len(&mut self, start: usize) {
        let len = (self.len - start) as u32;
        if let Some(field) = self.buffer.get_mut(start..start + 4) {
            field.copy_from_slice(&len.to_ne_bytes());
        }
    }

    /// Makes the last message one that is answered also when it succeeds.
    fn ask_for_answer(&mut self) {
        let at = self.last + std::mem::offset_of!(MessageHeader, flags);
        if let Some([low, high]) = self.buffer.get_mut(at..at + 2) {
            let flags = u16::from_ne_bytes([*low, *high]) | ACK;
            [*low, *high] = flags.to_ne_bytes();
        }
    }

    fn text(&mut self, kind: u16, text: &str) {
        self.bytes(kind, &[text.as_bytes(), &[0]]);
    }

    fn number(&mut self, kind: u16, number: u32) {
        self.bytes(kind, &[&number.to_be_bytes()]);
    }

    fn bytes(&mut self, kind: u16, parts: &[&[u8]]) {
        let len = size_of::<AttributeHeader>() + parts.iter().map(|part| part.len()).sum::<usize>();
        self.put(AttributeHeader { len: len as u16, kind }.as_bytes());
        for part in parts {
            self.put(part);
        }
        self.put(&[0; 3][..(aligned(len) - len).min(3)]);
    }

    fn nested(&mut self, kind: u16, content: impl FnOnce(&mut Self)) {
        let start = self.len;
        self.put(AttributeHeader { len: 0, kind: kind | NESTED }.as_bytes());
        content(self);
        let len = (self.len - start) as u16;
        if let Some(field) = self.buffer.get_mut(start..start + 2) {
            field.copy_from_slice(&len.to_ne_bytes());
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        if let Some(room) = self.buffer.get_mut(self.len..self.len + bytes.len()) {
            room.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }
}

/// `NFT_REG_1`.
const REGISTER: u32 = 1;
const META_NFPROTO: u32 = 15;
const META_L4PROTO: u32 = 16;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;

/// What becomes of a packet (`NF_DROP`, `NF_ACCEPT`).
#[derive(Clone, Copy)]
enum Verdict {
    Drop = 0,
    Accept = 1,
}

/// How a register is compared (`enum nft_cmp_ops`).
#[derive(Clone, Copy)]
enum Compare {
    Equal = 0,
    NotAbove = 3,
    NotBelow = 5,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(count: u32) -> Vec<IpAddr> {
        let v4 = (0..count).map(|n| IpAddr::from((0x0a00_0000 | n).to_be_bytes()));
        let v6 =
            (0..count).map(|n| IpAddr::from((0xfe80_u128 << 112 | u128::from(n)).to_be_bytes()));
        v4.chain(v6).collect()
    }

    fn answer(seq: u32, error: i32) -> Vec<u8> {
        let mut bytes =
            MessageHeader { len: 36, kind: 2, flags: 0, seq, port: 1 }.as_bytes().to_vec();
        bytes.extend((-error).to_ne_bytes());
        bytes.extend([0; 16]);
        bytes
    }

    /// The messages of a batch: type, flags, number.
    fn messages(mut bytes: &[u8]) -> Vec<(u16, u16, u32)> {
        let mut messages = Vec::new();
        while !bytes.is_empty() {
            let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
            let half = |at: usize| u16::from_ne_bytes(bytes[at..at + 2].try_into().unwrap());
            messages.push((half(4), half(6), word(8)));
            assert_eq!(word(0) % 4, 0);
            bytes = &bytes[word(0) as usize..];
        }
        messages
    }

    #[test]
    fn addresses_are_told_in_bounded_batches_that_are_answered_once() {
        let mut firewall = Firewall::new(FirewallOptions::default());
        let mut buffer = vec![0; Firewall::REQUEST_BUFFER];
        assert_eq!(firewall.next_request(&mut buffer), None, "nothing to do, no table");
        firewall.block(addresses(700));
        let mut batches = 0;
        while let Some(len) = firewall.next_request(&mut buffer) {
            assert_eq!(firewall.next_request(&mut buffer), None, "one at a time");
            let messages = messages(&buffer[..len]);
            let kinds: Vec<u16> = messages.iter().map(|message| message.0).collect();
            assert_eq!((kinds[0], kinds[kinds.len() - 1]), (BATCH_BEGIN, BATCH_END));
            assert_eq!(kinds.contains(&msg::NEW_TABLE), batches == 0);
            let asking: Vec<u32> =
                messages.iter().filter(|message| message.1 & ACK != 0).map(|it| it.2).collect();
            assert_eq!(asking.len(), 1);
            assert_eq!(firewall.on_answer(&answer(asking[0], 0)), None);
            batches += 1;
        }
        assert_eq!(batches, 3);
        assert_eq!(firewall.blocked.len(), 1400);

        firewall.block(addresses(1));
        while let Some(len) = firewall.next_request(&mut buffer) {
            let messages = messages(&buffer[..len]);
            assert!(messages.iter().all(|message| message.0 != msg::NEW_SET_ELEM));
            let asking = messages.iter().find(|message| message.1 & ACK != 0).unwrap();
            firewall.on_answer(&answer(asking.2, 0));
        }
        assert_eq!(firewall.blocked.len(), 2);
    }

    #[test]
    fn a_refusal_is_told_once_and_ends_it() {
        let mut firewall = Firewall::new(FirewallOptions::default());
        let mut buffer = vec![0; Firewall::REQUEST_BUFFER];
        firewall.block(addresses(1));
        assert!(firewall.next_request(&mut buffer).is_some());
        assert_eq!(firewall.on_answer(&answer(1, libc::EOPNOTSUPP)), Some(libc::EOPNOTSUPP));
        assert_eq!(firewall.on_answer(&answer(2, libc::EOPNOTSUPP)), None);
        assert_eq!(firewall.next_request(&mut buffer), None);
    }
}
