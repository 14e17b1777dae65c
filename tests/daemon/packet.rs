//! Packets put together byte by byte, right or wrong in any way a test wants. Independent of
//! `src/wire` on purpose.

use std::net::{Ipv4Addr, Ipv6Addr};

/// An advert in an Ethernet frame. The default is one that a router with vrid 51 of this build's
/// tests accepts: VRRPv3 from 10.9.0.2 with priority 100, 1 s, the address 10.9.0.50.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
    pub(crate) ttl: u8,
    pub(crate) protocol: u8,
    pub(crate) version: u8,
    pub(crate) kind: u8,
    pub(crate) vrid: u8,
    pub(crate) priority: u8,
    /// `None`: as many as there are addresses.
    pub(crate) count: Option<u8>,
    /// v3: centiseconds; v2: authentication type (high byte) and seconds.
    pub(crate) interval: u16,
    pub(crate) addresses: Vec<Ipv4Addr>,
    /// Whether the checksum covers a pseudo-header, as half of the field has it in v3.
    pub(crate) pseudo_header: bool,
    /// Added to the right checksum.
    pub(crate) checksum_error: u16,
    /// What the IP packet carries instead of an advert.
    pub(crate) instead: Option<Vec<u8>>,
    /// How many bytes to leave out at the end (the IP header knows of it).
    pub(crate) cut: usize,
}

impl Default for Packet {
    fn default() -> Self {
        Packet {
            source: Ipv4Addr::new(10, 9, 0, 2),
            destination: Ipv4Addr::new(224, 0, 0, 18),
            ttl: 255,
            protocol: 112,
            version: 3,
            kind: 1,
            vrid: 51,
            priority: 100,
            count: None,
            interval: 100,
            addresses: vec![Ipv4Addr::new(10, 9, 0, 50)],
            pseudo_header: false,
            checksum_error: 0,
            instead: None,
            cut: 0,
        }
    }
}

impl Packet {
    /// The frame.
    pub(crate) fn frame(&self) -> Vec<u8> {
        let message = self.message();
        let mut ip = vec![0x45, 0xc0];
        ip.extend(((20 + message.len()) as u16).to_be_bytes());
        ip.extend([0, 7, 0, 0, self.ttl, self.protocol, 0, 0]);
        ip.extend(self.source.octets());
        ip.extend(self.destination.octets());
        let sum = checksum(&ip);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());

        let group = self.destination.octets();
        let to = match self.destination.is_multicast() {
            true => [0x01, 0x00, 0x5e, group[1] & 0x7f, group[2], group[3]],
            false => [0x02, 0, 0, 0, 0, 0x01],
        };
        let mut frame = to.to_vec();
        frame.extend([0x02, 0, 0, 0, 0, 0x02]);
        frame.extend([0x08, 0x00]);
        frame.extend(ip);
        frame.extend(message);
        // The shortest Ethernet frame; the padding is not the packet's.
        frame.resize(frame.len().max(60), 0xee);
        frame
    }

    fn message(&self) -> Vec<u8> {
        if let Some(instead) = &self.instead {
            return instead.clone();
        }
        let count = self.count.unwrap_or(self.addresses.len() as u8);
        let mut message = vec![self.version << 4 | self.kind, self.vrid, self.priority, count];
        message.extend(self.interval.to_be_bytes());
        message.extend([0, 0]);
        for address in &self.addresses {
            message.extend(address.octets());
        }
        if self.version == 2 {
            message.extend([0; 8]);
        }
        let mut covered = message.clone();
        if self.pseudo_header {
            covered.extend(self.source.octets());
            covered.extend(self.destination.octets());
            covered.extend([0, 112]);
            covered.extend((message.len() as u16).to_be_bytes());
        }
        let sum = checksum(&covered).wrapping_add(self.checksum_error);
        message[6..8].copy_from_slice(&sum.to_be_bytes());
        message.truncate(message.len() - self.cut);
        message
    }
}

/// An advert over IPv6 in an Ethernet frame, VRRPv3. The default is one that a router with vrid 51 of
/// `ipv6.rs` accepts: from the neighbour, with priority 100, 1 s, the address fe80::50.
#[derive(Clone, Debug)]
pub(crate) struct Packet6 {
    pub(crate) source: Ipv6Addr,
    pub(crate) destination: Ipv6Addr,
    pub(crate) hop_limit: u8,
    /// Version and type.
    pub(crate) first: u8,
    pub(crate) vrid: u8,
    pub(crate) priority: u8,
    /// `None`: as many as there are addresses.
    pub(crate) count: Option<u8>,
    pub(crate) interval: u16,
    pub(crate) addresses: Vec<Ipv6Addr>,
    /// Whether the checksum leaves the pseudo-header out, which is wrong over IPv6.
    pub(crate) message_only: bool,
    /// How many bytes to leave out at the end (the IP header knows of it).
    pub(crate) cut: usize,
}

impl Default for Packet6 {
    fn default() -> Self {
        Packet6 {
            source: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 2),
            destination: Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12),
            hop_limit: 255,
            first: 0x31,
            vrid: 51,
            priority: 100,
            count: None,
            interval: 100,
            addresses: vec![Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x50)],
            message_only: false,
            cut: 0,
        }
    }
}

impl Packet6 {
    /// The frame.
    pub(crate) fn frame(&self) -> Vec<u8> {
        let count = self.count.unwrap_or(self.addresses.len() as u8);
        let mut message = vec![self.first, self.vrid, self.priority, count];
        message.extend(self.interval.to_be_bytes());
        message.extend([0, 0]);
        for address in &self.addresses {
            message.extend(address.octets());
        }
        let mut covered = message.clone();
        if !self.message_only {
            covered.extend(self.source.octets());
            covered.extend(self.destination.octets());
            covered.extend((message.len() as u32).to_be_bytes());
            covered.extend([0, 0, 0, 112]);
        }
        let sum = checksum(&covered);
        message[6..8].copy_from_slice(&sum.to_be_bytes());
        message.truncate(message.len() - self.cut);

        let to = match self.destination.is_multicast() {
            true => [0x33, 0x33, 0, 0, 0, self.destination.octets()[15]],
            false => [0x02, 0, 0, 0, 0, 0x01],
        };
        let mut frame = to.to_vec();
        frame.extend([0x02, 0, 0, 0, 0, 0x02]);
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend((message.len() as u16).to_be_bytes());
        frame.extend([112, self.hop_limit]);
        frame.extend(self.source.octets());
        frame.extend(self.destination.octets());
        frame.extend(message);
        frame.resize(frame.len().max(60), 0xee);
        frame
    }
}

/// The Internet checksum (RFC 1071) of an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 =
        bytes.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
